"""Representation fine-tuning: LoReFT, DiReFT and their ablations (Wu et al. 2024, arXiv 2404.03592), with peft's habits.

    from limbeck.adapters.reft import ReftConfig, ReftModel, get_reft_model

Nothing of torch is imported before one of the names is taken."""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "ReftConfig": "config",
    "ReftModel": "model",
    "get_reft_model": "model",
    "load_pyreft": "pyreft_files",
}
__all__ = ["ReftConfig", "ReftModel", "get_reft_model", "load_pyreft"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
