"""Rate limits under load, in simulated time: the real clients and buckets against the sandbox at the documented limits
(HighLevel 100 calls in 10 s, Airtable 5 a second with 30 s of penalty). Wrong buckets are tried as well, to see that
they are noticed."""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from syncd.crm import highlevel
from syncd.crm.highlevel import connect, rest_after_429
from syncd.crm.side import HighLevelSide
from syncd.http import Bucket, Http, Retry
from syncd.model import Side
from syncd.opened import Pair
from syncd.reconcile import PassResult, run_pass
from syncd.sandbox.wire import Fault, Faulty, Logged, Request, Service
from syncd.sandbox.world import TABLE, Sandbox
from syncd.settings import load_settings
from syncd.store import Store
from syncd.tables import airtable, airtable_errors
from syncd.tables.airtable import open_airtable
from syncd.trace import Trace

START = 1_790_000_000.0
NEAREST_SECONDS, FARTHEST_SECONDS = 0.03, 0.065  # one way to a server and back; jitter is what a bucket must bear
DOCUMENTED_RATE = 5.0  # Airtable's calls a second
HIGHLEVEL = (highlevel.BUCKET_COUNT, highlevel.BUCKET_SECONDS)
AIRTABLE = (airtable.BUCKET_COUNT, airtable.BUCKET_SECONDS)


class Time:
    """A clock that moves on when all threads that use it sleep, to the moment at which the first of them wakes."""

    def __init__(self) -> None:
        self.now = START
        self.changed = threading.Condition()
        self.awake = 1  # the thread that made it
        self._sleepers: list[tuple[float, int]] = []
        self._number = 0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Sleeps in simulated time."""
        with self.changed:
            self._number += 1
            mine = (self.now + seconds, self._number)
            heapq.heappush(self._sleepers, mine)
            self.rest()
            while mine in self._sleepers:
                self.changed.wait()

    def rest(self) -> None:
        """One thread fewer is awake; the last one moves the clock and wakes whom it is time for."""
        self.awake -= 1
        if self.awake or not self._sleepers:
            return
        self.now = self._sleepers[0][0]
        while self._sleepers and self._sleepers[0][0] <= self.now:
            heapq.heappop(self._sleepers)
            self.awake += 1
        self.changed.notify_all()

    def together(self, *tasks: Callable[[], None]) -> None:
        """Runs tasks in threads of their own to their end; the caller's thread counts as none meanwhile."""
        self.awake += len(tasks) - 1
        failed: list[BaseException] = []

        def run(task: Callable[[], None]) -> None:
            try:
                task()
            except BaseException as error:
                failed.append(error)
            finally:
                with self.changed:
                    self.rest()

        threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.awake = 1
        if failed:
            raise failed[0]


