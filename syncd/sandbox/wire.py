"""HTTP for the sandbox: requests and answers as plain data, faults on demand, a request log, and a server on 127.0.0.1.

A sandbox service is an object with ``handle(Request) -> Answer``. The same object serves a real socket (`serve`) and,
in the simulation, is called directly. Nothing here knows HighLevel or Airtable.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived. `query` keeps order and repeats; `path` is decoded; header names are lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def first(self, name: str) -> str | None:
        """The first value of a query parameter, or None."""
        return next((value for key, value in self.query if key == name), None)

    def all(self, name: str) -> list[str]:
        """Every value of a query parameter, in order."""
        return [value for key, value in self.query if key == name]

    def json(self) -> Any:
        """The body as JSON; raises ValueError where it is not JSON. An empty body is None."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `body` is sent as JSON unless it is bytes; `cut` closes the connection without sending anything."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False

    def encoded(self) -> bytes:
        """The body as it goes over the wire."""
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body, ensure_ascii=False).encode()


class Service(Protocol):
    """What `serve` needs: one method that answers one request."""

    def handle(self, request: Request) -> Answer: ...


@dataclass(slots=True)
class Fault:
    """A fault for matching requests: answer `status` with `body`, or cut the connection, or only delay.

    `when` says whether the request still takes effect: "before" (it does not) or "after" (it does, and the true
    answer is thrown away). `skip` matching requests pass first, then `times` of them are hit (-1: for ever).
    `contains` is looked for in the body.
    """

    method: str = "*"
    path: str = ""
    contains: str = ""
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    when: str = "before"
    delay_seconds: float = 0.0
    times: int = 1
    skip: int = 0

    def matches(self, request: Request) -> bool:
        """Whether this fault is for `request`: method, a part of the path, and a part of the body."""
        return (
            self.times != 0
            and self.method in ("*", request.method)
            and self.path in request.path
            and (not self.contains or self.contains in request.body.decode(errors="replace"))
        )


@dataclass(slots=True)
class Logged:
    """One line of the request log; `status` 0 means that the connection was cut."""

    at: float
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: str
    status: int


class Faulty:
    """Wraps a service with a fault list and a request log. Both may be read and set by tests at any time."""

    LOG_LENGTH = 50_000

    def __init__(
        self,
        service: Service,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service = service
        self.faults: list[Fault] = []
        self.log: deque[Logged] = deque(maxlen=self.LOG_LENGTH)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()

    def _take(self, request: Request) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if not fault.matches(request):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.times > 0:
                    fault.times -= 1
                return fault
        return None

    def handle(self, request: Request) -> Answer:
        """Answers a request through the faults that are set, and logs it."""
        fault = self._take(request)
        if fault and fault.delay_seconds:
            self._sleep(fault.delay_seconds)
        replaces = fault is not None and (fault.cut or fault.status is not None)
        if fault is None or not replaces:
            answer = self.service.handle(request)
        else:
            if fault.when == "after":
                self.service.handle(request)
            answer = Answer(fault.status or 0, fault.body, fault.headers, cut=fault.cut)
        self.log.append(
            Logged(
                self._clock(),
                request.method,
                request.path,
                request.query,
                request.body.decode(errors="replace"),
                0 if answer.cut else answer.status,
            )
        )
        return answer


class PortUnusable(Exception):
    """A port is in use, or is not for this user; the text is a sentence for people."""


class Served:
    """A running server; `url` is its address. Use as a context manager or call `close`."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="sandbox-http", daemon=True)
        self._thread.start()
        self.port = int(server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stops accepting and closes the listening socket."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(service: Service, *, port: int = 0, clock: Callable[[], float] = time.time) -> Served:
    """Serves `service` over HTTP/1.1 on 127.0.0.1 (`port` 0: any free one) in threads of its own.

    `clock` gives the `Date` header, so that a server whose clock is off can be played. Raises `PortUnusable`.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 1 << 16

        def _run(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length) if length else b""
            if len(body) < length:
                self.close_connection = True  # the client died in mid-request: it is no request
                return
            request = Request(
                self.command,
                unquote(parts.path),
                tuple(parse_qsl(parts.query, keep_blank_values=True)),
                {name.lower(): value for name, value in self.headers.items()},
                body,
            )
            answer = service.handle(request)
            if answer.cut:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            payload = answer.encoded()
            self.send_response_only(answer.status)
            self.send_header("Date", formatdate(clock(), usegmt=True))
            if "content-type" not in {name.lower() for name in answer.headers}:
                self.send_header("Content-Type", "application/json; charset=utf-8")
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)
            self.wfile.flush()

        def _safely(self) -> None:
            try:
                self._run()
            except (ConnectionError, TimeoutError, OSError):
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _safely

        def log_message(self, format: str, *args: Any) -> None:
            """Silent: the request log is `Faulty.log`."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256
        allow_reuse_address = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away is no error of the sandbox."""

    try:
        return Served(Server(("127.0.0.1", port), Handler))
    except OSError as error:
        raise PortUnusable(f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}. Choose another.") from None
