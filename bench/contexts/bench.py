"""Retrieval over documents: recall@5 of words (BM25), meaning (minilm) and both fused; and what a large index costs.

    python bench/contexts/bench.py           squad's questions over its own contexts as documents: about 2 CPU minutes
    python bench/contexts/bench.py --full    and BM25 over 1,000,000 synthetic passages, minilm over 20,000: about 8 more

The right passages of a question are those that hold its answer where the annotators marked it (spans, not strings).
Nothing was chosen on these questions: passage size, overlap, K and depth are the defaults that a run has."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common import data, save  # noqa: E402

from limbeck.contexts.passages import build, index_words, save_array, write_passages  # noqa: E402
from limbeck.contexts.search import WAYS, PassageIndex  # noqa: E402

DRAWS, SEED, K = 10_000, 0, 5
PASSAGES, EMBEDDED, QUERIES, WORDS, VOCABULARY = 1_000_000, 20_000, 200, 40, 200_000


def embed(texts: list[str]) -> np.ndarray:
    from limbeck.engine.embed import embed as vectors

    return vectors(texts)


# ---- squad: questions over documents made from their contexts ---------------------------------------------------------


def documents(folder: Path) -> list[tuple[str, str, int, int]]:
    """Writes one document per article, its contexts as paragraphs; gives the test questions as (question, document, start, end)."""
    rows = [(split, row) for split in ("train", "valid", "test") for row in data("squad", split)]
    articles: dict[str, dict[str, None]] = defaultdict(dict)
    for _, row in rows:
        articles[row["meta"].get("title") or row["meta"]["source"]].setdefault(context_of(row))
    texts, places = {}, {}
    for number, (title, contexts) in enumerate(sorted(articles.items())):
        name, text = f"{number:03}.txt", ""
        for context in contexts:
            places[title, context] = (name, len(text))
            text += context + "\n\n"
        texts[name] = text
        (folder / name).write_text(text, encoding="utf-8")
    asked = []
    for split, row in rows:
        name, at = places[row["meta"].get("title") or row["meta"]["source"], context_of(row)]
        starts = row["meta"].get("answer_start")
        answer = row["meta"]["answers"][0] if row["meta"].get("answers") else row["output"]
        if split == "test" and starts and texts[name][at + starts[0] :].startswith(answer):
            asked.append((row["meta"]["question"], name, at + starts[0], at + starts[0] + len(answer)))
    return asked


def context_of(row: dict[str, Any]) -> str:
    """Blank lines inside would make two paragraphs of one context, and move no sign: kept as they are."""
    return str(row["input"].partition("\ncontext: ")[2])


def nq_style(question: str) -> str:
    """As people type: lower case, no mark at the end."""
    return question.lower().rstrip("?. ")


def ranks(index: PassageIndex, asked: list[tuple[str, str, int, int]], way: str) -> np.ndarray:
    """(n,) 1-based rank of the first right passage among ten, inf where there is none."""
    passages = index.passages()
    found = []
    for (_, name, start, end), hits in zip(asked, index.search([q for q, *_ in asked], 10, way), strict=True):
        right = (r for r, h in enumerate(hits, 1) if (p := passages[h.number]).document == name and p.start <= start and end <= p.end)
        found.append(float(next(right, float("inf"))))
    return np.array(found)


def figures(by_way: dict[str, np.ndarray]) -> dict[str, Any]:
    """Per way recall@5 and MRR with 95 % intervals; fused minus each of the others on the same questions."""
    n = len(by_way["fused"])
    drawn = np.random.default_rng(SEED).integers(0, n, (DRAWS, n))

    def interval(rows: np.ndarray) -> dict[str, float]:
        low, high = np.quantile(rows[drawn].mean(1), [0.025, 0.975])
        return {"value": round(float(rows.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}

    hit = {way: (r <= K).astype(float) for way, r in by_way.items()}
    return {
        "n": n,
        "recall@5": {way: interval(h) for way, h in hit.items()},
        "mrr@10": {way: interval(1 / r) for way, r in by_way.items()},
        "fused minus": {way: interval(hit["fused"] - hit[way]) for way in WAYS if way != "fused"},
    }


def squad() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        docs, folder = Path(place) / "docs", Path(place) / "index"
        docs.mkdir()
        asked = documents(docs)
        began = time.perf_counter()
        build(folder, docs, embed=embed)
        built_s = time.perf_counter() - began
        index = PassageIndex(folder, embed)
        typed = [(nq_style(question), *rest) for question, *rest in asked]
        found = {"squad": {way: ranks(index, asked, way) for way in WAYS}, "as typed": {way: ranks(index, typed, way) for way in WAYS}}
        facts = {"documents": index.facts["documents"], "passages": len(index), "build_s": round(built_s, 1)}
    return {**facts, **{name: figures(by_way) for name, by_way in found.items()}}


# ---- size -------------------------------------------------------------------------------------------------------------


def synthetic(n: int) -> list[str]:
    """n texts of 40 words, the words drawn as words are (Zipf, exponent 1.1)."""
    rng = np.random.default_rng(SEED)
    words = np.minimum(rng.zipf(1.1, (n, WORDS)), VOCABULARY)
    return [" ".join(f"w{i}" for i in line) for line in words.tolist()]


def large(way: str) -> dict[str, Any]:
    """Time to build, peak memory, size on disk and p95 of a query; in a process of its own, so that memory is its own."""
    from limbeck.contexts.chunks import Passage

    n = PASSAGES if way == "words" else EMBEDDED
    texts = synthetic(n)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        began = time.perf_counter()
        cpu = time.process_time()
        digest = write_passages(folder, [Passage("synthetic", (), 0, len(text), text) for text in texts])
        if way == "words":
            index_words(folder, texts)
        else:
            save_array(folder / "passages-vectors.npy", np.concatenate([embed(texts[i : i + 256]) for i in range(0, n, 256)]))
        built_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        facts = {"passages": n, "digest": digest, "meaning": way == "meaning", "embedder": "minilm", "why": ""}
        (folder / "passages.json").write_text(json.dumps(facts))
        index = PassageIndex(folder)
        queries = [" ".join(text.split()[:8]) for text in texts[:: n // QUERIES][:QUERIES]]
        index.search(queries[:1], 10, way)
        times = []
        for query in queries:
            start = time.perf_counter()
            index.search([query], 10, way)
            times.append(1e3 * (time.perf_counter() - start))
        size = sum(file.stat().st_size for file in folder.glob("passages*"))
    return {
        "passages": n,
        "words_each": WORDS,
        "build_s": round(built_s, 1),
        "build_cpu_s": round(cpu_s, 1),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "disk_mb": round(size / 1e6, 1),
        "query_p50_ms": round(float(np.percentile(times, 50)), 2),
        "query_p95_ms": round(float(np.percentile(times, 95)), 2),
    }


def apart(way: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, "--large", way], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--large"]:
        return print(json.dumps(large(arguments[1])))
    result: dict[str, Any] = {"recall": squad()}
    for name in ("squad", "as typed"):
        found = result["recall"][name]
        print(f"{name}: {found['n']} questions, {result['recall']['passages']} passages of {result['recall']['documents']} documents")
        for way, r in found["recall@5"].items():
            print(f"  {way:8} recall@5 {r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}]   MRR@10 {found['mrr@10'][way]['value']:.3f}")
        for way, d in found["fused minus"].items():
            print(f"  fused - {way:8} {d['value']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]")
    if "--full" in arguments:
        result["large"] = {way: apart(way) for way in ("words", "meaning")}
        for way, r in result["large"].items():
            print(f"{way}: {r}")
    else:
        print("large indexes: not run (--full)")
    save(HERE, "full" if "--full" in arguments else "result", result)


if __name__ == "__main__":
    main(sys.argv[1:])
