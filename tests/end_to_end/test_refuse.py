"""`syncd approve` on a match report, and what cannot be approved or refused (SPEC §5, CONTRACT)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.guards import SEVERAL, GuardKind, Member, made_set
from syncd.model import Side
from syncd.sandbox.world import TABLE
from syncd.store import Store
from tests.end_to_end.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Four deals and their rows, in agreement."""
    with Desk(tmp_path, deals=4) as made:
        made.later()
        made.fill()
        made.later()
        yield made


def met(desk: Desk, name: str, *, deals: int) -> tuple[str, list[str]]:
    """A row without an id, and so many deals without a row, of one name and of different people: their ids."""
    address = name.casefold()
    row = desk.airtable.person_add(TABLE, {"Name": name, "Email": f"{address}@row.example", "Pipeline": "Sales"})
    made = [
        desk.highlevel.person_create(name=name, contact={"firstName": name, "email": f"{address}{n}@deal.example"})
        for n in range(deals)
    ]
    return row, made


def waiting(desk: Desk) -> dict[str, str]:
    """The names of the held sets that wait, by what they are about."""
    return {str(one["field"]): str(one["plan"]) for one in desk.run("approve", "--json").json["held"]}


def linked(desk: Desk, row: str) -> Any:
    """The key that a row carries."""
    return desk.airtable.row(TABLE, row).get("GHL ID")


def test_matches_that_are_refused_are_made_on_both_sides(desk: Desk) -> None:
    wall, wall_deals = met(desk, "Wall", deals=1)
    gate, gate_deals = met(desk, "Gate", deals=2)
    assert desk.reconcile(expect=3)["created"] == {"crm": 0, "table": 0}
    plans = waiting(desk)
    assert sorted(plans) == ["", SEVERAL]

    asked = desk.run("approve", plans[SEVERAL], "--yes")
    assert (asked.code, "Nobody but you can tell which one it is" in asked.err) == (3, True)
    assert waiting(desk) == plans
    asked = desk.run("approve", plans[""], "--refuse", typed="n\n")
    assert (asked.code, "Are these surely not the same?" in asked.out) == (3, True)
    assert waiting(desk) == plans

    for plan in plans.values():
        ran = desk.run("approve", plan, "--refuse", "--yes")
        assert (ran.code, f"Refused {plan}; the next pass carries it out." in ran.out) == (0, True)
    assert waiting(desk) == {}
    printed = desk.reconcile()
    assert printed["created"] == {"crm": 2, "table": 3}
    for row, others in ((wall, wall_deals), (gate, gate_deals)):
        assert linked(desk, row) not in (None, "", *others)
    assert desk.sandbox.differences() == []
    desk.rests()


def test_a_match_that_is_approved_is_linked_and_nothing_is_made(desk: Desk) -> None:
    wall, (deal,) = met(desk, "Wall", deals=1)
    desk.reconcile(expect=3)
    ran = desk.run("approve", waiting(desk)[""], "--yes")
    assert (ran.code, "Approved" in ran.out) == (0, True)
    assert desk.reconcile()["created"] == {"crm": 0, "table": 0}
    assert linked(desk, wall) == deal
    assert desk.sandbox.differences() == []


def kept(folder: Path, desk: Desk) -> tuple[Store, str]:
    """A configured pair in which a change is held, and the name of that set."""
    desk.write_config()
    store = Store(folder / "state", "default")
    held = made_set(GuardKind.CHANGES, Side.CRM, "value", [Member("deal1", "1", "2")])
    store.keep_held([held], [], 0.0)
    return store, held.digest


def test_only_a_match_report_can_be_refused(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        store, name = kept(tmp_path, desk)
        ran = desk.run("approve", name, "--refuse", "--yes")
        assert (ran.code, "Only a match report can be refused" in ran.err) == (3, True)
        assert [(one.digest, one.state) for one in store.held()] == [(name, "held")]
        store.close()


def test_what_changes_while_it_is_asked_for_is_not_approved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass finds another set between the question and the answer."""
    with Desk(tmp_path) as desk:
        store, name = kept(tmp_path, desk)
        other = made_set(GuardKind.CHANGES, Side.CRM, "value", [Member("deal1", "1", "3")])
        answer = Store.answer_held

        def late(self: Store, digest: str, state: str) -> bool:
            store.keep_held([other], [], 1.0)
            return answer(self, digest, state)

        monkeypatch.setattr(Store, "answer_held", late)
        ran = desk.run("approve", name, "--yes")
        assert (ran.code, "It has changed meanwhile, so nothing was approved" in ran.err) == (3, True)
        assert "Approved" not in ran.out
        assert [(one.digest, one.state) for one in store.held()] == [(other.digest, "held")]
        store.close()
