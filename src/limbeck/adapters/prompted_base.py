"""`prompt@<base>`: a local base that writes reads what a teacher would be sent, and no number of it moves.

Closed answers are told by their likelihood, the others are written (engine.written). What it is shown, rows or passages, comes
with each input: engine.demonstrator and engine.reader put it there. It costs nothing but this machine's time."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from limbeck.errors import UsageError
from limbeck.registry import FitJob, Fitted
from limbeck.types import Message, Value

if TYPE_CHECKING:
    from limbeck.engine.written import WriterPredictor

NORMALISE = ("sum", "mean", "pmi")


def fit(job: FitJob) -> Fitted:
    """Nothing is trained. Raises UsageError for an encoder, and where normalise and calibrate make no sense together."""
    from limbeck.engine.device import pick_device, set_threads, settle_speed
    from limbeck.engine.framing import prompt_reading
    from limbeck.engine.load import ENCODER, load_base
    from limbeck.engine.numbers import read_numbers
    from limbeck.engine.predict import WriterPredictor, save_predictor, size_mb
    from limbeck.engine.writer import WriterStudent

    normalise, calibrate = str(job.recipe.value("normalise", "sum")), bool(job.recipe.value("calibrate", False))
    refuse(normalise, calibrate)
    set_threads(settle_speed(job).threads)
    base = load_base(job.recipe.base, shared=True)
    if base.family == ENCODER:
        raise no_writer(job.recipe.text, job.recipe.base)
    student = WriterStudent(base.model.to(pick_device()), base.family, normalise=normalise).eval()
    predictor = WriterPredictor(student, job.task, prompt_reading(base, job.task, read_numbers(job.recipe), calibrate))
    return Fitted(
        predictor=predictor,
        size_mb=size_mb(student),
        save=lambda folder: save_predictor(predictor, folder),
        prompt=lambda row: (Message(role="user", content=predictor.reading.prompt(job.task, row).text),),
        measured=stood_there(predictor, job),
    )


def stood_there(predictor: WriterPredictor, job: FitJob) -> tuple[Value, ...]:
    """How many demonstrations a prompt held on dev, and how long it was; demonstrations that do not fit are left out."""
    rows = job.dev[:50]
    prompts = [predictor.reading.prompt(job.task, row) for row in rows]
    if not prompts:
        return ()
    asked_for = max(predictor.reading.demonstrations(job.task, row) for row in rows)
    there, tokens = fmean(p.shots for p in prompts), fmean(p.tokens for p in prompts)
    room = f"the base reads {predictor.reading.max_length}"
    return (
        Value(name="demonstrations", value=round(there, 1), why=f"stood in a prompt, of {asked_for}; {room} tokens, the first go first"),
        Value(name="prompt_tokens", value=round(tokens), why=f"of a prompt on dev; {room}"),
    )


def refuse(normalise: str, calibrate: bool) -> None:
    if normalise not in NORMALISE:
        raise UsageError(f"unknown normalise {normalise!r}", f"there are {', '.join(NORMALISE)}", "--set normalise=mean")
    if normalise == "pmi" and calibrate:
        have = "normalise=pmi, calibrate=true: both take out what the base holds of an answer without an input"
        raise UsageError("the same thing would be taken out twice", have, "one of the two")


def no_writer(recipe: str, base: str) -> UsageError:
    return UsageError(
        f"{recipe!r}: {base} cannot be prompted",
        "an encoder makes one vector of what it reads: it writes nothing, and finds no answer likely or unlikely",
        f"prompt@ a base that writes, such as tiny or tiny-lm; head@{base} or full@{base} to train this one",
    )
