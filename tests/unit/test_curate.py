"""Curation: every row is kept or put aside with a reason, and the reason is the right one."""

from __future__ import annotations

import random
import re
import time

import numpy as np
import pytest

from limbeck.curate import checks, clean
from limbeck.curate.near import meaning_pairs
from limbeck.curate.pipeline import Curated, Numbers, curate
from limbeck.tasks.kinds import language_of
from limbeck.types import Demonstration, Example, Kind, Origin, Task

TASK = Task(name="t", instruction="", kind=Kind.LABEL, labels=("refund", "exchange", "other"), metric="accuracy")
MADE = Origin(kind="generated", source="made", row=7)
LONG = "my kettle arrived on tuesday and it leaks from the handle whenever i pour so i would like you to do something"


def made(name: str, text: str, output: str | None = "refund", **more: object) -> Example:
    return Example(id=name, input=text, output=output, origin=MADE, **more)  # type: ignore[arg-type]


def gold(name: str, text: str, output: str | None = "refund") -> Example:
    return Example(id=name, input=text, output=output)


def curated(*rows: Example, guard: dict[str, list[Example]] | None = None, task: Task = TASK, **more: object) -> Curated:
    found = curate(task, rows, guard or {}, **more)  # type: ignore[arg-type]
    ids = sorted([r.id for r in found.rows] + [r.id for r in found.rejected])
    assert ids == sorted(r.id for r in rows), "every row ends in exactly one place"
    assert sum(found.counts.values()) == len(found.rejected)
    return found


def steps(found: Curated) -> dict[str, str]:
    return {r.id: r.step for r in found.rejected}


def test_each_reason_puts_its_row_aside_and_says_where_it_came_from() -> None:
    found = curated(
        made("empty", "  "),
        made("mute", "where is it then", ""),
        made("label", "i want my money back", "money"),
        made("declined", "As an AI language model, I cannot write such a message."),
        made("hole", "Dear [Your Name], where is my parcel?"),
        made("leak", LONG + " today"),
        made("copy", "Where is my parcel?", "Other"),
        made("kept", "where is my parcel", "other"),
        guard={"test": [gold("t", LONG)], "dev": [], "demonstrations": []},
    )
    assert steps(found) == {
        "empty": "empty",
        "mute": "empty",
        "label": "not an answer",
        "declined": "declined",
        "hole": "placeholder",
        "leak": "leak",
        "kept": "duplicate",
    }
    assert [(r.id, r.output) for r in found.rows] == [("copy", "other")], "answers in the task's own spelling"
    leak = next(r for r in found.rejected if r.id == "leak")
    assert (leak.source, leak.row, leak.other) == ("made", 7, "t") and leak.reason.startswith("leak: says what test row t says")
    assert list(found.counts) == ["empty", "not an answer", "declined", "placeholder", "leak", "duplicate"]
    assert "kept 1 of 8 rows" in found.said[0]


def test_a_row_leaks_from_dev_and_from_a_demonstration_too() -> None:
    guard = {"dev": [gold("1", LONG)], "demonstrations": [gold("demonstration-0", "Take it back!")]}
    found = curated(made("1", LONG.upper()), made("2", "take it back"), made("3", "give me another one", "exchange"), guard=guard)
    assert [r.id for r in found.rows] == ["3"], "also where a guarded row has the same id as ours"
    assert "dev row 1" in found.rejected[0].reason and "demonstrations row demonstration-0" in found.rejected[1].reason


# ---- contradictions -----------------------------------------------------------------------------------------------


def test_the_voted_majority_stays_and_confidence_is_the_weight() -> None:
    found = curated(
        made("a", "take it back", "refund", confidence=0.4),
        made("b", "Take it back!", "exchange", confidence=0.9),
        made("c", "take it back.", "refund", confidence=0.4),
    )
    assert [r.id for r in found.rows] == ["b"]
    assert steps(found) == {"a": "contradiction", "c": "contradiction"} and "2 'refund', 1 'exchange'" in found.rejected[0].reason


