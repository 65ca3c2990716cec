"""Settings at the head of a prompt file are read, and a prompt without them is left alone."""

from __future__ import annotations

import pytest

from limbeck.errors import UsageError
from limbeck.tasks.frontmatter import split_front_matter


def test_settings_and_body() -> None:
    settings, body = split_front_matter("---\nrows: [a.jsonl, b.csv]\nbudget_usd: 2.5\n---\nClassify it.\n")
    assert settings == {"rows": ["a.jsonl", "b.csv"], "budget_usd": 2.5} and body == "Classify it.\n"


@pytest.mark.parametrize(
    "text",
    [
        "Classify it.",
        "",
        "---\nno end",
        "---\nA sentence between rules.\n---\nmore",
        "---\nInput: x\nOutput: y\n---\nInput: z\n",
        "a\n---\nkey: 1\n---\n",
    ],
)
def test_no_front_matter_leaves_the_text(text: str) -> None:
    assert split_front_matter(text) == ({}, text)


def test_a_byte_order_mark_windows_lines_and_an_empty_block() -> None:
    assert split_front_matter("\ufeff---\r\nkind: label\r\n---\r\nDo.") == ({"kind": "label"}, "Do.")
    assert split_front_matter("---\n---\nDo.") == ({}, "Do.")


def test_bad_yaml_names_file_and_line() -> None:
    with pytest.raises(UsageError) as caught:
        split_front_matter("---\nkind: label\nrows: [a, b\nseed: 1\n---\nDo.", "mail.md")
    assert "mail.md" in caught.value.what and "line 4" in caught.value.what and caught.value.exit_code == 2


@pytest.mark.parametrize("block", ["a: 1\n\tb: 2", "when: 2024-13-45", "a: &x\nb: *y", "1: 2\nkind: label", "a: \x01"])
def test_every_kind_of_bad_yaml_is_a_usage_error(block: str) -> None:
    with pytest.raises(UsageError):
        split_front_matter(f"---\nkind: label\n{block}\n---\nDo.")
