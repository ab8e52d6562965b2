"""What a table in a file needs, whatever its format: whether somebody has it open, whether it is still what was read,
and a new content that stands there wholly or not at all.

Source: `stack.md` §9. LibreOffice takes no lock of the system, only a file `.~lock.NAME#` beside the document, which a
crash leaves behind; Excel keeps `~$NAME` there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from syncd.sides import Misconfigured, SideDown
from syncd.tables.grid import GridBusy, GridMoved

BACKUP: Final = ".syncd-backup"  # after the file's name: what it held before syncd last wrote
_ASIDE: Final = ".syncd-new"
_ASIDE_AGE: Final = 3600.0  # seconds after which a file that was written aside can only be left over from a crash
_SETTLED: Final = 2.0  # seconds; the coarsest clock of a file system (FAT) cannot tell two saves within it
_LOCK_SIZE: Final = 4096  # bytes; both lock files are far smaller


class Unwritable(GridBusy):
    """One value, or the new rows, cannot be written to this file, and will not be until somebody changes something;
    nothing was written. `cell` is the one to blame by row and column of the grid; None where it is the new rows.
    """

    def __init__(self, sentence: str, cell: tuple[int, int] | None = None) -> None:
        super().__init__(sentence)
        self.cell = cell


@dataclass(frozen=True, slots=True)
class Print:
    """What tells one state of a file from another without reading it."""

    modified: int  # nanoseconds
    size: int
    inode: int
    device: int

    @classmethod
    def of(cls, about: os.stat_result) -> Print:
        """From what the system says."""
        return cls(about.st_mtime_ns, about.st_size, about.st_ino, about.st_dev)


@dataclass(frozen=True, slots=True)
class Content:
    """A file's content with the print that it had then; `version` is its SHA-256. `settled` says that a later save
    would show in the print.
    """

    data: bytes
    print: Print
    version: str
    settled: bool


class TableFile:
    """A file that holds a table. All verbs raise `SideDown` or `Misconfigured` with a sentence."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.name = path.name
        self._clock = clock

    @property
    def resolved(self) -> Path:
        """The file itself, where the path is a link to it."""
        return Path(os.path.realpath(self.path))

    def read(self) -> Content:
        """The whole content, as one save left it."""
        for _ in range(3):
            try:
                with open(self.resolved, "rb") as file:
                    before = os.fstat(file.fileno())
                    if not stat.S_ISREG(before.st_mode):
                        raise Misconfigured(f"{self.path} is no file.")
                    data = file.read()
                    after = os.fstat(file.fileno())
            except OSError as error:
                raise self._unreadable(error) from None
            seen = Print.of(after)
            if Print.of(before) == seen == self.glance() and len(data) == seen.size:
                settled = abs(self._clock() - after.st_mtime) > _SETTLED
                return Content(data, seen, self.version_of(data), settled)
        raise SideDown(f"{self.path} is being saved just now; syncd reads it in the next pass.")

    @staticmethod
    def version_of(data: bytes) -> str:
        """What tells this content from any other."""
        return sha256(data).hexdigest()

    def glance(self) -> Print | None:
        """The file's print as it is now; None where it cannot be told."""
        try:
            return Print.of(os.stat(self.resolved))
        except OSError:
            return None

    def _unreadable(self, error: OSError) -> Exception:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            if not self.resolved.parent.is_dir():
                return Misconfigured(
                    f"{self.path} cannot be found: there is no folder {self.resolved.parent}. Is its drive connected?"
                )
            backup = self.resolved.with_name(self.resolved.name + BACKUP)
            known = f"put it back ({backup.name} beside it is what it was before our last write)"
            mend = known if backup.exists() else "make one with `syncd init --config NEW.toml`"
            return Misconfigured(f"There is no file {self.path}. Set `path` of this table, or {mend}.")
        if isinstance(error, IsADirectoryError):
            return Misconfigured(f"{self.path} is a folder, not a file.")
        if isinstance(error, PermissionError):
            return Misconfigured(f"syncd may not read {self.path}: give its user the right to.")
        return SideDown(f"{self.path} cannot be read: {_reason(error)}.")

    def busy(self) -> str | None:
        """Who has the file open, as a sentence; None where nobody seems to."""
        for path in {self.path.absolute(), self.resolved}:
            office = path.with_name(f".~lock.{path.name}#")
            note = _note(office)
            if note is not None:
                return self._open_in("LibreOffice", _libreoffice_user(note), office.name)
            excel = path.with_name(f"~${path.name}")
            note = _note(excel)
            if note is not None:
                return self._open_in("Excel", _excel_user(note), excel.name)
        return None

    def _open_in(self, program: str, who: str, lock: str) -> str:
        return (
            f"{self.name} is open in {program}{who}: changes are written when it is closed. "
            f"If nobody has it open, {program} left the file {lock} behind in a crash: delete it."
        )

    def replace(self, data: bytes, old: Content) -> Print:
        """Puts `data` in place of what was read as `old`, which is kept as a backup: after a crash at any moment one of
        the two stands there, whole. Mode, owner and extended attributes stay.

        Raises `GridMoved` where the file is no longer `old`, `GridBusy` where it is open or cannot be replaced now;
        then nothing was written.
        """
        target = self.resolved
        self.refuse_busy()
        self._refuse_moved(old)
        aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_ASIDE}")
        try:
            self._clear_leftovers(target)
            made = _write_aside(aside, data, target)
            _keep_backup(target)
            self.refuse_busy()
            self._refuse_moved(old)
            try:
                os.replace(aside, target)
            except OSError:
                if self.glance() != made:  # a network drive may do it and lose the answer
                    raise
        except OSError as error:
            raise self._unwritable(error) from None
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
        _sync_folder(target.parent)
        return made

    def refuse_busy(self) -> None:
        """Raises `GridBusy` where somebody has the file open."""
        sentence = self.busy()
        if sentence is not None:
            raise GridBusy(sentence)

    def _refuse_moved(self, old: Content) -> None:
        if self.glance() != old.print:
            raise GridMoved(f"{self.name} was saved by somebody else while syncd was writing.")

    def _unwritable(self, error: OSError) -> Exception:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return SideDown(f"{self.path} cannot be written: the disk is full. The old content stands there still.")
        if error.errno == errno.EROFS:
            return Misconfigured(f"{self.path} cannot be written: its drive is read-only.")
        if isinstance(error, PermissionError):
            return GridBusy(
                f"{self.path} cannot be replaced: syncd lacks the right to write in {self.resolved.parent}, or a "
                "program holds the file. Changes wait until it can."
            )
        return GridBusy(f"{self.path} cannot be written now: {_reason(error)}. Changes wait until it can.")

    def _clear_leftovers(self, target: Path) -> None:
        for left in target.parent.glob(f".{_literal(target.name)}.*{_ASIDE}"):
            with contextlib.suppress(OSError):
                if self._clock() - left.stat().st_mtime > _ASIDE_AGE:
                    left.unlink()


