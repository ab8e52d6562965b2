"""The HighLevel API: its calls, its answers as typed data, its refusals as sentences; for 2021-07-28 and v3.

Sections (§) are those of reference/ghl.md. Every field of an answer may be missing, null or of a wrong type: it is None
then, and `told` and `odd` say which it was. A record without an id is a failure. Refusals are told apart by their body,
never by their status alone (§2.3).
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import quote

from syncd.http import NEVER_LATER, Bucket, Http, HttpError, NoAnswer, NotJson, Reply, Retry, scrub, shared_bucket
from syncd.sides import Pipeline, Stage, User
from syncd.values import clipped

Json: TypeAlias = dict[str, Any]
Number: TypeAlias = "int | float | str"
Cursor: TypeAlias = "tuple[int | float | str, str]"  # startAfter (epoch ms) and startAfterId; one alone restarts (§3.1)
_T = TypeVar("_T")
_Listed = TypeVar("_Listed", Pipeline, Stage, User)

BASE_URL: Final = "https://services.leadconnectorhq.com"
PAGE: Final = 100  # the largest limit that GET search allows (§3.1)
BUCKET_COUNT: Final = 90  # HighLevel allows 100 in 10 s (§5); the rest is for the network's jitter
BUCKET_SECONDS: Final = 10.0
SPURIOUS_SCOPE_SECONDS: Final = 3.0  # search sometimes misses a scope that it has (§2.3, #217)

_SUCCESS: Final = ("succeded", "succeeded", "success")
USERS_AT_MOST: Final = 100_000  # a list of users that goes on for ever is none

# How GET search spells its parameters under the versions before v3 (§1.1). All other parameters have one spelling.
_SNAKE: Final = {
    "locationId": "location_id",
    "pipelineId": "pipeline_id",
    "pipelineStageId": "pipeline_stage_id",
    "contactId": "contact_id",
    "assignedTo": "assigned_to",
}


# --- refusals --------------------------------------------------------------------------------------------------------


class HighLevelError(Exception):
    """An answer that is not what was asked for. The text is a sentence for people: cause and mend."""

    def __init__(self, sentence: str, *, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class BadToken(HighLevelError):
    """The token is wrong, revoked, expired, or of a kind that cannot be used here."""


class MissingScope(HighLevelError):
    """The token lacks `scope`."""

    def __init__(self, scope: str, *, status: int = 0) -> None:
        super().__init__(
            f"The HighLevel token lacks the scope {scope}. Add it to the private integration in Settings › Private "
            "Integrations; the token stays the same.",
            status=status,
        )
        self.scope = scope


class WrongLocation(HighLevelError):
    """The token belongs to another location."""


class VersionRefused(HighLevelError):
    """HighLevel does not know the configured `version`."""


class NotFound(HighLevelError):
    """The deal does not exist: 404 with code OPPORTUNITY_NOT_FOUND, and nothing else (SPEC §1)."""


class ContactNotFound(HighLevelError):
    """The contact does not exist. A class of its own, so that it can never pass for a deleted deal."""


class WrongPath(HighLevelError):
    """ "Cannot GET …": this address does not exist under this version. Says nothing about any record."""


class Validation(HighLevelError):
    """HighLevel refuses what was sent. `messages` are its words; `named` the fields of our body that they name."""

    def __init__(self, sentence: str, *, status: int, messages: tuple[str, ...], named: frozenset[str]) -> None:
        super().__init__(sentence, status=status)
        self.messages = messages
        self.named = named

    def says(self, words: str) -> bool:
        """Whether a message contains these words."""
        return any(words in message for message in self.messages)


class Duplicate(HighLevelError):
    """The contact has a deal in this pipeline already, and the location allows only one. `existing_id` may be None."""

    def __init__(self, sentence: str, *, status: int, existing_id: str | None) -> None:
        super().__init__(sentence, status=status)
        self.existing_id = existing_id


class DuplicateContact(HighLevelError):
    """The location has the person already, as `contact_id`, and allows no second contact (§9)."""

    def __init__(self, sentence: str, *, status: int, contact_id: str) -> None:
        super().__init__(sentence, status=status)
        self.contact_id = contact_id


class Blocked(HighLevelError):
    """Cloudflare turned the request away before HighLevel saw it (error code 1010)."""


class DailyLimit(HighLevelError):
    """The location's requests of this day are used up."""


class Forbidden(HighLevelError):
    """403 in HighLevel's own words, but none of those known: a permission, so no record's fault."""


class Unexpected(HighLevelError):
    """Anything else: HTML, no JSON, a missing part, an unknown refusal."""


