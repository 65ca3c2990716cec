"""Worlds of facts: every question follows from the documents, stands in none of them, and has fair options, whatever the seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from limbeck.bench.knowledge import contexts, process, semantics, study, syllogisms, words, writers
from limbeck.bench.knowledge.base import MARK, Shape, answers, episode, stages, statements, words_of
from limbeck.bench.knowledge.berglund import berglund
from limbeck.bench.knowledge.checker import closure, consequences, faults
from limbeck.bench.knowledge.facts import END, Document, Fact, World
from limbeck.bench.knowledge.reversals import reversals
from limbeck.bench.knowledge.score import Choice
from limbeck.errors import MissingError


def small(name: str, seed: int) -> World:
    if name == "reversals":
        return reversals(seed, facts=24, background=40, entities=60, dimensions=3, articles=3)
    if name == "semantics":
        return semantics.semantics(seed, categories=18, held=4, articles=2, most=4, verbs=1, background=8)
    return syllogisms.syllogisms(seed, items=22) if name == "syllogisms" else process.process(seed, functions=6, held=8, articles=2)


NAMES = ("reversals", "semantics", "syllogisms", "process")
worlds = pytest.mark.parametrize(("name", "seed"), [(name, seed) for name in NAMES for seed in range(6)])


# ---- what every world promises ---------------------------------------------------------------------------------------


@worlds
def test_every_question_follows_from_the_documents_and_stands_in_none(name: str, seed: int):
    world = small(name, seed)
    assert world.items
    assert faults(world) == []


@worlds
def test_options_are_as_many_tokens_long_and_the_right_one_stands_anywhere(name: str, seed: int):
    world = small(name, seed)
    for split in world.splits:
        some = [i for i in world.items if i.split == split]
        assert all(len({len(o.split()) for o in i.options}) == 1 for i in some)
        assert len({i.gold for i in some}) > 1
        assert len({i.id for i in some}) == len(some)


@worlds
def test_the_same_seed_gives_the_same_world_and_another_seed_another(name: str, seed: int):
    one, again, other = small(name, seed), small(name, seed), small(name, seed + 1)
    assert (one.documents, one.items) == (again.documents, again.items)
    assert one.documents != other.documents


@worlds
def test_the_documents_that_a_question_needs_are_enough_to_answer_it(name: str, seed: int):
    world = small(name, seed)
    by_id = {d.id: d for d in world.documents}
    for item in world.items:
        alone = replace(world, documents=tuple(by_id[n] for n in dict.fromkeys(item.needs)), items=())
        assert item.fact in consequences(alone), item.id


@pytest.mark.parametrize("seed", range(6))
def test_a_fault_that_is_planted_is_found(seed: int):
    world = small("semantics", seed)
    item = next(i for i in world.items if i.split == "reversal")
    leaky = replace(world, documents=(*world.documents, Document("leak", (item.sentence,))))
    assert f"{item.id}: stands in a document" in faults(leaky)
    wrong = replace(item, gold=(item.gold + 1) % 4)
    assert any("does not state its fact" in f for f in faults(world, [wrong]))
    nowhere = replace(item, fact=Fact(item.fact.subject, item.fact.relation, "nobody"))
    assert any("does not follow" in f for f in faults(world, [nowhere]))
    twice = replace(item, options=(*item.options[:3], item.options[0]))
    assert any("the same option twice" in f for f in faults(world, [twice]))


def test_a_wrong_option_that_follows_too_is_a_fault():
    world = small("semantics", 0)
    fact, how = next((f, h) for f, h in consequences(world).items() if f.relation == semantics.KIND and h.steps)
    middle = how.of[0].object  # a sort of a sort: both follow
    item = replace(
        world.items[0],
        split="rephrased",
        stem=world.rules.stem(fact.subject, fact.relation),
        options=(fact.object, middle),
        gold=0,
        fact=fact,
    )
    assert any("is right, too" in f for f in faults(world, [item]))


# ---- what follows ----------------------------------------------------------------------------------------------------


def test_what_holds_of_a_kind_holds_of_its_kinds_and_is_derived_from_both():
    rules = semantics.hierarchy(["zorp"])
    told = [Fact("dax", "is", "wug"), Fact("wug", "is", "fep"), Fact("fep", "zorp", "blick")]
    found = closure(told, rules)
    assert found[Fact("dax", "zorp", "blick")].of == tuple(told)
    assert Fact("blick", "zorp by", "dax") in found
    assert Fact("fep", "is", "dax") not in found


def test_the_valid_forms_are_those_of_the_textbooks():
    """Barbara and Bramantip; Celarent, Cesare, Camestres and Camenes; Darii, Datisi, Disamis and Dimaris; Darapti."""
    forms = syllogisms.valid_forms()
    pairs = {frozenset(Counter(syllogisms.premises(f, "s", "m", "p")).items()) for f in forms}
    strongest = Counter(syllogisms.conclusion(syllogisms.premises(f, "s", "m", "p"), "s", "p").relation for f in forms)
    assert len(forms) == len(pairs) == 11
    assert strongest == {"all": 2, "no": 4, "some": 5}
    barbara = (("all", False), ("all", True))  # all s are m, all m are p
    assert syllogisms.conclusion(syllogisms.premises(barbara, "s", "m", "p"), "s", "p") == Fact("s", "all", "p")
    undistributed = (("all", False), ("all", False))  # all s are m, all p are m
    assert syllogisms.conclusion(syllogisms.premises(undistributed, "s", "m", "p"), "s", "p") is None


def test_a_syllogism_has_six_options_and_no_and_some_are_as_right_the_other_way_round():
    for item in syllogisms.syllogisms(0, items=22).items:
        assert len(item.options) == 6
        assert len(item.right) == (1 if item.fact.relation == "all" else 2)
        assert {item.options[i].split()[0] for i in item.right} == {item.fact.relation}


def test_compositions_are_derived_from_the_rules_of_their_parts_alone():
    told = {Fact("f", process.BECOMES, "a"): 0, Fact("g", process.BECOMES, "b"): 0}
    assert process.derived(told)[Fact("f after g", process.BECOMES, "a after g then b")] == tuple(told)
    assert len(process.derived(told)) == 2


def test_a_sentence_is_read_back_as_its_fact_in_every_wording_and_behind_every_opener():
    for name in ("reversals", "semantics", "syllogisms"):
        rules = small(name, 0).rules
        for relation in rules.relations:
            for template in range(5):
                fact = Fact("dax", relation, "wug")
                assert rules.read(f"it is known that {rules.say(fact, template)} .") == fact


# ---- sizes, words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: reversals(0, facts=100, background=700, entities=100),
        lambda: reversals(0, facts=10, dimensions=8),
        lambda: semantics.semantics(0, categories=10, held=5),
        lambda: process.process(0, functions=3),
        lambda: words.pseudo_words(100_000, Random(0)),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(make):
    with pytest.raises(ValueError, match=r"\d"):
        make()


def test_the_benchmark_has_the_sizes_of_the_paper():
    world = semantics.semantics(0, categories=110, background=4, articles=20, asked=20)
    assert len(world.documents) == 20 * 110
    assert {len(d.sentences) for d in world.documents if d.about} <= set(range(4, 21))
    assert sum(not d.about for d in world.documents) == 20 * 8
    assert faults(world) == []
    assert len(reversals(0).documents) == 100 * 10
    assert len(syllogisms.syllogisms(0).items) == 69


def test_pseudo_words_are_four_or_five_letters_different_and_none_that_is_known():
    found = words.pseudo_words(800, Random(0), known={"blick"})
    assert len(set(found)) == 800
    assert {len(w) for w in found} == {4, 5}
    assert "blick" not in found


def test_no_pseudo_word_is_one_token_of_the_embedded_tokenizer():
    from limbeck import registry

    known = words.known_words(registry.take("bases", "minilm").folder())
    assert "house" in known
    assert not known & set(semantics.semantics(0, known=known).pseudo)


# ---- the in-context base's texts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reversals", "semantics", "syllogisms"])
def test_what_an_episode_concludes_follows_from_what_it_gives(name: str):
    world, rng = small(name, 1), Random(0)
    for _ in range(30):
        given, _, told = episode(world, 8, 8, rng).partition(f" {MARK} ")
        facts, said = ([world.rules.read(s) for s in text.split(END)[:-1]] for text in (given, told))
        if world.tell:  # a sentence that names the terms stands before each two premises, and before each conclusion
            assert facts[::3] == [None] * (len(facts) // 3) and said[::2] == [None] * (len(said) // 2)
            facts, said = [f for f in facts if f], [f for f in said if f]
        assert all(facts) and said
        assert set(said) <= set(closure([f for f in facts if f], world.rules))


@worlds
def test_the_base_is_told_nothing_of_what_is_asked(name: str, seed: int):
    world = small(name, seed)
    asked = {i.fact for i in world.items if i.split != "recall"} | set(world.facts)
    assert not asked & set(closure(world.background, world.rules))
    assert not {i.sentence for i in world.items} & set(statements(world.rules, world.background))


# ---- what is added -----------------------------------------------------------------------------------------------------


def test_n_sentences_give_n_texts_either_way_and_contexts_are_exact_prefixes():
    documents = small("semantics", 0).documents
    n = sum(len(d.sentences) for d in documents)
    whole, single, growing = (writers.SPLITS[s](documents) for s in ("", "independent", "cumulative"))
    assert (len(whole), len(single), len(growing)) == (len(documents), n, n)
    first = documents[0]
    mine = growing[: len(first.sentences)]
    assert mine[-1] == first.text == whole[0]
    assert all(b.startswith(a) for a, b in pairwise(mine))


@pytest.mark.parametrize("seed", range(4))
def test_coverage_and_precision_are_what_was_asked_for(seed: int):
    world = reversals(seed)
    found = writers.inferences(world, "local", 0.5, 0.7, Random(seed))
    turned = {w.fact: w.true for w in found if w.fact not in world.facts}
    assert len(turned) == pytest.approx(50, abs=16)
    assert sum(turned.values()) / len(turned) == pytest.approx(0.7, abs=0.2)
    perfect = writers.inferences(world, "local", 1.0, 1.0, Random(seed))
    assert all(w.true for w in perfect)
    assert {i.fact for i in world.items if i.split == "reversal"} <= {w.fact for w in perfect}


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_is_added_holds_a_question_to_the_letter_and_held_out_categories_are_never_written_of(seed: int):
    world = small("semantics", seed)
    added = [w for scope in ("local", "global") for w in writers.inferences(world, scope, 1.0, 1.0, Random(seed))]
    found = writers.leaked(world.items, [w.text for w in added], {w.fact for w in added if w.fact})
    assert not any(found[s][0] for s in ("rephrased", "reversal", "syllogism", "holdout"))
    assert not found["holdout"][1]
    assert len(found["syllogism"][1]) == sum(i.split == "syllogism" for i in world.items)  # the facts are, in other words


@pytest.mark.parametrize("seed", range(4))
def test_of_a_held_out_category_one_fact_is_told_and_no_property_beside_it(seed: int):
    world = small("semantics", seed)
    held = {i.fact.subject for i in world.items if i.split == "holdout"}
    for document in world.documents:
        facts = [world.rules.read(s) for s in document.sentences]
        if held & {f.subject for f in facts if f}:
            assert len(facts) == 1
    assert all(len([f for f in world.facts if f.subject == name]) == 1 for name in held)


def test_global_links_documents_and_local_does_not():
    world = small("semantics", 0)
    linked = {w.fact for w in writers.inferences(world, "global", 1.0, 1.0, Random(0))}
    assert all(len(consequences(world)[f].of) > 1 for f in linked)
    assert not linked & {w.fact for w in writers.inferences(world, "local", 1.0, 1.0, Random(0))}


def test_rephrasing_adds_as_many_words_and_no_new_fact():
    world = small("reversals", 0)
    like = writers.inferences(world, "local", 0.8, 0.95, Random(0))
    wanted = sum(len(w.text.split()) for w in like)
    found = writers.rephrasings(world, Random(0), wanted)
    assert 0 <= sum(len(w.text.split()) for w in found) - wanted < 20
    assert {w.fact for w in found} <= set(world.facts)


# ---- contexts, choices -------------------------------------------------------------------------------------------------


@worlds
def test_a_subsampled_context_holds_what_is_needed_and_no_more_than_fits(name: str, seed: int):
    world = small(name, seed)
    by_id = {d.id: d for d in world.documents}
    for item in world.items:
        text = contexts.many(world, 12, seed)(item)
        assert all(by_id[n].text in text for n in item.needs)
        assert text.count(END) <= max(12, sum(len(by_id[n].sentences) for n in set(item.needs)))
        assert text == contexts.many(world, 12, seed)(item)


def test_permuting_options_cannot_change_the_answer_and_a_uniform_model_scores_chance():
    rng = Random(0)
    for item in syllogisms.syllogisms(0, items=11).items + small("semantics", 0).items:
        n = len(item.options)
        values = [rng.random() for _ in range(n)]
        order = rng.sample(range(n), n)
        moved = replace(
            item, options=tuple(item.options[i] for i in order), gold=order.index(item.gold), also=tuple(order.index(i) for i in item.also)
        )
        before, after = Choice(item, tuple(values), tuple(values)), Choice(moved, *[tuple(values[i] for i in order)] * 2)
        assert before.right() == after.right()
        flat = Choice(item, (-1.0,) * n, (-0.5,) * n)
        assert flat.right("sum") == flat.right("mean") == flat.chance == len(item.right) / n


# ---- the set from outside ----------------------------------------------------------------------------------------------


def test_the_reversal_curse_is_read_with_its_reversed_questions(shared: Path):
    world = berglund(0, shared=shared / "data")
    assert Counter(i.split for i in world.items) == {"reversal": 300, "forward": 300}
    assert len(world.documents) == 1800
    names = {i.options[i.gold] for i in world.items if i.split == "reversal"}
    assert len(names) == 30
    text = "\n".join(d.text for d in world.documents)
    assert not any(i.sentence in text for i in world.items)
    assert all(set(i.options) <= names for i in world.items if i.split == "reversal")


def test_the_reversal_curse_without_its_data_says_what_to_type(tmp_path: Path):
    with pytest.raises(MissingError, match="reversal_curse"):
        berglund(0, shared=tmp_path)


# ---- nothing but knowing of whom it is told helps ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scope", ["", "local", "global"])
def test_whoever_counts_how_often_a_thing_is_told_is_right_by_chance(seed: int, scope: str):
    """What is inherited is told of many: were its wrong options any others, counting alone would be right in most cases."""
    world = small("semantics", seed)
    added = writers.inferences(world, scope, 0.9, 1.0, Random(seed)) if scope else []
    counts = writers.mentions(world, added)
    for split in world.splits:
        found = [study.by_counting(world, item, counts).right() for item in world.items if item.split == split]
        assert sum(found) / len(found) == pytest.approx(0.25)


def test_counting_would_be_right_where_options_are_drawn_from_all_there_are():
    world = small("semantics", 0)
    counts = writers.mentions(world, writers.inferences(world, "global", 1.0, 1.0, Random(0)))
    often = max((i for i in world.items if i.split == "syllogism"), key=lambda i: counts[i.fact.relation, i.fact.object])
    rare = [f.object for f in world.facts if f.relation == often.fact.relation and counts[f.relation, f.object] < 3][:3]
    item = replace(often, options=(often.fact.object, *rare), gold=0)
    assert study.by_counting(world, item, counts).right() == 1.0


def test_what_is_concluded_is_each_of_three_kinds_equally_often():
    world = syllogisms.syllogisms(0, items=66)
    assert set(Counter(i.fact.relation for i in world.items).values()) == {22}


def test_the_two_halves_of_a_composition_are_asked_with_nothing_in_sight_that_tells_them():
    for item in small("process", 0).items:
        if item.split == "outer":
            assert len({o.partition(" after ")[2] for o in item.options}) == 1  # only what the outer function becomes differs
        if item.split == "inner":
            assert not set(item.options) & set(item.stem.split())


# ---- how the base is trained -------------------------------------------------------------------------------------------


def test_a_base_reads_few_facts_first_and_its_background_last_in_all_its_steps():
    plan = stages(Shape(steps=1000, most=6, share=0.4))
    assert [s.facts for s in plan] == [1, 2, 4, 6, 6]
    assert [s.share for s in plan] == [1, 1, 1, 1, 0.4]
    assert sum(s.steps for s in plan) == 1000
    assert [s.facts for s in stages(Shape(most=1))] == [1] * 5


def test_of_a_sentence_its_object_alone_is_learnt(tmp_path: Path):
    torch = pytest.importorskip("torch")
    from limbeck.engine.fresh import word_tokenizer

    for name in NAMES:
        world = small(name, 0)
        tokenizer = word_tokenizer(words_of(world), 64)
        told = [item.fact for item in world.items[:8]]
        text = " ".join(f"{world.rules.say(fact, template)}{END}" for template in range(5) for fact in told)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        found = answers(world.rules, tokenizer)(torch.tensor([ids]))[0].tolist()
        learnt = [tokenizer.decode([i]) for i, one in zip(ids, found, strict=True) if one]
        assert learnt == [word for _ in range(5) for fact in told for word in fact.object.split()]
