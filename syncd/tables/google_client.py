"""Requests to Google Sheets and Drive for one spreadsheet: token, quotas, what a refusal and a lost answer become.

Every pair with the same service account shares one bucket of reads and one of writes: Google counts 60 of each a minute
for a user, and a service account is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Final
from urllib.parse import quote, urlencode

from syncd.http import Bucket, Http, HttpError, NoAnswer, NotJson, NotNow, Reply, Retry, shared_bucket
from syncd.sides import Misconfigured, SideDown
from syncd.tables.google_auth import ServiceAccount
from syncd.tables.google_errors import Backoff, Refusal, parsed
from syncd.tables.grid import GridLater, GridLost

SHEETS_URL: Final = "https://sheets.googleapis.com"
DRIVE_URL: Final = "https://www.googleapis.com"
QUOTA: Final = 60  # requests in the window, for reads and for writes; a second more leaves room for jitter
QUOTA_SECONDS: Final = 61.0
DRIVE_QUOTA: Final = 600  # far below what Drive allows a user in a minute
DRIVE_AGAIN_SECONDS: Final = 3600.0  # before Drive is asked again after it refused
_FROM_ADDRESS = re.compile(r"/d/([\w-]{20,})")


class _NotNow(Exception):
    """Drive says 429: its question can wait."""


def _no_rest(_reply: Reply) -> float:
    raise _NotNow


class GoogleClient:
    """One spreadsheet. One thread at a time; nothing is sent before the first verb. Raises `Misconfigured` for
    credentials or addresses that cannot be used."""

    def __init__(
        self,
        *,
        spreadsheet_id: str,
        credentials: str,
        base_url: str = SHEETS_URL,
        drive_url: str = "",
        traced: bool = False,
        **http: Any,
    ) -> None:
        """`spreadsheet_id` may be the address that a browser shows. `drive_url` left out: Google's own beside Google's
        own, else `base_url`. `traced` shares the buckets with other processes, too. `http` is passed on to `Http`
        (clock, stop, sleep, on_sent)."""
        found = _FROM_ADDRESS.search(spreadsheet_id)
        self.spreadsheet_id = found[1] if found else spreadsheet_id.strip()
        if not re.fullmatch(r"[\w-]+", self.spreadsheet_id):
            raise Misconfigured("spreadsheet_id is the part of the spreadsheet's address between /d/ and /edit.")
        self.account = ServiceAccount(credentials, **http)
        self._traced = traced
        self._path = f"/v4/spreadsheets/{quote(self.spreadsheet_id)}"
        self._backoff = Backoff()
        place = drive_url or (DRIVE_URL if base_url.rstrip("/") == SHEETS_URL else base_url)

        def opened(url: str, name: str, bucket: Bucket, on_429: Callable[[Reply], float]) -> Http:
            return Http(url, headers={}, bucket=bucket, name=name, on_429=on_429, **http)

        try:
            self._reads = opened(base_url, "Google Sheets", self._bucket("reads", base_url, QUOTA), self._backoff)
            self._writes = opened(base_url, "Google Sheets", self._bucket("writes", base_url, QUOTA), self._backoff)
            self._drive = opened(place, "Google Drive", self._bucket("drive", place, DRIVE_QUOTA), _no_rest)
        except ValueError as error:
            raise Misconfigured(f"The configuration of Google Sheets cannot be used: {error}") from error
        self._drive_refused_until = 0.0

    def _bucket(self, kind: str, url: str, count: int) -> Bucket:
        return shared_bucket(("google", kind, url, self.account.email), count, QUOTA_SECONDS, traced=self._traced)

    @property
    def buckets(self) -> tuple[Bucket, Bucket]:
        """Of reads and of writes."""
        return self._reads.bucket, self._writes.bucket

    @property
    def calls(self) -> int:
        """Requests sent to any of Google's hosts, retries counted."""
        return sum(http.calls for http in (self._reads, self._writes, self._drive, self.account.http))

    @property
    def clock_offset(self) -> float:
        """Seconds to add to Google's time to get our own clock."""
        return self._reads.clock_offset.offset

    def now(self) -> float:
        """Our own clock."""
        return self._reads.now()

    def get(self, what: str, query: Sequence[tuple[str, str]]) -> Any:
        """A read: the answer's JSON. Raises `Refusal`, and `SideDown` where no answer could be had."""
        asked = f"{self._path}{what}?{urlencode([*query, ('prettyPrint', 'false')])}"
        try:
            return self._sent(self._reads, "GET", asked, Retry.READ).json()
        except HttpError as error:
            raise SideDown(str(error)) from error

    def ready(self) -> None:
        """Waits until a write could go out at once."""
        try:
            self._writes.make_way(1)
        except HttpError as error:
            raise SideDown(str(error)) from error

    def batch_update(self, body: dict[str, Any], mask: str, *, at_once: bool = False) -> Any:
        """spreadsheets:batchUpdate: all of its requests or none. Raises `Refusal`, `SideDown` where nothing was sent or
        done, `GridLost` where it may have been, and where it had to go out `at_once` and could not, `GridLater`."""
        asked = f"{self._path}:batchUpdate?{urlencode({'fields': mask, 'prettyPrint': 'false'})}"
        try:
            with self._writes.once() if at_once else nullcontext():
                return self._sent(self._writes, "POST", asked, Retry.WRITE, body).json()
        except NotNow as error:
            raise GridLater(f"{error} The next pass looks at the rows again.") from error
        except (NoAnswer, NotJson) as error:
            raise GridLost(str(error)) from error
        except HttpError as error:
            raise SideDown(str(error)) from error

    def drive_version(self) -> str:
        """What Drive calls the state that the file is in, "" where it does not tell. Never raises `HttpError`s: this
        question only saves others."""
        if self.now() < self._drive_refused_until:
            return ""
        query = urlencode({"fields": "version,modifiedTime", "supportsAllDrives": "true"})
        try:
            # Not repeated as reads are: reading the sheet is the other way to know, and it has repeats of its own.
            path = f"/drive/v3/files/{self.spreadsheet_id}?{query}"
            found = self._sent(self._drive, "GET", path, Retry.WRITE).json()
        except Refusal as refusal:
            # The API is switched off, the scope is missing, …: it will be so for a while.
            self._drive_refused_until = self.now() + DRIVE_AGAIN_SECONDS if refusal.status != 401 else 0.0
            return ""
        except (HttpError, _NotNow):
            return ""
        version, changed = (
            found.get(name) if isinstance(found, dict) else None for name in ("version", "modifiedTime")
        )
        return f"{version} {changed}" if isinstance(version, str) and isinstance(changed, str) else ""

    def _sent(self, http: Http, method: str, path: str, retry: Retry, body: object = None) -> Reply:
        """The answer below 400; a token that is refused is replaced once, since nothing was done. Raises `Refusal`."""
        for last in (False, True):
            token = self.account.token()
            headers = {"Authorization": f"Bearer {token}"}
            reply = http.request(method, path, retry=retry, json=body, headers=headers)
            self._backoff.over()
            if reply.status == 401:
                self.account.forget(token)
            if reply.status < 400:
                break
            if reply.status != 401 or last:
                raise parsed(reply.status, _json_or_none(reply), reply.text())
        return reply

    def close(self) -> None:
        """Closes the connections."""
        for http in (self._reads, self._writes, self._drive):
            http.close()
        self.account.close()


def _json_or_none(reply: Reply) -> Any:
    try:
        return reply.json()
    except NotJson:
        return None
