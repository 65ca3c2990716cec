"""A small stand-in for the Hub on a free port, for tests: a folder of data sets behind the Hub's own addresses. Standard library only.

/api/datasets?search=&limit=          cards, with tags made from the front matter of each README
/api/datasets/<id>[/revision/<rev>]   one card and its files
/datasets/<id>/resolve/<rev>/<path>   a file, whole or by range

The folder holds <owner>/<name>/README.md and data files; what the Hub would have converted lies in <owner>/<name>/.converted."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class Quiet(ThreadingHTTPServer):
    """A client that goes away in the middle of a file is what is tested, no error to print."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class HubServer:
    """with HubServer(folder) as hub: ... hub.address. gated: ids that want a login. asked: paths that came; sent: bytes of files.
    broken: the status that everything is answered with."""

    def __init__(self, root: Path, gated: Sequence[str] = (), broken: int = 0):
        self.root, self.gated, self.broken = root, set(gated), broken
        self.asked: list[str] = []
        self.sent = 0
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                hub.asked.append(self.path)
                hub.answer(self)

            def do_HEAD(self) -> None:
                self.do_GET()

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    # ---- answers ------------------------------------------------------------------------------------------------

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        url = urlsplit(to.path)
        if self.broken:
            return reply(to, self.broken, b"{}")
        if url.path == "/api/datasets":
            asked = parse_qs(url.query)
            word, limit = asked.get("search", [""])[0].lower(), int(asked.get("limit", ["100"])[0])
            cards = [self.card(name) for name in self.names() if word in name.lower()]
            return reply(to, 200, json.dumps(sorted(cards, key=lambda c: -c["downloads"])[:limit]).encode())
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/revision/(.+))?", url.path):
            return self.info(to, found[1], unquote(found[2] or "main"))
        if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", url.path):
            return self.file(to, found[1], unquote(found[2]), unquote(found[3]))
        reply(to, 404, b"{}")

    def names(self) -> list[str]:
        return sorted(f"{f.parent.name}/{f.name}" for f in self.root.glob("*/*") if f.is_dir())

    def folder(self, name: str, revision: str) -> Path:
        return self.root / name / (".converted" if revision == "refs/convert/parquet" else "")

    def card(self, name: str) -> dict[str, Any]:
        import yaml  # type: ignore[import-untyped]

        readme = self.root / name / "README.md"
        matter = re.match(r"---\n(.*?)\n---", readme.read_text(encoding="utf-8"), re.S) if readme.is_file() else None
        facts = yaml.safe_load(matter[1]) if matter else {}
        tags = [f"{key}:{v}" for key in ("license", "language", "task_categories") for v in ([facts[key]] if isinstance(facts.get(key), str) else facts.get(key, []))]  # fmt: skip
        gated: Any = "manual" if name in self.gated else False
        return {"id": name, "tags": tags + facts.get("tags", []), "gated": gated, "downloads": facts.get("downloads", 1), "description": facts.get("pretty_name", ""), "private": False}  # fmt: skip

    def info(self, to: BaseHTTPRequestHandler, name: str, revision: str) -> None:
        folder = self.folder(name, revision)
        if not folder.is_dir():
            code = "RevisionNotFound" if name in self.names() else "RepoNotFound"
            return reply(to, 404, b"{}", {"X-Error-Code": code})
        files = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file() and (".converted" not in f.relative_to(folder).parts))  # fmt: skip
        reply(to, 200, json.dumps({**self.card(name), "siblings": [{"rfilename": f} for f in files]}).encode())

    def file(self, to: BaseHTTPRequestHandler, name: str, revision: str, path: str) -> None:
        if name in self.gated and not to.headers.get("Authorization"):
            return reply(to, 401, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "a login is wanted"})
        file = self.folder(name, revision) / path
        if not file.is_file():
            return reply(to, 404, b"{}", {"X-Error-Code": "EntryNotFound"})
        data = file.read_bytes()
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", to.headers.get("Range", ""))
        if asked:
            first = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
            last = min(int(asked[2]), len(data) - 1) if asked[1] and asked[2] else len(data) - 1
            part = data[first : last + 1]
            self.sent += len(part)
            return reply(to, 206, part, {"Content-Range": f"bytes {first}-{last}/{len(data)}"})
        self.sent += reply_slowly(to, data)


def reply(to: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    with suppress(OSError):
        to.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
            to.send_header(name, value)
        to.end_headers()
        if to.command != "HEAD":
            to.wfile.write(body)


def reply_slowly(to: BaseHTTPRequestHandler, data: bytes, block: int = 1 << 16) -> int:
    """Block by block, so that a client which has had enough can go; the bytes that were written."""
    written = 0
    try:
        to.send_response(200)
        to.send_header("Content-Length", str(len(data)))
        to.end_headers()
        for start in range(0, len(data) if to.command != "HEAD" else 0, block):
            to.wfile.write(data[start : start + block])
            written += len(data[start : start + block])
    except OSError:
        to.close_connection = True
    return written
