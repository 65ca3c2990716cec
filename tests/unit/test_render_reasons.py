"""Chain-of-thought prompts, and completions read back: the published formats, and what goes wrong in them."""

from __future__ import annotations

import random
import string

import pytest

from limbeck import render_reasons
from limbeck.render_reasons import Reasoned
from limbeck.types import Example, Kind, Status, Task

MAIL = Task(name="m", instruction="Sort the mail.", kind=Kind.LABEL, labels=("refund", "delivery", "other"))
NLI = Task(name="n", instruction="Does it follow?", kind=Kind.LABEL, labels=("entailment", "neutral", "contradiction"))
PLACE = Task(name="p", instruction="Choose.", kind=Kind.CHOICE)
SUM = Task(name="s", instruction="Write the equation.", kind=Kind.TEXT)
STARS = Task(name="r", instruction="Rate it.", kind=Kind.SCORE, low=1, high=5)
FORM = Task(name="f", instruction="Read the note.", kind=Kind.FIELDS, output_schema='{"type": "object"}')
ROW = Example(id="1", input="Where does a ferry stop?", choices=("pier", "pier head (north)", "barn", "kiln", "loft"))
PAIR = Example(id="2", input="premise: A girl paints a gate.\nhypothesis: A girl is outside.")
SHOTS = (Example(id="a", input="Where is the saw?", choices=("shed", "lake"), rationale="Tools are kept in a shed", output="shed"),)


# ---- the four published formats, in sentences of our own -----------------------------------------------------------

GOLDEN = [
    # commonsense questions: options in letters, runs on into the next question
    (
        PLACE,
        ROW,
        "Ferries need water and a landing. Of the options, only a pier is one. So the answer is (a) pier.\n\nQ: Where is hay kept?\n"
        "Answer Choices:\n(a) barn\n(b) pier\nA: Hay is kept dry. So the answer is (a) barn.",
        Reasoned("Ferries need water and a landing. Of the options, only a pier is one.", "pier", Status.OK),
    ),
    # word problems: an equation in brackets
    (
        SUM,
        Example(id="3", input="Two boxes of 42 nails are shared by 4. How many has each?"),
        "There are 2 * 42 = 84 nails, shared by 4. The answer is ((2 * 42) / 4).\nQ: Ann has 3 pens.\nA: She has 3. The answer is (3).",
        Reasoned("There are 2 * 42 = 84 nails, shared by 4.", "((2 * 42) / 4)", Status.OK),
    ),
    # adversarial inference: premise and hypothesis on lines of their own
    (
        NLI,
        PAIR,
        "Answer: Gates are usually outside, but a gate may lie in a workshop. So the answer is neutral.\n\nPremise: The mill burnt down in 1911.\n"
        "Hypothesis: The mill is old.\nAnswer: It burnt. So the answer is entailment.",
        Reasoned("Gates are usually outside, but a gate may lie in a workshop.", "neutral", Status.OK),
    ),
    # natural-language inference: the label behind `Answer:`
    (
        NLI,
        PAIR,
        "Who paints a gate need not be outside. Answer: neutral\n\nPremise A man sings.\nHypothesis A man is silent.",
        Reasoned("Who paints a gate need not be outside.", "neutral", Status.OK),
    ),
]


@pytest.mark.parametrize(("task", "row", "reply", "expected"), GOLDEN, ids=["choices", "equations", "adversarial", "answer: label"])
def test_the_published_formats_are_read(task, row, reply, expected):
    assert render_reasons.read(task, row, reply) == expected


def fate(task: Task, row: Example, reply: str) -> tuple[str, str]:
    found = render_reasons.read(task, row, reply)
    return found.answer, str(found.status)


