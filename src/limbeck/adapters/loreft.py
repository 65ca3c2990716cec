"""loreft, direft: edits of the hidden states at the first and last tokens; the base stays as it is (Wu et al. 2024,
arXiv 2404.03592).

    loreft   h + R^T(W h + b - R h), rows of R orthonormal        direft   h + W2^T(W1 h + b)

Written loreft, loreft:r8, loreft:f3l3, loreft:r8:f3l3, direft:l1. 2 r d + r numbers per layer; what was learnt depends on
a token's place, so it is not merged: the model folder holds the base and, beside it, reft.safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limbeck.adapters.arguments import RANK, argument, rank_of, why
from limbeck.registry import Adapter
from limbeck.types import Kind, Recipe, Task, Value

POSITIONS = r"f[1-9]\d*(l[1-9]\d*)?|l[1-9]\d*"
USUAL_RANK = 4


def attach(model: Any, recipe: Recipe) -> Any:
    """Every layer's output is edited, of the upper ones alone with `freeze_layers`; nothing else moves. dropout is the
    edit's (`edit_dropout`)."""
    from limbeck.adapters.reft.blocks import blocks_of
    from limbeck.adapters.reft.config import ReftConfig
    from limbeck.adapters.reft.model import get_reft_model

    frozen = int(recipe.value("freeze_layers", 0))
    config = ReftConfig(
        kind=recipe.adapter,
        rank=rank_of(recipe, USUAL_RANK),
        layers=tuple(range(frozen, len(blocks_of(model)))) if frozen else "all",
        positions=positions_of(recipe),
        tied=bool(recipe.value("tied", False)),
        dropout=recipe.value("edit_dropout", 0.0),
        init="identity",  # the head begins at class means of the base as it is
    )
    return get_reft_model(model, config)


def save(model: Any, folder: Path) -> None:
    model.base_model.save_pretrained(folder)
    model.save_pretrained(folder)


def load(folder: Path) -> Any:
    from limbeck.adapters.reft.model import ReftModel
    from limbeck.engine.load import read_model

    return ReftModel.from_pretrained(read_model(folder), folder)


def positions_of(recipe: Recipe) -> str:
    """loreft:f3l3 -> "f3l3"; else the value `positions`, else "f3l3"."""
    return argument(recipe, POSITIONS) or str(recipe.value("positions", "f3l3"))


def numbers(recipe: Recipe, task: Task, rows: int) -> list[Value]:
    usual = "three first and three last tokens; the paper's GLUE runs use 1, 3 or 11"
    return [
        Value(name="rank", value=rank_of(recipe, USUAL_RANK), why=why(recipe, RANK, "where the paper's advice starts (D.2)")),
        Value(name="positions", value=positions_of(recipe), why=why(recipe, POSITIONS, usual)),
        Value(name="tied", value=False, why="first and last tokens have edits of their own, as in the paper's GLUE runs (tables 9 to 11)"),
        Value(name="edit_dropout", value=0.05, why="of the edit alone; the paper's usual value on GLUE (tables 9 to 11)"),
        Value(name="lr", value=3e-3, why="best of 9e-4 (the paper's), 3e-3 and 1e-2 on valid of banking77 and sst2, minilm, 45 steps"),
        Value(name="weight_decay", value=0.0, why="as in the paper's GLUE runs; the edit is small, and its rows ignore their scale"),
    ]


def record(name: str) -> Adapter:
    return Adapter(
        name=name,
        group="student",
        args=f"{RANK}|{POSITIONS}",
        takes="a rank (r4), and which tokens are edited: f3l3 = the first three and the last three, f1, l1",
        kinds=tuple(Kind),
        modifiers=("rows", "objective"),
        attach=attach,
        merge=None,
        save=save,
        load=load,
        numbers=numbers,
    )


LOREFT, DIREFT = record("loreft"), record("direft")
