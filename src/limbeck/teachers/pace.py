"""How fast a teacher may be asked, learnt from its answers: requests at once, pauses, time limits. No clock, no threads."""

from __future__ import annotations

import random
from collections import deque

from limbeck.errors import Transient

ATTEMPTS = 8  # failures before a request is given up
CLOSED_DOOR = 3  # failures to connect, where nobody has ever answered: most likely a wrong address
REFUSALS = 16  # 429s before a request is given up: waiting in a queue is no failure
FIRST_WIDTH, MOST_WIDTH = 4, 64
FIRST_TIMEOUT_S, LEAST_TIMEOUT_S, MOST_TIMEOUT_S = 60.0, 10.0, 600.0
CROWDED = (429, 503, 529)  # "less, please"


class Pace:
    """width: requests at once. It doubles every round until the first refusal, which halves it. From then on it grows by
    one a round, and is cut by half the share of requests that were refused of late, as in DCTCP (Alizadeh et al., SIGCOMM
    2010, section 3.1): who refuses everything is halved again, who refuses now and then is not asked at a crawl.
    not_before: nobody sends before this time (Retry-After). Times are the caller's monotonic seconds."""

    def __init__(self) -> None:
        self.width = float(FIRST_WIDTH)
        self.refused_share = 1.0
        self.cut_at: float | None = None
        self.not_before = 0.0
        self.silences = 0  # timeouts and dropped connections in a row
        self.latencies_s: deque[float] = deque(maxlen=200)

    def answered(self, latency_s: float) -> None:
        self.silences = 0
        self.latencies_s.append(latency_s)
        self.refused_share *= 0.95
        self.width = min(MOST_WIDTH, self.width + (1.0 if self.cut_at is None else 1.0 / self.width))

    def failed(self, error: Transient, sent_at: float, now: float) -> None:
        """A refusal, or the second silence in a row, means: less. Requests sent before the last cut do not count twice."""
        if error.retry_after_s is not None:
            self.not_before = max(self.not_before, now + error.retry_after_s)
        if error.status in CROWDED:
            self.refused_share += 0.05 * (1.0 - self.refused_share)
            self.cut(1.0 if self.cut_at is None else self.refused_share, sent_at, now)
        elif error.status is None:
            self.silences += 1
            if self.silences >= 2:
                self.cut(1.0, sent_at, now)

    def cut(self, share: float, sent_at: float, now: float) -> None:
        if self.cut_at is None or sent_at >= self.cut_at:
            self.width = max(1.0, self.width * (1.0 - share / 2.0))
            self.cut_at = now

    def gives_up(self, error: Transient, attempts: int, refusals: int) -> bool:
        never_open = error.kind == "connection" and not self.latencies_s
        return attempts >= (CLOSED_DOOR if never_open else ATTEMPTS) or refusals >= REFUSALS

    def timeout_s(self, late_before: int = 0) -> float:
        """Ten times the 95th percentile, once twenty answers are known; doubled for each time this request was late."""
        usual = FIRST_TIMEOUT_S
        if len(self.latencies_s) >= 20:
            usual = max(LEAST_TIMEOUT_S, 10 * sorted(self.latencies_s)[int(0.95 * len(self.latencies_s))])
        return min(MOST_TIMEOUT_S, usual * 2.0**late_before)


def back_off_s(attempt: int) -> float:
    """Before attempt + 1: exponential, half of it drawn by lot, so that requests that failed together part."""
    return min(30.0, 0.5 * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)