class Result(Future[Any]):
    """What a thread of `Threads` returns; whoever waits for it sleeps."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time, self._ended, self._awaited = time, False, False

    def end(self) -> None:
        """The thread has ended."""
        with self._time.changed:
            self._ended = True
            self._time.awake += self._awaited
            self._time.rest()
            self._time.changed.notify_all()

    def result(self, timeout: float | None = None) -> Any:
        with self._time.changed:
            if not self._ended:
                self._awaited = True
                self._time.rest()
                while not self._ended:
                    self._time.changed.wait()
        return super().result(timeout)


class Threads(Executor):
    """Threads in simulated time."""

    def __init__(self, time: Time) -> None:
        self._time = time

    def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        result = Result(self._time)

        def run() -> None:
            try:
                result.set_result(call(*given, **named))
            except BaseException as error:
                result.set_exception(error)
            result.end()

        with self._time.changed:
            self._time.awake += 1
        threading.Thread(target=run).start()
        return result


class Wire(httpx.BaseTransport):
    """The network between a client and a sandbox service: it takes time, never the same. `before` is called before each
    arrival, with how many there were. `working` is how long the server thinks, in seconds."""

    def __init__(self, service: Service, time: Time, seed: int) -> None:
        self.service, self.time, self.random = service, time, Random(seed)
        self.working = 0.0
        self.before: Callable[[int], None] = lambda _number: None
        self.number = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.time.sleep(self.random.uniform(NEAREST_SECONDS, FARTHEST_SECONDS))
        self.before(self.number)
        self.number += 1
        answer = self.service.handle(
            Request(
                request.method,
                request.url.path,
                tuple(parse_qsl(request.url.query.decode(), keep_blank_values=True)),
                {name.lower(): value for name, value in request.headers.items()},
                request.read(),
            )
        )
        headers = {"Date": formatdate(self.time(), usegmt=True), "Content-Type": "application/json", **answer.headers}
        self.time.sleep(self.working + self.random.uniform(NEAREST_SECONDS, FARTHEST_SECONDS))
        return httpx.Response(answer.status, headers=headers, content=answer.encoded())


@dataclass
class Scene:
    """A sandbox at its documented limits, in simulated time."""

    time: Time
    sandbox: Sandbox

    def options(self, wire: Wire, limit: tuple[int, float], traced: str = "") -> dict[str, Any]:
        """What a client needs to live in this world, with a bucket of its own; what `traced` names tells other
        processes' buckets what was sent."""
        trace = Trace((traced,), sleep=self.time.sleep) if traced else None
        return {
            "bucket": Bucket(*limit, monotonic=self.time, trace=trace),
            "transport": wire,
            "clock": self.time,
            "monotonic": self.time,
            "sleep": self.time.sleep,
            "rng": Random(7).random,
        }

    def wire(self, service: Service, seed: int = 0) -> Wire:
        """A connection to one of the two servers."""
        return Wire(service, self.time, seed)


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A sandbox with enough deals for a fill of half a minute."""
    time = Time()
    with Sandbox(seed=3, deals=1_500, clock=time) as sandbox:
        yield Scene(time, sandbox)


def refused(log: Faulty) -> list[Logged]:
    """The requests that were answered with 429."""
    return [line for line in log.log if line.status == 429]


def rate(log: Faulty) -> float:
    """Calls a second from the first to the last."""
    times = [line.at for line in log.log]
    return (len(times) - 1) / (times[-1] - times[0])


# --- bursts ----------------------------------------------------------------------------------------------------------


def burst(scene: Scene, side: Side, limit: tuple[int, float], threads: int, calls: int, apart: str = "") -> Faulty:
    """Threads with a client each share a bucket, and each sends as fast as it is let. `apart`: as processes do, each
    has a bucket of its own, "shared" by a trace or not."""
    sandbox = scene.sandbox
    log = sandbox.crm_http if side is Side.CRM else sandbox.table_http
    token = sandbox.highlevel.token if side is Side.CRM else sandbox.airtable.settings.token
    bucket = Bucket(*limit, monotonic=scene.time)
    on_429 = rest_after_429 if side is Side.CRM else airtable_errors.on_429
    path = "/opportunities/pipelines" if side is Side.CRM else f"/v0/{sandbox.airtable.base_id}/{TABLE}"
    params: dict[str, str | int] = (
        {"locationId": sandbox.highlevel.location_id} if side is Side.CRM else {"pageSize": 1}
    )

    def send(number: int) -> None:
        options = {**scene.options(scene.wire(log, number), limit, "burst" if apart == "shared" else "")}
        options |= {"on_429": on_429} | ({} if apart else {"bucket": bucket})
        headers = {"Authorization": f"Bearer {token}", "Version": "2021-07-28"}
        with Http("http://sandbox.test", headers=headers, **options) as http:
            for _ in range(calls):
                assert http.request("GET", path, retry=Retry.READ, params=params).status == 200

    scene.time.together(*(lambda number=number: send(number) for number in range(threads)))
    return log


@pytest.mark.parametrize("threads", [1, 3, 8])
@pytest.mark.parametrize("side", list(Side))
def test_thousands_of_calls_provoke_no_429_and_use_most_of_the_limit(scene: Scene, side: Side, threads: int) -> None:
    calls = 2_400 // threads
    log = burst(scene, side, HIGHLEVEL if side is Side.CRM else AIRTABLE, threads, calls)
    assert (len(log.log), refused(log)) == (calls * threads, [])
    if side is Side.TABLE:
        assert rate(log) >= 0.9 * DOCUMENTED_RATE
    elif threads > 1:  # one thread alone waits for its answers longer than for the bucket
        assert rate(log) >= 0.85 * 10


@pytest.mark.parametrize(
    ("side", "limit"),
    [
        (Side.TABLE, (6, airtable.BUCKET_SECONDS)),
        (Side.TABLE, (5, 0.95)),
        (Side.CRM, (110, highlevel.BUCKET_SECONDS)),
        (Side.CRM, (90, 8.0)),
    ],
)
def test_a_bucket_that_lets_too_many_through_is_noticed(scene: Scene, side: Side, limit: tuple[int, float]) -> None:
    assert refused(burst(scene, side, limit, 3, 300))


# --- a first fill ----------------------------------------------------------------------------------------------------


@dataclass
class Filled:
    """A first fill, and the ways to both servers."""

    scene: Scene
    folder: Path
    table_limit: tuple[int, float] = AIRTABLE
    crm_limit: tuple[int, float] = HIGHLEVEL
    traces: bool = False

    def __post_init__(self) -> None:
        self.to_crm = self.scene.wire(self.scene.sandbox.crm_http, 1)
        self.to_table = self.scene.wire(self.scene.sandbox.table_http, 2)

    def run(self) -> PassResult:
        """One pass over both sides with all that `syncd --reconcile` uses but the sockets."""
        environment = self.scene.sandbox.environment()
        pair = load_settings(None, environment).pair[0]
        client = connect(
            environment["GHL_TOKEN"],
            pair.ghl.location_id,
            base_url="http://highlevel.test",
            **self.scene.options(self.to_crm, self.crm_limit, "crm" if self.traces else ""),
        )
        table = open_airtable(
            base_url="http://airtable.test",
            token=environment["AIRTABLE_TOKEN"],
            base_id=pair.airtable.base_id,
            table=pair.airtable.table,
            fields=pair.fields(),
            threads=lambda _count: Threads(self.scene.time),
            **self.scene.options(self.to_table, self.table_limit, "table" if self.traces else ""),
        )
        store = Store(self.folder, "default")
        store.connection.execute("PRAGMA synchronous=OFF")
        try:
            return run_pass(
                Pair("default", pair.fields(), HighLevelSide(client, pair.fields(), None), table, store,
                     clock=self.scene.time)
            )  # fmt: skip
        finally:
            store.close()
            client.http.close()
            table.close()


@pytest.mark.parametrize("working", [0.0, 0.25, 0.6])
def test_a_first_fill_uses_nine_tenths_of_airtables_limit_and_provokes_no_429(
    scene: Scene, tmp_path: Path, working: float
) -> None:
    """However slow its server is: calls that make rows are under way together."""
    fill = Filled(scene, tmp_path)
    fill.to_table.working = working
    result = fill.run()
    assert (result.error, result.tally.created[Side.TABLE]) == ("", 1_500)
    writes = [line for line in scene.sandbox.table_http.log if line.method == "PATCH"]
    assert len(writes) == 150
    assert refused(scene.sandbox.table_http) == refused(scene.sandbox.crm_http) == []
    assert working or rate(scene.sandbox.table_http) >= 0.9 * DOCUMENTED_RATE  # reading is page after page
    assert (len(writes) - 1) / (writes[-1].at - writes[0].at) >= 0.9 * DOCUMENTED_RATE
    assert scene.sandbox.differences() == []


@pytest.mark.parametrize(("count", "seconds"), [(6, airtable.BUCKET_SECONDS), (5, 0.9)])
def test_a_first_fill_at_six_a_second_would_be_noticed(
    scene: Scene, tmp_path: Path, count: int, seconds: float
) -> None:
    Filled(scene, tmp_path, table_limit=(count, seconds)).run()
    assert refused(scene.sandbox.table_http)
    assert rate(scene.sandbox.table_http) < 0.9 * DOCUMENTED_RATE, "each 429 costs half a minute"


def test_a_first_fill_at_four_a_second_would_be_noticed(scene: Scene, tmp_path: Path) -> None:
    Filled(scene, tmp_path, table_limit=(4, airtable.BUCKET_SECONDS)).run()
    assert refused(scene.sandbox.table_http) == []
    assert rate(scene.sandbox.table_http) < 0.9 * DOCUMENTED_RATE


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's own where processes tell each other what they have sent."""
    folder = tmp_path / "run"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    return folder


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.usefixtures("run_folder")
def test_one_process_after_another_provokes_no_429(scene: Scene, tmp_path: Path, traced: bool) -> None:
    """Each `--reconcile` has buckets of its own; a trace tells it what the one before sent. Without it, it shows."""
    for _ in range(4):
        result = Filled(scene, tmp_path, traces=traced).run()
        assert result.error == ""
    assert (refused(scene.sandbox.table_http) == []) == traced
    assert refused(scene.sandbox.crm_http) == []


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("side", list(Side))
@pytest.mark.usefixtures("run_folder")
def test_processes_side_by_side_keep_one_limit(scene: Scene, side: Side, traced: bool) -> None:
    """`syncd plan` beside the daemon: neither knows the other, but for the trace."""
    limit = HIGHLEVEL if side is Side.CRM else AIRTABLE
    log = burst(scene, side, limit, 3, 300, apart="shared" if traced else "no trace")
    if traced:
        assert (len(log.log), refused(log)) == (900, [])
        assert rate(log) >= (0.9 * DOCUMENTED_RATE if side is Side.TABLE else 0.85 * 10)
    else:
        assert refused(log)


