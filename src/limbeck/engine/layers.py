"""Where the layers of a model are, whatever its architecture calls them."""

from __future__ import annotations

from typing import Any

from limbeck.errors import UsageError


def layers_of(model: Any, reading: bool = False) -> Any:
    """The stack of layers (a torch ModuleList), whatever the architecture calls it: the longest that lies in no other. An
    encoder-decoder has two: the encoder's layers come first, then the decoder's; with `reading` the encoder's alone,
    through which the prompt goes. Raises UsageError where there is none."""
    from torch import nn

    both = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    if both and reading:
        model, both = model.get_encoder(), False

    stacks = {name: m for name, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m)}
    outer = [m for name, m in stacks.items() if not any(name.startswith(f"{other}.") for other in stacks)]
    if not outer:
        raise UsageError(
            "this base has no stack of layers that could be adapted",
            f"it is a {type(model).__name__}",
            "take an encoder of the BERT family, such as minilm",
        )
    if both:
        return nn.ModuleList([layer for stack in outer for layer in stack])
    return max(outer, key=len)
