"""Progress of long work on a terminal; silent in logs and pipes."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """A line on standard error that says what is being done. Use as a context manager."""

    def __init__(self, quiet: bool, pair: str) -> None:
        self._pair = pair
        self._status: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(f"{pair}: connecting")

    def show(self, what: str, done: int, total: int) -> None:
        """`done` of `total`; a total of 0 means that it is not known."""
        if self._status is not None:
            count = f" {done:,} of {total:,}" if total else ""
            self._status.update(f"{self._pair}: {what}{count}")

    def __enter__(self) -> Progress:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._status is not None:
            self._status.stop()