def test_a_draw_on_the_same_text_puts_both_aside() -> None:
    found = curated(made("a", "take it back", "refund"), made("b", "Take it back!", "exchange"))
    assert found.rows == [] and found.counts == {"contradiction": 2}


def test_a_persons_answer_outweighs_any_number_of_synthetic_ones() -> None:
    found = curated(made("a", "take it back", "exchange"), made("b", "take it back", "exchange"), gold("g", "Take it back"))
    assert [r.id for r in found.rows] == ["g"] and found.counts == {"contradiction": 2}


def test_nearly_the_same_text_is_settled_by_majority_and_kept_on_a_draw() -> None:
    odd = made("odd", LONG + " now", "other")
    outvoted = curated(made("a", LONG), made("b", LONG + " please"), odd)
    assert steps(outvoted)["odd"] == "contradiction"
    drawn = curated(made("a", LONG), odd)
    assert len(drawn.rows) == 2 and any("no majority" in text for text in drawn.said)


def test_a_passage_with_another_question_and_another_number_are_other_inputs() -> None:
    passage = " ".join(f"word{i}" for i in range(80))
    rows = [made(str(i), f"{passage} {question}", "other" if i == 2 else "refund") for i, question in enumerate(
        ("who paid for the broken kettle", "when did she send it", "what colour has it"))]  # fmt: skip
    assert "contradiction" not in curated(*rows).counts
    sums = [made("x", LONG + " at 3", "refund"), made("y", LONG + " at 4", "other"), made("z", LONG + " at 5", "refund")]
    assert len(curated(*sums).rows) == 3


def test_free_text_may_answer_in_many_ways() -> None:
    task = Task(name="t", instruction="", kind=Kind.TEXT, metric="rouge_l")
    found = curated(made("a", "say hello", "Hello!"), made("b", "Say hello.", "Hi there!", confidence=0.3), task=task)
    assert [r.id for r in found.rows] == ["a"] and found.counts == {"duplicate": 1}


# ---- copies -------------------------------------------------------------------------------------------------------


def test_the_best_copy_stays_a_persons_before_the_surest_before_the_first() -> None:
    found = curated(made("a", "take it back", confidence=0.5), made("b", "take it back", confidence=0.8), made("c", "Take it back"))
    assert [r.id for r in found.rows] == ["c"], "no confidence given is full confidence"
    found = curated(made("a", "take it back"), gold("g", "take it back"), made("u", "take it back", None))
    assert [r.id for r in found.rows] == ["g"] and [r.other for r in found.rejected] == ["g", "g"]


def test_a_chain_of_small_changes_does_not_fold_into_one_row() -> None:
    words = LONG.split()
    chain = [made(str(i), " ".join(words + [f"tail{j}" for j in range(3 * i)])) for i in range(5)]
    pairs = clean.near_duplicates(chain)
    assert {(i, j) for i, j, _ in pairs} >= {(0, 1), (1, 2), (2, 3), (3, 4)} and (0, 4) not in {(i, j) for i, j, _ in pairs}
    found = curated(*chain)
    assert found.rows[0].id == "0" and len(found.rows) >= 2


def test_near_copies_of_persons_stay() -> None:
    assert len(curated(gold("a", LONG), gold("b", LONG + " now")).rows) == 2


def by_first_word(texts: list[str]) -> np.ndarray:
    """Texts that begin alike mean the same: cosine 1; others 0."""
    firsts = sorted({text.split()[0] for text in texts})
    return np.eye(len(firsts), dtype=np.float32)[[firsts.index(text.split()[0]) for text in texts]] * 3


def test_the_same_meaning_in_other_words_folds_where_the_answers_agree() -> None:
    rows = [made("a", "cat one two"), made("b", "cat says something else"), made("c", "cat but otherwise", "other"), made("d", "dog")]
    found = curated(*rows, embed=by_first_word)
    assert steps(found) == {"b": "same meaning"} and len(found.rows) == 3
    assert curated(*rows).counts == {}, "no embedder, no such step"


