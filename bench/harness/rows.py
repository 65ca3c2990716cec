"""Writes the public rows as local data sets and tasks of lm-evaluation-harness, for any model that it knows.

python bench/harness/rows.py FOLDER [--data ../shared/data]
lm_eval --include_path FOLDER --tasks gsm8k_rows --model hf --model_args pretrained=... --limit 50"""

from __future__ import annotations

import argparse
from pathlib import Path

from limbeck.bench.harness_rows import SUITES, has_rows, write_suite

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    given = parser.parse_args()
    for name, suite in SUITES.items():
        if has_rows(given.data, suite):
            print(f"{name}_rows  {write_suite(suite, given.data, given.folder)}")
        else:
            print(f"{name}: {given.data} has no rows of it")
