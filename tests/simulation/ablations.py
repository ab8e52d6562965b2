"""Every rule of SPEC §§2-4 switched off, one at a time, to see a property fall (README.md has the table).

A rule is switched off by replacing a function of the engine while a seed runs; users have no such switch. To add one:
a function that yields the patches, and a line in `ABLATIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest.mock import patch

import syncd.carry as carry
import syncd.carry_deals as carry_deals
import syncd.carry_deletions as carry_deletions
import syncd.generation as generation
import syncd.guards as guards
import syncd.judge as judge
import syncd.look as looking
import syncd.opened as opening
import syncd.plan as plan
import syncd.reconcile as reconcile
from syncd.decide import Kind, Order, decide, order
from syncd.guards import HeldSet
from syncd.judge import ChangeKind, Past
from syncd.model import ABSENT, UNKNOWN, Direction, Link, LinkState, PackedShadow, Record, Side, Stamp
from syncd.sides import Lost, Refused, SideDown, Unread, Written
from syncd.store import Store
from syncd.values import Names, Problem, TextCodec
from tests.memory import MemoryTable
from tests.simulation.sides import SimCrm, SimTable

Patch = tuple[object, str, object]


@dataclass(frozen=True, slots=True)
class Ablation:
    """A rule without which the engine runs. `covered` says which other rule makes up for it, where nothing falls."""

    name: str
    rule: str
    patches: Callable[[], list[Patch]]
    covered: str = ""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The engine without the rule."""
        with ExitStack() as stack:
            for target, name, new in self.patches():
                stack.enter_context(patch.object(target, name, new))
            yield


def wrapped(target: object, name: str, around: Callable[[Any], Any]) -> list[Patch]:
    """A patch that makes something of the real function."""
    return [(target, name, around(getattr(target, name)))]


# --- §2 --------------------------------------------------------------------------------------------------------------


def equal_values_are_written() -> list[Patch]:
    def decided(o: Any, x: Any, y: Any, *given: Any) -> Kind:
        kind = decide(o, x, y, *given)
        return Kind.TO_Y if kind is Kind.AGREE and x != o else kind

    return [(judge, "decide", decided)]


def stamps_find_changes() -> list[Patch]:
    """Whatever differs goes to the side whose stamp is older, whoever changed it."""

    def decided(o: Any, x: Any, y: Any, at_x: Any, at_y: Any, rules: Any) -> Kind:
        if x is UNKNOWN or y is UNKNOWN or x == y or o is ABSENT:
            return decide(o, x, y, at_x, at_y, rules)
        return decide(object(), x, y, at_x, at_y, rules)  # type: ignore[arg-type]

    return [(judge, "decide", decided)]


def ties_by_stamp() -> list[Patch]:
    import syncd.decide as module

    def ordered(x: Stamp, y: Stamp, _tie: float) -> Order:
        exact = order(x, y, 0.0)
        return exact if exact is not Order.TIE else Order.Y_LATER

    return [(module, "order", ordered)]


def windows_are_instants() -> list[Patch]:
    import syncd.decide as module

    def ordered(x: Stamp, y: Stamp, tie: float) -> Order:
        known = [Stamp(one.high, one.high) if math.isfinite(one.low) else one for one in (x, y)]
        return order(known[0], known[1], tie)

    return [(module, "order", ordered)]


def earlier_wins() -> list[Patch]:
    import syncd.decide as module

    def ordered(x: Stamp, y: Stamp, tie: float) -> Order:
        return order(y, x, tie)

    return [(module, "order", ordered)]


def own_stamps_count() -> list[Patch]:
    return [(plan, "Past", lambda *_: Past())]


def losers_not_kept() -> list[Patch]:
    def quiet(real: Any) -> Any:
        def judged(*given: Any, **named: Any) -> Any:
            verdict = real(*given, **named)
            if verdict.change is None or verdict.change.kind is not ChangeKind.CONFLICT:
                return verdict
            return replace(verdict, change=replace(verdict.change, kind=ChangeKind.EDIT))

        return judged

    return wrapped(plan, "judge", quiet)


def clocks_not_corrected() -> list[Patch]:
    return [(judge.Ground, "offset", lambda _self, _side: 0.0)]


