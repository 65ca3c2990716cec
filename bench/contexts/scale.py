"""What a large index costs: BM25 over 1,000,000 synthetic passages, embeddings of 20,000, through the same door as a user's folder."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np

SEED, VOCABULARY, EXPONENT = 0, 200_000, 1.1
PASSAGES = {"words": 1_000_000, "meaning": 20_000}
PER_FILE, QUERIES, QUERY_WORDS = 10_000, 200, 8


def write_documents(folder: Path, n: int) -> list[str]:
    """JSONL files whose records are passages of 30 to 60 words, drawn as words are (Zipf). Gives queries: words of some passage,
    in its order."""
    rng = np.random.default_rng(SEED)
    letters = ("".join(word) for length in range(1, 5) for word in product("abcdefghijklmnopqrstuvwxyz", repeat=length))
    spelled = np.array(list(islice(letters, VOCABULARY)), object)  # the more frequent the shorter, as words are
    queries = []
    for number in range(0, n, PER_FILE):
        size = min(PER_FILE, n - number)
        lengths = rng.integers(30, 61, size)
        drawn = spelled[np.minimum(rng.zipf(EXPONENT, int(lengths.sum())), VOCABULARY) - 1]
        texts = [" ".join(part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]
        queries += [" ".join(text.split()[:QUERY_WORDS]) for text in texts[:: max(1, n // QUERIES)]]
        (folder / f"{number:08}.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    return queries[:QUERIES]


def measure(way: str, n: int) -> dict[str, Any]:
    """Seconds to build, the most memory, disk, p50 and p95 of a query. In this very process: see `apart`."""
    from limbeck.contexts.passages import build

    embed = None
    if way == "meaning":
        import torch

        from limbeck.engine.embed import Encoder

        torch.set_num_threads(1)
        embed = Encoder("minilm")
        embed(["warm", "up"])
    with tempfile.TemporaryDirectory() as place:
        docs, folder = Path(place) / "docs", Path(place) / "index"
        docs.mkdir()
        queries = write_documents(docs, n)
        before_mb = peak_mb()
        began, cpu = time.perf_counter(), time.process_time()
        index = build(folder, docs, embed=embed)
        built_s, cpu_s, peak = time.perf_counter() - began, time.process_time() - cpu, peak_mb()
        assert len(index) == n, f"{len(index)} passages of {n} records"
        index.search(queries[:1], 10, way)
        times = []
        for query in queries:
            start = time.perf_counter()
            index.search([query], 10, way)
            times.append(1e3 * (time.perf_counter() - start))
        disk = {part: sum(f.stat().st_size for f in folder.glob(pattern)) for part, pattern in (("index", "passages*"), ("kept", "*/*"))}
    return {
        "passages": n,
        "build_s": round(built_s, 1),
        "build_cpu_s": round(cpu_s, 1),
        "peak_memory_mb": peak,
        "peak_memory_before_mb": before_mb,
        "disk_mb": {part: round(size / 1e6, 1) for part, size in disk.items()},
        "query_p50_ms": round(float(np.percentile(times, 50)), 2),
        "query_p95_ms": round(float(np.percentile(times, 95)), 2),
    }


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def apart(way: str, n: int) -> dict[str, Any]:
    """In a process of its own, so that the memory is its own."""
    done = subprocess.run([sys.executable, __file__, way, str(n)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
