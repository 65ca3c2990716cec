"""What generators give and take: one made row, and the stock of sentences and dictionary entries."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

from sources import SOURCES, pieces, sentences

from limbeck.types import Example, Kind, Task

NO_KIND = {"similar", "spoken", "someone", "something", "one", "used", "made", "any"}
VOWELS, CONSONANTS = "aeiou", "bdfgklmnprstvz"
NAMES = """Ada Ali Amir Anna Aron Bella Ben Carla Cleo Dana Dario Edith Elif Emil Eva Felix Fred Gina Greta Hana Hugo Ida Ines Ivan Jan Jill Jonas
Karim Kate Kofi Lars Lea Lena Leo Lina Luis Maja Marco Mary Mila Mona Nadia Nico Nina Noah Nora Olga Oscar Otto Paul Petra Priya Ravi Rosa Ruth
Sam Sara Simon Sofia Tara Theo Tim Tom Uma Vera Victor Wanda Yara Yusuf Zoe""".split()
THINGS = """apples pears plums oranges lemons cookies cakes eggs nuts buns carrots potatoes books pens pencils stamps coins cards marbles balls
toys dolls kites shells stones flowers roses tulips seeds leaves trees bottles cups plates spoons boxes bags baskets chairs tables lamps shirts
hats socks buttons ribbons tickets posters letters photos stickers crayons bricks tiles fish birds ducks hens goats sheep horses cows rabbits
kittens frogs bees""".split()
PLACES = """kitchen garden office school library station market park museum harbour hospital bakery hotel theatre farm beach forest tower bridge
church castle garage cellar attic""".split()
CITIES = """Berlin Paris Rome Madrid London Dublin Oslo Cairo Lima Quito Delhi Tokyo Seoul Hanoi Perth Boston Denver Austin Toronto Geneva Vienna
Prague Warsaw Athens Lisbon Nairobi Accra Tunis Havana Bogota""".split()
COLOURS = "red blue green yellow black white brown grey pink purple orange golden".split()
JOBS = """baker teacher doctor nurse farmer sailor painter singer driver cook lawyer writer tailor miner pilot carpenter gardener plumber clerk
dentist""".split()
ANIMALS = "dog cat horse cow goat duck rabbit parrot mouse pony lamb turtle".split()


@dataclass(frozen=True)
class Made:
    """One row. schema: of kind fields. needs_instruction: without it nobody could know what is wanted."""

    instruction: str
    input: str
    output: str
    kind: Kind = Kind.TEXT
    labels: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    schema: str | None = None
    needs_instruction: bool = False

    def task(self) -> Task:
        return Task(name="made", instruction=self.instruction, kind=self.kind, labels=self.labels, output_schema=self.schema)

    def example(self) -> Example:
        return Example(id="0", input=self.input, output=self.output, choices=self.choices or None)


@dataclass(frozen=True)
class Entry:
    """One entry of the dictionary. genus: "dog" of "a dog that ...", "" where the gloss does not begin so."""

    words: tuple[str, ...]
    part: str
    gloss: str
    examples: tuple[str, ...]
    genus: str = ""


@dataclass
class Stock:
    """runs: sentences in the order of a book, a list per piece."""

    runs: list[list[str]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    by_genus: dict[str, list[Entry]] = field(default_factory=dict)

    def sentence(self, rng: random.Random, least: int = 5, most: int = 25) -> str:
        """A sentence of so many words."""
        while True:
            found = rng.choice(rng.choice(self.runs))
            if least <= found.count(" ") + 1 <= most:
                return found

    def entry(self, rng: random.Random, most: int = 18) -> Entry:
        """An entry whose first word is one word and whose gloss is short."""
        while True:
            found = rng.choice(self.entries)
            if found.gloss.count(" ") < most and " " not in found.words[0]:
                return found


def read_stock() -> Stock:
    """From the part of the text that is not held out."""
    stock = Stock()
    dictionary = SOURCES[-1].name
    for piece in pieces():
        if piece.held:
            continue
        if piece.source == dictionary:
            stock.entries += [e for line in piece.text.splitlines() if (e := entry_of(line))]
        elif len(run := sentences(piece.text)) >= 3 and any(5 <= s.count(" ") < 25 for s in run):
            stock.runs.append(run)
    for entry in stock.entries:
        if entry.genus:
            stock.by_genus.setdefault(entry.genus, []).append(entry)
    stock.by_genus = {g: rows for g, rows in stock.by_genus.items() if len(rows) >= 60 and g not in NO_KIND}
    return stock


_ENTRY = re.compile(r"(?P<words>[^(]+) \((?P<part>\w+)\): (?P<gloss>.*?)(?: Example: (?P<examples>.*))?$")
_GENUS = re.compile(
    r"^(?:an?|any(?: of)?|the)? ?(?:[\w-]+ ){0,3}?(?P<genus>[a-z]{3,}) (?:that|which|who|whose|used|having|with|in|for|made|to|where)\b"
)


def entry_of(line: str) -> Entry | None:
    found = _ENTRY.match(line)
    if not found:
        return None
    gloss = found["gloss"].strip().rstrip(".;")
    genus = _GENUS.match(gloss) if found["part"] == "noun" else None
    words = tuple(w.strip() for w in found["words"].split(",") if w.strip())
    examples = tuple(e.strip() for e in (found["examples"] or "").split(";") if e.strip())
    return Entry(words, found["part"], gloss, examples, genus["genus"] if genus else "") if words and gloss else None


def pseudo_word(rng: random.Random) -> str:
    """Two or three syllables that mean nothing."""
    word = "".join(rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(rng.choice((2, 2, 3))))
    return word + rng.choice(["", "", *CONSONANTS])


def words_of(sentence: str) -> list[str]:
    return [w for w in (w.strip("\"'“”‘’.,;:!?()[]_-") for w in sentence.split()) if w]


def some(rng: random.Random, *ways: str) -> str:
    return rng.choice(ways)
