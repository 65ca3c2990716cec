"""stepwise whole: every format learns eight rows by heart, beside every adapter, and nothing of it is in what ships."""

# ruff: noqa: E402  (the imports below need torch)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from limbeck import registry
from limbeck.engine import checkpoint
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ
from limbeck.engine.predict import load_predictor
from limbeck.objectives.stepwise import CONTROLS, FORMATS
from limbeck.testing.adapters import blind, fit, job_of, must_agree, resumes_to_the_same_weights
from limbeck.testing.objectives import job_under
from limbeck.testing.toys import toy
from limbeck.types import Kind

QUICK = {(ENCODER, "separate"), (SEQ2SEQ, "shared"), (CAUSAL, "label_first"), (SEQ2SEQ, "rationale_first")}
WHOLE = [(ENCODER, form) for form in ("separate", *CONTROLS)] + [(f, form) for f in (SEQ2SEQ, CAUSAL) for form in FORMATS]
TUNED = [name for name in registry.names("adapters") if registry.take("adapters", name).attach]


def slow_but(quick: set[object], every: list[object]) -> list[object]:
    """The rest takes minutes."""
    return [pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=[] if one in quick else [pytest.mark.slow]) for one in every]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toys")
    return {family: str(toy(folder / family, family, texts=("[label] [rationale]",))) for family in (ENCODER, SEQ2SEQ, CAUSAL)}


def objective(form: str) -> str:
    return "stepwise" if form == FORMATS[0] else f"stepwise:{form}"


def learns_by_heart_and_ships_nothing_of_it(base: str, kind: Kind, form: str, folder: Path) -> None:
    """The rationale's loss falls too; the saved student has the plain one's tensors, and answers alone what it answers in a batch."""
    job = job_under(objective(form), kind, base, folder / "fit", rationale_tokens=20, patience=60)
    fitted = fit(job)
    found = fitted.predictor.predict(blind(job))
    assert [p.text for p in found] == [row.output for row in job.train]
    losses = [line["loss_rationale"] for line in fitted.history if "loss_rationale" in line]
    assert bool(losses) is (form != "label2x") and (not losses or losses[-1] < losses[0])
    assert all("loss_label" in line for line in fitted.history)
    fitted.save(folder / "model")  # type: ignore[misc]
    again = load_predictor(folder / "model")
    must_agree(found, again.predict(blind(job)))
    must_agree(found, [fitted.predictor.predict([row])[0] for row in blind(job)])
    plain = fit(replace(job_of("full", kind, base, folder / "plain", epochs=1), dev=()))
    assert set(fitted.predictor.student.state_dict()) == set(plain.predictor.student.state_dict())  # type: ignore[attr-defined]
    assert fitted.trainable_parameters == plain.trainable_parameters and fitted.size_mb == plain.size_mb
    assert not [name for name in again.student.state_dict() if "beside" in name]


@pytest.mark.parametrize(("family", "form"), slow_but(QUICK, WHOLE))
def test_eight_rows_by_heart(bases: dict[str, str], family: str, form: str, tmp_path: Path) -> None:
    learns_by_heart_and_ships_nothing_of_it(bases[family], Kind.LABEL, form, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.CHOICE, Kind.TEXT])
@pytest.mark.parametrize(("family", "form"), [(f, form) for f, form in WHOLE if form not in CONTROLS])
def test_eight_rows_by_heart_of_other_kinds(bases: dict[str, str], family: str, form: str, kind: Kind, tmp_path: Path) -> None:
    if family == ENCODER and kind is Kind.TEXT:
        pytest.skip("an encoder does not write")
    learns_by_heart_and_ships_nothing_of_it(bases[family], kind, form, tmp_path)


