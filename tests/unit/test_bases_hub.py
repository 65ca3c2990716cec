"""The refresh of the base catalogue, against a local server that follows the Hub's model listing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from limbeck.bases.catalogue import SHIPPED, load_catalogue, user_file
from limbeck.bases.hub import EXPAND, languages_of, refresh
from limbeck.errors import MissingError

hub_constants = pytest.importorskip("huggingface_hub.constants")
KINDS = ("fill-mask", "text-generation")


def listed(name: str, architecture: str | None = "BertForMaskedLM", parameters: int | None = 110_000_000, **more: Any) -> dict[str, Any]:
    """One entry of GET /api/models as the Hub sends it with `expand`."""
    entry: dict[str, Any] = {
        "_id": "0",
        "id": name,
        "downloads": 1234,
        "gated": False,
        "tags": ["license:mit", "en"],
        "pipeline_tag": "fill-mask",
    }
    entry["config"] = {"architectures": [architecture]} if architecture else {}
    if parameters:
        entry["safetensors"] = {"parameters": {"F32": parameters}, "total": parameters}
    return {**entry, **more}


class Hub:
    """GET /api/models in pages, next page in the Link header. pages: kind -> list of pages; a page is a list, a status or bytes."""

    def __init__(self, pages: dict[str, list[Any]]):
        self.pages, self.queries = pages, []


@contextmanager
def serving(pages: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub(pages)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            hub.queries.append((parts.path, query))
            kind, at = query["pipeline_tag"][0], int(query.get("cursor", ["0"])[0])
            of_kind = hub.pages.get(kind, [[]])
            page = of_kind[at]
            status = page if isinstance(page, int) else 200
            body = page if isinstance(page, bytes) else json.dumps({"error": "no"} if isinstance(page, int) else page).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if at + 1 < len(of_kind):
                self.send_header("Link", f'<{address}/api/models?pipeline_tag={kind}&cursor={at + 1}>; rel="next"')
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def test_a_refresh_follows_pages_and_writes_a_catalogue_of_the_same_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = listed("org/bert-x", cardData={"language": ["de", "en"], "license": "Apache-2.0", "datasets": ["wikipedia"], "tags": ["legal"]})
    second = listed("org/gpt-x", "GPT2LMHeadModel", 60_000_000, pipeline_tag="text-generation", gated="manual", downloads=77)
    pages = {"fill-mask": [[first], [listed("org/t5-x", "T5ForConditionalGeneration")]], "text-generation": [[second, first]]}
    with serving(pages, monkeypatch) as hub:
        done = refresh(tmp_path / "mine.json", KINDS)
    path, query = hub.queries[0]
    assert path == "/api/models" and query["sort"] == ["downloads"] and query["expand"] == EXPAND
    assert load_catalogue(tmp_path / "mine.json") == done.catalogue
    found = {m.id: m for m in done.catalogue.models}
    assert list(found) == ["org/bert-x", "org/t5-x", "org/gpt-x"]
    bert, gpt = found["org/bert-x"], found["org/gpt-x"]
    assert (bert.family, bert.parameters, bert.size_mb, bert.downloads) == ("encoder", 110_000_000, 220.0, 1234)
    assert (bert.languages, bert.licence, bert.gated) == (("de", "en"), "apache-2.0", False)
    assert "wikipedia" in bert.good_at and "legal" in bert.good_at
    assert (gpt.family, gpt.gated, gpt.licence, found["org/t5-x"].family) == ("causal", True, "mit", "seq2seq")
    assert not done.failed and not done.skipped


def test_without_a_name_the_refresh_becomes_the_users_own_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with serving({"fill-mask": [[listed("org/new")]]}, monkeypatch):
        assert refresh(kinds=("fill-mask",)).path == user_file()
    assert {m.id for m in load_catalogue().models} == {m.id for m in load_catalogue(SHIPPED).models} | {"org/new"}


def test_what_cannot_be_a_base_is_put_aside_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = [
        listed("org/pickled", parameters=None),
        listed("org/huge", parameters=70_000_000_000),
        listed("org/odd", "CLIPVisionThing"),
        listed("org/unnamed", None),
        listed("org/nulls", downloads=None, tags=None, cardData=None),
    ]
    with serving({"fill-mask": [page]}, monkeypatch):
        done = refresh(tmp_path / "c.json", ("fill-mask",))
    assert [m.id for m in done.catalogue.models] == ["org/nulls"]
    assert "no safetensors" in done.skipped["org/pickled"] and "70 billion" in done.skipped["org/huge"]
    assert "CLIPVisionThing" in done.skipped["org/odd"] and "unknown" in done.skipped["org/unnamed"]


@pytest.mark.parametrize("broken", [403, b"<html>not json</html>"])
def test_a_failure_half_way_keeps_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Any):
    said: list[str] = []
    pages = {"fill-mask": [[listed("org/came")], broken], "text-generation": [[listed("org/later", "GPT2LMHeadModel")]]}
    with serving(pages, monkeypatch):
        done = refresh(tmp_path / "c.json", KINDS, note=said.append)
    assert [m.id for m in load_catalogue(tmp_path / "c.json").models] == ["org/came", "org/later"]
    assert list(done.failed) == ["fill-mask"] and done.failed["fill-mask"]
    assert "1 models so far, then" in said[0] and said[1] == "text-generation: 2 models so far"


def test_nothing_at_all_is_an_error_in_three_parts_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = tmp_path / "c.json"
    old.write_text("old")
    with serving({"fill-mask": [403]}, monkeypatch), pytest.raises(MissingError) as caught:
        refresh(old, ("fill-mask",))
    assert "127.0.0.1" in caught.value.what and "403" in caught.value.have and "--refresh" in caught.value.do
    assert old.read_text() == "old"


def test_offline_is_an_error_in_three_parts_after_one_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with serving({}, monkeypatch) as hub:
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(MissingError) as caught:
            refresh(tmp_path / "c.json")
    assert not hub.queries and not (tmp_path / "c.json").exists()
    assert "offline" in caught.value.have.lower() and "HF_HUB_OFFLINE" in caught.value.do


def test_languages_are_codes_and_fifty_are_many():
    assert languages_of("de", []) == ("de",)
    assert languages_of(["de", "fr", "de", "code"], []) == ("de", "fr")
    assert languages_of("multilingual", []) == languages_of([f"a{chr(97 + i % 26)}" for i in range(52)], []) == ("mul",)
    assert languages_of(None, ["pytorch", "fr", "region:us"]) == ("fr",)
    assert languages_of(None, []) == ("en",)
