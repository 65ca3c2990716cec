"""What a run tries where nobody says it, and every derived number in one table with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from limbeck import registry, render
from limbeck.contexts.chunks import OVERLAP, WORDS
from limbeck.contexts.shots import NUMBERS
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, context_of, family_of_name
from limbeck.engine.named import config_of_name, parameters_of_name
from limbeck.recipes import AXES, learns_documents
from limbeck.render_structure import of_recipe
from limbeck.types import TEACHER, Kind, Recipe, Task, Value


@dataclass(frozen=True)
class Sizes:
    """What the numbers are derived from. chars: mean characters of an input. options: mean number per row (choice).
    pieces, statements: of the documents that can be learnt, texts of at most 100 words and their sentences.
    texts_alone: there are no labelled rows to train on."""

    train: int
    dev: int
    test: int
    unlabelled: int
    labels: int
    chars: float
    options: float
    pieces: int = 0
    statements: int = 0
    texts_alone: bool = False


def defaults(task: Task, sizes: Sizes, teacher: bool, recording: bool) -> list[str]:
    """The candidates of a run that names none: the floors, the prompts, the students of our own bases."""
    names = ["nearest"] if task.kind in WRITTEN else ["majority", "nearest"]
    if teacher:
        names.append("prompt@teacher")
        if not recording:  # a recording answers the same whatever stands in the prompt
            names.append("prompt+few:8@teacher")
    if task.kind not in WRITTEN:
        names += ["head@minilm", "full@minilm", "lora@minilm"]
    elif WRITER in registry.names("bases"):
        names += [f"full@{WRITER}", f"lora@{WRITER}"]
    if sizes.unlabelled and teacher:
        gold = {"head@minilm": "head+rows:gold@minilm", f"full@{WRITER}": f"full+rows:gold@{WRITER}"}
        names += [gold[name] for name in names if name in gold]  # are the teacher's labels worth having?
    return names


KNOWER = "tiny-lm"  # the base of ours that learns texts whole
WRITTEN = (Kind.TEXT, Kind.FIELDS)  # answers that no encoder gives
WRITER = "tiny"  # the base of ours that writes


# ---- numbers ---------------------------------------------------------------------------------------------------------


def with_values(recipe: Recipe, task: Task, sizes: Sizes, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe with every number that its fit reads, each with its reason."""
    alone = bool(sizes.pieces) and sizes.train + sizes.unlabelled == 0
    table = derive(recipe, task, replace(sizes, train=trained_on(recipe, sizes), texts_alone=alone))
    trained = registry.take("adapters", recipe.adapter).attach is not None
    for name, value in overrides.items():
        if name in table or (trained and name in OPTIONAL):
            table[name] = Value(name=name, value=value, why="set by you")
    found = recipe.model_copy(update={"values": tuple(table.values())})
    if "structure" in table and of_recipe(found).steps and "max_tokens" not in overrides:
        room = int(table["max_tokens"].value) + REASONS_TOKENS
        table["max_tokens"] = Value(
            name="max_tokens", value=room, why="room for reasons of three sentences, and for an answer of this kind"
        )
        found = recipe.model_copy(update={"values": tuple(table.values())})
    return found


def trained_on(recipe: Recipe, sizes: Sizes) -> int:
    """How many rows this recipe trains on: the user's own, and those that the teacher is going to label."""
    if recipe.rows == "rows:gold":
        return sizes.train
    n = sizes.unlabelled if recipe.rows == "rows:teacher" else sizes.train + sizes.unlabelled
    if not sizes.pieces or not learns_documents(recipe, n > 0):
        return n
    kind, _, how = recipe.rows.partition(":")
    apart = kind == "split" or family_of_name(recipe.base) == SEQ2SEQ
    local = LOCAL_EACH * sizes.statements if kind == "augment" and how != "global" else 0
    linked = GLOBAL_EACH * sizes.pieces if kind == "augment" and how != "local" else 0
    return n + (sizes.statements if apart else sizes.pieces) + local + linked


LOCAL_EACH, GLOBAL_EACH = 3, 4  # inferences that a statement, a piece of a document gives, before anybody has been asked


