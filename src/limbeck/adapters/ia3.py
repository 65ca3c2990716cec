"""ia3: learnt vectors that rescale keys, values and the inside of the feed-forward (T-Few, Liu et al. 2022, arXiv 2205.05638).

    k <- l_k * k    v <- l_v * v    ffn(x) = W2 (l_ff * act(W1 x))        every l starts at one

An order of magnitude fewer numbers than lora: d_k + d_v + d_ff a layer. Merged exactly: the rows of W_k, W_v (and their
biases) times l, the columns of W2 times l. No arguments. Best with `losses=lm+ul+ln` on label and choice."""

from __future__ import annotations

import re
import warnings
from typing import Any

from limbeck.errors import UsageError
from limbeck.need import need
from limbeck.registry import Adapter
from limbeck.types import Kind, Recipe, Task, Value

# model_type -> (whose output is scaled: keys and values; whose input is scaled: the second layer of the feed-forward).
# Names are anchored: "output.dense" alone would also find BERT's attention.output.dense.
_BERT = (r"attention\.self\.(key|value)", r"layer\.\d+\.output\.dense")
_T5 = (r"(SelfAttention|EncDecAttention)\.(k|v)", r"DenseReluDense\.wo")
_LLAMA = (r"self_attn\.(k_proj|v_proj)", r"mlp\.down_proj")
_BART = (r"(self_attn|encoder_attn)\.(k_proj|v_proj)", r"fc2")
_GPT2 = (r"attn\.c_attn", r"mlp\.c_proj")  # keys and values lie in one matrix with the queries, which are scaled too
TARGETS = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), _BERT),
    **dict.fromkeys(("t5", "mt5", "umt5"), _T5),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3"), _LLAMA),
    **dict.fromkeys(("bart", "opt"), _BART),
    "gpt2": _GPT2,
}


def attach(model: Any, recipe: Recipe) -> Any:
    """With `freeze_layers` of the upper layers alone. Raises UsageError for a family that is not in TARGETS, or where a pattern
    finds nothing."""
    from limbeck.engine.numbers import read_numbers

    peft = need("peft", extra="train")
    outputs, inputs = targets_of(model, read_numbers(recipe).freeze_layers)
    config = peft.IA3Config(
        target_modules=[*outputs, *inputs],
        feedforward_modules=list(inputs),
        fan_in_fan_out=any(type(m).__name__ == "Conv1D" for m in outputs.values()),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 reads an attribute that transformers 5 has renamed
        wrapped = peft.get_peft_model(model, config)
    moving = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    assert moving == expected(outputs, inputs), "a layer was passed over"
    return wrapped


def targets_of(model: Any, above: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """{full name: module} of those whose output, and of those whose input is scaled, but for the lowest `above` layers."""
    from limbeck.engine.layers import layers_of

    known = TARGETS.get(model.config.model_type)
    if known is None:
        have = f"known are {', '.join(TARGETS)}"
        raise UsageError(f"ia3 does not know where a {model.config.model_type} model keeps its keys and values", have, "take lora")
    inside = {id(m) for layer in list(layers_of(model))[above:] for m in layer.modules()}
    modules = {name: m for name, m in model.named_modules() if id(m) in inside}
    outputs, inputs = ({n: m for n, m in modules.items() if re.search(rf"(^|\.){pattern}$", n)} for pattern in known)
    if not outputs or not inputs:
        have = f"it is a {type(model).__name__} without {known[0] if not outputs else known[1]}"
        raise UsageError("ia3 finds nothing to scale in this base", have, "take lora")
    return outputs, inputs


def expected(outputs: dict[str, Any], inputs: dict[str, Any]) -> int:
    """Trained numbers: one per output unit of keys and values, one per input unit of the feed-forward's second layer."""

    def side(module: Any, out: bool) -> int:
        conv = type(module).__name__ == "Conv1D"  # (in, out)
        return int(module.weight.shape[0 if out != conv else 1])

    return sum(side(m, True) for m in outputs.values()) + sum(side(m, False) for m in inputs.values())


def merge(model: Any) -> Any:
    return model.merge_and_unload(safe_merge=True)


def numbers(recipe: Recipe, task: Task, rows: int) -> list[Value]:
    few = "T-Few's recipe (section 3.3 of the paper, configs of its code)"
    return [
        Value(name="lr", value=1e-2, why="better than 3e-3 (T-Few's, for 1,000 steps) on valid of banking77 and sst2, minilm, 45 steps"),
        Value(name="weight_decay", value=0.0, why=f"{few}; decay would pull the vectors to zero, and they start at one"),
        Value(name="warmup", value=0.06, why=few),
        Value(name="interpolate", value=1.0, why="few numbers move, none of them far"),
    ]


IA3 = Adapter(name="ia3", group="student", kinds=tuple(Kind), modifiers=("rows", "objective"), attach=attach, merge=merge, numbers=numbers)
