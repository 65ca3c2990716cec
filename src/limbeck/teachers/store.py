"""Pay once: a teacher is asked only what is not stored, within a money cap, and what it answers is stored before it is used.

requests --> addresses --> known? --> outcome
                             | no
                           Batch: send (cap, pace) --> land --> Ledger.keep --> outcome, or another attempt
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.errors import CapReached, Declined, DiskFull, ProviderError, Transient
from limbeck.log import Log
from limbeck.registry import Note, Teacher
from limbeck.teachers.ledger import Entry, Ledger, address_of
from limbeck.teachers.pace import ATTEMPTS, REFUSALS, Pace, back_off_s
from limbeck.teachers.tokens import most_usd
from limbeck.types import Reply, Request

GRACE_S = 2.0  # how long requests in flight may still come in when a batch is broken off
TURN_S = 0.05  # how long a teacher in this process is asked before its replies are stored
LONGEST_PAUSE_S = 300.0  # a provider that asks for more is not waited for

Outcome = Reply | Exception


class Store:
    """The replies of one run folder. cap_usd: nothing is sent once the remote replies stored here cost this much."""

    def __init__(self, path: str | Path, cap_usd: float, log: Log | None = None):
        self.cap_usd, self.log = cap_usd, log or Log()
        self.kept = Ledger(Path(path))
        self.paces: dict[tuple[str, str], Pace] = {}
        self.one_batch = threading.RLock()
        self.warned: set[str] = set()

    def ask(
        self,
        teacher: Teacher,
        requests: Sequence[Request],
        purpose: str,
        note: Note | None = None,
        deadline_s: float | None = None,
    ) -> list[Reply | Exception]:
        """One outcome per request, same order: a Reply, Declined, Transient (given up) or CapReached (money or time).

        Known requests cost nothing, equal ones are asked once. deadline_s: seconds from now. Raises MissingKey, DiskFull or
        ProviderError where going on makes no sense; whatever had come in by then is stored, and the same call resumes."""
        with self.one_batch:
            addresses = [address_of(teacher, r) for r in requests]
            unique = dict(zip(addresses, requests, strict=True))
            outcomes: dict[str, Outcome] = dict(self.kept.find(list(unique)))
            known = len(outcomes)
            if len(unique) > known or note:
                pace = self.paces.setdefault((teacher.fingerprint, purpose), Pace())
                batch = Batch(self, teacher, purpose, pace, unique, outcomes, note, deadline_s)
                try:
                    batch.run()
                finally:
                    self.report(teacher, purpose, known, batch)
            return [outcomes[a] for a in addresses]

    def ledger(self) -> dict[str, Any]:
        """See `Ledger.totals`."""
        return self.kept.totals()

    @property
    def spent_usd(self) -> float:
        return self.kept.spent_usd

    def close(self) -> None:
        self.kept.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def report(self, teacher: Teacher, purpose: str, known: int, batch: Batch) -> None:
        replies = [o for o in batch.outcomes.values() if isinstance(o, Reply)]
        facts = {"purpose": purpose, "requests": len(batch.requests), "known": known, "sent": batch.sent, "replies": len(replies)}
        self.log.event("teacher", **facts, teacher=teacher.name, spent_usd=round(self.spent_usd, 6))
        if teacher.remote and teacher.price is None and batch.sent:
            self.warn_once(f"the price of {teacher.name} is unknown: its spend cannot be counted or capped (--price IN/OUT)")
        if any(r.estimated for r in replies) and teacher.remote:
            self.warn_once(f"{teacher.name} does not tell its tokens: they, and the spend, are estimated at 4 characters a token")

    def warn_once(self, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            self.log.warn(text)


@dataclass(eq=False)
class Flight:
    """One request on its way. due: not to be sent before. most_usd: what it may cost."""

    address: str
    request: Request
    most_usd: float
    attempts: int = 0
    refusals: int = 0
    late: int = 0
    sent_at: float = 0.0
    result: Reply | BaseException | None = field(default=None, repr=False)


class Batch:
    """The requests of one `Store.ask` that have to be sent. Only the thread that runs it touches this state; each request in
    flight is a daemon thread (one that hangs must not keep the process alive) that does nothing but ask and ring the bell."""

    def __init__(
        self,
        store: Store,
        teacher: Teacher,
        purpose: str,
        pace: Pace,
        requests: dict[str, Request],
        outcomes: dict[str, Outcome],
        note: Note | None,
        deadline_s: float | None,
    ):
        self.store, self.teacher, self.purpose, self.pace = store, teacher, purpose, pace
        self.requests, self.outcomes, self.note = requests, outcomes, note
        self.deadline = time.monotonic() + deadline_s if deadline_s is not None else None
        price = teacher.price if teacher.remote else None  # what runs here costs nothing
        self.fresh = deque(Flight(a, r, most_usd(r, price)) for a, r in requests.items() if a not in outcomes)
        self.waiting: list[tuple[float, int, Flight]] = []  # heap of (due, tie-break, flight): another attempt
        self.flying: set[Flight] = set()
        self.landed: deque[Flight] = deque()
        self.bell = threading.Event()
        self.sent = self.succeeded = 0
        self.given_up = 0

    def run(self) -> None:
        self.tell()
        try:
            while self.fresh or self.waiting or self.flying:
                self.send_what_may_go()
                self.bell.wait(self.nap_s())
                self.bell.clear()
                self.take_in()
        except DiskFull:
            raise
        except BaseException:  # Ctrl-C, a refused key, a bug: what is in flight is paid for, so it may still land
            self.drain()
            raise

    def drain(self) -> None:
        until = time.monotonic() + GRACE_S
        while self.flying and (left := until - time.monotonic()) > 0:
            self.bell.wait(left)
            self.bell.clear()
            self.take_in(breaking_off=True)

    # ---- out -----------------------------------------------------------------------------------------------

    def send_what_may_go(self) -> None:
        started = time.monotonic()
        while self.fresh or self.waiting:
            now = time.monotonic()
            if self.store.spent_usd >= self.store.cap_usd and self.teacher.remote:
                return self.call_off(self.cap_reached())
            if self.deadline is not None and now >= self.deadline:
                left = len(self.fresh) + len(self.waiting)
                return self.call_off(CapReached("the time is used up", f"{left} requests were not sent", "--time LONGER: it resumes"))
            if self.teacher.remote:
                at_stake_usd = self.store.spent_usd + sum(f.most_usd for f in self.flying)
                if len(self.flying) >= int(self.pace.width) or now < self.pace.not_before or at_stake_usd >= self.store.cap_usd:
                    return None
            elif self.landed and now - started > TURN_S:
                return None
            flight = self.next_flight(now)
            if flight is None:
                return None
            self.send(flight, now)
        return None

    def next_flight(self, now: float) -> Flight | None:
        """Another attempt that is due goes before what was never tried, so that a teacher that is down is noticed early."""
        if self.waiting and self.waiting[0][0] <= now:
            return heapq.heappop(self.waiting)[2]
        return self.fresh.popleft() if self.fresh else None

    def send(self, flight: Flight, now: float) -> None:
        timeout_s = self.pace.timeout_s(flight.late)
        if self.deadline is not None:
            timeout_s = max(1.0, min(timeout_s, self.deadline - now))
        flight.sent_at, flight.result = now, None
        self.flying.add(flight)
        self.sent += 1
        if self.teacher.remote:
            threading.Thread(target=self.fly, args=(flight, timeout_s), daemon=True).start()
        else:
            self.fly(flight, timeout_s)

    def fly(self, flight: Flight, timeout_s: float) -> None:
        try:
            flight.result = self.teacher.ask(flight.request, timeout_s)
        except BaseException as error:  # taken up by the thread that runs the batch
            flight.result = error
        self.landed.append(flight)
        self.bell.set()

    def nap_s(self) -> float | None:
        """Until something may be sent again; None = until something lands."""
        times = [self.waiting[0][0]] if self.waiting else []
        if (self.fresh or self.waiting) and len(self.flying) < int(self.pace.width):
            times.append(self.pace.not_before)
        if self.deadline is not None and (self.fresh or self.waiting):
            times.append(self.deadline)
        coming = [t for t in times if t > (now := time.monotonic())]
        return min(coming) - now if coming else (None if self.flying else 0.0)

    def call_off(self, reason: CapReached) -> None:
        for flight in [*self.fresh, *(f for _, _, f in self.waiting)]:
            self.outcomes[flight.address] = reason
        self.fresh.clear()
        self.waiting.clear()

    def cap_reached(self) -> CapReached:
        left = len(self.fresh) + len(self.waiting)
        return CapReached(
            f"the money cap of ${self.store.cap_usd:.2f} is reached",
            f"${self.store.spent_usd:.4f} spent; {left} requests were not sent",
            "--budget MORE, and the same command: it resumes, and pays for nothing twice",
        )

    # ---- in ------------------------------------------------------------------------------------------------

    def take_in(self, breaking_off: bool = False) -> None:
        """First onto the disk, then into the outcomes. What has landed stays in the queue until both are done."""
        came = list(self.landed)
        if not came:
            return
        entries = [Entry(f.address, self.purpose, f.result) for f in came if isinstance(f.result, Reply | Declined)]
        troubles = Counter(f.result.kind or str(f.result.status) for f in came if isinstance(f.result, Transient))
        self.store.kept.keep(self.teacher, entries, troubles)
        fatal: BaseException | None = None
        for flight in came:
            self.flying.discard(flight)
            fatal = self.settle(flight, flight.result) or fatal
        for _ in came:
            self.landed.popleft()
        self.tell()
        if fatal is not None and not breaking_off:
            raise fatal

    def settle(self, flight: Flight, result: Reply | BaseException | None) -> BaseException | None:
        """The outcome of one attempt. Returns what the whole batch has to stop for."""
        if isinstance(result, Reply):
            self.succeeded += 1
            self.pace.answered(result.latency_ms / 1000)
        elif isinstance(result, Transient):
            return self.once_more(flight, result)
        elif not isinstance(result, Declined):
            return result
        self.outcomes[flight.address] = result
        return None

    def once_more(self, flight: Flight, error: Transient) -> BaseException | None:
        now = time.monotonic()
        self.pace.failed(error, flight.sent_at, now)
        refused = error.status == 429
        flight.refusals += refused
        flight.attempts += not refused
        flight.late += error.kind == "timeout"
        if flight.attempts >= ATTEMPTS or flight.refusals >= REFUSALS:
            self.outcomes[flight.address] = error
            self.given_up += 1
            if self.given_up >= 3 and not self.succeeded and self.fresh:  # it is not these rows: the teacher is down
                return ProviderError(
                    f"{self.teacher.name} does not answer: {error.what}",
                    error.have,
                    error.do or "the same command resumes",
                    kind=error.kind,
                )
            return None
        if (error.retry_after_s or 0) > LONGEST_PAUSE_S:
            do = "wait that long, then the same command: it resumes"
            return ProviderError(f"{self.teacher.name} asks to wait {error.retry_after_s:.0f} s", error.have, do, kind=error.kind)
        wait_s = error.retry_after_s if error.retry_after_s is not None else back_off_s(flight.attempts + flight.refusals)
        heapq.heappush(self.waiting, (now + wait_s, id(flight), flight))
        self.store.kept.keep(self.teacher, (), Counter(retries=1))
        return None

    def tell(self) -> None:
        if self.note is not None:
            self.note(len(self.outcomes), len(self.requests), f"{self.purpose}, ${self.store.spent_usd:.4f} spent")
