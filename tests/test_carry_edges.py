"""Passes in awkward situations, with everything that they send, store and remember (found by mutants, tests/mutation).

Each story begins with two agreed links. What stands above it is all that one pass (or as many as it runs) does: reads
by id, intents with what they keep, what is sent, how each write ended, which links, refusals and messages differ from
before, and the tally. Times are in seconds since the story began.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from syncd.model import Raw, Side
from syncd.policy import DealDeleted, Policy, RowDeleted
from syncd.reconcile import PassResult
from syncd.sides import Lost, NewRecord, Patch, ReadResult, Refused, Stage, WriteResult, Written
from syncd.store import Write
from tests.memory import FIELD_NAMES, NO_LIMITS, SALES, SERVICE, VOCABULARY, MemoryCrm, MemoryTable, World
from tests.test_carry import A, B, C, D, after_looking, when

NAME, STAGE, STATUS, VALUE, OWNER, SOURCE = range(6)
Refuse = Callable[[str, str, Mapping[str, Raw]], Refused | None]


class Diary:
    """Writes down what a world goes through from now on."""

    def __init__(self, world: World) -> None:
        self.world, self.begun = world, world.clock.now
        self.lines: list[str] = []
        self.known = {write.id: write.state for write in world.store.history()}
        self.first = max(self.known, default=0)
        self.links, self.refused, self.messages = self._links(), world.store.refused(), world.store.messages()
        world.hooks.insert(0, self.step)
        world.pair.progress = self.progress
        for side in (world.crm, world.table):
            self._watch(side)

    def _watch(self, side: MemoryCrm | MemoryTable) -> None:
        """Writes down which fields a read by id needs; most of those here need none."""
        read = side.read

        def noted(ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
            if needed is None or needed:
                names = "all" if needed is None else ", ".join(FIELD_NAMES[index] for index in sorted(needed))
                self.lines.append(f"needing {names}:")
            return read(ids, needed=needed)

        side.read = noted  # type: ignore[method-assign]

    def progress(self, what: str, done: int, total: int) -> None:
        """Notes what people see meanwhile."""
        if what.startswith(("writing", "making")):
            self.lines.append(f"{what} {done} of {total}")

    def later(self, stamp: float | None) -> str:
        """Seconds since the story began."""
        return "-" if stamp is None else "0" if not stamp else f"{stamp - self.begun:.2f}"

    def step(self, who: str, verb: str, phase: str, what: object) -> None:
        """Notes what is sent, and the intents that stand behind it."""
        if phase != "before" or who == "store" or verb in ("schema", "sweep"):
            return
        if verb in ("write", "create", "delete"):
            self._intents()
        if verb == "write" and isinstance(what, list):
            self.lines += [f"send {who} {self._patch(patch)}" for patch in what]
        elif verb == "create" and isinstance(what, list):
            self.lines += [f"make {who} {self._new(new)}" for new in what]
        elif verb == "edited" and isinstance(what, list):
            self.lines += [f"ask {one.id} {FIELD_NAMES[one.index]} {self.later(one.instant)}" for one in what]
        else:
            self.lines.append(f"{verb} {who} {what}")

    def _patch(self, patch: Patch) -> str:
        changes = {FIELD_NAMES[index]: raw for index, raw in patch.changes.items()}
        return f"{patch.id} {changes} message {patch.message!r} key {patch.partner}"

    def _new(self, new: NewRecord) -> str:
        return (
            f"{new.partner} { {FIELD_NAMES[index]: raw for index, raw in new.values.items()} } message {new.message!r}"
        )

    def _intents(self) -> None:
        for write in self.world.store.open_writes():
            if write.id not in self.known:
                self.known[write.id] = "open"
                self.lines += self._intent(write)

    def _intent(self, write: Write) -> list[str]:
        lines = [
            f"intent {write.id - self.first} pass {write.pass_id} at {self.later(write.at)} {write.action} "
            f"{write.side} {write.deal or '-'} {write.row or '-'} “{write.title}” before {self._before(write)}"
        ]
        for one in write.changes:
            lines.append(
                f"  {one.field} {one.kind}: {one.old} -> {one.new} ({one.shown_old} -> {one.shown_new}) {one.why}; "
                f"target {one.target_raw} at {self.later(one.target_clock)}, source {one.source_raw}"
            )
        return lines

    def _before(self, write: Write) -> str:
        held = json.loads(write.before)
        assert list(held) in ([], list(FIELD_NAMES))
        return " | ".join(str(raw) for raw in held.values()) or "-"

    def _links(self) -> dict[str, list[str]]:
        links = {}
        for deal, link in self.world.store.links().items():
            stamps = f"seen {self.later(link.seen)} at {self.later(link.seen_at)} foreign {self.later(link.foreign)}"
            own = " ".join(self.later(stamp) for stamp in link.own)
            links[deal] = [f"link {deal} {link.row} {link.state} “{link.title}” {stamps} own {own or '-'}"]
            for name in FIELD_NAMES:
                one = link.agreed().get(name)
                held = f"{one.value} “{one.label}”, CRM {one.crm}, table {one.table}" if one else "nothing"
                links[deal].append(f"  agreed {name}: {held}")
            shadow = self.world.store.shadow(deal)
            order = [list(json.loads(text)) for text in (shadow.crm_raw, shadow.table_raw)]
            assert order == [[name for name in FIELD_NAMES if name in link.agreed()]] * 2
        return links

    def ended(self, *results: PassResult) -> list[str]:
        """All of it."""
        store = self.world.store
        self._intents()
        for write in reversed(store.history()):
            if self.known.get(write.id) != write.state:
                note = f": {write.note}" if write.note else ""
                new = f" {write.row}" if write.action == "create" else ""
                self.lines.append(f"{write.id - self.first} {write.state} at {self.later(write.ended_at)}{new}{note}")
        for deal, lines in self._links().items():
            before = self.links.get(deal, [""] * len(lines))
            self.lines += [line for line, old in zip(lines, before, strict=True) if line != old]
        self.lines += [f"forgotten {deal}" for deal in self.links if deal not in store.links()]
        for one in store.refused():
            if one not in self.refused:
                self.lines.append(
                    f"refused {one.deal} {one.side} “{one.title}” tries {one.tries} since {self.later(one.since)} next "
                    f"{self.later(one.next_try)} {one.fingerprint}: {one.sentence}"
                )
        messages = store.messages()
        self.lines += [f"said {row}: {text}" for row, text in messages.items() if self.messages.get(row) != text]
        self.lines += [f"not known what was said {row}" for row in self.messages if row not in messages]
        for result in results:
            tally = result.tally
            done = [
                *(f"{name} {[count[side] for side in Side]}" for name, count in (("created", tally.created),
                  ("updated", tally.updated), ("deleted", tally.deleted)) if any(count.values())),
                *(f"{name} {count}" for name, count in (("conflicts", tally.conflicts), ("waiting", tally.waiting))
                  if count),
                *(f"refusal {one}" for one in tally.refusals), *(f"suspended {one}" for one in tally.suspended),
            ]  # fmt: skip
            self.lines.append(f"code {result.code} {result.error}".strip() + "".join(f"; {one}" for one in done))
        return [self._short(line) for line in self.lines]

    def _short(self, line: str) -> str:
        """The line with short names for the records of the story."""
        for long, short in ((A, "A"), (B, "B"), (C, "C"), (D, "D"), ("rec0001", "rowA"), ("rec0002", "rowB")):
            line = line.replace(long, short)
        return line


def refusing(
    sentence: str, *names: str, fields: tuple[int, ...] = (), everyone: bool = False, only: str = ""
) -> Refuse:
    """A server that refuses writes of these fields (none: every one), or of one record."""

    def refuse(_verb: str, id: str, changes: Mapping[str, Raw]) -> Refused | None:
        if (names and not changes.keys() & set(names)) or (only and id != only):
            return None
        return Refused(sentence.replace("ID", id), frozenset(fields), everyone)

    return refuse


def die(world: World) -> None:
    """Nobody answers any more."""
    world.table.faults.down_on = frozenset({"write"})


Story = Callable[[World], None]
STORIES: list[tuple[Story, tuple[str, ...]]] = []


def whole(*diary: str) -> Callable[[Story], Story]:
    """What a pass makes of a story, whole."""

    def noted(story: Story) -> Story:
        STORIES.append((story, diary))
        return story

    return noted


# --- updates ---------------------------------------------------------------------------------------------------------


@whole(
    "needing stage, status, value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  stage edit: p1:s1 -> p1:s2 (Sales / New -> Sales / Qualified) changed in Airtable, unchanged in "
    "HighLevel; target ['p1', 's1'] at -130.09, source ['Sales', 'Qualified']",
    "  status edit: open -> won (open -> won) changed in Airtable, unchanged in HighLevel; target open at "
    "-130.09, source won",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'stage': ['p1', 's2'], 'status': 'won', 'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 60.07 at 60.07 foreign -130.09 own 60.07",
    "  agreed stage: p1:s2 “Sales / Qualified”, CRM ['p1', 's2'], table ['Sales', 'Qualified']",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [1, 0]",
)
def row_edited(world: World) -> None:
    world.edit_row(A, value=5, status="won", stage="Qualified")


@whole(
    "needing stage:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  stage edit: p1:s1 -> p2:t2 (Sales / New -> Service / Done) changed in Airtable, unchanged in HighLevel; "
    "target ['p1', 's1'] at -130.09, source ['Service', 'Done']",
    "send crm A {'stage': ['p2', 't2']} message None key None",
    "writing to HighLevel 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 60.07 at 60.07 foreign -130.09 own 60.07",
    "  agreed stage: p2:t2 “Service / Done”, CRM ['p2', 't2'], table ['Service', 'Done']",
    "code 0; updated [1, 0]",
)
def pipeline_and_stage_picked(world: World) -> None:
    world.edit_row(A, pipeline="Service", stage="Done")


@whole(
    "needing name, stage, value, owner:",
    "read crm ['A']",
    "read crm ['B']",
    "read table ['rowA', 'rowB']",
    "intent 1 pass 3 at 60.07 update table A rowA “Roof” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  name edit: Deal A -> Roof (Deal A -> Roof) changed in HighLevel, unchanged in Airtable; target Deal A at "
    "-, source Roof",
    "  value edit: 100 -> 7.25 (100 -> 7.25) changed in HighLevel, unchanged in Airtable; target 100 at -, source 7.25",
    "  owner edit: u1 -> None (Ann -> ) changed in HighLevel, unchanged in Airtable; target Ann at -, source None",
    "intent 2 pass 3 at 60.07 update table B rowB “Deal B” before Deal B | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage edit: p1:s1 -> p1:s2 (Sales / New -> Sales / Qualified) changed in HighLevel, unchanged in "
    "Airtable; target ['Sales', 'New'] at -, source ['p1', 's2']",
    "send table rowA {'name': 'Roof', 'value': 7.25, 'owner': None} message None key None",
    "send table rowB {'stage': [None, 'Qualified']} message None key None",
    "writing to Airtable 2 of 2",
    "1 done at 60.08",
    "2 done at 60.08",
    "link A rowA both “Roof” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed name: Roof “Roof”, CRM Roof, table Roof",
    "  agreed value: 7.25 “7.25”, CRM 7.25, table 7.25",
    "  agreed owner: None “”, CRM None, table None",
    "link B rowB both “Deal B” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed stage: p1:s2 “Sales / Qualified”, CRM ['p1', 's2'], table ['Sales', 'Qualified']",
    "code 0; updated [0, 2]",
)
def deal_edited(world: World) -> None:
    world.crm.put(A, name="Roof", owner=None, value=7.25)
    world.crm.put(B, stage=["p1", "s2"])


@whole(
    "needing stage:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage edit: p1:s1 -> p2:t1 (Sales / New -> Service / New) changed in HighLevel, unchanged in Airtable; "
    "target ['Sales', 'New'] at -, source ['p2', 't1']",
    "send table rowA {'stage': ['Service', None]} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed stage: p2:t1 “Service / New”, CRM ['p2', 't1'], table ['Service', 'New']",
    "code 0; updated [0, 1]",
)
def deal_moved_to_another_pipeline(world: World) -> None:
    world.crm.put(A, stage=["p2", "t1"])


@whole(
    "ask rowA status 2.00",
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.07 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | won | 100 | u1 | web",
    "  value edit: 100 -> 3 (100 -> 3) changed in Airtable, unchanged in HighLevel; target 100 at 0.00, source 3",
    "send crm A {'value': 3} message None key None",
    "writing to HighLevel 1 of 1",
    "needing status:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 2 pass 3 at 60.10 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | lost | 3 | Ann | web",
    "  status conflict: lost -> won (lost -> won) both changed; the edit in Airtable is not later for certain, "
    "and HighLevel wins ties; target lost at -, source won",
    "send table rowA {'status': 'won'} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.08",
    "2 done at 60.11",
    "link A rowA both “Deal A” seen 60.08 at 60.08 foreign 0.00 own 60.08",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed value: 3 “3”, CRM 3, table 3",
    "code 0; updated [1, 1]; conflicts 1",
)
def both_edited_and_the_deal_later(world: World) -> None:
    world.edit_row(A, status="lost", value=3)
    world.clock.advance(20)
    world.crm.put(A, status="won")


@whole(
    "ask rowA status -18.00",
    "needing name, status:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.07 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | won | 3 | u1 | web",
    "  name edit: Deal A -> Roof (Deal A -> Roof) changed in Airtable, unchanged in HighLevel; target Deal A at "
    "-20.00, source Roof",
    "  status conflict: won -> lost (won -> lost) both changed; the edit in Airtable is the later one; target "
    "won at -20.00, source lost",
    "send crm A {'name': 'Roof', 'status': 'lost'} message None key None",
    "writing to HighLevel 1 of 1",
    "needing value:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 2 pass 3 at 60.10 update table A rowA “Deal A” before Roof | ['Sales', 'New'] | lost | 100 | Ann | web",
    "  value edit: 100 -> 3 (100 -> 3) changed in HighLevel, unchanged in Airtable; target 100 at -, source 3",
    "send table rowA {'value': 3} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.08",
    "2 done at 60.11",
    "link A rowA both “Deal A” seen 60.08 at 60.08 foreign -20.00 own 60.08",
    "  agreed name: Roof “Roof”, CRM Roof, table Roof",
    "  agreed status: lost “lost”, CRM lost, table lost",
    "  agreed value: 3 “3”, CRM 3, table 3",
    "code 0; updated [1, 1]; conflicts 1",
)
def both_edited_and_the_row_later(world: World) -> None:
    world.crm.put(A, status="won", value=3)
    world.clock.advance(20)
    world.edit_row(A, status="lost", name="Roof")


@whole(
    "needing stage, status:",
    "read crm ['A']",
    "read table ['rowA', 'rowB']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage rename: p1:s1 -> p1:s1 (Sales / Fresh -> Sales / Fresh) “Sales / New” is now called “Sales / Fresh” "
    "in HighLevel; target ['Sales', 'New'] at -, source ['p1', 's1']",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "intent 2 pass 3 at 60.06 update table B rowB “Deal B” before Deal B | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage rename: p1:s1 -> p1:s1 (Sales / Fresh -> Sales / Fresh) “Sales / New” is now called “Sales / Fresh” "
    "in HighLevel; target ['Sales', 'New'] at -, source ['p1', 's1']",
    "send table rowA {'stage': [None, 'Fresh'], 'status': 'won'} message None key None",
    "send table rowB {'stage': [None, 'Fresh']} message None key None",
    "writing to Airtable 2 of 2",
    "1 done at 60.07",
    "2 done at 60.07",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed stage: p1:s1 “Sales / Fresh”, CRM ['p1', 's1'], table ['Sales', 'Fresh']",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed stage: p1:s1 “Sales / Fresh”, CRM ['p1', 's1'], table ['Sales', 'Fresh']",
    "code 0; updated [0, 2]",
)
def stage_renamed(world: World) -> None:
    fresh = replace(SALES, stages=(Stage("s1", "Fresh"), *SALES.stages[1:]))
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(fresh, SERVICE))
    world.crm.put(A, status="won")


@whole(
    "needing stage, status:",
    "read crm ['A']",
    "read table ['rowA', 'rowB']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage rename: p1:s1 -> p1:s1 (Sales / Fresh -> Sales / Fresh) “Sales / New” is now called “Sales / Fresh” "
    "in HighLevel; target ['Sales', 'New'] at -, source ['p1', 's1']",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "intent 2 pass 3 at 60.06 update table B rowB “Deal B” before Deal B | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage rename: p1:s1 -> p1:s1 (Sales / Fresh -> Sales / Fresh) “Sales / New” is now called “Sales / Fresh” "
    "in HighLevel; target ['Sales', 'New'] at -, source ['p1', 's1']",
    "send table rowA {'stage': [None, 'Fresh'], 'status': 'won'} message None key None",
    "send table rowB {'stage': [None, 'Fresh']} message None key None",
    "writing to Airtable 2 of 2",
    "1 refused at 60.07: No.",
    "2 done at 60.07",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed stage: p1:s1 “Sales / Fresh”, CRM ['p1', 's1'], table ['Sales', 'Fresh']",
    'refused A table “Deal A” tries 1 since 60.07 next 120.07 {"1":["p1:s1"],"2":["won"]}: No.',
    "code 3; updated [0, 1]; refusal “Deal A”: No.",
)
def stage_renamed_while_a_row_is_locked(world: World) -> None:
    stage_renamed(world)
    world.table.faults.refuse = refusing("No.", only=world.table.row_of(A))


@whole(
    "read table ['rowA']",
    "intent 1 pass 3 at 60.05 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  id fill: None -> A ( -> A) the row had no GHL ID; target None at -, source None",
    "send table rowA {} message None key A",
    "writing to Airtable 1 of 1",
    "1 done at 60.06",
    "code 0",
)
def key_cleared(world: World) -> None:
    world.table.put(world.table.row_of(A), "")


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | won | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at 0.00, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "needing status:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 2 pass 3 at 60.09 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 5 | Ann | web",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "  id fill: None -> A ( -> A) the row had no GHL ID; target None at -, source None",
    "send table rowA {'status': 'won'} message None key A",
    "writing to Airtable 1 of 1",
    "1 done at 60.07",
    "2 done at 60.10",
    "link A rowA both “Deal A” seen 60.07 at 60.07 foreign 0.00 own 60.07",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [1, 1]",
)
def key_cleared_and_both_edited(world: World) -> None:
    key = world.table.row_of(A)
    world.edit_row(A, value=5)
    world.table.put(key, "")
    world.crm.put(A, status="won")


@whole(
    "needing status:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "send table rowA {'status': 'won'} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed status: won “won”, CRM won, table won",
    "code 0; updated [0, 1]",
)
def key_put_back_by_somebody_meanwhile(world: World) -> None:
    row = world.table.row_of(A)
    world.table.put(row, "")
    world.crm.put(A, status="won")
    after_looking(world, lambda: world.table.put(row, A))


@whole(
    "needing name, status:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before None | ['Sales', 'New'] | None | 100 | Ann | web",
    "  name fill: None -> Deal A ( -> Deal A) a blank name is filled again from HighLevel; target None at -, "
    "source Deal A",
    "  status fill: None -> open ( -> open) a blank status is filled again from HighLevel; target None at -, "
    "source open",
    "send table rowA {'name': 'Deal A', 'status': 'open'} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.07",
    "code 0; updated [0, 1]",
)
def name_blanked(world: World) -> None:
    world.edit_row(A, name="", status=None)


@whole(
    "needing stage:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | [None, 'New'] | open | 100 | Ann | web",
    "  stage fill: None -> p1:s1 ( -> Sales / New) a blank stage is filled again from HighLevel; target [None, "
    "'New'] at -, source ['p1', 's1']",
    "send table rowA {'stage': ['Sales', None]} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.07",
    "code 0; updated [0, 1]",
)
def pipeline_cell_blanked(world: World) -> None:
    world.edit_row(A, pipeline=None)


# --- somebody is faster ----------------------------------------------------------------------------------------------


@whole(
    "needing status, value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  status edit: open -> won (open -> won) changed in Airtable, unchanged in HighLevel; target open at "
    "-130.09, source won",
    "send crm A {'status': 'won'} message None key None",
    "writing to HighLevel 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 60.07 at 60.07 foreign -130.09 own 60.07",
    "  agreed status: won “won”, CRM won, table won",
    "code 0; updated [1, 0]; waiting 1",
)
def source_changed_meanwhile(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    after_looking(world, lambda: world.edit_row(A, value=6))


@whole(
    "needing status, value:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 6 | Ann | web",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "send table rowA {'status': 'won'} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed status: won “won”, CRM won, table won",
    "code 0; updated [0, 1]; waiting 1",
)
def target_changed_meanwhile(world: World) -> None:
    world.crm.put(A, value=5, status="won")
    after_looking(world, lambda: world.edit_row(A, value=6))


@whole(
    "needing status, value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 5 | u1 | web",
    "  status edit: open -> won (open -> won) changed in Airtable, unchanged in HighLevel; target open at "
    "-130.09, source won",
    "send crm A {'status': 'won'} message None key None",
    "writing to HighLevel 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 60.07 at 60.07 foreign 60.04 own 60.07",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [1, 0]",
)
def target_holds_it_already(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    after_looking(world, lambda: world.crm.put(A, value=5))


@whole(
    "needing value:",
    "read crm ['A']",
    "read table ['rowA']",
    "writing to Airtable 1 of 1",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed value: 5 “5”, CRM 5, table 5.00",
    "code 0",
)
def row_holds_it_already(world: World) -> None:
    world.crm.put(A, value=5)
    after_looking(world, lambda: world.edit_row(A, value="5.00"))


@whole(
    "needing value:",
    "read crm ['A']",
    "read table ['rowA']",
    "writing to Airtable 1 of 1",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "code 0; waiting 1",
)
def row_was_given_another_key(world: World) -> None:
    world.crm.put(A, value=5)
    row = world.table.row_of(A)
    after_looking(world, lambda: world.table.put(row, "otherDeal99"))


@whole(
    "needing value:",
    "read table ['rowA', 'rowB']",
    "read crm ['A']",
    "writing to HighLevel 1 of 2",
    "read crm ['B']",
    "intent 1 pass 3 at 60.07 update crm B rowB “Deal B” before Deal B | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 6 (100 -> 6) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 6",
    "send crm B {'value': 6} message None key None",
    "writing to HighLevel 2 of 2",
    "1 done at 60.08",
    "link B rowB both “Deal B” seen 60.08 at 60.08 foreign -130.09 own 60.08",
    "  agreed value: 6 “6”, CRM 6, table 6",
    "code 0; updated [1, 0]; waiting 1",
)
def deal_was_deleted_meanwhile(world: World) -> None:
    world.edit_row(A, value=5)
    world.edit_row(B, value=6)
    after_looking(world, lambda: world.crm.drop(A))


@whole(
    "ask rowA status -18.00",
    "needing status:",
    "read table ['rowA']",
    "read crm ['A']",
    "writing to HighLevel 1 of 1",
    "link A rowA both “Deal A” seen 61.04 at 61.07 foreign 61.04 own -",
    "code 0; waiting 1",
)
def loser_was_edited_again(world: World) -> None:
    """The same value was typed again between the plan and the write."""
    world.crm.put(A, status="won")
    world.clock.advance(20)
    world.edit_row(A, status="lost")

    def again() -> None:
        world.clock.advance(1)
        world.crm.put(A, status="open")
        world.crm.put(A, status="won")

    after_looking(world, again)


@whole(
    "needing stage, status:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "send table rowA {'status': 'won'} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed status: won “won”, CRM won, table won",
    "code 0; updated [0, 1]",
)
def gap_filled_meanwhile(world: World) -> None:
    world.edit_row(A, pipeline=None)
    world.crm.put(A, status="won")
    when(world, "table", "read", "before", lambda: world.edit_row(A, pipeline="Sales"))


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 60.07 at 60.07 foreign -130.09 own 60.07",
    "  agreed value: 5 “5”, CRM 5, table 5.00",
    "code 0; updated [1, 0]",
)
def source_written_otherwise_meanwhile(world: World) -> None:
    world.edit_row(A, value=5)
    after_looking(world, lambda: world.edit_row(A, value="5.00"))


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "writing to HighLevel 1 of 1",
    "link A rowA both “Deal A” seen 60.04 at 60.06 foreign 60.04 own -",
    "  agreed value: 5 “5”, CRM 5, table 5.00",
    "code 0",
)
def source_and_target_hold_it_in_another_form(world: World) -> None:
    world.edit_row(A, value=5)

    def both() -> None:
        world.edit_row(A, value="5.00")
        world.crm.put(A, value=5)

    after_looking(world, both)


@whole(
    "needing stage:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  stage edit: p1:s1 -> p1:s2 (Sales / New -> Sales / Qualified) changed in Airtable, unchanged in "
    "HighLevel; target ['p1', 's1'] at -130.09, source [None, 'Qualified']",
    "send crm A {'stage': ['p1', 's2']} message None key None",
    "writing to HighLevel 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 60.07 at 60.07 foreign -130.09 own 60.07",
    "  agreed stage: p1:s2 “Sales / Qualified”, CRM ['p1', 's2'], table False",
    "code 0; updated [1, 0]",
)
def stage_without_pipeline_written_otherwise_meanwhile(world: World) -> None:
    world.edit_row(A, pipeline=None, stage="Qualified")
    after_looking(world, lambda: world.edit_row(A, stage="QUALIFIED "))


@whole(
    "needing stage:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | [None, 'NEW'] | open | 100 | Ann | web",
    "  stage edit: p1:s1 -> p1:s2 (Sales / New -> Sales / Qualified) changed in HighLevel, unchanged in "
    "Airtable; target [None, 'New'] at -, source ['p1', 's2']",
    "send table rowA {'stage': ['Sales', 'Qualified']} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed stage: p1:s2 “Sales / Qualified”, CRM ['p1', 's2'], table ['Sales', 'Qualified']",
    "code 0; updated [0, 1]",
)
def old_stage_without_pipeline_written_otherwise_meanwhile(world: World) -> None:
    world.crm.put(A, stage=["p1", "s2"])
    world.edit_row(A, pipeline=None)
    after_looking(world, lambda: world.edit_row(A, stage="NEW"))


@whole(
    "needing stage:",
    "read crm ['A']",
    "read table ['rowA']",
    "writing to Airtable 1 of 1",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed stage: p1:s2 “Sales / Qualified”, CRM ['p1', 's2'], table False",
    "code 0",
)
def new_stage_without_pipeline_stands_there_already(world: World) -> None:
    world.crm.put(A, stage=["p1", "s2"])
    world.edit_row(A, pipeline=None)
    after_looking(world, lambda: world.edit_row(A, stage="QUALIFIED"))


@whole(
    "needing stage:",
    "read table ['rowA']",
    "read crm ['A']",
    "writing to HighLevel 1 of 1",
    "link A rowA both “Deal A” seen 60.04 at 60.06 foreign 60.04 own -",
    "  agreed stage: p1:s2 “Sales / Qualified”, CRM ['p1', 's2'], table ['Sales', 'Qualified']",
    "code 0",
)
def deal_is_in_that_stage_already(world: World) -> None:
    world.edit_row(A, stage="Qualified")
    after_looking(world, lambda: world.crm.put(A, stage=["p1", "s2"]))


@whole(
    "needing stage, status:",
    "read crm ['A']",
    "read table ['rowA', 'rowB']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'Fresh'] | open | 100 | Ann | web",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "intent 2 pass 3 at 60.06 update table B rowB “Deal B” before Deal B | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage rename: p1:s1 -> p1:s1 (Sales / Fresh -> Sales / Fresh) “Sales / New” is now called “Sales / Fresh” "
    "in HighLevel; target ['Sales', 'New'] at -, source ['p1', 's1']",
    "send table rowA {'status': 'won'} message None key None",
    "send table rowB {'stage': [None, 'Fresh']} message None key None",
    "writing to Airtable 2 of 2",
    "1 done at 60.07",
    "2 done at 60.07",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed stage: p1:s1 “Sales / Fresh”, CRM ['p1', 's1'], table ['Sales', 'Fresh']",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed stage: p1:s1 “Sales / Fresh”, CRM ['p1', 's1'], table ['Sales', 'Fresh']",
    "code 0; updated [0, 2]",
)
def new_name_of_a_stage_stands_there_already(world: World) -> None:
    stage_renamed(world)
    after_looking(world, lambda: world.edit_row(A, stage="Fresh"))


@whole(
    "needing value:",
    "read table ['rowA', 'rowB']",
    "read crm ['A']",
    "writing to HighLevel 1 of 2",
    "read crm ['B']",
    "writing to HighLevel 2 of 2",
    "code 0; waiting 2",
)
def two_deals_were_deleted_meanwhile(world: World) -> None:
    world.edit_row(A, value=5)
    world.edit_row(B, value=6)

    def both() -> None:
        world.crm.drop(A)
        world.crm.drop(B)

    after_looking(world, both)


@whole(
    "needing value:",
    "read crm ['A']",
    "read crm ['B']",
    "read table ['rowA', 'rowB']",
    "writing to Airtable 2 of 2",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "link B rowB both “Deal B” seen 0.00 at 60.04 foreign 0.00 own -",
    "code 0; waiting 2",
)
def two_rows_were_given_other_keys(world: World) -> None:
    rows = [world.table.row_of(deal) for deal in (A, B)]
    for deal in (A, B):
        world.crm.put(deal, value=5)

    def both() -> None:
        for row in rows:
            world.table.put(row, "otherDeal99")

    after_looking(world, both)


@whole(
    "needing source:",
    "read crm ['C']",
    "read table ['row3']",
    "intent 1 pass 3 at 60.06 update table C row3 “Deal C” before Deal C | ['Sales', 'New'] | open | 100 | Ann | None",
    "  source edit: None -> web ( -> web) nothing was agreed on yet; HighLevel gives this column; target None at "
    "-, source web",
    "send table row3 {'source': 'web'} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.07",
    "link C row3 both “Deal C” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed name: Deal C “Deal C”, CRM Deal C, table Deal C",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 100 “100”, CRM 100, table 100",
    "  agreed owner: u1 “Ann”, CRM u1, table Ann",
    "  agreed source: web “web”, CRM web, table web",
    "code 0; updated [0, 1]",
)
def row_gets_the_key_of_a_deal(world: World) -> None:
    """Both are new: nothing was agreed on."""
    world.deal(C)
    world.table.put("row3", C, name=f"Deal {C}", pipeline="Sales", stage="New", status="open", value=100, owner="Ann")


# --- lost answers ----------------------------------------------------------------------------------------------------


@whole(
    "needing status, value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  status edit: open -> won (open -> won) changed in Airtable, unchanged in HighLevel; target open at "
    "-130.09, source won",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'status': 'won', 'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "read crm ['A']",
    "1 not_done at 60.08",
    "code 0",
)
def lost_before_the_deal_got_it(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    world.crm.faults.lost = ["before"]


@whole(
    "needing status, value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  status edit: open -> won (open -> won) changed in Airtable, unchanged in HighLevel; target open at "
    "-130.09, source won",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'status': 'won', 'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "read crm ['A']",
    "1 done at 60.08",
    "link A rowA both “Deal A” seen 60.07 at 60.08 foreign -130.09 own 60.07",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [1, 0]",
)
def lost_after_the_deal_got_it(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    world.crm.faults.lost = ["after"]


@whole(
    "needing status, value:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "send table rowA {'status': 'won', 'value': 5} message None key None",
    "writing to Airtable 1 of 1",
    "read table ['rowA']",
    "ask rowA status 60.06",
    "ask rowA value 60.06",
    "1 not_done at 60.10",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "code 0",
)
def lost_before_the_row_got_it(world: World) -> None:
    world.crm.put(A, value=5, status="won")
    world.table.faults.lost = ["before"]


@whole(
    "needing status, value:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "send table rowA {'status': 'won', 'value': 5} message None key None",
    "writing to Airtable 1 of 1",
    "read table ['rowA']",
    "1 done at 60.08",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [0, 1]",
)
def lost_after_the_row_got_it(world: World) -> None:
    world.crm.put(A, value=5, status="won")
    world.table.faults.lost = ["after"]


@whole(
    "needing status, value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  status edit: open -> won (open -> won) changed in Airtable, unchanged in HighLevel; target open at "
    "-130.09, source won",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'status': 'won', 'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "read crm ['A']",
    "1 taken at 60.08: No answer came. The record was changed since, so this counts as written, and what it "
    "holds now as a later edit.",
    "link A rowA both “Deal A” seen 60.07 at 60.08 foreign -130.09 own 60.07",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [1, 0]",
)
def lost_and_the_deal_was_edited(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    world.crm.faults.lost = ["after"]
    when(world, "crm", "write", "after", lambda: world.crm.put(A, value=9))


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "read crm ['A']",
    "1 not_done at 60.08",
    "code 0",
)
def lost_and_another_field_was_edited(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["before"]
    when(world, "crm", "write", "before", lambda: world.crm.put(A, name="Wall"))


@whole(
    "needing status, value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  status edit: open -> won (open -> won) changed in Airtable, unchanged in HighLevel; target open at "
    "-130.09, source won",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'status': 'won', 'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "read crm ['A']",
    "1 taken at 61.08: No answer came. The record was changed since, so this counts as written, and what it "
    "holds now as a later edit.",
    "link A rowA both “Deal A” seen 61.07 at 61.08 foreign -130.09 own 61.07",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [1, 0]",
)
def lost_and_set_back(world: World) -> None:
    world.edit_row(A, status="won", value=5)
    world.crm.faults.lost = ["after"]

    def back() -> None:
        world.clock.advance(1)
        world.crm.put(A, status="open")

    when(world, "crm", "write", "after", back)


@whole(
    "needing status, value:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "send table rowA {'status': 'won', 'value': 5} message None key None",
    "writing to Airtable 1 of 1",
    "read table ['rowA']",
    "ask rowA status 60.06",
    "1 taken at 63.09: No answer came. The record was changed since, so this counts as written, and what it "
    "holds now as a later edit.",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [0, 1]",
)
def lost_and_the_cell_set_back(world: World) -> None:
    world.crm.put(A, status="won", value=5)
    world.table.faults.lost = ["after"]

    def back() -> None:
        world.clock.advance(3)
        world.edit_row(A, status="open")

    when(world, "table", "write", "after", back)


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "read crm ['A']",
    "1 not_done at 60.08: the record is gone",
    "code 0",
)
def lost_and_the_deal_is_gone(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["after"]
    when(world, "crm", "write", "after", lambda: world.crm.drop(A))


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "read crm ['A']",
    "code 1",
)
def lost_and_the_deal_cannot_be_read(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["after"]
    when(world, "crm", "write", "after", lambda: world.crm.faults.unread.add(A))


@whole(
    "needing value:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "send table rowA {'value': 5} message None key None",
    "writing to Airtable 1 of 1",
    "read table ['rowA']",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "code 1",
)
def lost_where_the_table_tells_no_times(world: World) -> None:
    world.crm.put(A, value=5)
    world.table.faults.lost = ["before"]
    world.table.clockless = True


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "read crm ['A']",
    "1 not_done at 60.08",
    "code 0",
)
def lost_where_the_crm_tells_no_times(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["before"]
    when(world, "crm", "write", "before", lambda: setattr(world.crm, "clockless", True))


@whole(
    "read table ['rowA', 'rowB']",
    "intent 1 pass 3 at 60.05 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage rename: p1:s1 -> p1:s1 (Sales / Fresh -> Sales / Fresh) “Sales / New” is now called “Sales / Fresh” "
    "in HighLevel; target ['Sales', 'New'] at -, source ['p1', 's1']",
    "intent 2 pass 3 at 60.05 update table B rowB “Deal B” before Deal B | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage rename: p1:s1 -> p1:s1 (Sales / Fresh -> Sales / Fresh) “Sales / New” is now called “Sales / Fresh” "
    "in HighLevel; target ['Sales', 'New'] at -, source ['p1', 's1']",
    "send table rowA {'stage': [None, 'Fresh']} message None key None",
    "send table rowB {'stage': [None, 'Fresh']} message None key None",
    "writing to Airtable 2 of 2",
    "read table ['rowA', 'rowB']",
    "1 not_done at 60.07",
    "2 not_done at 60.07",
    "code 0",
)
def lost_new_name_of_a_stage(world: World) -> None:
    fresh = replace(SALES, stages=(Stage("s1", "Fresh"), *SALES.stages[1:]))
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(fresh, SERVICE))
    world.table.faults.lost = ["before"]


@whole(
    "intent 1 pass 3 at 60.04 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) the deal has no row in Airtable yet; target None at -, source u1",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "intent 2 pass 3 at 60.04 create table D - “Deal D” before -",
    "  name new: None -> Deal D ( -> Deal D) the deal has no row in Airtable yet; target None at -, source Deal D",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "make table D {'name': 'Deal D', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'source': 'web'} "
    "message None",
    "making rows in Airtable 2 of 2",
    "find table ['C']",
    "find table ['D']",
    "1 not_done at 60.06 ",
    "2 not_done at 60.07 ",
    "code 0",
)
def lost_new_rows_that_never_came(world: World) -> None:
    world.deal(C)
    world.deal(D, owner=None)
    world.table.faults.lost = ["before"]


@whole(
    "intent 1 pass 3 at 60.04 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) the deal has no row in Airtable yet; target None at -, source u1",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "intent 2 pass 3 at 60.04 create table D - “Deal D” before -",
    "  name new: None -> Deal D ( -> Deal D) the deal has no row in Airtable yet; target None at -, source Deal D",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "make table D {'name': 'Deal D', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'source': 'web'} "
    "message None",
    "making rows in Airtable 2 of 2",
    "find table ['C']",
    "find table ['D']",
    "1 done at 60.06 rec0003",
    "2 done at 60.07 rec0004",
    "link C rec0003 both “Deal C” seen - at 60.06 foreign - own -",
    "  agreed name: Deal C “Deal C”, CRM Deal C, table Deal C",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 100 “100”, CRM 100, table 100",
    "  agreed owner: u1 “Ann”, CRM u1, table Ann",
    "  agreed source: web “web”, CRM web, table web",
    "link D rec0004 both “Deal D” seen - at 60.07 foreign - own -",
    "  agreed name: Deal D “Deal D”, CRM Deal D, table Deal D",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: nothing",
    "  agreed owner: None “”, CRM None, table None",
    "  agreed source: web “web”, CRM web, table web",
    "code 0; created [0, 2]",
)
def lost_new_rows_that_came(world: World) -> None:
    world.deal(C)
    world.deal(D, owner=None)
    world.table.faults.lost = ["after"]
    when(world, "table", "create", "after", lambda: world.edit_row(D, value=7))


@whole(
    "intent 1 pass 3 at 60.04 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) the deal has no row in Airtable yet; target None at -, source u1",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "making rows in Airtable 1 of 1",
    "find table ['C']",
    "1 taken at 60.06 ",
    "code 0",
)
def lost_new_row_that_came_twice(world: World) -> None:
    world.deal(C)
    world.table.faults.lost = ["after"]
    when(world, "table", "create", "after", lambda: world.table.put("copy", C, name="Copy"))


@whole(
    "intent 1 pass 3 at 60.04 message table A rowA “Deal A” before -",
    "  sync message: None -> Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won. "
    "( -> Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won.) what to know of "
    "this row; target None at -, source None",
    "send table rowA {} message 'Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed "
    "Won.' key None",
    "read table ['rowA']",
    "1 taken at 60.06",
    "said rowA: Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won.",
    "code 3",
)
def lost_message(world: World) -> None:
    world.edit_row(A, stage="Nope")
    world.table.faults.lost = ["after"]


@whole(
    "intent 1 pass 3 at 60.04 message table A rowA “Deal A” before -",
    "  sync message: None -> Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won. "
    "( -> Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won.) what to know of "
    "this row; target None at -, source None",
    "send table rowA {} message 'Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed "
    "Won.' key None",
    "read table ['rowA']",
    "1 taken at 60.06",
    "code 3",
)
def lost_message_of_a_row_that_is_gone(world: World) -> None:
    row = world.table.row_of(A)
    world.edit_row(A, stage="Nope")
    world.table.faults.lost = ["after"]
    when(world, "table", "write", "after", lambda: world.table.drop(row))


@whole(
    "needing all:",
    "read crm ['A']",
    "needing all:",
    "read table ['rowB']",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.08 delete table A rowA “Deal A” before -",
    "  name deletion: Deal A -> None (Deal A -> ) its deal was deleted in HighLevel; target None at -, source None",
    "  stage deletion: p1:s1 -> None (Sales / New -> ) its deal was deleted in HighLevel; target None at -, "
    "source None",
    "  status deletion: open -> None (open -> ) its deal was deleted in HighLevel; target None at -, source None",
    "  value deletion: 100 -> None (100 -> ) its deal was deleted in HighLevel; target None at -, source None",
    "  owner deletion: u1 -> None (Ann -> ) its deal was deleted in HighLevel; target None at -, source None",
    "  source deletion: web -> None (web -> ) its deal was deleted in HighLevel; target None at -, source None",
    "delete table rowA",
    "read table ['rowB']",
    "read crm ['B']",
    "intent 2 pass 3 at 60.11 delete crm B rowB “Deal B” before -",
    "  name deletion: Deal B -> None (Deal B -> ) its row was deleted in Airtable; target None at -, source None",
    "  stage deletion: p1:s1 -> None (Sales / New -> ) its row was deleted in Airtable; target None at -, source None",
    "  status deletion: open -> None (open -> ) its row was deleted in Airtable; target None at -, source None",
    "  value deletion: 100 -> None (100 -> ) its row was deleted in Airtable; target None at -, source None",
    "  owner deletion: u1 -> None (Ann -> ) its row was deleted in Airtable; target None at -, source None",
    "  source deletion: web -> None (web -> ) its row was deleted in Airtable; target None at -, source None",
    "delete crm B",
    "read crm ['B']",
    "read table ['rowA']",
    "1 not_done at 60.14",
    "2 done at 60.14",
    "forgotten B",
    "code 0; deleted [1, 0]",
)
def lost_deletion(world: World) -> None:
    world.choose(policy=Policy(DealDeleted.DELETE_ROW, RowDeleted.DELETE_DEAL))
    world.crm.drop(A)
    world.table.drop(world.table.row_of(B))
    world.table.faults.lost = ["before"]
    world.crm.faults.lost = ["after"]


@whole(
    "needing all:",
    "read table ['rowB']",
    "read table ['rowB']",
    "read crm ['B']",
    "intent 1 pass 3 at 60.07 delete crm B rowB “Deal B” before -",
    "  name deletion: Deal B -> None (Deal B -> ) its row was deleted in Airtable; target None at -, source None",
    "  stage deletion: p1:s1 -> None (Sales / New -> ) its row was deleted in Airtable; target None at -, source None",
    "  status deletion: open -> None (open -> ) its row was deleted in Airtable; target None at -, source None",
    "  value deletion: 100 -> None (100 -> ) its row was deleted in Airtable; target None at -, source None",
    "  owner deletion: u1 -> None (Ann -> ) its row was deleted in Airtable; target None at -, source None",
    "  source deletion: web -> None (web -> ) its row was deleted in Airtable; target None at -, source None",
    "delete crm B",
    "read crm ['B']",
    "code 1",
)
def lost_deletion_that_cannot_be_looked_up(world: World) -> None:
    world.choose(policy=Policy(row_deleted=RowDeleted.DELETE_DEAL))
    world.table.drop(world.table.row_of(B))
    world.crm.faults.lost = ["after"]
    when(world, "crm", "delete", "after", lambda: world.crm.faults.unread.add(B))


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Roof” before Roof | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at 0.00, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "needing name:",
    "read crm ['A']",
    "read table ['rowA']",
    "writing to Airtable 1 of 1",
    "read crm ['A']",
    "1 done at 60.10",
    "link A rowA both “Roof” seen 60.07 at 60.10 foreign 0.00 own 60.07",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [1, 0]; waiting 1",
)
def lost_and_the_row_is_to_be_written_too(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.put(A, name="Roof")
    world.crm.faults.lost = ["after"]


# --- refusals --------------------------------------------------------------------------------------------------------


@whole(
    "needing value:",
    "read table ['rowA', 'rowB']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 2",
    "read crm ['B']",
    "intent 2 pass 3 at 60.08 update crm B rowB “Deal B” before Deal B | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 6 (100 -> 6) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 6",
    "send crm B {'value': 6} message None key None",
    "writing to HighLevel 2 of 2",
    "1 refused at 60.07: Too large.",
    "2 done at 60.09",
    "link B rowB both “Deal B” seen 60.09 at 60.09 foreign -130.09 own 60.09",
    "  agreed value: 6 “6”, CRM 6, table 6",
    'refused A crm “Deal A” tries 1 since 60.07 next 120.07 {"3":["5"]}: Too large.',
    "code 3; updated [1, 0]; refusal “Deal A”: Too large.",
)
def one_refused(world: World) -> None:
    world.edit_row(A, value=5)
    world.edit_row(B, value=6)
    world.crm.faults.refuse = refusing("Too large.", "value", only=A)


@whole(
    "needing name, value:",
    "read table ['rowA', 'rowB']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  name edit: Deal A -> Roof (Deal A -> Roof) changed in Airtable, unchanged in HighLevel; target Deal A at "
    "-130.09, source Roof",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'name': 'Roof', 'value': 5} message None key None",
    "writing to HighLevel 1 of 2",
    "read crm ['B']",
    "intent 2 pass 3 at 60.08 update crm B rowB “Deal B” before Deal B | ['p1', 's1'] | open | 100 | u1 | web",
    "  name edit: Deal B -> Wall (Deal B -> Wall) changed in Airtable, unchanged in HighLevel; target Deal B at "
    "-130.09, source Wall",
    "  value edit: 100 -> 6 (100 -> 6) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 6",
    "send crm B {'name': 'Wall', 'value': 6} message None key None",
    "writing to HighLevel 2 of 2",
    "1 refused at 60.07: Field “value” of A is read-only.",
    "2 refused at 60.09: Field “value” of B is read-only.",
    "code 3; suspended Field “value” of B is read-only.",
)
def two_refused_alike(world: World) -> None:
    world.edit_row(A, value=5, name="Roof")
    world.edit_row(B, value=6, name="Wall")
    world.crm.faults.refuse = refusing("Field “value” of ID is read-only.", "value")


@whole(
    "needing status, value:",
    "read table ['rowA', 'rowB']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 2",
    "read crm ['B']",
    "intent 2 pass 3 at 60.08 update crm B rowB “Deal B” before Deal B | ['p1', 's1'] | open | 100 | u1 | web",
    "  status edit: open -> won (open -> won) changed in Airtable, unchanged in HighLevel; target open at "
    "-130.09, source won",
    "send crm B {'status': 'won'} message None key None",
    "writing to HighLevel 2 of 2",
    "1 refused at 60.07: Value is off.",
    "2 refused at 60.09: No.",
    'refused A crm “Deal A” tries 1 since 60.07 next 120.07 {"3":["5"]}: Value is off.',
    'refused B crm “Deal B” tries 1 since 60.09 next 120.09 {"2":["won"]}: No.',
    "code 3; refusal “Deal A”: Value is off.; refusal “Deal B”: No.",
)
def two_refused_otherwise(world: World) -> None:
    world.edit_row(A, value=5)
    world.edit_row(B, status="won")
    world.crm.faults.refuse = lambda _verb, _id, changes: Refused("Value is off." if "value" in changes else "No.")


@whole(
    "needing value, owner:",
    "read crm ['A']",
    "read crm ['B']",
    "read table ['rowA', 'rowB']",
    "intent 1 pass 3 at 60.07 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "  owner edit: u1 -> u2 (Ann -> Bob) changed in HighLevel, unchanged in Airtable; target Ann at -, source u2",
    "intent 2 pass 3 at 60.07 update table B rowB “Deal B” before Deal B | ['Sales', 'New'] | open | 100 | Ann | web",
    "  owner edit: u1 -> u2 (Ann -> Bob) changed in HighLevel, unchanged in Airtable; target Ann at -, source u2",
    "send table rowA {'value': 5, 'owner': 'Bob'} message None key None",
    "send table rowB {'owner': 'Bob'} message None key None",
    "intent 3 pass 3 at 60.08 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "send table rowA {'value': 5} message None key None",
    "writing to Airtable 2 of 2",
    "1 refused at 60.08: Owner cannot be written.",
    "2 refused at 60.08: Owner cannot be written.",
    "3 done at 60.09",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "link B rowB both “Deal B” seen 0.00 at 60.04 foreign 0.00 own -",
    "code 3; updated [0, 1]; suspended Owner cannot be written.",
)
def a_column_refused(world: World) -> None:
    world.crm.put(A, owner="u2", value=5)
    world.crm.put(B, owner="u2")
    world.table.faults.refuse = refusing("Owner cannot be written.", "owner", fields=(OWNER,), everyone=True)


@whole(
    "needing value:",
    "read table ['rowA', 'rowB']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | won | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at 0.00, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 2",
    "needing status:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 2 pass 3 at 60.09 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 5 | Ann | web",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "send table rowA {'status': 'won'} message None key None",
    "writing to Airtable 1 of 1",
    "1 refused at 60.07: This token may not write deals.",
    "2 done at 60.10",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed status: won “won”, CRM won, table won",
    "code 3; updated [0, 1]; waiting 1; suspended This token may not write deals.",
)
def all_refused(world: World) -> None:
    for deal in (A, B):
        world.edit_row(deal, value=5)
    world.crm.put(A, status="won")
    world.crm.faults.refuse = refusing("This token may not write deals.", everyone=True)


@whole(
    "intent 1 pass 3 at 60.04 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) the deal has no row in Airtable yet; target None at -, source u1",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "intent 2 pass 3 at 60.04 create table D - “Deal D” before -",
    "  name new: None -> Deal D ( -> Deal D) the deal has no row in Airtable yet; target None at -, source Deal D",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) the deal has no row in Airtable yet; target None at -, source u1",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "make table D {'name': 'Deal D', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "making rows in Airtable 2 of 2",
    "1 refused at 60.05 : Too long.",
    "2 done at 60.05 rec0003",
    "link D rec0003 both “Deal D” seen 0.00 at 60.05 foreign 0.00 own -",
    "  agreed name: Deal D “Deal D”, CRM Deal D, table Deal D",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 100 “100”, CRM 100, table 100",
    "  agreed owner: u1 “Ann”, CRM u1, table Ann",
    "  agreed source: web “web”, CRM web, table web",
    "refused C table “Deal C” tries 1 since 60.05 next 120.05 {}: Too long.",
    "code 3; created [0, 1]; refusal “Deal C”: Too long.",
)
def a_new_row_refused(world: World) -> None:
    world.deal(C)
    world.deal(D)
    world.table.faults.refuse = refusing("Too long.", only=C)


@whole(
    "intent 1 pass 3 at 60.04 create table deal0 - “Deal deal0” before -",
    "  name new: None -> Deal deal0 ( -> Deal deal0) the deal has no row in Airtable yet; target None at -, "
    "source Deal deal0",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "intent 2 pass 3 at 60.04 create table deal1 - “Deal deal1” before -",
    "  name new: None -> Deal deal1 ( -> Deal deal1) the deal has no row in Airtable yet; target None at -, "
    "source Deal deal1",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "make table deal0 {'name': 'Deal deal0', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100} message None",
    "make table deal1 {'name': 'Deal deal1', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100} message None",
    "making rows in Airtable 2 of 5",
    "1 refused at 60.05 : No row for “deal0”.",
    "2 refused at 60.05 : No row for “deal1”.",
    "code 3; waiting 3; suspended No row for “deal1”.",
)
def all_new_rows_refused(world: World) -> None:
    world.table.write_batch = 2
    for n in range(5):
        world.deal(f"deal{n}", owner=None, source=None)
    world.table.faults.refuse = refusing("No row for “ID”.")


@whole(
    "intent 1 pass 3 at 60.04 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) the deal has no row in Airtable yet; target None at -, source u1",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "intent 2 pass 3 at 60.04 create table D - “Deal D” before -",
    "  name new: None -> Deal D ( -> Deal D) the deal has no row in Airtable yet; target None at -, source Deal D",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) the deal has no row in Airtable yet; target None at -, source u1",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "make table D {'name': 'Deal D', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "intent 3 pass 3 at 60.05 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "intent 4 pass 3 at 60.05 create table D - “Deal D” before -",
    "  name new: None -> Deal D ( -> Deal D) the deal has no row in Airtable yet; target None at -, source Deal D",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'source': 'web'} "
    "message None",
    "make table D {'name': 'Deal D', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'source': 'web'} "
    "message None",
    "making rows in Airtable 2 of 2",
    "1 refused at 60.05 : Owner cannot be written.",
    "2 refused at 60.05 : Owner cannot be written.",
    "3 done at 60.06 rec0003",
    "4 done at 60.06 rec0004",
    "link C rec0003 both “Deal C” seen 0.00 at 60.06 foreign 0.00 own -",
    "  agreed name: Deal C “Deal C”, CRM Deal C, table Deal C",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 100 “100”, CRM 100, table 100",
    "  agreed owner: None “”, CRM None, table None",
    "  agreed source: web “web”, CRM web, table web",
    "link D rec0004 both “Deal D” seen 0.00 at 60.06 foreign 0.00 own -",
    "  agreed name: Deal D “Deal D”, CRM Deal D, table Deal D",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 100 “100”, CRM 100, table 100",
    "  agreed owner: None “”, CRM None, table None",
    "  agreed source: web “web”, CRM web, table web",
    "code 3; created [0, 2]; suspended Owner cannot be written.",
)
def new_rows_refused_for_a_column(world: World) -> None:
    world.deal(C)
    world.deal(D)
    world.table.faults.refuse = refusing("Owner cannot be written.", "owner", fields=(OWNER,), everyone=True)


@whole(
    "needing value:",
    "read crm ['A']",
    "read crm ['B']",
    "read table ['rowA', 'rowB']",
    "intent 1 pass 3 at 60.07 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | sold | 100 | Ann | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "intent 2 pass 3 at 60.07 update table B rowB “Deal B” before Deal B | ['Sales', 'New'] | open | 100 | Ann | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "send table rowA {'value': 5} message None key None",
    "send table rowB {'value': 5} message None key None",
    "writing to Airtable 2 of 2",
    "1 refused at 60.08: This token may not write.",
    "2 refused at 60.08: This token may not write.",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "link B rowB both “Deal B” seen 0.00 at 60.04 foreign 0.00 own -",
    "code 3; waiting 1; suspended This token may not write.",
)
def the_whole_table_refused(world: World) -> None:
    world.deal(C)
    for deal in (A, B):
        world.crm.put(deal, value=5)
    world.edit_row(A, status="sold")
    world.table.faults.refuse = refusing("This token may not write.", everyone=True)


@whole(
    "intent 1 pass 3 at 60.04 message table A rowA “Deal A” before -",
    "  sync message: None -> Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won. "
    "( -> Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won.) what to know of "
    "this row; target None at -, source None",
    "intent 2 pass 3 at 60.04 message table B rowB “Deal B” before -",
    "  sync message: None -> Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won. "
    "( -> Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won.) what to know of "
    "this row; target None at -, source None",
    "send table rowA {} message 'Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed "
    "Won.' key None",
    "send table rowB {} message 'Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed "
    "Won.' key None",
    "1 refused at 60.05",
    "2 done at 60.05",
    "said rowB: Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won.",
    "code 3",
)
def a_message_refused(world: World) -> None:
    world.edit_row(A, stage="Nope")
    world.edit_row(B, stage="Nope")
    world.table.faults.refuse = refusing("The cell is locked.", only=world.table.row_of(A))


@whole(
    "needing status, value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  status edit: open -> won (open -> won) changed in Airtable, unchanged in HighLevel; target open at "
    "-130.09, source won",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'status': 'won', 'value': 5} message None key None",
    "read crm ['A']",
    "writing to HighLevel 1 of 1",
    "1 refused at 60.08: HighLevel took the write but kept its value.",
    "link A rowA both “Deal A” seen 60.07 at 60.08 foreign -130.09 own 60.07",
    'refused A crm “Deal A” tries 1 since 60.08 next 120.08 {"2":["won"],"3":["5"]}: HighLevel took the '
    "write but kept its value.",
    "code 3; refusal “Deal A”: HighLevel took the write but kept its value.",
)
def ignored_by_the_crm(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    world.crm.faults.ignores.add("value")


@whole(
    "needing name, value:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Roof” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  name edit: Deal A -> Roof (Deal A -> Roof) changed in HighLevel, unchanged in Airtable; target Deal A at "
    "-, source Roof",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "send table rowA {'name': 'Roof', 'value': 5} message None key None",
    "read table ['rowA']",
    "writing to Airtable 1 of 1",
    "1 refused at 60.08: Airtable took the write but kept its name, value.",
    "link A rowA both “Roof” seen 0.00 at 60.04 foreign 0.00 own -",
    'refused A table “Roof” tries 1 since 60.08 next 120.08 {"0":["Roof"],"3":["5"]}: Airtable took the '
    "write but kept its name, value.",
    "code 3; refusal “Roof”: Airtable took the write but kept its name, value.",
)
def ignored_by_the_table(world: World) -> None:
    world.crm.put(A, value=5, name="Roof")
    world.table.faults.ignores |= {"value", "name"}


@whole(
    "needing name, value:",
    "read table ['rowA', 'rowB']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  name edit: Deal A -> Roof (Deal A -> Roof) changed in Airtable, unchanged in HighLevel; target Deal A at "
    "-130.09, source Roof",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'name': 'Roof', 'value': 5} message None key None",
    "intent 2 pass 3 at 60.07 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  name edit: Deal A -> Roof (Deal A -> Roof) changed in Airtable, unchanged in HighLevel; target Deal A at "
    "-130.09, source Roof",
    "send crm A {'name': 'Roof'} message None key None",
    "writing to HighLevel 1 of 2",
    "read crm ['B']",
    "intent 3 pass 3 at 60.09 update crm B rowB “Deal B” before Deal B | ['p1', 's1'] | open | 100 | u1 | web",
    "  name edit: Deal B -> Roof (Deal B -> Roof) changed in Airtable, unchanged in HighLevel; target Deal B at "
    "-130.09, source Roof",
    "send crm B {'name': 'Roof'} message None key None",
    "writing to HighLevel 2 of 2",
    "1 refused at 60.07: Value cannot be written.",
    "2 done at 60.08",
    "3 done at 60.10",
    "link A rowA both “Deal A” seen 60.08 at 60.08 foreign -130.09 own 60.08",
    "  agreed name: Roof “Roof”, CRM Roof, table Roof",
    "link B rowB both “Deal B” seen 60.10 at 60.10 foreign -130.09 own 60.10",
    "  agreed name: Roof “Roof”, CRM Roof, table Roof",
    "code 3; updated [2, 0]; waiting 1; suspended Value cannot be written.",
)
def a_column_of_the_crm_refused(world: World) -> None:
    for deal in (A, B):
        world.edit_row(deal, value=5, name="Roof")
    world.crm.faults.refuse = refusing("Value cannot be written.", "value", fields=(VALUE,), everyone=True)


@whole(
    "needing value:",
    "read table ['rowA', 'rowB', 'rec0003', 'rec0004']",
    "read crm ['A']",
    "writing to HighLevel 1 of 4",
    "read crm ['B']",
    "intent 1 pass 5 at 60.07 update crm B rowB “Deal B” before Deal B | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 1 (100 -> 1) changed in Airtable, unchanged in HighLevel; target 100 at -260.18, source 1",
    "send crm B {'value': 1} message None key None",
    "writing to HighLevel 2 of 4",
    "read crm ['C']",
    "intent 2 pass 5 at 60.09 update crm C rec0003 “Deal C” before Deal C | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 2 (100 -> 2) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 2",
    "send crm C {'value': 2} message None key None",
    "writing to HighLevel 3 of 4",
    "1 done at 60.08",
    "2 refused at 60.10: No.",
    "link B rowB both “Deal B” seen 60.08 at 60.08 foreign -260.18 own 60.08",
    "  agreed value: 1 “1”, CRM 1, table 1",
    "code 3; updated [1, 0]; waiting 2; suspended No.",
)
def all_refused_after_the_first(world: World) -> None:
    world.filled(C, D)
    for n, deal in enumerate((A, B, C, D)):
        world.edit_row(deal, value=n)
    after_looking(world, lambda: world.edit_row(A, value=9))
    when(world, "crm", "write", "after", lambda: setattr(world.crm.faults, "refuse", refusing("No.", everyone=True)))


@whole(
    "needing stage, status:",
    "read crm ['A']",
    "read table ['rowA', 'rowB']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage rename: p1:s1 -> p1:s1 (Sales / Fresh -> Sales / Fresh) “Sales / New” is now called “Sales / Fresh” "
    "in HighLevel; target ['Sales', 'New'] at -, source ['p1', 's1']",
    "  status edit: open -> won (open -> won) changed in HighLevel, unchanged in Airtable; target open at -, "
    "source won",
    "intent 2 pass 3 at 60.06 update table B rowB “Deal B” before Deal B | ['Sales', 'New'] | open | 100 | Ann | web",
    "  stage rename: p1:s1 -> p1:s1 (Sales / Fresh -> Sales / Fresh) “Sales / New” is now called “Sales / Fresh” "
    "in HighLevel; target ['Sales', 'New'] at -, source ['p1', 's1']",
    "send table rowA {'stage': [None, 'Fresh'], 'status': 'won'} message None key None",
    "send table rowB {'stage': [None, 'Fresh']} message None key None",
    "writing to Airtable 2 of 2",
    "1 done at 60.07",
    "2 done at 60.07",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed stage: p1:s1 “Sales / Fresh”, CRM ['p1', 's1'], table ['Sales', 'Fresh']",
    "  agreed status: won “won”, CRM won, table won",
    "  agreed stage: p1:s1 “Sales / Fresh”, CRM ['p1', 's1'], table ['Sales', 'Fresh']",
    "code 0; updated [0, 2]",
)
def new_name_of_a_stage_is_ignored(world: World) -> None:
    stage_renamed(world)
    world.table.faults.ignores.add("stage")


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'value': 5} message None key None",
    "read crm ['A']",
    "writing to HighLevel 1 of 1",
    "1 refused at 60.08: HighLevel took the write but kept its value.",
    "link A rowA both “Deal A” seen 60.07 at 60.08 foreign -130.09 own 60.07",
    'refused A crm “Deal A” tries 1 since 60.08 next 120.08 {"3":["5"]}: HighLevel took the write but kept its value.',
    "code 3; refusal “Deal A”: HighLevel took the write but kept its value.",
)
def ignored_and_then_it_cannot_be_read(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.ignores.add("value")
    when(world, "crm", "write", "after", lambda: world.crm.faults.unread.add(A))


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'value': 5} message None key None",
    "read crm ['A']",
    "writing to HighLevel 1 of 1",
    "1 done at 60.08",
    "link A rowA both “Deal A” seen 60.07 at 60.08 foreign -130.09 own 60.07",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [1, 0]",
)
def answered_with_the_record_as_it_was(world: World) -> None:
    world.edit_row(A, value=5)
    write, before = world.crm.write, world.crm.record(A, world.crm.deals[A][-1])

    def late(patches: Sequence[Patch]) -> list[WriteResult]:
        write(patches)
        return [Written(before)]

    world.crm.write = late  # type: ignore[method-assign]


@whole(
    "needing value:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "send table rowA {'value': 5} message None key None",
    "writing to Airtable 1 of 1",
    "intent 2 pass 3 at 60.07 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) the deal has no row in Airtable yet; target None at -, source u1",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "making rows in Airtable 1 of 1",
    "1 refused at 60.07: No.",
    "2 refused at 60.08 : No.",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    'refused A table “Deal A” tries 1 since 60.07 next 120.07 {"3":["5"]}: No.',
    "refused C table “Deal C” tries 1 since 60.08 next 120.08 {}: No.",
    "code 3; refusal “Deal A”: No.; refusal “Deal C”: No.",
)
def an_update_and_a_new_row_refused_in_the_same_words(world: World) -> None:
    """Making a row is another thing: two of each would be needed to blame the table."""
    world.crm.put(A, value=5)
    world.deal(C)
    row = world.table.row_of(A)
    world.table.faults.refuse = lambda _verb, id, _changes: Refused("No.") if id in (row, C) else None


@whole(
    "read table ['rowA', 'rowB']",
    "intent 1 pass 3 at 60.05 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  id fill: None -> A ( -> A) the row had no GHL ID; target None at -, source None",
    "intent 2 pass 3 at 60.05 update table B rowB “Deal B” before Deal B | ['Sales', 'New'] | open | 100 | Ann | web",
    "  id fill: None -> B ( -> B) the row had no GHL ID; target None at -, source None",
    "send table rowA {} message None key A",
    "send table rowB {} message None key B",
    "writing to Airtable 2 of 2",
    "intent 3 pass 3 at 60.06 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100} message None",
    "making rows in Airtable 1 of 1",
    "1 refused at 60.06: No.",
    "2 refused at 60.06: No.",
    "3 done at 60.07 rec0003",
    "link C rec0003 both “Deal C” seen 0.00 at 60.07 foreign 0.00 own -",
    "  agreed name: Deal C “Deal C”, CRM Deal C, table Deal C",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 100 “100”, CRM 100, table 100",
    "  agreed owner: None “”, CRM None, table None",
    "  agreed source: None “”, CRM None, table None",
    "code 3; created [0, 1]; suspended No.",
)
def two_keys_refused_alike(world: World) -> None:
    """Rows can be made all the same."""
    for deal in (A, B):
        world.table.put(world.table.row_of(deal), "")
    world.deal(C, owner=None, source=None)
    world.table.faults.refuse = lambda verb, _id, _changes: Refused("No.") if verb == "write" else None


@whole(
    "intent 1 pass 3 at 60.04 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) the deal has no row in Airtable yet; target None at -, source u1",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "intent 2 pass 3 at 60.05 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  owner new: None -> u1 ( -> Ann) the deal has no row in Airtable yet; target None at -, source u1",
    "  source new: None -> web ( -> web) the deal has no row in Airtable yet; target None at -, source web",
    "make table C {'name': 'Deal C', 'status': 'open', 'owner': 'Ann', 'source': 'web'} message None",
    "making rows in Airtable 1 of 1",
    "1 refused at 60.05 : No.",
    "2 done at 60.06 rec0003",
    "link C rec0003 both “Deal C” seen 0.00 at 60.06 foreign 0.00 own -",
    "  agreed name: Deal C “Deal C”, CRM Deal C, table Deal C",
    "  agreed stage: None “”, CRM None, table [None, None]",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 0 “0”, CRM None, table None",
    "  agreed owner: u1 “Ann”, CRM u1, table Ann",
    "  agreed source: web “web”, CRM web, table web",
    "code 3; created [0, 1]; suspended No.",
)
def new_rows_without_their_value_and_stage(world: World) -> None:
    """Columns that are refused, and what then stands in them: a blank value is 0."""
    world.deal(C)
    world.table.faults.refuse = refusing("No.", "value", "stage", fields=(VALUE, STAGE), everyone=True)


# --- what the server makes of it -------------------------------------------------------------------------------------


@whole(
    "needing name:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  name edit: Deal A -> big roof (Deal A -> big roof) changed in Airtable, unchanged in HighLevel; target "
    "Deal A at -130.09, source big roof",
    "send crm A {'name': 'big roof'} message None key None",
    "writing to HighLevel 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 60.07 at 60.07 foreign -130.09 own 60.07",
    "  agreed name: big roof “big roof”, CRM Big Roof, table big roof",
    "code 0; updated [1, 0]",
)
def tidied_by_the_crm(world: World) -> None:
    world.edit_row(A, name="big roof")
    world.crm.faults.tidy = lambda name, raw: str(raw).title() if name == "name" else raw


@whole(
    "needing name:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 7 at 60.06 update crm A rowA “Big Roof” before Big Roof | ['p1', 's1'] | open | 100 | u1 | web",
    "  name edit: Big Roof -> BIG ROOF (Big Roof -> BIG ROOF) changed in Airtable, unchanged in HighLevel; "
    "target Big Roof at -300.01, source BIG ROOF",
    "send crm A {'name': 'BIG ROOF'} message None key None",
    "read crm ['A']",
    "writing to HighLevel 1 of 1",
    "1 done at 60.08",
    "link A rowA both “Big Roof” seen 60.07 at 60.08 foreign -661.32 own -600.18 -500.10 -300.01 60.07",
    "  agreed name: BIG ROOF “BIG ROOF”, CRM Big Roof, table BIG ROOF",
    "code 0; updated [1, 0]",
)
def form_of_the_crm_is_taken_after_three_tries(world: World) -> None:
    """It keeps “Big Roof”, whatever the letters are that it is sent."""
    world.crm.put(A, name="Big Roof")
    world.run()
    world.crm.faults.tidy = lambda name, raw: str(raw).title() if name == "name" else raw
    world.edit_row(A, name="BIG ROOF")
    for pause in (1, 100, 200):
        world.run(pause)
    world.clock.advance(300)


@whole(
    "needing value:",
    "read crm ['A']",
    "read table ['rowA']",
    "intent 1 pass 3 at 60.06 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  value edit: 100 -> 7.25 (100 -> 7.25) changed in HighLevel, unchanged in Airtable; target 100 at -, source 7.25",
    "send table rowA {'value': 7.25} message None key None",
    "writing to Airtable 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "  agreed value: 7.25 “7.25”, CRM 7.25, table 7.2",
    "code 0; updated [0, 1]",
)
def tidied_by_the_table(world: World) -> None:
    world.crm.put(A, value=7.25)
    world.table.faults.tidy = lambda name, raw: 7.2 if name == "value" else raw


@whole(
    "needing value:",
    "read table ['rowA']",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 update crm A rowA “Deal A” before Deal A | ['p1', 's1'] | open | 100 | u1 | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in Airtable, unchanged in HighLevel; target 100 at -130.09, source 5",
    "send crm A {'value': 5} message None key None",
    "writing to HighLevel 1 of 1",
    "1 done at 60.07",
    "link A rowA both “Deal A” seen 60.07 at 60.07 foreign -130.09 own 60.07",
    "  agreed value: 5 “5”, CRM 5, table 5",
    "code 0; updated [1, 0]",
)
def something_else_came_back(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.tidy = lambda name, raw: 42 if name == "value" else raw


# --- new rows and messages -------------------------------------------------------------------------------------------


@whole(
    "needing all:",
    "read table ['rowA']",
    "needing name, stage, status, value, owner, source:",
    "read crm ['A']",
    "intent 1 pass 3 at 60.06 create table A - “Deal A” before -",
    "  name new: None -> Deal A ( -> Deal A) its row was deleted in Airtable; it comes back; target None at -, "
    "source Deal A",
    "  stage new: None -> p1:s1 ( -> Sales / New) its row was deleted in Airtable; it comes back; target None at "
    "-, source ['p1', 's1']",
    "  status new: None -> open ( -> open) its row was deleted in Airtable; it comes back; target None at -, "
    "source open",
    "  value new: None -> 100 ( -> 100) its row was deleted in Airtable; it comes back; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) its row was deleted in Airtable; it comes back; target None at -, source u1",
    "  source new: None -> web ( -> web) its row was deleted in Airtable; it comes back; target None at -, source web",
    "make table A {'name': 'Deal A', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "making rows in Airtable 1 of 1",
    "1 done at 60.07 rec0003",
    "link A rec0003 both “Deal A” seen -130.09 at -60.04 foreign -130.09 own -",
    "code 0; created [0, 1]",
)
def row_comes_back(world: World) -> None:
    world.table.drop(world.table.row_of(A))


@whole(
    "needing all:",
    "read table ['rowA']",
    "needing name, stage, status, value, owner, source:",
    "read crm ['A']",
    "making rows in Airtable 1 of 1",
    "code 0; waiting 1",
)
def row_comes_back_but_its_deal_was_edited(world: World) -> None:
    world.table.drop(world.table.row_of(A))
    after_looking(world, lambda: world.crm.put(A, value=5))


@whole(
    "needing all:",
    "read table ['rowA']",
    "needing name, stage, status, value, owner, source:",
    "read crm ['A']",
    "making rows in Airtable 1 of 1",
    "code 0; waiting 1",
)
def row_comes_back_but_its_deal_is_gone(world: World) -> None:
    world.table.drop(world.table.row_of(A))
    after_looking(world, lambda: when(world, "crm", "read", "before", lambda: world.crm.drop(A)))


@whole(
    "intent 1 pass 3 at 60.04 create table deal0 - “Deal deal0” before -",
    "  name new: None -> Deal deal0 ( -> Deal deal0) the deal has no row in Airtable yet; target None at -, "
    "source Deal deal0",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 0 ( -> 0) the deal has no row in Airtable yet; target None at -, source 0",
    "intent 2 pass 3 at 60.04 create table deal1 - “Deal deal1” before -",
    "  name new: None -> Deal deal1 ( -> Deal deal1) the deal has no row in Airtable yet; target None at -, "
    "source Deal deal1",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 0 ( -> 0) the deal has no row in Airtable yet; target None at -, source 0",
    "make table deal0 {'name': 'Deal deal0', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 0} message None",
    "make table deal1 {'name': 'Deal deal1', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 0} message None",
    "making rows in Airtable 2 of 3",
    "intent 3 pass 3 at 60.05 create table deal2 - “Deal deal2” before -",
    "  name new: None -> Deal deal2 ( -> Deal deal2) the deal has no row in Airtable yet; target None at -, "
    "source Deal deal2",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 0 ( -> 0) the deal has no row in Airtable yet; target None at -, source 0",
    "make table deal2 {'name': 'Deal deal2', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 0} message None",
    "making rows in Airtable 3 of 3",
    "1 done at 60.05 rec0003",
    "2 done at 60.05 rec0004",
    "3 done at 60.06 rec0005",
    "link deal0 rec0003 both “Deal deal0” seen 0.00 at 60.05 foreign 0.00 own -",
    "  agreed name: Deal deal0 “Deal deal0”, CRM Deal deal0, table Deal deal0",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 0 “0”, CRM 0, table 0",
    "  agreed owner: None “”, CRM None, table None",
    "  agreed source: None “”, CRM None, table None",
    "link deal1 rec0004 both “Deal deal1” seen 0.00 at 60.05 foreign 0.00 own -",
    "  agreed name: Deal deal1 “Deal deal1”, CRM Deal deal1, table Deal deal1",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 0 “0”, CRM 0, table 0",
    "  agreed owner: None “”, CRM None, table None",
    "  agreed source: None “”, CRM None, table None",
    "link deal2 rec0005 both “Deal deal2” seen 0.00 at 60.06 foreign 0.00 own -",
    "  agreed name: Deal deal2 “Deal deal2”, CRM Deal deal2, table Deal deal2",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 0 “0”, CRM 0, table 0",
    "  agreed owner: None “”, CRM None, table None",
    "  agreed source: None “”, CRM None, table None",
    "code 0; created [0, 3]",
)
def new_rows_in_batches(world: World) -> None:
    world.table.write_batch = 2
    for n in range(3):
        world.deal(f"deal{n}", owner=None, value=0, source=None)


@whole(
    "needing all:",
    "read table ['rowA']",
    "needing name, stage, status, value, owner, source:",
    "read crm ['A']",
    "making rows in Airtable 1 of 5",
    "intent 1 pass 3 at 60.06 create table deal0 - “Deal deal0” before -",
    "  name new: None -> Deal deal0 ( -> Deal deal0) the deal has no row in Airtable yet; target None at -, "
    "source Deal deal0",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "make table deal0 {'name': 'Deal deal0', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100} message None",
    "making rows in Airtable 2 of 5",
    "intent 2 pass 3 at 60.07 create table deal1 - “Deal deal1” before -",
    "  name new: None -> Deal deal1 ( -> Deal deal1) the deal has no row in Airtable yet; target None at -, "
    "source Deal deal1",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "make table deal1 {'name': 'Deal deal1', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100} message None",
    "making rows in Airtable 3 of 5",
    "1 refused at 60.07 : No row for “deal0”.",
    "2 refused at 60.08 : No row for “deal1”.",
    "code 3; waiting 3; suspended No row for “deal1”.",
)
def row_comes_back_changed_and_no_others_can_be_made(world: World) -> None:
    world.table.write_batch = 1
    row_comes_back_but_its_deal_was_edited(world)
    for n in range(4):
        world.deal(f"deal{n}", owner=None, source=None)
    world.table.faults.refuse = lambda verb, id, _c: Refused(f"No row for “{id}”.") if verb == "create" else None


@whole(
    "needing all:",
    "read table ['rowA']",
    "needing name, stage, status, value, owner, source:",
    "read crm ['A']",
    "intent 1 pass 4 at 60.06 create table A - “Deal A” before -",
    "  name new: None -> Deal A ( -> Deal A) its row was deleted in Airtable; it comes back; target None at -, "
    "source Deal A",
    "  stage new: None -> p1:s1 ( -> Sales / New) its row was deleted in Airtable; it comes back; target None at "
    "-, source ['p1', 's1']",
    "  status new: None -> open ( -> open) its row was deleted in Airtable; it comes back; target None at -, "
    "source open",
    "  value new: None -> 100 ( -> 100) its row was deleted in Airtable; it comes back; target None at -, source 100",
    "  owner new: None -> u1 ( -> Ann) its row was deleted in Airtable; it comes back; target None at -, source u1",
    "  source new: None -> web ( -> web) its row was deleted in Airtable; it comes back; target None at -, source web",
    "make table A {'name': 'Deal A', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100, 'owner': 'Ann', "
    "'source': 'web'} message None",
    "making rows in Airtable 1 of 1",
    "1 done at 60.07 rec0003",
    "link A rec0003 both “Deal A” seen -131.15 at -61.10 foreign -131.15 own -",
    "code 0; created [0, 1]",
)
def row_of_a_deal_that_was_restored_comes_back(world: World) -> None:
    values = dict(world.crm.now(A) or {})
    world.crm.drop(A)
    world.run(1)
    world.crm.put(A, **values)
    world.table.drop(world.table.row_of(A))


@whole(
    "intent 1 pass 3 at 60.04 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "intent 2 pass 3 at 60.04 create table D - “Deal D” before -",
    "  name new: None -> Deal D ( -> Deal D) the deal has no row in Airtable yet; target None at -, source Deal D",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100} message None",
    "make table D {'name': 'Deal D', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100} message None",
    "making rows in Airtable 2 of 2",
    "find table ['C']",
    "1 done at 60.06 rec0003",
    "2 done at 60.05 rec0004",
    "link C rec0003 both “Deal C” seen - at 60.06 foreign - own -",
    "  agreed name: Deal C “Deal C”, CRM Deal C, table Deal C",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 100 “100”, CRM 100, table 100",
    "  agreed owner: None “”, CRM None, table None",
    "  agreed source: None “”, CRM None, table None",
    "link D rec0004 both “Deal D” seen 0.00 at 60.05 foreign 0.00 own -",
    "  agreed name: Deal D “Deal D”, CRM Deal D, table Deal D",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 100 “100”, CRM 100, table 100",
    "  agreed owner: None “”, CRM None, table None",
    "  agreed source: None “”, CRM None, table None",
    "code 0; created [0, 2]",
)
def one_answer_of_two_new_rows_is_lost(world: World) -> None:
    world.deal(C, owner=None, source=None)
    world.deal(D, owner=None, source=None)
    create = world.table.create

    def half(records: Sequence[NewRecord]) -> list[WriteResult]:
        world.table.create = create  # type: ignore[method-assign]
        return [Lost("No answer."), *create(records)[1:]]

    world.table.create = half  # type: ignore[method-assign]


@whole(
    "intent 1 pass 3 at 60.04 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 0 ( -> 0) the deal has no row in Airtable yet; target None at -, source 0",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 0} message None",
    "making rows in Airtable 1 of 1",
    "find table ['C']",
    "1 done at 60.06 rec0003",
    "link C rec0003 both “Deal C” seen - at 60.06 foreign - own -",
    "  agreed name: nothing",
    "  agreed stage: p1:s1 “Sales / New”, CRM ['p1', 's1'], table ['Sales', 'New']",
    "  agreed status: open “open”, CRM open, table open",
    "  agreed value: 0 “0”, CRM 0, table 0",
    "  agreed owner: nothing",
    "  agreed source: None “”, CRM None, table None",
    "code 0; created [0, 1]",
)
def cells_filled_while_a_lost_row_is_looked_for(world: World) -> None:
    world.deal(C, owner=None, source=None, value=0)
    world.table.faults.lost = ["after"]
    when(world, "table", "create", "after", lambda: world.edit_row(C, owner="Bob", name="CUT"))


@whole(
    "intent 1 pass 3 at 60.04 create table C - “Deal C” before -",
    "  name new: None -> Deal C ( -> Deal C) the deal has no row in Airtable yet; target None at -, source Deal C",
    "  stage new: None -> p1:s1 ( -> Sales / New) the deal has no row in Airtable yet; target None at -, source "
    "['p1', 's1']",
    "  status new: None -> open ( -> open) the deal has no row in Airtable yet; target None at -, source open",
    "  value new: None -> 100 ( -> 100) the deal has no row in Airtable yet; target None at -, source 100",
    "make table C {'name': 'Deal C', 'stage': ['Sales', 'New'], 'status': 'open', 'value': 100} message None",
    "1 not_done at 60.05 : Airtable does not answer.",
    "code 1 Airtable does not answer.",
)
def the_table_goes_down_while_rows_are_made(world: World) -> None:
    world.deal(C, owner=None, source=None)
    world.table.faults.down_on = frozenset({"create"})


@whole(
    "intent 1 pass 3 at 60.04 message table A rowA “Deal A” before -",
    "  sync message: None -> Status “sold” does not exist. Choose one of: open, won, lost, abandoned. ( -> "
    "Status “sold” does not exist. Choose one of: open, won, lost, abandoned.) what to know of this row; target "
    "None at -, source None",
    "send table rowA {} message 'Status “sold” does not exist. Choose one of: open, won, lost, abandoned.' key None",
    "1 not_done at 60.05: Airtable does not answer.",
    "code 1 Airtable does not answer.",
)
def the_table_goes_down_while_messages_are_written(world: World) -> None:
    world.edit_row(A, status="sold")
    die(world)


@whole(
    "intent 1 pass 3 at 60.04 message table A rowA “Deal A” before -",
    "  sync message: None -> Status “sold” does not exist. Choose one of: open, won, lost, abandoned. ( -> "
    "Status “sold” does not exist. Choose one of: open, won, lost, abandoned.) what to know of this row; target "
    "None at -, source None",
    "intent 2 pass 3 at 60.04 message table B rowB “Deal B” before -",
    "  sync message: None -> Status “sold” does not exist. Choose one of: open, won, lost, abandoned. ( -> "
    "Status “sold” does not exist. Choose one of: open, won, lost, abandoned.) what to know of this row; target "
    "None at -, source None",
    "send table rowA {} message 'Status “sold” does not exist. Choose one of: open, won, lost, abandoned.' key None",
    "send table rowB {} message 'Status “sold” does not exist. Choose one of: open, won, lost, abandoned.' key None",
    "intent 3 pass 3 at 60.05 message table no id row0003 “Three” before -",
    "  sync message: None -> “no id” is no id of a deal. Clear GHL ID, or put the right one in. ( -> “no id” is "
    "no id of a deal. Clear GHL ID, or put the right one in.) what to know of this row; target None at -, source "
    "None",
    "send table row0003 {} message '“no id” is no id of a deal. Clear GHL ID, or put the right one in.' key None",
    "1 done at 60.05",
    "2 done at 60.05",
    "3 done at 60.06",
    "said rowA: Status “sold” does not exist. Choose one of: open, won, lost, abandoned.",
    "said rowB: Status “sold” does not exist. Choose one of: open, won, lost, abandoned.",
    "said row0003: “no id” is no id of a deal. Clear GHL ID, or put the right one in.",
    "code 3",
)
def messages_in_batches(world: World) -> None:
    world.table.write_batch = 2
    for deal in (A, B):
        world.edit_row(deal, status="sold")
    world.table.put("row0003", "no id", name="Three")


@whole(
    "intent 1 pass 4 at 60.04 message table A rowA “Deal A” before -",
    "  sync message: Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won. -> None "
    "(Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won. -> ) what to know of "
    "this row; target None at -, source None",
    "send table rowA {} message '' key None",
    "1 done at 60.05",
    "said rowA: ",
    "code 0",
)
def message_that_no_longer_holds(world: World) -> None:
    world.edit_row(A, stage="Nope")
    world.run(1)
    world.edit_row(A, stage="New")


@whole(
    "intent 1 pass 4 at 60.04 message table A rowA “Deal A” before -",
    "  sync message: Stage “Nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won. -> "
    "Stage “Still nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won. (Stage “Nope” is "
    "not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won. -> Stage “Still nope” is not in "
    "pipeline “Sales”. Choose one of: New, Qualified, Closed Won.) what to know of this row; target None at -, "
    "source None",
    "send table rowA {} message 'Stage “Still nope” is not in pipeline “Sales”. Choose one of: New, Qualified, "
    "Closed Won.' key None",
    "1 done at 60.05",
    "said rowA: Stage “Still nope” is not in pipeline “Sales”. Choose one of: New, Qualified, Closed Won.",
    "code 3",
)
def message_that_replaces_another(world: World) -> None:
    world.edit_row(A, stage="Nope")
    world.run(1)
    world.edit_row(A, stage="Still nope")


@whole(
    "needing value:",
    "read crm ['A']",
    "read crm ['B']",
    "read table ['rowA', 'rowB']",
    "intent 1 pass 3 at 60.07 update table A rowA “Deal A” before Deal A | ['Sales', 'New'] | open | 100 | Ann | web",
    "  value edit: 100 -> 5 (100 -> 5) changed in HighLevel, unchanged in Airtable; target 100 at -, source 5",
    "intent 2 pass 3 at 60.07 update table B rowB “Deal B” before Deal B | ['Sales', 'New'] | open | 100 | Ann | web",
    "  value edit: 100 -> 6 (100 -> 6) changed in HighLevel, unchanged in Airtable; target 100 at -, source 6",
    "send table rowA {'value': 5} message None key None",
    "send table rowB {'value': 6} message None key None",
    "1 not_done at 60.08: Airtable does not answer.",
    "2 not_done at 60.08: Airtable does not answer.",
    "link A rowA both “Deal A” seen 0.00 at 60.04 foreign 0.00 own -",
    "link B rowB both “Deal B” seen 0.00 at 60.04 foreign 0.00 own -",
    "code 1 Airtable does not answer.",
)
def the_table_goes_down(world: World) -> None:
    world.crm.put(A, value=5)
    world.crm.put(B, value=6)
    die(world)


@pytest.mark.parametrize(("story", "diary"), STORIES, ids=[story.__name__ for story, _ in STORIES])
def test_the_whole_pass(tmp_path: Path, story: Story, diary: tuple[str, ...]) -> None:
    world = World(tmp_path).filled(A, B).choose(limits=NO_LIMITS)
    story(world)
    kept = Diary(world)
    assert kept.ended(world.run()) == list(diary)
    world.close()