def _literal(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _write_aside(aside: Path, data: bytes, like: Path) -> Print:
    about = os.stat(like)
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        _keep_owner(handle, about)
        _keep_attributes(handle, like)
        os.fchmod(handle, stat.S_IMODE(about.st_mode))  # last: a change of owner clears some bits
        os.fsync(handle)
        return Print.of(os.fstat(handle))
    finally:
        os.close(handle)


def _keep_owner(handle: int, about: os.stat_result) -> None:
    mine = os.fstat(handle)
    if (mine.st_uid, mine.st_gid) == (about.st_uid, about.st_gid):
        return
    try:
        os.fchown(handle, about.st_uid, about.st_gid)
    except PermissionError:  # only root may give a file away; its group, a member may
        with contextlib.suppress(PermissionError):
            os.fchown(handle, -1, about.st_gid)


def _keep_attributes(handle: int, like: Path) -> None:
    """Access lists and labels, where the system knows them."""
    if not hasattr(os, "listxattr"):
        return
    with contextlib.suppress(OSError):
        for name in os.listxattr(like):
            with contextlib.suppress(OSError):
                os.setxattr(handle, name, os.getxattr(like, name))


def _keep_backup(target: Path) -> None:
    """The file as it is also stands under the backup's name: as a second name of it where the drive knows such, for it
    gets no other content; else as a copy.
    """
    backup = target.with_name(target.name + BACKUP)
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_ASIDE}")
    try:
        try:
            os.link(target, fresh)
        except OSError:
            _write_aside(fresh, target.read_bytes(), target)
        os.replace(fresh, backup)
    finally:
        # Where both are names of one file, os.replace does nothing and leaves them both (rename(2)).
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Makes the new name last. Not every drive can; the file itself stands there either way."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _note(path: Path) -> bytes | None:
    """What a lock file says; None where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(_LOCK_SIZE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return b""  # it is there, and its owner lets nobody read it


def _libreoffice_user(note: bytes) -> str:
    """From `NAME,USER,HOST,DATE TIME,PROFILE;`, in which a comma within a field is escaped."""
    fields = note.decode("utf-8", "replace").rstrip(";\n").replace("\\,", "\0").split(",")
    name, user, host, since, *_ = [*(_clean(field.replace("\0", ",")) for field in fields), "", "", "", ""]
    who = name or user
    where = f" on {host}" if host else ""
    when = f", since {since}" if since else ""
    return f" ({who or 'somebody'}{where}{when})" if who or host else ""


def _excel_user(note: bytes) -> str:
    """From a byte that counts the letters, and the name in the system's old encoding; the same again in UTF-16 from
    byte 55 on."""
    if len(note) > 57 and 0 < note[55] <= 54:
        name = _clean(note[57 : 57 + 2 * note[55]].decode("utf-16-le", "replace"))
        if name:
            return f" ({name})"
    name = _clean(note[1 : 1 + note[0]].decode("cp1252", "replace")) if note else ""
    return f" ({name})" if name else ""


def _clean(text: str) -> str:
    return "".join(character for character in text if character.isprintable()).strip()[:80]
