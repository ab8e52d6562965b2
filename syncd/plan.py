"""Shadow and observations in, a plan out (SPEC §§2, 5). Pure: no clock, no I/O; the same inputs give the same plan.

A plan is data, shared by preview and execution. What cannot be decided without asking a server stands in
`Plan.needs`; the caller asks, adds the answers to the view and plans again. Every record is planned by itself (SPEC
§6, P10): a plan is the sum of the parts of its links.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Final

from syncd.at_rest import NONE_RESTING, Resting
from syncd.fields import KEY, ROW
from syncd.judge import Change, ChangeKind, Ground, Past, Verdict, judge, write_raw
from syncd.lost_keys import twins
from syncd.model import (
    ABSENT,
    UNKNOWN,
    Agreed,
    Link,
    LinkState,
    Missing,
    Raw,
    Record,
    Side,
    Value,
    pack,
    packed_shadow,
    print_of_raw,
)
from syncd.newcomers import Lacking, Match, NewDeal, possible_matches, read_row
from syncd.policy import DealDeleted, Policy, RowDeleted
from syncd.sides import Question, ReadResult, Unread
from syncd.values import OwnerCodec, Problem, StageCodec, choices, clipped, folded, text

PLAUSIBLE_ID = re.compile(r"[^\s/?#%\\]{1,128}")  # anything else is not even asked for
OWN_STAMPS_KEPT = 6
UNREAD_PASSES = 3
ITS_MAKING = "a deal was to be made, and the answer has not come; it is looked up first"


_SILENT: Final[frozenset[str]] = frozenset()


class Trouble(StrEnum):
    """What a finding is about."""

    TWOFOLD = "twofold rows"
    WRONG_KEY = "wrong id"
    UNREADABLE_CELL = "unknown choice"
    ONE_WAY = "typed into a one-way column"
    DEAL_GONE = "deal deleted"
    OUTSIDE = "left the pipelines"
    UNREAD = "could not be read"
    UNDATED = "conflict without edit times"
    UNSETTLED = "unfinished write"
    QUARANTINED = "refused"
    FROZEN = "frozen"
    TYPING = "still being typed"
    HELD = "held"
    LACKING = "row lacks something"
    MATCH = "may be a deal without a row"
    NOT_TOLD = "not told"
    BUSY = "cannot be written now"
    STAGE_GONE = "stage not listed any more"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that waits, with a sentence for people. `needs_person` counts for exit code 3 (CONTRACT)."""

    trouble: Trouble
    deal: str
    row: str
    title: str
    sentence: str
    needs_person: bool

    @property
    def record(self) -> str:
        """The record that this is about; "" where it is about none by itself."""
        return self.deal or self.row

    def told(self) -> str:
        """The sentence with the record's name before it."""
        name = clipped(self.title or self.row or self.deal)
        return f"“{name}”: {self.sentence}" if name else self.sentence


