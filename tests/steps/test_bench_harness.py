"""Our predictors under lm-evaluation-harness answer as they answer without it, row by row; what they cannot give is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: pip install 'limbeck[bench]'")

import limbeck as front
from limbeck.bench import harness, harness_open
from limbeck.bench.harness_models import Items, Writes
from limbeck.engine import bare
from limbeck.engine.load import CAUSAL, SEQ2SEQ, load_base
from limbeck.engine.score import likelihoods
from limbeck.errors import UsageError
from limbeck.testing import adapters, exporters
from limbeck.testing.chat_server import ChatServer, completion
from limbeck.testing.toys import toy
from limbeck.types import Kind
from tests.conftest import write_jsonl

Limbeck = Callable[..., Any]


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """{name: (student folder, its rows)}: encoder, encoder-decoder and decoder-only, of three kinds."""
    found = {}
    for name, recipe, kind, family in (
        ("encoder-label", "head", Kind.LABEL, "encoder"),
        ("encoder-choice", "head", Kind.CHOICE, "encoder"),
        ("seq2seq-choice", "lora", Kind.CHOICE, SEQ2SEQ),
        ("causal-label", "lora", Kind.LABEL, CAUSAL),
        ("causal-text", "lora", Kind.TEXT, CAUSAL),
    ):
        folder = tmp_path_factory.mktemp(name)
        job = adapters.job_of(
            recipe, kind, str(toy(folder / "base", family)), folder / "fit", **({} if recipe == "head" else {"epochs": 2})
        )
        student = exporters.writes_files_that_are_there("folder", job, adapters.fit(job), folder)
        rows = [row.model_dump(exclude_none=True, include={"id", "input", "output", "choices"}) for row in job.train]
        found[name] = student, write_jsonl(folder / "rows.jsonl", rows)
    return found


def answers_of(limbeck: Limbeck, student: Path, rows: Path) -> list[dict[str, Any]]:
    done = limbeck("predict", student, "--in", rows)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("name", ["encoder-label", "encoder-choice", "seq2seq-choice", "causal-label", "causal-text"])
def test_own_rows_come_out_as_limbeck_predicts_them(name: str, students: Any, limbeck: Limbeck, tmp_path: Path):
    student, rows = students[name]
    done = limbeck("bench", "harness", student, "--tasks", "own", "--rows", rows, "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    gold = [json.loads(line)["output"] for line in rows.read_text().splitlines()]
    said = [answer["output"] for answer in answers_of(limbeck, student, rows)]
    share = sum(a == b for a, b in zip(said, gold, strict=True)) / len(gold)
    figure = next(f for f in result["figures"] if f["metric"] in ("acc", "exact_match"))
    assert figure["value"] == pytest.approx(share) and figure["stderr"] is not None
    assert result["rows"] == result["of"] == len(gold) and result["cut"] == 0
    items = [json.loads(line) for line in (tmp_path / "own-items.jsonl").read_text().splitlines()]
    predictor = front.load(str(student)).predictor
    shown = [json.loads(line) for line in (tmp_path / "tasks" / "own" / "rows.jsonl").read_text().splitlines()]
    for item, row, answer in zip(items, shown, said, strict=True):
        assert {context for context, _ in item["asked"]} == {row["prompt"]}, "the prompt of the row is what was asked, to the letter"
        if name == "causal-text":
            assert item["read"][0] == answer
            continue
        example = front.load(str(student)).example({"input": row["input"], "choices": row["choices"]}, 0)
        logits = predictor.logits([example])[0]
        if name.startswith("encoder"):
            logits = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        assert [value[0] for value in item["read"]] == pytest.approx(list(logits), abs=1e-4)
        assert row["choices"][max(range(len(logits)), key=lambda i: (item["read"][i][0], -i))] == answer


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks as somebody else writes them: options, texts, and one that names no rows for its demonstrations."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {"q": f"{w} is", "options": ["red", "hot tea"], "gold": i % 2, "said": ["red", "hot tea"][i % 2]}
        for i, w in enumerate(("lamp", "tea", "door"))
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    head = f"dataset_path: json\ndataset_kwargs:\n  data_files: {{test: {folder}/rows.jsonl}}\n  cache_dir: {folder}/.cache\ntest_split: test\ndoc_to_text: q\n"
    choose = f"{head}output_type: multiple_choice\ndoc_to_choice: options\ndoc_to_target: gold\nmetadata: {{version: 7}}\n"
    metric = "metric_list:\n  - {metric: acc, aggregation: mean, higher_is_better: true}\n"
    (folder / "choose.yaml").write_text(f"task: choose\n{choose}{metric}")
    (folder / "leaks.yaml").write_text(f"task: leaks\nnum_fewshot: 2\n{choose}{metric}")
    said = 'output_type: generate_until\ndoc_to_target: said\ngeneration_kwargs: {until: ["."], max_gen_toks: 6}\n'
    (folder / "says.yaml").write_text(f"task: says\n{head}{said}{metric.replace('acc', 'exact_match')}")
    return folder


def run(model: str, names: str, tasks: Path, out: Path, **how: Any) -> list[harness.Result]:
    asked = harness.How(out=out, data=out / "none", include=tasks, **how)
    opened = harness_open.open_model(model)
    return harness.bench(opened, names.split(","), asked)


@pytest.fixture
def small_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the tasks of the test: to read the list of all of the harness's own takes a while."""
    whole = harness.load
    monkeypatch.setattr(harness, "load", lambda name, paths, *, defaults: whole(name, paths, defaults=False))


