"""Documents as a student's training rows: which tokens are learnt, who learns them, how many steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limbeck import derived
from limbeck.augment.inferences import Inference
from limbeck.augment.statements import Text, cumulative, inferred, whole
from limbeck.derived import Sizes, trained_on, with_values
from limbeck.engine.framing import Reading
from limbeck.engine.load import CAUSAL, SEQ2SEQ, Base, load_base
from limbeck.engine.writer import writing_features
from limbeck.errors import UsageError
from limbeck.knowing import Knowledge
from limbeck.recipes import learns_documents, parse
from limbeck.testing.toys import eight_rows, toy
from limbeck.types import Example, Kind, Origin

TEXT = Text("a.md#1", "a.md", "", "The kettle leaks. The lid is lost.", ((0, 17), (18, 34)))


@pytest.fixture(scope="module", params=[CAUSAL, SEQ2SEQ])
def base(request, tmp_path_factory) -> Base:
    return load_base(str(toy(tmp_path_factory.mktemp("toy") / request.param, request.param)))


def reading(base: Base) -> Reading:
    return Reading(base.tokenizer, base.family, instruct=True, max_length=40, max_answer=8)


def words(base: Base, ids: list[int]) -> str:
    return str(base.tokenizer.decode(ids, skip_special_tokens=True))


@pytest.mark.parametrize("kind", [Kind.LABEL, Kind.CHOICE, Kind.TEXT, Kind.SCORE])
def test_a_document_is_learnt_whole_and_without_a_frame_whatever_the_task_asks_for(base: Base, kind: Kind) -> None:
    task, rows = eight_rows(kind)
    item, answer = writing_features(task, [*whole([TEXT]), rows[0]], reading(base))
    assert words(base, item["options"][0]) == "the kettle leaks . the lid is lost ."
    assert item["options"][0][-1] == base.tokenizer.eos_token_id, "where a text ends is learnt, too"
    assert words(base, item["input_ids"]) == "" and len(item["input_ids"]) == 1
    assert item["truncated"] == 0 and item["labels"] == 0 and "answer" in words(base, answer["input_ids"]).lower()


def test_of_a_sentence_behind_others_only_the_sentence_is_learnt(base: Base) -> None:
    task, _ = eight_rows(Kind.LABEL)
    first, second = writing_features(task, cumulative([TEXT]), reading(base))
    assert words(base, first["options"][0]) == "the kettle leaks ."
    assert words(base, second["input_ids"]) == "the kettle leaks ." and words(base, second["options"][0]) == "the lid is lost ."


def test_of_a_long_context_its_end_is_read_and_the_cut_is_counted(base: Base) -> None:
    task, _ = eight_rows(Kind.TEXT)
    row = Example(id="d", input="red " * 50 + "green", output="blue", origin=Origin(kind="document"))
    (item,) = writing_features(task, [row], reading(base))
    assert len(item["input_ids"]) == 40 and item["truncated"] == 1
    assert "green" in words(base, item["input_ids"]) and words(base, item["options"][0]) == "blue"


def test_a_question_without_a_frame_is_gone_on_from(base: Base) -> None:
    task, rows = eight_rows(Kind.CHOICE)
    bare = replace(reading(base), instruct=False, frame=False)
    assert bare.prompt(task, rows[0]).text == rows[0].input
    assert "Options" in replace(reading(base), max_length=90).prompt(task, rows[0]).text


# ---- who learns them -------------------------------------------------------------------------------------------------


def knowledge(family_base: str) -> Knowledge:
    origin = Origin(kind="inferred", detail=family_base)
    near = Inference(text="A kettle that leaks is not tight.", uses=("a.md#1.1",), why="", scope="local", origin=origin)
    far = near.model_copy(update={"text": "It all fits.", "scope": "global", "origin": Origin(kind="inferred", detail="another")})
    return Knowledge((TEXT,), inferences=(near, far))


def test_each_recipe_learns_what_it_names() -> None:
    known = knowledge("tiny-lm")
    said = {name: [row.output for row in known.rows(parse(f"full{name}@tiny-lm"))] for name in ("", "+augment:local", "+augment:both")}
    assert said[""] == ["The kettle leaks. The lid is lost."]
    assert said["+augment:local"] == [*said[""], "A kettle that leaks is not tight."]
    assert said["+augment:both"] == [*said["+augment:local"], "It all fits."]
    assert len(known.rows(parse("full+split:independent@tiny-lm"))) == 2
    assert [row.input for row in known.rows(parse("full+split:cumulative@tiny-lm"))] == ["", "The kettle leaks."]
    assert known.rows(parse("full@tiny")) == cumulative([TEXT]), "an encoder-decoder goes on from what it reads"


def test_a_base_learns_its_own_inferences_alone_where_bases_write_them() -> None:
    known = replace(knowledge("tiny-lm"), by_base=True)
    assert [one.text for one in known.inferences_for(parse("lora+augment:both@tiny-lm"))] == ["A kettle that leaks is not tight."]
    assert inferred(known.inferences_for(parse("lora+augment:global@tiny-lm"))) == []


def test_plain_students_learn_documents_only_where_there_is_nothing_else() -> None:
    assert learns_documents(parse("full@tiny-lm"), labelled=False) and not learns_documents(parse("full@tiny-lm"), labelled=True)
    assert learns_documents(parse("full+augment:local@tiny-lm"), labelled=True)
    for name in ("majority", "head@minilm", "full@minilm", "full+rows:gold@tiny-lm", "prompt@teacher"):
        assert not learns_documents(parse(name), labelled=False)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("full+augment:local@minilm", "cannot learn documents"),
        ("head+split:independent@minilm", "cannot learn documents"),
        ("full+augment:both+stepwise@tiny", "as they stand"),
        ("prompt+augment:local@teacher", "trains on no rows"),
        ("full+augment@tiny-lm", "augment:local, augment:global or augment:both"),
        ("full+split:halves@tiny-lm", "split:independent or split:cumulative"),
    ],
)
def test_what_cannot_learn_documents_is_refused_with_the_reason(recipe: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse(recipe)


def test_steps_are_reckoned_over_texts_and_what_is_going_to_follow_from_them() -> None:
    task, _ = eight_rows(Kind.TEXT)
    sizes = Sizes(0, 10, 20, 0, 0, 60.0, 0.0, pieces=40, statements=100)
    expected = {"": 40, "+split:cumulative": 100, "+augment:local": 340, "+augment:global": 200, "+augment:both": 500}
    for name, n in expected.items():
        assert trained_on(parse(f"full{name}@tiny-lm"), sizes) == n
    assert trained_on(parse("full@tiny"), sizes) == 100
    ours = with_values(parse("full+augment:both@tiny-lm"), task, sizes, {})
    assert ours.value("epochs") == round(derived.KNOWING_STEPS / (500 / 16)) and ours.value("frame") is False
    alone = with_values(parse("full@tiny-lm"), task, sizes, {})
    assert alone.value("slack") == 1.0, "dev questions that no document answers would choose an epoch by chance"
    plain = with_values(parse("full@tiny-lm"), task, replace(sizes, train=50), {})
    assert plain.value("slack") is None
    assert plain.value("epochs") == 10 and plain.value("frame") is None, "with rows, documents change nothing for it"
