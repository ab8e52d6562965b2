"""Locks, the file's owner and mode, its backup, and crashes at every step of a write."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import syncd.tables.files as files
from syncd.sides import Misconfigured, SideDown
from syncd.tables.files import BACKUP, TableFile
from syncd.tables.grid import GridBusy, GridMoved, Sheet
from syncd.tables.workbook import Workbook
from tests.workbook import books
from tests.workbook.books import deals, row, save, simple
from tests.workbook.test_edits import opened

OLD, NEW = b"the old content", b"the new content, which is longer"


def plain(folder: Path) -> tuple[Path, TableFile]:
    path = folder / "deals.xlsx"
    save(path, OLD)
    return path, TableFile(path)


def test_the_new_content_keeps_mode_and_owner_and_the_old_one_is_kept(tmp_path: Path) -> None:
    path, file = plain(tmp_path)
    path.chmod(0o640)
    if os.getuid() == 0:
        os.chown(path, 1234, 2345)
    before = path.stat()
    made = file.replace(NEW, file.read())
    after = path.stat()
    assert path.read_bytes() == NEW
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert made == file.glance()
    assert (tmp_path / f"deals.xlsx{BACKUP}").read_bytes() == OLD
    file.replace(OLD * 2, file.read())
    assert (tmp_path / f"deals.xlsx{BACKUP}").read_bytes() == NEW
    assert sorted(os.listdir(tmp_path)) == ["deals.xlsx", f"deals.xlsx{BACKUP}"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    path, _ = plain(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.xlsx"
    link.symlink_to(path)
    file = TableFile(link)
    file.replace(NEW, file.read())
    assert link.is_symlink()
    assert path.read_bytes() == NEW
    assert (tmp_path / f"deals.xlsx{BACKUP}").read_bytes() == OLD


def test_a_drive_without_second_names_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, file = plain(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(os, "link", refuse)
    file.replace(NEW, file.read())
    assert (path.read_bytes(), (tmp_path / f"deals.xlsx{BACKUP}").read_bytes()) == (NEW, OLD)


EXCEL = bytes([3]) + b"Ann".ljust(54) + bytes([3, 0]) + "Ann".encode("utf-16-le").ljust(108, b" ")


@pytest.mark.parametrize(
    ("name", "note", "who"),
    [
        (
            ".~lock.deals.xlsx#",
            b"Sam Smith,sam,laptop,21.11.2026 12:17,file:///x;",
            "LibreOffice (Sam Smith on laptop, since 21",
        ),
        (".~lock.deals.xlsx#", b",sam,laptop,21.11.2026 12:17,file:///x;", "LibreOffice (sam on laptop"),
        (".~lock.deals.xlsx#", b"Smith\\, Sam,sam,laptop,,;", "LibreOffice (Smith, Sam on laptop)"),
        (".~lock.deals.xlsx#", b"", "is open in LibreOffice: "),
        (".~lock.deals.xlsx#", b"\xff\x00\n\x1b[31m,,,,", "is open in LibreOffice"),
        ("~$deals.xlsx", EXCEL, "is open in Excel (Ann): "),
        ("~$deals.xlsx", bytes([4]) + "Zoë ".encode("cp1252"), "is open in Excel (Zoë): "),
        ("~$deals.xlsx", b"", "is open in Excel: "),
        ("~$deals.xlsx", b"\xff" * 200, "is open in Excel"),
    ],
)
def test_an_open_file_is_read_but_not_written(tmp_path: Path, name: str, note: bytes, who: str) -> None:
    book, read = opened(tmp_path, simple(deals(row(2, "A"))))
    (tmp_path / name).write_bytes(note)
    before = (tmp_path / "deals.xlsx").read_bytes()
    writes: list[Callable[[], Sheet]] = [
        lambda: book.write(read, {(0, 0): "B"}),
        lambda: book.delete(read, 0),
    ]
    for write in writes:
        with pytest.raises(GridBusy) as caught:
            write()
        sentence = str(caught.value)
        assert who in sentence
        assert f"left the file {name} behind" in sentence
        assert sentence.isprintable()
    assert book.load().rows == read.rows
    assert (tmp_path / "deals.xlsx").read_bytes() == before
    (tmp_path / name).unlink()
    assert book.write(read, {(0, 0): "B"}).rows[0][0] == "B"


def test_a_lock_beside_the_file_that_a_link_names(tmp_path: Path) -> None:
    path, _ = plain(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.xlsx"
    link.symlink_to(path)
    file = TableFile(link)
    for lock in (tmp_path / "~$deals.xlsx", tmp_path / "elsewhere" / ".~lock.link.xlsx#"):
        lock.write_bytes(b"")
        with pytest.raises(GridBusy):
            file.replace(NEW, file.read())
        lock.unlink()
    file.replace(NEW, file.read())


def test_a_program_that_opens_or_saves_the_file_in_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = plain(tmp_path)
    keep = files._keep_backup

    def opening(target: Path) -> None:
        keep(target)
        (tmp_path / "~$deals.xlsx").write_bytes(b"")

    def saving(target: Path) -> None:
        keep(target)
        path.write_bytes(b"a person's work")

    monkeypatch.setattr(files, "_keep_backup", opening)
    with pytest.raises(GridBusy):
        file.replace(NEW, file.read())
    assert path.read_bytes() == OLD
    (tmp_path / "~$deals.xlsx").unlink()
    monkeypatch.setattr(files, "_keep_backup", saving)
    with pytest.raises(GridMoved):
        file.replace(NEW, file.read())
    assert path.read_bytes() == b"a person's work"


def test_a_file_that_is_gone_is_moved(tmp_path: Path) -> None:
    path, file = plain(tmp_path)
    read = file.read()
    path.unlink()
    with pytest.raises(GridMoved):
        file.replace(NEW, read)
    assert os.listdir(tmp_path) == []


class Stumbling:
    """The `os` module of `files.py`, whose n-th call of one that changes something raises or ends the process."""

    VERBS = frozenset({"open", "write", "fchmod", "fchown", "fsync", "link", "replace", "close", "setxattr"})

    def __init__(self, at: int, error: OSError | None) -> None:
        self.calls: list[str] = []
        self._at = at
        self._error = error

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.VERBS:
            return real

        def verb(*args: Any, **more: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self._at:
                if self._error is None:
                    os._exit(9)
                if name == "close":
                    real(*args)
                raise self._error
            return real(*args, **more)

        return verb


def steps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every step that one write takes."""
    _, file = plain(folder)
    counted = Stumbling(0, None)
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", counted)
        file.replace(NEW, file.read())
    for left in folder.iterdir():
        left.unlink()
    return counted.calls


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
def test_an_error_at_any_step_leaves_the_old_or_the_new_content_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    taken = steps(tmp_path, monkeypatch)
    assert {"open", "write", "fsync", "link", "replace"} <= set(taken)
    failed = 0
    for at in range(1, len(taken) + 1):
        path, file = plain(tmp_path)
        read = file.read()
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", Stumbling(at, OSError(number, os.strerror(number))))
            try:
                file.replace(NEW, read)
            except (GridBusy, SideDown, Misconfigured) as error:
                failed += 1
                sentence, expected = str(error), OLD
            else:
                sentence, expected = "It went well.", NEW
        assert sentence.endswith(".")
        assert path.read_bytes() == expected, taken[at - 1]
        assert not [name for name in os.listdir(tmp_path) if name.endswith(".syncd-new")]
    assert failed >= 4


