"""`syncd doctor`: one line per check, with the mend for what is wrong. It writes nothing."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.cli.common import chosen, reader, say, say_json, settings_of, shared_options, worst

if TYPE_CHECKING:
    from syncd.pairs import Connection
    from syncd.settings import PairSettings, Settings
    from syncd.sides import TableSchema, Vocabulary
    from syncd.store import Store

SAFE_SQLITE = (3, 51, 3)  # older ones can corrupt a WAL database in a rare race (reference/stack.md §3)
CLOCK_TOLERANCE_SECONDS = 5.0
WRITES_UNSEEN = "can only be seen by writing; the first write that is refused names it."


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check. `code` is 0 where all is well, else what it means for the exit code; a `note` is no
    fault, but somebody may want to know it."""

    about: str
    good: bool
    sentence: str
    code: int = 0
    note: bool = False

    @property
    def mark(self) -> str:
        """How its line begins."""
        return ("note" if self.note else "ok  ") if self.good else "MEND"


def good(about: str, sentence: str) -> Check:
    """A check that passed."""
    return Check(about, True, sentence)


def noted(about: str, sentence: str) -> Check:
    """A check that passed, with something to know."""
    return Check(about, True, sentence, note=True)


def bad(about: str, sentence: str, code: int = 1) -> Check:
    """A check that failed; the sentence names the mend."""
    return Check(about, False, sentence, code)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@shared_options
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Checks configuration, tokens, scopes, columns, options, limits and clocks of every pair, with the mend for
    each.
    """
    settings = settings_of(context)
    codes = []
    checks = [good("configuration", f"{len(settings.pair)} pair(s), all keys known."), *state_checks(settings)]
    _show("syncd", checks, as_json)
    codes += [check.code for check in checks]
    for pair in chosen(context, settings):
        checks = list(pair_checks(settings, pair))
        _show(pair.name, checks, as_json)
        codes += [check.code for check in checks]
    context.exit(worst(codes))


def _show(name: str, checks: list[Check], as_json: bool) -> None:
    if as_json:
        told = [{"about": c.about, "good": c.good, "note": c.note, "sentence": c.sentence} for c in checks]
        say_json({"pair": name, "checks": told})
        return
    say([f"{name}:", *(f"  {check.mark}  {check.about}: {check.sentence}" for check in checks)])


def state_checks(settings: Settings) -> Iterator[Check]:
    """The state folder, its lock and the SQLite library."""
    from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]

    from syncd.lock import holder

    folder = Path(settings.state_dir)
    problem = folder_problem(folder)
    if problem:
        yield bad("state folder", problem)
    else:
        running = holder(folder)
        yield good(
            "state folder", f"{folder} can be written; " + (f"in use by {running}." if running else "not in use.")
        )
    version = tuple(int(part) for part in sqlite3.sqlite_version.split("."))
    if version >= SAFE_SQLITE:
        yield good("SQLite", sqlite3.sqlite_version)
    else:
        wanted = ".".join(map(str, SAFE_SQLITE))
        yield noted(
            "SQLite",
            f"{sqlite3.sqlite_version} works; from {wanted} on a rare fault is mended (pip install pysqlite3).",
        )


def folder_problem(folder: Path) -> str:
    """Why the state folder, or what lies in it already, cannot be used; "" where it can. Nothing is made."""
    from syncd.folder import RIGHT, no_folder, trouble
    from syncd.lock import FILE_NAME as LOCK
    from syncd.store import FILE_NAME as DATABASE
    from syncd.store import Store, StoreFailed

    try:
        if no_folder(folder) is not None:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        for path in (folder / DATABASE, folder / LOCK):
            if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
                return f"The file {path} cannot be written. {RIGHT}"
        if (folder / DATABASE).exists():
            Store(folder, "", read_only=True).close()
    except OSError as error:
        return trouble(folder, error)
    except StoreFailed as error:
        return str(error)
    return ""


def state_of(settings: Settings, pair: PairSettings) -> Store:
    """The pair's state; an empty one where it cannot be read, which `state_checks` says."""
    from syncd.store import Store, StoreFailed

    try:
        return reader(settings, pair.name)
    except StoreFailed:
        return Store(None, pair.name)


def pair_checks(settings: Settings, pair: PairSettings) -> Iterator[Check]:
    """All checks of one pair, in the order in which things break."""
    from syncd.pairs import Connection

    store = state_of(settings, pair)
    with Connection(settings, pair, threading.Event()) as connection:
        vocabulary: list[Vocabulary] = []
        schema: list[TableSchema] = []
        yield _tried("HighLevel", lambda: _crm(connection, vocabulary))
        if vocabulary:
            yield _tried("HighLevel search", lambda: _search(connection))
            makes = pair.policy.new_row == "deal"
            scopes = "the scopes opportunities.write and contacts.write" if makes else "the scope opportunities.write"
            yield good("HighLevel writes", f"{scopes} {WRITES_UNSEEN}")
        yield _tried("table", lambda: _table(connection, store, schema))
        if schema:
            yield from column_checks(pair, schema[0])
            if vocabulary:
                yield from option_checks(schema[0], vocabulary[0])
        yield _clock("HighLevel", connection.crm().clock_offset if vocabulary else None)
        if schema:
            yield from sheet_checks(pair, connection, store)
        if pair.table.type != "workbook":  # a file's times are of this machine's clock
            yield _clock(pair.table.label, connection.table(store).clock_offset if schema else None)
        store.close()