def test_a_base_scores_options_as_engine_score_does(tasks: Path, tmp_path: Path, small_index: None):
    (result,) = run("prompt@tiny-lm", "choose", tasks, tmp_path)
    assert result.version == "7" and result.rows == 3
    items = [json.loads(line) for line in (tmp_path / "choose-items.jsonl").read_text().splitlines()]
    wanted = likelihoods(load_base("tiny-lm", shared=True), [i["asked"][0][0] for i in items], [["red", "hot tea"]] * 3, with_end=False)
    for item, line in zip(items, wanted, strict=True):
        assert [value[0] for value in item["read"]] == pytest.approx([one.log_prob for one in line], abs=1e-4)
    kept = json.loads((tmp_path / "choose.json").read_text())
    assert kept["versions"]["lm-eval"] and kept["model_sha"] == load_base("tiny-lm", shared=True).sha


def test_likelihoods_are_those_of_the_harness_own_model_class(tmp_path: Path):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    base = load_base("tiny-lm")
    pairs = [("The lamp is", " broken"), ("Where is my parcel?\nAnswer:", " late"), ("The tea", " was hot.")]
    requests = [Instance("loglikelihood", {}, pair, 0, ("t", i, 1)) for i, pair in enumerate(pairs)]
    theirs = HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=1).loglikelihood(requests, disable_tqdm=True)
    ours = Writes(bare.of_base(base), greedy=True).loglikelihood(requests)
    assert [v for v, _ in ours] == pytest.approx([v for v, _ in theirs], abs=1e-4)
    assert [flag for _, flag in ours] == [bool(flag) for _, flag in theirs]


def test_the_same_command_again_asks_the_model_nothing(tasks: Path, tmp_path: Path, small_index: None, monkeypatch: pytest.MonkeyPatch):
    first = run("prompt@tiny-lm", "choose,says", tasks, tmp_path)
    file = next((tmp_path / "answers").iterdir())
    file.write_text(file.read_text() + '["broken off, {')
    monkeypatch.setattr(bare.Bare, "likelihoods", None)
    monkeypatch.setattr(bare.Bare, "write", None)
    again = run("prompt@tiny-lm", "choose,says", tasks, tmp_path)
    assert [r.model_copy(update={"seconds": 0}) for r in first] == [r.model_copy(update={"seconds": 0}) for r in again]
    assert len(Items(file).known) == len(Items(file).known | {}) > 0


def test_what_cannot_be_asked_is_named(tmp_path: Path):
    for spec, said in (("lora:r8@minilm", "has to be trained first"), ("tiny-ml", "did you mean tiny-lm"), ("minilm", "it is an encoder")):
        with pytest.raises(UsageError) as refused:
            run(spec, "own", tmp_path, tmp_path) if spec != "minilm" else bare.of_base(load_base("minilm"))
        assert said in refused.value.have


def test_demonstrations_out_of_the_tested_rows_are_refused(tasks: Path, tmp_path: Path, small_index: None):
    with pytest.raises(UsageError, match="demonstrations would come from the rows that are tested"):
        run("prompt@tiny-lm", "leaks", tasks, tmp_path)
    with pytest.raises(UsageError, match="demonstrations would come"):
        run("prompt@tiny-lm", "choose", tasks, tmp_path, shots=1)


def test_an_encoder_is_refused_what_it_cannot_give_and_the_rest_stands(students: Any, tasks: Path, tmp_path: Path, small_index: None):
    student, rows = students["encoder-label"]
    asked = harness.How(out=tmp_path, data=tmp_path, include=tasks)
    found = harness.bench(harness_open.open_model(str(student)), ["says", "choose", "own"], asked, rows=str(rows))
    assert [r.state for r in found] == ["refused", "refused", "ok"]
    assert "writes nothing" in found[0].reason and "hot tea" in found[1].reason and "red, green, blue" in found[1].reason


