"""Pre-training of one of the embedded bases on one CPU core; a killed run goes on where its last checkpoint stood.

    train.py tiny --steps 4000 --text-only 800
    train.py tiny-lm --steps 3000 --text-only 600

First `--text-only` steps of span corruption (tiny) or next token (tiny-lm) over the plain text; then every step is half text,
half mixture. The learning rate is flat after its warm-up and falls to nothing over the last steps ("warm-up, stable, decay",
Hu et al. 2024, arXiv 2404.06395, section 4), so that the number of steps may be chosen late: call it again with other --steps."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import torch
from bases import new_model, parameters
from batches import PairBatches, Rows, SpanBatches, WindowBatches
from losses import head_loss
from prepare import WORK, load_bare
from tokens import for_tiny, for_tiny_lm

from limbeck.engine.start import set_dropout

SEED = 0
WARM_UP = 150  # steps
RAW = 150  # tokens before corruption: 128 go in and about 31 come out
LM_LENGTH, LM_LONG = 256, 512  # the long windows come in the last part, where the learning rate falls
HELD_ROWS = 64
MUON_LR, ADAM_LR = 0.01, 0.004


# ---- data ------------------------------------------------------------------------------------------------------------


class Feed:
    """at(step) -> the parts of a step, each a dict of tensors."""

    def __init__(self, name: str, work: Path, steps: int, decay: float, text_only: int, held: bool = False):
        self.name, self.text_only, self.long_from = name, text_only, round(steps * (1 - decay))
        text = Rows(work / "text.npz", held)
        mixture = work / f"mixture-{name}.npz"
        has_mixture = mixture.exists()
        if not has_mixture and (held or steps > text_only):
            print(f"no {mixture.name} yet: text alone")
        pair = lambda key: Rows(mixture, held, key)  # noqa: E731
        if name == "tiny":
            self.text = {rows: SpanBatches(text, rows, RAW, SEED) for rows in (32, 16)}
            self.mixture = PairBatches(pair("ids"), pair("answers"), 2560, SEED) if has_mixture else None
        else:
            shapes = ((16, LM_LENGTH), (8, LM_LENGTH), (4, LM_LONG))
            self.text = {shape: WindowBatches(text, None, None, *shape, SEED) for shape in shapes}
            parts = (None, pair("ids"), pair("taught")) if has_mixture else None
            self.mixture = {shape: WindowBatches(*parts, *shape, SEED) for shape in shapes} if parts else None

    def at(self, step: int) -> list[dict[str, torch.Tensor]]:
        both = step >= self.text_only and self.mixture is not None
        if self.name == "tiny":
            found = [self.text[16 if both else 32].at(step)]
            if both:
                found.append(self.mixture.at(step - self.text_only))
        else:
            shape = ((4, LM_LONG) if step >= self.long_from else (8, LM_LENGTH)) if both else (16, LM_LENGTH)
            found = [self.text[shape].at(step)]
            if both:
                found.append(self.mixture[shape].at(step))
        return [{k: torch.from_numpy(v) for k, v in part.items()} for part in found]


def loss_of(model: Any, name: str, part: dict[str, torch.Tensor], half: bool) -> torch.Tensor:
    """Mean over the tokens of one part."""
    if name == "tiny":
        labels = part["labels"]  # (B, To), IGNORED on padding
        start = model.config.decoder_start_token_id
        shifted = torch.cat([labels.new_full((len(labels), 1), start), labels[:, :-1].clamp(min=0)], 1)
        states = model.encoder(input_ids=part["input_ids"], attention_mask=part.get("attention_mask")).last_hidden_state
        hidden = model.decoder(
            input_ids=shifted, encoder_hidden_states=states, encoder_attention_mask=part.get("attention_mask"), use_cache=False
        ).last_hidden_state * model.config.d_model**-0.5  # as T5 with tied embeddings scales it  # fmt: skip
        counts = labels.flatten().ge(0).float()
        return head_loss(hidden.flatten(0, 1).float(), model.lm_head.weight, labels.flatten().clamp(min=0), counts, half)
    ids, weights = part["input_ids"], part["weights"]
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state  # (B, T - 1, d)
    return head_loss(hidden.flatten(0, 1).float(), model.lm_head.weight, ids[:, 1:].flatten(), weights[:, 1:].flatten(), half)


@torch.no_grad()
def held_out(model: Any, name: str, feed: Feed, half: bool) -> dict[str, float]:
    """Mean loss on held-out text, and on held-out rows of the mixture where there are any."""
    model.eval()
    found: dict[str, float] = {}
    turns = {"text": feed.text[32] if name == "tiny" else feed.text[(16, LM_LENGTH)]}
    if feed.mixture is not None:
        turns["mixture"] = feed.mixture if name == "tiny" else feed.mixture[(16, LM_LENGTH)]
    for key, source in turns.items():
        losses = []
        for step in range(8):
            part = {k: torch.from_numpy(v) for k, v in source.at(step).items()}
            if name != "tiny" and key == "mixture":
                part["weights"] = (part["weights"] == 1).float()  # the answers alone
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                losses.append(float(loss_of(model, name, part, half).detach()))
        found[key] = round(sum(losses) / len(losses), 4)
    model.train()
    return found


# ---- the loop --------------------------------------------------------------------------------------------------------


def optimisers(model: Any, kind: str) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the layers, AdamW for embeddings and vectors; or AdamW for all."""
    matrices = [
        p for n, p in model.named_parameters() if p.ndim == 2 and not any(w in n for w in ("shared", "embed", "lm_head", "relative"))
    ]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    adam = {"lr": ADAM_LR, "betas": (0.9, 0.98), "weight_decay": 0.01}
    if kind == "adamw":
        return [torch.optim.AdamW([*matrices, *rest], **adam)]
    return [torch.optim.Muon(matrices, lr=MUON_LR, weight_decay=0.01, momentum=0.95), torch.optim.AdamW(rest, **adam)]


