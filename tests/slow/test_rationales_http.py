"""PaLM-540B's recorded completions over real HTTP, asked for with our chain-of-thought prompts: its accuracy is the published one."""

from __future__ import annotations

import ast
import operator
from pathlib import Path
from typing import Any

import pytest

from limbeck.augment.rationales import disagreeing, extract
from limbeck.teachers import open_teacher
from limbeck.teachers.store import Store
from limbeck.types import Example, Kind, Price, Task

NLI = ("entailment", "neutral", "contradiction")
TASKS = {
    "cqa": Task(name="cqa", instruction="Answer with common sense.", kind=Kind.CHOICE, metric="accuracy"),
    "svamp": Task(name="svamp", instruction="Write the equation that solves the problem.", kind=Kind.TEXT, metric="exact_match"),
    "esnli": Task(name="esnli", instruction="Does the hypothesis follow?", kind=Kind.LABEL, labels=NLI, metric="accuracy"),
    "anli1": Task(name="anli1", instruction="Does the hypothesis follow?", kind=Kind.LABEL, labels=NLI, metric="accuracy"),
}
SHOTS = 4  # the server looks for every word of a prompt: long ones only cost time
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value_of(text: str) -> float | None:
    """Of sums of numbers; None for anything else."""

    def walk(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp):
            return float(OPERATORS[type(node.op)](walk(node.left), walk(node.right)))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -walk(node.operand)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        raise ValueError

    try:
        return walk(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, KeyError, ZeroDivisionError):
        return None


def same_value(row: Example, answer: str) -> bool:
    ours, theirs = value_of(row.output or ""), value_of(answer)
    return ours is not None and theirs is not None and abs(ours - theirs) < 1e-6


def asked_over_http(name: str, public_rows: Any, replay: Any, folder: Path, most: int | None = None) -> tuple[float, Any]:
    """(accuracy of the teacher on test rows, what came back). Demonstrations are training rows with the recorded rationale."""
    task = TASKS[name]
    rows = [
        Example(id=r["id"], input=r["input"], choices=tuple(r.get("choices", ())) or None, output=r["output"])
        for r in public_rows(name, "test")
    ]
    worked = [r for r in public_rows(name, "train") if r["teacher"]["palm540b"]["rationale"]][:SHOTS]
    shots = [
        Example(id=r["id"], input=r["input"], choices=tuple(r.get("choices", ())) or None, output=r["output"], rationale=r["teacher"]["palm540b"]["rationale"])
        for r in worked
    ]  # fmt: skip
    with replay("--tasks", name) as server:
        teacher = open_teacher(server.spec(), Price(usd_per_mtok_in=0, usd_per_mtok_out=0))
        with Store(folder / f"{name}.sqlite", 1.0) as store:
            found = extract(
                task,
                rows[:most],
                lambda requests: store.ask(teacher, requests, "rationales"),
                shots,
                agrees=same_value if name == "svamp" else None,
            )
    wrong, judged = disagreeing([*found.kept, *found.dropped], same_value if name == "svamp" else None)
    return (judged - wrong) / len(rows[:most]), found


def test_a_few_completions_over_http_become_rationales(public_rows: Any, replay: Any, tmp_path: Path) -> None:
    accuracy, found = asked_over_http("cqa", public_rows, replay, tmp_path, 48)
    recorded = {r["id"]: r["teacher"]["palm540b"] for r in public_rows("cqa", "test")}
    assert 0.6 < accuracy < 0.95 and all(r.rationale == recorded[r.id]["rationale"] and r.origin.request for r in found.kept)
    assert len(found.kept) + len(found.dropped) == 48 == found.counts["requests"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "accuracy"), [("cqa", 0.769), ("svamp", 0.725), ("esnli", 0.742), ("anli1", 0.656)])
def test_the_teachers_accuracy_is_the_published_one(name: str, accuracy: float, public_rows: Any, replay: Any, tmp_path: Path) -> None:
    found, course = asked_over_http(name, public_rows, replay, tmp_path)
    print(f"{name}: {found:.4f}, {course.counts}")
    assert found == pytest.approx(accuracy, abs=0.01)
