"""A local Google with a sheet "Deals", and grids over it whose waits cost no time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from syncd.http import Bucket
from syncd.tables import google_client
from syncd.tables.google_sheets import GoogleGrid, open_google
from tests.sandbox.google import BOOK, Desk


class Clock:
    """Real time, moved on by sleeping."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return time.time() + self.offset

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.offset += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(clock: Clock) -> Iterator[Desk]:
    with Desk(clock=clock) as made:
        made.google.settings.skew = float("inf")  # google-auth has no other clock than the real one
        made.google.deals_tab(BOOK)
        yield made


@pytest.fixture
def opened(desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., GoogleGrid]]:
    """Opens a grid; limits and waits run on the clock."""
    buckets: dict[tuple[str, ...], Bucket] = {}

    def shared(key: tuple[str, ...], count: int, window: float, **_: object) -> Bucket:
        return buckets.setdefault(key, Bucket(count, window, monotonic=clock))

    monkeypatch.setattr(google_client, "shared_bucket", shared)
    grids: list[GoogleGrid] = []

    def open_one(sheet: str = "Deals", **options: Any) -> GoogleGrid:
        wanted = {"spreadsheet_id": BOOK, "credentials": desk.key, "base_url": desk.url, **options}
        grid = open_google(sheet=sheet, clock=clock, monotonic=clock, sleep=clock.sleep, **wanted)
        grids.append(grid)
        return grid

    yield open_one
    for grid in grids:
        grid.close()


@pytest.fixture
def grid(opened: Callable[..., GoogleGrid]) -> GoogleGrid:
    return opened()
