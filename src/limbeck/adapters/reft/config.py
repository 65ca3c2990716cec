"""What a ReFT adapter is: which edit, of what rank, in which layers, at which positions. A frozen value; no torch here."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from pydantic import field_validator, model_validator

from limbeck.errors import UsageError
from limbeck.registry import near
from limbeck.types import Frozen


class Form(NamedTuple):
    """The edit is up^T (W h + b - up h). orthonormal: the rows of up stay so. source: there is a W. erase: what up sees
    of h is taken away first."""

    orthonormal: bool
    source: bool
    erase: bool


FORMS = {
    "loreft": Form(True, True, True),  # R^T(W h + b - R h), equation 2 of the paper
    "direft": Form(False, True, False),  # W2^T(W1 h + b), equation 3; pyreft calls it NodireftIntervention
    "noreft": Form(False, True, True),  # W2^T(W1 h + b - W2 h), table 17: no orthogonality
    "direft_orthonormal": Form(True, True, False),  # R^T(W h + b), table 17; pyreft calls this one DireftIntervention
    "consreft": Form(True, False, True),  # R^T(b - R h)
    "lobireft": Form(True, False, False),  # R^T b
}
INITS = ("random", "identity")
DTYPES = ("float32", "float16", "bfloat16")


class Positions(NamedTuple):
    """So many of the prompt's first and of its last tokens."""

    first: int
    last: int

    def __str__(self) -> str:
        return "+".join(f"{sign}{n}" for sign, n in (("f", self.first), ("l", self.last)) if n)


def parse_positions(text: str) -> Positions:
    """ "f7+l7" (in a recipe "f7l7"), "f3" or "l1". Raises UsageError where it is none of these."""
    found = re.fullmatch(r"(?:f([1-9]\d*))?(?:(?<=\d)\+(?=l))?(?:l([1-9]\d*))?", text.strip())
    if not found or not text.strip():
        raise UsageError(
            f"cannot read the positions {text!r}", "f = so many first tokens of the prompt, l = so many last", "for example f7+l7, f3 or l1"
        )
    return Positions(int(found[1] or 0), int(found[2] or 0))


class ReftConfig(Frozen):
    """kind: one of FORMS. rank: r. layers: "all", or their numbers from 0. positions: as parse_positions reads them.
    tied: one intervention per layer for first and last positions; untied: one for each of the two (the paper's untied
    form, as its code has it). dropout: of the edit alone, never of h.

    init: "random" as in the paper and its code (rows orthonormal, W and b uniform in +-1/sqrt(d)): the untrained adapter
    changes the outputs. "identity": W begins at the rows of R (direft: at 0) and b at 0, so that it changes nothing yet.
    dtype: that W and b are stored in; the rows are float32 always, and the edit is computed in float32 at least."""

    kind: str = "loreft"
    rank: int = 4
    layers: str | tuple[int, ...] = "all"
    positions: str = "f7+l7"
    tied: bool = True
    dropout: float = 0.0
    init: str = "random"
    dtype: str = "float32"

    @model_validator(mode="before")
    @classmethod
    def _names_are_known(cls, data: Any) -> Any:
        for name in data if isinstance(data, dict) else ():
            if name not in cls.model_fields:
                raise UsageError(f"ReftConfig has no parameter {name!r}", near(name, list(cls.model_fields)), "see help(ReftConfig)")
        return data

    @field_validator("positions")
    @classmethod
    def _one_spelling(cls, text: str) -> str:
        return str(parse_positions(text))

    @model_validator(mode="after")
    def _values_make_sense(self) -> ReftConfig:
        for name, known in (("kind", list(FORMS)), ("init", list(INITS)), ("dtype", list(DTYPES))):
            value = getattr(self, name)
            if value not in known:
                raise UsageError(f"unknown {name} {value!r}", near(value, known), f'{name}="{known[0]}"')
        if self.rank < 1:
            raise UsageError(f"the rank {self.rank} is below 1", "rank r edits r directions of d", "rank=4")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout {self.dropout} is no share", "it lies in [0, 1)", "dropout=0.05")
        if self.layers != "all" and (isinstance(self.layers, str) or not self.layers or min(self.layers) < 0):
            raise UsageError(f"cannot read layers={self.layers!r}", 'it is "all", or numbers from 0', "layers=(8, 19)")
        if self.init == "identity" and not FORMS[self.kind].source:
            raise UsageError(f"{self.kind} cannot start as the identity", "it has no W that could be chosen for it", 'init="random"')
        return self

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the interventions in one layer: ("all",), or ("first", "last") where they are untied."""
        first, last = parse_positions(self.positions)
        return ("first", "last") if first and last and not self.tied else ("all",)
