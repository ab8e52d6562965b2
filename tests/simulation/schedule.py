"""What happens when: every event of a run, with the point of the run at which it happens.

The first run of a seed draws events and records them. A replay takes them from the record and draws nothing, so that
events can be left out one by one until the shortest story is left (shrink.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Argument: TypeAlias = "str | int | float | list[Argument] | None"


@dataclass(frozen=True, slots=True)
class Point:
    """The `nth` time (from 1) in pass `number` that `who` is at this phase of this verb."""

    number: int
    who: str
    verb: str
    phase: str
    nth: int

    def __str__(self) -> str:
        if self.who == "people":
            return f"pause {self.number}.{self.nth}"
        return f"pass {self.number}, {self.phase} {self.who} {self.verb} {self.nth}"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people, servers or the machine do, with everything it needs."""

    at: Point
    what: str
    arguments: tuple[Argument, ...] = ()

    def __str__(self) -> str:
        return f"{self.at}: {self.what} {', '.join(map(str, self.arguments))}".rstrip()


class Recorded:
    """A schedule that was recorded."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.by_point: dict[Point, list[Event]] = {}
        for event in events:
            self.by_point.setdefault(event.at, []).append(event)

    def at(self, point: Point) -> list[Event]:
        """What happens at this point."""
        return self.by_point.get(point, [])
