"""A fit that was killed, ran out of time, or is asked for twice."""

# ruff: noqa: E402  (the imports below need torch)

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from limbeck.testing import adapters
from limbeck.testing.toys import toy
from limbeck.types import Kind

CODE = """
import sys
from dataclasses import replace
from pathlib import Path
import time
from limbeck.testing import adapters
from limbeck.types import Kind
base, folder, pause = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
adapters.fit(replace(adapters.job_of("full", Kind.LABEL, base, folder), note=lambda done, total, what: time.sleep(pause)))
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(toy(tmp_path_factory.mktemp("toy") / "encoder"))


def test_kill_minus_9_then_the_same_weights(base: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([sys.executable, "-c", CODE, base, str(tmp_path / "killed"), "0.05"], env=environment)
    patience = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("epoch-*")) and time.monotonic() < patience:
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "trained").exists()
    first = adapters.job_of("full", Kind.LABEL, base, tmp_path / "whole")
    seen: list[int] = []
    resumed = adapters.fit(replace(first, folder=tmp_path / "killed", note=lambda done, total, what: seen.append(done)))
    whole = adapters.fit(first)
    assert seen[0] > 1, "it has to take up the checkpoint"
    assert [line["train_loss"] for line in resumed.history] == [line["train_loss"] for line in whole.history]
    ours, theirs = (f.predictor.student.state_dict() for f in (whole, resumed))  # type: ignore[attr-defined]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_finished_fit_is_not_trained_again(base: str, tmp_path: Path) -> None:
    job = adapters.job_of("lora", Kind.LABEL, base, tmp_path, epochs=3)
    first = adapters.fit(job)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["speed.json", "trained"]

    def never(done: int, total: int, what: str) -> None:
        raise AssertionError("trained again")

    second = adapters.fit(replace(job, note=never))
    assert second.history == first.history and second.chosen == first.chosen
    assert second.predictor.predict(adapters.blind(job)) == first.predictor.predict(adapters.blind(job))


def test_a_checkpoint_of_another_job_is_not_taken_up(base: str, tmp_path: Path) -> None:
    job = adapters.job_of("full", Kind.LABEL, base, tmp_path, epochs=2)
    adapters.fit(job)
    other = adapters.fit(replace(job, train=job.train[:6]))
    alone = adapters.fit(replace(job, train=job.train[:6], folder=tmp_path / "alone"))
    assert other.history[0]["train_loss"] == alone.history[0]["train_loss"]


def test_the_clock_stops_at_the_end_of_an_epoch_and_it_is_said(base: str, tmp_path: Path) -> None:
    said: list[str] = []
    job = replace(adapters.job_of("full", Kind.LABEL, base, tmp_path), deadline_s=0.0, note=lambda done, total, what: said.append(what))
    fitted = adapters.fit(job)
    assert len(fitted.history) == 1 and fitted.chosen == {"epochs": 1}
    assert "clock" in fitted.not_deterministic and "clock" in said[-1]


def test_no_better_dev_score_stops_early_and_the_best_epoch_is_kept(base: str, tmp_path: Path) -> None:
    job = adapters.job_of("full", Kind.LABEL, base, tmp_path, patience=2, epochs=20, lr=0.0, head_lr=0.0, average=0.0, dropout=0.0)
    fitted = adapters.fit(job)
    assert len(fitted.history) == 3 and fitted.chosen == {"epochs": 1}


def test_without_dev_all_epochs_are_trained(base: str, tmp_path: Path) -> None:
    job = replace(adapters.job_of("full", Kind.LABEL, base, tmp_path, epochs=4), dev=())
    fitted = adapters.fit(job)
    assert len(fitted.history) == 4 and fitted.chosen == {"epochs": 4} and "dev" not in fitted.history[0]


def test_lora_trains_what_the_formula_says(base: str, tmp_path: Path) -> None:
    job = adapters.job_of("lora", Kind.LABEL, base, tmp_path, epochs=1)
    fitted = adapters.fit(replace(job, recipe=job.recipe.model_copy(update={"args": ("r4",)})))
    layers = 2 * (4 * (64 + 64) + (64 + 128) + (128 + 64))  # q, k, v, o; up; down; two layers
    assert fitted.trainable_parameters == 4 * layers + 3 * 64  # and the class vectors


def test_rates_and_decay_per_parameter(base: str) -> None:
    from limbeck.engine.encoder import CosineHead, EncoderStudent
    from limbeck.engine.load import load_base
    from limbeck.engine.loop import parameter_groups
    from limbeck.engine.numbers import Numbers

    student = EncoderStudent(load_base(base).model, "cosine", CosineHead(64, 3))
    groups = parameter_groups(student, Numbers(lr=1e-4, head_lr=1e-2, layer_decay=0.5, weight_decay=0.1))
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    named = {name: rates[id(p)] for name, p in student.named_parameters()}
    assert named["head.weight"] == (1e-2, 0.0)
    assert named["backbone.encoder.layer.1.output.dense.weight"] == (1e-4, 0.1)
    assert named["backbone.encoder.layer.0.output.dense.weight"] == (5e-5, 0.1)
    assert named["backbone.encoder.layer.0.output.dense.bias"] == (5e-5, 0.0)
    assert named["backbone.embeddings.word_embeddings.weight"] == (2.5e-5, 0.1)


def test_speed_of_a_resumed_fit_is_that_of_the_first(base: str, tmp_path: Path) -> None:
    from limbeck.engine.device import settle_speed

    job = replace(adapters.job_of("full", Kind.LABEL, base, tmp_path), threads=None, dtype=None)
    (tmp_path / "speed.json").write_text(json.dumps({"threads": 3, "dtype": "bfloat16", "why": "so it was"}))
    assert settle_speed(job).threads == 3
