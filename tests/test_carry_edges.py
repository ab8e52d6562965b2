"""Passes in awkward situations, with everything that they send, store and remember (found by mutants, tests/mutation).

Each story begins with two agreed links. What diary/passes.txt says of it is all that one pass does (or as many as it
runs): reads by id, intents with what they keep, what is sent, how each write ended, which links, refusals and messages
differ from before, and the tally. Times are in seconds since the story began.
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
from tests.diaries import check
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
STORIES: list[Story] = []


def whole(story: Story) -> Story:
    """What a pass makes of this story stands in diary/passes.txt, whole."""
    STORIES.append(story)
    return story


# --- updates ---------------------------------------------------------------------------------------------------------


@whole
def row_edited(world: World) -> None:
    world.edit_row(A, value=5, status="won", stage="Qualified")


@whole
def pipeline_and_stage_picked(world: World) -> None:
    world.edit_row(A, pipeline="Service", stage="Done")


@whole
def deal_edited(world: World) -> None:
    world.crm.put(A, name="Roof", owner=None, value=7.25)
    world.crm.put(B, stage=["p1", "s2"])


@whole
def deal_moved_to_another_pipeline(world: World) -> None:
    world.crm.put(A, stage=["p2", "t1"])


@whole
def both_edited_and_the_deal_later(world: World) -> None:
    world.edit_row(A, status="lost", value=3)
    world.clock.advance(20)
    world.crm.put(A, status="won")


@whole
def both_edited_and_the_row_later(world: World) -> None:
    world.crm.put(A, status="won", value=3)
    world.clock.advance(20)
    world.edit_row(A, status="lost", name="Roof")


@whole
def stage_renamed(world: World) -> None:
    fresh = replace(SALES, stages=(Stage("s1", "Fresh"), *SALES.stages[1:]))
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(fresh, SERVICE))
    world.crm.put(A, status="won")


@whole
def stage_renamed_while_a_row_is_locked(world: World) -> None:
    stage_renamed(world)
    world.table.faults.refuse = refusing("No.", only=world.table.row_of(A))


@whole
def key_cleared(world: World) -> None:
    world.table.put(world.table.row_of(A), "")


@whole
def key_cleared_and_both_edited(world: World) -> None:
    key = world.table.row_of(A)
    world.edit_row(A, value=5)
    world.table.put(key, "")
    world.crm.put(A, status="won")


@whole
def key_put_back_by_somebody_meanwhile(world: World) -> None:
    row = world.table.row_of(A)
    world.table.put(row, "")
    world.crm.put(A, status="won")
    after_looking(world, lambda: world.table.put(row, A))


@whole
def name_blanked(world: World) -> None:
    world.edit_row(A, name="", status=None)


@whole
def pipeline_cell_blanked(world: World) -> None:
    world.edit_row(A, pipeline=None)


# --- somebody is faster ----------------------------------------------------------------------------------------------


@whole
def source_changed_meanwhile(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    after_looking(world, lambda: world.edit_row(A, value=6))


@whole
def target_changed_meanwhile(world: World) -> None:
    world.crm.put(A, value=5, status="won")
    after_looking(world, lambda: world.edit_row(A, value=6))


@whole
def target_holds_it_already(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    after_looking(world, lambda: world.crm.put(A, value=5))


@whole
def row_holds_it_already(world: World) -> None:
    world.crm.put(A, value=5)
    after_looking(world, lambda: world.edit_row(A, value="5.00"))


@whole
def row_was_given_another_key(world: World) -> None:
    world.crm.put(A, value=5)
    row = world.table.row_of(A)
    after_looking(world, lambda: world.table.put(row, "otherDeal99"))


@whole
def deal_was_deleted_meanwhile(world: World) -> None:
    world.edit_row(A, value=5)
    world.edit_row(B, value=6)
    after_looking(world, lambda: world.crm.drop(A))


@whole
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


@whole
def gap_filled_meanwhile(world: World) -> None:
    world.edit_row(A, pipeline=None)
    world.crm.put(A, status="won")
    when(world, "table", "read", "before", lambda: world.edit_row(A, pipeline="Sales"))


@whole
def source_written_otherwise_meanwhile(world: World) -> None:
    world.edit_row(A, value=5)
    after_looking(world, lambda: world.edit_row(A, value="5.00"))


@whole
def source_and_target_hold_it_in_another_form(world: World) -> None:
    world.edit_row(A, value=5)

    def both() -> None:
        world.edit_row(A, value="5.00")
        world.crm.put(A, value=5)

    after_looking(world, both)


@whole
def stage_without_pipeline_written_otherwise_meanwhile(world: World) -> None:
    world.edit_row(A, pipeline=None, stage="Qualified")
    after_looking(world, lambda: world.edit_row(A, stage="QUALIFIED "))


@whole
def old_stage_without_pipeline_written_otherwise_meanwhile(world: World) -> None:
    world.crm.put(A, stage=["p1", "s2"])
    world.edit_row(A, pipeline=None)
    after_looking(world, lambda: world.edit_row(A, stage="NEW"))


@whole
def new_stage_without_pipeline_stands_there_already(world: World) -> None:
    world.crm.put(A, stage=["p1", "s2"])
    world.edit_row(A, pipeline=None)
    after_looking(world, lambda: world.edit_row(A, stage="QUALIFIED"))


@whole
def deal_is_in_that_stage_already(world: World) -> None:
    world.edit_row(A, stage="Qualified")
    after_looking(world, lambda: world.crm.put(A, stage=["p1", "s2"]))


@whole
def new_name_of_a_stage_stands_there_already(world: World) -> None:
    stage_renamed(world)
    after_looking(world, lambda: world.edit_row(A, stage="Fresh"))


@whole
def two_deals_were_deleted_meanwhile(world: World) -> None:
    world.edit_row(A, value=5)
    world.edit_row(B, value=6)

    def both() -> None:
        world.crm.drop(A)
        world.crm.drop(B)

    after_looking(world, both)


@whole
def two_rows_were_given_other_keys(world: World) -> None:
    rows = [world.table.row_of(deal) for deal in (A, B)]
    for deal in (A, B):
        world.crm.put(deal, value=5)

    def both() -> None:
        for row in rows:
            world.table.put(row, "otherDeal99")

    after_looking(world, both)


@whole
def row_gets_the_key_of_a_deal(world: World) -> None:
    """Both are new: nothing was agreed on."""
    world.deal(C)
    world.table.put("row3", C, name=f"Deal {C}", pipeline="Sales", stage="New", status="open", value=100, owner="Ann")


# --- lost answers ----------------------------------------------------------------------------------------------------


@whole
def lost_before_the_deal_got_it(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    world.crm.faults.lost = ["before"]


@whole
def lost_after_the_deal_got_it(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    world.crm.faults.lost = ["after"]


@whole
def lost_before_the_row_got_it(world: World) -> None:
    world.crm.put(A, value=5, status="won")
    world.table.faults.lost = ["before"]


@whole
def lost_after_the_row_got_it(world: World) -> None:
    world.crm.put(A, value=5, status="won")
    world.table.faults.lost = ["after"]


@whole
def lost_and_the_deal_was_edited(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    world.crm.faults.lost = ["after"]
    when(world, "crm", "write", "after", lambda: world.crm.put(A, value=9))


@whole
def lost_and_another_field_was_edited(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["before"]
    when(world, "crm", "write", "before", lambda: world.crm.put(A, name="Wall"))


@whole
def lost_and_set_back(world: World) -> None:
    world.edit_row(A, status="won", value=5)
    world.crm.faults.lost = ["after"]

    def back() -> None:
        world.clock.advance(1)
        world.crm.put(A, status="open")

    when(world, "crm", "write", "after", back)


@whole
def lost_and_the_cell_set_back(world: World) -> None:
    world.crm.put(A, status="won", value=5)
    world.table.faults.lost = ["after"]

    def back() -> None:
        world.clock.advance(3)
        world.edit_row(A, status="open")

    when(world, "table", "write", "after", back)


@whole
def lost_and_the_deal_is_gone(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["after"]
    when(world, "crm", "write", "after", lambda: world.crm.drop(A))


@whole
def lost_and_the_deal_cannot_be_read(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["after"]
    when(world, "crm", "write", "after", lambda: world.crm.faults.unread.add(A))


@whole
def lost_where_the_table_tells_no_times(world: World) -> None:
    world.crm.put(A, value=5)
    world.table.faults.lost = ["before"]
    world.table.clockless = True


@whole
def lost_where_the_crm_tells_no_times(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.lost = ["before"]
    when(world, "crm", "write", "before", lambda: setattr(world.crm, "clockless", True))


@whole
def lost_new_name_of_a_stage(world: World) -> None:
    fresh = replace(SALES, stages=(Stage("s1", "Fresh"), *SALES.stages[1:]))
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(fresh, SERVICE))
    world.table.faults.lost = ["before"]


@whole
def lost_new_rows_that_never_came(world: World) -> None:
    world.deal(C)
    world.deal(D, owner=None)
    world.table.faults.lost = ["before"]


@whole
def lost_new_rows_that_came(world: World) -> None:
    world.deal(C)
    world.deal(D, owner=None)
    world.table.faults.lost = ["after"]
    when(world, "table", "create", "after", lambda: world.edit_row(D, value=7))


@whole
def lost_new_row_that_came_twice(world: World) -> None:
    world.deal(C)
    world.table.faults.lost = ["after"]
    when(world, "table", "create", "after", lambda: world.table.put("copy", C, name="Copy"))


@whole
def lost_message(world: World) -> None:
    world.edit_row(A, stage="Nope")
    world.table.faults.lost = ["after"]


@whole
def lost_message_of_a_row_that_is_gone(world: World) -> None:
    row = world.table.row_of(A)
    world.edit_row(A, stage="Nope")
    world.table.faults.lost = ["after"]
    when(world, "table", "write", "after", lambda: world.table.drop(row))


@whole
def lost_deletion(world: World) -> None:
    world.choose(policy=Policy(DealDeleted.DELETE_ROW, RowDeleted.DELETE_DEAL))
    world.crm.drop(A)
    world.table.drop(world.table.row_of(B))
    world.table.faults.lost = ["before"]
    world.crm.faults.lost = ["after"]


@whole
def lost_deletion_that_cannot_be_looked_up(world: World) -> None:
    world.choose(policy=Policy(row_deleted=RowDeleted.DELETE_DEAL))
    world.table.drop(world.table.row_of(B))
    world.crm.faults.lost = ["after"]
    when(world, "crm", "delete", "after", lambda: world.crm.faults.unread.add(B))


@whole
def lost_and_the_row_is_to_be_written_too(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.put(A, name="Roof")
    world.crm.faults.lost = ["after"]


# --- refusals --------------------------------------------------------------------------------------------------------


@whole
def one_refused(world: World) -> None:
    world.edit_row(A, value=5)
    world.edit_row(B, value=6)
    world.crm.faults.refuse = refusing("Too large.", "value", only=A)


@whole
def two_refused_alike(world: World) -> None:
    world.edit_row(A, value=5, name="Roof")
    world.edit_row(B, value=6, name="Wall")
    world.crm.faults.refuse = refusing("Field “value” of ID is read-only.", "value")


@whole
def two_refused_otherwise(world: World) -> None:
    world.edit_row(A, value=5)
    world.edit_row(B, status="won")
    world.crm.faults.refuse = lambda _verb, _id, changes: Refused("Value is off." if "value" in changes else "No.")


@whole
def a_column_refused(world: World) -> None:
    world.crm.put(A, owner="u2", value=5)
    world.crm.put(B, owner="u2")
    world.table.faults.refuse = refusing("Owner cannot be written.", "owner", fields=(OWNER,), everyone=True)


@whole
def all_refused(world: World) -> None:
    for deal in (A, B):
        world.edit_row(deal, value=5)
    world.crm.put(A, status="won")
    world.crm.faults.refuse = refusing("This token may not write deals.", everyone=True)


@whole
def a_new_row_refused(world: World) -> None:
    world.deal(C)
    world.deal(D)
    world.table.faults.refuse = refusing("Too long.", only=C)


@whole
def all_new_rows_refused(world: World) -> None:
    world.table.write_batch = 2
    for n in range(5):
        world.deal(f"deal{n}", owner=None, source=None)
    world.table.faults.refuse = refusing("No row for “ID”.")


@whole
def new_rows_refused_for_a_column(world: World) -> None:
    world.deal(C)
    world.deal(D)
    world.table.faults.refuse = refusing("Owner cannot be written.", "owner", fields=(OWNER,), everyone=True)


@whole
def the_whole_table_refused(world: World) -> None:
    world.deal(C)
    for deal in (A, B):
        world.crm.put(deal, value=5)
    world.edit_row(A, status="sold")
    world.table.faults.refuse = refusing("This token may not write.", everyone=True)


@whole
def a_message_refused(world: World) -> None:
    world.edit_row(A, stage="Nope")
    world.edit_row(B, stage="Nope")
    world.table.faults.refuse = refusing("The cell is locked.", only=world.table.row_of(A))


@whole
def ignored_by_the_crm(world: World) -> None:
    world.edit_row(A, value=5, status="won")
    world.crm.faults.ignores.add("value")


@whole
def ignored_by_the_table(world: World) -> None:
    world.crm.put(A, value=5, name="Roof")
    world.table.faults.ignores |= {"value", "name"}


@whole
def a_column_of_the_crm_refused(world: World) -> None:
    for deal in (A, B):
        world.edit_row(deal, value=5, name="Roof")
    world.crm.faults.refuse = refusing("Value cannot be written.", "value", fields=(VALUE,), everyone=True)


@whole
def all_refused_after_the_first(world: World) -> None:
    world.filled(C, D)
    for n, deal in enumerate((A, B, C, D)):
        world.edit_row(deal, value=n)
    after_looking(world, lambda: world.edit_row(A, value=9))
    when(world, "crm", "write", "after", lambda: setattr(world.crm.faults, "refuse", refusing("No.", everyone=True)))


@whole
def new_name_of_a_stage_is_ignored(world: World) -> None:
    stage_renamed(world)
    world.table.faults.ignores.add("stage")


@whole
def ignored_and_then_it_cannot_be_read(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.ignores.add("value")
    when(world, "crm", "write", "after", lambda: world.crm.faults.unread.add(A))


@whole
def answered_with_the_record_as_it_was(world: World) -> None:
    world.edit_row(A, value=5)
    write, before = world.crm.write, world.crm.record(A, world.crm.deals[A][-1])

    def late(patches: Sequence[Patch]) -> list[WriteResult]:
        write(patches)
        return [Written(before)]

    world.crm.write = late  # type: ignore[method-assign]


@whole
def an_update_and_a_new_row_refused_in_the_same_words(world: World) -> None:
    """Making a row is another thing: two of each would be needed to blame the table."""
    world.crm.put(A, value=5)
    world.deal(C)
    row = world.table.row_of(A)
    world.table.faults.refuse = lambda _verb, id, _changes: Refused("No.") if id in (row, C) else None


@whole
def two_keys_refused_alike(world: World) -> None:
    """Rows can be made all the same."""
    for deal in (A, B):
        world.table.put(world.table.row_of(deal), "")
    world.deal(C, owner=None, source=None)
    world.table.faults.refuse = lambda verb, _id, _changes: Refused("No.") if verb == "write" else None


@whole
def new_rows_without_their_value_and_stage(world: World) -> None:
    """Columns that are refused, and what then stands in them: a blank value is 0."""
    world.deal(C)
    world.table.faults.refuse = refusing("No.", "value", "stage", fields=(VALUE, STAGE), everyone=True)


# --- what the server makes of it -------------------------------------------------------------------------------------


@whole
def tidied_by_the_crm(world: World) -> None:
    world.edit_row(A, name="big roof")
    world.crm.faults.tidy = lambda name, raw: str(raw).title() if name == "name" else raw


@whole
def form_of_the_crm_is_taken_after_three_tries(world: World) -> None:
    """It keeps “Big Roof”, whatever the letters are that it is sent."""
    world.crm.put(A, name="Big Roof")
    world.run()
    world.crm.faults.tidy = lambda name, raw: str(raw).title() if name == "name" else raw
    world.edit_row(A, name="BIG ROOF")
    for pause in (1, 100, 200):
        world.run(pause)
    world.clock.advance(300)


@whole
def tidied_by_the_table(world: World) -> None:
    world.crm.put(A, value=7.25)
    world.table.faults.tidy = lambda name, raw: 7.2 if name == "value" else raw


@whole
def something_else_came_back(world: World) -> None:
    world.edit_row(A, value=5)
    world.crm.faults.tidy = lambda name, raw: 42 if name == "value" else raw


# --- new rows and messages -------------------------------------------------------------------------------------------


@whole
def row_comes_back(world: World) -> None:
    world.table.drop(world.table.row_of(A))


@whole
def row_comes_back_but_its_deal_was_edited(world: World) -> None:
    world.table.drop(world.table.row_of(A))
    after_looking(world, lambda: world.crm.put(A, value=5))


@whole
def row_comes_back_but_its_deal_is_gone(world: World) -> None:
    world.table.drop(world.table.row_of(A))
    after_looking(world, lambda: when(world, "crm", "read", "before", lambda: world.crm.drop(A)))


@whole
def new_rows_in_batches(world: World) -> None:
    world.table.write_batch = 2
    for n in range(3):
        world.deal(f"deal{n}", owner=None, value=0, source=None)


@whole
def row_comes_back_changed_and_no_others_can_be_made(world: World) -> None:
    world.table.write_batch = 1
    row_comes_back_but_its_deal_was_edited(world)
    for n in range(4):
        world.deal(f"deal{n}", owner=None, source=None)
    world.table.faults.refuse = lambda verb, id, _c: Refused(f"No row for “{id}”.") if verb == "create" else None


@whole
def row_of_a_deal_that_was_restored_comes_back(world: World) -> None:
    values = dict(world.crm.now(A) or {})
    world.crm.drop(A)
    world.run(1)
    world.crm.put(A, **values)
    world.table.drop(world.table.row_of(A))


@whole
def one_answer_of_two_new_rows_is_lost(world: World) -> None:
    world.deal(C, owner=None, source=None)
    world.deal(D, owner=None, source=None)
    create = world.table.create

    def half(records: Sequence[NewRecord]) -> list[WriteResult]:
        world.table.create = create  # type: ignore[method-assign]
        return [Lost("No answer."), *create(records)[1:]]

    world.table.create = half  # type: ignore[method-assign]


@whole
def cells_filled_while_a_lost_row_is_looked_for(world: World) -> None:
    world.deal(C, owner=None, source=None, value=0)
    world.table.faults.lost = ["after"]
    when(world, "table", "create", "after", lambda: world.edit_row(C, owner="Bob", name="CUT"))


@whole
def the_table_goes_down_while_rows_are_made(world: World) -> None:
    world.deal(C, owner=None, source=None)
    world.table.faults.down_on = frozenset({"create"})


@whole
def the_table_goes_down_while_messages_are_written(world: World) -> None:
    world.edit_row(A, status="sold")
    die(world)


@whole
def messages_in_batches(world: World) -> None:
    world.table.write_batch = 2
    for deal in (A, B):
        world.edit_row(deal, status="sold")
    world.table.put("row0003", "no id", name="Three")


@whole
def message_that_no_longer_holds(world: World) -> None:
    world.edit_row(A, stage="Nope")
    world.run(1)
    world.edit_row(A, stage="New")


@whole
def message_that_replaces_another(world: World) -> None:
    world.edit_row(A, stage="Nope")
    world.run(1)
    world.edit_row(A, stage="Still nope")


@whole
def the_table_goes_down(world: World) -> None:
    world.crm.put(A, value=5)
    world.crm.put(B, value=6)
    die(world)


@pytest.mark.parametrize("story", STORIES, ids=[story.__name__ for story in STORIES])
def test_the_whole_pass(tmp_path: Path, story: Story) -> None:
    world = World(tmp_path).filled(A, B).choose(limits=NO_LIMITS)
    story(world)
    kept = Diary(world)
    check("passes", story.__name__, kept.ended(world.run()))
    world.close()
