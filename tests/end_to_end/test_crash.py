"""kill -9 at any moment, and a restart: as if there had been no crash (SPEC §6, P7).

The random kills come one after the other on the same state folder, so that recovery is killed as well.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncd.sandbox.wire import Answer, Faulty, Request
from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk
from tests.end_to_end.hooks import LOST, at_rest, fill_here, ids, intercept, running, wait_for

KILLS = 13 if os.environ.get("CI") else 4  # four tests: 52 kills of the real process in CI
SEEDS = (1, 2) if os.environ.get("CI") else (1,)
DELAY_SECONDS = 0.08


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A filled table of twelve deals."""
    with Desk(tmp_path) as rig:
        fill_here(rig)
        yield rig


class Slow:
    """Requests of one method that take a while to arrive, and how many have been sent."""

    def __init__(self, http: Faulty, method: str) -> None:
        self.sent = 0
        intercept(http, self.act, method, times=-1)

    def act(self, request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
        """Counts the request and takes its time before it takes effect."""
        self.sent += 1
        time.sleep(DELAY_SECONDS)
        return pass_on(request)


def killed_somewhere(rig: Desk, slow: Slow, chance: random.Random, most: int) -> None:
    """A pass is killed at a random moment: after up to `most` slow requests, before, within or after the next one."""
    goal, seconds = slow.sent + chance.randint(1, most), chance.uniform(0.0, 2.5 * DELAY_SECONDS)
    with running(rig, "--reconcile", "--json") as process:
        wait_for(lambda: slow.sent >= goal or process.poll() is not None, "the writes", seconds=60.0)
        time.sleep(seconds)
        process.kill()
        process.wait()
    assert process.returncode == -9, "the pass had ended before: the test shows nothing"
    time.sleep(2 * DELAY_SECONDS)  # what was sent arrives; a write that lands much later is another matter (LIMITS)


def keys(rig: Desk) -> Counter[str]:
    """How many rows carry each deal's id."""
    return Counter(str(row.get("GHL ID")) for row in rig.airtable.rows(TABLE).values())


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_again_and_again_while_filling(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(f"fill {seed}")
    deals = KILLS * 80
    with Desk(tmp_path, deals=deals) as rig:
        slow = Slow(rig.sandbox.table_http, "PATCH")
        for _ in range(KILLS):
            killed_somewhere(rig, slow, chance, most=2)
            assert max(keys(rig).values()) == 1  # never two rows of one deal, not even for a while
        assert 0 < len(keys(rig)) < deals
        rig.reconcile()
        assert [write.kind for write in rig.table_writes()] == ["create"] * deals
        assert rig.fired() == []
        at_rest(rig)
        record_property("kill -9 of the real process", KILLS)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_again_and_again_while_pushing(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(f"push {seed}")
    with Desk(tmp_path, deals=KILLS * 8) as rig:
        rig.write_config(fields="[pair.guard]\nmax_changes = 100000\nmax_share = 1.0")
        fill_here(rig)
        pushed, spare = ids(rig)[: KILLS * 5], ids(rig)[KILLS * 5 :]
        wanted = set()
        for number, deal in enumerate(pushed):
            status = "won" if rig.read(deal, "status") != "won" else "lost"
            rig.type(deal, Value=1_000 + number, Status=status)
            wanted |= {(deal, "monetaryValue"), (deal, "status")}
        slow = Slow(rig.sandbox.crm_http, "PUT")
        for number in range(KILLS):
            killed_somewhere(rig, slow, chance, most=3)
            assert max(Counter(rig.fired()).values(), default=1) == 1
            rig.type(spare[number], Name=f"Row edited after kill {number}")
            wanted.add((spare[number], "name"))
            rig.highlevel.person_edit(spare[-1 - number], name=f"Deal edited after kill {number}")
        assert 0 < len(rig.fired()) < len(wanted)
        rig.reconcile()
        assert sorted(rig.fired()) == sorted(wanted)  # each workflow exactly once, no edit lost
        assert rig.cells() == sorted((deal, "Name") for deal in spare[-KILLS:])
        assert [rig.read(deal, "monetaryValue") for deal in pushed] == [1_000 + n for n in range(len(pushed))]
        at_rest(rig)
        record_property("kill -9 of the real process", KILLS)


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


def test_request_without_its_body_is_no_request(rig: Desk) -> None:
    """What a client that is killed between head and body leaves behind: no server acts on it, nor may the sandbox."""
    deal = ids(rig)[0]
    before = rig.highlevel.deal(deal)
    head = [
        f"PUT /opportunities/{deal} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {rig.highlevel.token}",
        "Version: 2021-07-28",
        "Content-Type: application/json",
        "Content-Length: 20",
    ]
    with socket.create_connection(("127.0.0.1", rig.sandbox.served_crm.port)) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert rig.highlevel.deal(deal) == before
    assert rig.crm_writes() == []


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
        rig.reconcile()
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
