"""A teacher behind the Batch interface of an OpenAI-compatible endpoint: half the price, and answers within a day.

What it does over HTTP: upload a file of requests, create a batch, look how far it is, download what came of each row.
When, how much at once and for how much money is decided in bulk.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

from limbeck.errors import Declined, ProviderError, Transient
from limbeck.registry import Teacher
from limbeck.teachers.openai_api import OPTIONAL, TRY_AGAIN, OpenAITeacher, address_and_model, read_reply, refused_argument
from limbeck.types import Price, Reply, Request

PREFIX = "openai-batch:"
SHARE = 0.5  # of the ordinary price: developers.openai.com, Batch API guide, 2025
ENDPOINT = "/v1/chat/completions"
WINDOW = "24h"  # the only one there is
TOKEN = "limbeck"  # key of our token in the batch's metadata
TRANSFER_TIMEOUT_S = 300.0

T = TypeVar("T")


def open_teacher(spec: str, price: Price | None = None) -> Teacher:
    """spec: `openai-batch:` and then what the ordinary teacher takes. price: of the ordinary interface; halved here."""
    address, model = address_and_model(spec.removeprefix(PREFIX))
    return OpenAIBatchTeacher(OpenAITeacher(address, model, price))


def halved(price: Price) -> Price:
    """Whether the discount for cached tokens comes on top is not said: they are counted in full."""
    source = f"half of the ordinary price, as the Batch interface asks ({price.source or 'given'})"
    return Price(
        usd_per_mtok_in=price.usd_per_mtok_in * SHARE, usd_per_mtok_out=price.usd_per_mtok_out * SHARE, source=source, date=price.date
    )


@dataclass(frozen=True)
class Look:
    """How far a batch is. state: the provider's word. files: of outputs and of errors. troubles: (line or 0, code, message)
    of a batch that was refused as a whole."""

    state: str
    answered: int = 0
    files: tuple[str, ...] = ()
    troubles: tuple[tuple[int, str, str], ...] = ()

    @property
    def over(self) -> bool:
        return self.state in ("completed", "failed", "expired", "cancelled")


class OpenAIBatchTeacher:
    """See `limbeck.registry.Teacher` and `limbeck.teachers.bulk.InBulk`. direct: the same model, one question at a time at the
    full price. The fingerprint is the direct teacher's: an answer is an answer, and is paid for once, whichever way it came."""

    remote = True
    recording = False

    def __init__(self, direct: OpenAITeacher):
        self.direct = direct
        self.name, self.model, self.fingerprint = direct.name, direct.model, direct.fingerprint
        self.price = halved(direct.price) if direct.price else None

    def ask(self, request: Request, timeout_s: float = 60.0) -> Reply:
        return self.direct.ask(request, timeout_s)

    # ---- out -----------------------------------------------------------------------------------------------

    def upload(self, requests: Mapping[str, Request]) -> str:
        """Id of the file. Raises Transient, or what no other try would change."""
        lines = "".join(self.line(address, request) + "\n" for address, request in requests.items()).encode()
        return self.told(
            lambda: self.direct.client.files.create(
                file=("requests.jsonl", lines, "application/jsonl"), purpose="batch", timeout=TRANSFER_TIMEOUT_S
            )
        ).id

    def line(self, address: str, request: Request) -> str:
        body = self.direct.arguments(request, self.direct.dropped, self.direct.limit_name)
        return json.dumps({"custom_id": address, "method": "POST", "url": ENDPOINT, "body": body}, ensure_ascii=False)

    def create(self, file_id: str, token: str) -> str:
        """Id of the batch."""
        create = self.direct.client.batches.create
        made = self.told(
            lambda: create(input_file_id=file_id, endpoint=ENDPOINT, completion_window=WINDOW, metadata={TOKEN: token}, timeout=60.0)  # type: ignore[arg-type]
        )
        return str(made.id)

    def find(self, token: str) -> str | None:
        """Id of the batch that carries our token; None where there is none."""

        def search() -> str | None:
            for batch in self.direct.client.batches.list(limit=100, timeout=60.0):
                if (batch.metadata or {}).get(TOKEN) == token:
                    return str(batch.id)
            return None

        return self.told(search)

    # ---- in ------------------------------------------------------------------------------------------------

    def look(self, batch_id: str) -> Look:
        batch = self.told(lambda: self.direct.client.batches.retrieve(batch_id, timeout=60.0))
        counts = batch.request_counts
        errors = batch.errors.data if batch.errors and batch.errors.data else []
        return Look(
            state=str(batch.status),
            answered=(counts.completed + counts.failed) if counts else 0,
            files=tuple(f for f in (batch.output_file_id, batch.error_file_id) if f),
            troubles=tuple((int(e.line or 0), str(e.code or ""), str(e.message or "")) for e in errors),
        )

    def collect(self, look: Look, requests: Mapping[str, Request]) -> dict[str, Reply | Exception]:
        """{address: Reply, Declined (final) or Transient} of every row that the files tell of; a line that cannot be read
        is a row that they do not tell of."""
        found: dict[str, Reply | Exception] = {}
        for file_id in look.files:
            content = self.told(lambda file_id=file_id: self.direct.client.files.content(file_id, timeout=TRANSFER_TIMEOUT_S).content)  # type: ignore[misc]
            for row in rows_of(content):
                address = row.get("custom_id")
                if isinstance(address, str) and address in requests:
                    found[address] = self.outcome(row, requests[address])
        return found

    def outcome(self, row: dict[str, Any], request: Request) -> Reply | Exception:
        response = row.get("response") if isinstance(row.get("response"), dict) else None
        if response is None:
            error = row.get("error") if isinstance(row.get("error"), dict) else {}
            code, message = str((error or {}).get("code") or "no_response"), str((error or {}).get("message") or "")
            return Transient(f"the batch brought no answer to this row: {code}", message[:500], kind=code)
        status, body = int(response.get("status_code") or 0), response.get("body")
        if status == 200:
            try:
                return read_reply(json.dumps(body).encode(), request, 0.0)
            except Transient as broken:
                return broken
        told: dict[str, Any] = body["error"] if isinstance(body, dict) and isinstance(body.get("error"), dict) else {}
        message, kind = str(told.get("message") or body)[:500], str(told.get("code") or told.get("type") or status)
        sent = self.direct.arguments(request, set(), self.direct.limit_name)
        name = refused_argument(SimpleNamespace(status_code=status, param=told.get("param"), body=told), sent)
        if name in OPTIONAL and name not in self.direct.dropped:
            self.direct.dropped.add(name)
        if name in OPTIONAL:
            return Transient(f"the endpoint refuses {name}: it is left out from now on", message, kind="refused_argument")
        if status in (400, 413, 422) or (status == 403 and "flagged" in message.lower()):
            return Declined(f"{self.direct.address} declined the request (HTTP {status})", message, kind=kind)
        where = "" if status in TRY_AGAIN or status >= 500 else ", in a batch that it took"
        return Transient(f"{self.direct.address} answered HTTP {status}{where}", message, kind=kind, status=status)

    def told(self, call: Callable[[], T]) -> T:
        """The client's errors as ours; an address without a Batch interface is said to be one."""
        import openai

        try:
            return call()
        except openai.NotFoundError as error:
            raise ProviderError(
                f"{self.direct.address} has no Batch interface, or has lost the batch",
                self.direct.without_key(str(error))[:300],
                f"--teacher {self.direct.fingerprint}, which asks one question at a time",
                kind="no_batch",
            ) from error
        except openai.OpenAIError as error:
            ours = self.direct.translated(error, TRANSFER_TIMEOUT_S)
            if isinstance(ours, Declined):  # of the batch, not of a row
                raise ProviderError(ours.what, ours.have, ours.do, kind=ours.kind) from error
            raise ours from error


def rows_of(content: bytes) -> Iterable[dict[str, Any]]:
    for line in content.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


__all__ = ["Look", "OpenAIBatchTeacher", "halved", "open_teacher"]
