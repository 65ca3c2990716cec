"""Writes tests/golden/pyreft: folders that pyreft 0.1.0 (pyvene 0.1.8) saved, and the logits it computed with them.

    python -m venv oracle && oracle/bin/pip install torch transformers matplotlib ... && oracle/bin/pip install --no-deps pyreft==0.1.0 pyvene==0.1.8
    oracle/bin/python tests/golden/make_pyreft.py

The bases have weights from a formula, so that any version of anything builds the same ones (golden_bases.py)."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import pyreft
import torch
from pyreft.dataset import get_intervention_locations
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent))
from golden_bases import LAYERS, RANK, ROWS, D, golden_llama, golden_roberta

HERE = Path(__file__).resolve().parent / "pyreft"
CASES = {
    "loreft": ("LoreftIntervention", "f2+l2", True),
    "loreft_untied": ("LoreftIntervention", "f2+l2", False),
    "loreft_prefix": ("LoreftIntervention", "f3", True),
    "noreft": ("NoreftIntervention", "f2+l2", True),
    "direft": ("NodireftIntervention", "f2+l2", True),
    "direft_orthonormal": ("DireftIntervention", "f2+l2", True),
    "consreft": ("ConsreftIntervention", "f2+l2", True),
    "lobireft": ("LobireftIntervention", "f2+l2", True),
    "roberta": ("LoreftIntervention", "f1+l1", False),
}


def main() -> None:
    shutil.rmtree(HERE, ignore_errors=True)
    logits, about = {}, {}
    for seed, (name, (kind, positions, tied)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        base = golden_roberta() if name == "roberta" else golden_llama()
        layers = list(range(LAYERS)) if tied else list(range(LAYERS)) * 2
        component = "roberta.encoder.layer[{}].output" if name == "roberta" else "block_output"
        config = pyreft.ReftConfig(
            representations=[
                {
                    "layer": layer,
                    "component": component.format(layer),
                    "low_rank_dimension": RANK,
                    "intervention": getattr(pyreft, kind)(
                        embed_dim=D, low_rank_dimension=RANK, dtype=torch.float32, add_bias=kind.startswith("No")
                    ),
                }
                for layer in layers
            ]
        )
        model = pyreft.get_reft_model(base, config)
        model.model.eval()
        for intervention in model.interventions.values():
            with torch.no_grad():
                for key, p in intervention.named_parameters():
                    if "parametrizations" not in key:
                        p.copy_(torch.randn_like(p) * (0.3 if p.ndim > 1 else 1.0))
        for i, row in enumerate(ROWS):
            where = get_intervention_locations(
                last_position=len(row), positions=positions, num_interventions=len(layers), share_weights=tied
            )
            # (intervention, batch, positions); all rows are long enough here to have no padded slot
            found = model(
                {"input_ids": torch.tensor([row])}, unit_locations={"sources->base": (None, [[w] for w in where])}, return_dict=True
            ).intervened_outputs.logits
            logits[f"{name}.{i}"] = found.detach().squeeze(0).contiguous()
        plain = base(torch.tensor([ROWS[0]])).logits.squeeze(0)
        assert (plain - logits[f"{name}.0"]).abs().max() > 0.05, "the edits have to show"
        model.save(str(HERE / name))
        about[name] = {"class": kind, "positions": positions, "tied": tied, "change": float((plain - logits[f"{name}.0"]).abs().max())}
    save_file(logits, HERE / "logits.safetensors")
    versions = {name: version(name) for name in ("pyreft", "pyvene", "torch", "transformers")}
    (HERE / "about.json").write_text(json.dumps({"versions": versions, "cases": about}, indent=1) + "\n")
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()
