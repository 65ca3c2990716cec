"""Predictors of ours behind lm-evaluation-harness's model interface: loglikelihood, loglikelihood_rolling, generate_until.

    Writes     a base or student that writes: likelihoods and texts (engine.bare)
    Answers    an encoder student: its own scores as log-probabilities, where a task's options are what it chooses from
    Asked      a teacher over HTTP, a recording, a served student: texts alone

What a model cannot give is refused with the reason, never answered by a number made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from limbeck import render
from limbeck.engine.bare import Bare, Scored
from limbeck.engine.generate import before
from limbeck.errors import CapReached, MissingError, UsageError
from limbeck.need import need
from limbeck.registry import Ask
from limbeck.run import room_on_disk
from limbeck.types import Example, Kind, Message, Reply, Request, Task, sha_of

LM = need("lm_eval.api.model", extra="bench").LM
AT_ONCE = 64  # contexts between two looks at the file of answers
MAX_TOKENS = 256  # where a task says nothing
DIGITS = 4  # own rows: what ties but for the last bits goes to the first option, as in engine.answers


def grouped(requests: Sequence[Any], key: Callable[[Any], Any]) -> list[list[int]]:
    """Places of the requests that share a key, in order of their first."""
    found: dict[Any, list[int]] = {}
    for place, request in enumerate(requests):
        found.setdefault(key(request), []).append(place)
    return list(found.values())


class Items:
    """Answers by request, one JSON line each, written as they come: a run that was broken off goes on where it stood. file None:
    kept in memory. A line that was cut off when the process ended is left out."""

    def __init__(self, file: Path | None = None):
        self.file, self.known = file, {}
        if file is not None and file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):
                    key, value = json.loads(line)
                    self.known[key] = value

    def keep(self, found: dict[str, Any]) -> None:
        self.known |= found
        if self.file is not None and found:
            with room_on_disk(self.file.parent):
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with self.file.open("a", encoding="utf-8") as file:
                    file.write("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in found.items()))


class Writes(LM):  # type: ignore[misc,valid-type]
    """greedy: whether greedy decoding would write an option is found out, too (few tasks look at it; else the flag is False).
    compares: what options are compared by, "sum" | "mean" (a student's own rows). digits: likelihoods are rounded so. own_text:
    writes to the contexts of own rows as the student itself would. note(done, total)."""

    def __init__(
        self, bare: Bare, items: Items | None = None, greedy: bool = False, compares: str = "sum", digits: int | None = None,
        own_text: Callable[[Sequence[str]], list[str]] | None = None, note: Callable[[int, int], None] = lambda done, total: None,
    ):  # fmt: skip
        super().__init__()
        self.bare, self.greedy, self.compares, self.digits, self.own_text = bare, greedy, compares, digits, own_text
        self.items, self.note = items or Items(), note
        self.cut: set[str] = set()

    def through(self, requests: Sequence[Any], groups: list[list[int]], compute: Callable[[list[list[int]]], dict[int, Any]]) -> list[Any]:
        """Groups that are not all known are computed, some at a time, and kept. Values: [.., whether the context was cut]."""
        keys = [sha_of([r.request_type, *r.args]) for r in requests]
        fresh = [group for group in groups if any(keys[i] not in self.items.known for i in group)]
        for start in range(0, len(fresh), AT_ONCE):
            some = fresh[start : start + AT_ONCE]
            self.items.keep({keys[i]: value for i, value in compute(some).items()})
            self.note(min(start + AT_ONCE, len(fresh)), len(fresh))
        found = [self.items.known[key] for key in keys]
        self.cut |= {sha_of(r.args[0]) for r, value in zip(requests, found, strict=True) if value[-1]}
        return found

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Options of one context are scored in one pass over it."""

        def compute(groups: list[list[int]]) -> dict[int, Any]:
            contexts = [requests[group[0]].args[0] for group in groups]
            lines = self.bare.likelihoods(contexts, [[requests[i].args[1] for i in group] for group in groups], self.greedy)
            return {i: self.valued(one) for group, line in zip(groups, lines, strict=True) for i, one in zip(group, line, strict=True)}

        found = self.through(requests, grouped(requests, lambda r: (r.task_name, r.doc_id, r.args[0])), compute)
        return [(value, flag) for value, flag, _ in found]

    def valued(self, one: Scored) -> list[Any]:
        value = one.mean if self.compares == "mean" else one.log_prob
        return [value if self.digits is None else round(value, self.digits), bool(one.greedy), one.cut]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        utils = need("lm_eval.utils", extra="bench")

        def windows(ids: list[int], prefix: int, length: int) -> list[tuple[list[int], list[int]]]:
            return [utils.make_disjoint_window(w) for w in utils.get_rolling_token_windows(ids, prefix, length - 1, 1)]

        return self.bare.rolling([r.args[0] for r in requests], windows)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        def compute(groups: list[list[int]]) -> dict[int, Any]:
            found: dict[int, Any] = {}
            for some in grouped([requests[i] for (i,) in groups], lambda r: repr(sorted(r.args[1].items()))):
                places = [groups[k][0] for k in some]
                contexts = [requests[i].args[0] for i in places]
                if self.own_text:
                    found |= {i: [text, False] for i, text in zip(places, self.own_text(contexts), strict=True)}
                else:
                    texts = self.bare.write(contexts, *read_how(requests[places[0]].args[1]))
                    found |= {i: list(one) for i, one in zip(places, texts, strict=True)}
            return found

        return [text for text, _ in self.through(requests, [[i] for i in range(len(requests))], compute)]

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return str(self.bare.tokenizer.apply_chat_template(chat_history, tokenize=False, add_generation_prompt=add_generation_prompt))

    @property
    def tokenizer_name(self) -> str:
        return str(self.bare.tokenizer.name_or_path).replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str:
        return str(self.bare.tokenizer.chat_template or "")


class Answers(LM):  # type: ignore[misc,valid-type]
    """predictor: engine.predict.StudentPredictor of kind label or choice."""

    def __init__(self, predictor: Any):
        super().__init__()
        self.predictor, self.task = predictor, predictor.task
        self.cut: list[int] = []

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        groups = grouped(requests, lambda r: (r.task_name, r.doc_id, r.args[0]))
        rows = []
        for group in groups:
            options = tuple(requests[i].args[1].strip() for i in group)
            check_options(self.task, options, requests[group[0]].task_name)
            rows.append(
                Example(id=str(len(rows)), input=requests[group[0]].args[0], choices=options if self.task.kind is Kind.CHOICE else None)
            )
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        tokens = self.predictor.tokenise(rows)
        self.cut += [i for i, (ids, whole) in enumerate(zip(tokens.ids, tokens.whole, strict=True)) if len(ids) < whole]
        for group, row, logits in zip(groups, rows, self.predictor.logits(rows, tokens), strict=True):
            known = render.allowed_answers(self.task, row)
            log_p, best = logits - np.logaddexp.reduce(logits), int(np.round(logits, DIGITS).argmax())
            for i in group:
                at = known.index(requests[i].args[1].strip())
                answers[i] = (round(float(log_p[at]), DIGITS), at == best)
        return answers

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        raise UsageError("an encoder has no likelihood of a text", f"the student chooses ({self.task.kind})", "take a base that writes")

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        raise UsageError(
            "this student writes nothing", f"it is an encoder that chooses ({self.task.kind})", "tasks with options, or a base that writes"
        )


def check_options(task: Task, options: Sequence[str], name: str) -> None:
    if task.kind is Kind.CHOICE:
        return
    if task.kind is not Kind.LABEL or not set(options) <= set(task.labels):
        other = next((o for o in options if o not in task.labels), options[0])
        have = f"{name} offers {other!r}; the student knows {', '.join(task.labels[:8]) or f'no labels (it is of kind {task.kind})'}"
        raise UsageError("the options of this task are not what this student chooses from", have, "--tasks own, or a task with its labels")


class Asked(LM):  # type: ignore[misc,valid-type]
    """ask: the teacher behind the store. Sends each context as one message of the user. failed: replies that did not come; each
    counts as an empty answer. recording: it is keyed by rows, so the row is named."""

    def __init__(self, ask: Ask):
        super().__init__()
        self.ask = ask
        self.failed: list[str] = []

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        have = "a chat endpoint says what it writes, not how likely a given text is"
        raise UsageError("a teacher gives no likelihoods", have, "tasks that are written: mmlu_generative, gsm8k, bbh, nq_open, humaneval")

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        return [value for value, _ in self.loglikelihood(requests)]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Raises the teacher's error where money or time is up, a key is missing, or not one reply came."""
        how = [read_how(r.args[1]) for r in requests]
        asked = [
            Request(
                messages=(Message(role="user", content=r.args[0]),), max_tokens=tokens, temperature=temperature, row=row_of(r.doc),
            )
            for r, (tokens, _, temperature) in zip(requests, how, strict=True)
        ]  # fmt: skip
        outcomes = self.ask(asked)
        wrong = [o for o in outcomes if not isinstance(o, Reply)]
        if fatal := [o for o in wrong if isinstance(o, CapReached | MissingError)] or (wrong if len(wrong) == len(outcomes) else []):
            raise fatal[0]
        self.failed += [f"{type(o).__name__}: {o}".splitlines()[0] for o in wrong]
        return [
            before(o.texts[0], until) if isinstance(o, Reply) and o.texts else "" for o, (_, until, _) in zip(outcomes, how, strict=True)
        ]


def row_of(doc: dict[str, Any]) -> Example | None:
    """What a recording is keyed by: the row's own question, as the public rows have it."""
    text = next((doc[name] for name in ("input", "question", "prompt") if isinstance(doc.get(name), str)), None)
    return None if text is None else Example(id="", input=text)


def read_how(how: dict[str, Any]) -> tuple[int, tuple[str, ...], float]:
    """generation_kwargs -> (most tokens, texts that end an answer, temperature). Raises UsageError for a way of drawing that we
    do not have."""
    until = how.get("until") or ()
    until = (until,) if isinstance(until, str) else tuple(until)
    temperature = float(how.get("temperature") or 0.0) if how.get("do_sample") else 0.0
    for name, plain in (("top_p", 1.0), ("top_k", 0), ("num_beams", 1)):
        if how.get(name) not in (None, plain) and (name == "num_beams" or temperature):
            raise UsageError(
                f"a task asks for {name}={how[name]}", "here answers are greedy, or drawn at a temperature", "leave this task out"
            )
    return int(how.get("max_gen_toks") or how.get("max_new_tokens") or MAX_TOKENS), tuple(u for u in until if u), temperature
