"""The edit of one layer: d(h) = up^T (W h + b - up h), with the rows of `up` orthonormal where the form wants it.

    h (N, d) --> down = W - up (U r, d) --> + b --> gate: each token its own unit --> up^T (d, U r) --> dropout --> d(h) (N, d)

U = 1 unit, or 2 where first and last tokens have interventions of their own; both are computed in one product.

What is trained and saved is a raw (r, d) matrix; its rows become orthonormal by a QR decomposition when they are read:
raw^T = Q T with T's diagonal positive, up = Q^T. O(r^2 d), no (d, d) matrix; the scale of the raw rows does not matter,
so that weight decay cannot destroy them, and a resumed run reads the very same rows."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.adapters.reft.config import FORMS, ReftConfig


def orthonormal_rows(raw: Tensor) -> Tensor:
    """(r, d) of rank r -> (r, d) with up up^T = I, spanning the same rows. float32 or better whatever the input."""
    raw = raw if raw.dtype is torch.float64 else raw.float()
    q, t = torch.linalg.qr(raw.T)
    return (q * torch.where(t.diagonal() < 0, -1.0, 1.0)).T  # the sign makes it unique, and so continuous


class Intervention(nn.Module):
    """raw: (r, d). weight: (r, d) and bias: (r,), where the form has them. Parameters: 2 r d + r for loreft and direft."""

    def __init__(self, config: ReftConfig, hidden_size: int):
        super().__init__()
        self.form = FORMS[config.kind]
        dtype = getattr(torch, config.dtype)
        bound = 1 / math.sqrt(hidden_size)
        self.raw = nn.Parameter(torch.empty(config.rank, hidden_size))
        if self.form.orthonormal or config.init == "identity":
            nn.init.orthogonal_(self.raw)  # free rows that start as the identity need a start that sees all of h
        else:
            nn.init.uniform_(self.raw, -bound, bound)
        self.weight = nn.Parameter(torch.empty(config.rank, hidden_size, dtype=dtype)) if self.form.source else None
        self.bias = nn.Parameter(torch.zeros(config.rank, dtype=dtype if self.form.source else torch.float32))
        with torch.no_grad():
            if not self.form.source:
                self.bias.uniform_(0, 1)
            elif config.init == "random":
                assert self.weight is not None
                self.weight.uniform_(-bound, bound)
                self.bias.uniform_(-bound, bound)
            elif self.weight is not None:
                self.weight.copy_(self.rows() if self.form.erase else torch.zeros_like(self.raw))

    def rows(self) -> Tensor:
        """up, (r, d)."""
        return orthonormal_rows(self.raw) if self.form.orthonormal else self.raw

    def read(self, dtype: torch.dtype) -> tuple[Tensor | None, Tensor, Tensor]:
        """(down (r, d) or None, bias (r,), up (r, d))."""
        up = self.rows().to(dtype)
        down = self.weight.to(dtype) if self.weight is not None else None
        if self.form.erase:
            down = -up if down is None else down - up
        return down, self.bias.to(dtype), up


class Edit(nn.ModuleDict):
    """{unit: Intervention} of one layer, all of one form. dropout: of the edit."""

    def __init__(self, units: dict[str, Intervention], dropout: float = 0.0):
        super().__init__(units)
        self.dropout = dropout
        self._kept: tuple[object, tuple[Tensor | None, Tensor, Tensor]] | None = None

    def forward(self, hidden: Tensor, closed: Tensor) -> Tensor:
        """hidden (N, d), closed (N, U r) bool: true where a token is not of that unit -> the change, (N, d), exactly zero
        for a token that is of none. Computed in float32 at least, under autocast too."""
        if torch.is_autocast_enabled(hidden.device.type):
            with torch.autocast(hidden.device.type, enabled=False):
                return self(hidden, closed)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        down, bias, up = self.matrices(wide)
        low = bias.expand(len(hidden), -1) if down is None else F.linear(hidden.to(wide), down, bias)  # (N, U r)
        edit = low.masked_fill(closed, 0.0) @ up
        if self.training and self.dropout:
            edit = F.dropout(edit, self.dropout)
        return edit.to(hidden.dtype)

    def matrices(self, dtype: torch.dtype) -> tuple[Tensor | None, Tensor, Tensor]:
        """(down (U r, d) or None, bias (U r,), up (U r, d)). Kept over the calls where nothing can change them: the weights
        are frozen, the module is in eval mode, and torch counts no write."""
        if self.training or torch.compiler.is_compiling():
            return self.read(dtype)
        frozen = [p for unit in self._modules.values() for p in unit._parameters.values() if p is not None]
        if any(p.requires_grad or p.is_inference() for p in frozen):
            return self.read(dtype)
        key = (dtype, *((p.data_ptr(), p._version) for p in frozen))
        if self._kept is None or self._kept[0] != key:
            with torch.inference_mode(False), torch.no_grad():  # not an inference tensor: a head above may train on it
                self._kept = (key, self.read(dtype))
        return self._kept[1]

    def read(self, dtype: torch.dtype) -> tuple[Tensor | None, Tensor, Tensor]:
        units = [unit.read(dtype) for unit in self.values()]
        if len(units) == 1:
            return units[0]
        downs, biases, ups = zip(*units, strict=True)
        return None if downs[0] is None else torch.cat(downs), torch.cat(biases), torch.cat(ups)
