"""Base models: the catalogue is sound, filters say why, the ranking is the published one and its defects are not ours."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from limbeck.bases import machine as machines
from limbeck.bases.card import card_request, task_text
from limbeck.bases.catalogue import SHIPPED, Catalogue, Model, load_catalogue, over, user_file, write
from limbeck.bases.embedded import MINILM
from limbeck.bases.machine import Machine, memory_needed_mb, training_s
from limbeck.bases.retrieve import SCORES, Limits, as_recipes, find_bases, masked, popular, shortlist
from limbeck.errors import BadRows, Declined, UsageError
from limbeck.need import is_offline
from limbeck.types import Kind, Reply, Task

ROOMY = Machine(memory_mb=1e9, gflops=1e9, what="a roomy machine")
LABEL = Task(name="t", instruction="Is this review of a film good or bad?", kind=Kind.LABEL, labels=("good", "bad"))


def model(name: str, good_at: str = "A model.", **more: object) -> Model:
    plain = {"family": "encoder", "parameters": 100_000_000, "size_mb": 200.0, "context": 512, "languages": ("en",), "licence": "mit"}
    return Model.model_validate({"id": f"owner/{name}", "downloads": 98, "gated": False, "good_at": good_at, **plain, **more})


def catalogue(*models: Model) -> Catalogue:
    return Catalogue(date="2026-01-01", source="a test", models=models)


def ids(task: Task, limits: Limits, *models: Model, **more: object) -> list[str]:
    found = shortlist(task, limits, k=99, **{"catalogue": catalogue(*models), "machine": ROOMY, "score": SCORES["words"], **more})
    return [one.model.id.partition("/")[2] for one in found.found]


def says(*texts: str | Exception):
    """An Ask that answers each request with the next text."""
    left = list(texts)

    def ask(requests):
        return [t if isinstance(t := left.pop(0), Exception) else Reply(texts=(t,), finish=("stop",)) for _ in requests]

    return ask


# ---- the catalogue ---------------------------------------------------------------------------------------------------


def test_the_shipped_catalogue_has_at_least_120_models_each_once_and_all_families():
    models = load_catalogue(SHIPPED).models
    assert len(models) >= 120
    assert len({m.id.casefold() for m in models}) == len(models)
    assert min(Counter(m.family for m in models)[f] for f in ("encoder", "seq2seq", "causal")) >= 30


def test_every_shipped_entry_is_plausible():
    for m in load_catalogue(SHIPPED).models:
        assert 1e6 < m.parameters < 4e9, m.id
        assert 0.8 < m.size_mb * 1e6 / (2 * m.parameters) < 1.25, m.id
        assert m.context and 64 <= m.context <= 131_072, m.id
        assert m.languages and all(2 <= len(code) <= 3 and code.islower() for code in m.languages), m.id
        assert 5 <= len(m.good_at.split()) <= 40 and m.good_at.endswith("."), m.id
        assert m.licence == m.licence.lower(), m.id
        assert 1e2 <= m.downloads <= 1e9, m.id


def test_what_the_catalogue_says_of_minilm_is_what_the_embedded_record_says():
    entry = next(m for m in load_catalogue(SHIPPED).models if m.alias == "minilm")
    assert (entry.id, entry.family, entry.context, entry.licence) == (MINILM.source, MINILM.family, MINILM.max_length, MINILM.licence)


def test_parameters_in_a_name_agree_with_the_entry():
    """opt-125m, pythia-410m, Qwen2.5-1.5B: the makers count generously, so within a factor."""
    other = {"pile-of-law/legalbert-large-1.7M-2", "cahya/gpt2-small-indonesian-522M"}  # steps of training, MB of text
    checked = 0
    for m in load_catalogue(SHIPPED).models:
        if m.id not in other and (found := re.search(r"-(\d+(?:\.\d+)?)([MmbB])(?=-|$)", m.id)):
            named = float(found[1]) * (1e6 if found[2] in "mM" else 1e9)
            assert 0.4 < m.parameters / named < 2.1, m.id
            checked += 1
    assert checked >= 30


def test_a_wrong_entry_is_named_with_file_and_row(tmp_path: Path):
    file = tmp_path / "mine.json"
    write(file, catalogue(model("a"), model("b")))
    plain = json.loads(file.read_text())
    plain["models"][1]["parameters"] = -1
    file.write_text(json.dumps(plain))
    with pytest.raises(BadRows, match=r"mine\.json: model 2 \(owner/b\)") as caught:
        load_catalogue(file)
    assert "parameters" in caught.value.have
    write(file, catalogue(model("a"), model("A")))
    with pytest.raises(BadRows, match="twice"):
        load_catalogue(file)
    file.write_text("[]")
    with pytest.raises(UsageError, match="no catalogue"):
        load_catalogue(file)


def test_a_refresh_lies_over_the_shipped_catalogue_and_keeps_our_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    minilm = next(m for m in load_catalogue(SHIPPED).models if m.alias)
    write(user_file(), catalogue(minilm.model_copy(update={"alias": None, "downloads": 7, "good_at": "x", "context": None}), model("new")))
    merged = {m.id: m for m in load_catalogue().models}
    assert merged[minilm.id] == minilm.model_copy(update={"downloads": 7})
    assert "owner/new" in merged and len(merged) == len(load_catalogue(SHIPPED).models) + 1
    assert over(load_catalogue(SHIPPED), catalogue()).models == load_catalogue(SHIPPED).models


# ---- the ranking -----------------------------------------------------------------------------------------------------

TOYS = (model("first", "about apples"), model("second", "about pears"), model("third", "about plums"))
VECTORS = {"about apples": [1, 0, 0], "about pears": [0, 1, 0], "about plums": [0, 0, 1]}


def by_vector(query_vectors: dict[str, list[int]]):
    """Similarity of three toy models with orthogonal vectors."""

    def score(query, models):
        vector = next(v for text, v in query_vectors.items() if text in query)
        return np.array([np.dot(vector, VECTORS[m.good_at]) for m in models], float)

    return popular(score)


def test_the_model_whose_vector_is_the_query_comes_first():
    assert ids(LABEL, Limits(), *TOYS, score=by_vector({"review of a film": [0, 0, 1]}))[0] == "third"


def test_the_teachers_card_changes_the_winner():
    score = by_vector({"review of a film": [0, 0, 1], "a model that knows about pears": [0, 1, 0]})
    found = shortlist(
        LABEL, Limits(), says('{"card": "a model that knows about pears"}'), catalogue=catalogue(*TOYS), machine=ROOMY, score=score
    )
    assert found.found[0].model.id == "owner/second"
    assert found.how == "card" and not found.notes


def test_by_words_the_card_changes_the_winner_too():
    models = (model("a", "Films and reviews."), model("b", "Poems of the sea."), model("c", "Recipes."))
    assert ids(LABEL, Limits(), *models)[0] == "a"
    found = shortlist(
        LABEL, Limits(), says('```json\n{"card": "an encoder that has read poems"}\n```'), catalogue=catalogue(*models), machine=ROOMY
    )
    assert found.found[0].model.id == "owner/b"


@pytest.mark.parametrize(
    "reply", ["", "I cannot help.", '{"card": ""}', '{"card": 7}', '["a", "b"]', '{"card": "too short"}', '{"card": "cut off']
)
def test_a_malformed_card_falls_back_to_the_task_and_says_so(reply: str):
    found = shortlist(LABEL, Limits(), says(reply), catalogue=catalogue(*TOYS), machine=ROOMY, score=SCORES["words"])
    assert found.how == "task" and found.query == task_text(LABEL)
    assert any("malformed" in note for note in found.notes)
    assert len(found.found) == 3


def test_a_refusing_teacher_falls_back_to_the_task_and_says_so():
    found = shortlist(LABEL, Limits(), says(Declined("not allowed")), catalogue=catalogue(*TOYS), machine=ROOMY, score=SCORES["words"])
    assert found.how == "task" and "not allowed" in found.notes[0]


def test_the_card_is_asked_once_at_temperature_zero_with_a_schema():
    request = card_request(LABEL)
    assert request.temperature == 0 and request.n == 1 and json.loads(request.reply_schema or "")["required"] == ["card"]
    assert LABEL.instruction in request.messages[1].content


def test_popularity_multiplies_by_the_logarithm_of_downloads():
    models = [model("a", downloads=98), model("b", downloads=9_998)]
    scores = popular(lambda query, models: np.ones(len(models)))("", models)
    assert scores == pytest.approx([2.0, 4.0])
    assert masked(scores, [True, False]).tolist() == [-math.inf, pytest.approx(4.0)]


@pytest.mark.parametrize("name", SCORES)
def test_every_ranking_finds_the_german_court_model(name: str):
    task = Task(name="t", instruction="Classify German court decisions by field of law.", kind=Kind.LABEL, language="de")
    models = (
        model("chess", "English encoder of chess games.", languages=("mul",)),
        model("court", "German encoder trained on court decisions and law.", languages=("de",)),
        model("cooking", "Encoder of recipes and menus.", languages=("mul",)),
    )
    assert ids(task, Limits(), *models, score=SCORES[name])[0] == "court"


def test_equal_scores_go_by_downloads_and_no_word_in_common_is_no_crash():
    models = (model("rare", "xyz", downloads=1), model("common", "xyz", downloads=1000))
    assert ids(
        Task(name="t", instruction="?!", kind=Kind.TEXT), Limits(), *(m.model_copy(update={"family": "causal"}) for m in models)
    ) == ["common", "rare"]


# ---- filters, each with its reason -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "odd", "why"),
    [
        (Limits(), {"size_mb": 3001.0}, "over the limit of 3,000 MB"),
        (Limits(licences=("MIT",)), {"licence": "cc-by-nc-4.0"}, "its licence is cc-by-nc-4.0"),
        (Limits(), {"languages": ("fr", "it")}, "does not read English"),
        (Limits(families=("encoder",)), {"family": "causal"}, "it is a causal model"),
        (Limits(), {"gated": True}, "terms have to be accepted"),
        (Limits(blocked=("owner/odd",)), {}, "blocked"),
        (Limits(adapters=("full",)), {"parameters": 70_000_000_000}, "does not fit this machine"),
    ],
)
def test_a_filter_drops_one_model_and_says_why(limits: Limits, odd: dict[str, object], why: str):
    small = Machine(memory_mb=64_000, gflops=1e6, what="a machine")
    found = shortlist(LABEL, limits, catalogue=catalogue(model("odd", **odd), model("plain")), machine=small, score=SCORES["words"])
    assert [one.model.id for one in found.found] == ["owner/plain"]
    assert why in found.dropped["owner/odd"]


def test_the_size_limit_is_3_gb_unless_said_otherwise():
    models = (model("big", size_mb=3500.0), model("fits", size_mb=3000.0))
    assert ids(LABEL, Limits(), *models) == ["fits"]
    assert set(ids(LABEL, Limits(max_mb=4000), *models)) == {"big", "fits"}


def test_an_architecture_that_cannot_do_the_task_is_never_proposed():
    """Prompt2Model ranked every architecture and crashed on those its trainer did not know."""
    models = (model("enc"), model("s2s", family="seq2seq"), model("dec", family="causal"))
    for kind in (Kind.TEXT, Kind.FIELDS):
        assert set(ids(LABEL.model_copy(update={"kind": kind}), Limits(), *models)) == {"s2s", "dec"}
        assert ids(LABEL.model_copy(update={"kind": kind}), Limits(families=("encoder",)), *models) == []
    for kind in (Kind.LABEL, Kind.CHOICE, Kind.SCORE):
        assert set(ids(LABEL.model_copy(update={"kind": kind}), Limits(), *models)) == {"enc", "s2s", "dec"}
        assert ids(LABEL.model_copy(update={"kind": kind}), Limits(families=("encoder",)), *models) == ["enc"]


def test_allowing_gated_models_adds_them_and_does_not_take_the_open_ones_away():
    models = (model("open"), model("closed", gated=True))
    assert ids(LABEL, Limits(gated=False), *models) == ["open"]
    assert set(ids(LABEL, Limits(gated=True), *models)) == {"open", "closed"}


@pytest.mark.parametrize("blocked", ["owner", "OWNER", "owner/", "owner/a", "Owner/A"])
def test_a_blocked_owner_or_model_is_really_blocked(blocked: str):
    """Prompt2Model compared "owner/" with a file name, which never holds a slash: its list blocked nothing."""
    models = (model("a"), model("a").model_copy(update={"id": "somebody/owner"}))
    assert ids(LABEL, Limits(blocked=(blocked,)), *models) == ["owner"]


def test_a_block_of_part_of_a_name_blocks_nothing():
    assert ids(LABEL, Limits(blocked=("own", "a", "")), model("a")) == ["a"]


def test_a_changed_catalogue_is_seen_at_once():
    """Prompt2Model kept its index under one fixed name: stale after a change, then a KeyError on names it did not know."""
    assert ids(LABEL, Limits(), model("old", "Nothing of note.")) == ["old"]
    assert ids(LABEL, Limits(), model("new", "Reviews of films."), model("old", "Nothing of note.")) == ["new", "old"]
    assert ids(LABEL, Limits(), model("other", "Film.")) == ["other"]
    assert ids(LABEL, Limits()) == []


def test_nothing_left_says_what_stood_in_the_way():
    found = shortlist(
        LABEL, Limits(licences=("mit",)), catalogue=catalogue(model("a", licence="other")), machine=ROOMY, score=SCORES["words"]
    )
    assert not found.found and "its licence is other" in found.notes[0]


def test_a_language_is_a_code_and_its_name_is_understood_in_the_error():
    with pytest.raises(UsageError, match="'German'") as caught:
        Limits(language="German")
    assert "de" in caught.value.do


def test_an_unknown_family_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="encodr") as caught:
        Limits(families=("encodr",))
    assert "encoder" in caught.value.have


# ---- this machine ----------------------------------------------------------------------------------------------------


def test_memory_and_time_of_training_by_hand():
    hundred_million = model("m")
    assert memory_needed_mb(hundred_million, "full") == 1500 + 1600
    assert memory_needed_mb(hundred_million, "head") == 1500 + 400
    # 6 operations x 1e8 parameters x 9600 rows x 50 tokens / (360e9 x 0.8) = 1000 s
    assert training_s(hundred_million, "full", 500, 50, 360) == pytest.approx(1000)
    assert training_s(hundred_million, "head", 500, 50, 360) == pytest.approx(2e8 * 500 * 50 / 288e9)


def test_only_adapters_that_fit_become_candidates(monkeypatch: pytest.MonkeyPatch):
    tight = Machine(memory_mb=2500, gflops=1e6, what="a small machine")  # full needs 3100 MB, lora 1950
    found = shortlist(LABEL, Limits(), catalogue=catalogue(model("m")), machine=tight, score=SCORES["words"]).found
    assert found[0].adapters == ("head", "lora")
    assert as_recipes(found, ("full", "lora", "head")) == ["lora@owner/m", "head@owner/m"]
    slow = Machine(memory_mb=1e9, gflops=10, what="a slow machine")
    found = shortlist(LABEL, Limits(), catalogue=catalogue(model("m")), machine=slow, score=SCORES["words"])
    assert found.found[0].adapters == ("head",)
    assert ids(LABEL, Limits(train_s=1), model("m"), machine=slow) == []
    assert ids(LABEL, Limits(train_s=None, adapters=("full",)), model("m"), machine=slow) == ["m"]


def test_a_head_is_proposed_for_encoders_alone():
    found = shortlist(
        LABEL,
        Limits(adapters=("head",)),
        catalogue=catalogue(model("e"), model("c", family="causal")),
        machine=ROOMY,
        score=SCORES["words"],
    )
    assert [one.model.id for one in found.found] == ["owner/e"]


def put_in_cache(folder: Path, hub_id: str, weights: str = "model.safetensors") -> None:
    snapshot = folder / f"models--{hub_id.replace('/', '--')}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / weights).write_bytes(b"")


def test_offline_only_what_is_on_this_machine_becomes_a_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    put_in_cache(tmp_path, "owner/cached")
    put_in_cache(tmp_path, "owner/pickled", "pytorch_model.bin")
    models = catalogue(model("far"), model("cached"), model("pickled"))
    offline = Machine(1e9, 1e9, "a machine", offline=True)
    found = shortlist(LABEL, Limits(), catalogue=models, machine=offline, score=SCORES["words"]).found
    assert as_recipes(found) == ["full@owner/cached"]
    assert "not on this machine, and offline" in next(one for one in found if one.model.id == "owner/far").reasons
    assert set(as_recipes(shortlist(LABEL, Limits(), catalogue=models, machine=ROOMY, score=SCORES["words"]).found)) == {
        "full@owner/far", "full@owner/cached", "full@owner/pickled",
    }  # fmt: skip
    assert ids(LABEL, Limits(here=True), *models.models) == ["cached"]


def test_offline_with_none_of_the_five_at_hand_names_the_best_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    put_in_cache(tmp_path, "owner/cached")
    offline = Machine(1e9, 1e9, "a machine", offline=True)
    models = catalogue(model("film", "Reviews of films."), model("cached", "Chess."))
    found = shortlist(LABEL, Limits(), k=1, catalogue=models, machine=offline, score=SCORES["words"])
    assert [one.model.id for one in found.found] == ["owner/film"]
    assert found.notes == ("offline: none of these is on this machine; the best that is: owner/cached",)


def test_the_machine_is_measured_and_offline_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    machines.this_machine.cache_clear()
    found = machines.this_machine()
    assert found.offline and found.memory_mb > 256 and 0.1 < found.gflops < 1e6
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert not is_offline()
    machines.this_machine.cache_clear()


def test_the_largest_gpu_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '8192\\n24576\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert machines.gpu_memory_mb() == pytest.approx(24576 * 1.048576)
    tool.write_text("#!/bin/sh\necho 'no driver'\nexit 9\n")
    assert machines.gpu_memory_mb() is None


# ---- the whole, over the shipped catalogue ---------------------------------------------------------------------------


def test_five_bases_with_reasons_for_a_task_of_every_kind():
    for kind in Kind:
        task = Task(
            name="t", instruction="Read the customer's message and answer.", kind=kind, labels=("a", "b") if kind is Kind.LABEL else ()
        )
        found = shortlist(task, Limits(), catalogue=load_catalogue(SHIPPED), machine=ROOMY).found
        assert len(found) == 5
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        for one in found:
            assert len(one.reasons) >= 6 and one.reasons[0] == one.model.good_at
            assert f"full@{one.model.name}" in as_recipes([one.model_copy(update={"usable": True})])


def test_find_bases_reads_the_users_own_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("limbeck.bases.retrieve.this_machine", lambda: ROOMY)
    write(user_file(), catalogue(model("mine", "Is this review of a film good or bad?", downloads=10**8)))
    assert find_bases(LABEL, Limits())[0].model.id == "owner/mine"
