"""Limbeck turns a task prompt into a small model that you own, and proves whether that model beats the prompt.

import limbeck
student = limbeck.load("runs/mail/6-deploy")
student.predict(["my kettle leaks"])
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck.exporters.folder import Student

try:
    __version__ = version("limbeck")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__", "load"]


def load(path: str) -> Student:
    """The student in a folder (`6-deploy/`, or a copy of it anywhere). Raises ModelError, MissingExtra."""
    from limbeck.exporters.folder import load as load_student

    return load_student(path)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'limbeck' has no attribute {name!r}; it has {', '.join(__all__)}")