ADVERSARIAL = {
    "two markers, two answers": (MAIL, "Money is asked for. So the answer is refund. But it was sent. So the answer is delivery.", ("", "malformed")),
    "two markers, one answer": (MAIL, "Money is asked for. So the answer is refund. Therefore the answer is refund.", ("refund", "ok")),
    "no marker": (MAIL, "The customer wants his money back.", ("", "malformed")),
    "no marker, the bare label": (MAIL, "Refund.", ("refund", "ok")),
    "a marker within the rationale": (MAIL, "The answer is not obvious: the parcel came, broken. So the answer is refund.", ("refund", "ok")),
    "a sure marker that states nothing, then one that does": (
        MAIL,
        "So the answer is hidden in the last line. He wants money. So the answer is refund.",
        ("refund", "ok"),
    ),
    "brackets in the options": (PLACE, "It stops in the north. So the answer is pier head (north).", ("pier head (north)", "ok")),
    "a letter alone": (PLACE, "Ferries land at piers. So the answer is (a).", ("pier", "ok")),
    "a letter that contradicts its text": (PLACE, "Ferries land at piers. So the answer is (c) jetty.", ("", "malformed")),
    "text after the answer": (MAIL, "He paid twice. So the answer is refund. I hope that this helps with delivery!", ("refund", "ok")),
    "text on further lines": (MAIL, "He paid twice. So the answer is refund.\n\nAnything about a delivery, just ask.", ("refund", "ok")),
    "it runs on before it answers": (MAIL, "He paid twice.\nInput: My parcel is late\nReasons: Late. So the answer is delivery.", ("", "malformed")),
    "it quotes its own input": (
        NLI,
        "Premise: A girl paints a gate.\nHypothesis: A girl is outside.\nGates stand outside. So the answer is entailment.",
        ("entailment", "ok"),
    ),
    "empty": (MAIL, "", ("", "empty")),
    "blank": (MAIL, " \n\t", ("", "empty")),
    "a marker alone": (MAIL, "So the answer is", ("", "malformed")),
    "the marker and a stop": (MAIL, "So the answer is .", ("", "malformed")),
    "undecided": (PLACE, "Both have boats. So the answer is pier or kiln.", ("", "malformed")),
    "undecided, cut by the options": (PLACE, "Both have boats. So the answer is pier or.", ("", "malformed")),
    "a list that was cut": (PLACE, "Many have boats. So the answer is pier,.", ("", "malformed")),
    "denied": (MAIL, "He says thanks. So the answer is not refund.", ("", "malformed")),
    "none of the labels": (MAIL, "He says thanks. So the answer is gratitude.", ("", "malformed")),
    "bold": (MAIL, "He paid twice.\n\n**So the answer is:** refund", ("refund", "ok")),
    "the final answer": (MAIL, "He paid twice. Therefore, the final answer is refund.", ("refund", "ok")),
    "JSON": (MAIL, '{"rationale": "He paid twice.", "answer": "refund"}', ("refund", "ok")),
    "fenced JSON": (MAIL, '```json\n{"reasoning": "He paid twice.", "answer": "refund"}\n```', ("refund", "ok")),
    "JSON with nothing in it": (MAIL, '{"rationale": null, "answer": null}', ("", "empty")),
    "thoughts in tags": (MAIL, "<think>So the answer is delivery?</think>He paid twice. So the answer is refund.", ("refund", "ok")),
    "a number": (STARS, "It pleased him, mostly. So the answer is 4.", ("4", "ok")),
    "a number out of range": (STARS, "It pleased him. So the answer is 9.", ("", "malformed")),
    "two numbers": (STARS, "It pleased him. So the answer is 4 or 5.", ("", "malformed")),
    "an object": (FORM, 'The note names a town. So the answer is {"town": "Ulm"}', ('{"town": "Ulm"}', "ok")),
    "an object cut off": (FORM, 'The note names a town. So the answer is {"town": "Ul', ("", "malformed")),
    "a free answer keeps its sentence": (SUM, "It rained. So the answer is The match was called off.", ("The match was called off.", "ok")),
}  # fmt: skip


@pytest.mark.parametrize("case", ADVERSARIAL)
def test_what_goes_wrong_is_told_apart_and_never_guessed(case):
    task, reply, expected = ADVERSARIAL[case]
    row = PAIR if task is NLI else ROW if task is PLACE else Example(id="9", input="I was charged two times for one kettle")
    assert fate(task, row, reply) == expected


def test_nothing_that_a_teacher_says_crashes_the_reader():
    """Pieces of the formats in any order, and noise."""
    rng = random.Random(7)
    pieces = ["So the answer is ", "The answer is ", "Answer: ", "Q: ", "Premise: ", "refund", "(b)", "{", '"answer":', "```json", "\n\n", "or ",
              "<think>", "**", ".", "Ünï 漢字 ", "\x00", "Input: I was", ROW.input]  # fmt: skip
    for _ in range(3000):
        reply = "".join(rng.choice([*pieces, rng.choice(string.printable) * rng.randint(1, 3)]) for _ in range(rng.randint(0, 9)))
        for task in (MAIL, PLACE, SUM, STARS, FORM):
            found = render_reasons.read(task, ROW, reply)
            assert (found.status is Status.OK) == bool(found.answer) and "\n" not in found.rationale


def test_the_answer_never_stands_in_the_rationale_that_precedes_it():
    found = render_reasons.read(MAIL, ROW, "Reasons: He paid twice.\nSo the answer is refund.")
    assert found.rationale == "He paid twice."


def test_a_teacher_that_was_shown_the_label_need_not_repeat_it_but_may_contradict_it():
    assert render_reasons.read(MAIL, ROW, "He was charged two times.", told="refund") == ("He was charged two times.", "refund", Status.OK)
    assert render_reasons.read(MAIL, ROW, "It is late. So the answer is delivery.", told="refund").answer == "delivery"


# ---- prompts -------------------------------------------------------------------------------------------------------


def test_the_prompt_is_triples_and_then_the_input():
    system, user = render_reasons.messages(PLACE, ROW, SHOTS)
    assert system.content.startswith("Choose.") and "So the answer is" in system.content
    assert user.content.index("Tools are kept in a shed. So the answer is shed.") < user.content.index(ROW.input)
    assert user.content.endswith("Reasons:") and "Right answer" not in user.content


def test_blind_hides_the_label_and_seen_shows_it_at_the_row_and_at_every_demonstration():
    row = Example(id="1", input="I paid two times", output="refund")
    shot = Example(id="2", input="It is late", output="delivery", rationale="A parcel did not come.")
    blind, seen = (render_reasons.messages(MAIL, row, [shot], told)[1].content for told in (None, "refund"))
    assert "refund" not in blind and "Right answer: refund" in seen and "Right answer: delivery" in seen
    assert "refund" not in "".join(m.content for m in render_reasons.messages(SUM, row, []))


@pytest.mark.parametrize("task", [MAIL, PLACE, SUM, STARS, FORM], ids=lambda t: str(t.kind))
def test_a_demonstration_is_read_back_as_it_was_shown(task):
    output = {Kind.LABEL: "other", Kind.CHOICE: "kiln", Kind.TEXT: "(84 / 2)", Kind.SCORE: "3", Kind.FIELDS: '{"town": "Ulm"}'}[task.kind]
    shot = ROW.model_copy(update={"rationale": "It says so", "output": output})
    shown = render_reasons.messages(task, ROW, [shot])[1].content
    completion = shown[shown.index("Reasons:") :].split("\n\n")[0]
    assert render_reasons.read(task, ROW, completion) == ("It says so.", output, Status.OK)
