"""What a full pass need not keep: links whose two records a sweep shows exactly as they were left.

Nearly every link of nearly every pass is at rest. Its records are compared with the shadow's fingerprints as they come,
and thrown away: that is half of a pass's time and two thirds of its memory (tests/benchmarks). What differs in the
least (a value, a stamp, a key, a message, an odd answer) is kept and planned. An answer that comes again word for word
is not even taken apart (`Familiar`): where the daemon has to look at everything each time, most do.

Where only one record of a link is at rest, or everything has to be judged after all, it is put together again from the
shadow, to which it is equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import orjson

from syncd.model import Link, LinkState, Raw, Record, Side, StoredLink, print_of_raw

BOTH = LinkState.BOTH.value
_64_BITS = 2**64 - 1


@dataclass(slots=True)
class Familiar:
    """Fingerprints of the answers that a side's listings showed at rest, for as long as the process lives: one that
    comes again need not be taken apart. The first listing of a process fills none in: it may be the only one."""

    answers: set[bytes] = field(default_factory=set)
    has_listed: bool = False

    def lend(self, sieve: Sieve, columns: object) -> None:
        """A listing begins; how an answer is read depends on `columns` alone."""
        if self.has_listed:
            if len(self.answers) > 2 * len(sieve.known) + 1_000:  # of answers that nobody will give again
                self.answers.clear()
            sieve.familiar, sieve.of = self.answers, blake2b(repr(columns).encode(), digest_size=16).digest()
        self.has_listed = True


@dataclass(slots=True)
class Sieve:
    """Sorts out the records of one side. `known` are the links by deal, `found` the deals whose record of this side is
    at rest. `familiar` is what was lent (see `Familiar`), under the name `of`; `met` are fingerprints of answers that
    were not familiar, by deal."""

    side: Side
    known: Mapping[str, StoredLink]
    names: Sequence[str]
    messages: Mapping[str, str]
    found: set[str] = field(default_factory=set)
    familiar: set[bytes] | None = None
    of: bytes = b""
    met: dict[str, bytes] = field(default_factory=dict)

    def begin(self) -> None:
        """A listing begins, maybe anew: what was shown before does not count."""
        self.found.clear()
        self.met.clear()

    def knows(self, deal: str | None, row: str | None, answer: object) -> bool:
        """Whether this very answer about the deal (or its row) was found at rest before, with the same link and the
        same columns: then nothing of it has to be looked at."""
        if self.familiar is None or deal is None or (stored := self.known.get(deal)) is None:
            return False
        if row is not None and (row != stored[1] or self.messages.get(row)):
            return False
        link = (hash(stored) & _64_BITS).to_bytes(8, "little")
        try:
            seen = blake2b(orjson.dumps(answer), digest_size=16, salt=link, person=self.of).digest()
        except orjson.JSONEncodeError:  # a whole number beyond 64 bits
            return False
        if seen in self.familiar:
            self.found.add(deal)
            return True
        self.met[deal] = seen
        return False

    def _became_familiar(self, deal: str) -> None:
        if self.familiar is not None and deal in self.met:
            self.familiar.add(self.met.pop(deal))

    def holds(self, record: Record) -> bool:
        """Whether the record is as it was left."""
        if self.side is Side.CRM:
            plain = record.outside is None and not record.lacks
            return self.holds_deal(record.id, record.raw if plain else None, record.stamp, record.title)
        return self.holds_row(record.id, None if record.lacks else record.raw, record.partner, record.message)

    def holds_deal(self, id: str, raw: Sequence[Raw] | None, stamp: float | None, title: str) -> bool:
        """Whether a deal is as it was left: its fields, its newest stamp and its name. Asked before a record is made of
        it; `raw` is None where the answer is odd in any way."""
        stored = self.known.get(id)
        if stored is None:
            return False
        _, _, state, known_title, seen, _, own, foreign, crm_print, _ = stored
        rests = (
            raw is not None
            and state == BOTH
            and stamp is not None
            and stamp == seen  # the newest one seen, and it is known whose it was
            and ((foreign is not None and stamp <= foreign) or stamp in json.loads(own))
            and title in ("", known_title)
            and print_of_raw(self.names, raw) == crm_print
        )
        if rests:
            self.found.add(id)
            self._became_familiar(id)
        else:
            self.found.discard(id)
        return rests

    def holds_row(self, id: str, raw: Sequence[Raw] | None, partner: str | None, message: str | None) -> bool:
        """Likewise for a row: its cells, its key and its Sync cell."""
        stored = self.known.get(partner) if partner is not None else None
        if partner is None or stored is None or id != stored[1]:  # another row with its key says nothing of its own
            return False
        rests = (
            raw is not None
            and stored[2] == BOTH
            and not self.messages.get(id, message)
            and print_of_raw(self.names, raw) == stored[9]
        )
        if rests:
            self.found.add(partner)
            if not message:  # one that is shown still, though it was taken away, must not count later
                self._became_familiar(partner)
        else:
            self.found.discard(partner)
        return rests

    def strained(self, records: Iterator[Record]) -> dict[str, Record]:
        """The records that are not at rest, by id."""
        kept: dict[str, Record] = {}
        for record in records:
            if self.holds(record):
                kept.pop(record.id, None)
            else:
                kept[record.id] = record
        return kept


def _no_link(stored: StoredLink) -> Link:
    raise AssertionError(f"nothing rests, not even {stored[0]}")


@dataclass(frozen=True, slots=True)
class Resting:
    """The links at rest, which a view leaves out, by deal; `unpack` makes links of them. `names` are the fields in
    order, `message` what their rows' Sync cells hold ("": nothing; None: there is no such column)."""

    stored: Mapping[str, StoredLink] = field(default_factory=dict)
    unpack: Callable[[StoredLink], Link] = _no_link
    names: Sequence[str] = ()
    message: str | None = None

    def links(self) -> dict[str, Link]:
        """All these links."""
        return {deal: self.unpack(stored) for deal, stored in self.stored.items()}

    def records(self) -> tuple[dict[str, Record], dict[str, Record]]:
        """The deals and the rows of all these links."""
        links = self.links().values()
        deals = {link.deal: as_left(link, Side.CRM, self.names) for link in links}
        rows = {link.row: as_left(link, Side.TABLE, self.names, self.message) for link in links}
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
    crm: dict[str, Record],
    table: dict[str, Record],
    deals: Sieve,
    rows: Sieve,
    named: Collection[str],
    unpack: Callable[[StoredLink], Link],
    has_messages: bool,
) -> tuple[dict[str, Link], Resting]:
    """(The links that have to be planned, those at rest), of what two sieves have kept; completes `crm` and `table` by
    the resting partners of records that do not rest. `named` are deals to be planned in any case, `has_messages` is
    whether there is a Sync column."""
    busy = {*named, *crm, *(row.partner for row in table.values() if row.partner)}
    if table:  # a row that was shown twice may have lost its id in between
        busy.update(deal for deal, stored in rows.known.items() if stored[1] in table)
    resting = (deals.found & rows.found) - busy
    links = {deal: unpack(stored) for deal, stored in deals.known.items() if deal not in resting}
    message = "" if has_messages else None
    for deal, link in links.items():
        if deal in deals.found and deal not in crm:
            crm[deal] = as_left(link, Side.CRM, deals.names)
        if deal in rows.found and link.row not in table:
            table[link.row] = as_left(link, Side.TABLE, rows.names, message)
    rest = {deal: stored for deal, stored in deals.known.items() if deal in resting}
    return links, Resting(rest, unpack, tuple(deals.names), message)
