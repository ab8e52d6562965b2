"""GET and POST /opportunities/search of the local HighLevel (reference/ghl.md §§1.1, 3)."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import urlencode

from .data import Record
from .highlevel_dto import Call, Refused, Rule, Rules, check, check_query
from .highlevel_filters import SORTS, Filters, cursor_value, sort_value
from .highlevel_index import Doc, Key
from .highlevel_store import STATUSES, Store, full_name
from .wire import Answer

WINDOW = 10_000  # what page and limit can reach (reference/ghl.md §3.2)
DAY_MS = 86_400_000
CACHED = 32  # searches: a watermark that moves makes each of them another one
Cache: TypeAlias = dict[str, list[Key]]

_ORDERS = ("added_asc", "added_desc", "name_asc", "name_desc")
_SNAKE = ("location_id", "pipeline_id", "pipeline_stage_id", "contact_id", "assigned_to")
_CAMEL = ("locationId", "pipelineId", "pipelineStageId", "contactId", "assignedTo")


def _query_rules(names: Sequence[str], v3: bool) -> Rules:
    text = Rule("string")
    return {
        "q": Rule("string", most=75) if v3 else text,
        names[0]: Rule("string", required=True),
        **dict.fromkeys(names[1:], text),
        "status": Rule((*STATUSES, "all")),
        "order": Rule(_ORDERS) if v3 else text,  # an enum in v3 only (reference/ghl.md §2)
        **dict.fromkeys(("campaignId", "id", "date", "endDate", "startAfter", "startAfterId", "country"), text),
        "page": Rule("number", least=1),
        "limit": Rule("number", least=1, most=100),
        **dict.fromkeys(("getTasks", "getNotes", "getCalendarEvents"), Rule("boolean")),
    }


_QUERY = {False: _query_rules(_SNAKE, False), True: _query_rules(_CAMEL, True)}
_BODY: Rules = {
    "locationId": Rule("string", required=True),
    "limit": Rule("number", required=True, least=1, most=500),
    "page": Rule("number", least=0),
    "searchAfter": Rule("array"),
    "query": Rule("string", most=75),
    "filters": Rule("array"),
    "sort": Rule("array"),
    "additionalDetails": Rule("object"),
}


class Search:
    """The two searches over one store's index."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index = store.index
        self._cache: Cache = {}
        self._cached_version = -1

    # --- GET

    def get(self, call: Call) -> Answer:
        """GET search: filters, a cursor of createdAt and contact id, or pages."""
        given = check_query(call, _QUERY[call.v3])
        names = _CAMEL if call.v3 else _SNAKE
        self._index.advance(self._store.clock())
        keys = self._matching(given, names)
        order = given.get("order") if given.get("order") in _ORDERS else "added_desc"
        keys = self._ordered(keys, str(order), given)
        limit, page = int(given.get("limit", 20)), int(given.get("page", 1))
        start = self._after_cursor(keys, given, str(order))
        if start is None:
            start = (page - 1) * limit
            if start + limit > WINDOW:
                raise Refused(400, f"Result window is too large, page * limit must not exceed {WINDOW}.")
        shown = keys[start : start + limit]
        meta = self._meta(call, given, keys, start, limit, page)
        by_name = str(order).startswith("name")
        rows = [self._row(key, call.v3, self._cursor(key, by_name)) for key in shown]
        return self._answer(rows, b',"meta":' + json.dumps(meta).encode(), call.v3)

    def _matching(self, given: Record, names: Sequence[str]) -> list[Key]:
        pipeline = given.get(names[1]) or None
        keys = self._index.keys(pipeline)
        wanted = {
            field: given[name]
            for name, field in zip(names[2:], ("pipelineStageId", "contactId", "assignedTo"), strict=True)
            if given.get(name)
        }
        if given.get("id"):
            wanted["id"] = given["id"]
        if given.get("status", "all") != "all":
            wanted["status"] = given["status"]
        needle = str(given.get("q", "")).casefold()
        low, high = _day(given.get("date")), _day(given.get("endDate"))
        if wanted or needle or low is not None or high is not None:
            docs = self._index.docs

            def narrowed() -> list[Key]:
                found = keys
                for field, value in wanted.items():
                    found = [key for key in found if docs[key[3]].deal[field] == value]
                if low is not None:
                    found = [key for key in found if -key[0] >= low]
                if high is not None:
                    found = [key for key in found if -key[0] < high + DAY_MS]
                return [key for key in found if _contains(docs[key[3]], needle)] if needle else found

            name = json.dumps(["get", pipeline, wanted, needle, low, high], sort_keys=True)
            return self._visible(self._cached(name, narrowed))
        return self._visible(keys)

    def _ordered(self, keys: list[Key], order: str, given: Record) -> list[Key]:
        if order == "added_desc":
            return keys
        if order == "added_asc":
            return keys[::-1]
        docs = self._index.docs
        return sorted(keys, key=lambda key: docs[key[3]].deal["name"].lower(), reverse=order == "name_desc")

    def _after_cursor(self, keys: list[Key], given: Record, order: str) -> int | None:
        """Where the cursor's next page starts: strictly after its (ms, contact) position, so that ties are skipped.

        None without a whole cursor: one of the two parameters alone gives page 1 again (reference/ghl.md §3.1).
        """
        if not given.get("startAfter") or not given.get("startAfterId") or not order.startswith("added"):
            return None
        try:
            milliseconds = int(given["startAfter"])
        except ValueError:
            raise Refused(422, ["startAfter must be a number string"]) from None
        at = (-milliseconds, self._cursor_contact(given["startAfterId"]))
        if order == "added_desc":
            return bisect_left(range(len(keys)), True, key=lambda i: keys[i][:2] > at)
        return bisect_left(range(len(keys)), True, key=lambda i: keys[i][:2] < at)

    def _cursor_contact(self, given: str) -> str:
        """The contact id of a cursor, which carries a deal's id where `cursor_id` says so."""
        if self._store.settings.cursor_id == "opportunity":
            doc = self._index.docs.get(given)
            deal = doc.deal if doc else self._store.deals.get(given) or self._store.deleted.get(given)
            if deal:
                return str(deal["contactId"])
        return given

    def _cursor(self, key: Key, by_name: bool) -> list[Any]:
        return [self._index.docs[key[3]].deal["name"].lower() if by_name else -key[0], key[1]]

    def _meta(self, call: Call, given: Record, keys: list[Key], start: int, limit: int, page: int) -> Record:
        shown = keys[start : start + limit]
        more = start + limit < len(keys)
        meta: Record = {"total": max(0, len(keys) + self._store.settings.total_drift), "nextPageUrl": None}
        meta |= {"startAfterId": None, "startAfter": None}
        if shown:
            last = shown[-1]
            meta["startAfter"] = -last[0]
            meta["startAfterId"] = last[3] if self._store.settings.cursor_id == "opportunity" else last[1]
        if more:
            # In camel case whatever the version: following it blindly ends in a 422 (reference/ghl.md §1.1).
            camel = dict(zip(_SNAKE, _CAMEL, strict=True))
            query = {camel.get(name, name): value for name, value in call.query().items()}
            query |= {"startAfter": str(meta["startAfter"]), "startAfterId": meta["startAfterId"]}
            query |= {"limit": str(limit), "page": str(page + 1)}
            host = call.request.headers.get("host", "localhost:5066")
            meta["nextPageUrl"] = f"http://{host}/opportunities/search?{urlencode(query)}"
        return meta | {
            "currentPage": page,
            "nextPage": page + 1 if more else None,
            "prevPage": page - 1 if page > 1 else None,
        }

    # --- POST

    def post(self, call: Call) -> Answer:
        """POST search: filters, sorts, and pages up to 10,000 rows or searchAfter."""
        body = call.body
        also = ["page and searchAfter cannot be used together"] if {"page", "searchAfter"} <= body.keys() else []
        refused = ("filters", "sort") if self._store.settings.refuses_filters else ()
        check(body, {name: rule for name, rule in _BODY.items() if name not in refused}, also)
        self._index.advance(self._store.clock())
        sorts = _sorts(body.get("sort") or [])
        keys = self._visible(self._found(body, sorts))
        limit = int(body["limit"])
        start = self._after(keys, body["searchAfter"], sorts) if body.get("searchAfter") else None
        if start is None:
            start = (max(int(body.get("page") or 1), 1) - 1) * limit
            if start + limit > WINDOW:
                raise Refused(400, f"page and limit reach {WINDOW} records at most, use searchAfter beyond.")
        rows = [self._row(key, call.v3, self._position(key, sorts)) for key in keys[start : start + limit]]
        total = max(0, len(keys) + self._store.settings.total_drift)
        return self._answer(
            rows, f',"total":{total}'.encode() + (b',"stageAggregations":[]' if call.v3 else b""), call.v3
        )

    def _found(self, body: Record, sorts: list[tuple[str, bool]]) -> list[Key]:
        passes = Filters(self._store.settings.honours_date_filter).compile(body.get("filters") or [])
        needle = str(body.get("query") or "").casefold()
        docs = self._index.docs

        def find() -> list[Key]:
            keys = [
                key
                for key in self._index.keys(None)
                if passes(docs[key[3]]) and (not needle or _contains(docs[key[3]], needle))
            ]
            if sorts != [("date_added", True)]:
                keys.sort(key=lambda key: key[1:3])
                for name, descending in reversed(sorts):
                    keys.sort(key=lambda key: sort_value(docs[key[3]], name), reverse=descending)
            return keys

        # The setting is part of the name: it may be changed between two equal requests.
        name = [body.get("filters"), needle, sorts, self._store.settings.honours_date_filter]
        return self._cached(json.dumps(name, sort_keys=True), find)

    def _position(self, key: Key, sorts: list[tuple[str, bool]]) -> list[Any]:
        doc = self._index.docs[key[3]]
        return [*(sort_value(doc, name) for name, _ in sorts), key[1]]

    def _after(self, keys: list[Key], given: list[Any], sorts: list[tuple[str, bool]]) -> int:
        """Where the page after `given` starts: strictly after that position, whatever shares it."""
        if len(given) != len(sorts) + 1:
            raise Refused(422, [f"searchAfter must contain {len(sorts) + 1} elements"])
        wanted = [cursor_value(value, name) for value, (name, _) in zip(given, sorts, strict=False)] + [str(given[-1])]
        falling = [descending for _, descending in sorts] + [False]

        def is_after(at: int) -> bool:
            for mine, other, down in zip(self._position(keys[at], sorts), wanted, falling, strict=True):
                if mine != other:
                    return bool(mine < other) if down else bool(mine > other)
            return False

        return bisect_left(range(len(keys)), True, key=is_after)

    # --- both

    def _cached(self, name: str, find: Callable[[], list[Key]]) -> list[Key]:
        """What was found under `name` since the index last changed."""
        if self._cached_version != self._index.version or len(self._cache) >= CACHED:
            self._cache.clear()
            self._cached_version = self._index.version
        if name not in self._cache:
            self._cache[name] = find()
        return self._cache[name]

    def _visible(self, keys: list[Key]) -> list[Key]:
        hidden = self._store.settings.hidden_from_search
        return [key for key in keys if key[3] not in hidden] if hidden else keys

    def _row(self, key: Key, v3: bool, position: list[Any]) -> bytes:
        row = self._index.docs[key[3]].row(v3, self._store.search_row)
        return row + b',"sort":' + json.dumps(position).encode() + b"}"

    def _answer(self, rows: list[bytes], rest: bytes, v3: bool) -> Answer:
        trace = f',"aggregations":{{}},"traceId":"{self._store.trace_id()}"}}'.encode()
        return Answer(200, b'{"opportunities":[' + b",".join(rows) + b"]" + rest + trace)


def _day(text: Any) -> int | None:
    """Midnight UTC of a day written mm-dd-yyyy, in ms; any other format is silently ignored (reference/ghl.md §3.1)."""
    if not isinstance(text, str) or not re.fullmatch(r"\d\d-\d\d-\d{4}", text):
        return None
    try:
        return int(datetime.strptime(text, "%m-%d-%Y").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        return None


def _contains(doc: Doc, needle: str) -> bool:
    contact = doc.contact
    texts = (doc.deal["name"], full_name(contact), contact["email"], contact["phone"], contact["companyName"])
    return any(needle in text.casefold() for text in texts if text)


def _sorts(given: list[Any]) -> list[tuple[str, bool]]:
    """The sort fields, each with whether it falls; by default the youngest deals first."""
    found = []
    for number, one in enumerate(given):
        known = isinstance(one, dict) and one.get("field") in SORTS and one.get("direction") in ("asc", "desc")
        if not known or set(one) - {"field", "direction"}:
            raise Refused(422, [f"sort.{number} must be a field of {', '.join(SORTS)} with direction asc or desc"])
        found.append((str(one["field"]), one["direction"] == "desc"))
    return found or [("date_added", True)]
