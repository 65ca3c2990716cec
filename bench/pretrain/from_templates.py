"""Rows made of templates alone: sums, word problems, short passages, records, dates, entailment, feelings, question words."""

from __future__ import annotations

import random

from made import ANIMALS, CITIES, COLOURS, JOBS, NAMES, PLACES, THINGS, Made, Stock, pseudo_word, some
from records import fields, normal_date
from word_problems import problem

from limbeck.types import Kind


def sums(rng: random.Random, stock: Stock) -> Made:
    """One operation or two, small numbers mostly."""
    a, b, c = (rng.choice((rng.randrange(2, 20), rng.randrange(2, 100), rng.randrange(2, 1000))) for _ in range(3))
    ways = [
        (f"{a} + {b}", a + b),
        (f"{max(a, b)} - {min(a, b)}", abs(a - b)),
        (f"{a % 12 + 1} * {b % 12 + 1}", (a % 12 + 1) * (b % 12 + 1)),
    ]
    ways += [(f"{(a % 12 + 1) * (b % 12 + 1)} / {a % 12 + 1}", b % 12 + 1), (f"( {a} + {b} ) - {min(a, c)}", a + b - min(a, c))]
    text, value = rng.choice(ways)
    ask = some(rng, "{}", "{} =", "What is {}?", "How much is {} ?")
    return Made(some(rng, "Compute.", "Work out the number."), ask.format(text), str(value))


def equation(rng: random.Random, stock: Stock) -> Made:
    text, found, _ = problem(rng, stock)
    return Made(
        some(rng, "Write the equation that solves the problem.", "Turn the word problem into an arithmetic expression."), text, found
    )


def answer_number(rng: random.Random, stock: Stock) -> Made:
    text, _, value = problem(rng, stock)
    return Made(some(rng, "Solve the word problem.", "Give the number that answers the question."), text, value, needs_instruction=True)


def list_of_numbers(rng: random.Random, stock: Stock) -> Made:
    numbers = rng.sample(range(1, rng.choice((20, 100, 1000))), rng.randrange(3, 7))
    ways = [("Write the largest number.", str(max(numbers))), ("Write the smallest number.", str(min(numbers)))]
    ways += [
        ("Sort the numbers from small to large.", " ".join(map(str, sorted(numbers)))),
        ("How many numbers are there?", str(len(numbers))),
    ]
    instruction, output = rng.choice(ways)
    return Made(instruction, " ".join(map(str, numbers)), output, needs_instruction=True)


# ---- short passages ----------------------------------------------------------------------------------------------------


def facts(rng: random.Random, n: int) -> list[tuple[str, str, str, str]]:
    """n of (sentence, question, answer, the same sentence with another answer), every person once."""
    found = []
    for person in rng.sample(NAMES, n):
        shape = rng.randrange(7)
        if shape == 0:
            a, b = rng.sample(PLACES, 2)
            verb = rng.choice(("went to", "is in", "walked to", "waits in"))
            found.append(
                (
                    f"{person} {verb} the {a}.",
                    f"Where is {person}?" if verb == "is in" else f"Which place is {person} in or going to?",
                    a,
                    f"{person} {verb} the {b}.",
                )
            )
        elif shape == 1:
            a, b = rng.sample(CITIES, 2)
            found.append((f"{person} lives in {a}.", f"In which city does {person} live?", a, f"{person} lives in {b}."))
        elif shape == 2:
            a, b = rng.sample(JOBS, 2)
            found.append((f"{person} works as a {a}.", f"What is the job of {person}?", a, f"{person} works as a {b}."))
        elif shape == 3:
            (a, b), animal = rng.sample(COLOURS, 2), rng.choice(ANIMALS)
            found.append((f"{person} has a {a} {animal}.", f"What colour is the {animal} of {person}?", a, f"{person} has a {b} {animal}."))
        elif shape == 4:
            (a, b), thing = rng.sample(range(2, 90), 2), rng.choice(THINGS)
            found.append((f"{person} bought {a} {thing}.", f"How many {thing} did {person} buy?", str(a), f"{person} bought {b} {thing}."))
        elif shape == 5:
            a, b = rng.sample(THINGS, 2)
            found.append((f"{person} likes {a} best.", f"What does {person} like best?", a, f"{person} likes {b} best."))
        else:
            a, b = rng.sample(range(1890, 2010), 2)
            found.append((f"{person} was born in {a}.", f"When was {person} born?", str(a), f"{person} was born in {b}."))
    return found


