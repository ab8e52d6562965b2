"""Rows of a sheet that lost their id: in a sheet nothing else says which deal a row belongs to (SPEC §5). Pure.

A key that was cleared, or typed over, leaves a deal without a row and a row without a deal. They are the same where
name and contact are, as both sides were last known to agree on them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from syncd.judge import Ground
from syncd.model import Link, Record
from syncd.newcomers import match_key

WHO = ("name", "contact", "email", "phone")
_Who: TypeAlias = tuple[tuple[str, str], ...]


def twins(ground: Ground, links: Iterable[Link], rows: Iterable[Record]) -> dict[str, list[str]]:
    """deal -> the rows that show the name and contact which its own row was last known to show; only where there are
    any."""
    by_row = {row.id: of_row(ground, row) for row in rows}
    found: dict[str, list[str]] = {}
    groups: dict[_Who, dict[_Who, list[str]]] = defaultdict(lambda: defaultdict(list))
    for link in links:
        who = of_link(ground, link)
        if not any(name == "name" and value for name, value in who):
            continue  # nothing to know it by
        names = tuple((name, "") for name, _ in who)
        if names not in groups:
            for id, known in by_row.items():
                groups[names][tuple((name, known.get(name, "")) for name, _ in who)].append(id)
        if who in groups[names]:
            found[link.deal] = groups[names][who]
    return found


def of_link(ground: Ground, link: Link) -> _Who:
    """Whom the link's row was about, in the fields that were agreed on."""
    agreed = link.agreed()
    present = [f.name for f in ground.fields if f.name in WHO and f.name in agreed]
    return tuple((name, match_key(name, agreed[name].value or "")) for name in present)


def of_row(ground: Ground, row: Record) -> Mapping[str, str]:
    """Whom a row is about."""
    found = {}
    for at, field in enumerate(ground.fields):
        if field.name in WHO and at not in row.lacks:
            reading = ground.codecs[at].from_table(row.raw[at], None)
            found[field.name] = match_key(field.name, reading) if isinstance(reading, str) else ""
    return found
