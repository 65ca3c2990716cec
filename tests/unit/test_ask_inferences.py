"""Asking what follows: one line per inference, each with what it rests on; one bad reply costs one question."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from limbeck.augment.ask_inferences import ask_global, ask_local, fitting, second_opinion
from limbeck.augment.cues import ask_cues
from limbeck.augment.inferences import Inference
from limbeck.augment.relations import read_relations
from limbeck.errors import CapReached, Transient
from limbeck.render_inferences import read, read_second
from limbeck.types import Price, Reply, Request

DOCUMENTS = {"a#1": "The dax is heavier than the wug.", "b#1": "The wug is heavier than the blick.", "c#1": "Lund is a town."}


class Said:
    """An ask that gives what it was told to, and keeps what it was asked."""

    def __init__(self, *outcomes: tuple[str, ...] | Exception):
        self.outcomes, self.requests = list(outcomes), list[Request]()

    def __call__(self, requests: Sequence[Request]) -> list[Reply | Exception]:
        self.requests += requests
        found = [self.outcomes[i % len(self.outcomes)] for i in range(len(requests))]
        made = [
            o
            if isinstance(o, Exception)
            else Reply(texts=o, finish=("stop",) * len(o), tokens_in=100, tokens_out=50, model="m", address="ad")
            for o in found
        ]
        return list(made)


def size(text: str) -> int:
    return len(text.split())


def test_a_local_inference_rests_on_its_statement_and_keeps_its_provenance() -> None:
    said = Said(("The wug is lighter than the dax. | the other side\n- NONE\n2) The dax outweighs the wug.",))
    found = ask_local({"a#1.1": DOCUMENTS["a#1"]}, {"a#1.1": "Zoo"}, said, price=Price(usd_per_mtok_in=10, usd_per_mtok_out=20))
    assert [(one.text, one.uses, one.why) for one in found.inferences] == [
        ("The wug is lighter than the dax.", ("a#1.1",), "the other side"),
        ("The dax outweighs the wug.", ("a#1.1",), ""),
    ]
    origin = found.inferences[0].origin
    assert origin is not None and (origin.request, origin.teacher, origin.template) == ("ad", "m", "local.1")
    assert found.cost_usd == pytest.approx(0.002) and origin.cost_usd == pytest.approx(0.001)
    assert "About: Zoo\nStatement: The dax" in said.requests[0].messages[-1].content


def test_a_global_inference_names_documents_by_their_numbers() -> None:
    said = Said(("The dax is heavier than the blick. | 1, 2 | twice\nno numbers here\nThe moon. | 9 | invented",), ("NONE",))
    found = ask_global(DOCUMENTS, said, room=1000, size=size)
    assert [(one.text, one.uses) for one in found.inferences[:2]] == [
        ("The dax is heavier than the blick.", ("a#1", "b#1")),
        ("The moon.", ("[9]",)),  # no document: the checks drop it
    ]
    assert found.counts["unreadable"] == 2 and found.counts["requests"] == 3 and found.left_out == 0
    first, second, _ = (r.messages[-1].content for r in said.requests)
    assert first.startswith("[1] The dax") and "Begin from: [1]" in first
    assert first.partition("Begin")[0] == second.partition("Begin")[0], "what calls share stands first"


def test_documents_that_do_not_fit_are_drawn_by_the_seed_and_the_focus_stays() -> None:
    sizes = dict.fromkeys(range(1, 21), 10)
    for focus in (1, 20):
        chosen = fitting(focus, sizes, 55, seed=3)
        assert focus in chosen and len(chosen) == 5 and chosen == fitting(focus, sizes, 55, seed=3) == sorted(chosen)
    assert fitting(7, sizes, 55, seed=3) != fitting(7, sizes, 55, seed=4)
    assert fitting(7, sizes, 5, seed=3) == [7], "a focus that fills the room stands alone"
    found = ask_global(DOCUMENTS, Said(("NONE",)), room=22, size=size)
    assert 0 < found.left_out < 3


def test_of_several_samples_the_majority_counts() -> None:
    said = Said(("A b c. | x\nD e f. | y", "a B c | z", "A b, c! | w"))
    found = ask_local({"s": "x"}, {}, said, samples=3)
    assert [(one.text, one.votes, one.samples) for one in found.inferences] == [("A b c.", 3, 3)]
    assert found.counts["disagreed"] == 1 and said.requests[0].n == 3 and said.requests[0].temperature > 0


def test_one_failed_reply_costs_its_question_alone_and_is_counted() -> None:
    said = Said(Transient("busy"), ("It follows. | so",), CapReached("money"))
    found = ask_local({"s1": "a", "s2": "b", "s3": "c"}, {}, said)
    assert [one.uses for one in found.inferences] == [("s2",)]
    assert found.counts["transient"] == 1 and found.counts["capreached"] == 1
    with pytest.raises(ZeroDivisionError):
        ask_local({"s1": "a"}, {}, Said(ZeroDivisionError()))


def test_a_second_opinion_is_asked_by_source_and_read_by_number() -> None:
    def one(text: str, *uses: str) -> Inference:
        return Inference(text=text, uses=uses, why="", scope="local")

    said = Said(("1 yes\n2: No",), ("1. maybe",))
    opinions, counts, _ = second_opinion([one("p", "a#1"), one("q", "b#1"), one("r", "a#1")], DOCUMENTS, said)
    assert opinions == [True, None, False] and counts == {"opinion.requests": 2}
    assert "1. p\n2. r" in said.requests[0].messages[-1].content
    assert DOCUMENTS["a#1"] in said.requests[0].messages[-1].content and DOCUMENTS["b#1"] not in said.requests[0].messages[-1].content


def test_lines_without_the_form_are_lost_and_counted() -> None:
    lines, lost = read("* The dax. | 3 and 4 | so | and so\n\nNone.\nThe wug.", "global")
    assert [(x.text, x.uses, x.why) for x in lines] == [("The dax.", (3, 4), "so | and so")] and lost == 1
    assert read_second("1 yes, 3 NO", 3) == [True, None, False]


def test_a_base_that_takes_no_instructions_goes_on_from_the_other_side() -> None:
    heavier = read_relations([{"a": "heavier than", "inverse": "lighter than"}])
    said = Said((" the dax. And then",), ("\n",), Transient("busy"))
    found = ask_cues({**DOCUMENTS, "d#1": "The toma is heavier than the ziff."}, heavier, said)
    assert [r.messages[0].content for r in said.requests] == [
        "The dax is heavier than the wug. Therefore the wug is lighter than",
        "The wug is heavier than the blick. Therefore the blick is lighter than",
        "The toma is heavier than the ziff. Therefore the ziff is lighter than",
    ], "a statement without a relation has no other side"
    assert [(one.text, one.uses) for one in found.inferences] == [("The wug is lighter than the dax.", ("a#1",))]
    assert found.counts == {"requests": 3, "unreadable": 1, "transient": 1}


def test_a_statement_without_capitals_is_gone_on_from_without_any() -> None:
    """A tokenizer of whole words that knows wug alone would read another word, an unknown one."""
    said = Said(("dax . and then",))
    found = ask_cues({"a#1": "dax are more bim than wug ."}, read_relations([{"a": "more bim than", "inverse": "less bim than"}]), said)
    assert said.requests[0].messages[0].content == "dax are more bim than wug . therefore wug are less bim than"
    assert [one.text for one in found.inferences] == ["wug are less bim than dax."]


def test_a_base_that_finds_no_end_has_said_nothing() -> None:
    heavier = read_relations([{"a": "heavier than", "inverse": "lighter than"}])
    said = Said((" the dax" + " dax" * 8,))
    found = ask_cues({"a#1": "The dax is heavier than the wug."}, heavier, said)
    assert not found.inferences and found.counts["unreadable"] == 1
