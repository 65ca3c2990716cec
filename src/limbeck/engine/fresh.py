"""A small decoder-only model with random weights and a tokenizer of whole words, as a folder that any recipe can name as its base."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, UNKNOWN, BEGIN, END = SPECIAL = ("[PAD]", "[UNK]", "[BEG]", "[END]")
PIECES = r"\w+|[^\w\s]"


def new_causal(
    folder: Path,
    texts: Iterable[str],
    *,
    layers: int = 2,
    width: int = 64,
    heads: int = 4,
    positions: int = 512,
    seed: int = 0,
) -> Path:
    """Every word and sign of the texts becomes one token; what is unknown is [UNK]. The embedding is the output's, too, so that a word
    that was seen on one side is known on the other. First weights are spread as little as BERT's (0.02): with width ** -0.5 a
    model of two layers did not learn to copy a name. Returns the folder."""
    tokenizer = word_tokenizer(texts, positions)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=heads, max_position_embeddings=positions, tie_word_embeddings=True, initializer_range=0.02,
        pad_token_id=0, bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def word_tokenizer(texts: Iterable[str], positions: int) -> Any:
    words = sorted({piece for text in texts for piece in re.findall(PIECES, text)})
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*SPECIAL, *words])}, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True)
    inner.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=PAD, unk_token=UNKNOWN, bos_token=BEGIN, eos_token=END, model_max_length=positions
    )
