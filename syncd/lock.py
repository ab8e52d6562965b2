"""One process per state folder: an OS lock held for life (SPEC §4). The kernel frees it with the process, also after
kill -9.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Final

from syncd.folder import FolderUnusable, trouble

FILE_NAME: Final = "syncd.lock"


class Held(Exception):
    """Another process holds the state folder; the text names it."""


class InstanceLock:
    """The lock of a state folder. Use as a context manager."""

    def __init__(self, folder: Path, *, doing: str) -> None:
        self.path = folder / FILE_NAME
        self.doing = doing
        self._file: int | None = None

    def __enter__(self) -> InstanceLock:
        """Takes the lock or raises `Held`, naming the holder, or `FolderUnusable`; never waits."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FolderUnusable(trouble(self.path.parent, error)) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 4096).decode(errors="replace")
            os.close(handle)
            raise Held(
                f"Another syncd works in {self.path.parent}: {describe(holder)}. "
                "Stop it first, or use another state_dir."
            ) from None
        os.ftruncate(handle, 0)
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time(), "doing": self.doing}
        os.pwrite(handle, json.dumps(about).encode(), 0)
        self._file = handle
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None


def describe(holder: str) -> str:
    """The holder's note as words."""
    try:
        about = json.loads(holder)
        since = time.strftime("%H:%M:%S", time.localtime(about["since"]))
        return f"process {about['pid']} on {about['host']} ({about['doing']}, since {since})"
    except (ValueError, KeyError, TypeError):
        return "a process that did not leave its name"


def holder(folder: Path) -> str | None:
    """Who holds the state folder right now; None where nobody does."""
    try:
        handle = os.open(folder / FILE_NAME, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return describe(os.read(handle, 4096).decode(errors="replace"))
    else:
        return None
    finally:
        os.close(handle)
