"""What inferences are worth, told: how much of what training on documents misses they can repair, in figures and in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.augment import relations
from limbeck.augment.inferences import Inference
from limbeck.engine.wording import stems
from limbeck.knowing import Knowledge
from limbeck.types import Example, Settings

SHARE = 0.8  # of a question's telling words that have to stand in a text that reaches it
LOST = {
    "usageerror": "did not fit into the model",
    "capreached": "for want of money or time",
    "transient": "given up after several tries",
    "declined": "declined by the provider",
    "providererror": "the provider failed",
}
EXAMPLES = 2  # of each reason, for the report


def measure(
    settings: Settings, knowledge: Knowledge, dev: Sequence[Example], opinions: Sequence[int], scopes: Sequence[str] = ("local", "global")
) -> dict[str, Any]:
    """coverage: of what follows, how much is said; precision: of what is said, how much follows; repair: their product; each None where
    it cannot be told, and how it was told. Where relations are declared, they say what follows; else the dev questions and the second teacher."""
    declared = relations.read_relations(settings.relations)
    mine = [one for one in knowledge.inferences if one.scope in scopes]
    coverage, of, how = covered_questions(mine, list(knowledge.statements.values()), dev)
    yes, no = opinions
    precision, judged = (yes / (yes + no), yes + no) if yes + no else (None, 0)
    judge = "a second teacher's opinion of what had passed the checks" if judged else "nobody judged them: no relations, no --labeller"
    if declared and not judged:
        judge = "none of them states a declared relation"
    if declared:
        said, beyond = relations.truths(knowledge.statements, declared)
        stated = [fact.key for one in mine if (fact := relations.fact_in(one.text, declared))]
        if beyond:
            coverage, of, how = len(set(stated) & beyond) / len(beyond), len(beyond), "facts that follow from the declared relations"
        if stated:
            precision, judged = sum(key in said or key in beyond for key in stated) / len(stated), len(stated)
            judge = "the declared relations, over those that state one"
    return {
        "coverage": coverage,
        "coverage_of": of,
        "coverage_how": how,
        "precision": precision,
        "precision_of": judged,
        "precision_how": judge,
        "repair": None if coverage is None or precision is None else coverage * precision,
    }


def covered_questions(inferences: Sequence[Inference], statements: Sequence[str], dev: Sequence[Example]) -> tuple[float | None, int, str]:
    """Of the dev questions that no single statement answers, the share that one inference does: it holds the answer and 0.8 of the
    question's telling words."""
    open_ = [row for row in dev if row.output and not any(reaches(text, row) for text in statements)]
    if not open_:
        return None, 0, "no dev question asks for more than one statement says"
    texts = [one.text for one in inferences]
    share = sum(any(reaches(text, row) for text in texts) for row in open_) / len(open_)
    return share, len(open_), "dev questions that no single statement answers, by the words that stand in an inference"


def reaches(text: str, row: Example) -> bool:
    there, answer, question = (set(stems(part).split()) for part in (text, row.output or "", row.input))
    wanted = question - answer
    return bool(answer) and answer <= there and len(wanted & there) >= SHARE * len(wanted)


def estimated(one: Mapping[str, Any]) -> str:
    def part(name: str) -> str:
        if one[name] is None:
            return f"{name} is not known ({one[f'{name}_how']})"
        return f"{name} {one[name]:.2f} (of {one[f'{name}_of']} {one[f'{name}_how']})"

    product = f"; their product {one['repair']:.2f} is about what augmenting can repair" if one["repair"] is not None else ""
    return f"{part('coverage')}, {part('precision')}{product}."


# ---- for the report --------------------------------------------------------------------------------------------------


def sentences(facts: Mapping[str, Any]) -> list[str]:
    said = [f"The documents: {facts['texts']:,} pieces of {facts['documents']:,} files, {facts['statements']:,} statements."]
    if facts["skipped"]:
        first = facts["skipped"][0]
        said.append(f"{len(facts['skipped'])} files were not read; the first: {first['document']}: {first['reason']}")
    if facts["held_out"]:
        said.append(f"{len(facts['held_out'])} pieces were left out: they hold a dev or test question with its answer.")
    if not facts["by"]:
        return said
    local, linked = facts["kept"].get("local", 0), facts["kept"].get("global", 0)
    lost = ", ".join(f"{n:,} {why}" for why, n in facts["dropped"].items())
    said.append(
        f"What follows from them, written by {facts['writer']}: {local:,} local and {linked:,} global inferences are learnt"
        + (f"; dropped: {lost}." if lost else ".")
    )
    if lost := {name: facts["counts"][name] for name in LOST if facts["counts"].get(name)}:
        said.append(f"Questions without an answer: {', '.join(f'{n:,} {LOST[name]}' for name, n in lost.items())}.")
    if facts["left_out"] >= 0.5:
        said.append(
            f"{facts['left_out']:.0f} of {facts['texts']} pieces did not fit beside the one that was asked about, on average; which, the seed drew (--set inference_context=N)."
        )
    for how, one in facts["measured"].items():
        said.append(f"augment:{how}: {estimated(one)}")
    return said


def examples(kept: Sequence[Inference], dropped: Sequence[tuple[str, Inference]]) -> list[dict[str, str]]:
    """Of each scope and each reason the first ones. dropped: (why, inference)."""
    seen: Counter[str] = Counter()
    shown = []
    for label, one in [*((one.scope, one) for one in kept), *((why.partition(":")[0], one) for why, one in dropped)]:
        seen[label] += 1
        if seen[label] <= EXAMPLES and one.text.strip():
            shown.append({"what": label, "text": one.text[:300], "uses": ", ".join(one.uses), "why": one.why[:200]})
    return shown


def warnings(facts: Mapping[str, Any]) -> list[str]:
    """What a reader has to know about what was learnt (of inferring.summary)."""
    if not facts or not facts.get("by"):
        return []
    found = []
    if not facts["complete"]:
        found.append(
            "what follows from the documents was not asked for everywhere: money, time or the provider ended; the same command goes on"
        )
    if not facts["kept"]:
        found.append("no inference passed the checks: augmented students learnt the documents alone (2-inferences-dropped.jsonl)")
    if leaks := facts["dropped"].get("leak", 0):
        found.append(
            f"{leaks} inferences were dropped, for they hold a dev or test question and its answer word for word: questions in the wording "
            "of the documents measure recall; ask in other words, or --set literal=keep"
        )
    if facts["literal"]:
        found.append(
            f"{len(facts['literal'])} test questions stand word for word, answered, in what was inferred (literal=keep): on those the test "
            "measures recall; the report scores the others apart"
        )
    if facts["kept"] and any(one["precision"] is None for one in facts["measured"].values()):
        found.append(
            "nobody judged whether the inferences are true; a wrong one is learnt as willingly as a right one (--labeller, or relations)"
        )
    return found
