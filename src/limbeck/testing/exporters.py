"""What every exporter has to keep: the exported student answers as the evaluated one, wherever it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

from limbeck import registry
from limbeck.registry import Exporter, FitJob, Fitted
from limbeck.types import Card


def card_of(job: FitJob) -> Card:
    return Card(
        task=job.task, recipe=job.recipe.text, base=job.recipe.base, base_licence="apache-2.0", base_sha="", origins={"gold": len(job.train)}
    )  # fmt: skip


def writes_files_that_are_there(name: str, job: FitJob, fitted: Fitted, folder: Path) -> Path:
    """Returns the destination. No pickle; at most 100 MB in all; the evaluated model stays as it was."""
    exporter: Exporter = registry.take("exporters", name)
    model, destination = folder / "model", folder / "out"
    assert fitted.save is not None
    fitted.save(model)
    before = {p.name: p.read_bytes() for p in model.iterdir()}
    files = exporter.write(model, destination, card_of(job))
    assert files and all(file.is_file() and destination in file.parents for file in files)
    assert not [f for f in files if f.suffix in (".bin", ".pt", ".pth", ".pkl")], "no pickle is shipped"
    assert sum(f.stat().st_size for f in files) <= 100e6
    assert before == {p.name: p.read_bytes() for p in model.iterdir()}
    return destination


def answers_as_evaluated(job: FitJob, fitted: Fitted, destination: Path, elsewhere: Path) -> None:
    """Moved to another place, with the first one gone."""
    from limbeck import load
    from limbeck.testing.adapters import must_agree

    shutil.move(destination, elsewhere)
    rows = [row.blind() for row in job.train]
    must_agree(fitted.predictor.predict(rows), load(str(elsewhere)).predict(rows))
