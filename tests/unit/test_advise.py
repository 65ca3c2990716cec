"""Advice is a sum of stated evidence: what was measured on the rows outweighs the rest, and every claim from elsewhere has its source."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest

from limbeck import advise_rules
from limbeck.advise import commands, facts_of, way_of
from limbeck.advise_rules import RULES, WAYS, Facts
from limbeck.run import write_json
from limbeck.types import Kind, Settings, Task
from tests.conftest import ROOT, call_limbeck, write_jsonl
from tests.unit.report_fixture import prompting_wins, twelve_labels

TASK = Task(name="mail", instruction="Sort the mail.", kind=Kind.LABEL, labels=("a", "b"), metric="accuracy")
PLENTY = Facts(
    task=TASK, prompt="p.md", options=("--rows rows.csv",), rows=1000, train=680, dev=120, test=200, unlabelled=0, chars=80, rationales=0,
    prompt_tokens=120.0, call_usd=0.0002, teacher="gpt-4o-mini", remote=True, documents=0, document_tokens=0, private=False,
    latency_ms=None, calls=None, budget_usd=5.0, report=None, run="",
)  # fmt: skip
CASES = {
    "plenty of rows": (PLENTY, "training"),
    "no rows": (replace(PLENTY, rows=0, train=0, dev=0, test=0), "rows"),
    "a handful": (replace(PLENTY, rows=20, train=8, dev=4, test=8), "rows"),
    "general knowledge": (replace(PLENTY, task=TASK.model_copy(update={"kind": Kind.CHOICE, "labels": ()})), "prompting"),
    "free text": (replace(PLENTY, task=TASK.model_copy(update={"kind": Kind.TEXT, "labels": ()})), "prompting"),
    "documents": (replace(PLENTY, task=TASK.model_copy(update={"kind": Kind.TEXT, "labels": ()}), documents=40, document_tokens=900_000), "retrieval"),
    "documents that are asked about often": (replace(PLENTY, task=TASK.model_copy(update={"kind": Kind.TEXT, "labels": ()}), documents=40, document_tokens=900_000, calls=1e6), "retrieval"),
    "many unlabelled": (replace(PLENTY, train=10, test=100, unlabelled=5000, budget_usd=10.0), "augment"),
    "private": (replace(PLENTY, private=True, task=TASK.model_copy(update={"kind": Kind.CHOICE, "labels": ()})), "training"),
    "the prompt won here": (replace(PLENTY, report=prompting_wins(), run="runs/x"), "prompting"),
}  # fmt: skip


def ways(facts: Facts):
    evidence = [one for rule in RULES for one in rule(facts)]
    return sorted((way_of(name, evidence) for name in WAYS), key=lambda way: (way.ruled_out, -way.points)), evidence


@pytest.mark.parametrize("name", CASES)
def test_what_comes_first(name):
    facts, first = CASES[name]
    assert ways(facts)[0][0].name == first


@pytest.mark.parametrize("name", CASES)
def test_every_claim_from_elsewhere_names_its_source_and_no_claim_of_a_measurement_lacks_a_run(name):
    facts, _ = CASES[name]
    for one in ways(facts)[1]:
        assert one.way in WAYS and one.text.endswith((".", "%).", ")"))
        assert one.source or one.how in ("arithmetic", "your wish", "expected"), one.text
        assert one.how != "measured here" or facts.report is not None


@pytest.mark.parametrize("name", CASES)
def test_every_command_that_is_offered_is_one_that_the_command_line_reads(name):
    facts, _ = CASES[name]
    from limbeck.cli.main import limbeck

    for first in WAYS:
        for line in commands(facts, first):
            words = shlex.split(line)
            assert words[0] == "limbeck"
            command, rest = limbeck, words[1:]
            while hasattr(command, "get_command"):
                command, rest = command.get_command(None, rest[0]), rest[1:]
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in rest if word.startswith("-")} <= known, line


def test_a_finished_run_outweighs_what_was_found_elsewhere():
    """On these rows a prompt won, though with so many rows a label our studies speak for training."""
    order, evidence = ways(CASES["the prompt won here"][0])
    told = next(one for one in evidence if one.points == 6)
    assert told.how == "measured here" and told.source == "runs/x" and order[0].evidence[0] == told


def test_a_hosted_model_is_ruled_out_where_texts_may_not_leave():
    order, _ = ways(CASES["private"][0])
    assert {way.name for way in order if way.ruled_out} == {"prompting", "retrieval", "augment"}
    local = replace(CASES["private"][0], teacher="local:./model", remote=False)
    assert not any(way.ruled_out for way in ways(local)[0])


def test_a_latency_that_the_run_did_not_reach_rules_its_group_out():
    report = twelve_labels()
    slow = min(r.latency_p95_ms for r in report.rows if r.group == "prompt" and r.latency_p95_ms)
    found = advise_rules.latency_here(replace(PLENTY, report=report, latency_ms=slow / 2))
    assert any(one.way == "prompting" and one.rules_out for one in found)
    assert not any(one.rules_out for one in advise_rules.latency_here(replace(PLENTY, report=report, latency_ms=1e6)))
    assert advise_rules.latency_here(replace(PLENTY, latency_ms=10)) == []  # nothing measured, nothing claimed


def test_what_is_learnt_from_documents_gains_with_the_calls():
    rare, often = (
        next(w for w in ways(CASES[name][0])[0] if w.name == "augment") for name in ("documents", "documents that are asked about often")
    )
    assert often.points > rare.points > 0 and rare.evidence[0].how == "published"
    assert "augment:both" in commands(CASES["documents"][0], "augment")[0]


def test_the_interval_of_a_small_test_by_hand():
    told = advise_rules.enough_to_measure(replace(PLENTY, test=24))[0]
    assert "24 rows" in told.text and "+-20 points" in told.text  # 1.96 * sqrt(.25 / 24) = .2000
    assert advise_rules.enough_to_measure(replace(PLENTY, test=200)) == []


def test_what_calls_cost_by_hand():
    told = advise_rules.cost_of_calls(replace(PLENTY, calls=1e6))[0]
    assert told.way == "training" and "$200.00" in told.text and "$0.2 per 1,000" in told.text
    assert advise_rules.cost_of_calls(replace(PLENTY, calls=1000))[0].way == "prompting"
    assert advise_rules.cost_of_calls(replace(PLENTY, calls=1000, call_usd=None)) == []


def test_the_facts_are_those_of_the_files(tmp_path):
    rows = [{"id": str(i), "input": f"mail {i}", "output": "ab"[i % 2]} for i in range(100)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("x" * 400)
    settings = Settings(prompt="p.md", rows=(str(tmp_path / "rows.jsonl"),), docs=str(tmp_path / "docs"), teacher="gpt-4o-mini")
    facts = facts_of(settings, "Sort the mail.", None, False, None, None, ())
    assert (facts.rows, facts.train, facts.dev, facts.test) == (100, 68, 12, 20)  # as make_splits cuts them
    assert (facts.documents, facts.document_tokens) == (1, 100) and facts.remote
    read_usd = round(facts.prompt_tokens) * 0.15e-6
    assert facts.call_usd is not None and read_usd < facts.call_usd < read_usd + 20 * 0.60e-6  # and an answer of a few tokens


def test_the_command_says_its_reasons_and_what_it_does_not_know(tmp_path):
    prompt = ROOT / "examples" / "kettle" / "prompt.md"
    done = call_limbeck("advise", prompt, "--calls", "100000")
    assert done.returncode == 0, done.stderr
    assert "First: training" in done.stdout and "nothing was measured on your rows" in done.stdout
    assert f"limbeck run {prompt}" in done.stdout and "[our study, README, banking77]" in done.stdout
    write_json(tmp_path / "old" / "5-report.json", twelve_labels())
    write_json(tmp_path / "new" / "5-report.json", twelve_labels().model_copy(update={"advice": "prompt", "verdict": "Keep prompting."}))
    report = json.loads(call_limbeck("advise", prompt, "--runs", tmp_path, "--json").stdout)
    assert report["first"] == "prompting" and report["ways"][0]["evidence"][0]["how"] == "measured here"
    assert not any("nothing was measured" in text for text in report["not_known"])


def test_a_folder_without_a_run_is_told(tmp_path):
    done = call_limbeck("advise", ROOT / "examples" / "kettle" / "prompt.md", "--runs", tmp_path)
    assert done.returncode == 2 and "5-report.json is not there" in done.stderr
