"""What each way to move the weights costs on one GPU: tokens a second and peak memory, next to peft + Trainer without us.

    python bench/gpu/bench.py [--shapes minilm 1.5b 7b] [--seconds 570]     python bench/gpu/bench.py --smoke

Random Llamas in bfloat16, made on the device, nothing downloaded; SHAPES: 1.50 and 6.74 billion numbers (LLaMA-7B's shape). Batches
of 8 x 512 random tokens: 384 are the prompt, the loss is on the other 128. Median of 20 steps after 5; activations are all kept.

    limbeck   attach, then engine.loop (groups, optimizer, batches, clipping, autocast) with the adapter's own numbers, but: full
              moves the embeddings, too; rank 16 for lora and qlora; averaging and checkpoints are off
    trainer   transformers.Trainer on the plain model, or on peft's LoRA of every linear layer, rank 16, alpha 32 (qlora: Linear4bit,
              NF4 twice quantised, bfloat16, prepare_model_for_kbit_training, paged_adamw_32bit)

minilm: its shape under the engine's cosine head (32 x 128 tokens, 77 labels, all but the word embeddings move), float32 weights, with
bfloat16 autocast and without. peak: torch.cuda.max_memory_allocated of the steps, the base within; a paged optimizer's pages are the
driver's and not in it. `limbeck run` loads its bases in float32; here they are bfloat16 on both sides.

A process for each; what does not fit prints 'out of memory'. None begins after --seconds; the same command again measures what
result.json lacks (of this commit, GPU, versions). Without CUDA nothing runs. --smoke: a toy, nothing written."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import save, stamp

from limbeck import registry
from limbeck.engine import checkpoint, loop
from limbeck.engine.device import pick_device
from limbeck.engine.encoder import CosineHead, EncoderStudent
from limbeck.engine.numbers import Numbers, read_numbers
from limbeck.errors import MissingExtra
from limbeck.registry import Objective
from limbeck.types import Kind, Recipe, Task, Value

HERE = Path(__file__).resolve().parent
# shape: width, layers, heads, width inside, words
SHAPES = {"1.5b": (2048, 27, 16, 5504, 32_000), "7b": (4096, 32, 32, 11_008, 32_000), "toy": (64, 2, 4, 172, 256)}
METHODS = {"full": ("limbeck", "trainer"), "lora": ("limbeck", "trainer"), "qlora": ("limbeck", "trainer"), "loreft": ("limbeck",)}
ROWS, TOKENS, WARM, STEPS, RANK = 8, 512, 5, 20, {"rank": 16, "alpha": 32}
VALUES: dict[str, dict[str, Any]] = {"full": {"freeze_embeddings": False}, "lora": RANK, "qlora": RANK, "loreft": {}}
CUDA = torch.cuda.is_available()
Contender = tuple[str, str, str]  # shape, method (of minilm: dtype), who


class Clock(TrainerCallback):
    """Seconds of each step, the making of its batch and the wait for the device within."""

    def on_train_begin(self, *args: Any, **more: Any) -> None:
        self.ends = [time.perf_counter()]
        if CUDA:
            torch.cuda.reset_peak_memory_stats()

    def on_step_end(self, *args: Any, **more: Any) -> None:
        if CUDA:
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def llama(shape: str) -> Any:
    d, layers, heads, inside, words = SHAPES[shape]
    config = LlamaConfig(
        vocab_size=words, hidden_size=d, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=heads,
        intermediate_size=inside, max_position_embeddings=TOKENS, use_cache=False, tie_word_embeddings=False, dtype="bfloat16",
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    with pick_device():
        model = LlamaForCausalLM(config).train()
    torch.set_default_dtype(torch.float32)
    return model


def answers_only(ids: torch.Tensor) -> torch.Tensor:
    """labels (B, T): the last quarter, -100 before it."""
    return ids.masked_fill(torch.arange(ids.shape[1], device=ids.device) < 3 * ids.shape[1] // 4, -100)


def causal_loss(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
    return model(**batch, labels=answers_only(batch["input_ids"])).loss, {}


def limbeck_trainer(model: Any, method: str, rows: list[list[int]], steps: int, folder: Path) -> Trainer:
    adapter, plain = registry.take("adapters", method), Recipe(adapter=method, base="random")
    task = Task(name="random", instruction="", kind=Kind.TEXT, metric="exact_match")
    own = {v.name: v.value for v in (adapter.numbers(plain, task, len(rows)) if adapter.numbers else ())} | VALUES[method]
    own |= {"steps": steps, "batch_rows": ROWS, "batch_tokens": ROWS * TOKENS, "average": 0.0}
    recipe = plain.model_copy(update={"values": tuple(Value(name=n, value=v, why="bench") for n, v in own.items())})
    objective = Objective(name="causal", kinds=(Kind.TEXT,), features=list, loss=causal_loss)
    features = [{"input_ids": r} for r in rows]
    return loop.Loop(
        loop.Training(adapter.attach(model, recipe), objective, features, read_numbers(recipe), 0, 0, folder, "bench", bf16=True)
    )


def plain_trainer(model: Any, method: str, rows: list[list[int]], steps: int, folder: Path) -> Trainer:
    import peft

    if method == "qlora":
        model = peft.prepare_model_for_kbit_training(in_four_bits(model), use_gradient_checkpointing=False)
    if method != "full":
        config = peft.LoraConfig(r=RANK["rank"], lora_alpha=RANK["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, config)
    args = TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=ROWS, bf16=True, use_cpu=not CUDA, report_to=[],
        optim="paged_adamw_32bit" if method == "qlora" and CUDA else "adamw_torch_fused", disable_tqdm=True, save_strategy="no",
        logging_strategy="no", dataloader_pin_memory=False,
    )  # fmt: skip
    items = [{"input_ids": torch.tensor(r), "labels": answers_only(torch.tensor([r]))[0]} for r in rows]
    return Trainer(model=model, args=args, train_dataset=items)  # type: ignore[arg-type]


def in_four_bits(model: Any) -> Any:
    """Every linear layer but the output matrix, as a BitsAndBytesConfig has it."""
    import bitsandbytes as bnb

    for name in [n for n, m in model.named_modules() if type(m) is nn.Linear and n != "lm_head"]:
        weight = model.get_submodule(name).weight.data
        new = bnb.nn.Linear4bit(*weight.T.shape, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4", device="meta")
        new.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", module=new).to(weight.device)
        model.set_submodule(name, new)
    model.is_loaded_in_4bit = True
    return model


def minilm_trainer(dtype: str, rows: list[list[int]], steps: int, folder: Path) -> Trainer:
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    backbone = registry.take("adapters", "full").attach(BertModel(config, add_pooling_layer=False), Recipe(adapter="full", base="random"))
    student = EncoderStudent(backbone, "cosine", CosineHead(384, 77)).to(pick_device())
    nn.init.normal_(student.head.weight)
    features = [{"input_ids": r, "labels": i % 77} for i, r in enumerate(rows)]
    numbers, objective = Numbers(steps=steps, average=0.0), registry.take("objectives", "sft")
    return loop.Loop(loop.Training(student, objective, features, numbers, 0, 0, folder, "bench", bf16=dtype == "bfloat16"))


def measure(contender: Contender, length: int, warm: int, steps: int) -> dict[str, Any]:
    """tokens_per_s, step_ms (median, least, most) and peak_gb, or why there are none."""
    shape, method, who = contender
    torch.manual_seed(0)
    n, length, words = (32, length // 4, 30_522) if shape == "minilm" else (ROWS, length, SHAPES[shape][-1])
    rows = torch.randint(3, words, (n * (warm + steps), length)).tolist()  # one epoch
    with tempfile.TemporaryDirectory() as folder:
        try:
            if shape == "minilm":
                trainer = minilm_trainer(method, rows, warm + steps, Path(folder))
            else:
                make = limbeck_trainer if who == "limbeck" else plain_trainer
                trainer = make(llama(shape), method, rows, warm + steps, Path(folder))
            clock = Clock()
            trainer.add_callback(clock)
            trainer.pop_callback(PrinterCallback)
            trainer._save_checkpoint = lambda *a: None  # type: ignore[method-assign]  # gigabytes of files are not what is timed
            trainer.train()
        except (torch.cuda.OutOfMemoryError, MemoryError):
            return {"outcome": "out of memory"}
        except (MissingExtra, ImportError) as missing:
            return {"outcome": f"not run: {str(missing).splitlines()[0]}"}
    times = [1e3 * (b - a) for a, b in zip(clock.ends, clock.ends[1:], strict=False)][warm:]
    assert len(times) == steps, times
    optimizer = type(getattr(trainer.optimizer, "optimizer", trainer.optimizer))  # accelerate wraps it
    return {
        "outcome": "measured",
        "tokens_per_s": round(1e3 * n * length / statistics.median(times), 1),
        "step_ms": [round(pick(times), 2) for pick in (statistics.median, min, max)],
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 3) if CUDA else None,
        "trainable": sum(p.numel() for p in checkpoint.trainable(trainer.model).values()),
        "optimizer": f"{optimizer.__module__.partition('.')[0]}.{optimizer.__name__}",
    }


def apart(contender: Contender) -> dict[str, Any]:
    """In a process of its own, so that nothing of the one before is left on the device."""
    done = subprocess.run([sys.executable, __file__, "--child", json.dumps(contender)], capture_output=True, text=True)
    if done.returncode:
        return {"outcome": f"failed with {done.returncode}: " + " | ".join(done.stderr.strip().splitlines()[-4:])}
    return json.loads(done.stdout.strip().splitlines()[-1])


def line(name: str, found: dict[str, Any]) -> None:
    print(f"{name:22s}", ", ".join(f"{v} {k}" for k, v in found.items() if k != "outcome") or found["outcome"], flush=True)


def contenders(shapes: list[str]) -> list[Contender]:
    encoder = [("minilm", dtype, "limbeck") for dtype in ("bfloat16", "float32") if "minilm" in shapes]
    return encoder + [(s, method, who) for s in shapes if s != "minilm" for method, sides in METHODS.items() for who in sides]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=["minilm", "1.5b", "7b"], choices=["minilm", "1.5b", "7b"])
    parser.add_argument("--seconds", type=float, default=570.0, help="none begins that would end later, were it as slow as the slowest")
    parser.add_argument("--smoke", action="store_true", help="a toy, a step or two of each; nothing is written")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    args, began, slowest = parser.parse_args(), time.monotonic(), 0.0
    if args.child:
        return print(json.dumps(measure(tuple(json.loads(args.child)), TOKENS, WARM, STEPS)))
    if args.smoke:
        for contender in contenders(["minilm", "toy"]):
            line(" ".join(contender), measure(contender, 32, 1, 2))
        return None
    if not CUDA:
        return print("not run: no CUDA device")
    card, now = torch.cuda.get_device_properties(0), stamp()
    now["bitsandbytes"] = next((d.version for d in distributions(name="bitsandbytes")), "absent")
    about = {name: now[name] for name in ("commit", "torch", "transformers", "peft", "bitsandbytes")}
    about |= {"gpu": card.name, "gpu_gb": round(card.total_memory / 1e9, 1), "cuda": torch.version.cuda, "batch": [ROWS, TOKENS]}
    before = json.loads((HERE / "result.json").read_text()) if (HERE / "result.json").exists() else {}
    runs = before["runs"] if before.get("about") == about else {}
    for contender in contenders(args.shapes):
        name, start = " ".join(contender), time.monotonic()
        if runs.get(name, {}).get("outcome") not in ("measured", "out of memory"):
            late = {"outcome": "not run: no time left, the same command again goes on"}
            runs[name] = late if start + slowest > began + args.seconds else apart(contender)
            slowest = max(slowest, time.monotonic() - start)
            save(HERE, "result", {"about": about, "runs": runs, "command": "python bench/gpu/bench.py"})
        line(name, runs[name])
    return sys.exit("a contender failed") if any(r["outcome"].startswith("failed") for r in runs.values()) else None


if __name__ == "__main__":
    main()
