"""Reads the folders that pyreft (pyvene) saves: config.json and one torch file per intervention. Nothing is unpickled.

    intkey_layer_3_comp_block_output_unit_pos_nunit_1#0.bin          older pyvene has dots for the underscores
    intkey_comp_roberta_encoder_layer[3]_output_unit_pos_nunit_1#1.bin
                #0 and #1 of one layer: prefix and suffix of an untied adapter

The folder names neither positions nor dropout: the caller says where the adapter was trained."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.adapters.reft.config import FORMS, ReftConfig
from limbeck.adapters.reft.files import Saved, fill
from limbeck.adapters.reft.model import ReftModel
from limbeck.errors import ModelError, UsageError
from limbeck.run import listing

KINDS = {
    "LoreftIntervention": "loreft",
    "NoreftIntervention": "noreft",
    "ConsreftIntervention": "consreft",
    "LobireftIntervention": "lobireft",
    "DireftIntervention": "direft_orthonormal",  # not what the paper calls DiReFT
    "NodireftIntervention": "direft",
}
_ORTHOGONAL = 1e-3  # rows further from orthonormal than this are kept as they are
_FILE = re.compile(r"intkey_(?:layer[._](\d+)[._])?comp[._](.+)[._]unit[._]pos[._]nunit[._](\d+)#(\d+)\.bin")
_BLOCK = re.compile(r"block[._]output|(?:.*[._])?(?:layers?|h|blocks?)\[(\d+)\](?:[._]output)?")


def load_pyreft(model: Any, folder: str | Path, positions: str, *, dropout: float = 0.0, is_trainable: bool = False) -> ReftModel:
    """The model with that adapter: the same logits as pyreft's, in float32. positions: as it was trained, e.g. "f7+l7".

    Rows that pyreft has let become other than orthonormal (weight decay, a resumed run) are loaded as they are, under the
    form without the constraint, with a warning. Raises ModelError where the folder holds anything else than block
    outputs edited by pyreft's own classes, UsageError where the positions do not fit the files."""
    saved = read_pyreft(Path(folder), positions, dropout)
    reft = ReftModel(model, saved.config, "default", trainable=is_trainable)
    fill(reft, "default", saved)
    return reft if is_trainable else reft.eval()


def read_pyreft(folder: Path, positions: str, dropout: float = 0.0) -> Saved:
    kind = kind_of(folder)
    files = {place: file for file in sorted(folder.glob("intkey_*.bin")) for place in [place_of(file)]}
    if not files:
        raise ModelError(
            f"{folder} holds no interventions of pyreft", f"it holds {listing(folder)}", "give the folder that has intkey_*.bin"
        )
    untied = any(which == 1 for _, which in files)
    config = ReftConfig(kind=kind, rank=1, positions=positions, tied=not untied, dropout=dropout)
    if untied and config.units == ("all",):
        have = "each layer has two interventions, for the first and for the last positions"
        raise UsageError(f"the positions {positions!r} do not fit {folder}", have, "for example positions='f1+l1'")
    read = {place: parts_of(file, kind) for place, file in files.items()}
    if FORMS[kind].orthonormal and (worst := max(error_of(parts["raw"]) for parts in read.values())) > _ORTHOGONAL:
        kind = without_constraint(kind, folder, worst)
    tensors = {}
    for (layer, which), parts in read.items():
        unit = ("first", "last")[which] if untied else "all"
        tensors |= {f"{layer}.{unit}.{name}": tensor for name, tensor in parts.items()}
    first = next(iter(read.values()))
    values = {
        "kind": kind,
        "rank": len(first["raw"]),
        "layers": tuple(sorted({layer for layer, _ in files})),
        "dtype": str(first.get("weight", first["raw"]).dtype).removeprefix("torch."),
    }
    return Saved(ReftConfig(**{**config.model_dump(), **values}), tensors, folder)


