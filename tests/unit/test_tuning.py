"""Factorial designs by their algebra, Holm by hand, and a search that finds a lever that is there and none that is not."""

from __future__ import annotations

import hashlib
import json
from itertools import combinations
from pathlib import Path

import pytest

from limbeck import factorial, stats, tuning
from limbeck.derived import Sizes
from limbeck.errors import CapReached
from limbeck.log import Log
from limbeck.preflight import Given
from limbeck.render_structure import LEVERS, PLAIN, Structure
from limbeck.run import RunFolder
from limbeck.teachers import open_teacher
from limbeck.trials import Desk, effects_of, switched
from limbeck.types import Example, Kind, Price, Reply, Request, Settings, Task


@pytest.mark.parametrize(
    ("levers", "most", "runs", "resolution"), [(5, 16, 16, "V"), (5, 8, 8, "III"), (4, 8, 8, "IV"), (4, 16, 16, "full"), (5, 20, 16, "V")]
)
def test_a_design_is_balanced_orthogonal_and_holds_the_plain_prompt(levers, most, runs, resolution):
    made = factorial.design(levers, most)
    assert (len(made.runs), made.resolution) == (runs, resolution) and len(set(made.runs)) == runs
    assert made.runs[0] == (False,) * levers
    signs = [[1 if on else -1 for on in run] for run in made.runs]
    assert all(sum(run[i] for run in signs) == 0 for i in range(levers))
    assert all(sum(run[i] * run[j] for run in signs) == 0 for i, j in combinations(range(levers), 2))
    for i, j, k in combinations(range(levers), 3):  # a lever is an alias of a pair exactly where their columns are parallel
        parallel = abs(sum(run[i] * run[j] * run[k] for run in signs)) == runs
        assert parallel == ((j, k) in made.aliases.get(i, ())) == ((i, j) in made.aliases.get(k, ()))
    assert bool(made.aliases) == (resolution == "III")


def test_holm_by_hand():
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.9, 0.8]) == [1.0, 1.0] and stats.holm([]) == []


# ---- the search, with a teacher in this process -----------------------------------------------------------------------------

TASK = Task(name="mail", instruction="Sort the mail.\n- a: first\n- b: second", kind=Kind.LABEL, labels=("a", "b"), metric="accuracy")
MARKS = {
    "role": "You are an expert",
    "details": "- Read the whole",
    "form": "Your reply",
    "steps": "Think step by step",
    "delimiters": "<case>",
}


def luck(text: str) -> float:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def teacher(worth: dict[str, float], noise: str = "") -> object:
    """Right where the row's luck is below .5 plus what the levers in its prompt are worth. noise: luck depends on the prompt, too."""

    def ask(requests: list[Request]) -> list[Reply | Exception]:
        found: list[Reply | Exception] = []
        for request in requests:
            text = "\n".join(m.content for m in request.messages)
            assert request.row is not None
            gold = "a" if int(request.row.id) % 2 else "b"
            share = 0.5 + sum(w for lever, w in worth.items() if MARKS[lever] in text)
            drawn = luck(request.row.id + (noise + text if noise else ""))
            said = gold if drawn < share else {"a": "b", "b": "a"}[gold]
            reasoned = MARKS["steps"] in text
            found.append(
                Reply(texts=(f"Because. So the answer is {said}." if reasoned else json.dumps({"answer": said}),), finish=("stop",))
            )
        return found

    return ask


def desk(ask: object, tmp_path: Path, n: int = 120, more: int = 0) -> Desk:
    rows = [Example(id=str(i), input=f"mail number {i}", output="a" if i % 2 else "b") for i in range(n + more)]
    given = Given(Settings(prompt="p.md"), "x", [], None, None, [], [], [], None)
    return Desk(TASK, given, ask, RunFolder(tmp_path), Sizes(100, n, 20, 0, 2, 20.0, 0), rows[:n], rows, Log(), 1.0)  # type: ignore[arg-type]


class NoStore:
    def ledger(self) -> dict[str, dict[str, dict[str, float]]]:
        return {"by_purpose": {}}


def search(at: Desk, trials: int = 20, runs: int = 16) -> tuning.Tuned:
    return tuning.search(at, Structure(role=True, details=True), runs, trials, [], "small", NoStore())  # type: ignore[arg-type]


def test_a_teacher_that_does_not_look_at_the_prompt_leaves_the_default(tmp_path):
    found = search(desk(teacher({}), tmp_path))
    assert not found.changed and found.chosen.model_copy(update={"tuned": {}}) == PLAIN
    assert found.verdict.startswith("No difference") and all(e.effect == 0 for e in found.effects)
    assert len(found.trials) == 20 and found.chosen.tuned["trials"] == 20
    assert "3 students" in found.training


@pytest.mark.parametrize("lever", ["role", "steps", "delimiters"])
def test_the_lever_that_helps_is_found_and_nothing_beside_it(tmp_path, lever):
    found = search(desk(teacher({lever: 0.3}), tmp_path))
    assert found.changed and found.chosen.on() == (lever,)
    assert {e.lever: e.low > 0 for e in found.effects} == {name: name == lever for name in LEVERS}
    assert next(e for e in found.effects if e.lever == lever).effect == pytest.approx(0.3, abs=0.1)


