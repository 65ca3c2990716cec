"""Python that is run: right where the row's tests pass, or where it prints what the gold program prints.

A row says what is right in one of two ways. `tests`: a program that is run behind the answer and has to reach its end
(asserts; for HumanEval its `test` and `check(<entry point>)`). Without tests the gold output is itself a program, and both
have to print the same. An answer may stand in a fenced block. Where the input is code that a function's body is missing
from, as in HumanEval, the answer continues it.

The answer is a model's text, so nothing runs unless LIMBECK_RUN_CODE=1 is set: without it no row is scored. With it,
every program runs confined (metrics/confine.py). An answer that is not `ok`, or does not compile, gets 0. Tests find
out whether a program is right, not whether it cheats: one that is made to fool its own tests can."""

from __future__ import annotations

import os
import re
import warnings
from functools import cache, lru_cache

from limbeck.metrics.confine import Outcome, possible, run_confined
from limbeck.registry import Metric
from limbeck.types import Example, Kind, Prediction, Status, Task

LONGEST = 200_000  # characters of a program
_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.S)
_BEGUN = re.compile(r"^\s*(?:def|class|import|from|async def)\b", re.M)


def allowed() -> bool:
    """Whether model text may run here; says once why not."""
    if not possible():
        warn_once("code is not scored: this system has no process limits (Linux and macOS have)")
        return False
    if os.environ.get("LIMBECK_RUN_CODE") != "1":
        warn_once("code is not scored: it would run programs that a model wrote; set LIMBECK_RUN_CODE=1 to allow that")
        return False
    return True


@cache
def warn_once(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def programs(example: Example, answer: str) -> tuple[str, ...]:
    """Readings of an answer, the likeliest first; the first that compiles is run."""
    fenced = _FENCE.findall(answer)
    code = "\n".join(fenced) if fenced else answer
    if not _BEGUN.search(example.input):
        return (code,)
    begun = example.input.rstrip() + "\n"
    return (begun + code, f"{begun}    {code.lstrip()}", code)  # a body whose first line lost its indent


@lru_cache(maxsize=4096)
def outcome(programs: tuple[str, ...], tests: str) -> Outcome:
    """Each program is run once, however often its row is graded."""
    if sum(map(len, programs)) + len(tests) > 4 * LONGEST:
        return Outcome("limit")
    found = run_confined(programs, tests)
    if found.left_open:
        warn_once(f"this machine cannot close to model code: {', '.join(found.left_open)}; take a container for text that you do not trust")
    return found


def ran(found: Outcome) -> bool:
    return found.ended in ("done", "exit")


def lines(printed: str) -> list[str]:
    """Without blanks at the ends of lines and of the whole."""
    return [line.rstrip() for line in printed.strip().splitlines()]


def code(task: Task, example: Example, prediction: Prediction) -> float | None:
    """1 or 0; None where code may not run, or the gold row is no program that prints."""
    if (example.tests is None and example.output is None) or not allowed():
        return None
    expected = None
    if example.tests is None:
        gold = outcome(programs(example, example.output or ""), "")
        if not ran(gold) or not (expected := lines(gold.printed)):
            return None
    if prediction.status is not Status.OK:
        return 0.0
    found = outcome(programs(example, prediction.text), example.tests or "")
    if expected is None:
        return float(found.ended == "done")
    return float(ran(found) and lines(found.printed) == expected)


CODE = Metric(
    "code",
    (Kind.TEXT,),
    row=code,
    samples=("print(1)", "for i in range(3):\n    print(i)", "```python\nprint('x' * 3)\n```", "print(sum([1, 2]))", "print({'a': 1})"),
)
