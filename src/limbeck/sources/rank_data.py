"""Which data sets fit a task: ranked by words and by meaning, fused, near duplicates folded, and voted on by a teacher.

    prompt, labels, examples --> stems of words --------------> BM25 ------------------ x 1/50 ---+
              |                                                                                   |
              +--> one pass of the encoder --> mean ----------> cosine ------------------------- (+) --> score
                                           +-> single tokens -> nearest token, rare ones first --+

and each card likewise: its title, description, tags and answers; for BM25 its rows too."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from limbeck.engine.wording import STOP, stems
from limbeck.need import need
from limbeck.registry import Ask
from limbeck.render import find_json
from limbeck.run import cache_folder
from limbeck.sources.datasets import Dataset, Dropped, Found
from limbeck.types import Message, Reply, Request, Task

if TYPE_CHECKING:
    import numpy as np

VOTES = 5
ASKED = (150, 40, 60)  # tokens read of a prompt's instruction, labels and worked examples
TITLE, ABOUT, TAGS, ANSWERS = 12, 60, 16, 40  # tokens read of a card: more cost time and blur what it is about
CONFIGS = 10  # parts of one data set that are shown to a teacher


def query_of(task: Task, demonstrations: int = 3) -> str:
    """What is searched for: the instruction, the labels, a few worked examples."""
    return "\n".join(query_parts(task, demonstrations=demonstrations)).strip()


def query_parts(task: Task, instruction: str | None = None, demonstrations: int = 3) -> tuple[str, str, str]:
    """(instruction, labels, worked examples). instruction: searched for alone, in place of the prompt, where it is not the
    task's own: a translation, say, whose labels and examples are not translated."""
    if instruction is not None and instruction != task.instruction:
        return instruction[:1500], "", ""
    shown = [f"{d.input[:300]} {d.output[:120]}" for d in task.demonstrations[:demonstrations]]
    return task.instruction[:1500], ", ".join(task.labels[:40]), "\n".join(shown)


def words_text(card: Dataset) -> str:
    """Everything a card says, for BM25, of its rows each word once: rare words decide there, so more text does little harm."""
    said = stems(" ".join([card.name, card.title, card.description, *card.tags, *card.configs[:40], *answers(card)]))
    return f"{said} {' '.join(dict.fromkeys(stems(' '.join(card.sample)).split()))}"


def meaning_parts(card: Dataset) -> list[tuple[str, int]]:
    """(text, tokens) of title, description, tags and answers, for the encoder, which averages over all that it reads: rows only
    where nothing else is known."""
    about = card.description or ("" if card.tags else " ".join(card.sample))
    told = answers(card)
    tags = f". {', '.join(card.tags)}" if card.tags else ""
    return [(f"{card.title}.", TITLE), (about, ABOUT), (tags, TAGS), (f". {', '.join(told)}" if len(told) > 1 else "", ANSWERS)]


