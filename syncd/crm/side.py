"""HighLevel as a side of the engine (sides.py): deals as raw values in the order of the pair's fields.

Sections (§) are those of reference/ghl.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import attrgetter
from sys import intern
from typing import Any, Final, TypeVar

from syncd.at_rest import Familiar, Sieve
from syncd.crm.highlevel import (
    PAGE,
    BadToken,
    Blocked,
    Contact,
    ContactNotFound,
    Cursor,
    DailyLimit,
    Duplicate,
    DuplicateContact,
    Forbidden,
    Glimpse,
    HighLevelClient,
    HighLevelError,
    MissingScope,
    NotFound,
    Opportunity,
    SearchPage,
    Validation,
    VersionRefused,
    WrongLocation,
    WrongPath,
)
from syncd.fields import OF_CONTACT, STATUSES, Field
from syncd.http import NEVER_LATER, HttpError, NoAnswer, NotNow, ServerFault
from syncd.model import ABSENT, Missing, Raw, Record, Side, Stamp
from syncd.sides import (
    Lost,
    MadeDeal,
    Misconfigured,
    Patch,
    Person,
    Pipeline,
    Question,
    ReadResult,
    Refused,
    SideDown,
    TryAgain,
    Unread,
    Vocabulary,
    WriteResult,
    Written,
)
from syncd.values import choices, folded

_T = TypeVar("_T")

SECOND_WALK_PAGE: Final = 73  # shares few multiples with PAGE, so the boundaries of a second walk fall elsewhere
CONTACTS_ASKED_AT_MOST: Final = 20
HURRIES_UP_TO_PAGES: Final = 205  # beyond, too many boundaries would have to go without the overlap
PAGES_AT_MOST: Final = 10_000  # a million deals: a search that goes on beyond them does not end
DAY_SECONDS: Final = 86_400.0
HOUR_SECONDS: Final = 3_600.0
CHANGED_AT_MOST: Final = 1_000  # beyond, a sweep is hardly dearer, and sure
FUTILE_SWEEPS: Final = 10  # for so many sweeps a total that no search could explain is not searched for again

# What ends a pass: every other request would be refused alike.
_FOR_ALL = (BadToken, MissingScope, VersionRefused, Blocked, DailyLimit)

# Field -> the keys of a deal that hold it.
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "name": ("name",),
    "stage": ("pipelineId", "pipelineStageId"),
    "status": ("status",),
    "value": ("monetaryValue",),
    "owner": ("assignedTo",),
    "source": ("source",),
}
_CONTACT_KEYS: Final[dict[str, frozenset[str]]] = {
    "contact": frozenset({"name", "firstName", "lastName"}),
    "email": frozenset({"email"}),
    "phone": frozenset({"phone"}),
    "company": frozenset({"companyName"}),
}
# A deal always has these: where an answer leaves one out, it does not say that it is empty. Other keys are left out
# where they are empty (§2.2).
_NOTHING: Final[frozenset[int]] = frozenset()
_ALWAYS_TOLD: Final = frozenset({"name", "pipelineId", "pipelineStageId", "status"})


def _contact_name(contact: Contact) -> str | None:
    return contact.name or " ".join(part for part in (contact.first_name, contact.last_name) if part) or None


_OF_DEAL: Final[dict[str, Callable[[Opportunity], Raw]]] = {
    "name": attrgetter("name"),
    "stage": lambda deal: [deal.pipeline_id, deal.stage_id],
    "status": attrgetter("status"),
    "value": attrgetter("value"),
    "owner": lambda deal: deal.assigned_to or None,
    "source": attrgetter("source"),
}
_REPEATED: Final = frozenset({"stage", "status", "owner", "source"})  # many deals hold the same
_OF_A_CONTACT: Final[dict[str, Callable[[Contact], Raw]]] = {
    "contact": _contact_name,
    "email": attrgetter("email"),
    "phone": attrgetter("phone"),
    "company": attrgetter("company"),
}

_CLOCKS: Final[dict[str, Callable[[Opportunity], float | None]]] = {
    "stage": attrgetter("last_stage_change_at"),
    "status": attrgetter("last_status_change_at"),
}


def _shared(raw: Raw) -> Raw:
    """With the one copy of each text that many deals repeat: a sweep may have to hold all deals at once."""
    if isinstance(raw, list):
        return [_shared(one) for one in raw]
    return intern(raw) if isinstance(raw, str) else raw


@dataclass(slots=True)
class _Walk:
    """What one walk through the search has seen.

    Deals that share their (time, contact) place with the last row of a page may be skipped at its boundary (§3.2);
    `boundaries` maps those contacts to whether the last two rows shared it.
    """

    sieve: Sieve | None = None
    found: set[str] = field(default_factory=set)
    total: int | None = None
    boundaries: dict[str, bool] = field(default_factory=dict)

    @property
    def short(self) -> int:
        """How many deals the total counts that were not seen."""
        return max(0, (self.total or 0) - len(self.found))

    @property
    def whole(self) -> bool:
        """Whether as many deals were seen as the total counts."""
        return self.total is not None and not self.short

    def is_known(self, id: str, answer: Mapping[str, Any]) -> bool:
        """Whether nothing of this answer has to be looked at."""
        return self.sieve is not None and self.sieve.knows(id, None, answer)

    def new(self, page: SearchPage) -> list[Opportunity | Glimpse]:
        """The deals of a page that were not seen before."""
        fresh = list({deal.id: deal for deal in page.rows if deal.id not in self.found}.values())
        self.found.update(deal.id for deal in fresh)
        return fresh

    def note_boundary(self, rows: Sequence[Opportunity | Glimpse]) -> None:
        """Remembers the contact of the last row of a page that another page follows."""
        contact_id = rows[-1].contact_id
        if contact_id:
            tied = len(rows) > 1 and rows[-1].sort is not None and rows[-1].sort == rows[-2].sort
            self.boundaries[contact_id] = self.boundaries.get(contact_id, False) or tied


class HighLevelSide:
    """The CRM. Deals outside of the synced pipelines are read by id as `outside`, and are no part of a sweep."""

    side = Side.CRM
    label = "HighLevel"
    write_batch = 1
    read_batch = 1

    def __init__(
        self, client: HighLevelClient, fields: Sequence[Field], pipelines: Sequence[str] | None = None
    ) -> None:
        """`pipelines` are names or ids as configured, None for all. Raises `Misconfigured` for a field unknown here."""
        self.client = client
        self.identity = client.location_id
        self._configured = tuple(pipelines) if pipelines is not None else None
        self._synced: tuple[str, ...] | None = None  # ids; only where pipelines are configured, and once they are known
        self._faulty: str | None = None  # the deal whose reading failed in HighLevel last
        self._no_owner: str | None = None  # what clears assignedTo: null until it is refused (§13.3)
        self._contacts_readable = True
        self._probed: tuple[float, bool] | None = None  # when, and whether search filters by `date_updated`
        self._familiar = Familiar()
        self._straddling: set[str] = set()  # contacts that had deals skipped: asked for first the next time
        self._futile: dict[str | None, tuple[tuple[int, int | None], int]] = {}
        self.use(fields)

    def use(self, fields: Sequence[Field]) -> None:
        """From now on raw values stand in the order of these fields."""
        unknown = [one.name for one in fields if one.name not in _KEYS and one.name not in _CONTACT_KEYS]
        if unknown:
            raise Misconfigured(
                f"HighLevel's deals have no field “{unknown[0]}”. Choose one of: {choices([*_KEYS, *_CONTACT_KEYS])}."
            )
        self._fields = tuple(fields)
        self._names = tuple(one.name for one in fields)
        self._index = {name: index for index, name in enumerate(self._names)}
        self._of_contact = frozenset(index for index, name in enumerate(self._names) if name in OF_CONTACT)
        # What `_record` does for every deal of a sweep, looked up once: (of the deal or of its contact, reader).
        self._readers: tuple[tuple[bool, Callable[[Any], Raw]], ...] = tuple(
            (name in _OF_DEAL, _OF_DEAL[name] if name in _OF_DEAL else _OF_A_CONTACT[name]) for name in self._names
        )
        self._repeated = frozenset(index for index, name in enumerate(self._names) if name in _REPEATED)
        self._own_clocks = tuple((self._index[name], read) for name, read in _CLOCKS.items() if name in self._index)

    @property
    def clock_offset(self) -> float:
        """Seconds to add to HighLevel's stamps to get our own clock."""
        return self.client.http.clock_offset.offset

    @property
    def calls(self) -> int:
        """Requests sent, retries counted."""
        return self.client.http.calls

    # --- names

    def schema(self) -> Vocabulary:
        """Pipelines (one call) and, where the owner is a field, users (one more)."""
        pipelines = self._pipelines()
        if "owner" not in self._index:
            return Vocabulary(pipelines)
        with _usable():
            try:
                return Vocabulary(pipelines, self.client.users())
            except MissingScope as error:
                raise Misconfigured(
                    f"{error} It is needed for the owners' names; without it, set the owner's direction to off."
                ) from error

    def _pipelines(self) -> tuple[Pipeline, ...]:
        with _usable():
            pipelines = self._listed_pipelines()
        if self._configured is None:
            return pipelines
        self._synced = _ids_of(self._configured, pipelines)
        return tuple(replace(one, synced=one.id in self._synced) for one in pipelines)

    def _listed_pipelines(self) -> tuple[Pipeline, ...]:
        """The location's pipelines; that call names nothing but the location, so its refusal is about that."""
        try:
            pipelines = self.client.pipelines()
        except (Validation, Forbidden, NotFound) as error:
            raise Misconfigured(
                f"HighLevel does not accept location_id {self.identity}: {error} Check location_id and the token."
            ) from error
        if not pipelines:
            raise Misconfigured(
                f"HighLevel lists no pipeline for location {self.identity}. Check location_id, or make a pipeline."
            )
        return pipelines

    def _scopes(self) -> tuple[str | None, ...]:
        """The pipelines to walk through, one by one; (None,) for one walk through all."""
        if self._configured is None:
            return (None,)
        if self._synced is None:
            self._pipelines()
        return self._synced or ()

    # --- reading

    def sweep(self, sieve: Sieve | None = None) -> Iterator[Record]:
        """Every deal of the synced pipelines that the sieve does not hold, as search shows it: that may be behind the
        writes.

        Raises `SideDown` where it cannot be completed. A deal may still be missing from it (SPEC §3.6: only suspected).
        """
        seen: set[str] = set()
        scopes = self._scopes()
        if sieve is not None:
            self._familiar.lend(sieve, (self._names, self._synced))
        for pipeline_id in scopes:
            walk = _Walk(sieve)
            for deal in self._walked(walk, pipeline_id):
                if deal.location_id not in (None, self.client.location_id):
                    continue  # a read by its id says so
                if deal.id in seen:
                    continue  # one that moved on while we walked
                seen.add(deal.id)
                if isinstance(deal, Opportunity) and (record := self._unless_held(deal, sieve)) is not None:
                    yield record

    def changed(self, since: float) -> list[Record] | None:
        """Deals that search shows as updated after `since`, by POST search on `date_updated` (§3.2). No live proof of
        that filter is known (§3.3): it is used only where an impossible range was seen to find nothing, which is tried
        once a day, or each hour where it was not so."""
        if not self._filters_dates():
            return None
        found: dict[str, Record] = {}
        cursor: Cursor | None = None
        used: set[Cursor] = set()
        while True:
            page = self._updated_since(since - self.clock_offset, cursor)
            if page is None or (cursor is None and page.total is not None and page.total > CHANGED_AT_MOST):
                return None
            for deal in page.opportunities:
                if deal.location_id in (None, self.client.location_id):
                    found[deal.id] = self._record(deal)
            rows = page.opportunities
            if len(rows) < PAGE:
                return list(found.values()) if page.total is None or len(found) >= page.total else None
            cursor = page.cursor or rows[-1].sort
            if cursor is None or cursor in used:
                return None
            used.add(cursor)

    def _filters_dates(self) -> bool:
        """Whether this location heeds the filter, as far as the last day's probe has shown."""
        now = self.client.http.now()
        if self._probed is None or not 0 <= now - self._probed[0] < (DAY_SECONDS if self._probed[1] else HOUR_SECONDS):
            page = self._updated_since(NEVER_LATER, None)
            self._probed = (now, page is not None and not page.opportunities and page.total == 0)
        return self._probed[1]

    def _updated_since(self, instant: float, cursor: Cursor | None) -> SearchPage | None:
        """One page in the order of the updates; None where the question is refused, or visibly not heeded."""
        shown = datetime.fromtimestamp(instant, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        filters = [{"field": "date_updated", "operator": "range", "value": {"gte": f"{shown}Z"}}]
        sort = [{"field": "date_updated", "direction": "asc"}]
        try:
            page = self.client.search_post(filters=filters, sort=sort, limit=PAGE, search_after=cursor)
        except HighLevelError:
            return None  # whatever is wrong, the walk will say it
        except HttpError as error:
            raise SideDown(str(error)) from error
        older = [deal for deal in page.opportunities if deal.updated_at is not None and deal.updated_at < instant - 1]
        return None if older else page

    def _walked(self, walk: _Walk, pipeline_id: str | None) -> Iterator[Opportunity | Glimpse]:
        yield from self._pages(walk, pipeline_id, PAGE)
        before = (len(walk.found), walk.total)
        known, left = self._futile.pop(pipeline_id, (None, 0))
        thorough = known != before or left == 0
        yield from self._skipped(walk, pipeline_id, thorough)
        if walk.short:
            # The total drifts by itself (§3.1): while both numbers stay, looking everywhere again would find nothing.
            self._futile[pipeline_id] = (before, FUTILE_SWEEPS if thorough else left - 1)

    def _pages(self, walk: _Walk, pipeline_id: str | None, limit: int) -> Iterator[Opportunity | Glimpse]:
        """One walk. It ends at an empty page, at a short one that names no next, or where it would turn in circles."""
        cursor: Cursor | None = None
        used: set[Cursor] = set()
        here: set[str] = set()
        count = 0
        while True:
            with _usable():
                page = self.client.search_page(
                    pipeline_id=pipeline_id, limit=limit, cursor=cursor, is_known=walk.is_known
                )
            rows, walk.total = page.rows, page.total if page.total is not None else walk.total
            yield from walk.new(page)
            # A short page alone is no end where the total counts more deals: then one more page is asked for.
            if not rows or (not page.more and (walk.whole or (len(rows) < limit and walk.total is None))):
                return
            count += 1
            if count >= PAGES_AT_MOST:
                raise SideDown(f"HighLevel's search does not come to an end: {count:,} pages and still more.")
            cursor = (page.cursor if _hurries(walk, count, limit) else _onward(page)) or rows[-1].sort
            if cursor is None and not page.more and len(rows) < limit:
                return
            if cursor is None:
                raise SideDown("HighLevel's search does not say where its next page starts; the sweep is incomplete.")
            if cursor in used or here.issuperset(deal.id for deal in rows):
                return
            used.add(cursor)
            here.update(deal.id for deal in rows)
            walk.note_boundary(rows)

    def _skipped(self, walk: _Walk, pipeline_id: str | None, thorough: bool) -> Iterator[Opportunity | Glimpse]:
        """Deals that page boundaries skipped: those of the boundaries' contacts, then by another walk (§3.2).

        Contacts that had such deals before come first; where `thorough` is false nothing else is asked.
        """
        ranked = sorted(walk.boundaries, key=lambda contact_id: not walk.boundaries[contact_id])
        asked = [contact_id for contact_id in ranked if contact_id in self._straddling]
        if thorough:
            asked += [contact_id for contact_id in ranked if contact_id not in self._straddling][
                :CONTACTS_ASKED_AT_MOST
            ]
        for contact_id in asked:
            if not walk.short:
                return
            with _usable():
                page = self.client.search_page(pipeline_id=pipeline_id, contact_id=contact_id)
            fresh = walk.new(page)
            yield from fresh
            if fresh:
                self._straddling.add(contact_id)
            else:
                self._straddling.discard(contact_id)
        if walk.short and thorough:
            for deal in self._pages(walk, pipeline_id, SECOND_WALK_PAGE):
                if deal.contact_id in walk.boundaries:
                    self._straddling.add(deal.contact_id)  # asked for first the next time, instead of a walk
                yield deal

    def read(self, ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        """Each deal as it is now, by one GET each. ABSENT only where HighLevel says OPPORTUNITY_NOT_FOUND (SPEC §1)."""
        contact = needed is None or not self._of_contact.isdisjoint(needed)
        return {id: self._read_one(id, contact=contact) for id in ids}

    def _read_one(self, id: str, *, contact: bool = False) -> ReadResult:
        try:
            deal = self.client.opportunity(id)
        except NotFound:
            return ABSENT
        except ServerFault as error:
            if self._faulty not in (None, id):
                raise SideDown(str(error)) from error  # one after the other: it is no deal's own trouble
            self._faulty = id
            return Unread(str(error), fault=True)
        except (*_FOR_ALL, HttpError) as error:
            raise SideDown(str(error)) from error
        except HighLevelError as error:
            return Unread(str(error))
        self._faulty = None
        if deal.location_id is not None and deal.location_id != self.client.location_id:
            return Unread("The deal belongs to another HighLevel location.")
        return self._with_contact(deal) if contact else self._record(deal)

    def _with_contact(self, deal: Opportunity) -> Record:
        """The record of a deal; its contact is fetched where the answer has none and a field needs it."""
        record = self._record(deal)
        if not (record.lacks & self._of_contact) or deal.contact is not None or not deal.contact_id:
            return record
        if not self._contacts_readable:
            return record
        try:
            return self._record(replace(deal, contact=self.client.contact(deal.contact_id)))
        except MissingScope:
            self._contacts_readable = False  # search shows the contact anyway, without that scope
        except (*_FOR_ALL, HttpError) as error:
            raise SideDown(str(error)) from error
        except HighLevelError:
            pass  # the fields stay unknown
        return record

    def _record(self, deal: Opportunity) -> Record:
        record = self._unless_held(deal, None)
        assert record is not None  # there is no sieve to hold it
        return record

    def _unless_held(self, deal: Opportunity, sieve: Sieve | None) -> Record | None:
        """The record of a deal; None where the sieve holds it, and none has to be made."""
        lacks, contact, stamp = self._lacks(deal), deal.contact, deal.updated_at
        raw: list[Raw] = [
            read(deal) if of_deal else (None if contact is None else read(contact)) for of_deal, read in self._readers
        ]
        for index in lacks:
            if self._names[index] != "stage":
                raw[index] = None
        for time in (deal.last_stage_change_at, deal.last_status_change_at):
            if time is not None and (stamp is None or time > stamp):
                stamp = time
        outside = self._synced is not None and deal.pipeline_id is not None and deal.pipeline_id not in self._synced
        odd = outside or lacks
        if sieve is not None and sieve.holds_deal(deal.id, None if odd else raw, stamp, deal.name or ""):
            return None
        clocks = [deal.updated_at] * len(raw)
        for index, clock in self._own_clocks:
            clocks[index] = clock(deal) or deal.updated_at
        return Record(
            deal.id,
            tuple(_shared(one) if index in self._repeated else one for index, one in enumerate(raw)),
            stamp=stamp,
            clocks=tuple(clocks),
            title=deal.name or "",
            outside=deal.pipeline_id if outside else None,
            lacks=lacks,
        )

    def _lacks(self, deal: Opportunity) -> frozenset[int]:
        """The fields that the answer does not tell: left out where it must be there, or of a wrong type."""
        if not deal.odd and deal.contact is not None and not deal.contact.odd and deal.told >= _ALWAYS_TOLD:
            return _NOTHING
        return frozenset(index for index, name in enumerate(self._names) if not _tells(deal, name))

    # --- writing

    def make_way(self) -> None:
        """A deal is read, and written."""
        self.client.http.make_way(2)

    def write(self, patches: Sequence[Patch]) -> list[WriteResult]:
        """One PUT a deal, naming the changed fields alone (SPEC §3.2), then what the deal holds now."""
        return [self._write_one(patch) for patch in patches]

    def _write_one(self, patch: Patch) -> WriteResult:
        body: dict[str, Any] = {}
        for index, raw in patch.changes.items():
            part = _body_of(self._names[index], raw)
            if isinstance(part, str):
                return Refused(part, frozenset({index}), everyone=self._names[index] in OF_CONTACT)
            body |= part
        if not body:  # the CRM carries neither messages nor keys
            return self._read_back(patch.id)
        with self.client.http.once():
            answer = self._asked(lambda: self._put(patch.id, body))
        if isinstance(answer, Refused | Lost):
            return answer
        needed = _ALWAYS_TOLD | {"monetaryValue", "updatedAt"} | body.keys()
        if answer is None or not answer.told >= needed:
            return self._read_back(patch.id)
        return Written(self._record(answer))

    def _put(self, id: str, body: dict[str, Any]) -> Opportunity | None:
        """PUT; an owner is cleared with null, or where that is refused with an empty text (§13.3)."""
        if "assignedTo" not in body or body["assignedTo"] is not None:
            return self.client.update_opportunity(id, body)
        try:
            return self.client.update_opportunity(id, {**body, "assignedTo": self._no_owner})
        except Validation as refusal:
            if self._no_owner is not None or "assignedTo" not in refusal.named:
                raise
        answer = self.client.update_opportunity(id, {**body, "assignedTo": ""})
        self._no_owner = ""
        return answer

    def _read_back(self, id: str) -> WriteResult:
        try:
            result = self._read_one(id)
        except SideDown as error:
            return Lost(f"HighLevel took the write, but the deal could not be read back. {error}")
        if isinstance(result, Record):
            return Written(result)
        sentence = result.sentence if isinstance(result, Unread) else "The deal is gone."
        return Lost(f"HighLevel took the write, but the deal could not be read back. {sentence}")

    def _asked(self, call: Callable[[], _T]) -> _T | Refused | Lost:
        """Runs a write and turns a refusal of this record, or a lost answer, into a value."""
        try:
            return call()
        except NoAnswer as error:
            return Lost(str(error))
        except NotNow as error:
            raise TryAgain(str(error)) from error
        except NotFound:
            return Refused("The deal is gone from HighLevel.")
        except MissingScope as error:
            return Refused(str(error), everyone=True)
        except (*_FOR_ALL, HttpError) as error:
            raise SideDown(str(error)) from error
        except Validation as error:
            unknown = any(error.says(f"{key} should not exist") for key in error.named)
            return Refused(str(error), self._indices(error.named), everyone=unknown)
        except (Forbidden, WrongPath) as error:
            return Refused(str(error), everyone=True)
        except HighLevelError as error:
            return Refused(str(error))

    def _indices(self, keys: frozenset[str]) -> frozenset[int]:
        return frozenset(self._index[name] for name, held in _KEYS.items() if name in self._index and keys & set(held))

    # --- making

    def contact_for(self, person: Person) -> str | Refused | Lost:
        """The contact with this address, else with this number, else a new one. Not by upsert: that would write our
        name and company into whoever shares the number (§9)."""
        found = self._asked(lambda: self._found_contact(person))
        if isinstance(found, Lost):
            raise SideDown(found.sentence)  # nothing was sent but questions
        return found if found is not None else self._asked(lambda: self._new_contact(person))

    def _found_contact(self, person: Person) -> str | None:
        for asked in ({"email": person.email}, {"phone": person.phone}):
            if any(asked.values()):
                try:
                    contact = self.client.find_contact(**asked)
                except ContactNotFound:
                    continue  # null is documented (§9); this says the same
                if contact is not None and contact.id:
                    return contact.id
        return None

    def _new_contact(self, person: Person) -> str:
        body = {"name": person.name, "email": person.email, "phone": person.phone, "companyName": person.company}
        try:
            return self.client.create_contact(body)
        except DuplicateContact as known:
            return known.contact_id
        except WrongPath:
            # A server without that path has an upsert; that nobody has this address or number was asked right before.
            return self.client.upsert_contact(body)

    def create_deal(self, contact: str, values: Mapping[int, Raw]) -> WriteResult:
        """POST of a deal, and what it holds then. What the answer leaves out is not asked for again but `lacks`: a deal
        that was made must never count as lost."""
        body: dict[str, Any] = {"contactId": contact}
        for index, raw in values.items():
            part = _body_of(self._names[index], raw)
            if isinstance(part, str):
                return Refused(part, frozenset({index}))
            body |= part
        with self.client.http.once():
            answer = self._asked(lambda: self._new_deal(body))
        if isinstance(answer, Refused | Lost):
            return answer
        try:
            return Written(self._with_contact(answer), made=True)
        except SideDown:
            return Written(self._record(answer), made=True)

    def _new_deal(self, body: dict[str, Any]) -> Opportunity | Refused:
        try:
            return self.client.create_opportunity(body)
        except Duplicate as refusal:
            return _stands_in_the_way(refusal)

    def made_of(self, contact: str) -> list[MadeDeal]:
        """The newest hundred deals of a contact, as search shows them."""
        with _usable():
            page = self.client.search_page(contact_id=contact)
        return [self._made(deal) for deal in page.opportunities]

    def made_deal(self, id: str) -> MadeDeal | None:
        """One deal by GET; None where it is gone or not shown."""
        try:
            return self._made(self.client.opportunity(id), whole=True)
        except (*_FOR_ALL, HttpError) as error:
            raise SideDown(str(error)) from error
        except HighLevelError:
            return None

    def _made(self, deal: Opportunity, *, whole: bool = False) -> MadeDeal:
        record = self._with_contact(deal) if whole else self._record(deal)
        created = deal.created_at
        if created is None and deal.sort is not None and isinstance(deal.sort[0], int):
            created = deal.sort[0] / 1000  # a row's place in the search is the time of its making (§3.2)
        return MadeDeal(record, deal.pipeline_id or "", deal.contact_id or "", created)

    def delete(self, id: str) -> WriteResult | Missing:
        """Deletes a deal; ABSENT where it was gone. The record in `Written` tells nothing."""

        def delete() -> Missing | None:
            try:
                self.client.delete_opportunity(id)
            except NotFound:
                return ABSENT
            return None

        with self.client.http.once():
            answer = self._asked(delete)
        return answer if answer is not None else Written(Record(id, (None,) * len(self._fields)))

    def edited(self, questions: Sequence[Question]) -> dict[Question, Stamp]:
        """Nothing: `Record.clocks` say it."""
        return {}


@contextmanager
def _usable() -> Iterator[None]:
    """Failures of a call without which nothing goes on: the location's are a person's, all others end the pass."""
    try:
        yield
    except WrongLocation as error:
        raise Misconfigured(str(error)) from error
    except (HighLevelError, HttpError) as error:
        raise SideDown(str(error)) from error


def _ids_of(configured: Sequence[str], pipelines: Sequence[Pipeline]) -> tuple[str, ...]:
    """The ids of the configured pipelines, given by id or by name (§8: NFC, white space, case)."""
    listed = choices(one.name for one in pipelines)
    if not configured:
        raise Misconfigured(f"`pipelines` is empty. Leave it out for all, or name some of: {listed}.")
    ids: dict[str, None] = {}
    for wanted in configured:
        found = [one.id for one in pipelines if one.id == wanted]
        found = found or [one.id for one in pipelines if folded(one.name) == folded(wanted)]
        if not found:
            raise Misconfigured(f"HighLevel has no pipeline “{wanted}” here. It has: {listed}.")
        if len(found) > 1:
            raise Misconfigured(f"Two pipelines are called “{wanted}”. Name the one by its id: {choices(found)}.")
        ids[found[0]] = None
    return tuple(ids)


def _stands_in_the_way(refusal: Duplicate) -> Refused:
    """The refusal of a second deal for a contact, with the mend (§9)."""
    id = refusal.existing_id or ""
    mend = f" It is {id}: put that into the GHL ID of this row, or allow more than one." if id else ""
    return Refused(f"{refusal}{mend}", existing=id)


def _onward(page: SearchPage) -> Cursor | None:
    """Where the next page starts: at the rows that share the last one's place, since more of them may follow (§3.2)."""
    rows = page.rows
    if page.cursor != rows[-1].sort:
        return page.cursor
    return next((deal.sort for deal in reversed(rows) if deal.sort != page.cursor), page.cursor)


def _hurries(walk: _Walk, count: int, limit: int) -> bool:
    """Whether this boundary goes without the overlap: pages that overlap by a row would take more than two pages beyond
    the least. What may be skipped here the total shows, and it is looked for."""
    if walk.total is None or count < 2 or walk.total > HURRIES_UP_TO_PAGES * limit:
        return False
    left_pages = math.ceil(walk.total / limit) + 2 - count
    return math.ceil(walk.short / (limit - 1)) > left_pages


def _tells(deal: Opportunity, name: str) -> bool:
    """Whether an answer tells a field of the deal, or of its contact."""
    if name in _KEYS:
        return all(key not in deal.odd and (key in deal.told or key not in _ALWAYS_TOLD) for key in _KEYS[name])
    if deal.contact is not None:
        return not (deal.contact.odd & _CONTACT_KEYS[name])
    return "contactId" in deal.told and not deal.contact_id  # a deal without a contact has an empty one


def _body_of(name: str, raw: Raw) -> Mapping[str, Any] | str:
    """The part of a PUT's body for one field, or a sentence why HighLevel cannot hold this."""
    if name == "stage":
        if not isinstance(raw, list) or len(raw) != 2 or not all(isinstance(id, str) and id for id in raw):
            return "A deal's stage needs a pipeline."
        return {"pipelineId": raw[0], "pipelineStageId": raw[1]}
    if name == "value":
        number = _number(raw)
        return "A deal's value must be a number." if number is None else {"monetaryValue": number}
    if name == "status":
        return {"status": raw} if raw in STATUSES else f"A deal's status is one of: {choices(STATUSES)}."
    if name == "owner":
        return {"assignedTo": raw or None}
    if name == "name":
        return {"name": raw} if raw else "A deal needs a name."
    if name == "source":
        return {"source": raw}
    return "HighLevel owns the contact's fields; syncd does not write them."


def _number(raw: Raw) -> int | float | None:
    """A finite number; blank is 0, since HighLevel's value knows no empty (SPEC §1)."""
    if raw is None or raw == "":
        return 0
    if isinstance(raw, bool | list):
        return None
    try:
        number = float(raw)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return raw if isinstance(raw, int) else int(number) if number.is_integer() else number


__all__ = ["HighLevelSide"]
