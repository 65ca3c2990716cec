"""Which modules' outputs are the residual stream."""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck.errors import UsageError


def blocks_of(model: Any) -> nn.ModuleList:
    """The stack of blocks that reads the prompt: as many as the config says, and nearest to the top (an expert layer or a
    T5 block may hold a list of the same length)."""
    reader = model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model
    count = model.config.get_text_config().num_hidden_layers
    stacks = [(name.count("."), m) for name, m in reader.named_modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not stacks:
        raise UsageError(
            f"no stack of {count} blocks is found in this model",
            f"it is a {type(model).__name__}",
            "take an encoder, decoder or encoder-decoder of transformers",
        )
    return min(stacks, key=lambda found: found[0])[1]
