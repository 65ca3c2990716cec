"""`hub`: data sets of the Hugging Face Hub (or what HF_ENDPOINT names): searched, read by their cards, rows streamed from the start."""

from __future__ import annotations

import fnmatch
import os
import re
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from limbeck.engine.wording import STOP
from limbeck.errors import LimbeckError, MissingError, MissingKey, ProviderError, UsageError
from limbeck.need import need
from limbeck.sources import remote
from limbeck.sources.cards import read_card
from limbeck.sources.datasets import Dataset, Source
from limbeck.sources.folder import HELD, KINDS
from limbeck.sources.readers import Record

WORDS, PER_WORD = 6, 40  # the Hub's search matches names: one search per word of the query, so many cards each
CONVERTED = "refs/convert/parquet"  # the branch where the Hub keeps its own copy in parquet, for sets with files of other kinds
TIMEOUT_S = 30.0
WITHOUT = "without the Hub there are the sources folder:DIR and, for names without rows, catalogue"


def open_source(where: str) -> Source:
    """hub, or hub:<search words> to search for these and nothing else."""
    return Source("hub", lambda query: search(where or query, whole=bool(where)), records, complete)


def endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or str(need("huggingface_hub.constants", "data").ENDPOINT)


@contextmanager
def reached(what: str) -> Iterator[None]:
    """The Hub's and the network's errors, as ours."""
    hub = need("huggingface_hub.errors", "data")
    if need("huggingface_hub.constants", "data").is_offline_mode():
        raise MissingError(
            f"cannot look for {what}: the Hub is switched off",
            "HF_HUB_OFFLINE=1 (or TRANSFORMERS_OFFLINE) is set",
            f"unset HF_HUB_OFFLINE; {WITHOUT}",
        )
    try:
        yield
    except LimbeckError:
        raise
    except hub.GatedRepoError as error:
        raise MissingKey(f"{what} is gated", "its owner wants a login, and perhaps a consent on its page", "accept its terms on the Hub, then export HF_TOKEN=...") from error  # fmt: skip
    except hub.RepositoryNotFoundError as error:
        raise UsageError(f"the Hub has no {what}, or it is private", endpoint(), "check the name; for a private one export HF_TOKEN=...") from error  # fmt: skip
    except hub.EntryNotFoundError as error:
        raise UsageError(f"a file of {what} is not there", str(error).splitlines()[0], "choose another data set") from error
    except hub.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise MissingKey(f"the Hub refuses {what} (HTTP {status})", "a token is missing, wrong or not allowed to", "export HF_TOKEN=...") from error  # fmt: skip
        raise ProviderError(f"the Hub answered HTTP {status} for {what}", str(error).splitlines()[0], f"try again later; {WITHOUT}") from error  # fmt: skip
    except Exception as error:
        if isinstance(error, OSError) or type(error).__module__.split(".")[0].startswith("httpx"):
            raise ProviderError(f"cannot reach the Hub for {what}", f"{endpoint()}: {error}", f"check the network or HF_ENDPOINT; {WITHOUT}") from error  # fmt: skip
        raise


# ---- cards --------------------------------------------------------------------------------------------------------


def search(query: str, whole: bool = False) -> list[Dataset]:
    """Cards that the Hub's search finds for the query's words, the most downloaded first for each, merged in turn."""
    found: dict[str, Dataset] = {}
    with reached("data sets"):
        api = need("huggingface_hub", "data").HfApi(endpoint=endpoint())
        for word in [query] if whole else keywords(query):
            for info in api.list_datasets(search=word, sort="downloads", limit=PER_WORD, full=True):
                found.setdefault(info.id, from_info(info))
    return list(found.values())


def keywords(query: str, most: int = WORDS) -> list[str]:
    """The words that may stand in the name of a data set: the frequent and long ones of the query, common ones left out."""
    words = [w for w in re.findall(r"[^\W\d_]{4,}", query.lower()) if w not in STOP]
    counts = Counter(words)
    return sorted(counts, key=lambda w: (-counts[w], -len(w), words.index(w)))[:most]


def from_info(info: Any) -> Dataset:
    """What a search result tells: tags hold licence, languages and sizes as `name:value`."""
    tags: dict[str, list[str]] = {}
    for tag in info.tags or []:
        name, _, value = tag.partition(":")
        tags.setdefault(name if value else "", []).append(value or tag)
    size = next(iter(tags.get("size_categories", [])), "")
    return Dataset(
        name=info.id,
        title=info.id.rsplit("/", 1)[-1].replace("_", " ").replace("-", " "),
        description=" ".join((info.description or "").split())[:600],
        licence=" or ".join(tags.get("license", [])),
        languages=tuple(tags.get("language", [])),
        rows=upper(size),
        size_mb=round(stored / 1e6, 3) if isinstance(stored := getattr(info, "used_storage", None), int) and stored else None,
        gated=bool(info.gated),
        downloads=info.downloads,
        tags=tuple(tags.get("task_categories", []) + tags.get("task_ids", []) + size_free(tags.get("", []))),
        source="hub",
        where=info.id,
    )


