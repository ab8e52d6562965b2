"""Deals that a page boundary of HighLevel's search skipped (reference/ghl.md §3.2): who is asked for first, and when
everything is walked through once more. Here no page overlaps the one before."""

from __future__ import annotations

import httpx
import pytest

from syncd.crm import side as crm_side
from tests.test_crm_side import Location, deal, swept, tie, tied


@pytest.fixture(autouse=True)
def no_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page starts behind the last row of the one before."""
    monkeypatch.setattr(crm_side, "_hurries", lambda *_: True)


def contacts(location: Location) -> list[str]:
    """The contacts that were asked for since the last time, in order."""
    asked = [one.url.params["contact_id"] for one in location.seen if "contact_id" in one.url.params]
    location.seen.clear()
    return asked


def knowing_no_contacts(request: httpx.Request) -> httpx.Response | None:
    """Search by a contact finds nothing."""
    if "contact_id" in request.url.params:
        return httpx.Response(200, json={"opportunities": [], "meta": {"total": 0}})
    return None


def test_a_second_walk_finds_it_and_its_contact_is_asked_for_first_from_then_on() -> None:
    location = tied([199], 2)
    location.hook = knowing_no_contacts
    side = location.side()
    assert sorted(swept(side)) == sorted(location.deals)
    assert contacts(location) == ["c99", "c199", "c249"]
    assert sorted(swept(side)) == sorted(location.deals), "it was not in vain, so it is done again"
    assert contacts(location)[0] == "c199"
    location.hook = lambda request: None
    assert sorted(swept(side)) == sorted(location.deals)
    assert contacts(location) == ["c199"]


def test_a_contact_that_has_none_any_more_is_asked_for_no_more() -> None:
    location = tied([199], 2)
    side = location.side()
    swept(side)
    assert contacts(location) == ["c99", "c199"]
    del location.deals["d200"]
    location.drift = 1  # the total never fits
    swept(side)
    assert contacts(location)[0] == "c199"
    for _ in range(2):
        assert sorted(swept(side)) == sorted(location.deals)
        assert contacts(location) == []


def test_the_contact_of_a_boundary_that_splits_a_tie_is_asked_for_first() -> None:
    deals = [deal(number) for number in range(250)]
    deals[198:201] = [tie(number, 2_000_000 - 198, "csv") for number in range(198, 201)]
    location = Location(deals)
    assert sorted(swept(location.side())) == sorted(location.deals)
    assert contacts(location) == ["csv"]
