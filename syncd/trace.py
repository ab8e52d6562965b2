"""What this user's other processes have just sent: it counts with a server's rate limit as if it were ours.

`syncd plan` beside the daemon, a pass right after another one, a daemon that was killed and started again: each would
have a budget of its own and together they would exceed the limit, for which Airtable refuses every call for 30 s.
So the times of the latest requests stand in a small file for each limit, which belongs to nobody's state: it lies where
systemd says (RuntimeDirectory=), else with the temporary files, and whatever is wrong with it, calls go on without it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TRIES: Final = 50  # a millisecond apart: who holds the lock needs a few microseconds, unless it was stopped just then
LONGEST: Final = 64 * 1024  # bytes; a limit of 90 calls needs 720


def folder() -> Path | None:
    """Where traces lie, made if need be; None where that is no folder of this user's alone."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    path = Path(given) if given else Path(tempfile.gettempdir(), f"syncd-{os.geteuid()}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return path if ours else None


class Trace:
    """The times of the requests within one rate limit, on the monotonic clock, which all processes share."""

    def __init__(self, key: tuple[str, ...], *, sleep: Callable[[float], object] = time.sleep) -> None:
        """`key` names the limit: a service, its address, a base or location."""
        self._name = f"{key[0]}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"
        self._sleep = sleep

    @contextmanager
    def held(self) -> Iterator[Sent | None]:
        """The file, while no other process can change it; None where it cannot be had, which is no failure."""
        handle = self._opened()
        try:
            yield Sent(handle) if handle is not None and self._locked(handle) else None
        finally:
            if handle is not None:
                os.close(handle)  # which frees the lock

    def _opened(self) -> int | None:
        place = folder()
        if place is None:
            return None
        try:
            return os.open(place / self._name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return None

    def _locked(self, handle: int) -> bool:
        for _ in range(TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._sleep(0.001)
            else:
                return True
        return False


class Sent:
    """A trace's file while it is locked."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def since(self, begin: float, now: float) -> list[float]:
        """The times in (begin, now], in order. Later ones are those of a clock that has begun anew."""
        try:
            data = os.pread(self._handle, LONGEST, 0)
        except OSError:
            return []
        return sorted(at for (at,) in struct.iter_unpack("<d", data[: len(data) // 8 * 8]) if begin < at <= now)

    def keep(self, times: list[float]) -> None:
        """Writes them in place of what was there."""
        data = struct.pack(f"<{len(times)}d", *times)
        try:
            os.pwrite(self._handle, data, 0)
            os.ftruncate(self._handle, len(data))
        except OSError:
            return
