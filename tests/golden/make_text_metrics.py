"""Golden values of the reference packages for text. Not a test: run it where they are installed.

python make_text_metrics.py <output.json>     torchmetrics (SQuAD v1.1 as its script has it), rouge-score, sacrebleu"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import sacrebleu
from rouge_score.rouge_scorer import RougeScorer
from torchmetrics.functional.text import squad

PAIRS = [  # (answer, gold), all of them ours
    ("The Cat!", "cat"),
    ("an old harbour town", "the old harbour"),
    ("U.S. Navy", "US navy"),
    ("state-of-the-art", "state of the art"),
    ("1,000 men", "1000 men"),
    ("red red fox", "red fox ran"),
    ("", "cat"),
    ("completely different words", "cat"),
    ("a", "an apple"),
    ("The quick brown fox jumps over the lazy dog.", "A quick brown dog jumps over the lazy fox."),
    ("She said: 'no, never'", "she said no never"),
    ("in May 1969", "1969"),
    ("Die Häuser am Fluß", "Häuser am Fluss"),
    ("x = foo(bar, 1)", "x = foo(1, bar)"),
]


def of_squad(answer: str, gold: str, figure: str) -> float:
    one = {"answers": {"answer_start": [0], "text": [gold]}, "id": "1"}
    return float(squad([{"prediction_text": answer, "id": "1"}], [one])[figure]) / 100


rouge = RougeScorer(["rougeL"], use_stemmer=False)
found = {
    "versions": {name: version(name) for name in ("torchmetrics", "rouge-score", "sacrebleu")},
    "pairs": PAIRS,
    "exact_match": [of_squad(answer, gold, "exact_match") for answer, gold in PAIRS],
    "token_f1": [of_squad(answer, gold, "f1") for answer, gold in PAIRS],
    "rouge_l": [rouge.score(gold, answer)["rougeL"].fmeasure for answer, gold in PAIRS],
    "chrf": [sacrebleu.sentence_chrf(answer, [gold], word_order=2).score / 100 for answer, gold in PAIRS],
}
Path(sys.argv[1]).write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
print(json.dumps({k: v for k, v in found.items() if k != "pairs"}))
