"""Links as rows of the store, for tests of what compares with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from syncd.model import Agreed, Link, Record, StoredLink, packed_shadow


def stored(link: Link) -> StoredLink:
    """The link as a row of the store."""
    shadow = link.shadow
    return (link.deal, link.row, link.state.value, link.title, link.seen, link.seen_at, json.dumps(link.own),
            link.foreign, shadow.crm_print, shadow.table_print)  # fmt: skip


def links_of(records: Iterable[Record], names: Sequence[str]) -> dict[str, StoredLink]:
    """Links in which these records of either side are as they were left; the other side's records are made up."""
    made = {}
    for one in records:
        agreed = {name: Agreed("x", raw, raw, "x") for name, raw in zip(names, one.raw, strict=True)}
        deal, row = (one.partner, one.id) if one.partner else (one.id, f"row of {one.id}")
        made[deal] = stored(Link(deal, row, title=one.title, seen=one.stamp, foreign=one.stamp,
                                 shadow=packed_shadow(agreed, names)))  # fmt: skip
    return made
