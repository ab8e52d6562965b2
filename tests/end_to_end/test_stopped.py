"""`--reconcile` that is told to end: exit 1, and every pair still has its object (CONTRACT)."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.pairs import Connection
from syncd.reconcile import PassResult
from tests.end_to_end.desk import Desk


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """Two pairs, of which nothing but the names matters here."""
    with Desk(tmp_path, deals=1) as made:
        made.write_config()
        config = made.folder / "config" / "syncd.toml"
        one = config.read_text("utf-8")
        config.write_text(one + one.replace('"default"', '"second"').replace('table = "', 'table = "x'), "utf-8")
        yield made


def stub(monkeypatch: pytest.MonkeyPatch, *, in_its_midst: bool) -> list[str]:
    """Passes that are told to end, and do so before their end or after it; returns the pairs that had one."""
    had: list[str] = []

    def run_pass(self: Connection, *_: object, **__: object) -> PassResult:
        had.append(self.pair.name)
        os.kill(os.getpid(), signal.SIGTERM)
        return PassResult(self.pair.name, stopped=in_its_midst)

    monkeypatch.setattr(Connection, "run_pass", run_pass)
    return had


def test_every_pair_says_that_it_was_stopped(rig: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    had = stub(monkeypatch, in_its_midst=True)
    ran = rig.run("--reconcile", "--json")
    shown = [json.loads(line) for line in ran.out.splitlines()]
    assert (ran.code, had, [one["pair"] for one in shown]) == (1, ["default"], ["default", "second"])
    assert [one["error"] for one in shown] == [
        "Stopped before its end; the next pass goes on from there.",
        "Stopped before its turn.",
    ]


def test_a_pass_that_came_to_its_end_is_none_that_was_stopped(rig: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    had = stub(monkeypatch, in_its_midst=False)
    ran = rig.run("--reconcile", "--json")
    shown = [json.loads(line) for line in ran.out.splitlines()]
    assert (ran.code, had, "error" in shown[0]) == (1, ["default"], False)
    assert (shown[1]["pair"], shown[1]["error"]) == ("second", "Stopped before its turn.")


def test_without_a_second_pair_the_last_pass_counts(rig: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    stub(monkeypatch, in_its_midst=False)
    assert rig.run("--reconcile", "--pair", "default").code == 0
    stub(monkeypatch, in_its_midst=True)
    assert rig.run("--reconcile", "--pair", "default").code == 1
