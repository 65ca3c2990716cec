"""One byte-level BPE for both bases, trained on the plain text: any Unicode goes in and comes out the same.

    digits    one token each, with or without the blank before
    tiny      a blank is put before every text and taken off again, so that an answer's first word is the token that it
              is inside a prompt; </s> ends every text
    tiny-lm   the text as it is; <s> begins it
Names of special tokens that stand in a user's text are plain text there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOCABULARY = 4096
PAD, EOS, UNK, BOS = "<pad>", "</s>", "<unk>", "<s>"
SENTINELS = [f"<extra_id_{i}>" for i in range(32)]
SPECIAL = [PAD, EOS, UNK, BOS, *SENTINELS]
SENTINEL_0 = 4  # id of <extra_id_0>
WORDS = r"'(?:s|t|re|ve|m|ll|d)\b| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# frames of prompts and common answers, so that they are short; repeated as often as frequent words of a book
FRAMES = """Input:
Answer:
Question:
Context:
Passage:
Options:
A. B. C. D.
premise: hypothesis: sentence: sentence1: first: second: label rationale
Input: Answer: Question: answer positive negative neutral entailment contradiction yes no true false none equation number
{"name": "value", "date": "", "people": ""} exactly one of these labels and nothing else JSON object schema
- 0 1 2 3 4 5 6 7 8 9 + - * / ( ) = == | .0 0.1 null None , . ? ! ; ` ' " & $ %
hypothesis: premise: context: question: sentence2: text: label: rationale: [label] [rationale] positive negative
Answer with"""


def train(texts: Iterator[str]) -> Any:
    """A bare tokenizers.Tokenizer without normaliser and post-processor."""
    from tokenizers import Tokenizer, models, trainers

    bare = Tokenizer(models.BPE(unk_token=UNK))
    bare.pre_tokenizer = split_words()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet(), show_progress=False, min_frequency=2
    )
    bare.train_from_iterator(with_frames(texts), trainer)
    return bare


def with_frames(texts: Iterator[str]) -> Iterator[str]:
    yield from [FRAMES] * 6000
    yield from texts


def alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def split_words() -> Any:
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def for_tiny(bare: Any) -> Any:
    """PreTrainedTokenizerFast of the encoder-decoder base."""
    from tokenizers import Tokenizer, decoders, normalizers, processors

    own = Tokenizer.from_str(bare.to_str())
    own.normalizer = normalizers.Prepend(" ")
    own.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    own.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, own.token_to_id(EOS))]
    )
    return wrapped(own, 512)


def for_tiny_lm(bare: Any) -> Any:
    """PreTrainedTokenizerFast of the decoder-only base."""
    from tokenizers import Tokenizer, decoders, processors

    own = Tokenizer.from_str(bare.to_str())
    own.decoder = decoders.ByteLevel()
    own.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, own.token_to_id(BOS))]
    )
    return wrapped(own, 1024, bos_token=BOS)


def wrapped(own: Any, length: int, **more: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        additional_special_tokens=SENTINELS,
        model_max_length=length,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
        model_input_names=["input_ids", "attention_mask"],
        **more,
    )