@dataclass(frozen=True, slots=True)
class Update:
    """All changes of one record, for one write. `partner` is a key to be put back into the row."""

    target: Side
    deal: str
    row: str
    title: str
    changes: tuple[Change, ...]
    partner: str | None = None

    @property
    def target_id(self) -> str:
        """The id of the record to be written."""
        return self.deal if self.target is Side.CRM else self.row

    @property
    def source_id(self) -> str:
        """The id of the record that the values come from."""
        return self.row if self.target is Side.CRM else self.deal


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row to be made for a deal; `again` where the deal had one that a person deleted."""

    deal: str
    title: str
    values: Mapping[int, tuple[Value, Raw, Raw]]  # index -> canonical, raw in the CRM, raw for the table
    again: bool
    stamp: float | None
    why: str


class How(StrEnum):
    """How a deletion on one side is answered on the other."""

    DELETE = "delete"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True)
class Deletion:
    """A person deleted one record of a link; the settings say that the other one goes, too (SPEC §5). `side` is where
    it goes, `values` what it held: canonical values by field index."""

    side: Side
    deal: str
    row: str
    title: str
    how: How
    values: Mapping[int, Value]
    why: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be asked before everything is decided."""

    crm: frozenset[str] = frozenset()
    table: frozenset[str] = frozenset()
    questions: frozenset[Question] = frozenset()
    vocabulary: bool = False

    def __bool__(self) -> bool:
        return bool(self.crm or self.table or self.questions or self.vocabulary)


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a plan is made from. `crm` and `table` are complete sweeps; `reads` holds later reads by id.

    `busy` are deals with an unsettled write; `refused` maps (deal, target) to the sentence of a write that was
    refused, the text of its changes, and whether it is time to try again; `unknown_keys` are ids that HighLevel
    lately said it does not have, `absent` all of which it ever said so; `messages` is the last text written to each
    Sync cell; `unread` counts the passes in which a record could not be read; it is read by its id then, though a list
    shows it; `renamed` asks to look at the names of all stages and owners; `frozen` maps (deal, field) to the sentence
    of what an automation sets back; a text or number cell edited less than `quiet_seconds` ago waits (0: none does), as
    `asked` questions have answered.

    `new_deals` is whether rows become deals; `making` maps rows whose making has no answer yet to the pipeline and the
    name of their deal. `matched` and `unmatched` are the (row, deal) pairs that a person approved, and refused.
    `remembered` are records that nobody has looked at now: they stand there as last seen (SPEC §1). `resting` are links
    that were looked at and found as they were left: they are not planned. `rows_by_key` is whether a row has no
    identity but its key (`TableSide.rows_have_ids`).
    """

    ground: Ground
    links: Mapping[str, Link]
    crm: Mapping[str, Record]
    table: Mapping[str, Record]
    reads: Mapping[Side, Mapping[str, ReadResult]]
    now: float
    read_lag_seconds: float = 60.0
    busy: frozenset[str] = frozenset()
    refused: Mapping[tuple[str, Side], tuple[str, str, bool]] = field(default_factory=dict)
    unknown_keys: frozenset[str] = frozenset()
    messages: Mapping[str, str] = field(default_factory=dict)
    renamed: bool = True
    unread: Mapping[str, int] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    frozen: Mapping[tuple[str, str], str] = field(default_factory=dict)
    quiet_seconds: float = 0.0
    asked: frozenset[Question] = frozenset()
    new_deals: bool = True
    making: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    matched: frozenset[tuple[str, str]] = frozenset()
    unmatched: frozenset[tuple[str, str]] = frozenset()
    remembered: frozenset[str] = frozenset()
    resting: Resting = NONE_RESTING
    rows_by_key: bool = False
    absent: frozenset[str] = frozenset()


@dataclass(slots=True)
class Plan:
    """What a pass does: writes (`updates`, `new_rows`, `new_deals`, `deletions`, `messages`), and what it only
    remembers (`links`, `forget`, `absent_keys`). `matches` are rows and deals that are left alone until a person says
    what they are; `said` are all sentences that belong into each row's Sync cell, of which `messages` are those cells
    that change; `loose` are all rows without an id that it links to nothing (wholly blank ones do not count),
    `rowless` all deals to which no row was found; `unclear` are the rows of a sheet and the deals of which a person
    must say which belong together. Nothing here has happened yet."""

    updates: list[Update] = field(default_factory=list)
    new_rows: list[NewRow] = field(default_factory=list)
    new_deals: list[NewDeal] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)
    messages: dict[str, str] = field(default_factory=dict)
    said: dict[str, frozenset[str]] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    absent_keys: list[str] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    loose: set[str] = field(default_factory=set)
    rowless: set[str] = field(default_factory=set)
    unclear: set[str] = field(default_factory=set)
    all_judged: bool = False  # every link was looked at whole: no cell can have kept an old name
    needs: Needs = Needs()

    @property
    def rows_without_id(self) -> int:
        """How many rows stay without an id."""
        return len(self.loose.difference(new.row for new in self.new_deals))

    def changes_anything(self) -> bool:
        """Whether anything would be written or remembered of a record."""
        return not self.is_empty() or bool(self.links or self.forget or self.absent_keys)

    def is_empty(self) -> bool:
        """Whether nothing would be written."""
        return not (self.updates or self.new_rows or self.new_deals or self.deletions or self.messages)


class _Planner:
    """Collects a plan link by link."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.crm_reads, self.table_reads = view.reads[Side.CRM], view.reads[Side.TABLE]
        self.names = [f.name for f in view.ground.fields]
        self.plan = Plan()
        self.need_crm: set[str] = set()
        self.need_table: set[str] = set()
        self.questions: set[Question] = set()
        self.vocabulary = False
        self.said: dict[str, frozenset[str]] = {}
        self.judged = 0
        self.carriers: dict[str, list[str]] = defaultdict(list)
        self.frozen_deals = {deal for deal, _ in view.frozen}
        self.rowless: list[tuple[Link, Record]] = []  # of a sheet: no row carries their keys
        self.claimed: set[str] = set()  # rows that are known, or may be, to be theirs
        self.unread_rows: list[Record] = []  # loose ones, as a list shows them
        read = {id: row for id, row in self.table_reads.items() if isinstance(row, Record)}
        for row in {**view.table, **read}.values() if read else view.table.values():
            if row.partner and self.table_reads.get(row.id) is not ABSENT:
                self.carriers[row.partner].append(row.id)

    @cached_property
    def link_of_row(self) -> dict[str, Link]:
        """Links by their rows; only rows without their own link's key ask for it."""
        return {link.row: link for link in self.view.links.values()}

    # --- what is known of a record -------------------------------------------------------------------------------

    def row(self, row_id: str) -> ReadResult | None:
        """The newest knowledge of a row; None where the sweep lacks it and nobody has read it by id yet."""
        read = self.table_reads.get(row_id)
        return read if read is not None else self.view.table.get(row_id)

    def deal(self, deal_id: str) -> ReadResult | None:
        """The newest knowledge of a deal, likewise."""
        read = self.crm_reads.get(deal_id)
        return read if read is not None else self.view.crm.get(deal_id)

    def was_absent(self, deal_id: str) -> bool:
        """Whether search shows a deal that was gone a while ago: only a read by its id makes it present (SPEC §1)."""
        return deal_id in self.view.absent and deal_id in self.view.crm and deal_id not in self.crm_reads

    def find(self, trouble: Trouble, deal: str, row: str, sentence: str, person: bool, title: str = "") -> None:
        """Notes something that waits."""
        self.plan.findings.append(Finding(trouble, deal, row, title, sentence, person))

    def unread(self, id: str, deal: str, row: str, sentence: str, title: str) -> None:
        """Notes a read that was refused; people are told from the third pass on (SPEC §1)."""
        self.plan.unread[id] = count = self.view.unread.get(id, 0) + 1
        if count >= UNREAD_PASSES and row:
            self.say(row, sentence)
        self.find(Trouble.UNREAD, deal, row, sentence, count >= UNREAD_PASSES, title)

    def say(self, row_id: str, sentence: str) -> None:
        """Wants `sentence` in the row's Sync cell; with nothing else to say, an empty one clears it."""
        said = self.said.setdefault(row_id, _SILENT)
        if sentence:
            self.said[row_id] = said | {sentence}

    def write_messages(self) -> None:
        """One text per row, whatever was found about it; it is written only when it changes (SPEC §5)."""
        self.plan.said = self.said
        for row_id, sentences in self.said.items():
            message = new_message(self.view, row_id, sentences)
            if message is not None:
                self.plan.messages[row_id] = message

    # --- links ---------------------------------------------------------------------------------------------------

    def twofold(self, deal: str, rows: list[str]) -> None:
        """Two rows with one deal's id are both left alone and both told."""
        sentence = f"{len(rows)} rows have this GHL ID. Keep one and clear the GHL ID of the others, or delete them."
        for row_id in sorted(rows):
            row = self.row(row_id)
            title = row.title if isinstance(row, Record) else ""
            self.say(row_id, sentence)
            self.find(Trouble.TWOFOLD, deal, row_id, sentence, True, title)

    def wrong_key(self, row: Record, sentence: str, deal: str) -> None:
        """A key that cannot be right: nothing is written for that row but this message."""
        self.say(row.id, sentence)
        self.find(Trouble.WRONG_KEY, deal, row.id, sentence, True, row.title)

    def settle_row(self, link: Link) -> Link | None:
        """Which row the link has now; None where it waits or was dealt with."""
        rows = self.carriers.get(link.deal, [])
        if len(rows) > 1:
            self.twofold(link.deal, rows)
            own = self.row(link.row)
            if isinstance(own, Record) and own.partner is not None and own.partner != link.deal:
                self.stolen(link, own)
            return None
        if link.state is LinkState.ROW_GONE and not rows:
            self.stays_away(link)
            return None
        own = self.row(link.row)
        if rows and rows[0] != link.row:
            return self.moved(link, rows[0], own)
        if own is None:
            self.need_table.add(link.row)
            return None
        if isinstance(own, Unread):
            self.unread(link.row, link.deal, link.row, own.sentence, link.title)
            return None
        if isinstance(own, Missing):
            self.row_deleted(link)
            return None
        if own.partner is not None and own.partner != link.deal:
            self.stolen(link, own)
            return None
        if link.state is LinkState.ROW_GONE and link.row not in self.table_reads:
            self.need_table.add(link.row)  # once absent, only a read by id makes it present again (SPEC §1)
            return None
        return link

    def stays_away(self, link: Link) -> None:
        """A row that a person deleted, which was accepted. A deal that is edited gets it back (SPEC §2); a column that
        is new since then is no edit."""
        deal, agreed = self.deal(link.deal), link.agreed()
        if not isinstance(deal, Record) or deal.outside:
            return
        for index, codec in enumerate(self.view.ground.codecs):
            known = agreed.get(self.names[index])
            if known is not None and index not in deal.lacks and codec.from_crm(deal.raw[index]) != known.value:
                self.new_row(deal, again=True, edited=True)
                return

    def moved(self, link: Link, new_row: str, own: ReadResult | None) -> Link | None:
        """Another row carries the key: the link moves there, once it is certain that its own row does not (SPEC §5)."""
        other = self.link_of_row.get(new_row)
        if other is not None and other.state is LinkState.BOTH:
            # That row belongs to another deal, which says so there; here the link's own row may carry a wrong key.
            if isinstance(own, Record) and own.partner is not None:
                self.stolen(link, own)
            return None
        if own is None:
            self.need_table.add(link.row)
            return None
        if isinstance(own, Unread):
            self.unread(link.row, link.deal, new_row, own.sentence, link.title)
            return None
        return replace(link, row=new_row)

    def stolen(self, link: Link, row: Record) -> None:
        """The row's key cell names something else than its deal."""
        named = row.partner or ""
        if link.state is not LinkState.BOTH and (named in self.view.crm or named in self.view.links):
            self.plan.forget.append(link.deal)  # its own deal is gone; the person gave the row to another one
            return
        title = clipped(link.title or link.deal)
        self.wrong_key(row, f"GHL ID was changed. This row belongs to “{title}”; its id is {link.deal}.", link.deal)

    def row_deleted(self, link: Link) -> None:
        """A row that a person deleted comes back, unless its deal is gone too (SPEC §5)."""
        deal = self.deal(link.deal)
        if link.state is not LinkState.BOTH and not isinstance(deal, Record):
            self.plan.forget.append(link.deal)
        elif deal is None:
            self.need_crm.add(link.deal)
        elif isinstance(deal, Missing):
            self.plan.forget.append(link.deal)
            self.plan.absent_keys.append(link.deal)
        elif isinstance(deal, Record) and deal.outside:
            self.plan.forget.append(link.deal)
        elif isinstance(deal, Unread):
            self.unread(link.deal, link.deal, link.row, deal.sentence, link.title)
        elif self.view.rows_by_key:
            self.rowless.append((link, deal))  # it may be there without its key
        else:
            self.row_is_gone(link, deal)

    def row_is_gone(self, link: Link, deal: Record) -> None:
        """A row that is not there for certain."""
        edited = not self.as_agreed(link, Side.CRM, deal)
        if edited or self.view.policy.row_deleted is RowDeleted.RESTORE:
            self.new_row(deal, again=True, edited=edited)  # a changed value beats a deletion
        else:
            self.row_stays_away(link)

    def find_lost_keys(self) -> None:
        """Rows of a sheet whose key was cleared or typed over are found by equal name and contact. The key comes back
        where that is unambiguous, else the Sync cell asks (SPEC §5)."""
        links = {link.deal: link for link, _ in self.rowless}
        rows = [row for row in self.view.table.values() if links and self.is_stray(row)]
        found = twins(self.view.ground, links.values(), rows)
        claims = Counter(row for ids in found.values() for row in ids)
        for deal, ids in found.items():
            link, row = links[deal], self.row(ids[0])
            self.claimed.update(ids)
            if len(ids) > 1 or claims[ids[0]] > 1:
                self.ask_whose(link, ids)
            elif isinstance(row, Record) and row.partner is not None:
                self.stolen(link, row)
            elif isinstance(row, Record):
                moved = replace(link, row=row.id)
                known = self.known_deal(moved)
                if known is not None:
                    self.pair(moved, link, known, row)
        self.rowless = [(link, deal) for link, deal in self.rowless if link.deal not in found]

    def is_stray(self, row: Record) -> bool:
        """Whether a row is not certainly that of the deal whose id it carries."""
        key = row.partner
        return key is None or len(self.carriers[key]) > 1 or not (key in self.view.links or key in self.view.crm)

    def ask_whose(self, link: Link, rows: list[str]) -> None:
        """Several rows, or several deals, are alike: a person must say which is which."""
        sentence = f"This may be the row of “{clipped(link.title or link.deal)}”; then its GHL ID is {link.deal}."
        self.plan.unclear |= {link.deal, *rows}
        self.plan.rowless.add(link.deal)
        for row_id in rows:
            row = self.row(row_id)
            if isinstance(row, Record):
                self.wrong_key(row, sentence, link.deal)

    def as_agreed(self, link: Link, side: Side, record: Record) -> bool:
        """Whether a record holds in every field what was agreed on last."""
        agreed = link.shadow.crm_print if side is Side.CRM else link.shadow.table_print
        return print_of_raw(self.names, record.raw) == agreed and not record.lacks

    def row_stays_away(self, link: Link) -> None:
        """The settings say that a deleted row does not come back; what becomes of its deal they say as well."""
        policy, agreed = self.view.policy.row_deleted, link.agreed()
        status = agreed["status"].value if "status" in agreed else None
        if policy is RowDeleted.DELETE_DEAL:
            self.delete(Side.CRM, link, How.DELETE)
        elif policy is RowDeleted.ABANDON and status == "open":
            frozen = self.view.frozen.get((link.deal, "status"))
            if frozen is not None:  # it waits like any other write of its status (SPEC §4)
                self.find(Trouble.FROZEN, link.deal, "", frozen, True, link.title)
                return
            self.delete(Side.CRM, link, How.ABANDON)
        else:
            self.remember(replace(link, state=LinkState.ROW_GONE))

    def delete(self, side: Side, link: Link, how: How) -> None:
        """Plans a deletion, unless it was refused lately."""
        sentence, _, due = self.view.refused.get((link.deal, side), ("", "", True))
        if not due:
            self.find(Trouble.QUARANTINED, link.deal, link.row, sentence, True, link.title)
            return
        agreed = link.agreed()
        values = {index: agreed[name].value for index, name in enumerate(self.names) if name in agreed}
        gone = "row" if side is Side.CRM else "deal"
        why = f"its {gone} was deleted in {self.view.ground.labels[side.other]}"
        self.plan.deletions.append(Deletion(side, link.deal, link.row, link.title, how, values, why))

    def new_row(self, deal: Record, *, again: bool, edited: bool = False) -> None:
        """A row for a deal that has none, `again` where its row was deleted, `edited` where the deal was since. All
        fields are filled, whatever their direction."""
        if again and (deal.id, ROW) in self.view.frozen:
            self.find(Trouble.FROZEN, deal.id, "", self.view.frozen[deal.id, ROW], True, deal.title)
            return
        refused = self.view.refused.get((deal.id, Side.TABLE))
        if refused is not None and not refused[2]:
            self.find(Trouble.QUARANTINED, deal.id, "", refused[0], True, deal.title)
            return
        if deal.lacks and deal.id not in self.view.reads[Side.CRM]:
            self.need_crm.add(deal.id)  # search does not tell every field of it; by its id it is told
            return
        ground, values = self.view.ground, {}
        for index, codec in enumerate(ground.codecs):
            if index in deal.lacks:
                continue
            reading = codec.from_crm(deal.raw[index])
            if isinstance(reading, Problem) or reading is None:
                continue
            if not getattr(codec, "knows", lambda _value: True)(reading):
                self.vocabulary = self.vocabulary or isinstance(codec, StageCodec) or reading not in ground.unlisted
                if isinstance(codec, StageCodec):
                    self.find(Trouble.UNREAD, deal.id, "", "The deal's stage is not listed by HighLevel yet.", False,
                              deal.title)  # fmt: skip
                    return
                self.plan.unlisted.add(str(reading))
                continue
            values[index] = (reading, deal.raw[index], write_raw(codec, Side.TABLE, reading))
        table = ground.labels[Side.TABLE]
        why = f"the deal has no row in {table} yet"
        if again:
            why = f"its row was deleted in {table}{', and the deal was edited' if edited else ''}; it comes back"
        self.plan.new_rows.append(NewRow(deal.id, deal.title, values, again, deal.stamp, why))

    def linked(self, link: Link) -> None:
        """Plans one link."""
        if link.deal in self.view.busy:
            sentence = "an earlier write has no answer yet; it is looked up first"
            self.find(Trouble.UNSETTLED, link.deal, link.row, sentence, False, link.title)
            return
        settled = self.settle_row(link)
        if settled is None:
            return
        row = self.row(settled.row)
        deal = self.known_deal(settled)
        if deal is not None and isinstance(row, Record):
            self.pair(settled, link, deal, row)

    def known_deal(self, link: Link) -> Record | None:
        """The link's deal, where it is there and in scope; else the link's new state and the row's message."""
        deal = self.deal(link.deal)
        swept = link.deal not in self.crm_reads
        if deal is None and link.state is LinkState.BOTH and not left_scope(self.view.ground, link):
            self.need_crm.add(link.deal)
            return None
        if isinstance(deal, Unread):
            self.unread(link.deal, link.deal, link.row, deal.sentence, link.title)
            return None
        if isinstance(deal, Record) and swept and link.state is LinkState.DEAL_GONE:
            self.need_crm.add(link.deal)  # once absent, only a read by id makes it present again (SPEC §1)
            return None
        if isinstance(deal, Record) and not deal.outside:
            return deal
        if isinstance(deal, Missing) or (deal is None and link.state is LinkState.DEAL_GONE):
            row = self.row(link.row)
            wanted = self.view.policy.deal_deleted is DealDeleted.DELETE_ROW
            if wanted and isinstance(row, Record) and self.as_agreed(link, Side.TABLE, row):
                self.delete(Side.TABLE, link, How.DELETE)
                return None
            self.gone(link, LinkState.DEAL_GONE, "Deleted in HighLevel", Trouble.DEAL_GONE)
        else:
            link = self.seen(link, deal) if isinstance(deal, Record) else link  # an older sight is no return
            self.gone(link, LinkState.OUTSIDE, "This deal left the synced pipelines.", Trouble.OUTSIDE)
        return None

    def gone(self, link: Link, state: LinkState, sentence: str, trouble: Trouble) -> None:
        """The deal is not to be synced any more; the row stays and says why."""
        self.say(link.row, sentence)
        self.find(trouble, link.deal, link.row, sentence, False, link.title)
        self.remember(replace(link, state=state))

    def remember(self, link: Link) -> None:
        """Stores the link where it changed."""
        if link != self.view.links.get(link.deal):
            self.plan.links.append(link)

    # --- two records of one link ---------------------------------------------------------------------------------

    def pair(self, link: Link, stored: Link, deal: Record, row: Record) -> None:
        """Plans the fields of a link whose records are both there."""
        view = self.view
        title = deal.title or link.title
        if link.state is not LinkState.BOTH or link.title != title:
            link = replace(link, state=LinkState.BOTH, title=title)
        same_row = print_of_raw(self.names, row.raw) == link.shadow.table_print and not row.lacks
        swept = link.deal not in self.crm_reads
        stale = swept and deal.stamp is not None and link.seen is not None and deal.stamp < link.seen
        back = stored.state is not LinkState.BOTH  # stages may have been renamed while it was away
        if stale and (back or not same_row or view.now - link.seen_at > view.read_lag_seconds):
            self.need_crm.add(link.deal)
            return
        if swept and deal.lacks and (not same_row or link.seen is None or (deal.stamp or 0.0) > link.seen):
            self.need_crm.add(link.deal)  # search does not tell every field of it; by its id it is told
            return
        if not stale:
            link = self.seen(link, deal)
        settled = not view.renamed and not back and link.deal not in self.frozen_deals
        quiet = same_row and settled and row.partner == link.deal
        if quiet and (stale or (print_of_raw(self.names, deal.raw) == link.shadow.crm_print and not deal.lacks)):
            if view.messages.get(row.id, row.message):
                self.say(row.id, "")
            self.remember(link)
            self.judged += not stale and link.deal in view.links
            return
        agreed = link.agreed()
        past = Past(link.own, link.foreign)
        verdicts = [
            judge(view.ground, index, agreed.get(name), None if stale else deal, row, past)
            for index, name in enumerate(self.names)
        ]
        known = link.deal in view.links and not back  # another link makes up for none that could not be looked at
        self.judged += known and not stale and not deal.lacks and not row.lacks - row.formulas
        self.follow(link, verdicts, agreed, None if stale else deal, row)

    def seen(self, link: Link, deal: Record) -> Link:
        """Moves the stamps forward, never back (SPEC §6, P6)."""
        stamp = deal.stamp
        if stamp is None or (link.seen is not None and stamp < link.seen):
            return link
        foreign = link.foreign
        if stamp not in link.own and (foreign is None or stamp > foreign):
            foreign = stamp
        moved = link.seen is None or stamp > link.seen
        by_id = link.deal in self.crm_reads
        seen_at = self.view.now if moved or by_id else link.seen_at
        if stamp == link.seen and seen_at == link.seen_at and foreign == link.foreign:
            return link  # as in nearly every link of nearly every pass
        return replace(link, seen=stamp, seen_at=seen_at, foreign=foreign)

    def follow(
        self, link: Link, verdicts: list[Verdict], agreed: dict[str, Agreed], deal: Record | None, row: Record
    ) -> None:
        """Turns verdicts into updates, a new shadow, questions and the row's message."""
        news = {self.names[v.index]: v.agreed for v in verdicts if v.agreed is not None}
        if news and self.only_remembered(link.deal, row.id):
            return
        shadow = packed_shadow({**agreed, **news}, self.names)
        old = link.shadow
        if news or (shadow.crm_print, shadow.table_print) != (old.crm_print, old.table_print):
            link = replace(link, shadow=shadow)
        self.remember(link)
        self.questions.update(v.question for v in verdicts if v.question is not None)
        verdicts = [self.may_go_on(link, verdict, row) for verdict in verdicts]
        sentences = [sentence for (deal, _), sentence in self.view.frozen.items() if deal == link.deal]
        for sentence in sentences:
            self.find(Trouble.FROZEN, link.deal, row.id, sentence, True, link.title)
        for verdict in verdicts:
            codec = self.view.ground.codecs[verdict.index]
            if isinstance(codec, OwnerCodec) and isinstance(verdict.crm, str) and not codec.knows(verdict.crm):
                self.plan.unlisted.add(verdict.crm)
            if "does not list" in verdict.why:
                self.vocabulary = True
            told = self.not_told(link, verdict, deal, row)
            sentences += [told] if told else []
            if verdict.question is not None:
                self.find(Trouble.UNDATED, link.deal, row.id, verdict.why, False, link.title)
            if verdict.problem:
                sentences.append(verdict.problem)
                trouble = Trouble.UNREADABLE_CELL if verdict.needs_person else Trouble.ONE_WAY
                self.find(trouble, link.deal, row.id, verdict.problem, verdict.needs_person, link.title)
        for target in (Side.CRM, Side.TABLE):
            changes = tuple(v.change for v in verdicts if v.change is not None and v.change.target is target)
            cleared = target is Side.TABLE and row.partner is None and (link.deal, KEY) not in self.view.frozen
            partner = link.deal if cleared else None
            if changes or partner:
                sentence = self.add(Update(target, link.deal, row.id, link.title, changes, partner))
                sentences += [sentence] if sentence else []
        self.say(row.id, "")
        for sentence in sentences:
            self.say(row.id, sentence)

    def only_remembered(self, deal: str, row: str) -> bool:
        """Whether one of both was not looked at; it is asked for, since an agreement takes what both sides hold now."""
        remembered = self.view.remembered
        missing_deal = deal in remembered and deal not in self.crm_reads
        missing_row = row in remembered and row not in self.table_reads
        self.need_crm |= {deal} if missing_deal else set()
        self.need_table |= {row} if missing_row else set()
        return missing_deal or missing_row

    def not_told(self, link: Link, verdict: Verdict, deal: Record | None, row: Record) -> str:
        """Notes a value that a side was asked for and did not tell: a blank name, a stage that is not listed. That an
        answer does not name every field, or is old, is no such thing. Returns what the row's Sync cell says of it."""
        index, why = verdict.index, ""
        if verdict.problem:
            return ""  # it is told as such
        if deal is not None and index not in deal.lacks and verdict.crm is UNKNOWN:
            why = verdict.why
        elif index in row.lacks:
            why = f"what its cell in {self.view.ground.labels[Side.TABLE]} holds is neither text nor number"
        if why:
            column = self.view.ground.fields[index].columns[-1]
            sentence = f"“{column}” waits: {why.rstrip('.')}."
            if index in row.formulas:
                sentence = f"“{column}” is a formula in this row, so it is not synced here."
            self.find(Trouble.NOT_TOLD, link.deal, row.id, sentence, False, link.title)
            return sentence if index in row.formulas else ""
        return ""

    def may_go_on(self, link: Link, verdict: Verdict, row: Record) -> Verdict:
        """The verdict without its change where that field is frozen, or where somebody is still typing (SPEC §4); then
        nothing new is said of the cell either."""
        change = verdict.change
        if change is None:
            said = self.view.messages.get(row.id, row.message) or ""
            news = verdict.problem and verdict.problem not in said and row.message is not None
            if news and self.being_typed(link, row, verdict.index):
                self.wait_for_typing(link, row)
                return replace(verdict, problem="", needs_person=False)
            return verdict
        if (link.deal, self.names[verdict.index]) in self.view.frozen:
            return replace(verdict, change=None)
        of_cell = change.target is Side.CRM or change.kind in (ChangeKind.CONFLICT, ChangeKind.FILL)
        if of_cell and self.being_typed(link, row, verdict.index):
            self.wait_for_typing(link, row)
            return replace(verdict, change=None)
        return verdict

    def wait_for_typing(self, link: Link, row: Record) -> None:
        """Notes that a cell is left for the next pass."""
        sentence = "It was edited a moment ago; it waits until that rests."
        self.find(Trouble.TYPING, link.deal, row.id, sentence, False, link.title)
        self.judged -= 1

    def being_typed(self, link: Link, row: Record, index: int) -> bool:
        """Whether a cell that people type into was edited less than `quiet_seconds` ago. Selects never wait, but for a
        changed Pipeline, whose Stage may be next (SPEC §3.8)."""
        view = self.view
        if not view.quiet_seconds:
            return False
        typed = index < len(view.ground.typed) and view.ground.typed[index]
        return (typed or self.pipeline_changed(link, row, index)) and self.edited_lately(row, index)

    def edited_lately(self, row: Record, index: int) -> bool:
        """Whether a cell was edited less than `quiet_seconds` ago; asks where nobody knows yet."""
        view = self.view
        instant = round(view.now - view.quiet_seconds, 3)
        clock = row.clocks[index] if index < len(row.clocks) else None
        if clock is not None:
            return clock + view.ground.offset(Side.TABLE) > instant
        question = Question(row.id, index, instant)
        answer = (view.ground.clocks or {}).get(question)
        if answer is not None:
            return answer.low > instant
        if question in view.asked:
            return False  # the table cannot tell: nothing is to be gained by waiting
        self.questions.add(question)
        return True

    def pipeline_changed(self, link: Link, row: Record, index: int) -> bool:
        """Whether the Pipeline cell differs from what was agreed on."""
        cells, agreed = row.raw[index], link.agreed().get(self.names[index])
        if not isinstance(self.view.ground.codecs[index], StageCodec) or agreed is None:
            return False
        before = agreed.table
        return isinstance(cells, list) and isinstance(before, list) and cells[:1] != before[:1]

    def add(self, update: Update) -> str:
        """Plans an update. One that was refused waits for its pause to be over; its sentence stays meanwhile."""
        sentence, refused, due = self.view.refused.get((update.deal, update.target), ("", "", True))
        if refused != fingerprint(update):
            sentence, due = "", True
        if due:
            self.plan.updates.append(update)
        else:
            self.find(Trouble.QUARANTINED, update.deal, update.row, sentence, True, update.title)
            self.judged -= 1
        return sentence

    # --- records without a link ----------------------------------------------------------------------------------

    def unlinked_key(self, key: str, rows: list[str]) -> None:
        """Rows whose key names a deal that has no link yet."""
        if len(rows) > 1:
            self.twofold(key, rows)
            return
        row = self.row(rows[0])
        owner = self.link_of_row.get(rows[0])
        if (
            not isinstance(row, Record)
            or row.id in self.claimed
            or (owner is not None and owner.deal not in self.plan.forget)
        ):
            return  # the row belongs to another deal, which says so
        deal = self.deal(key)
        if deal is None and not PLAUSIBLE_ID.fullmatch(key):
            self.wrong_key(row, f"“{clipped(key)}” is no id of a deal. Clear GHL ID, or put the right one in.", key)
        elif (deal is None and key not in self.view.unknown_keys) or self.was_absent(key):
            self.need_crm.add(key)
        elif deal is None or isinstance(deal, Missing):
            self.wrong_key(row, "HighLevel has no deal with this GHL ID. Clear it, or put the right one in.", key)
            if deal is not None:  # asked just now; what was known before keeps its age and is asked again in time
                self.plan.absent_keys.append(key)
        elif isinstance(deal, Unread):
            self.unread(key, key, row.id, deal.sentence, row.title)
        elif deal.outside:
            self.gone(self.seen(Link(key, row.id, title=deal.title), deal), LinkState.OUTSIDE,
                      "This deal is in a pipeline that is not synced.", Trouble.OUTSIDE)  # fmt: skip
        else:
            link = Link(key, row.id)
            self.pair(link, link, deal, row)

    def run(self) -> Plan:
        """Plans every link, every deal without one, and every row with a key but no link."""
        view = self.view
        self.need_crm |= view.unread.keys() & view.crm.keys()
        self.need_table |= view.unread.keys() & view.table.keys()
        for link in view.links.values():
            self.linked(link)
        self.find_lost_keys()
        for key, rows in self.carriers.items():
            if key not in view.links and key not in view.busy:
                self.unlinked_key(key, rows)
        fresh, loose = self.fresh_deals(), self.loose_rows()
        waiting = self.first_match([*loose, *self.unread_rows], [*fresh, *(deal for _, deal in self.rowless)])
        for link, deal in self.rowless:
            if link.deal not in waiting:
                self.row_is_gone(link, deal)
        for deal in fresh:
            if deal.id not in waiting:
                self.new_row(deal, again=False)
        for row in loose:
            if view.messages.get(row.id):
                self.say(row.id, "")  # what was said of it before, or of its former id, may no longer hold
            if row.id not in waiting:
                self.newcomer(row)
        self.plan.new_deals.sort(key=lambda new: new.row)
        self.write_messages()
        self.plan.all_judged = self.judged >= sum(link.state is LinkState.BOTH for link in view.links.values())
        self.plan.updates.sort(key=lambda update: (update.target, update.deal))
        self.plan.needs = Needs(
            frozenset(self.need_crm), frozenset(self.need_table), frozenset(self.questions), self.vocabulary
        )
        return self.plan

    def fresh_deals(self) -> list[Record]:
        """Deals that have neither a link nor a row with their id, and that no unfinished making can have made."""
        view, found = self.view, []
        for swept in view.crm.values():
            if swept.id in view.links or swept.id in self.carriers or swept.id in view.busy:
                continue
            if self.was_absent(swept.id):
                self.need_crm.add(swept.id)
                continue
            deal = self.crm_reads.get(swept.id, swept)
            if isinstance(deal, Unread) and swept.id in view.absent:
                self.unread(swept.id, swept.id, "", deal.sentence, swept.title)
                continue
            deal = swept if isinstance(deal, Unread) else deal
            if isinstance(deal, Record) and not deal.outside and not self.unanswered(deal):
                found.append(deal)
        return found

    def loose_rows(self) -> list[Record]:
        """Rows that have neither a link nor an id, wholly blank ones included."""
        found = []
        for swept in self.view.table.values():
            row = self.table_reads.get(swept.id, swept)
            taken = swept.id in self.link_of_row or swept.id in self.claimed
            if isinstance(row, Record) and row.partner is None and not taken:
                found.append(row)
            elif isinstance(row, Unread) and swept.partner is None and not taken:
                self.unread(swept.id, "", swept.id, row.sentence, swept.title)
                self.unread_rows.append(swept)
        return found

    def first_match(self, rows: list[Record], deals: list[Record]) -> set[str]:
        """Links the pairs that a person approved; returns the rows and deals that are to be left alone (SPEC §5)."""
        self.plan.rowless.update(deal.id for deal in deals)
        filled = [row for row in rows if row.id not in self.view.making and self.filled(row)]
        matches = possible_matches(self.view.ground, filled, deals, self.view.unmatched)
        by_id = {record.id: record for record in (*filled, *deals)} if matches else {}
        unread = {row.id for row in self.unread_rows}
        self.plan.loose |= unread & {row.id for row in filled}
        for match in matches:
            if match.alone and (match.row, match.deal) in self.view.matched and match.row not in unread:
                row, deal = by_id[match.row], by_id[match.deal]
                stored = self.view.links.get(deal.id)
                link = Link(deal.id, row.id) if stored is None else replace(stored, row=row.id)
                self.pair(link, stored or link, deal, row)
            else:
                self.plan.matches.append(match)
                if match.deal in self.view.links:  # its row may have lost its key
                    title = clipped(by_id[match.deal].title or match.deal)
                    self.say(match.row, f"This may be the row of “{title}”; then its GHL ID is {match.deal}.")
        open_rows = {match.row: match.title for match in self.plan.matches}
        self.plan.loose |= open_rows.keys()
        if open_rows:
            named = choices(title or row for row, title in open_rows.items())
            number = "1 row" if len(open_rows) == 1 else f"{len(open_rows):,} rows"
            sentence = f"{number} may be deals that have no row yet: {named}. Say which with `syncd approve`."
            self.find(Trouble.MATCH, "", "", sentence, True, "rows without an id")
        return {id for match in matches for id in (match.row, match.deal)}

    def unanswered(self, deal: Record) -> bool:
        """Whether this may be the deal whose making has no answer yet: same pipeline, exact name (SPEC §3.5)."""
        if not self.view.making:
            return False
        stage = next((raw for f, raw in zip(self.view.ground.fields, deal.raw, strict=True) if f.name == "stage"), None)
        pipeline = str(stage[0]) if isinstance(stage, list) and stage else ""
        if (pipeline, folded(deal.title)) not in self.view.making.values():
            return False
        self.find(Trouble.UNSETTLED, deal.id, "", ITS_MAKING, False, deal.title)
        return True

    def newcomer(self, row: Record) -> None:
        """A row that has no deal: it becomes one, or its Sync cell says what it lacks (SPEC §5)."""
        view = self.view
        if not self.filled(row):
            return
        self.plan.loose.add(row.id)
        if view.new_deals and view.quiet_seconds and self.half_typed(row):
            sentence = "It was edited a moment ago; it waits until that rests."
            self.find(Trouble.TYPING, "", row.id, sentence, False, row.title)
            return
        new = read_row(view.ground, row) if view.new_deals and row.id not in view.making else None
        if isinstance(new, NewDeal) and new.twin(view.ground) in view.making.values():
            new = None
        if isinstance(new, NewDeal):
            sentence, refused, due = view.refused.get((row.id, Side.CRM), ("", "", True))
            again = refused == fingerprint(stands_for(new))
            if again:
                self.say(row.id, sentence)
            if due or not again:
                self.plan.new_deals.append(new)
                return
            self.find(Trouble.QUARANTINED, "", row.id, sentence, True, row.title)
        elif isinstance(new, Lacking):
            for sentence in new.sentences:
                self.say(row.id, sentence)
            self.find(Trouble.LACKING, "", row.id, " ".join(new.sentences), new.person, row.title)
        elif view.new_deals:
            self.find(Trouble.UNSETTLED, "", row.id, ITS_MAKING, False, row.title)

    def half_typed(self, row: Record) -> bool:
        """Whether somebody is typing into a row that has no deal yet: it is neither made nor told what it lacks."""
        ground = self.view.ground
        cells = [at for at, codec in enumerate(ground.codecs) if ground.typed[at] and not codec.is_blank(row.raw[at])]
        lately = [self.edited_lately(row, at) for at in cells]  # all of them: all questions are asked at once
        return any(lately)

    def filled(self, row: Record) -> bool:
        """Whether a row is not wholly blank (a blank one is ignored, SPEC §5); a Pipeline alone counts, too."""
        return any(
            not codec.is_blank(raw) or (isinstance(raw, list) and any(text(cell) for cell in raw))
            for codec, raw in zip(self.view.ground.codecs, row.raw, strict=True)
        )


