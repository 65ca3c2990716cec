"""Many requests of one `Store.ask` through a provider's Batch interface: what may go, what is out, what came back.

open batches --> see through --+
left --> affordable --> promise (disk) --> upload --> create --> id (disk) --> wait --> collect --> Ledger.keep --> outcomes
  ^----------------------------------- rows that expired or failed, up to TRIES --------------------------+
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Protocol, TypeVar

from limbeck.errors import CapReached, Declined, ProviderError, Transient
from limbeck.log import Log
from limbeck.registry import Note, Teacher
from limbeck.teachers.batch import ROUNDING_USD, Outcome, cap_reached
from limbeck.teachers.ledger import Entry, Ledger, OpenBulk
from limbeck.teachers.openai_batch import Look
from limbeck.teachers.pace import back_off_s
from limbeck.teachers.tokens import most_usd
from limbeck.types import Reply, Request

WORTH_A_BATCH = 20  # fewer open questions than this are asked at once, at the full price
MOST_ROWS, MOST_BYTES = 50_000, 100_000_000  # of one batch; the provider takes 200 MB
FIRST_POLL_S, MOST_POLL_S = 1.0, 60.0
TRIES = 3  # batches that a row may be part of before it is given up
CALLS = 6  # tries of one HTTP call
TOO_MUCH = ("token_limit_exceeded", "request_limit_exceeded", "file_too_large")  # half of it may do

T = TypeVar("T")


class BulkTeacher(Teacher, Protocol):
    """direct: the same model, asked one question at a time; same fingerprint, its own price."""

    direct: Teacher

    def upload(self, requests: dict[str, Request]) -> str: ...
    def create(self, file_id: str, token: str) -> str: ...
    def find(self, token: str) -> str | None: ...
    def look(self, batch_id: str) -> Look: ...
    def collect(self, look: Look, requests: dict[str, Request]) -> dict[str, Reply | Exception]: ...


class InBulk:
    """direct(requests): asks them at once, through the ordinary machinery, and puts what comes of it into `outcomes`.
    proven: this process has had an answer from this teacher."""

    def __init__(
        self,
        ledger: Ledger,
        cap_usd: float,
        teacher: BulkTeacher,
        purpose: str,
        requests: dict[str, Request],
        outcomes: dict[str, Outcome],
        note: Note | None,
        deadline_s: float | None,
        log: Log,
        direct: Callable[[dict[str, Request]], None],
        proven: bool = False,
    ):
        self.ledger, self.cap_usd, self.teacher, self.purpose = ledger, cap_usd, teacher, purpose
        self.requests, self.outcomes, self.note, self.log, self.direct = requests, outcomes, note, log, direct
        self.proven = proven
        self.deadline = time.monotonic() + deadline_s if deadline_s is not None else None
        self.tries: Counter[str] = Counter()
        self.most_rows = MOST_ROWS
        self.sent = 0

    def run(self) -> None:
        """Every request has an outcome afterwards. What is out stays out when this is broken off, and is found again."""
        self.tell(0, "in a batch")
        for bulk in self.ledger.open_bulks(self.teacher.fingerprint):
            if set(bulk.addresses) & set(self.left()):
                self.see_through(bulk)
        if len(self.left()) >= WORTH_A_BATCH and not self.proven:  # a wrong key or a refused argument shows now, and not tomorrow
            self.direct(dict(islice(self.left().items(), 1)))
        while len(self.left()) >= WORTH_A_BATCH or any(self.tries[a] for a in self.left()):
            if self.late():
                return self.call_off(
                    CapReached("the time is used up", f"{len(self.left())} requests were not sent", "the same command resumes")
                )
            chunk = self.affordable()
            if not chunk:
                return self.call_off(cap_reached(self.ledger, self.cap_usd, len(self.left())))
            self.see_through(self.hand_over(chunk), chunk)
        if rest := self.left():
            self.direct(rest)
        return None

    def left(self) -> dict[str, Request]:
        return {a: r for a, r in self.requests.items() if a not in self.outcomes}

    def late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def call_off(self, reason: CapReached) -> None:
        self.outcomes.update(dict.fromkeys(self.left(), reason))

    # ---- out -----------------------------------------------------------------------------------------------

    def affordable(self) -> dict[str, Request]:
        """As many as fit into what is left of the money even if every reply is as long as it may be."""
        room_usd = self.cap_usd - self.ledger.spent_usd - self.ledger.promised_usd + ROUNDING_USD
        free = self.teacher.price is None or self.teacher.price.of(1, 1) == 0
        chunk: dict[str, Request] = {}
        size = 0
        for address, request in self.left().items():
            room_usd -= most_usd(request, self.teacher.price)
            size += 400 + sum(len(m.content.encode("utf-8", "replace")) for m in request.messages) + len(request.reply_schema or "")
            if (room_usd < 0 and not free) or len(chunk) >= self.most_rows or (chunk and size > MOST_BYTES):
                break
            chunk[address] = request
        return chunk

    def hand_over(self, chunk: dict[str, Request]) -> OpenBulk:
        """The promise is on the disk before the first byte is sent, the id before anybody waits."""
        worst_usd = sum(most_usd(r, self.teacher.price) for r in chunk.values())
        bulk = OpenBulk(uuid.uuid4().hex, "", self.purpose, worst_usd, tuple(chunk))
        self.ledger.promise(self.teacher, bulk)
        self.sent += len(chunk)
        try:
            file_id = self.again(lambda: self.teacher.upload(chunk))
        except ProviderError:
            self.ledger.withdraw(bulk.token)  # a file alone costs nothing
            raise
        return self.named(bulk, self.again(lambda: self.teacher.create(file_id, bulk.token), instead=lambda: self.teacher.find(bulk.token)))

    def named(self, bulk: OpenBulk, batch_id: str) -> OpenBulk:
        known = OpenBulk(bulk.token, batch_id, bulk.purpose, bulk.most_usd, bulk.addresses)
        self.ledger.promise(self.teacher, known)
        self.log.event("batch", id=batch_id, rows=len(bulk.addresses), most_usd=round(bulk.most_usd, 6), teacher=self.teacher.name)
        return known

    def again(self, call: Callable[[], T], instead: Callable[[], T | None] = lambda: None) -> T:
        """Tries of one HTTP call. instead: after a failure that may have been a success, where to look for its result."""
        for attempt in range(1, CALLS + 1):
            try:
                if attempt > 1 and (found := instead()) is not None:
                    return found
                return call()
            except Transient as error:
                if attempt == CALLS:
                    do = "the same command resumes, and pays for nothing twice"
                    raise ProviderError(f"{self.teacher.name} does not answer: {error.what}", error.have, do, kind=error.kind) from error
                wait_s = min(60.0, error.retry_after_s) if error.retry_after_s is not None else back_off_s(attempt)
                time.sleep(wait_s)
        raise AssertionError("unreachable")

    # ---- in ------------------------------------------------------------------------------------------------

    def see_through(self, bulk: OpenBulk, requests: dict[str, Request] | None = None) -> None:
        """Wait until it is over, store what came of it, and settle its rows."""
        if not bulk.id:
            found = self.again(lambda: (self.teacher.find(bulk.token),))[0]
            if found is None:  # the process ended before it was handed over
                return self.ledger.withdraw(bulk.token)
            bulk = self.named(bulk, found)
        try:
            look = self.waited(bulk)
        except ProviderError as error:
            if error.kind != "no_batch":
                raise
            return self.lost(bulk, error)
        if look is None:
            have = f"batch {bulk.id} is in flight at {self.teacher.name}, it may cost ${bulk.most_usd:.4f}"
            reason = CapReached("the time is used up", have, "the same command with more time collects it (--budget 24h)")
            self.outcomes.update({a: reason for a in bulk.addresses if a in self.left()})
            return None
        asked = requests or {a: self.requests[a] for a in bulk.addresses if a in self.requests}
        strangers = [a for a in bulk.addresses if a not in asked]  # of another call: stored all the same
        everyone = {**asked, **{a: Request(messages=()) for a in strangers}}
        came = self.again(lambda: self.teacher.collect(look, everyone))
        missing = self.unanswered(look, bulk)
        came = {a: came.get(a) or missing(a) for a in bulk.addresses}
        entries = [Entry(a, bulk.purpose, o) for a, o in came.items() if isinstance(o, Reply | Declined)]
        troubles = Counter(o.kind or str(o.status) for o in came.values() if isinstance(o, Transient))
        self.ledger.keep(self.teacher, entries, troubles, closes=bulk.token)
        for address, outcome in came.items():
            if address in asked:
                self.settle(address, outcome, look)
        self.tell(0, f"batch {bulk.id} {look.state}")
        return None

    def lost(self, bulk: OpenBulk, error: ProviderError) -> None:
        """The provider knows nothing of it any more: its rows are asked again, and that is said."""
        self.log.warn(f"{self.teacher.name} has lost batch {bulk.id}: {len(bulk.addresses)} rows are asked again")
        self.ledger.withdraw(bulk.token)
        for address in set(bulk.addresses) & set(self.left()):
            self.settle(address, Transient(error.what, error.have, error.do, kind="batch_lost"), Look("lost"))

    def waited(self, bulk: OpenBulk) -> Look | None:
        """The last look; None where the time was up before it was over."""
        nap_s = FIRST_POLL_S
        while True:
            look = self.again(lambda: self.teacher.look(bulk.id))
            if look.over:
                return look
            if self.late():
                return None
            self.tell(look.answered, f"batch {bulk.id} {look.state}")
            time.sleep(min(nap_s, max(0.05, self.deadline - time.monotonic())) if self.deadline is not None else nap_s)
            nap_s = min(MOST_POLL_S, nap_s * 1.5)

    def unanswered(self, look: Look, bulk: OpenBulk) -> Callable[[str], Exception]:
        """What to say of a row that no file tells of. A line that the provider refused is final; a batch that was too much
        goes again in halves."""
        refused = {bulk.addresses[n - 1]: (code, text) for n, code, text in look.troubles if 0 < n <= len(bulk.addresses)}
        code, text = next(((c, t) for n, c, t in look.troubles if not n), (look.state, ""))
        if look.state == "failed" and code in TOO_MUCH and len(bulk.addresses) >= 2 * WORTH_A_BATCH:
            self.most_rows = len(bulk.addresses) // 2
            for address in bulk.addresses:
                self.tries[address] -= 1  # nobody has looked at these rows

        def say(address: str) -> Exception:
            if address in refused:
                return Declined(f"{self.teacher.name} refused this row of a batch", refused[address][1][:500], kind=refused[address][0])
            return Transient(f"batch {bulk.id} is {look.state} and brought no answer to this row", text[:500], kind=code)

        return say

    def settle(self, address: str, outcome: Reply | Exception, look: Look) -> None:
        if not isinstance(outcome, Transient):
            self.outcomes[address] = outcome
            return
        self.tries[address] += 1
        whole = look.state == "failed" and not look.troubles  # failed, and nobody says why
        if self.tries[address] >= TRIES or look.state == "cancelled" or whole:  # somebody cancelled it, and meant it
            self.outcomes[address] = outcome

    def tell(self, more: int, what: str) -> None:
        if self.note is not None:
            done = min(len(self.requests), len(self.outcomes) + more)
            self.note(done, len(self.requests), f"{self.purpose}, ${self.ledger.spent_usd:.4f} spent, {what}")


def refuse_open(ledger: Ledger, teacher: Teacher, wanted: set[str]) -> None:
    """The ordinary teacher would pay again for what a batch that is still out answers. Raises ProviderError."""
    for bulk in ledger.open_bulks(teacher.fingerprint):
        if n := len(wanted & set(bulk.addresses)):
            raise ProviderError(
                f"{n} of these requests are in a batch that is paid for and not collected",
                json.dumps({"batch": bulk.id, "teacher": teacher.name}),
                f"--teacher openai-batch:{teacher.fingerprint} collects it",
                kind="batch_open",
            )
