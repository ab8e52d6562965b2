"""Budgets of calls through the command line: what `status` counts, and a daemon that has to wait."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncd.budget import Span
from syncd.store import Store
from tests.end_to_end.desk import Desk
from tests.end_to_end.hooks import passes, running, wait_for

PATIENCE_SECONDS = 60.0


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A table of eight deals, filled and at rest for two passes, so that what a pass costs is known."""
    with Desk(tmp_path, deals=8) as rig:
        rig.write_config()
        rig.reconcile()
        rig.reconcile()
        yield rig


def plan(rig: Desk, name: str) -> None:
    """The configuration names a plan of Airtable."""
    path = rig.folder / "config" / "syncd.toml"
    path.write_text(path.read_text().replace('type = "airtable"', f'type = "airtable"\nplan = "{name}"'))


def use(rig: Desk, calls: int) -> None:
    """Calls of this month that other passes made."""
    with closing(Store(rig.folder / "state", "default")) as store:
        store.add_calls(f"airtable:{rig.airtable.base_id}", Span.MONTH.key(time.time()), calls)


def sent(rig: Desk) -> dict[str, int]:
    """The requests that both servers got."""
    return {"crm": len(rig.sandbox.crm_http.log), "table": len(rig.sandbox.table_http.log)}


def test_status_counts_every_call_of_every_pass(rig: Desk) -> None:
    rig.type(rig.deals()[0]["id"], Value=640)
    rig.reconcile()
    asked = sent(rig)
    shown = rig.run("status", "--json").json
    assert {one["side"]: one["used"] for one in shown["budgets"]} == asked
    assert [(one["limit"], one["runs_out"]) for one in shown["budgets"]] == [(200_000, None), (None, None)]
    assert all(one["projected"] > one["used"] for one in shown["budgets"])
    assert (shown["interval_seconds"], shown["slowed_by"]) == (60.0, "")
    plain = rig.run("status").out
    assert f"  HighLevel: {asked['crm']} of 200,000 calls today, " in plain
    assert f"  Airtable: {asked['table']} calls this month\n" in plain
    rig.run("plan")
    rig.run("doctor")
    again = {one["side"]: one["used"] for one in rig.run("status", "--json").json["budgets"]}
    assert again == asked, "what only looks keeps nothing"
    plan(rig, "team")
    assert f"  Airtable: {asked['table']} of 100,000 calls this month, " in rig.run("status").out


def test_highlevels_own_count_holds_what_other_programs_used(rig: Desk) -> None:
    rig.highlevel.daily_limit = 10_000
    rig.reconcile()
    used = sent(rig)["crm"]
    assert f"  HighLevel: {used} of 10,000 calls today, " in rig.run("status").out


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (980, "Airtable's limit is almost used up: "),
        (500, "a pass every "),  # how long, depends on the day of the month
    ],
)
def test_a_daemon_waits_where_a_plan_does_not_last_and_says_so_once(rig: Desk, used: int, said: str) -> None:
    """Also after a restart, which must not cost a pass each time. `--reconcile` goes on: a person asked for it."""
    plan(rig, "free")
    use(rig, used)
    rig.forget_log()
    for _ in range(2):
        with running(rig, SYNCD_INTERVAL="0.2s") as process:
            first = [process.stderr.readline() for _ in range(2)] if process.stderr else []
            assert ["Airtable's limit" in line for line in first] == [False, True], first
            assert said in first[1]
            status = rig.run("status", "--json", SYNCD_INTERVAL="0.2s").json  # takes longer than an interval
            assert status["slowed_by"].startswith(said)
            assert f"Running: process {process.pid}" in rig.run("status").out
            process.send_signal(signal.SIGTERM)
            _, rest = process.communicate(timeout=PATIENCE_SECONDS)
            assert process.returncode == 0, rest
            assert rest.count("Airtable's limit") == 0
    assert sent(rig) == {"crm": 0, "table": 0}
    rig.reconcile()
    assert sent(rig)["table"] > 0


def test_a_daemon_without_a_plan_does_not_wait(rig: Desk) -> None:
    """The same calls, and the same day: passes come each interval."""
    use(rig, 50_000)
    rig.forget_log()
    with running(rig, SYNCD_INTERVAL="0.2s") as process:
        wait_for(lambda: passes(rig) >= 3, "three passes", seconds=PATIENCE_SECONDS)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "limit" not in err


def test_a_first_pass_is_not_put_off_and_the_next_one_is(rig: Desk) -> None:
    """Where the last pass is long ago the daemon begins at once; then it waits."""
    plan(rig, "free")
    use(rig, 500)
    with closing(Store(rig.folder / "state", "default")) as store, store.tx():
        store.connection.execute("UPDATE passes SET started = started - 90000, ended = ended - 90000")
    rig.forget_log()
    with running(rig, SYNCD_INTERVAL="0.2s") as process:
        wait_for(lambda: passes(rig) >= 1, "a pass", seconds=PATIENCE_SECONDS)
        for _ in range(3):  # each takes longer than an interval
            shown = json.loads(rig.run_apart("status", "--json").out)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert shown["running"] is False
    assert passes(rig) == 1
