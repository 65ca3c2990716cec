"""What follows is checked before it is learnt: each reason for dropping it, by its own example."""

from __future__ import annotations

import pytest

from limbeck.augment.inferences import Inference, agreed, checked, names_in, negates

SOURCES = {"a.md": "The dax is heavier than the wug. It lives in Lund.", "b.md": "The wug is heavier than the blick."}


def local(text: str, *uses: str) -> Inference:
    return Inference(text=text, uses=uses or ("a.md",), why="", scope="local")


def test_a_sound_inference_is_kept_as_it_is() -> None:
    one = Inference(text="The dax is heavier than the blick.", uses=("a.md", "b.md"), why="dax > wug > blick", scope="global")
    assert checked([one], SOURCES) == ([one], {})


@pytest.mark.parametrize(
    ("text", "uses", "reason"),
    [
        (" ... ", ("a.md",), "empty"),
        ("The wug is lighter than the dax.", ("c.md",), "source"),
        ("The wug is lighter than the dax.", (), "source"),
        ("the DAX is heavier than the wug", ("a.md",), "known"),
    ],
)
def test_what_rests_on_nothing_or_says_nothing_new_is_dropped(text: str, uses: tuple[str, ...], reason: str) -> None:
    kept, dropped = checked([Inference(text=text, uses=uses, why="", scope="local")], SOURCES)
    assert kept == []
    assert dropped == {reason: 1}


def test_of_two_that_differ_in_case_and_punctuation_the_first_stays() -> None:
    kept, dropped = checked([local("The wug is lighter than the dax."), local("the wug is lighter than the dax!")], SOURCES)
    assert [one.text for one in kept] == ["The wug is lighter than the dax."]
    assert dropped == {"duplicate": 1}


def test_a_name_or_number_that_no_source_holds_is_invented() -> None:
    made_up = [local("The dax lives near Malmo."), local("The wug weighs 12 kilograms."), local("A dax can be found in Lund.")]
    kept, dropped = checked(made_up, SOURCES, names=True)
    assert [one.text for one in kept] == ["A dax can be found in Lund."]
    assert dropped == {"name": 2}


def test_words_beyond_the_sources_and_those_allowed_are_dropped_where_that_is_asked_for() -> None:
    kept, dropped = checked([local("The wug is lighter than the dax."), local("The wug is a mammal.")], SOURCES, words=["lighter"])
    assert [one.text for one in kept] == ["The wug is lighter than the dax."]
    assert dropped == {"word": 1}


def test_a_contradiction_with_any_source_is_dropped_whatever_it_names() -> None:
    wrong = local("The wug is not heavier than the blick.", "a.md")
    assert checked([wrong], SOURCES, contradicts=negates) == ([], {"contradiction": 1})


def test_a_negation_of_something_else_is_no_contradiction() -> None:
    assert not negates("The wug is not heavier than the dax.", SOURCES["a.md"])
    assert negates("The dax is never heavier than the wug.", SOURCES["a.md"])


def test_the_first_word_of_a_sentence_is_no_name() -> None:
    assert names_in("Lund is big. Here lies Malmo, since 1250.") == ["malmo", "1250"]


def test_self_consistency_keeps_what_enough_samples_say() -> None:
    samples = [[local("Wug before dax."), local("Dax first."), local("dax first")], [local("wug before dax")], [local("wug before dax")]]
    held, dropped = agreed(samples, least=2)
    assert [(one.text, one.votes, one.samples) for one in held] == [("Wug before dax.", 3, 3)]
    assert dropped == 1
