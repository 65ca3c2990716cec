"""What Lampinen et al. 2025 (arXiv 2505.00661) report, cell by cell, held against the results here; and the bars of this study.

The paper shows bars without numbers, so a finding is a comparison: near chance, above chance, one arm above another. "Reproduced"
needs an interval that says so; an interval that holds both is "not told apart"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from limbeck.bench.knowledge.results import Group, share, versus

NEAR = 0.1  # this far from chance is still near it
BAR_IN_CONTEXT, BAR_PLAIN = 0.95, 0.35


@dataclass(frozen=True)
class Claim:
    """kind: chance | above | zero | ceiling, of one arm; beats | level, of two. level: not worse by more than NEAR."""

    data: str
    split: str
    words: str
    kind: str
    arm: str
    other: str = ""


def both_ways(data: str, split: str, augmented: str, *, gap: str) -> tuple[Claim, ...]:
    return (
        Claim(data, split, f"in context {gap} fine-tuned", "beats", "in_context", "plain"),
        Claim(data, split, "augmented fine-tuning above fine-tuning", "beats", augmented, "plain"),
        Claim(data, split, "augmented fine-tuning as good as in context, or better", "level", augmented, "in_context"),
    )


PAPER = (
    Claim("reversals", "reversal", "pretrained at chance", "chance", "pretrained"),
    *both_ways("reversals", "reversal", "local", gap="above"),
    Claim("berglund", "reversal", "pretrained near chance", "chance", "pretrained"),
    Claim("berglund", "reversal", "fine-tuned not above chance", "at_most", "plain"),
    *both_ways("berglund", "reversal", "local", gap="far above"),
    Claim("syllogisms", "syllogism", "pretrained at chance", "chance", "pretrained"),
    Claim("syllogisms", "syllogism", "fine-tuned above chance", "above", "plain"),
    *both_ways("syllogisms", "syllogism", "global", gap="far above"),
    Claim("semantics", "rephrased", "fine-tuned good", "above", "plain"),
    *both_ways("semantics", "rephrased", "local", gap="a little above"),
    Claim("semantics", "reversal", "fine-tuned somewhat above chance", "above", "plain"),
    *both_ways("semantics", "reversal", "local", gap="far above"),
    *both_ways("semantics", "syllogism", "global", gap="far above"),
    Claim("semantics", "holdout", "fine-tuned near chance: hard", "chance", "plain"),
    Claim("semantics", "holdout", "augmented fine-tuning near chance: hard", "chance", "global"),
    Claim("semantics", "holdout", "in context little above fine-tuned", "level", "plain", "in_context"),
)


def judged(found: Sequence[Group]) -> Iterator[tuple[str, ...]]:
    """(data, split, finding, what was found, verdict) a claim."""
    for claim in PAPER:
        group = next((g for g in found if g.data == claim.data and g.run), None)
        yield (claim.data, claim.split, claim.words, *(verdict(claim, group) if group else ("", "not run")))


def verdict(claim: Claim, group: Group) -> tuple[str, str]:
    if claim.other:
        gap = versus(group, claim.arm, claim.other, claim.split)
        if gap is None:
            return "", "not run"
        shown = f"{claim.arm} - {claim.other}: {gap[0]:+.3f} [{gap[1]:+.3f}, {gap[2]:+.3f}]"
        edge = 0.0 if claim.kind == "beats" else -NEAR
        return shown, "reproduced" if gap[1] > edge else "not reproduced" if gap[2] < edge else "not told apart"
    arm = group.arms.get(claim.arm)
    if arm is None or arm.accuracy(claim.split) is None:
        return "", "not run"
    low, high = arm.interval(claim.split)
    assert low is not None and high is not None
    chance = arm.chance(claim.split)
    yes, no = {
        "chance": (low >= chance - NEAR and high <= chance + NEAR, low > chance + NEAR or high < chance - NEAR),
        "at_most": (high <= chance + NEAR, low > chance + NEAR),
        "above": (low > chance, high < chance + NEAR),
    }[claim.kind]
    return f"{claim.arm}: {share(arm, claim.split)}", "reproduced" if yes else "not reproduced" if no else "not told apart"


def bars(found: Sequence[Group]) -> Iterator[tuple[str, str, str]]:
    """(bar, what was found, met or not) of those that this study set itself beforehand."""
    by_data = {g.data: g for g in reversed(found) if g.run}
    yield level(by_data.get("reversals"), "needed", "reversal", BAR_IN_CONTEXT, above=True)
    yield level(by_data.get("reversals"), "in_context", "reversal", BAR_IN_CONTEXT, above=True)
    yield level(by_data.get("reversals"), "plain", "reversal", BAR_PLAIN, above=False)
    yield better(by_data.get("reversals"), "local", "rephrase", "reversal")
    yield better(by_data.get("semantics"), "local", "rephrase", "reversal")
    yield better(by_data.get("semantics"), "global", "local", "syllogism")
    for arm in ("plain", "rephrase", "local", "global"):
        yield near_chance(by_data.get("semantics"), arm, "holdout")


def level(group: Group | None, arm: str, split: str, bar: float, *, above: bool) -> tuple[str, str, str]:
    words = f"{arm} {'at least' if above else 'at most'} {bar:.2f} on {split}"
    have = group.arms.get(arm) if group else None
    value = have.accuracy(split) if have else None
    if value is None or have is None or group is None:
        return words, "", "not run"
    return f"{group.data}: {words}", share(have, split), "met" if (value >= bar if above else value <= bar) else "not met"


def better(group: Group | None, ours: str, theirs: str, split: str) -> tuple[str, str, str]:
    words = f"{ours} above {theirs} on {split}"
    gap = versus(group, ours, theirs, split) if group else None
    if gap is None or group is None:
        return words, "", "not run"
    return f"{group.data}: {words}", f"{gap[0]:+.3f} [{gap[1]:+.3f}, {gap[2]:+.3f}]", "met" if gap[1] > 0 else "not met"


def near_chance(group: Group | None, arm: str, split: str) -> tuple[str, str, str]:
    words = f"{arm} near chance on {split}"
    if group is None or group.arms.get(arm) is None or group.arms[arm].accuracy(split) is None:
        return words, "", "not run"
    found, said = verdict(Claim(group.data, split, words, "chance", arm), group)
    return f"{group.data}: {words}", found.partition(": ")[2], {"reproduced": "met", "not reproduced": "not met"}.get(said, said)
