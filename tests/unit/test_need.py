"""Without the train extra: what needs none of it works, and what needs it says what to install."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.errors import MissingExtra
from limbeck.need import TRAIN, extras_told

BARE = f"""
import sys
from importlib.machinery import PathFinder

class Bare:
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {TRAIN!r} else PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [Bare() if finder is PathFinder else finder for finder in sys.meta_path]
from limbeck.cli.main import main
main(sys.argv[1:])
"""


def test_a_run_without_the_train_extra_compares_what_it_can_and_says_what_the_rest_needs(tmp_path: Path) -> None:
    (tmp_path / "prompt.md").write_text("Say what the mail is about.\nLabels: refund, parcel\n")
    rows = [{"input": f"{('money back', 'where is it')[i % 2]} {i}", "output": ("refund", "parcel")[i % 2]} for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["run", "prompt.md", "--rows", "rows.jsonl", "--candidates", "majority,nearest,head@minilm,prompt@tiny-lm", "--json"]
    done = subprocess.run([sys.executable, "-c", BARE, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {row["recipe"]: row for row in json.loads(done.stdout)["rows"]}
    assert found["nearest"]["state"] == found["majority"]["state"] == "ok"
    for needy in ("head@minilm", "prompt@tiny-lm"):
        assert found[needy]["state"] == "failed" and "pip install 'limbeck[train]'" in found[needy]["reason"]


def test_a_package_that_is_no_part_of_an_extra_stays_a_bug() -> None:
    with pytest.raises(MissingExtra, match="'sklearn'"), extras_told():
        raise ModuleNotFoundError("No module named 'sklearn.svm'", name="sklearn.svm")
    with pytest.raises(ModuleNotFoundError), extras_told():
        raise ModuleNotFoundError("No module named 'limbeck.nothing'", name="limbeck.nothing")
