"""A local Google: the Sheets API v4, Drive's files.get, and the token endpoint for service accounts, at one address.

`GoogleSheets` is a service for `wire.serve`. People's edits come in through the methods of `sheets_people.People`, or
through `control` under `/_sandbox/`. Quotas, lags and refusals are `settings`.
"""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from . import sheets_structure, sheets_values
from .sheets_book import Book, masked, mentions
from .sheets_grid import Refused, invalid
from .sheets_people import People
from .wire import Answer, Request

SHEETS: Final = "https://www.googleapis.com/auth/spreadsheets"
SHEETS_READONLY: Final = "https://www.googleapis.com/auth/spreadsheets.readonly"
DRIVE: Final = "https://www.googleapis.com/auth/drive"
_DRIVE_SCOPES: Final = frozenset({DRIVE, *(f"{DRIVE}.{one}" for one in ("readonly", "file", "metadata",
                                                                        "metadata.readonly"))})  # fmt: skip
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_PROJECT: Final = "123456789012"
LONGEST_URL: Final = 16_000


@dataclass(slots=True)
class Settings:
    """What may be changed while the server runs. Times are in seconds; a quota of None is no limit.

    `retry_after` is sent with a 429 (Google sends none). `drive_lag`: how late Drive shows a new version. `enabled`:
    the APIs that the project has switched on. `skew`: how far a client's clock may be off.
    """

    reads_per_minute: int | None = 60
    writes_per_minute: int | None = 60
    retry_after: int | None = None
    token_seconds: int = 3600
    drive_lag: float = 0.0
    drive_per_minute: int | None = None
    enabled: frozenset[str] = frozenset({"sheets", "drive"})
    key_revoked: bool = False
    account_deleted: bool = False
    skew: float = 300.0


