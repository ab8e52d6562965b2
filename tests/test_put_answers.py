"""Answers to a PUT (SPEC §3.3: what the server returns is stored): only a whole one tells what the deal holds."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from syncd.sides import Written
from tests.test_crm_side import AT, Location, change, deal, one_record


@pytest.mark.parametrize(
    ("field", "value", "left_out"),
    [
        ("name", "New", "updatedAt"),  # the stamp of our own write: without it the next read looks like an edit
        ("name", "New", "monetaryValue"),
        ("owner", "u9", "assignedTo"),  # what was written is what must be seen
        ("owner", None, "assignedTo"),
        ("source", "Fair", "source"),
    ],
)
def test_an_answer_that_does_not_show_what_was_written_is_read_back(field: str, value: Any, left_out: str) -> None:
    location = Location([deal(1, assignedTo="u1", source="web", monetaryValue=5)])

    def hook(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PUT":
            return None
        stamp = "2026-06-01T10:00:00.000Z"
        location.deals["d1"] |= {**json.loads(request.content), "updatedAt": stamp}
        shown = {key: held for key, held in location.deals["d1"].items() if key != left_out}
        return httpx.Response(200, json={"opportunity": shown})

    location.hook = hook
    (result,) = location.side().write([change(**{field: value})])
    assert isinstance(result, Written)
    assert location.paths() == ["/opportunities/d1"], "one read more"
    now = one_record(location)
    assert (result.record.raw, result.record.stamp, result.record.clocks) == (now.raw, now.stamp, now.clocks)
    assert result.record.raw[AT[field]] == value


def test_a_whole_answer_costs_no_read() -> None:
    location = Location([deal(1, assignedTo="u1", source="web")])
    (result,) = location.side().write([change(owner="u9", source="Fair")])
    assert isinstance(result, Written)
    assert location.paths() == []
