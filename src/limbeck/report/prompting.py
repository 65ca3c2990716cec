"""What the report says of the prompt: its structure, how that was found, and one example of the exact text that was sent."""

from __future__ import annotations

import limbeck.report.format as f
from limbeck.types import Report


def sentences(report: Report) -> list[str]:
    """[] where no candidate is prompted."""
    facts = report.prompting
    if not facts:
        return shown(report)
    said = [f"{facts['recipe']} was sent with the structure {facts['structure']} ({facts['levers']})."]
    if facts.get("texts_from"):
        said.append(f"Role and details: by {facts['texts_from']}.")
    if tuned := facts.get("tuned"):
        said.append(
            f"It was tuned on {tuned['rows']:,} dev rows with {tuned['teacher']}: {tuned['trials']} structures were tried for "
            f"{f.usd(tuned['usd'])}; {tuned['verdict']} {tuned['training']}"
        )
    elif facts["recipe"].endswith("@teacher"):
        said.append("It was not tuned: limbeck prompt tune tries others on the dev rows.")
    return said + shown(report)


def shown(report: Report) -> list[str]:
    """How many training rows stood in a prompt that shows as many as fit, and which were never shown."""
    told = {"rows_shown": "{recipe} was shown {value} training rows ({why}).", "rows_left_out": "{recipe}: {value} training rows {why}."}
    return [
        told[value.name].format(recipe=row.recipe, value=value.value, why=value.why)
        for row in report.rows
        for value in row.values
        if value.name in told
    ]


def messages(report: Report) -> list[tuple[str, str]]:
    """(role, exact text) of the example."""
    return [(one["role"], one["content"]) for one in report.prompting.get("messages", [])]
