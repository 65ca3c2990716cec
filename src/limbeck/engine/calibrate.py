"""What a model holds of an answer before it has read any input, taken out of what it says with one.

Both are fitted without labels, on the same prompt with nothing in the place of the input (CONTENT_FREE):

    calibrated   p'(a | x) = p(a | x) / p(a), scaled to sum to 1        contextual calibration, Zhao et al. 2021 (arXiv 2102.09690),
                                                                        with W = diag(1 / p) and b = 0
    pmi          log p(a | x) - log p(a)                                 pointwise mutual information, Holtzman et al. 2021 (2104.08315)

In `calibrated` p(a) is a share among the allowed answers, averaged over the contents; in `pmi` it is the plain probability of
the answer's tokens, averaged likewise."""

from __future__ import annotations

import numpy as np

CONTENT_FREE = ("N/A", "", "[MASK]")


def calibrated(log_p: np.ndarray, free: np.ndarray) -> np.ndarray:
    """log_p (n,): of the answers of one row. free (F, n): the same without its input -> (n,) log p', but for a constant. Where no
    answer is favoured without an input, nothing changes but that constant."""
    shares = np.exp(free - free.max(1, keepdims=True))
    prior = (shares / shares.sum(1, keepdims=True)).mean(0)
    return np.asarray(log_p - np.log(np.maximum(prior, 1e-30)))


def pmi(log_p: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The same shapes; log p(a | x) - log of the mean p(a) over the contents."""
    top = free.max(0)
    return np.asarray(log_p - (top + np.log(np.exp(free - top).mean(0))))
