"""A student whose adapter is not merged travels whole: base, edits and head in one flat folder."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import limbeck
from limbeck.engine.predict import load_predictor
from limbeck.errors import ModelError
from limbeck.testing import adapters, exporters
from limbeck.testing.toys import toy
from limbeck.types import Kind


def test_an_exported_loreft_student_answers_as_evaluated(tmp_path: Path) -> None:
    job = adapters.job_of("loreft", Kind.LABEL, str(toy(tmp_path / "toy")), tmp_path / "fit", epochs=6)
    fitted = adapters.fit(job)
    folder = exporters.writes_files_that_are_there("folder", job, fitted, tmp_path)
    assert {"model.safetensors", "reft.safetensors", "reft_config.json"} <= {p.name for p in folder.iterdir()}
    exporters.answers_as_evaluated(job, fitted, folder, tmp_path / "elsewhere")
    folder = tmp_path / "elsewhere"
    student = load_predictor(folder)
    with student.student.backbone.disable_adapter():
        plain = student.predict(adapters.blind(job))
    assert any(abs(a.confidence - b.confidence) > 1e-3 for a, b in zip(plain, student.predict(adapters.blind(job)), strict=True)), (
        "without its edits it would answer otherwise"
    )
    (folder / "reft.safetensors").unlink()
    with pytest.raises(ModelError, match="missing"):
        limbeck.load(str(folder))
