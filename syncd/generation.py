"""The generation of a pair's state: the same mark in the database and in a second file of the state folder (SPEC §4).

A restored old database is worse than none: its shadows would take yesterday's values for agreed ones. The mark moves
before and after every pass that changes anything, so an old database carries an old one. A whole folder restored
together cannot be told (LIMITS).
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from pathlib import Path
from typing import Any, Final

from syncd.store import Store, StoreFailed

FILE_NAME: Final = "generation.json"
FACT: Final = "generation"
_lock = threading.Lock()  # one file for all pairs of a state folder


def is_current(store: Store) -> bool:
    """Whether database and file carry the same mark, or both are new. A crash while it moved counts as the same."""
    path = _path(store)
    if path is None:
        return True
    known: dict[str, str] | None = store.fact(FACT)
    marked = _read(path).get(store.pair)
    if known is None and marked is None:
        return store.count_links() == 0
    return known is not None and marked is not None and marked in (known["now"], known.get("next"))


def take_over(store: Store, former: str) -> bool:
    """Lets a renamed pair go on where it ended under its former name; False where that state is an old one."""
    if not is_current(store.named(former)):
        return False
    path = _path(store)
    if path is not None:
        _write(path, store.pair, _read(path).get(former, ""))
    store.take_over(former)
    return True


def advance(store: Store) -> None:
    """Moves the mark: announced in the database, written to the file, confirmed in the database. Raises
    `StoreFailed`."""
    path = _path(store)
    if path is None:
        return
    known: dict[str, str] = store.fact(FACT) or {}
    before = known.get("next") or known.get("now", "0-")
    mark = f"{int(before.partition('-')[0]) + 1}-{secrets.token_hex(4)}"
    # The file holds one of the two marks at any moment, whatever of these steps was the last.
    held = _read(path).get(store.pair, before)
    store.set_fact(FACT, {"now": held, "next": mark})
    _write(path, store.pair, mark)
    store.set_fact(FACT, {"now": mark})


def _path(store: Store) -> Path | None:
    return store.path.parent / FILE_NAME if store.path.name != ":memory:" else None


def _read(path: Path) -> dict[str, str]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return {}  # a mark that cannot be read is a missing one
    return found if isinstance(found, dict) else {}


def _write(path: Path, pair: str, mark: str) -> None:
    aside = path.with_suffix(".new")
    try:
        with _lock:
            marks = {**_read(path), pair: mark}
            with aside.open("w", encoding="utf-8") as file:
                json.dump(marks, file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # else a power cut could take the new name back
            finally:
                os.close(folder)
    except OSError as error:
        raise StoreFailed(f"The file {path} cannot be written: {error.strerror or error}.") from error
