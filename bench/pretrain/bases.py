"""The two architectures, small enough for two CPU cores: at most 2M parameters each."""

from __future__ import annotations

from typing import Any

from tokens import BOS, EOS, PAD, SPECIAL, VOCABULARY

IDS = {name: SPECIAL.index(name) for name in (PAD, EOS, BOS)}


def new_model(name: str, seed: int = 0) -> Any:
    """tiny: T5 1.1 (gated GELU), four layers that read and two that write, embeddings shared by all three ends.
    tiny-lm: Llama. Both with their first random weights, in float32."""
    import torch

    torch.manual_seed(seed)
    return {"tiny": tiny, "tiny-lm": tiny_lm}[name]()


def tiny() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=VOCABULARY,
            d_model=128,
            d_kv=32,
            num_heads=4,
            d_ff=384,
            num_layers=4,
            num_decoder_layers=2,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.1,
            tie_word_embeddings=True,
            n_positions=512,
            pad_token_id=IDS[PAD],
            eos_token_id=IDS[EOS],
            decoder_start_token_id=IDS[PAD],
        )
    )


def tiny_lm() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=352,
            num_hidden_layers=7,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            pad_token_id=IDS[PAD],
            eos_token_id=IDS[EOS],
            bos_token_id=IDS[BOS],
        )
    )


def parameters(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())
