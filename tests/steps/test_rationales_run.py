"""Rationales within a run, over real HTTP: who is asked about what, what it costs, what the candidates are given, what is said of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from limbeck import recipes, shelves
from limbeck.augment.rationales import Rationale
from limbeck.objectives.sft import SFT, features
from limbeck.registry import Objective
from limbeck.run import read_lines
from limbeck.testing.chat_server import ChatServer, completion
from limbeck.types import Example, Kind

PROMPT = "Sort the note.\n\nLabels:\n- warm\n- cold\n\nNote: {note}\nLabel:\n"
COLOURS = ("red", "blue", "green", "grey")
HEARD: list[list[str | None]] = []  # the rationales of the rows that each training was given


def listening(task: Any, examples: Any, *rest: Any, **more: Any) -> Any:
    HEARD.append([e.rationale for e in examples])
    return features(task, examples, *rest, **more)


LISTENS = Objective(
    name="listens", kinds=tuple(Kind), features=listening, loss=SFT.loss, args="label2x|plain", rationales=True, without=("label2x",)
)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A toy base; and on the shelf an objective that learns from rationales, and tells which it was given."""
    from limbeck.testing.toys import toy

    monkeypatch.setitem(shelves.SHELVES["objectives"], "listens", (f"{__name__}:LISTENS", "for tests"))
    monkeypatch.setitem(recipes.AXES, "listens", "objective")
    monkeypatch.setitem(recipes.SHIPPED, "listens", r"listens(:(label2x|plain))?")
    monkeypatch.setattr("limbeck.hallway.deploy", lambda *given: None)  # a process of its own per run; deployment has its own tests
    HEARD.clear()
    return str(toy(tmp_path / "toy"))


def notes(n: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "id": f"n{i}",
            "input": f"note {i}: the {COLOURS[i % 4]} room is {'warm' if i % 2 else 'cold'} now",
            "output": ("cold", "warm")[i % 2],
        }
        for i in range(start, start + n)
    ]


def wise(body: dict[str, Any]) -> tuple[int, Any]:
    """Knows the answer but at every fifth note; says why where it is asked for reasons."""
    asked = body["messages"][-1]["content"]
    numbers = re.findall(r"note (\d+):", asked)
    if not numbers:
        return 422, {"error": {"message": "a question about the prompt: it knows nothing of that", "type": "no_recording"}}
    number = int(numbers[-1])
    label = ("cold", "warm")[(number % 2) ^ (number % 5 == 0)]
    said = f"It says how room {number} feels to them. So the answer is {label}." if "Reasons:" in asked else json.dumps({"answer": label})
    return 200, completion(*[said] * body.get("n", 1), usage=(50, 20))


def reasons_asked(server: ChatServer) -> list[str]:
    return [b["messages"][-1]["content"] for b in server.bodies if b["messages"][-1]["content"].endswith("Reasons:")]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


@pytest.fixture
def start(limbeck: Any, tmp_path: Path, base: str) -> Any:
    """start(server or None, *options, rows=...) -> the finished command, in tmp_path/run."""
    (tmp_path / "prompt.md").write_text(PROMPT, encoding="utf-8")

    def run(server: ChatServer | None, *more: Any, rows: list[dict[str, Any]] | None = None, out: str = "run") -> Any:
        file = write(tmp_path / "rows.jsonl", notes(90) if rows is None else rows)
        teacher = ["--teacher", f"{server.address}#wise", "--price", "100/200"] if server else []
        candidates = [] if "--candidates" in more else ["--candidates", f"majority,full+listens@{base}"]
        options = [
            "--rows",
            file,
            *teacher,
            *candidates,
            "--set",
            "epochs=1,members=1",
            "--threads",
            "1",
            "--out",
            tmp_path / out,
            "--json",
        ]
        return limbeck("run", tmp_path / "prompt.md", *options, *more)

    return run


