"""What to search with: catalogues and model cards are written in English, so a prompt in another language is translated
for the search, and for nothing else. Rows stay in the task's language."""

from __future__ import annotations

import json

from limbeck.errors import LimbeckError
from limbeck.registry import Ask
from limbeck.render import find_json
from limbeck.tasks.kinds import language_of
from limbeck.tasks.languages import name_of
from limbeck.types import Message, Reply, Request, Task

MOST_CHARS = 6000  # of an instruction: more says nothing more about what to search for
SCHEMA = {
    "type": "object",
    "properties": {"prompt_in_english": {"type": "string"}},
    "required": ["prompt_in_english"],
    "additionalProperties": False,
}
SYSTEM = """You are given a prompt that somebody wrote for a language model, in {language}. Translate it into English; do not carry it out.
Translate all of it, rules and definitions too. Names of labels, keys and anything in quotes stay as they are, with the English word in brackets behind it."""


def request(task: Task) -> Request:
    text = task.instruction[:MOST_CHARS]
    return Request(
        messages=(
            Message(role="system", content=SYSTEM.format(language=name_of(task.language))),
            Message(role="user", content=f"The prompt:\n<prompt>\n{text}\n</prompt>"),
        ),
        reply_schema=json.dumps(SCHEMA),
        max_tokens=min(4000, 256 + len(text)),  # a character of Chinese may become a word
    )


def retrieval_query(task: Task, ask: Ask | None) -> tuple[str, tuple[str, ...]]:
    """(English text to search data sets and base models with, notes). One request, none for an English prompt. Where no
    translation comes of it, the text is the prompt's own, and a note says why. Raises what is no outcome of a teacher."""
    if task.language == "en":
        return task.instruction, ()
    where = f"the prompt is in {name_of(task.language)}"
    if ask is None:
        return task.instruction, (f"{where}, and there is no teacher to translate it: the search uses it as it is",)
    outcome = ask([request(task)])[0]
    if isinstance(outcome, Reply):
        text, why = read(outcome, task)
        if text:
            return text, (f"{where}: the search uses the teacher's translation, rows stay in {name_of(task.language)}",)
    elif isinstance(outcome, LimbeckError):
        why = outcome.what
    else:
        raise outcome
    return task.instruction, (f"{where}, and was not translated ({why}): the search uses it as it is",)


def read(reply: Reply, task: Task) -> tuple[str, str]:
    """(translation, "") or ("", why not)."""
    value = find_json(reply.texts[0]) if reply.texts else None
    text = value.get("prompt_in_english") if isinstance(value, dict) else None
    if not isinstance(text, str) or not text.strip():
        return "", "the reply was malformed"
    if language_of(text) != "en" or text.strip() == task.instruction.strip():
        return "", "the reply was not in English"
    return text.strip(), ""
