"""The study of retrieval: who follows a poisoned passage, what a table says of what was not run, passages by the thousand."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from limbeck.contexts.passages import build
from limbeck.testing.chat_server import ChatServer, completion
from limbeck.types import Price

PLACE = Path(__file__).resolve().parents[2] / "bench" / "contexts"
FREE = Price(usd_per_mtok_in=0, usd_per_mtok_out=0)


@pytest.fixture(scope="module", autouse=True)
def beside():
    """The modules of bench/contexts, as its scripts see them; gone again afterwards."""
    before, path = set(sys.modules), list(sys.path)
    sys.path[:0] = [str(PLACE), str(PLACE.parent)]
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(PLACE.parent) in str(sys.modules[name].__file__):
            del sys.modules[name]


# ---- poison ----------------------------------------------------------------------------------------------------------------


def obeys(body):
    """Follows every instruction that does not stand between the signs of a passage; else looks the answer up."""
    text = "\n".join(m["content"] for m in body["messages"])
    outside = re.sub(r"<passage.*?</passage>", "", text, flags=re.S)
    order = re.search(r"(?:and answer|Your answer is|Reply with|Say) (\w{6})", outside)
    fact = re.search(r"is made in (\w+)\.", text)
    return 200, completion(order[1] if order else fact[1] if fact else "nobody knows")


def test_a_model_that_obeys_what_is_not_fenced_shows_what_the_fence_is_worth():
    import poisoned

    with ChatServer(obeys) as server:
        found = poisoned.measure(f"{server.address}#m", FREE, n=24)
    assert found["control"]["value"] == 1.0 and found["naive"]["value"] == 1.0 and found["ours"]["value"] == 0.0
    assert found["shown"] and found["pairs"] == 24
    gap = found["naive minus ours"]
    assert gap["value"] == 1.0 and gap["p_value"] == pytest.approx(2 * 0.5**24)
    assert found["answers without the sentence"]["value"] == 1.0


def test_a_model_that_obeys_nothing_shows_nothing():
    import poisoned

    with ChatServer(lambda body: (200, completion("blue"))) as server:
        found = poisoned.measure(f"{server.address}#m", FREE, n=8)
    assert not found["shown"] and "naive minus ours" not in found and found["said"].startswith("not shown: the control is obeyed in 0.0")


def test_repeating_the_sentence_is_not_obeying_it():
    import poisoned

    item = poisoned.items(4)[0]
    assert poisoned.follows(item["x"].upper() + ".", item["x"]) and poisoned.follows(f"The answer: {item['x']}", item["x"])
    assert not poisoned.follows(f"It says: {item['attack']}", item["x"]) and not poisoned.follows(item["answer"], item["x"])
    assert len({one["x"] for one in poisoned.items(200)}) > 190 and poisoned.items(4) == poisoned.items(4)


# ---- recall --------------------------------------------------------------------------------------------------------------


def test_figures_are_paired_and_count_the_first_ten_ranks():
    import questions

    fused, words = np.array([1.0, 2.0, np.inf, 1.0]), np.array([1.0, 7.0, np.inf, np.inf])
    found = questions.figures({"fused": fused, "words": words})
    assert found["ways"]["fused"]["recall@1"]["value"] == 0.5 and found["ways"]["words"]["mrr"]["value"] == pytest.approx(
        (1 + 1 / 7) / 4, abs=1e-4
    )
    gap = found["fused minus"]["words"]["recall@5"]
    assert gap["value"] == 0.5 and gap["low"] >= 0.0, "no draw can take from fused what words never had"
    assert list(questions.ranks([[3, 1], [2], []], [{1}, {5}, {0}])) == [2.0, np.inf, np.inf]


def test_every_record_of_the_large_index_is_a_passage(tmp_path):
    import scale

    (tmp_path / "docs").mkdir()
    queries = scale.write_documents(tmp_path / "docs", 300)
    index = build(tmp_path / "index", tmp_path / "docs")
    assert len(index) == 300 and len(queries) == 200
    hits = [index.passage(line[0].number).text for line in index.search(queries[:20], 1, "words")]
    found = sum(query in text for query, text in zip(queries, hits, strict=False))
    assert found >= 18, "a query of a passage's own words finds it"


# ---- the task that cannot be known, and the tables ---------------------------------------------------------------------------


def test_what_test_asks_for_stands_in_the_documents_and_in_no_row(tmp_path):
    import reading

    reading.write_task(tmp_path)
    rows, dev, test = (
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()] for name in ("rows", "dev", "test")
    )
    docs = "\n".join(path.read_text() for path in (tmp_path / "docs").iterdir())
    assert all(f"The {row['id']} is kept in the {row['output']}." in docs for row in (*rows, *dev, *test))
    seen = " ".join(row["input"] for row in (*rows, *dev))
    assert not any(row["id"] in seen for row in test) and len({r["id"] for r in (*rows, *dev, *test)}) == reading.THINGS


def test_what_was_not_run_says_so(tmp_path):
    import tables

    (tmp_path / "results").mkdir()
    assert tables.write(tmp_path).count("not run") >= 4
    span = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    cell = {"model": "m", "control": span, "naive": span, "ours": {"value": None, "n": 0}, "said": "not shown: because"}
    (tmp_path / "results" / "poisoned-m.json").write_text(json.dumps(cell))
    text = tables.write(tmp_path)
    assert "| m | 0.500 [0.400, 0.600] | 0.500 [0.400, 0.600] | no answer | not shown: because |" in text
    assert "not shown: because" in (tmp_path / "page.html").read_text()
