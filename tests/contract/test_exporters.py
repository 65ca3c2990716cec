"""Every exporter on the shelf keeps the contract; a student folder refuses to load when it is damaged."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

import limbeck
from limbeck import registry
from limbeck.engine.load import CAUSAL, SEQ2SEQ
from limbeck.errors import ModelError, UsageError
from limbeck.registry import FitJob, Fitted
from limbeck.testing import adapters, exporters
from limbeck.testing.toys import toy
from limbeck.types import Kind


@pytest.fixture(scope="module", params=[Kind.LABEL, Kind.CHOICE, Kind.SCORE])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[FitJob, Fitted]:
    base = toy(tmp_path_factory.mktemp("toy") / "encoder")
    job = adapters.job_of("head", request.param, str(base), tmp_path_factory.mktemp("fit"))
    return job, adapters.fit(job)


@pytest.mark.parametrize("name", registry.names("exporters"))
def test_exported_student_answers_as_evaluated(name: str, case: tuple[FitJob, Fitted], tmp_path: Path) -> None:
    destination = exporters.writes_files_that_are_there(name, *case, tmp_path)
    exporters.answers_as_evaluated(*case, destination, tmp_path / "elsewhere")


@pytest.mark.parametrize("kind", [Kind.LABEL, Kind.TEXT])
@pytest.mark.parametrize("family", [SEQ2SEQ, CAUSAL])
def test_exported_student_that_writes_answers_as_evaluated(family: str, kind: Kind, tmp_path: Path) -> None:
    base = toy(tmp_path / "base", family)
    job = adapters.job_of("lora", kind, str(base), tmp_path / "fit", epochs=3)
    fitted = adapters.fit(job)
    destination = exporters.writes_files_that_are_there("folder", job, fitted, tmp_path)
    exporters.answers_as_evaluated(job, fitted, destination, tmp_path / "elsewhere")


@pytest.fixture
def folder(case: tuple[FitJob, Fitted], tmp_path: Path) -> Path:
    return exporters.writes_files_that_are_there("folder", *case, tmp_path)


def test_student_takes_strings_and_dicts(case: tuple[FitJob, Fitted], folder: Path) -> None:
    job, fitted = case
    student = limbeck.load(str(folder))
    assert student.task == job.task and student.card.recipe == job.recipe.text
    row = job.train[0]
    given = row.input if job.task.kind is not Kind.CHOICE else {"input": row.input, "choices": list(row.choices or ())}
    assert student.predict([given])[0].text == fitted.predictor.predict([row.blind()])[0].text
    for wrong in ("a text, no list", [7], [{"text": "no input"}]):
        with pytest.raises(UsageError):
            student.predict(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["model.safetensors", "head.safetensors", "tokenizer.json"])
def test_damaged_folder_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        limbeck.load(str(folder))
    (folder / name).unlink()
    with pytest.raises(ModelError, match="missing"):
        limbeck.load(str(folder))


def test_folder_of_another_version_is_refused(folder: Path) -> None:
    card = json.loads((folder / "student.json").read_text())
    (folder / "student.json").write_text(json.dumps({**card, "render": "0"}))
    with pytest.raises(ModelError, match="another version"):
        limbeck.load(str(folder))


def test_no_student_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no student folder"):
        limbeck.load(str(tmp_path / "nothing"))


def test_readme_names_licence_origins_and_use(case: tuple[FitJob, Fitted], folder: Path) -> None:
    text = (folder / "README.md").read_text()
    for part in ("apache-2.0", "8 gold", "limbeck.load", case[0].recipe.text, case[0].task.instruction):
        assert part in text