def raw_values_forgotten() -> list[Patch]:
    """A cell's meaning is looked up anew each time, also where its raw value is as it was."""

    def around(real: Any) -> Any:
        def judged(ground: Any, index: int, agreed: Any, *given: Any) -> Any:
            if agreed is not None:
                agreed = replace(agreed, crm=["?"], table=["?"])
            return real(ground, index, agreed, *given)

        return judged

    return wrapped(plan, "judge", around)


def options_by_label_only() -> list[Patch]:
    def around(real: Any) -> Any:
        def names(*given: Any, **named: Any) -> Any:
            return {name: Names() for name in real(*given, **named)}

        return names

    return wrapped(opening, "names_first_met", around)


# --- §3.1, 3.2 -------------------------------------------------------------------------------------------------------


def source_not_read_again() -> list[Patch]:
    """What the plan saw is copied."""

    def of(self: Any, batch: Any, _position: int) -> dict[str, Any]:
        found = {}
        for update in batch:
            raw = {change.index: change.source_raw for change in update.changes}
            cells = tuple(raw.get(index) for index in range(len(self.work.names)))
            found[update.source_id] = Record(update.source_id, cells)
        return found

    return [(carry._Sources, "of", of)]


def source_not_compared() -> list[Patch]:
    return [(carry, "_still_source", lambda *_: True)]


def old_source_reads() -> list[Patch]:
    return [(carry, "SOURCE_AGE_SECONDS", math.inf)]


def target_not_compared() -> list[Patch]:
    """The target is overwritten whatever it holds by now."""

    def around(real: Any) -> Any:
        def recheck(work: Any, update: Any, source: Any, target: Any) -> Any:
            if isinstance(target, Record):
                raw = list(target.raw)
                for change in update.changes:
                    raw[change.index] = change.target_raw
                target = replace(target, raw=tuple(raw))
            return real(work, update, source, target)

        return recheck

    return wrapped(carry, "recheck", around)


def second_look() -> list[Patch]:
    return [*source_not_compared(), *target_not_compared()]


def found_values_written() -> list[Patch]:
    """A target that holds the value by now is written all the same."""

    def around(real: Any) -> Any:
        def recheck(work: Any, update: Any, source: Any, target: Any) -> Any:
            ready = real(work, update, source, target)
            if ready is None and isinstance(target, Record) and isinstance(source, Record) and update.changes:
                ready = carry.Ready(update, source, target)
            return ready

        return recheck

    return wrapped(carry, "recheck", around)


def whole_records_written() -> list[Patch]:
    """A write names every field, not only those that changed."""

    def around(real: Any) -> Any:
        def write(work: Any, side: Any, ready: Any) -> Any:
            full = []
            for item in ready:
                named = {change.index for change in item.update.changes}
                link = work.store.link(item.update.deal)
                extra = []
                for index, name in enumerate(work.names):
                    agreed = link.agreed().get(name) if link is not None else None
                    both = work.ground.fields[index].direction is Direction.BOTH
                    if index not in named and agreed is not None and agreed.value is not None and both and named:
                        first = item.update.changes[0]
                        held = item.target.raw[index]
                        extra.append(
                            replace(first, index=index, old=agreed.value, new=agreed.value, kind=ChangeKind.EDIT,
                                    target_raw=held, source_raw=None)
                        )  # fmt: skip
                full.append(replace(item, update=replace(item.update, changes=(*item.update.changes, *extra))))
            return real(work, side, full)

        return write

    return wrapped(carry, "write_updates", around)


# --- §3.3, 3.5: intents ----------------------------------------------------------------------------------------------


def intents_not_stored() -> list[Patch]:
    """Nothing is left to be settled after a kill or a lost answer."""
    return [(Store, "open_writes", lambda _self: [])]


def shadow_before_the_write() -> list[Patch]:
    def around(real: Any) -> Any:
        def once(work: Any, side: Any, ready: Any) -> Any:
            for item in ready:
                link = work.store.link(item.update.deal)
                if link is not None:
                    pairs = [(change, (change.source_raw, change.source_raw)) for change in item.update.changes]
                    work.store.put_links([carry.with_agreed(work, link, pairs)])
            return real(work, side, ready)

        return once

    return wrapped(carry, "_write_once", around)


