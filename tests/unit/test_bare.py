"""A model asked with bare text: likelihoods are the model's own, joined as in training; texts end where they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.engine import bare
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, Base, load_base
from limbeck.engine.score import likelihoods
from limbeck.errors import UsageError
from limbeck.testing.toys import toy

CONTEXTS = ("Input: my kettle leaks\n\nAnswer:", "Input: where is my parcel\n\nAnswer:", "the lamp")
OPTIONS = ("red", "green tea", "cold water")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Base]:
    folder = tmp_path_factory.mktemp("bases")
    found = {family: load_base(str(toy(folder / family, family))) for family in (CAUSAL, SEQ2SEQ)}
    found["bytes"] = load_base(str(toy(folder / "bytes", CAUSAL, byte_level=True)))
    return found | {name: load_base(name) for name in ("tiny", "tiny-lm")}


@pytest.mark.parametrize("name", [CAUSAL, SEQ2SEQ, "bytes", "tiny-lm"])
@pytest.mark.parametrize("with_end", [False, True])
def test_likelihoods_are_those_of_engine_score(bases: dict[str, Base], name: str, with_end: bool):
    found = bare.of_base(bases[name], with_end=with_end).likelihoods(CONTEXTS, [[f" {o}" for o in OPTIONS]] * 3)
    wanted = likelihoods(bases[name], CONTEXTS, [OPTIONS] * 3, with_end)
    for ours, theirs in zip(found, wanted, strict=True):
        assert [one.log_prob for one in ours] == pytest.approx([one.log_prob for one in theirs], abs=1e-4)
        assert [one.mean for one in ours] == pytest.approx([one.mean for one in theirs], abs=1e-4)


def test_a_likelihood_is_the_sum_over_the_models_own_log_probabilities(bases: dict[str, Base]):
    base = bases["tiny-lm"]
    context, text = "The lamp is", " broken."
    whole = base.tokenizer(context + text)["input_ids"]
    start = len(base.tokenizer(context)["input_ids"])
    whole = whole[:-1] if whole[-1] == base.tokenizer.eos_token_id else whole
    start -= base.tokenizer(context)["input_ids"][-1] == base.tokenizer.eos_token_id
    with torch.inference_mode():
        log_p = torch.log_softmax(base.model(torch.tensor([whole])).logits[0].float(), -1)
    wanted = sum(float(log_p[i - 1, whole[i]]) for i in range(start, len(whole)))
    ((found,),) = bare.of_base(base).likelihoods([context], [[text]])
    assert found.log_prob == pytest.approx(wanted, abs=1e-4)


def test_a_continuation_that_melts_into_the_context_is_scored_and_not_empty(bases: dict[str, Base]):
    base = bases["tiny-lm"]
    words = [(w[:i], w[i:]) for w in ("water", "parcel", "window") for i in range(1, len(w))]
    melted = [(a, b) for a, b in words if len(base.tokenizer(f"the {a}{b}")["input_ids"]) == len(base.tokenizer(f"the {a}")["input_ids"])]
    assert melted, "no word of this tokenizer swallows its end"
    for head, tail in melted:
        ((found,),) = bare.of_base(base).likelihoods([f"the {head}"], [[tail]])
        assert found.log_prob < 0


def test_a_blank_at_the_end_of_the_context_belongs_to_the_continuation(bases: dict[str, Base]):
    model = bare.of_base(bases["tiny-lm"])
    (one, other) = model.likelihoods(["The lamp is ", "The lamp is"], [["broken"], [" broken"]])
    assert one == other


def test_an_empty_context_is_the_token_that_texts_begin_with(bases: dict[str, Base]):
    for name in (CAUSAL, "tiny-lm"):
        asked = bare.of_base(bases[name]).row("", ["the lamp"])
        assert len(asked.prompt) == 1 and len(asked.answers[0]) >= 2


def test_what_greedy_decoding_writes_is_greedy_and_nothing_else_is(bases: dict[str, Base]):
    for name in ("bytes", "tiny-lm", "tiny"):
        model = bare.of_base(bases[name])
        (written,) = model.write(CONTEXTS[:1], 4)
        assert written.text.strip(), name
        ((yes, no),) = model.likelihoods(CONTEXTS[:1], [[written.text, " cold water is hot"]], greedy=True)
        assert yes.greedy is True and no.greedy is False, name
    assert model.likelihoods(CONTEXTS[:1], [[" red"]])[0][0].greedy is None


def test_writing_ends_before_a_text_and_alone_as_in_a_batch(bases: dict[str, Base]):
    model = bare.of_base(bases["tiny-lm"])
    free = [one.text for one in model.write(CONTEXTS, 24)]
    assert [model.write([c], 24)[0].text for c in CONTEXTS] == free
    mark = next(c for c in free[0].strip() if c.isalnum())
    ended = model.write(CONTEXTS, 24, until=(mark,))
    assert [one.text for one in ended] == [text.split(mark)[0] for text in free]


def test_writing_stops_computing_where_it_ends(bases: dict[str, Base], monkeypatch: pytest.MonkeyPatch):
    model = bare.of_base(bases["tiny-lm"])
    (free,) = model.write(CONTEXTS[:1], 24)
    calls: list[Any] = []
    model.model.register_forward_pre_hook(lambda *_: calls.append(1))
    model.write(CONTEXTS[:1], 24, until=(free.text[:3],))
    assert 1 <= len(calls) < 12


def test_a_long_context_loses_its_beginning_and_says_so(bases: dict[str, Base]):
    base = bases[CAUSAL]
    model = bare.of_base(base)
    long, short = "my kettle leaks " * 100, "my kettle leaks"
    ((one,), (two,)) = model.likelihoods([long, short], [[" red"], [" red"]])
    assert one.cut and not two.cut
    fitted = model.fitted(model.row(long, [" red"]))
    assert len(fitted.prompt) + len(fitted.answers[0]) == model.length and fitted.prompt[0] == base.tokenizer.bos_token_id
    assert [t.cut for t in model.write([long, short], 4)] == [True, False]


def windows(ids: list[int], prefix: int, length: int) -> list[tuple[list[int], list[int]]]:
    return [((ids[i - 1 : i] if i else [prefix]), ids[i : i + length - 1]) for i in range(0, len(ids), length - 1)]


def test_the_likelihood_of_a_text_is_that_of_all_its_tokens(bases: dict[str, Base]):
    model = bare.of_base(bases["tiny-lm"])
    text = "The lamp is broken, and the parcel is late."
    ((whole,),) = model.likelihoods([""], [[text]])
    assert model.rolling([text, text], windows) == pytest.approx([whole.log_prob] * 2, abs=1e-3)


def test_what_cannot_be_scored_is_refused(bases: dict[str, Base], tmp_path: Path):
    with pytest.raises(UsageError, match="gives no likelihood of a whole text"):
        bare.of_base(bases[SEQ2SEQ]).rolling(["a lamp"], windows)
    with pytest.raises(UsageError, match="writes nothing for"):
        bare.of_base(bases[CAUSAL]).likelihoods(["the lamp"], [["  "]])
    with pytest.raises(UsageError, match="longer than the model reads"):
        bare.of_base(bases[CAUSAL]).likelihoods(["the lamp"], [[" red" * 200]])
    with pytest.raises(UsageError, match="has no likelihood of a text"):
        bare.of_base(load_base(str(toy(tmp_path / "encoder", ENCODER))))
