"""What people are told where the state folder or its database cannot be used, with the mend."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

RIGHT: Final = "Give this user the right to write there, or set another state_dir."
ASIDE: Final = (
    "Move the whole state folder aside (rows are then found again by their GHL ID), or put a backup of it in its place."
)


class FolderUnusable(Exception):
    """The state folder cannot be used; the text says why, and the mend."""


def no_folder(path: Path) -> Path | None:
    """What stands in the way of a folder: the first of `path` and its parents that is no folder. None: nothing does.

    Raises `PermissionError` where that cannot be seen.
    """
    for one in (path, *path.parents):
        try:
            if one.is_dir():
                return None
            one.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return one
    return None


def trouble(folder: Path, error: Exception) -> str:
    """The sentence for an `OSError` or SQLite's error on the way to a state folder or its database."""
    known = error.errno if isinstance(error, OSError) else None
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if known in (errno.EEXIST, errno.ENOTDIR):
        return (
            f"The state folder {folder} cannot be made, since a file stands there. Move it, or set another state_dir."
        )
    if known in (errno.EACCES, errno.EPERM, errno.EROFS) or "readonly" in said or "unable to open" in said:
        return f"The state folder {folder} cannot be used: {said}. {RIGHT}"
    if known == errno.ENOSPC or "disk is full" in said:
        return f"The state folder {folder} cannot be written: the disk is full. Free some space."
    if "not a database" in said or "malformed" in said:
        return f"The state database in {folder} is damaged, or is none of syncd's ({said}). {ASIDE}"
    return f"The state folder {folder} cannot be used: {said}. Mend that, or set another state_dir."