def end_before_the_shadow() -> list[Patch]:
    """The intent ends in a transaction of its own, before that of the shadow."""

    def around(real: Any) -> Any:
        def finish(work: Any, side: Any, write_id: int, item: Any, result: Any) -> None:
            if isinstance(result, Written):
                with work.store.tx():
                    work.store.end(write_id, work.clock(), "done")
            real(work, side, write_id, item, result)

        return finish

    return wrapped(carry, "finish_update", around)


def lost_is_not_done() -> list[Patch]:
    """A lost write is taken as never arrived and planned again."""
    return [(carry, "_fate", lambda *_: "not_done")]


def lost_is_done() -> list[Patch]:
    return [(carry, "_fate", lambda *_: "done")]


def set_back_is_not_done() -> list[Patch]:
    """The old value means that the write never arrived, also where somebody typed it since."""
    return [(carry, "_edited_since", lambda *_: False)]


def lost_is_repeated() -> list[Patch]:
    def around(real: Any) -> Any:
        def sent(work: Any, ids: Any, send: Any) -> Any:
            results = real(work, ids, send)
            return real(work, ids, send) if any(isinstance(one, Lost) for one in results) else results

        return sent

    return wrapped(carry, "_sent", around)


def busy_deals_are_planned() -> list[Patch]:
    """A deal with an unsettled write does not wait."""

    def around(real: Any) -> Any:
        def look(pair: Any, opened: Any, *, busy: Any = frozenset()) -> Any:
            return real(pair, opened)

        return look

    return wrapped(reconcile, "look", around)


def refused_is_done() -> list[Patch]:
    """Whatever the server says, the shadow moves."""

    def around(real: Any) -> Any:
        def finish(work: Any, side: Any, write_id: int, item: Any, result: Any) -> None:
            real(work, side, write_id, item, Written(item.target) if isinstance(result, Refused) else result)

        return finish

    return [*wrapped(carry, "finish_update", around), (carry, "_ignored", lambda *_: False)]


def thrown_away_is_done() -> list[Patch]:
    return [(carry, "_ignored", lambda *_: False)]


def answers_not_read_back() -> list[Patch]:
    """What the server made of our value is not remembered."""
    return [(carry, "returned_raw", lambda codec, side, value, _raw: judge.write_raw(codec, side, value))]


def edits_in_answers_swallowed() -> list[Patch]:
    """Whatever the answer of a write shows counts as ours."""
    return [(carry, "returned_raw", lambda _codec, _side, _value, raw: raw)]


def lost_rows_made_again() -> list[Patch]:
    """A row whose making was not answered is not looked for, and search or sweep tell nothing of it."""

    def not_looked_for(work: Any, write: Any) -> bool:
        with work.store.tx():
            work.store.end(write.id, work.clock(), "not_done")
        return True

    return [(carry, "_settle_create", not_looked_for), *no_upsert()]


def no_upsert() -> list[Patch]:
    """Rows are added without looking for their key."""

    def around(real: Any) -> Any:
        def create(self: Any, new: Any) -> Any:
            keys = {row: held.key for row, held in self.rows.items() if held.key == new.partner}
            for row in keys:
                self.rows[row].key = None
            result = real(self, new)
            for row, key in keys.items():
                self.rows[row].key = key
            return result

        return create

    return wrapped(MemoryTable, "_create", around)


def found_rows_are_ours() -> list[Patch]:
    """A row that is found by its key after a lost answer is taken as written, whatever stands in it."""
    return [(carry, "_held_as_written", lambda _work, _write, written, _row: set(written))]


# --- §3.4: stale reads -----------------------------------------------------------------------------------------------


def without_seen(real: Any) -> Any:
    def make_plan(view: Any) -> Any:
        links = {deal: replace(link, seen=None) for deal, link in view.links.items()}
        made = real(replace(view, links=links))
        for place, link in enumerate(made.links):
            seen = view.links[link.deal].seen if link.deal in view.links else None
            if seen is not None and (link.seen is None or link.seen < seen):
                made.links[place] = replace(link, seen=seen)
        return made

    return make_plan


def stale_sights_count() -> list[Patch]:
    """What search shows is taken for the present, also where it is older than our own write."""
    return wrapped(looking, "make_plan", without_seen)


