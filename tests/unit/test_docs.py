"""What is written down is what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from limbeck import recipes
from tests.conftest import ROOT


def test_the_page_of_commands_is_what_the_code_prints():
    printed = subprocess.run([sys.executable, str(ROOT / "docs" / "commands.py")], capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / "commands.md").read_text() == printed, "make docs"


def test_every_recipe_in_the_readme_is_read():
    found = [
        part for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `") for part in re.findall(r"`([^`]+)`", line)
    ]
    assert len(found) >= 16
    for text in found:
        recipes.parse(text)


def test_no_path_of_a_machine_and_no_download_address_is_committed():
    names = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True).stdout.split("\n")
    for name in filter(None, names):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".txt", ".json", ".yaml", "") and path.is_file() and path != Path(__file__):
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not re.search(r"https?://[^ ]*(pythonhosted|pypi)\.org", text), name
            assert str(ROOT) not in text and str(Path.home()) + "/" not in text and "file:///" not in text, name
