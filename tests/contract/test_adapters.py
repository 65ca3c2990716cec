"""Every adapter on the shelf keeps the contract, for every closed kind that it takes."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from limbeck.errors import MissingExtra
from limbeck.registry import FitJob, Fitted
from limbeck.testing import adapters
from limbeck.testing.toys import toy
from limbeck.types import Kind


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(toy(tmp_path_factory.mktemp("toy") / "encoder"))


@pytest.fixture(scope="module", params=adapters.cases(), ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest, base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[FitJob, Fitted]:
    name, kind = request.param
    job = adapters.job_of(name, Kind(kind), base, tmp_path_factory.mktemp(name))
    try:
        return job, adapters.fit(job)
    except MissingExtra as missing:
        pytest.skip(f"{missing.what}; {missing.do}")


def test_answers_every_row(case: tuple[FitJob, Fitted]) -> None:
    adapters.answers_every_row(*case)


def test_same_answers_in_any_batch(case: tuple[FitJob, Fitted]) -> None:
    adapters.same_answers_in_any_batch(*case)


def test_learns_eight_rows_by_heart(case: tuple[FitJob, Fitted]) -> None:
    adapters.learns_by_heart(*case)


def test_loss_falls(case: tuple[FitJob, Fitted]) -> None:
    adapters.loss_falls(*case)


def test_saved_and_loaded_answers_the_same(case: tuple[FitJob, Fitted], tmp_path: Path) -> None:
    adapters.saved_and_loaded_answers_the_same(*case, tmp_path)


def test_same_seed_same_answers(case: tuple[FitJob, Fitted], tmp_path: Path) -> None:
    adapters.same_seed_same_answers(*case, tmp_path)


def test_resumes_to_the_same_weights(case: tuple[FitJob, Fitted], tmp_path: Path) -> None:
    adapters.resumes_to_the_same_weights(*case, tmp_path)


def test_only_declared_parameters_move(case: tuple[FitJob, Fitted], tmp_path: Path) -> None:
    adapters.only_declared_parameters_move(case[0], tmp_path)


def test_merging_changes_no_answer(case: tuple[FitJob, Fitted]) -> None:
    adapters.merging_changes_no_answer(case[0])
