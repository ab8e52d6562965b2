"""State folders that cannot be used, and what doctor says of them and of tokens: sentences with the mend."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncd.folder import no_folder, trouble
from syncd.sandbox.wire import Fault
from tests.end_to_end.desk import Desk
from tests.end_to_end.test_daemon import two_pairs


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A small sandbox, not filled."""
    with Desk(tmp_path, deals=4) as made:
        yield made


def in_a_file(folder: Path) -> Path:
    """A state folder that is a file."""
    (folder / "taken").write_text("in the way")
    return folder / "taken"


def below_a_file(folder: Path) -> Path:
    """A state folder below a file."""
    return in_a_file(folder) / "state"


def no_database(folder: Path) -> Path:
    """A state folder whose database is none."""
    made = folder / "other"
    made.mkdir()
    (made / "syncd.db").write_bytes(b"this is no database at all, but long enough to be one" * 50)
    return made


COMMANDS = (
    ("--reconcile",), (), ("plan",), ("status",), ("history",), ("why", "x"), ("resume", "x"), ("approve",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "part", "mend"),
    [
        (in_a_file, "a file stands there", "set another state_dir"),
        (below_a_file, "a file stands there", "set another state_dir"),
        (no_database, "file is not a database", "Move the whole state folder aside"),
    ],
)
def test_a_state_folder_that_cannot_be_used_is_a_sentence(
    rig: Desk, spoil: Callable[[Path], Path], part: str, mend: str
) -> None:
    """Exit 1 of every command, without "[Errno 17]"; doctor says it too, and goes on with the rest."""
    folder = str(spoil(rig.folder))
    for line in COMMANDS:
        if not line and spoil is no_database:
            continue  # the daemon logs it, pass after pass
        ran = rig.run(*line, SYNCD_STATE_DIR=folder)
        assert ran.code == 1, line
        for wanted in (part, mend, folder):
            assert wanted in ran.err + ran.out, line
        for unwanted in ("Errno", "Traceback", "defect"):
            assert unwanted not in ran.err + ran.out, line
    shown = rig.run("--reconcile", "--json", SYNCD_STATE_DIR=folder)
    assert (shown.code, part in shown.json["error"]) == (1, True)
    doctor = rig.run("doctor", SYNCD_STATE_DIR=folder)
    assert doctor.code == 1
    (line_of_it,) = (line for line in doctor.out.splitlines() if "MEND" in line)
    for wanted in ("state folder", part, mend):
        assert wanted in line_of_it
    assert "token accepted" in doctor.out


def test_a_folder_without_the_right_to_write_is_a_sentence(rig: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs the tests may be allowed everything, so the answers of the system are played."""
    rig.fill()
    folder, real = rig.folder / "state", os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and real(path, mode))
    ran = rig.run("doctor")
    assert (ran.code, "MEND  state folder" in ran.out, "Permission denied" in ran.out) == (1, True, True)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder / "syncd.db" and real(path, mode))
    ran = rig.run("doctor")
    assert (ran.code, "syncd.db cannot be written. Give this user the right" in ran.out) == (1, True)


def test_each_error_of_the_system_has_its_mend(tmp_path: Path) -> None:
    cases = [
        (PermissionError(13, "Permission denied"), "Give this user the right"),
        (OSError(30, "Read-only file system"), "Give this user the right"),
        (OSError(28, "No space left on device"), "Free some space"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "Give this user the right"),
        (sqlite3.OperationalError("database or disk is full"), "Free some space"),
        (sqlite3.DatabaseError("database disk image is malformed"), "Move the whole state folder aside"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ]
    for error, part in cases:
        sentence = trouble(tmp_path, error)
        assert part in sentence
        assert str(tmp_path) in sentence
        assert "Errno" not in sentence


def test_what_stands_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert no_folder(tmp_path) is None
    assert no_folder(tmp_path / "not" / "yet") is None
    assert no_folder(tmp_path / "file") == tmp_path / "file"
    assert no_folder(tmp_path / "file" / "a" / "b") == tmp_path / "file"
    assert no_folder(tmp_path / "broken") == tmp_path / "broken"


# --- doctor and tokens -----------------------------------------------------------------------------------------------


def test_doctor_goes_on_after_a_token_that_is_missing(rig: Desk) -> None:
    """Each pair under its name, each failure with its mend, and all the rest is checked."""
    rig.write_config()
    path = rig.folder / "config" / "syncd.toml"
    text = path.read_text(encoding="utf-8")
    secret = rig.folder / "ghl-token"
    for there, part in ((False, "Put it there"), (True, "is empty")):
        if there:
            secret.write_text("")
        path.write_text(text.replace("env:GHL_TOKEN", f"file:{secret}"), encoding="utf-8")
        ran = rig.run("doctor")
        assert ran.code == 2
        lines = ran.out.splitlines()
        at = lines.index("default:")
        mends = [line for line in lines[at:] if "MEND" in line]
        assert "HighLevel token" in mends[0]
        assert part in mends[0]
        assert [line.split(":")[0].split()[-1] for line in mends] == ["HighLevel", "clocks"]
        assert "HighLevel's clock could not be checked" in mends[1]
        assert any("ok    table: Airtable" in line for line in lines)
        assert any("this machine and Airtable agree" in line for line in lines)
        assert "this machine and HighLevel agree" not in ran.out
    secret.write_text(rig.highlevel.token)
    assert rig.run("doctor").code == 0


def test_doctor_checks_the_second_pair_after_a_first_without_tokens(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=2) as first, Desk(tmp_path, deals=2, seed=2) as second:
        two_pairs(first, second)
        del first.environment["ONE_GHL_TOKEN"], first.environment["ONE_AIRTABLE_TOKEN"]
        ran = first.run("doctor")
        assert ran.code == 2
        one, _, two = ran.out.partition("\ntwo:\n")
        assert one.count("MEND") == 4
        assert "ONE_GHL_TOKEN is not set. Set it, or correct the configuration." in one
        assert "ONE_AIRTABLE_TOKEN is not set. Set it, or correct the configuration." in one
        assert ("MEND" in two, "token accepted" in two) == (False, True)


def test_doctor_says_of_no_clock_that_it_agrees_which_it_has_not_seen(rig: Desk) -> None:
    rig.sandbox.crm_http.faults.append(Fault(cut=True, times=-1))
    ran = rig.run("doctor")
    assert ran.code == 1
    assert "HighLevel's clock could not be checked" in ran.out
    assert "this machine and HighLevel agree" not in ran.out
    assert "this machine and Airtable agree" in ran.out
    rig.sandbox.crm_http.faults.clear()
    rig.time.offset = 100.0
    ran = rig.run("doctor")
    assert (ran.code, ran.out.count("edit times are corrected by it")) == (0, 2)


def test_a_token_that_may_not_be_read_names_its_mend(rig: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.write_config()
    path, secret = rig.folder / "config" / "syncd.toml", rig.folder / "ghl-token"
    secret.write_text(rig.highlevel.token)
    secret.chmod(stat.S_IRUSR)
    text = path.read_text(encoding="utf-8").replace("env:GHL_TOKEN", f"file:{secret}")
    path.write_text(text, encoding="utf-8")
    real = Path.open

    def denied(self: Path, *arguments: object, **options: object) -> object:
        if self == secret:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", denied)
    ran = rig.run("doctor")
    assert (ran.code, "Permission denied. Let this user read it" in ran.out) == (2, True)
