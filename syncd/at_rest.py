"""What a full pass need not keep: links whose two records a sweep shows exactly as they were left.

Nearly every link of nearly every pass is at rest. Its records are compared with the shadow's fingerprints as they come,
and thrown away: that is half of a pass's time and two thirds of its memory (tests/benchmarks). What differs in the
least (a value, a stamp, a key, a message, an odd answer) is kept and planned. Where only one record of a link is at
rest, or everything has to be judged after all, it is put together again from the shadow, to which it is equal.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from syncd.model import Link, LinkState, Record, Side, print_of_raw


@dataclass(slots=True)
class Sieve:
    """Sorts out the records of one side. `found` are the deals whose record of this side is at rest."""

    side: Side
    links: Mapping[str, Link]
    names: Sequence[str]
    messages: Mapping[str, str]
    found: set[str] = field(default_factory=set)
    has_messages: bool = False

    def begin(self) -> None:
        """A listing begins, maybe anew: what was shown before does not count."""
        self.found.clear()

    def holds(self, record: Record) -> bool:
        """Whether the record is as it was left. Of one that is shown twice the later counts."""
        deal: str | None = record.id if self.side is Side.CRM else record.partner
        link = self.links.get(deal) if deal is not None else None
        if link is None:
            return False
        rests = self._rests(link, record)
        if rests:
            self.found.add(link.deal)
        elif self.side is Side.CRM or record.id == link.row:  # another row with its key says nothing of its own
            self.found.discard(link.deal)
        return rests

    def _rests(self, link: Link, record: Record) -> bool:
        if link.state is not LinkState.BOTH or record.lacks:
            return False
        if self.side is Side.TABLE:
            said = self.messages.get(record.id)
            if record.id != link.row or (record.message if said is None else said):
                return False
            self.has_messages = self.has_messages or record.message is not None
            return print_of_raw(self.names, record.raw) == link.shadow.table_print
        if record.outside is not None or record.title not in ("", link.title) or not _known_stamp(link, record.stamp):
            return False
        return print_of_raw(self.names, record.raw) == link.shadow.crm_print

    def strained(self, records: Iterator[Record]) -> dict[str, Record]:
        """The records that are not at rest, by id."""
        kept: dict[str, Record] = {}
        for record in records:
            if self.holds(record):
                kept.pop(record.id, None)
            else:
                kept[record.id] = record
        return kept


def _known_stamp(link: Link, stamp: float | None) -> bool:
    """Whether the stamp is the newest one seen, and it is known whose it was."""
    if stamp is None or stamp != link.seen:
        return False
    return stamp in link.own or (link.foreign is not None and stamp <= link.foreign)


@dataclass(frozen=True, slots=True)
class Resting:
    """The links at rest, which a view leaves out. `names` are the fields in order, `message` what their rows' Sync
    cells hold ("": nothing; None: there is no such column)."""

    links: Mapping[str, Link] = field(default_factory=dict)
    names: Sequence[str] = ()
    message: str | None = None

    def records(self) -> tuple[dict[str, Record], dict[str, Record]]:
        """The deals and the rows of all these links."""
        deals = {link.deal: as_left(link, Side.CRM, self.names) for link in self.links.values()}
        rows = {link.row: as_left(link, Side.TABLE, self.names, self.message) for link in self.links.values()}
        return deals, rows


NONE_RESTING = Resting()


def as_left(link: Link, side: Side, names: Sequence[str], message: str | None = None) -> Record:
    """A record of which a sieve said that it rests. Its fields' clocks are left out: only an edited field needs one."""
    shadow = link.shadow
    shown = json.loads(shadow.crm_raw if side is Side.CRM else shadow.table_raw)
    raw = tuple(shown[name] for name in names)
    if side is Side.CRM:
        return Record(link.deal, raw, stamp=link.seen, title=link.title)
    title = raw[names.index("name")] if "name" in names else link.title
    return Record(link.row, raw, partner=link.deal, message=message, title=title if isinstance(title, str) else "")


def apart(
    crm: dict[str, Record], table: dict[str, Record], deals: Sieve, rows: Sieve, named: Collection[str]
) -> tuple[dict[str, Link], Resting]:
    """(The links that have to be planned, those at rest), of what two sieves have kept; completes `crm` and `table` by
    the resting partners of records that do not rest. `named` are deals to be planned in any case."""
    busy = {*named, *crm, *(row.partner for row in table.values() if row.partner)}
    resting = (deals.found & rows.found) - busy
    links = {deal: link for deal, link in deals.links.items() if deal not in resting}
    message = "" if rows.has_messages else None
    for deal, link in links.items():
        if deal in deals.found and deal not in crm:
            crm[deal] = as_left(link, Side.CRM, deals.names)
        if deal in rows.found and link.row not in table:
            table[link.row] = as_left(link, Side.TABLE, rows.names, message)
    rest = {deal: link for deal, link in deals.links.items() if deal in resting}
    return links, Resting(rest, tuple(deals.names), message)
