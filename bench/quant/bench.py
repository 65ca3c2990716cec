"""How much of a layer's output is lost by quantising, by type of layer: plain (what qlora begins with) and with LoftQ's start.

    python bench/quant/bench.py [--rank 16] [--rows 128]

Every linear layer of minilm sees the activations that it sees in the unquantised base, on rows of banking77 and sst2; the
toys see random tokens. Error: |X W^T - X W'^T| / |X W^T| (Frobenius), the mean over the layers of a type. Then what a layer
of 384 x 1536 takes on disk. Minutes on one core; writes result.json."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common

from limbeck.adapters.loftq import GROUP, initialise
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, load_base
from limbeck.engine.lowrank import linears, weight_of
from limbeck.engine.quant import Format, dequantise, quantise, read_format
from limbeck.testing.toys import toy

FORMATS = ("nf4", "int4", "int3", "int2")
STEPS = 5


def inputs_of(model: Any, batches: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Layer -> X (rows, in) that it sees; padding left out where the mask tells."""
    seen: dict[str, list[torch.Tensor]] = defaultdict(list)
    mask = torch.empty(0)

    def keep(name: str) -> Any:
        def hook(layer: Any, arguments: tuple[torch.Tensor, ...]) -> None:
            x = arguments[0]
            seen[name].append(x[mask.bool()] if x.shape[:2] == mask.shape else x.reshape(-1, x.shape[-1]))

        return hook

    hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in linears(model).items()]
    with torch.no_grad():
        for batch in batches:
            mask = batch["attention_mask"]
            model(**batch)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in seen.items()}


def study(model: Any, batches: list[dict[str, torch.Tensor]], rank: int) -> list[dict[str, Any]]:
    """One line per type of layer and format. worst: the greatest ratio of LoftQ's error to the plain one of a layer."""
    seen = inputs_of(model, batches)
    lines = []
    found: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for name, layer in linears(model).items():
        weight, x = weight_of(layer), seen[name]
        clean = x @ weight.T
        for form in (read_format(f, GROUP) for f in FORMATS):
            rough = dequantise(quantise(weight, form), form, tuple(weight.shape))
            start = initialise(weight, form, rank, 2.0, STEPS)
            near = dequantise(start.parts, form, tuple(weight.shape)) + 2.0 * start.B @ start.A
            error = lambda other, x=x, clean=clean: float((x @ other.T - clean).norm() / clean.norm())  # noqa: E731
            found[type_of(name), form.name].append(
                {"plain": error(rough), "loftq": error(near), "weight_plain": start.plain_error, "weight_loftq": min(start.errors)}
            )
    for (kind, form_name), each in found.items():
        means = {key: round(fmean(e[key] for e in each), 4) for key in each[0]}
        worst = round(max(e["loftq"] / e["plain"] for e in each), 3)
        lines.append({"type": kind, "format": form_name, "layers": len(each), **means, "worst_ratio": worst})
    return lines


def type_of(name: str) -> str:
    """encoder.layer.3.attention.self.query -> attention.self.query; numbers of layers and blocks are left out."""
    return ".".join(part for part in name.split(".") if not part.isdigit() and part not in ("layer", "layers", "block", "model", "h"))


def batches_of_rows(base: Any, rows: int) -> list[dict[str, torch.Tensor]]:
    texts = [r["input"] for name in ("banking77", "sst2") for r in common.data(name, "train")[: rows // 2]]
    return [
        dict(base.tokenizer(texts[i : i + 32], padding=True, truncation=True, max_length=64, return_tensors="pt"))
        for i in range(0, len(texts), 32)
    ]


def batches_of_noise(family: str) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    ids = lambda length: torch.randint(4, 60, (16, length), generator=generator)  # noqa: E731
    batch = {"input_ids": ids(12), "attention_mask": torch.ones(16, 12, dtype=torch.int64)}
    return [{**batch, "decoder_input_ids": ids(12)} if family == SEQ2SEQ else batch]


def sizes() -> list[dict[str, Any]]:
    """Bytes of a layer of 384 x 1536 without its bias, as a share of float16."""
    weight = torch.randn(384, 1536, generator=torch.Generator().manual_seed(0))
    whole = 2 * weight.numel()
    forms = [Format("int", bits, group) for bits in (4, 3, 2) for group in (64, 32)] + [read_format("nf4", 0)]
    return [
        {
            "format": form.name,
            "group": form.group,
            "of_float16": round(sum(t.nbytes for t in quantise(weight, form).values()) / whole, 4),
        }
        for form in forms
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--rank", type=int, default=16)
    arguments.add_argument("--rows", type=int, default=128)
    chosen = arguments.parse_args()
    began = time.perf_counter()
    base = load_base("minilm")
    tables = {"minilm": study(base.model, batches_of_rows(base, chosen.rows), chosen.rank)}
    with tempfile.TemporaryDirectory() as folder:
        for family in (ENCODER, SEQ2SEQ, CAUSAL):
            model = load_base(str(toy(Path(folder) / family, family))).model
            tables[f"toy {family}"] = study(model, batches_of_noise(family), chosen.rank)
    for name, lines in tables.items():
        print(f"\n{name}, rank {chosen.rank}, best of {STEPS} steps: error of a layer's output, mean over the layers of a type")
        print(f"{'type of layer':44} {'format':6} {'layers':>6} {'plain':>8} {'loftq':>8} {'worst ratio':>11}")
        for line in lines:
            print(
                f"{line['type']:44} {line['format']:6} {line['layers']:6} {line['plain']:8.4f} {line['loftq']:8.4f} {line['worst_ratio']:11.3f}"
            )
    on_disk = sizes()
    print(
        "\na layer of 384 x 1536, share of its float16 size:", ", ".join(f"{s['format']}:g{s['group']} {s['of_float16']}" for s in on_disk)
    )
    behind = [(name, line["type"], line["format"]) for name, lines in tables.items() for line in lines if line["loftq"] >= line["plain"]]
    print("types of layer where LoftQ begins no better than qlora:", behind or "none")
    seconds = round(time.perf_counter() - began, 1)
    result = {"rank": chosen.rank, "rows": chosen.rows, "tables": tables, "sizes": on_disk, "seconds": seconds}
    common.save(Path(__file__).resolve().parent, "result", result)


if __name__ == "__main__":
    main()
