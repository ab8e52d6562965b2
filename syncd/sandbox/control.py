"""The control path of a sandbox server: `/_sandbox/...` beside the service, for tests and for `syncd demo`.

Requests there carry no token, meet no fault or rate limit and are not logged. `/_sandbox/faults` and `/_sandbox/log`
are the same for every service; what else there is belongs to the service's own `control`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, Protocol

from .wire import Answer, Fault, Faulty, Request

PREFIX = "/_sandbox/"
_FAULT_FIELDS = frozenset(field.name for field in fields(Fault))


class Control(Protocol):
    """A service that people's edits can be played on."""

    def control(self, method: str, path_parts: tuple[str, ...], body: Any) -> Answer:
        """Answers `/_sandbox/<path_parts>`; `body` is the decoded JSON, or None where there is none.

        A LookupError, TypeError or ValueError becomes a 400 that names it.
        """
        ...


class Controlled:
    """Routes `/_sandbox/` to the fault list, the log or the service's `control`; all else goes through the `Faulty`.

    GET, POST (one fault, or a list, as JSON with `Fault`'s field names) and DELETE `/_sandbox/faults`; GET and DELETE
    `/_sandbox/log`.
    """

    def __init__(self, faulty: Faulty, service: Control) -> None:
        self.faulty = faulty
        self._service = service

    def handle(self, request: Request) -> Answer:
        """Answers one request."""
        if not request.path.startswith(PREFIX):
            return self.faulty.handle(request)
        parts = tuple(part for part in request.path.removeprefix(PREFIX).split("/") if part)
        try:
            return self._control(request.method, parts, request.json())
        except (LookupError, TypeError, ValueError) as error:
            return Answer(400, {"error": f"{type(error).__name__}: {error}"})

    def _control(self, method: str, parts: tuple[str, ...], body: Any) -> Answer:
        if parts == ("faults",):
            return self._faults(method, body)
        if parts == ("log",):
            return self._log(method)
        return self._service.control(method, parts, body)

    def _faults(self, method: str, body: Any) -> Answer:
        actions: dict[str, Callable[[], object]] = {
            "GET": lambda: None,
            "POST": lambda: self.faulty.faults.extend(faults_from(body)),
            "DELETE": self.faulty.faults.clear,
        }
        if method not in actions:
            return not_allowed(method)
        actions[method]()
        return Answer(200, {"faults": [asdict(fault) for fault in list(self.faulty.faults)]})

    def _log(self, method: str) -> Answer:
        if method not in ("GET", "DELETE"):
            return not_allowed(method)
        log = [asdict(line) for line in list(self.faulty.log)]
        if method == "DELETE":
            self.faulty.log.clear()
        return Answer(200, {"log": log})


def faults_from(body: Any) -> list[Fault]:
    """Faults from JSON: one object, or a list of them. ValueError where a field's name is unknown."""
    found = body if isinstance(body, list) else [body]
    for one in found:
        if not isinstance(one, dict) or (unknown := set(one) - _FAULT_FIELDS):
            raise ValueError(f"not a fault: {one!r}" if not isinstance(one, dict) else f"unknown fields {unknown}")
    return [Fault(**one) for one in found]


def not_allowed(method: str) -> Answer:
    """405 for a method that a control path does not have."""
    return Answer(405, {"error": f"{method} is not possible here"})


def not_found(path_parts: tuple[str, ...]) -> Answer:
    """404 for a control path that a service does not have."""
    return Answer(404, {"error": f"no such control path: {'/'.join(path_parts)}"})
