"""Optional YAML front matter at the head of a prompt file: settings beside the prompt, in one file."""

from __future__ import annotations

import re
from typing import Any

from limbeck.errors import UsageError
from limbeck.tasks.words import INPUTS, plain

DO = "put `key: value` lines between two lines of ---, or remove the block"


def split_front_matter(text: str, file: str = "the prompt file") -> tuple[dict[str, Any], str]:
    """(settings, body). ({}, text) where there is none; a Markdown rule in the first line is no front matter.
    Raises UsageError with file and line for YAML that cannot be read, or that is no mapping."""
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    if not lines or lines[0].rstrip() != "---":
        return {}, text
    end = next((i for i, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
    if end is None or not looks_like_settings(lines[1:end]):
        return {}, text
    return read_yaml("".join(lines[1:end]), file), "".join(lines[end + 1 :])


def looks_like_settings(lines: list[str]) -> bool:
    """Its first line is `key: ...`, and the key is no heading of a demonstration such as `Input:`. Empty counts."""
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), None)
    if first is None:
        return True
    key = re.match(r"([A-Za-z_][\w-]*)\s*:(\s|$)", first)
    return key is not None and plain(key[1]) not in INPUTS


def read_yaml(block: str, file: str) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]

    try:
        settings = yaml.safe_load(block)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = mark.line + 2 if mark else 2  # the first line of the file is ---
        raise UsageError(f"the front matter of {file} is no valid YAML, line {at}", str(error.problem or error.context), DO) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # an unreadable character, the 31st of February
        raise UsageError(f"the front matter of {file} is no valid YAML, in the lines from 2 on", str(error), DO) from error
    if settings is None:
        return {}
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise UsageError(f"the front matter of {file} has to be settings by name, line 2", f"it is {block.strip()[:80]!r}", DO)
    return settings