def test_training_rows_get_a_rationale_and_the_report_says_from_whom(start: Any, tmp_path: Path, limbeck: Any) -> None:
    with ChatServer(wise) as server:
        done = start(server)
        assert done.returncode == 0, done.stderr
        asked = len(server.bodies)
        again = start(server)
        assert again.returncode == 0 and len(server.bodies) == asked, "the same command again pays for nothing"
    report, run = json.loads(done.stdout), tmp_path / "run"
    found = report["rationales"]
    train = json.loads((run / "2-splits.json").read_text())["train"]["ids"]
    kept, put_aside = (read_lines(run / f"2-rationales{name}.jsonl", Rationale) for name in ("", "-rejected"))
    assert found["teacher"] == len(kept) > 0.7 * len(train) and found["human"] == 0 and found["asked"] == "blind"
    assert found["rows"] == len(train) == len(kept) + len(put_aside)
    assert found["dropped"] == {"another answer": len(put_aside)} and found["disagree"] == len(put_aside)
    assert all(r.origin.request and r.origin.cost_usd for r in kept)
    assert found["usd"] == pytest.approx(sum(r.origin.cost_usd or 0 for r in (*kept, *put_aside)))
    assert report["ledger"]["by_purpose"]["rationales"]["spent_usd"] >= found["usd"] - 1e-9
    heard = HEARD[0]
    assert sum(why is not None for why in heard) == len(kept) and len(heard) == len(train)
    row = next(r for r in report["rows"] if "listens" in r["recipe"])
    assert next(v for v in row["values"] if v["name"] == "rationales")["value"] == len(kept)
    assert "Rationales" in (run / "5-report.md").read_text() and "another answer" in (run / "5-report.html").read_text()
    told = limbeck("explain", run, kept[0].id)
    assert kept[0].rationale in told.stdout and "was not shown the label" in told.stdout and kept[0].origin.request in told.stdout
    assert "put aside: another answer" in limbeck("explain", run, put_aside[0].id).stdout


def test_rows_of_dev_and_test_are_neither_asked_about_nor_shown(start: Any, tmp_path: Path) -> None:
    with ChatServer(wise) as server:
        assert (
            start(
                server, rows=[{**r, "rationale": f"a person felt note {r['id']}" if i % 9 == 0 else None} for i, r in enumerate(notes(90))]
            ).returncode
            == 0
        )
        asked = reasons_asked(server)
    splits = json.loads((tmp_path / "run" / "2-splits.json").read_text())
    inputs = {r["id"]: r["input"] for r in notes(90)}
    assert asked and any(inputs[i] in text for i in splits["train"]["ids"] for text in asked)
    for name in ("dev", "test"):
        assert splits[name]["ids"] and not [i for i in splits[name]["ids"] if any(inputs[i] in text for text in asked)]


def test_a_persons_rationale_is_shown_to_the_teacher_and_never_replaced(start: Any, tmp_path: Path, limbeck: Any) -> None:
    rows = [{**r, "rationale": f"somebody wrote this at {r['id']}"} if i % 2 else r for i, r in enumerate(notes(90))]
    with ChatServer(wise) as server:
        done = start(server, rows=rows)
        asked = reasons_asked(server)
    report = json.loads(done.stdout)
    train = set(json.loads((tmp_path / "run" / "2-splits.json").read_text())["train"]["ids"])
    own = [r for r in rows if r["id"] in train and "rationale" in r]
    assert report["rationales"]["human"] == len(own) and set(r["rationale"] for r in own) <= set(HEARD[0])
    assert len(asked) == len(train) - len(own) and all("somebody wrote this at" in text for text in asked), "shown, not asked for"
    assert "by person" in limbeck("explain", tmp_path / "run", own[0]["id"]).stdout


def test_a_teacher_who_may_see_the_label_is_told_it_and_the_report_warns(start: Any) -> None:
    with ChatServer(wise) as server:
        done = start(server, "--rationales", "seen", "--rationale-samples", "3")
        bodies = [b for b in server.bodies if b["messages"][-1]["content"].endswith("Reasons:")]
    assert all("Right answer:" in b["messages"][-1]["content"] for b in bodies)
    assert {b.get("n", 1) for b in bodies} == {1, 3}, "one sample for what is shown, three for the rows"
    report = json.loads(done.stdout)
    assert report["rationales"]["asked"] == "seen" and any("shown the labels" in w for w in report["warnings"])