# --- a 429 that comes anyway: others share the base, or the location -------------------------------------------------


def rests(log: Faulty, at_least: float, at_most: float) -> int:
    """Asserts that after each 429 there was silence for as long as told, and no longer; returns how many rests there
    were. What was under way when the answer came is no breach."""
    under_way = 2 * FARTHEST_SECONDS
    told = [line.at for line in log.log if line.status == 429]
    last = [at for at, following in pairwise([*told, math.inf]) if following - at > under_way]
    for at in last:
        assert at_least <= min(line.at for line in log.log if line.at > at + under_way) - at <= at_most
    return len(last)


def rival(service: Service, request: Request, times: int) -> Callable[[int], None]:
    """Another program that sends this many calls at once, each time when our 20th, 60th and 100th call arrives."""

    def fire(number: int) -> None:
        for _ in range(times if number in (20, 60, 100) else 0):
            service.handle(request)  # not through the log, which holds only our own

    return fire


@pytest.mark.parametrize("shape", ["error", "errors"])
def test_another_program_on_the_base_makes_us_rest_half_a_minute_and_the_fill_completes(
    scene: Scene, tmp_path: Path, shape: str
) -> None:
    sandbox, filled = scene.sandbox, Filled(scene, tmp_path)
    sandbox.airtable.settings.rate_429_shape = shape
    headers = {"authorization": f"Bearer {sandbox.airtable.settings.token}"}
    listing = Request("GET", f"/v0/{sandbox.airtable.base_id}/{TABLE}", (("pageSize", "1"),), headers)
    filled.to_table.before = rival(sandbox.airtable, listing, 6)
    result = filled.run()
    assert (result.error, result.code, result.tally.created[Side.TABLE]) == ("", 0, 1_500)
    assert rests(sandbox.table_http, 30.0, 31.5) == 3
    assert sandbox.differences() == []


