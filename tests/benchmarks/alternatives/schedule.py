"""The same work for everyone: which edits, in which order, and which requests fail. All of it drawn from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from syncd.sandbox.airtable_people import STATUSES
from syncd.sandbox.wire import Fault
from tests.benchmarks.alternatives.ledger import COLUMNS, Ledger, SideName

_OTHER: dict[SideName, SideName] = {"crm": "table", "table": "crm"}
_SIDES: tuple[SideName, SideName] = ("crm", "table")


@dataclass(frozen=True, slots=True)
class Plan:
    """An edit to come."""

    side: SideName
    deal: str
    column: str


class Author:
    """Draws edits, and values that differ from what stands on either side and from all before."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self._ledger = ledger
        self._random = random.Random(f"edits {seed}")
        self._number = 0
        highlevel = ledger.sandbox.highlevel
        self._stages = {one["id"]: [stage["name"] for stage in one["stages"]] for one in highlevel.pipelines}
        self._owners = [str(user["name"]) for user in highlevel.users]
        self._deals = sorted(str(deal["id"]) for deal in highlevel.deals())
        self._random.shuffle(self._deals)
        self._column = 0

    def deals(self, count: int) -> list[str]:
        """Deals that were not given before; begins anew when all were."""
        self._deals = self._deals[count:] + self._deals[:count]
        return self._deals[-count:]

    def column(self) -> str:
        """All columns in turn."""
        self._column += 1
        return list(COLUMNS)[self._column % len(COLUMNS)]

    def other_column(self, column: str) -> str:
        """The one after it."""
        names = list(COLUMNS)
        return names[(names.index(column) + 1) % len(names)]

    def carry_out(self, plans: Iterable[Plan]) -> None:
        """People type, one after the other."""
        for plan in plans:
            self._ledger.type(plan.side, plan.deal, plan.column, self._value(plan))

    def _value(self, plan: Plan) -> str:
        self._number += 1
        if plan.column == "Name":
            return f"Renamed deal no. {self._number}"
        if plan.column == "Value":
            return str(100_000 + self._number)
        standing = {self._ledger.in_crm(plan.deal, plan.column), self._ledger.in_table(plan.deal, plan.column)}
        choices: Iterable[str] = self._owners if plan.column == "Owner" else STATUSES
        if plan.column == "Stage":
            pipeline = self._ledger.sandbox.highlevel.deal(plan.deal)["pipelineId"]
            choices = [self._ledger.tidy(name) for name in self._stages[pipeline]]
        return self._random.choice([one for one in choices if one not in standing])


@dataclass(frozen=True, slots=True)
class Calm:
    """100 edits between two passes: `first` before `later`, which are the later ones of conflicts."""

    first: list[Plan]
    later: list[Plan]
    deals: int  # that change
    from_crm: int  # those of them that change in HighLevel
    to_crm: int  # edits that HighLevel must be told


def calm_edits(author: Author, single: int, apart: int, conflicts: int) -> Calm:
    """`single` deals with one edit; `apart` edited on both sides in different fields; `conflicts` in the same one.

    Half of each on either side; of the conflicts the later edit too.
    """
    first, later = [], []
    for number, deal in enumerate(author.deals(single)):
        first.append(Plan(_SIDES[number % 2], deal, author.column()))
    for deal in author.deals(apart):
        column = author.column()
        first += [Plan("crm", deal, column), Plan("table", deal, author.other_column(column))]
    for number, deal in enumerate(author.deals(conflicts)):
        column, side = author.column(), _SIDES[number % 2]
        first.append(Plan(side, deal, column))
        later.append(Plan(_OTHER[side], deal, column))
    lost = {(plan.deal, plan.column) for plan in later if plan.side == "crm"}
    kept = [plan for plan in [*first, *later] if plan.side == "table" and (plan.deal, plan.column) not in lost]
    edited = {plan.deal for plan in [*first, *later] if plan.side == "crm"}
    return Calm(first, later, single + apart + conflicts, len(edited), len(kept))


@dataclass(frozen=True, slots=True)
class Wave:
    """Edits before a pass, and edits in its midst: when its first write arrives."""

    before: list[Plan]
    amid: list[Plan]


def storm_edits(author: Author, waves: int, before: int, amid: int) -> list[Wave]:
    """Amid a pass, people type where it works: the same cell again, the same field on the other side, or another."""
    found = []
    for _ in range(waves):
        plans = [Plan(_SIDES[n % 2], deal, author.column()) for n, deal in enumerate(author.deals(before))]
        again = []
        for number, plan in enumerate(plans[-amid:]):
            match number % 3:
                case 0:
                    again.append(plan)
                case 1:
                    again.append(Plan(_OTHER[plan.side], plan.deal, plan.column))
                case _:
                    again.append(Plan(_OTHER[plan.side], plan.deal, author.other_column(plan.column)))
        found.append(Wave(plans, again))
    return found


LOST_ANSWER: dict[str, Any] = {"cut": True, "when": "after"}  # it was done, and nobody hears of it
CUT: dict[str, Any] = {"cut": True}
BROKEN: dict[str, Any] = {"status": 503, "body": {"message": "Service Unavailable"}}
DONE_AND_500: dict[str, Any] = {"status": 500, "body": {"message": "Internal Server Error"}, "when": "after"}
TOO_MANY: dict[str, Any] = {"status": 429, "body": {"message": "Too Many Requests"}, "headers": {"Retry-After": "1"}}


def _scattered(source: random.Random, among: int, kinds: list[dict[str, Any]], **where: Any) -> list[Fault]:
    """One fault of each kind, each at an own place among the first requests that match."""
    places = source.sample(range(among), len(kinds))
    return [Fault(**where, **kind, skip=place) for kind, place in zip(kinds, places, strict=True)]


def crm_faults(seed: int) -> list[Fault]:
    """What happens to requests to HighLevel, counted by kind of request."""
    source = random.Random(f"faults of HighLevel {seed}")
    put = [LOST_ANSWER, BROKEN, TOO_MANY, DONE_AND_500, CUT] * 2
    return [
        *_scattered(source, 40, put, method="PUT", path="/opportunities/"),
        *_scattered(source, 12, [BROKEN, CUT, TOO_MANY], method="POST", path="/opportunities/search"),
        *_scattered(source, 12, [BROKEN, CUT], method="GET", path="/opportunities/"),
        *_scattered(
            source, 4, [LOST_ANSWER, DONE_AND_500], method="POST", path="/opportunities/", contains="contactId"
        ),
    ]


def table_faults(seed: int) -> list[Fault]:
    """Likewise, to Airtable."""
    source = random.Random(f"faults of Airtable {seed}")
    return [
        *_scattered(source, 10, [LOST_ANSWER, BROKEN, DONE_AND_500, CUT, LOST_ANSWER], method="PATCH", path="/v0/"),
        *_scattered(source, 12, [BROKEN, CUT], method="GET", path="/v0/app"),
        *_scattered(source, 12, [BROKEN, CUT], method="POST", path="/listRecords"),
    ]
