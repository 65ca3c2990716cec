"""Closed answers: accuracy, and macro-F1. An answer that is not `ok` is wrong, never left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from limbeck.registry import Metric
from limbeck.render import allowed_answers, canonical
from limbeck.types import Example, Kind, Prediction, Status, Task


def gold_answer(task: Task, example: Example) -> str | None:
    """The gold answer in its one spelling; None where the row has none, or none that is allowed: it is not scored."""
    if example.output is None:
        return None
    if example.output in allowed_answers(task, example):
        return example.output
    text, status = canonical(task, example, example.output)
    return text if status is Status.OK else None


def said(prediction: Prediction) -> str | None:
    """The answer; None where there is none, which is no label's."""
    return prediction.text if prediction.status is Status.OK else None


def right_or_wrong(task: Task, example: Example, prediction: Prediction) -> float | None:
    gold = gold_answer(task, example)
    return None if gold is None else float(said(prediction) == gold)


def macro_f1(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float | None:
    return prepare_macro_f1(task, examples, predictions)(range(len(examples)))


def prepare_macro_f1(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Callable[[Sequence[int]], float | None]:
    """Mean over the labels that occur in gold of F1 = 2 right / (times in gold + times said). A label that is said
    but never gold has no F1 of its own; it costs the label that it was said for."""
    pairs = [(gold_answer(task, example), said(p)) for example, p in zip(examples, predictions, strict=True)]
    kinds = list(dict.fromkeys(pairs))
    kind_of = {pair: i for i, pair in enumerate(kinds)}
    codes = [kind_of[pair] for pair in pairs]  # small integers are counted faster than pairs of strings

    def figure(rows: Sequence[int]) -> float | None:
        counts = Counter({kinds[code]: n for code, n in Counter(map(codes.__getitem__, rows)).items()})
        in_gold: Counter[str] = Counter()
        answered: Counter[str | None] = Counter()
        for (gold, answer), n in counts.items():
            if gold is not None:
                in_gold[gold] += n
                answered[answer] += n
        if not in_gold:
            return None
        return sum(2 * counts[label, label] / (n + answered[label]) for label, n in in_gold.items()) / len(in_gold)

    return figure


ACCURACY = Metric("accuracy", (Kind.LABEL, Kind.CHOICE), row=right_or_wrong)
MACRO_F1 = Metric("macro_f1", (Kind.LABEL,), corpus=macro_f1, prepare=prepare_macro_f1)
