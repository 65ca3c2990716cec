"""Golden BERTScore values of the reference package. Not a test: run it where bert-score is installed.

python make_bertscore.py <folder of all-MiniLM-L6-v2> <output.json>     bert-score 0.3.13, idf off, no rescaling, layers 5 and 6

Pair by pair: in a batch the package takes padded places for a cosine of 0, so that a token whose best cosine is negative
counts as 0 beside a longer text and as what it is without one (0.001 at most here, at layer 6 alone)."""

import json
import sys
from pathlib import Path

import bert_score
import bert_score.utils
import torch
import transformers

LONG = " ".join(f"The {n}th letter speaks of {w}." for n in range(60) for w in ("rain", "an old harbour", "two red kites"))
PAIRS = [  # (answer, gold), all of them ours
    ("The cat sleeps on the mat.", "A cat is lying on the mat."),
    ("The cat sleeps on the mat.", "The cat sleeps on the mat."),
    ("Stock prices fell sharply on Monday.", "A cat is lying on the mat."),
    ("yes", "no"),
    ("42", "forty-two"),
    ("Die Katze schläft auf der Matte.", "Le chat dort sur le tapis."),
    ("猫がマットの上で眠っている。", "The cat is sleeping on the mat."),
    ("sorted(rows, key=len)", "rows.sort(key=len)"),
    ("A  text with   odd\tblanks\n", "a text with odd blanks"),
    ("Paris [SEP] France", "Paris, France"),
    ("!", "?"),
    ("🙂 fine", "I am fine"),
    ("short", LONG),
    (LONG, LONG + " And here it ends."),
    (LONG[400:], LONG),
    ("", "A cat is lying on the mat."),
    ("   ", "A cat is lying on the mat."),
    ("A cat.", ""),
    ("", ""),
]


def empty_as_before(tokenizer, sent):
    """The package's own branch for an empty sentence calls a method that transformers 5 no longer has: same result."""
    sent = sent.strip()
    return tokenizer.encode(sent, add_special_tokens=True, max_length=tokenizer.model_max_length, truncation=True)


bert_score.utils.sent_encode = empty_as_before

folder, out = sys.argv[1], Path(sys.argv[2])
found = {
    "versions": {"bert-score": bert_score.__version__, "torch": torch.__version__, "transformers": transformers.__version__},
    "model": "all-MiniLM-L6-v2",
    "pairs": PAIRS,
    "f1": {},
}
for layers in (5, 6):
    scorer = bert_score.BERTScorer(model_type=folder, num_layers=layers, idf=False, device="cpu", use_fast_tokenizer=True)
    found["f1"][str(layers)] = [round(float(scorer.score([a], [g])[2][0]), 8) for a, g in PAIRS]
out.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
print(json.dumps(found["f1"]))
