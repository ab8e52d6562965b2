"""kill -9 at any moment, and a restart: as if there had been no crash (SPEC §6, P7).

The random kills come one after the other on the same state folder, so that recovery is killed as well.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from syncd.sandbox.wire import Answer, Fault, Faulty, Request
from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk
from tests.end_to_end.hooks import LOST, at_rest, ids, intercept, running, wait_for

KILLS = 6
DELAY_SECONDS = 0.08
SEARCH = "/opportunities/search"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A filled table of twelve deals."""
    with Desk(tmp_path) as rig:
        rig.fill()
        yield rig


def killed_after(rig: Desk, seconds: float) -> bool:
    """A pass is killed so long after its first request to HighLevel's search; False where it had ended before."""

    def sweeps() -> int:
        return sum(line.path == SEARCH for line in rig.sandbox.crm_http.log)

    before = sweeps()
    with running(rig, "--reconcile", "--json") as process:
        wait_for(lambda: sweeps() > before or process.poll() is not None, "the sweep begins", seconds=60.0)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        ended = process.poll()
        process.kill()
    time.sleep(2 * DELAY_SECONDS)  # what was sent arrives; later writes are another matter (LIMITS)
    return ended is None


def keys(rig: Desk) -> Counter[str]:
    """How many rows carry each deal's id."""
    return Counter(str(row.get("GHL ID")) for row in rig.airtable.rows(TABLE).values())


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again_while_filling(tmp_path: Path, seed: int) -> None:
    chance = random.Random(f"fill {seed}")
    with Desk(tmp_path, deals=90) as rig:
        rig.sandbox.table_http.faults[:] = [Fault("PATCH", delay_seconds=DELAY_SECONDS, times=-1)]
        inside, made = 0, set()
        for _ in range(KILLS):
            inside += killed_after(rig, chance.uniform(0.0, 0.9))
            assert max(keys(rig).values(), default=1) == 1  # never two rows of one deal, not even for a while
            made.add(len(keys(rig)))
        assert inside >= 4
        assert made - {0, 90}, "no kill fell into the filling: the test shows nothing"
        rig.sandbox.table_http.faults.clear()
        left = 90 - len(keys(rig))
        assert rig.reconcile()["created"] == {"crm": 0, "table": left}
        assert {write.kind for write in rig.table_writes()} == {"create"}
        assert len(rig.table_writes()) == 90
        assert rig.fired() == []
        at_rest(rig)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again_while_pushing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(f"push {seed}")
    with Desk(tmp_path, deals=50) as rig:
        rig.write_config(fields="[pair.guard]\nmax_changes = 100000\nmax_share = 1.0")
        rig.reconcile()
        rig.forget_log()
        pushed, spare = ids(rig)[:30], ids(rig)[30:]
        wanted = set()
        for number, deal in enumerate(pushed):
            status = "won" if rig.read(deal, "status") != "won" else "lost"
            rig.type(deal, Value=1_000 + number, Status=status)
            wanted |= {(deal, "monetaryValue"), (deal, "status")}
        rig.sandbox.crm_http.faults[:] = [Fault("PUT", delay_seconds=DELAY_SECONDS, times=-1)]
        inside = 0
        for number in range(KILLS):
            inside += killed_after(rig, chance.uniform(0.0, 0.8))
            assert max(Counter(rig.fired()).values(), default=1) == 1
            rig.type(spare[number], Name=f"Row edited after kill {number}")
            wanted.add((spare[number], "name"))
            rig.highlevel.person_edit(spare[-1 - number], name=f"Deal edited after kill {number}")
        assert inside >= 4
        rig.sandbox.crm_http.faults.clear()
        assert 0 < len(rig.fired()) < len(wanted), "no kill fell into the pushing: the test shows nothing"
        rig.reconcile()
        assert sorted(rig.fired()) == sorted(wanted)  # each workflow exactly once, no edit lost
        assert rig.cells() == sorted((deal, "Name") for deal in spare[-KILLS:])
        assert [rig.read(deal, "monetaryValue") for deal in pushed] == [1_000 + n for n in range(len(pushed))]
        at_rest(rig)


