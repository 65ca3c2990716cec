"""stepwise: label and rationale learnt as two tasks, the label alone deployed (Distilling step-by-step, Hsieh et al. 2023, arXiv
2305.02301).

    loss = stepwise_alpha * label + (1 - stepwise_alpha) * rationale                                   (Eq. 3, scaled)

label is the loss of `sft` to the bit, so that alpha 1 is plain fine-tuning; rationale is the mean over all rationale tokens of
the batch, as in the authors' code. Rows without a rationale teach their label alone.

                    a base that writes                                      an encoder
    separate        prefixes "[label] " and "[rationale] " before the       a small decoder over the states of the input's own
                    input, both read in one pass                            pass writes the rationale, and is dropped after training
    shared          the task token begins the answer: one reading for both  the same as separate, so only that name is taken
    label_first     one target: answer [rationale] rationale                refused: an encoder does not write its answer
    rationale_first one target: rationale [label] answer (Eq. 5)            refused
controls, of `separate`
    label2x         the label twice instead of a rationale: the same steps, no less computing
    echo            the label as its own rationale
    shuffled        every rationale stands with another row

Every arm has the same batches: rows are dealt out by what their label costs alone, so that arms of one seed differ in the loss
and in nothing else. A step holds up to twice the tokens of `batch_tokens`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from limbeck.engine.load import CAUSAL, ENCODER, family_of_name
from limbeck.errors import UsageError
from limbeck.registry import Objective
from limbeck.types import Kind, Recipe, Task, Value

if TYPE_CHECKING:
    from limbeck.engine.framing import Reading

CONTROLS = ("label2x", "echo", "shuffled")
ORDERS = ("label_first", "rationale_first")
FORMATS = ("separate", "shared", *ORDERS, *CONTROLS)

ALPHA, TOKENS, LAYERS = 0.5, 64, 1


def format_of(recipe: Recipe) -> str:
    return recipe.objective.partition(":")[2] or "separate"


def numbers(recipe: Recipe, task: Task, rows: int) -> list[Value]:
    found = [
        Value(name="stepwise_alpha", value=ALPHA, why="weight of the label; the rationale has the rest. The authors' code recommends it"),
        Value(name="rationale_tokens", value=TOKENS, why="of a rationale, the rest is cut and counted; nine of ten of PaLM's have fewer"),
    ]
    if family_of_name(recipe.base) == ENCODER:
        found.append(Value(name="rationale_layers", value=LAYERS, why="of the decoder that is dropped: a fifth of a step's time"))
        found.append(Value(name="beside_lr", value=1e-3, why="that decoder begins at random"))
    return found


def refuse(recipe: Recipe, family: str) -> None:
    """Raises UsageError where an encoder is asked for a format that only a base that writes can have."""
    form = format_of(recipe)
    if family != ENCODER or form not in (*ORDERS, "shared"):
        return
    plain = recipe.model_copy(update={"objective": "stepwise"}).text
    if form == "shared":
        why, have = "an encoder reads the input once for label and rationale anyway", "stepwise is the shared pass there"
    else:
        why, have = "an encoder does not write its answer", f"{form} puts answer and rationale into one written text"
    raise UsageError(f"{recipe.text!r}: {why}", have, f"write {plain}, or take a base that writes")


def check(alpha: Any, tokens: Any, layers: Any) -> None:
    """Raises UsageError where a value was set to what it cannot be."""
    if not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise UsageError("stepwise_alpha is a share", f"it is {alpha!r}", "--set stepwise_alpha=0.5")
    for name, value, most in (("rationale_tokens", tokens, 4096), ("rationale_layers", layers, 12)):
        if not isinstance(value, int) or not 1 <= value <= most:
            raise UsageError(f"{name} is a whole number from 1 to {most}", f"it is {value!r}", f"--set {name}={TOKENS if most > 12 else 1}")


def bind(recipe: Recipe, seed: int) -> Objective:
    form, alpha = format_of(recipe), recipe.value("stepwise_alpha", ALPHA)
    tokens, layers = recipe.value("rationale_tokens", TOKENS), recipe.value("rationale_layers", LAYERS)
    check(alpha, tokens, layers)
    return replace(
        STEPWISE,
        features=partial(features, form=form, tokens=tokens, seed=seed),
        loss=partial(loss, form=form, alpha=alpha),
        read=partial(read, form=form, tokens=tokens),
        start=partial(start, form=form, layers=layers, dropout=recipe.value("dropout")),
    )


def features(*args: Any, **more: Any) -> list[dict[str, Any]]:
    """See objectives.streams, which needs torch; a recipe is read without it."""
    from limbeck.objectives import streams

    return streams.features(*args, **more)


def loss(*args: Any, **more: Any) -> Any:
    from limbeck.objectives import streams

    return streams.loss(*args, **more)


def read(reading: Reading, base: Any, form: str = "separate", tokens: int = TOKENS) -> Reading:
    """How a student that writes reads and answers: the label's prefix or lead, and where its rationale stands."""
    from limbeck.engine.two_tasks import under

    return under(reading, base, "separate" if form in CONTROLS else form, tokens)


def start(
    student: Any, base: Any, features: list[dict[str, Any]], form: str = "separate", layers: int = LAYERS, dropout: float | None = None
) -> None:
    """An encoder gets a decoder for its rationales; a base that writes needs none. Raises UsageError where an adapter edits the
    last tokens of a prompt and these would be others when the student answers."""
    if getattr(student, "pack", False):
        raise UsageError("rows with rationales are not packed", "the recipe sets pack=true", "--set pack=false")
    if form == "rationale_first" and base.family == CAUSAL and getattr(student.backbone, "takes_prompt_mask", False):
        have = "it edits the last tokens of a prompt, and after a rationale these are the rationale's"
        raise UsageError("this adapter cannot write its rationale first", have, "take label_first or separate, or lora")
    if base.family == ENCODER and form != "label2x":
        from limbeck.engine.rationale import rationale_decoder

        student.beside = rationale_decoder(base, features, layers, dropout)


def finish(student: Any) -> None:
    student.beside = None


STEPWISE = Objective(
    name="stepwise", kinds=tuple(Kind), features=features, loss=loss, args="|".join(FORMATS), rationales=True, without=("label2x", "echo"), numbers=numbers,
    refuse=refuse, bind=bind, read=read, start=start, finish=finish,
)  # fmt: skip
