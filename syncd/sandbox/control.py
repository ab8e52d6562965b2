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
THINGS = {"deals": "deal", "contacts": "contact", "pipelines": "pipeline", "stages": "stage", "users": "user",
          "records": "row", "fields": "column", "options": "option"}  # fmt: skip
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
    `/_sandbox/log`. `heard` is told of every control request that was carried out: (method, path parts, body).
    """

    def __init__(self, faulty: Faulty, service: Control) -> None:
        self.faulty = faulty
        self._service = service
        self.heard: Callable[[str, tuple[str, ...], Any], None] = lambda _method, _parts, _body: None

    def handle(self, request: Request) -> Answer:
        """Answers one request."""
        if not request.path.startswith(PREFIX):
            return self.faulty.handle(request)
        parts = tuple(part for part in request.path.removeprefix(PREFIX).split("/") if part)
        try:
            body = request.json()
        except ValueError as error:
            return Answer(400, {"error": f"The body is not JSON: {error}."})
        try:
            answer = self._control(request.method, parts, body)
        except (LookupError, TypeError, ValueError) as error:
            return Answer(400, {"error": explained(error, parts, body)})
        if answer.status < 300:
            self.heard(request.method, parts, body)
        return answer

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
        if not isinstance(one, dict):
            raise ValueError('a fault is an object such as {"method": "PUT", "status": 503}')
        if unknown := sorted(set(one) - _FAULT_FIELDS):
            raise ValueError(f"a fault has no {', '.join(unknown)}; it has {', '.join(sorted(_FAULT_FIELDS))}")
    return [Fault(**one) for one in found]


def explained(error: Exception, parts: tuple[str, ...], body: Any) -> str:
    """A sentence for what a control request asked in vain; `parts` are those of its path."""
    said = str(error.args[0]) if error.args else ""
    if isinstance(error, TypeError) and not isinstance(body, dict):
        sentence = "this needs a JSON object as its body"
    elif not isinstance(error, KeyError):
        sentence = said
    elif said.startswith("no "):
        sentence = f"there is {said}"
    elif said in parts:
        sentence = f"there is no {THINGS.get(parts[0], 'such thing as')} {said}"
    elif isinstance(body, dict) and said not in map(str, body.values()):
        sentence = f'the body needs "{said}"'
    else:
        sentence = f"nothing has the id {said}"
    return f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}."


def not_allowed(method: str) -> Answer:
    """405 for a method that a control path does not have."""
    return Answer(405, {"error": f"{method} is not possible here."})


def not_found(path_parts: tuple[str, ...]) -> Answer:
    """404 for a control path that a service does not have."""
    return Answer(404, {"error": f"There is no {PREFIX}{'/'.join(path_parts)} at this address."})
