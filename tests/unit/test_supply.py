"""Rows from a prompt alone: what kept them from being whole, and what they depend on."""

from __future__ import annotations

import pytest

from limbeck import supply
from limbeck.candidates import UNANSWERED
from limbeck.errors import CapReached, Declined, ProviderError, Transient
from limbeck.sources.generate import type_of


@pytest.mark.parametrize("room", ["generate", "label"])
@pytest.mark.parametrize("error", [CapReached("x"), Transient("x"), ProviderError("x")])
def test_what_money_time_or_a_provider_prevented_is_left_undone(room: str, error: ProviderError) -> None:
    assert type(error).__name__ in UNANSWERED
    assert supply.left_undone({f"{room}.requests": 3, f"{room}.{type_of(error)}": 1})


def test_what_a_teacher_declined_or_nobody_met_is_not() -> None:
    assert not supply.left_undone({"generate.requests": 3, f"generate.{type_of(Declined('x'))}": 2, "label.transient": 0})