@pytest.mark.parametrize(("retry_after", "at_least", "at_most"), [(45, 45.0, 46.5), (3, 30.0, 31.5)])
def test_airtables_retry_after_is_kept_where_it_is_longer(
    scene: Scene, tmp_path: Path, retry_after: int, at_least: float, at_most: float
) -> None:
    """The 30 s are documented, the header is not: a shorter one is not believed."""
    body = {"error": {"type": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded. Please try again later"}}
    header = {"Retry-After": str(retry_after)}
    for skip in (10, 100):
        scene.sandbox.table_http.faults.append(Fault(status=429, body=body, headers=header, skip=skip))
    result = Filled(scene, tmp_path).run()
    assert (result.error, result.tally.created[Side.TABLE]) == ("", 1_500)
    assert rests(scene.sandbox.table_http, at_least, at_most) == 2


@pytest.mark.parametrize(
    ("retry_after", "at_least", "at_most"), [(None, 10.0, 11.5), (7.0, 7.0, 7.5), (25.0, 25.0, 26.0)]
)
def test_another_program_on_the_location_makes_us_rest_as_told_and_the_pass_completes(
    scene: Scene, tmp_path: Path, retry_after: float | None, at_least: float, at_most: float
) -> None:
    sandbox, filled = scene.sandbox, Filled(scene, tmp_path)
    sandbox.highlevel.retry_after = retry_after
    sandbox.airtable.settings.rate_per_second = None
    headers = {"authorization": f"Bearer {sandbox.highlevel.token}", "version": "2021-07-28"}
    query = (("locationId", sandbox.highlevel.location_id),)
    asks = Request("GET", "/opportunities/pipelines", query, headers)
    fire = rival(sandbox.highlevel, asks, 200)
    filled.to_crm.before = lambda number: fire(number * 4)  # a sweep is but a few calls: its 5th and 15th
    result = filled.run()
    assert (result.error, result.tally.created[Side.TABLE]) == ("", 1_500)
    # With a Retry-After shorter than the window the limit is met twice, and the bucket rests twice.
    assert rests(sandbox.crm_http, at_least, at_most) == (4 if retry_after == 7.0 else 2)
    assert sandbox.differences() == []


def test_all_threads_of_a_bucket_rest_after_one_429(scene: Scene) -> None:
    """Only what was under way already is refused beside it."""
    threads = 4
    sandbox = scene.sandbox
    sandbox.table_http.faults.append(Fault(status=429, body={"error": "RATE_LIMIT_REACHED"}, skip=50))
    log = burst(scene, Side.TABLE, AIRTABLE, threads, 60)
    told = refused(log)[0].at
    after = [line.at for line in log.log if line.at > told + 2 * FARTHEST_SECONDS]
    assert len(refused(log)) == 1
    assert min(after) >= told + airtable_errors.REST_SECONDS
    assert len(log.log) == threads * 60 + 1
