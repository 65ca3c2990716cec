"""Where to compute, with how many threads, and in which precision: measured once per run, then a frozen fact."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from limbeck.registry import FitJob
from limbeck.run import write_json

_CLEARLY = 0.85  # more threads, or bfloat16, have to take less than this share of the time


@dataclass(frozen=True)
class Speed:
    """dtype: of training's autocast, "bfloat16" | "float32" (weights stay float32; answers are always float32)."""

    threads: int
    dtype: str
    why: str


def pick_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def set_threads(threads: int) -> None:
    """Threads of one operation, torch's and the BLAS that scikit-learn calls; they change results in their last bits,
    so a resumed fit takes those it began with."""
    torch.set_num_threads(max(1, threads))
    threadpool_limits(max(1, threads))


@lru_cache(maxsize=8)
def measure(threads: int | None = None) -> Speed:
    """The Speed of this machine. Below two seconds. threads: fixed by the user, only the precision is measured."""
    if pick_device().type == "cuda":
        dtype = "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
        return Speed(threads or torch.get_num_threads(), dtype, f"{torch.cuda.get_device_name()} computes {dtype}")
    before = torch.get_num_threads()
    state = torch.random.get_rng_state()
    try:
        return _measure_cpu(threads)
    finally:
        set_threads(before)
        torch.random.set_rng_state(state)


def _measure_cpu(fixed: int | None) -> Speed:
    step = _small_step()
    first = fixed or 1
    full = _times(step, first, torch.float32)
    half = _times(step, first, torch.bfloat16)
    dtype, best = (torch.bfloat16, half) if min(half) < _CLEARLY * min(full) else (torch.float32, full)
    name = "bfloat16" if dtype is torch.bfloat16 else "float32"
    why = f"a small step takes {min(full) * 1e3:.0f} ms in float32 and {min(half) * 1e3:.0f} ms in bfloat16"
    if fixed:
        return Speed(fixed, name, f"{why}; {fixed} threads were asked for")
    chosen, cores = 1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for threads in (2, 4, 8, 16):
        if threads > cores:
            break
        times = _times(step, threads, dtype, give_up_s=max(best))
        if max(times) >= _CLEARLY * min(best):  # the worst repetition counts: a busy second core costs ten times
            why += f"; {threads} threads took up to {max(times) * 1e3:.0f} ms"
            break
        chosen, best = threads, times
    return Speed(chosen, name, f"{why}; {chosen} of {cores} cores are used")


def _times(step: Callable[[], None], threads: int, dtype: torch.dtype, give_up_s: float = 0.5) -> list[float]:
    """Seconds of up to five repetitions after a warm-up; stops at the first that is slower than give_up_s."""
    set_threads(threads)
    times: list[float] = []
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        for _ in range(6):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
            if times[-1] > give_up_s and len(times) > 1:
                break
    return times[1:]


def _small_step() -> Callable[[], None]:
    """Forward and backward of one layer of MiniLM's shape: d = 384, 12 heads, 1536 inside, (B, T) = (16, 32)."""
    layer = nn.TransformerEncoderLayer(384, 12, 1536, dropout=0.0, batch_first=True)
    x = torch.randn(16, 32, 384)

    def step() -> None:
        layer(x).sum().backward()

    return step


def describe() -> str:
    """For `limbeck doctor`: one line on the accelerator."""
    device = pick_device()
    if device.type == "cuda":
        memory_gb = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"{torch.cuda.get_device_name()}, {memory_gb:.0f} GB"
    return "Apple GPU (mps)" if device.type == "mps" else "none (the CPU is used)"


def settle_speed(job: FitJob) -> Speed:
    """Threads and precision of this fit: as the job says, as this folder's fit began with, or measured now."""
    kept = job.folder / "speed.json"
    if job.threads and job.dtype:
        speed = Speed(job.threads, job.dtype, "as this run began with")
    elif kept.is_file():
        speed = Speed(**json.loads(kept.read_bytes()))
    else:
        speed = measure(job.threads)
    write_json(kept, asdict(speed))
    return speed
