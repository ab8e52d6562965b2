"""Webhooks as a feed to be polled (reference/airtable.md §7). Nobody is ever called: the feed fills all the same."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .airtable_model import Field, Ids, Row, Table, bad_request, iso, refusal
from .airtable_values import shown_in_payload

if TYPE_CHECKING:
    from .airtable_store import Transaction

LIFETIME_SECONDS: Final = 7 * 86_400.0
MOST_HOOKS: Final = 10
MOST_PAYLOADS: Final = 50
_USER: Final = {
    "id": "usrSandbox0000001",
    "email": "person@example.com",
    "name": "Person",
    "permissionLevel": "create",
}
_DATA_TYPES: Final = frozenset({"tableData", "tableFields", "tableMetadata"})


@dataclass(slots=True)
class Hook:
    """One webhook. `payloads` are (cursor, time, payload); cursors count from 1 and never start again."""

    id: str
    specification: dict[str, Any]
    notification_url: str | None
    expires: float
    notifications: bool = True
    valid: bool = True
    next_cursor: int = 1
    payloads: deque[tuple[int, float, dict[str, Any]]] = field(default_factory=deque)

    @property
    def filters(self) -> dict[str, Any]:
        """The specification's filters."""
        return self.specification["options"]["filters"]  # type: ignore[no-any-return]

    @property
    def includes(self) -> dict[str, Any]:
        """What payloads hold besides the changed cells."""
        return self.specification["options"].get("includes") or {}

    def add(self, at: float, payload: dict[str, Any]) -> None:
        """Appends one payload."""
        self.payloads.append((self.next_cursor, at, payload))
        self.next_cursor += 1


class Webhooks:
    """The webhooks of one base."""

    def __init__(self, ids: Ids, clock: Callable[[], float]) -> None:
        self._ids = ids
        self._clock = clock
        self._hooks: dict[str, Hook] = {}
        self._transactions = 0

    # --- the API --------------------------------------------------------------------------------------------------

    def create(self, body: Any, tables: Mapping[str, Table]) -> dict[str, Any]:
        """Makes a webhook. `notificationUrl` may be left out. 422 beyond ten hooks, or where a filter is wrong."""
        specification = _checked(body.get("specification") if isinstance(body, dict) else None, tables)
        self._forget_expired()
        if len(self._hooks) >= MOST_HOOKS:
            raise refusal(422, "TOO_MANY_WEBHOOKS_IN_BASE", "This base has as many webhooks as it may have")
        hook = Hook(self._ids.new("ach"), specification, body.get("notificationUrl"), self._clock() + LIFETIME_SECONDS)
        self._hooks[hook.id] = hook
        secret = base64.b64encode(self._ids.random.randbytes(32)).decode()
        return {"id": hook.id, "macSecretBase64": secret, "expirationTime": iso(hook.expires)}

    def all(self) -> dict[str, Any]:
        """Every webhook, with `isHookEnabled` false where it is broken or expired."""
        self._forget_expired()
        return {"webhooks": [self._shown(hook) for hook in self._hooks.values()]}

    def delete(self, hook_id: str) -> dict[str, Any]:
        """Takes a webhook away."""
        self._hook(hook_id)
        del self._hooks[hook_id]
        return {}

    def refresh(self, hook_id: str) -> dict[str, Any]:
        """Seven more days; an expired hook cannot be refreshed."""
        hook = self._hook(hook_id)
        if not self._active(hook):
            raise bad_request("The webhook has expired")
        hook.expires = self._clock() + LIFETIME_SECONDS
        return {"expirationTime": iso(hook.expires)}

    def notify(self, hook_id: str, body: Any) -> dict[str, Any]:
        """Turns notifications on or off; payloads accrue regardless."""
        hook = self._hook(hook_id)
        if not isinstance(body, dict) or not isinstance(body.get("enable"), bool):
            raise bad_request()
        hook.notifications = body["enable"]
        return {}

    def payloads(self, hook_id: str, cursor: int, limit: int) -> dict[str, Any]:
        """The payloads from `cursor` on, at most 50; reading extends an active hook's life. Gone after seven days."""
        hook = self._hook(hook_id)
        if cursor < 1 or not 1 <= limit <= MOST_PAYLOADS:
            raise bad_request()
        now = self._clock()
        while hook.payloads and hook.payloads[0][1] < now - LIFETIME_SECONDS:
            hook.payloads.popleft()
        if self._active(hook):
            hook.expires = now + LIFETIME_SECONDS
        waiting = [one for one in hook.payloads if one[0] >= cursor]
        found = waiting[:limit]
        following = found[-1][0] + 1 if found else max(cursor, hook.next_cursor)
        return {
            "cursor": following,
            "mightHaveMore": len(waiting) > len(found),
            "payloads": [payload for _, _, payload in found],
        }

    # --- filling the feeds ----------------------------------------------------------------------------------------

    def publish(self, done: Transaction) -> None:
        """Adds a payload of one transaction to every webhook that watches for it."""
        self._transactions += 1
        for hook in self._hooks.values():
            if not (hook.valid and self._active(hook)):
                continue
            head = {
                "timestamp": iso(done.at),
                "baseTransactionNumber": self._transactions,
                "payloadFormat": "v0",
            }
            if _breaks(hook, done):
                hook.valid = False
                hook.add(done.at, {**head, "error": True, "code": "INVALID_FILTERS"})
                continue
            sources = hook.filters.get("fromSources")
            if sources and done.source not in sources:
                continue
            if tables := _changed_tables(hook, done):
                hook.add(done.at, {**head, "actionMetadata": _action(done.source), "changedTablesById": tables})

    # --- within ---------------------------------------------------------------------------------------------------

    def _active(self, hook: Hook) -> bool:
        return self._clock() < hook.expires

    def _forget_expired(self) -> None:
        now = self._clock()
        self._hooks = {key: one for key, one in self._hooks.items() if now < one.expires + LIFETIME_SECONDS}

    def _hook(self, hook_id: str) -> Hook:
        self._forget_expired()
        if hook_id not in self._hooks:
            raise refusal(404, "NOT_FOUND")
        return self._hooks[hook_id]

    def _shown(self, hook: Hook) -> dict[str, Any]:
        return {
            "id": hook.id,
            "type": "client",
            "specification": hook.specification,
            "notificationUrl": hook.notification_url,
            "cursorForNextPayload": hook.next_cursor,
            "areNotificationsEnabled": hook.notifications,
            "isHookEnabled": hook.valid and self._active(hook),
            "lastSuccessfulNotificationTime": None,
            "lastNotificationResult": None,
            "expirationTime": iso(hook.expires),
        }