def left_scope(ground: Ground, link: Link) -> bool:
    """Whether the deal was last seen in a pipeline that the configuration no longer names: a change of scope."""
    agreed = link.agreed().get("stage")
    pipeline_id = ((agreed.value if agreed else None) or "").partition(":")[0]
    codecs = [codec for codec in ground.codecs if isinstance(codec, StageCodec)]
    return any(p.id == pipeline_id and not p.synced for codec in codecs for p in codec.pipelines)


def new_message(view: View, row_id: str, sentences: Collection[str]) -> str | None:
    """What a row's Sync cell is to say where these belong into it; None where nothing is to be written (SPEC §5)."""
    read = view.reads[Side.TABLE].get(row_id)
    row = view.table.get(row_id) if read is None else read
    if not isinstance(row, Record) or row.message is None:
        return None  # no such row, or the table has no Sync column
    message = " ".join(sorted(sentences))
    said = text(view.messages.get(row_id, row.message)) or ""
    return None if said == (text(message) or "") else message


def retell(view: View, plan: Plan, refused: Mapping[tuple[str, Side], tuple[str, str]]) -> None:
    """Puts what is refused now, after the plan was carried out, into the Sync cells (sentence and text of the changes,
    as in `View.refused`), and takes out what was before: else they would be one pass late. The next plan says the same.
    """
    for update in plan.updates:
        key, own = (update.deal, update.target), fingerprint(update)
        sentence, kept, _ = view.refused.get(key, ("", "", True))
        before = {sentence} if kept == own else set()
        told, of = refused.get(key, ("", ""))
        now = {told} if told and (of == own or (told, of) != (sentence, kept)) else set()
        if now != before:
            _say_instead(view, plan, update.row, before, now)
    for new in plan.new_deals:  # of one that was made the next plan takes back what its row said
        key = new.row, Side.CRM
        if key in refused:
            _say_instead(view, plan, new.row, {view.refused.get(key, ("",))[0]}, {refused[key][0]})


def _say_instead(view: View, plan: Plan, row: str, before: Collection[str], now: Collection[str]) -> None:
    plan.said[row] = plan.said.get(row, _SILENT).difference(before).union(now)
    message = new_message(view, row, plan.said[row])
    if message is None:
        plan.messages.pop(row, None)
    else:
        plan.messages[row] = message


def fingerprint(update: Update) -> str:
    """The same text for the same writes to the same record."""
    return pack([str(c.index) for c in update.changes], [[c.new] for c in update.changes]) + (update.partner or "")


def stands_for(new: NewDeal) -> Update:
    """The update under which the refusal of a new deal is kept: by its row's id, as it has none of its own."""
    return Update(Side.CRM, new.row, new.row, new.title, (), new.text())


def make_plan(view: View) -> Plan:
    """What a pass would do (SPEC §§2, 5). Never raises for a record; `Plan.needs` says what must be asked first."""
    return _Planner(view).run()
