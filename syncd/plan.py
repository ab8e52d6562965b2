"""Shadow and observations in, a plan out (SPEC §§2, 5). Pure: no clock, no I/O; the same inputs give the same plan.

A plan is data, shared by preview and execution. What cannot be decided without asking a server stands in
`Plan.needs`; the caller asks, adds the answers to the view and plans again. Every record is planned by itself (SPEC
§6, P10): a plan is the sum of the parts of its links.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from syncd.judge import Change, Ground, Past, Verdict, judge, write_raw
from syncd.model import (
    ABSENT,
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
    print_of,
)
from syncd.sides import Question, ReadResult, Unread
from syncd.values import OwnerCodec, Problem, StageCodec, clipped, text

PLAUSIBLE_ID = re.compile(r"[^\s/?#%\\]{1,128}")  # anything else is not even asked for
OWN_STAMPS_KEPT = 6
UNREAD_PASSES = 3


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


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that waits, with a sentence for people. `needs_person` counts for exit code 3 (CONTRACT)."""

    trouble: Trouble
    deal: str
    row: str
    title: str
    sentence: str
    needs_person: bool


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
    lately said it does not have; `messages` is the last text written to each Sync cell; `unread` counts the passes in
    which a record's read was refused; `renamed` asks to look at the names of all stages and owners.
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


