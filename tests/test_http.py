"""syncd/http.py and the requests adapter: failure classes, deadlines, rate limits, the server's clock, secrets."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

import httpx
import pyairtable
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd import __version__
from syncd.http import (
    LONGEST_REST_SECONDS,
    RESTS_AT_MOST,
    RETRIES_AT_LEAST,
    SOON_SECONDS,
    Bucket,
    ClockOffset,
    Http,
    NoAnswer,
    NotJson,
    NotNow,
    NotSent,
    RateLimited,
    Redirected,
    Reply,
    Retry,
    ServerFault,
    Stopped,
    conceal,
    scrub,
    shared_bucket,
)
from syncd.sandbox.wire import Answer, Request, serve
from syncd.tables.transport import RequestsAdapter, policy

TOKEN = "pit-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


Step = int | Exception | httpx.Response


class Script:
    """A transport that answers from a list (the last entry for ever) and keeps what it was sent."""

    def __init__(self, *steps: Step | Callable[[httpx.Request], httpx.Response]) -> None:
        self.steps = list(steps)
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        if isinstance(step, int):
            return httpx.Response(step, json={"status": step})
        return step if isinstance(step, httpx.Response) else step(request)


def make(script: Script, time: Time | None = None, **options: Any) -> Http:
    time = time or Time()
    settings: dict[str, Any] = {
        "headers": {"Authorization": f"Bearer {TOKEN}"},
        "bucket": Bucket.unlimited(monotonic=time),
        "transport": httpx.MockTransport(script),
        "clock": time,
        "monotonic": time,
        "sleep": time.sleep,
        "rng": lambda: 0.5,
    }
    return Http("https://api.test", **(settings | options))


# --- failure classes and retries -------------------------------------------------------------------------------------

NEVER_SENT = [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), httpx.PoolTimeout("full")]
NO_ANSWER = [
    httpx.ReadTimeout("slow"),
    httpx.ReadError("reset"),
    httpx.WriteError("broken pipe"),
    httpx.WriteTimeout("slow"),
    httpx.RemoteProtocolError("Server disconnected without sending a response."),
]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("failure", [*NO_ANSWER, 500, 502, 503, 408], ids=str)
def test_a_write_is_never_sent_twice_when_its_outcome_is_unknown(method: str, failure: Step) -> None:
    script = Script(failure, 200)
    http = make(script)
    with pytest.raises(NoAnswer):
        http.request(method, "/deals/1", json={"a": 1}, retry=Retry.WRITE)
    assert len(script.seen) == 1
    assert http.calls == 1


@pytest.mark.parametrize("failure", [*NEVER_SENT, 429], ids=str)
def test_a_write_is_repeated_when_it_certainly_did_not_happen(failure: Step) -> None:
    script = Script(failure, 200)
    reply = make(script).request("POST", "/deals", json={"a": 1}, retry=Retry.WRITE)
    assert reply.status == 200
    assert [request.content for request in script.seen] == [b'{"a":1}'] * 2


@pytest.mark.parametrize("failure", [*NEVER_SENT, *NO_ANSWER, 500, 502, 408], ids=str)
def test_a_read_survives_as_many_failures_as_the_spec_asks_within_a_minute(failure: Step) -> None:
    time = Time()
    script = Script(*[failure] * RETRIES_AT_LEAST, 200)
    began = time.now
    assert make(script, time, rng=lambda: 1.0).request("GET", "/x", retry=Retry.READ).status == 200
    assert RETRIES_AT_LEAST >= 4
    assert time.now - began <= 60
    assert time.slept == sorted(time.slept)  # backing off


@pytest.mark.parametrize(
    ("failure", "kind"), [(NEVER_SENT[0], NotSent), (NO_ANSWER[0], NoAnswer), (502, ServerFault)], ids=str
)
def test_a_read_gives_up_at_last_and_says_which_class_it_was(failure: Step, kind: type[Exception]) -> None:
    time = Time()
    http = make(Script(failure), time)
    with pytest.raises(kind) as caught:
        http.request("GET", "/x", retry=Retry.READ)
    assert type(caught.value) is kind
    assert "api.test" in str(caught.value)
    assert http.calls <= 8


def test_slow_failures_are_still_retried_four_times_and_no_more_after_a_minute() -> None:
    time = Time()

    def hang(request: httpx.Request) -> httpx.Response:
        time.now += 30
        raise httpx.ReadTimeout("slow")

    http = make(Script(hang), time)
    with pytest.raises(NoAnswer):
        http.request("GET", "/x", retry=Retry.READ)
    assert http.calls == 1 + RETRIES_AT_LEAST


@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 404, 409, 422])
def test_whatever_else_the_server_says_is_an_answer(status: int) -> None:
    http = make(Script(status))
    assert http.request("PUT", "/x", retry=Retry.WRITE).json() == {"status": status}
    assert http.calls == 1


def test_a_redirect_is_an_error_that_says_so_and_is_not_followed() -> None:
    script = Script(httpx.Response(302, headers={"Location": f"https://evil.test/login?token={TOKEN}"}))
    with pytest.raises(Redirected, match=r"evil\.test/login") as caught:
        make(script).request("GET", "/x", retry=Retry.READ)
    assert len(script.seen) == 1
    assert TOKEN not in str(caught.value)


# --- 429 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 10.5),  # rest_seconds and the jitter
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "0"}, 1.0),
        ({"Retry-After": "soon"}, 10.5),
        ({"Retry-After": "-4"}, 10.5),
        ({"Retry-After": "nan"}, 10.5),
    ],
)
def test_429_rests_the_whole_bucket(headers: dict[str, str], seconds: float) -> None:
    time = Time()
    http = make(Script(httpx.Response(429, headers=headers), 200), time)
    http.request("GET", "/x", retry=Retry.READ)
    assert sum(time.slept) == pytest.approx(seconds)


def test_a_date_in_retry_after_counts_from_now() -> None:
    time = Time()
    http = make(Script(httpx.Response(429, headers={"Retry-After": formatdate(time.now + 20, usegmt=True)}), 200), time)
    http.request("GET", "/x", retry=Retry.READ)
    assert sum(time.slept) == pytest.approx(20, abs=1)


def test_429_rests_others_who_share_the_bucket() -> None:
    time = Time()
    bucket = Bucket.unlimited(monotonic=time)
    first = make(Script(429), time, bucket=bucket, on_429=lambda reply: 30.0)
    with pytest.raises(RateLimited):
        first.request("GET", "/x", retry=Retry.READ)
    assert first.calls == RESTS_AT_MOST + 1
    before = time.now
    make(Script(200), time, bucket=bucket).request("GET", "/y", retry=Retry.READ)
    assert time.now - before == pytest.approx(30)


def test_waits_of_429_do_not_use_up_the_retries() -> None:
    time = Time()
    script = Script(429, 429, 429, 502, 502, 502, 502, 502, 200)
    http = make(script, time, on_429=lambda reply: 50.0)
    assert http.request("GET", "/x", retry=Retry.READ).status == 200
    assert http.calls == 9


def test_a_hook_can_end_the_waiting_and_a_long_rest_is_refused() -> None:
    def quota(reply: Reply) -> float:
        raise RuntimeError("quota gone")

    with pytest.raises(RuntimeError, match="quota gone"):
        make(Script(429), on_429=quota).request("GET", "/x", retry=Retry.READ)
    time = Time()
    with pytest.raises(RateLimited, match="3600"):
        make(Script(httpx.Response(429, headers={"Retry-After": "3600"})), time).request("GET", "/", retry=Retry.READ)
    assert sum(time.slept) < LONGEST_REST_SECONDS


# --- the bucket ------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    count=st.integers(1, 5),
    window=st.integers(1, 12),
    steps=st.lists(
        st.tuples(
            st.integers(0, 48).map(lambda quarters: quarters / 4),
            st.sampled_from(["take"] * 8 + ["penalise", "observe"]),
        ),
        max_size=60,
    ),
)
def test_a_bucket_never_lets_more_through_than_its_count_in_any_window(
    count: int, window: int, steps: list[tuple[float, str]]
) -> None:
    time = Time(0.0)
    bucket = Bucket(count, window, monotonic=time)
    taken: list[float] = []
    resting = 0.0
    for pause, what in steps:
        time.now += pause
        if what == "take":
            bucket.take(time.sleep)
            taken.append(time.now)
            assert time.now >= resting
        elif what == "penalise":
            bucket.penalise(pause)
            resting = max(resting, time.now + pause)
        else:
            bucket.observe(0, window)
            resting = max(resting, time.now + window)
    for start in taken:
        assert sum(start <= at < start + window for at in taken) <= count


def test_a_bucket_does_not_wait_without_need() -> None:
    time = Time(0.0)
    bucket = Bucket(90, 10, monotonic=time)
    assert sum(bucket.take(time.sleep) for _ in range(90)) == 0
    assert bucket.take(time.sleep) == pytest.approx(10)
    bucket.observe(5, 10)  # something remains
    assert bucket.take(time.sleep) == 0


def test_a_short_rest_does_not_end_a_longer_one() -> None:
    time = Time(0.0)
    bucket = Bucket.unlimited(monotonic=time)
    bucket.penalise(30)
    bucket.penalise(1)
    assert bucket.take(time.sleep) == pytest.approx(30)


def test_threads_share_a_bucket() -> None:
    bucket = Bucket(50, 3600)
    granted: list[float] = []
    threads = [threading.Thread(target=lambda: granted.extend(bucket.reserve() for _ in range(20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seconds == 0 for seconds in granted) == 50


def test_a_bucket_is_shared_by_key_and_outlives_its_users() -> None:
    one = shared_bucket(("highlevel", "loc"), 2, 10)
    assert shared_bucket(("highlevel", "loc"), 2, 10) is one
    assert shared_bucket(("highlevel", "other"), 2, 10) is not one
    assert [one.reserve(), one.reserve()] == [0, 0]
    del one
    gc.collect()
    assert shared_bucket(("highlevel", "loc"), 2, 10).reserve() > 0, "the next pair on the same location"


def test_every_request_that_went_out_is_told_with_its_headers() -> None:
    """Counted are those that a server has seen: retries, refusals and lost answers too, but none that was never
    sent."""
    told: list[str] = []
    script = Script(
        NEVER_SENT[0],
        NO_ANSWER[0],
        503,
        429,
        httpx.Response(200, headers={"X-Left": "9"}),
        404,
    )
    http = make(script, on_sent=lambda headers: told.append(headers.get("x-left", "")))
    assert http.request("GET", "/x", retry=Retry.READ).status == 200
    assert http.request("GET", "/x", retry=Retry.READ).status == 404
    assert told == ["", "", "", "9", ""]
    assert http.calls == 6


def test_a_stop_ends_a_wait_before_anything_is_sent() -> None:
    stop = threading.Event()
    script = Script(429, 200)
    time = Time()

    def sleep(seconds: float) -> None:
        stop.set()

    http = make(script, time, stop=stop, sleep=sleep)
    with pytest.raises(Stopped):
        http.request("GET", "/x", retry=Retry.READ)
    assert len(script.seen) == 1
    with pytest.raises(Stopped):
        http.request("GET", "/x", retry=Retry.READ)
    assert len(script.seen) == 1


# --- a real server ---------------------------------------------------------------------------------------------------


@contextmanager
def raw_server(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that accepts connections, reads one request each and then speaks as told."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                try:
                    speak(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def drip(connection: socket.socket, text: bytes, end: threading.Event) -> None:
    for byte in text:
        connection.sendall(bytes([byte]))
        if end.wait(0.05):
            return


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000,
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"y" * 1000,
    ],
    ids=["body", "head"],
)
def test_a_dripping_server_is_cut_off_at_the_deadline(text: bytes) -> None:
    import time

    end = threading.Event()
    head_at_once = text.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in text else b""

    def speak(connection: socket.socket) -> None:
        connection.sendall(head_at_once)
        drip(connection, text[len(head_at_once) :], end)

    with raw_server(speak) as url, plain(url, deadline_seconds=0.6) as http:
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            http.request("PUT", "/x", json={}, retry=Retry.WRITE)
        took = time.monotonic() - began
        end.set()
    assert 0.5 < took < 2.0
    assert http.calls == 1


def plain(url: str, **options: Any) -> Http:
    return Http(url, headers={}, bucket=Bucket.unlimited(), **options)


def test_deadlines_reach_the_connections_of_httpx() -> None:
    # `_hold_deadlines` sets private attributes: this fails if an update of httpx renames them.
    with plain("http://127.0.0.1:9") as http:
        assert type(http._client._transport._pool._network_backend).__name__ == "_DueBackend"  # type: ignore[attr-defined]


def test_the_deadline_counts_over_the_parts_of_a_body() -> None:
    time = Time()

    def parts() -> Iterator[bytes]:
        for _ in range(10):
            time.now += 10
            yield b"x"

    http = make(Script(lambda request: httpx.Response(200, content=parts())), time)
    with pytest.raises(NoAnswer, match="60 s"):
        http.request("PUT", "/x", retry=Retry.WRITE)
    assert http.calls == 1


def test_an_answer_that_is_too_large_is_cut_off() -> None:
    with pytest.raises(NoAnswer, match="1000 bytes"):
        make(Script(httpx.Response(200, content=b"x" * 1001)), max_body_bytes=1000).request(
            "PUT", "/x", retry=Retry.WRITE
        )
    reply = make(Script(httpx.Response(200, content=b"x" * 1000)), max_body_bytes=1000)
    assert reply.request("GET", "/x", retry=Retry.READ).status == 200


@pytest.mark.parametrize(
    "text",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"nonsense\r\n\r\n"],
    ids=["closed", "truncated", "garbage"],
)
def test_a_broken_answer_is_no_answer(text: bytes) -> None:
    with raw_server(lambda connection: connection.sendall(text)) as url, plain(url) as http, pytest.raises(NoAnswer):
        http.request("POST", "/x", json={}, retry=Retry.WRITE)


def test_a_closed_port_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with plain(f"http://127.0.0.1:{port}", sleep=lambda seconds: None) as http:
        with pytest.raises(NotSent, match="could not be reached"):
            http.request("POST", "/x", json={}, retry=Retry.WRITE)
        assert http.calls > RETRIES_AT_LEAST


class Echo:
    """Answers with what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def handle(self, request: Request) -> Answer:
        self.requests.append(request)
        return Answer(200, {"path": request.path, "query": request.query, "body": request.body.decode()})