class GoogleSheets(People):
    """Spreadsheets behind Google's API, with one service account. `clock` gives epoch seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.time, email: str = "syncd@sandbox.iam.gserviceaccount.com"):
        super().__init__(clock)
        self.settings = Settings()
        self.url = ""  # where it is served, for its key file
        self.email = email
        self._tokens: dict[str, tuple[float, frozenset[str]]] = {}
        self._arrivals: dict[str, deque[float]] = {}

    # --- the service account ------------------------------------------------------------------------------------------

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65_537, key_size=2048)

    def credentials(self, url: str = "") -> str:
        """The service account's key file, as JSON; `url` is where this service is served, else `self.url`."""
        key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        found = {
            "type": "service_account",
            "project_id": "sandbox",
            "private_key_id": f"{self._key.private_numbers().d:x}"[-40:],
            "private_key": key.decode(),
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "token_uri": f"{url or self.url}/token",
        }
        return json.dumps(found, indent=2)

    def revoke_tokens(self) -> None:
        """No token that was given out is good any more."""
        with self.lock:
            self._tokens.clear()

    def _grant(self, request: Request) -> Answer:
        form = dict(parse_qsl(request.body.decode(errors="replace")))
        if request.method != "POST" or form.get("grant_type") != _GRANT:
            return _oauth("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
        try:
            head, payload, signature = form["assertion"].split(".")
            header, claims = (json.loads(_decoded(part)) for part in (head, payload))
            sealed = _decoded(signature)
            issued, ends = float(claims["iat"]), float(claims["exp"])
        except (KeyError, ValueError, TypeError):
            return _oauth("invalid_request", "Bad Request")
        if claims.get("iss") != self.email or self.settings.account_deleted:
            return _oauth("invalid_grant", "Invalid grant: account not found")
        try:
            signed = f"{head}.{payload}".encode()
            self._key.public_key().verify(sealed, signed, padding.PKCS1v15(), hashes.SHA256())
            genuine = header.get("alg") == "RS256" and not self.settings.key_revoked
        except InvalidSignature:
            genuine = False
        if not genuine:
            return _oauth("invalid_grant", "Invalid JWT Signature.")
        host = f"http://{request.headers.get('host', '')}{request.path}"
        if claims.get("aud") not in (host, "https://oauth2.googleapis.com/token"):
            return _oauth("invalid_grant", "Invalid JWT: Failed audience check.")
        now, skew = self.clock(), self.settings.skew
        if not (issued - skew <= now <= ends + skew and 0 < ends - issued <= 3600):
            return _oauth(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your "
                "iat and exp values in the JWT claim.",
            )
        if not str(claims.get("scope", "")).strip():
            return _oauth("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        token = f"ya29.sandbox-{len(self._tokens):04}-{int(now)}"
        self._tokens[token] = (now + self.settings.token_seconds, frozenset(claims["scope"].split()))
        return Answer(200, {"access_token": token, "expires_in": self.settings.token_seconds, "token_type": "Bearer"})

    # --- requests -----------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Answer:
        """Answers one request."""
        with self.lock:
            if request.path == "/token":
                return self._grant(request)
            try:
                return Answer(200, self._answer(_overridden(request)))
            except (AttributeError, KeyError, TypeError, ValueError):  # a body of another form than the API's
                return Answer(400, invalid("Invalid JSON payload received.").body)
            except Refused as refused:
                rest = self.settings.retry_after
                headers = {"Retry-After": str(rest)} if refused.code == 429 and rest is not None else {}
                return Answer(refused.code, refused.body, headers)

    def _answer(self, request: Request) -> Any:
        if len(request.path) + sum(len(name) + len(value) + 2 for name, value in request.query) > LONGEST_URL:
            raise Refused(414, "", "The requested URL is too large to process.")
        try:
            body = request.json()
        except ValueError:
            raise invalid("Invalid JSON payload received. Unexpected token.") from None
        if request.path.startswith("/drive/v3/files/"):
            return self._drive(request, request.path.removeprefix("/drive/v3/files/"))
        if not request.path.startswith("/v4/spreadsheets/"):
            raise Refused(404, "NOT_FOUND", "The requested URL was not found on this server.")
        book_id, _, rest = request.path.removeprefix("/v4/spreadsheets/").partition("/")
        book_id, _, verb = book_id.partition(":")
        answer = self._sheets(request, book_id, verb, rest, body)
        return masked(answer, request.first("fields"))

    def _sheets(self, request: Request, book_id: str, verb: str, rest: str, body: Any) -> Any:
        reads = request.method == "GET" or verb == "getByDataFilter"
        scopes = self._scopes(request)
        if "sheets" not in self.settings.enabled:
            raise _disabled("Google Sheets API", "sheets.googleapis.com")
        if not scopes & ({SHEETS, DRIVE, SHEETS_READONLY, f"{DRIVE}.readonly"} if reads else {SHEETS, DRIVE}):
            raise _scope_missing("Google.Apps.Sheets", "sheets.googleapis.com")
        self._count("Read" if reads else "Write", *self._limit(reads))
        book = self._book(book_id, writing=not reads)
        mask = request.first("fields")
        match request.method, verb, rest:
            case "GET", "", "":
                wanted = (request.first("includeGridData") or "").lower() == "true"
                grid = mentions(mask, "sheets", "data") if mask else wanted
                return sheets_structure.shown(book, request.all("ranges"), grid)
            case "POST", "batchUpdate", "":
                return sheets_structure.batch_update(book, body, self.email, mask)
            case "GET", "", "values:batchGet":
                return self._batch_get(book, request)
            case "POST", "", "values:batchUpdate":
                return sheets_values.batch_update(book, body, self.email)
            case "POST", "", "values:batchClear":
                cleared = sheets_values.clear(book, (body or {}).get("ranges", []), self.email)
                return {"spreadsheetId": book.id, "clearedRanges": cleared}
        if rest.startswith("values/"):
            return self._values(request, book, rest.removeprefix("values/"), body)
        raise Refused(404, "NOT_FOUND", "The requested URL was not found on this server.")

    def _limit(self, reads: bool) -> tuple[int | None, str]:
        return (self.settings.reads_per_minute if reads else self.settings.writes_per_minute), "sheets.googleapis.com"

    def _batch_get(self, book: Book, request: Request) -> Any:
        how = [request.first(name) for name in ("valueRenderOption", "dateTimeRenderOption", "majorDimension")]
        found = [sheets_values.read(book, text, *how) for text in request.all("ranges")]
        return {"spreadsheetId": book.id, **({"valueRanges": found} if found else {})}

    def _values(self, request: Request, book: Book, what: str, body: Any) -> Any:
        option = request.first("valueInputOption")
        match request.method:
            case "GET":
                how = [request.first(name) for name in ("valueRenderOption", "dateTimeRenderOption", "majorDimension")]
                return sheets_values.read(book, what, *how)
            case "PUT":
                if (body or {}).get("range", what) != what:
                    raise invalid(f"Requested writing within range [{what}], but the body names another range")
                data = {**(body or {}), "range": what}
                with book.change():
                    part, rows = sheets_values.planned(book, data, option, self.email)
                    answer = {"spreadsheetId": book.id, **sheets_values.put(part, rows, str(option))}
                    if request.first("includeValuesInResponse") == "true":
                        how = [request.first(f"response{one}RenderOption") for one in ("Value", "DateTime")]
                        answer["updatedData"] = sheets_values.shown_after(part, *how)
                return answer
            case "POST" if what.endswith(":append"):
                insert = request.first("insertDataOption")
                return sheets_values.append(book, what.removesuffix(":append"), body, option, insert, self.email)
            case "POST" if what.endswith(":clear"):
                cleared = sheets_values.clear(book, [what.removesuffix(":clear")], self.email)
                return {"spreadsheetId": book.id, "clearedRange": cleared[0]}
        raise Refused(404, "NOT_FOUND", "The requested URL was not found on this server.")

    # --- gates --------------------------------------------------------------------------------------------------------

    def _scopes(self, request: Request) -> frozenset[str]:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        ends, scopes = self._tokens.get(token, (0.0, frozenset[str]()))
        if kind != "Bearer" or ends <= self.clock():
            raise Refused(
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
                "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
            )
        return scopes

    def _count(self, what: str, limit: int | None, service: str) -> None:
        arrivals, now = self._arrivals.setdefault(f"{what} {service}", deque()), self.clock()
        while arrivals and arrivals[0] <= now - 60.0:
            arrivals.popleft()
        if limit is not None and len(arrivals) >= limit:
            raise Refused(
                429,
                "RESOURCE_EXHAUSTED",
                f"Quota exceeded for quota metric '{what} requests' and limit '{what} requests per minute per user' of "
                f"service '{service}' for consumer 'project_number:{_PROJECT}'.",
                [_info("RATE_LIMIT_EXCEEDED", service, quota_limit=f"{what}RequestsPerMinutePerUser")],
            )
        arrivals.append(now)

    def _book(self, book_id: str, *, writing: bool) -> Book:
        book = self.books.get(book_id)
        if book is None:
            raise Refused(404, "NOT_FOUND", "Requested entity was not found.")
        role = book.roles.get(self.email)
        if role is None or (writing and role != "writer"):
            raise Refused(403, "PERMISSION_DENIED", "The caller does not have permission")
        if book.office:
            raise Refused(400, "FAILED_PRECONDITION", "This operation is not supported for this document")
        return book

    def _drive(self, request: Request, file_id: str) -> Any:
        scopes = self._scopes(request)
        if "drive" not in self.settings.enabled:
            raise _disabled("Google Drive API", "drive.googleapis.com")
        if not scopes & _DRIVE_SCOPES:
            raise _scope_missing("google.apps.drive.v3.DriveFiles.Get", "drive.googleapis.com")
        self._count("Queries", self.settings.drive_per_minute, "drive.googleapis.com")
        book = self.books.get(file_id)
        if request.method != "GET" or book is None or self.email not in book.roles:
            raise Refused(404, "notFound", f"File not found: {file_id}.")
        at, version = book.seen_version(self.settings.drive_lag)
        changed = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        kind = "application/vnd.google-apps.spreadsheet"
        found = {"kind": "drive#file", "id": book.id, "name": book.title, "mimeType": kind}
        more = {**found, "version": str(version), "modifiedTime": changed}
        mask = request.first("fields")
        return masked(more, mask) if mask else found

    # --- /_sandbox/ ---------------------------------------------------------------------------------------------------

    def _controlled(self, method: str, parts: list[str], body: Any) -> Answer:
        match method, parts:
            case "PUT", ["settings"]:
                self.set(**body)
            case "GET", ["credentials"]:
                return Answer(200, json.loads(self.credentials()))
            case "POST", ["revoke-tokens"]:
                self.revoke_tokens()
            case _:
                return super()._controlled(method, parts, body)
        return Answer(200, {})

    def set(self, **values: Any) -> None:
        """Changes settings by name. LookupError where one is unknown."""
        if unknown := set(values) - {one.name for one in fields(Settings)}:
            raise LookupError(f"no such setting: {', '.join(sorted(unknown))}")
        with self.lock:
            for name, value in values.items():
                setattr(self.settings, name, frozenset(value) if isinstance(value, list) else value)


def _overridden(request: Request) -> Request:
    """A GET whose address was too long for its client comes as a POST with the query in its body."""
    if request.headers.get("x-http-method-override") != "GET":
        return request
    query = tuple(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
    return Request("GET", request.path, (*request.query, *query), request.headers)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _oauth(error: str, description: str) -> Answer:
    return Answer(400, {"error": error, "error_description": description})


def _info(reason: str, service: str, **metadata: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": service, "consumer": f"projects/{_PROJECT}", **metadata},
    }


def _disabled(name: str, service: str) -> Refused:
    where = f"https://console.developers.google.com/apis/api/{service}/overview?project={_PROJECT}"
    return Refused(
        403,
        "PERMISSION_DENIED",
        f"{name} has not been used in project {_PROJECT} before or it is disabled. Enable it by visiting {where} then "
        "retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and "
        "retry.",
        [_info("SERVICE_DISABLED", service, activationUrl=where)],
    )


def _scope_missing(method: str, service: str) -> Refused:
    return Refused(
        403,
        "PERMISSION_DENIED",
        "Request had insufficient authentication scopes.",
        [_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT", service, method=method)],
    )