def share_of_rate(step: int, steps: int, decay: float) -> float:
    falling = max(1, round(steps * decay))
    left = (steps - step) / falling
    return min(1.0, (step + 1) / WARM_UP, max(0.0, left))


def train(
    name: str, work: Path, out: Path, steps: int, decay: float, text_only: int, kind: str, half: bool, compiled: bool, save_minutes: float
) -> None:
    torch.set_num_threads(1)
    model = new_model(name, SEED).train()
    set_dropout(model, 0.0)  # what is read once or twice is not learnt by heart; a fifth of the time besides
    if name == "tiny-lm":
        model.set_attn_implementation("eager")  # a tenth faster at these lengths on a CPU
    chosen = optimisers(model, kind)
    state: dict[str, Any] = {"step": 0, "tokens": 0, "cpu_s": 0.0, "log": [], "held": []}
    kept = work / f"{name}.pt"
    if kept.exists():
        held_state = torch.load(kept, weights_only=False)
        model.load_state_dict(held_state.pop("model"))
        for optimiser, own in zip(chosen, held_state.pop("optimisers"), strict=True):
            optimiser.load_state_dict(own)
        state = held_state
    rates = [
        g["lr"] if not kept.exists() else (MUON_LR if isinstance(o, torch.optim.Muon) else ADAM_LR) for o in chosen for g in o.param_groups
    ]
    feed, held = Feed(name, work, steps, decay, text_only), Feed(name, work, steps, decay, text_only, held=True)
    tokenizer = (for_tiny if name == "tiny" else for_tiny_lm)(load_bare(work))
    run = torch.compile(model) if compiled else model
    print(f"{name}: {parameters(model):,} parameters, from step {state['step']} of {steps}", flush=True)
    began_cpu, began_tokens, saved, recent = time.process_time() - state["cpu_s"], state["tokens"], time.monotonic(), []
    began, stopped = time.monotonic(), []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))  # kill: it saves after this step and ends
    for step in range(state["step"], steps + 1):
        if (step % 200 == 0 and step not in [h["step"] for h in state["held"]]) or step == steps:
            state["held"].append({"step": step, "tokens": state["tokens"], **held_out(model, name, held, half)})
            print(json.dumps(state["held"][-1]), flush=True)
        if step == steps:
            break
        share, at = share_of_rate(step, steps, decay), 0
        for optimiser in chosen:
            for group in optimiser.param_groups:
                group["lr"] = rates[at] * share
                at += 1
        parts = feed.at(step)
        losses = []
        for part in parts:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = loss_of(run, name, part, half)
            (loss / len(parts)).backward()
            losses.append(float(loss.detach()))
            state["tokens"] += int(part["input_ids"].ne(0).sum()) + int((part["labels"] > 0).sum() if "labels" in part else 0)
        if not all(map(math.isfinite, losses)):
            sys.exit(f"step {step}: the loss is {losses}")
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in chosen:
            optimiser.step()
            optimiser.zero_grad()
        recent.append(losses)
        state.update(step=step + 1, cpu_s=time.process_time() - began_cpu)
        if (step + 1) % 25 == 0:
            mean = [
                round(sum(r[i] for r in recent if len(r) > i) / sum(len(r) > i for r in recent), 4) for i in range(max(map(len, recent)))
            ]
            state["log"].append(
                {"step": step + 1, "tokens": state["tokens"], "text": mean[0], **({"mixture": mean[1]} if len(mean) > 1 else {})}
            )
            speed = (state["tokens"] - began_tokens) / (time.monotonic() - began)
            print(json.dumps(state["log"][-1]), f"{state['cpu_s'] / 60:.1f} CPU min, {speed:.0f} tokens/s", flush=True)
            recent = []
        if stopped or time.monotonic() - saved > 60 * save_minutes:
            save(model, tokenizer, chosen, state, kept, out)
            saved = time.monotonic()
        if stopped:
            return
    save(model, tokenizer, chosen, state, kept, out)
    (work / f"{name}.json").write_text(json.dumps(state, indent=1) + "\n")


