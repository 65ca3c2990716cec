"""The grammar of recipes, what is refused and why, and every derived number in one table with its reason.

recipe   = "majority" | "nearest" | adapter *("+" modifier) "@" base
adapter  = name *(":" arg)         modifier = name *(":" arg)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limbeck import registry, render
from limbeck.adapters.prompted_base import no_writer
from limbeck.contexts.chunks import OVERLAP, WORDS
from limbeck.contexts.shots import NUMBERS
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, config_of_name, context_of, family_of_name, parameters_of_name
from limbeck.errors import UsageError
from limbeck.render_structure import of_recipe
from limbeck.types import TEACHER, Kind, Recipe, Task, Value

# modifier name -> axis. A name that is here and not on its shelf is known to the grammar and not shipped yet.
AXES = {
    "few": "context",
    "many": "context",
    "rag": "context",
    "rows": "rows",
    "augment": "rows",
    "split": "rows",
    "stepwise": "objective",
    "dpo": "objective",
    "reinforce": "objective",
}
SHIPPED = {"few": r"few:[1-9]\d?(:[\w.-]+)?", "many": r"many", "rag": r"rag:[1-9]\d?", "rows": r"rows:(gold|teacher|generated)"}
SHIPPED |= {"augment": r"augment:(local|global|both)", "split": r"split:(independent|cumulative)"}
DEFAULT = {"few": ":random", "stepwise": ":separate"}  # what a modifier means without it: left out of the canonical spelling


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


def parse(text: str) -> Recipe:
    """The recipe in canonical spelling, without values. Raises UsageError with what was meant, perhaps."""
    spelled = text.strip()
    left, _, base = spelled.partition("@")
    head, *modifiers = [part.strip() for part in left.split("+")]
    name, *args = head.split(":")
    if name not in registry.names("adapters"):
        raise UsageError(
            f"unknown adapter {name!r} in the recipe {spelled!r}", registry.near(name, registry.names("adapters")), "limbeck list adapters"
        )
    found: dict[str, str] = {}
    for modifier in modifiers:
        axis = axis_of(modifier, spelled)
        if axis in found:
            raise UsageError(f"two modifiers of the kind {axis} in {spelled!r}", f"{found[axis]} and {modifier}", "keep one of them")
        found[axis] = modifier.removesuffix(DEFAULT.get(modifier.partition(":")[0], ""))
    recipe = Recipe(adapter=name, args=tuple(args), base=base.strip(), **found)
    refuse_nonsense(recipe, registry.take("adapters", name))
    return recipe


SPELLED = {  # for people
    "few": "few:8 or few:8:nearest, with 1 to 99 rows",
    "many": "many: as many training rows as the window holds",
    "rag": "rag:4, with 1 to 99 passages of --docs DIR",
    "rows": "rows:gold, rows:teacher or rows:generated",
    "augment": "augment:local, augment:global or augment:both, with --docs DIR",
    "split": "split:independent or split:cumulative, with --docs DIR",
    "stepwise": "stepwise, or stepwise: and one of shared, label_first, rationale_first; controls: label2x, echo, shuffled",
}


def axis_of(modifier: str, spelled: str) -> str:
    word = modifier.partition(":")[0]
    if word not in AXES:
        raise UsageError(f"unknown modifier {modifier!r} in the recipe {spelled!r}", registry.near(word, AXES), "limbeck info recipes")
    if AXES[word] == "objective" and word in registry.names("objectives"):
        known_format(word, modifier, spelled)
        return AXES[word]
    if word not in SHIPPED:
        there = [*SHIPPED, *(name for name in registry.names("objectives") if name in AXES)]
        raise UsageError(
            f"the modifier {modifier!r} in {spelled!r} is not part of this version", f"there are: {', '.join(there)}", "leave it out"
        )
    if not re.fullmatch(SHIPPED[word], modifier):
        raise UsageError(
            f"cannot read the modifier {modifier!r} in {spelled!r}",
            f"it is written {SPELLED.get(word, word)}",
            "limbeck info recipes",
        )
    if word == "few":
        known_picker(modifier, spelled)
    return AXES[word]


def known_picker(modifier: str, spelled: str) -> None:
    """Raises UsageError where nothing on the shelf picks demonstrations under this name."""
    _, k, *named = modifier.split(":")
    if named and named[0] not in registry.names("contexts"):
        have = f"nothing picks rows by {named[0]!r}; {registry.near(named[0], registry.names('contexts'))}"
        raise UsageError(f"cannot read the modifier {modifier!r} in {spelled!r}", have, f"for example few:{k}:nearest")


def known_format(name: str, modifier: str, spelled: str) -> None:
    """Raises UsageError where what stands behind an objective's colon is none of its formats."""
    _, colon, form = modifier.partition(":")
    forms = registry.take("objectives", name).args.split("|")
    if colon and form not in forms:
        have = f"{name} has no format {form!r}; {registry.near(form, forms)}"
        raise UsageError(f"cannot read the modifier {modifier!r} in {spelled!r}", have, f"for example {name}, or {name}:{forms[-1]}")