def test_main_effects_add_up(tmp_path):
    """Levers that are worth .2 and -.1 of the same rows: their effects are those, to the row."""
    at = desk(teacher({"form": 0.2, "steps": -0.1}), tmp_path)
    found = {e.lever: e.effect for e in search(at).effects}
    share = lambda p: sum(luck(str(i)) < p for i in range(120)) / 120  # noqa: E731
    form = (share(0.7) - share(0.5) + share(0.6) - share(0.4)) / 2
    steps = (share(0.4) - share(0.5) + share(0.6) - share(0.7)) / 2
    assert found == pytest.approx({"role": 0, "details": 0, "form": form, "steps": steps, "delimiters": 0})


def test_noise_that_depends_on_the_prompt_is_not_taken_for_a_better_prompt(tmp_path):
    """Twenty tries of pure luck on 60 rows: the best of them looks better by chance, and is corrected for it."""
    changed = [search(desk(teacher({}, noise=str(seed)), tmp_path, n=60)).changed for seed in range(6)]
    assert sum(changed) == 0


def test_finalists_are_compared_on_all_of_dev(tmp_path):
    at = desk(teacher({"delimiters": 0.3}), tmp_path, n=60, more=60)
    found = search(at, trials=10, runs=8)
    finals = [t for t in found.trials if t.finalist]
    assert 1 <= len(finals) <= 3 and (found.rows, found.dev_rows) == (60, 120)
    whole = [text for text, answers in at.answers.items() if len(answers) == 120]
    assert len(whole) == len(finals) + 1 and found.design == "8 runs of 5 levers, resolution III"
    assert found.effects[0].aliases  # at eight runs a lever's effect may be that of a pair


def test_a_lever_that_hurts_is_left_out(tmp_path):
    found = search(desk(teacher({"delimiters": -0.3}), tmp_path), trials=10, runs=8)
    assert not found.changed and next(e for e in found.effects if e.lever == "delimiters").high < 0


def test_a_figure_over_all_rows_has_effects_as_well_and_of_errors_less_is_better(tmp_path):
    at = desk(teacher({"delimiters": 0.3}), tmp_path, n=60)
    at.task = TASK.model_copy(update={"metric": "macro_f1"})
    found = {e.lever: e for e in search(at, trials=10, runs=8).effects}
    assert found["delimiters"].low > 0 and found["form"].effect == pytest.approx(0)
    score = Task(name="s", instruction="Rate.", kind=Kind.SCORE, low=0, high=9, metric="mae")

    def rater(requests):
        off = [0 if MARKS["delimiters"] in "".join(m.content for m in r.messages) else int(r.row.id) % 3 for r in requests]
        return [Reply(texts=(f"Because. So the answer is {o}.",), finish=("stop",)) for o in off]

    rows = [Example(id=str(i), input=f"mail {i}", output="0") for i in range(30)]
    rated = Desk(score, at.given, rater, RunFolder(tmp_path), at.sizes, rows, rows, Log(), -1.0)
    best = search(rated, trials=10, runs=8)
    assert (
        best.changed
        and "delimiters" in best.chosen.on()
        and next(e for e in best.effects if e.lever == "delimiters").effect == pytest.approx(1)
    )


def test_what_is_left_unanswered_stops_the_search_and_nothing_is_chosen(tmp_path):
    good = teacher({})

    def poor(requests):
        return [CapReached("the cap of $1 is reached") if i > 5 else one for i, one in enumerate(good(requests))]

    with pytest.raises(CapReached, match="trial 1") as stopped:
        search(desk(poor, tmp_path))
    assert "larger --budget" in stopped.value.do


# ---- the money ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def dear(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMBECK_API_KEY", "sk-none")
    at = desk(teacher({}), tmp_path, n=200)
    at.given.teacher = open_teacher("http://127.0.0.1:9/v1#m", Price(usd_per_mtok_in=1.0, usd_per_mtok_out=4.0))
    return at


def with_budget(at: Desk, usd: float) -> Desk:
    at.given.settings = at.given.settings.model_copy(update={"budget_usd": usd})
    return at


def test_a_budget_that_does_not_pay_for_all_rows_takes_fewer(dear):
    assert tuning.plan(with_budget(dear, 100.0), 20) == (16, 200, [])
    runs, rows, notes = tuning.plan(with_budget(dear, 1.0), 20)
    assert runs == 16 and tuning.FEWEST_ROWS <= rows < 200 and "to keep the budget" in notes[0]
    assert tuning.plan(with_budget(dear, 100.0), 12)[0] == 8


def test_a_budget_that_does_not_pay_for_the_least_is_told_before_anything_is_spent(dear):
    with pytest.raises(CapReached, match="nothing was spent") as refused:
        tuning.plan(with_budget(dear, 0.01), 20)
    assert "--budget" in refused.value.do


def test_texts_are_part_of_a_structure_only_where_its_lever_is_on(tmp_path):
    base = Structure(role=True, details=True, role_text="You are a judge.", details_text="- look", texts_from="small")
    assert switched(base, LEVERS, (False,) * 5) == Structure()
    assert switched(base, LEVERS, (True, False, False, False, True)) == Structure(
        role=True, role_text="You are a judge.", texts_from="small", delimiters="tags"
    )


def test_no_effect_is_claimed_where_nothing_was_scored(tmp_path):
    at = desk(lambda requests: [Reply(texts=("?",), finish=("stop",)) for _ in requests], tmp_path, n=20)
    found = search(at, trials=10, runs=8)
    assert not found.changed and {t.malformed for t in found.trials} == {20}
    assert effects_of(at, Structure(role=True, details=True), LEVERS, factorial.design(5, 8))[0].effect == 0
