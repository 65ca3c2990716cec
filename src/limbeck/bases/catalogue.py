"""The catalogue of base models: what we ship, and what the user's own refresh put beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from limbeck.errors import BadRows, UsageError
from limbeck.run import cache_folder, write_bytes
from limbeck.types import Frozen

SHIPPED = Path(__file__).with_name("catalogue.json")
MANY = "mul"  # ISO 639-2 for "several languages": here fifty or more, every widely spoken one among them

LANGUAGES = {  # ISO 639-1 -> the English name, which is what model cards say
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu",
    "vi": "Vietnamese", "zh": "Chinese", MANY: "multilingual",
}  # fmt: skip

Family = Literal["encoder", "seq2seq", "causal"]


class Model(Frozen):
    """One base model. id: on the Hub, owner/name. alias: what a recipe may call it. size_mb: weights at 2 bytes a
    parameter. context: tokens, None = unknown. languages: ISO codes, `mul` = fifty or more. downloads: a month."""

    id: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    alias: str | None = None
    family: Family
    parameters: int = Field(gt=0)
    size_mb: float = Field(gt=0)
    context: int | None = Field(default=None, gt=0)
    languages: tuple[str, ...]
    licence: str
    downloads: int = Field(ge=0)
    gated: bool
    good_at: str

    @property
    def name(self) -> str:
        """As it stands behind the @ of a recipe."""
        return self.alias or self.id

    def speaks(self, language: str) -> bool:
        return language in self.languages or MANY in self.languages

    def card(self) -> str:
        """The text that a query is compared with."""
        return " ".join(self.card_parts())

    def card_parts(self) -> tuple[str, str, str]:
        """(name, what it is good at, languages)."""
        spoken = " ".join(LANGUAGES.get(code, code) for code in self.languages[:12])
        return f"{self.id.partition('/')[2].replace('-', ' ').replace('_', ' ')}.", self.good_at, f"{spoken}."


class Catalogue(Frozen):
    """date: of the figures (ISO). source: where they came from."""

    date: str
    source: str
    models: tuple[Model, ...]


def user_file() -> Path:
    """Where a refresh is kept, unless the user names a file."""
    return cache_folder() / "bases.json"


def load_catalogue(path: Path | None = None) -> Catalogue:
    """The file that is named; else the shipped catalogue, with the user's refresh laid over it where there is one.

    Raises UsageError where there is no such file or it is no catalogue, BadRows with file and model where an entry is
    wrong."""
    if path is not None:
        return read(path)
    shipped = read(SHIPPED)
    return over(shipped, read(user_file())) if user_file().is_file() else shipped


def read(path: Path) -> Catalogue:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise UsageError(
            f"there is no catalogue {path}", f"--catalogue {path}", "limbeck find base PROMPT --refresh writes one"
        ) from missing
    except (OSError, ValueError) as broken:
        raise UsageError(f"cannot read the catalogue {path}", str(broken), "remove it, or: limbeck find base PROMPT --refresh") from broken
    if not isinstance(plain, dict) or not isinstance(plain.get("models"), list):
        raise UsageError(f"{path} is no catalogue", "it has no list `models`", "limbeck find base PROMPT --refresh writes one")
    models = [read_model(path, row, entry) for row, entry in enumerate(plain["models"], 1)]
    seen: dict[str, int] = {}
    for row, model in enumerate(models, 1):
        if (first := seen.setdefault(model.id.casefold(), row)) != row:
            raise BadRows(f"{path}: {model.id} stands there twice", f"models {first} and {row}", "remove one of them")
    return Catalogue(date=str(plain.get("date", "")), source=str(plain.get("source", "")), models=tuple(models))


def read_model(path: Path, row: int, entry: object) -> Model:
    try:
        return Model.model_validate(entry)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = f"model {row}" + (f" ({entry['id']})" if isinstance(entry, dict) and "id" in entry else "")
        fault = f"{'.'.join(map(str, first['loc'])) or 'the entry'}: {first['msg']}"
        raise BadRows(f"{path}: {where} is wrong", fault, "correct it, or: limbeck find base PROMPT --refresh") from wrong


def over(shipped: Catalogue, fresh: Catalogue) -> Catalogue:
    """Fresh figures win; our own words on what a model is good at, its context and its alias stay where the refresh has none."""
    ours = {model.id.casefold(): model for model in shipped.models}
    for model in fresh.models:
        known = ours.get(model.id.casefold())
        kept = {"alias": known.alias, "good_at": known.good_at, "context": model.context or known.context} if known else {}
        ours[model.id.casefold()] = model.model_copy(update=kept)
    return Catalogue(date=fresh.date, source=f"{fresh.source}; over: {shipped.source}", models=tuple(ours.values()))


def write(path: Path, catalogue: Catalogue) -> None:
    """One model a line, all or nothing."""
    head = "".join(f" {json.dumps(k)}: {json.dumps(getattr(catalogue, k), ensure_ascii=False)},\n" for k in ("date", "source"))
    lines = ",\n".join("  " + json.dumps(m.model_dump(mode="json", exclude_none=True), ensure_ascii=False) for m in catalogue.models)
    write_bytes(path, f'{{\n{head} "models": [\n{lines}\n ]\n}}\n'.encode())