def stale_and_no_second_look() -> list[Patch]:
    return [*stale_sights_count(), *source_not_read_again()]


def stamps_go_back() -> list[Patch]:
    def around(real: Any) -> Any:
        def seen(self: Any, link: Link, deal: Record) -> Link:
            moved: Link = real(self, link, deal)
            return replace(moved, seen=deal.stamp)

        return seen

    def ever_new(view: Any) -> Any:
        return plan.make_plan(replace(view, links={d: replace(link, seen=None) for d, link in view.links.items()}))

    return [*wrapped(plan._Planner, "seen", around), (looking, "make_plan", ever_new)]


# --- §§1, 3.6: absence -----------------------------------------------------------------------------------------------


def missing_deals_are_deleted() -> list[Patch]:
    def around(real: Any) -> Any:
        def deal(self: Any, deal_id: str) -> Any:
            found = real(self, deal_id)
            return ABSENT if found is None and deal_id in self.view.links else found

        return deal

    return wrapped(plan._Planner, "deal", around)


def missing_rows_are_deleted() -> list[Patch]:
    def around(real: Any) -> Any:
        def row(self: Any, row_id: str) -> Any:
            found = real(self, row_id)
            return ABSENT if found is None else found

        return row

    return wrapped(plan._Planner, "row", around)


def refused_reads_are_absent() -> list[Patch]:
    """Any error of a read by id means that the record is gone."""

    def around(real: Any) -> Any:
        def read(self: Any, ids: Any, *, needed: Any = None) -> Any:
            found = real(self, ids, needed=needed)
            return {key: ABSENT if isinstance(one, Unread) else one for key, one in found.items()}

        return read

    return [*wrapped(SimCrm, "read", around), *wrapped(SimTable, "read", around)]


def short_sweeps_are_whole() -> list[Patch]:
    """A sweep that ends with an error is taken for complete."""

    def around(real: Any) -> Any:
        def sweep(self: Any, *sieve: Any) -> Any:
            try:
                yield from real(self, *sieve)
            except SideDown:
                return

        return sweep

    return [*wrapped(SimCrm, "sweep", around), *wrapped(SimTable, "sweep", around)]


def short_sweeps_and_absence() -> list[Patch]:
    return [*short_sweeps_are_whole(), *missing_rows_are_deleted()]


# --- §§3.7, 3.8, 5 ---------------------------------------------------------------------------------------------------


def refused_for_ever() -> list[Patch]:
    return [(carry, "FIRST_PAUSE_SECONDS", 1e12), (carry, "LONGEST_PAUSE_SECONDS", 1e12)]


def blanks_not_filled() -> list[Patch]:
    return [(judge, "_is_fill", lambda *_: False)]


def blanks_are_carried() -> list[Patch]:
    return (
        [(judge, "NEVER_BLANK", frozenset()), (plan, "TextCodec", TextCodec)]
        if hasattr(plan, "TextCodec")
        else [(judge, "NEVER_BLANK", frozenset())]
    )


def twofold_rows_are_written() -> list[Patch]:
    """Of two rows with one key the first is taken."""

    def around(real: Any) -> Any:
        def settle_row(self: Any, link: Link) -> Any:
            rows = self.carriers.get(link.deal, [])
            if len(rows) > 1:
                self.carriers[link.deal] = [link.row if link.row in rows else rows[0]]
            return real(self, link)

        return settle_row

    return wrapped(plan._Planner, "settle_row", around)


def keys_not_put_back() -> list[Patch]:
    def around(real: Any) -> Any:
        def add(self: Any, update: Any) -> Any:
            if not update.changes:
                return ""
            return real(self, replace(update, partner=None))

        return add

    return wrapped(plan._Planner, "add", around)


def links_do_not_move() -> list[Patch]:
    return [(plan._Planner, "moved", lambda *_: None)]


def wrong_keys_are_followed() -> list[Patch]:
    """A row whose key was changed to another deal's is still written."""

    def around(real: Any) -> Any:
        def settle_row(self: Any, link: Link) -> Any:
            own = self.row(link.row)
            return link if isinstance(own, Record) and link.state is LinkState.BOTH else real(self, link)

        return settle_row

    return wrapped(plan._Planner, "settle_row", around)


