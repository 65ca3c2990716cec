"""What every picker of demonstrations has to keep. `check_picker(pick)` runs it all; plug-ins may call it too."""

from __future__ import annotations

from collections.abc import Callable

from limbeck.types import Example, Kind, Task

TASK = Task(name="t", instruction="", kind=Kind.LABEL, labels=("a", "b", "c"))
TRAIN = [Example(id=str(i), input=f"word{i} and word{i + 1}", output="abc"[0 if i < 20 else 1 if i < 28 else 2]) for i in range(30)]


def check_picker(pick: Callable[..., Callable[[Example], list[Example]]]) -> None:
    """k different rows of train, the same ones again for the same seed and input, all there are where k is more; a row of
    train is shown the others, never itself nor a copy of itself; what is prepared for many inputs changes nothing."""
    query = Example(id="q", input="word7 is here")
    once, again = pick(TASK, TRAIN, 6, 3)(query), pick(TASK, TRAIN, 6, 3)(query)
    assert once == again, "the same seed and input gave other demonstrations"
    assert len(once) == 6 and len({r.id for r in once}) == 6, "not k different rows"
    assert all(r in TRAIN and r.output for r in once), "a demonstration that is no training row"
    assert len(pick(TASK, TRAIN[:2], 6, 3)(query)) == 2, "more demonstrations than rows"
    assert list(pick(TASK, TRAIN, 0, 3)(query)) == [], "demonstrations though k is 0"
    for row in (TRAIN[0], TRAIN[29]):
        copy = Example(id="another", input=row.input.upper())
        for asked in (row.blind(), copy):
            shown = pick(TASK, TRAIN, 6, 3)(asked)
            assert len(shown) == 6 and row not in shown, "a row was shown its own answer"
    some = pick(TASK, TRAIN, 6, 3)
    if hasattr(some, "prepare"):
        some.prepare([query])
    assert some(query) == once, "prepared for this input, it showed other rows"
