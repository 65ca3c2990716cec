"""What LoReFT costs: a training step and an inference against their floors, and against pyreft 0.1.0 where it is at hand.

    python bench/reft/bench.py [--pyreft SITE_PACKAGES] [--pairs 20]

Llama of 256 hidden, 6 layers, 4 heads, 688 inside, 2,000 words, random; batch 16 x 64, prompt 48; LoReFT of rank 4 in all
layers at f4+l4, untied (12 interventions, 24,624 numbers); AdamW without decay; one thread. Two things are timed in turns,
A B A B; a figure is the median of the ratios of the pairs, with a 95 % bootstrap interval. CPU seconds of the process
decide (one thread computes; a shared machine stretches the wall clock), wall seconds stand beside them.
--pyreft: the site-packages of an environment with pyreft and pyvene; without it that part is 'not run'.
Writes result.json beside itself. Claims are in CLAIMS."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import save

from limbeck.adapters.reft import ReftConfig, get_reft_model
from limbeck.adapters.reft.intervention import orthonormal_rows

HERE = Path(__file__).resolve().parent
D, LAYERS, RANK, ENDS, ROWS, TOKENS, PROMPT = 256, 6, 4, 4, 16, 64, 48
CLAIMS = {
    "training_step_over_bare_hooks": ("at most", 1.05),
    "training_step_over_pyreft": ("at most", 1.0),
    "torch_orthogonal_over_our_rows_d4096": ("at least", 20.0),
    "inference_over_base": ("at most", 1.05),
}


def base() -> Any:
    torch.manual_seed(0)
    shape = {"hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 688}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=2000, max_position_embeddings=256, use_cache=False, **shape))
    return model.eval().requires_grad_(False)


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(3, 2000, (ROWS, TOKENS))
    labels = ids.clone()
    labels[:, :PROMPT] = -100
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


class BareHooks(nn.Module):
    """The floor: the same edits with plain matrices R, W, b, at places computed once."""

    def __init__(self, model: Any):
        super().__init__()
        self.model, self.edits = model, nn.ModuleList()
        rows = torch.arange(ROWS)[:, None] * TOKENS
        self.places = [(rows + torch.arange(ENDS)).flatten(), (rows + torch.arange(PROMPT - ENDS, PROMPT)).flatten()]
        for layer in model.model.layers:
            pair = nn.ModuleList(
                [nn.ParameterDict({"R": torch.empty(RANK, D), "W": torch.empty(RANK, D), "b": torch.zeros(RANK)}) for _ in range(2)]
            )
            for one in pair:
                nn.init.orthogonal_(one["R"])
                nn.init.uniform_(one["W"], -(D**-0.5), D**-0.5)
            self.edits.append(pair)
            layer.register_forward_hook(lambda m, a, out, pair=pair: self.edit(pair, out))

    def edit(self, pair: Any, hidden: torch.Tensor) -> torch.Tensor:
        flat = hidden.reshape(-1, D)
        for one, place in zip(pair, self.places, strict=True):
            h = flat.index_select(0, place)
            flat = flat.index_add(0, place, (nn.functional.linear(h, one["W"], one["b"]) - h @ one["R"].T) @ one["R"])
        return flat.view(hidden.shape)

    def forward(self, **inputs: Any) -> Any:
        return self.model(**inputs)


def trainer(model: Any, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def our_step() -> Callable[[], None]:
    model = get_reft_model(base(), ReftConfig(rank=RANK, positions=f"f{ENDS}+l{ENDS}", tied=False)).train()
    assert model.get_nb_trainable_parameters()[0] == 2 * LAYERS * (2 * RANK * D + RANK) == 24_624
    inputs = batch()
    return trainer(model, lambda: model(**inputs).loss)


def bare_step() -> Callable[[], None]:
    model, inputs = BareHooks(base()), batch()
    return trainer(model, lambda: model(**inputs).loss)


def pyreft_step() -> Callable[[], None]:
    import pyreft

    layers = [*range(LAYERS), *range(LAYERS)]
    representations = [
        {
            "layer": layer,
            "component": "block_output",
            "low_rank_dimension": RANK,
            "intervention": pyreft.LoreftIntervention(embed_dim=D, low_rank_dimension=RANK, dtype=torch.float32),
        }
        for layer in layers
    ]
    model = pyreft.get_reft_model(base(), pyreft.ReftConfig(representations=representations))
    inputs = batch()
    first, last = [list(range(ENDS))] * ROWS, [list(range(PROMPT - ENDS, PROMPT))] * ROWS
    where = {"sources->base": (None, [first] * LAYERS + [last] * LAYERS)}
    inside = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    moving = nn.ModuleList(model.interventions.values())
    return trainer(moving, lambda: model(inside, unit_locations=where, labels=inputs["labels"], return_dict=True).intervened_outputs.loss)


def rows_at_4096(ours: bool) -> Callable[[], None]:
    """One read of R (8, 4096), forward and backward."""
    d, r = 4096, 8
    gradient = torch.randn(r, d)
    if ours:
        raw = nn.Parameter(nn.init.orthogonal_(torch.empty(r, d)))
        return lambda: orthonormal_rows(raw).backward(gradient)
    layer = nn.Module()
    layer.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(d, r)))
    nn.utils.parametrizations.orthogonal(layer)
    return lambda: layer.weight.backward(gradient.T)


def inference(edited: bool, rows: int, tokens: int) -> Callable[[], None]:
    model = base()
    if edited:
        model = get_reft_model(model, ReftConfig(rank=RANK, positions=f"f{ENDS}+l{ENDS}", tied=False)).requires_grad_(False).eval()
    inputs = {name: t[:rows, :tokens] for name, t in batch().items() if name != "labels"}

    @torch.inference_mode()
    def once() -> None:
        model(**inputs)

    return once


def paired(a: Callable[[], None], b: Callable[[], None], pairs: int, warm: int = 5) -> dict[str, Any]:
    """Ratios a / b in turns."""
    for _ in range(warm):
        a()
        b()
    cpu: list[tuple[float, float]] = []
    wall: list[tuple[float, float]] = []
    for _ in range(pairs):
        took = []
        for one in (a, b):
            start = time.process_time(), time.perf_counter()
            one()
            took.append((time.process_time() - start[0], time.perf_counter() - start[1]))
        cpu.append((took[0][0], took[1][0]))
        wall.append((took[0][1], took[1][1]))
    ratios = [x / y for x, y in cpu]
    draws = random.Random(0)
    medians = sorted(statistics.median(draws.choices(ratios, k=pairs)) for _ in range(2000))
    return {
        "ratio": round(statistics.median(ratios), 3),
        "low": round(medians[49], 3),
        "high": round(medians[1949], 3),
        "wall_ratio": round(statistics.median(x / y for x, y in wall), 3),
        "cpu_ms": [round(1e3 * statistics.median(t[k] for t in cpu), 3) for k in (0, 1)],
        "pairs": pairs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pyreft", default="")
    parser.add_argument("--pairs", type=int, default=20)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    result: dict[str, Any] = {"training_step_over_bare_hooks": paired(our_step(), bare_step(), args.pairs)}
    if args.pyreft:
        sys.path.append(args.pyreft)
    try:
        import pyreft  # noqa: F401

        versions = {name: version(name) for name in ("pyreft", "pyvene")}
        result["training_step_over_pyreft"] = {**paired(our_step(), pyreft_step(), args.pairs), "versions": versions}
    except ImportError as missing:
        result["training_step_over_pyreft"] = f"not run: {missing}"
    result["torch_orthogonal_over_our_rows_d4096"] = paired(rows_at_4096(False), rows_at_4096(True), args.pairs, warm=3)
    result["inference_over_base"] = paired(inference(True, ROWS, TOKENS), inference(False, ROWS, TOKENS), 3 * args.pairs)
    result["inference_of_one_row_of_16_over_base"] = paired(inference(True, 1, 16), inference(False, 1, 16), 10 * args.pairs)
    for name, (which, bound) in CLAIMS.items():
        if isinstance(result[name], dict):
            held = result[name]["ratio"] <= bound if which == "at most" else result[name]["ratio"] >= bound
            result[name] |= {"claim": f"{which} {bound}", "held": held}
    save(HERE, "result", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