def new_names_not_written() -> list[Patch]:
    return [(module, "label_text", lambda *_given: {}) for module in (opening, looking, reconcile)]


def one_way_goes_back() -> list[Patch]:
    def around(real: Any) -> Any:
        def active(*given: Any) -> Any:
            return tuple(replace(f, direction=Direction.BOTH) for f in real(*given))

        return active

    return wrapped(opening, "active_fields", around)


def told_every_time() -> list[Patch]:
    """Sync cells are written in each pass, not only when they change."""

    def around(real: Any) -> Any:
        def make_plan(view: Any) -> Any:
            return real(replace(view, messages=dict.fromkeys(view.table, "?")))

        return make_plan

    return wrapped(looking, "make_plan", around)


def unknown_choices_cleared() -> list[Patch]:
    """What a cell says and nobody knows is overwritten with the CRM's value."""

    def around(real: Any) -> Any:
        def value(ground: Any, index: int, record: Any, agreed: Any, known: Any) -> Any:
            found, problem = real(ground, index, record, agreed, known)
            if isinstance(problem, Problem) and agreed is not None:
                return agreed.value, None
            return found, problem

        return value

    def filled(ground: Any, index: int, codec: Any, table: Any, _x: Any, _y: Any) -> bool:
        return isinstance(codec.from_table(table.raw[index], None), Problem)

    return [*wrapped(judge, "_table_value", around), (judge, "_is_fill", filled)]


def new_names_always_arrive() -> list[Patch]:
    """A new name that the table threw away counts as written."""

    def around(real: Any) -> Any:
        def ignored(work: Any, side: Any, change: Any, record: Any) -> Any:
            return change.kind is not ChangeKind.RENAME and real(work, side, change, record)

        return ignored

    return wrapped(carry, "_ignored", around)


def refused_as_a_whole() -> list[Patch]:
    """Where one field of a write was thrown away, nothing of it is acknowledged."""

    def around(real: Any) -> Any:
        def finish(work: Any, side: Any, write_id: int, item: Any, _ignored: Any, *answers: Any) -> None:
            real(work, side, write_id, item, item.update.changes, *answers)

        return finish

    return wrapped(carry, "_finish_part", around)


def blanks_of_new_records_are_edits() -> list[Patch]:
    return [(module, "left_out", lambda *_given: False) for module in (carry, carry_deals)]


# --- §4, and what §5 leaves to settings -------------------------------------------------------------------------------


def nothing_is_held() -> list[Patch]:
    return [(looking, "held_sets", lambda *_given: [])]


def an_approval_covers_its_column() -> list[Patch]:
    def unapproved(found: HeldSet, approved: Any) -> HeldSet:
        return replace(found, members=()) if any(one.key == found.key for one in approved) else found

    return [
        (guards, "unapproved", unapproved),
        (looking, "unapproved", unapproved),
        (opening, "unapproved", unapproved),
    ]


def approvals_last() -> list[Patch]:
    return [(reconcile, "still_wanted", lambda approved, _found: approved)]


def deletions_are_not_held() -> list[Patch]:
    return [(guards, "too_many_deletions", lambda *_given: False)]


def old_databases_are_believed() -> list[Patch]:
    return [(generation, "is_current", lambda _store: True)]


def nothing_is_frozen() -> list[Patch]:
    return [(looking, "oscillations", lambda *_given: {})]


def half_typed_is_carried() -> list[Patch]:
    return [(plan._Planner, "being_typed", lambda *_given: False)]


def deletions_on_the_word_of_the_plan() -> list[Patch]:
    def still_due(work: Any, deletion: Any) -> Any:
        target = deletion.deal if deletion.side is Side.CRM else deletion.row
        found = work.sides[deletion.side].read([target], needed=())[target]
        return found if isinstance(found, Record) else None

    return [(carry_deletions, "_still_due", still_due)]


def edited_records_are_deleted() -> list[Patch]:
    def still_due(work: Any, deletion: Any) -> Any:
        gone = deletion.row if deletion.side is Side.CRM else deletion.deal
        if work.sides[deletion.side.other].read([gone], needed=())[gone] is not ABSENT:
            return None
        return deletions_on_the_word_of_the_plan()[0][2](work, deletion)  # type: ignore[operator]

    return [(carry_deletions, "_still_due", still_due), (plan._Planner, "as_agreed", lambda *_given: True)]


