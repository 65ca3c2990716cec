"""Packed rows: the same losses and gradients as rows apart, and refused where they would not be."""

# ruff: noqa: E402  (the imports below need torch)

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from transformers import GPT2Config, GPT2LMHeadModel

from limbeck.engine.batches import collate
from limbeck.engine.framing import reading_of
from limbeck.engine.load import CAUSAL, SEQ2SEQ, load_base
from limbeck.engine.numbers import Numbers
from limbeck.engine.packed import fill, must_pack_exactly
from limbeck.engine.start import new_student
from limbeck.errors import UsageError
from limbeck.objectives.sft import features, loss
from limbeck.testing.toys import eight_rows, toy
from limbeck.types import Kind


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.LABEL])
def test_packed_rows_give_the_losses_and_gradients_of_rows_apart(kind: Kind, tmp_path: Path) -> None:
    base = load_base(str(toy(tmp_path, CAUSAL)))
    task, rows = eight_rows(kind)
    numbers = Numbers(dropout=0.0, instruct=False, max_answer=6, losses="lm+ul+ln" if kind is Kind.LABEL else "lm")
    found = []
    for pack in (False, True):
        student = new_student(base, task, rows, Numbers(**{**vars(numbers), "pack": pack})).eval()
        items = features(task, rows, base.tokenizer, 64, reading=reading_of(base, task, numbers))
        student.zero_grad()
        value, parts = loss(student, collate(items, 0))
        value.backward()
        found.append((value.detach(), parts, [p.grad.clone() for p in student.parameters()]))
    (apart, named, slopes), (packed, same, others) = found
    torch.testing.assert_close(packed, apart, atol=1e-5, rtol=1e-5)
    assert named == pytest.approx(same, abs=1e-5)
    for a, b in zip(slopes, others, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_positions_that_are_learnt_are_packed_exactly_too() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=60, n_positions=32, n_embd=32, n_layer=2, n_head=2)).eval()
    must_pack_exactly(model, CAUSAL)


def test_rows_that_would_see_each_other_are_not_packed(tmp_path: Path) -> None:
    torch.manual_seed(0)

    class Leaky(GPT2LMHeadModel):
        """Numbers its places by itself, so that the second row stands behind the first."""

        def forward(self, input_ids=None, attention_mask=None, position_ids=None, **more):
            return super().forward(input_ids=input_ids, attention_mask=attention_mask, **more)

    model = Leaky(GPT2Config(vocab_size=60, n_positions=32, n_embd=32, n_layer=2, n_head=2)).eval()
    with pytest.raises(UsageError, match="cannot be packed"):
        must_pack_exactly(model, CAUSAL)
    writer = load_base(str(toy(tmp_path, SEQ2SEQ)))
    with pytest.raises(UsageError, match="cannot be packed"):
        new_student(writer, *eight_rows(Kind.TEXT), Numbers(pack=True))


def test_bins_hold_every_row_once_and_are_never_overfull() -> None:
    lengths = [5, 9, 2, 2, 7, 3, 10, 1]
    bins = fill(lengths, 10)
    assert sorted(i for some in bins for i in some) == list(range(8))
    assert all(sum(lengths[i] for i in some) <= 10 for some in bins) and len(bins) == 4  # 39 tokens need four