def refuse_nonsense(recipe: Recipe, adapter: registry.Adapter) -> None:
    """A combination that makes no sense is refused with the reason."""
    name, text, base = recipe.adapter, recipe.text, recipe.base
    if not adapter.needs_base and (base or recipe.args):
        raise UsageError(f"{name!r} takes no base and no argument", f"you have {text!r}", f"write {name}")
    if adapter.needs_base and not base:
        known = ", ".join(["teacher", *registry.names("bases")])
        raise UsageError(
            f"the recipe {text!r} names no base",
            f"bases: {known}, a hub id, or ./path",
            f"write {text}@{'teacher' if adapter.may_ask else 'minilm'}",
        )
    if adapter.may_ask and family_here(base) == ENCODER:
        raise no_writer(text, base)
    if adapter.may_ask and recipe.args and not recipe.asks_teacher:
        have = "its closed answers are scored, not written, so that it would argue for nothing"
        raise UsageError(f"{text!r}: a base of this machine is not asked for reasons", have, f"prompt@{base}, or {name}:cot@teacher")
    if recipe.asks_teacher and not adapter.may_ask:
        raise UsageError(
            f"{text!r}: the weights of a teacher cannot be moved", "a teacher can only be prompted", f"{name}@minilm, or prompt@teacher"
        )
    if recipe.context and adapter.group == "student":
        refuse_encoders(recipe, adapter)
    if recipe.context.partition(":")[0] == "many" and adapter.group == "student":
        raise UsageError(
            f"{text!r}: a student that trains on the rows need not read them again in every call",
            "many puts the whole training set into each prompt, and each training row would be asked with the others as its text",
            f"{name}@{base}, or prompt+many@{base}",
        )
    if names_documents(recipe) and adapter.group == "student":
        refuse_to_learn(recipe, adapter)
    for axis in ("context", "rows", "objective"):
        if axis == "context" and adapter.attach is not None:
            continue  # a student that writes reads passages and demonstrations before its input, in training and in use
        if getattr(recipe, axis) and axis not in adapter.modifiers:
            raise UsageError(
                f"{text!r}: {WHY_NOT[axis].format(name=name)}",
                f"the modifier is {getattr(recipe, axis)}",
                f"leave it out: {name}{'@' + base if base else ''}",
            )
    for arg in recipe.args:
        if not re.fullmatch(adapter.args, arg):
            words = [word for word in re.findall(r"\w+", adapter.takes) if re.fullmatch(adapter.args, word)]
            close = difflib.get_close_matches(arg, words, n=1, cutoff=0.5)
            have = f"{name} takes {adapter.takes or ('arguments of its own' if adapter.args else 'no argument')}"
            raise UsageError(
                f"cannot read {arg!r} in {text!r}", have + (f"; did you mean {close[0]}?" if close else ""), "limbeck info " + name
            )
    if recipe.objective and family_here(base):  # others: when they are loaded
        objective: registry.Objective = registry.take("objectives", recipe.objective.partition(":")[0])
        if objective.refuse:
            objective.refuse(recipe, family_of_name(base))


def refuse_encoders(recipe: Recipe, adapter: registry.Adapter) -> None:
    """An encoder sees a few hundred tokens as one vector: what is right in one passage of four is not to be read off that."""
    if adapter.attach is None or family_of_name(recipe.base) == ENCODER:
        what = "passages" if recipe.context.startswith("rag") else "demonstrations"
        raise UsageError(
            f"{recipe.text!r}: {recipe.base} is no model that reads {what} and writes an answer",
            f"an encoder makes one vector of all it reads; what one of several {what} says is lost in it",
            f"full+{recipe.context}@ a base that writes, or prompt+{recipe.context}@teacher",
        )


def family_here(base: str) -> str:
    """The family of a base that lies on this machine; "" of any other, which will say it when it is loaded."""
    here = base in registry.names("bases") or Path(base).expanduser().is_dir()
    return family_of_name(base) if here else ""


def refuse_to_learn(recipe: Recipe, adapter: registry.Adapter) -> None:
    """Documents are learnt by a model that writes them, with the loss of a language model."""
    if not writes(recipe, adapter):
        raise UsageError(
            f"{recipe.text!r}: {recipe.base} cannot learn documents for questions",
            "an encoder or a regression learns answers to inputs; a text that answers nothing teaches it nothing",
            f"full+{recipe.rows}@ a base that writes, or prompt+rag:4@teacher",
        )
    if recipe.objective:
        raise UsageError(
            f"{recipe.text!r}: documents are learnt as they stand", f"{recipe.objective} needs rows with answers", "leave one of them out"
        )


def writes(recipe: Recipe, adapter: registry.Adapter) -> bool:
    return adapter.attach is not None and bool(recipe.base) and family_of_name(recipe.base) != ENCODER


def names_documents(recipe: Recipe) -> bool:
    return recipe.rows.partition(":")[0] in ("augment", "split")


def learns_documents(recipe: Recipe, labelled: bool) -> bool:
    """Whether this student trains on documents: where its recipe says so, or where there are no labelled rows it could train on
    (docs/decisions/009-documents-as-rows.md)."""
    if names_documents(recipe):
        return True
    return not labelled and not recipe.rows and not recipe.objective and writes(recipe, registry.take("adapters", recipe.adapter))


def uses_documents(recipe: Recipe, labelled: bool) -> bool:
    """Whether documents of the user's reach this candidate otherwise than by being looked up: it learns them, or, where no row could
    be, is shown them."""
    return learns_documents(recipe, labelled) or (recipe.context == "many" and not labelled)


WHY_NOT = {
    "context": "a {name} student reads the input alone, a context would not reach it",
    "rows": "{name} trains on no rows",
    "objective": "{name} has no weights that another objective could move",
}


def parse_all(texts: Sequence[str]) -> list[Recipe]:
    """Every recipe once, in the order given."""
    found: dict[str, Recipe] = {}
    for text in texts:
        recipe = parse(text)
        found.setdefault(recipe.text, recipe)
    return list(found.values())


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


# ---- derived numbers ---------------------------------------------------------------------------------------------


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


MANY = (Value(name="window", value=None, why="tokens that the model takes, prompt and answer: told by demonstrating.with_window"),)


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
