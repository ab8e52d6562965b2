"""HighLevel's side towards its server: no wait between a read and the write after it (SPEC §3.1), reads that are tried
again (§3.5), and times in the server's seconds (§2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from email.utils import formatdate

import httpx
import pytest

from syncd.crm.side import HighLevelSide
from syncd.model import Raw
from syncd.sides import Patch, TryAgain
from tests.test_crm_side import AT, Location, deal


def busy(location: Location, method: str, times: int = 1, path: str = "") -> None:
    """The server has no place for the next such requests."""
    left = [None] * times

    def hook(request: httpx.Request) -> httpx.Response | None:
        if request.method != method or not left or not request.url.path.endswith(path):
            return None
        left.pop()
        return httpx.Response(429, json={"message": "Too Many Requests"})

    location.hook = hook


def new_deal(side: HighLevelSide) -> object:
    values: dict[int, Raw] = {AT["name"]: "Roof", AT["stage"]: ["p1", "s1"], AT["status"]: "open"}
    return side.create_deal("c1", values)


@pytest.mark.parametrize(
    ("method", "write"),
    [
        ("PUT", lambda side: side.write([Patch("d1", {AT["name"]: "X"})])),
        ("DELETE", lambda side: side.delete("d1")),
        ("POST", new_deal),
    ],
)
def test_a_write_is_not_sent_again_after_a_rest(method: str, write: Callable[[HighLevelSide], object]) -> None:
    """What it rests on is read again first."""
    location = Location([deal(1)])
    side = location.side()
    busy(location, method)
    before = location.now
    with pytest.raises(TryAgain):
        write(side)
    assert len(location.paths(method)) == 1
    assert location.now - before < 1, "nothing was waited for"


def test_way_is_made_by_waiting_out_the_rest() -> None:
    location = Location([deal(1)])
    side = location.side()
    location.client.http.bucket.penalise(7)
    before = location.now
    side.make_way()
    assert location.now - before >= 7


def test_what_was_edited_is_asked_for_in_the_servers_seconds() -> None:
    """Its clock is five minutes behind ours."""
    location, asked = Location([deal(1)]), list[str]()

    def hook(request: httpx.Request) -> httpx.Response | None:
        if request.method != "POST":
            return None
        asked.append(json.loads(request.content)["filters"][0]["value"]["gte"])
        answer = {"opportunities": [], "total": 0}
        return httpx.Response(200, json=answer, headers={"date": formatdate(location.now - 300, usegmt=True)})

    location.hook = hook
    side = location.side()
    for _ in range(2):
        assert side.changed(location.now - 50) == []
    assert datetime.fromisoformat(asked[-1]).timestamp() == pytest.approx(location.now - 350, abs=1.1)


def test_a_question_for_what_was_edited_is_tried_again() -> None:
    location, tries = Location([deal(1)]), list[int]()

    def hook(request: httpx.Request) -> httpx.Response | None:
        if request.method != "POST":
            return None
        tries.append(len(tries))
        return httpx.Response(500) if len(tries) < 5 else httpx.Response(200, json={"opportunities": [], "total": 0})

    location.hook = hook
    assert location.side().changed(location.now - 50) == []
    assert len(tries) >= 5
