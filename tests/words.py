"""Words that mean nothing to each other, for made inputs of every test."""

from __future__ import annotations

WORDS = tuple(
    "amber birch cedar dune ember fjord grove heath islet jetty knoll ledge marsh notch oasis piste ridge shoal thorn upland".split()
)