def answers(card: Dataset) -> list[str]:
    """Names of labels as words: `PlayMusic` -> `Play Music`. Letters, numbers and names such as option1 tell nothing."""
    named = [name for names in card.class_labels.values() for name in names] + list(card.answers)
    words = (re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", name) for name in named)
    return [text for text in words if re.search(r"[^\W\d_]{3}", text) and not re.fullmatch(r"[a-z]+ ?\d+", text)]


def rank(query: str | Sequence[str], cards: Sequence[Dataset]) -> list[Found]:
    """All cards, best first, by the sum of three scores (`engine.rank.add`). query: a text, or its parts (`query_parts`)."""
    from limbeck.engine.rank import add, ranks

    if not cards:
        return []
    by = scores((query,) if isinstance(query, str) else query, cards)
    total = add(**by)
    places = {way: ranks(one).round().astype(int) for way, one in by.items()}
    return [
        Found(
            dataset=cards[i],
            score=round(float(total[i]), 6),
            **{way: int(place[i]) for way, place in places.items()},
            reason=f"{ordinal(int(places['meaning'][i]))} of {len(cards)} by meaning, {ordinal(int(places['matching'][i]))} word by word, "
            + (f"{ordinal(int(places['words'][i]))} by shared words" if by["words"][i] > 0 else "no telling word in common"),
        )
        for i in sorted(range(len(cards)), key=lambda i: (-total[i], i))
    ]


def scores(query: Sequence[str], cards: Sequence[Dataset]) -> dict[str, np.ndarray]:
    """{way: (n,)}. words: BM25. meaning: cosine of the prompt with the whole card or its description alone, whichever is
    nearer. matching: cosines of single words in their context."""
    from limbeck.engine import rank
    from limbeck.engine.reading import read

    asked = read([list(zip(query, ASKED, strict=False))])[0]
    known = read([meaning_parts(card) for card in cards], file=cache_folder() / "cards.safetensors")
    mean = asked.mean(0, 1) if len(query) > 1 else asked.mean()
    return {
        "words": rank.by_words(stems("\n".join(query)), [words_text(card) for card in cards]),
        "meaning": rank.nearest_part(mean, known, 1),
        "matching": rank.by_matching(asked, known, STOP),
    }


def ordinal(n: int) -> str:
    return f"{n}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


# ---- the same data set under two names ----------------------------------------------------------------------------


def fold(
    found: Sequence[Found], rows: dict[str, Sequence[str]] | None = None, local: frozenset[str] = frozenset()
) -> tuple[list[Found], list[Dropped]]:
    """(found without near duplicates, what was folded into what). Of two that are the same the better ranked stays, or the one
    whose source is `local`, in the better place.

    The same: half of the rows in common, by MinHash, where `rows` {where: texts} holds both; else the same name at two
    owners or sources, or descriptions that share four fifths of their words."""
    kept: list[Found] = []
    folded: list[Dropped] = []
    sketches = {f.dataset.where: sketch(rows[f.dataset.where]) for f in found if rows and rows.get(f.dataset.where)}
    for one in found:
        place, why = next(((i, why) for i, other in enumerate(kept) if (why := same(one.dataset, other.dataset, sketches))), (-1, ""))
        if place < 0:
            kept.append(one)
            continue
        stays, goes = kept[place], one
        if one.dataset.source in local and stays.dataset.source not in local:
            stays, goes = one, stays
            kept[place] = one
        folded.append(Dropped(source=goes.dataset.name, reason=f"near duplicate of {stays.dataset.name} ({stays.dataset.source.partition(':')[0]}): {why}"))  # fmt: skip
    return kept, folded


def sketch(texts: Sequence[str]) -> object:
    """MinHash over whole rows, case and white space aside: a data set copied under another name has the same rows."""
    made = need("datasketch", extra="data").MinHash(num_perm=128, seed=1)
    made.update_batch([" ".join(text.casefold().split()).encode() for text in texts])
    return made


def same(one: Dataset, other: Dataset, sketches: dict[str, object]) -> str:
    """Why they are the same data set, "" = they are not."""
    a, b = sketches.get(one.where), sketches.get(other.where)
    if a is not None and b is not None:
        share = a.jaccard(b)  # type: ignore[attr-defined]
        return f"{share:.0%} of the rows looked at are the same" if share >= 0.5 else ""
    name = tail(one.name)
    if name == tail(other.name) and len(name) >= 4 and name not in ("data", "dataset", "train", "rows"):
        return "same name"
    mine, theirs = set(one.description.lower().split()), set(other.description.lower().split())
    if min(len(mine), len(theirs)) >= 8 and len(mine & theirs) / len(mine | theirs) >= 0.8:
        return "same description"
    return ""


def tail(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.rsplit("/", 1)[-1].lower())


# ---- the teacher's votes ------------------------------------------------------------------------------------------

SYSTEM = """Somebody wants training rows for the task below. You are shown data sets that may hold such rows, or rows that can be rewritten into such.
Name those that fit, the best first, at most three. A data set fits if its inputs are the kind of text that the task reads and its answers tell what the task asks for.
Use the names exactly as they are listed; config is the part to use where parts are listed, else null. If none of them fits, reply with an empty list: that is a good reply."""

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "fit": {
                "type": "array",
                "maxItems": 3,
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "config": {"type": ["string", "null"]}},
                    "required": ["name", "config"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["fit"],
        "additionalProperties": False,
    }
)


def describe(card: Dataset, query: str) -> str:
    """One candidate as the teacher sees it."""
    parts = [f"- {card.name}: {card.title}. {card.description[:300]}"]
    if card.columns:
        parts.append(f"columns {', '.join(card.columns[:12])}")
    if card.configs:
        parts.append(f"parts {', '.join(nearest_configs(card.configs, query))}")
    return "; ".join(parts)