def classify(reply: Reply, *, scope: str, sent: Mapping[str, Any] | None = None) -> HighLevelError:
    """The refusal that `reply` is. `scope` is what the call needs, `sent` its body."""
    body = _json_or_none(reply)
    messages, code = _messages(body) if isinstance(body, dict) else ((), "")
    said = clipped(" ".join(messages) or reply.text(160), 300)
    low, status = said.casefold(), reply.status
    if "error code: 1010" in low:
        return Blocked(
            "Cloudflare, which stands before HighLevel, blocks this program (error code 1010). Ask HighLevel's support "
            "to let your address through; a proxy that changes the User-Agent header causes this, too.",
            status=status,
        )
    if status == 404 and re.search(r"cannot (get|put|post|delete|patch) /", low):
        return WrongPath(f"HighLevel has no such address ({said}). Check base_url and version.", status=status)
    if not isinstance(body, dict):
        if status == 401:
            return _unauthorised(said, status, scope)
        return Unexpected(
            f"HighLevel answered {status} with something that is not JSON: {said or 'nothing'}", status=status
        )
    if status == 404 and code == "OPPORTUNITY_NOT_FOUND":
        return NotFound("The deal does not exist in HighLevel.", status=status)
    if code == "CONTACT_NOT_FOUND" or (status in (400, 404) and re.search(r"\bcontact\b.*\bnot found", low)):
        return ContactNotFound("The contact does not exist in HighLevel.", status=status)
    if status in (401, 403) and not code.startswith("COMMON_"):
        return _unauthorised(said, status, scope)
    if code == "OPPORTUNITY_NO_DUPLICATE":
        meta = body.get("meta")
        return Duplicate(
            "HighLevel allows one deal per contact and pipeline here, and this contact has one already. The setting is "
            "“Allow duplicate opportunity” under Settings › Business Profile › General.",
            status=status,
            existing_id=_text_of(meta.get("existingId")) if isinstance(meta, dict) else None,
        )
    if status == 400 and "duplicated contact" in low and (known := _known_contact(body)):
        return DuplicateContact("HighLevel has this contact already.", status=status, contact_id=known)
    if status in (400, 401, 422):
        return Validation(
            f"HighLevel refuses this: {said or f'without a reason ({status})'}",
            status=status,
            messages=messages,
            named=_named(messages, sent or {}),
        )
    return Unexpected(f"HighLevel answered {status}: {said or 'without a reason'}", status=status)


def _known_contact(body: Json) -> str | None:
    meta = body.get("meta")
    return _text_of(meta.get("contactId")) if isinstance(meta, dict) else None


def _unauthorised(said: str, status: int, scope: str) -> HighLevelError:
    low = said.casefold()
    if "version header" in low:
        return VersionRefused(
            f"HighLevel refuses the version of the configuration ({said}). Use 2021-07-28 or v3.", status=status
        )
    if "for this scope" in low:
        return MissingScope(scope, status=status)
    if "access to this location" in low:
        return WrongLocation(
            "The HighLevel token belongs to another location. Check location_id, or make a token in that location.",
            status=status,
        )
    if "iam service" in low:
        return BadToken(
            "HighLevel refuses this kind of token here. Use a Private Integration token of the location (sub-account), "
            "not one of the agency.",
            status=status,
        )
    if status == 401:
        return BadToken(
            f"HighLevel refuses the token ({said or 'without a reason'}): it is wrong, revoked or expired. Make one in "
            "Settings › Private Integrations and put it where `token` of the configuration points.",
            status=status,
        )
    return Forbidden(f"HighLevel forbids this ({status}): {said or 'without a reason'}", status=status)


def _json_or_none(reply: Reply) -> Any:
    try:
        return reply.json()
    except NotJson:
        return None


def _messages(body: Json) -> tuple[tuple[str, ...], str]:
    """HighLevel's words and code: `message` is a string or a list of them; v3 may nest both in `error` (§2.3)."""
    nested = body.get("error")
    source = body if body.get("message") is not None or not isinstance(nested, dict) else nested
    message = source.get("message")
    found = message if isinstance(message, list) else [message if message is not None else source.get("error")]
    code = _text_of(source.get("code")) or _text_of(body.get("code")) or ""
    return tuple(scrub(part) for part in found if isinstance(part, str) and part), code


def _named(messages: Iterable[str], sent: Mapping[str, Any]) -> frozenset[str]:
    """The keys of `sent` that messages name: where they begin with one, as DTO messages do, else anywhere."""
    told = list(messages)
    leading = {key for key in sent for part in told if re.match(rf"(property )?{re.escape(key)}\b", part)}
    return frozenset(leading or {key for key in sent for part in told if re.search(rf"\b{re.escape(key)}\b", part)})


