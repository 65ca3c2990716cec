"""A teacher behind any OpenAI-compatible endpoint.

Endpoints differ in what they accept. An argument that one refuses (400 or 422 that names it) is left out from then on;
`max_tokens` is never left out, it only changes its name, so that the cost of a reply stays bounded."""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any
from urllib.parse import urlsplit

from limbeck.errors import Declined, MissingKey, ProviderError, Transient, UsageError
from limbeck.registry import Teacher
from limbeck.teachers.tokens import tokens_in_of, tokens_of
from limbeck.types import Price, Reply, Request

DEFAULT_ADDRESS = "https://api.openai.com/v1"
KEYS = ("LIMBECK_API_KEY", "OPENAI_API_KEY")  # the first that is set is sent
LIMITS = ("max_tokens", "max_completion_tokens")  # the first is what most servers know; newer OpenAI models want the second
OPTIONAL = ("response_format", "temperature", "seed", "n")
TRY_AGAIN = (408, 409, 425, 429)


def open_teacher(spec: str, price: Price | None = None) -> Teacher:
    """spec: `http(s)://host:port/v1#model`, or a model name at OPENAI_BASE_URL (https://api.openai.com/v1)."""
    address, model = address_and_model(spec)
    return OpenAITeacher(address, model, price)


def address_and_model(spec: str) -> tuple[str, str]:
    """Base address without a trailing slash, and model. A secret in an address would end up in run.json: refused."""
    if spec.startswith(("http://", "https://")):
        address, _, model = spec.partition("#")
        have, do = f"--teacher {address}", f"--teacher {address}#MODEL"
    else:
        address, model = os.environ.get("OPENAI_BASE_URL", "").strip() or DEFAULT_ADDRESS, spec
        have, do = f"OPENAI_BASE_URL={address}", "export OPENAI_BASE_URL=http://HOST:PORT/v1"
    try:
        parts = urlsplit(address)
        reachable = bool(parts.hostname) and parts.scheme in ("http", "https") and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        reachable = False
    if not reachable:
        raise UsageError("the address of the teacher is none", have, "--teacher http://HOST:PORT/v1#MODEL")
    if parts.username or parts.password or parts.query:
        raise UsageError(
            "the address of the teacher holds a user name, a password or a query, and would be written down",
            f"the host is {parts.hostname}",
            f"leave it out, and: export {KEYS[0]}=...",
        )
    if not model:
        raise UsageError("the teacher's address names no model", have, do)
    return address.rstrip("/"), model


class OpenAITeacher:
    """See `limbeck.registry.Teacher`. dropped: the optional arguments that this endpoint refused."""

    remote = True
    recording = False

    def __init__(self, address: str, model: str, price: Price | None):
        from openai import OpenAI

        self.address, self.model, self.price = address, model, price
        self.name = model
        self.fingerprint = f"{address}#{model}"
        self.dropped: set[str] = set()
        self.limit_name = LIMITS[address == DEFAULT_ADDRESS]
        self.key_name = next((name for name in KEYS if os.environ.get(name)), None)
        if self.key_name is None and address == DEFAULT_ADDRESS:
            raise MissingKey(f"{model} at {address} wants a key", f"neither {' nor '.join(KEYS)} is set", f"export {KEYS[0]}=...")
        key = os.environ[self.key_name].strip() if self.key_name else "no-key"  # the client insists on one; your own server does not
        if not (key.isascii() and key.isprintable()):
            raise MissingKey(f"the key in {self.key_name} cannot be sent", "it holds signs that no key has", f"export {self.key_name}=...")
        self.client = OpenAI(api_key=key, base_url=address, max_retries=0)  # the store retries: it knows the cap

    def ask(self, request: Request, timeout_s: float = 60.0) -> Reply:
        """Raises MissingKey, Transient, Declined, or ProviderError where no request of this kind will be answered."""
        import openai

        dropped, first_limit_name = set(self.dropped), self.limit_name
        limit_name = first_limit_name
        schema_at_fault = False
        while True:
            sent = self.arguments(request, dropped, limit_name)
            started = time.monotonic()
            try:
                raw = self.client.chat.completions.with_raw_response.create(**sent, timeout=timeout_s)
                break
            except openai.OpenAIError as error:
                name = refused_argument(error, sent)
                if name in OPTIONAL:
                    dropped.add(name)
                    schema_at_fault |= name == "response_format" and "invalid schema" in str(error).lower()
                elif name == limit_name == first_limit_name:
                    limit_name = LIMITS[1 - LIMITS.index(limit_name)]
                else:
                    raise self.translated(error, timeout_s) from error
        latency_ms = (time.monotonic() - started) * 1000
        # remembered only now, when leaving it out has helped; one bad schema says nothing about the next
        self.dropped |= dropped - ({"response_format"} if schema_at_fault else set())
        self.limit_name = limit_name
        return read_reply(raw.content, request, latency_ms)

    def arguments(self, request: Request, dropped: set[str], limit_name: str) -> dict[str, Any]:
        """What goes into the body. Without `response_format` the schema still stands in the prompt."""
        sent: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": sendable(m.content)} for m in request.messages],
            "temperature": request.temperature,
            limit_name: request.max_tokens,
        }
        if request.reply_schema is not None:
            schema = json.loads(request.reply_schema)
            named = {"name": "reply", "schema": schema, "strict": fits_strict(schema)}
            sent["response_format"] = {"type": "json_schema", "json_schema": named}
        if request.n > 1:
            sent["n"] = request.n
        if request.seed is not None:
            sent["seed"] = request.seed
        return {name: value for name, value in sent.items() if name not in dropped}

    def translated(self, error: Any, timeout_s: float) -> Exception:
        """The client's error, as what the store can do about it."""
        import openai

        if isinstance(error, openai.APITimeoutError):
            return Transient(f"no answer from {self.address} within {timeout_s:.0f} s", kind="timeout")
        if isinstance(error, openai.APIConnectionError):
            do = f"is a server running there? curl {self.address}/models"
            return Transient(f"{self.address} cannot be reached", str(error.__cause__ or error), do, kind="connection")
        if not isinstance(error, openai.APIStatusError):
            return ProviderError(f"the request to {self.address} failed", self.without_key(str(error)), kind=type(error).__name__)
        status, message = int(error.status_code), self.without_key(message_of(error))
        kind = str(error.code or error.type or status)
        if status == 401 or (status == 403 and "flagged" not in message.lower()):
            have = f"{self.key_name} is set, and was sent" if self.key_name else f"neither {' nor '.join(KEYS)} is set"
            have += f"; it says: {message}" if status == 403 else ""  # a 401 likes to quote a part of the key
            return MissingKey(f"{self.address} refuses the key (HTTP {status})", have, f"export {KEYS[0]}=...")
        if status == 402 or "insufficient_quota" in (error.code, error.type):
            return ProviderError(
                f"{self.address} says that the account has no credit left",
                message,
                "top it up, then the same command: it resumes",
                kind=kind,
            )
        if status in TRY_AGAIN or status >= 500:
            wait_s = retry_after_s(error.response.headers)
            return Transient(f"{self.address} answered HTTP {status}", message, kind=str(status), retry_after_s=wait_s, status=status)
        if status == 404:  # the address or the model, never the row: no request will fare better
            return ProviderError(
                f"{self.address} does not know the model {self.model!r}, or is no /v1 address",
                message,
                f"curl {self.address}/models",
                kind=kind,
            )
        return Declined(f"{self.address} declined the request (HTTP {status})", message, kind=kind)

    def without_key(self, text: str) -> str:
        return text.replace(self.client.api_key, "***")


