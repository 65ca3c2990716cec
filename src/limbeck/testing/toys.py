"""Random toy models of the three architectures, about 100,000 parameters each, with a word-level tokenizer of their own.

They know nothing; they learn eight rows by heart in seconds. A toy folder is a base like any other: Recipe(base="./path")."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ
from limbeck.types import Example, Kind, Task

SPECIAL = ("[PAD]", "[UNK]", "[BEG]", "[END]")
AROUND = {ENCODER: "[BEG] $A [END]", SEQ2SEQ: "$A [END]", CAUSAL: "[BEG] $A"}
WORDS = [
    "the",
    "a",
    "my",
    "your",
    "it",
    "is",
    "was",
    "not",
    "no",
    "yes",
    "please",
    "can",
    "i",
    "you",
    "we",
    "how",
    "what",
    "where",
    "when",
    "why",
    "to",
    "of",
    "in",
    "on",
    "at",
    "for",
    "with",
    "and",
    "or",
    "red",
    "green",
    "blue",
    "kettle",
    "lamp",
    "chair",
    "table",
    "door",
    "window",
    "leaks",
    "broken",
    "works",
    "late",
    "early",
    "cold",
    "hot",
    "lid",
    "light",
    "paid",
    "bill",
    "order",
    "parcel",
    "refund",
    "return",
    "open",
    "close",
    "lost",
    "found",
    "card",
    "pin",
    "cash",
    "bank",
    "shop",
    "good",
    "bad",
    "fine",
    "poor",
    "great",
    "delivery",
    "tea",
    "cup",
    "water",
    "answer",
    "input",
    "label",
    "one",
    "two",
    "three",
]


def toy(folder: Path, family: str = ENCODER, texts: Sequence[str] = (), seed: int = 0, *, byte_level: bool = False) -> Path:
    """Writes a random model of the family to the folder, and returns it. texts: whatever words the tokenizer shall know more.
    byte_level: its tokenizer keeps every text as it is, JSON too, at the cost of more tokens."""
    torch.manual_seed(seed)
    tokenizer = (byte_tokenizer if byte_level else toy_tokenizer)(texts, family)
    model = make_model(family, len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def toy_tokenizer(texts: Sequence[str] = (), family: str = ENCODER) -> Any:
    """Lower-cased words and single signs; [BEG] ... [END] for encoders, ... [END] for T5, [BEG] ... for Llama."""
    words = sorted({*WORDS, *(w for text in texts for w in re.findall(r"\w+|[^\w\s]", text.lower()))} | set(".,:?!-{}"))
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*SPECIAL, *words])}, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), behavior="removed", invert=True)
    inner.post_processor = processors.TemplateProcessing(single=AROUND[family], special_tokens=[("[BEG]", 2), ("[END]", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", bos_token="[BEG]", eos_token="[END]", model_max_length=128
    )


def byte_tokenizer(texts: Sequence[str] = (), family: str = ENCODER) -> Any:
    """Byte-level BPE, its merges learnt from the texts; special tokens as in `toy_tokenizer`."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    every = [*texts, *WORDS, "Input: ", "\n\nAnswer:", ' {"', '": "', '", "', '"}'] * 2
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner.train_from_iterator(
        every, trainers.BpeTrainer(vocab_size=800, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False)
    )
    inner.post_processor = processors.TemplateProcessing(single=AROUND[family], special_tokens=[("[BEG]", 2), ("[END]", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", bos_token="[BEG]", eos_token="[END]", model_max_length=128
    )


def make_model(family: str, vocabulary: int) -> Any:
    """d = 64, two layers, four heads."""
    ends: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    if family == ENCODER:
        shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
        return BertModel(BertConfig(vocab_size=vocabulary, max_position_embeddings=128, **shape, **ends), add_pooling_layer=False)
    if family == CAUSAL:
        shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
        llama = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, max_position_embeddings=128, num_key_value_heads=2, **shape, **ends))
        llama.lm_head.weight.data.mul_(10)  # at its usual start no hidden state, however adapted, makes a token likely
        return llama
    assert family == SEQ2SEQ
    return T5ForConditionalGeneration(
        T5Config(vocab_size=vocabulary, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, decoder_start_token_id=0, **ends)
    )


# ---- eight rows to learn by heart, of each kind -------------------------------------------------------------------------

_INPUTS = (
    "my kettle leaks", "the lamp is broken", "where is my parcel", "the parcel is late",
    "i paid the bill", "the bill is not paid", "please open the door", "the window is open",
)  # fmt: skip


def eight_rows(kind: Kind) -> tuple[Task, list[Example]]:
    """Their answers do not follow from the words: only a model that learns gets them right."""
    if kind is Kind.LABEL:
        labels = ("red", "green", "blue")
        rows = [Example(id=str(i), input=text, output=labels[i * i % 3]) for i, text in enumerate(_INPUTS)]
        return Task(name="toy", instruction="Name the colour.", kind=kind, labels=labels, metric="accuracy"), rows
    if kind is Kind.CHOICE:
        options = [("tea cup", "cold water", "hot tea", "card")[: 2 + i % 3] for i in range(8)]
        rows = [
            Example(id=str(i), input=text, choices=options[i], output=options[i][(i * 3) % len(options[i])])
            for i, text in enumerate(_INPUTS)
        ]
        return Task(name="toy", instruction="Choose.", kind=kind, metric="accuracy"), rows
    if kind is Kind.TEXT:
        answers = ("tea cup", "cold water", "good", "the card is lost", "tea", "cash", "cold tea", "please return it")
        rows = [Example(id=str(i), input=text, output=answers[i]) for i, text in enumerate(_INPUTS)]
        return Task(name="toy", instruction="Say it.", kind=kind, metric="exact_match"), rows
    if kind is Kind.FIELDS:  # for a toy with byte_level; the keys in order of the alphabet
        things, where = ("kettle", "lamp", "door", "card"), ("shop", "bank")
        objects = [{"lost": i % 3 == 0, "n": i * 7 % 5, "thing": things[i * i % 4], "where": where[i // 3 % 2]} for i in range(8)]
        rows = [Example(id=str(i), input=text, output=json.dumps(objects[i])) for i, text in enumerate(_INPUTS)]
        types = {"thing": "string", "where": "string", "n": "integer", "lost": "boolean"}
        schema = {"type": "object", "properties": {k: {"type": t} for k, t in types.items()}, "required": list(types)}
        schema = json.dumps({**schema, "additionalProperties": False})
        return Task(name="toy", instruction="Fill in.", kind=kind, output_schema=schema, metric="field_f1"), rows
    assert kind is Kind.SCORE
    rows = [Example(id=str(i), input=text, output=f"{(i * 5) % 8 / 2:g}") for i, text in enumerate(_INPUTS)]
    return Task(name="toy", instruction="Rate.", kind=kind, low=0, high=4, metric="spearman"), rows
