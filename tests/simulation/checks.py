"""The safety properties of SPEC §6, checked at every write and every commit. Each raises `Broken` with a story.

To add a check: a function of the ghost and what just happened, called from `written` or `committed`. An exemption
names its clause of SPEC or LIMITS and is counted, so that a run without it, or one that lives off it, is seen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from syncd.carry import SOURCE_AGE_SECONDS
from syncd.fields import NEVER_BLANK, OWN_CLOCK
from syncd.guards import OSCILLATION_SECONDS, OSCILLATIONS, returns, too_many_changes
from syncd.guards import too_many_deletions as beyond_deletions
from syncd.incremental import OPENED_SECONDS
from syncd.judge import ChangeKind, unchanged
from syncd.model import Direction, Link, LinkState, Raw, Side, Value
from syncd.store import ChangeLine
from syncd.values import Problem, folded, label_of
from tests.memory import LoggedWrite
from tests.simulation.ghost import ENGINE, NOBODY, PERSON, Broken, Effect, Ghost, Held
from tests.simulation.knobs import SKEW_SECONDS
from tests.simulation.sides import tidied
from tests.simulation.store import Intent

TIE_SECONDS: Final = 1.0 + SKEW_SECONDS
PASS_SECONDS: Final = 60.0  # no pass of a simulation takes longer
NEW: Final = "new"
UNSEEN: Final = "never seen"  # no cell holds this


class Checks:
    """The checks of one run. `marks` counts what happened, exemptions too."""

    def __init__(self, ghost: Ghost, marks: Counter[str], tie_side: Side) -> None:
        self.ghost, self.marks, self.tie_side = ghost, marks, tie_side
        self.thrown_away: Counter[tuple[Side, str, str]] = Counter()
        self.to_and_fro: dict[tuple[str, str], list[tuple[float, Value]]] = {}
        self.planned_at = 0  # tick of the last plan
        self.unasked: dict[tuple[int, Side, str], set[str]] = {}
        self.excuse: Callable[[str, str, Value], bool] = self.taken

    # --- a write took effect -------------------------------------------------------------------------------------

    def written(self, entry: LoggedWrite) -> None:
        """One record was written by the engine; the ghost still holds what was there before."""
        ghost, side = self.ghost, entry.side
        intent = self.intent_of(entry)
        before = dict(ghost.held[side].get(entry.id, {}))
        sight = ghost.sights.get((side, entry.id))
        if side is Side.CRM and sight is not None and ghost.touched_at.get(entry.id, -math.inf) > sight.at:
            ghost.misdated.add(entry.id)
            self.marks["edit hidden by our own stamp"] += 1
        if entry.verb == "delete":
            self.record_deleted(entry, intent, before)
            return
        if entry.verb == "create" and side is Side.CRM:
            self.deal_made(entry, intent)
            return
        if entry.verb == "create":
            self.made_once(intent, entry.id)
            ghost.made[entry.id] = intent.deal
            self.marks["row comes back"] += ghost.store.link(intent.deal) is not None
        lines = {line.field: line for line in intent.lines}
        for name, (old, new) in entry.changes.items():
            if name in ("sync", "id"):
                self.marks[f"write {side.value} {name}"] += 1
                if name == "id" and self.key_typed(entry.id):
                    self.marks["key typed within the window"] += 1
                elif (old or "") == (new or ""):
                    raise Broken("P3", f"{entry.id}: {name} was written and already held “{new}”")
        for name in entry.changes:
            if name not in ("sync", "id"):
                self.field_written(entry, intent, lines[name], before.get(name))
        ghost.changed(side, entry.id, ENGINE)
        for name in entry.changes:
            if name not in ("sync", "id"):
                self.settle_meaning(side, entry.id, intent.deal, lines[name], before.get(name))

    def intent_of(self, entry: LoggedWrite) -> Intent:
        """The newest intent for this record."""
        for intent in reversed(self.ghost.store.intents):
            record = intent.deal if entry.side is Side.CRM else intent.row
            if intent.side is not entry.side:
                continue
            made = intent.action == "create" and entry.verb == "create"
            if made and entry.side is Side.CRM:
                return intent
            if (made and self.ghost.table.rows[entry.id].key == intent.deal) or (not made and record == entry.id):
                return intent
        raise Broken("P7", f"{entry.id} was written without an intent")

    def settle_meaning(self, side: Side, record: str, deal: str, line: ChangeLine, before: Held | None) -> None:
        """What the engine wrote means what the engine meant, also where a stage was renamed since it read the names."""
        ghost = self.ghost
        ghost.effects[side, record, line.field] = Effect(ghost.tick, ghost.crm.clock.now, line.new, deal)
        ghost.note(side, record, line.field, line.new)
        held = ghost.held[side][record]
        now = held[line.field]
        if now.tick != ghost.tick and before is now:
            return  # taken and thrown away
        chosen = line.field in ("stage", "status", "owner") and (side, record, line.field) not in ghost.windows
        if chosen and side is Side.TABLE:
            held[line.field] = Held(now.raw, line.new, ENGINE, now.at, now.tick)

    def field_written(self, entry: LoggedWrite, intent: Intent, line: ChangeLine, before: Held | None) -> None:
        """P1, P2, P3 for one field."""
        side, record = entry.side, entry.id
        self.marks[f"write {side.value} {line.kind}"] += 1
        self.within_limits(entry, intent, line)
        self.not_to_and_fro(entry, intent, line)
        self.not_half_typed(side, intent, line)
        window = self.in_window(side, record, before) or (entry.verb == "create" and self.key_came(record))
        self.no_invention(side, intent, line, before)
        if window:
            self.ghost.windows.add((side, record, line.field))
            self.marks["window hit"] += 1
            return
        self.no_spurious_write(side, record, line, before)
        self.no_lost_update(side, record, intent, line, before)
        if line.kind == ChangeKind.CONFLICT and before is not None:
            self.later_wins(side, record, intent, line, before)

    def in_window(self, side: Side, record: str, before: Held | None) -> bool:
        """Whether a person was faster than the write, after the read directly before it (LIMITS, first line)."""
        ghost = self.ghost
        sight = ghost.sights.get((side, record))
        if before is None or before.by != PERSON or sight is None or before.tick <= sight.tick:
            return False
        between = ghost.calls[sight.call :]
        return sight.number == ghost.number and all(who is side and verb != "sweep" for who, verb in between)

    def key_typed(self, row: str) -> bool:
        """Whether a person gave this row its key after the engine's last look at it."""
        _, by, tick = self.ghost.keyed.get(row, ("", "", 0))
        sights = [self.ghost.swept.get((Side.TABLE, row)), self.ghost.sights.get((Side.TABLE, row))]
        return by == PERSON and not any(sight is not None and sight.tick >= tick for sight in sights)

    def key_came(self, row: str) -> bool:
        """Likewise, since the engine last asked which rows there are."""
        _, by, tick = self.ghost.keyed.get(row, ("", "", 0))
        sight = self.ghost.swept.get((Side.TABLE, row))
        return by == PERSON and (sight is None or sight.tick < tick)

    def no_invention(self, side: Side, intent: Intent, line: ChangeLine, before: Held | None) -> None:
        """P1: the source held this value when the engine last read it, by id and not long ago (SPEC §3.1)."""
        ghost = self.ghost
        story = f"{intent.deal}: {line.field} := {line.new!r} on {side.value} ({line.kind})"
        if line.new is None and line.field in NEVER_BLANK:
            raise Broken("P1", f"{story} is blank, which is never carried (SPEC §5)")
        if side is Side.CRM and self.direction(line.field) is Direction.TO_TABLE:
            raise Broken("P1", f"{story}, a column that goes to the table only")
        if line.kind == ChangeKind.RENAME:
            readable = before is not None and not isinstance(before.value, Problem)
            another = before is not None and readable and before.by != PERSON and before.value != line.new
            if before is not None and another and not self.given_away(intent, line, before):
                raise Broken("P1", f"{story} is no new name, the cell means {before.value!r}")
            return
        source = intent.row if side is Side.CRM else intent.deal
        if side is Side.CRM and abandons(line):
            self.marks["abandoned"] += 1
            self.deleted(side, intent.deal, intent.row)
            return
        if line.kind == NEW and intent.deal not in ghost.shadow:
            if line.new not in ghost.ever.get((side.other, source, line.field), set()):
                raise Broken("P1", f"{story}, which {source} never held")
            return
        sight = ghost.sights.get((side.other, source))
        if sight is None or sight.number != ghost.number or sight.held is None:
            raise Broken("P1", f"{story} without a read of {source} in this pass")
        age = ghost.crm.clock.now - sight.at
        if age > SOURCE_AGE_SECONDS + 4 * ghost.crm.latency:
            raise Broken("P1", f"{story}, read {age:.1f} s ago")
        held = sight.held[line.field]
        meant = {held.value} if not isinstance(held.value, Problem) else set()
        chosen = side is Side.CRM and line.field in ("stage", "status", "owner")
        if chosen and not self.written_for(intent.deal, intent.row, line.field, held):
            meant |= self.readings(intent.deal, line.field, held.raw)
        if held.value == self.form(side.other, line.field, line.new):
            return  # what was agreed on, in the form into which this server puts it (H49)
        if line.new not in meant:
            raise Broken("P1", f"{story}, but {source} held {held.value!r} when it was read")

    def given_away(self, intent: Intent, line: ChangeLine, before: Held) -> bool:
        """Whether a person gave the row, which was made for another deal, to this one, and its cell holds what was
        agreed on here: then it means that (SPEC §1), whatever it meant there."""
        ghost = self.ghost
        if ghost.made.get(intent.row, intent.deal) == intent.deal:
            return False
        found = ghost.reading(Side.TABLE, intent.row, line.field, before.raw) == line.new
        self.marks["row given to another deal"] += found
        return found

    def written_for(self, deal: str, row: str, name: str, held: Held) -> bool:
        """Whether a cell holds what the engine wrote into it for this deal, which has one meaning whatever names say
        later (SPEC §1). A row that came back from the bin, or a shadow that was forgotten, is read anew."""
        ghost = self.ghost
        effect = ghost.effects.get((Side.TABLE, row, name))
        known = name in ghost.shadow.get(deal, {}) and not ghost.restored and (Side.TABLE, row) not in ghost.gone
        return known and held.by == ENGINE and effect is not None and effect.deal == deal

    def readings(self, deal: str, name: str, cell: Raw) -> set[Value]:
        """What a cell can mean now, or by the names that the engine has read: a stage in the pipeline that was agreed
        on, or where the deal is (SPEC §3.8)."""
        ghost = self.ghost
        deal_now = ghost.held[Side.CRM].get(deal, {}).get("stage")
        known = [ghost.known_stage(deal), deal_now.value if deal_now is not None else None]
        codecs = (ghost.codec(name), ghost.codec_read(name))
        found = [codec.from_table(cell, one) for codec in codecs for one in known if not isinstance(one, Problem)]
        return {one for one in found if not isinstance(one, Problem)}

    def no_spurious_write(self, side: Side, record: str, line: ChangeLine, before: Held | None) -> None:
        """P3: the write changes what the target means. New names and filled gaps change what it shows."""
        ghost = self.ghost
        story = f"{record}: {line.field} := {line.new!r} ({line.kind})"
        if before is None:
            return
        if line.kind == ChangeKind.FILL:
            filled = self.in_window(side, record, before) or (side, record, line.field) in ghost.respelled
            if not ghost.codec(line.field).has_gap(before.raw) and not filled:  # LIMITS: somebody was faster
                raise Broken("P3", f"{story} fills no gap, it held {before.raw!r}")
            return
        if line.kind == ChangeKind.RENAME or (line.field == "stage" and ghost.codec("stage").has_gap(before.raw)):
            return
        named = side is Side.TABLE and line.field in ("stage", "status", "owner")
        if before.value == line.new and (not named or shows(ghost, line.field, before.raw, line.new)):
            blank = line.kind == NEW and before.by == NOBODY  # a new row shows 0 (SPEC §5)
            if ghost.restored and line.field in ("stage", "owner"):
                self.marks["named otherwise before an old database"] += 1  # what the cell meant is forgotten with it
            elif not blank and not self.read_by_old_names(line, before):
                raise Broken("P3", f"{story} was written, and it held that already")
        if ghost.raw(side, record, line.field) == before.raw and line.kind != NEW:
            # The server put it into the form that it held (H49), or threw it away (H20): known only by trying.
            self.marks["write thrown away"] += 1
            self.thrown_away[side, record, line.field] += 1
            if self.thrown_away[side, record, line.field] > 12:
                raise Broken("P3", f"{story} was thrown away 12 times and is still tried")

    def read_by_old_names(self, line: ChangeLine, before: Held) -> bool:
        """LIMITS: new names of stages are noticed within the hour. Until then what a person typed means what it meant
        by the names that the engine has read, here another stage, as where two have swapped their names."""
        since = self.ghost.crm.clock.now - self.ghost.vocabulary_read_at
        typed = line.field == "stage" and before.by == PERSON and isinstance(line.new, str)
        if not typed or since > OPENED_SECONDS + PASS_SECONDS:
            return False
        now = self.ghost.codec("stage").from_table(before.raw, line.new)
        then = self.ghost.codec_read("stage").from_table(before.raw, line.new)
        found = now == line.new and then == line.old and then != now
        self.marks["typed by names not read yet"] += found
        return found

    def no_lost_update(self, side: Side, record: str, intent: Intent, line: ChangeLine, before: Held | None) -> None:
        """P2: a person's value is replaced only where both had held it, or as the logged loser of a conflict."""
        ghost = self.ghost
        if before is None or before.by != PERSON or line.kind == ChangeKind.RENAME:
            return
        blank = before.raw in (None, "") or ghost.codec(line.field).has_gap(before.raw)
        if side is Side.TABLE and blank and (line.kind == ChangeKind.FILL or line.field in NEVER_BLANK):
            return  # SPEC §5: a blank stage, status or name is filled again
        chosen = side is Side.TABLE and line.field in ("stage", "status", "owner")
        meant = {before.value, *(self.readings(intent.deal, line.field, before.raw) if chosen else ())}
        if line.kind == ChangeKind.CONFLICT and line.old in meant:
            known = ghost.shadow.get(intent.deal, {})
            if line.field in known and known[line.field] == line.new:
                told = f"and {line.new!r} was what both had agreed on: nobody else had changed it"
                raise Broken("P2", f"{record}: a person's {line.field} {before.value!r} lost a conflict, {told}")
            self.marks["conflict logged"] += 1
            return
        shadow = ghost.shadow.get(intent.deal, {})
        agreed = shadow.get(line.field)
        if line.field in shadow and (agreed in meant or self.is_shadow(side, line.field, agreed, before)):
            # Values decide what changed (SPEC §2): one that was typed away and back again between two looks is as it
            # was. Typed again after our own write it is a person's later edit (§3.3).
            ours = ghost.effects.get((side, record, line.field))
            if (
                ours is None
                or ours.deal != intent.deal
                or before.value in (ours.value, self.form(side, line.field, ours.value))
            ):
                return
            if not ghost.agreed_at[intent.deal, line.field] < ours.tick < before.tick or self.kept_old(side, intent):
                return
            if ours.value == agreed:
                self.marks["choice read by new names"] += 1
                return  # by the names of now it says what both agreed on, and what we wrote (`read_anew`)
            if side is Side.CRM and self.explained(record, line.field, ours.tick):
                self.marks["set back beside another edit"] += 1
                return
            if side is Side.TABLE and not ghost.table.knobs.table_clock:
                # LIMITS: a sheet shows neither that our write came nor that somebody set it back before we looked.
                self.marks["set back between two looks"] += 1
                return
            if side is Side.TABLE and before.at - ours.at <= 1.0 + abs(ghost.crm.knobs.errors[1]):
                # Airtable's clock counts whole seconds: the old value typed again within the very second of a write
                # that nobody answered cannot be told from one that was never overwritten (carry._edited_since).
                self.marks["retyped within the second"] += 1
                return
            raise Broken("P2", f"{record}: {line.field} {before.value!r} was typed again after our write, and is gone")
        if side is Side.TABLE and agreed is not None and self.spelled_at_once(record, before, agreed):
            return
        direction = self.direction(line.field)
        changed = line.field not in shadow or shadow[line.field] != line.new
        if direction is Direction.TO_TABLE and side is Side.TABLE and changed:
            self.marks["one-way column overwritten"] += 1
            return  # SPEC §5: it stays until the CRM's value changes
        told = f"both never held it (shadow {shadow.get(line.field)!r})"
        raise Broken(
            "P2", f"{record}: a person's {line.field} {before.value!r} became {line.new!r} ({line.kind}), {told}"
        )

    def explained(self, deal: str, name: str, since: int) -> bool:
        """LIMITS: HighLevel dates most fields with the whole deal. Where another field was edited too since a write
        whose answer was lost, the old value typed again looks like a write that never arrived."""
        if name in OWN_CLOCK and self.ghost.crm.own_clocks:
            return False
        held = self.ghost.held[Side.CRM][deal]
        return any(one.tick > since and one.by == PERSON for other, one in held.items() if other != name)

    def direction(self, name: str) -> Direction:
        """Where the edits of a field may travel."""
        return next(f.direction for f in self.ghost.fields if f.name == name)

    def is_shadow(self, side: Side, name: str, shadow: Value, before: Held) -> bool:
        """Whether this is what both had agreed on, or the form into which the server puts that (H49)."""
        return before.value in (shadow, self.form(side, name, shadow))

    def form(self, side: Side, name: str, value: Value) -> Value | Problem:
        """What a server makes of a value that is written to it."""
        knobs, codec = self.ghost.crm.knobs, self.ghost.codec(name)
        if side is Side.CRM:
            return codec.from_crm(tidied(knobs.tidy_crm, name, codec.to_crm(value)))
        return codec.from_table(tidied(knobs.tidy_table, name, codec.to_table(value)), value)

    def kept_old(self, side: Side, intent: Intent) -> bool:
        """A value set back before the answer to our write was read looks like a server that threw the write away
        (H20): it is tried again after a pause."""
        for write in self.ghost.store.history(deal=intent.deal, limit=10):
            if write.side is side and "took the write but kept" in write.note:
                self.marks["set back within the write"] += 1
                return True
        return False

    def later_wins(self, side: Side, record: str, intent: Intent, line: ChangeLine, loser: Held) -> None:
        """SPEC §2: in a conflict the later edit wins, as far as clocks can tell; what is too close goes to one side."""
        ghost = self.ghost
        source = intent.row if side is Side.CRM else intent.deal
        sight = ghost.sights.get((side.other, source))
        winner = sight.held[line.field] if sight is not None and sight.held is not None else None
        # An edit in the window (LIMITS), whose time our own stamp hides; or search showed the same value of before.
        moved = intent.deal in ghost.misdated or ghost.late.get(intent.deal) == ghost.number
        if winner is None or winner.by != PERSON or loser.by != PERSON or moved or loser.raw in (None, ""):
            return
        if {(Side.TABLE, intent.row, line.field), (Side.CRM, intent.deal, line.field)} & ghost.respelled:
            return  # the cell's own time is another than that of its meaning
        if ghost.restored:
            self.marks["conflict after an old database"] += 1
            return  # which stamps our own writes set is forgotten with the shadows (SPEC §4)
        crm, cell = (loser, winner) if side is Side.CRM else (winner, loser)
        # HighLevel dates most fields with the whole deal: another field's edit makes this one look newer.
        own_clock = line.field in OWN_CLOCK and bool(ghost.crm.own_clocks)
        if side is Side.TABLE and loser.tick > self.planned_at and loser.raw == line.target_raw:
            self.marks["typed away and back within the window"] += 1
            return  # LIMITS: what is written over is what lost, though it was typed once more since its time was asked
        if not own_clock and self.stamp_taken(intent.deal):
            return
        dated = crm.at if own_clock else max(crm.at, ghost.touched_at.get(intent.deal, crm.at))
        later = loser.at - winner.at if side is Side.CRM else loser.at - dated
        if not ghost.table.knobs.table_clock and self.inside_the_window(side, intent, line, dated):
            return
        story = f"{intent.deal}: {line.field} {line.new!r} won over {loser.value!r}"
        if later > TIE_SECONDS + 1.0 + SKEW_SECONDS:
            raise Broken("P2", f"{story}, which was typed {later:.1f} s later")
        self.marks["conflict, later wins" if later < 0 else "conflict, earlier wins"] += 1
        shown = dated + ghost.crm.clock_offset - ghost.crm.true_offset
        cell_shown = math.floor(cell.at - ghost.table.true_offset) + ghost.table.clock_offset
        if not ghost.table.knobs.table_clock:
            return
        if abs(shown - cell_shown) <= TIE_SECONDS - 0.01 and dated == crm.at and not ghost.table.clockless:
            self.marks["conflict, tie"] += 1
            if side is self.tie_side:
                raise Broken("P2", f"{story}, though both look equally late and {side.value} wins ties")

    def inside_the_window(self, side: Side, intent: Intent, line: ChangeLine, dated: float) -> bool:
        """SPEC §2: a sheet's cell was edited between two reads; a CRM's edit inside that window is a tie."""
        ghost = self.ghost
        stamp = ghost.table.answered.get((intent.row, line.field))
        shown = dated + ghost.crm.clock_offset - ghost.crm.true_offset
        if stamp is None or not stamp.low - TIE_SECONDS <= shown <= stamp.high + TIE_SECONDS:
            self.marks["conflict outside the window"] += 1
            return False
        self.marks["conflict inside the window"] += 1
        seen = stamp.low < shown < stamp.high and stamp.high < math.inf
        if seen and side is self.tie_side and ghost.touched_at.get(intent.deal) == dated:
            raise Broken(
                "P2", f"{intent.deal}: {line.field} {line.new!r} won inside the window, where {side.value} wins"
            )
        return True

    # --- P7, P8 --------------------------------------------------------------------------------------------------

    def made_once(self, intent: Intent, row: str) -> None:
        """P7: a deal gets a row only where it has none; one that came after the engine's look is a window."""
        ghost, deal = self.ghost, intent.deal
        link = ghost.store.link(deal)
        for other, (key, by, tick) in ghost.keyed.items():
            if key != deal or not ghost.alive(Side.TABLE, other):
                continue
            sight = ghost.swept.get((Side.TABLE, other))
            known = sight is not None and sight.tick >= tick and sight.key == deal
            if by == ENGINE or known:
                raise Broken("P7", f"{deal} has the row {other} and got {row} as well")
            self.marks["key typed before its row was made"] += 1
        last = ghost.sights.get((Side.TABLE, link.row)) if link is not None else None
        missed = last is not None and last.held is None and last.number == ghost.number  # a person took it back since
        if link is not None and link.row != row and ghost.alive(Side.TABLE, link.row) and not missed:
            raise Broken("P7", f"{deal} has the row {link.row}, whose key was changed, and got {row} as well")

    def deal_made(self, entry: LoggedWrite, intent: Intent) -> None:
        """P1, P7 and P9 for a deal: made once for a row that is there, of what stood in it when it was last read."""
        ghost, row = self.ghost, intent.row
        made = [deal for deal in ghost.new_deals.get(row, []) if ghost.alive(Side.CRM, deal)]
        links = {deal: ghost.store.link(deal) for deal in made}
        before = [
            deal
            for deal, link in links.items()
            if (link is None and not self.renamed(deal, row) and not self.left_out(deal))
            or (link is not None and link.row == row)
        ]  # else another row has it now
        if before and not ghost.restored:
            raise Broken("P7", f"{row} became the deal {before[-1]}, and {entry.id} as well")
        ghost.new_deals.setdefault(row, []).append(entry.id)
        sight = ghost.sights.get((Side.TABLE, row))
        if sight is None or sight.number != ghost.number or sight.held is None or sight.key:
            raise Broken("P1", f"a deal was made for {row}, which was not read, or is not there, or has an id")
        for name, (_, raw) in entry.changes.items():
            if name not in sight.held or ghost.codec(name).is_blank(sight.held[name].raw):
                continue  # no Stage: the first; no Status: open; a value that is blank is 0 (SPEC §5)
            codecs = (ghost.codec(name), ghost.codec_read(name))  # names are read each hour: LIMITS
            meant = {sight.held[name].value, *(codec.from_table(sight.held[name].raw, None) for codec in codecs)}
            if ghost.codec(name).from_crm(raw) not in meant and name != "stage":
                raise Broken("P1", f"{entry.id} got the {name} {raw!r}; {row} held {sight.held[name].raw!r}")
        if (Side.CRM, "", row) not in {one[:3] for one in ghost.approved}:
            written = self.unasked.setdefault((ghost.number, Side.CRM, "new deal"), set())
            written.add(row)
            if too_many_changes(len(written), ghost.total, Side.CRM, ghost.crm.knobs.limits()):
                raise Broken("P9", f"deals were made for {sorted(written)} of {ghost.total} without an approval")
        self.marks["deal made"] += 1
        for name, (_, raw) in entry.changes.items():
            ghost.note(Side.CRM, entry.id, name, ghost.codec(name).from_crm(raw))  # a server may tidy it (H49)
        ghost.changed(Side.CRM, entry.id, ENGINE)

    def renamed(self, deal: str, row: str) -> bool:
        """LIMITS: a deal whose making had no answer, and which somebody renamed or moved before it was found, is hidden
        from the search by pipeline and name."""
        held = self.ghost.held[Side.CRM][deal]
        lines = [line for one in self.ghost.store.intents if one.row == row for line in one.lines]
        asked = {(line.new or "").partition(":")[0] for line in lines if line.field == "stage"}
        moved = held["stage"].by == PERSON and str(held["stage"].value).partition(":")[0] not in asked
        found = held["name"].by == PERSON or moved
        self.marks["new deal renamed before it was found"] += found
        return found

    def left_out(self, deal: str) -> bool:
        """LIMITS: a search that leaves out a new deal for longer than a read lag (here for whole passes, this one among
        them) leads to a second one."""
        trouble = self.ghost.crm.trouble
        found = trouble.on(trouble.hidden, deal)
        self.marks["new deal left out longer than a read lag"] += found
        return found

    def record_deleted(self, entry: LoggedWrite, intent: Intent, before: Mapping[str, Held]) -> None:
        """P8, and P2: what is deleted holds nothing that somebody typed since both sides agreed."""
        ghost, side = self.ghost, entry.side
        self.marks[f"write {side.value} delete"] += 1
        self.deleted(side, entry.id, intent.row if side is Side.CRM else intent.deal)
        if (side, "", intent.deal) not in {one[:3] for one in ghost.approved}:
            gone = self.unasked.setdefault((ghost.number, side, "deletion"), set())
            gone.add(intent.deal)
            if beyond_deletions(len(gone), ghost.total, ghost.crm.knobs.limits()):
                raise Broken("P9", f"{sorted(gone)} of {ghost.total} were deleted without an approval")
        shadow = ghost.shadow.get(intent.deal, {})
        for name, held in before.items():
            typed = held.by == PERSON and name in shadow and not self.in_window(side, entry.id, held)
            if typed and not self.is_shadow(side, name, shadow[name], held):
                raise Broken("P2", f"{entry.id} was deleted with the {name} {held.value!r} that a person gave it")
        ghost.changed(side, entry.id, ENGINE)

    def within_limits(self, entry: LoggedWrite, intent: Intent, line: ChangeLine) -> None:
        """P9: beyond the limits only what a person has approved, to the letter."""
        ghost, side = self.ghost, entry.side
        if entry.verb != "update" or line.kind == ChangeKind.RENAME:
            return
        if abandons(line) and (side, "", intent.deal) in {one[:3] for one in ghost.approved}:
            return  # approved as a deletion
        if "id" in entry.changes and intent.deal in ghost.new_deals.get(entry.id, ()):
            return  # part of the making of a deal, which was counted
        if (side, line.field, intent.deal, line.old, line.new) in ghost.approved:
            self.marks["approved write"] += 1
            return
        written = self.unasked.setdefault((ghost.number, side, line.field), set())
        written.add(intent.deal)
        if too_many_changes(len(written), ghost.total, side, ghost.crm.knobs.limits()):
            raise Broken("P9", f"{line.field} changed on {sorted(written)} of {ghost.total} without an approval")

    def not_to_and_fro(self, entry: LoggedWrite, intent: Intent, line: ChangeLine) -> None:
        """SPEC §4: what an automation sets back again and again is left alone."""
        if entry.verb != "update" or line.kind == ChangeKind.RENAME or "id" in entry.changes:
            return
        old, new = entry.changes[line.field]
        if self.ghost.raw(entry.side, entry.id, line.field) == old != new:
            return  # taken and thrown away
        if self.set_to_and_fro(intent.deal, line.field, line.new, self.ghost.crm.clock.now):
            kept = self.to_and_fro[intent.deal, line.field]
            raise Broken("P3", f"{intent.deal}: {line.field} was set to and fro, {kept}")

    def set_to_and_fro(self, deal: str, name: str, value: Value, now: float) -> bool:
        """Whether this write returns to the value before last once too often, as far as the engine can know."""
        since = max(now - OSCILLATION_SECONDS, self.ghost.resumed.get(deal, 0.0))
        before = self.to_and_fro.get((deal, name), [])
        kept = [(at, one) for at, one in before if at > since and not self.forgotten(at)]
        self.to_and_fro[deal, name] = kept = [*kept, (now, value)]
        return returns([one for _, one in kept]) > OSCILLATIONS + 2  # writes without an answer are not counted

    def forgotten(self, at: float) -> bool:
        """SPEC §4: an old database was put back, and what was written at this time is in none of its histories."""
        return self.ghost.copied_at <= at <= self.ghost.restored_at

    def not_half_typed(self, side: Side, intent: Intent, line: ChangeLine) -> None:
        """SPEC §4: a text or number cell that was edited a moment ago waits."""
        ghost = self.ghost
        quiet, sight = ghost.crm.knobs.quiet, ghost.sights.get((Side.TABLE, intent.row))
        if not quiet or side is not Side.CRM or line.field not in ("name", "value", "owner") or sight is None:
            return
        held = (sight.held or {}).get(line.field)
        if held is None or held.by != PERSON or ghost.table.clockless or ghost.undated_lately():
            return
        if (Side.TABLE, intent.row, line.field) in ghost.respelled:
            return  # the cell's own time is another than that of its meaning
        if sight.at - held.at < quiet - 1.0 - 2 * SKEW_SECONDS and held.tick < self.planned_at:
            raise Broken("P1", f"{intent.deal}: {line.field} {line.new!r} was typed {sight.at - held.at:.1f} s before")

    def deleted(self, side: Side, record: str, partner: str) -> None:
        """P8: a deletion by the engine follows a person's deletion of the other record."""
        sight = self.ghost.sights.get((side.other, partner))
        if sight is not None and sight.number == self.ghost.number and sight.held is None:
            return  # it was gone at the read directly before; what came back since is a window (LIMITS)
        if self.ghost.alive(side.other, partner) or partner not in self.ghost.dropped[side.other]:
            raise Broken("P8", f"{record} was deleted, and nobody deleted {partner}")

    def gone(self, deal: str) -> None:
        """P8 for what is only said, "Deleted in HighLevel": a read of that deal by its id said so."""
        sight = self.ghost.sights.get((Side.CRM, deal))
        if sight is None or sight.held is not None:
            raise Broken("P8", f"{deal} is taken for deleted, and no read of it by its id said so")

    # --- a commit ------------------------------------------------------------------------------------------------

    def committed(self) -> None:
        """P6: the shadow moves by acknowledgement or agreement only, the stamps only forward."""
        ghost = self.ghost
        if ghost.store.anew:
            self.thrown_away.clear()  # what was refused is forgotten with an old database (SPEC §4)
            for known in (ghost.shadow, ghost.seen, ghost.states, ghost.agreed_at):
                known.clear()
            ghost.store.anew = False
        for deal in sorted(ghost.store.touched):
            link = ghost.store.link(deal)
            if link is None:
                self.marks["link forgotten"] += 1
                ghost.shadow.pop(deal, None)
                ghost.seen.pop(deal, None)
                continue
            if link.seen is not None:
                if link.seen < ghost.seen.get(deal, link.seen):
                    raise Broken("P6", f"{deal}: the newest stamp went back to {link.seen}")
                ghost.seen[deal] = link.seen
            if link.state is not LinkState.BOTH:
                self.marks[f"link {link.state.value}"] += 1
            if link.state is LinkState.DEAL_GONE and ghost.states.get(deal) is not LinkState.DEAL_GONE:
                self.gone(deal)
            ghost.states[deal] = link.state
            old, new = ghost.shadow.get(deal, {}), ghost.linked(link)
            for name, value in new.items():
                if name not in old or old[name] != value:
                    self.shadow_moved(deal, link.row, name, value, first=deal not in ghost.shadow)
                    ghost.agreed_at[deal, name] = ghost.tick
                self.read_anew(link, name, value)
            ghost.shadow[deal] = new
        ghost.store.touched.clear()

    def read_anew(self, link: Link, name: str, value: Value) -> None:
        """A choice that was typed before names were changed, or before its deal moved to another pipeline, and that
        nobody had agreed on by then, is read by the names of now (SPEC §1: unchanged is what was agreed on)."""
        ghost = self.ghost
        deal, row = link.deal, link.row
        if name not in ("stage", "status", "owner") or not ghost.alive(Side.TABLE, row):
            return
        held = ghost.held[Side.TABLE][row][name]
        cell = ghost.cell(row, name)
        if held.value == value or not unchanged(ghost.codec(name), link.agreed()[name].table, cell):
            return
        same_name = name == "stage" and ghost.codec(name).from_table(cell, value) == value
        if same_name or value in self.readings(deal, name, cell):
            ghost.held[Side.TABLE][row][name] = replace(held, value=value)
            self.marks["choice read by new names"] += 1

    def shadow_moved(self, deal: str, row: str, name: str, value: Value, *, first: bool) -> None:
        """Both sides held the new value, or were written with it."""
        ghost = self.ghost
        for side, record in ((Side.CRM, deal), (Side.TABLE, row)):
            if value in ghost.ever.get((side, record, name), set()):
                continue
            if self.excuse(deal, name, value):
                return
            cell: Raw = ghost.cell(row, name) if ghost.alive(Side.TABLE, row) else None
            if first and side is Side.TABLE and self.direction(name) is Direction.TO_TABLE:
                continue  # SPEC §5: what a person typed into such a column of a new row stays
            seen = self.seen_cell(row, name)  # somebody may have typed since
            gap = cell is not None and ghost.codec(name).has_gap(cell)
            new = deal in ghost.new_deals.get(row, ())  # somebody may fill it meanwhile: then that is an edit
            if side is Side.TABLE and row not in ghost.made and name in NEVER_BLANK and (gap or (new and first)):
                continue  # the row of a new deal: what was blank is filled next (SPEC §5)
            if first and new and value == ghost.codec(name).from_crm(None):
                continue  # the deal was made without it, since nobody may write it; what stands in the row is an edit
            empty = {None, ghost.codec(name).from_table(None, None)}
            blank = cell in (None, [None, None]) or seen in (None, [None, None])
            if value in empty and (first or blank) and not self.named_in_create(deal, name):
                return  # nothing was written into this cell of a new row
            if name == "stage" and any(ghost.codec(name).from_table(one, value) == value for one in (cell, seen)):
                self.marks["stage of the same name in another pipeline"] += 1
                return  # SPEC §3.8: without a Pipeline cell a stage is looked up in the deal's own pipeline
            if side is Side.TABLE and cell is not None and value in self.readings(deal, name, cell):
                return
            if side is Side.TABLE and (name, value) == ("status", "abandoned") and row in ghost.dropped[side]:
                return  # SPEC §5: what a deleted row makes of its deal
            if first and side is Side.TABLE and not ghost.alive(Side.TABLE, row):
                return
            if first and side is Side.TABLE and self.another_row(row, name, value):
                continue
            raise Broken("P6", f"{deal}: the shadow of {name} became {value!r}, which {record} never held")

    def another_row(self, row: str, name: str, value: Value) -> bool:
        """LIMITS: a row made for a deal while the making of its row has no answer, a copy for instance, is taken for
        that one, with the form into which a server puts things (H49); likewise what is typed within two seconds."""
        ghost = self.ghost
        held = ghost.held[Side.TABLE].get(row, {})
        if name not in held or isinstance(held[name].value, Problem):
            return False
        whole = held[name].tick == min(one.tick for one in held.values())
        if whole and held[name].value == self.form(Side.TABLE, name, value):
            self.marks["copy taken for a new row"] += 1
            return True
        return self.spelled_at_once(row, held[name], value)

    def spelled_at_once(self, row: str, held: Held, value: Value) -> bool:
        """LIMITS: another spelling of what was written, typed within two seconds of the row's making, counts as the
        table's own form of it where that making had no answer."""
        young = held.at - self.ghost.table.rows[row].created - self.ghost.table.true_offset <= 2.0
        alike = young and not isinstance(held.value, Problem) and folded(held.value or "") == folded(value or "")
        self.marks["other spelling within two seconds"] += alike
        return alike

    def seen_cell(self, row: str, name: str) -> Raw:
        """What a cell held when the engine last looked at its row."""
        sights = (self.ghost.swept.get((Side.TABLE, row)), self.ghost.sights.get((Side.TABLE, row)))
        last = max((one for one in sights if one is not None), key=lambda one: one.tick, default=None)
        return last.held[name].raw if last is not None and last.held is not None and name in last.held else UNSEEN

    def named_in_create(self, deal: str, name: str) -> bool:
        """Whether the row's making wrote this field."""
        made = [intent for intent in self.ghost.store.intents if intent.action == "create" and intent.deal == deal]
        return bool(made) and any(line.field == name for line in made[-1].lines)

    def stamp_taken(self, deal: str) -> bool:
        """SPEC §3.3: a write to the deal counts as done whose value the server keeps in a form of its own (H49). What
        it holds looks like a person's later edit, and so does its stamp."""
        writes = self.ghost.store.history(deal=deal, limit=30)
        found = any(write.state == "taken" and write.side is Side.CRM for write in writes)
        self.marks["stamp of a write that counts as done"] += found
        return found

    def taken(self, deal: str, name: str, value: Value) -> bool:
        """SPEC §3.3: a write of which nobody can say what became of it is taken as done."""
        for write in self.ghost.store.history(deal=deal, limit=30):
            if write.state == "taken" and any(c.field == name and c.new == value for c in write.changes):
                self.marks["shadow taken"] += 1
                return True
        return False


def abandons(line: ChangeLine) -> bool:
    """Whether this is what the settings make of a deal whose row was deleted (SPEC §5)."""
    return line.new == "abandoned" and "was deleted in" in line.why


def shows(ghost: Ghost, name: str, raw: Raw, value: Value) -> bool:
    """Whether a cell shows the present name of a choice; a renamed option keeps its meaning (SPEC §1)."""
    want = ghost.codec(name).to_table(value)
    wanted, cells = (want, raw) if isinstance(want, list) and isinstance(raw, list) else ([want], [raw])
    columns = ("pipeline", "stage") if name == "stage" else (name,)
    for name_wanted, cell, column in zip(wanted, cells, columns, strict=True):
        labels = {folded(label_of(cell, ghost.table.columns.get(column))), folded(ghost.first_met(column, cell))}
        if name_wanted is not None and folded(name_wanted) not in labels:
            return False
    return True
