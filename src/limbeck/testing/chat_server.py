"""A small OpenAI-compatible server on a free port, for tests: a function decides what it answers. Standard library only."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]  # status, body (bytes are sent as they are), headers


def completion(*texts: str, usage: tuple[int, int] | None = (10, 2), finish: str = "stop") -> dict[str, Any]:
    """A chat completion. usage: (prompt tokens, completion tokens), None = the server does not tell."""
    choices = [{"index": i, "finish_reason": finish, "message": {"role": "assistant", "content": text}} for i, text in enumerate(texts)]
    body: dict[str, Any] = {"id": "x", "object": "chat.completion", "created": 0, "model": "small", "choices": choices}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return body


def embeddings(texts: list[str], vector: Callable[[str], list[float]], tokens: int | None = None) -> dict[str, Any]:
    """What POST /v1/embeddings answers, the last text first, for the order is told by `index`. tokens: None = the server does not
    tell."""
    data = [{"object": "embedding", "index": i, "embedding": vector(text)} for i, text in enumerate(texts)][::-1]
    body: dict[str, Any] = {"object": "list", "model": "small", "data": data}
    return body | ({} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


class ChatServer:
    """with ChatServer(answer) as server: ... server.address. answer(body) -> Answer; bodies, keys: what came, in order."""

    def __init__(self, answer: Callable[[dict[str, Any]], Answer]):
        bodies: list[dict[str, Any]] = []
        keys: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                bodies.append(body)
                keys.append(self.headers.get("Authorization", ""))
                status, payload, headers = (*answer(body), {})[:3]
                data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                with suppress(OSError):  # the client may have gone away
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)

        self.bodies, self.keys = bodies, keys
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
