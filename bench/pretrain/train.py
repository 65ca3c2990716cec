"""Pre-training of one of the embedded bases on one CPU core; a killed run goes on where its last checkpoint stood.

    train.py tiny --steps 4000 --text-only 800
    train.py tiny-lm --steps 3000 --text-only 600

First `--text-only` steps of span corruption (tiny) or next token (tiny-lm) over the plain text; then every step is half text,
half mixture. The learning rate is flat after its warm-up and falls to nothing over the last steps ("warm-up, stable, decay",
Hu et al. 2024, arXiv 2404.06395, section 4), so that the end may be chosen late, by steps or by the clock."""

from __future__ import annotations

import argparse
import calendar
import json
import math
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import torch
from bases import new_model, parameters
from batches import PairBatches, Rows, SpanBatches, WindowBatches
from losses import head_loss
from prepare import WORK, load_bare
from tokens import for_tiny, for_tiny_lm

from limbeck.engine.dropout import set_dropout

SEED = 0
WARM_UP = 150  # steps
RAW = 150  # tokens before corruption: 128 go in and about 31 come out
LM_LENGTH, LM_LONG = 256, 512  # the long windows come in the last part, where the learning rate falls
HELD_ROWS = 64
MUON_LR, ADAM_LR = 0.01, 0.004


# ---- data ------------------------------------------------------------------------------------------------------------


class Feed:
    """at(step) -> the parts of a step, each a dict of tensors. falling: the learning rate is, and windows are long."""

    def __init__(self, name: str, work: Path, text_only: int, held: bool = False):
        self.name, self.text_only = name, text_only
        text = Rows(work / "text.npz", held)
        mixture = work / f"mixture-{name}.npz"
        has_mixture = mixture.exists()
        if not has_mixture:
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

    def at(self, step: int, falling: bool) -> list[dict[str, torch.Tensor]]:
        both = step >= self.text_only and self.mixture is not None
        if self.name == "tiny":
            found = [self.text[16 if both else 32].at(step)]
            if both:
                found.append(self.mixture.at(step - self.text_only))
        else:
            shape = ((4, LM_LONG) if falling else (8, LM_LENGTH)) if both else (16, LM_LENGTH)
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


@dataclass(frozen=True)
class Pace:
    """How long it goes on and how the learning rate goes: over `steps`, of which the share `decay` is the fall; or, with
    `until` (seconds of time.time), until then, the fall beginning `fall_s` before."""

    steps: int
    decay: float
    until: float | None = None
    fall_s: float = 0.0

    def left(self, step: int) -> float:
        """1 and more before the fall, then down to 0."""
        if self.until is not None:
            return (self.until - time.time()) / self.fall_s
        return (self.steps - step) / max(1, round(self.steps * self.decay))

    def rate(self, step: int) -> float:
        """Share of the full learning rate."""
        return min(1.0, (step + 1) / WARM_UP, max(0.0, self.left(step)))

    def over(self, step: int) -> bool:
        return self.left(step) <= 0


