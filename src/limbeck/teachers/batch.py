"""The requests of one `Store.ask` that have to be sent: when, how many at once, how often again, and when to stop.

fresh --+--> flying --> landed --> Ledger.keep --> outcomes
waiting-+                  |
   ^-----------------------+  Transient: another attempt, later
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

from limbeck.errors import CapReached, Declined, DiskFull, ProviderError, Transient
from limbeck.registry import Note, Teacher
from limbeck.teachers.ledger import Entry, Ledger
from limbeck.teachers.pace import Pace, back_off_s
from limbeck.teachers.tokens import most_usd
from limbeck.types import Reply, Request

GRACE_S = 2.0  # how long requests in flight may still come in when a batch is broken off
TURN_S = 0.05  # how long a teacher in this process is asked before its replies are stored
LONGEST_PAUSE_S = 300.0  # a provider that asks for more is not waited for
DOWN_AFTER = 8  # failures with no answer in between: what was never tried is held back
GONE_AFTER = 3  # requests given up with no answer in between: the batch stops

Outcome = Reply | Exception

ROUNDING_USD = 1e-9  # sums of cents in another order differ by less


@dataclass(eq=False)
class Flight:
    """One request and its history. most_usd: what it may cost. attempts, refusals, late: how often it failed, met a 429, timed out."""

    address: str
    request: Request
    most_usd: float
    attempts: int = 0
    refusals: int = 0
    late: int = 0
    sent_at: float = 0.0
    result: Reply | BaseException | None = field(default=None, repr=False)


class Batch:
    """Only the thread that runs a batch touches its state. A request in flight is a daemon thread (one that hangs must not
    keep the process alive) that asks, puts the flight on `landed` and rings the bell; a teacher in this process is asked
    without a thread, one question after the other."""

    def __init__(
        self,
        ledger: Ledger,
        cap_usd: float,
        teacher: Teacher,
        purpose: str,
        pace: Pace,
        requests: dict[str, Request],
        outcomes: dict[str, Outcome],
        note: Note | None,
        deadline_s: float | None,
    ):
        self.ledger, self.cap_usd, self.teacher, self.purpose, self.pace = ledger, cap_usd, teacher, purpose, pace
        self.requests, self.outcomes, self.note = requests, outcomes, note
        self.deadline = time.monotonic() + deadline_s if deadline_s is not None else None
        free = teacher.price is not None and teacher.price.of(1, 1) == 0
        self.costs = teacher.remote and not free
        self.fresh = deque(
            Flight(a, r, most_usd(r, teacher.price) if self.costs else 0.0) for a, r in requests.items() if a not in outcomes
        )
        self.waiting: list[tuple[float, int, Flight]] = []  # heap of (due, tie-break, flight): another attempt
        self.flying: set[Flight] = set()
        self.landed: deque[Flight] = deque()
        self.bell = threading.Event()
        self.sent = 0
        self.failed_in_row = self.given_up_in_row = 0  # since the last answer
        self.troubles: Counter[str] = Counter()  # to be stored with the next entries

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
        while True:
            self.take_in(breaking_off=True)
            if not self.flying or (left := until - time.monotonic()) <= 0:
                return
            self.bell.wait(left)
            self.bell.clear()

    # ---- out -----------------------------------------------------------------------------------------------

    def send_what_may_go(self) -> None:
        started = time.monotonic()
        while self.fresh or self.waiting:
            now = time.monotonic()
            if self.costs and self.ledger.spent_usd + self.ledger.promised_usd >= self.cap_usd - ROUNDING_USD:
                return self.call_off(self.cap_reached())
            if self.deadline is not None and max(now, self.pace.not_before) >= self.deadline:
                left = len(self.fresh) + len(self.waiting)
                return self.call_off(
                    CapReached("the time is used up", f"{left} requests were not sent", "--budget with more time: the same command resumes")
                )
            if self.teacher.remote:
                at_stake_usd = self.ledger.spent_usd + self.ledger.promised_usd + sum(f.most_usd for f in self.flying)
                risky = self.costs and at_stake_usd >= self.cap_usd - ROUNDING_USD
                if risky or len(self.flying) >= int(self.pace.width) or now < self.pace.not_before:
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
        return self.fresh.popleft() if self.fresh and not self.down else None

    @property
    def down(self) -> bool:
        return self.failed_in_row >= DOWN_AFTER and bool(self.waiting or self.flying)

    def send(self, flight: Flight, now: float) -> None:
        timeout_s = self.pace.timeout_s(flight.late)
        if self.deadline is not None:
            timeout_s = max(1.0, min(timeout_s, self.deadline - now))
        flight.sent_at, flight.result = now, None
        self.flying.add(flight)
        self.sent += 1
        if flight.attempts or flight.refusals:
            self.troubles["retries"] += 1
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
        return cap_reached(self.ledger, self.cap_usd, len(self.fresh) + len(self.waiting))

    # ---- in ------------------------------------------------------------------------------------------------

    def take_in(self, breaking_off: bool = False) -> None:
        """First onto the disk, then into the outcomes. What has landed stays in the queue until both are done."""
        came = list(self.landed)
        if not came:
            return
        entries = [Entry(f.address, self.purpose, f.result) for f in came if isinstance(f.result, Reply | Declined)]
        self.troubles.update(f.result.kind or str(f.result.status) for f in came if isinstance(f.result, Transient))
        self.ledger.keep(self.teacher, entries, self.troubles)
        self.troubles.clear()
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
        if isinstance(result, Transient):
            return self.once_more(flight, result)
        if not isinstance(result, Reply | Declined):
            return result
        if isinstance(result, Reply):
            self.pace.answered(result.latency_ms / 1000)
        self.failed_in_row = self.given_up_in_row = 0
        self.outcomes[flight.address] = result
        return None

    def once_more(self, flight: Flight, error: Transient) -> BaseException | None:
        now, refused = time.monotonic(), error.status == 429
        flight.refusals += refused
        flight.attempts += not refused
        flight.late += error.kind == "timeout"
        self.failed_in_row += not refused
        if (error.retry_after_s or 0) > LONGEST_PAUSE_S:
            what = f"{self.teacher.name} asks to wait {error.retry_after_s:.0f} s"
            return ProviderError(what, error.have, "wait that long, then the same command: it resumes", kind=error.kind)
        self.pace.failed(error, flight.sent_at, now)
        if self.pace.gives_up(error, flight.attempts, flight.refusals):
            self.outcomes[flight.address] = error
            self.given_up_in_row += 1
            if self.given_up_in_row >= GONE_AFTER and self.fresh:  # it is not these rows
                do = error.do or "when it does again, the same command: it resumes"
                return ProviderError(f"{self.teacher.name} does not answer any more: {error.what}", error.have, do, kind=error.kind)
            return None
        wait_s = error.retry_after_s if error.retry_after_s is not None else back_off_s(flight.attempts + flight.refusals)
        heapq.heappush(self.waiting, (now + wait_s, id(flight), flight))
        return None

    def tell(self) -> None:
        if self.note is not None:
            self.note(len(self.outcomes), len(self.requests), f"{self.purpose}, ${self.ledger.spent_usd:.4f} spent")


def cap_reached(ledger: Ledger, cap_usd: float, left: int) -> CapReached:
    out = f" (and ${ledger.promised_usd:.4f} that batches in flight may cost)" if ledger.promised_usd else ""
    return CapReached(
        f"the money cap of ${cap_usd:.2f} is reached",
        f"${ledger.spent_usd:.4f} spent{out}; {left} requests were not sent",
        "--budget MORE, and the same command: it resumes, and pays for nothing twice",
    )
