"""HyDE: the model card that the ideal base would have, asked of the teacher in one request (Gao et al. 2022, arXiv
2212.10496), or the task's own text where there is no teacher or its reply is useless."""

from __future__ import annotations

import json

from limbeck.bases.catalogue import LANGUAGES
from limbeck.registry import Ask
from limbeck.render import find_json
from limbeck.types import Kind, Message, Request, Task

SCHEMA = {"type": "object", "properties": {"card": {"type": "string"}}, "required": ["card"], "additionalProperties": False}
SYSTEM = """Somebody wants to fine-tune a small pretrained language model for a task. Describe in English the pretrained model that would be the best place to start, as the summary of its model card: the language and the kind of text it was pretrained on, the field it knows, its architecture (encoder, encoder-decoder or decoder) and what people use it for.
40 to 80 words. Name no real model. Do not carry the task out.
Reply with JSON: {"card": "..."}"""
FEWEST_WORDS = 5  # fewer describe nothing
MOST_LABELS = 40
USED_FOR = {
    Kind.LABEL: "encoder, classification",
    Kind.CHOICE: "encoder, choice",
    Kind.SCORE: "sentence encoder, similarity",
    Kind.TEXT: "text-to-text, generation",
    Kind.FIELDS: "assistant, JSON",
}


def card_request(task: Task) -> Request:
    return Request(
        messages=(Message(role="system", content=SYSTEM), Message(role="user", content=f"The task:\n<task>\n{task_text(task)}\n</task>")),
        reply_schema=json.dumps(SCHEMA),
        temperature=0.0,
        max_tokens=400,
    )


def task_text(task: Task) -> str:
    """All that is known offline: instruction, labels, language, and the words of cards for this kind of answer (without
    them the ranking was worse on the tuning prompts of bench/bases)."""
    labels = f" {', '.join(task.labels[:MOST_LABELS])}" if task.kind is Kind.LABEL else ""
    return f"{task.instruction.strip()}{labels}\n{LANGUAGES.get(task.language, task.language)} {USED_FOR[task.kind]}"


def query_for(task: Task, ask: Ask | None) -> tuple[str, str, str]:
    """(query, how, note). how: `card` | `task`. note: why there is no card although a teacher was asked, else ""."""
    if ask is None:
        return task_text(task), "task", ""
    outcome = ask([card_request(task)])[0]
    if isinstance(outcome, Exception):
        why = str(outcome).partition("\n")[0] or type(outcome).__name__
        return task_text(task), "task", f"the teacher wrote no model card ({why}): compared by the task's own text"
    reply = outcome.texts[0] if outcome.texts else ""
    value = find_json(reply)
    card = value.get("card") if isinstance(value, dict) else None
    if not isinstance(card, str) or len(card.split()) < FEWEST_WORDS:
        said = " ".join(reply.split())[:80] or "nothing"
        return task_text(task), "task", f"the teacher's model card was malformed ({said!r}): compared by the task's own text"
    return card, "card", ""