def train(name: str, work: Path, out: Path, pace: Pace, text_only: int, kind: str, half: bool, save_minutes: float) -> None:
    torch.set_num_threads(1)
    model = new_model(name, SEED).train()
    set_dropout(model.modules(), 0.0)  # what is read once or twice is not learnt by heart; a fifth of the time besides
    if name == "tiny-lm":
        model.set_attn_implementation("eager")  # a tenth faster at these lengths on a CPU
    chosen = optimisers(model, kind)
    kept = work / f"{name}.pt"
    state = take_up(kept, model, chosen) or {"step": 0, "tokens": 0, "cpu_s": 0.0, "log": [], "held": []}
    feed, held = Feed(name, work, text_only), Feed(name, work, text_only, held=True)
    tokenizer = (for_tiny if name == "tiny" else for_tiny_lm)(load_bare(work))
    print(f"{name}: {parameters(model):,} parameters, from step {state['step']}", flush=True)
    began_cpu, saved, stopped, recent = time.process_time() - state["cpu_s"], time.monotonic(), [], []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))  # kill: it saves after this step and ends
    while not stopped:
        step = state["step"]
        if pace.over(step) or (step % 200 == 0 and step not in [h["step"] for h in state["held"]]):
            state["held"].append({"step": step, "tokens": state["tokens"], **held_out(model, name, held, half)})
            print(json.dumps(state["held"][-1]), flush=True)
        if pace.over(step):
            break
        for optimiser in chosen:
            for group in optimiser.param_groups:
                group["lr"] = pace.rate(step) * (MUON_LR if isinstance(optimiser, torch.optim.Muon) else ADAM_LR)
        parts = feed.at(step, falling=pace.left(step) < 1)
        recent.append(one_step(model, name, parts, chosen, half))
        state["tokens"] += sum(int(p["input_ids"].ne(0).sum()) + int((p["labels"] > 0).sum() if "labels" in p else 0) for p in parts)
        state.update(step=step + 1, cpu_s=time.process_time() - began_cpu)
        if (step + 1) % 25 == 0:
            state["log"].append({"step": step + 1, "tokens": state["tokens"], **means(recent)})
            print(json.dumps(state["log"][-1]), f"{state['cpu_s'] / 60:.1f} CPU min", flush=True)
            recent = []
        if time.monotonic() - saved > 60 * save_minutes:
            save(model, tokenizer, chosen, state, kept, out)
            saved = time.monotonic()
    save(model, tokenizer, chosen, state, kept, out)
    (work / f"{name}.json").write_text(json.dumps(state, indent=1) + "\n")


def one_step(model: Any, name: str, parts: list[dict[str, torch.Tensor]], chosen: list[torch.optim.Optimizer], half: bool) -> list[float]:
    """The loss of each part. They count alike."""
    losses = []
    for part in parts:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = loss_of(model, name, part, half)
        (loss / len(parts)).backward()
        losses.append(float(loss.detach()))
    if not all(map(math.isfinite, losses)):
        sys.exit(f"the loss is {losses}")
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimiser in chosen:
        optimiser.step()
        optimiser.zero_grad()
    return losses


def means(recent: list[list[float]]) -> dict[str, float]:
    """Over the last steps; the second part is there once the mixture is."""
    both = {"text": [r[0] for r in recent], "mixture": [r[1] for r in recent if len(r) > 1]}
    return {key: round(sum(values) / len(values), 4) for key, values in both.items() if values}


def take_up(kept: Path, model: Any, chosen: list[torch.optim.Optimizer]) -> dict[str, Any] | None:
    """Model and optimisers as a killed run left them, and its counters; None where there was none."""
    if not kept.exists():
        return None
    state = torch.load(kept, weights_only=False)
    model.load_state_dict(state.pop("model"))
    for optimiser, own in zip(chosen, state.pop("optimisers"), strict=True):
        optimiser.load_state_dict(own)
    return state


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
    cli.add_argument("--out", type=Path, help="where the newest weights lie; default: <base>-base in the work folder")
    cli.add_argument("--steps", type=int, default=4000)
    cli.add_argument("--decay", type=float, default=0.33, help="share of the steps in which the learning rate falls")
    cli.add_argument("--until", help="HH:MM, UTC: end then, however many steps that makes")
    cli.add_argument("--fall-minutes", type=float, default=20, help="with --until: the learning rate falls in these last minutes")
    cli.add_argument("--text-only", type=int, default=0)
    cli.add_argument("--optimiser", choices=("muon", "adamw"), default="muon")
    cli.add_argument("--float32", action="store_true", help="no bfloat16 autocast")
    cli.add_argument("--save-minutes", type=float, default=8)
    a = cli.parse_args()
    until = None
    if a.until:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        until = float(calendar.timegm(time.strptime(f"{today} {a.until}", "%Y-%m-%d %H:%M")))
    pace = Pace(a.steps, a.decay, until, 60 * a.fall_minutes)
    train(a.base, a.work, a.out or a.work / f"{a.base}-base", pace, a.text_only, a.optimiser, not a.float32, a.save_minutes)
