"""The studies lie in the repository, not in the package: outside of a checkout a bench says so, and what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT, call_limbeck


@pytest.mark.parametrize("study", ["adapters", "stepwise", "generalization"])
def test_a_bench_outside_of_a_checkout_says_what_is_missing_and_what_to_type(study: str, tmp_path: Path) -> None:
    done = call_limbeck("bench", study, "--table", cwd=tmp_path)
    assert done.returncode == 3
    for told in (f"bench/{study}/default.json is missing", str(tmp_path), "repository", f"--folder CHECKOUT/bench/{study}"):
        assert told in done.stderr
    assert (ROOT / "bench" / study / "default.json").is_file(), "which is there in a checkout"
    assert not list(tmp_path.iterdir())
