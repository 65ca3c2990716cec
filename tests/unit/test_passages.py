"""The index: BM25 as bm25s has it, embeddings, reciprocal rank by hand; built once, again only what changed, the same every time."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from limbeck.contexts import documents, passages
from limbeck.contexts.passages import build
from limbeck.contexts.search import K, PassageIndex, best, fuse, words_of
from limbeck.errors import ModelError, UsageError

DOCS = {
    "kettle.md": "# Kettle\n\nThe kettle leaks at the lid.\n\n# Descaling\n\nPour vinegar in and boil it twice.\n",
    "lamp.md": "# Lamp\n\nThe lamp flickers when the switch is loose.\n",
    "sub/shop.txt": "The shop is open from nine to five. Parcels leave the shop at noon.\n",
}


@pytest.fixture
def docs(tmp_path) -> Path:
    for name, text in DOCS.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "docs"


class Embed:
    """A vector per text from its letters; counts the texts that it was given."""

    def __init__(self):
        self.seen: list[str] = []

    def __call__(self, texts):
        self.seen += texts
        wide = np.array([[text.lower().count(c) + 0.01 for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32)
        return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def found(index: PassageIndex, query: str, **more) -> list[str]:
    return [index.passage(hit.number).text for hit in index.search([query], 3, **more)[0]]


def test_words_find_the_passage_that_has_them(docs, tmp_path):
    index = build(tmp_path / "index", docs, why_not="words alone, for this test")
    assert found(index, "vinegar?")[0] == "Pour vinegar in and boil it twice."
    assert found(index, "when does the shop open")[0].startswith("The shop is open")
    assert found(index, "xylophone") == [] and found(index, "") == []
    assert index.facts["why"] == "words alone, for this test" and not index.facts["meaning"]


def test_bm25_is_that_of_bm25s(docs, tmp_path):
    import bm25s

    index = build(tmp_path / "index", docs)
    texts = [p.shown for p in index.passages()]
    theirs = bm25s.BM25(k1=1.5, b=0.75)
    theirs.index([words_of(text) for text in texts], show_progress=False)
    for query in ("the shop", "kettle lid", "boil the kettle twice"):
        scores = theirs.get_scores(words_of(query))
        ours = {hit.number: hit.score for hit in index.by_words(query, len(texts))}
        assert ours == pytest.approx({i: s for i, s in enumerate(scores) if s > 0})


def test_reciprocal_ranks_by_hand():
    hits = fuse([7, 3, 5], [3, 9])
    assert [h.number for h in hits] == [3, 7, 9, 5]
    assert [h.score for h in hits] == pytest.approx([1 / (K + 2) + 1 / (K + 1), 1 / (K + 1), 1 / (K + 2), 1 / (K + 3)])
    assert [h.number for h in fuse([2], [1])] == [1, 2], "equal scores stand in the order of the documents"


def test_the_best_are_the_best_and_ties_go_by_number():
    scores = np.array([0.5, 2.0, 0.5, 1.0, 0.5, 0.1])
    assert [h.number for h in best(scores, 3)] == [1, 3, 0]
    assert [h.number for h in best(scores, 4, hidden=[1])] == [3, 0, 2, 4]
    assert [h.number for h in best(scores, 99, above=0.4)] == [1, 3, 0, 2, 4]
    rng = np.random.default_rng(0)
    for _ in range(20):
        some = rng.integers(0, 9, 50).astype(float)
        assert [h.number for h in best(some, 7)] == sorted(range(50), key=lambda i: (-some[i], i))[:7]


def test_meaning_and_both_fused(docs, tmp_path):
    embed = Embed()
    index = build(tmp_path / "index", docs, embed=embed)
    opened = PassageIndex(tmp_path / "index", embed)
    assert opened.facts["meaning"] and opened.vectors.shape == (len(index), 26)
    by_meaning = [h.number for h in opened.search(["zzz"], 4, "meaning")[0]]
    assert len(by_meaning) == 4, "every passage has some meaning, though no word is shared"
    words, meaning = (opened.search(["boil vinegar"], 100, way)[0] for way in ("words", "meaning"))
    assert opened.search(["boil vinegar"], 3)[0] == fuse([h.number for h in words], [h.number for h in meaning])[:3]


def test_an_index_without_embeddings_refuses_to_search_by_meaning(docs, tmp_path):
    index = build(tmp_path / "index", docs, why_not="torch is not installed")
    with pytest.raises(UsageError, match="torch is not installed"):
        index.search(["x"], 1, "meaning")
    assert index.search(["vinegar"], 2, "fused") == index.search(["vinegar"], 2, "words")


def test_passages_that_were_left_out_are_found_by_nobody(docs, tmp_path):
    embed = Embed()
    index = build(tmp_path / "index", docs, embed=embed)
    index = PassageIndex(tmp_path / "index", embed)
    before, digest = index.search(["vinegar"], 4)[0], index.digest
    index.leave_out({before[0].number: "it holds a row"})
    again = PassageIndex(tmp_path / "index", embed)
    for way in ("fused", "words", "meaning"):
        assert before[0].number not in {h.number for h in again.search(["vinegar"], 9, way)[0]}
    assert again.digest != digest, "what is found has changed, and so has what depends on it"
    hidden = again.search(["lamp"], 1)[0][0].number
    assert hidden not in {h.number for h in again.search(["lamp"], 9, without=[[hidden]])[0]}


# ---- built once, incrementally, after a kill -----------------------------------------------------------------------------


def digest_of(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("passages*"))}


def test_only_what_changed_is_read_and_embedded_again(docs, tmp_path, monkeypatch):
    read: list[str] = []
    real = documents.read_document
    monkeypatch.setattr(documents, "read_document", lambda path, name: read.append(name) or real(path, name))
    build(tmp_path / "index", docs, embed=Embed())
    assert sorted(read) == sorted(DOCS)
    read.clear()
    embed = Embed()
    build(tmp_path / "index", docs, embed=embed)
    assert not read and not embed.seen, "nothing has changed"
    (docs / "lamp.md").write_text("# Lamp\n\nThe lamp is new.\n")
    (docs / "sub" / "shop.txt").unlink()
    index = build(tmp_path / "index", docs, embed=Embed())
    assert read == ["lamp.md"]
    assert found(index, "lamp", way="words")[0] == "The lamp is new." and index.facts["documents"] == 2
    assert len(list((tmp_path / "index" / "documents").iterdir())) == 2, "what is no longer there is not kept"


def test_the_same_documents_give_the_same_files_wherever_they_lie(docs, tmp_path):
    build(tmp_path / "one", docs, embed=Embed())
    shutil.copytree(docs, tmp_path / "moved")
    build(tmp_path / "two", tmp_path / "moved", embed=Embed())
    assert digest_of(tmp_path / "one") == digest_of(tmp_path / "two")


def test_a_build_that_was_killed_goes_on(docs, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(passages, "index_words", killed)
        with pytest.raises(Killed):
            build(tmp_path / "index", docs, embed=Embed())
    with pytest.raises(ModelError, match="no index"):
        PassageIndex(tmp_path / "index")
    monkeypatch.setattr(documents, "read_document", killed)  # every document was read before: none is read again
    index = build(tmp_path / "index", docs, embed=Embed())
    build_whole = tmp_path / "whole"
    monkeypatch.undo()
    build(build_whole, docs, embed=Embed())
    assert digest_of(index.folder) == digest_of(build_whole)


def test_words_alone_where_embedding_would_take_too_long(docs, tmp_path):
    (docs / "long.txt").write_text("\n\n".join(f"Paragraph {i} " + "word " * 98 for i in range(2 * passages.BLOCK)))
    index = build(tmp_path / "index", docs, embed=Embed(), budget_s=0.0)
    assert not index.facts["meaning"] and "words alone" in index.facts["why"]
    assert not (index.folder / "passages-vectors.npy").exists()
    assert found(index, "vinegar")


def test_a_file_that_cannot_be_read_is_named_and_costs_nothing_else(docs, tmp_path):
    (docs / "broken.json").write_text("{")
    (docs / "picture.png").write_bytes(b"\x89PNG")
    index = build(tmp_path / "index", docs)
    assert {one["document"]: one["reason"].split(":")[0] for one in index.facts["skipped"]} == {
        "broken.json": "JSONDecodeError",
        "picture.png": "files of the type .png are not read",
    }
    assert index.facts["documents"] == 3


def test_the_rows_of_the_run_are_no_documents(docs, tmp_path):
    (docs / "rows.jsonl").write_text(json.dumps({"input": "secret question", "output": "secret answer"}) + "\n")
    (docs / "runs" / "x").mkdir(parents=True)
    (docs / "runs" / "x" / "5-report.md").write_text("secret report")
    index = build(tmp_path / "index", docs, ignore=[docs / "rows.jsonl", docs / "runs" / "x"])
    assert found(index, "secret") == [] and index.facts["documents"] == 3


def test_documents_without_text_are_refused(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(" \n")
    with pytest.raises(UsageError, match="there is no text in it"):
        build(tmp_path / "index", tmp_path / "docs")


def test_with_more_time_another_day_the_passages_are_embedded_after_all(docs, tmp_path):
    (docs / "long.txt").write_text("\n\n".join(f"Paragraph {i} " + "word " * 98 for i in range(2 * passages.BLOCK)))
    assert not build(tmp_path / "index", docs, embed=Embed(), budget_s=0.0).facts["meaning"]
    assert not build(tmp_path / "index", docs, embed=Embed(), budget_s=0.0).facts["meaning"], "the same again"
    assert build(tmp_path / "index", docs, embed=Embed(), budget_s=60.0).facts["meaning"]


# ---- BM25 in bounded memory --------------------------------------------------------------------------------------------------


def test_scores_are_those_of_bm25s_however_many_blocks_they_are_counted_in(tmp_path, monkeypatch):
    import bm25s

    from limbeck.contexts import words

    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in np.minimum(rng.zipf(1.3, rng.integers(0, 40)), 500)) for _ in range(300)] + ["", "?!"]
    monkeypatch.setattr(words, "BLOCK", 700)
    words.index_words(tmp_path, texts)
    ours = bm25s.BM25.load(str(tmp_path), mmap=True, show_progress=False, **words.NAMES)
    theirs = bm25s.BM25(k1=words.K1, b=words.B)
    theirs.index([words_of(text) for text in texts], show_progress=False)
    for query in (["w1"], ["w1", "w7", "w7"], ["w3", "w500", "w12"]):
        assert ours.get_scores(query) == pytest.approx(theirs.get_scores(query), rel=1e-6)
    assert not list(tmp_path.glob(".words-*")), "what was counted on the way is gone"


def test_words_that_most_passages_hold_are_not_looked_up_unless_there_are_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr("limbeck.contexts.search.COMMON_LEAST", 2)
    (tmp_path / "docs").mkdir()
    for i in range(9):
        (tmp_path / "docs" / f"{i}.txt").write_text(f"the thing number{i} of the house {'the ' * i}")
    index = build(tmp_path / "index", tmp_path / "docs")
    ids = index.words.get_tokens_ids(["the", "number3", "house"])
    assert list(index.telling(ids)) == index.words.get_tokens_ids(["number3"])
    assert list(index.telling(ids[:1])) == ids[:1]
    assert len(index.by_words("the number3", 9)) == 1 and len(index.by_words("the", 9)) == 9
