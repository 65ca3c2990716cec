"""Every objective on the shelf keeps the contract, for every closed kind that it takes."""

import pytest

pytest.importorskip("torch")

from limbeck.testing import objectives
from limbeck.testing.toys import toy
from limbeck.types import Kind


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(toy(tmp_path_factory.mktemp("toy") / "encoder"))


@pytest.mark.parametrize(("name", "kind"), objectives.cases(), ids=lambda value: str(value))
class TestObjective:
    def test_features_fit_the_context(self, name: str, kind: Kind, base: str) -> None:
        objectives.features_fit_the_context(name, kind, base)

    def test_loss_teaches_every_trained_number(self, name: str, kind: Kind, base: str) -> None:
        objectives.loss_teaches_every_trained_number(name, kind, base)

    def test_loss_of_a_batch_is_the_mean_of_its_rows(self, name: str, kind: Kind, base: str) -> None:
        objectives.loss_of_a_batch_is_the_mean_of_its_rows(name, kind, base)