def test_meaning_pairs_are_those_of_the_whole_matrix_and_spare_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.curate.near.BLOCK", 3)
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(11, 32)).astype(np.float32)
    vectors[7] = vectors[2] * 2 + 0.01
    vectors[9] = vectors[2] * 0.5
    rows = [made(str(i), "abcdefghijk"[i] + " text" + (" 5" if i == 9 else "")) for i in range(11)]
    found = meaning_pairs(rows, lambda texts: vectors, 0.9)
    assert [(i, j) for i, j, _ in found] == [(2, 7)]
    assert found[0][2] == pytest.approx(float(vectors[2] @ vectors[7] / np.linalg.norm(vectors[2]) / np.linalg.norm(vectors[7])), abs=1e-3)


def test_the_threshold_is_the_callers() -> None:
    rows = [made("a", "aa"), made("b", "bb")]
    half = np.array([[1.0, 0.0], [0.8, 0.6]], dtype=np.float32)
    assert len(curated(*rows, embed=lambda texts: half).rows) == 2
    assert len(curated(*rows, embed=lambda texts: half, numbers=Numbers(cosine=0.8)).rows) == 1


# ---- language, length, filters -------------------------------------------------------------------------------------

ENGLISH = [f"where is the parcel number {i} that i ordered from your shop, and what is the hold-up with it" for i in range(8)]
GERMAN = "wo ist das paket, das ich für die küche bestellt habe, und warum ist der kessel nicht dabei"


def test_a_row_in_another_language_goes_and_a_short_one_stays() -> None:
    rows = [made(str(i), text) for i, text in enumerate(ENGLISH)]
    found = curated(
        *rows,
        made("de", GERMAN),
        made("ja", "私の荷物はどこにありますか教えてください"),
        made("short", "wo ist das"),
        language_of=language_of,
    )
    assert {i: s for i, s in steps(found).items() if s == "language"} == {"de": "language", "ja": "language"}


def test_english_with_words_that_other_languages_have_too_stays_english() -> None:
    rows = [made(str(i), text) for i, text in enumerate([*ENGLISH, "What do I do if I still have not received my new card?"])]
    assert language_of(rows[-1].input) != "en", "the case is one"
    assert "language" not in curated(*rows, language_of=language_of).counts
    task = TASK.model_copy(update={"language": "de"})
    rows = [made(str(i), f"{GERMAN} und {word}") for i, word in enumerate(("topf", "herd", "ofen", "licht"))]
    assert steps(curated(*rows, made("en", ENGLISH[0]), task=task, language_of=language_of))["en"] == "language"


def test_languages_of_the_guarded_rows_are_welcome_and_a_check_that_takes_too_much_takes_none() -> None:
    rows = [made(str(i), text) for i, text in enumerate(ENGLISH)]
    dev = [gold(f"d{i}", f"{GERMAN} {i}") for i in range(3)]
    assert "language" not in curated(*rows, made("de", GERMAN + " oder"), guard={"dev": dev}, language_of=language_of).counts
    other = curated(made("x", GERMAN), made("y", GERMAN + " und nicht der topf", "other"), made("z", ENGLISH[0]), language_of=language_of)
    assert "language" not in other.counts and any("took none" in text for text in other.said)


def test_rows_of_persons_stay_whatever_their_language_and_length() -> None:
    rows = [made(str(i), text) for i, text in enumerate(ENGLISH * 4)]
    found = curated(*rows, gold("de", GERMAN), gold("long", "very " * 2000), language_of=language_of)
    assert {"de", "long"} <= {r.id for r in found.rows}


