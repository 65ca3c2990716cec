"""Embeddings from an endpoint, over real HTTP: paid for once, capped, one bad text costs one row, and no other model's queries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from limbeck import indexing
from limbeck.contexts import passages
from limbeck.contexts.passages import build
from limbeck.contexts.search import PassageIndex, open_embedder
from limbeck.errors import CapReached, MissingError, MissingKey, Transient, UsageError
from limbeck.recipes import parse
from limbeck.teachers.embeddings import TEXTS, Embedder, open_model, read_reply
from limbeck.teachers.store import Store
from limbeck.testing.chat_server import ChatServer, embeddings
from limbeck.types import Price, Settings

CENT = Price(usd_per_mtok_in=1000.0, usd_per_mtok_out=0)  # a tenth of a cent per token


def letters(text: str) -> list[float]:
    return [text.lower().count(c) + 0.01 for c in "abcdefghijklmnopqrstuvwxyz"]


def answers(body):
    """Ten tokens a text; a text with "forbidden" in it is declined, and with it whatever came with it."""
    texts = body["input"]
    if any("forbidden" in text for text in texts):
        return 400, {"error": {"message": "a text is not allowed", "type": "invalid_request_error"}}
    return 200, embeddings(texts, letters, tokens=10 * len(texts))


def through(store: Store, server: ChatServer, price: Price = CENT) -> Embedder:
    model = open_model(f"{server.address}#small", price)
    return Embedder(model, lambda requests: store.ask(model, requests, "embeddings"))


@pytest.fixture
def docs(tmp_path) -> Path:
    (tmp_path / "docs").mkdir()
    for name in ("kettle", "lamp", "shop"):
        (tmp_path / "docs" / f"{name}.md").write_text(f"# {name}\n\nThe {name} is here.\n\n# more\n\nNothing more of the {name}.\n")
    return tmp_path / "docs"


def test_vectors_come_back_in_order_at_length_1_and_are_paid_for_once(tmp_path):
    texts = [f"{'ab' * (i % 7)} text {i}" for i in range(TEXTS + 5)]
    with ChatServer(answers) as server, Store(tmp_path / "t.sqlite", cap_usd=5.0) as store:
        embed = through(store, server)
        first = embed([*texts, texts[0]])
        assert len(server.bodies) == 2 and server.bodies[0]["model"] == "small"
        again = embed([*texts, texts[0]])
        ledger = store.ledger()
    assert len(server.bodies) == 2, "what is stored is not asked for again"
    assert np.array_equal(first, again) and np.array_equal(first[0], first[-1])
    wanted = np.array([letters(t) for t in texts], np.float32)
    assert first[:-1] == pytest.approx(wanted / np.linalg.norm(wanted, axis=1, keepdims=True), abs=1e-6)
    assert ledger["by_purpose"]["embeddings"]["spent_usd"] == pytest.approx(len(texts) * 10 * 0.001)


def test_a_text_that_is_declined_costs_no_other_its_vector(tmp_path):
    with ChatServer(answers) as server, Store(tmp_path / "t.sqlite", cap_usd=5.0) as store:
        found = through(store, server)(["one", "forbidden", "two", " "])
    assert [bool(row.any()) for row in found] == [True, False, True, False]


def test_a_server_that_is_busy_is_asked_again(tmp_path):
    said = iter([(503, {"error": {"message": "busy"}})])
    with ChatServer(lambda body: next(said, None) or answers(body)) as server:
        assert open_embedder(f"{server.address}#small")(["one"]).shape == (1, 26), "without a store, as a deployed student asks"
        assert len(server.bodies) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": [{"index": 0, "embedding": []}]},
        {"data": [{"index": 0, "embedding": [1.0, None]}]},
        {"data": [{"index": 0, "embedding": [float("nan")]}]},
        {"choices": []},
        [],
    ],
)
def test_an_answer_without_a_vector_for_each_text_is_no_answer(body):
    with pytest.raises(Transient, match="no vector for each text"):
        read_reply(json.dumps(body).encode(), ["a"], 1.0)


# ---- the index -------------------------------------------------------------------------------------------------------


def test_only_passages_that_are_new_are_sent_and_queries_are_asked_like_them(docs, tmp_path):
    with ChatServer(answers) as server, Store(tmp_path / "t.sqlite", cap_usd=5.0) as store:
        index = build(tmp_path / "index", docs, embedder="x", embed=through(store, server))
        sent = [text for body in server.bodies for text in body["input"]]
        assert len(sent) == len(index) == 6 and index.facts["meaning"]
        (docs / "a-new-one.md").write_text("Zebras.\n")
        server.bodies.clear()
        index = build(tmp_path / "index", docs, embedder="x", embed=through(store, server))
        assert [body["input"] for body in server.bodies] == [["Zebras."]], "the other passages have moved, and are not paid for again"
        assert index.vectors.shape == (7, 26)
        assert index.passage(index.search(["zebras"], 1, "meaning")[0][0].number).text == "Zebras."


def test_money_that_runs_out_leaves_words_alone_and_more_of_it_goes_on_where_it_stood(docs, tmp_path):
    with ChatServer(answers) as server:

        def index(cap_usd: float) -> PassageIndex:
            with Store(tmp_path / "t.sqlite", cap_usd=cap_usd) as store:
                model = open_model(f"{server.address}#small", CENT)
                embed = Embedder(model, lambda requests: store.ask(model, requests, "embeddings"), block=2)
                return build(tmp_path / "index", docs, embedder="x", embed=embed)

        poor = index(0.02)
        assert not poor.facts["meaning"] and "money cap" in poor.facts["why"] and "words alone" in poor.facts["why"]
        assert poor.search(["kettle"], 1)[0], "it searches all the same"
        paid = [text for body in server.bodies for text in body["input"]]
        rich = index(5.0)
        assert rich.facts["meaning"] and rich.vectors.shape == (6, 26)
        sent = [text for body in server.bodies for text in body["input"]]
    assert 0 < len(paid) < 6 and len(sent) == len(set(sent)) == 6, "every passage was paid for once"


def test_queries_of_another_model_are_refused(docs, tmp_path):
    with ChatServer(answers) as server, Store(tmp_path / "t.sqlite", cap_usd=5.0) as store:
        build(tmp_path / "index", docs, embedder=f"{server.address}#small", embed=through(store, server))
        other = open_model(f"{server.address}#large", CENT)
        with pytest.raises(UsageError, match="another model than the passages were"):
            PassageIndex(tmp_path / "index", Embedder(other)).search(["lamp"], 1)
        opened = PassageIndex(tmp_path / "index")  # as a deployed student opens it: the index knows whom to ask
        assert opened.search(["lamp"], 1, "meaning")[0]
        opened.facts["identity"] = ""  # of an embedder without a name, the size of its vectors still tells
        opened.__dict__["embed"] = lambda texts: np.ones((len(texts), 3), np.float32)
        with pytest.raises(UsageError, match="3 numbers per text, and the passages have 26"):
            opened.search(["lamp"], 1, "meaning")


def test_a_folder_with_other_weights_is_another_embedder(docs, tmp_path):
    class Model:
        def __init__(self, identity):
            self.identity = identity

        def __call__(self, texts):
            return np.eye(4, dtype=np.float32)[[len(text) % 4 for text in texts]]

    build(tmp_path / "index", docs, embedder="folder", embed=Model("weights 1"))
    with pytest.raises(UsageError, match="weights 2"):
        PassageIndex(tmp_path / "index", Model("weights 2")).search(["lamp"], 1)
    assert build(tmp_path / "index", docs, embedder="folder", embed=Model("weights 2")).search(["lamp"], 1)[0], "built again, it fits"
    assert len(list((tmp_path / "index" / "vectors").iterdir())) >= 1


def test_blocks_of_vectors_that_no_passage_needs_any_more_go(docs, tmp_path):
    embed = lambda texts: np.eye(4, dtype=np.float32)[[len(text) % 4 for text in texts]]  # noqa: E731
    build(tmp_path / "index", docs, embed=embed)
    for name in ("kettle", "lamp", "shop"):
        (docs / f"{name}.md").write_text(f"Other words of the {name}.\n")
    index = build(tmp_path / "index", docs, embed=embed)
    assert len(list((tmp_path / "index" / "vectors").iterdir())) == 1 and index.vectors.shape == (3, 4)
    assert passages.Kept(tmp_path / "index" / "vectors", "").at.keys() == {passages.key_of(p.shown) for p in index.passages()}


# ---- before anything is spent ------------------------------------------------------------------------------------------


def test_an_embedder_without_a_price_a_key_or_an_address_is_told_before_anything_is_spent(docs, monkeypatch):
    for name in ("LIMBECK_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def check(**overrides: object) -> list[str]:
        warnings: list[str] = []
        indexing.check(Settings(prompt="p", docs=str(docs), overrides=overrides), [parse("prompt+rag:2@teacher")], warnings)
        return warnings

    with pytest.raises(UsageError, match=r"embedder_price=0\.02"):
        check(embedder="http://127.0.0.1:9/v1#m")
    with pytest.raises(UsageError, match="names no model"):
        check(embedder="http://127.0.0.1:9/v1", embedder_price=0)
    with pytest.raises(MissingKey):
        check(embedder="openai:text-embedding-3-small")
    with pytest.raises(UsageError, match="USD per million"):
        check(embedder="http://127.0.0.1:9/v1#m", embedder_price="dear")
    with pytest.raises(UsageError, match="tiny-lm cannot embed texts"):
        check(embedder="tiny-lm")
    with pytest.raises(MissingError, match="no model in"):
        check(embedder=str(docs))
    assert check(embedder="http://127.0.0.1:9/v1#m", embedder_price=0) == check(embedder="minilm") == []
    assert "embeds the documents: at most" in check(embedder="http://127.0.0.1:9/v1#m", embedder_price=0.5)[0]


def test_the_cap_stops_a_query_too(tmp_path):
    with ChatServer(answers) as server, Store(tmp_path / "t.sqlite", cap_usd=0.0) as store, pytest.raises(CapReached):
        through(store, server)(["a query"])