def test_a_teacher_writes_over_http_is_paid_once_and_gives_no_likelihoods(tasks: Path, limbeck: Limbeck, tmp_path: Path, small_index: None):
    def answer(body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        return (
            (400, {"error": {"message": "no"}})
            if text.startswith("door")
            else (200, completion("hot tea. And more." if "tea" in text else "red"))
        )

    with ChatServer(answer) as server:
        for _ in range(2):
            done = limbeck(
                "bench", "harness", f"{server.address}#small", "--tasks", "says,choose", "--include", tasks, "--price", "1/1", "--out", tmp_path, "--json",
                env={"OPENAI_API_KEY": "none", "HF_HUB_OFFLINE": "1"},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            says, choose = json.loads(done.stdout)
            assert says["figures"][0]["value"] == pytest.approx(2 / 3) and says["failed"] == 1
            assert choose["state"] == "refused" and "no likelihoods" in choose["reason"]
        assert len([b for b in server.bodies if not b["messages"][-1]["content"].startswith("door")]) == 2


# ---- public rows --------------------------------------------------------------------------------------------------------


def write_public(folder: Path, name: str, split: str, rows: list[dict[str, Any]]) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / name / f"{split}.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of our own in the form of the public ones."""
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "test"):
        sums = [
            {"id": str(i), "input": f"What is {i} and {i}?", "rationale": f"{i} + {i} = {2 * i}", "output": str(2 * i)} for i in range(6)
        ]
        asked = [{"id": str(i), "input": f"what is lamp {i}", "output": "red", "meta": {"answers": ["red", "Red."]}} for i in range(4)]
        write_public(folder, "gsm8k", split, sums)
        write_public(folder, "nq_open", split, asked)
    program = {
        "id": "H/0",
        "input": "def two():\n",
        "output": "    return 2\n",
        "meta": {"entry_point": "two", "test": "def check(f):\n    assert f() == 2\n"},
    }
    write_public(folder, "humaneval", "test", [program])
    return folder


def test_public_suites_run_over_local_rows_with_every_filter(data: Path, limbeck: Limbeck, tmp_path: Path):
    command = (
        "bench",
        "harness",
        "tiny-lm",
        "--tasks",
        "gsm8k,nq_open,humaneval",
        "--data",
        data.parent / data.name,
        "--limit",
        "2",
        "--out",
        tmp_path,
    )
    done = limbeck(*command)
    assert done.returncode == 0, done.stderr
    assert "strict-match" in done.stdout and "flexible-extract" in done.stdout and "2 of 6" in done.stdout
    assert "humaneval: refused. HumanEval runs programs" in done.stdout, "nobody allowed it"
    items = [json.loads(line) for line in (tmp_path / "gsm8k-items.jsonl").read_text().splitlines()]
    assert {i["filter"] for i in items} == {"strict-match", "flexible-extract"} and len(items) == 4
    context = items[0]["asked"][0][0]
    assert context.count("####") == 5, "five demonstrations, from the training rows"
    assert json.loads((tmp_path / "nq_open.json").read_text())["shots"] == 1


def test_humaneval_runs_what_was_written_where_that_is_allowed(data: Path, limbeck: Limbeck, tmp_path: Path):
    with ChatServer(lambda body: (200, completion("    return 1 + 1\n\nprint(two())"))) as server:
        command = (
            "bench",
            "harness",
            f"{server.address}#small",
            "--tasks",
            "humaneval",
            "--data",
            data,
            "--out",
            tmp_path,
            "--run-code",
            "--json",
        )
        done = limbeck(*command, env={"OPENAI_API_KEY": "none", "LIMBECK_RUN_CODE": "0"})
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert result["figures"] == [{"metric": "pass@1", "filter": "none", "value": 1.0, "stderr": None}] and result["version"] == "limbeck-1"


# ---- the real rows, where they are ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_suite_runs_over_the_shared_rows(shared: Path, limbeck: Limbeck, tmp_path: Path):
    command = (
        "bench",
        "harness",
        "tiny-lm",
        "--tasks",
        "mmlu,gsm8k,bbh,nq_open,humaneval",
        "--data",
        shared / "data",
        "--limit",
        "20",
        "--run-code",
    )
    done = limbeck(*command, "--out", tmp_path, "--json", env={"LIMBECK_RUN_CODE": "0"})
    assert done.returncode == 0, done.stderr
    found = {r["task"]: r for r in json.loads(done.stdout)}
    assert found["mmlu"]["rows"] == 57 * 20 and abs(found["mmlu"]["figures"][0]["value"] - 0.25) < 0.06, "chance"
    assert len(found["bbh"]["parts"]) == 27 and found["gsm8k"]["figures"][0]["value"] < 0.2
