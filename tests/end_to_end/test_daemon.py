"""The daemon as a process: passes, signals, the lock, systemd's notifications, two pairs, what it logs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.wire import Answer, Fault, Request
from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk
from tests.end_to_end.hooks import LOST, at_rest, fill_here, ids, intercept, passes, running, wait_for

EVERY = {"SYNCD_INTERVAL": "0.5s"}
PATIENCE_SECONDS = 60.0  # for what takes a second on a machine that has nothing else to do


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A filled table of eight deals."""
    with Desk(tmp_path, deals=8) as rig:
        fill_here(rig)
        yield rig


def ended(process: subprocess.Popen[str], number: int = signal.SIGTERM, *, seconds: float = 15.0) -> str:
    """Sends a signal; the process ends with exit code 0 within seconds. Returns what it logged."""
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, err
    assert time.monotonic() - began < seconds
    assert out == ""
    assert "Traceback" not in err
    return err


def further_passes(rig: Desk, number: int) -> None:
    """Waits until this many passes have begun after the present one."""
    goal = passes(rig) + number + 1  # the one that begins last has seen the end of the one before
    wait_for(lambda: passes(rig) >= goal, f"{number} further passes", seconds=PATIENCE_SECONDS)


def test_edits_are_carried_in_both_directions_and_idle_passes_are_silent(rig: Desk) -> None:
    typed, moved, both = ids(rig)[:3]
    rig.forget_log()
    with running(rig, **EVERY) as process:
        further_passes(rig, 2)
        assert rig.fired() == []
        rig.type(typed, Value=501)
        rig.highlevel.person_edit(moved, name="Moved by hand")
        rig.type(both, Name="One name")
        rig.highlevel.person_edit(both, monetaryValue=777)
        wait_for(lambda: rig.sandbox.differences() == [], "the edits arrive", seconds=PATIENCE_SECONDS)
        further_passes(rig, 3)
        err = ended(process)
    assert sorted(rig.fired()) == sorted([(typed, "monetaryValue"), (both, "name")])
    assert len(rig.crm_writes()) == 2
    assert rig.cells() == sorted([(moved, "Name"), (both, "Value")])
    lines = err.splitlines()
    assert "1 pair(s)" in lines[0]
    assert lines[-1].endswith("ended")
    assert 1 <= len(lines) - 2 <= 4  # only passes that wrote something: four edits are at most four of them
    kept = b"".join(path.read_bytes() for path in rig.folder.rglob("*") if path.is_file())
    for token in (rig.highlevel.token, rig.airtable.settings.token):
        assert token not in err
        assert token.encode() not in kept
    at_rest(rig)


def test_passes_begin_each_interval(rig: Desk) -> None:
    rig.forget_log()
    with running(rig, SYNCD_INTERVAL="2s") as process:
        wait_for(lambda: passes(rig) >= 4, "four passes", seconds=PATIENCE_SECONDS)
        ended(process)
    times = [line.at for line in rig.sandbox.crm_http.log if line.path == "/opportunities/search"][:4]
    assert 3.5 <= times[3] - times[0] <= 12.0  # three intervals; a machine that is busy begins some late
    assert rig.table_writes() == rig.crm_writes() == []


def test_other_commands_work_meanwhile_and_a_second_writer_is_refused(rig: Desk) -> None:
    deal = ids(rig)[0]
    with running(rig, **EVERY) as process:
        rig.type(deal, Value=640)
        wait_for(lambda: rig.read(deal, "monetaryValue") == 640, "the edit arrives", seconds=PATIENCE_SECONDS)
        further_passes(rig, 1)
        plan = rig.run("plan", "--json")
        assert (plan.code, plan.json["create"], plan.json["update"]) == (0, [], [])
        status = rig.run("status")
        assert status.code == 0
        assert f"Running: process {process.pid} " in status.out
        assert "8 in sync" in status.out
        history = rig.run("history", deal, "--json")
        assert history.code == 0
        assert [write["side"] for write in history.json["writes"]].count("crm") == 1
        why = rig.run("why", deal)
        assert why.code == 0
        assert "640" in why.out
        for arguments in (["--reconcile"], []):
            second = rig.run(*arguments, **EVERY)
            assert second.code == 1
            assert f"process {process.pid} on " in second.err
            assert "daemon" in second.err
            assert "Traceback" not in second.err
        before = passes(rig)
        wait_for(lambda: passes(rig) > before, "the daemon goes on", seconds=PATIENCE_SECONDS)
        ended(process)
    assert rig.fired() == [(deal, "monetaryValue")]
    at_rest(rig)


