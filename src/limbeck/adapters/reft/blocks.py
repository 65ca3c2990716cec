"""Which modules' outputs are the residual stream."""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck.engine.layers import layers_of
from limbeck.errors import UsageError


def blocks_of(model: Any) -> nn.ModuleList:
    """The layers that read the prompt, each of which is passed once. Raises UsageError where the config says that some are
    passed again (ALBERT): an edit would be made there as often."""
    layers: nn.ModuleList = layers_of(model, reading=True)
    count = model.config.get_text_config().num_hidden_layers
    if len(layers) != count:
        raise UsageError(
            f"no stack of {count} blocks is found in this model",
            f"it is a {type(model).__name__} with a stack of {len(layers)}",
            "take an encoder, decoder or encoder-decoder of transformers that shares no layers",
        )
    return layers
