"""HTTP for every remote side: deadlines, retries, rate limits, the server's clock. The only module that imports httpx.

Every failure belongs to one of three classes. `NotSent`: nothing reached the server, repeating is safe. `NoAnswer`: it
was sent and the outcome is unknown; only a read may be repeated (SPEC §3.5). A `Reply`: the server spoke, whatever it
said.
"""

from __future__ import annotations

import html
import json as json_codec
import logging
import random
import re
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from types import TracebackType
from typing import Any, Final, TypeAlias

import httpcore
import httpx
import orjson

from syncd import __version__
from syncd.trace import Trace

for _name in ("httpx", "httpcore"):  # at INFO they log whole URLs (reference/stack.md §2)
    logging.getLogger(_name).setLevel(logging.WARNING)

Params: TypeAlias = Mapping[str, "str | int | float | bool | None"]

RETRIES_AT_LEAST: Final = 4  # SPEC §3.5: reads are retried at least 4 times within 60 s
RETRIES_AT_MOST: Final = 5
RETRY_WITHIN_SECONDS: Final = 60.0
FIRST_BACKOFF_SECONDS: Final = 0.5
RESTS_AT_MOST: Final = 6  # how often one request is repeated because of 429
SOON_SECONDS: Final = 0.25  # how long a write that may not wait does wait for its place
LONGEST_REST_SECONDS: Final = 120.0  # a longer Retry-After ends the pass instead of blocking it
REQUEST_TIMEOUT: Final = 408  # the server's own word for "no whole request came": treated like 5xx
LONGEST_SAID: Final = 8_000  # characters of a server's words that are looked at: sentences need a few hundred
NEVER_LATER: Final = 4_102_444_800.0  # 2100-01-01: an instant beyond it, or before 1970, is none


class HttpError(Exception):
    """A request that brought no usable answer. The text is a sentence for people, without secrets."""


class NotSent(HttpError):
    """Nothing reached the server: it is always safe to repeat."""


class NoAnswer(HttpError):
    """Sent, but no answer or a broken one came: whether it took effect is unknown."""


class ServerFault(NoAnswer):
    """The server answered 5xx: for a write the outcome is unknown, too. `reply` is what it said."""

    def __init__(self, sentence: str, reply: Reply) -> None:
        super().__init__(sentence)
        self.reply = reply


class RateLimited(HttpError):
    """429 again and again, or with a demand to wait too long. Nothing was done."""


class NotNow(HttpError):
    """A write that may not wait was not made (`Http.once`): what it rests on has to be read again first."""


class Redirected(HttpError):
    """The server sent the request elsewhere. Never followed: the token would travel along."""


class NotJson(HttpError):
    """The answer is not JSON."""


class Stopped(HttpError):
    """The process is shutting down; nothing more is sent."""


class Retry(Enum):
    """READ: repeated after every failure. WRITE: only when nothing was sent, or after 429."""

    READ = "read"
    WRITE = "write"


# --- secrets ---------------------------------------------------------------------------------------------------------

_secrets: set[str] = set()
_SHORTEST_SECRET = 6  # shorter ones would blank out ordinary words
_TOKEN_LIKE = re.compile(
    r"(?i:bearer\s+)[^\s\"'<>]+"
    r"|\bpit-[0-9A-Za-z-]{8,}"
    r"|\bpat[0-9A-Za-z]{14}\.[0-9A-Za-z]{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+"
    r"|\bya29\.[\w.-]{8,}"
)


def conceal(secret: str) -> None:
    """Makes `scrub` replace this text from now on."""
    if len(secret.strip()) >= _SHORTEST_SECRET:
        _secrets.add(secret.strip())


def scrub(text: object) -> str:
    """`text` without any known secret and without anything that looks like a token.

    A very long text is cut off: looking for tokens can take quadratic time, and servers choose what they say.
    """
    shown = str(text)[:LONGEST_SAID]
    for secret in sorted(_secrets, key=len, reverse=True):
        shown = shown.replace(secret, "***")
    return _TOKEN_LIKE.sub("***", shown)


