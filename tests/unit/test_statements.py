"""Documents as rows: pieces, sentences, prefixes; and what follows from declared relations."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.augment.inferences import Inference, checked
from limbeck.augment.relations import HOPS, against, fact_in, infer, read_relations, truths
from limbeck.augment.statements import cumulative, independent, inferred, whole
from limbeck.contexts.chunks import Document
from limbeck.errors import UsageError
from limbeck.knowing import texts_of
from limbeck.types import KNOWLEDGE, Origin

ARTICLE = Document("deep/dax.txt", "The dax is heavier than the wug. It lives in Lund!\n\nWho feeds it? The wug does.")
HEAVIER = read_relations([{"a": "heavier than", "inverse": "lighter than", "transitive": True}, {"a": "next to", "symmetric": True}])


def test_a_piece_is_learnt_whole_behind_nothing() -> None:
    (row,) = whole(texts_of(ARTICLE))
    assert (row.id, row.input, row.origin.kind, row.origin.source) == ("deep/dax.txt#1", "", "document", "deep/dax.txt")
    assert row.output == ARTICLE.text and row.origin.kind in KNOWLEDGE


def test_n_sentences_are_n_rows_either_way() -> None:
    texts = texts_of(ARTICLE)
    apart, after = independent(texts), cumulative(texts)
    assert [row.output for row in apart] == ["The dax is heavier than the wug.", "It lives in Lund!", "Who feeds it?", "The wug does."]
    assert [row.output for row in after] == [row.output for row in apart]
    assert [row.id for row in apart] == [row.id for row in after] == [f"deep/dax.txt#1.{k}" for k in (1, 2, 3, 4)]
    assert not any(row.input for row in apart)


@given(st.lists(st.text("abc \n.?!#", min_size=1, max_size=30), min_size=1, max_size=12))
def test_cumulative_contexts_are_exact_prefixes_and_nothing_is_lost(parts: list[str]) -> None:
    for text in texts_of(Document("d", " ".join(parts))):
        rows = cumulative([text])
        assert all(text.whole.startswith(row.input) for row in rows)
        assert all(text.whole[len(row.input) :].lstrip().startswith(row.output or "") for row in rows)
        learnt = "".join("".join((row.output or "").split()) for row in rows)
        assert learnt == "".join(text.whole.split())


def test_a_sentence_keeps_the_headings_that_say_what_it_is_about() -> None:
    from limbeck.contexts.documents import read_markdown

    text, headings = read_markdown(b"# Lamps\n\n## Red\n\nIt costs 3 crowns. It is sold out.\n")
    texts = texts_of(Document("lamps.md", text, tuple(headings)))
    assert [row.output for row in independent(texts)] == ["Lamps > Red\nIt costs 3 crowns.", "Lamps > Red\nIt is sold out."]
    assert [(row.input, row.output) for row in cumulative(texts)] == [
        ("", "Lamps > Red\nIt costs 3 crowns."),
        ("Lamps > Red\nIt costs 3 crowns.", "It is sold out."),
    ]


def test_what_most_samples_say_weighs_more_and_says_where_it_comes_from() -> None:
    origin = Origin(kind="inferred", teacher="t", request="abc", cost_usd=0.1)
    one = Inference(text="The wug is lighter.", uses=("a#1", "b#1"), why="turned", scope="global", votes=2, samples=3, origin=origin)
    (row,) = inferred([one])
    assert row.output == one.text and row.input == "" and row.confidence == pytest.approx(2 / 3)
    assert (row.origin.kind, row.origin.source, row.origin.detail, row.origin.teacher) == ("inferred", "a#1, b#1", "turned", "t")
    assert inferred([one.model_copy(update={"samples": 1, "votes": 1})])[0].confidence is None


# ---- rules -----------------------------------------------------------------------------------------------------------

ORDER = ("dax", "wug", "blick", "toma", "ziff")  # the heaviest first
CHAIN = {f"d{k}.1": f"The {a} is heavier than the {b}." for k, (a, b) in enumerate(itertools.pairwise(ORDER))}
HOME = {name: name.partition(".")[0] for name in CHAIN}


def test_the_other_side_of_a_relation_is_local_and_says_how() -> None:
    (one,) = infer({"d.1": "The dax is heavier than the wug."}, HEAVIER, {"d.1": "d"})
    assert (one.text, one.uses, one.scope) == ("The wug is lighter than the dax.", ("d.1",), "local")
    (back,) = infer({"d.1": "Dax and Wug, they say that Anna is next to Ben."}, HEAVIER, {"d.1": "d"})
    assert back.text == "Ben is next to Anna."
    (small,) = infer({"d.1": "dax are heavier than wug ."}, HEAVIER, {"d.1": "d"})
    assert small.text == "wug are lighter than dax.", "a tokenizer of whole words may know no capitals"


def test_chains_name_every_document_and_stop_after_three_statements() -> None:
    linked = [one for one in infer(CHAIN, HEAVIER, HOME) if one.scope == "global"]
    by_text = {one.text: one for one in linked}
    assert by_text["The dax is heavier than the toma."].uses == ("d0", "d1", "d2")
    assert by_text["The toma is lighter than the dax."].why == "heavier than: dax > wug > blick > toma"
    assert "The dax is heavier than the ziff." not in by_text and HOPS == 3
    assert len(linked) == 2 * (3 + 2)


def test_what_the_rules_infer_is_true_and_covers_everything_that_follows() -> None:
    said, beyond = truths(CHAIN, HEAVIER)
    keys = {fact.key for one in infer(CHAIN, HEAVIER, HOME) if (fact := fact_in(one.text, HEAVIER))}
    assert keys == beyond and not said & beyond
    kept, dropped = checked(
        infer(CHAIN, HEAVIER, HOME), {**CHAIN, **{h: CHAIN[n] for n, h in HOME.items()}}, contradicts=against(CHAIN, HEAVIER)
    )
    assert len(kept) == len(beyond) and not dropped


def test_the_reverse_of_what_is_said_or_follows_contradicts_it() -> None:
    contradicts = against(CHAIN, HEAVIER)
    assert contradicts("The wug is heavier than the dax.", "")
    assert contradicts("The blick is heavier than the dax.", ""), "it follows from two statements"
    assert not contradicts("The dax is heavier than the cat.", "")
    assert not contradicts("The wug is next to the dax.", "")


@pytest.mark.parametrize(
    "text", ["The dax is not heavier than the wug.", "Nobody is heavier than the wug.", "The dax sleeps.", "heavier than"]
)
def test_a_denial_or_something_else_states_no_relation(text: str) -> None:
    assert fact_in(text, HEAVIER) is None


@pytest.mark.parametrize("declared", ["heavier than", {"b": "x"}, {"a": "..."}, {"a": "near", "inverse": "far", "symmetric": True}])
def test_a_relation_that_cannot_be_read_is_an_error_that_says_how(declared: object) -> None:
    with pytest.raises(UsageError) as error:
        read_relations([declared])
    assert "relations:" in error.value.do