def derive(recipe: Recipe, task: Task, sizes: Sizes) -> dict[str, Value]:
    """name -> Value. The one table; overridable names are its keys."""
    table: dict[str, Value] = {}

    def put(name: str, value: Any, why: str) -> None:
        table[name] = Value(name=name, value=value, why=why)

    if recipe.asks_teacher:
        put("structure", "plain", "the prompt as it is; limbeck list structures for others, limbeck prompt tune to try them")
        put("max_tokens", 512 if task.kind in (Kind.TEXT, Kind.FIELDS) else 256, "room for an answer of this kind, and for a JSON wrapping")
    adapter: registry.Adapter = registry.take("adapters", recipe.adapter)
    family = family_of_name(recipe.base) if adapter.attach is not None and recipe.base else ENCODER
    if adapter.attach is not None:
        (training_numbers if family == ENCODER else writing_numbers)(recipe, task, sizes, put)
    if adapter.may_ask and not recipe.asks_teacher:
        prompting_numbers(recipe, task, put)
    elif family != ENCODER:
        put("max_length", 384, "room for an instruction and an input; longer inputs are cut and counted")
    elif adapter.group == "student":
        put("max_length", 256, "the length that the base was trained for; longer rows are cut and counted")
    for value in adapter.numbers(recipe, task, sizes.train) if adapter.numbers else ():
        table[value.name] = value
    if recipe.context.startswith("rag:"):
        looking_up(recipe, family, put)
    elif recipe.context and family != ENCODER:
        k = int(recipe.context.split(":")[1])
        room = 384 + k * (round(sizes.chars / 4 * TOKENS_PER_WORD) + 32)
        put(
            "max_length",
            room,
            f"room for an instruction, an input and {k} demonstrations; where a base has less, the first of them go first",
        )
    for value in showing(recipe):
        table[value.name] = value
    if recipe.objective:
        objective: registry.Objective = registry.take("objectives", recipe.objective.partition(":")[0])
        for value in objective.numbers(recipe, task, sizes.train) if objective.numbers else ():
            table[value.name] = value
    return table


LONGEST_PROMPT = 4096  # tokens; each of them takes its time on a CPU


def prompting_numbers(recipe: Recipe, task: Task, put: Any) -> None:
    """Of a local base that is prompted: nothing is trained, so they say how it reads and how it answers."""
    config = config_of_name(recipe.base)
    room = context_of(recipe.base, config)
    room = room if recipe.context == "many" else min(room, LONGEST_PROMPT)
    put("max_length", room, "what the base reads at once, 4,096 tokens at most; a longer prompt loses demonstrations from its front")
    closed = task.kind in (Kind.LABEL, Kind.CHOICE)
    put("max_answer", 32 if closed or task.kind is Kind.SCORE else 128, "tokens of an answer that is written")
    if closed:
        put("normalise", "sum", "of an answer's log-probability: mean per token, where answers differ in length; pmi, against no input")
        put("calibrate", False, "true takes out what the base holds of an answer before it has read an input")
    else:
        put("decode", "greedy", "the likeliest token at each place, the same every time; beam:4 takes four times as long")
    if task.kind is Kind.FIELDS:
        put("constrained", True, "an object that does not fit its schema is no answer: only tokens that some fitting object goes on with")


def showing(recipe: Recipe) -> Sequence[Value]:
    """What the picker of demonstrations reads."""
    name, *rest = recipe.context.split(":")
    if name == "many":
        return MANY
    return NUMBERS.get(rest[1], ()) if name == "few" and len(rest) > 1 else ()


MANY = (Value(name="window", value=None, why="tokens that the model takes, prompt and answer: told by windowing.with_window"),)


def looking_up(recipe: Recipe, family: str, put: Any) -> None:
    """One index serves all candidates of a run; these numbers are the same in each."""
    for name, (value, why) in LOOKING_UP.items():
        if name != "rerank" or recipe.base == "teacher":  # a student that is deployed has no teacher to ask
            put(name, value, why)
    if family != ENCODER:
        k = int(recipe.context.split(":")[1])
        room = 384 + k * round(WORDS * TOKENS_PER_WORD)
        put("max_length", room, f"room for an instruction, an input and {k} passages; where a base has less, the last passages go first")


