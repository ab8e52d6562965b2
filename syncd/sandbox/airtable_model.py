"""What a base is made of: settings, fields, choices, rows, tables, and the refusals that the API answers with.

Cells are kept in a form of their own: a select by its choice's id (a renamed choice changes every row at once), a
checkbox as True, empty as an absent key. `airtable_values` turns them into the forms of reference/airtable.md §5.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

ALL_SCOPES: Final = frozenset(
    {
        "data.records:read",
        "data.records:write",
        "schema.bases:read",
        "schema.bases:write",
        "user.email:read",
        "webhook:manage",
    }
)
COMPUTED: Final = frozenset(
    {
        "aiText",
        "autoNumber",
        "button",
        "count",
        "createdBy",
        "createdTime",
        "externalSyncSource",
        "formula",
        "lastModifiedBy",
        "lastModifiedTime",
        "lookup",
        "manualSort",
        "multipleLookupValues",
        "rollup",
    }
)
_COLORS = ("blueLight2", "cyanLight2", "tealLight2", "greenLight2", "yellowLight2", "orangeLight2", "redLight2")
_ALPHABET = string.ascii_letters + string.digits


@dataclass(slots=True)
class Settings:
    """What may be changed while the server runs. Most stand for questions of reference/airtable.md §13 that are open.

    `rate_per_second` None: no limit. `monthly_limit` None: no quota. Times are in seconds.
    `rate_429_shape`: "error" or "errors" (§1). `not_found_shape`: "string", "type", "model_id" or "forbidden" (§9);
    `missing_table_shape`: "forbidden" or "table_not_found". `locked_fields` (ids) refuse to be written,
    `locked_tables` (ids) refuse new rows, both with 403.
    """

    token: str = "pat-sandbox"
    rate_per_second: int | None = 5
    penalty_seconds: float = 30.0
    offset_lifetime_seconds: float = 300.0
    monthly_limit: int | None = None
    scopes: frozenset[str] = ALL_SCOPES
    creator: bool = True
    rate_429_shape: str = "error"
    not_found_shape: str = "string"
    missing_table_shape: str = "forbidden"
    noop_write_bumps: bool = False  # §13 question 2
    creation_bumps: bool = True  # whether the values that a row is made with count as modifications (§13 question 8)
    rename_option_bumps: bool = False  # §13 question 15
    blank_dates_fail: bool = True  # IS_AFTER of a blank: an error, or false (§3)
    formula_creatable: bool = False  # §6: "in flux"
    base_wide_get: bool = False  # §2: a GET by id through the wrong table may find the row all the same
    locked_fields: frozenset[str] = frozenset()
    locked_tables: frozenset[str] = frozenset()


class Refused(Exception):
    """A request that the API refuses: the answer's status and body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


def refusal(status: int, kind: str, message: str | None = None) -> Refused:
    """A refusal with the body `{"error": {"type", "message"}}` (reference/airtable.md §9)."""
    error = {"type": kind} if message is None else {"type": kind, "message": message}
    return Refused(status, {"error": error})


def bad_request(message: str = "Invalid request: parameter validation failed. Check your request data.") -> Refused:
    """422 INVALID_REQUEST_UNKNOWN (reference/airtable.md §9)."""
    return refusal(422, "INVALID_REQUEST_UNKNOWN", message)


def unknown_field(name: str) -> Refused:
    """422 UNKNOWN_FIELD_NAME (reference/airtable.md §9)."""
    return refusal(422, "UNKNOWN_FIELD_NAME", f'Unknown field name: "{name}"')


def forbidden() -> Refused:
    """403 for what is missing or not allowed: Airtable does not say which (reference/airtable.md §9)."""
    return refusal(
        403,
        "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",
        "Invalid permissions, or the requested model was not found. Check that both your user and your token have "
        "the required permissions, and that the model names and/or ids are correct.",
    )


@dataclass(slots=True)
class Choice:
    """An option of a select field."""

    id: str
    name: str
    color: str