def passage_question(rng: random.Random, stock: Stock) -> Made:
    told = facts(rng, rng.randrange(2, 6))
    text = [t[0] for t in told]
    if rng.random() < 0.4:
        text.insert(rng.randrange(len(text) + 1), stock.sentence(rng, 5, 14))
    _, question, answer, _ = rng.choice(told)
    if rng.random() < 0.25:  # who is it?
        told_one = rng.choice(told)
        person, rest = told_one[0].split(" ", 1)
        question, answer = f"Who {rest.rstrip('.')}?", person
    shape = some(rng, "question: {q}\ncontext: {c}", "{c}\n{q}", "context: {c}\nquestion: {q}", "Passage: {c}\nQuestion: {q}")
    return Made("Answer the question with words of the text.", shape.format(q=question, c=" ".join(text)), answer)


WIDER = {
    "dog": "animal", "cat": "animal", "horse": "animal", "cow": "animal", "goat": "animal", "parrot": "bird", "duck": "bird", "baker": "person",
    "roses": "flowers", "tulips": "flowers", "apples": "fruit", "pears": "fruit", "plums": "fruit", "hens": "birds", "ducks": "birds",
    "carrots": "vegetables", "potatoes": "vegetables", "chairs": "furniture", "tables": "furniture", "shirts": "clothes", "socks": "clothes",
}  # fmt: skip


def entailment(rng: random.Random, stock: Stock) -> Made:
    """entailment: a fact of the premise, said again, more widely, or less exactly; contradiction: with another value or denied;
    neutral: a fact about somebody that the premise does not tell."""
    told = facts(rng, rng.randrange(2, 5))
    stated, silent = told[:-1], told[-1]
    fact, _, answer, other = rng.choice(stated)
    label = rng.choice(("entailment", "contradiction", "neutral"))
    if label == "neutral":
        person = fact.split(" ", 1)[0]
        hypothesis = f"{person} {silent[0].split(' ', 1)[1]}" if rng.random() < 0.5 else silent[0]
        if hypothesis.split()[1:3] == fact.split()[1:3]:
            hypothesis = silent[0]
    elif label == "contradiction":
        hypothesis = other if rng.random() < 0.6 else f"It is not true that {fact}"
    else:
        wide = next((fact.replace(f" {a}", f" {b}") for a, b in WIDER.items() if f" {a} " in fact or fact.endswith(f" {a}.")), None)
        hypothesis = (
            wide
            if wide and rng.random() < 0.7
            else some(rng, fact, f"It is true that {fact}", fact.replace(answer, "something", 1) if answer in THINGS else fact)
        )
    names = rng.choice([("entailment", "neutral", "contradiction")] * 3 + [("yes", "maybe", "no"), ("true", "unknown", "false")])
    label = names[("entailment", "neutral", "contradiction").index(label)]
    shape = some(rng, "premise: {p}\nhypothesis: {h}", "premise: {p}\nhypothesis: {h}", "{p}\n{h}", "sentence1: {p}\nsentence2: {h}")
    instruction = some(
        rng, "Does the premise entail the hypothesis, contradict it, or neither?", "What follows from the first text about the second?"
    )
    return Made(
        instruction,
        shape.format(p=" ".join(t[0] for t in stated), h=hypothesis),
        label,
        Kind.LABEL,
        names,
        needs_instruction=names[0] != "entailment",
    )


# ---- words with a tone, words that ask ----------------------------------------------------------------------------------

GOOD = """good great lovely charming brilliant wonderful funny warm clever fresh moving delightful excellent superb tender gripping honest
pleasant sharp touching lively elegant rich smart bright perfect strong fine enjoyable beautiful""".split()
BAD = """bad dull boring awful terrible weak stale clumsy cold silly tedious ugly poor empty flat lifeless annoying shallow messy slow
pointless predictable noisy dreadful lazy sloppy pretentious tiresome unfunny forgettable""".split()
REVIEWED = "film story book play song meal hotel game phone show plot cast music room service acting ending script".split()


