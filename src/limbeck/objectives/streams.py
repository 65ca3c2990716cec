"""The two streams of `stepwise`: what a row teaches as a label and as a rationale, and the loss of a batch that holds both."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck.engine.framing import Reading
from limbeck.engine.rationale import Told
from limbeck.engine.targets import gold_text
from limbeck.engine.two_tasks import writing_rationale
from limbeck.errors import BadRows
from limbeck.objectives import sft
from limbeck.types import Example, Task


def features(
    task: Task,
    examples: Sequence[Example],
    tokenizer: Any,
    max_length: int,
    reading: Reading | None = None,
    form: str = "separate",
    tokens: int = 64,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The items of sft; those of rows with a rationale hold its tokens too (at most `tokens`; rationale_cut 1 = there were more).
    Raises BadRows where no row has one, and as sft does."""
    told = rationales(task, examples, form, seed)
    items = sft.features(task, examples, tokenizer, max_length, reading)
    for item, example, text in zip(items, examples, told, strict=True):
        if text is None:
            continue
        item |= writing_rationale(task, example, text, tokens, reading, item) if reading else spoken(tokenizer, text, tokens)
    return items


def rationales(task: Task, examples: Sequence[Example], form: str, seed: int) -> list[str | None]:
    """Per row the text of its second stream, None = it has none. echo and label2x need no rationale; where there are some, the
    rows that have one are echoed, so that the arms are compared on equal terms."""
    own = [(e.rationale or "").strip() or None for e in examples]
    have = [i for i, text in enumerate(own) if text]
    if form == "label2x":
        return [None] * len(own)
    if form == "echo":
        return [gold_text(task, e) if not have or own[i] else None for i, e in enumerate(examples)]
    if not have:
        do = "give the rows a column `rationale`, or a teacher that writes them"
        raise BadRows("stepwise learns from rationales, and no row has one", f"{len(own)} rows without", do)
    if form == "shuffled":
        taken = {i: own[have[other]] for i, other in zip(have, deranged(len(have), seed), strict=True)}
        own = [taken.get(i) for i in range(len(own))]
    return own


def deranged(n: int, seed: int) -> list[int]:
    """A permutation of 0 .. n - 1 that leaves nothing in its place: one cycle (Sattolo 1986). Raises BadRows for n = 1."""
    if n < 2:
        raise BadRows("one rationale alone cannot be shuffled", "one row has a rationale", "give more rows one, or leave this control out")
    order, rng = list(range(n)), random.Random(f"{seed}/shuffled")
    for i in range(n - 1, 0, -1):
        j = rng.randrange(i)
        order[i], order[j] = order[j], order[i]
    return order


def spoken(tokenizer: Any, text: str, tokens: int) -> dict[str, Any]:
    """Of an encoder: the target of the decoder beside it. One that was cut has no end: it would be a wrong one."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    end = next(t for t in (tokenizer.sep_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, 0) if t is not None)
    return {"rationale": [*ids, end][:tokens], "rationale_cut": int(len(ids) >= tokens)}


def loss(model: Any, batch: dict[str, Tensor], form: str = "separate", alpha: float = 0.5) -> tuple[Tensor, dict[str, float]]:
    """alpha * label + (1 - alpha) * rationale, from one call of the model. A batch without any rationale has its label's part
    alone. alpha plays no part where the label stands twice (label2x), nor where one target holds both (Eq. 5)."""
    batch = twice(batch) if form == "label2x" else batch
    found = model(**{name: tensor for name, tensor in batch.items() if name not in sft.TARGETS})
    label, parts = sft.answer_loss(found, batch)
    if "rationale_span" in batch:
        return label, apart(found, batch["rationale_span"])
    parts = {"label": float(label.detach()), **(parts if len(parts) > 1 else {})}
    if form not in WEIGHED:
        return label, parts
    if found.told is None:
        return alpha * label, parts
    rationale = token_mean(found.told, batch.get("rationale_weight"))
    return alpha * label + (1 - alpha) * rationale, parts | {"rationale": float(rationale.detach())}


WEIGHED = ("separate", "shared", "echo", "shuffled")


def apart(found: Any, span: Tensor) -> dict[str, float]:
    """Of targets that hold both: mean loss per token of the label's part (its marks and end with it) and of the rationale's.
    span (N, To): 1 on a rationale's tokens."""
    nll, told = -found.log_probs.detach(), span.bool()
    real = found.mask.bool()
    return {"label": float(nll[real & ~told].mean()), "rationale": float(nll[real & told].mean())}


def token_mean(told: Told, weight: Tensor | None) -> Tensor:
    """Over all rationale tokens of the batch, so that a long one counts more than a short one, as in the authors' code. weight (R,):
    of the rows: a rationale for a label that nobody trusts is not trusted either."""
    each = -told.log_probs
    return each.mean() if weight is None else (each * weight[told.which]).sum() / len(each)


def twice(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every row and its options once more, behind the first ones; dropout tells the two apart."""
    rows = len(batch["input_ids"])
    return {name: torch.cat([t, t + rows if name == "option_row" else t]) for name, t in batch.items()}