@pytest.mark.parametrize("name", slow_but({"lora", "loreft", "qlora"}, TUNED))
def test_only_the_adapter_and_what_stands_beside_it_move(
    bases: dict[str, str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an encoder: what trains is the adapter's own, the head's and the decoder's; what the base keeps frozen stays so."""
    seen: dict[str, torch.Tensor] = {}
    whole = registry.take("objectives", "stepwise").start

    def start(student: torch.nn.Module, *more: object, **values: object) -> None:
        declared = set(checkpoint.trainable(student))
        whole(student, *more, **values)
        beside = {n for n in checkpoint.trainable(student) if n.startswith("beside.")}
        assert beside and set(checkpoint.trainable(student)) == declared | beside
        seen.update({n: t.clone() for n, t in student.state_dict(keep_vars=True).items() if n not in declared | beside})
        students.append(student)

    def finish(student: torch.nn.Module) -> None:
        for n, before in seen.items():
            assert torch.equal(student.state_dict()[n], before), n
        checked.append(student.beside is not None)
        student.beside = None

    students: list[torch.nn.Module] = []
    checked: list[bool] = []
    from limbeck.objectives import stepwise

    job = job_under("stepwise", Kind.LABEL, bases[ENCODER], tmp_path / "a", adapter=name, epochs=2)
    own = replace(stepwise.bind(job.recipe, 0), bind=None, start=start, finish=finish)
    fitted = fit(replace(job, objective=own, dev=()))
    assert checked == [True] and fitted.trainable_parameters > 0
    measured = {v.name: v.value for v in fitted.measured}
    assert measured["beside_parameters"] > 10_000 and (measured["rationales"], measured["rationales_cut"]) == (8, 0)
    fitted.save(tmp_path / "model")  # type: ignore[misc]
    must_agree(fitted.predictor.predict(blind(job)), load_predictor(tmp_path / "model").predict(blind(job)))


@pytest.mark.parametrize(
    ("name", "form"),
    slow_but({("lora", "shared"), ("loreft", "separate")}, [(n, f) for n in TUNED for f in ("separate", "shared", "label_first")]),
)
def test_adapters_of_a_base_that_writes_take_both_tasks(bases: dict[str, str], name: str, form: str, tmp_path: Path) -> None:
    job = job_under(objective(form), Kind.LABEL, bases[SEQ2SEQ], tmp_path / "a", adapter=name, epochs=3, rationale_tokens=20)
    fitted = fit(job)
    first, last = fitted.history[0], fitted.history[-1]
    assert last["loss_label"] < first["loss_label"] and last["loss_rationale"] < first["loss_rationale"]
    fitted.save(tmp_path / "model")  # type: ignore[misc]
    must_agree(fitted.predictor.predict(blind(job)), load_predictor(tmp_path / "model").predict(blind(job)))


@pytest.mark.parametrize("family", slow_but({ENCODER}, [ENCODER, SEQ2SEQ]))
def test_killed_and_resumed_it_ends_with_the_same_weights(bases: dict[str, str], family: str, tmp_path: Path) -> None:
    job = job_under("stepwise", Kind.LABEL, bases[family], tmp_path / "a", epochs=20, patience=60)
    resumes_to_the_same_weights(job, fit(job), tmp_path / "killed")


@pytest.mark.parametrize("kind", slow_but({Kind.LABEL}, [Kind.LABEL, Kind.CHOICE]))
def test_frozen_layers_are_still_read_once(bases: dict[str, str], kind: Kind, tmp_path: Path) -> None:
    """The decoder reads the states of a pass whose lower layers were kept from before."""
    said: list[str] = []
    curves = []
    for reuse in (True, False):
        values = {"epochs": 3, "freeze_layers": 1, "freeze_embeddings": True, "average": 0.0, "dropout": 0.0, "reuse_prefix": reuse}
        job = job_under("stepwise", kind, bases[ENCODER], tmp_path / str(reuse), **values)
        curves.append(fit(replace(job, dev=(), note=lambda done, total, what: said.append(what))).history)
    assert any("computed once" in what for what in said)
    for ours, plain in zip(*curves, strict=True):
        assert ours["loss_label"] == pytest.approx(plain["loss_label"], rel=1e-4)
        assert ours["loss_rationale"] == pytest.approx(plain["loss_rationale"], rel=1e-4)
