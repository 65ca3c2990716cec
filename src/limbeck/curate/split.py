"""Train, dev and test: given files stay as they are, the rest is cut, stratified, with near duplicates kept together."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from limbeck.curate.clean import groups, near_duplicates
from limbeck.errors import UsageError
from limbeck.types import Example, Kind, Split, Splits, Task, canonical_json

LEAST = 8  # gold rows without a test file
TEST_SHARE, TEST_MIN, TEST_MAX = 0.20, 20, 1000
DEV_SHARE, DEV_MIN, DEV_MAX = 0.15, 10, 1000
HUMAN = 20  # rows of the user's own from which on a human estimate is worth its interval
SYNTHETIC_MAX = 300
BINS = 5  # quantile bins that stratify a score


def make_splits(
    task: Task,
    gold: Sequence[Example],
    dev: Sequence[Example] | None = None,
    test: Sequence[Example] | None = None,
    seed: int = 0,
    test_how: str = "",
) -> tuple[Splits, list[Example], list[Example], list[Example]]:
    """(splits, train, dev, test). dev, test: given rows, used as they are; None = cut from gold. test_how: where the test rows
    came from, if not from a file. The same rows and seed
    give the same cut. Raises UsageError where there are too few rows to cut a test from."""
    if test is None and len(gold) < LEAST:
        raise UsageError(
            f"too few rows to cut a test split from: at least {LEAST} with an output are needed",
            f"there are {len(gold)}",
            "give more with --rows FILE, or a file of test rows with --test FILE",
        )
    said = []
    rest, test_rows = list(gold), list(test or [])
    together = "near duplicates kept together"
    if test is None or dev is None:
        units, together = kept_together(rest)
    if test is None:
        rest, test_rows, units = cut(task, rest, units, size_of_test(len(rest)), f"{seed} test")
        said.append(f"{len(test_rows)} test rows cut from {len(gold)}")
    else:
        said.append(test_how or f"{len(test_rows)} test rows as given")
    dev_rows = list(dev or [])
    if dev is None:
        before = len(rest)
        rest, dev_rows, units = cut(task, rest, units, size_of_dev(task, rest), f"{seed} dev")
        said.append(
            f"{len(dev_rows)} dev rows cut from {before}"
            if dev_rows
            else f"no dev rows: {before} training rows are too few to give any away"
        )
    else:
        said.append(f"{len(dev_rows)} dev rows as given")
    by = {Kind.LABEL: "stratified by label, ", Kind.SCORE: "stratified by score, "}.get(task.kind, "")
    method = f" ({by}{together}, seed {seed})" if test is None or dev is None or test_how else ""
    rest, dev_rows, test_rows, renamed = distinct_ids(rest, dev_rows, test_rows)
    how = f"{', '.join(said)}{method}; {len(rest)} train rows{renamed}."
    return Splits(train=split_of(rest), dev=split_of(dev_rows), test=split_of(test_rows), seed=seed, how=how), rest, dev_rows, test_rows


def test_of_made(task: Task, gold: Sequence[Example], made: Sequence[Example], seed: int) -> tuple[list[Example], list[Example], str]:
    """(rows that stay, test rows, in words) where rows were made from the prompt. With HUMAN rows of the user's own or
    more, test holds some of these and some of the made ones, so that both estimates can be compared; with fewer, only
    made ones, and the user's own are kept for training."""
    if len(made) < LEAST and len(gold) < LEAST:
        raise UsageError(
            f"too few rows to cut a test split from: at least {LEAST} are needed",
            f"{len(gold)} of yours, {len(made)} made",
            "a larger --budget, more with --make N, or rows of your own with --rows FILE",
        )
    rest, human = list(gold), []
    if len(gold) >= HUMAN:
        rest, human, _ = cut(task, rest, kept_together(rest)[0], max(HUMAN, size_of_test(len(gold))), f"{seed} test")
    left, synthetic = list(made), []
    if len(made) >= LEAST:
        size = min(SYNTHETIC_MAX, size_of_test(len(made)))
        left, synthetic, _ = cut(task, left, kept_together(left)[0], size, f"{seed} synthetic test")
    said = f"{len(synthetic)} test rows cut from {len(made)} made ones" + (f", {len(human)} from your {len(gold)}" if human else "")
    return [*rest, *left], [*human, *synthetic], said


def split_of(rows: Sequence[Example]) -> Split:
    """Ids in order, and sha256 over id, input, choices and output of every row."""
    content = [[row.id, row.input, row.choices, row.output] for row in rows]
    return Split(ids=tuple(row.id for row in rows), digest=hashlib.sha256(canonical_json(content).encode()).hexdigest())