def test_an_unusual_length_goes_and_twice_as_long_is_usual() -> None:
    things = "kettle toaster mixer grinder blender scale oven fryer steamer juicer opener cooker freezer stove lamp iron pot pan jug lid"
    rows = [made(str(i), f"{name} is not what i ordered from you") for i, name in enumerate(re.findall(r"\w+", things))]
    twice = made("twice", " ".join(f"other{i}" for i in range(10)))
    found = curated(*rows, twice, made("huge", " ".join(f"w{i}" for i in range(900))))
    assert steps(found) == {"huge": "length"} and "usual are" in found.rejected[0].reason
    assert checks.usual([100] * 30) == (33, 301), "rows of one length: three times as long is usual still"


def test_too_few_rows_say_nothing_about_length() -> None:
    assert len(curated(made("a", "short one"), made("b", "much longer " * 200)).rows) == 2


def test_a_plug_in_filter_is_asked_with_the_task_and_its_failure_costs_no_row() -> None:
    def rude(task: Task, row: Example) -> str | None:
        if row.id == "boom":
            raise ValueError("no")
        return "a rude word" if "damn" in row.input and task is TASK else None

    found = curated(made("a", "damn kettle"), made("boom", "nice kettle"), filters={"rude": rude})
    assert [r.id for r in found.rows] == ["boom"] and found.rejected[0].reason == "rude: a rude word"
    assert any("failed on 1 rows" in text and "row boom" in text for text in found.said)


def test_holes_that_the_demonstrations_have_too_are_part_of_the_task() -> None:
    task = TASK.model_copy(update={"demonstrations": (Demonstration(input="Dear {name}", output="other"),)})
    assert len(curated(made("a", "Hello {customer}, where is it"), task=task).rows) == 1


# ---- defects that others had -----------------------------------------------------------------------------------------


def test_a_short_row_that_is_part_of_a_demonstration_is_no_leak() -> None:
    shown = [gold("demonstration-0", "I want my money back, and I want it now")]
    assert len(curated(made("a", "money"), made("b", "I want"), guard={"demonstrations": shown}).rows) == 2


def test_copies_are_found_across_sources_and_against_every_split() -> None:
    one = made("a", LONG).model_copy(update={"origin": Origin(kind="retrieved", source="one")})
    two = made("b", LONG + " ok").model_copy(update={"origin": Origin(kind="generated", source="two")})
    assert len(curated(one, two).rows) == 1
    for split in ("dev", "test"):
        assert curated(one, two, guard={split: [gold("x", LONG)]}).rows == []


def test_nothing_in_is_nothing_out() -> None:
    found = curated()
    assert found.rows == [] and "kept 0 of 0 rows" in found.said[0]
    assert curated(made("a", "")).rows == [], "all rejected is an answer, not a crash"


def test_the_same_rows_give_the_same_result() -> None:
    draw = random.Random(0)
    rows = [made(str(i), " ".join(draw.choices("abc", k=4)), draw.choice(TASK.labels)) for i in range(300)]
    first, second = curated(*rows), curated(*rows)
    assert first.rows == second.rows and first.rejected == second.rejected and first.counts


def test_thousands_of_rows_pass_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the exact join, and some of them by the sketches that take over above 50,000 rows."""
    draw = random.Random(0)
    words = [f"w{i}" for i in range(3000)]
    texts = [" ".join(draw.choices(words, k=draw.randint(6, 25))) for _ in range(4500)]
    texts += [f"{draw.choice(texts)} extra" for _ in range(500)]
    began = time.monotonic()
    found = curated(*(made(str(i), text) for i, text in enumerate(texts)))
    assert time.monotonic() - began < 30
    assert found.counts["near duplicate"] > 350
    some = [*texts[:1800], *(f"{text} extra" for text in texts[:200])]
    exact = clean.near_duplicates([made(str(i), text) for i, text in enumerate(some)])
    pytest.importorskip("datasketch")
    monkeypatch.setattr(clean, "MANY", 100)
    sketched = clean.near_duplicates([made(str(i), text) for i, text in enumerate(some)])
    assert set(sketched) <= set(exact) and len(sketched) >= 0.97 * len(exact)