def test_what_goes_over_the_wire() -> None:
    echo = Echo()
    with serve(echo) as served, plain(served.url + "/v1") as http:
        params = {"email": "a+b@c.d", "none": None, "n": 3}
        reply = http.request("GET", "/contacts/", params=params, retry=Retry.READ)
        assert reply.json() == {"path": "/v1/contacts/", "query": [["email", "a+b@c.d"], ["n", "3"]], "body": ""}
        http.request("POST", "/x", json={"a": "ä"}, retry=Retry.WRITE)
    first, second = echo.requests
    assert first.headers["user-agent"] == f"syncd/{__version__}"
    assert second.body.decode() == '{"a":"ä"}'
    assert second.headers["content-type"] == "application/json"


def test_a_request_never_leaves_its_server() -> None:
    script = Script(200)
    http = make(script)
    for url in ("https://evil.test/x", "https://api.test.evil.test/x", "http://api.test/x"):
        with pytest.raises(ValueError, match="own server"):
            http.request("GET", url, retry=Retry.READ)
    assert script.seen == []


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"<html>oops</html>", b'{"a":NaN}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_says_so(content: bytes) -> None:
    with pytest.raises(NotJson):
        Reply(200, {}, content).json()


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("<html><head><TITLE>502 Bad &amp; Gateway</title></head><body><h1>no</h1></body></html>", "502 Bad & Gateway"),
        ("\n<!doctype html><style>b{}</style><script>x<1</script><p>Out of order</p>", "Out of order"),
        ("<html><title></title>", ""),
        ('{"message": "a <b> c"}', '{"message": "a <b> c"}'),
        ("upstream said <nothing>", "upstream said <nothing>"),
    ],
)
def test_of_a_page_its_title_is_told(page: str, told: str) -> None:
    assert Reply(502, {}, page.encode()).text().strip() == told


