"""The grammar: what is read, what it is called, what is refused and why."""

from __future__ import annotations

import pytest

from limbeck import recipes
from limbeck.errors import UsageError
from limbeck.types import Kind, Task

SIZES = recipes.Sizes(train=616, dev=154, test=2464, unlabelled=0, labels=77, chars=60.0, options=0)
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
        ("prompt@minilm", "asks the teacher"),
        ("full@teacher", "cannot be moved"),
        ("head+few:8@minilm", "context"),
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
    for text in recipes.defaults(TASK, SIZES, teacher=True, recording=False):
        for value in recipes.with_values(recipes.parse(text), TASK, SIZES, {}).values:
            assert value.why
    changed = recipes.with_values(recipes.parse("full@minilm"), TASK, SIZES, {"lr": 3e-5})
    assert changed.value("lr") == 3e-5
    assert next(v for v in changed.values if v.name == "lr").why == "set by you"
    assert changed.id != recipes.with_values(recipes.parse("full@minilm"), TASK, SIZES, {}).id


def test_candidates_are_named_once():
    assert [r.text for r in recipes.parse_all(["head@minilm", "head@minilm ", "majority"])] == ["head@minilm", "majority"]
