"""get_reft_model(model, ReftConfig(...)): a transformers (or peft) model whose residual stream is edited at prompt tokens.

    block 0 -> h (B, T, d) -> h + edit at the prompt's first and last tokens -> block 1 -> h -> + edit -> ...

The blocks' outputs are edited by forward hooks: encoder layers (BERT family), decoder layers (Llama, Qwen, Gemma, GPT-2),
and of an encoder-decoder (T5) the encoder's, which read the prompt; its decoder is left alone. What counts as prompt:
`prompt_mask`; else with labels (a causal model in training) the tokens before the first labelled one; else all tokens
that attention_mask lets through. In generation the prompt is edited, and nothing that is written after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.adapters.reft.blocks import blocks_of
from limbeck.adapters.reft.config import ReftConfig, parse_positions
from limbeck.adapters.reft.intervention import Edit, Intervention
from limbeck.adapters.reft.positions import Plan, before_the_answer, check_mask, plan_of
from limbeck.errors import UsageError
from limbeck.registry import near


def get_reft_model(model: Any, config: ReftConfig, adapter_name: str = "default") -> ReftModel:
    """Freezes the base, but for what a peft adapter in it trains, and edits it from now on. Raises UsageError where the
    config does not fit the model."""
    return ReftModel(model, config, adapter_name)


class ReftModel(nn.Module):
    """base_model: as given. reft_config: {adapter name: ReftConfig}. interventions.<adapter>.<layer>.<unit>: the parameters.
    Whatever else is asked of it (config, device, get_input_embeddings, ...) the base answers."""

    takes_prompt_mask = True  # the engine then says which tokens are the prompt, in training, scoring and generation alike

    def __init__(self, model: Any, config: ReftConfig, adapter_name: str = "default", trainable: bool = True):
        super().__init__()
        if isinstance(model, ReftModel):
            raise UsageError("this model is edited already", f"it has {', '.join(model.reft_config)}", "model.add_adapter(name, config)")
        self.base_model = model
        self.interventions = nn.ModuleDict()
        self.reft_config: dict[str, ReftConfig] = {}
        self.active_adapter = adapter_name
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # of a peft model
        if inner is model:
            model.requires_grad_(False)
        config_of_base = inner.config.get_text_config()
        self._seq2seq = bool(getattr(inner.config, "is_encoder_decoder", False))
        self._causal = not self._seq2seq and inner.can_generate()
        self._hidden_size, self._blocks = int(config_of_base.hidden_size), len(blocks_of(inner))
        self._trainable: set[str] = set()
        self._enabled, self._inside = True, False
        self._prompt_mask: Tensor | None = None
        self._generation: Generation | None = None
        self._plan: Plan | None = None
        self._last_full: tuple[Any, Plan] | None = None
        self._edits: dict[str, Edit] = {}  # of the active adapter, by layer
        self._labels_were_checked = False
        reader = inner.get_encoder() if self._seq2seq else inner
        self._names = {id(m): list(signature(m.forward).parameters) for m in (inner, reader)}
        self._inner_id = id(inner)
        self._hooks = [reader.register_forward_pre_hook(self._enter, with_kwargs=True)]
        self._hooks += [block.register_forward_hook(partial(self._edit, str(i))) for i, block in enumerate(blocks_of(inner))]
        self.add_adapter(adapter_name, config, trainable=trainable)
        self.set_adapter(adapter_name)

    # ---- adapters ------------------------------------------------------------------------------------------------

    def add_adapter(self, name: str, config: ReftConfig, *, trainable: bool = True) -> None:
        """Beside those there are; set_adapter switches to it."""
        if name in self.reft_config or not name or "." in name:
            have = f"there are: {', '.join(self.reft_config)}" if name in self.reft_config else "a name has no dot and is not empty"
            raise UsageError(f"no adapter can be added under the name {name!r}", have, "take another name")
        if config.rank > self._hidden_size:
            raise UsageError(
                f"rank {config.rank} is larger than the hidden size", f"d = {self._hidden_size}", f"rank={min(4, self._hidden_size)}"
            )
        layers = range(self._blocks) if config.layers == "all" else sorted(set(config.layers))
        if max(layers) >= self._blocks:
            raise UsageError(
                f"there is no layer {max(layers)}", f"the model has layers 0 to {self._blocks - 1}", f"layers=({self._blocks - 1},)"
            )
        device = next(self.base_model.parameters()).device
        per_layer = {str(i): Edit({unit: Intervention(config, self._hidden_size) for unit in config.units}, config.dropout) for i in layers}
        self.interventions[name] = nn.ModuleDict(per_layer).to(device).train(self.training)
        self.reft_config[name] = config
        if trainable:
            self._trainable.add(name)
        self.interventions[name].requires_grad_(trainable and name == self.active_adapter)

    def set_adapter(self, name: str) -> None:
        """Only this one edits, and only this one requires gradients (not where it was loaded for inference)."""
        self._known(name)
        self.active_adapter, self._plan = name, None
        self._edits = dict(self.interventions[name].items())
        for other, module in self.interventions.items():
            module.requires_grad_(other == name and name in self._trainable)

    @property
    def first_adapted_layer(self) -> int:
        """The lowest layer whose output the active adapter edits: what lies below gives the same in every epoch."""
        return min(int(layer) for layer in self._edits)

    def delete_adapter(self, name: str) -> None:
        self._known(name)
        if name == self.active_adapter:
            raise UsageError(
                f"the adapter {name!r} is in use", f"there are: {', '.join(self.reft_config)}", "model.set_adapter(another) first"
            )
        del self.interventions[name], self.reft_config[name]
        self._trainable.discard(name)

    def _known(self, name: str) -> None:
        if name not in self.reft_config:
            raise UsageError(f"there is no adapter {name!r}", near(name, list(self.reft_config)), "model.add_adapter(name, config)")

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Inside, the base computes what it did before, bit for bit. (A peft adapter in the base stays on.)"""
        before, self._enabled = self._enabled, False
        try:
            yield
        finally:
            self._enabled = before

    def unload(self) -> Any:
        """The base without us; its parameters stay frozen."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        return self.base_model

    def merge_and_unload(self, *args: Any, **kwargs: Any) -> Any:
        raise UsageError(
            "ReFT cannot be merged into the weights",
            "its edits depend on the position of a token, and no weight of the base does",
            "model.save_pretrained(folder) beside the base, or model.unload() for the base alone",
        )

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """(trainable, all), the base's included."""
        sizes = [(p.numel(), p.requires_grad) for p in self.parameters()]
        return sum(n for n, moves in sizes if moves), sum(n for n, _ in sizes)

    def print_trainable_parameters(self) -> None:
        moving, every = self.get_nb_trainable_parameters()
        print(f"trainable params: {moving:,d} || all params: {every:,d} || trainable%: {100 * moving / every:.4f}")

    # ---- files -----------------------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path, selected_adapters: Sequence[str] | None = None) -> None:
        """reft.safetensors and reft_config.json; those of further adapters in folders of their names. Not the base."""
        from limbeck.adapters.reft.files import save_adapter

        for name in selected_adapters or list(self.reft_config):
            self._known(name)
            save_adapter(self, name, Path(folder) if name == "default" else Path(folder) / name)

    @classmethod
    def from_pretrained(cls, model: Any, folder: str | Path, adapter_name: str = "default", is_trainable: bool = False) -> ReftModel:
        """Raises ModelError where the files cannot be read or belong to another base."""
        from limbeck.adapters.reft.files import fill, read_adapter

        saved = read_adapter(Path(folder), int(model.config.get_text_config().hidden_size))
        reft = cls(model, saved.config, adapter_name, trainable=is_trainable)
        fill(reft, adapter_name, saved)
        return reft if is_trainable else reft.eval()

    def load_adapter(self, folder: str | Path, adapter_name: str, is_trainable: bool = False) -> None:
        """Beside those there are; set_adapter switches to it. Raises as from_pretrained does."""
        from limbeck.adapters.reft.files import fill, read_adapter

        saved = read_adapter(Path(folder), self._hidden_size)
        self.add_adapter(adapter_name, saved.config, trainable=is_trainable)
        fill(self, adapter_name, saved)

    # ---- forward ---------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, prompt_mask: Tensor | None = None, **kwargs: Any) -> Any:
        """As the base's. prompt_mask: (B, T), 1 on the tokens of the prompt, which may stand anywhere."""
        self._prompt_mask = prompt_mask
        if not self._seq2seq:
            self._plan = self._plan_for(dict(zip(self._names[self._inner_id], args, strict=False)) | kwargs)
        self._inside = not self._seq2seq
        try:
            return self.base_model(*args, **kwargs)
        finally:
            self._inside, self._prompt_mask = False, None

    def generate(self, *args: Any, prompt_mask: Tensor | None = None, **kwargs: Any) -> Any:
        """As the base's, with cache or without, with beams and several sequences."""
        mask = kwargs.get("attention_mask")
        if prompt_mask is not None:
            mask = prompt_mask if mask is None else prompt_mask.bool() & mask.bool()
        self._generation = Generation(mask)
        try:
            return self.base_model.generate(*args, **kwargs)
        finally:
            self._generation = None

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        self.activation_checkpointing_enable(gradient_checkpointing_kwargs)

    def activation_checkpointing_enable(self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **more: Any) -> None:
        """Reentrant checkpoints pass on gradients only where their inputs have some, which a frozen base's have not."""
        named = hasattr(self.base_model, "activation_checkpointing_enable")  # earlier releases of transformers 5 have the older name alone
        enable = self.base_model.activation_checkpointing_enable if named else self.base_model.gradient_checkpointing_enable
        enable(activation_checkpointing_kwargs, **more)
        self.base_model.enable_input_require_grads()

    def _enter(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the module that reads the prompt: where a call has not come through our forward (generation, an encoder)."""
        if not self._inside:
            self._plan = self._plan_for(dict(zip(self._names[id(module)], args, strict=False)) | kwargs)

    def _plan_for(self, inputs: dict[str, Any]) -> Plan | None:
        """None where no prompt token is in this forward."""
        cache = inputs.get("past_key_values")
        if not self._enabled or (cache is not None and cache.get_seq_length() > 0):
            return None
        ids = inputs.get("input_ids")
        rows, tokens = (ids if ids is not None else inputs["inputs_embeds"]).shape[:2]
        generation = self._generation
        if generation is not None and generation.plan is not None:
            return generation.plan.at(tokens)
        attention = inputs.get("attention_mask")
        if generation is not None:
            prompt = attention if generation.mask is None else generation.mask
            generation.plan = self._plan_of(self._checked("attention_mask", prompt, rows, tokens, inputs))
            return generation.plan
        name, prompt = ("attention_mask", attention) if self._prompt_mask is None else ("prompt_mask", self._prompt_mask)
        prompt = self._checked(name, prompt, rows, tokens, inputs)
        if name == "prompt_mask" and attention is not None and attention.shape == prompt.shape:
            prompt = prompt & attention.bool()
        labels = inputs.get("labels")
        if name == "attention_mask" and self._causal and labels is not None and labels.shape == prompt.shape:
            prompt = prompt & before_the_answer(labels)
            self._refuse_without_prompt(prompt)
        return self._plan_of(prompt)

    def _checked(self, name: str, mask: Tensor | None, rows: int, tokens: int, inputs: dict[str, Any]) -> Tensor:
        if mask is None:
            like = inputs.get("input_ids") if inputs.get("input_ids") is not None else inputs["inputs_embeds"]
            return torch.ones(rows, tokens, dtype=torch.bool, device=like.device)
        return check_mask(name, mask, rows, tokens)

    def _refuse_without_prompt(self, prompt: Tensor) -> None:
        """Once: labels on every token leave no prompt, and an adapter that edits nothing would train in silence."""
        if not self._labels_were_checked and not torch.compiler.is_compiling():
            self._labels_were_checked = True
            if not prompt.any():
                have = "every row's labels begin at its first token"
                raise UsageError("no row of the batch has a prompt", have, "set labels to -100 on the prompt, or give prompt_mask")

    def _plan_of(self, prompt: Tensor) -> Plan:
        """Rows without pads have the same plan again and again; looking for pads is only cheap on a CPU."""
        config = self.reft_config[self.active_adapter]
        full = prompt.device.type == "cpu" and not torch.compiler.is_compiling() and bool(prompt.all())
        key = (config, tuple(prompt.shape))
        if full and self._last_full is not None and self._last_full[0] == key:
            return self._last_full[1]
        with torch.inference_mode(False), torch.no_grad():  # what is kept may be used in training later
            plan = plan_of(prompt, parse_positions(config.positions), len(config.units), config.rank)
        if full:
            self._last_full = (key, plan)
        return plan

    def _edit(self, layer: str, module: Any, args: Any, output: Any) -> Any:
        """After a block: its output with the edits added, or None = as it is."""
        plan, edit_of = self._plan, self._edits.get(layer)
        if plan is None or edit_of is None or not self._enabled:
            return None
        hidden = output[0] if isinstance(output, tuple) else output
        rows, tokens, size = hidden.shape
        if tokens != plan.tokens or rows != len(plan.index):
            have = f"the block's output has {rows} rows of {tokens} tokens, the input had {len(plan.index)} of {plan.tokens}"
            raise UsageError(
                "this model's blocks see other tokens than its inputs", have, "ReFT needs a model that adds and drops no tokens"
            )
        flat = hidden.reshape(rows * tokens, size)
        place = plan.flat.to(hidden.device)
        edit = edit_of(flat.index_select(0, place), plan.closed.to(hidden.device))
        edited = flat.index_add(0, place, edit).view(hidden.shape)
        return (edited, *output[1:]) if isinstance(output, tuple) else edited

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_model":
                raise
            return getattr(self.base_model, name)


class Generation:
    """One call of generate. mask: of the prompt, (B, T), or None = as attention_mask says. plan: of its first forward."""

    def __init__(self, mask: Tensor | None):
        self.mask, self.plan = mask, None