def test_killed_daemon_leaves_no_lock(rig: Desk) -> None:
    rig.forget_log()
    with running(rig, **EVERY) as process:
        wait_for(lambda: passes(rig) > 0, "a pass", seconds=PATIENCE_SECONDS)
        process.kill()
        process.wait()
    assert "No daemon is running" in rig.run("status").out
    at_rest(rig)


def write_states(rig: Desk) -> set[str]:
    """The states of all writes in the state database."""
    with closing(sqlite3.connect(f"file:{rig.folder / 'state' / 'syncd.db'}?mode=ro", uri=True)) as database:
        return {str(state) for (state,) in database.execute("SELECT state FROM writes")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_in_the_midst_of_a_fill(tmp_path: Path, number: int) -> None:
    with Desk(tmp_path, deals=70) as rig:
        rig.sandbox.table_http.faults[:] = [Fault("PATCH", delay_seconds=0.3, times=-1)]
        with running(rig) as process:
            wait_for(lambda: len(rig.airtable.rows(TABLE)) >= 20, "two batches", seconds=PATIENCE_SECONDS)
            ended(process, number)
        rig.sandbox.table_http.faults.clear()
        made = len(rig.airtable.rows(TABLE))
        assert made in range(20, 70, 10)  # whole batches
        assert json.loads(rig.run("status", "--json").out)["links"] == made
        # None is left unsettled. A batch that waited for its turn when the signal came was never sent.
        assert {"done"} <= write_states(rig) <= {"done", "not_done"}
        rig.forget_log()
        assert rig.reconcile()["created"] == {"crm": 0, "table": 70 - made}
        assert {write.kind for write in rig.table_writes()} == {"create"}
        at_rest(rig)


def refusals(rig: Desk) -> int:
    """How many requests HighLevel has refused."""
    return sum(line.status >= 400 for line in rig.sandbox.crm_http.log)


def test_signal_while_waiting_for_a_server(rig: Desk) -> None:
    """A rest that a 429 asks for, and the pauses between retries, end with the signal."""
    typed = ids(rig)[0]
    rig.type(typed, Value=88)
    rig.later()  # the daemon lets what was just typed rest
    rig.forget_log()
    for fault in (
        Fault("PUT", status=429, headers={"Retry-After": "100"}, body={"message": "Too many requests"}, times=-1),
        Fault("GET", "/opportunities/search", status=503, times=-1),
    ):
        rig.sandbox.crm_http.faults[:] = [fault]
        rig.sandbox.crm_http.log.clear()
        with running(rig) as process:
            wait_for(lambda: refusals(rig), "the fault", seconds=PATIENCE_SECONDS)
            ended(process, seconds=10.0)
    rig.sandbox.crm_http.faults.clear()
    rig.forget_log()
    rig.reconcile()
    assert rig.fired() == [(typed, "monetaryValue")]
    assert len(rig.crm_writes()) == 1
    at_rest(rig)


def test_signal_while_a_read_hangs(rig: Desk) -> None:
    """A server that keeps a read waiting does not keep the daemon from ending: nothing is lost by dropping it."""
    arrived: list[Request] = []

    def hang(request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
        arrived.append(request)
        time.sleep(40.0)
        return LOST

    intercept(rig.sandbox.crm_http, hang, "GET", "/opportunities/search")
    with running(rig) as process:
        wait_for(lambda: arrived, "the read", seconds=PATIENCE_SECONDS)
        ended(process, seconds=12.0)
    at_rest(rig)


def two_pairs(first: Desk, second: Desk) -> None:
    """Gives `first` a configuration file with both sandboxes, as the pairs "one" and "two"."""
    text = ""
    for name, rig in (("one", first), ("two", second)):
        first.environment |= {f"{name.upper()}_{key}": value for key, value in rig.sandbox.environment().items()}
        text += f"""
[[pair]]
name = "{name}"
[pair.ghl]
location_id = "{rig.highlevel.location_id}"
base_url = "{rig.sandbox.crm_url}"
token = "env:{name.upper()}_GHL_TOKEN"
[pair.table]
type = "airtable"
base_id = "{rig.airtable.base_id}"
base_url = "{rig.sandbox.table_url}"
table = "{TABLE}"
token = "env:{name.upper()}_AIRTABLE_TOKEN"
"""
    path = first.folder / "config" / "syncd.toml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")


def test_failing_pair_does_not_stop_the_other(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=4) as first, Desk(tmp_path, deals=5, seed=2) as second:
        two_pairs(first, second)
        refusal: dict[str, Any] = {"status": 401, "body": {"statusCode": 401, "message": "Invalid JWT"}, "times": -1}
        first.sandbox.crm_http.faults[:] = [Fault(**refusal)]
        ran = first.run("--reconcile", "--json")
        told = [json.loads(line) for line in ran.out.splitlines()]
        assert ran.code == 1
        assert [(one["pair"], "error" in one) for one in told] == [("one", True), ("two", False)]
        assert [one["created"]["table"] for one in told] == [0, 5]
        assert second.sandbox.differences() == []
        planned = first.run("plan")
        assert (planned.code, "two:" in planned.out.split()) == (1, True)
        assert planned.err.startswith("one: HighLevel")

        deal = ids(second)[0]
        with running(first, **EVERY) as process:
            second.type(deal, Value=31)
            wait_for(lambda: second.read(deal, "monetaryValue") == 31, "the edit", seconds=PATIENCE_SECONDS)
            further_passes(second, 1)
            assert first.airtable.rows(TABLE) == {}
            first.sandbox.crm_http.faults.clear()
            wait_for(lambda: first.sandbox.differences() == [], "the fill", seconds=PATIENCE_SECONDS)
            further_passes(first, 1)
            err = ended(process)
        assert re.search(r"ERROR .*\bone\b.*token", err)
        assert not re.search(r"ERROR .*\btwo\b", err)
        assert len(first.table_writes()) == 4
        assert second.fired() == [(deal, "monetaryValue")]
        assert first.fired() == []


def test_tells_systemd_that_it_is_ready_alive_and_stopping(rig: Desk) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sd", dir="/tmp"))  # a socket's path is short
    address = str(folder / "notify")
    said: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(0.2)
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    said.append(listening.recv(4096).decode())
                except TimeoutError:
                    continue

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            with running(rig, NOTIFY_SOCKET=address, WATCHDOG_USEC="1500000", **EVERY) as process:
                wait_for(lambda: said.count("WATCHDOG=1") >= 3, "signs of life", seconds=PATIENCE_SECONDS)
                ended(process)
            wait_for(lambda: "STOPPING=1" in said, "STOPPING=1")
        finally:
            done.set()
            listener.join()
            os.unlink(address)
            folder.rmdir()
    assert said[0].splitlines()[0] == "READY=1"
    assert [one for one in said[1:] if one != "WATCHDOG=1"] == ["STOPPING=1"]
    assert said[-1] == "STOPPING=1"


def test_lagging_search_under_a_daemon(rig: Desk) -> None:
    """Edits on both sides, pass after pass, while search is seconds behind: each is carried once."""
    rig.write_config(pair='read_lag = "1s"')
    rig.reconcile()
    rig.highlevel.lag_seconds = 2.0
    rig.forget_log()
    deals = ids(rig)
    wanted = []
    with running(rig, **EVERY) as process:
        for number, deal in enumerate(deals):
            rig.type(deal, Value=100 + number)
            wanted.append((deal, "monetaryValue"))
            other = deals[(number + 3) % len(deals)]
            rig.highlevel.person_edit(other, name=f"Named {number}")
            time.sleep(0.4)
        wait_for(lambda: rig.sandbox.differences() == [], "both sides agree", seconds=PATIENCE_SECONDS)
        further_passes(rig, 4)
        ended(process)
    assert sorted(rig.fired()) == sorted(wanted)
    assert len(rig.crm_writes()) == len(deals)
    assert rig.cells() == sorted((deal, "Name") for deal in deals)
    assert [rig.read(deal, "monetaryValue") for deal in deals] == [100 + number for number in range(len(deals))]
    rig.highlevel.flush_index()
    at_rest(rig)


def test_a_daemon_that_cannot_sync_any_pair_ends_with_2(tmp_path: Path) -> None:
    """What is only found at the services, in the very first pass: starting again would not help, and systemd knows."""
    with Desk(tmp_path, deals=3) as rig:
        process = rig.start(AIRTABLE_TABLE="Dealz", **EVERY)
        try:
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
        assert (process.returncode, out) == (2, "")
        assert "Dealz" in err
        assert "mend the configuration" in err.splitlines()[-1]
        assert "Traceback" not in err
        assert (rig.crm_writes(), rig.table_calls()) == ([], [])
        assert rig.reconcile()["created"]["table"] == 3, "the lock is free"


def test_a_daemon_that_has_synced_waits_for_the_mend(rig: Desk) -> None:
    """A column that is renamed while it runs is said once, when the columns are looked at next (each hour, and after
    any error), and synced again when it has its name back."""

    def looked() -> int:
        return sum(line.path.startswith("/v0/meta/") for line in rig.sandbox.table_http.log)

    with running(rig, **EVERY) as process:
        wait_for(lambda: passes(rig) >= 2, "passes", seconds=PATIENCE_SECONDS)
        rig.airtable.rename_field(TABLE, "Status", "Otherwise")
        seen = looked()
        further_passes(rig, 2)
        assert looked() == seen, "columns are known by their ids"
        rig.sandbox.table_http.faults.append(Fault(path=rig.sandbox.table_id, status=403, times=1))
        wait_for(lambda: looked() >= seen + 4, "looks at the columns", seconds=PATIENCE_SECONDS)
        rig.airtable.rename_field(TABLE, "Otherwise", "Status")
        further_passes(rig, 2)
        err = ended(process)
    assert err.count("“Otherwise”") == 1
    assert "completed again" in err
    at_rest(rig)


def test_a_larger_pair_is_asked_for_what_changed(tmp_path: Path) -> None:
    """Once everything was looked at, an idle pass is one call a side; edits of both sides arrive all the same, and a
    deal that is new."""
    with Desk(tmp_path, deals=120) as rig:
        fill_here(rig)
        typed, moved = ids(rig)[:2]

        def listed() -> list[str]:
            crm = [line.method for line in rig.sandbox.crm_http.log if line.path == "/opportunities/search"]
            return [method for method in crm if method == "POST"]

        with running(rig, **EVERY) as process:
            wait_for(lambda: len(listed()) >= 3, "incremental passes", seconds=PATIENCE_SECONDS)
            rig.forget_log()
            wait_for(lambda: len(listed()) >= 4, "incremental passes", seconds=PATIENCE_SECONDS)
            assert {line.method for line in rig.sandbox.crm_http.log} == {"POST"}
            assert all("LAST_MODIFIED_TIME" in str(line.query) + line.body for line in rig.sandbox.table_http.log)
            rig.type(typed, Value=640)
            rig.highlevel.person_edit(moved, name="A new name")
            made = rig.highlevel.person_create(contact={"firstName": "Ann"}, name="A new deal")
            wait_for(lambda: rig.read(typed, "monetaryValue") == 640, "the row's edit", seconds=PATIENCE_SECONDS)
            wait_for(lambda: rig.row(moved)["Name"] == "A new name", "the deal's edit", seconds=PATIENCE_SECONDS)
            wait_for(
                lambda: made in [row.get("GHL ID") for row in rig.airtable.rows(TABLE).values()],
                "the new deal's row", seconds=PATIENCE_SECONDS,
            )  # fmt: skip
            assert "GET" not in {line.method for line in rig.sandbox.crm_http.log if "search" in line.path}
            ended(process)
        at_rest(rig)