def size_of_test(n: int) -> int:
    """A fifth, at least 20 where that is no more than two fifths, at most 1000."""
    return min(TEST_MAX, max(round(TEST_SHARE * n), min(TEST_MIN, 2 * n // 5)))


def size_of_dev(task: Task, rows: Sequence[Example]) -> int:
    """15 %, at least 10 where that is no more than 30 %, at most 1000; two per label where every label has eight."""
    n = len(rows)
    size = min(DEV_MAX, max(round(DEV_SHARE * n), min(DEV_MIN, 3 * n // 10)))
    if task.kind is Kind.LABEL and n:
        counts = Counter(row.output for row in rows)
        if min(counts.values()) >= 8:
            size = max(size, 2 * len(counts))
    return size


# ---- cutting ------------------------------------------------------------------------------------------------------


def kept_together(rows: Sequence[Example]) -> tuple[list[list[int]], str]:
    """(groups that are not torn apart, in words). Where near duplication chains a third of all rows into one group, as
    rows from one template do, only copies of the same text are kept together, and the sentence says so."""
    pairs = near_duplicates(rows)
    found = groups(rows, pairs)
    if len(rows) >= LEAST and max(map(len, found), default=0) > len(rows) / 3:
        return groups(
            rows, [pair for pair in pairs if pair[2] == 1.0]
        ), "only equal texts kept together, for near duplicates chain most rows"
    return found, "near duplicates kept together"


def strata_of(task: Task, rows: Sequence[Example]) -> list[str]:
    """The stratum of each row: its label; for scores its quantile; else one for all."""
    if task.kind is Kind.LABEL:
        return [row.output or "" for row in rows]
    if task.kind is Kind.SCORE:
        try:
            values = [float(row.output or "nan") for row in rows]
        except ValueError:
            return [""] * len(rows)
        rank = {i: at for at, i in enumerate(sorted(range(len(rows)), key=lambda i: (values[i], i)))}
        return [str(rank[i] * BINS // len(rows)) for i in range(len(rows))]
    return [""] * len(rows)


def cut(
    task: Task, rows: list[Example], units: list[list[int]], size: int, seed: str
) -> tuple[list[Example], list[Example], list[list[int]]]:
    """(rows that stay, rows cut off, groups among those that stay). A label keeps two rows where it has three, one
    always; whole groups move."""
    strata = strata_of(task, rows)
    counts = Counter(strata)
    quota = quotas(counts, size)
    order = list(units)
    random.Random(seed).shuffle(order)
    taken: set[int] = set()
    used: Counter[str] = Counter()
    for spare in (0, 2, 1):  # first within quotas; then, where groups did not fit, wherever a label keeps two, then one
        for unit in order:
            if len(taken) + len(unit) > size or unit[0] in taken:
                continue
            here = Counter(strata[i] for i in unit)
            limit = quota if spare == 0 else {s: n - spare for s, n in counts.items()}
            if all(used[s] + n <= limit[s] for s, n in here.items()):
                taken.update(unit)
                used.update(here)
    stay = [i for i in range(len(rows)) if i not in taken]
    place = {i: at for at, i in enumerate(stay)}
    left = [[place[i] for i in unit] for unit in units if unit[0] not in taken]
    return [rows[i] for i in stay], [rows[i] for i in sorted(taken)], left


def quotas(counts: Counter[str], size: int) -> dict[str, int]:
    """How many rows each stratum gives: in proportion, by largest remainder, never all of them."""
    total = sum(counts.values()) or 1
    most = {s: max(0, n - 2) for s, n in counts.items()}
    if sum(most.values()) < size:
        most = {s: max(0, n - 1) for s, n in counts.items()}
    exact = {s: size * n / total for s, n in counts.items()}
    quota = {s: min(most[s], int(exact[s])) for s in counts}
    by_remainder = sorted(counts, key=lambda s: (int(exact[s]) - exact[s], s))
    for s in [*by_remainder, *sorted(counts, key=lambda s: (-counts[s], s))] * 2:
        if sum(quota.values()) >= size:
            break
        if quota[s] < most[s]:
            quota[s] += 1
    return quota


def distinct_ids(train: list[Example], dev: list[Example], test: list[Example]) -> tuple[list[Example], list[Example], list[Example], str]:
    """The same id in two of them (files numbered from 1 each) is made distinct: a run knows a row by its id."""
    counts: dict[str, int] = defaultdict(int)
    for rows in (train, dev, test):
        for name in {row.id for row in rows}:
            counts[name] += 1
    if all(n == 1 for n in counts.values()):
        return train, dev, test, ""
    dev, test = ([row.model_copy(update={"id": f"{name}:{row.id}"}) for row in rows] for name, rows in (("dev", dev), ("test", test)))
    return train, dev, test, "; ids stood in several files: those of dev and test carry the split's name"
