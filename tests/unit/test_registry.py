"""The shelves: everything named is there, plug-ins come in by the same door, a typing slip gets an answer."""

from __future__ import annotations

import pytest

from limbeck import registry, shelves
from limbeck.errors import UsageError

HEAVY = ("exporters",)  # their module is a room of torch's


@pytest.mark.parametrize("shelf", [s for s in shelves.SHELVES if s not in HEAVY])
def test_everything_on_a_shelf_can_be_taken(shelf):
    for name in registry.names(shelf):
        assert registry.take(shelf, name) is not None
        assert registry.about(shelf)[name]


def test_a_plug_in_of_another_package_is_found_and_ours_are_never_replaced(tmp_path, monkeypatch):
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[limbeck.metrics]\nshout = mine_metrics:SHOUT\naccuracy = mine_metrics:WRONG\n")
    (tmp_path / "mine_metrics.py").write_text("SHOUT = 'loud'\nWRONG = 'wrong'\n")
    monkeypatch.syspath_prepend(tmp_path)
    shelves.plug_ins.cache_clear()
    try:
        assert registry.take("metrics", "shout") == "loud"
        assert registry.about("metrics")["shout"] == "from mine_metrics"
        assert registry.take("metrics", "accuracy") != "wrong"
    finally:
        shelves.plug_ins.cache_clear()


def test_a_typing_slip_gets_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean accuracy"):
        registry.take("metrics", "acuracy")
    with pytest.raises(UsageError, match="there is no shelf"):
        registry.names("adaptors")