REASONS_TOKENS = 256  # three long sentences
TOKENS_PER_WORD = 1.6  # with the headings and the signs around a passage
LOOKING_UP: dict[str, tuple[Any, str]] = {
    "passage_words": (WORDS, "words of a passage at most, cut at headings, paragraphs and sentences"),
    "passage_overlap": (OVERLAP, "words that a passage shares with the one before: what stands at a cut is whole in one of them"),
    "retrieval": ("fused", "words (BM25) and meaning (embeddings) by reciprocal rank; words or meaning for one alone"),
    "embedder": ("minilm", "whose embeddings are compared: an encoder, or an endpoint http://host/v1#model"),
    "rerank": (0, "so many passages of the search are put in order by the teacher, in one more call; 0 = none"),
}


# read by every training, and left at engine.numbers' defaults unless --set names them
OPTIONAL = (
    "layer_decay", "freeze_layers", "weight_decay", "clip", "schedule", "label_smoothing", "dropout", "loraplus", "lora_dropout",
    "decode", "constrained", "loss_on", "pack", "frame",
)  # fmt: skip

STEPS = 220  # of 32 rows: where dev stops rising on 500 to 1,000 short rows (docs/LOG.md)
SOUP_STEPS = 100  # of each of three trainings whose weights are averaged
SOUP_ROWS = 2000  # more rows than this, and one training is as good
MANY_LABELS = 8


def training_numbers(recipe: Recipe, task: Task, sizes: Sizes, put: Any) -> None:
    steps_per_epoch = max(1.0, sizes.train / 32)
    soup = recipe.adapter == "full" and sizes.train <= SOUP_ROWS
    steps = SOUP_STEPS if soup else STEPS
    epochs = max(3, min(10, round(steps / steps_per_epoch)))
    put("epochs", epochs, f"about {steps} steps of 32 over {sizes.train} rows, between 3 and 10 epochs")
    put("batch_rows", 32, "fits any laptop; small enough for few rows")
    many = task.kind is Kind.LABEL and sizes.labels >= MANY_LABELS
    if recipe.adapter == "full":
        put("members", 3 if soup else 1, f"weights of so many short trainings averaged, up to {SOUP_ROWS} rows: +0.4 points on dev")
        put(
            "lr",
            3e-4 if many else 2e-4,
            "short trainings that are averaged take a large step" if many else "few classes: a smaller step was better",
        )
        put(
            "freeze_layers",
            2 if many else 0,
            "the lowest layers learn nothing from few rows, a third of the time saved" if many else "few classes gain from all layers",
        )
    else:
        put("lr", 1e-3, "low-rank updates start at zero and take a larger step")
    put("head_lr", 2e-3, "ten times the base's: the head starts from class means")
    put("warmup", 0.1, "share of the steps; then linearly down to zero")
    put("average", 0.34, "weights averaged over the last third: +0.5 points on dev for nothing")
    put("interpolate", 0.75, "a quarter of the way back to the pretrained weights: better on dev in 10 of 12 pairs, +0.3 points")
    put("freeze_embeddings", recipe.adapter == "full", "word embeddings learn nothing from few rows, and are half of the weights")
    put("scale", 15.0, "of the cosine head; 30 was worse, 12 to 20 alike")
    put("patience", 3, "epochs without a dev score as good as the best before stopping")
    slack = round(0.5 / max(1, sizes.dev) ** 0.5, 3)
    put("slack", slack, f"one standard error on {sizes.dev} dev rows at most: an earlier epoch is kept only if it is better by more")


