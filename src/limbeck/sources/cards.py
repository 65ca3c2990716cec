"""Cards in Markdown: YAML front matter as the Hub writes it, a first paragraph, or one table with a row per data set."""

from __future__ import annotations

import re
from typing import Any

Facts = dict[str, Any]  # fields of Dataset


def read_card(text: str) -> Facts:
    """Fields of Dataset that a card tells: those of its front matter, title and the first paragraphs of its prose."""
    matter, body = split(text)
    facts: Facts = {
        "licence": " or ".join(as_list(matter.get("license"))),
        "languages": tuple(as_list(matter.get("language"))),
        "title": str(matter.get("pretty_name") or heading(body)),
        "tags": tuple(as_list(matter.get("task_categories")) + as_list(matter.get("task_ids")) + as_list(matter.get("tags"))),
        "description": prose(body),
        "configs": tuple(str(c["config_name"]) for c in as_dicts(matter.get("configs")) if c.get("config_name")),
    }
    infos = as_dicts(matter.get("dataset_info"))
    if infos:
        features = as_dicts(infos[0].get("features"))
        facts["columns"] = tuple(str(f["name"]) for f in features if f.get("name"))
        facts["class_labels"] = {str(f["name"]): found for f in features if f.get("name") and (found := class_names(f.get("dtype")))}
        facts["configs"] = facts["configs"] or tuple(str(i["config_name"]) for i in infos if i.get("config_name"))
        train = [s for s in as_dicts(infos[0].get("splits")) if s.get("name") == "train" and isinstance(s.get("num_examples"), int)]
        facts["rows"] = train[0]["num_examples"] if train else None
        size = infos[0].get("download_size")
        facts["size_mb"] = size / 1e6 if isinstance(size, int) else None
    return {name: value for name, value in facts.items() if value not in (None, "", (), {})}


def split(text: str) -> tuple[Facts, str]:
    """(front matter, body). A card with damaged YAML still has its prose."""
    import yaml  # type: ignore[import-untyped]

    found = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(?:\n|$)", text, re.S)
    if not found:
        return {}, text
    try:
        matter = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        matter = None
    return (matter if isinstance(matter, dict) else {}), text[found.end() :]


def as_list(value: Any) -> list[str]:
    return [str(v) for v in value if not isinstance(v, dict)] if isinstance(value, list) else [str(value)] if isinstance(value, str) else []


def as_dicts(value: Any) -> list[Facts]:
    if isinstance(value, dict):
        return [value]
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def class_names(dtype: Any) -> tuple[str, ...]:
    """Label names by id: {"class_label": {"names": {"0": "neg", "1": "pos"}}}, or a list of names."""
    names = dtype.get("class_label", {}).get("names") if isinstance(dtype, dict) and isinstance(dtype.get("class_label"), dict) else None
    if isinstance(names, dict):
        return tuple(str(v) for _, v in sorted(names.items(), key=lambda item: int(item[0]) if str(item[0]).isdigit() else 0))
    return tuple(str(n) for n in names) if isinstance(names, list) else ()


def heading(body: str) -> str:
    found = re.search(r"^#+\s+(.+)$", body, re.M)
    return re.sub(r"^Dataset Card for\s+", "", found[1].strip(), flags=re.I) if found else ""


def prose(body: str, most: int = 600) -> str:
    """The first paragraphs that are sentences: no headings, tables, lists of links, code or badges. At most `most` characters."""
    body = re.sub(r"```.*?```|<!--.*?-->|<[^>]+>|!\[[^\]]*\]\([^)]*\)", " ", body, flags=re.S)
    body = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", body)
    kept = [" ".join(p.split()) for p in re.split(r"\n\s*\n|\n(?=#)", body)]
    kept = [p for p in (re.sub(r"^#+\s+.*?(?:\n|$)", "", p) for p in kept) if len(p.split()) >= 4 and not p.startswith(("|", "#"))]
    return " ".join(kept)[:most]


def read_tables(text: str) -> dict[str, Facts]:
    """{first cell: {header: cell}} over every Markdown table of a page; "section" is the heading above it. A cell that says
    "same" or "as NAME" stands for the cell above, or that of the row called so."""
    found: dict[str, Facts] = {}
    section = ""
    header: list[str] = []
    above: Facts = {}
    for line in text.splitlines():
        if line.startswith("#"):
            section, header = line.lstrip("# ").strip(), []
        elif line.lstrip().startswith("|"):
            cells = [cell.strip().strip("`") for cell in line.strip().strip("|").replace("\\|", "\0").split("|")]
            cells = [cell.replace("\0", "|") for cell in cells]
            if all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                continue
            if not header:
                header, above = [cell.lower() for cell in cells], {}
            elif len(cells) == len(header):
                above = {name: spelt_out(cell, name, above, found) for name, cell in zip(header, cells, strict=True)}
                found.setdefault(cells[0], {**above, "section": section})
        else:
            header = []
    return found


def spelt_out(cell: str, column: str, above: Facts, rows: dict[str, Facts]) -> str:
    """A cell without its reference to another: "same; test = dev" -> the first part of what stands above it, then the rest."""
    found = re.match(r"(?:same(?: as above)?|ditto|[\"\u3003\u2033]|as (?P<row>[\w./-]*[\w]))(?=$|[;,.](?:\s|$))", cell, re.I)
    if not found:
        return cell
    meant = rows.get(found["row"], {}) if found["row"] else above
    whole, rest = str(meant.get(column, "")), cell[found.end() :]
    return (re.split(r"[;,.]\s", whole)[0] + rest if rest else whole) or cell


def from_table(row: Facts) -> Facts:
    """Fields of Dataset from a table row: licence, rows and what it is for, by the names of the columns."""

    def cell(*starts: str) -> str:
        return next((str(v) for k, v in row.items() if k.startswith(starts) and str(v).strip(" -")), "")

    train = re.sub(r"[,\s]", "", str(row.get("train", row.get("rows", ""))))
    told = ". ".join(part for part in (cell("for", "description", "task", "use"), cell("fields", "columns")) if part)
    facts: Facts = {"licence": cell("licen"), "description": told, "tags": (str(row["section"]),) if row.get("section") else ()}
    if train.isdigit():
        facts["rows"] = int(train)
    languages = re.findall(r"\b[a-z]{2}\b", cell("lang"))
    return {**facts, **({"languages": tuple(languages)} if languages else {})}


def held_out(text: str) -> str:
    """Why a card forbids training, "" where it does not: evaluation sets, and those with a canary."""
    found = re.search(r"evaluation only|never appear in training|do not train|must not be (?:used for )?train|test only", text, re.I)
    return f"for evaluation alone, its card says ({found[0].lower()})" if found else ""