CRASH = """
import sys
from pathlib import Path
import syncd.tables.files as files
from tests.workbook.test_files import NEW, Stumbling
file = files.TableFile(Path(sys.argv[1]))
read = file.read()
files.os = Stumbling(int(sys.argv[2]), None)
file.replace(NEW, read)
"""


def test_a_crash_at_any_step_leaves_the_old_or_the_new_content_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = steps(tmp_path, monkeypatch)
    seen: list[bytes] = []
    for at in range(1, len(taken) + 1):
        path, file = plain(tmp_path)
        ended = subprocess.run([sys.executable, "-c", CRASH, str(path), str(at)], check=False, timeout=60)
        assert ended.returncode == 9, taken[at - 1]
        seen.append(path.read_bytes())
        # What the crash left behind is no obstacle.
        read = file.read()
        file.replace(read.data + b"!", read)
        assert path.read_bytes() == seen[-1] + b"!"
    assert set(seen) == {OLD, NEW}
    assert seen == sorted(seen, key=lambda content: content == NEW)


def test_what_a_crash_left_behind_is_cleared_after_an_hour(tmp_path: Path) -> None:
    _, file = plain(tmp_path)
    old, fresh = tmp_path / ".deals.xlsx.aa.syncd-new", tmp_path / ".deals.xlsx.bb.syncd-new"
    other = tmp_path / ".other.xlsx.aa.syncd-new"
    for left in (old, other):
        left.write_bytes(b"")
        books.settle(left)
        books.settle(left)
    fresh.write_bytes(b"")
    file.replace(NEW, file.read())
    assert (old.exists(), fresh.exists(), other.exists()) == (False, True, True)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, file = plain(tmp_path)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(files, "open", refuse, raising=False)
    with pytest.raises(Misconfigured, match="may not read"):
        file.read()


def test_a_file_that_is_saved_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, file = plain(tmp_path)
    real = TableFile.glance
    saves = [b"one more", b"and another"]

    def glance(self: TableFile) -> files.Print | None:
        if saves:
            path.write_bytes(saves.pop())
        return real(self)

    monkeypatch.setattr(TableFile, "glance", glance)
    assert file.read().data == b"one more"
    saves.extend([b"1", b"22", b"333", b"4444"])
    with pytest.raises(SideDown, match="being saved just now"):
        file.read()


def test_a_write_that_finds_the_file_replaced_by_its_own_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network drive may carry out a rename and lose the answer."""
    path, file = plain(tmp_path)
    real = os.replace

    def losing(source: Path, target: Path) -> None:
        real(source, target)
        if Path(target) == path:
            raise OSError(errno.EIO, "no answer")

    monkeypatch.setattr(os, "replace", losing)
    file.replace(NEW, file.read())
    assert path.read_bytes() == NEW


def test_a_workbook_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book, read = opened(tmp_path, books.full())
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", Stumbling(2, OSError(errno.ENOSPC, "full")))
        with pytest.raises(SideDown, match="the disk is full"):
            book.write(read, {(0, 0): "B"})
    assert Workbook(tmp_path / "deals.xlsx", None, "GHL ID").load().rows == read.rows
    assert book.write(read, {(0, 0): "B"}).rows[0][0] == "B"
