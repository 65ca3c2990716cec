"""Which structure the prompts of a run have: a shipped one, or a file; with the user's own texts, or the teacher's; and what
the report says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from limbeck import registry, render
from limbeck.errors import UsageError
from limbeck.registry import Ask, Teacher
from limbeck.render_structure import LEVERS, Structure, details_of, has_role, of_recipe, role_of, structure_of
from limbeck.run import write_bytes
from limbeck.types import Message, Recipe, Reply, Request, Settings, Task

OWN = "the prompt file"
RULES = "rules, from the task"


def read(spec: str) -> Structure:
    """Of a shipped name, or of a file that `limbeck prompt tune` wrote or a person. Raises UsageError for what is neither."""
    if spec in registry.names("structures"):
        found: Structure = registry.take("structures", spec)
        return found
    path = Path(spec)
    if not path.is_file():
        have = registry.near(spec, registry.names("structures"))
        raise UsageError(f"there is no structure and no file {spec!r}", have, "--structure complete, or --structure structure.json")
    try:
        return Structure.model_validate(json.loads(path.read_text(encoding="utf-8-sig")))
    except (ValueError, ValidationError) as error:
        first = str(error).splitlines()
        have = " ".join(line.strip() for line in first[1:3]) if isinstance(error, ValidationError) else first[0]
        do = 'for example {"role": true, "form": true, "delimiters": "tags"}; its keys: ' + ", ".join(Structure.model_fields)
        raise UsageError(f"the structure file {path} cannot be used", have, do) from error


def write(path: Path, structure: Structure) -> None:
    plain = structure.model_dump(mode="json", exclude_defaults=True)
    write_bytes(path, (json.dumps(plain, ensure_ascii=False, indent=1) + "\n").encode())


def value_of(structure: Structure) -> str | dict[str, Any]:
    """As it stands in a recipe: the name of a shipped one that nothing was added to, else all of it."""
    if structure.name in registry.names("structures") and structure == registry.take("structures", structure.name):
        return structure.name
    return structure.model_dump(mode="json", exclude_defaults=True)


def with_own_texts(structure: Structure, role: str | None, details: str | None) -> Structure:
    """With `role:` and `details:` of the prompt file, where the structure has the lever and no text yet."""
    more: dict[str, Any] = {}
    if role and structure.role and not structure.role_text:
        more["role_text"] = role.strip()
    if details and structure.details and not structure.details_text:
        more["details_text"] = details.strip()
    return structure.model_copy(update={**more, "texts_from": OWN}) if more else structure


def settle(settings: Settings, warn: list[str]) -> Settings:
    """The settings with the structure itself as the override `structure`. Raises UsageError for --structure and --set structure
    at once, and for one that cannot be read."""
    spec, named = settings.structure, settings.overrides.get("structure")
    if spec and named:
        raise UsageError("the structure is named twice", f"--structure {spec} and --set structure={named}", "keep one of them")
    if not spec and named is None:
        unused = [name for name in ("role", "details") if getattr(settings, name)]
        if unused:
            warn.append(f"{' and '.join(unused)} in the front matter are read by structures that have them: --structure expert")
        return settings
    structure = structure_of(named) if isinstance(named, dict) else read(str(spec or named))
    structure = with_own_texts(structure, settings.role, settings.details)
    return settings.model_copy(update={"overrides": {**settings.overrides, "structure": value_of(structure)}})


def of_no_use(settings: Settings, wanted: Sequence[Recipe], teacher: Teacher | None) -> list[str]:
    """Warnings where a structure was named, and nothing will be sent with it, or nobody looks at it."""
    named = settings.structure or settings.overrides.get("structure")
    if not named:
        return []
    if wanted and not any(recipe.asks_teacher for recipe in wanted):
        return ["a structure was named, and no candidate asks a teacher: it changes nothing (--candidates prompt@teacher)"]
    if plain := [recipe.text for recipe in wanted if recipe.adapter == "prompt" and not recipe.asks_teacher]:
        return [f"{', '.join(plain)}: the prompt of a local base stays plain; a structure is for a teacher's"]
    if teacher is not None and teacher.recording:
        return ["the teacher is a recording: it answers the same, whatever structure its prompts have"]
    return []


def levers_of(task: Task, role: str | None = None) -> tuple[str, ...]:
    """The levers that change this task's prompt: none for a role where the instruction has one of its own."""
    return tuple(lever for lever in LEVERS if lever != "role" or role or not has_role(task))


