"""Episodes in the product's frame: to the byte what a prompted base is shown, fair questions, and answers alone are learnt."""

# ruff: noqa: E402  (the imports below need torch)

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

torch = pytest.importorskip("torch")

from limbeck import knowing, render
from limbeck.augment.relations import infer, read_relations
from limbeck.augment.statements import whole
from limbeck.bench.knowledge import base, folder, frame
from limbeck.bench.knowledge.checker import closure, faults
from limbeck.bench.knowledge.reversals import reversals
from limbeck.bench.knowledge.telegraph import telegraphic
from limbeck.contexts.passages import build
from limbeck.engine.framing import Reading, prompt_reading
from limbeck.engine.fresh import new_causal
from limbeck.engine.load import load_base
from limbeck.engine.numbers import Numbers
from limbeck.engine.reader import look_up
from limbeck.tasks.frontmatter import split_front_matter
from limbeck.tasks.parse import parse
from limbeck.types import Example, Settings

WORLD = reversals(0, facts=16, background=20, entities=60, dimensions=2, articles=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder.write(WORLD, "reversal", tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """As `prompt@base` reads."""
    raw = new_causal(tmp_path_factory.mktemp("base") / "b", [*base.words_of(WORLD), *frame.words()], layers=1, width=16, heads=2)
    return prompt_reading(load_base(str(raw)), frame.TASK, Numbers(max_answer=32), calibrate=False)


@pytest.fixture(scope="module")
def questions(place: Path) -> list[Example]:
    return [Example.model_validate(json.loads(line)) for line in (place / "questions.jsonl").read_text().splitlines()]


def as_episode(question: Example, passages: tuple[str, ...]) -> str:
    """The same question, rendered as an episode is."""
    item = next(i for i in WORLD.items if i.id == question.id)
    return frame.shown(frame.asked(item.fact, WORLD.rules, item.options, passages))


# ---- the frame is the product's ------------------------------------------------------------------------------------------


def test_the_prompt_file_of_a_world_gives_the_task_that_episodes_are_rendered_for(place: Path, questions: list[Example]):
    settings, body = split_front_matter((place / "prompt.md").read_text())
    task = parse(body, "world", questions, settings["kind"])
    assert render.messages(task, questions[0]) == render.messages(frame.TASK, questions[0])


def test_an_episode_is_to_the_byte_what_retrieval_shows_a_base(place: Path, questions: list[Example], reading: Reading, tmp_path: Path):
    index = build(tmp_path / "index", place / "docs")
    for row in look_up(index, [q.blind() for q in questions], 4, "words")[0]:
        prompt = reading.prompt(frame.TASK, row)
        assert prompt.text == as_episode(row, row.passages or ()) and not prompt.cut
        assert len(row.passages or ()) == 4


def test_an_episode_is_to_the_byte_what_many_documents_show_a_base(place: Path, questions: list[Example], reading: Reading):
    documents = whole(knowing.read(Settings(prompt=str(place / "prompt.md"), docs=str(place / "docs"))).texts)[:9]
    row = questions[0].blind().model_copy(update={"shots": tuple(documents)})
    assert reading.prompt(frame.TASK, row).text == as_episode(row, tuple(d.output or "" for d in documents))
    assert [d.output for d in documents] == [d.text for d in sorted(WORLD.documents, key=lambda d: d.id)][:9]


def test_the_bare_question_stands_in_the_same_frame(questions: list[Example], reading: Reading):
    assert reading.prompt(frame.TASK, questions[0].blind()).text == as_episode(questions[0], ())


def test_a_base_knows_every_word_of_the_frame_and_the_study_needs_none(reading: Reading):
    unknown = reading.tokenizer.unk_token_id
    for one in frame.episodes(WORLD, 40, 8, (1, 1, 1), Random(1)):
        ids = reading.tokenizer(f"{one.input} {one.output}" if isinstance(one, Example) else one)["input_ids"]
        assert unknown not in ids and len(ids) < 512
    assert not any("passage" in text for text in base.words_of(WORLD)), "the frame is no part of the study"


# ---- episodes are fair ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_every_answer_follows_from_the_passages_of_its_episode_and_no_other_option_does(seed: int):
    text = frame.framed(WORLD, 1 + seed % 8, Random(seed))
    given = [WORLD.rules.read(p) for p in re.findall(r'<passage id="\d+">\n(.*)\n</passage>', text)]
    follows = closure([f for f in given if f], WORLD.rules)
    blocks = re.findall(r"Input: (.*)\nOptions:\n((?:[A-Z]\. .*\n)+)Answer: (.*)", text)
    assert given and None not in given and blocks
    for stem, options, answer in blocks:
        right = [name for name in re.findall(r"[A-Z]\. (.*)", options) if WORLD.rules.read(f"{stem} {name}") in follows]
        assert right == [answer]


def test_a_name_may_stand_in_several_facts_but_once_in_a_relation():
    several = False
    for seed in range(20):
        given = frame.moments(WORLD, 8, Random(seed))
        held = [(f.relation.partition(" ")[2], name) for f in given for name in (f.subject, f.object)]
        assert len(held) == len(set(held)) == 16
        several = several or len({name for _, name in held}) < 16
    assert several


# ---- what is learnt of them ----------------------------------------------------------------------------------------------


def learnt(reading: Reading, text: str, stops: bool = True) -> list[str]:
    ids = torch.tensor([[*reading.tokenizer(text)["input_ids"], reading.tokenizer.eos_token_id]])
    return reading.tokenizer.convert_ids_to_tokens(ids[0][frame.learnt(reading.tokenizer, stops)(ids)[0].bool()].tolist())


def test_of_a_framed_episode_the_answers_alone_are_learnt(reading: Reading):
    text = frame.framed(WORLD, 4, Random(3))
    assert learnt(reading, text) == re.findall(r"Answer: (\w+)", text) and text.count("Answer:") == 8


def test_of_sentences_the_last_word_is_learnt_and_of_an_answer_everything_but_its_end(reading: Reading):
    text = frame.bare(WORLD, 3, Random(3)).partition(base.MARK)[2]
    assert learnt(reading, text, stops=False) == re.findall(r"(\w+) \.", text)
    assert learnt(reading, text) == [token for name in re.findall(r"(\w+) \.", text) for token in (name, ".")]
    assert learnt(reading, "more passage") == ["[BEG]", "more", "passage"]


def test_a_quoted_question_is_what_a_student_without_a_frame_reads_behind_its_passages(reading: Reading):
    row = frame.quoted(WORLD, 3, Random(3))
    passages = re.findall(r'<passage id="\d+">\n(.*)\n</passage>', row.input)
    question = Example(id="", input=row.input.rpartition("\n\n")[2], passages=tuple(passages), choices=("a", "b"))
    student = replace(reading, prompted=False, instruct=False, frame=False)
    assert student.prompt(frame.TASK, question).text == row.input and len(passages) == 3
    follows = closure([f for p in passages if (f := WORLD.rules.read(p))], WORLD.rules)
    assert WORLD.rules.read(f"{question.input} {row.output}") in follows


# ---- a world as a folder -------------------------------------------------------------------------------------------------


def test_the_declared_relations_of_a_folder_say_what_its_questions_ask(place: Path, questions: list[Example]):
    declared = read_relations(split_front_matter((place / "prompt.md").read_text())[0]["relations"])
    read = knowing.read(Settings(prompt=str(place / "prompt.md"), docs=str(place / "docs")))
    home = {name: t.id for t in read.texts for name in t.statements()}
    written = {one.text for one in infer(read.statements, declared, home)}
    assert {f"{q.input} {q.output}." for q in questions} == written


def test_a_telegraphic_world_says_the_same_and_its_relations_can_be_declared(tmp_path: Path):
    short = telegraphic(WORLD)
    assert set(short.facts) == set(WORLD.facts) and faults(short) == []
    assert {i.fact for i in short.items} == {i.fact for i in WORLD.items if i.split != "direction"}
    for document in short.documents:
        (sentence,) = document.sentences
        assert len(sentence.split()) == 4
    settings, _ = split_front_matter((folder.write(short, "reversal", tmp_path) / "prompt.md").read_text())
    assert {frozenset(one.values()) for one in settings["relations"]} == {
        frozenset((name, r.inverse)) for name, r in short.rules.relations.items()
    }