def test_unlabelled_rows_get_label_and_rationale_from_one_completion(start: Any, tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.jsonl", [{"id": f"u{r['id']}", "input": r["input"]} for r in notes(20, 200)])
    with ChatServer(wise) as server:
        done = start(server, "--unlabelled", bare)
        assert done.returncode == 0, done.stderr
        about = [b for b in server.bodies if re.findall(r"note (\d+):", b["messages"][-1]["content"])[-1:] >= ["200"]]
        about = [b for b in about if int(re.findall(r"note (\d+):", b["messages"][-1]["content"])[-1]) >= 200]
    assert len(about) == 20, "asked once each"
    labelled = read_lines(tmp_path / "run" / "2-labelled.jsonl", Example)
    assert len(labelled) == 20 and all(r.rationale and r.output and r.origin.template == "reasons.1" for r in labelled)
    report = json.loads(done.stdout)
    assert report["rationales"]["by_teacher_label"] == 20 and report["rationales"]["rows"] == len(HEARD[0])


def test_without_a_teacher_and_without_a_rationale_the_candidate_is_skipped_and_says_what_to_type(start: Any, base: str) -> None:
    done = start(None)
    row = next(r for r in json.loads(done.stdout)["rows"] if "listens" in r["recipe"])
    assert row["state"] == "skipped" and "--teacher" in row["reason"] and "rationale" in row["reason"]
    assert not HEARD


def test_without_a_teacher_persons_rationales_are_enough(start: Any, tmp_path: Path) -> None:
    done = start(None, rows=[{**r, "rationale": f"I felt it at {r['id']}"} for r in notes(60)])
    report = json.loads(done.stdout)
    assert next(r for r in report["rows"] if "listens" in r["recipe"])["state"] == "ok"
    assert report["rationales"]["human"] == report["rationales"]["rows"] == len(HEARD[0]) and all(HEARD[0])


def test_nobody_is_asked_where_no_candidate_learns_from_it(start: Any, base: str) -> None:
    with ChatServer(wise) as server:
        done = start(server, "--candidates", f"majority,full@{base},full+listens:label2x@{base}")
        assert not reasons_asked(server)
    assert json.loads(done.stdout)["rationales"] == {}


def test_a_recording_that_holds_rationales_gives_them_offline(start: Any, tmp_path: Path) -> None:
    rows = notes(90)
    write(
        tmp_path / "said.jsonl",
        [{"input": r["input"], "label": r["output"], "rationale": f"Somebody felt it in room {r['id']}."} for r in rows],
    )
    done = start(None, "--teacher", f"recorded:{tmp_path / 'said.jsonl'}", rows=rows)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["rationales"]["teacher"] == report["rationales"]["rows"] == len(HEARD[0]), done.stderr
    assert HEARD[0][0] and HEARD[0][0].startswith("Somebody felt it in room")


@pytest.mark.parametrize("wrong", [("--set", "keep_rationales=some"), ("--rationale-samples", "0")])
def test_an_option_that_makes_no_sense_costs_nothing(start: Any, wrong: tuple[str, str]) -> None:
    with ChatServer(wise) as server:
        done = start(server, *wrong)
        assert done.returncode == 2 and "rationale" in done.stdout + done.stderr and not server.bodies, done.stderr


def test_the_estimate_counts_them_before_and_the_bill_lies_within(start: Any) -> None:
    with ChatServer(wise) as server:
        look = start(server, "--dry-run")
        assert not server.bodies
        done = start(server)
    plan, report = json.loads(look.stdout)["estimate"], json.loads(done.stdout)
    line = next(line for line in plan["lines"] if "rationales" in line["recipe"])
    assert line["usd"] > 0 and plan["calls"] >= report["ledger"]["replies"]
    assert plan["usd_high"] >= report["ledger"]["spent_usd"]


def test_the_cap_holds_over_http_and_the_same_command_with_more_money_goes_on(start: Any, tmp_path: Path) -> None:
    """One reply costs 0.009 USD; the cap lets about a third of the rows through. What is in flight is the only overshoot."""
    with ChatServer(wise) as server:
        done = start(server, "--budget", "0.3usd")
        first = len(server.bodies)
        report = json.loads(done.stdout)
        assert 0.3 - 0.009 <= report["ledger"]["spent_usd"] <= 0.3 + 8 * 0.009 and first <= 0.3 / 0.009 + 8
        found = report["rationales"]
        assert not found["complete"] and 0 < found["teacher"] < found["rows"]
        row = next(r for r in report["rows"] if "listens" in r["recipe"])
        value = next(v for v in row["values"] if v["name"] == "rationales")
        assert value["value"] == found["teacher"] and str(found["rows"]) in value["why"]
        assert any(f"{found['teacher']} of {found['rows']} training rows" in w for w in report["warnings"])
        more = json.loads(start(server, "--budget", "5usd").stdout)
        assert more["rationales"]["complete"] and more["rationales"]["teacher"] > found["teacher"]
        bodies = [json.dumps(b, sort_keys=True) for b in server.bodies]
        assert len(bodies) == len(set(bodies)), "nothing was paid for twice"
    assert sum(w is not None for w in HEARD[-1]) >= more["rationales"]["teacher"], "the candidate was trained again, with all of them"