def killed_at(
    rig: Desk, http: Faulty, method: str, path: str, *, effect: bool, skip: int = 0, contains: str = ""
) -> None:
    """A pass that is killed right before, or right after, a request takes effect; it never gets the answer."""
    victims: list[subprocess.Popen[str]] = []

    def act(request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
        if effect:
            pass_on(request)
        wait_for(lambda: victims, "the process is known")
        victims[0].kill()
        victims[0].wait()
        return LOST

    stands = intercept(http, act, method, path, skip=skip, contains=contains)
    with running(rig, "--reconcile") as process:
        victims.append(process)
        wait_for(lambda: process.poll() is not None, "the pass is killed", seconds=60.0)
        assert process.returncode == -9
    assert stands.times == 0


def test_killed_at_a_new_row(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=25) as rig:
        table = rig.sandbox.table_http
        killed_at(rig, table, "PATCH", "/v0/", effect=False, contains="performUpsert")
        assert keys(rig) == {}
        killed_at(rig, table, "PATCH", "/v0/", effect=True, contains="performUpsert")
        assert len(keys(rig)) == 10
        killed_at(rig, table, "PATCH", "/v0/", effect=True, contains="performUpsert", skip=1)
        assert len(keys(rig)) == 25
        rig.forget_log()
        assert rig.reconcile()["created"] == {"crm": 0, "table": 0}
        assert (rig.table_calls(), rig.crm_writes()) == ([], [])
        at_rest(rig)


def test_killed_at_a_deal(rig: Desk) -> None:
    first, second, third = ids(rig)[:3]
    crm = rig.sandbox.crm_http
    for deal, effect in ((first, False), (second, True)):
        rig.forget_log()
        rig.type(deal, Value=99, Status="abandoned" if rig.read(deal, "status") != "abandoned" else "won")
        killed_at(rig, crm, "PUT", deal, effect=effect)
        assert len(rig.fired()) == (2 if effect else 0)
        rig.reconcile()
        assert sorted(rig.fired()) == [(deal, "monetaryValue"), (deal, "status")]
        assert len(rig.crm_writes()) == (1 if effect else 2)
        assert rig.table_writes() == []
    # While the program is down, a person sets another value in the deal: it comes to the row.
    rig.forget_log()
    rig.type(third, Value=55)
    killed_at(rig, crm, "PUT", third, effect=True)
    rig.highlevel.person_edit(third, monetaryValue=66)
    rig.reconcile()
    assert rig.read(third, "monetaryValue") == rig.row(third)["Value"] == 66
    assert rig.fired() == [(third, "monetaryValue")]
    assert rig.cells() == [(third, "Value")]
    at_rest(rig)


def test_killed_at_a_row(rig: Desk) -> None:
    first, second, third = ids(rig)[:3]
    table = rig.sandbox.table_http
    rig.later(5.0)
    for deal, effect in ((first, False), (second, True)):
        rig.forget_log()
        rig.highlevel.person_edit(deal, monetaryValue=88)
        killed_at(rig, table, "PATCH", "/v0/", effect=effect)
        assert len(rig.table_writes()) == effect
        rig.reconcile()
        assert rig.cells() == [(deal, "Value")]
        assert len(rig.table_calls()) == (1 if effect else 2)
        assert (rig.crm_writes(), rig.fired()) == ([], [])
    # While the program is down, a person types another value: it comes to the deal.
    rig.forget_log()
    rig.highlevel.person_edit(third, monetaryValue=77)
    killed_at(rig, table, "PATCH", "/v0/", effect=True)
    rig.type(third, Value=78)
    rig.reconcile()
    assert rig.read(third, "monetaryValue") == rig.row(third)["Value"] == 78
    assert rig.fired() == [(third, "monetaryValue")]
    assert rig.cells() == [(third, "Value")]
    at_rest(rig)


def test_killed_at_the_second_look_and_while_settling(rig: Desk) -> None:
    deal = ids(rig)[0]
    crm = rig.sandbox.crm_http
    rig.type(deal, Value=44)
    killed_at(rig, crm, "GET", f"/opportunities/{deal}", effect=True)  # before the write
    assert (rig.crm_writes(), rig.fired()) == ([], [])
    killed_at(rig, crm, "PUT", deal, effect=True)
    killed_at(rig, crm, "GET", f"/opportunities/{deal}", effect=False)  # while it is looked up what became of it
    assert len(rig.crm_writes()) == 1
    rig.reconcile()
    assert rig.fired() == [(deal, "monetaryValue")]
    assert len(rig.crm_writes()) == 1
    at_rest(rig)