def _tried(about: str, check: Callable[[], Check]) -> Check:
    """Runs a check; whatever the side says instead becomes its sentence."""
    from syncd.config_files import ConfigError
    from syncd.sides import Misconfigured, SideDown
    from syncd.store import StoreFailed

    try:
        return check()
    except (Misconfigured, ConfigError) as error:
        return bad(about, str(error), 2)
    except (SideDown, StoreFailed) as error:
        return bad(about, str(error), 1)


def _crm(connection: Connection, found: list[Vocabulary]) -> Check:
    vocabulary = connection.crm().schema()
    found.append(vocabulary)
    synced = [pipeline.name for pipeline in vocabulary.pipelines if pipeline.synced]
    return good(
        "HighLevel",
        f"location {connection.pair.ghl.location_id}, token accepted; {len(synced)} pipeline(s) synced: "
        f"{', '.join(' '.join(name.split()) for name in synced)}; {len(vocabulary.users)} user(s).",
    )


def _search(connection: Connection) -> Check:
    from syncd.crm.highlevel import HighLevelError
    from syncd.http import HttpError
    from syncd.sides import SideDown

    client = connection.crm().client
    try:
        page = client.search_page(limit=1)
    except (HighLevelError, HttpError) as error:
        raise SideDown(str(error)) from error
    return good(
        "HighLevel search", f"{page.total if page.total is not None else 'an unknown number of'} deal(s) in all."
    )


def _table(connection: Connection, store: Store, found: list[TableSchema]) -> Check:
    side = connection.table(store)
    schema = side.schema()
    found.append(schema)
    if connection.pair.table.type == "workbook":
        names = ", ".join(f"“{column.name}”" for column in schema.columns.values())
        return good("table", f"{side.label} {connection.pair.table.path} found, with the columns {names}.")
    return good("table", f"{side.label} {schema.identity}, token accepted; {len(schema.columns)} column(s) synced.")


def sheet_checks(pair: PairSettings, connection: Connection, store: Store) -> Iterator[Check]:
    """What only a sheet can have: a file that is open or cannot be written, formulas in single cells."""
    from syncd.tables.grid_side import GridSide

    side = connection.table(store)
    if not isinstance(side, GridSide):
        return
    if pair.table.type == "workbook":
        yield file_check(pair.table.file)
    formulas = side.formula_cells()
    for name, count in formulas.items():
        cells = "1 cell holds" if count == 1 else f"{count} cells hold"
        yield noted("formulas", f"{cells} a formula in “{name}”, so they are not synced. Type the values themselves.")


def file_check(path: Path) -> Check:
    """Whether a file can be written now. Changes wait until then."""
    from syncd.tables.files import TableFile

    target = Path(os.path.realpath(path))
    if not os.access(target, os.R_OK | os.W_OK) or not os.access(target.parent, os.W_OK | os.X_OK):
        mend = "so changes from HighLevel wait. Give it the right."
        return bad("file", f"syncd's user may not write {target} and its folder, {mend}", 3)
    busy = TableFile(path).busy()
    return noted("file", busy) if busy else good("file", "it can be written, and nobody has it open.")


def column_checks(pair: PairSettings, schema: TableSchema) -> Iterator[Check]:
    """Columns that are lacking, computed, or of a type that does not fit."""
    if schema.missing:
        yield noted("columns", f"not in the table, so not synced: {', '.join(schema.missing)}.")
    if not schema.message:
        yield noted("columns", f"no “{pair.message_column}” column: messages for people stand only in `syncd status`.")
    for name, column in schema.columns.items():
        if column.kind == "computed":
            yield bad(
                "columns", f"“{column.name}” is computed, so it cannot be written. Use a plain column for {name}.", 3
            )
        if name == "value" and column.kind not in ("number", "text"):
            yield bad("columns", f"“{column.name}” holds no numbers. Make it a number or currency column.", 3)


def option_checks(schema: TableSchema, vocabulary: Vocabulary) -> Iterator[Check]:
    """Options that no stage, pipeline or status has: a person who picks one will be asked to choose again."""
    from syncd.fields import STATUSES
    from syncd.values import choices, folded

    stages = {folded(stage.name) for pipeline in vocabulary.pipelines for stage in pipeline.stages}
    pipelines = {folded(pipeline.name) for pipeline in vocabulary.pipelines}
    for name, known in (("stage", stages), ("pipeline", pipelines), ("status", set(STATUSES))):
        column = schema.columns.get(name)
        if column is None or column.kind != "select":
            continue
        strange = [label for label in column.options.values() if folded(label) not in known]
        lacking = len(known - {folded(label) for label in column.options.values()})
        if strange:
            yield noted("options", f"“{column.name}” offers what HighLevel does not have: {choices(strange)}.")
        if lacking:
            yield good("options", f"“{column.name}” lacks {lacking} option(s); each is added when a deal brings it.")


def _clock(label: str, offset: float | None) -> Check:
    """How far a server's clock is from ours (None: it was not reached); edit times are corrected by it."""
    if offset is None:
        return bad("clocks", f"{label}'s clock could not be checked. Mend what is said of {label} first.", 0)
    if abs(offset) > CLOCK_TOLERANCE_SECONDS:
        return noted("clocks", f"this machine is {offset:+.0f} s from {label}'s clock; edit times are corrected by it.")
    return good("clocks", f"this machine and {label} agree.")
