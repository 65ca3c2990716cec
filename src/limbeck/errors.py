"""Every error a user can meet, and the exit code of each.

    LimbeckError                  1   our bug, or not sorted further
    ├── UsageError                2   the command line, the prompt file or a row is wrong
    │   └── BadRows               2   a file of rows, with the row's number
    ├── MissingError              3   something has to be installed, set or freed first
    │   ├── MissingExtra          3   a package
    │   ├── MissingKey            3   a key the provider wants, or a wrong one
    │   └── DiskFull              3   no room; the same command resumes
    ├── ProviderError             4   the teacher cannot be reached, or will not answer
    │   ├── Transient             4   worth another try (429, 5xx, timeout, dropped connection)
    │   ├── Declined              4   it answered, and says no (400, 422): trying again is no use
    │   └── CapReached            4   the money or the time is used up
    ├── NoWinner                  5   --require-win, and nothing beat the best baseline
    └── ModelError                1   a student folder that cannot be trusted

An error has three parts: what is wrong, what you have, what to type.
"""

from __future__ import annotations


class LimbeckError(Exception):
    """what: what is wrong. have: what was found. do: what to type or change. Exit code in `exit_code`."""

    exit_code = 1

    def __init__(self, what: str, have: str = "", do: str = ""):
        self.what, self.have, self.do = what, have, do
        super().__init__("\n".join(part for part in (what, have, do) if part))

    def as_dict(self) -> dict[str, str | int]:
        return {"error": type(self).__name__, "what": self.what, "have": self.have, "do": self.do, "exit": self.exit_code}


class UsageError(LimbeckError):
    exit_code = 2


class BadRows(UsageError):
    pass


class MissingError(LimbeckError):
    exit_code = 3


class MissingExtra(MissingError):
    pass


class MissingKey(MissingError):
    pass


class DiskFull(MissingError):
    pass


class ProviderError(LimbeckError):
    """`kind`: one word for what happened, the provider's own where it gave one: no_recording, insufficient_quota, timeout."""

    exit_code = 4

    def __init__(self, what: str, have: str = "", do: str = "", *, kind: str = ""):
        super().__init__(what, have, do)
        self.kind = kind


class Transient(ProviderError):
    """Worth another try. `retry_after_s`: what the provider asked for, or None. `status`: HTTP status, or None."""

    def __init__(
        self, what: str, have: str = "", do: str = "", *, kind: str = "", retry_after_s: float | None = None, status: int | None = None
    ):
        super().__init__(what, have, do, kind=kind)
        self.retry_after_s, self.status = retry_after_s, status


class Declined(ProviderError):
    pass


class CapReached(ProviderError):
    pass


class NoWinner(LimbeckError):
    exit_code = 5


class ModelError(LimbeckError):
    pass
