"""The grammar: what is read, what it is called, what is refused and why."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from limbeck import derived, recipes, registry
from limbeck.errors import UsageError
from limbeck.shelves import SHELVES
from limbeck.types import Kind, Task

SIZES = derived.Sizes(train=616, dev=154, test=2464, unlabelled=0, labels=77, chars=60.0, options=0)
TASK = Task(name="t", instruction="", kind=Kind.LABEL, labels=("a", "b"), metric="accuracy")


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("majority", "majority"),
        (" head@minilm ", "head@minilm"),
        ("lora:r8@minilm", "lora:r8@minilm"),
        ("prompt+few:8@teacher", "prompt+few:8@teacher"),
        ("prompt+few:8:random@teacher", "prompt+few:8@teacher"),
        ("prompt+few:4:nearest@teacher", "prompt+few:4:nearest@teacher"),
        ("full+rows:gold@minilm", "full+rows:gold@minilm"),
        ("full@./my/base", "full@./my/base"),
        ("full@org/name", "full@org/name"),
        ("prompt@tiny-lm", "prompt@tiny-lm"),
        ("prompt+few:8:random@tiny", "prompt+few:8@tiny"),
        ("lora+few:4:nearest@tiny", "lora+few:4:nearest@tiny"),
    ],
)
def test_a_recipe_has_one_spelling(written, canonical):
    recipe = recipes.parse(written)
    assert recipe.text == canonical
    assert recipes.parse(recipe.text) == recipe


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("hed@minilm", "head"),
        ("head", "names no base"),
        ("majority@minilm", "takes no base"),
        ("prompt@minilm", "cannot be prompted"),
        ("full@teacher", "cannot be moved"),
        ("head+few:8@minilm", "demonstrations"),
        ("lora+few:8@minilm", "one vector"),
        ("majority+few:8", "context"),
        ("prompt+rows:gold@teacher", "no rows"),
        ("full+dpo@minilm", "not part of this version"),
        ("prompt+few:8+few:4@teacher", "two modifiers"),
        ("prompt+few:x@teacher", "cannot read"),
        ("lora:rank@minilm", "cannot read"),
        ("full+wibble@minilm", "unknown modifier"),
        ("", "unknown adapter"),
    ],
)
def test_nonsense_is_refused_with_the_reason(written, part):
    with pytest.raises(UsageError) as refused:
        recipes.parse(written)
    assert part in str(refused.value)
    assert refused.value.what and refused.value.have and refused.value.do


def test_every_number_has_its_reason_and_can_be_overridden():
    for text in derived.defaults(TASK, SIZES, teacher=True, recording=False):
        for value in derived.with_values(recipes.parse(text), TASK, SIZES, {}).values:
            assert value.why
    changed = derived.with_values(recipes.parse("full@minilm"), TASK, SIZES, {"lr": 3e-5})
    assert changed.value("lr") == 3e-5
    assert next(v for v in changed.values if v.name == "lr").why == "set by you"
    assert changed.id != derived.with_values(recipes.parse("full@minilm"), TASK, SIZES, {}).id


def test_candidates_are_named_once():
    assert [r.text for r in recipes.parse_all(["head@minilm", "head@minilm ", "majority"])] == ["head@minilm", "majority"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loftq:int8@minilm", "nf4, int4, int3, int2"),
        ("qalora:g0@minilm", "inputs of a group (g32)"),
        ("loreft:f0@minilm", "f3l3 = the first three and the last three"),
        ("prompt+few:100@teacher", "few:8 or few:8:nearest"),
        ("head+rows:mine@minilm", "rows:gold, rows:teacher or rows:generated"),
    ],
)
def test_what_cannot_be_read_is_answered_with_words_and_no_regular_expression(text: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        recipes.parse(text)
    assert words in error.value.have and not set(r"\[]|*?+^$") & set(error.value.have.replace("did you mean", "").rstrip("?"))


def test_every_adapter_that_takes_arguments_says_them_in_words_and_its_words_are_true() -> None:
    for name in registry.names("adapters"):
        adapter = registry.take("adapters", name)
        assert bool(adapter.args) == bool(adapter.takes), name
        if adapter.args:
            assert [word for word in re.findall(r"\w+", adapter.takes) if re.fullmatch(adapter.args, word)], name


TEXT = TASK.model_copy(update={"kind": Kind.TEXT, "labels": (), "metric": "token_f1"})


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.FIELDS])
def test_answers_that_are_written_get_the_nearest_rows_and_the_base_of_ours_that_writes(kind, monkeypatch):
    task = TEXT.model_copy(update={"kind": kind})
    monkeypatch.setitem(SHELVES["bases"], "tiny", ("limbeck.bases.embedded:MINILM", "stands for it"))
    assert derived.defaults(task, SIZES, teacher=False, recording=False) == ["nearest", "full@tiny", "lora@tiny"]
    several = derived.defaults(task, replace(SIZES, unlabelled=50), teacher=True, recording=False)
    assert several == ["nearest", "prompt@teacher", "prompt+few:8@teacher", "full@tiny", "lora@tiny", "full+rows:gold@tiny"]
    labelled = derived.defaults(TASK, replace(SIZES, unlabelled=50), teacher=True, recording=True)
    assert labelled == ["majority", "nearest", "prompt@teacher", "head@minilm", "full@minilm", "lora@minilm", "head+rows:gold@minilm"]


def test_a_small_base_takes_a_larger_step_and_says_why(tmp_path):
    (tmp_path / "config.json").write_text('{"is_encoder_decoder": true, "architectures": ["T5ForConditionalGeneration"]}')
    for millions, lr in ((2, 3e-3), (60, 1e-4)):
        head = json.dumps({"__metadata__": {}, "w": {"dtype": "F16", "shape": [millions, 1000, 1000], "data_offsets": [0, 0]}}).encode()
        (tmp_path / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
        found = derived.with_values(recipes.parse(f"full@{tmp_path}"), TEXT, SIZES, {})
        assert found.value("lr") == lr and found.value("freeze_embeddings") is (millions == 60)


def test_how_an_answer_is_written_is_a_value_where_one_is_written(tmp_path):
    (tmp_path / "config.json").write_text('{"is_encoder_decoder": true}')
    recipe = recipes.parse(f"full@{tmp_path}")
    overrides = {"decode": "beam:4", "constrained": False, "loss_on": "all", "pack": True}
    values = {v.name: v for v in derived.with_values(recipe, TEXT, SIZES, overrides).values}
    assert all(values[name].value == value and values[name].why == "set by you" for name, value in overrides.items())
    plain = derived.with_values(recipe, TEXT, SIZES, {})
    assert plain.value("decode") == "greedy" and plain.value("constrained") is None
    assert derived.with_values(recipe, TEXT.model_copy(update={"kind": Kind.FIELDS}), SIZES, {}).value("constrained") is True
    assert derived.with_values(recipe, TASK, SIZES, {}).value("decode") is None  # closed answers are scored
    assert set(overrides) <= derived.known_values()


def test_a_long_list_of_labels_or_a_long_schema_does_not_stand_before_every_input(tmp_path):
    (tmp_path / "config.json").write_text('{"is_encoder_decoder": true}')
    recipe = recipes.parse(f"full@{tmp_path}")
    many = TASK.model_copy(update={"instruction": "Name it.", "labels": tuple(f"a rather long label {i}" for i in range(77))})
    assert derived.with_values(recipe, TASK.model_copy(update={"instruction": "Name it."}), SIZES, {}).value("instruct") is True
    assert derived.with_values(recipe, many, SIZES, {}).value("instruct") is False
