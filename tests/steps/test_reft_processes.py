"""ReFT trained by two processes at once (DistributedDataParallel over gloo) takes the steps that one process takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

WORKER = """
import sys, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from transformers import LlamaConfig, LlamaForCausalLM
from limbeck.adapters.reft import ReftConfig, get_reft_model
store, rank, world, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.set_num_threads(1)
torch.manual_seed(0)
shape = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48, vocab_size=40)
reft = get_reft_model(LlamaForCausalLM(LlamaConfig(**shape)), ReftConfig(rank=3, positions="f2+l2", tied=False))
model = reft
if world > 1:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    model = DistributedDataParallel(reft)
ids = torch.arange(4 * 9).reshape(4, 9) % 37 + 1
labels = ids.clone()
labels[:, :5] = -100
part = slice(rank * 4 // world, (rank + 1) * 4 // world)
optimizer = torch.optim.AdamW([p for p in reft.parameters() if p.requires_grad], lr=1e-2)
for _ in range(4):
    optimizer.zero_grad()
    model(input_ids=ids[part], labels=labels[part]).loss.backward()
    optimizer.step()
reft.save_pretrained(f"{folder}/{world}-{rank}")
if world > 1:
    dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    def start(rank: int, world: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path / "store"), str(rank), str(world), str(tmp_path)])

    workers = [start(0, 1), start(0, 2), start(1, 2)]
    assert [w.wait(timeout=240) for w in workers] == [0, 0, 0]
    one, first, second = (load_file(tmp_path / name / "reft.safetensors") for name in ("1-0", "2-0", "2-1"))
    for name, tensor in one.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], tensor, atol=1e-5, rtol=1e-4)
