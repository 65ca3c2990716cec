"""The SQLite file of a run: every reply and every refusal by content address, and what they cost.

Money and tokens are sums over distinct stored replies, so that a run that was killed and resumed has the same ledger as
one that was not. What went wrong on the way is counted apart."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import Declined, DiskFull, LimbeckError, UsageError
from limbeck.registry import Teacher
from limbeck.run import room_on_disk
from limbeck.types import Reply, Request, canonical_json

VERSION = 1
TABLES = """
CREATE TABLE IF NOT EXISTS replies (
  address TEXT PRIMARY KEY,  -- sha256 of fingerprint and body
  time REAL, purpose TEXT, teacher TEXT, remote INTEGER,
  texts TEXT, finish TEXT, model TEXT,
  tokens_in INTEGER, tokens_out INTEGER, estimated INTEGER,
  cost_usd REAL,             -- NULL = the price is unknown
  latency_ms REAL,
  tokens_cached INTEGER NOT NULL DEFAULT 0,  -- of tokens_in
  saved_usd REAL NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusals (
  address TEXT PRIMARY KEY, time REAL, purpose TEXT, teacher TEXT, kind TEXT, what TEXT, have TEXT, do TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS troubles (kind TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
"""
COLUMNS = (
    "address, time, purpose, teacher, remote, texts, finish, model, "
    "tokens_in, tokens_out, estimated, cost_usd, latency_ms, tokens_cached, saved_usd"
)
LATER = {"tokens_cached": "INTEGER NOT NULL DEFAULT 0", "saved_usd": "REAL NOT NULL DEFAULT 0"}  # a file of an older run lacks them
BULKS = """
CREATE TABLE IF NOT EXISTS bulks (
  token TEXT PRIMARY KEY,    -- ours; the provider carries it as metadata, so that a batch is found again by it
  id TEXT,                   -- the provider's; NULL = the process ended before it was told
  time REAL, purpose TEXT, teacher TEXT,
  most_usd REAL,             -- what it may cost; counts as spent while it is open
  addresses TEXT, open INTEGER) WITHOUT ROWID;
"""


def address_of(teacher: Teacher, request: Request) -> str:
    """Everything that can change the answer: the teacher's fingerprint, and the body."""
    text = canonical_json({"fingerprint": teacher.fingerprint, "body": request.body()})
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Entry:
    """One answer to be stored. answer: a Reply, or the Declined that is final for this address."""

    address: str
    purpose: str
    answer: Reply | Declined


@dataclass(frozen=True)
class OpenBulk:
    """A batch that was handed to the provider, and whose replies are not stored yet. id "" = it is not known whether it was."""

    token: str
    id: str
    purpose: str
    most_usd: float
    addresses: tuple[str, ...]


class Ledger:
    """spent_usd: what the remote replies cost so far. promised_usd: what open batches may cost at most.
    Every method may be called from any thread."""

    def __init__(self, path: Path):
        self.path, self.lock = path, threading.Lock()
        with room_on_disk(path), self.guarded():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=FULL")  # a reply that was paid for is on the disk before it is used
            version = self.db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise LimbeckError(f"{path} is of version {version}", f"this limbeck reads version {VERSION}", f"mv {path} {path}.old")
            if version == 0:
                self.db.executescript(f"{TABLES} PRAGMA user_version={VERSION};")
            self.db.executescript(BULKS)
            there = {name for _, name, *_ in self.db.execute("PRAGMA table_info(replies)")}
            for name in LATER.keys() - there:
                self.db.execute(f"ALTER TABLE replies ADD COLUMN {name} {LATER[name]}")
        self.spent_usd = float(self.totals()["spent_usd"])
        self.promised_usd = self.sum_of_promises()

    def close(self) -> None:
        with self.lock:
            self.db.close()

    def find(self, addresses: Sequence[str]) -> dict[str, Reply | Declined]:
        """What is known of these addresses."""
        found: dict[str, Reply | Declined] = {}
        for start in range(0, len(addresses), 500):
            some = addresses[start : start + 500]
            holes = ",".join("?" * len(some))
            for address, texts, finish, model, tokens_in, tokens_out, tokens_cached, estimated, latency_ms in self.rows(
                "SELECT address, texts, finish, model, tokens_in, tokens_out, tokens_cached, estimated, latency_ms FROM replies "
                f"WHERE address IN ({holes})",
                some,
            ):
                found[address] = Reply(
                    texts=tuple(json.loads(texts)),
                    finish=tuple(json.loads(finish)),
                    model=model,
                    tokens_in=tokens_in,
                    tokens_out=tokens_out,
                    tokens_cached=tokens_cached,
                    estimated=bool(estimated),
                    latency_ms=latency_ms,
                )
            for address, kind, what, have, do in self.rows(
                f"SELECT address, kind, what, have, do FROM refusals WHERE address IN ({holes})", some
            ):
                found[address] = Declined(what, have, do, kind=kind)
        return found

    def look_up(self, prefix: str) -> dict[str, Any] | None:
        """The stored reply whose address begins like this: {address, purpose, texts, finish, model, tokens_in, tokens_out,
        cost_usd, latency_ms}. None where there is none, or where the prefix fits several."""
        names = ("address", "purpose", "texts", "finish", "model", "tokens_in", "tokens_out", "cost_usd", "latency_ms")
        query = f"SELECT {', '.join(names)} FROM replies WHERE substr(address, 1, ?) = ? LIMIT 2"
        found = self.rows(query, (len(prefix), prefix)) if prefix else []
        if len(found) != 1:
            return None
        facts = dict(zip(names, found[0], strict=True))
        return {**facts, "texts": json.loads(facts["texts"]), "finish": json.loads(facts["finish"])}

    def keep(self, teacher: Teacher, entries: Iterable[Entry], troubles: Counter[str], closes: str = "") -> None:
        """All of it on the disk, in one transaction. An address that is known already is not counted twice.
        closes: token of the batch that these entries complete."""
        now, added_usd = time.time(), 0.0
        with self.lock, self.guarded():
            try:
                self.db.execute("BEGIN IMMEDIATE")
                for entry in entries:
                    if isinstance(entry.answer, Reply):
                        added_usd += self.keep_reply(teacher, entry, entry.answer, now)
                    else:
                        no = entry.answer
                        self.db.execute(
                            "INSERT OR IGNORE INTO refusals VALUES (?,?,?,?,?,?,?,?)",
                            (entry.address, now, entry.purpose, teacher.fingerprint, no.kind, no.what, no.have, no.do),
                        )
                for kind, n in troubles.items():
                    self.db.execute("INSERT INTO troubles VALUES (?,?) ON CONFLICT(kind) DO UPDATE SET n = n + excluded.n", (kind, n))
                if closes:
                    self.db.execute("UPDATE bulks SET open = 0 WHERE token = ?", (closes,))
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise
        self.spent_usd += added_usd
        if closes:
            self.promised_usd = self.sum_of_promises()

    def keep_reply(self, teacher: Teacher, entry: Entry, reply: Reply, now: float) -> float:
        """USD that this adds to the spend."""
        price = teacher.price
        cost_usd = price.of_reply(reply) if price else None
        cached = (reply.tokens_cached, price.saved(reply.tokens_cached) if price else 0.0)
        texts, finish = (json.dumps(list(part), ensure_ascii=False) for part in (reply.texts, reply.finish))
        values = (entry.address, now, entry.purpose, teacher.fingerprint, teacher.remote, texts, finish, reply.model)
        numbers = (reply.tokens_in, reply.tokens_out, reply.estimated, cost_usd, reply.latency_ms)
        columns = (*values, *numbers, *cached)
        new = self.db.execute(f"INSERT OR IGNORE INTO replies ({COLUMNS}) VALUES ({','.join('?' * len(columns))})", columns).rowcount
        return (cost_usd or 0.0) if new and teacher.remote else 0.0

    # ---- batches that are out ---------------------------------------------------------------------------------

    def promise(self, teacher: Teacher, bulk: OpenBulk) -> None:
        """Written before anything is handed over: from now on its money counts, and a kill does not lose it."""
        addresses = json.dumps(list(bulk.addresses))
        values = (bulk.token, bulk.id or None, time.time(), bulk.purpose, teacher.fingerprint, bulk.most_usd, addresses)
        self.rows("INSERT OR REPLACE INTO bulks VALUES (?,?,?,?,?,?,?,1)", values)
        self.promised_usd = self.sum_of_promises()

    def withdraw(self, token: str) -> None:
        """It was never handed over, or came back with nothing that was paid for."""
        self.rows("DELETE FROM bulks WHERE token = ?", (token,))
        self.promised_usd = self.sum_of_promises()

    def open_bulks(self, fingerprint: str) -> list[OpenBulk]:
        found = self.rows(
            "SELECT token, id, purpose, most_usd, addresses FROM bulks WHERE open = 1 AND teacher = ? ORDER BY time", (fingerprint,)
        )
        return [OpenBulk(token, id or "", purpose, usd, tuple(json.loads(addresses))) for token, id, purpose, usd, addresses in found]

    def sum_of_promises(self) -> float:
        return math.fsum(usd for (usd,) in self.rows("SELECT most_usd FROM bulks WHERE open = 1", ()))

    # ---- sums -------------------------------------------------------------------------------------------------

    def totals(self) -> dict[str, Any]:
        """spent_usd: remote replies only. unpriced: remote replies whose price is unknown. estimated: replies whose tokens
        were not told by the provider. tokens_cached: of tokens_in, found in the provider's cache, which took cache_saved_usd off
        the price. declined: final refusals. retries and transient {status or kind: n} count attempts."""
        replies = self.rows("SELECT purpose, remote, cost_usd, tokens_in, tokens_out, estimated, tokens_cached, saved_usd FROM replies", ())
        declined = Counter(purpose for (purpose,) in self.rows("SELECT purpose FROM refusals", ()))
        troubles = dict(self.rows("SELECT kind, n FROM troubles ORDER BY kind", ()))
        purposes = sorted({r[0] for r in replies} | set(declined))
        by_purpose = {p: sums([r for r in replies if r[0] == p], declined[p]) for p in purposes}
        retries = troubles.pop("retries", 0)
        return {**sums(replies, declined.total()), "by_purpose": by_purpose, "retries": retries, "transient": troubles}

    def rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.lock, self.guarded():
            return self.db.execute(query, values).fetchall()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """SQLite's errors, as ours."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "disk is full" in text or ("I/O" in text and shutil.disk_usage(self.path.parent).free < 1 << 20):
                do = "free some room, then the same command: it resumes, and pays for nothing twice"
                raise DiskFull(f"no room left on the disk of {self.path}; what came before is kept", text, do) from error
            if "unable to open" in text or "readonly" in text:
                raise UsageError(f"cannot write {self.path}", text, "choose another folder with --out DIR") from error
            raise LimbeckError(
                f"{self.path} cannot be used", text, f"it holds paid replies: mv {self.path} {self.path}.damaged, do not remove it"
            ) from error


def sums(replies: Sequence[tuple[Any, ...]], declined: int) -> dict[str, Any]:
    """fsum: the same total in whatever order the replies came."""
    return {
        "spent_usd": math.fsum(cost or 0.0 for _, remote, cost, *_ in replies if remote),
        "requests": len(replies) + declined,
        "replies": len(replies),
        "tokens_in": sum(r[3] for r in replies),
        "tokens_out": sum(r[4] for r in replies),
        "tokens_cached": sum(r[6] for r in replies),
        "cache_saved_usd": math.fsum(r[7] for r in replies if r[1]),
        "declined": declined,
        "unpriced": sum(1 for r in replies if r[1] and r[2] is None),
        "estimated": sum(r[5] for r in replies),
    }