def nearest_configs(configs: Sequence[str], query: str, most: int = CONFIGS) -> list[str]:
    """At most `most`, those first whose names share words with the query."""
    asked = set(re.findall(r"\w+", query.lower()))
    shared = {c: -len(asked & set(re.split(r"[\W_]+", c.lower()))) for c in configs}
    return sorted(configs, key=lambda c: shared[c])[:most]


def requests(task: Task, found: Sequence[Found], votes: int = VOTES) -> list[Request]:
    """`votes` requests that differ in their seed: identical ones would get identical replies."""
    query = query_of(task)
    listed = "\n".join(describe(f.dataset, query) for f in found)
    messages = (Message(role="system", content=SYSTEM), Message(role="user", content=f"The task:\n{query}\n\nThe data sets:\n{listed}"))
    return [Request(messages=messages, reply_schema=SCHEMA, temperature=0.7, max_tokens=300, seed=seed) for seed in range(votes)]


def read_vote(text: str, found: Sequence[Found]) -> tuple[list[tuple[str, str | None]], list[str]] | None:
    """([(name, config or None)] best first, what was dropped as invented); None = the reply is malformed. A known name with
    a part that it does not have counts for the data set, without the part."""
    reply = find_json(text)
    if not isinstance(reply, dict) or not isinstance(reply.get("fit"), list):
        return None
    known = {f.dataset.name: f.dataset for f in found}
    picked: list[tuple[str, str | None]] = []
    invented: list[str] = []
    for item in reply["fit"]:
        name = item.get("name") if isinstance(item, dict) else item
        config = item.get("config") if isinstance(item, dict) else None
        if not isinstance(name, str) or name not in known:
            invented.append(str(name))
        elif name not in [n for n, _ in picked]:
            if config is not None and config not in known[name].configs:
                invented.append(f"{name}, part {config}") if known[name].configs else None
                config = None
            picked.append((name, config))
    return picked, invented


def rerank(task: Task, found: Sequence[Found], ask: Ask, votes: int = VOTES) -> tuple[list[Found], list[str]]:
    """(found, by votes and then by the old order; what there is to say). Without one readable reply the old order stands,
    unvoted. votes 0 everywhere means that the teacher thinks none fits."""
    if not found:
        return [], []
    said: list[str] = []
    ballots: list[list[tuple[str, str | None]]] = []
    for outcome in ask(requests(task, found, votes)):
        ballot = read_vote(outcome.texts[0], found) if isinstance(outcome, Reply) and outcome.texts else None
        if ballot is None:
            said.append(f"a reply on the choice of data sets was of no use: {outcome if isinstance(outcome, Exception) else 'malformed'}")
            continue
        if ballot[1]:
            said.append(f"the teacher named data sets that were not listed, dropped: {', '.join(ballot[1])}")
        ballots.append(ballot[0])
    if not ballots:
        return list(found), [*dict.fromkeys(said), "the teacher gave no vote: the order by words and meaning stands"]
    if sum(not b for b in ballots) * 2 > len(ballots):
        said.append(f"none of the {len(found)} data sets fits, say {sum(not b for b in ballots)} of {len(ballots)} replies")
        ballots = [[] for _ in ballots]
    counts = Counter(name for ballot in ballots for name, _ in ballot)
    places = {name: sum(i for b in ballots for i, (n, _) in enumerate(b) if n == name) / n_votes for name, n_votes in counts.items()}
    order = sorted(found, key=lambda f: (-counts[f.dataset.name], places.get(f.dataset.name, 9.0)))
    return [voted(f, counts[f.dataset.name], ballots) for f in order], list(dict.fromkeys(said))


def voted(one: Found, votes: int, ballots: Sequence[Sequence[tuple[str, str | None]]]) -> Found:
    """With its votes, and the part that most of them named."""
    parts = Counter(config for ballot in ballots for name, config in ballot if name == one.dataset.name and config is not None)
    card = one.dataset.model_copy(update={"config": parts.most_common(1)[0][0]}) if parts else one.dataset
    reason = f"{votes} of {len(ballots)} votes; {one.reason}"
    return one.model_copy(update={"dataset": card, "votes": votes, "asked": len(ballots), "reason": reason})
