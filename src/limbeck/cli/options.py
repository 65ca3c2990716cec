"""Options that several commands share, and Settings from them and the prompt's front matter; the command line wins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from limbeck.errors import UsageError

if TYPE_CHECKING:
    from limbeck.types import Settings

TEACHER = click.option(
    "--teacher",
    metavar="SPEC",
    help="http://host:port/v1#model, a model name, local:<hub id or path>, recorded:<file.jsonl>; openai-batch:MODEL at half the price, within a day.",
)
PRICE = click.option(
    "--price", metavar="IN/OUT[/CACHED]", help="USD per million tokens of the teacher; CACHED: of those in that its cache holds."
)
LABELLER = click.option("--labeller", metavar="SPEC", help="A second, better teacher, who labels what the first one wrote.")
LABELLER_PRICE = click.option("--labeller-price", metavar="IN/OUT", help="USD per million tokens of the labeller.")
RETRIEVE = click.option(
    "--retrieve",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="Where data sets are looked for: catalogue (default, unless offline), hub, folder:DIR, none. They give at most half of the "
    "rows that are made; the teacher writes the others.",
)
VOTES = click.option("--votes", type=int, help="Labelling requests for each made row (default 3), and for each unlabelled one (default 1).")
KIND = click.option(
    "--kind", type=click.Choice(["label", "choice", "text", "fields", "score"]), help="Task kind, where the guess is wrong."
)
BUDGET = click.option("--budget", multiple=True, metavar="5usd,30min", help="Hard caps on money and time (default 5usd,30min).")
SEED = click.option("--seed", type=int, help="Same seed, same rows, same run, on one machine (default 0).")
MACHINE = click.option("--json", "machine", is_flag=True, help="JSON on stdout, for machines.")

DOCS = click.option(
    "--docs",
    metavar="DIR",
    help="Documents that candidates look things up in (rag:k) or learn: Markdown, text, HTML, PDF, DOCX, CSV, JSONL.",
)
EMBEDDER = click.option(
    "--embedder",
    metavar="SPEC",
    help="Whose embeddings search --docs by meaning: minilm, a hub id, a folder, or http://host/v1#model, openai:MODEL (default minilm).",
)

STRUCTURE = click.option(
    "--structure", metavar="NAME|FILE", help="How prompts are laid out: limbeck list structures, or the file of limbeck prompt tune."
)

PATHS = ("dev", "test", "unlabelled", "docs")
KNOWN = (
    "rows",
    "dev",
    "test",
    "unlabelled",
    "make",
    "sources",
    "labeller",
    "labeller_price",
    "votes",
    "bases",
    "docs",
    "structure",
    "role",
    "details",
    "embedder",
    "inferences_by",
    "relations",
    "rationales",
    "rationale_samples",
    "columns",
    "kind",
    "metric",
    "teacher",
    "price",
    "candidates",
    "budget",
    "seed",
    "threads",
    "set",
    "require_win",
    "out",
)


def read_settings(path: str, given: dict[str, Any]) -> tuple[Settings, str, Path]:
    """(settings, prompt text without front matter, run folder). Paths in the front matter are relative to the prompt."""
    from limbeck.preflight import task_name
    from limbeck.tasks.frontmatter import split_front_matter
    from limbeck.teachers.prices import parse_price
    from limbeck.types import Settings

    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as missing:
        raise UsageError(
            f"there is no prompt file {path}", f"the folder is {file.absolute().parent}", "limbeck run PROMPT, with a .md or .txt file"
        ) from missing
    except (IsADirectoryError, UnicodeDecodeError, PermissionError) as error:
        raise UsageError(f"cannot read the prompt file {path}", str(error), "give a .md or .txt file in UTF-8") from error
    matter, prompt = split_front_matter(text)
    options = {k.replace("-", "_"): v for k, v in matter.items()}
    if unknown := set(options) - set(KNOWN):
        raise UsageError(
            f"{path}: unknown setting {sorted(unknown)[0]!r} in the front matter",
            f"there are: {', '.join(KNOWN)}",
            "correct or remove that line",
        )
    beside(options, file.parent)
    options.update({k: v for k, v in given.items() if v is not None and v is not False and v != () and v != {}})
    usd, seconds = budget(options.get("budget"))
    try:
        settings = Settings(
            prompt=path,
            rows=as_list(options.get("rows")),
            dev=options.get("dev"),
            test=options.get("test"),
            unlabelled=options.get("unlabelled"),
            make=whole(options, "make", 0, 0) if options.get("make") is not None else None,
            sources=as_list(options.get("sources")),
            labeller=options.get("labeller"),
            labeller_price=parse_price(str(options["labeller_price"])) if options.get("labeller_price") is not None else None,
            votes=whole(options, "votes", 3, 1) if options.get("votes") is not None else None,
            bases=whole(options, "bases", 0, 0),
            docs=options.get("docs"),
            structure=options.get("structure"),
            role=options.get("role"),
            details=options.get("details"),
            inferences_by=options.get("inferences_by"),
            relations=tuple(options.get("relations") or ()),
            rationales=options.get("rationales") or "blind",
            rationale_samples=whole(options, "rationale_samples", 1, 1),
            columns=pairs(options.get("columns"), "--columns input=question,output=answer"),
            kind=options.get("kind"),
            metric=options.get("metric"),
            teacher=options.get("teacher"),
            price=parse_price(str(options["price"])) if options.get("price") is not None else None,
            candidates=as_list(options.get("candidates")),
            budget_usd=usd,
            budget_s=seconds,
            seed=int(options.get("seed") or 0),
            threads=int(options["threads"]) if options.get("threads") else None,
            overrides={k: plain(v) for k, v in pairs(options.get("set"), "--set lr=1e-4").items()}
            | ({"embedder": str(options["embedder"])} if options.get("embedder") else {}),
            require_win=bool(options.get("require_win")),
        )
    except (TypeError, ValueError) as error:
        from pydantic import ValidationError

        told = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()] if isinstance(error, ValidationError) else []
        have = "; ".join(told) or str(error).splitlines()[0]
        raise UsageError(f"a setting of {path} has the wrong form", have, "limbeck run --help") from error
    out = Path(options["out"]) if options.get("out") else Path("runs") / task_name(file)
    return settings, prompt, out


def whole(options: dict[str, Any], name: str, default: int, least: int) -> int:
    value = int(options[name]) if options.get(name) is not None else default
    if value < least:
        raise UsageError(
            f"--{name.replace('_', '-')} has to be at least {least}", f"it is {value}", f"--{name.replace('_', '-')} {default}"
        )
    return value


def beside(options: dict[str, Any], folder: Path) -> None:
    """Paths of the front matter, seen from where the prompt file lies."""

    def near(value: str) -> str:
        return value if Path(value).is_absolute() else str(folder / value)

    if options.get("rows") is not None:
        options["rows"] = [near(v) for v in as_list(options["rows"])]
    for name in PATHS:
        if options.get(name):
            options[name] = near(str(options[name]))
    if options.get("structure") and (folder / str(options["structure"])).is_file():
        options["structure"] = near(str(options["structure"]))
    for name in ("teacher", "labeller"):
        for prefix in ("recorded:", "local:."):
            if str(options.get(name) or "").startswith(prefix):
                head, _, rest = str(options[name]).partition(":")
                options[name] = f"{head}:{near(rest)}"
    options |= {"sources": [s if not s.startswith("folder:") else f"folder:{near(s[7:])}" for s in as_list(options.get("sources"))]}


def as_list(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    parts = value.split(",") if isinstance(value, str) else list(value)
    return tuple(p.strip() for part in parts for p in str(part).split(",") if p.strip())


def pairs(value: Any, example: str) -> dict[str, str]:
    """ "a=b,c=d" or a mapping or a list of "a=b"."""
    if not value:
        return {}
    if isinstance(value, dict):
        return {str(k): str(v) for k, v in value.items()}
    found = {}
    for part in as_list(value):
        name, equals, right = part.partition("=")
        if not equals or not name.strip() or not right.strip():
            raise UsageError(f"cannot read {part!r}", "it has the form name=value", example)
        found[name.strip()] = right.strip()
    return found


def plain(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


UNITS = {"usd": 1.0, "$": 1.0, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def budget(value: Any) -> tuple[float, float]:
    """ "5usd", "20min", "2usd,1h" -> (USD, seconds). What is not named keeps its default, 5 USD and 30 minutes."""
    usd, seconds = 5.0, 1800.0
    for part in as_list(value):
        found = re.fullmatch(r"\$?\s*(\d+(?:\.\d+)?)\s*([a-z$]*)", part.lower())
        unit = (found[2] or ("usd" if part.startswith("$") else "")) if found else ""
        if not found or unit not in UNITS:
            raise UsageError(f"cannot read the budget {part!r}", "money in usd, time in s, min or h", "--budget 5usd,30min")
        amount = float(found[1]) * UNITS[unit]
        usd, seconds = (amount, seconds) if unit in ("usd", "$") else (usd, amount)
    return usd, seconds
