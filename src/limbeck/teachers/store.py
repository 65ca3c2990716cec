"""Pay once: a teacher is asked only what is not stored, within a money cap, and what it answers is stored before it is used.

requests --> addresses --> known? --> outcome
                             | no
                           Batch: send (cap, pace) --> land --> Ledger.keep --> outcome, or another attempt
                           InBulk, where the teacher has a Batch interface: hand over, wait, collect --> Ledger.keep --> outcome
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from limbeck.log import Log
from limbeck.registry import Note, Teacher
from limbeck.teachers.batch import Batch, Outcome
from limbeck.teachers.bulk import BulkTeacher, InBulk, refuse_open
from limbeck.teachers.ledger import Ledger, address_of
from limbeck.teachers.pace import Pace
from limbeck.types import Reply, Request


class Store:
    """The replies of one run folder. cap_usd: nothing is sent once the remote replies stored here cost this much."""

    def __init__(self, path: str | Path, cap_usd: float, log: Log | None = None):
        self.cap_usd, self.log = cap_usd, log or Log()
        self.kept = Ledger(Path(path))
        self.paces: dict[tuple[str, str], Pace] = {}
        self.one_batch = threading.RLock()
        self.warned: set[str] = set()
        self.proven: set[str] = set()  # fingerprints of teachers that have answered this process

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
                if hasattr(teacher, "upload"):
                    self.ask_in_bulk(cast(BulkTeacher, teacher), unique, outcomes, purpose, note, deadline_s)
                else:
                    refuse_open(self.kept, teacher, set(unique) - set(outcomes))
                    self.ask_now(teacher, unique, outcomes, purpose, note, deadline_s)
            return [signed(outcomes[a], a) for a in addresses]

    def ask_now(
        self,
        teacher: Teacher,
        requests: dict[str, Request],
        outcomes: dict[str, Outcome],
        purpose: str,
        note: Note | None,
        deadline_s: float | None,
    ) -> None:
        """One question after the other, as many at once as the teacher takes."""
        known = sum(a in outcomes for a in requests)
        pace = self.paces.setdefault((teacher.fingerprint, purpose), Pace())
        batch = Batch(self.kept, self.cap_usd, teacher, purpose, pace, requests, outcomes, note, deadline_s)
        try:
            batch.run()
        finally:
            self.report(teacher, purpose, known, batch.sent, requests, outcomes)

    def ask_in_bulk(
        self,
        teacher: BulkTeacher,
        requests: dict[str, Request],
        outcomes: dict[str, Outcome],
        purpose: str,
        note: Note | None,
        deadline_s: float | None,
    ) -> None:
        """Through the Batch interface; what is too little for a batch goes to the same model at once."""
        known, began = len(outcomes), time.monotonic()

        def direct(some: dict[str, Request]) -> None:
            left_s = None if deadline_s is None else max(0.0, deadline_s - (time.monotonic() - began))
            self.ask_now(teacher.direct, some, outcomes, purpose, None, left_s)
            bulk.tell(0, "asked at once")

        bulk = InBulk(
            self.kept,
            self.cap_usd,
            teacher,
            purpose,
            requests,
            outcomes,
            note,
            deadline_s,
            self.log,
            direct,
            teacher.fingerprint in self.proven,
        )
        try:
            bulk.run()
            self.proven.add(teacher.fingerprint)
        finally:
            self.report(teacher, purpose, known, bulk.sent, requests, outcomes)

    def ledger(self) -> dict[str, Any]:
        """See `Ledger.totals`."""
        return self.kept.totals()

    def look_up(self, prefix: str) -> dict[str, Any] | None:
        """See `Ledger.look_up`."""
        return self.kept.look_up(prefix)

    @property
    def spent_usd(self) -> float:
        return self.kept.spent_usd

    def close(self) -> None:
        self.kept.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def report(
        self, teacher: Teacher, purpose: str, known: int, sent: int, requests: dict[str, Request], outcomes: dict[str, Outcome]
    ) -> None:
        replies = [o for a in requests if isinstance(o := outcomes.get(a), Reply)]
        facts = {"purpose": purpose, "requests": len(requests), "known": known, "sent": sent, "replies": len(replies)}
        self.log.event("teacher", **facts, teacher=teacher.name, spent_usd=round(self.spent_usd, 6))
        if teacher.remote and teacher.price is None and sent:
            self.warn_once(f"the price of {teacher.name} is unknown: its spend cannot be counted or capped (--price IN/OUT)")
        if any(r.estimated for r in replies) and teacher.remote:
            self.warn_once(f"{teacher.name} does not tell its tokens: they, and the spend, are estimated at 4 characters a token")

    def warn_once(self, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            self.log.warn(text)


def signed(outcome: Outcome, address: str) -> Outcome:
    return outcome.model_copy(update={"address": address[:16]}) if isinstance(outcome, Reply) else outcome
