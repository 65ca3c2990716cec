"""A server with the Batch interface of the OpenAI API (files, batches, their results), for tests. Standard library only.

Written after the API reference (Files, Batches), with the states and error codes that it names. A function answers each row."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from limbeck.testing.chat_server import Answer


@dataclass
class Plan:
    """What becomes of the next batches. looks: how often it is still in progress when asked. state: how it ends; expired
    and cancelled have answered `answered` rows by then. errors: of a batch that failed: [{"code", "message", "line"}].
    at_create: HTTP statuses before the batch is taken; 0 = it is taken, and the connection breaks off before it is said."""

    looks: int = 1
    state: str = "completed"
    answered: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    at_create: list[int] = field(default_factory=list)


class BatchServer:
    """with BatchServer(answer) as server: ... server.address. answer(body) -> (status, body). plans: one per batch to come,
    the last for all that follow. asked: {custom id: how often a batch answered it}, what a provider would bill.
    at_once: bodies of ordinary questions. batches: what was created, in order."""

    def __init__(self, answer: Callable[[dict[str, Any]], Answer], *plans: Plan):
        self.answer, self.plans = answer, list(plans) or [Plan()]
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.left: dict[str, tuple[Plan, int]] = {}
        self.asked: Counter[str] = Counter()
        self.at_once: list[dict[str, Any]] = []
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self) -> BatchServer:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    # ---- what the interface offers -----------------------------------------------------------------------------

    def keep_file(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """(status, batch). 0: made, and the connection is to break."""
        plan = self.plans[0]
        if plan.at_create and plan.at_create[0]:
            status = plan.at_create.pop(0)
            return status, {"error": {"message": "try later", "type": "server_error"}}
        if body.get("endpoint") != "/v1/chat/completions" or body.get("completion_window") != "24h":
            return 400, {"error": {"message": "unsupported endpoint or window", "type": "invalid_request_error"}}
        if len(self.plans) > 1:
            self.plans.pop(0)
        name = f"batch_{len(self.batches)}"
        rows = len(self.files[body["input_file_id"]].splitlines())
        self.batches[name] = {
            "id": name, "object": "batch", "endpoint": body["endpoint"], "input_file_id": body["input_file_id"],
            "completion_window": "24h", "status": "validating", "output_file_id": None, "error_file_id": None, "errors": None,
            "created_at": 0, "metadata": body.get("metadata"), "request_counts": {"total": rows, "completed": 0, "failed": 0},
        }  # fmt: skip
        self.left[name] = (plan, plan.looks)
        return (0 if plan.at_create else 200), self.batches[name]

    def look(self, name: str) -> dict[str, Any]:
        plan, looks = self.left[name]
        batch = self.batches[name]
        if batch["status"] in ("validating", "in_progress"):
            self.left[name] = (plan, looks - 1)
            batch["status"] = "in_progress"
            if looks <= 0:
                self.finish(batch, plan)
        return batch

    def finish(self, batch: dict[str, Any], plan: Plan) -> None:
        batch["status"] = plan.state
        if plan.state == "failed":
            batch["errors"] = {"object": "list", "data": plan.errors}
            return
        outputs: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for number, line in enumerate(self.files[batch["input_file_id"]].splitlines()):
            row = json.loads(line)
            if plan.state in ("expired", "cancelled") and number >= plan.answered:
                code = "batch_expired" if plan.state == "expired" else "batch_cancelled"
                errors.append({"custom_id": row["custom_id"], "response": None, "error": {"code": code, "message": "not run"}})
                continue
            status, body = self.answer(row["body"])[:2]
            if status == 200:
                self.asked[row["custom_id"]] += 1
            told = {"id": f"r{number}", "custom_id": row["custom_id"], "response": {"status_code": status, "body": body}, "error": None}
            (outputs if status == 200 else errors).append(told)
        for key, rows in (("output_file_id", outputs), ("error_file_id", errors)):
            if rows:
                batch[key] = self.keep_file("".join(json.dumps(r) + "\n" for r in reversed(rows)).encode())  # in no order
        batch["request_counts"].update(completed=len(outputs), failed=len(errors))


def handler_of(server: BatchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            pass

        def send(self, status: int, payload: Any = None) -> None:
            data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            with suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def do_GET(self) -> None:
            parts = self.path.partition("?")[0].removeprefix("/v1/").split("/")
            with server.lock:
                if parts == ["batches"]:
                    newest = list(server.batches.values())[::-1]
                    return self.send(200, {"object": "list", "data": newest, "has_more": False})
                if parts[0] == "batches" and parts[1] in server.batches:
                    return self.send(200, server.look(parts[1]))
                if parts[0] == "files" and parts[1] in server.files and parts[2:] == ["content"]:
                    return self.send(200, server.files[parts[1]])
            return self.send(404, {"error": {"message": f"no {self.path}", "type": "invalid_request_error"}})

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            with server.lock:
                if self.path == "/v1/files":
                    head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
                    form: Any = BytesParser().parsebytes(head + raw).get_payload()
                    parts = {part.get_param("name", header="content-disposition"): part for part in form}
                    if parts["purpose"].get_payload() != "batch":
                        return self.send(400, {"error": {"message": "purpose", "type": "invalid_request_error"}})
                    return self.send(200, {"id": server.keep_file(parts["file"].get_payload(decode=True)), "object": "file", "bytes": len(raw),
                                           "created_at": 0, "filename": "requests.jsonl", "purpose": "batch", "status": "processed"})  # fmt: skip
                body = json.loads(raw or b"{}")
                if self.path == "/v1/batches":
                    status, made = server.create(body)
                    if status == 0:
                        self.close_connection = True
                        self.connection.close()
                        return None
                    return self.send(status, made)
                if self.path == "/v1/chat/completions":
                    server.at_once.append(body)
                    return self.send(*server.answer(body)[:2])
            return self.send(404, {"error": {"message": f"no {self.path}", "type": "invalid_request_error"}})

    return Handler
