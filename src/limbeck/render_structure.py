"""The part of `render` that lays a prompt out: five levers, order and layout as one value, and the arranging of its parts.

The plain structure is the prompt as it is. VERSION of its own: it changes whenever another structure would give another text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from limbeck import registry
from limbeck.types import Frozen, Kind, Message, Recipe, Task

VERSION = "1"
LEVERS = ("role", "details", "form", "steps", "delimiters")  # methods of prompting that are switched on one by one


class Structure(Frozen):
    """How a prompt is laid out. The first five are the levers; all off is the prompt as it is.

    role: a sentence before all else on who answers. details: the instruction spelt out, after it. form: the reply as a
    skeleton to be filled in, after the words about it. steps: reasons first, then "So the answer is ...".
    delimiters: how the parts are told apart, "" = by blank lines. order: the instruction before the demonstrations and the input,
    after them, or both. layout: the instruction as the system message; everything in one user message; or demonstrations as turns
    of a talk. role_text, details_text: "" = made from the task by rules. texts_from: whose they are.
    tuned: how it was found (`limbeck prompt tune`), {} = by nobody; no part of the text."""

    name: str = ""
    role: bool = False
    details: bool = False
    form: bool = False
    steps: bool = False
    delimiters: Literal["", "tags", "headings"] = ""
    order: Literal["first", "last", "both"] = "first"
    layout: Literal["system", "user", "turns"] = "system"
    role_text: str = ""
    details_text: str = ""
    texts_from: str = ""
    tuned: dict[str, Any] = {}

    def on(self) -> tuple[str, ...]:
        """The levers that are switched on."""
        return tuple(lever for lever in LEVERS if getattr(self, lever))

    def told(self) -> str:
        """In words: role + details + tags, instruction last, demonstrations as turns."""
        levers = [self.delimiters if lever == "delimiters" else lever for lever in self.on()]
        parts = [" + ".join(levers) or "no lever"]
        parts += [{"last": "instruction last", "both": "instruction first and last"}[self.order]] if self.order != "first" else []
        parts += [{"user": "one message", "turns": "demonstrations as turns"}[self.layout]] if self.layout != "system" else []
        return ", ".join(parts)


PLAIN = Structure(name="plain")
EXPERT = Structure(name="expert", role=True, details=True)
STRICT = Structure(name="strict", form=True, delimiters="tags")
STEPS = Structure(name="steps", steps=True, form=True)
COMPLETE = Structure(name="complete", role=True, details=True, form=True, delimiters="tags")
COMPLETE_STEPS = Structure(name="complete-steps", role=True, details=True, form=True, steps=True, delimiters="tags")
TURNS = Structure(name="turns", layout="turns")
SANDWICH = Structure(name="sandwich", delimiters="headings", order="both")


def structure_of(value: str | dict[str, Any]) -> Structure:
    """Of a recipe's value `structure`: a name on the shelf, or the structure itself. Raises UsageError for an unknown name."""
    return registry.take("structures", value) if isinstance(value, str) else Structure.model_validate(value)


def of_recipe(recipe: Recipe) -> Structure:
    """The structure of its value, "plain" where it has none; prompt:cot switches the reasons on in any."""
    structure = structure_of(recipe.value("structure", "plain"))
    return structure.model_copy(update={"steps": True}) if "cot" in recipe.args else structure


class Parts(NamedTuple):
    """What a prompt is made of, as text. "" = there is none. worked: (question, answer) of each demonstration.
    about: what is said of passages. cue: what the reply follows on."""

    instruction: str
    form: str
    question: str
    cue: str
    worked: Sequence[tuple[str, str]] = ()
    role: str = ""
    details: str = ""
    skeleton: str = ""
    about: str = ""


