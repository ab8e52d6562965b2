"""A local HighLevel of one location: the paths that syncd needs, as awkward as the real ones (reference/ghl.md §14).

`HighLevel(make_location(1)).handle(request)` answers one request; `wire.serve` puts it on a socket. What people do in
HighLevel's own pages are the methods of `People`; how it behaves where the real service varies is `Settings`, whose
fields are attributes of the server and may be set at any time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .data import LocationData, Record
from .highlevel_deals import READ, Deals
from .highlevel_directory import Directory
from .highlevel_dto import Call, Endpoint, Refused
from .highlevel_people import People
from .highlevel_search import Search
from .highlevel_store import ALL_SCOPES, Settings, Store, Trigger
from .wire import Answer, Request

__all__ = ["ALL_SCOPES", "Automation", "HighLevel", "Settings", "Trigger"]

Automation: TypeAlias = Callable[["HighLevel", str, dict[str, Any]], None]

VERSIONS = frozenset({"2021-04-15", "2021-07-28", "2023-02-21", "legacy", "v3"})  # reference/ghl.md §1
DAY_SECONDS = 86_400


class HighLevel(People):
    """The server. Thread-safe: one lock round every request and every edit.

    `automations` are called after each write of a deal by the API (not its deletion), with the server, the deal's id
    and the fields that the request named: they play the customer's workflows, which may write back with `person_edit`.
    """

    def __init__(
        self,
        data: LocationData,
        *,
        token: str = "pit-sandbox",
        clock: Callable[[], float] = time.time,
        lag_seconds: float = 0.0,
        scopes: frozenset[str] = ALL_SCOPES,
        rate_limit: int = 100,
        rate_window_seconds: float = 10.0,
        daily_limit: int = 200_000,
        allow_duplicates: bool = False,
        contact_owner_coupled: bool = False,
        deal_field_limits: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(
            token=token,
            scopes=frozenset(scopes),
            lag_seconds=lag_seconds,
            rate_limit=rate_limit,
            rate_window_seconds=rate_window_seconds,
            daily_limit=daily_limit,
            allow_duplicates=allow_duplicates,
            contact_owner_coupled=contact_owner_coupled,
            deal_field_limits=dict(deal_field_limits or {}),
        )
        self.automations: list[Automation] = []
        self._clock = clock
        self._lock = threading.RLock()
        self._store = Store(data, clock, self)
        self._meter = _Meter()
        search = Search(self._store)
        self._endpoints = _Endpoints(
            [
                Endpoint("GET", "/opportunities/search", READ, search.get),
                Endpoint("POST", "/opportunities/search", READ, search.post),
                *Deals(self._store, self._run_automations).endpoints(),
                *Directory(self._store).endpoints(),
            ]
        )

    def handle(self, request: Request) -> Answer:
        """Answers one request, with the rate limit's headers."""
        with self._lock:
            if request.headers.get("user-agent", "").startswith("Python-urllib"):
                # Cloudflare, not HighLevel (reference/ghl.md §2.3): no headers of the service, and text.
                return Answer(403, b"error code: 1010", {"Content-Type": "text/plain; charset=UTF-8"})
            now = self._clock()
            allowed = self._meter.count(now, self)
            answer = self._answer(request) if allowed else self._too_many()
            return Answer(answer.status, answer.body, {**self._meter.headers(self), **answer.headers})

    def _answer(self, request: Request) -> Answer:
        try:
            endpoint, call = self._admit(request)
            return endpoint.run(call)
        except Refused as refusal:
            return refusal.answer(self._store.trace_id())

    def _too_many(self) -> Answer:
        """The body of a 429 is undocumented, Retry-After too (reference/ghl.md §5)."""
        headers = {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:g}"}
        return Answer(429, {"statusCode": 429, "message": "Too Many Requests"}, headers)

    def _admit(self, request: Request) -> tuple[Endpoint, Call]:
        """The gate: version, path, token, scope, location, in this order; refusals as in reference/ghl.md §§1, 2.3."""
        version = request.headers.get("version")
        if version is None:
            raise Refused(401, "version header was not found.")
        if version not in VERSIONS:
            raise Refused(401, "version header is invalid")
        endpoint, ids = self._endpoints.find(request, version == "v3")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            raise Refused(401, "Invalid JWT")
        if endpoint.scope not in self.scopes:
            raise Refused(401, "The token is not authorized for this scope.")
        call = Call(request, version == "v3", ids, _body(request))
        self._check_location(call)
        return endpoint, call

    def _check_location(self, call: Call) -> None:
        request = call.request
        named = [call.body.get(name) or request.first(name) for name in ("locationId", "location_id")]
        named.append(request.headers.get("location-id"))  # not needed, but one that does not match is refused (§2.1)
        if request.path.startswith("/locations/"):
            named.append(call.ids[0])
        # What is no text is the validation's to refuse.
        if any(isinstance(name, str) and name not in ("", self.location_id) for name in named):
            raise Refused(403, "The token does not have access to this location.")

    def _run_automations(self, deal_id: str, changes: Record) -> None:
        for automation in list(self.automations):
            automation(self, deal_id, dict(changes))


def _body(request: Request) -> Record:
    try:
        body = request.json()
    except ValueError:
        raise Refused(400, "Unexpected token in JSON") from None
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise Refused(400, "The body must be a JSON object")
    return body


class _Endpoints:
    """Finds the endpoint of a path. Of two that fit, the first listed one counts."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self._split = [(endpoint, endpoint.path.split("/")) for endpoint in endpoints]

    def find(self, request: Request, v3: bool) -> tuple[Endpoint, tuple[str, ...]]:
        """The endpoint and the ids in the path; 404 without a code where there is none under that version (§1)."""
        parts = request.path.split("/")
        for endpoint, pattern in self._split:
            if endpoint.method != request.method or len(pattern) != len(parts) or (endpoint.v3_only and not v3):
                continue
            if all(have == want or (want == "*" and have) for have, want in zip(parts, pattern, strict=True)):
                ids = tuple(have for have, want in zip(parts, pattern, strict=True) if want == "*")
                return endpoint, ids
        raise Refused(404, f"Cannot {request.method} {request.path}")


class _Meter:
    """The two rate limits: a sliding window, and a count per UTC day (reference/ghl.md §5)."""

    def __init__(self) -> None:
        self._window: deque[float] = deque()
        self._day = -1
        self._today = 0

    def count(self, now: float, limits: Settings) -> bool:
        """Counts a request if it is within both limits; what is refused does not count."""
        while self._window and self._window[0] <= now - limits.rate_window_seconds:
            self._window.popleft()
        if int(now // DAY_SECONDS) != self._day:
            self._day, self._today = int(now // DAY_SECONDS), 0
        if len(self._window) >= limits.rate_limit or self._today >= limits.daily_limit:
            return False
        self._window.append(now)
        self._today += 1
        return True

    def headers(self, limits: Settings) -> dict[str, str]:
        """The headers of every answer; there is none that says when a limit is reset."""
        return {
            "X-RateLimit-Limit-Daily": str(limits.daily_limit),
            "X-RateLimit-Daily-Remaining": str(max(0, limits.daily_limit - self._today)),
            "X-RateLimit-Interval-Milliseconds": str(round(limits.rate_window_seconds * 1000)),
            "X-RateLimit-Max": str(limits.rate_limit),
            "X-RateLimit-Remaining": str(max(0, limits.rate_limit - len(self._window))),
        }
