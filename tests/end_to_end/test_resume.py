"""`syncd resume` where several pairs are configured: what a name or an id lets go on, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.model import Side
from syncd.store import RefusedWrite, Store
from tests.end_to_end.desk import Desk

SECOND = """
[[pair]]
name = "second"
[pair.ghl]
location_id = "anotherLocation"
token = "env:GHL_TOKEN"
[pair.table]
type = "airtable"
base_id = "appAnotherBase000"
table = "Deals"
token = "env:AIRTABLE_TOKEN"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Two pairs that have not run yet."""
    with Desk(tmp_path) as made:
        made.write_config(fields=SECOND)
        yield made


def refuse(desk: Desk, pair: str, deal: str, title: str, *sides: Side) -> None:
    """A write to this deal was refused on these sides (the CRM, if none is named)."""
    store = Store(desk.folder / "state", pair)
    for side in sides or (Side.CRM,):
        store.put_refused(RefusedWrite(deal, side, "No.", "", title, 1, 0.0, 9e9))
    store.close()


def waiting(desk: Desk) -> list[tuple[str, str]]:
    """(pair, deal) of everything that was refused."""
    found = []
    for pair in ("default", "second"):
        store = Store(desk.folder / "state", pair)
        found += [(pair, one.deal) for one in store.refused()]
        store.close()
    return found


def test_a_name_that_waits_in_several_pairs_lets_none_of_them_go_on(desk: Desk) -> None:
    refuse(desk, "default", "dealA", "Roof of Ann")
    refuse(desk, "second", "dealB", "Roof of Bob")
    ran = desk.run("resume", "roof")
    assert (ran.code, ran.out) == (2, "")
    for said in ("“roof” waits in several pairs", "--pair", "default: “Roof of Ann” (dealA)", "second: “Roof of Bob”"):
        assert said in ran.err
    assert waiting(desk) == [("default", "dealA"), ("second", "dealB")]

    ran = desk.run("resume", "roof", "--pair", "second")
    assert (ran.code, ran.out) == (0, "“Roof of Bob” goes on with the next pass of second.\n")
    assert waiting(desk) == [("default", "dealA")]
    assert desk.run("resume", "roof").code == 0, "it waits in one pair alone"
    assert waiting(desk) == []


def test_an_id_is_no_name_even_where_another_pair_has_a_deal_called_so(desk: Desk) -> None:
    refuse(desk, "default", "dealB", "Copy of dealA")
    refuse(desk, "second", "dealA", "Roof")
    ran = desk.run("resume", "dealA")
    assert (ran.code, ran.out) == (0, "“Roof” goes on with the next pass of second.\n")
    assert waiting(desk) == [("default", "dealB")]


def test_a_deal_of_two_pairs_goes_on_in_both_by_its_id(desk: Desk) -> None:
    for pair in ("default", "second"):
        refuse(desk, pair, "dealA", "Roof")
    ran = desk.run("resume", "dealA")
    assert (ran.code, ran.out.count("goes on")) == (0, 2)
    assert waiting(desk) == []


def test_a_deal_that_was_refused_on_both_sides_is_one_deal(desk: Desk) -> None:
    refuse(desk, "default", "dealA", "", Side.CRM, Side.TABLE)
    ran = desk.run("resume", "dealA")
    assert (ran.code, ran.out) == (0, "“dealA” goes on with the next pass of default.\n")
    assert waiting(desk) == []