def _checked(specification: Any, tables: Mapping[str, Table]) -> dict[str, Any]:
    options = specification.get("options") if isinstance(specification, dict) else None
    filters = options.get("filters") if isinstance(options, dict) else None
    if not isinstance(filters, dict) or not filters.get("dataTypes"):
        raise bad_request()
    if not set(filters["dataTypes"]) <= _DATA_TYPES:
        raise bad_request()
    scope = filters.get("recordChangeScope")
    views = {view.id for table in tables.values() for view in table.views}
    if scope is not None and scope not in tables and scope not in views:
        raise refusal(422, "INVALID_FILTERS", f"No table or view {scope}")
    known = {key for table in tables.values() for key in table.fields}
    if not set(filters.get("watchDataInFieldIds") or ()) <= known:
        raise refusal(422, "INVALID_FILTERS", "watchDataInFieldIds names an unknown field")
    return {"options": options}


def _breaks(hook: Hook, done: Transaction) -> bool:
    watched = {*(hook.filters.get("watchDataInFieldIds") or ()), *(hook.filters.get("watchSchemasOfFieldIds") or ())}
    return any(column.id in watched for _, column in done.fields_deleted)


def _action(source: str) -> dict[str, Any]:
    if source == "automation":
        return {"source": source, "sourceMetadata": {"automationId": "wflSandbox0000001"}}
    return {"source": source, "sourceMetadata": {"user": dict(_USER)}}


def _scoped(hook: Hook, table: Table) -> bool:
    scope = hook.filters.get("recordChangeScope")
    return scope is None or scope == table.id or any(view.id == scope for view in table.views)


def _changed_tables(hook: Hook, done: Transaction) -> dict[str, Any]:
    """`changedTablesById` as this hook sees the transaction; empty where nothing is for it."""
    found: dict[str, dict[str, Any]] = {}

    def part(table: Table, name: str) -> Any:
        return found.setdefault(table.id, {}).setdefault(name, [] if name.startswith("destroyed") else {})

    kinds = set(hook.filters.get("changeTypes") or ("add", "remove", "update"))
    data_types = hook.filters["dataTypes"]
    if "tableData" in data_types:
        _records(hook, done, kinds, part)
    if "tableFields" in data_types:
        for table, column in done.fields_created:
            if "add" in kinds and _scoped(hook, table):
                part(table, "createdFieldsById")[column.id] = {"name": column.name, "type": column.type}
        for table, column, old_name in done.fields_renamed:
            if "update" in kinds and _scoped(hook, table):
                change: dict[str, Any] = {"current": {"name": column.name}}
                if hook.includes.get("includePreviousFieldDefinitions"):
                    change["previous"] = {"name": old_name}
                part(table, "changedFieldsById")[column.id] = change
        for table, column in done.fields_deleted:
            if "remove" in kinds and _scoped(hook, table):
                part(table, "destroyedFieldIds").append(column.id)
    return found


def _records(hook: Hook, done: Transaction, kinds: set[str], part: Callable[[Table, str], Any]) -> None:
    watched = set(hook.filters.get("watchDataInFieldIds") or ())
    for table, row in done.created:
        if "add" in kinds and _scoped(hook, table):
            cells = _cells(table.fields, row, watched or row.cells)
            part(table, "createdRecordsById")[row.id] = {
                "createdTime": iso(row.created),
                "cellValuesByFieldId": {key: value for key, value in cells.items() if value is not None},
            }
    for table, row, changes in done.changed:
        seen = {key: change for key, change in changes.items() if not watched or key in watched}
        if "update" in kinds and seen and _scoped(hook, table):
            part(table, "changedRecordsById")[row.id] = _change(hook, table, row, seen)
    for table, row in done.deleted:
        if "remove" in kinds and _scoped(hook, table):
            part(table, "destroyedRecordIds").append(row.id)


def _change(hook: Hook, table: Table, row: Row, changes: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    def values(side: int) -> dict[str, Any]:
        cells = {key: shown_in_payload(table.fields[key], change[side]) for key, change in changes.items()}
        return {"cellValuesByFieldId": cells}

    found = {"current": values(1)}
    if hook.includes.get("includePreviousCellValues"):
        found["previous"] = values(0)
    wanted = hook.includes.get("includeCellValuesInFieldIds")
    if wanted:
        others = [key for key in (table.fields if wanted == "all" else wanted) if key not in changes]
        found["unchanged"] = {"cellValuesByFieldId": _cells(table.fields, row, others)}
    return found


def _cells(fields: Mapping[str, Field], row: Row, keys: Iterable[str]) -> dict[str, Any]:
    return {key: shown_in_payload(fields[key], row.cells.get(key)) for key in keys if key in fields}
