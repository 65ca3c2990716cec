"""Embeddings behind any OpenAI-compatible endpoint (POST /v1/embeddings): texts -> vectors.

To the store the model is a teacher like any other: a request holds up to TEXTS texts, one message each, and its reply one
vector per text, float32 in base64. So they are paid for once, capped, paced, tried again, and on the ledger."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.errors import Declined, Transient, UsageError
from limbeck.need import need
from limbeck.registry import Ask
from limbeck.teachers.openai_api import DEFAULT_ADDRESS, OpenAITeacher, address_and_model, sendable
from limbeck.teachers.pace import back_off_s
from limbeck.teachers.tokens import tokens_of
from limbeck.types import Message, Price, Reply, Request

if TYPE_CHECKING:
    import numpy as np

TEXTS = 32  # of one request; endpoints take at least that many
BLOCK = 2048  # texts of one call of the store, so that many requests are under way at once
ATTEMPTS = 4  # without a store: of a student that somebody asks

# USD per million tokens, as of 2025, at api.openai.com; another address sets its own prices
HOSTED = {"text-embedding-3-small": 0.02, "text-embedding-3-large": 0.13, "text-embedding-ada-002": 0.10}
PAGE = "openai.com/api/pricing; from our table: check it"


def open_model(spec: str, price: Price | None = None) -> EmbeddingModel:
    """spec: `http(s)://host:port/v1#model`, or `openai:MODEL` at OPENAI_BASE_URL. Raises UsageError, MissingKey."""
    try:
        address, model = address_and_model(spec.removeprefix("openai:"))
    except UsageError as wrong:
        raise UsageError(
            wrong.what.replace("teacher", "embedder"), wrong.have.replace("--teacher", "--embedder"), "--embedder http://HOST:PORT/v1#MODEL"
        ) from wrong
    if price is None and address == DEFAULT_ADDRESS and model in HOSTED:
        price = Price(usd_per_mtok_in=HOSTED[model], usd_per_mtok_out=0, source=PAGE, date="2025")
    return EmbeddingModel(address, model, price)


class EmbeddingModel:
    """See `limbeck.registry.Teacher`: what it is asked for is vectors."""

    remote = True
    recording = False

    def __init__(self, address: str, model: str, price: Price | None):
        self.chat = OpenAITeacher(address, model, price)  # its client, its key, and what it makes of errors
        self.model, self.name, self.price = model, model, price
        self.fingerprint = f"{address}#{model} embeddings"

    def ask(self, request: Request, timeout_s: float = 60.0) -> Reply:
        """Raises as `OpenAITeacher.ask`."""
        import openai

        texts = [sendable(m.content) for m in request.messages]
        started = time.monotonic()
        try:
            raw = self.chat.client.embeddings.with_raw_response.create(
                model=self.model, input=texts, encoding_format="float", timeout=timeout_s
            )
        except openai.OpenAIError as error:
            raise self.chat.translated(error, timeout_s) from error
        return read_reply(raw.content, texts, (time.monotonic() - started) * 1000)


def read_reply(content: bytes, texts: Sequence[str], latency_ms: float) -> Reply:
    """A 200 body. One without a vector of finite numbers for each text is Transient."""
    import numpy as np

    try:
        body = json.loads(content)
        data = sorted(body["data"], key=lambda one: int(one["index"]))
        vectors = np.array([one["embedding"] for one in data], np.float32)
        if vectors.ndim != 2 or vectors.shape[0] != len(texts) or vectors.shape[1] == 0 or not np.isfinite(vectors).all():
            raise ValueError(f"{vectors.shape} numbers for {len(texts)} texts")
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        have = f"{broken}: {content[:200].decode('utf-8', 'replace')}"
        raise Transient("the embedder's answer holds no vector for each text", have, kind="malformed", status=200) from broken
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    told = usage.get("prompt_tokens", usage.get("total_tokens"))
    estimated = not (isinstance(told, int) and told >= 0)
    return Reply(
        texts=tuple(base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors),
        finish=("stop",) * len(texts),
        tokens_in=tokens_of(texts) if estimated else int(told),
        latency_ms=latency_ms,
        model=str(body.get("model") or ""),
        estimated=estimated,
    )


@dataclass(frozen=True)
class Embedder:
    """texts -> (n, d) float32, rows of length 1. A text that the endpoint declines has a row of zeros, and costs no other its
    own. ask: the model behind the store, None = the model itself. Raises what asking raises: CapReached, Transient, MissingKey."""

    model: EmbeddingModel
    ask: Ask | None = None
    block: int = BLOCK

    @property
    def identity(self) -> str:
        return self.model.fingerprint

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        import numpy as np

        fresh = [text for text in dict.fromkeys(texts) if text.strip()]  # of nothing, endpoints make an error
        groups = [fresh[at : at + TEXTS] for at in range(0, len(fresh), TEXTS)]
        found: dict[str, np.ndarray | None] = {}
        for group, outcome in zip(groups, self.outcomes(groups), strict=True):
            if isinstance(outcome, Declined) and len(group) > 1:  # one of them is at fault
                for text, alone in zip(group, self.outcomes([[text] for text in group]), strict=True):
                    found[text] = vectors_of(alone)[0]
            else:
                found |= zip(group, vectors_of(outcome), strict=True)
        width = next((len(v) for v in found.values() if v is not None), 0)
        if texts and width == 0:
            if len(fresh) > 1:
                raise Declined(
                    f"{self.model.name} embeds none of {len(fresh)} texts", f"the first: {fresh[0][:80]!r}", "another --embedder"
                )
            return np.zeros((len(texts), 1), np.float32)
        out = np.zeros((len(texts), width), np.float32)
        for i, text in enumerate(texts):
            if (vector := found.get(text)) is not None:
                out[i] = vector
        return out

    def outcomes(self, groups: Sequence[Sequence[str]]) -> list[Reply | Exception]:
        requests = [Request(messages=tuple(Message(role="user", content=t) for t in group), max_tokens=0) for group in groups]
        return self.ask(requests) if self.ask else [directly(self.model, request) for request in requests]


def vectors_of(outcome: Reply | Exception) -> list[Any]:
    """Rows of length 1; [None] of what was declined. Raises every other exception."""
    import numpy as np

    if isinstance(outcome, Declined):
        return [None]
    if not isinstance(outcome, Reply):
        raise outcome
    vectors = [np.frombuffer(base64.b64decode(text), "<f4") for text in outcome.texts]
    return [vector / norm if (norm := float(np.linalg.norm(vector))) else None for vector in vectors]


def directly(model: EmbeddingModel, request: Request) -> Reply | Exception:
    """Without a store, as a deployed student asks: again after a pause where that may help."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return model.ask(request)
        except Transient as error:
            if attempt == ATTEMPTS:
                return error
            time.sleep(error.retry_after_s if error.retry_after_s is not None else back_off_s(attempt))
        except Declined as no:
            return no
    raise AssertionError("unreachable")


def open_embedder(spec: str, price: Price | None = None, ask: Ask | None = None) -> Embedder:
    """See `open_model`."""
    need("numpy", extra="data")
    return Embedder(open_model(spec, price), ask)