def upper(size: str) -> int | None:
    """The upper end of a size category: "1K<n<10K" -> 10000. An upper end never leaves out a set that is large enough."""
    found = re.findall(r"(\d+)([KMBT]?)", size.replace("n", ""))
    return int(found[-1][0]) * {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}[found[-1][1]] if found else None


def size_free(tags: list[str]) -> list[str]:
    return [t for t in tags if not re.match(r"(region|format|library|modality|arxiv|doi)", t)][:10]


def complete(card: Dataset) -> Dataset:
    """With columns, label names, parts and rows from the README's front matter; what the card has already stays, except that
    the licence of the Hub wins."""
    with reached(card.where):
        text = readme(card.where)
    facts = read_card(text)
    known = card.model_dump()
    fresh = {k: v for k, v in facts.items() if not known.get(k) or k in ("licence", "columns", "class_labels", "configs")}
    return card.model_copy(update=fresh)


def readme(where: str) -> str:
    hub = need("huggingface_hub", "data")
    utils = need("huggingface_hub.utils", "data")
    url = hub.hf_hub_url(where, "README.md", repo_type="dataset", endpoint=endpoint())
    answer = utils.get_session().get(url, headers=utils.build_hf_headers(), timeout=TIMEOUT_S, follow_redirects=True)
    if answer.status_code == 404:
        return ""
    utils.hf_raise_for_status(answer)
    return str(answer.text)


# ---- rows -----------------------------------------------------------------------------------------------------------


def records(card: Dataset, most: int) -> list[tuple[int, Record]]:
    """At most `most` records of the training files, from the start. Raises UsageError where there are none to read."""
    with reached(card.where):
        revision, files = data_files(card)
        taken: list[tuple[int, Record]] = []
        for name in files:
            stream, span = reader(card.where, name, revision)
            before = taken[-1][0] if taken else 0
            taken += [(before + n, record) for n, record in remote.head(name, most - len(taken), stream, span)]
            if len(taken) >= most:
                break
    return taken


def data_files(card: Dataset) -> tuple[str | None, list[str]]:
    """(branch, names) of the training files of the card's part: those in the repository, else the Hub's copy in parquet."""
    api = need("huggingface_hub", "data").HfApi(endpoint=endpoint())
    own = training(names_of(api, card.where, None), card)
    if own:
        return None, own
    try:
        converted = training(names_of(api, card.where, CONVERTED), card)
    except Exception:  # there need be no such branch
        converted = []
    if converted:
        return CONVERTED, converted
    raise UsageError(f"{card.where} has no training files that can be read", f"known are {', '.join(KINDS)}", "choose another data set")


def names_of(api: Any, where: str, revision: str | None) -> list[str]:
    return [s.rfilename for s in api.dataset_info(where, revision=revision, timeout=TIMEOUT_S).siblings or []]


def training(names: list[str], card: Dataset) -> list[str]:
    """Data files that are no test or validation part, those of the named part (config) first of all, then those named train."""
    data = [n for n in names if n.lower().removesuffix(".gz").rpartition(".")[2] in KINDS and not n.rsplit("/", 1)[-1].startswith((".", "dataset_info"))]  # fmt: skip
    config = card.config or next((c for c in card.configs if any(part_of(n, c) for n in data)), None)
    if config and any(part_of(n, config) for n in data):
        data = [n for n in data if part_of(n, config)]
    usable = [n for n in data if not any(re.search(rf"(^|[/_.-]){held}([/_.-]|$)", n.lower()) for held in HELD)]
    train = [n for n in usable if re.search(r"(^|[/_.-])train", n.lower())]
    return sorted(train or usable)


def part_of(name: str, config: str) -> bool:
    """A file of this part: in a folder of its name, or named after it."""
    return config in name.split("/")[:-1] or fnmatch.fnmatch(name.rsplit("/", 1)[-1], f"{config}[-_.]*")


def reader(where: str, name: str, revision: str | None) -> tuple[remote.Stream, remote.Span]:
    """Two ways to read one file: from its start, and by byte ranges."""
    utils = need("huggingface_hub.utils", "data")
    url = need("huggingface_hub", "data").hf_hub_url(where, name, repo_type="dataset", revision=revision, endpoint=endpoint())
    session = utils.get_session()

    def stream() -> Generator[bytes, None, None]:
        plain = {**utils.build_hf_headers(), "Accept-Encoding": "identity"}
        with session.stream("GET", url, headers=plain, timeout=TIMEOUT_S, follow_redirects=True) as answer:
            if answer.status_code >= 400:
                answer.read()
                utils.hf_raise_for_status(answer)
            yield from answer.iter_raw(remote.BLOCK)

    def span(first: int, count: int) -> tuple[bytes, int]:
        asked = f"bytes=-{count}" if first < 0 else f"bytes={first}-{first + count - 1}"
        headers = {**utils.build_hf_headers(), "Range": asked, "Accept-Encoding": "identity"}
        answer = session.get(url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True)
        utils.hf_raise_for_status(answer)
        if answer.status_code != 206:
            raise UsageError(f"{where} cannot be read in part", f"{name}: the server sends whole files only", "choose another data set")
        return answer.content, int(answer.headers["Content-Range"].rpartition("/")[2])

    return stream, span