def lost_deals_are_made_again() -> list[Patch]:
    def settle(work: Any, _read_lag_seconds: float) -> None:
        for write in work.store.open_writes():
            if carry.makes_deal(write):
                with work.store.tx():
                    work.store.end(write.id, work.clock(), "not_done")

    return [(reconcile, "settle_new_deals", settle)]


def rows_under_way_are_planned() -> list[Patch]:
    return [(looking, "under_way", lambda _writes: {})]


ABLATIONS: Final = (
    Ablation(
        "equal values",
        "§2: equal values become the shadow, nothing is written",
        equal_values_are_written,
        "What the target shows already is never written (judge._there); both off: tests/test_decide.py, test_judge.py.",
    ),
    Ablation("values decide", "§2: values decide what changed, not stamps", stamps_find_changes),
    Ablation("ties", "§2: close stamps are a tie, the configured side wins", ties_by_stamp),
    Ablation("windows", "§2: inside the window of two reads of a sheet is a tie", windows_are_instants),
    Ablation("later wins", "§2: the later edit wins", earlier_wins),
    Ablation("own stamps", "§2: a stamp set by an own write does not count", own_stamps_count),
    Ablation("losers", "§2: the loser of a conflict is kept and logged", losers_not_kept),
    Ablation("offsets", "§2: stamps are corrected by each server's clock", clocks_not_corrected),
    Ablation("raw beside the shadow", "§1: an unchanged raw value is unchanged", raw_values_forgotten),
    Ablation("first met", "§1: options keep the meaning they had when first met", options_by_label_only),
    Ablation("source read", "§3.1: the source is read again before a value is copied", source_not_read_again),
    Ablation("source compared", "§3.1: source still x", source_not_compared),
    Ablation(
        "source age",
        "§3.1: a batched read is at most 5 s old",
        old_source_reads,
        "A pass here rarely lasts 5 s between two reads: tests/test_carry.py.",
    ),
    Ablation("target compared", "§3.1: target still u", target_not_compared),
    Ablation("second look", "§3.1: source and target are compared again", second_look),
    Ablation("adopt", "§3.1: target already x: adopt", found_values_written),
    Ablation("only what changes", "§3.2: a write names only the fields that change", whole_records_written),
    Ablation("intents", "§3.3: an intent is stored before every write", intents_not_stored),
    Ablation("acknowledgement", "§3.3: the shadow moves only on acknowledgement", shadow_before_the_write),
    Ablation(
        "one transaction",
        "§3.3: the shadow and the end of the intent in one transaction",
        end_before_the_shadow,
        "An intent that is still open is settled by reading, and equal values agree: tests/test_carry.py.",
    ),
    Ablation("settle by reading", "§3.3: an open intent is settled by what the target holds", lost_is_not_done),
    Ablation("settle, not believe", "§3.3: it holds the old value: not done", lost_is_done),
    Ablation(
        "settle by clock",
        "§3.3: the old value typed since is a person's",
        set_back_is_not_done,
        "It takes an edit back to the old value before a lost write is settled, one world in thousands: "
        "tests/test_settle.py.",
    ),
    Ablation("no repeating", "§3.5: a lost write is settled, not repeated", lost_is_repeated),
    Ablation(
        "busy",
        "§3.3: settled before planning",
        busy_deals_are_planned,
        "The second look holds a deal whose write has no answer; tests/test_plan.py.",
    ),
    Ablation("refusals", "§3.3: a refused write moves no shadow", refused_is_done),
    Ablation(
        "thrown away",
        "H20: taken and thrown away is refused",
        thrown_away_is_done,
        "What the target still holds is settled by the next passes; told apart in tests/test_carry.py.",
    ),
    Ablation(
        "read back",
        "§3.3: what the server returns is stored",
        answers_not_read_back,
        "The next sweep shows the same; told apart in tests/test_carry.py.",
    ),
    Ablation(
        "edits in answers",
        "§3.3: anything else in an answer is a later edit",
        edits_in_answers_swallowed,
        "The next sweep shows the same; told apart in tests/test_carry.py.",
    ),
    Ablation(
        "looked for by key",
        "§3.5: a row is looked for by key before it is made again",
        lost_rows_made_again,
        "The upsert makes no second row; tests/test_carry.py counts the writes.",
    ),
    Ablation(
        "upsert",
        "§3.5: rows are made with an upsert on the key",
        no_upsert,
        "A row is looked for by its key before it is made again; tests/test_airtable_side.py.",
    ),
    Ablation(
        "found is compared",
        "§3.5: a row that is found is compared",
        found_rows_are_ours,
        "The upsert rewrites only what it made; tests/test_carry.py.",
    ),
    Ablation(
        "stale is unknown",
        "§3.4: older than what was seen is unknown",
        stale_sights_count,
        "The second look reads the deal by id; without both (next line) P2 falls.",
    ),
    Ablation("stale, unread", "§§3.1, 3.4: neither stale sights nor a second look", stale_and_no_second_look),
    Ablation("forward only", "§6: stamps only move forward", stamps_go_back),
    Ablation("deals by id", "§3.6: only a read by id makes a deal deleted", missing_deals_are_deleted),
    Ablation("rows by id", "§3.6: only a read by id makes a row deleted", missing_rows_are_deleted),
    Ablation("refused reads", "§1: a refused read is unknown, never absent", refused_reads_are_absent),
    Ablation("whole sweeps", "§3.6: a sweep is complete only at its end marker", short_sweeps_are_whole),
    Ablation("whole sweeps, by id", "§3.6: neither end marker nor read by id", short_sweeps_and_absence),
    Ablation("quarantine ends", "§3.7: a refused record is tried again", refused_for_ever),
    Ablation("fill", "§5: a blank stage, status or name is filled again", blanks_not_filled),
    Ablation("never blank", "§5: a blank stage, status or name is not carried", blanks_are_carried),
    Ablation("twofold", "§5: two rows with one id are left alone", twofold_rows_are_written),
    Ablation("keys back", "§5: a cleared key comes back", keys_not_put_back),
    Ablation("keys move", "§5: the link moves with the key", links_do_not_move),
    Ablation("wrong keys", "§5: nothing is written for a row with a wrong key", wrong_keys_are_followed),
    Ablation("new names", "§5: the rows get the new name of a stage", new_names_not_written),
    Ablation("one way", "§5: a one-way column is not carried back", one_way_goes_back),
    Ablation("said once", "§5: a Sync cell is written only when it changes", told_every_time),
    Ablation("mass changes", "§4: more changes than the limits are held", nothing_is_held),
    Ablation("exact approval", "§4: an approval covers exactly its set", an_approval_covers_its_column),
    Ablation(
        "approvals end",
        "§4: an approval that has served is gone",
        approvals_last,
        "a second accident with the very same old and new values: tests/test_trust.py",
    ),
    Ablation("mass deletions", "§4: more deletions than the limits are held", deletions_are_not_held),
    Ablation("generation", "§4: an old database is not believed", old_databases_are_believed),
    Ablation("frozen", "§4: what is set back and forth is frozen", nothing_is_frozen),
    Ablation("quiet", "§4: a cell that is being typed is left alone", half_typed_is_carried),
    Ablation(
        "deletions by id", "§6, P8: deleted only where the other record is gone", deletions_on_the_word_of_the_plan
    ),
    Ablation("edit beats deletion", "§2: a changed value beats a deletion", edited_records_are_deleted),
    Ablation("lost deals", "§3.5: a lost new deal is looked for before it is made again", lost_deals_are_made_again),
    Ablation("deals under way", "§3.5: a row whose deal is under way waits", rows_under_way_are_planned),
    Ablation("typed stays", "§5: an unknown choice stays as typed", unknown_choices_cleared),
    Ablation(
        "names arrive",
        "H20: a new name that was thrown away is not taken for written",
        new_names_always_arrive,
        "The kept seed 4347 shows it; tests/test_settled_later.py.",
    ),
    Ablation(
        "in part",
        "H20: what arrived beside a thrown-away field is acknowledged",
        refused_as_a_whole,
        "It takes several coincidences (seed 1370 once): tests/test_settled_later.py.",
    ),
    Ablation("left out", "H20: a new record's blank is no edit", blanks_of_new_records_are_edits),
)


__all__ = ["ABLATIONS", "Ablation", "PackedShadow", "Side"]