def tone(rng: random.Random, stock: Stock) -> Made:
    good = rng.random() < 0.5
    words, against = (GOOD, BAD) if good else (BAD, GOOD)
    a, b, c, thing, other = rng.choice(words), rng.choice(words), rng.choice(against), *rng.sample(REVIEWED, 2)
    text = some(
        rng, f"the {thing} is {a}", f"a {a} and {b} {thing}", f"i found the {thing} {a}", f"{a} {thing} , {b} {other}", f"not a {c} {thing}",
        f"the {thing} was not {c} at all", f"what a {a} {thing} !", f"a {thing} so {a} that i told everyone", f"the {thing} is {c} , but the {other} is so {a} that it hardly matters",
        f"although {c} at times , the {thing} is {a} and {b}", f"it 's a {a} , {b} piece of work",
    )  # fmt: skip
    names = rng.choice([("negative", "positive")] * 2 + [("bad", "good"), ("no", "yes")])
    return Made(
        some(rng, "Is the text positive or negative?", "Did the writer like it?"),
        text,
        names[good],
        Kind.LABEL,
        names,
        needs_instruction=names[1] == "yes",
    )


def asked_for(rng: random.Random, stock: Stock) -> Made:
    """What sort of answer a question wants."""
    person, city, thing, job = rng.choice(NAMES), rng.choice(CITIES), rng.choice(THINGS), rng.choice(JOBS)
    noun = stock.entry(rng).words[0]
    ways = {
        "person": (
            f"Who built the tower of {city} ?",
            f"What is the name of the {job} who found the {noun} ?",
            f"Which {job} wrote about {noun} ?",
        ),
        "place": (f"Where is the {noun} of {city} ?", f"What city is {person} from ?", f"In which country do people eat {thing} ?"),
        "number": (f"How many {thing} are there in {city} ?", f"How much does a {noun} cost ?", f"How far is it from {city} to the sea ?"),
        "time": (
            f"When did {person} sell the {thing} ?",
            f"What year was the {noun} found ?",
            f"On which day does {city} hold its market ?",
        ),
        "meaning": (f"What does {noun} mean ?", f"What is a {noun} ?", f"Define {noun} ."),
        "reason": (f"Why do {thing} float ?", f"What made {person} leave {city} ?", f"How did the {noun} come to {city} ?"),
        "thing": (f"What did {person} buy in {city} ?", f"Which {noun} is the oldest ?", f"What kind of {thing} does a {job} need ?"),
    }
    labels = tuple(rng.sample(list(ways), rng.choice((3, 5, 7))))
    label = rng.choice(labels)
    return Made("What kind of answer does the question want?", rng.choice(ways[label]), label, Kind.LABEL, labels, needs_instruction=True)


# ---- looking up -----------------------------------------------------------------------------------------------------------


def look_up(rng: random.Random, stock: Stock) -> Made:
    """Keys and values of nonsense words, words or numbers; one is asked for."""
    n = rng.randrange(2, 9)
    keys = list({pseudo_word(rng) if rng.random() < 0.5 else rng.choice(NAMES) for _ in range(n)})
    values = [some(rng, pseudo_word(rng), str(rng.randrange(100)), rng.choice(THINGS), rng.choice(CITIES)) for _ in keys]
    arrow, gap = some(rng, " -> ", ": ", " = ", " is "), some(rng, ", ", "\n", "; ")
    at = rng.randrange(len(keys))
    text = gap.join(f"{k}{arrow}{v}" for k, v in zip(keys, values, strict=True))
    ask = some(rng, "{t}\n{k}?", "{t}\nWhat belongs to {k}?", "key: {k}\n{t}")
    return Made("Look up the value.", ask.format(t=text, k=keys[at]), values[at])


FROM_TEMPLATES = {
    "sums": (3, sums), "word problem to equation": (8, equation), "word problem to number": (5, answer_number),
    "numbers in a list": (2, list_of_numbers), "question about a passage": (6, passage_question), "entailment": (6, entailment),
    "tone": (2, tone), "what a question wants": (2, asked_for), "look up": (4, look_up), "fields of a message": (4, fields),
    "dates": (3, normal_date),
}  # fmt: skip