def test_the_text_of_an_answer_is_fit_for_a_sentence() -> None:
    reply = Reply(502, {}, f"<html>\n\x1b[31mBad\x00 gateway {TOKEN}\u202e".encode() + b"x" * 9000)
    assert reply.text(60).isprintable()
    assert len(reply.text(60)) <= 60
    assert TOKEN not in reply.text(500)


# --- the server's clock ----------------------------------------------------------------------------------------------


def date(at: float) -> str:
    return formatdate(int(at), usegmt=True)


@settings(deadline=None)
@given(
    offset=st.floats(-100_000, 100_000),
    answers=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 2), st.floats(0, 1)), min_size=1, max_size=30),
)
def test_the_true_offset_always_lies_in_the_interval(offset: float, answers: list[tuple[float, float, float]]) -> None:
    clock = ClockOffset()
    local = 1_790_000_000.0
    for gap, trip, part in answers:
        local += gap
        answered = local + trip * part
        clock.observe(date(answered - offset), local, local + trip)
        low, high = clock.interval
        assert low - 1e-3 <= offset <= high + 1e-3
        if low <= 0 <= high:
            assert clock.offset == 0
        else:
            assert low <= clock.offset <= high
        local += trip


def test_many_answers_narrow_the_offset_below_the_headers_second() -> None:
    clock = ClockOffset()
    for tenth in range(200):
        local = 1_790_000_000 + tenth * 0.37
        clock.observe(date(local - 7.3), local, local + 0.05)
    assert clock.offset == pytest.approx(7.3, abs=0.1)