def refused_argument(error: Any, sent: dict[str, Any]) -> str | None:
    """The name of the argument that a 400 or 422 complains about: its own field `param`, else a name in its message."""
    if getattr(error, "status_code", None) not in (400, 422):
        return None
    ours = (*OPTIONAL, *LIMITS)
    if error.param and (head := re.split(r"[.\[]", error.param)[0]) in sent:
        return head if head in ours else None
    text = json.dumps(error.body, default=str) if error.body else str(error)
    if "response_format" in sent and re.search(r"response_format|json_schema|structured output", text, re.I):
        return "response_format"
    quoted = (name for name in ours if name in sent and re.search(rf"(?<![A-Za-z_]){name}(?![A-Za-z_])", text) and name != "n")
    return next(quoted, "n" if "n" in sent and re.search(r"[\"'`]n\\?[\"'`]", text) else None)


def fits_strict(schema: Any) -> bool:
    """Strict mode wants every object closed, and every property required."""
    if isinstance(schema, list):
        return all(map(fits_strict, schema))
    if not isinstance(schema, dict):
        return True
    closed = schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(schema.get("properties", ()))
    if schema.get("type") == "object" and not closed:
        return False
    return all(map(fits_strict, schema.values()))


def message_of(error: Any) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or body or error)[:500]


def retry_after_s(headers: Any) -> float | None:
    """Seconds from `retry-after-ms` or `Retry-After` (seconds, or a date). None where there is none that can be read."""
    from email.utils import parsedate_to_datetime

    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers.get(name, "")) * unit)
        except ValueError:
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def read_reply(content: bytes, request: Request, latency_ms: float) -> Reply:
    """A 200 body. One that is no chat completion is Transient; a text that is empty or nonsense is a reply like any other."""
    try:
        body = json.loads(content)
        choices = body["choices"]
        texts = tuple(text_of(choice["message"]) for choice in choices)
        finish = tuple(str(choice.get("finish_reason") or "stop") for choice in choices)
        if not texts:
            raise ValueError("no choices")
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        have = content[:200].decode("utf-8", "replace")
        raise Transient("the teacher's answer is no chat completion", have, kind="malformed", status=200) from broken
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    told = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    estimated = not all(isinstance(n, int) and n >= 0 for n in told)
    tokens_in, tokens_out = (tokens_in_of(request), tokens_of(texts)) if estimated else (int(n or 0) for n in told)
    return Reply(
        texts=texts,
        finish=finish,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_cached=0 if estimated else cached_of(usage, tokens_in),
        latency_ms=latency_ms,
        model=str(body.get("model") or ""),
        estimated=estimated,
    )


def cached_of(usage: dict[str, Any], tokens_in: int) -> int:
    """Of the tokens in, those that the provider had in its prefix cache; 0 where it does not say."""
    details = usage.get("prompt_tokens_details")
    told = details.get("cached_tokens") if isinstance(details, dict) else None
    return min(told, tokens_in) if isinstance(told, int) and told > 0 else 0


def text_of(message: dict[str, Any]) -> str:
    """Some endpoints give the content in parts; a refusal is what was said instead."""
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return sendable(str(content))


def sendable(text: str) -> str:
    """Half a surrogate pair, which JSON can carry and UTF-8 cannot, becomes "?"."""
    return text.encode("utf-8", "replace").decode()