def writing_numbers(recipe: Recipe, task: Task, sizes: Sizes, put: Any) -> None:
    """Of students that write. From the literature, where it says something; the rates of small bases are measured (docs/LOG.md)."""
    closed = task.kind in (Kind.LABEL, Kind.CHOICE)
    epochs = max(3, min(10, round(2 * STEPS / max(1.0, sizes.train / 16))))
    put("epochs", epochs, f"about {2 * STEPS} steps of 16 over {sizes.train} rows, between 3 and 10 epochs")
    knowing = bool(sizes.pieces) and learns_documents(recipe, not sizes.texts_alone)
    if knowing:
        epochs = max(5, min(60, round(KNOWING_STEPS / max(1.0, sizes.train / 16))))
        put("epochs", epochs, f"about {KNOWING_STEPS} steps of 16 over {sizes.train} texts and rows: what is said once is learnt slowly")
    put("batch_rows", 16, "a row carries its prompt: half an encoder's batch takes as long")
    put("batch_tokens", 4096, "bounds a step's memory, whatever the rows' length")
    seq2seq = family_of_name(recipe.base) == SEQ2SEQ
    small = (parameters_of_name(recipe.base) or SMALL_BASE) < SMALL_BASE
    if recipe.adapter == "full" and small:
        put("lr", 3e-3, "a base of a few million parameters: of 1e-4, 1e-3 and 3e-3 the last learnt most (svamp, 240 rows)")
    elif small:
        put("lr", 5e-3, "low-rank updates of a small base: at 3e-3 they learnt less than all of its weights did")
    elif recipe.adapter == "full":
        why = "the T5 family takes 1e-4 to 3e-4 with AdamW" if seq2seq else "a decoder-only base forgets at more"
        put("lr", 1e-4 if seq2seq else 3e-5, why)
    else:
        why = "low-rank updates start at zero" if seq2seq else "as QLoRA used up to 13B parameters (arXiv 2305.14314, appendix B)"
        put("lr", 5e-4 if seq2seq else 2e-4, why)
    put("warmup", 0.06, "share of the steps, as in T-Few and LoRA's own scripts; then linearly down to zero")
    put("average", 0.34, "weights averaged over the last third, as for encoders")
    why = "word embeddings learn nothing from few rows; an output matrix tied to them stays, too"
    put("freeze_embeddings", recipe.adapter == "full" and not small, "a small base was not taught many words yet" if small else why)
    put("patience", 10 if knowing else 3, "epochs without a dev score as good as the best before stopping")
    if knowing and sizes.texts_alone:
        put("slack", 1.0, "the last epoch is kept: questions that no document answers tell no epoch of plain training from another")
    put("losses", "lm", "cross-entropy of the right answer; lm+ul+ln also pushes the wrong ones away, and costs a pass per answer")
    put("normalise", "sum", "the probability of a whole answer is what lm trains; take mean with ln")
    short = len(render.system(task)) <= INSTRUCTION_CHARS
    why = "short enough to stand before every input" if short else "too long to stand before every input: the rows teach the task"
    put("instruct", short, why)
    if knowing and sizes.texts_alone:
        put("instruct", False, "no row teaches what an instruction before an input means")
        put(
            "frame", False, "no row teaches a frame: a question stands as it is, and the answer goes on from it; true for a base that chats"
        )
    put("max_answer", 32 if closed or task.kind is Kind.SCORE else 128, "tokens of an answer that is written")
    if not closed:
        put("decode", "greedy", "the likeliest token at each place, the same every time; beam:4 takes four times as long")
    if task.kind is Kind.FIELDS:
        put("constrained", True, "an object that does not fit its schema is no answer: only tokens that some fitting object goes on with")


KNOWING_STEPS = 600  # Lampinen et al. train 200 to 1,000 steps of 8 to 16
SMALL_BASE = 20_000_000  # parameters
INSTRUCTION_CHARS = 700  # about 170 tokens, with the labels or the schema that stand below it


def known_values() -> set[str]:
    """Every name that --set may carry."""
    task = Task(name="", instruction="", kind=Kind.LABEL)
    sizes = Sizes(100, 20, 20, 0, 2, 80.0, 0)
    found = {"machine_usd_per_hour", "margin", "keep_rationales", "embedder_price", *OPTIONAL, *LOOKING_UP}
    found |= {value.name for values in (MANY, *NUMBERS.values()) for value in values}
    found |= {"inference_samples", "inference_context", "literal"}
    for family in (SEQ2SEQ, CAUSAL):
        writing_numbers(Recipe(adapter="full", base=family), task, sizes, lambda name, value, why: found.add(name))
    prompting_numbers(Recipe(adapter="prompt", base=WRITER), task, lambda name, value, why: found.add(name))
    for name in registry.names("adapters"):
        adapter: registry.Adapter = registry.take("adapters", name)
        base = TEACHER if adapter.may_ask else "minilm" if adapter.needs_base else ""
        found |= set(derive(Recipe(adapter=name, base=base), task, sizes))
    for name in registry.names("objectives"):
        own = registry.take("objectives", name).numbers if name in AXES else None
        found |= {value.name for value in own(Recipe(adapter="full", base="minilm", objective=name), task, 100)} if own else set()
    return found