def test_a_clock_that_jumps_starts_the_interval_anew() -> None:
    clock = ClockOffset()
    clock.observe(date(1_790_000_000), 1_790_000_000.2, 1_790_000_000.3)
    assert clock.offset == 0
    clock.observe(date(1_790_000_010), 1_790_003_610.2, 1_790_003_610.3)
    assert clock.offset == pytest.approx(3600, abs=1)


@pytest.mark.parametrize("header", [None, "", "yesterday", "Tue, 99 Foo 2026 10:00:00 GMT"])
def test_no_date_says_nothing(header: str | None) -> None:
    clock = ClockOffset()
    clock.observe(header, 1.0, 2.0)
    assert clock.offset == 0


def test_every_answer_tells_the_clock_even_a_refusal() -> None:
    time = Time()
    headers = {"Date": date(time.now - 90)}
    http = make(Script(httpx.Response(404, headers=headers)), time)
    http.request("GET", "/x", retry=Retry.READ)
    assert http.clock_offset.offset == pytest.approx(90, abs=1)


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-123",
        "bearer  s3cr3t",
        f"GET /x?key={TOKEN}",
        "patAbCdEfGhIjKlMn.0123456789abcdef0123456789abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
def test_what_looks_like_a_token_is_hidden(text: str) -> None:
    shown = scrub(text)
    assert "***" in shown
    for secret in ("abc.def", "s3cr3t", TOKEN, "0123456789abcdef", "c2lnbmF0dXJl"):
        assert secret not in shown