@dataclass(slots=True)
class Plan:
    """What a pass does: writes (`updates`, `new_rows`, `messages`), and what it only remembers (`links`, `forget`,
    `absent_keys`). Nothing here has happened yet."""

    updates: list[Update] = field(default_factory=list)
    new_rows: list[NewRow] = field(default_factory=list)
    messages: dict[str, str] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    absent_keys: list[str] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    rows_without_id: int = 0
    all_judged: bool = False  # every link was looked at whole: no cell can have kept an old name
    needs: Needs = Needs()

    def is_empty(self) -> bool:
        """Whether nothing would be written."""
        return not (self.updates or self.new_rows or self.messages)


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
        self.link_of_row = {link.row: link for link in view.links.values()}
        rows = {**view.table, **{k: r for k, r in self.table_reads.items() if isinstance(r, Record)}}
        for row in rows.values():
            if row.partner and self.table_reads.get(row.id) is not ABSENT:
                self.carriers[row.partner].append(row.id)

    # --- what is known of a record -------------------------------------------------------------------------------

    def row(self, row_id: str) -> ReadResult | None:
        """The newest knowledge of a row; None where the sweep lacks it and nobody has read it by id yet."""
        read = self.table_reads.get(row_id)
        return read if read is not None else self.view.table.get(row_id)

    def deal(self, deal_id: str) -> ReadResult | None:
        """The newest knowledge of a deal, likewise."""
        read = self.crm_reads.get(deal_id)
        return read if read is not None else self.view.crm.get(deal_id)

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
        for row_id, sentences in self.said.items():
            row = self.row(row_id)
            if not isinstance(row, Record) or row.message is None:
                continue  # no such row, or the table has no Sync column
            message = " ".join(sorted(sentences))
            if self.view.messages.get(row_id, text(row.message) or "") != message:
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

    def wrong_key(self, row: Record, sentence: str, deal: str = "") -> None:
        """A key that cannot be right: nothing is written for that row but this message."""
        self.say(row.id, sentence)
        self.find(Trouble.WRONG_KEY, deal or row.partner or "", row.id, sentence, True, row.title)

    def settle_row(self, link: Link) -> Link | None:
        """Which row the link has now; None where it waits or was dealt with."""
        rows = self.carriers.get(link.deal, [])
        if len(rows) > 1:
            self.twofold(link.deal, rows)
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
        return link

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
        elif isinstance(deal, Missing) or (isinstance(deal, Record) and deal.outside):
            self.plan.forget.append(link.deal)
        elif isinstance(deal, Unread):
            self.unread(link.deal, link.deal, link.row, deal.sentence, link.title)
        else:
            self.new_row(deal, again=True)

    def new_row(self, deal: Record, *, again: bool) -> None:
        """A row for a deal that has none. All fields are filled, whatever their direction."""
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
        why = f"its row was deleted in {table}; it comes back" if again else f"the deal has no row in {table} yet"
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
        if deal is None and link.state is LinkState.BOTH and not self.left_scope(link):
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
            self.gone(link, LinkState.DEAL_GONE, "Deleted in HighLevel", Trouble.DEAL_GONE)
        else:
            self.gone(link, LinkState.OUTSIDE, "This deal left the synced pipelines.", Trouble.OUTSIDE)
        return None

    def left_scope(self, link: Link) -> bool:
        """Whether the deal was last seen in a pipeline that the configuration no longer names: a change of scope."""
        agreed = link.agreed().get("stage")
        pipeline_id = ((agreed.value if agreed else None) or "").partition(":")[0]
        codecs = [codec for codec in self.view.ground.codecs if isinstance(codec, StageCodec)]
        return any(p.id == pipeline_id and not p.synced for codec in codecs for p in codec.pipelines)

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
        same_row = print_of(pack(self.names, row.raw)) == link.shadow.table_print and not row.lacks
        swept = link.deal not in self.crm_reads
        stale = swept and deal.stamp is not None and link.seen is not None and deal.stamp < link.seen
        if stale and (not same_row or view.now - link.seen_at > view.read_lag_seconds):
            self.need_crm.add(link.deal)
            return
        if swept and deal.lacks and (not same_row or link.seen is None or (deal.stamp or 0.0) > link.seen):
            self.need_crm.add(link.deal)  # search does not tell every field of it; by its id it is told
            return
        if not stale:
            link = self.seen(link, deal)
        back = stored.state is not LinkState.BOTH  # stages may have been renamed while it was away
        quiet = same_row and not view.renamed and not back and row.partner == link.deal
        if quiet and (stale or (print_of(pack(self.names, deal.raw)) == link.shadow.crm_print and not deal.lacks)):
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
        known = link.deal in view.links  # a new link makes up for none that could not be looked at
        self.judged += known and not stale and not deal.lacks and not row.lacks
        self.follow(link, verdicts, agreed, deal, row)

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

    def follow(self, link: Link, verdicts: list[Verdict], agreed: dict[str, Agreed], deal: Record, row: Record) -> None:
        """Turns verdicts into updates, a new shadow, questions and the row's message."""
        news = {self.names[v.index]: v.agreed for v in verdicts if v.agreed is not None}
        shadow = packed_shadow({**agreed, **news}, self.names)
        old = link.shadow
        if news or (shadow.crm_print, shadow.table_print) != (old.crm_print, old.table_print):
            link = replace(link, shadow=shadow)
        self.remember(link)
        self.questions.update(v.question for v in verdicts if v.question is not None)
        sentences = []
        for verdict in verdicts:
            codec = self.view.ground.codecs[verdict.index]
            if isinstance(codec, OwnerCodec) and isinstance(verdict.crm, str) and not codec.knows(verdict.crm):
                self.plan.unlisted.add(verdict.crm)
            if "does not list" in verdict.why:
                self.vocabulary = True
            if verdict.question is not None:
                self.find(Trouble.UNDATED, link.deal, row.id, verdict.why, False, link.title)
            if verdict.problem:
                sentences.append(verdict.problem)
                trouble = Trouble.UNREADABLE_CELL if verdict.needs_person else Trouble.ONE_WAY
                self.find(trouble, link.deal, row.id, verdict.problem, verdict.needs_person, link.title)
        for target in (Side.CRM, Side.TABLE):
            changes = tuple(v.change for v in verdicts if v.change is not None and v.change.target is target)
            partner = link.deal if target is Side.TABLE and row.partner is None else None
            if changes or partner:
                sentence = self.add(Update(target, link.deal, row.id, link.title, changes, partner))
                sentences += [sentence] if sentence else []
        self.say(row.id, " ".join(sentences))

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
        if not isinstance(row, Record) or (owner is not None and owner.deal not in self.plan.forget):
            return  # the row belongs to another deal, which says so
        deal = self.deal(key)
        if deal is None and not PLAUSIBLE_ID.fullmatch(key):
            self.wrong_key(row, f"“{clipped(key)}” is no id of a deal. Clear GHL ID, or put the right one in.")
        elif deal is None and key not in self.view.unknown_keys:
            self.need_crm.add(key)
        elif deal is None or isinstance(deal, Missing):
            self.wrong_key(row, "HighLevel has no deal with this GHL ID. Clear it, or put the right one in.")
            if deal is not None:  # asked just now; what was known before keeps its age and is asked again in time
                self.plan.absent_keys.append(key)
        elif isinstance(deal, Unread):
            self.unread(key, key, row.id, deal.sentence, row.title)
        elif deal.outside:
            self.gone(Link(key, row.id, title=deal.title), LinkState.OUTSIDE,
                      "This deal is in a pipeline that is not synced.", Trouble.OUTSIDE)  # fmt: skip
        else:
            link = Link(key, row.id, title=deal.title)
            self.pair(link, link, deal, row)

    def run(self) -> Plan:
        """Plans every link, every deal without one, and every row with a key but no link."""
        view = self.view
        for link in view.links.values():
            self.linked(link)
        for key, rows in self.carriers.items():
            if key not in view.links and key not in view.busy:
                self.unlinked_key(key, rows)
        for deal in view.crm.values():
            if deal.id in view.links or deal.id in self.carriers or deal.id in view.busy or deal.outside:
                continue
            self.new_row(deal, again=False)
        for row in view.table.values():
            if row.partner is None and row.id not in self.link_of_row:
                self.plan.rows_without_id += self.filled(row)
                if view.messages.get(row.id):
                    self.say(row.id, "")  # what was said of its former id no longer holds
        self.write_messages()
        self.plan.all_judged = self.judged >= sum(link.state is LinkState.BOTH for link in view.links.values())
        self.plan.updates.sort(key=lambda update: (update.target, update.deal))
        self.plan.needs = Needs(
            frozenset(self.need_crm), frozenset(self.need_table), frozenset(self.questions), self.vocabulary
        )
        return self.plan

    def filled(self, row: Record) -> bool:
        """Whether a row is not wholly blank (a blank one is ignored, SPEC §5)."""
        return any(not codec.is_blank(raw) for codec, raw in zip(self.view.ground.codecs, row.raw, strict=True))


def fingerprint(update: Update) -> str:
    """The same text for the same writes to the same record."""
    return pack([str(c.index) for c in update.changes], [[c.new] for c in update.changes]) + (update.partner or "")


def make_plan(view: View) -> Plan:
    """What a pass would do (SPEC §§2, 5). Never raises for a record; `Plan.needs` says what must be asked first."""
    return _Planner(view).run()