def rest_after_429(reply: Reply) -> float | None:
    """`Http`'s hook: raises `DailyLimit` where no request of the day remains, which no rest mends (§5)."""
    if reply.headers.get("x-ratelimit-daily-remaining", "").strip() == "0":
        limit = reply.headers.get("x-ratelimit-limit-daily", "").strip()
        raise DailyLimit(
            f"HighLevel's daily limit of {limit or '200000'} requests for this location is used up; it starts anew "
            "within a day. A longer interval, or fewer other programs on this location, keeps below it.",
            status=429,
        )
    return None


def daily_budget(headers: Mapping[str, str]) -> tuple[int, int] | None:
    """The location's (limit, calls left) of the day, of all programs together (§5); None where it is not told."""
    try:
        limit, left = (int(headers[f"x-ratelimit-{name}"]) for name in ("limit-daily", "daily-remaining"))
    except (KeyError, ValueError):
        return None
    return (limit, left) if 0 <= left <= limit and limit > 0 else None


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact, or the part of one that stands in a deal. `odd` names the keys whose values had a wrong type."""

    id: str | None
    name: str | None
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    company: str | None
    odd: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Opportunity:
    """A deal. Times are epoch seconds of HighLevel's clock.

    `told` names the keys that were there with a right type or null, `odd` those with a wrong one; `sort` is the row's
    place in the search, as a cursor.
    """

    id: str
    name: str | None
    pipeline_id: str | None
    stage_id: str | None
    status: str | None
    value: Number | None
    assigned_to: str | None
    source: str | None
    contact_id: str | None
    location_id: str | None
    created_at: float | None
    updated_at: float | None
    last_stage_change_at: float | None
    last_status_change_at: float | None
    contact: Contact | None
    sort: Cursor | None
    told: frozenset[str] = field(default=frozenset())
    odd: frozenset[str] = field(default=frozenset())


@dataclass(slots=True)
class Glimpse:
    """Of a deal that is known already, what a walk through pages needs."""

    id: str
    contact_id: str | None
    location_id: str | None
    sort: Cursor | None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a search. `cursor` is where the next page starts, `more` whether the answer says there is one."""

    rows: tuple[Opportunity | Glimpse, ...]
    total: int | None
    cursor: Cursor | None
    more: bool

    @property
    def opportunities(self) -> tuple[Opportunity, ...]:
        """The deals of the page; all its rows, unless some were told to be known."""
        return tuple(row for row in self.rows if isinstance(row, Opportunity))


@dataclass(frozen=True, slots=True)
class CustomField:
    """The definition of a custom field of deals or contacts."""

    id: str
    name: str | None
    key: str | None
    data_type: str | None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LostReason:
    """Why a deal can be lost."""

    id: str
    name: str | None


class _Reader:
    """Takes typed values out of one JSON object; notes the keys that were told and those of a wrong type."""

    def __init__(self, data: Json) -> None:
        self.data = data
        self.asked: list[str] = []
        self.odd: set[str] = set()

    def take(self, key: str, convert: Callable[[Any], _T | None]) -> _T | None:
        """The value of `key`, or None; odd where it is neither null nor convertible."""
        self.asked.append(key)
        value = self.data.get(key)
        if value is None:
            return None
        converted = convert(value)
        if converted is None:
            self.odd.add(key)
        return converted

    @property
    def told(self) -> frozenset[str]:
        return frozenset(key for key in self.asked if key in self.data and key not in self.odd)


