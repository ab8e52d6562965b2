"""Which transitions a run went through (the vacuity gate); and P10: plans are made again, and in another order.

To ask for another transition: count it somewhere (`marks[...] += 1`) and add its name to `REQUIRED`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar
from unittest.mock import patch

import syncd.carry
import syncd.look
import syncd.plan
import syncd.reconcile
from syncd.decide import Kind
from syncd.look import with_resting
from syncd.plan import Plan, Trouble, View
from tests.simulation.ghost import Broken

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

Thing = TypeVar("Thing")

# Each must happen in a thousand seeds. What `run.py` counts: people's actions and faults by their names, kills by step,
# lost answers by write, what was decided, found, written and settled, and every exemption that a check made.
REQUIRED: Final = (
    *("edit deal", "edit row", "edit both", "touch deal", "add deal", "delete deal", "restore deal", "delete row"),
    "delete rows",
    *("restore row", "copy row", "set key", "type row", "rename stage", "rename pipeline", "delete stage", "add stage"),
    *("rename user", "list user", "change option", "restart", "disk full", "stop", "down", "short sweep"),
    *("expired cursor", "unread", "hidden", "refuse record", "refuse column", "ignore", "undated"),
    *(f"crash {phase} {side} {verb}" for phase in ("before", "after") for side in ("crm", "table")
      for verb in ("schema", "sweep", "page", "read", "write")),
    *("crash before table create", "crash after table create", "crash before table edited", "crash after table find"),
    *("crash before store commit", "crash after store commit"),
    *(f"lost {when} {what}" for when in ("before", "after") for what in ("crm write", "table write", "table create")),
    *(f"write {side} {kind}" for side in ("crm", "table") for kind in ("edit", "conflict")),
    *("write table fill", "write table rename", "write table new", "write table id", "write table sync"),
    *(f"decided {kind.value}" for kind in Kind),
    *(f"settled {write}: {how}" for write in ("crm update", "table update") for how in ("done", "not_done", "taken")),
    *("settled table create: done", "settled table create: not_done", "settled table message: taken"),
    "settled table update: open",
    *(f"found {trouble.value}" for trouble in Trouble),
    *("link deal_gone", "link outside", "link forgotten", "stale sight", "row comes back", "column suspended"),
    *("held changes", "held deletions", "held almost empty", "approve", "resume", "link row_gone", "start anew"),
    *("new lead", "deal made", "held matches", "held new deals", "at rest: row lacks something"),
    *("lost before crm contact", "lost after crm contact", "lost before crm create", "lost after crm create"),
    *("crash before crm create", "crash before crm contact", "crash after crm contact"),
    *("write crm delete", "write table delete", "abandoned", "put copy back"),
    *("crash before store mark", "crash after store mark"),
    *("settled a deletion: done", "settled a deletion: not_done"),
    *("second look: adopted", "second look: held or adopted", "conflict, later wins", "conflict logged"),
    *("window hit", "write thrown away", "one-way column overwritten", "shadow taken", "planned again"),
    *("planned with what rests", "known deal", "known row"),
    *("at rest: twofold", "at rest: wrong key", "at rest: outside", "at rest: unknown choice"),
    *("busy", "told to wait", "conflict inside the window", "conflict outside the window"),
    *("at rest: typed into a one-way column", "at rest: unlisted owner", "at rest: tidied by a server"),
)  # fmt: skip
MANY: Final = 10_000
RARE: Final = ("settled crm update: open", "settled table create: taken", "crash after crm create")  # in so many


@contextmanager
def listening(simulation: Simulation) -> Iterator[None]:
    """Counts what the engine decides while a seed runs."""
    with ExitStack() as stack:
        for module, name, around in (
            (syncd.look, "make_plan", planned),
            (syncd.reconcile, "settle", settled),
            (syncd.look, "held_sets", counted),
            (syncd.plan, "judge", judged),
            (syncd.carry, "recheck", rechecked),
            (syncd.carry, "with_agreed", adopted),
        ):
            stack.enter_context(patch.object(module, name, around(simulation, getattr(module, name))))
        yield


def planned(simulation: Simulation, real: Callable[[View], Plan]) -> Callable[[View], Plan]:
    """P10: the same view gives the same plan, in whatever order its records stand."""

    def make_plan(view: View) -> Plan:
        plan = real(view)
        simulation.marks["plan"] += 1
        simulation.marks["known deal"] = simulation.world.crm.knew
        simulation.marks["known row"] = simulation.world.table.knew
        simulation.checks.planned_at = simulation.ghost.tick
        if simulation.knobs.replans:
            if real(view) != plan:
                raise Broken("P10", "the same view gave another plan")
            mirrored = replace(view, links=backwards(view.links), crm=backwards(view.crm), table=backwards(view.table))
            if sorted_plan(real(mirrored)) != sorted_plan(plan):
                raise Broken("P10", "the same records in another order gave another plan")
            if view.resting.stored:
                if sorted_plan(real(with_resting(view))) != sorted_plan(plan):
                    raise Broken("P10", "links that were left out as at rest have something to be planned")
                simulation.marks["planned with what rests"] += 1
            simulation.marks["planned again"] += 1
        return plan

    return make_plan


def counted(simulation: Simulation, real: Callable[..., Any]) -> Callable[..., Any]:
    """What the guards take for all links."""

    def held_sets(found: Any, ground: Any, total: int, limits: Any, approved: Any) -> Any:
        simulation.ghost.total = total
        return real(found, ground, total, limits, approved)

    return held_sets


def backwards(records: Mapping[str, Thing]) -> dict[str, Thing]:
    """The same in another order."""
    return dict(reversed(list(records.items())))


def sorted_plan(plan: Plan) -> tuple[object, ...]:
    """A plan without the order of its parts."""

    def ordered(things: Sequence[Any]) -> list[str]:
        return sorted(map(repr, things))

    return (
        ordered(plan.updates),
        ordered(plan.new_rows),
        sorted(plan.messages.items()),
        ordered(plan.links),
        sorted(plan.forget),
        sorted(plan.absent_keys),
        ordered(plan.findings),
        (sorted(plan.needs.crm), sorted(plan.needs.table), ordered(list(plan.needs.questions)), plan.needs.vocabulary),
    )


def settled(simulation: Simulation, real: Callable[..., Any]) -> Callable[..., Any]:
    """How open intents end."""

    def settle(work: Any) -> Any:
        store = simulation.world.sim_store
        before = [write.id for write in store.open_writes()]
        left = real(work)
        for write_id in before:
            found = store.connection.execute("SELECT side, action, state FROM writes WHERE id = ?", (write_id,))
            side, action, state = found.fetchone()
            simulation.marks[f"settled {side} {action}: {state}"] += 1
            simulation.marks[f"settled a deletion: {state}"] += action == "delete"
        return left

    return settle


def judged(simulation: Simulation, real: Callable[..., Any]) -> Callable[..., Any]:
    """What is decided for each field."""

    def judge(*given: Any, **named: Any) -> Any:
        verdict = real(*given, **named)
        simulation.marks[f"decided {verdict.kind.value}"] += 1
        return verdict

    return judge


def rechecked(simulation: Simulation, real: Callable[..., Any]) -> Callable[..., Any]:
    """What the second look says."""

    def recheck(work: Any, update: Any, *given: Any) -> Any:
        simulation.looking = True
        ready = real(work, update, *given)
        simulation.looking = False
        kept = len(ready.update.changes) if ready is not None else 0
        if kept < len(update.changes):
            simulation.marks["second look: held or adopted"] += 1
        return ready

    return recheck


def adopted(simulation: Simulation, real: Callable[..., Any]) -> Callable[..., Any]:
    """Whether the second look finds the value there already."""

    def with_agreed(work: Any, link: Any, changes: Any, *shown: Any) -> Any:
        if simulation.looking:
            simulation.marks["second look: adopted"] += 1
        return real(work, link, changes, *shown)

    return with_agreed


def missing(marks: Mapping[str, int], seeds: int) -> list[str]:
    """Transitions that a run of so many seeds never went through."""
    required = REQUIRED if seeds < MANY else (*REQUIRED, *RARE)
    return [name for name in required if not marks.get(name)]


__all__ = ["REQUIRED", "listening", "missing"]
