"""A local Airtable: one base behind the Web API, as awkward as reference/airtable.md says the real one is.

`Airtable` is a service for `wire.serve`, and may as well be called directly. People's edits come in through the
methods of `airtable_people.People`, or through `control` under `/_sandbox/`. A table whose name holds a slash is
reached by its id only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from .airtable_model import ALL_SCOPES, Refused, Settings, Table, bad_request, forbidden, refusal
from .airtable_people import People
from .airtable_records import Records, flag, listing_of_body, listing_of_query
from .airtable_schema import create_field, create_table, update_field
from .control import not_found
from .wire import Answer, Request

LONGEST_URL: Final = 16_000
_MONTHLY_SECTIONS: Final = ("data", "webhooks")
_RATE_LIMITED: Final = ("RATE_LIMIT_REACHED", "Rate limit exceeded. Please try again later")
_QUOTA_GONE: Final = (
    "PUBLIC_API_BILLING_LIMIT_EXCEEDED",
    "The workspace has used up its API calls of this month",
)


class Airtable(People):
    """One base with its token, limits and quirks; thread-safe. Everything in `settings` may be changed at any time.

    `clock` gives epoch seconds; `seed` decides ids and the arbitrary order of listings. Rates count per base over all
    tokens (reference/airtable.md §1); `rate_per_second` None turns the limit off.
    """

    def __init__(
        self,
        *,
        token: str = "pat-sandbox",
        base_id: str = "appSandbox0000001",
        clock: Callable[[], float] = time.time,
        rate_per_second: int | None = 5,
        penalty_seconds: float = 30.0,
        offset_lifetime_seconds: float = 300.0,
        scopes: frozenset[str] = ALL_SCOPES,
        creator: bool = True,
        seed: int = 0,
        monthly_limit: int | None = None,
    ) -> None:
        settings = Settings(
            token=token,
            rate_per_second=rate_per_second,
            penalty_seconds=penalty_seconds,
            offset_lifetime_seconds=offset_lifetime_seconds,
            monthly_limit=monthly_limit,
            scopes=frozenset(scopes),
            creator=creator,
        )
        super().__init__(base_id=base_id, clock=clock, seed=seed, settings=settings)
        self._records = Records(self)
        self._arrivals: deque[float] = deque()
        self._penalty_until = float("-inf")
        self._month = ("", 0)

    def handle(self, request: Request) -> Answer:
        """Answers one request; automations run after it, before the answer is returned."""
        with self.lock:
            before = len(self.writes)
            try:
                answer = Answer(200, self._answer(request))
            except Refused as refused:
                answer = Answer(refused.status, refused.body)
            if made := self.writes[before:]:
                for automation in self.automations:  # the answer holds what was there before them
                    automation(made)
        return answer

    def expire_offsets(self) -> None:
        """Every listing under way loses its iterator: 422 LIST_RECORDS_ITERATOR_NOT_AVAILABLE at its next page."""
        with self.lock:
            self._records.expire_offsets()

    @property
    def calls_this_month(self) -> int:
        """Calls that counted towards the monthly quota in the current month."""
        with self.lock:
            return self._month[1] if self._month[0] == self._this_month() else 0

    # --- gates ----------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Any:
        parts = [part for part in request.path.split("/") if part]
        if parts[:1] != ["v0"] or len(parts) < 2:
            raise Refused(404, {"error": "NOT_FOUND"})
        if request.headers.get("authorization") != f"Bearer {self.settings.token}":
            raise refusal(401, "AUTHENTICATION_REQUIRED", "Authentication required")
        if len(request.path) + len(urlencode(request.query, quote_via=quote)) + 1 >= LONGEST_URL:
            raise refusal(414, "URI_TOO_LONG", "The URL is too long: use POST and listRecords")
        if parts[1] == "meta":
            return self._meta(request, parts[2:])
        if parts[1] == "bases":
            return self._hooks(request, parts[2:])
        return self._data(request, parts[1:])

    def _enter(self, base_id: str, scope: str, *, counted: bool) -> None:
        """What every call to a base must pass: the base, the rate, the month's quota, the token's scope."""
        if base_id != self.base_id:
            raise forbidden()
        self._check_rate()
        if counted:
            self._check_quota()
        self._need(scope)

    def _check_rate(self) -> None:
        limit, now = self.settings.rate_per_second, self.clock()
        if limit is None:
            return
        if now < self._penalty_until:
            raise self._too_many(*_RATE_LIMITED)
        while self._arrivals and self._arrivals[0] <= now - 1.0:
            self._arrivals.popleft()
        if len(self._arrivals) >= limit:
            self._penalty_until = now + self.settings.penalty_seconds
            raise self._too_many(*_RATE_LIMITED)
        self._arrivals.append(now)

    def _check_quota(self) -> None:
        used = self.calls_this_month
        if self.settings.monthly_limit is not None and used >= self.settings.monthly_limit:
            raise self._too_many(*_QUOTA_GONE)
        self._month = (self._this_month(), used + 1)

    def _this_month(self) -> str:
        return f"{datetime.fromtimestamp(self.clock(), UTC):%Y-%m}"

    def _too_many(self, kind: str, message: str) -> Refused:
        if self.settings.rate_429_shape == "errors":
            return Refused(429, {"errors": [{"error": kind, "message": message}]})
        return refusal(429, kind, message)

    def _need(self, scope: str, *, creator: bool = False) -> None:
        if scope not in self.settings.scopes or (creator and not self.settings.creator):
            raise refusal(403, "INVALID_PERMISSIONS", "You are not permitted to perform this operation")

    def _table(self, id_or_name: str) -> Table:
        try:
            return self.table(id_or_name)
        except KeyError:
            if self.settings.missing_table_shape == "table_not_found":
                message = f"Could not find table {id_or_name} in application {self.base_id}"
                raise refusal(404, "TABLE_NOT_FOUND", message) from None
            raise forbidden() from None

    # --- metadata -------------------------------------------------------------------------------------------------

    def _meta(self, request: Request, parts: list[str]) -> Any:
        match request.method, parts:
            case "GET", ["whoami"]:
                return {"id": "usrSandbox0000001"}
            case "GET", ["bases"]:
                self._need("schema.bases:read")
                level = "create" if self.settings.creator else "edit"
                return {"bases": [{"id": self.base_id, "name": "Sandbox", "permissionLevel": level}]}
            case "GET", ["bases", base_id, "tables"]:
                self._enter(base_id, "schema.bases:read", counted=False)
                visible = "visibleFieldIds" in [*request.all("include"), *request.all("include[]")]
                return {"tables": [table.schema(visible_fields=visible) for table in self.tables.values()]}
            case (("POST" | "PATCH"), ["bases", base_id, "tables", *rest]):
                self._enter(base_id, "schema.bases:write", counted=False)
                self._need("schema.bases:write", creator=True)
                return self._change_schema(request.method, rest, _body(request))
        raise Refused(404, {"error": "NOT_FOUND"})

    def _change_schema(self, method: str, parts: list[str], body: Any) -> Any:
        match method, parts:
            case "POST", []:
                return create_table(self, body)
            case "POST", [table, "fields"]:
                return create_field(self, self._table(table), body)
            case "PATCH", [table, "fields", field_id]:
                found = self._table(table)
                if field_id not in found.fields:
                    raise forbidden()
                return update_field(self, found, found.fields[field_id], body)
        raise Refused(404, {"error": "NOT_FOUND"})

    # --- webhooks -------------------------------------------------------------------------------------------------

    def _hooks(self, request: Request, parts: list[str]) -> Any:
        if len(parts) < 2 or parts[1] != "webhooks":
            raise Refused(404, {"error": "NOT_FOUND"})
        self._enter(parts[0], "webhook:manage", counted=True)
        match request.method, parts[2:]:
            case "GET", []:
                return self.webhooks.all()
            case "POST", []:
                self._need("webhook:manage", creator=True)
                self._need("data.records:read")
                return self.webhooks.create(_body(request), self.tables)
            case "DELETE", [hook_id]:
                return self.webhooks.delete(hook_id)
            case "POST", [hook_id, "refresh"]:
                return self.webhooks.refresh(hook_id)
            case "POST", [hook_id, "enableNotifications"]:
                return self.webhooks.notify(hook_id, _body(request))
            case "GET", [hook_id, "payloads"]:
                cursor, limit = (
                    _whole(request.first(name), default) for name, default in (("cursor", 1), ("limit", 50))
                )
                return self.webhooks.payloads(hook_id, cursor, limit)
        raise Refused(404, {"error": "NOT_FOUND"})

    # --- records --------------------------------------------------------------------------------------------------

    def _data(self, request: Request, parts: list[str]) -> Any:
        if len(parts) not in (2, 3):
            raise Refused(404, {"error": "NOT_FOUND"})
        reads = request.method == "GET" or parts[2:] == ["listRecords"]
        self._enter(parts[0], "data.records:read" if reads else "data.records:write", counted=True)
        table = self._table(parts[1])
        if len(parts) == 2:
            return self._many(request, table)
        if parts[2] == "listRecords" and request.method == "POST":
            return self._records.page(table, listing_of_body(_body(request)))
        return self._one(request, table, parts[2])

    def _many(self, request: Request, table: Table) -> Any:
        match request.method:
            case "GET":
                return self._records.page(table, listing_of_query(request))
            case "POST":
                return self._records.create(table, _body(request))
            case "PATCH" | "PUT":
                return self._records.update(table, _body(request), replace=request.method == "PUT")
            case "DELETE":
                return self._records.delete(table, [*request.all("records[]"), *request.all("records")])
        raise Refused(404, {"error": "NOT_FOUND"})

    def _one(self, request: Request, table: Table, rec_id: str) -> Any:
        match request.method:
            case "GET":
                if any(name.startswith("fields") for name, _ in request.query):
                    raise bad_request()  # a list parameter only (reference/airtable.md §2)
                return self._records.get(table, rec_id, by_id=flag(request.first("returnFieldsByFieldId")))
            case "PATCH" | "PUT":
                replace = request.method == "PUT"
                return self._records.update_one(table, rec_id, _body(request), replace=replace)
            case "DELETE":
                return self._records.delete_one(table, rec_id)
        raise Refused(404, {"error": "NOT_FOUND"})

    # --- /_sandbox/ -----------------------------------------------------------------------------------------------

    def control(self, method: str, path_parts: tuple[str, ...], body: Any) -> Answer:
        """Answers `/_sandbox/<path_parts>`: people's edits and knobs, for tests and `syncd demo`.

        A row's body is `{"fields": {column: value}}`, a new name's `{"name": ...}`, that of settings
        `{setting: value}`. LookupError where a name is unknown.
        """
        with self.lock:
            try:
                return self._controlled(method, list(path_parts), body)
            except Refused as refused:
                return Answer(refused.status, refused.body)

    def _controlled(self, method: str, parts: list[str], body: Any) -> Answer:
        match method, parts:
            case "GET", ["records", table]:
                return Answer(200, {"records": self.rows(table)})
            case "POST", ["records", table]:
                return Answer(200, {"id": self.person_add(table, body["fields"])})
            case "GET", ["records", table, rec_id]:
                return Answer(200, {"id": rec_id, "fields": self.row(table, rec_id)})
            case "PATCH", ["records", table, rec_id]:
                self.person_edit(table, rec_id, body["fields"])
                return Answer(200, {"id": rec_id, "fields": self.row(table, rec_id)})
            case "DELETE", ["records", table, rec_id]:
                self.person_delete(table, rec_id)
            case "POST", ["records", table, rec_id, "copy"]:
                return Answer(200, {"id": self.person_copy_row(table, rec_id)})
            case "POST", ["records", table, rec_id, "restore"]:
                self.person_restore(table, rec_id)
            case "PUT", ["fields", table, name]:
                self.rename_field(table, name, body["name"])
            case "DELETE", ["fields", table, name]:
                self.delete_field(table, name)
            case "PUT", ["options", table, name, option]:
                self.rename_option(table, name, option, body["name"])
            case _:
                return self._controlled_server(method, parts, body)
        return Answer(200, {})

    def _controlled_server(self, method: str, parts: list[str], body: Any) -> Answer:
        match method, parts:
            case "PUT", ["settings"]:
                self.set(**body)
            case "POST", ["expire-offsets"]:
                self.expire_offsets()
            case "GET", ["writes"]:
                return Answer(200, {"writes": [asdict(write) for write in self.writes]})
            case "DELETE", ["writes"]:
                self.writes.clear()
            case _:
                return not_found(tuple(parts))
        return Answer(200, {})

    def set(self, **values: Any) -> None:
        """Changes settings by name. LookupError where one is unknown."""
        known = {one.name: one for one in fields(Settings)}
        if unknown := set(values) - set(known):
            raise LookupError(f"no such setting: {', '.join(sorted(unknown))}")
        with self.lock:
            for name, value in values.items():
                setattr(self.settings, name, frozenset(value) if isinstance(value, list) else value)


def _body(request: Request) -> Any:
    try:
        return request.json()
    except ValueError:
        raise refusal(400, "INVALID_REQUEST_BODY", "Could not parse request body") from None


def _whole(value: str | None, default: int) -> int:
    if value is None:
        return default
    if not value.isdecimal():
        raise bad_request()
    return int(value)