def _text_of(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number_of(value: Any) -> Any:  # Number | None, but mypy would join the three types to object
    """A finite number as it was sent; a string that holds one is kept as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return value if math.isfinite(float(value)) else None
    except (ValueError, OverflowError):
        return None


def _time_of(value: Any) -> float | None:
    """Epoch seconds of an ISO-8601 string (UTC where it names no zone), or of epoch milliseconds.

    An instant before 1970 or far in the future is none: stamps only move forward (SPEC §6), so one of the year 9999
    would make every later one look old.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000 if 0 <= value < NEVER_LATER * 1000 else None
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        instant = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return instant if 0 <= instant < NEVER_LATER else None


def _object_of(value: Any) -> Json | None:
    return value if isinstance(value, dict) else None


def _cursor_of(pair: Any) -> Cursor | None:
    """A cursor from [time, id], as `sort` and `meta` hold it; None unless both halves are there."""
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return None
    time, id = pair
    good = isinstance(time, int | float | str) and not isinstance(time, bool) and time != ""
    return (time, id) if good and isinstance(id, str) and id else None


def _list_of(answer: Json, key: str) -> list[Any]:
    found = answer.get(key)
    if not isinstance(found, list):
        raise Unexpected(f"HighLevel's answer lacks the list “{key}”.")
    return found


def _with_id(data: Any, what: str) -> tuple[Json, str]:
    id = data.get("id") if isinstance(data, dict) else None
    if not isinstance(id, str) or not id:
        raise Unexpected(f"HighLevel sent a {what} without an id.")
    return data, id


# Nearly every deal of every page is as it should be, and there may be 200,000 of them: they take a short way, and
# whatever looks odd takes the careful one below.
_CONTACT_TEXTS: Final = ("id", "name", "firstName", "lastName", "email", "phone", "companyName")
_DEAL_TEXTS: Final = (
    "name", "pipelineId", "pipelineStageId", "status", "assignedTo", "source", "contactId", "locationId",
)  # fmt: skip
_DEAL_TIMES: Final = ("createdAt", "updatedAt", "lastStageChangeAt", "lastStatusChangeAt")
_DEAL_KEYS: Final = frozenset({*_DEAL_TEXTS, *_DEAL_TIMES, "monetaryValue", "contact", "sort"})
_NO_KEYS: Final[frozenset[str]] = frozenset()
_FAR: Final = 2**63  # beyond it, and for what is no number at all, the careful way
_TEXT_OR_NONE: Final = frozenset({str, type(None)})


@lru_cache(maxsize=64)
def _told_of(keys: tuple[str, ...]) -> frozenset[str]:
    """Which of a deal's keys are among these; most deals of a location have the same."""
    return _DEAL_KEYS.intersection(keys)


def _plain_contact(data: Any) -> Contact | None:
    """A contact of which nothing is odd; None where it is none such."""
    if type(data) is not dict:
        return None
    texts = [*map(data.get, _CONTACT_TEXTS)]
    if not _TEXT_OR_NONE.issuperset(map(type, texts)) or not any(texts[1:]):
        return None
    id, name, first, last, email, phone, company = texts
    return Contact(id, name, first, last, email, phone, company, _NO_KEYS)


def _plain_opportunity(found: Json, id: str) -> Opportunity | None:
    """A deal of which nothing is odd; None where something is."""
    get = found.get
    texts = [*map(get, _DEAL_TEXTS)]
    if not _TEXT_OR_NONE.issuperset(map(type, texts)):
        return None
    value, sort = get("monetaryValue"), get("sort")
    number = value is None or (type(value) in (int, float) and -_FAR < value < _FAR)
    cursor = None if sort is None else _cursor_of(sort)
    told_times = [*map(get, _DEAL_TIMES)]
    times = [None if time is None else _time_of(time) for time in told_times]
    if not number or (cursor is None) != (sort is None) or times.count(None) != told_times.count(None):
        return None
    person = get("contact")
    contact = None if person is None else _plain_contact(person)
    if contact is None and person is not None:
        return None
    name, pipeline_id, stage_id, status, owner, source, contact_id, location_id = texts
    created, updated, of_stage, of_status = times
    return Opportunity(
        id, name, pipeline_id, stage_id, status, value, owner, source, contact_id, location_id,
        created, updated, of_stage, of_status, contact, cursor, _told_of(tuple(found)), _NO_KEYS,
    )  # fmt: skip


def parse_contact(data: Any) -> Contact | None:
    """A contact from JSON; None for what is no object or says nothing about the person (an id alone)."""
    reader = _Reader(data if isinstance(data, dict) else {})
    contact = Contact(
        id=reader.take("id", _text_of),
        name=reader.take("name", _text_of),
        first_name=reader.take("firstName", _text_of),
        last_name=reader.take("lastName", _text_of),
        email=reader.take("email", _text_of),
        phone=reader.take("phone", _text_of),
        company=reader.take("companyName", _text_of),
        odd=frozenset(reader.odd),
    )
    return contact if reader.told - {"id"} or contact.odd else None


def parse_opportunity(data: Any) -> Opportunity:
    """A deal from JSON. Raises `Unexpected` where it has no id."""
    found, id = _with_id(data, "deal")
    return _plain_opportunity(found, id) or _careful_opportunity(found, id)


def _careful_opportunity(found: Json, id: str) -> Opportunity:
    """A deal of which anything may be odd."""
    reader = _Reader(found)
    return Opportunity(
        id=id,
        name=reader.take("name", _text_of),
        pipeline_id=reader.take("pipelineId", _text_of),
        stage_id=reader.take("pipelineStageId", _text_of),
        status=reader.take("status", _text_of),
        value=reader.take("monetaryValue", _number_of),
        assigned_to=reader.take("assignedTo", _text_of),
        source=reader.take("source", _text_of),
        contact_id=reader.take("contactId", _text_of),
        location_id=reader.take("locationId", _text_of),
        created_at=reader.take("createdAt", _time_of),
        updated_at=reader.take("updatedAt", _time_of),
        last_stage_change_at=reader.take("lastStageChangeAt", _time_of),
        last_status_change_at=reader.take("lastStatusChangeAt", _time_of),
        contact=parse_contact(reader.take("contact", _object_of)),
        sort=reader.take("sort", _cursor_of),
        told=reader.told,
        odd=frozenset(reader.odd),
    )


def _glimpse(found: Json, id: str) -> Glimpse:
    """Of a deal whose fields were parsed before; what is odd beside them counts as not told."""
    contact, location = (one if isinstance(one, str) else None for one in map(found.get, ("contactId", "locationId")))
    return Glimpse(id, contact, location, _cursor_of(found.get("sort")))


def _parse_page(answer: Json, is_known: Callable[[str, Json], bool] | None = None) -> SearchPage:
    """GET search has `meta`, POST search has `total` and only the rows' `sort` (§§3.1, 3.2)."""
    listed = _list_of(answer, "opportunities")
    rows: tuple[Opportunity | Glimpse, ...]
    if is_known is None:
        rows = tuple(parse_opportunity(row) for row in listed)
    else:
        rows = tuple(_glimpse(*one) if is_known(one[1], one[0]) else parse_opportunity(one[0])
                     for one in (_with_id(row, "deal") for row in listed))  # fmt: skip
    meta = _object_of(answer.get("meta")) or {}
    total = meta.get("total", answer.get("total"))
    return SearchPage(
        rows,
        total if isinstance(total, int) and not isinstance(total, bool) else None,
        _cursor_of([meta.get("startAfter"), meta.get("startAfterId")]) or (rows[-1].sort if rows else None),
        bool(meta.get("nextPage") or meta.get("nextPageUrl")),
    )


def _once(listed: Iterable[_Listed]) -> tuple[_Listed, ...]:
    """Each thing once: one that an answer lists twice would look like two of the same name."""
    return tuple({one.id: one for one in listed}.values())


def _named_as(data: Json, id: str, what: str) -> str:
    """The name of a pipeline or stage, its id where that is blank. One that is not told is no name: rows would be given
    the id instead of theirs."""
    name = data.get("name")
    if not isinstance(name, str):
        raise Unexpected(f"HighLevel sent a {what} without a name.")
    return name or id


def _parse_pipeline(data: Any) -> Pipeline:
    found, id = _with_id(data, "pipeline")
    stages = [_with_id(stage, "stage") for stage in _list_of(found, "stages")]
    # Order by position, which starts at 0 or 1 (§8); without one the order sent is kept.
    places = {stage_id: stage.get("position") for stage, stage_id in stages}
    order = [(place if isinstance(place := places[stage_id], int | float) else math.inf) for _, stage_id in stages]
    ordered = [stage for _, stage in sorted(zip(order, stages, strict=True), key=lambda pair: pair[0])]
    return Pipeline(
        id,
        _named_as(found, id, "pipeline"),
        _once(Stage(stage_id, _named_as(stage, stage_id, "stage")) for stage, stage_id in ordered),
    )


def _parse_user(data: Any) -> User:
    found, id = _with_id(data, "user")
    parts = [_text_of(found.get(key)) or "" for key in ("firstName", "lastName")]
    name = _text_of(found.get("name")) or " ".join(part for part in parts if part)
    email = _text_of(found.get("email")) or ""
    return User(id, name or email or id, email, found.get("deleted") is True)


# --- calls -----------------------------------------------------------------------------------------------------------


def connect(
    token: str,
    location_id: str,
    *,
    version: str = "2021-07-28",
    base_url: str = BASE_URL,
    bucket: Bucket | None = None,
    traced: bool = False,
    **http: Any,
) -> HighLevelClient:
    """A client with its own `Http` and the location's shared bucket, which `traced` shares with other processes, too;
    `http` is passed on (clock, stop, transport)."""
    return HighLevelClient(
        Http(
            base_url,
            headers={"Authorization": f"Bearer {token}"},
            bucket=bucket
            or shared_bucket(("highlevel", base_url, location_id), BUCKET_COUNT, BUCKET_SECONDS, traced=traced),
            name="HighLevel",
            on_429=rest_after_429,
            rest_seconds=BUCKET_SECONDS,
            **http,
        ),
        location_id=location_id,
        version=version,
    )


class HighLevelClient:
    """The calls of one location: `HighLevelError` is raised where HighLevel refuses, `HttpError` where it is silent."""

    def __init__(self, http: Http, *, location_id: str, version: str = "2021-07-28") -> None:
        self.http = http
        self.location_id = location_id
        self.version = version
        self._headers = {"Version": version}
        self._snake = version != "v3"
        self._spelling_tried = False
        self._lock = threading.Lock()

    # Deals

    def search_page(
        self,
        *,
        pipeline_id: str | None = None,
        contact_id: str | None = None,
        limit: int = PAGE,
        cursor: Cursor | None = None,
        is_known: Callable[[str, Json], bool] | None = None,
    ) -> SearchPage:
        """One page of GET search, newest deals first, of every status. It lags behind the writes (§3.4). Of a deal that
        `is_known`, by its id and JSON, only a glimpse is taken."""
        params = {
            "locationId": self.location_id,
            "pipelineId": pipeline_id,
            "contactId": contact_id,
            "limit": limit,
            "startAfter": cursor[0] if cursor else None,
            "startAfterId": cursor[1] if cursor else None,
        }
        return _parse_page(self._forgiving_scope(lambda: self._search(params)), is_known)

    def _search(self, params: Mapping[str, Any]) -> Json:
        """GET search, with the other spelling where this one is refused; what worked is remembered (§1.1)."""
        snake = self._snake
        try:
            return self._get("/opportunities/search", "opportunities.readonly", _spelled(params, snake))
        except Validation as refusal:
            if self._spelling_tried or not refusal.says("should not exist"):
                raise
        answer: Json | None = None
        try:
            answer = self._get("/opportunities/search", "opportunities.readonly", _spelled(params, not snake))
        finally:
            with self._lock:
                self._spelling_tried = True
                self._snake = snake if answer is None else not snake
        return answer

    def search_post(
        self,
        *,
        filters: Sequence[Json] = (),
        sort: Sequence[Json] = (),
        limit: int = PAGE,
        page: int | None = None,
        search_after: Cursor | None = None,
    ) -> SearchPage:
        """One page of POST search (§3.2): `page` reaches 10,000 deals, `search_after` all. Never give both."""
        body: Json = {"locationId": self.location_id, "limit": limit}
        if search_after is not None:
            body["searchAfter"] = list(search_after)
        else:
            body["page"] = page or 1
        if filters:
            body["filters"] = list(filters)
        if sort:
            body["sort"] = list(sort)
        return _parse_page(
            self._forgiving_scope(
                lambda: self._json(
                    "POST", "/opportunities/search", "opportunities.readonly", body=body, retry=Retry.READ
                )
            )
        )

    def _forgiving_scope(self, call: Callable[[], Json]) -> Json:
        try:
            return call()
        except MissingScope:
            self.http.pause(SPURIOUS_SCOPE_SECONDS)
            return call()

    def opportunity(self, id: str) -> Opportunity:
        """One deal as it is now. Raises `NotFound` only where HighLevel says so by code."""
        answer = self._get(f"/opportunities/{_quoted(id)}", "opportunities.readonly")
        deal = parse_opportunity(answer.get("opportunity"))
        if deal.id != id:
            raise Unexpected("HighLevel answered with another deal than the one that was asked for.")
        return deal

    def update_opportunity(self, id: str, body: Json) -> Opportunity | None:
        """PUT of the named fields alone. None where HighLevel took it, but its answer holds no deal: read it then."""
        reply = self._send("PUT", f"/opportunities/{_quoted(id)}", "opportunities.write", body=body, retry=Retry.WRITE)
        answer = _json_or_none(reply)
        found = answer.get("opportunity") if isinstance(answer, dict) else None
        return parse_opportunity(found) if isinstance(found, dict) and found.get("id") == id else None

    def update_status(self, id: str, status: str, lost_reason_id: str | None = None) -> None:
        """PUT of the status, the only way to give a lost reason. The answer holds no deal (§2.1)."""
        body = {"status": status} | ({"lostReasonId": lost_reason_id} if lost_reason_id else {})
        self._send("PUT", f"/opportunities/{_quoted(id)}/status", "opportunities.write", body=body, retry=Retry.WRITE)

    def create_opportunity(self, body: Json) -> Opportunity:
        """Makes a deal. Raises `Duplicate`, and `NoAnswer` where it was taken but the new id is not in the answer."""
        return self._made("/opportunities/", body)

    def upsert_opportunity(self, body: Json) -> Opportunity:
        """Makes or changes a deal. The engine does not use it: HighLevel matches by contact and pipeline, not by our
        row, and both merging and doubling are reported (§2.1)."""
        return self._made("/opportunities/upsert", body)

    def _made(self, path: str, body: Json) -> Opportunity:
        sent = {"locationId": self.location_id, **body}
        answer = _json_or_none(self._send("POST", path, "opportunities.write", body=sent, retry=Retry.WRITE))
        try:
            return parse_opportunity(answer.get("opportunity") if isinstance(answer, dict) else None)
        except Unexpected as error:
            raise NoAnswer("HighLevel took the new deal but did not say which id it has.") from error

    def delete_opportunity(self, id: str) -> None:
        """Deletes a deal. Raises `NotFound` where it was gone, `NoAnswer` where the answer does not say that it was
        deleted (a page of a proxy with 200); `succeded` is HighLevel's spelling (§2.1)."""
        reply = self._send("DELETE", f"/opportunities/{_quoted(id)}", "opportunities.write", retry=Retry.WRITE)
        answer = _json_or_none(reply)
        if not isinstance(answer, dict) or all(answer.get(word) is not True for word in _SUCCESS):
            raise NoAnswer("HighLevel did not say whether it deleted the deal.")

    # Contacts

    def contact(self, id: str) -> Contact:
        """One contact as it is now."""
        answer = self._get(f"/contacts/{_quoted(id)}", "contacts.readonly")
        found, _ = _with_id(answer.get("contact"), "contact")
        return _parsed_contact(found)

    def find_contact(self, *, email: str | None = None, phone: str | None = None) -> Contact | None:
        """The contact that HighLevel takes for the owner of this address or number (E.164), or None (§9)."""
        params = {"locationId": self.location_id, "email": email or None, "number": phone or None}
        answer = self._get("/contacts/search/duplicate", "contacts.readonly", params)
        found = answer.get("contact")
        return None if found is None else _parsed_contact(_with_id(found, "contact")[0])

    def create_contact(self, body: Json) -> str:
        """Makes a contact and returns its id; empty values are left out (§9). Raises `DuplicateContact`."""
        kept = {key: value for key, value in body.items() if value not in (None, "")}
        sent = {"locationId": self.location_id, **kept}
        answer = _json_or_none(self._send("POST", "/contacts/", "contacts.write", body=sent, retry=Retry.WRITE))
        try:
            return _with_id(answer.get("contact") if isinstance(answer, dict) else None, "contact")[1]
        except Unexpected as error:
            raise NoAnswer("HighLevel took the contact but did not say which id it has.") from error

    def upsert_contact(self, body: Json) -> str:
        """Finds or makes a contact and returns its id. Never sends `tags` (they would replace the contact's own) nor
        empty values (§9)."""
        kept = {key: value for key, value in body.items() if key != "tags" and value not in (None, "")}
        sent = {"locationId": self.location_id, **kept}
        answer = _json_or_none(self._send("POST", "/contacts/upsert", "contacts.write", body=sent, retry=Retry.WRITE))
        try:
            return _with_id(answer.get("contact") if isinstance(answer, dict) else None, "contact")[1]
        except Unexpected as error:
            raise NoAnswer("HighLevel took the contact but did not say which id it has.") from error

    # What names stand behind ids

    def pipelines(self) -> tuple[Pipeline, ...]:
        """All pipelines, their stages in order of position."""
        answer = self._get("/opportunities/pipelines", "opportunities.readonly", {"locationId": self.location_id})
        return _once(_parse_pipeline(one) for one in _list_of(answer, "pipelines"))

    def users(self) -> tuple[User, ...]:
        """The location's users. The old call is deprecated but wants no companyId; the new is the fallback (§10)."""
        try:
            answer = self._get("/users/", "users.readonly", {"locationId": self.location_id})
            return _once(_parse_user(one) for one in _list_of(answer, "users") if isinstance(one, dict))
        except (WrongPath, Validation, Unexpected):
            return tuple(self._searched_users())

    def _searched_users(self) -> list[User]:
        users: dict[str, User] = {}
        while True:
            params = {"locationId": self.location_id, "skip": len(users), "limit": PAGE}
            found = [
                _parse_user(one) for one in _list_of(self._get("/users/search", "users.readonly", params), "users")
            ]
            before = len(users)
            users.update((user.id, user) for user in found)
            if len(found) < PAGE or len(users) == before:
                return list(users.values())
            if len(users) > USERS_AT_MOST:
                raise Unexpected("HighLevel's list of users does not come to an end.")

    def user(self, id: str) -> User:
        """One user."""
        return _parse_user(self._get(f"/users/{_quoted(id)}", "users.readonly"))

    def custom_fields(self, model: str = "opportunity") -> tuple[CustomField, ...]:
        """The custom fields of deals ("opportunity") or contacts ("contact"). The path's spelling is the version's."""
        base = f"/locations/{_quoted(self.location_id)}"
        paths = [f"{base}/customFields", f"{base}/custom-fields"]
        first, second = paths if self.version != "v3" else reversed(paths)
        try:
            answer = self._get(first, "locations/customFields.readonly", {"model": model})
        except WrongPath:
            answer = self._get(second, "locations/customFields.readonly", {"model": model})
        return tuple(_parse_custom_field(one) for one in _list_of(answer, "customFields"))

    def lost_reasons(self) -> tuple[LostReason, ...]:
        """Why deals can be lost. Optional: some locations refuse this call (§10, #245)."""
        params = {"locationId": self.location_id, "limit": PAGE}
        answer = self._get("/opportunities/lost-reason", "opportunities.readonly", params)
        found = [_with_id(one, "lost reason") for one in _list_of(answer, "lostReasons")]
        return tuple(LostReason(id, _text_of(data.get("name"))) for data, id in found)

    # Below: one request

    def _get(self, path: str, scope: str, params: Mapping[str, Any] | None = None) -> Json:
        return self._json("GET", path, scope, params=params, retry=Retry.READ)

    def _json(
        self,
        method: str,
        path: str,
        scope: str,
        *,
        retry: Retry,
        params: Mapping[str, Any] | None = None,
        body: Json | None = None,
    ) -> Json:
        reply = self._send(method, path, scope, retry=retry, params=params, body=body)
        answer = _json_or_none(reply)
        if not isinstance(answer, dict):
            raise Unexpected(f"HighLevel answered with something that is not JSON: {reply.text(160) or 'nothing'}")
        return answer

    def _send(
        self,
        method: str,
        path: str,
        scope: str,
        *,
        retry: Retry,
        params: Mapping[str, Any] | None = None,
        body: Json | None = None,
    ) -> Reply:
        """Sends one request; raises what `classify` says unless the status is 2xx."""
        reply = self.http.request(method, path, params=params, json=body, headers=self._headers, retry=retry)
        self._note_limits(reply)
        if not 200 <= reply.status < 300:
            raise classify(reply, scope=scope, sent=body)
        return reply

    def _note_limits(self, reply: Reply) -> None:
        """Other programs share the location's limit: where it says that none remains, its window is waited for (§5)."""
        try:
            remaining = int(reply.headers["x-ratelimit-remaining"])
            window = float(reply.headers.get("x-ratelimit-interval-milliseconds", "10000")) / 1000
        except (KeyError, ValueError):
            return
        self.http.bucket.observe(remaining, min(max(window, 1.0), 60.0) if math.isfinite(window) else BUCKET_SECONDS)


def _spelled(params: Mapping[str, Any], snake: bool) -> Json:
    return {(_SNAKE.get(name, name) if snake else name): value for name, value in params.items()}


def _quoted(id: str) -> str:
    """An id as one segment of a path. Dots alone would climb out of it, however they are written."""
    if id in ("", ".", ".."):
        raise Validation(f"“{id}” is no id.", status=0, messages=(), named=frozenset())
    return quote(id, safe="")


def _parsed_contact(found: Json) -> Contact:
    contact = parse_contact(found)
    if contact is None:
        raise Unexpected("HighLevel sent a contact that says nothing but its id.")
    return contact


def _parse_custom_field(data: Any) -> CustomField:
    found, id = _with_id(data, "custom field")
    options = found.get("picklistOptions")
    return CustomField(
        id,
        _text_of(found.get("name")),
        _text_of(found.get("fieldKey")),
        _text_of(found.get("dataType")),
        tuple(option for option in options if isinstance(option, str)) if isinstance(options, list) else (),
    )


__all__ = [
    "BASE_URL",
    "BadToken",
    "Blocked",
    "Contact",
    "ContactNotFound",
    "Cursor",
    "CustomField",
    "DailyLimit",
    "Duplicate",
    "DuplicateContact",
    "Forbidden",
    "HighLevelClient",
    "HighLevelError",
    "HttpError",
    "LostReason",
    "MissingScope",
    "NotFound",
    "Opportunity",
    "SearchPage",
    "Unexpected",
    "Validation",
    "VersionRefused",
    "WrongLocation",
    "WrongPath",
    "classify",
    "connect",
    "daily_budget",
    "parse_contact",
    "parse_opportunity",
    "rest_after_429",
]
