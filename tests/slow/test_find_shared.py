"""Dataset retrieval over the public data beside the checkout, as if they were a hub."""

from __future__ import annotations

import pytest

from limbeck.sources.datasets import Limits
from limbeck.sources.folder import cards
from limbeck.sources.retrieve import retrieve
from limbeck.types import Kind, Task

pytestmark = pytest.mark.slow
LABELS = ("card_arrival", "lost_or_stolen_card", "exchange_rate", "top_up_failed")


def test_every_card_of_the_readme_is_read(shared):
    found = cards(shared / "data")
    assert len(found) >= 45 and all(c.licence and c.columns for c in found)
    held = {c.name for c in found if c.held_out}
    assert {"bbh", "humaneval", "aqua"} <= held and "banking77" not in held


def test_a_prompt_on_bank_messages_finds_the_bank_and_its_rows_in_the_tasks_labels(shared):
    task = Task(name="bank", instruction="Read what a customer of our bank wrote and give the intent.", kind=Kind.LABEL, labels=LABELS)
    done = retrieve(task, [f"folder:{shared / 'data'}", "catalogue"], Limits(datasets=1, rows=20_000))
    assert [(u.name, u.licence) for u in done.used] == [("banking77", "CC BY 4.0")]
    assert {row.output for row in done.rows} == set(LABELS) and len(done.rows) > 300
    assert not any(name in row.origin.source for row in done.rows for name in ("bbh", "humaneval"))
