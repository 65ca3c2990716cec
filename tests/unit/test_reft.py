"""The maths of ReFT: which edit, of which tokens, and that its rows stay orthonormal whatever the optimizer does."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from limbeck.adapters.reft.config import FORMS, ReftConfig, parse_positions
from limbeck.adapters.reft.intervention import Edit, Intervention, orthonormal_rows
from limbeck.adapters.reft.positions import before_the_answer, check_mask, plan_of
from limbeck.errors import UsageError

D, R = 24, 4


def off_orthonormal(rows: torch.Tensor) -> float:
    return float((rows @ rows.T - torch.eye(len(rows))).abs().max())


def edit(intervention: Intervention, h: torch.Tensor) -> torch.Tensor:
    return Edit({"all": intervention}).train(intervention.training)(h, torch.zeros(len(h), 1, dtype=torch.bool))


# ---- what can be asked for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "first", "last"), [("f7+l7", 7, 7), ("f7l7", 7, 7), ("f3", 3, 0), ("l1", 0, 1), (" f2+l10 ", 2, 10)])
def test_positions_are_read(text, first, last):
    assert parse_positions(text) == (first, last)


@pytest.mark.parametrize("text", ["", "7", "f0", "l7+f7", "f3+", "f3l", "f3+f3", "first", "f-1", "f3 l3"])
def test_positions_that_say_nothing_are_refused(text):
    with pytest.raises(UsageError, match="cannot read the positions"):
        parse_positions(text)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"rnk": 4}, "rank"),
        ({"kind": "lorft"}, "loreft"),
        ({"rank": 0}, "below 1"),
        ({"dropout": 1.0}, "no share"),
        ({"layers": ()}, "cannot read"),
        ({"layers": "some"}, "cannot read"),
        ({"layers": (-1,)}, "cannot read"),
        ({"init": "zero"}, "init"),
        ({"dtype": "int8"}, "dtype"),
        ({"kind": "consreft", "init": "identity"}, "identity"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_with_the_reason(values, part):
    with pytest.raises(UsageError) as refused:
        ReftConfig(**values)
    assert part in str(refused.value) and refused.value.have and refused.value.do


def test_untied_means_one_intervention_for_each_end():
    assert ReftConfig(positions="f3l3", tied=False).units == ("first", "last")
    assert ReftConfig(positions="f3l3", tied=True).units == ReftConfig(positions="f3", tied=False).units == ("all",)
    assert ReftConfig(positions="f3l3").positions == "f3+l3"


# ---- where -------------------------------------------------------------------------------------------------------------


def columns(mask: list[list[int]], positions: str) -> list[list[int]]:
    """Edited columns of each row, in order of their slots."""
    plan = plan_of(torch.tensor(mask), parse_positions(positions))
    return [
        [c for c, real in zip(cs, there, strict=True) if real] for cs, there in zip(plan.index.tolist(), plan.real.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("n", "positions", "expected"),
    [  # what pyreft's get_intervention_locations gives, its padded slots left out
        (20, "f7+l7", [*range(7), *range(13, 20)]),
        (8, "f7+l7", [0, 1, 2, 3, 4, 5, 6, 7]),
        (3, "f5+l2", [0, 2]),
        (5, "f7", [0, 1]),
        (2, "l1", [1]),
        (1, "f1+l1", []),
        (0, "f1+l1", []),
    ],
)
def test_first_and_last_tokens_of_a_row(n, positions, expected):
    assert columns([[1] * n + [0] * 3], positions) == [expected]
    assert columns([[0] * 3 + [1] * n], positions) == [[3 + c for c in expected]]


def test_unequal_rows_holes_and_either_padding_side():
    mask = [[1, 1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0, 1, 0]]
    assert columns(mask, "f1+l2") == [[0, 4, 5], [4, 6, 7], [0, 4, 6]]


@pytest.mark.parametrize("n", range(12))
def test_no_token_is_edited_twice_and_no_pad_ever(n):
    mask = torch.zeros(1, 14, dtype=torch.long)
    mask[0, 2 : 2 + n] = 1
    for positions in ("f1+l1", "f3+l5", "f7+l7", "f9", "l9"):
        found = columns(mask.tolist(), positions)[0]
        assert len(found) == len(set(found)) and all(mask[0, c] for c in found)


def test_the_prompt_ends_where_the_labels_begin():
    labels = torch.tensor([[-100, -100, 5, 6, -100], [-100, -100, -100, -100, -100], [1, 2, 3, 4, 5]])
    assert before_the_answer(labels).tolist() == [[True, True, False, False, False], [True] * 5, [False] * 5]


def test_masks_follow_beams_and_wrong_ones_are_refused():
    mask = torch.tensor([[1, 0], [1, 1]])
    assert check_mask("m", mask, 4, 2).tolist() == [[True, False], [True, False], [True, True], [True, True]]
    for wrong in (torch.ones(3, 2), torch.ones(2, 3), torch.ones(2, 1, 2, 2)):
        with pytest.raises(UsageError):
            check_mask("prompt_mask", wrong, 2, 2)


# ---- what ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMS)
def test_each_form_is_its_equation(kind):
    torch.manual_seed(0)
    it = Intervention(ReftConfig(kind=kind, rank=R), D)
    h, up = torch.randn(5, D), it.rows().detach()
    w = it.weight.detach() if it.weight is not None else torch.zeros(R, D)
    expected = {
        "loreft": (h @ w.T + it.bias - h @ up.T) @ up,
        "noreft": (h @ w.T + it.bias - h @ up.T) @ up,
        "direft": (h @ w.T + it.bias) @ up,
        "direft_orthonormal": (h @ w.T + it.bias) @ up,
        "consreft": (it.bias - h @ up.T) @ up,
        "lobireft": it.bias.expand(5, -1) @ up,
    }[kind]
    torch.testing.assert_close(edit(it, h), expected, atol=1e-6, rtol=1e-5)
    assert (off_orthonormal(up) < 1e-6) == FORMS[kind].orthonormal


@pytest.mark.parametrize("kind", ["loreft", "noreft", "direft", "direft_orthonormal"])
def test_identity_start_changes_nothing_and_still_learns(kind):
    it = Intervention(ReftConfig(kind=kind, rank=R, init="identity"), D)
    h = torch.randn(5, D)
    assert edit(it, h).abs().max() < 1e-6
    (h + edit(it, h)).square().sum().backward()
    assert it.weight.grad.abs().max() > 1e-3
    assert edit(Intervention(ReftConfig(kind=kind, rank=R), D), h).abs().max() > 1e-2, "the paper's own start is not the identity"


def test_parameters_are_counted_as_in_the_paper():
    count = lambda it: sum(p.numel() for p in it.parameters())  # noqa: E731
    for kind in ("loreft", "direft"):
        assert count(Intervention(ReftConfig(kind=kind, rank=R), D)) == 2 * R * D + R
    one = count(Intervention(ReftConfig(rank=8), 4096))
    assert 32 * one == 2 * 8 * 4096 * 32 + 32 * 8 == 2_097_408  # LLaMA-7B, 0.031 %


def test_no_square_matrix_is_stored():
    shapes = [tuple(t.shape) for t in Intervention(ReftConfig(rank=R), D).state_dict().values()]
    assert sorted(shapes) == [(R,), (R, D), (R, D)]


def test_dropout_falls_on_the_edit_alone():
    torch.manual_seed(0)
    it = Edit({"all": Intervention(ReftConfig(rank=R), D)}, dropout=0.5)
    h, none = torch.randn(40, D), torch.zeros(40, 1, dtype=torch.bool)
    whole = it.eval()(h, none)
    found = it.train()(h, none)
    kept = found != 0
    assert 0.3 < kept.float().mean() < 0.7
    torch.testing.assert_close(found[kept], 2 * whole[kept])


def test_slots_that_are_not_real_add_exact_zeros_even_beside_nan():
    it = Edit({"all": Intervention(ReftConfig(rank=R), D)})
    h = torch.randn(2, D)
    h[1] = float("nan")
    found = it(h, torch.tensor([False, True]).view(2, 1))
    assert found[0].abs().max() > 0 and torch.equal(found[1], torch.zeros(D))


# ---- the rows stay orthonormal -----------------------------------------------------------------------------------------------


def test_gradient_through_the_rows_is_exact():
    raw = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(orthonormal_rows, (raw,))


def test_the_scale_of_the_raw_rows_does_not_matter():
    raw = torch.randn(R, D)
    torch.testing.assert_close(orthonormal_rows(raw), orthonormal_rows(1e-12 * raw))
    start = orthonormal_rows(raw)
    torch.testing.assert_close(orthonormal_rows(start), start, atol=1e-6, rtol=0)


@pytest.mark.parametrize("rank", [1, 2, R, D - 1, D])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01, 0.5])
def test_rows_survive_adamw_and_the_loss_falls(rank, weight_decay):
    """With a weight decay of 0.01, pyreft's R is exactly zero after one step."""
    torch.manual_seed(0)
    it = Intervention(ReftConfig(rank=rank), D)
    h, goal = torch.randn(32, D), torch.randn(32, D)
    optimizer = torch.optim.AdamW(it.parameters(), lr=1e-2, weight_decay=weight_decay)
    losses = []
    for _ in range(50):
        loss = (h + edit(it, h) - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert off_orthonormal(it.rows()) < 2e-6
    assert losses[-1] < losses[0] - 0.01
    assert all(a > b for a, b in zip(losses[::10], losses[10::10], strict=False))


@pytest.mark.parametrize("condition", [1e2, 1e4])
def test_rows_stay_orthonormal_where_the_raw_ones_lean_on_each_other(condition):
    """A Cholesky factor in float32 would be off by 2e-4 at 1e2, and by half at 1e4."""
    torch.manual_seed(0)
    stretch = torch.diag(torch.logspace(0, float(torch.log10(torch.tensor(condition))), R))
    raw = torch.nn.init.orthogonal_(torch.empty(R, R)) @ stretch @ torch.nn.init.orthogonal_(torch.empty(R, D))
    assert off_orthonormal(orthonormal_rows(raw)) < 2e-6


def test_a_bfloat16_model_computes_its_rows_in_float32():
    it = Intervention(ReftConfig(rank=R), D).to(torch.bfloat16)
    assert it.rows().dtype is torch.float32 and off_orthonormal(it.rows()) < 1e-6
    h = torch.randn(3, D, dtype=torch.bfloat16)
    assert edit(it, h).dtype is torch.bfloat16
    exact = edit(it.float(), h.float())
    torch.testing.assert_close(edit(it.to(torch.bfloat16), h).float(), exact, atol=0.02, rtol=0.02)


def test_under_autocast_the_edit_is_computed_in_float32():
    it = Intervention(ReftConfig(rank=R), D).eval()
    h = torch.randn(3, D)
    with torch.autocast("cpu", torch.bfloat16):
        inside = edit(it, h)
    assert inside.dtype is torch.float32
    torch.testing.assert_close(inside, edit(it, h), atol=0, rtol=0)


def test_a_resumed_training_reads_the_very_same_rows():
    """pyreft saves R and loses it: four steps after a resume its rows are off by 0.457."""
    torch.manual_seed(0)
    h, goal = torch.randn(32, D), torch.randn(32, D)

    def steps(it: nn.Module, optimizer: torch.optim.Optimizer, n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad()
            (h + edit(it, h) - goal).square().mean().backward()
            optimizer.step()

    whole = Intervention(ReftConfig(rank=R), D)
    start = {k: v.clone() for k, v in whole.state_dict().items()}
    optimizer = torch.optim.AdamW(whole.parameters(), lr=1e-2)
    steps(whole, optimizer, 8)

    first = Intervention(ReftConfig(rank=R), D)
    first.load_state_dict(start)
    first_optimizer = torch.optim.AdamW(first.parameters(), lr=1e-2)
    steps(first, first_optimizer, 4)
    second = Intervention(ReftConfig(rank=R), D)
    second.load_state_dict(first.state_dict())
    second_optimizer = torch.optim.AdamW(second.parameters(), lr=1e-2)
    second_optimizer.load_state_dict(first_optimizer.state_dict())
    steps(second, second_optimizer, 4)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))
    assert off_orthonormal(second.rows()) < 1e-6