def test_known_secrets_are_hidden_and_ordinary_words_stay() -> None:
    conceal("hunter2hunter2")
    conceal("of")
    assert (
        scrub("the pass of hunter2hunter2 and the pattern of bearers") == "the pass of *** and the pattern of bearers"
    )


@pytest.mark.parametrize("failure", [*NEVER_SENT[:1], *NO_ANSWER[:1], 500], ids=str)
def test_no_token_in_what_is_raised_or_logged(failure: Step, caplog: pytest.LogCaptureFixture) -> None:
    if isinstance(failure, Exception):
        failure = type(failure)(f"could not send Authorization: Bearer odd{TOKEN}")
    elif isinstance(failure, int):
        failure = httpx.Response(failure, text=f"your token odd{TOKEN} made me fail")
    http = make(Script(failure), headers={"Authorization": f"Bearer odd{TOKEN}"})
    with caplog.at_level(logging.DEBUG), pytest.raises((NotSent, NoAnswer)) as caught:
        http.request("GET", "/x", params={"token": TOKEN}, retry=Retry.WRITE)
    assert TOKEN not in str(caught.value)
    assert TOKEN not in caplog.text
    assert logging.getLogger("httpx").level == logging.WARNING


@pytest.mark.parametrize("token", ["pit-abc\ndef", "pit-äöü", " pit-abc"])
def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ValueError, match="Authorization") as caught:
        Http("https://api.test", headers={"Authorization": token}, bucket=Bucket.unlimited())
    assert token.strip()[4:] not in str(caught.value)


