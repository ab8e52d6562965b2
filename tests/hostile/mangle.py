"""Answers as no server should give them: lifelike JSON with any node removed, replaced, nested or retyped, and bytes
that are no JSON at all."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

Path: TypeAlias = tuple[str | int, ...]

DEEP: Final = 100_000
LONE: Final = "Roof \ud83d"  # the first half of an emoji, as a text cut by its length ends
HUGE: Final = 10**400  # more than any float
# Whatever a node may turn into. None of these is a value that a person could have typed into a deal or a row.
ODD: Final[tuple[Any, ...]] = (
    None, True, False, HUGE, -HUGE, 1e300, -1e300, 10**4000, [], {}, [None], {"error": "#ERROR!"}, [[[]]], LONE,
    float("nan"), float("inf"), float("-inf"), {"id": None}, [{}], {"": {"": ""}},
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer as it goes over the wire."""

    status: int
    content: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def nodes(body: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all nodes, the root's first."""
    yield path
    if isinstance(body, dict):
        for key, value in body.items():
            yield from nodes(value, (*path, key))
    elif isinstance(body, list):
        for index, value in enumerate(body):
            yield from nodes(value, (*path, index))


def leaves(body: Any) -> Iterator[Any]:
    """All texts, numbers, booleans and nulls."""
    if isinstance(body, dict):
        for value in body.values():
            yield from leaves(value)
    elif isinstance(body, list):
        for value in body:
            yield from leaves(value)
    else:
        yield body


def at(body: Any, path: Path) -> Any:
    """The node at a path."""
    for step in path:
        body = body[step]
    return body


def _with(body: Any, path: Path, value: Any) -> Any:
    """A copy of `body` that holds `value` at `path`."""
    if not path:
        return value
    made = copy.deepcopy(body)
    at(made, path[:-1])[path[-1]] = value
    return made


def _without(body: Any, path: Path) -> Any:
    if not path:
        return None
    made = copy.deepcopy(body)
    del at(made, path[:-1])[path[-1]]
    return made


def _retyped(value: Any) -> Any:
    """The same in another type."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return [value]
    if isinstance(value, int | float):
        return {"value": value}
    if isinstance(value, dict):
        return list(value.items())
    return {str(index): one for index, one in enumerate(value)} if isinstance(value, list) else 0


def _doubled(body: Any, path: Path) -> Any:
    """The element of a list once more; anything else as a list of itself."""
    made = copy.deepcopy(body)
    if path and isinstance(path[-1], int):
        at(made, path[:-1]).append(at(made, path))
        return made
    return _with(body, path, [at(body, path)] * 2)


@dataclass(frozen=True, slots=True)
class Bend:
    """One change of a tree: the node that is `pick` of the way through it, and what happens to that node."""

    pick: float
    kind: str
    odd: Any = None
    other: float = 0.0

    def __call__(self, body: Any) -> Any:
        """The changed copy."""
        paths = list(nodes(body))
        path = paths[int(self.pick * (len(paths) - 1))]
        if self.kind == "removed":
            return _without(body, path)
        if self.kind == "nested":
            return _with(body, path, {"data": at(body, path)})
        if self.kind == "retyped":
            return _with(body, path, _retyped(at(body, path)))
        if self.kind == "doubled":
            return _doubled(body, path)
        if self.kind == "swapped":  # a lie: what stands elsewhere in the same answer
            return _with(body, path, copy.deepcopy(at(body, paths[int(self.other * (len(paths) - 1))])))
        return _with(body, path, copy.deepcopy(self.odd))


BENDS: Final = ("odd", "removed", "nested", "retyped", "doubled")


def bends(*, lies: bool = True) -> st.SearchStrategy[Bend]:
    """Changes of one node. Without `lies` no node gets what belongs to another one."""
    kinds = (*BENDS, "odd", *(("swapped",) if lies else ()))
    place = st.floats(0, 1)
    return st.builds(Bend, place, st.sampled_from(kinds), st.sampled_from(ODD), place)


def encoded(body: Any) -> bytes:
    """As JSON, with what is none (NaN, halves of emojis) written as servers write it."""
    return json.dumps(body).encode()


def bent(sent: Sent, *changes: Bend) -> Sent:
    """The answer with its JSON changed; one that is no JSON stays as it is."""
    try:
        body = json.loads(sent.content)
    except ValueError:
        return sent
    for change in changes:
        body = change(body)
    return Sent(sent.status, encoded(body), sent.headers)


# --- answers whose bytes are wrong -----------------------------------------------------------------------------------


def _headed(sent: Sent, content: bytes, **headers: str) -> Sent:
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent(sent.status, content, {**sent.headers, **more})


def _twice_keyed(content: bytes) -> bytes:
    """Every object names its id twice, and another id last."""
    return content.replace(b'"id":', b'"id": "first", "id":').replace(b'"code":', b'"code": "X", "code":')


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


HTML: Final = b"<html><h1>Sign in to the hotel's network</h1></html>"
LATIN: Final = "application/json; charset=latin-1"
SPOILS: Final[dict[str, Callable[[Sent], Sent]]] = {
    "empty": lambda sent: _headed(sent, b""),
    "cut off": lambda sent: _headed(sent, sent.content[: len(sent.content) * 2 // 3]),
    "html": lambda sent: _headed(sent, HTML, content_type="text/html"),
    "a number": lambda sent: _headed(sent, b"7"),
    "a text": lambda sent: _headed(sent, b'"OPPORTUNITY_NOT_FOUND"'),
    "a list": lambda sent: _headed(sent, b"[" + sent.content + b"]"),
    "null": lambda sent: _headed(sent, b"null"),
    "NaN": lambda sent: _headed(sent, b"NaN"),
    "deep lists": lambda sent: _headed(sent, b"[" * DEEP + b"]" * DEEP),
    "deep objects": lambda sent: _headed(sent, b'{"a":' * DEEP),
    "deep within": lambda sent: _headed(sent, sent.content[:-1] + b',"x":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    "a number of 5,000 digits": lambda sent: _headed(sent, sent.content[:-1] + b',"x":' + b"9" * 5000 + b"}"),
    "no UTF-8": lambda sent: _headed(sent, sent.content.replace(b"a", b"\xff\xfe")),
    "Latin-1": lambda sent: _headed(sent, sent.content.replace(b"a", b"\xe9"), content_type=LATIN),
    "half emojis in UTF-8": lambda sent: _headed(sent, sent.content.replace(b"a", b"\xed\xa0\xbd")),
    "zero bytes": lambda sent: _headed(sent, sent.content.replace(b"a", b"\x00")),
    "an odd charset": lambda sent: _headed(sent, sent.content, content_type="application/json; charset=idna"),
    "no gzip": lambda sent: _headed(sent, sent.content, content_encoding="gzip"),
    "half a gzip": lambda sent: _headed(sent, _half(gzip.compress(sent.content)), content_encoding="gzip"),
    "an unknown encoding": lambda sent: _headed(sent, gzip.compress(sent.content), content_encoding="x-own"),
    "keys twice": lambda sent: _headed(sent, _twice_keyed(sent.content)),
    "two documents": lambda sent: _headed(sent, sent.content + sent.content),
}  # fmt: skip
