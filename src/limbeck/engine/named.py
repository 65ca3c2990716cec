"""What is known of a base by its name alone: its configuration, its size, where it lies; without torch and without its weights."""

from __future__ import annotations

import json
from contextlib import suppress
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from limbeck import registry
from limbeck.errors import LimbeckError
from limbeck.need import is_offline


def config_of_name(name: str) -> SimpleNamespace | None:
    """The config.json of a base, without its weights; of the Hub's too, where its cache holds it: nobody is asked. None where
    it is not on this machine."""
    folder = config_folder(name)
    try:
        return None if folder is None else SimpleNamespace(**json.loads((folder / "config.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def config_folder(name: str) -> Path | None:
    """Where a base lies on this machine: its own folder, or its snapshot in the Hub's cache. Nobody is asked."""
    try:
        if name in registry.names("bases"):
            return Path(registry.take("bases", name).folder())
        if (folder := Path(name).expanduser()).is_dir():
            return folder
        if not is_on_hub(name):
            return None
        import huggingface_hub as hub

        kept = hub.try_to_load_from_cache(name, "config.json")
        return Path(kept).parent if isinstance(kept, str) else None
    except (OSError, ValueError, ImportError, LimbeckError):
        return None


def fetch_config(name: str) -> None:
    """The config.json of a Hub's base into its cache, before the weights are wanted: it says what kind of model that is. Where it
    cannot be had, loading the base will say why."""
    if name in registry.names("bases") or not is_on_hub(name) or is_offline() or config_of_name(name) is not None:
        return
    with suppress(OSError, ValueError, ImportError):
        import huggingface_hub as hub

        hub.hf_hub_download(name, "config.json")


def is_on_hub(name: str) -> bool:
    """Whether a base that is no alias is named as the Hub names its own: owner/name, and no folder here is called so."""
    return not name.startswith((".", "/", "~")) and name.count("/") == 1 and not Path(name).expanduser().is_dir()


def parameters_of_name(name: str) -> int | None:
    """How many numbers the weights of a base hold, read from the heads of its safetensors files, without torch. None where it
    is not on this machine: a hub id is not looked for."""
    try:
        folder = registry.take("bases", name).folder() if name in registry.names("bases") else Path(name).expanduser()
        heads = [_head_of(file) for file in folder.glob("*.safetensors")]
    except (OSError, ValueError, LimbeckError):
        return None
    return sum(prod(about["shape"]) for head in heads for key, about in head.items() if key != "__metadata__") or None


def bytes_of_name(name: str) -> int | None:
    """Of a base's weights on this disk, the Hub's cache included; None where it is not here."""
    config = config_folder(name)
    files = list(config.glob("*.safetensors")) if config else []
    return sum(file.stat().st_size for file in files) or None


def _head_of(file: Path) -> dict[str, Any]:
    """safetensors: eight bytes of length, little end first, then JSON."""
    with file.open("rb") as raw:
        return dict(json.loads(raw.read(int.from_bytes(raw.read(8), "little"))))
