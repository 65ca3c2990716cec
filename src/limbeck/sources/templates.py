"""How rows are asked for: three templates that take turns, with two, three or four worked examples of other tasks.

A prompt is bounded: where it would be too long, examples are left out, from the least important on, never the task."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limbeck import render
from limbeck.errors import UsageError
from limbeck.types import Example, Kind, Message, Task

TEMPLATES = {"few": 2, "medium": 3, "many": 4}  # name -> worked examples of other tasks

WAYS = {  # what each template insists on
    "few": "Let no two of them start alike; mix short and long ones, careful and careless writing.",
    "medium": "Let them come from different people in different situations, each with a voice of its own.",
    "many": "Let some be plain and some be hard cases, where a hasty reader would answer wrongly.",
}

CHARS_PER_TOKEN = 4  # estimate, as everywhere where a provider has not counted yet
LONGEST_TOKENS = 24_000  # a task that is longer than this by itself is refused

SYSTEM = (
    "You write training examples for a small model that is to learn one task. Inputs are what real users of the task would send: new, realistic, "
    "different from each other and from all that is shown. Outputs are right, and in exactly the form that the task asks for. Reply with JSON only."
)

Meta = tuple[Kind, str, list[dict[str, Any]]]
META: tuple[Meta, ...] = (
    (
        Kind.LABEL,
        "Which department should a hotel guest's note go to: housekeeping, kitchen, front desk or repairs?",
        [
            {"input": "the shower only runs cold since this morning", "output": "repairs"},
            {"input": "Could we get two more pillows, and swap the towels while you are at it?", "output": "housekeeping"},
            {"input": "My son can't eat nuts. Is the granola safe??", "output": "kitchen"},
        ],
    ),
    (
        Kind.TEXT,
        "Rewrite the sentence so that a nine-year-old understands it.",
        [
            {
                "input": "The municipality has deferred the resurfacing of the thoroughfare.",
                "output": "The town will fix the road later than planned.",
            },
            {
                "input": "Photosynthesis converts radiant energy into chemical energy.",
                "output": "Plants use sunlight to make their own food.",
            },
        ],
    ),
    (
        Kind.FIELDS,
        "Take product, quantity and deadline from an order mail, as a JSON object; null for what is not said.",
        [
            {
                "input": "hi, 40 of the blue mugs pls, we need them before the fair on 3 May",
                "output": '{"product": "blue mug", "quantity": 40, "deadline": "3 May"}',
            },
            {
                "input": "Do you still make the {slim} notebook? I'd take a dozen.",
                "output": '{"product": "slim notebook", "quantity": 12, "deadline": null}',
            },
        ],
    ),
    (
        Kind.SCORE,
        "How urgent is the message to a landlord, from 1 (can wait) to 5 (act now)?",
        [
            {"input": "Water is coming through the ceiling onto the sockets", "output": "5"},
            {"input": "When you next come by, the hall lamp flickers a little.", "output": "2"},
        ],
    ),
    (
        Kind.CHOICE,
        "Pick the object that fits the description.",
        [
            {
                "input": "You open it when it rains and shake it when you come home.",
                "choices": ["umbrella", "window", "letter"],
                "output": "umbrella",
            },
            {
                "input": "It has teeth, and bites only hair.",
                "choices": ["saw", "comb", "zip", "shark"],
                "output": "comb",
            },
        ],
    ),
    (
        Kind.LABEL,
        "Is the remark about a film praise, complaint or neither?",
        [
            {"input": "two hours I'd gladly spend again, and I never rewatch anything", "output": "praise"},
            {"input": "Runs 118 minutes; subtitles in Dutch and French.", "output": "neither"},
            {"input": "Lovely costumes. Shame that somebody wrote dialogue for them.", "output": "complaint"},
        ],
    ),
    (
        Kind.TEXT,
        "Answer the question from the passage, in as few words as possible.",
        [
            {
                "input": "passage: The mill closed in 1931, two years after the fire, and reopened as a school.\nquestion: When was the fire?",
                "output": "1929",
            },
            {
                "input": "passage: Saffron is picked by hand at dawn, since the flowers wilt by noon.\nquestion: Why at dawn?",
                "output": "the flowers wilt by noon",
            },
        ],
    ),
    (
        Kind.TEXT,
        "Write the Python expression that the sentence describes; xs is a list of numbers.",
        [
            {"input": "the largest of the even ones, or None", "output": "max((x for x in xs if x % 2 == 0), default=None)"},
            {"input": "a dict from each number to its square", "output": "{x: x * x for x in xs}"},
        ],
    ),
    (
        Kind.LABEL,
        "Does the second sentence follow from the first? yes, no or unclear.",
        [
            {"input": "Every seat was taken when Ines arrived. / Ines had to stand.", "output": "unclear"},
            {"input": "The bakery opens at six all week. / On Tuesday at seven the bakery is closed.", "output": "no"},
        ],
    ),
)


@dataclass(frozen=True)
class Wish:
    """What one request asks for. template: name. rows: how many. labels: these by name, one per row. topic: what about."""

    template: str
    rows: int
    labels: tuple[str, ...] = ()
    topic: str = ""


@dataclass(frozen=True)
class Composed:
    """messages, and what did not fit: how many examples of each sort were left out."""

    messages: tuple[Message, ...]
    left_out: int = 0


def compose(task: Task, wish: Wish, owned: Sequence[Example], made: Sequence[Example], rng: random.Random, max_tokens: int) -> Composed:
    """The prompt of one request. owned: the user's own examples; made: rows generated before. Left out where the prompt
    would be over max_tokens, in this order: made, worked examples of other tasks, owned (the last first). The task itself
    is never cut. Raises UsageError where it is over 24,000 tokens alone."""
    metas = draw_meta(task.kind, TEMPLATES[wish.template], rng)
    made, owned = list(made), list(owned)
    whole = len(metas) + len(made) + len(owned)
    while True:  # each turn leaves one example out, so it ends
        text = "\n\n".join(sections(task, wish, metas, owned, made))
        if tokens_of(SYSTEM + text) <= max_tokens or not (metas or made or owned):
            break
        (made or metas or owned).pop()
    if tokens_of(SYSTEM + text) > max(max_tokens, LONGEST_TOKENS):
        raise UsageError(
            "the task's instruction is too long to ask for rows with",
            f"it takes about {tokens_of(text)} tokens, the most is {max(max_tokens, LONGEST_TOKENS)}",
            "shorten the prompt file: long lists and documents do not belong into the instruction",
        )
    left_out = whole - len(metas) - len(made) - len(owned)
    return Composed((Message(role="system", content=SYSTEM), Message(role="user", content=text)), left_out)


def draw_meta(kind: Kind, count: int, rng: random.Random) -> list[Meta]:
    """Worked examples of other tasks, at least one of the same kind, which comes last: nearest to the question."""
    alike = rng.choice([m for m in META if m[0] is kind])
    others = rng.sample([m for m in META if m is not alike], count - 1)
    return [alike, *others][::-1]


def sections(task: Task, wish: Wish, metas: Sequence[Meta], owned: Sequence[Example], made: Sequence[Example]) -> list[str]:
    """The prompt's paragraphs, in order."""
    parts = [f"Another task, as an example:\n{what}\nNew examples:\n{as_json(rows)}" for _, what, rows in metas]
    parts.append(f"The task:\n{task.instruction.strip()}\n\nForm of the output, once the task is carried out:\n{render.answer_form(task)}")
    if owned:
        parts.append("Examples by the task's owner:\n" + as_json([plain(row) for row in owned]))
    if made:
        parts.append("Examples that exist already (outputs may be wrong; write others):\n" + as_json([plain(row) for row in made]))
    parts.append(question(task, wish))
    return parts


