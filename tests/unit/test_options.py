"""What the command line and the front matter say becomes Settings; what neither says stays open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click import Option

from limbeck import supply
from limbeck.cli.options import read_settings
from limbeck.errors import UsageError
from limbeck.types import Settings


def settings(folder: Path, matter: str = "", **given: Any) -> Settings:
    path = folder / "prompt.md"
    path.write_text((f"---\n{matter}\n---\n" if matter else "") + "Say whether the mail is a refund.\nLabels: refund, other\n")
    return read_settings(str(path), given)[0]


def test_votes_that_nobody_set_are_three_for_a_made_row_and_one_for_an_unlabelled_one(tmp_path: Path) -> None:
    said = settings(tmp_path)
    assert said.votes is None
    assert (supply.votes_of(said), supply.votes_of(said, made=False)) == (3, 1)


def test_votes_that_somebody_set_count_for_every_row(tmp_path: Path) -> None:
    assert settings(tmp_path, votes=3).votes == 3, "as many as the default is still said by the user"
    said = settings(tmp_path, "votes: 5")
    assert (supply.votes_of(said), supply.votes_of(said, made=False)) == (5, 5)
    assert settings(tmp_path, "votes: 5", votes=7).votes == 7, "the command line wins"


def test_no_votes_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--votes has to be at least 1"):
        settings(tmp_path, votes=0)


def test_an_option_reads_the_same_in_every_command_that_has_it() -> None:
    """Help stands once: what `run` and `rows` share is one object, not one text written twice."""
    import limbeck.cli.find_base as base
    import limbeck.cli.find_data as data
    import limbeck.cli.rows as rows
    import limbeck.cli.run as run

    own = {"rows", "out", "make"}  # mean something else in each of the two
    helps = [{p.name: p.help for p in command.params if isinstance(p, Option)} for command in (run.run, rows.rows)]
    shared = set(helps[0]) & set(helps[1]) - own
    assert {"sources", "labeller", "labeller_price", "votes", "kind", "budget", "price", "teacher", "seed", "machine"} <= shared
    assert [name for name in sorted(shared) if helps[0][name] != helps[1][name]] == []
    for command in (base.base, data.data):
        prices = [p.help for p in command.params if isinstance(p, Option) and p.name in ("price", "machine")]
        assert prices == [helps[0]["price"], helps[0]["machine"]]


@pytest.mark.parametrize(("loaded", "torn_down"), [("torch", False), ("json", True)])
def test_a_command_that_has_loaded_torch_ends_without_tearing_it_down_and_loses_no_line(loaded: str, torn_down: bool) -> None:
    code = (
        "import atexit, sys; sys.modules.setdefault(sys.argv.pop(1), sys); atexit.register(print, 'torn down')\n"
        "from limbeck.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, loaded, "list", "adapters"], capture_output=True, text=True, check=True)
    assert "qalora" in done.stdout and ("torn down" in done.stdout) is torn_down
