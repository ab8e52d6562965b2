"""The generation of a pair's state: the same mark in the database and in a second file of the state folder (SPEC §4).

A restored old database is worse than none: its shadows would take yesterday's values for agreed ones. The mark moves
before and after every pass that changes anything, so an old database carries an old one. A whole folder restored
together cannot be told (LIMITS).
"""

from __future__ import annotations

import secrets
from typing import Final

from syncd.store import Store, StoreFailed

FACT: Final = "generation"


def is_current(store: Store) -> bool:
    """Whether database and file carry the same mark, or both are new. A crash while it moved counts as the same."""
    if store.marks is None:
        return True
    known: dict[str, str] | None = store.fact(FACT)
    marked = store.marks.read(store.pair)
    if known is None and marked is None:
        return store.count_links() == 0
    return known is not None and marked is not None and marked in (known["now"], known.get("next"))


def take_over(store: Store, former: str) -> bool:
    """Lets a renamed pair go on where it ended under its former name; False where that state is an old one."""
    if not is_current(store.named(former)):
        return False
    if store.marks is not None:
        _write(store, store.marks.read(former) or "")
    store.take_over(former)
    return True


def advance(store: Store) -> None:
    """Moves the mark: announced in the database, written to the file, confirmed in the database. Raises
    `StoreFailed`."""
    if store.marks is None:
        return
    known: dict[str, str] = store.fact(FACT) or {}
    before = known.get("next") or known.get("now", "0-")
    mark = f"{int(before.partition('-')[0]) + 1}-{secrets.token_hex(4)}"
    # The file holds one of the two marks at any moment, whatever of these steps was the last.
    store.set_fact(FACT, {"now": store.marks.read(store.pair) or before, "next": mark})
    _write(store, mark)
    store.set_fact(FACT, {"now": mark})


def _write(store: Store, mark: str) -> None:
    assert store.marks is not None
    try:
        store.marks.write(store.pair, mark)
    except OSError as error:
        raise StoreFailed(f"The state folder of {store.path} cannot be written: {error.strerror or error}.") from error
