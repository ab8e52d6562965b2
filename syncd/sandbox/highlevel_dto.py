"""How the local HighLevel takes and refuses requests: calls, refusals, and the strict validation of queries and bodies.

The texts of refusals are those of reference/ghl.md §§1.1 and 2.3, in the manner of NestJS's class-validator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from .data import Record
from .wire import Answer, Request

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Refused(Exception):
    """A request that HighLevel refuses. `message` is a sentence, or for a 422 of the validation a list of them."""

    def __init__(
        self, status: int, message: str | list[str], code: str | None = None, meta: Record | None = None
    ) -> None:
        super().__init__(str(message))
        self.status = status
        self.message = message
        self.code = code
        self.meta = meta

    def answer(self, trace_id: str) -> Answer:
        """The refusal as it goes over the wire."""
        body: Record = {"statusCode": self.status, "message": self.message}
        if self.code:
            body["code"] = self.code
        if self.meta:
            body["meta"] = self.meta
        return Answer(self.status, body | {"error": HTTPStatus(self.status).phrase, "traceId": trace_id})


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has passed the gate: who may, where and in which version is settled."""

    request: Request
    v3: bool
    ids: tuple[str, ...]  # the variable parts of the path
    body: Record

    def query(self) -> dict[str, str]:
        """The query; the last of repeated names counts."""
        return dict(self.request.query)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method and path; `*` in the path is an id. `v3_only`: the path does not exist under older versions."""

    method: str
    path: str
    scope: str
    run: Callable[[Call], Answer]
    v3_only: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What a property must be. `kind`: string, text (not empty), number, boolean, array, object, email, or an enum."""

    kind: str | tuple[str, ...]
    required: bool = False
    nullable: bool = False
    most: int | None = None  # the largest number, or the longest text
    least: int | None = None


Rules = Mapping[str, Rule]


def check(given: Mapping[str, Any], rules: Rules, also: Iterable[str] = ()) -> None:
    """Refuses (422) what has an unknown property, lacks a required one, or holds a wrong value.

    `also` are further complaints, put after these.
    """
    complaints = [f"property {name} should not exist" for name in given if name not in rules]
    for name, rule in rules.items():
        complaints += _complaints(name, given.get(name), name in given, rule)
    complaints += also
    if complaints:
        raise Refused(422, complaints)


def check_query(call: Call, rules: Rules) -> Record:
    """Checks the query strictly and returns it with its numbers as numbers."""
    given: Record = dict(call.query())
    for name, rule in rules.items():
        if rule.kind == "number" and name in given:
            given[name] = _number(given[name])
        elif rule.kind == "boolean" and name in given:
            given[name] = {"true": True, "false": False}.get(given[name], given[name])
    check(given, rules)
    return given


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text


def _complaints(name: str, value: Any, present: bool, rule: Rule) -> list[str]:
    if not present or value is None:
        if present and not rule.nullable:
            return _wrong(name, rule) + ([f"{name} should not be empty"] if rule.required else [])
        return [*_wrong(name, rule), f"{name} should not be empty"] if rule.required else []
    if not _fits(value, rule.kind):
        return _wrong(name, rule)
    if (rule.required or rule.kind == "text") and value == "":
        return [f"{name} should not be empty"]
    if rule.most is not None and isinstance(value, str) and len(value) > rule.most:
        return [f"{name} must be shorter than or equal to {rule.most} characters"]
    if rule.most is not None and isinstance(value, int) and value > rule.most:
        return [f"{name} must not be greater than {rule.most}"]
    if rule.least is not None and isinstance(value, int) and value < rule.least:
        return [f"{name} must not be less than {rule.least}"]
    return []


def _fits(value: Any, kind: str | tuple[str, ...]) -> bool:
    if isinstance(kind, tuple):
        return value in kind
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "email":
        return isinstance(value, str) and _EMAIL.fullmatch(value) is not None
    types: dict[str, type] = {"string": str, "text": str, "boolean": bool, "array": list, "object": dict}
    return isinstance(value, types[kind])


def _wrong(name: str, rule: Rule) -> list[str]:
    if isinstance(rule.kind, tuple):
        return [f"{name} must be one of the following values: {', '.join(rule.kind)}"]
    ends = {
        "number": "a number conforming to the specified constraints",
        "boolean": "a boolean value",
        "array": "an array",
        "object": "an object",
        "email": "an email",
    }
    return [f"{name} must be {ends.get(rule.kind, 'a string')}"]