def test_frozen_rows_are_read_once_and_again_after_a_write():
    unit = Intervention(ReftConfig(rank=R), D)
    it = Edit({"all": unit}).requires_grad_(False).eval()
    h, none = torch.randn(3, D), torch.zeros(3, 1, dtype=torch.bool)
    with torch.inference_mode():
        before = it(h, none)
        assert it.matrices(torch.float32)[2] is it.matrices(torch.float32)[2]
    it(torch.randn(3, D, requires_grad=True), none).sum().backward()  # what was kept is no inference tensor
    with torch.no_grad():
        unit.bias.add_(1.0)
    assert (it(h, none) - before).abs().max() > 0.01
    it.requires_grad_(True)
    assert it.matrices(torch.float32)[2] is not it.matrices(torch.float32)[2]


def test_two_units_in_one_product_are_each_their_own():
    torch.manual_seed(0)
    first, last = Intervention(ReftConfig(rank=R), D), Intervention(ReftConfig(rank=R), D)
    both = Edit({"first": first, "last": last})
    h = torch.randn(6, D)
    closed = torch.tensor([[0, 1], [0, 1], [1, 0], [1, 1], [1, 0], [0, 1]]).bool().repeat_interleave(R, 1)
    found = both(h, closed)
    torch.testing.assert_close(found[[0, 1, 5]], edit(first, h[[0, 1, 5]]), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[[2, 4]], edit(last, h[[2, 4]]), atol=1e-6, rtol=1e-5)
    assert torch.equal(found[3], torch.zeros(D))
