"""A folder of documents and questions about them, no rows: from the command to the verdict, over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.testing.chat_server import ChatServer
from limbeck.testing.knower import knower, world, write_world
from tests.conftest import call_limbeck

NUMBERS = "epochs=40,batch_rows=16,lr=0.004,max_length=40,patience=100,average=0.0"


def run(folder: Path, out: Path, *more: object) -> dict[str, Any]:
    arguments = ["--docs", folder / "docs", "--test", folder / "questions.jsonl", "--threads", "1", "--out", out, "--json"]
    done = call_limbeck("run", folder / "prompt.md", *arguments, *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", autouse=True)
def no_deployment():
    """A process of its own per run; deployment has its own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limbeck.hallway.deploy", lambda *given: None)
        yield


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> tuple[Path, Path]:
    """(the world's folder, a toy base that knows its words and nothing else)."""
    from limbeck.engine.load import CAUSAL
    from limbeck.testing.toys import toy

    folder = write_world(tmp_path_factory.mktemp("world"), 8, 40)
    base = toy(tmp_path_factory.mktemp("base") / "toy", CAUSAL, texts=[*world(8)[0].values(), "lighter younger south of"])
    return folder, base


@pytest.fixture(scope="module")
def ended(given, tmp_path_factory) -> tuple[Path, dict[str, Any], int]:
    """(run folder, report, requests that a second run of the same command sent)."""
    folder, base = given
    out = tmp_path_factory.mktemp("out") / "run"
    with ChatServer(knower()) as server:
        recipes = f"prompt@teacher,full@{base},full+augment:both@{base}"
        asked = ["--teacher", f"{server.address}#k", "--price", "1/2", "--candidates", recipes, "--set", f"{NUMBERS},literal=keep"]
        report = run(folder, out, *asked)
        before = len(server.bodies)
        assert run(folder, out, *asked)["rows"] == report["rows"]
        return out, report, len(server.bodies) - before


def test_a_run_without_rows_ends_with_a_verdict_and_a_student(ended) -> None:
    _, report, _ = ended
    assert report["sizes"]["train"] == 0 and report["sizes"]["dev"] == 12 and report["sizes"]["test"] == 28
    assert all(row["state"] == "ok" for row in report["rows"]), [row["reason"] for row in report["rows"]]
    assert report["verdict"] and report["best_student"].startswith("full+augment")


def test_the_saved_student_goes_on_from_a_question_as_it_was_trained_to(ended) -> None:
    from limbeck.engine.reader import load_student
    from limbeck.run import RunFolder, read_lines
    from limbeck.types import Example, Prediction

    out, report, _ = ended
    row = next(row for row in report["rows"] if row["recipe"] == report["best_student"])
    student = load_student(out / "4-students" / row["id"] / "model")
    asked = [r.blind() for r in read_lines(RunFolder(out).rows, Example)]
    told = {p.id: p for p in read_lines(out / "4-predictions" / f"{row['id']}.test.jsonl", Prediction)}
    again = [p for p in student.predict(asked) if p.id in told]
    assert len(again) == report["sizes"]["test"] and all(p.text == told[p.id].text for p in again)


def test_augmenting_repairs_what_training_on_the_documents_alone_misses(ended) -> None:
    _, report, _ = ended
    rows = {row["recipe"].split("@")[0]: row for row in report["rows"]}
    plain, augmented = rows["full"]["test"]["value"], rows["full+augment:both"]["test"]["value"]
    assert augmented > plain + 0.3, (plain, augmented)


def test_the_same_command_again_asks_nobody_and_pays_nothing(ended) -> None:
    assert ended[2] == 0


def test_what_was_inferred_is_told_measured_and_kept_with_its_provenance(ended) -> None:
    out, report, _ = ended
    known = report["knowledge"]
    lines = [json.loads(line) for line in (out / "2-inferences.jsonl").read_text().splitlines()]
    assert {"local", "global"} == {line["scope"] for line in lines}
    assert all(line["origin"]["request"] and line["origin"]["cost_usd"] > 0 for line in lines)
    assert all(len(line["uses"]) > 1 for line in lines if line["scope"] == "global"), "a link names all that it rests on"
    both = known["measured"]["both"]
    assert both["coverage"] == both["precision"] == both["repair"] == 1.0
    assert set(known["dropped"]) <= {"known", "duplicate"}, "of a teacher that does not err"
    assert known["usd"] > 0 and report["ledger"]["by_purpose"]["inferences"]["spent_usd"] == pytest.approx(known["usd"], abs=1e-3)
    for name in ("5-report.md", "5-report.html"):
        text = (out / name).read_text()
        assert "Documents that were learnt" in text and "coverage" in text and "augment:both" in text


def test_questions_that_an_inference_says_word_for_word_are_scored_apart(ended) -> None:
    _, report, _ = ended
    known = report["knowledge"]
    assert 0 < len(known["literal"]) <= report["sizes"]["test"]
    assert any("measures recall" in text for text in report["warnings"])


