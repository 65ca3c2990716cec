"""head: the base stays frozen; a regression on its embeddings is fitted in seconds.

label: logistic regression. choice: conditional logit over [cos, u * v, |u - v|] of input and option. score: ridge.
How strongly it is held back is chosen on dev: `C` (the larger, the freer), for scores `ridge_alpha` (the smaller)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.registry import Adapter, FitJob, Fitted
from limbeck.types import Kind

if TYPE_CHECKING:
    import numpy as np

    from limbeck.engine.encoder import LinearHead

GRID = {
    Kind.LABEL: ("C", (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)),
    Kind.CHOICE: ("C", (0.01, 0.1, 1.0, 10.0)),
    Kind.SCORE: ("ridge_alpha", (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)),
}


def fit(job: FitJob) -> Fitted:
    """Without dev and without the value in the recipe: the middle of the grid."""
    import torch

    from limbeck.engine.device import set_threads, settle_speed
    from limbeck.engine.embed import embed
    from limbeck.engine.encoder import EncoderStudent
    from limbeck.engine.load import encoder_base
    from limbeck.engine.predict import StudentPredictor, answer_logits, judge, save_predictor, size_mb
    from limbeck.engine.start import sources

    set_threads(settle_speed(job).threads)
    base = encoder_base(job.recipe.base, shared=True)
    length = min(job.recipe.value("max_length") or base.max_length, base.max_length)
    name, grid = GRID[job.task.kind]
    if (fixed := job.recipe.value(name)) is not None:
        grid = (float(fixed),)
    elif not job.dev:
        grid = (grid[len(grid) // 2],)

    def vectors(rows: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Inputs (n, d), and for choices the options of all rows in order (N, d)."""
        options = [c for e in rows for c in e.choices or ()] if job.task.kind is Kind.CHOICE else None
        return embed(sources(job.task, rows), base.name, length), None if options is None else embed(options, base.name, length)

    train, dev = vectors(job.train), vectors(job.dev) if job.dev else None
    students = []
    for done, value in enumerate(grid):
        job.note(done, len(grid), f"{name} = {value:g}")
        head_name, head = one_head(job, *train, value)
        students.append(EncoderStudent(base.model, head_name, head).requires_grad_(False).eval())
    best = 0
    if dev is not None and len(grid) > 1:
        inputs, options = (None if part is None else torch.from_numpy(part) for part in dev)
        marks = [judge(job.task, job.dev, answer_logits(s, job.dev, inputs, options)) for s in students]
        best = max(range(len(grid)), key=lambda i: marks[i])
    student = students[best]
    predictor = StudentPredictor(student, base.tokenizer, job.task, length)
    return Fitted(
        predictor=predictor,
        chosen={name: grid[best]},
        trainable_parameters=sum(p.numel() for p in student.head.parameters()),
        size_mb=size_mb(student),
        save=lambda folder: save_predictor(predictor, folder),
        truncated=predictor.tokenise(job.train).truncated,
    )


def one_head(job: FitJob, inputs: np.ndarray, options: np.ndarray | None, value: float) -> tuple[str, Any]:
    """(key in engine.encoder.HEADS, the fitted head) for one value of the grid."""
    import numpy as np

    from limbeck.engine.gold import target
    from limbeck.engine.start import pair_head, score_head

    gold = np.array([target(job.task, e) for e in job.train])
    if job.task.kind is Kind.SCORE:
        return "score", score_head(inputs, gold, alpha=value)
    if options is not None:
        row = np.array([i for i, e in enumerate(job.train) for _ in e.choices or ()])
        return "pair", pair_head(inputs, options, row, gold, C=value)
    return "linear", linear_head(inputs, gold, len(job.task.labels), C=value)


def linear_head(vectors: np.ndarray, gold: np.ndarray, labels: int, C: float) -> LinearHead:
    """vectors (n, d), gold (n,). A label without a row is never answered."""
    import numpy as np
    import torch

    from limbeck.engine.encoder import LinearHead
    from limbeck.need import need

    head = LinearHead(vectors.shape[1], labels)
    seen = np.unique(gold)
    bias = np.full(labels, -1e4)
    bias[seen] = 0.0
    if len(seen) > 1:
        fitted = need("sklearn.linear_model", extra="train").LogisticRegression(C=C, max_iter=1000).fit(vectors, gold)
        two = len(seen) == 2  # one row of coefficients then, for the second class
        bias[seen] = [0.0, fitted.intercept_[0]] if two else fitted.intercept_
        weight = np.concatenate([np.zeros_like(fitted.coef_), fitted.coef_]) if two else fitted.coef_
        with torch.no_grad():
            head.weight[seen] = torch.from_numpy(weight).float()
    with torch.no_grad():
        head.bias.copy_(torch.from_numpy(bias))
    return head


HEAD = Adapter(name="head", group="student", kinds=(Kind.LABEL, Kind.CHOICE, Kind.SCORE), modifiers=("rows",), cheap=True, fit=fit)
