"""The catalogue again from the Hub's own figures: the most downloaded text models of each kind, written in the same form."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.bases.catalogue import LANGUAGES, MANY, Catalogue, Model, user_file, write
from limbeck.errors import LimbeckError, MissingError
from limbeck.need import need

KINDS = (
    "fill-mask",
    "feature-extraction",
    "sentence-similarity",
    "text-generation",
    "text2text-generation",
    "summarization",
    "translation",
)
PER_KIND = 200
MOST_PARAMETERS = 4_000_000_000
EXPAND = ["safetensors", "tags", "downloads", "gated", "config", "cardData", "pipeline_tag"]
MANY_LANGUAGES = 50
_ENCODES = re.compile(r"ForMaskedLM|ForPreTraining|(?<!Text)Model$|ForSequenceClassification|ForSentence")
Note = Callable[[str], None]


@dataclass(frozen=True)
class Refreshed:
    """skipped: id -> why it is no entry. failed: kind -> what the Hub said; the other kinds are whole."""

    path: Path
    catalogue: Catalogue
    skipped: dict[str, str]
    failed: dict[str, str]


def refresh(path: Path | None = None, kinds: Iterable[str] = KINDS, per_kind: int = PER_KIND, note: Note = lambda text: None) -> Refreshed:
    """Ask the Hub (HF_ENDPOINT) and write the catalogue to `path` (the user's own file). What came is kept where a later
    page or kind fails; the reasons are returned. Raises MissingError where nothing came, and leaves the old file alone."""
    hub = need("huggingface_hub", extra="data")
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    api = hub.HfApi(endpoint=endpoint)
    models: dict[str, Model] = {}
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    for kind in kinds:
        try:
            for info in api.list_models(pipeline_tag=kind, sort="downloads", limit=per_kind, expand=EXPAND):
                take(info, models, skipped)
        except Exception as error:  # whatever the client raises, http or a reply that is no list: this kind stops here
            failed[kind] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            if offline(error):
                break
        note(f"{kind}: {len(models)} models so far" + (f", then {failed[kind]}" if kind in failed else ""))
    if not models:
        raise nothing_came(endpoint, failed, len(skipped))
    path = path or user_file()
    catalogue = Catalogue(date=time.strftime("%Y-%m-%d"), source=f"the Hub at {endpoint}", models=tuple(models.values()))
    write(path, catalogue)
    return Refreshed(path, catalogue, skipped, failed)


def offline(error: Exception) -> bool:
    return type(error).__name__ in ("OfflineModeIsEnabled", "ConnectError", "ConnectTimeout")


def nothing_came(endpoint: str, failed: dict[str, str], skipped: int) -> LimbeckError:
    if failed:
        what, have = f"the Hub at {endpoint} cannot be asked", next(iter(failed.values()))
    else:
        what, have = f"the Hub at {endpoint} named no model that could be a base", f"{skipped} were put aside"
    return MissingError(
        what, have, "with a network and without HF_HUB_OFFLINE: the same command again; without --refresh the shipped catalogue is used"
    )


def take(info: Any, models: dict[str, Model], skipped: dict[str, str]) -> None:
    if info.id in models:
        return
    try:
        models[info.id] = entry(info)
        skipped.pop(info.id, None)
    except (ValueError, TypeError, AttributeError, KeyError) as wrong:
        skipped[info.id] = str(wrong).splitlines()[0]


def entry(info: Any) -> Model:
    """One Model. Raises ValueError with the reason where it cannot be a base: no safetensors, unknown architecture, too large."""
    card = info.card_data.to_dict() if info.card_data else {}
    tags = [str(tag) for tag in info.tags or ()]
    parameters = int(info.safetensors.total) if info.safetensors else 0
    if not parameters:
        raise ValueError("no safetensors weights, so it could not be loaded")
    if parameters > MOST_PARAMETERS:
        raise ValueError(f"{parameters / 1e9:.0f} billion parameters")
    return Model(
        id=info.id,
        family=family_of(info.config or {}),
        parameters=parameters,
        size_mb=round(parameters * 2 / 1e6, 1),
        languages=languages_of(card.get("language"), tags),
        licence=licence_of(card, tags),
        downloads=int(info.downloads or 0),
        gated=bool(info.gated),
        good_at=described(info, card, tags),
    )


def family_of(config: dict[str, Any]) -> Any:
    """From the class that the weights were saved from. Raises ValueError where it is none of ours."""
    saved_as = " ".join(config.get("architectures") or ())
    if "ForConditionalGeneration" in saved_as or "MTModel" in saved_as:
        return "seq2seq"
    if "ForCausalLM" in saved_as or "LMHeadModel" in saved_as:
        return "causal"
    if _ENCODES.search(saved_as):
        return "encoder"
    raise ValueError(f"architecture {saved_as or 'unknown'}")


def languages_of(told: Any, tags: list[str]) -> tuple[str, ...]:
    """Two-letter codes. Fifty or more, or "multilingual", are `mul`. English where nobody says."""
    given = [told] if isinstance(told, str) else list(told or ())
    codes = [str(code).lower() for code in given] or [tag for tag in tags if tag in LANGUAGES]
    if len(codes) >= MANY_LANGUAGES or {"multilingual", MANY} & {*codes, *tags}:
        return (MANY,)
    return tuple(dict.fromkeys(code for code in codes if re.fullmatch(r"[a-z]{2,3}", code))) or ("en",)


def licence_of(card: dict[str, Any], tags: list[str]) -> str:
    told = card.get("license") or next((tag.partition(":")[2] for tag in tags if tag.startswith("license:")), "")
    return str(told[0] if isinstance(told, list) and told else told or "unknown").lower()


def described(info: Any, card: dict[str, Any], tags: list[str]) -> str:
    """What the Hub knows in a sentence: kind, data sets it was trained on, topics."""
    data = [str(name).rpartition("/")[2] for name in as_list(card.get("datasets"))][:8]
    topics = [str(tag) for tag in as_list(card.get("tags")) if ":" not in str(tag)][:8]
    parts = [f"{str(info.pipeline_tag or 'text').replace('-', ' ')} model"]
    parts += [f"trained on {', '.join(data)}"] if data else []
    parts += [f"about {', '.join(topics)}"] if topics else []
    return "; ".join(parts) + "."


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value] if value else []