def save(model: Any, tokenizer: Any, chosen: list[torch.optim.Optimizer], state: dict[str, Any], kept: Path, out: Path) -> None:
    """Checkpoint and a folder that AutoModel reads; each is written beside its place and moved there."""
    beside = kept.with_suffix(".tmp")
    torch.save({"model": model.state_dict(), "optimisers": [o.state_dict() for o in chosen], **state}, beside)
    os.replace(beside, kept)
    fresh = out.with_name(f"{out.name}.new")
    model.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    for file in fresh.iterdir():
        out.mkdir(exist_ok=True)
        os.replace(file, out / file.name)
    fresh.rmdir()


if __name__ == "__main__":
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("base", choices=("tiny", "tiny-lm"))
    cli.add_argument("--work", type=Path, default=WORK)
    cli.add_argument("--out", type=Path, help="where the newest weights lie; default: /tmp/<base>-base")
    cli.add_argument("--steps", type=int, required=True)
    cli.add_argument("--decay", type=float, default=0.33, help="share of the steps in which the learning rate falls")
    cli.add_argument("--text-only", type=int, default=0)
    cli.add_argument("--optimiser", choices=("muon", "adamw"), default="muon")
    cli.add_argument("--float32", action="store_true", help="no bfloat16 autocast")
    cli.add_argument("--compile", action="store_true")
    cli.add_argument("--save-minutes", type=float, default=8)
    a = cli.parse_args()
    out = a.out or Path(f"/tmp/{a.base}-base")
    train(a.base, a.work, out, a.steps, a.decay, a.text_only, a.optimiser, not a.float32, a.compile, a.save_minutes)
