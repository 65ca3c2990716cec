"""How fast a teacher may be asked, learnt from its answers: requests at once, pauses, time limits. No clock, no threads."""

from __future__ import annotations

import math
import random
import statistics
from collections import deque

from limbeck.errors import Transient

ATTEMPTS = 8  # failures before a request is given up
CLOSED_DOOR = 3  # failures to connect, where nobody has ever answered: most likely a wrong address
REFUSALS = 16  # 429s before a request is given up: waiting in a queue is no failure
FIRST_WIDTH, MOST_WIDTH = 4, 256  # each request at once is a thread, and a reply that a kill may cost
RECENT = 20  # answers whose median tells how quick the teacher is now
SLOWER, SLACK_S = 2.0, 0.05  # times the least such median: it is queueing, and more at once would only wait longer
FIRST_TIMEOUT_S, LEAST_TIMEOUT_S, MOST_TIMEOUT_S = 60.0, 10.0, 600.0
CROWDED = (429, 503, 529)  # "less, please"


class Pace:
    """width: requests at once. It doubles every round until the first refusal, which halves it, or until answers take
    twice as long as they did (a server of one's own queues where a hosted one refuses; the signal of TCP Vegas, Brakmo
    et al., SIGCOMM 1994). After a refusal it closes half of the gap to `knee`, the width that was refused, each round, and
    from there on grows by one a round. Later refusals cut it by half the share of requests that were refused of late, as in
    DCTCP (Alizadeh et al., SIGCOMM 2010, section 3.1): who refuses everything is halved again, who refuses now and then is
    not asked at a crawl.
    not_before: nobody sends before this time (Retry-After). Times are the caller's monotonic seconds."""

    def __init__(self) -> None:
        self.width = float(FIRST_WIDTH)
        self.knee = 0.0
        self.refused_share = 1.0
        self.cut_at: float | None = None
        self.not_before = 0.0
        self.silences = 0  # timeouts and dropped connections in a row
        self.latencies_s: deque[float] = deque(maxlen=200)
        self.recent_s: deque[float] = deque(maxlen=RECENT)
        self.least_s = math.inf  # the least median of RECENT answers

    def answered(self, latency_s: float) -> None:
        self.silences = 0
        self.latencies_s.append(latency_s)
        self.recent_s.append(latency_s)
        self.refused_share *= 0.95
        if not self.queueing():
            self.width = min(MOST_WIDTH, self.width + self.growth())

    def growth(self) -> float:
        """Per answer; a round is `width` answers."""
        if self.cut_at is None:
            return 1.0
        return max(1.0, (self.knee - self.width) / 2) / self.width

    def queueing(self) -> bool:
        if len(self.recent_s) < RECENT:
            return False
        usual_s = statistics.median(self.recent_s)
        self.least_s = min(self.least_s, usual_s)
        return usual_s > SLOWER * self.least_s + SLACK_S

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
            self.knee = self.width
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
