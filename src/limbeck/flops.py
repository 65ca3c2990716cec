"""Floating-point operations of a call and of a training, by the rule of thumb that needs no hardware.

A weight is multiplied and added once per token: 2 operations; a training step goes back through it twice more: 6. Of an
encoder-decoder a token passes half of the weights, its encoder or its decoder: N and 3N. (Kaplan et al. 2020, arXiv 2001.08361,
section 2.1; the count of Liu et al. 2022, arXiv 2205.05638, section 4.2.) Attention over the tokens, a few per cent at these
lengths, is left out, and so is what a cache saves."""

from __future__ import annotations

from limbeck.engine.load import SEQ2SEQ

PER_TOKEN, TRAINING = 2, 3  # operations per weight and token; a training is three times an inference


def per_call(parameters: float, tokens: float, family: str) -> float:
    """tokens: read and written in one call."""
    return PER_TOKEN * (parameters / 2 if family == SEQ2SEQ else parameters) * tokens


def of_training(parameters: float, tokens: float, family: str) -> float:
    """tokens: of all rows and epochs. Where few of the weights move, the way back costs less than is counted here."""
    return TRAINING * per_call(parameters, tokens, family)
