"""The transport against servers that mean harm: too much, too slow, elsewhere, packed, and headers of nonsense."""

from __future__ import annotations

import gzip
import math
import socket
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.crm.highlevel import connect
from syncd.crm.side import HighLevelSide
from syncd.http import (
    LONGEST_REST_SECONDS,
    Bucket,
    ClockOffset,
    Http,
    HttpError,
    NoAnswer,
    RateLimited,
    Redirected,
    Reply,
    Retry,
    scrub,
)
from syncd.sandbox.wire import Answer, Request, serve
from syncd.sides import Lost, Patch, SideDown
from syncd.tables.airtable import open_airtable
from syncd.tables.airtable_errors import REST_SECONDS, on_429
from tests.hostile.bench import AT, FIELDS, START, Bench, Clock, Exchange, Passes
from tests.hostile.mangle import Sent
from tests.test_http import TOKEN, Script, Time, make, plain, raw_server


class Ticking:
    """A monotonic clock that moves on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


# --- too much --------------------------------------------------------------------------------------------------------


class Endless(httpx.SyncByteStream):
    """A body that never ends; counts what was taken."""

    def __init__(self, part: bytes) -> None:
        self.part, self.taken = part, 0

    def __iter__(self) -> Iterator[bytes]:
        while self.taken < 100_000_000:
            self.taken += len(self.part)
            yield self.part


@pytest.mark.parametrize("kind", [Retry.READ, Retry.WRITE])
def test_a_body_without_end_is_cut_off_at_the_cap(kind: Retry) -> None:
    """There is a cap without being asked for; a little more than it is read, and a sentence says so."""
    body = Endless(b" " * 65_536)
    http = make(Script(httpx.Response(200, stream=body)), max_body_bytes=1_000_000)
    with pytest.raises(NoAnswer, match=r"over 1000000 bytes"):
        http.request("PUT", "/x", retry=Retry.WRITE)
    assert body.taken <= 1_000_000 + 65_536
    assert Http("https://a.test", headers={}, bucket=Bucket.unlimited())._max_body_bytes <= 64 * 1024 * 1024


def bomb(size: int) -> bytes:
    """Zeros, packed a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(bytes(1_000_000)) for _ in range(size // 1_000_000)]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_packed_body_is_not_unpacked_without_limit(layers: int) -> None:
    """One layer is counted as it is unpacked; several, which multiply, are not unpacked at all."""
    content = bomb(30_000_000)
    for _ in range(layers - 1):
        content = gzip.compress(content)
    headers = {"content-encoding": ", ".join(["gzip"] * layers), "content-type": "application/json"}
    answers: list[Any] = [httpx.Response(200, headers=headers, stream=httpx.ByteStream(content))]
    http = make(Script(*answers), max_body_bytes=1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(NoAnswer):
            http.request("PUT", "/x", retry=Retry.WRITE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (70_000_000 if layers == 1 else 3_000_000)


def test_looking_for_tokens_in_what_a_server_says_takes_no_time_of_the_servers_choosing() -> None:
    """A pattern that starts at every third character of a megabyte would be followed to its end from each."""
    evil = "eyJ" * 400_000
    assert len(scrub(evil)) < 10_000
    assert len(Reply(400, {}, evil.encode()).text()) <= 200


def test_headers_of_megabytes_are_no_answer() -> None:
    """One long header, and many short ones."""
    for head in (b"X-Long: " + b"y" * 3_000_000 + b"\r\n", b"X-Many: 1\r\n" * 200_000):

        def speak(connection: socket.socket, head: bytes = head) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: 2\r\n\r\n{}")

        with raw_server(speak) as url, plain(url) as http, pytest.raises(NoAnswer):
            http.request("PUT", "/x", retry=Retry.WRITE)


# --- too slow --------------------------------------------------------------------------------------------------------


def flood(head: bytes, part: bytes) -> Callable[[socket.socket], None]:
    """Speaks `head`, and then `part` for ever, in pieces of their own."""

    def speak(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head)
        for _ in range(1_000_000):
            connection.sendall(part)

    return speak


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    ],
    ids=["body", "chunks", "continue", "head"],
)
def test_whatever_drips_without_end_is_over_at_the_deadline(head: bytes, part: bytes) -> None:
    """A simulated clock: each look at it is a second later. The total counts, however often something comes."""
    clock = Ticking()
    with raw_server(flood(head, part)) as url, plain(url, monotonic=clock, deadline_seconds=12.0) as http:
        with pytest.raises(NoAnswer):
            http.request("PUT", "/x", retry=Retry.WRITE)
        assert http.calls == 1
    assert clock.now < 60


# --- elsewhere -------------------------------------------------------------------------------------------------------


class Elsewhere:
    """A server that redirects everything, or one that notes what arrives."""

    def __init__(self, status: int = 200, location: str = "") -> None:
        self.status, self.location = status, location
        self.seen: list[Request] = []

    def handle(self, request: Request) -> Answer:
        """A redirect, or an empty object."""
        self.seen.append(request)
        location = self.location.replace("{path}", request.path)
        return Answer(self.status, {}, {"Location": location} if self.location else {})


@contextmanager
def redirecting(status: int, form: str) -> Iterator[tuple[str, Elsewhere, Elsewhere]]:
    """(address of a server that redirects, that server, the one that it redirects to)."""
    thief = Elsewhere()
    with serve(thief) as other:
        first = Elsewhere(status, form.replace("{other}", f"127.0.0.1:{other.port}"))
        with serve(first) as here:
            yield here.url, first, thief


FORMS = ["http://{other}{path}", "//{other}{path}", "http://user:pw@{other}/", "{path}", "https://{other}/", "\\\\x"]


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_the_token_never_leaves_for_where_a_redirect_points(status: int) -> None:
    """To another host, in every spelling, and to itself for ever: one request, an error with a sentence, and nobody
    else hears anything. For a deal and a row, read and written."""
    for form in FORMS:
        with redirecting(status, form) as (url, first, thief):
            options: dict[str, Any] = {"bucket": Bucket.unlimited(), "base_url": url}
            crm = HighLevelSide(connect(TOKEN, "loc", **options), FIELDS)
            table = open_airtable(token=TOKEN, base_id="appX", table="Deals", fields=FIELDS, **options)
            calls: list[Callable[[], object]] = [
                lambda: crm.read(["deal1"]),  # noqa: B023
                lambda: crm.write([Patch("deal1", {AT["name"]: "x"})]),  # noqa: B023
                lambda: crm.delete("deal1"),  # noqa: B023
                lambda: list(crm.sweep()),  # noqa: B023
                table.schema,
            ]
            for number, call in enumerate(calls, start=1):
                with pytest.raises(SideDown, match="redirect"):
                    call()
                assert len(first.seen) == number
            crm.client.http.close()
            table.close()
        assert thief.seen == []
        assert all(TOKEN in request.headers["authorization"] for request in first.seen)


def test_nothing_goes_from_https_to_http() -> None:
    """The same host without encryption is another place, too."""
    for location in ("http://api.test/x", "http://evil.test/x", "//api.test/x", "https://api.test/x"):
        script = Script(httpx.Response(307, headers={"Location": location}), 200)
        with pytest.raises(Redirected) as raised:
            make(script).request("GET", "/x", retry=Retry.READ)
        assert [str(request.url) for request in script.seen] == ["https://api.test/x"]
        assert TOKEN not in str(raised.value)


def test_airtable_rows_stay_home_when_a_write_is_redirected() -> None:
    """The schema is answered, the write is not."""
    with Bench(deals=2) as bench:
        row = bench.airtable.person_add("Deals", {"Name": "Old", "GHL ID": "d1"})
        bench.table.schema()
        bench.table_wire.log.clear()
        bench.table_wire.spoil = lambda exchange: Sent(307, b"", {"location": "http://evil.test/"})
        with pytest.raises(SideDown, match="redirect"):
            bench.table.write([Patch(row, {AT["name"]: "New"})])
        assert len(bench.table_wire.log) == 1


# --- headers of nonsense ---------------------------------------------------------------------------------------------

NONSENSE = [
    "", " ", "soon", "-1", "-99999999", "0", "nan", "inf", "-inf", "1e999", "1e-9", "0x10", "１２", "1_0", "9" * 5000,
    "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 99999999999999999999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +2359",
    "Mon, 01 Jan 1900 00:00:00 GMT", "Mon, 99999999999 Jan 2020 1:1:1 GMT", "1 Jan 2020 00:00:00 +99999999999",
    "Thu, 01 Jan 1970 00:00:00 GMT", "Wed, 21 Oct 2015 07:28:00", "2026-01-01T00:00:00Z", ";;;", ",", "GMT", "\x00",
]  # fmt: skip
Text = st.text(st.characters(max_codepoint=255), max_size=40)
Dates = st.one_of(
    st.sampled_from(NONSENSE),
    Text,
    st.from_regex(r"[A-Z][a-z]{2}, \d{1,20} [A-Z][a-z]{2} \d{1,20} \d+:\d+:\d+ [-+A-Z0-9]{0,8}")
)  # fmt: skip


def rested(header: str, **options: Any) -> tuple[float, Exception | None]:
    """How long a client rests after one 429 with this header, and what it raised."""
    time = Time(START)
    script = Script(httpx.Response(429, headers={b"Retry-After": header.encode()}), 200)
    try:
        make(script, time, **options).request("GET", "/x", retry=Retry.READ)
    except HttpError as error:
        return time.now - START, error
    return time.now - START, None


def test_a_retry_after_of_nonsense_rests_as_long_as_is_sane() -> None:
    """Never nothing, never longer than the longest rest: a longer one ends the pass with a sentence."""
    kinds: set[type[Exception] | type[None]] = set()

    @settings(derandomize=True, deadline=None, max_examples=80, database=None)
    @given(Dates)
    def check(header: str) -> None:
        for hook, least in ((None, 1.0), (on_429, REST_SECONDS)):
            seconds, error = rested(header, on_429=hook)
            assert error is None or isinstance(error, RateLimited)
            assert least <= seconds <= LONGEST_REST_SECONDS or (error is not None and seconds == 0)
            kinds.add(type(error))

    for header in NONSENSE:
        seconds, error = rested(header)
        assert 1.0 <= seconds <= LONGEST_REST_SECONDS or isinstance(error, RateLimited), header
        kinds.add(type(error))
    check()
    assert {type(None), RateLimited} <= kinds


def test_a_date_of_nonsense_says_nothing_of_the_clock() -> None:
    """It never raises, the offset is always finite, and one true date after it brings the true offset back."""

    @settings(derandomize=True, deadline=None, max_examples=100, database=None)
    @given(st.lists(Dates, max_size=5))
    def check(headers: list[str]) -> None:
        offset = ClockOffset()
        for header in headers:
            offset.observe(header, START, START + 1)
            assert math.isfinite(offset.offset)
            assert abs(offset.offset) < 5e9
        for _ in range(2):
            offset.observe(formatdate(START, usegmt=True), START, START + 1)
        assert offset.offset == 0.0

    for header in NONSENSE:
        ClockOffset().observe(header, START, START + 1)
    check()


LIMITS = ("x-ratelimit-remaining", "x-ratelimit-interval-milliseconds", "x-ratelimit-daily-remaining",
          "x-ratelimit-limit-daily", "date", "retry-after", "content-type")  # fmt: skip


def test_passes_live_with_headers_of_nonsense() -> None:
    """Limits, dates and types of nonsense in every answer of both sides, while a conflict is decided: the pass ends
    within a bounded time of the simulated clock, and never raises."""
    outcomes = set()

    @settings(derandomize=True, deadline=None, max_examples=15, database=None)
    @given(st.dictionaries(st.sampled_from(LIMITS), Dates, min_size=1))
    def check(headers: dict[str, str]) -> None:
        sent = {name: value.encode("utf-8").decode("latin-1") for name, value in headers.items() if value.isprintable()}

        def spoil(exchange: Exchange) -> Sent:
            return Sent(exchange.answer.status, exchange.answer.content, {**exchange.answer.headers, **sent})

        with Bench(deals=2) as bench:
            passes = Passes(bench)
            assert passes.run().error == ""
            deal, row = next((key, row["row"]) for key, row in bench.rows().items())
            bench.airtable.person_edit("Deals", row, {"Name": "The row's"})
            bench.highlevel.person_edit(deal, name="The deal's")
            bench.clock.sleep(30)
            bench.crm_wire.spoil = bench.table_wire.spoil = spoil
            before = bench.clock.now
            result = passes.run()
            assert bench.clock.now - before < 7_200
            outcomes.add(bool(result.error))
            bench.forget()
            assert passes.run().error == ""
            assert bench.deals()[deal]["name"] == bench.rows()[deal]["Name"]
            passes.close()

    check()
    assert False in outcomes


def test_a_write_that_nobody_confirms_is_lost_not_done() -> None:
    """A captive portal's page with 200 for every request: no write and no deletion counts as done."""
    clock = Clock()
    page = Script(httpx.Response(200, text="<html>Sign in</html>"))
    client = connect(
        TOKEN, "loc", base_url="https://crm.test", bucket=Bucket.unlimited(monotonic=clock), clock=clock,
        monotonic=clock, sleep=clock.sleep, transport=httpx.MockTransport(page),
    )  # fmt: skip
    side = HighLevelSide(client, FIELDS)
    (written,) = side.write([Patch("deal1", {AT["name"]: "x"})])
    assert isinstance(written, Lost)
    assert isinstance(side.delete("deal1"), Lost)