def arrange(structure: Structure, parts: Parts) -> tuple[Message, ...]:
    """The messages. The instruction stands where order and layout put it; what is said of passages always before them."""
    mark = MARKS[structure.delimiters]
    told = [
        mark(name, text)
        for name, text in (("task", parts.instruction), ("details", parts.details), ("reply", parts.form), ("skeleton", parts.skeleton))
        if text
    ]
    role = [mark("role", parts.role)] if parts.role else []
    about = [mark("passages", parts.about)] if parts.about else []
    head = [*role, *(told if structure.order != "last" else []), *about]
    worked = [mark("example", f"{question}\n{parts.cue} {answer}") for question, answer in parts.worked]
    tail = [mark("case", parts.question), *(told if structure.order != "first" else []), parts.cue]
    asked = "\n\n".join(tail) if structure.delimiters or structure.order != "first" else f"{parts.question}\n{parts.cue}"
    if structure.layout == "user":
        return (Message(role="user", content="\n\n".join([*head, *worked, asked])),)
    system = [Message(role="system", content="\n\n".join(head))] if head else []
    if structure.layout == "turns":
        blank = "\n\n" if structure.delimiters else "\n"
        turns = [
            Message(role=who, content=f"{mark('case', said)}{blank}{parts.cue}" if who == "user" else said)
            for question, answer in parts.worked
            for who, said in (("user", question), ("assistant", answer))
        ]
        return (*system, *turns, Message(role="user", content=asked))
    return (*system, Message(role="user", content="\n\n".join([*worked, asked])))


# ---- delimiters ------------------------------------------------------------------------------------------------------

TITLES = {
    "role": "Role", "task": "Task", "details": "Details", "reply": "Reply", "skeleton": "Form of the reply", "passages": "Passages",
    "example": "Example", "case": "Case",
}  # fmt: skip
TAG = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(TITLES)})\s*>)", re.I)  # <passages> is ours, <passage id="1"> is render's


def tagged(name: str, text: str) -> str:
    """Between two tags, which the text cannot hold itself: what came from others ends where it ends."""
    return f"<{name}>\n{TAG.sub(chr(0x2039), text)}\n</{name}>"


def headed(name: str, text: str) -> str:
    return f"### {TITLES[name]}\n{text}"


MARKS = {"": lambda name, text: text, "tags": tagged, "headings": headed}

# ---- reasons before the answer ---------------------------------------------------------------------------------------

SO = "So the answer is "
REASONS = "Reasons:"
STEP_BY_STEP = (
    "Think step by step. Reply with one paragraph: first one to three short sentences on what in the input decides the answer, "
    f'then "{SO}" and the answer.'
)


def ended(text: str) -> str:
    """With a full stop, where no sign ends the sentence."""
    text = text.strip()
    return text if not text or text[-1] in ".!?。！？" else f"{text}."


# ---- parts that are made from the task, by rules --------------------------------------------------------------------


def span(task: Task) -> str:
    return f" from {task.low:g} to {task.high:g}" if task.low is not None and task.high is not None else ""


CLOSED = (Kind.LABEL, Kind.CHOICE, Kind.SCORE)


def skeleton(task: Task, steps: bool) -> str:
    """The reply with holes, for a model that keeps to a form which it sees."""
    hole = {
        Kind.LABEL: "one of the labels, spelt as in the list",
        Kind.CHOICE: "the text of one option, spelt as it stands there",
        Kind.SCORE: f"one number{span(task)}",
        Kind.TEXT: "the answer alone",
        Kind.FIELDS: "the JSON object",
    }[task.kind]
    if steps:
        return f"Your reply ends in exactly this form, and with nothing after it:\n{SO}<{hole}>."
    if task.kind in CLOSED:
        return f'Your reply is exactly of this form, with nothing before or after it:\n{{"answer": "<{hole}>"}}'
    if task.kind is Kind.FIELDS:
        return f"Your reply begins with {{ and ends with }}; it has these keys and no others:\n{keys_of(task)}"
    return "Your reply is the answer itself: no heading, no quotation marks around it, no word on how you found it."


