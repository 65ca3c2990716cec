"""`limbeck label`: what a person types is on the disk before the next row, and the report makes use of it."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from limbeck.hallway import rebuild_report
from limbeck.human import human_answers, keep_answer, read_answer, rows_to_label
from limbeck.run import RunFolder, write_lines
from limbeck.teachers.store import Store
from limbeck.testing.chat_server import ChatServer, completion
from limbeck.types import Example, Kind, Message, Origin, Price, Request, Task
from tests.conftest import call_limbeck
from tests.unit.hand_made_run import TASK, hand_made_run

Type = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return hand_made_run(tmp_path / "run")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, folder: RunFolder) -> Type:
    """typed("1", "s", options...) -> what `limbeck label` does when these lines are typed."""

    def label(*lines: str, options: tuple[str, ...] = (), run: RunFolder = folder) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return call_limbeck("label", run.path, *options)

    return label


def outputs(folder: RunFolder) -> list[str]:
    return [answer.output for answer in human_answers(folder).values()]


def lines_of(folder: RunFolder) -> list[dict]:
    return [json.loads(line) for line in (folder.path / "2-human.jsonl").read_text().splitlines()]


def test_an_option_is_taken_by_its_number_or_its_text(folder: RunFolder, typed: Type) -> None:
    done = typed("2", "Refund", "q")
    assert done.returncode == 0, done.stderr
    assert outputs(folder) == ["exchange", "refund"]
    assert "1. refund" in done.stdout and "2 answers kept" in done.stdout


def test_the_synthetic_answer_is_never_shown_unless_asked_for(folder: RunFolder, typed: Type) -> None:
    task = TASK.model_copy(update={"kind": Kind.TEXT, "labels": (), "metric": "rouge_l"})
    run = hand_made_run(folder.path.parent / "text", task)
    hidden = typed("my words", "q", run=run)
    assert not re.search(r"\b(refund|exchange|other)\b", hidden.stdout) and outputs(run) == ["my words"]
    shown = typed("", "", "q", options=("--show-answer",), run=run)
    assert "there is: " in shown.stdout and len(outputs(run)) == 3
    assert [line["shown"] for line in lines_of(run)] == [False, True, True]
    assert {answer.output for answer in list(human_answers(run).values())[1:]} <= set(TASK.labels), "Enter takes what is there"


def test_answers_from_a_pipe_stand_behind_their_question_and_every_row_begins_a_line(typed: Type) -> None:
    lines = typed("2", "s", "q").stdout.splitlines()
    asked = [i for i, line in enumerate(lines) if line.startswith("[")]
    assert [line for line in lines if line.startswith(">")] == ["> 2", "> s", "> q"]
    assert len(asked) == 3 and all(lines[i - 1] in ("", "> 2", "> s") for i in asked)


def test_wrong_input_asks_again(folder: RunFolder, typed: Type) -> None:
    done = typed("9", "money", "", "3", "q")
    assert outputs(folder) == ["other"]
    assert (
        "there are 1 to 3" in done.stdout
        and "type a number or the text of one option" in done.stdout
        and "nothing was typed" in done.stdout
    )


def test_back_changes_an_answer_and_counts_as_a_revision(folder: RunFolder, typed: Type) -> None:
    typed("1", "b", "2", "s", "q")
    assert outputs(folder) == ["exchange"]
    assert [(line["output"], line["revision"]) for line in lines_of(folder)] == [("refund", 0), ("exchange", 1)], "nothing is overwritten"


def test_quitting_and_the_end_of_input_keep_what_was_said_and_the_next_time_goes_on(folder: RunFolder, typed: Type) -> None:
    typed("1", "q")
    typed("1")
    typed("s", "2")
    assert len(outputs(folder)) == 3
    assert not {row.id for row in rows_to_label(folder)} & set(human_answers(folder)), "an answered row is not asked again"


def test_a_row_can_be_changed_by_its_id(folder: RunFolder, typed: Type) -> None:
    typed("1", options=("--row", "made-7"))
    typed("3", options=("--row", "made-7"))
    assert human_answers(folder)["made-7"].output == "other" and human_answers(folder)["made-7"].revision == 1
    assert typed("1", options=("--row", "made-700")).returncode == 2


def test_each_place_has_its_own_rows(folder: RunFolder) -> None:
    assert {row.id.partition("-")[0] for row in rows_to_label(folder, "train")} == {"train", "dev"}
    assert {row.id.partition("-")[0] for row in rows_to_label(folder, "unlabelled")} == {"raw"}
    assert len(rows_to_label(folder, "test")) == 60


def test_the_rows_most_worth_it_come_first(folder: RunFolder) -> None:
    report = rebuild_report(folder)
    named = [one["id"] for one in report.worth_labelling if one["split"] == "test"]
    assert len(named) >= 10 and [row.id for row in rows_to_label(folder)][: len(named)] == named


def test_options_that_are_numbers_or_commands_mean_themselves(folder: RunFolder, typed: Type) -> None:
    stars = hand_made_run(folder.path.parent / "stars", TASK.model_copy(update={"labels": ("3", "2", "1")}))
    typed("1", "q", run=stars)
    assert outputs(stars) == ["1"]
    sizes = hand_made_run(folder.path.parent / "sizes", TASK.model_copy(update={"labels": ("S", "M", "B")}))
    done = typed("s", "b", ":b", "m", ":q", run=sizes)
    assert outputs(sizes) == ["S", "M"] and ":s = skip" in done.stdout


def test_scores_and_fields_are_typed_and_checked() -> None:
    score = Task(name="t", instruction="", kind=Kind.SCORE, low=0, high=5)
    row = Example(id="1", input="x")
    assert read_answer(score, row, "4.5") == "4.5" and read_answer(score, row, "7") is None and read_answer(score, row, "good") is None
    schema = json.dumps({"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]})
    fields = Task(name="t", instruction="", kind=Kind.FIELDS, output_schema=schema)
    assert read_answer(fields, row, '{"who": "Ann"}') == '{"who": "Ann"}'
    assert read_answer(fields, row, '{"whom": "Ann"}') is None and read_answer(fields, row, "Ann") is None
    choice = Task(name="t", instruction="", kind=Kind.CHOICE)
    assert read_answer(choice, Example(id="1", input="x", choices=("red", "blue")), "b") == "blue"


# ---- nothing is lost --------------------------------------------------------------------------------------------------


def test_a_line_that_a_crash_tore_is_skipped_and_the_next_answer_stands_on_its_own_line(folder: RunFolder) -> None:
    rows = rows_to_label(folder)
    keep_answer(folder, rows[0], "refund")
    path = folder.path / "2-human.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "made-3", "outp')
    assert outputs(folder) == ["refund"]
    keep_answer(folder, rows[1], "other")
    assert outputs(folder) == ["refund", "other"]


def test_ctrl_c_in_a_real_terminal_loses_nothing(folder: RunFolder) -> None:
    master, slave = pty.openpty()
    code = "import sys; from limbeck.cli.main import main; main(['label', sys.argv[1]])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        os.write(master, b"2\n3\n")
        until = time.monotonic() + 30
        while len(outputs(folder)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert outputs(folder) == ["exchange", "other"]


def test_answers_from_a_file_are_checked_line_by_line_and_the_good_ones_kept(folder: RunFolder, typed: Type) -> None:
    path = folder.path / "answers.jsonl"
    path.write_text(
        '{"id": "made-1", "output": "REFUND"}\nnonsense\n{"id": "made-2", "output": "2"}\n\n{"id": "nobody", "output": "other"}\n{"id": "made-4", "output": "other"}\n'
    )
    done = typed(options=("--json-in", str(path)))
    assert done.returncode == 2 and f"{path} line 2" in done.stderr and "3 of 5 answers" in done.stderr
    assert {i: a.output for i, a in human_answers(folder).items()} == {"made-1": "refund", "made-4": "other"}
    path.write_text('{"id": "made-1", "output": "refund"}\n{"id": "made-4", "output": "refund"}\n')
    assert typed(options=("--json-in", str(path))).returncode == 0
    assert [a.revision for a in human_answers(folder).values()] == [0, 1], "the same answer again is no revision"


# ---- the report -----------------------------------------------------------------------------------------------------------


def test_the_report_calls_the_test_synthetic_and_gives_the_gap_once_twenty_rows_are_labelled(folder: RunFolder) -> None:
    before = rebuild_report(folder)
    assert before.synthetic_test == 60 and before.test_origins == {"generated": 60} and before.gaps == ()
    assert "Synthetic test, in which 60 of 60 rows" in before.verdict and "Too few rows" in before.verdict
    for i, row in enumerate(rows_to_label(folder)[:25]):
        keep_answer(folder, row, row.output if i >= 5 else TASK.labels[(TASK.labels.index(row.output) + 1) % 3])
    after = rebuild_report(folder)
    assert [gap.recipe for gap in after.gaps] == ["head@minilm", "prompt@teacher"]
    assert all(gap.paired and gap.human.n == 25 and gap.low <= gap.difference <= gap.high for gap in after.gaps)
    assert after.human == {"test": 25, "other": 0, "compared": 25, "agreed": 20, "shown": 0}
    assert after.rows == before.rows, "the frozen test itself does not change"
    assert "On the same 25 rows labelled by persons head@minilm gets" in after.verdict
    assert after.curated and after.sources[0].rows == 60 and after.sources[0].name == "small-1"


def test_the_gap_is_recomputed_from_the_stored_predictions_by_hand(folder: RunFolder) -> None:
    human = {}
    for i, row in enumerate(rows_to_label(folder)[:30]):
        human[row.id] = TASK.labels[i % 3]
        keep_answer(folder, row, human[row.id])
    gap = rebuild_report(folder).gaps[0]
    gold = {row["id"]: row.get("output") for row in map(json.loads, folder.rows.read_text().splitlines())}
    path = next(folder.predictions.glob("head-minilm*.test.jsonl"))
    said = {p["id"]: p["text"] for p in map(json.loads, path.read_text().splitlines())}
    assert gap.human.value == pytest.approx(sum(said[i] == a for i, a in human.items()) / 30)
    assert gap.synthetic.value == pytest.approx(sum(said[i] == gold[i] for i in human) / 30)


def test_a_test_of_gold_rows_is_not_called_synthetic(tmp_path: Path) -> None:
    report = rebuild_report(hand_made_run(tmp_path / "gold", gold_test=60, made_test=0))
    assert report.synthetic_test == 0 and report.gaps == () and "ynthetic" not in report.verdict


def test_explain_shows_all_that_the_origin_holds_and_the_reply_that_was_paid_for(folder: RunFolder) -> None:
    from limbeck.teachers.openai_api import open_teacher

    with (
        ChatServer(lambda body: (200, completion('{"answer": "refund"}', usage=(100, 10)))) as server,
        Store(folder.store, cap_usd=1) as store,
    ):
        teacher = open_teacher(f"{server.address}#small", Price(usd_per_mtok_in=10, usd_per_mtok_out=100))
        reply = store.ask(teacher, [Request(messages=(Message(role="user", content="label it"),))], purpose="label")[0]
    origin = Origin(
        kind="generated", source="made", licence="mit", teacher="small", request=reply.address, template="short", temperature=0.7,
        votes={"refund": 2, "other": 1}, cost_usd=0.002)  # fmt: skip
    rows = [Example.model_validate_json(line) for line in folder.rows.read_text().splitlines()]
    rows = [r.model_copy(update={"origin": origin, "confidence": 2 / 3}) if r.id == "made-4" else r for r in rows]
    write_lines(folder.rows, rows)
    keep_answer(folder, next(r for r in rows if r.id == "made-4"), "other")
    done = call_limbeck("explain", folder.path, "made-4")
    assert done.returncode == 0, done.stderr
    for part in ("licence mit", "teacher small", "template short", "temperature 0.7", "$0.002000", "2 refund, 1 other (confidence 0.67)",
                 reply.address, "100 tokens in, 10 out, $0.002000", '{"answer": "refund"}', "(synthetic)", "person  other"):  # fmt: skip
        assert part in done.stdout, part
    machine = json.loads(call_limbeck("explain", folder.path, "made-4", "--json").stdout)
    assert machine["provenance"]["votes"] == {"refund": 2, "other": 1} and machine["reply"]["texts"] == ['{"answer": "refund"}']
    other = call_limbeck("explain", folder.path, "train-1")
    assert other.returncode == 0 and "gold    exchange" in other.stdout and "request" not in other.stdout
