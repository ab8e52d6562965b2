"""A Google sheet as a `Grid`.

A pass costs one read, `values:batchGet` of the whole sheet (UNFORMATTED_VALUE), or none where Drive says that the file
is as it was. Only where there is something to write follow a second read (header, key column, the rows concerned) and
one write.

The second read is `spreadsheets.get` with a tight mask, since it alone tells a formula from its value and a text from
what looks like a formula; for the whole sheet it would be five to ten times as large as the values. So a formula is
known by the time its cell would be overwritten, and not before. Once an hour, and when the header has changed or a key
is gone, one more read tells the sheet's id and its drop-down lists.

Values are read by the sheet's name, and written by its id. Wherever an answer shows that another sheet has that name
now (one was renamed, and a new one made), the pass ends there, before anything is written; the next one is told of the
other sheet by its `identity`.

All writes are `spreadsheets:batchUpdate`, atomic by Google's word. Its typed values are what RAW is for the values
methods: a text stays a text. It is the only one that can append rows below whatever stands there at that moment
(`appendCells`), together with changed cells, and show the rows' keys after the write in the same answer. What it cannot
do is to name a row by anything but its number: if rows move between the second read and the write, within one round
trip, the cells land in another row. So its place in the minute's quota is waited for before that read, and a write that
would have to wait after it is not made. The answer shows that row's key then, so it is noticed, not prevented (LIMITS).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

from syncd.fields import KEY_COLUMN
from syncd.http import Bucket
from syncd.model import Raw
from syncd.sides import Misconfigured, SideDown
from syncd.tables import google_cells as cells
from syncd.tables.google_client import SHEETS_URL, GoogleClient
from syncd.tables.google_errors import Refusal, refused
from syncd.tables.grid import GridBusy, GridLost, GridMoved, Sheet

LAYOUT_SECONDS: Final = 3600.0  # drop-down lists are read again after so long
SLACK_ROWS: Final = 20  # new rows are looked for so far above the last one: that many may be deleted meanwhile
TRUST_SECONDS: Final = 600.0  # Drive can be late: after so long the sheet is read, whatever Drive says
_PROPERTIES: Final = "properties(sheetId,title)"
_CHOICES: Final = "data(startColumn,rowData(values(dataValidation(condition(type,values/userEnteredValue)))))"


def open_google(
    *,
    spreadsheet_id: str,
    sheet: str,
    credentials: str,
    key_column: str = KEY_COLUMN,
    base_url: str = SHEETS_URL,
    drive_url: str = "",
    **http: Any,
) -> GoogleGrid:
    """One sheet of a spreadsheet; nothing is sent yet.

    `credentials` is the text of a service account's key file, `http` is passed on to `Http` (clock, stop, sleep,
    on_sent). Where `base_url` is not Google's own it stands for Drive as well, unless `drive_url` is given; where
    tokens are to be had stands in the key file. Raises `Misconfigured`.
    """
    client = GoogleClient(
        spreadsheet_id=spreadsheet_id, credentials=credentials, base_url=base_url, drive_url=drive_url, **http
    )
    return GoogleGrid(client, sheet, key_column)


class AnotherSheet(SideDown):
    """The sheet of this name is not the one of before: what was read is not what would be written to."""


class CellRefused(GridBusy):
    """One cell is to blame: `cell` is its row and column. The others could be written."""

    def __init__(self, sentence: str, cell: cells.At) -> None:
        super().__init__(sentence)
        self.cell = cell


@dataclass(frozen=True, slots=True)
class Layout:
    """What is read once an hour. `choices` by column; `lists` are those that stand in cells elsewhere, by range."""

    sheet_id: int
    read_at: float
    choices: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    lists: Mapping[int, str] = field(default_factory=dict)
    header: tuple[str, ...] | None = None


class GoogleGrid:
    """One sheet of a Google spreadsheet. One thread at a time."""

    label = "Google Sheets"

    def __init__(self, client: GoogleClient, sheet: str, key_column: str) -> None:
        self.client = client
        self.sheet = sheet
        self._key_column = key_column
        self._layout: Layout | None = None
        self._sheet_id: int | None = None  # of the sheet that had this name when that was told last
        self._keys: frozenset[Raw] = frozenset()  # of the last `load`
        self._moved = False  # whether the last `refresh` found rows or columns elsewhere
        self._version = ""  # of the last answer that Drive gave: never newer than what is read after it

    @property
    def identity(self) -> str:
        """The spreadsheet's id and the sheet's: both outlive new names."""
        return f"{self.client.spreadsheet_id}/{self._known_layout().sheet_id}"

    @property
    def email(self) -> str:
        """The service account's address, with which the spreadsheet is shared."""
        return self.client.account.email

    @property
    def buckets(self) -> tuple[Bucket, Bucket]:
        """The limits of reads and of writes, shared by all pairs with this service account."""
        return self.client.buckets

    @property
    def clock_offset(self) -> float:
        """Seconds to add to Google's time to get our own clock."""
        return self.client.clock_offset

    @property
    def calls(self) -> int:
        """Requests sent, retries counted."""
        return self.client.calls

    def close(self) -> None:
        """Closes the connections."""
        self.client.close()

    # --- reading ------------------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """Waits for a place among the writes of a minute."""
        self.client.ready()

    def load(self) -> Sheet:
        """The whole sheet in one read; beside it now and then one for its layout.

        Where `refresh` has just shown that rows moved, the sheet is read with its formulas: a write may follow at once.
        """
        if self._moved:
            self._moved = False
            sheet = self._whole()
            if self._layout is not None and self._layout.header != sheet.header:
                self._layout = None
            layout = self._layout = replace(self._known_layout(), header=sheet.header)
            self._keys = frozenset(_keys(sheet, self._key(sheet.header)))
            return replace(sheet, version=self._version, choices=dict(layout.choices))
        while True:
            known = self._layout is not None
            layout = self._known_layout()
            sheet = self._values(layout)
            keys = frozenset(_keys(sheet, self._key(sheet.header)))
            if not known or (layout.header in (None, sheet.header) and self._keys - {None} <= keys):
                self._layout, self._keys = replace(layout, header=sheet.header), keys
                return sheet
            # Columns moved: their lists are others now. Where a key is gone, all of them may stand in another sheet.
            self._layout = None

    def _values(self, layout: Layout) -> Sheet:
        at, whole = self.client.now(), cells.quoted(self.sheet)
        query = [("ranges", whole), *(("ranges", one) for one in layout.lists.values())]
        options = [("valueRenderOption", "UNFORMATTED_VALUE"), ("dateTimeRenderOption", "FORMATTED_STRING")]
        answer = self._read("/values:batchGet", [*query, *options])
        parts = answer.get("valueRanges") if isinstance(answer, dict) else None
        if not isinstance(parts, list) or len(parts) != len(query) or not all(isinstance(one, dict) for one in parts):
            raise SideDown("Google's answer holds no cells; a proxy may have changed it.")
        table, *lists = ([row for row in one.get("values", []) if isinstance(row, list)] for one in parts)
        header = cells.header_of([cells.plain(cell) for cell in table[0]]) if table else ()
        choices = dict(layout.choices)
        for column, found in zip(layout.lists, lists, strict=True):
            choices[column] = tuple(str(cells.plain(cell)) for row in found for cell in row if cell != "")
        rows = tuple(cells.row_of(row, len(header)) for row in table[1:])
        choices = {column: items for column, items in choices.items() if column < len(header)}
        return Sheet(header, cells.without_blank_end(rows), at, self._version, frozenset(), choices)

    def unchanged(self, sheet: Sheet) -> bool:
        """By Drive's version of the file, which grows with every change; it can be some seconds late."""
        version = self.client.drive_version()
        if version:
            self._version = version
        young = self.client.now() - sheet.at < TRUST_SECONDS
        return bool(version) and version == sheet.version and young

    def refresh(self, sheet: Sheet, rows: Collection[int]) -> Sheet:
        """`sheet` with its header, its key column and these rows read again now, in one read, formulas too.

        The other rows are as they were, and follow their keys where those moved. Where the header is another one, or
        the sheet became smaller, all of it is read again by a second one.
        """
        at, width = self.client.now(), len(sheet.header)
        ranges, seen = self._ranges(sheet, rows)
        try:
            found = self._grid(ranges) if width else None
        except Refusal as refusal:
            if not refusal.off_grid:
                raise self._refused(refusal) from refusal
            found = None
        key = self._key(sheet.header)
        if found is None or found.header != sheet.header:
            self._moved = True
            return self._whole()
        now = _merged(sheet, found, seen, key, at)
        self._moved = _keys(now, key) != _keys(sheet, key)
        return now

    def _ranges(self, sheet: Sheet, rows: Collection[int]) -> tuple[list[str], set[int]]:
        """What to read: the header, the key column, these rows, and all from the last row downwards.

        One more column is read: rows without a key show there, so that it can be told how many rows there are.
        """
        width, name = len(sheet.header), cells.quoted(self.sheet)
        last, key = letters(width), self._key(sheet.header)
        below = max(len(sheet.rows), 1)  # the last row, or the first one below the header: both are in the grid
        ranges = [f"{name}!1:1"]
        if key is not None:
            ranges += [f"{name}!{cells.letters(one)}:{cells.letters(one)}" for one in {key, _fullest(sheet, key)}]
        most = min(cells.RANGES_AT_MOST, cells.RANGES_LENGTH_AT_MOST // (len(quote(name)) + 30))
        runs = cells.runs([row for row in rows if 0 <= row < below - 1], most)
        ranges += [f"{name}!A{run.start + 2}:{last}{run.stop + 1}" for run in runs]
        ranges.append(f"{name}!A{below + 1}:{last}")
        return ranges, {row for run in runs for row in run}

    def _whole(self) -> Sheet:
        at = self.client.now()
        try:
            found = self._grid([cells.quoted(self.sheet)])
        except Refusal as refusal:
            raise self._refused(refusal) from refusal
        header = found.header
        rows = cells.without_blank_end([found.row(row, len(header)) for row in range(1, found.behind)])
        return Sheet(header, rows, at, "", _found_formulas(found, len(header), len(rows)))

    def _grid(self, ranges: Sequence[str]) -> cells.Grid:
        mask = f"sheets({_PROPERTIES},{cells.CELL_MASK})"
        answer = self.client.get("", [("fields", mask), *(("ranges", one) for one in ranges)])
        try:
            found = self._of_answer(answer)
            self._check_same(found)
            return cells.grid_of(found)
        except (ValueError, TypeError, AttributeError) as error:
            raise SideDown("Google's answer holds no cells; a proxy may have changed it.") from error

    def _of_answer(self, answer: Any) -> dict[str, Any]:
        """The part of an answer that is about this sheet. Raises ValueError."""
        for one in answer.get("sheets", []):
            if one["properties"]["title"].casefold() == self.sheet.casefold():
                found: dict[str, Any] = one
                return found
        raise ValueError("no such sheet")

    def _check_same(self, found: Mapping[str, Any]) -> int:
        """The id of the sheet that an answer shows. Raises `AnotherSheet` where it was another one before: once, since
        whoever reads it from its beginning afterwards is told of it by `identity`."""
        before, self._sheet_id = self._sheet_id, int(found["properties"].get("sheetId", 0))
        if before not in (None, self._sheet_id):
            self._layout, self._moved = None, False
            raise AnotherSheet(
                f"The sheet “{self.sheet}” is not the one of before: that was renamed or deleted, and another one has "
                "its name now. Nothing was written to it; the next pass asks what is to be done."
            )
        return self._sheet_id

    def _key(self, header: Sequence[str]) -> int | None:
        wanted = self._key_column.strip().casefold()
        return next((at for at, name in enumerate(header) if name.casefold() == wanted), None)

    # --- layout -------------------------------------------------------------------------------------------------------

    def _known_layout(self) -> Layout:
        layout, now = self._layout, self.client.now()
        if layout is None or not 0 <= now - layout.read_at < LAYOUT_SECONDS:
            layout = self._layout = self._read_layout()
        return layout

    def _read_layout(self) -> Layout:
        """The sheet's id, and the drop-down lists of the first rows below the header."""
        at, name = self.client.now(), cells.quoted(self.sheet)
        try:
            asked = [("ranges", f"{name}!1:3"), ("fields", f"sheets({_PROPERTIES},{_CHOICES})")]
            answer = self.client.get("", asked)
        except Refusal as refusal:
            if not refusal.off_grid:
                raise self._refused(refusal) from refusal
            answer = self._read("", [("fields", f"sheets({_PROPERTIES})")])  # fewer than three rows
        choices: dict[int, tuple[str, ...]] = {}
        lists: dict[int, str] = {}
        try:
            found = self._of_answer(answer)
            sheet_id = self._check_same(found)
            for column, condition in _conditions(found):
                items = [str(one.get("userEnteredValue", "")) for one in condition.get("values", [])]
                if condition.get("type") == "ONE_OF_LIST":
                    choices.setdefault(column, tuple(items))
                elif condition.get("type") == "ONE_OF_RANGE" and items:
                    lists.setdefault(column, _list_range(items[0], name))
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise SideDown("Google's answer describes no sheet; a proxy may have changed it.") from error
        return Layout(sheet_id, at, choices, lists)

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(
        self, sheet: Sheet, changes: Mapping[tuple[int, int], Raw], new: Sequence[Mapping[int, Raw]] = ()
    ) -> Sheet:
        """Changed cells and new rows in one write, all or nothing. New rows come below whatever is the last row then.

        The sheet that is returned shows the rows that were written to with their keys, as they are now. Raises
        `GridMoved` where a row is not there any more, `GridBusy` where the sheet refuses (a protected cell).
        """
        rows: dict[int, dict[int, Raw]] = {}
        for (row, column), value in changes.items():
            if isinstance(value, str) and len(value) > cells.LONGEST_TEXT:
                raise CellRefused(
                    f"A cell of a Google sheet holds at most {cells.LONGEST_TEXT:,} characters.", (row, column)
                )
            rows.setdefault(row, {})[column] = value
        requests = [
            self._cells(row, start, run) for row in sorted(rows) for start, run in cells.cells_between(rows[row])
        ]
        if new:
            appended = [cells.whole_row(one) for one in new]
            requests.append({"appendCells": {**self._where(), "rows": appended, "fields": "userEnteredValue"}})
        return self._written(sheet, requests, set(rows), below=bool(new)) if requests else sheet

    def delete(self, sheet: Sheet, row: int) -> Sheet:
        """Deletes one row; otherwise as `write`."""
        where = {**self._where(), "dimension": "ROWS", "startIndex": row + 1, "endIndex": row + 2}
        self._send({"requests": [{"deleteDimension": {"range": where}}]}, "replies")
        formulas = {(at - (at > row), column) for at, column in sheet.formulas if at != row}
        rows = (*sheet.rows[:row], *sheet.rows[row + 1 :])
        return replace(sheet, rows=rows, formulas=frozenset(formulas), version="")

    def _cells(self, row: int, column: int, run: list[dict[str, Any]]) -> dict[str, Any]:
        start = {**self._where(), "rowIndex": row + 1, "columnIndex": column}
        return {"updateCells": {"start": start, "rows": [{"values": run}], "fields": "userEnteredValue"}}

    def _where(self) -> dict[str, Any]:
        if self._layout is None:  # it was dropped after `sheet` was read
            raise GridMoved("It is not certain any more that this is the sheet that was read.")
        return {"sheetId": self._layout.sheet_id}

    def _written(self, sheet: Sheet, requests: list[dict[str, Any]], rows: set[int], *, below: bool) -> Sheet:
        at, name, last = self.client.now(), cells.quoted(self.sheet), letters(len(sheet.header))
        runs = cells.runs(rows, cells.RANGES_IN_BODY)
        ranges = [f"{name}!A{run.start + 2}:{last}{run.stop + 1}" for run in runs]
        tail = max(len(sheet.rows) - SLACK_ROWS, 0) if below else len(sheet.rows)
        if below:  # from above the last row, since some may be gone by now
            ranges.append(f"{name}!A{tail + 1}:{last}")
        body = {
            "requests": requests,
            "includeSpreadsheetInResponse": True,
            "responseIncludeGridData": True,
            "responseRanges": ranges,
        }
        answer = self._send(body, f"replies,updatedSpreadsheet/sheets({_PROPERTIES},{cells.CELL_MASK})")
        before = self._sheet_id
        try:
            shown = self._of_answer(answer["updatedSpreadsheet"])
            self._check_same(shown)
            found = cells.grid_of(shown)
        except AnotherSheet as another:
            self._sheet_id = before  # the next look says so: this pass may have more to write
            raise GridLost(str(another)) from another
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise GridLost("Google took the write, but its answer does not show the cells.") from error
        count, width = max(len(sheet.rows), found.behind - 1), len(sheet.header)
        seen = {*(row for run in runs for row in run), *range(tail, count)}
        now = [found.row(row + 1, width) if row in seen else sheet.rows[row] for row in range(count)]
        return replace(
            sheet, rows=tuple(now), at=at, version="", formulas=_formulas(sheet.formulas, found, seen, width, count)
        )

    def _send(self, body: dict[str, Any], mask: str) -> Any:
        try:
            return self.client.batch_update(body, mask, at_once=True)
        except Refusal as refusal:
            if refusal.off_grid:
                raise GridMoved("The sheet has fewer rows or columns than when it was read.") from refusal
            if refusal.status == 400 and refusal.word == "INVALID_ARGUMENT":
                raise GridBusy(
                    f"Google refuses to write to the sheet “{self.sheet}”: {refusal.said}. Protected cells must be "
                    f"open to {self.email}."
                ) from refusal
            raise self._refused(refusal, writing=True) from refusal

    # --- refusals -----------------------------------------------------------------------------------------------------

    def _read(self, what: str, query: Sequence[tuple[str, str]]) -> Any:
        try:
            return self.client.get(what, query)
        except Refusal as refusal:
            raise self._refused(refusal) from refusal

    def _refused(self, refusal: Refusal, *, writing: bool = False) -> SideDown | Misconfigured:
        if refusal.no_such_sheet:
            self._layout = None
            return Misconfigured(
                f"The spreadsheet has no sheet “{self.sheet}”{_titles(self.client)}. Correct `sheet`, or give the "
                "sheet its name back."
            )
        return refused(refusal, self.email, self.client.spreadsheet_id, writing=writing)


def letters(width: int) -> str:
    """The letters of the last column of a header of this width."""
    return cells.letters(max(width, 1) - 1)


def _titles(client: GoogleClient) -> str:
    """The sheets that there are, for a sentence; "" where that cannot be told."""
    try:
        answer = client.get("", [("fields", "sheets/properties/title")])
        titles = [str(one["properties"]["title"]) for one in answer["sheets"]]
    except (Refusal, SideDown, KeyError, TypeError):
        return ""
    return f"; it has {', '.join(f'“{title}”' for title in titles[:10])}"


def _fullest(sheet: Sheet, key: int) -> int:
    """The column beside the key's that has the fewest blank cells in the rows without a key, then in all."""
    others = [column for column in range(len(sheet.header)) if column != key]
    keyless = [row for row in sheet.rows if row[key] is None] or sheet.rows

    def filled(column: int) -> int:
        return sum(row[column] is not None for row in keyless)

    return max(others, key=filled, default=key)


def _conditions(sheet: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The conditions of the cells below the header, from above, by column."""
    for part in sheet.get("data", []):
        for row in part.get("rowData", [])[1:]:
            for column, cell in enumerate(row.get("values", []), part.get("startColumn", 0)):
                if condition := cell.get("dataValidation", {}).get("condition"):
                    yield column, condition


def _list_range(text: str, name: str) -> str:
    """The range of a list that stands in cells: "=Lists!$A$2:$A$9", or without a sheet's name on this sheet."""
    found = text.removeprefix("=").replace("$", "")
    return found if "!" in found else f"{name}!{found}"


def _merged(sheet: Sheet, found: cells.Grid, seen: set[int], key: int | None, at: float) -> Sheet:
    """`sheet` with what a second read showed. Rows that were not read follow their keys."""
    width, before = len(sheet.header), len(sheet.rows)
    tail = max(before, 1) - 1
    keys = [found.values.get((row + 1, key)) if key is not None else None for row in range(max(before, found.behind))]
    moved = key is not None and any(keys[row] != sheet.rows[row][key] for row in range(before))
    count = max(found.behind - 1, 0)  # the last row was read whole, and two columns of all others
    seen = {*(row for row in seen if row < count), *range(tail, count)}
    places = {} if key is None else {cells_[key]: row for row, cells_ in reversed(list(enumerate(sheet.rows)))}
    rows: list[tuple[Raw, ...]] = []
    for row in range(count):
        if row in seen:
            rows.append(found.row(row + 1, width))
        elif row < before and (key is None or keys[row] == sheet.rows[row][key]):
            rows.append(sheet.rows[row])
        elif keys[row] is not None and keys[row] in places:
            rows.append(sheet.rows[places[keys[row]]])
        else:
            rows.append(tuple(keys[row] if column == key else None for column in range(width)))
    kept = frozenset() if moved else sheet.formulas
    return replace(sheet, rows=tuple(rows), at=at, formulas=_formulas(kept, found, seen, width, count))


def _keys(sheet: Sheet, key: int | None) -> list[Raw]:
    return [row[key] if key is not None else None for row in sheet.rows]


def _formulas(
    kept: Collection[cells.At], found: cells.Grid, seen: Collection[int], width: int, count: int
) -> frozenset[cells.At]:
    """The formulas that were found, and of the rows that were not read those that were known."""
    return _found_formulas(found, width, count) | {(row, column) for row, column in kept if row not in seen}


def _found_formulas(found: cells.Grid, width: int, count: int) -> frozenset[cells.At]:
    return frozenset((row - 1, column) for row, column in found.formulas if 0 < row <= count and column < width)
