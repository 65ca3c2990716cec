"""A planted copy of a test row is found wherever it stands, and taken out of everything but the test split."""

from __future__ import annotations

import random
import time

from limbeck.curate.leak import leaks, nearest_rows, remove_leaks
from limbeck.types import Example

LONG = "my card was swallowed by the machine at the main station yesterday evening and nobody could help me there"


def row(name: str, text: str, **more: object) -> Example:
    return Example(id=name, input=text, output="x", **more)  # type: ignore[arg-type]


def test_planted_leaks_are_caught_exact_and_near() -> None:
    test = [row("t1", LONG), row("t2", "Where is it?"), row("t3", "something else entirely, and long enough to have shingles")]
    found = leaks(
        test,
        {
            "train": [row("a", LONG.upper() + "!"), row("b", "fine")],
            "dev": [row("c", LONG + " today")],
            "demonstrations": [row("d", "where is it")],
            "unlabelled": [],
        },
    )
    assert [(leak.test_id, leak.other_id, leak.where) for leak in found] == [
        ("t1", "a", "train"),
        ("t1", "c", "dev"),
        ("t2", "d", "demonstrations"),
    ]
    assert found[0].jaccard == 1.0 and 0.8 <= found[1].jaccard < 1.0


def test_a_short_text_leaks_only_when_it_is_the_same() -> None:
    assert leaks([row("t", "who is that man")], {"train": [row("a", "who is this man")]}) == []


def test_every_copy_within_test_is_named() -> None:
    found = leaks([row("t1", LONG), row("t2", LONG)], {"train": [row("a", LONG), row("b", LONG + " now")]})
    assert {(leak.test_id, leak.other_id) for leak in found} == {("t1", "a"), ("t2", "a"), ("t1", "b"), ("t2", "b")}


def test_choice_rows_leak_with_their_options_and_demonstrations_by_input() -> None:
    test = [Example(id="t", input="What is best?", output="p", choices=("p", "q"))]
    other = Example(id="a", input="What is best?", output="x", choices=("x", "y"))
    assert leaks(test, {"train": [other]}) == []
    assert len(leaks(test, {"train": [other.model_copy(update={"choices": ("q", "p")})]})) == 1
    assert len(leaks(test, {"demonstrations": [Example(id="d", input="what is best", output="p")]})) == 1


def test_removing_takes_from_train_and_dev_and_counts() -> None:
    test = [row("t1", LONG)]
    others = {"train": [row("a", LONG), row("b", "fine"), row("c", LONG + " ok")], "dev": [row("d", "good")]}
    kept, removed, found = remove_leaks(test, others)
    assert [r.id for r in kept["train"]] == ["b"] and [r.id for r in kept["dev"]] == ["d"]
    assert removed == {"train": 2, "dev": 0} and len(found) == 2
    assert leaks(test, kept) == []


def test_2464_test_rows_against_9000_train_rows_take_less_than_three_seconds() -> None:
    draw = random.Random(0)
    words = [f"w{int(draw.paretovariate(0.7)) % 3000}" for _ in range(5000)]
    rows = [row(str(i), " ".join(draw.choices(words, k=draw.randint(4, 30)))) for i in range(11_464)]
    test, train = rows[:2464], rows[2464:]
    train[17] = row("planted", test[5].input + ".")
    start = time.perf_counter()
    found = leaks(test, {"train": train})
    assert time.perf_counter() - start < 3
    assert any(leak.other_id == "planted" and leak.test_id == test[5].id for leak in found)


def test_the_nearest_rows_share_most_words() -> None:
    rows = [row("a", "nothing alike"), row("b", "my card was eaten"), row("c", "my card was eaten today"), row("d", "my dog")]
    found = nearest_rows(row("q", "My card was eaten!"), rows, 2)
    assert [(other.id, jaccard) for other, jaccard in found] == [("b", 1.0), ("c", 0.8)]