def _conceal_authorization(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if name.lower() == "authorization":
            conceal(value)
            conceal(value.rpartition(" ")[2])


# --- rate limits -----------------------------------------------------------------------------------------------------


class Bucket:
    """At most `count` requests in any window [t, t + window_seconds), over all threads that share it, and with a
    `trace` over all processes that have the same one."""

    def __init__(
        self,
        count: int | None,
        window_seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        trace: Trace | None = None,
    ) -> None:
        self._count = count
        self._window_seconds = window_seconds
        self._monotonic = monotonic
        self._trace = trace
        self._taken: deque[float] = deque()
        self._rest_until = float("-inf")
        self._lock = threading.Lock()

    @classmethod
    def unlimited(cls, *, monotonic: Callable[[], float] = time.monotonic) -> Bucket:
        """A bucket that counts nothing but still rests when told to."""
        return cls(None, 0.0, monotonic=monotonic)

    def reserve(self) -> float:
        """Takes a place and returns 0, or returns the seconds to wait before asking again (at least a millisecond)."""
        with self._lock:
            rest = self._rest_until - self._monotonic()
            if rest > 0:
                return max(rest, 0.001)
            if self._count is None:
                return 0.0
            with self._traced() as keep:
                wait = self._wait(self._count, 1)
                if not wait:
                    self._taken.append(self._monotonic())
                    keep()
                return wait

    def ready(
        self, places: int, sleep: Callable[[float], object] = time.sleep, stop: threading.Event | None = None
    ) -> float:
        """Waits until so many requests could go out at once, and takes no place; returns the seconds waited. Raises
        `Stopped` once `stop` is set."""
        waited = 0.0
        while True:
            _go_on(stop)
            with self._lock, self._traced():
                rest = self._rest_until - self._monotonic()
                seconds = max(rest, 0.0 if self._count is None else self._wait(self._count, min(places, self._count)))
            if seconds <= 0:
                return waited
            sleep(max(seconds, 0.001))
            waited += seconds

    @contextmanager
    def _traced(self) -> Iterator[Callable[[], None]]:
        """Meanwhile `_taken` holds what other processes have sent, too; what is given keeps it for them."""
        if self._trace is None:
            yield lambda: None
            return
        with self._trace.held() as sent:
            if sent is None:
                yield lambda: None
                return
            now = self._monotonic()
            known = Counter(sent.since(now - self._window_seconds, now)) | Counter(self._taken)
            self._taken = deque(sorted(known.elements()))
            yield lambda: sent.keep(list(self._taken))

    def _wait(self, count: int, places: int) -> float:
        """Seconds until so many of `count` places are free; 0: they are."""
        now = self._monotonic()
        while self._taken and now - self._taken[0] >= self._window_seconds:
            self._taken.popleft()
        if len(self._taken) + places <= count:
            return 0.0
        return max(self._taken[places - count - 1] + self._window_seconds - now, 0.001)

    def take(self, sleep: Callable[[float], object] = time.sleep, stop: threading.Event | None = None) -> float:
        """Waits for a place and returns the seconds waited. Raises `Stopped` once `stop` is set."""
        waited = 0.0
        while True:
            _go_on(stop)
            seconds = self.reserve()
            if seconds <= 0:
                return waited
            sleep(seconds)
            waited += seconds

    def penalise(self, seconds: float) -> None:
        """Lets nobody through for `seconds` from now. A longer rest that already runs stays."""
        with self._lock:
            self._rest_until = max(self._rest_until, self._monotonic() + seconds)

    def observe(self, remaining: int, window_seconds: float) -> None:
        """The server's own count: where it says that nothing remains, the whole window is waited for."""
        if remaining <= 0:
            self.penalise(window_seconds)


_buckets: dict[tuple[str, ...], Bucket] = {}
_buckets_lock = threading.Lock()


def shared_bucket(key: tuple[str, ...], count: int, window_seconds: float, *, traced: bool = False) -> Bucket:
    """The one bucket of this process for `key` (a location, a base); `traced`: of this user's other processes, too. It
    outlives its users: the next pair on the same base begins a moment after the last one has ended."""
    with _buckets_lock:
        bucket = _buckets.get(key)
        if bucket is None:
            bucket = _buckets[key] = Bucket(count, window_seconds, trace=Trace(key) if traced else None)
        return bucket


def _go_on(stop: threading.Event | None) -> None:
    if stop is not None and stop.is_set():
        raise Stopped("syncd is stopping; nothing more is sent.")


# --- the server's clock ----------------------------------------------------------------------------------------------


class ClockOffset:
    """Own clock minus server clock in seconds, from `Date` headers of whole seconds (SPEC §2: stamps are corrected).

    The server's true time lies in [Date, Date + 1), ours between sending and receiving. Each answer thus bounds the
    offset; the bounds are intersected, and start anew where they contradict each other (a clock was set).
    """

    def __init__(self) -> None:
        self._low = float("-inf")
        self._high = float("inf")
        self._lock = threading.Lock()

    def observe(self, date: str | None, sent: float, received: float) -> None:
        """One answer: its `Date` header, and our time in seconds before sending and after receiving."""
        server = _instant_of(date or "")
        if server is None:
            return
        if received < sent:  # our own clock was set in between
            return
        low, high = sent - (server + 1.0), received - server
        with self._lock:
            self._low, self._high = max(self._low, low), min(self._high, high)
            if self._low > self._high:
                self._low, self._high = low, high

    @property
    def interval(self) -> tuple[float, float]:
        """The smallest and the largest offset that agree with every answer."""
        with self._lock:
            return self._low, self._high

    @property
    def offset(self) -> float:
        """Seconds to add to the server's stamps: 0 where the clocks may agree, else the middle of what is possible."""
        low, high = self.interval
        return 0.0 if low <= 0.0 <= high else (low + high) / 2


# --- connections -----------------------------------------------------------------------------------------------------

_context_lock = threading.Lock()
_context: ssl.SSLContext | None = None


def _shared_context() -> ssl.SSLContext:
    """One TLS context for the process: each costs 20 ms and almost 1 MB (reference/stack.md §0.6)."""
    global _context
    with _context_lock:
        if _context is None:
            _context = httpx.create_ssl_context()
        return _context


class _Due(threading.local):
    """When the running request of this thread must be over, on the monotonic clock."""

    at: float | None = None


class _Once(threading.local):
    """Whether this thread's writes may not wait."""

    on = False


class _DueStream(httpcore.NetworkStream):
    """A connection whose waits end at the request's deadline, also while head lines drip in.

    httpx's timeouts are per read (reference/stack.md §0.7), and a check between chunks of the body sees no head.
    """

    def __init__(self, stream: httpcore.NetworkStream, left: Callable[[float | None], float | None]) -> None:
        self._stream = stream
        self._left = left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _DueStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _DueBackend(httpcore.NetworkBackend):
    """Makes `_DueStream`s."""

    def __init__(self, backend: httpcore.NetworkBackend, left: Callable[[float | None], float | None]) -> None:
        self._backend = backend
        self._left = left

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        return _DueStream(self._backend.connect_tcp(*args, **kwargs), self._left)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class BrokenText:
    """Stands in an answer for a text that holds half a character (a lone surrogate): where a server cut an emoji in
    two. It can be neither stored nor sent, so it is no text: whoever asks for one finds a value of a wrong type.
    """


_BROKEN: Final = BrokenText()
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # half a character, or one half of a whole one, as JSON writes it


def _without_broken(found: Any) -> Any:
    """JSON with `BrokenText` in the place of texts that are none; a key that is none goes with its value."""
    holder = [found]
    open_ones: list[Any] = [holder]  # no recursion: a server decides how deep its answer is
    while open_ones:
        container = open_ones.pop()
        if isinstance(container, dict):
            for key in [key for key in container if not _is_whole(key)]:
                del container[key]
        for place, value in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if isinstance(value, dict | list):
                open_ones.append(value)
            elif isinstance(value, str) and not _is_whole(value):
                container[place] = _BROKEN
    return holder[0]


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. Header names are lower case; `content` is decoded (gzip) but otherwise as sent."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The content as JSON, in UTF-8 and nothing else (RFC 8259); raises `NotJson`. See `BrokenText`."""
        # Twice as fast. It rounds whole numbers beyond 64 bits, as both services do; what it refuses (half a character,
        # a number without end, a mark at the beginning) is looked at again below.
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(self.content)
        try:
            found = json_codec.loads(self.content.decode("utf-8-sig"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise NotJson(f"The answer ({self.status}) is not JSON: {self.text(120) or 'it is empty'}") from error
        return _without_broken(found) if _HALF.search(self.content) else found

    def text(self, length: int = 200) -> str:
        """The beginning of the content for a sentence: printable, on one line, without secrets; of a page its title, or
        what it says without its tags."""
        shown = scrub(self.content[: 4 * length + 4096].decode(errors="replace"))
        if shown.lstrip().startswith("<"):
            title = _TITLE.search(shown)
            shown = html.unescape(_TAG.sub(" ", title[1] if title else shown))
        return "".join(c if c.isprintable() else " " for c in " ".join(shown.split()))[:length]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


class Http:
    """Requests to one server with one set of headers. One per pair and side; threads may share it.

    `name` is how sentences call the server. `on_429` may look at the answer first: it returns the seconds to rest, or
    None for the ordinary rest (Retry-After, else `rest_seconds` and up to a second), or raises what no rest can mend.
    `on_sent` is told of every request that went out, with the headers of its answer (none where none came); it must
    not raise.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        bucket: Bucket,
        name: str | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        rng: Callable[[], float] = random.random,
        stop: threading.Event | None = None,
        deadline_seconds: float = 60.0,
        max_body_bytes: int = 64 * 1024 * 1024,
        rest_seconds: float = 10.0,
        on_429: Callable[[Reply], float | None] | None = None,
        on_sent: Callable[[Mapping[str, str]], None] = lambda _headers: None,
    ) -> None:
        """Raises ValueError for an address or header that cannot be used; the text holds no header's value."""
        self.base_url = _checked_url(base_url)
        _conceal_authorization(_checked_headers(headers))
        self.bucket = bucket
        self.name = name or httpx.URL(self.base_url).host
        self.clock_offset = ClockOffset()
        self.calls = 0
        self._clock, self._monotonic, self._rng, self._stop = clock, monotonic, rng, stop
        # `stop.wait` sleeps as `time.sleep` does, but wakes when the process shall end.
        self._sleep = sleep or (stop.wait if stop is not None else time.sleep)
        self._deadline_seconds = deadline_seconds
        self._max_body_bytes = max_body_bytes
        self._rest_seconds = rest_seconds
        self._on_429, self._on_sent = on_429, on_sent
        self._due, self._once = _Due(), _Once()
        self._lock = threading.Lock()
        self._client = httpx.Client(
            base_url=self.base_url,
            headers={"User-Agent": f"syncd/{__version__}", "Accept": "application/json", **headers},
            verify=_shared_context(),
            transport=transport,
            timeout=httpx.Timeout(connect=5.0, read=30.0, write=30.0, pool=5.0),
            limits=httpx.Limits(max_connections=4, keepalive_expiry=300.0),
            follow_redirects=False,
        )
        if transport is None:
            self._hold_deadlines()

    def _hold_deadlines(self) -> None:
        # httpx has no public way to give a pool its network backend; test_http.py fails if these names ever change.
        for transport in [self._client._transport, *self._client._mounts.values()]:
            pool = getattr(transport, "_pool", None)
            if pool is not None:
                pool._network_backend = _DueBackend(pool._network_backend, self._left)

    def _left(self, timeout: float | None) -> float | None:
        if self._due.at is None:
            return timeout
        left = self._due.at - self._monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("deadline")
        return left if timeout is None else min(timeout, left)

    def request(
        self,
        method: str,
        path: str,
        *,
        retry: Retry,
        params: Params | None = None,
        json: object = None,
        content: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Sends a request and returns the answer, any status but 3xx, 408, 429 and 5xx.

        `path` is relative to `base_url` (or begins with it); parameters that are None are left out. Raises
        `HttpError`s, and what `on_429` raises.
        """
        if "://" in path and not path.startswith(self.base_url + "/"):
            raise ValueError("A request must stay on its own server: its headers hold a token.")
        extra = _checked_headers(headers or {})
        _conceal_authorization(extra)
        request: dict[str, Any] = {"json": json, "content": content, "headers": dict(extra)}
        if params is not None:
            request["params"] = {name: value for name, value in params.items() if value is not None}
        started, rested, rests, failures = self._monotonic(), 0.0, 0, 0
        once = retry is Retry.WRITE and self._once.on
        while True:
            rested += self._place_soon() if once else self.bucket.take(self._sleep, self._stop)
            try:
                reply = self._attempt(method, path, request)
            except NotSent as error:
                if once:
                    raise NotNow(str(error)) from error
                failure: HttpError = error
            except NoAnswer as error:
                if retry is Retry.WRITE:
                    raise
                failure = error
            else:
                if reply is not None:
                    return reply
                if once:
                    raise NotNow(f"{self.name} gets too many requests (429).")
                rests += 1
                if rests > RESTS_AT_MOST:
                    raise RateLimited(f"{self.name} says again and again that it gets too many requests (429).")
                continue
            failures += 1
            pause = FIRST_BACKOFF_SECONDS * 2 ** (failures - 1) * (0.5 + self._rng())
            spent = self._monotonic() - started - rested
            late = failures > RETRIES_AT_LEAST and spent + pause > RETRY_WITHIN_SECONDS
            if failures > RETRIES_AT_MOST or late:
                raise failure
            self.pause(pause)

    @contextmanager
    def once(self) -> Iterator[None]:
        """Writes of this thread may not wait meanwhile: where one would have to, for a place, a rest or a connection,
        nothing is sent, or was done, and `NotNow` is raised. For what was read directly before (SPEC §3.1)."""
        self._once.on = True
        try:
            yield
        finally:
            self._once.on = False

    def make_way(self, requests: int) -> None:
        """Waits until so many requests can go out one right after the other. Raises `Stopped`."""
        self.bucket.ready(requests, self._sleep, self._stop)

    def _place_soon(self) -> float:
        """A place at once, or almost; else `NotNow`."""
        waited = 0.0
        while (seconds := self.bucket.reserve()) > 0:
            if waited + seconds > SOON_SECONDS:
                raise NotNow(f"{self.name} gets as many requests as it takes just now.")
            self.pause(seconds)
            waited += seconds
        return waited

    def now(self) -> float:
        """Our own clock, in seconds since 1970."""
        return self._clock()

    def pause(self, seconds: float) -> None:
        """Sleeps; raises `Stopped` when the process shall end."""
        _go_on(self._stop)
        self._sleep(seconds)
        _go_on(self._stop)

    def _attempt(self, method: str, path: str, request: dict[str, Any]) -> Reply | None:
        """One attempt; None after a 429 whose rest the bucket now keeps."""
        with self._lock:
            self.calls += 1
        try:
            reply = self._exchange(method, path, request)
        except NoAnswer:
            self._on_sent({})
            raise
        self._on_sent(reply.headers)
        if reply.status == 429:
            self.bucket.penalise(self._rest(reply))
            return None
        if 300 <= reply.status < 400:
            target = scrub(reply.headers.get("location", "")).partition("?")[0][:200]
            raise Redirected(
                f"{self.name} redirects to {target!r} ({reply.status}); redirects are not followed. Correct base_url."
            )
        if reply.status >= 500 or reply.status == REQUEST_TIMEOUT:
            raise ServerFault(f"{self.name} has a fault of its own ({reply.status}: {reply.text(80)}).", reply)
        return reply

    def _exchange(self, method: str, path: str, request: dict[str, Any]) -> Reply:
        self._due.at = self._monotonic() + self._deadline_seconds
        sent = self._clock()
        try:
            with self._client.stream(method, path, **request) as response:
                self.clock_offset.observe(response.headers.get("date"), sent, self._clock())
                content = self._content(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status_code, headers, content)
        except _NEVER_SENT as error:
            raise NotSent(f"{self.name} could not be reached: {_reason(error)}.") from error
        except httpx.TimeoutException as error:
            raise NoAnswer(f"{self.name} did not answer in time.") from error
        except (httpx.HTTPError, OSError) as error:
            raise NoAnswer(f"The connection to {self.name} broke before the answer came: {_reason(error)}.") from error
        finally:
            self._due.at = None

    def _content(self, response: httpx.Response) -> bytes:
        # Each gzip can make a thousand bytes of one: within a chunk one is bounded, one in another is not.
        if len(response.headers.get_list("content-encoding", split_commas=True)) > 1:
            raise NoAnswer(f"{self.name} packed its answer more than once; it was not unpacked.")
        parts: list[bytes] = []
        size = 0
        for part in response.iter_bytes():
            size += len(part)
            if size > self._max_body_bytes:
                raise NoAnswer(f"{self.name} sends an answer of over {self._max_body_bytes} bytes; it was cut off.")
            if self._due.at is not None and self._monotonic() > self._due.at:
                raise NoAnswer(f"{self.name} took longer than {self._deadline_seconds:g} s for one answer.")
            parts.append(part)
        return b"".join(parts)

    def _rest(self, reply: Reply) -> float:
        asked = self._on_429(reply) if self._on_429 is not None else None
        if asked is None:
            asked = _retry_after(reply.headers.get("retry-after"), self._clock())
        seconds = self._rest_seconds + self._rng() if asked is None else max(asked, 1.0)
        if seconds > LONGEST_REST_SECONDS:
            raise RateLimited(f"{self.name} gets too many requests (429) and asks for a rest of {seconds:.0f} s.")
        return seconds

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def __enter__(self) -> Http:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _retry_after(value: str | None, now: float) -> float | None:
    """`Retry-After` in seconds from now, whether given as seconds or as a date; None where there is none to read."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        at = _instant_of(value)
        if at is None:
            return None
        seconds = at - now
    return seconds if seconds == seconds and seconds >= 0 else None


def _instant_of(date: str) -> float | None:
    """Epoch seconds of a date as headers hold it; None for what is none, or in no year that this program will see."""
    try:
        parsed = parsedate_to_datetime(date)
        instant = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return instant if 0 <= instant < NEVER_LATER else None


def _reason(error: Exception) -> str:
    return scrub(str(error)).rstrip(".") or type(error).__name__


def _checked_url(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{scrub(base_url)!r} is no address: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{scrub(base_url)!r} is no address of the form https://host.")
    return base_url.rstrip("/")


def _checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    # Checked here because the libraries' own messages quote the value, which may be a token.
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise ValueError(f"The {name} header holds a character that no header may hold (a line break, an accent).")
    return headers
