"""Messages -> replies of a causal or encoder-decoder model in this process. The only place where tokens are sampled."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from limbeck.engine.device import pick_device
from limbeck.engine.load import ENCODER, SEQ2SEQ, Base, load_base
from limbeck.engine.tokens import chat_text, pad, pad_id, tokenise
from limbeck.errors import UsageError
from limbeck.types import Message


def open_generator(path: str) -> Generator:
    """A local folder or a hub id. Raises MissingError, ModelError, and UsageError for a model that cannot write."""
    base = load_base(path)
    if base.family == ENCODER:
        raise UsageError(f"{path} cannot write answers", "it is an encoder", "take a causal or an encoder-decoder model")
    return Generator(base)


class Generator:
    """base: its model writes. context_tokens: prompt and reply together have to fit in it."""

    def __init__(self, base: Base):
        self.base, self.tokenizer = base, base.tokenizer
        self.model = base.model.to(pick_device()).eval()
        self.context_tokens = int(
            getattr(self.model.config, "max_position_embeddings", 0) or getattr(self.model.config, "n_positions", 0) or 512
        )

    def reply(
        self, messages: Sequence[Message], max_tokens: int, temperature: float = 0.0, n: int = 1, seed: int | None = None
    ) -> tuple[list[str], list[str], int, int]:
        """(n texts, n finishes "stop" | "length", tokens in, tokens out over all n). temperature 0: the likeliest token at
        each place, so that n > 1 gives n times the same. Raises UsageError where the prompt leaves no room to answer."""
        return self.write(chat_text(self.tokenizer, messages), max_tokens, temperature, n, seed)

    @torch.inference_mode()
    def write(
        self, prompt: str, max_tokens: int, temperature: float = 0.0, n: int = 1, seed: int | None = None
    ) -> tuple[list[str], list[str], int, int]:
        """The same for a text that is already rendered."""
        prompt_ids = self.prompt_ids(prompt)
        decoder = self.base.family == SEQ2SEQ
        room = max_tokens if decoder else min(max_tokens, self.context_tokens - len(prompt_ids))
        if room < 1 or len(prompt_ids) > self.context_tokens:
            have = f"the prompt has {len(prompt_ids)} tokens, the model reads {self.context_tokens}"
            raise UsageError("the prompt leaves no room to answer", have, "fewer demonstrations (few:k), or a model of longer context")
        input_ids, attention_mask = (t.to(self.model.device) for t in pad([prompt_ids]))
        if seed is not None:
            torch.manual_seed(seed)
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {"do_sample": False}
        out = self.model.generate(
            input_ids=input_ids, attention_mask=attention_mask, max_new_tokens=room, num_beams=1, pad_token_id=pad_id(self.tokenizer),
            num_return_sequences=n if temperature > 0 else 1, **sampling,
        )  # fmt: skip
        start = 1 if decoder else len(prompt_ids)  # the decoder begins with its start token
        ends = self.end_ids()
        texts, finishes, tokens_out = [], [], 0
        for row in out[:, start:].tolist():
            stop = next((i for i, token in enumerate(row) if token in ends), None)
            written = row if stop is None else row[:stop]
            texts.append(self.tokenizer.decode(written, skip_special_tokens=True).strip())
            finishes.append("length" if stop is None else "stop")
            tokens_out += len(written) + (stop is not None)
        if temperature <= 0:
            texts, finishes, tokens_out = texts * n, finishes * n, tokens_out * n
        return texts, finishes, len(prompt_ids), tokens_out

    def prompt_ids(self, prompt: str) -> list[int]:
        """A chat template writes its own special tokens; a plain prompt gets those of the tokenizer, but no end."""
        if getattr(self.tokenizer, "chat_template", None):
            return list(self.tokenizer(prompt, add_special_tokens=False)["input_ids"])
        ids = tokenise(self.tokenizer, [prompt], 1 << 20).ids[0]
        return ids[:-1] if self.base.family != SEQ2SEQ and ids and ids[-1] in self.end_ids() else ids

    def end_ids(self) -> set[int]:
        ends = self.model.generation_config.eos_token_id
        found = set(ends if isinstance(ends, list) else [ends]) | {self.tokenizer.eos_token_id}
        return {end for end in found if end is not None}