@dataclass(slots=True)
class Field:
    """A column. `choices` is used by selects only; other options are kept as they came."""

    id: str
    name: str
    type: str
    options: dict[str, Any] | None = None
    description: str | None = None
    choices: list[Choice] = field(default_factory=list)

    def choice(self, name: str) -> Choice | None:
        """The choice of exactly this name: case and spaces count."""
        return next((choice for choice in self.choices if choice.name == name), None)

    def choice_of_id(self, choice_id: str) -> Choice | None:
        """The choice of this id; None where it was taken away."""
        return next((choice for choice in self.choices if choice.id == choice_id), None)

    def schema(self) -> dict[str, Any]:
        """The field as the metadata API shows it (reference/airtable.md §6)."""
        found: dict[str, Any] = {"id": self.id, "name": self.name, "type": self.type}
        if self.description is not None:
            found["description"] = self.description
        if self.type in ("singleSelect", "multipleSelects"):
            choices = [{"id": choice.id, "name": choice.name, "color": choice.color} for choice in self.choices]
            found["options"] = {"choices": choices}
        elif self.options is not None:
            found["options"] = self.options
        return found


@dataclass(slots=True)
class Row:
    """A row. By field id: `cells` holds what is not empty, `modified` when a cell was last written (a whole second)."""

    id: str
    number: int
    created: float
    cells: dict[str, Any] = field(default_factory=dict)
    modified: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class View:
    """A grid view without filter: its order is that in which rows were made."""

    id: str
    name: str
    type: str = "grid"


@dataclass(slots=True)
class Table:
    """A table. `order` is the arbitrary order of listings; `trash` keeps deleted rows for a person to restore."""

    id: str
    name: str
    primary_field_id: str
    description: str | None = None
    fields: dict[str, Field] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    trash: dict[str, Row] = field(default_factory=dict)
    last_number: int = 0

    def field(self, id_or_name: str) -> Field | None:
        """The column of this id, or of exactly this name."""
        found = self.fields.get(id_or_name)
        return found or next((one for one in self.fields.values() if one.name == id_or_name), None)

    def schema(self, *, visible_fields: bool = False) -> dict[str, Any]:
        """The table as the metadata API shows it (reference/airtable.md §6)."""
        views: list[dict[str, Any]] = [{"id": view.id, "name": view.name, "type": view.type} for view in self.views]
        if visible_fields:
            for view in views:
                view["visibleFieldIds"] = list(self.fields)
        found: dict[str, Any] = {"id": self.id, "name": self.name, "primaryFieldId": self.primary_field_id}
        if self.description is not None:
            found["description"] = self.description
        found["fields"] = [one.schema() for one in self.fields.values()]
        found["views"] = views
        return found


@dataclass(frozen=True, slots=True)
class Write:
    """One write to one row, for tests. `kind` is create, update or delete.

    `fields` maps a column's name to (old, new) as REST shows them; an update lists every cell that it named, equal
    values too. `source` is publicApi, client (a person) or automation.
    """

    at: float
    kind: str
    table_id: str
    record_id: str
    fields: dict[str, tuple[Any, Any]]
    source: str


class Ids:
    """Ids like Airtable's: a prefix and 14 characters, the same for the same seed (reference/airtable.md §2)."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def new(self, prefix: str) -> str:
        """A new id, such as `recA1b2C3d4E5f6G7`."""
        return prefix + "".join(self.random.choices(_ALPHABET, k=14))

    def choices(self, names: Iterable[str], *, already: int = 0) -> list[Choice]:
        """New select choices; colours go round."""
        return [
            Choice(self.new("sel"), name, _COLORS[(already + index) % len(_COLORS)]) for index, name in enumerate(names)
        ]


def iso(at: float) -> str:
    """An instant (epoch seconds) as `2026-11-21T10:00:00.000Z`."""
    found = datetime.fromtimestamp(at, UTC)
    return f"{found:%Y-%m-%dT%H:%M:%S}.{found.microsecond // 1000:03d}Z"