def test_the_break_even_counts_the_inferences_for_those_who_learn_them_alone(ended) -> None:
    _, report, _ = ended
    rows = {row["recipe"].split("@")[0]: row for row in report["rows"]}
    spent = {"full": 0.0, "full+augment:both": report["ledger"]["by_purpose"]["inferences"]["spent_usd"]}
    for name, usd in spent.items():
        saved = (rows["prompt"]["usd_per_1000"] - rows[name]["usd_per_1000"]) / 1000
        trained = rows[name]["train_s"] / 3600 * 0.05
        assert rows[name]["break_even_calls"] == pytest.approx((usd + trained) / saved)
    assert spent["full+augment:both"] > 0


def test_by_default_such_inferences_are_dropped_and_the_user_is_told(given, tmp_path) -> None:
    folder, base = given
    recipes = ["--candidates", f"full+augment:local@{base}", "--inferences-by", "rules"]
    report = run(folder, tmp_path / "run", *recipes, "--set", NUMBERS.replace("epochs=40", "epochs=1"))
    assert report["knowledge"]["by"] == "rules" and report["knowledge"]["dropped"]["leak"] > 0 and not report["knowledge"]["literal"]
    assert any("--set literal=keep" in text for text in report["warnings"])
    assert report["ledger"]["replies"] == 0, "rules ask nobody"


def test_a_wrong_inference_is_denied_by_a_second_teacher(given, tmp_path) -> None:
    folder, base = given
    with ChatServer(knower(errors=0.5)) as first, ChatServer(knower()) as other:
        asked = ["--teacher", f"{first.address}#a", "--price", "1/2", "--labeller", f"{other.address}#b", "--labeller-price", "1/2"]
        numbers = NUMBERS.replace("epochs=40", "epochs=1") + ",literal=keep"
        report = run(folder, tmp_path / "run", *asked, "--candidates", f"full+augment:local@{base}", "--set", numbers)
    local = report["knowledge"]["measured"]["local"]
    assert report["knowledge"]["dropped"]["denied"] > 0 and local["precision"] == 1.0 and local["coverage"] < 1.0


def test_what_nobody_here_can_do_is_left_out_of_the_usual_candidates_and_told(given) -> None:
    folder, _ = given
    plain = folder / "plain.md"
    plain.write_text("---\nkind: choice\n---\nGo on.\n")
    done = call_limbeck("run", plain, "--docs", folder / "docs", "--test", folder / "questions.jsonl", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [line["recipe"] for line in found["candidates"]] == ["prompt+rag:4@tiny-lm", "prompt+many@tiny-lm", "full@tiny-lm"]
    assert any("nobody can write what follows" in text for text in found["warnings"])


def test_a_dry_run_reckons_with_what_follows_and_asks_nobody(given, tmp_path) -> None:
    folder, _ = given
    with ChatServer(knower()) as server:
        arguments = ["--docs", folder / "docs", "--test", folder / "questions.jsonl", "--teacher", f"{server.address}#k", "--price", "1/2"]
        done = call_limbeck("run", folder / "prompt.md", *arguments, "--set", "window=8000", "--dry-run", "--json")
        assert done.returncode == 0 and not server.bodies, done.stderr
    found = json.loads(done.stdout)
    assert [line["recipe"] for line in found["candidates"]] == [
        "prompt@teacher", "prompt+rag:4@teacher", "prompt+many@teacher", "full@tiny-lm", "full+augment:both@tiny-lm",
    ]  # fmt: skip
    usd = {line["recipe"]: line["usd"] for line in found["estimate"]["lines"]}
    assert usd["what follows from 8 pieces of documents"] > 0 and usd["prompt+many@teacher"] > usd["prompt@teacher"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--candidates", "full+augment:local@tiny-lm"), "--docs DIR"),
        (("--docs", "docs", "--candidates", "full+augment:local@minilm"), "cannot learn documents"),
        (("--docs", "docs", "--candidates", "full+augment:local@tiny-lm", "--inferences-by", "teacher"), "--inferences-by base"),
        (("--docs", "docs", "--set", "literal=hide"), "drop and keep"),
        (("--docs", "docs", "--set", "inference_samples=0"), "--set inference_samples"),
        (("--docs", "nowhere"), "there is no folder of documents"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_spent(given, tmp_path, arguments, says) -> None:
    folder, _ = given
    done = call_limbeck("run", "prompt.md", "--test", "questions.jsonl", *arguments, "--out", tmp_path / "run", cwd=folder)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()


def test_too_few_questions_are_refused_and_a_candidate_without_rows_is_skipped(given, tmp_path) -> None:
    folder, base = given
    few = tmp_path / "few.jsonl"
    few.write_text("".join((folder / "questions.jsonl").read_text().splitlines(keepends=True)[:7]))
    arguments = ["--docs", folder / "docs", "--candidates", "full@tiny-lm", "--out", tmp_path / "a"]
    done = call_limbeck("run", folder / "prompt.md", "--test", few, *arguments)
    assert done.returncode == 2 and "too few questions" in done.stderr and "--dev FILE" in done.stderr
    report = run(folder, tmp_path / "b", "--candidates", f"nearest,full@{base}", "--set", NUMBERS.replace("epochs=40", "epochs=1"))
    nearest = next(row for row in report["rows"] if row["recipe"] == "nearest")
    assert nearest["state"] == "skipped" and "cannot learn documents for questions" in nearest["reason"]
