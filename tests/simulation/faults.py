"""What servers and the machine do wrong: each fault is drawn at a step by its knob's rate, recorded, and done.

To add a fault: a line in `FAULTS` with its knob, where it may happen, what it needs to know and what it does.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final

from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]

from syncd.sides import SideDown, TryAgain
from tests.memory import Crash
from tests.simulation.schedule import Argument, Point
from tests.simulation.sides import Rule, SimCrm, SimTable

if TYPE_CHECKING:
    from tests.simulation.world import SimWorld

Place = Callable[[Point], bool]
ANSWERS: Final = ("401 unauthorized", "403 forbidden", "429 too many requests", "500 server error", "503 unavailable")
WRITES: Final = ("write", "create", "delete", "contact")
FIELDS: Final = ("name", "value", "owner", "status", "stage", "source")


@dataclass(frozen=True, slots=True)
class Fault:
    """`draw` gives what the fault needs to know (None: not here); `do` does it, most by raising."""

    knob: str
    where: Place
    draw: Callable[[SimWorld, Point, Random], tuple[Argument, ...] | None]
    do: Callable[..., None]


def remote(point: Point) -> bool:
    """A call to a server."""
    return point.who in ("crm", "table")


def before_call(point: Point) -> bool:
    """Directly before a call."""
    return remote(point) and point.phase == "before" and point.verb != "page"


def at_page(point: Point) -> bool:
    """Between two pages of a sweep."""
    return point.verb == "page" and point.phase == "before"


def at_write(point: Point) -> bool:
    """Directly before a write."""
    return point.verb in WRITES and point.phase == "before"


def begins(point: Point) -> bool:
    """When a pass begins."""
    return point.verb == "schema" and point.phase == "before"


def anywhere(_point: Point) -> bool:
    """At any step."""
    return True


def nothing(_world: SimWorld, _point: Point, _rng: Random) -> tuple[Argument, ...]:
    """No more to know."""
    return ()


def side_of(world: SimWorld, point: Point) -> SimCrm | SimTable:
    """The side at which it happens."""
    return world.crm if point.who == "crm" else world.table


def a_record(world: SimWorld, point: Point, rng: Random) -> tuple[Argument, ...] | None:
    """A record of this side, for some passes."""
    records = list(world.crm.deals) if point.who == "crm" else list(world.table.rows)
    return (rng.choice(records), rng.choice((0, 1, 3))) if records else None


def a_field(_world: SimWorld, _point: Point, rng: Random) -> tuple[Argument, ...]:
    """A field, for some passes."""
    return (rng.choice(FIELDS), rng.choice((0, 1, 3)))


def a_column(_world: SimWorld, _point: Point, rng: Random) -> tuple[Argument, ...]:
    """A column that nobody may write, or the whole side, for some passes; whether the server says it is for all."""
    return (rng.choice((*FIELDS, "")), rng.choice((0, 1, 3)), rng.choice((0, 1)))


def crash(_world: SimWorld, point: Point) -> None:
    raise Crash(f"killed at {point}")


def disk_full(_world: SimWorld, point: Point) -> None:
    if point.verb == "mark":
        raise OSError(errno.ENOSPC, "No space left on device")
    raise sqlite3.OperationalError("database or disk is full")


def down(world: SimWorld, point: Point, answer: str) -> None:
    raise SideDown(f"{side_of(world, point).label} says {answer}.")


def short(world: SimWorld, point: Point) -> None:
    raise SideDown(f"The list of {side_of(world, point).label} ended before its end.")


def stop(world: SimWorld, _point: Point) -> None:
    world.stopping = True


def expired(world: SimWorld, point: Point) -> None:
    side_of(world, point).trouble.expired = True


def lost_before(world: SimWorld, point: Point) -> None:
    side_of(world, point).faults.lost = ["before"]


def lost_after(world: SimWorld, point: Point) -> None:
    side_of(world, point).faults.lost = ["after"]


def unread(world: SimWorld, point: Point, record: str, passes: int) -> None:
    trouble = side_of(world, point).trouble
    trouble.unread[record] = trouble.number + passes


def hidden(world: SimWorld, point: Point, record: str, passes: int) -> None:
    trouble = side_of(world, point).trouble
    trouble.hidden[record] = trouble.number + passes


def refuse_record(world: SimWorld, point: Point, record: str, passes: int) -> None:
    trouble = side_of(world, point).trouble
    trouble.rules.append(Rule(trouble.number + passes, record, None, False))


def refuse_column(world: SimWorld, point: Point, name: str, passes: int, everyone: int) -> None:
    trouble = side_of(world, point).trouble
    trouble.rules.append(Rule(trouble.number + passes, None, name or None, bool(everyone)))


def ignored(world: SimWorld, point: Point, name: str, passes: int) -> None:
    side = side_of(world, point)
    side.trouble.ignores[name] = side.trouble.number + passes
    side.faults.ignores = {f for f in FIELDS if side.trouble.on(side.trouble.ignores, f)}


def may_wait(point: Point) -> bool:
    """Rows that were never there are made in calls that wait by themselves."""
    return point.verb in ("write", "delete") or (point.who, point.verb) == ("crm", "create")


def told_to_wait(world: SimWorld, point: Point, seconds: float) -> None:
    world.clock.advance(seconds)
    raise TryAgain(f"{side_of(world, point).label} gets too many requests (429).")


def a_while(_world: SimWorld, _point: Point, rng: Random) -> tuple[Argument, ...]:
    """Seconds."""
    return (rng.choice((0.3, 10.0, 30.0)),)


def undated(world: SimWorld, _point: Point) -> None:
    world.table.trouble.undated = world.table.trouble.number + 1


def busy(world: SimWorld, _point: Point) -> None:
    world.table.trouble.busy = world.table.trouble.number + 1


def an_answer(_world: SimWorld, _point: Point, rng: Random) -> tuple[Argument, ...]:
    """What the server says."""
    return (rng.choice(ANSWERS),)


FAULTS: Final[dict[str, Fault]] = {
    "crash": Fault("crashes", anywhere, nothing, crash),
    "disk full": Fault("disk_full", lambda p: p.who == "store" and p.phase == "before", nothing, disk_full),
    "stop": Fault("stops", remote, nothing, stop),
    "down": Fault("down", before_call, an_answer, down),
    "short sweep": Fault("short_sweeps", at_page, nothing, short),
    "expired cursor": Fault("expired", at_page, nothing, expired),
    "lost before": Fault("lost_before", at_write, nothing, lost_before),
    "lost after": Fault("lost_after", at_write, nothing, lost_after),
    "unread": Fault("unread", lambda p: before_call(p) and p.verb == "read", a_record, unread),
    "hidden": Fault("hidden", lambda p: before_call(p) and p.verb == "sweep", a_record, hidden),
    "refuse record": Fault("refused_records", at_write, a_record, refuse_record),
    "refuse column": Fault("refused_columns", at_write, a_column, refuse_column),
    "ignore": Fault("ignored", at_write, a_field, ignored),
    "busy": Fault("busy", lambda p: begins(p) and p.who == "table", nothing, busy),
    "told to wait": Fault("waits", lambda p: may_wait(p) and p.phase == "before", a_while, told_to_wait),
    "undated": Fault("undated", lambda p: begins(p) and p.who == "table", nothing, undated),
}


def possible(point: Point) -> list[tuple[str, Fault]]:
    """The faults that can happen at such a point."""
    return [(name, fault) for name, fault in FAULTS.items() if fault.where(point)]


def do(world: SimWorld, name: str, point: Point, arguments: tuple[Any, ...]) -> None:
    """Does what was drawn. In a shorter story the point may be another kind of step: then nothing happens."""
    fault = FAULTS[name]
    if fault.where(point):
        fault.do(world, point, *arguments)