def keys_of(task: Task) -> str:
    """ "- name (string)" for each key of the schema."""
    try:
        shape = json.loads(task.output_schema or "{}")
    except ValueError:
        shape = None
    keys = shape.get("properties") if isinstance(shape, dict) else None
    if not isinstance(keys, dict) or not keys:
        return "those of the schema"
    typed = ((name, of.get("type", "any value") if isinstance(of, dict) else "any value") for name, of in keys.items())
    return "\n".join(f"- {name} ({' or '.join(map(str, kind)) if isinstance(kind, list) else kind})" for name, kind in typed)


ROLES = {
    Kind.LABEL: "You are an expert annotator who sorts inputs into fixed classes, by rules and with great care.",
    Kind.CHOICE: "You are an expert who answers multiple-choice questions with great care.",
    Kind.SCORE: "You are an expert rater who grades inputs on a fixed scale, the same from the first to the last.",
    Kind.TEXT: "You are an expert in the matter of the task, who answers exactly what is asked.",
    Kind.FIELDS: "You are an expert at taking facts out of texts into records, leaving none out and adding none.",
}
_ROLE = re.compile(
    r"^\W*(?:#+\s*role\b|role\s*:|(?:you are|you're|act as|imagine you are|du bist|sie sind|tu es|vous \u00eates|eres|sei|voc\u00ea \u00e9)\b)",
    re.I,
)


def has_role(task: Task) -> bool:
    """Whether the instruction itself says who answers."""
    return any(_ROLE.match(part) for part in re.split(r"(?<=[.!?])\s+|\n", task.instruction.strip())[:4])


def role_of(task: Task) -> str:
    """A role by rules; "" where the instruction has one of its own."""
    return "" if has_role(task) else ROLES[task.kind]


def details_of(task: Task) -> str:
    """The task spelt out by rules: what the instruction says of each label, and how to decide."""
    rules = ["Read the whole input before you decide, and decide by what it says."]
    if task.kind is Kind.LABEL:
        meant = meanings(task)
        if len(task.labels) <= MOST_SPELT and meant:
            rules.append(
                "What the labels stand for:\n" + "\n".join(f"  - {name}: {meant.get(name, 'as its name says')}" for name in task.labels)
            )
        rules.append("Compare the input with every label. Where more than one could fit, take the one that fits its main point.")
        rules.append("A word that also stands in the name of a label decides nothing by itself.")
    elif task.kind is Kind.CHOICE:
        rules.append("Read all the options before you choose. Rule out those that cannot be right, then take the best of the rest.")
    elif task.kind is Kind.SCORE:
        ends = f" {task.low:g} and {task.high:g} are the two ends: use the whole range." if span(task) else ""
        rules.append(
            f"Judge each input for itself, by the same measure.{ends} Values between the marks are allowed where the task has them."
        )
    elif task.kind is Kind.FIELDS:
        rules.append(
            "Copy what the input says, letter by letter. Leave out no key; where the input says nothing, say so as the schema allows."
        )
    else:
        rules.append("Answer what is asked and no more. Keep to the form and the length that the task asks for.")
    return "\n".join(f"- {rule}" for rule in rules)


MOST_SPELT = 40  # labels


def meanings(task: Task) -> dict[str, str]:
    """{label: what the instruction says of it}, from lines such as `- refund: wants money back`."""
    found: dict[str, str] = {}
    for name in task.labels:
        line = re.search(
            rf"^[\s\-*+\u2022>|\d.)(]*[\"'`*_]{{0,3}}{re.escape(name)}[\"'`*_]{{0,3}}\s*(?:[:=|]|\s[-\u2013\u2014]+>?\s)\s*(\S.*?)\s*\|?\s*$",
            task.instruction,
            re.I | re.M,
        )
        if line:
            found[name] = line[1].strip("*_ ")
    return found
