"""Writing and scoring with generative models, against the plain computation of one pair at a time."""

# ruff: noqa: E402  (the imports below need torch)

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from limbeck.engine.generate import open_generator
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, Base, load_base
from limbeck.engine.score import likelihoods, split
from limbeck.errors import UsageError
from limbeck.testing.toys import toy
from limbeck.types import Message

MESSAGES = [Message(role="system", content="answer the label"), Message(role="user", content="the kettle leaks answer:")]


@pytest.fixture(scope="module", params=[CAUSAL, SEQ2SEQ])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(str(toy(tmp_path_factory.mktemp("toy") / request.param, request.param)))


def test_greedy_replies_repeat_and_count_tokens(base: Base) -> None:
    generator = open_generator(str(base.folder))
    texts, finishes, tokens_in, tokens_out = generator.reply(MESSAGES, 5, n=2)
    assert texts[0] == texts[1] and len(texts) == len(finishes) == 2
    assert texts == generator.reply(MESSAGES, 5, n=2)[0]
    assert set(finishes) <= {"stop", "length"} and 0 < tokens_out <= 10
    assert tokens_in == len(generator.prompt_ids("answer the label\n\nthe kettle leaks answer:"))


def test_sampling_is_fixed_by_the_seed(base: Base) -> None:
    generator = open_generator(str(base.folder))
    texts = generator.reply(MESSAGES, 6, temperature=1.0, n=4, seed=1)[0]
    assert texts == generator.reply(MESSAGES, 6, temperature=1.0, n=4, seed=1)[0]
    assert len(set(texts)) > 1
    assert texts != generator.reply(MESSAGES, 6, temperature=1.0, n=4, seed=2)[0]


def test_end_token_ends_the_reply_and_is_counted_once(base: Base) -> None:
    generator = open_generator(str(base.folder))
    generator.model = FixedModel(generator.model, [7, 8, generator.tokenizer.eos_token_id, 0])
    texts, finishes, _, tokens_out = generator.reply(MESSAGES, 6)
    assert finishes == ["stop"] and tokens_out == 3 and len(texts[0].split()) == 2


class FixedModel:
    """Its `generate` writes the tokens given."""

    def __init__(self, model: object, written: list[int]):
        self.model, self.written = model, written

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def generate(self, input_ids: torch.Tensor, **more: object) -> torch.Tensor:
        start = torch.zeros(1, 1, dtype=torch.int64) if self.model.config.is_encoder_decoder else input_ids  # type: ignore[attr-defined]
        return torch.cat([start, torch.tensor([self.written])], 1)


def test_a_prompt_without_room_to_answer_is_refused(tmp_path: Path) -> None:
    generator = open_generator(str(toy(tmp_path, CAUSAL)))
    with pytest.raises(UsageError, match="no room"):
        generator.write("the kettle " * 100, 5)


def test_an_encoder_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        open_generator(str(toy(tmp_path, ENCODER)))


def test_a_chat_template_is_used(tmp_path: Path) -> None:
    folder = str(toy(tmp_path, CAUSAL))
    generator = open_generator(folder)
    plain = generator.reply(MESSAGES, 1)[2]
    generator.tokenizer.chat_template = "{% for m in messages %}[BEG] {{ m['role'] }} {{ m['content'] }} [END]{% endfor %}"
    assert generator.reply(MESSAGES, 1)[2] == plain - 1 + 2 * 3  # three tokens around each of two turns, none of the tokenizer's own


# ---- likelihoods -------------------------------------------------------------------------------------------------

PROMPTS = ["the kettle leaks answer:", "where is my parcel?", "no"]
ANSWERS = [["red", "red tea cup", "blue"], ["card", "card payment"], ["good"]]


def one_by_one(base: Base, prompt: str, answer: str) -> float:
    """Token by token, unbatched, unpadded."""
    pair = split(base, prompt, answer, with_end=True)
    total, model = 0.0, base.model
    with torch.no_grad():
        for i, token in enumerate(pair.answer):
            if base.family == CAUSAL:
                logits = model(input_ids=torch.tensor([pair.prompt + pair.answer[:i]])).logits[0, -1]
            else:
                logits = model(input_ids=torch.tensor([pair.prompt]), decoder_input_ids=torch.tensor([[0, *pair.answer[:i]]])).logits[0, -1]
            total += torch.log_softmax(logits, -1)[token].item()
    return total


def test_batched_likelihoods_equal_those_one_by_one(base: Base) -> None:
    found = likelihoods(base, PROMPTS, ANSWERS)
    assert [len(row) for row in found] == [3, 2, 1]
    for prompt, answers, row in zip(PROMPTS, ANSWERS, found, strict=True):
        for answer, likelihood in zip(answers, row, strict=True):
            assert likelihood.log_prob == pytest.approx(one_by_one(base, prompt, answer), abs=1e-4)
            assert likelihood.tokens == len(answer.split()) + 1  # the end token counts
            assert likelihood.mean == pytest.approx(likelihood.log_prob / likelihood.tokens)


def test_without_the_end_a_prefix_is_never_less_likely(base: Base) -> None:
    short, long = likelihoods(base, PROMPTS[1:2], [["card", "card pin"]], with_end=False)[0]
    assert short.log_prob >= long.log_prob and short.tokens == 1


def test_the_answer_begins_where_the_prompt_ends(base: Base) -> None:
    pair = split(base, "the kettle leaks ", "red", with_end=True)
    decode = base.tokenizer.decode
    assert decode(pair.answer, skip_special_tokens=True) == "red" and pair.answer[-1] == base.tokenizer.eos_token_id
    assert decode(pair.prompt, skip_special_tokens=True) == "the kettle leaks"
