"""kill -9 at any moment on every kind of table, and a restart: as if there had been no crash (SPEC §6, P7)."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from syncd.sandbox.wire import Answer, Request
from tests.end_to_end.hooks import LOST, intercept, running, wait_for
from tests.end_to_end.sheets.room import Room
from tests.end_to_end.sheets.tables import KEY, KINDS

KILLS = 8 if os.environ.get("CI") else 3
SEEDS = 3 if os.environ.get("CI") else 1
DELAY_SECONDS = 0.05
WIDE = "[pair.guard]\nmax_changes = 100000\nmax_share = 1.0"

pytestmark = pytest.mark.parametrize("kind", KINDS)


def killed_when(room: Room, happened: Callable[[], bool]) -> bool:
    """A pass that is killed as soon as this has happened; False where it ended before."""
    with running(room, "--reconcile", "--json") as process:
        wait_for(lambda: happened() or process.poll() is not None, "the pass goes on", seconds=60.0)
        process.kill()
        process.wait()
    return process.returncode == -9


def moments(room: Room, asked: Counter[str], chance: random.Random) -> list[Callable[[], bool]]:
    """When a pass that begins now is killed: among its writes to HighLevel, at any request, or right after the table
    was written. Requests are counted in `asked` by method."""
    puts, requests = asked["PUT"] + chance.randint(1, 4), asked.total() + chance.randint(2, 9)
    rest, table = chance.uniform(0, 2 * DELAY_SECONDS), room.table.state()

    def after(reached: Callable[[], bool]) -> Callable[[], bool]:
        return lambda: reached() and not time.sleep(rest)  # type: ignore[func-returns-value]

    return [
        after(lambda: asked["PUT"] >= puts),
        after(lambda: asked.total() >= requests),
        lambda: room.table.state() != table,
    ]


def test_killed_right_after_rows_were_made(tmp_path: Path, kind: str) -> None:
    """The rows are there, and nothing in the state says so: they are found, none is made twice."""
    with Room(tmp_path, kind, deals=25) as room:
        killed = 0
        for _ in range(2):
            before = room.table.state()
            killed += killed_when(room, lambda before=before: room.table.state() != before)  # type: ignore[misc]
            assert max(Counter(room.keys()).values(), default=1) == 1
        assert killed
        assert room.keys()
        room.reconcile()
        assert (room.fired(), room.crm_writes()) == ([], [])
        room.agrees()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_at_random_moments_while_edits_travel_both_ways(
    tmp_path: Path, kind: str, seed: int, record_property: Callable[[str, object], None]
) -> None:
    """No row twice, no edit lost, each workflow once; people go on editing between the kills."""
    chance = random.Random(f"{kind} {seed}")
    with Room(tmp_path, kind, deals=8 + 2 * KILLS, config=WIDE) as room:
        deals = room.fill()
        pushed, pulled, spare = deals[:5], deals[5:8], deals[8:]
        wanted = {(deal, field) for deal in pushed for field in ("monetaryValue", "status")}
        cells = {(deal, "Name"): f"Renamed {number}" for number, deal in enumerate(pulled)}
        for number, deal in enumerate(pushed):
            room.type(deal, Value=1_000 + number, Status="won")
        for (deal, _), name in cells.items():
            room.highlevel.person_edit(deal, name=name)
        asked = Counter[str]()

        def slow(request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
            asked[request.method] += 1
            time.sleep(DELAY_SECONDS)
            return pass_on(request)

        for method in ("PUT", "POST", "GET"):
            intercept(room.sandbox.crm_http, slow, method, times=-1)
        killed = 0
        for number in range(KILLS):
            moment = moments(room, asked, chance)[number % 3]
            killed += killed_when(room, moment)
            time.sleep(2 * DELAY_SECONDS)  # what was sent arrives
            assert max(Counter(room.fired()).values(), default=1) == 1
            assert room.keys() == deals
            room.type(spare[number], Name=f"Row edited after kill {number}")
            wanted.add((spare[number], "name"))
            room.highlevel.person_edit(spare[-1 - number], monetaryValue=5_000 + number)
            cells[spare[-1 - number], "Value"] = 5_000 + number  # type: ignore[assignment]
            room.table.sort("Name" if number % 2 else KEY)
        assert killed >= max(1, KILLS // 3), "passes had ended before: the test shows little"
        room.reconcile()
        assert sorted(room.fired()) == sorted(wanted), "each workflow exactly once, and no edit lost"
        assert [room.read(deal, "monetaryValue") for deal in pushed] == [1_000 + n for n in range(5)]
        assert {(deal, column): room.row(deal)[column] for deal, column in cells} == cells
        room.agrees()
        record_property("kill -9 of the real process", killed)


@pytest.mark.parametrize("effect", [False, True], ids=["before", "after"])
def test_killed_at_a_new_deal(tmp_path: Path, kind: str, effect: bool) -> None:
    """Right before HighLevel makes it, or after, while its row has no key yet; meanwhile people sort the table and edit
    the row: one deal, one contact, one row, and the edit arrives."""
    with Room(tmp_path, kind, pair='read_lag = "10ms"') as room:
        room.fill()
        room.table.add_row(Name="New roof", Email="jo.new@mail.example", Pipeline="Sales", Value=10)
        stands = []

        def act(request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
            if effect:
                pass_on(request)
            stands.append(request)
            time.sleep(1.0)  # it is killed while it waits for the answer
            return LOST

        intercept(room.sandbox.crm_http, act, "POST", contains="New roof")
        assert killed_when(room, lambda: bool(stands))
        wait_for(lambda: any("New roof" in one.body for one in room.sandbox.crm_http.log), "its request is over")
        room.table.sort("Name")
        room.type("New roof", Value=20)
        for _ in range(3):
            room.reconcile(expect=None)
        deal = room.row("New roof")[KEY]
        assert len(room.deals()) == len(room.table.rows()) == 9
        assert [one["email"] for one in room.highlevel.contacts].count("jo.new@mail.example") == 1
        assert room.read(deal, "monetaryValue") == 20
        assert Counter(room.fired())[deal, ""] == 1, "it was made once"
        room.agrees()
