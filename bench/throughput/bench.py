"""10,000 questions to a server that takes 64 at once and needs a second for each: how near to 64 a second does the store come?

    python bench/throughput/bench.py [--requests 10000] [--latency-ms 1000] [--at-once 64] [--no-interrupt]

The client is not told the limit; 429s are how it learns. Writes result.json beside itself. Claims: at least 90 % of the
ideal rate, memory flat, and after SIGINT in the middle the same call again loses nothing and asks nothing twice (the
server counts repeated bodies), with the ledger of a run that was never interrupted."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import SHARED, data, save

HERE = Path(__file__).resolve().parent
SPEC_MODEL = "palm540b"


def client(address: str, n: int, store: str) -> None:
    """One process, one `Store.ask`. Prints a JSON line: wall and CPU seconds, outcomes, ledger."""
    from limbeck.teachers import open_teacher
    from limbeck.teachers.store import Store
    from limbeck.types import Message, Price, Reply, Request

    rows = data("cqa", "test")
    system = Message(role="system", content="Choose one of the answers.")
    requests = [
        Request(
            messages=(system, Message(role="user", content=rows[i % len(rows)]["input"])),
            temperature=1.0,
            max_tokens=200,
            seed=i // len(rows),
        )
        for i in range(n)
    ]
    teacher = open_teacher(f"{address}#{SPEC_MODEL}", Price(usd_per_mtok_in=1.0, usd_per_mtok_out=2.0))
    kept = Store(store, cap_usd=100.0)
    known = kept.ledger()["replies"]
    began, cpu, outcomes, stopped = time.monotonic(), time.process_time(), [], False
    try:
        outcomes = kept.ask(teacher, requests, "label")
    except KeyboardInterrupt:
        stopped = True
    wall_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
    ledger = kept.ledger()
    print(
        json.dumps(
            {
                "wall_s": round(wall_s, 2),
                "cpu_s": round(cpu_s, 2),
                "stopped": stopped,
                "answered_here": ledger["replies"] - known,
                "replies": sum(isinstance(o, Reply) for o in outcomes),
                "width_at_end": round(kept.paces[teacher.fingerprint, "label"].width, 1),
                "ledger": ledger,
            }
        )
    )


@contextmanager
def serve(args: argparse.Namespace) -> Any:
    command = [sys.executable, str(SHARED / "tools" / "replay_teacher.py"), "--tasks", "cqa", "--port", "0"]
    command += ["--latency-ms", str(args.latency_ms), "--max-concurrency", str(args.at_once)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server, server.stdout.readline().strip()
        finally:
            server.kill()


def stats(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(address.removesuffix("/v1") + "/stats") as answer:
        return dict(json.load(answer))


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drive(address: str, n: int, store: Path, stop_at: int | None = None) -> dict[str, Any]:
    """Run the client as a process of its own; watch its memory; send SIGINT once `stop_at` were answered."""
    child = subprocess.Popen([sys.executable, __file__, "--client", address, str(n), str(store)], stdout=subprocess.PIPE, text=True)
    before, seen = stats(address)["ok"], []
    while child.poll() is None:
        time.sleep(0.5)
        try:
            ok = stats(address)["ok"] - before
            seen.append((ok, rss_mb(child.pid)))
        except (OSError, ValueError):
            continue
        if stop_at is not None and ok >= stop_at:
            child.send_signal(signal.SIGINT)
            stop_at = None
    assert child.stdout is not None
    result = json.loads(child.stdout.read().splitlines()[-1])
    quarter = [mb for ok, mb in seen if ok >= n / 4] or [0.0]
    return {**result, "rss_mb_at_quarter": round(quarter[0], 1), "rss_mb_most_after": round(max(quarter), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--latency-ms", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--no-interrupt", action="store_true")
    parser.add_argument("--save", default="result")
    args = parser.parse_args()
    if args.client:
        return client(args.client[0], int(args.client[1]), args.client[2])

    ideal = args.at_once / (args.latency_ms / 1000)
    result: dict[str, Any] = {"requests": args.requests, "latency_ms": args.latency_ms, "at_once": args.at_once, "ideal_per_s": ideal}
    result["load_before"] = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="throughput-") as work:
        with serve(args) as (server, address):
            whole = drive(address, args.requests, Path(work) / "whole.sqlite")
            told = stats(address)
            server_cpu_s = cpu_of(server.pid)
        rate = args.requests / whole["wall_s"]
        result["whole"] = {
            **whole,
            "per_s": round(rate, 2),
            "share_of_ideal": round(rate / ideal, 4),
            "client_cpu_share": round(whole["cpu_s"] / whole["wall_s"], 3),
            "server_cpu_s": round(server_cpu_s, 1),
            "refused": told["rate_limited"],
            "repeats": told["repeats"],
            "peak_concurrency": told["peak_concurrency"],
        }
        if not args.no_interrupt:
            with serve(args) as (_, address):
                first = drive(address, args.requests, Path(work) / "cut.sqlite", stop_at=args.requests // 2)
                second = drive(address, args.requests, Path(work) / "cut.sqlite")
                told = stats(address)
            money = lambda run: {k: v for k, v in run["ledger"].items() if k not in ("retries", "transient")}  # noqa: E731
            result["interrupted"] = {
                "answered_before": first["answered_here"],
                "answered_after": second["answered_here"],
                "stopped_by_ctrl_c": first["stopped"],
                "replies": second["replies"],
                "repeats": told["repeats"],
                "answered_by_server": told["ok"],
                "ledger_equal": money(second) == money(whole),
                "per_s": round(args.requests / (first["wall_s"] + second["wall_s"]), 2),
            }
    result["load_after"] = os.getloadavg()[0]
    save(HERE, args.save, result)
    print(json.dumps(result, indent=1))
    return None


if __name__ == "__main__":
    main()