@pytest.mark.parametrize("url", ["", "api.test", "ftp://api.test", "https://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Http(url, headers={}, bucket=Bucket.unlimited())


# --- pyairtable ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "url", "retry"),
    [
        ("GET", "https://a/v0/app/T", Retry.READ),
        ("POST", "https://a/v0/app/T/listRecords", Retry.READ),
        ("POST", "https://a/v0/app/T/listRecords?x=1", Retry.READ),
        ("POST", "https://a/v0/app/T", Retry.WRITE),
        ("POST", "https://a/v0/app/T?x=/listRecords", Retry.WRITE),
        ("PATCH", "https://a/v0/app/T", Retry.WRITE),
        ("DELETE", "https://a/v0/app/T/listRecords", Retry.WRITE),
    ],
)
def test_the_policy_of_a_request(method: str, url: str, retry: Retry) -> None:
    assert policy(method, url) is retry


def airtable(http: Http) -> pyairtable.Api:
    api = pyairtable.Api(TOKEN, endpoint_url=http.base_url, retry_strategy=None)
    api.session.mount(http.base_url, RequestsAdapter(http))
    return api


def test_pyairtable_runs_through_it() -> None:
    echo = Echo()
    with serve(echo) as served, plain(served.url) as http:
        formula = "AND({Näme} = 'a+b & c%', 1)"
        answer = airtable(http).request("GET", f"{served.url}/v0/app/Table%201", params={"filterByFormula": formula})
        assert answer["path"] == "/v0/app/Table 1"
        assert answer["query"] == [["filterByFormula", formula]]
        airtable(http).request("PATCH", f"{served.url}/v0/app/T", json={"records": [{"ü": 1}]})
        assert http.calls == 2
    first, second = echo.requests
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert first.headers["user-agent"] == f"syncd/{__version__}"
    assert second.headers["content-type"] == "application/json"
    assert second.body in (b'{"records": [{"\\u00fc": 1}]}', '{"records": [{"ü": 1}]}'.encode())


def test_pyairtable_sees_refusals_as_it_is_used_to() -> None:
    script = Script(httpx.Response(422, json={"error": {"type": "INVALID", "message": "no such field"}}))
    with pytest.raises(requests.HTTPError, match="no such field") as caught:
        airtable(make(script)).request("GET", "https://api.test/v0/app/T")
    assert caught.value.response.status_code == 422


def test_pyairtable_never_repeats_a_create() -> None:
    script = Script(httpx.ReadTimeout("slow"), 200)
    with pytest.raises(NoAnswer):
        airtable(make(script)).request("POST", "https://api.test/v0/app/T", json={"records": []})
    assert len(script.seen) == 1
    script = Script(502, 429, 200)
    assert airtable(make(script)).request("POST", "https://api.test/v0/app/T/listRecords", json={}) == {"status": 200}


# --- writes that may not wait ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [1, 2, 5])
def test_a_bucket_waits_until_so_many_places_are_free_and_takes_none(places: int) -> None:
    time = Time(0.0)
    bucket = Bucket(5, 10, monotonic=time)
    for _ in range(5):
        assert bucket.take(time.sleep) == 0
        time.sleep(1)
    assert bucket.ready(places, time.sleep) == pytest.approx(4 + places)
    assert [bucket.reserve() for _ in range(places + 1)][:places] == [0] * places
    assert bucket.reserve() > 0
    bucket.penalise(30)
    assert bucket.ready(1, time.sleep) == pytest.approx(30)
    assert Bucket.unlimited(monotonic=time).ready(3) == 0
    assert Bucket(2, 10, monotonic=time).ready(3) == 0, "more than all there are is all there are"


def once(script: Script, time: Time | None = None, **options: Any) -> str:
    """What a write that may not wait raises; "" for nothing."""
    http = make(script, time, **options)
    try:
        with http.once():
            http.request("PUT", "/x", retry=Retry.WRITE)
    except NotNow as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("failure", "said"), [*((one, "could not be reached") for one in NEVER_SENT), (429, "429")])