def question(task: Task, wish: Wish) -> str:
    """The last paragraph: how many, of which labels, about what, in which form."""
    lines = [f"Write {wish.rows} new examples of the task." if wish.rows > 1 else "Write one new example of the task.", WAYS[wish.template]]
    if wish.topic:
        lines.append(f"Where the task allows it, let them be about: {wish.topic}.")
    if wish.labels:
        lines.append(
            "Outputs, one example for each, in this order: " + ", ".join(json.dumps(n, ensure_ascii=False) for n in wish.labels) + "."
        )
    if task.language != "en":
        lines.append(f"Write in the language of the task ({task.language}).")
    form = (
        '{"input": "...", "choices": ["...", "..."], "output": "..."}' if task.kind is Kind.CHOICE else '{"input": "...", "output": "..."}'
    )
    lines.append(f'Reply with one JSON object: {{"examples": [{form}, ...]}}')
    return "\n".join(lines)


def reply_schema(task: Task, rows: int) -> str:
    """JSON schema of the reply: {"examples": [{input, output[, choices]}]}, as many as asked for."""
    output: dict[str, Any] = {"type": "number"} if task.kind is Kind.SCORE else {"type": "string"}
    if task.kind is Kind.LABEL and task.labels:
        output["enum"] = list(task.labels)
    elif task.kind is Kind.FIELDS and task.output_schema:
        output = json.loads(task.output_schema)
    fields: dict[str, Any] = {"input": {"type": "string"}}
    if task.kind is Kind.CHOICE:
        fields["choices"] = {"type": "array", "items": {"type": "string"}, "minItems": 2}
    fields["output"] = output
    item = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    array = {"type": "array", "items": item, "minItems": rows, "maxItems": rows}
    shape = {"type": "object", "properties": {"examples": array}, "required": ["examples"], "additionalProperties": False}
    return json.dumps(shape, ensure_ascii=False)


def plain(row: Example) -> dict[str, Any]:
    """A row as it stands in the prompt and in the reply."""
    choices = {"choices": list(row.choices)} if row.choices else {}
    return {"input": row.input, **choices, "output": row.output}


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"examples": list(rows)}, ensure_ascii=False)


def tokens_of(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)
