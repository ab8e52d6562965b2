"""What the tests of faults, crashes and the daemon need: acting in the midst of a request, and waiting."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from syncd.model import Side
from syncd.pairs import Connection
from syncd.sandbox.wire import Answer, Faulty, Request, Service
from syncd.settings import load_settings
from tests.end_to_end.desk import Desk

Act: TypeAlias = Callable[[Request, Callable[[Request], Answer]], Answer]
LOST = Answer(0, cut=True)


class Intercept:
    """Stands before a service: the matching requests after the first `skip` go to `act`, `times` of them (-1: all)."""

    def __init__(
        self, service: Service, act: Act, method: str, path: str, contains: str, skip: int, times: int
    ) -> None:
        self.service, self.act = service, act
        self.method, self.path, self.contains = method, path, contains
        self.skip, self.times = skip, times

    def handle(self, request: Request) -> Answer:
        """Answers through `act`, which may pass the request on, do something before or after it, or do neither."""
        fits = request.method == self.method and self.path in request.path and self.contains.encode() in request.body
        if not fits or self.times == 0:
            return self.service.handle(request)
        if self.skip:
            self.skip -= 1
            return self.service.handle(request)
        self.times -= self.times > 0
        return self.act(request, self.service.handle)


def intercept(
    http: Faulty, act: Act, method: str, path: str = "", *, contains: str = "", skip: int = 0, times: int = 1
) -> Intercept:
    """Puts `act` before the service behind `http` (sandbox.crm_http or .table_http) for matching requests."""
    stands = Intercept(http.service, act, method, path, contains, skip, times)
    http.service = stands
    return stands


def lose(http: Faulty, method: str, path: str, between: Callable[[], object], *, effect: bool) -> Intercept:
    """The next matching request gets no answer; whether it takes effect is `effect`. `between` happens right after."""

    def act(request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
        if effect:
            pass_on(request)
        between()
        return LOST

    return intercept(http, act, method, path)


def wait_for(condition: Callable[[], object], what: str, *, seconds: float = 20.0) -> None:
    """Waits until `condition` holds; fails with `what` where it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)


@contextmanager
def running(rig: Desk, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs while the block does; it is killed where it has not ended by then."""
    process = rig.start(*arguments, **environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def passes(rig: Desk) -> int:
    """How many passes have begun: each lists the deals, of which there is one page."""
    return sum(line.path == "/opportunities/search" for line in rig.sandbox.crm_http.log)


def single_reads(rig: Desk) -> list[str]:
    """The ids of the deals that were read by GET, in order."""
    return [line.path.rpartition("/")[2] for line in rig.gets()]


def written(rig: Desk) -> tuple[int, int]:
    """How many requests that write were sent: (to HighLevel, to Airtable), refused and lost ones too."""
    return len(rig.crm_writes()), len(rig.table_calls())


def at_rest(rig: Desk, passes: int = 1, *, code: int = 0) -> None:
    """Further passes write nothing on either side and fire nothing; both sides agree."""
    for _ in range(passes):
        rig.rests(code)
    assert rig.sandbox.differences() == []


def ids(rig: Desk) -> list[str]:
    """The deals' ids in a stable order."""
    return sorted(str(deal["id"]) for deal in rig.deals())


def fill_here(rig: Desk) -> None:
    """The first pass, run in this process: where it is only the beginning of a test, that saves a second."""
    file = rig.folder / "config" / "syncd.toml"
    settings = load_settings(file if file.exists() else None, rig.environment)
    with Connection(settings, settings.pair[0], threading.Event()) as connection:
        result = connection.run_pass(lambda _what, _done, _total: None)
    assert result.tally.created == {Side.CRM: 0, Side.TABLE: len(rig.deals())}, result
    assert rig.sandbox.differences() == []
    rig.forget_log()
