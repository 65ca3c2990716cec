"""What a run needs from outside: need("peft", extra="train") -> the module, or a MissingExtra with the exact line to type;
extras_told() -> the same for imports within; is_offline() -> whether the Hub may not be asked."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from limbeck.errors import MissingExtra


def need(module: str, extra: str) -> ModuleType:
    """Import `module`, which comes with `pip install limbeck[extra]`."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name and not module.startswith(missing.name):
            raise  # the package is there, and one of its own dependencies is not: show that
        raise not_installed(module, extra) from missing


def not_installed(module: str, extra: str) -> MissingExtra:
    return MissingExtra(
        f"this needs the package {module.partition('.')[0]!r}, which is not installed",
        f"python is {sys.executable}",
        f"pip install 'limbeck[{extra}]'",
    )


TRAIN = ("torch", "numpy", "transformers", "tokenizers", "accelerate", "peft", "safetensors", "sklearn", "scipy", "threadpoolctl")


@contextmanager
def extras_told() -> Iterator[None]:
    """A plain import of one of the train extra's packages, somewhere within, that fails: MissingExtra, no bug of ours."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if (package := (missing.name or "").partition(".")[0]) in TRAIN:
            raise not_installed(package, "train") from missing
        raise


def is_offline() -> bool:
    """As the Hub's own library reads its switch, without importing it."""
    return any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
