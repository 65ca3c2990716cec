"""The small bases that golden values were computed on. Their weights are sines: no generator, no version changes them."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM, RobertaConfig, RobertaForSequenceClassification

D, LAYERS, RANK = 32, 2, 3
ROWS = [[2, 5, 9, 14, 7, 3, 11, 20, 6], [2, 8, 4, 17, 10, 12]]  # the shortest has room for f2+l2 and f3


def fill(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for k, (_, p) in enumerate(sorted(model.named_parameters())):
            wave = torch.sin(torch.arange(p.numel(), dtype=torch.float64) * (1.7 + 0.13 * k) + k).reshape(p.shape)
            p.copy_(1 + 0.1 * wave if p.ndim == 1 and "norm" in _.lower() and "bias" not in _ else 0.15 * wave)
    return model.eval()


def golden_llama() -> LlamaForCausalLM:
    shape = {"hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48}
    return fill(LlamaForCausalLM(LlamaConfig(vocab_size=24, max_position_embeddings=64, pad_token_id=0, **shape)))


def golden_roberta() -> RobertaForSequenceClassification:
    shape = {"hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 48}
    return fill(RobertaForSequenceClassification(RobertaConfig(vocab_size=24, max_position_embeddings=64, num_labels=3, **shape)))
