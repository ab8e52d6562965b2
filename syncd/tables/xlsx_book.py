"""A workbook's parts: which are its sheets, the tables of a sheet, and what makes a file one that must not be edited.

Source: ECMA-376 part 1, 12.3 and 18.2; part 2, 6.5 (relationships).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote
from xml.etree import ElementTree

from syncd.tables.xlsx_cells import Area, area_of
from syncd.tables.xlsx_sheet import MAIN, STRICT, BadSheet, check_xml
from syncd.tables.zip_parts import BadZip, Parts

_RELATIONS: Final = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_RID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_M: Final = f"{{{MAIN}}}"
_FORMULA: Final = re.compile(rb"<(?:\w+:)?f[\s/>]")


class BadBook(Exception):
    """A file that cannot be edited safely. The text continues a sentence that begins with the file's name.

    `passing` says that it may be whole again soon: it is being written just now.
    """

    def __init__(self, sentence: str, *, passing: bool = False) -> None:
        super().__init__(sentence)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class SheetPart:
    """A sheet as the workbook names it; `part` is the name of its entry, `local` its place among all sheets."""

    name: str
    part: str
    hidden: bool
    local: int


@dataclass(frozen=True, slots=True)
class TablePart:
    """A table on a sheet. `totals` counts its rows of totals; `formulas` are the formulas of computed columns, by
    column of the sheet.
    """

    part: str
    area: Area
    header: bool
    totals: int
    formulas: dict[int, str]


class Book:
    """A workbook that is held in memory."""

    def __init__(self, data: bytes) -> None:
        """Raises `BadBook` where it is no workbook, or one that must not be edited."""
        self.data = data
        self.parts = _parts(data)
        self._contents: dict[str, bytes] = {}  # what was read of them
        self.workbook = self._workbook_part()
        self._root = self._tree(self.workbook)
        if self._root.tag.startswith(f"{{{STRICT}}}"):
            raise BadBook("is in the strict format; save it as “Excel Workbook (.xlsx)”, the usual one")
        if self._root.tag != f"{_M}workbook":
            raise BadBook("is no workbook that syncd knows")
        self._refuse_special()
        self.sheets = self._sheets()

    def _tree(self, part: str) -> ElementTree.Element:
        content = self.read(part)
        try:
            check_xml(content)
            return ElementTree.fromstring(content)
        except (BadSheet, ElementTree.ParseError) as error:
            raise BadBook(f"{error}") from error

    def read(self, part: str) -> bytes:
        """A part's content; raises `BadBook`."""
        if part not in self._contents:
            try:
                self._contents[part] = self.parts.read(part)
            except BadZip as error:
                raise BadBook(f"cannot be read: {error}", passing=error.cut) from error
        return self._contents[part]

    def _workbook_part(self) -> str:
        names = self.parts.names()
        if "mimetype" in names and b"opendocument" in self.read("mimetype"):
            raise BadBook("is an OpenDocument file; save it as “Excel 2007–365 (.xlsx)”")
        if self.parts.find("xl/workbook.bin"):
            raise BadBook("is a binary workbook (.xlsb); save it as “Excel Workbook (.xlsx)”")
        for kind, target in self._relations(""):
            if kind == "officeDocument" and self.parts.find(target):
                return self.parts.find(target) or target
        raise BadBook("is no Excel workbook")

    def _refuse_special(self) -> None:
        lowered = [name.lower() for name in self.parts.names()]
        if any(name.startswith("_xmlsignatures/") for name in lowered):
            raise BadBook("is digitally signed, and any change would break the signature; remove the signature")
        if any(name.startswith("xl/revisions/") for name in lowered):
            raise BadBook("is a shared workbook that tracks changes; stop sharing it (Review, Unshare Workbook)")

    def relations(self, part: str) -> list[tuple[str, str]]:
        """Kind and target of what a part refers to within the file."""
        return self._relations(part)

    def _relations(self, part: str) -> list[tuple[str, str]]:
        return [(kind, target) for kind, target, _ in self._related(part)]

    def _related(self, part: str) -> list[tuple[str, str, str]]:
        folder, name = posixpath.split(part)
        listed = self.parts.find(posixpath.join(folder, "_rels", f"{name}.rels"))
        if listed is None:
            return []
        found = []
        for one in self._tree(listed).iter(_RELATIONS):
            if one.get("TargetMode") == "External":
                continue
            target = unquote(one.get("Target", ""))
            whole = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
            found.append((one.get("Type", "").rpartition("/")[2], posixpath.normpath(whole), one.get("Id", "")))
        return found

    def _sheets(self) -> list[SheetPart]:
        targets = {rid: (kind, target) for kind, target, rid in self._related(self.workbook)}
        found = []
        for local, one in enumerate(self._root.iterfind(f"{_M}sheets/{_M}sheet")):
            kind, target = targets.get(one.get(_RID, ""), ("", ""))
            part = self.parts.find(target) if target else None
            if kind != "worksheet":
                continue  # a sheet that is a chart, or a dialogue
            if part is None:
                raise BadBook(f"lacks the part of its sheet “{one.get('name', '')}”")
            found.append(SheetPart(one.get("name", ""), part, one.get("state", "visible") != "visible", local))
        if len({sheet.part for sheet in found}) != len(found):
            raise BadBook("has two sheets in one part")
        return found

    @property
    def dates_from_1904(self) -> bool:
        """Whether its dates count from 1904."""
        about = self._root.find(f"{_M}workbookPr")
        return about is not None and about.get("date1904", "0") in ("1", "true")

    @property
    def names(self) -> dict[str, str]:
        """What its defined names (of the whole workbook) refer to, by folded name."""
        return {
            one.get("name", "").casefold(): one.text or ""
            for one in self._root.iterfind(f"{_M}definedNames/{_M}definedName")
            if one.get("localSheetId") is None
        }

    def tables(self, sheet: SheetPart) -> list[TablePart]:
        """The tables on a sheet."""
        found = []
        for kind, target in self._relations(sheet.part):
            part = self.parts.find(target) if kind == "table" else None
            if part is None:
                continue
            root = self._tree(part)
            area, totals = area_of(root.get("ref", "")), root.get("totalsRowCount", "0")
            if root.tag != f"{_M}table" or area is None:
                raise BadBook(f"has a table that syncd does not understand ({target})")
            found.append(
                TablePart(
                    part,
                    area,
                    root.get("headerRowCount", "1") != "0",
                    int(totals) if totals.isdecimal() else 0,
                    _computed(root, area),
                )
            )
        return found

    def has_formulas(self) -> bool:
        """Whether any sheet holds a formula."""
        if any(kind == "calcChain" for kind, _ in self._relations(self.workbook)):
            return True
        return any(_FORMULA.search(self.read(sheet.part)) for sheet in self.sheets)


def _computed(root: ElementTree.Element, area: Area) -> dict[int, str]:
    formulas = {}
    for place, column in enumerate(root.iterfind(f"{_M}tableColumns/{_M}tableColumn")):
        formula = column.find(f"{_M}calculatedColumnFormula")
        if formula is not None and formula.text and formula.get("array", "0") in ("0", "false"):
            formulas[area.left + place] = formula.text
    return formulas


def _parts(data: bytes) -> Parts:
    if not data:
        raise BadBook("is empty: it is being saved, or its content was not downloaded", passing=True)
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise BadBook("is protected by a password; remove it (File, Info, Protect Workbook)")
        raise BadBook("is an old Excel file (.xls); save it as “Excel Workbook (.xlsx)”")
    if not any(data):
        raise BadBook("holds nothing but zeros: it is being saved, or its content was not downloaded", passing=True)
    try:
        return Parts(data)
    except BadZip as error:
        if error.cut:
            raise BadBook(f"is not whole ({error}): it is being saved, or is damaged", passing=True) from error
        raise BadBook(f"is no Excel workbook: {error}") from error
