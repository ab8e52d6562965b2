"""Lets pyairtable's `requests.Session` run through `Http`: deadline, rate limit, clock and call count hold for it, too.

Imports requests, which is slow: import this module only where an Airtable pair is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from syncd.http import Http, NotJson, Reply, Retry

# httpx sets its own: which encodings it can decode, whether it keeps the connection, who it is.
_OWN_HEADERS: Final = frozenset({"accept-encoding", "connection", "content-length", "host", "user-agent"})


class StrictResponse(requests.Response):
    """A response whose JSON is read as `Reply` reads it: requests' own guesses the encoding and mends what is broken,
    which would pass for what somebody typed."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply

    def json(self, **_options: Any) -> Any:
        """The content as JSON; raises requests' own error where it is none."""
        try:
            return self._reply.json()
        except NotJson as error:
            raise requests.exceptions.JSONDecodeError(str(error), "", 0) from error


class RequestsAdapter(BaseAdapter):
    """Mount it on a session for the address of `http`: `session.mount(http.base_url, RequestsAdapter(http))`."""

    def __init__(self, http: Http) -> None:
        super().__init__()
        self._http = http

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Sends it through `Http` and raises its `HttpError`s as they are; time limits and TLS are left to `Http`."""
        url = request.url or ""
        reply = self._http.request(
            request.method or "GET",
            url,
            content=request.body,
            headers={name: _text(value) for name, value in request.headers.items() if name.lower() not in _OWN_HEADERS},
            retry=policy(request.method or "GET", url),
        )
        response = StrictResponse(reply)
        response.status_code = reply.status
        response.headers = CaseInsensitiveDict(reply.headers)
        response.encoding = "utf-8"  # JSON has no other; what a header says of it is not believed
        response.url = url
        response.request = request
        response.raw = BytesIO(reply.content)
        return response

    def close(self) -> None:
        """Nothing: the `Http` belongs to who made it."""


def policy(method: str, url: str) -> Retry:
    """GET and POST …/listRecords are reads (the listing with a long formula); everything else writes."""
    listing = method.upper() == "POST" and urlsplit(url).path.rstrip("/").endswith("/listRecords")
    return Retry.READ if listing or method.upper() in ("GET", "HEAD") else Retry.WRITE


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