def kind_of(folder: Path) -> str:
    """From config.json, which names the class of every intervention."""
    try:
        names = set(json.loads((folder / "config.json").read_bytes())["intervention_types"])
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise ModelError(
            f"{folder} is no folder of pyreft",
            f"its config.json names no intervention_types ({broken})",
            "give the folder that model.save wrote",
        ) from broken
    found = {re.sub(r"<class 'pyreft\.interventions\.(\w+)'>", r"\1", name) for name in names}
    if len(found) != 1 or not found <= set(KINDS):
        raise ModelError(
            f"{folder} holds interventions that are not read", ", ".join(sorted(found)), f"one of {', '.join(KINDS)} in all layers"
        )
    return KINDS[found.pop()]


def place_of(file: Path) -> tuple[int, int]:
    """(layer, 0 or 1) from the file's name."""
    name = _FILE.fullmatch(file.name)
    block = _BLOCK.fullmatch(name[2]) if name else None
    layer = (name[1] or (block[1] if block else None)) if name else None
    if not name or not block or layer is None or name[3] != "1" or name[4] not in "01":
        raise ModelError(
            f"{file.name} is not an edit of a block's output", f"in {file.parent}", "only the residual stream after a block is edited here"
        )
    return int(layer), int(name[4])


def parts_of(file: Path, kind: str) -> dict[str, Tensor]:
    """{raw (r, d), weight (r, d), bias (r,)} of one intervention."""
    try:
        state: Mapping[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        if kind == "loreft":
            raw, weight, bias = state["rotate_layer"].T, state["weight"], state["bias"]
        elif FORMS[kind].orthonormal:
            raw, weight = parametrized(state), state.get("learned_source.weight")
            bias = state["learned_source.bias"] if FORMS[kind].source else state["learned_source"]
        else:
            raw, weight, bias = state["proj_layer.weight"], state["learned_source.weight"], state["learned_source.bias"]
            if kind == "noreft" and "proj_layer.bias" in state:
                bias = bias - state["proj_layer.bias"]  # W2^T(W1 h + b - (W2 h + b2)); pyreft's direft never reads b2
        parts = {"raw": raw.float(), "weight": weight, "bias": bias}
        if not FORMS[kind].source:
            del parts["weight"]
        if any(not isinstance(p, Tensor) or not p.isfinite().all() for p in parts.values()):
            raise ValueError("a tensor is missing or not finite")
        return {name: p.contiguous() for name, p in parts.items()}
    except Exception as broken:  # torch.load raises what it likes on a damaged or a hostile file
        raise ModelError(
            f"{file} cannot be read as a {kind} of pyreft",
            f"{type(broken).__name__}: {str(broken)[:200]}",
            "copy the folder again; pickled code is never run",
        ) from broken


def parametrized(state: Mapping[str, Tensor]) -> Tensor:
    """R (r, d) where the file holds torch's orthogonal parametrization of R^T instead of R."""
    original = state["rotate_layer.parametrizations.weight.original"]
    module = nn.Module()
    module.weight = nn.Parameter(torch.eye(*original.shape))
    nn.utils.parametrizations.orthogonal(module)
    module.load_state_dict({key.removeprefix("rotate_layer."): t for key, t in state.items() if key.startswith("rotate_layer.")})
    return module.weight.detach().T


def error_of(rows: Tensor) -> float:
    """Largest |R R^T - I|."""
    return float((rows @ rows.T - torch.eye(len(rows))).abs().max())


def without_constraint(kind: str, folder: Path, error: float) -> str:
    """The form that computes the same with whatever rows there are."""
    free = next((k for k, form in FORMS.items() if form == FORMS[kind]._replace(orthonormal=False)), None)
    if free is None:
        raise ModelError(
            f"the rows of R in {folder} are not orthonormal", f"they are off by {error:.2g}", "train it again, without weight decay"
        )
    warnings.warn(
        f"the rows of R in {folder} are off orthonormal by {error:.2g} (pyreft loses them under weight decay and after a resume): "
        f"loaded as {free!r}, which computes the same",
        stacklevel=4,
    )
    return free
