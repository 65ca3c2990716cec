"""HumanEval's grade: the program that a model wrote on, run confined behind its row's tests. lm-evaluation-harness calls it by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limbeck.errors import UsageError
from limbeck.metrics.code import allowed, outcome


def passes(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """doc: prompt, tests. results: what was written behind the prompt. Raises UsageError where nobody allowed programs to run: an
    answer that was not run is neither right nor wrong."""
    if not allowed():
        raise UsageError("HumanEval runs programs that a model wrote", "nobody has allowed that", "--run-code, in a container if in doubt")
    return {"pass@1": float(outcome((doc["prompt"] + results[0],), doc["tests"]).ended == "done")}
