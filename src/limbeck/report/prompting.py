"""What the report says of the prompt: its structure, how that was found, and one example of the exact text that was sent."""

from __future__ import annotations

import limbeck.report.format as f
from limbeck.types import Report


def sentences(report: Report) -> list[str]:
    """[] where no candidate is prompted."""
    facts = report.prompting
    if not facts:
        return []
    said = [f"{facts['recipe']} was sent with the structure {facts['structure']} ({facts['levers']})."]
    if facts.get("texts_from"):
        said.append(f"Role and details: by {facts['texts_from']}.")
    if tuned := facts.get("tuned"):
        said.append(
            f"It was tuned on {tuned['rows']:,} dev rows with {tuned['teacher']}: {tuned['trials']} structures were tried for "
            f"{f.usd(tuned['usd'])}; {tuned['verdict']} {tuned['training']}"
        )
    else:
        said.append("It was not tuned: limbeck prompt tune tries others on the dev rows.")
    return said


def messages(report: Report) -> list[tuple[str, str]]:
    """(role, exact text) of the example."""
    return [(one["role"], one["content"]) for one in report.prompting.get("messages", [])]