# ---- texts that the teacher writes -----------------------------------------------------------------------------------

MOST_ROLE, MOST_DETAILS = 300, 4000  # characters
TRIES = 2
SCHEMA = {
    "type": "object",
    "properties": {"role": {"type": "string"}, "details": {"type": "string"}},
    "required": ["role", "details"],
    "additionalProperties": False,
}
SYSTEM = """You are given a task that somebody wrote for a language model. Do not carry it out. Write two texts that help another model with it.
role: one sentence that begins with "You are" and says what kind of expert answers.
details: the task spelt out as a list of at most twelve rules, one on each line, each beginning with "- ": what decides between
answers that are near each other, what each label or key stands for, what to do in doubt. Every label or key is spelt as in the
task. Invent no facts, no further labels, no examples. Say nothing on the form of the reply."""


def texts_by_teacher(task: Task, ask: Ask, teacher: str) -> tuple[str, str, str]:
    """(role, details, whose): the teacher is asked once for both, at temperature 0, and once more where the reply is no use.
    What fails the checks is left to the rules, and `whose` says so."""
    why = ""
    for attempt in range(TRIES):
        outcome = ask([texts_request(task, seed=attempt or None)])[0]
        if not isinstance(outcome, Reply):
            return "", "", f"{RULES} ({teacher} was asked and did not answer: {getattr(outcome, 'what', outcome)})"
        role, details, why = checked(task, outcome.texts[0] if outcome.texts else "")
        if not why:
            return role, details, f"{teacher}, reply {outcome.address}"
    return "", "", f"{RULES} ({teacher} was asked, and {why})"


def texts_request(task: Task, seed: int | None = None) -> Request:
    told = f"<task>\n{task.instruction.strip()}\n\n{render.answer_form(task)}\n</task>"
    asked = (Message(role="system", content=SYSTEM), Message(role="user", content=told))
    return Request(messages=asked, reply_schema=json.dumps(SCHEMA), max_tokens=1500, seed=seed)


def checked(task: Task, reply: str) -> tuple[str, str, str]:
    """(role, details, ""), or ("", "", what is wrong with them)."""
    found = render.find_json(reply)
    if not isinstance(found, dict) or not all(isinstance(found.get(key), str) and found[key].strip() for key in ("role", "details")):
        return "", "", "its reply was malformed"
    role, details = found["role"].strip(), found["details"].strip()
    if "\n" in role or len(role) > MOST_ROLE or len(details) > MOST_DETAILS:
        return "", "", f"its texts were too long ({len(role)} and {len(details)} characters)"
    known = {render.squeeze(part) for part in quoted(task.instruction)} | {render.squeeze(name) for name in task.labels}
    if task.labels and (strange := [part for part in quoted(details) if render.squeeze(part) not in known and "_" in part]):
        return "", "", f"its rules name {strange[0]!r}, which is no label"
    return role, details, ""


def quoted(text: str) -> list[str]:
    """What stands in quotes or back-ticks, and words with an underscore."""
    return [next(filter(None, groups)) for groups in re.findall(r"\"([^\"\n]{1,60})\"|`([^`\n]{1,60})`|\b(\w+_\w+)\b", text)]


# ---- what the report says --------------------------------------------------------------------------------------------


def summary(task: Task, recipe: Recipe | None, sent: Sequence[Message]) -> dict[str, Any]:
    """{recipe, structure, levers, role, details, texts_from, tuned, messages} of one prompted candidate; {} where none was sent."""
    if recipe is None or not sent:
        return {}
    structure = of_recipe(recipe)
    texts = {
        "role": (structure.role_text or role_of(task)) if structure.role else "",
        "details": (structure.details_text or details_of(task)) if structure.details else "",
    }
    whose = (structure.texts_from or RULES) if any(texts.values()) else ""
    return {
        "recipe": recipe.text,
        "structure": structure.name or "of a file",
        "levers": structure.told(),
        **texts,
        "texts_from": whose,
        "tuned": structure.tuned,
        "messages": [{"role": message.role, "content": shortened(message.content)} for message in sent],
    }


MOST_SHOWN = 20_000  # characters of one message


def shortened(text: str) -> str:
    """Whole, unless a report would drown in it: then its beginning and its end, and how much is between."""
    if len(text) <= MOST_SHOWN:
        return text
    half = MOST_SHOWN // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters are not shown here ...]\n{text[-half:]}"
