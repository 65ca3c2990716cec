"""Does training a base fit this machine: memory, time, and what already lies on its disk. Estimates, and said to be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from limbeck import registry
from limbeck.bases.catalogue import Model
from limbeck.errors import LimbeckError
from limbeck.need import is_offline, need

# Bytes a parameter while training in float32. full: weights 4, gradients 4, two moments of Adam 8. lora: frozen weights 4,
# and a little for the updates. head: weights 4. Activations come on top, see ROOM_MB.
BYTES = {"full": 16.0, "lora": 4.5, "head": 4.0}
# Floating-point operations a parameter and token: forward 2, gradients of the activations 2, of the weights 2.
OPERATIONS = {"full": 6.0, "lora": 4.0, "head": 2.0}
# Rows that pass through the model: 3 trainings of 100 steps of 32, 220 steps of 32, each row once.
STEPPED = {"full": 9600, "lora": 7040}
ROOM_MB = 1500  # python, torch, a batch of activations
EFFICIENCY = 0.8  # of the rate of a product of matrices. Measured: 0.9 to 1.1 for the forward pass of minilm on one thread


@dataclass(frozen=True)
class Machine:
    """memory_mb: what training may use, of the GPU where there is one. gflops: measured rate of a product of matrices
    (float32; a GPU is put at 10,000). what: in words. offline: the Hub may not be asked."""

    memory_mb: float
    gflops: float
    what: str
    offline: bool = False


def memory_needed_mb(model: Model, adapter: str) -> float:
    return ROOM_MB + model.parameters * BYTES.get(adapter, BYTES["full"]) / 1e6


def training_s(model: Model, adapter: str, rows: int, tokens: int, gflops: float) -> float:
    """rows of `tokens` tokens. Word embeddings count as if they were computed with: an upper bound for small models."""
    seen = max(STEPPED.get(adapter, 0), rows)
    return OPERATIONS.get(adapter, OPERATIONS["full"]) * model.parameters * seen * tokens / (gflops * 1e9 * EFFICIENCY)


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """Standard library, nvidia-smi where it is installed, and a tenth of a second of numpy."""
    offline = is_offline()
    if (gpu := gpu_memory_mb()) is not None:
        return Machine(gpu, 10_000.0, f"a GPU with {gpu / 1000:.0f} GB", offline)
    memory, rate = main_memory_mb(), measured_gflops()
    return Machine(memory, rate, f"this processor, measured at {rate:.0f} GFLOP/s, and {memory / 1000:.0f} GB of memory", offline)


def gpu_memory_mb() -> float | None:
    """Of the largest GPU; None where there is none, or nothing that tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    sizes = [float(size) for size in re.findall(r"^\s*(\d+)\s*$", said, re.M)]
    return max(sizes) * 2**20 / 1e6 if sizes else None


def main_memory_mb() -> float:
    """The least of what is installed and what the container may use. inf where the system does not tell."""
    found = [float("inf")]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6)
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path(limit).read_text()) / 1e6)
        except (OSError, ValueError):
            continue
    return min(found)


def measured_gflops(size: int = 768, times: int = 5) -> float:
    """The best of a few products of two square float32 matrices: 2 size^3 operations each."""
    np = need("numpy", extra="train")
    matrix = np.ones((size, size), np.float32)
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e9


def is_here(model: Model) -> bool:
    """Embedded in an installed package, or in the Hub's cache with its configuration and safetensors weights."""
    if model.alias in registry.names("bases"):
        try:
            return bool((registry.take("bases", model.alias).folder() / "config.json").is_file())
        except LimbeckError:
            pass
    return is_cached(model.id)


def is_cached(hub_id: str) -> bool:
    """Whether the Hub's cache holds its configuration and safetensors weights."""
    snapshots = hub_cache() / f"models--{hub_id.replace('/', '--')}" / "snapshots"
    return any((folder / "config.json").is_file() and any(folder.glob("*.safetensors")) for folder in snapshots.glob("*"))


def hub_cache() -> Path:
    """As huggingface_hub finds it."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