def test_a_write_that_may_not_wait_is_not_sent_again(failure: Step, said: str) -> None:
    time, script = Time(), Script(failure, 200)
    assert said in once(script, time)
    assert (len(script.seen), time.slept) == (1, [])


def test_a_write_that_may_not_wait_is_not_sent_where_there_is_no_place() -> None:
    time, script = Time(0.0), Script(200)
    bucket = Bucket(1, SOON_SECONDS + 1, monotonic=time)
    bucket.reserve()
    assert "as many requests as it takes" in once(script, time, bucket=bucket)
    assert script.seen == []
    time.sleep(1.001)
    assert once(script, time, bucket=bucket) == "", "a moment is waited for"
    assert len(script.seen) == 1


def test_a_rest_after_429_is_kept_by_a_write_that_may_not_wait() -> None:
    time, script = Time(0.0), Script(429, 200)
    bucket = Bucket(90, 10, monotonic=time)
    assert [bool(once(script, time, bucket=bucket)) for _ in range(2)] == [True, True]
    assert len(script.seen) == 1
    bucket.ready(1, time.sleep)
    assert once(script, time, bucket=bucket) == ""


def test_other_requests_wait_as_ever() -> None:
    """Reads among such writes, and writes after them."""
    script = Script(429, 200, 429, 200)
    http = make(script)
    with http.once():
        http.request("GET", "/x", retry=Retry.READ)
    http.request("PUT", "/x", retry=Retry.WRITE)
    assert len(script.seen) == 4


def test_way_is_made_for_two_requests_in_a_row() -> None:
    time = Time(0.0)
    http = make(Script(200), time, bucket=Bucket(5, 10, monotonic=time))
    for _ in range(4):
        http.request("GET", "/x", retry=Retry.READ)
    http.make_way(2)
    before = time.now
    http.request("GET", "/x", retry=Retry.READ)
    with http.once():
        http.request("PUT", "/x", retry=Retry.WRITE)
    assert (before, time.now) == (10, 10)
