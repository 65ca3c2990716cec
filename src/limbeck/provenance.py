"""Where all rows of a run came from: counts by origin and source, and licences that somebody should look at."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from limbeck.types import Example, Source

# Non-commercial and research-only licences by their usual names: cc-by-nc-4.0, "research only", "academic use".
_NON_COMMERCIAL = re.compile(r"(?<![a-z])nc(?![a-z])|non[- ]?commercial|research[- ](?:only|use|purposes)|academic", re.I)
_NO_DERIVATIVES = re.compile(r"(?<![a-z])nd(?![a-z])|no[- ]?deriv", re.I)
_UNKNOWN = {"", "unknown", "other", "unlicensed", "none", "not known", "n/a", "null"}
FETCHED = "retrieved"  # rows from others' data sets; a user's own files are the user's own affair


def sources(rows: Sequence[Example]) -> tuple[Source, ...]:
    """One Source per place and licence, most rows first. Generated rows come from their teacher."""
    counts: dict[tuple[str, str | None], Counter[str]] = defaultdict(Counter)
    for row in rows:
        origin = row.origin
        made = origin.kind in ("generated", "teacher")
        name = (origin.teacher or origin.detail or origin.source) if made else origin.source
        counts[name or "not recorded", origin.licence][origin.kind] += 1
    found = [Source(name=name, licence=licence, kinds=dict(sorted(kinds.items()))) for (name, licence), kinds in counts.items()]
    return tuple(sorted(found, key=lambda source: (-source.rows, source.name)))


def licence_warnings(found: Sequence[Source]) -> tuple[str, ...]:
    """One sentence per source whose licence restricts a product, or is not known where the rows are others'."""
    said = []
    for source in found:
        licence = (source.licence or "").strip()
        rows = f"{source.rows:,} rows from {source.name}"
        if _NON_COMMERCIAL.search(licence):
            said.append(f"{rows} are licensed for non-commercial use only ({licence}): a student trained on them may be bound by that")
        elif _NO_DERIVATIVES.search(licence):
            said.append(f"{rows} may not be altered under their licence ({licence}): whether a student may be trained on them is not clear")
        elif licence.lower() in _UNKNOWN and FETCHED in source.kinds:
            said.append(f"the licence of {rows} is not known: find it out before the student is used commercially")
    return tuple(said)
