"""Every adapter on the shelf keeps the contract, with all three families of bases and every kind that it takes."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

from limbeck import registry
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ
from limbeck.errors import MissingExtra
from limbeck.registry import FitJob, Fitted
from limbeck.testing import adapters
from limbeck.testing.toys import toy
from limbeck.types import Kind

CASES = adapters.cases()
LONG = [case for case in CASES if case[1] == ENCODER or case[2] is Kind.LABEL]  # a second fit each: one kind of a writer is enough
ATTACHED = [case for case in CASES if case[2] is Kind.LABEL and registry.take("adapters", case[0]).attach is not None]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toys")
    return {family: str(toy(folder / family, family)) for family in (ENCODER, SEQ2SEQ, CAUSAL)}


@pytest.fixture(scope="module")
def fitted(bases: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[FitJob, Fitted]]:
    """Each case is fitted once for all checks."""
    known: dict[tuple[str, str, Kind], tuple[FitJob, Fitted]] = {}

    def fit(*case: object) -> tuple[FitJob, Fitted]:
        name, family, kind = case
        if case not in known:
            job = adapters.job_of(name, Kind(kind), bases[family], tmp_path_factory.mktemp(name))
            try:
                known[case] = job, adapters.fit(job)
            except MissingExtra as missing:
                pytest.skip(f"{missing.what}; {missing.do}")
        return known[case]

    return fit


def spelled(case: object) -> str:
    return "-".join(case)


@pytest.mark.parametrize("case", CASES, ids=spelled)
class TestFitted:
    def test_answers_every_row(self, case, fitted) -> None:
        adapters.answers_every_row(*fitted(*case))

    def test_same_answers_in_any_batch(self, case, fitted) -> None:
        adapters.same_answers_in_any_batch(*fitted(*case))

    def test_learns_eight_rows_by_heart(self, case, fitted) -> None:
        adapters.learns_by_heart(*fitted(*case))

    def test_loss_falls(self, case, fitted) -> None:
        adapters.loss_falls(*fitted(*case))

    def test_saved_and_loaded_answers_the_same(self, case, fitted, tmp_path: Path) -> None:
        adapters.saved_and_loaded_answers_the_same(*fitted(*case), tmp_path)


@pytest.mark.parametrize("case", LONG, ids=spelled)
class TestFittedAgain:
    def test_same_seed_same_answers(self, case, fitted, tmp_path: Path) -> None:
        adapters.same_seed_same_answers(*fitted(*case), tmp_path)

    def test_resumes_to_the_same_weights(self, case, fitted, tmp_path: Path) -> None:
        adapters.resumes_to_the_same_weights(*fitted(*case), tmp_path)


@pytest.mark.parametrize("case", ATTACHED, ids=spelled)
class TestAttached:
    @pytest.fixture
    def job(self, case, bases, tmp_path: Path) -> FitJob:
        return adapters.job_of(case[0], case[2], bases[case[1]], tmp_path)

    def test_only_declared_parameters_move(self, job, tmp_path: Path) -> None:
        adapters.only_declared_parameters_move(job, tmp_path / "moved")

    def test_merging_changes_no_answer(self, job) -> None:
        adapters.merging_changes_no_answer(job)

    def test_starts_as_the_base(self, job) -> None:
        adapters.starts_as_the_base(job)

    def test_disabling_restores_the_base(self, job) -> None:
        adapters.disabling_restores_the_base(job)

    def test_two_adapters_switch_on_one_base(self, job) -> None:
        adapters.two_adapters_switch_on_one_base(job)


@pytest.mark.parametrize("name", list(registry.names("adapters")))
def test_a_wrong_argument_gets_a_suggestion(name: str) -> None:
    adapters.a_wrong_argument_gets_a_suggestion(name)
