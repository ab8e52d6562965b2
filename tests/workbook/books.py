"""Workbooks made by hand, part by part: what openpyxl cannot make, or would not make as Excel does."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
HEADER = ("Name", "Stage", "Status", "Value", "GHL ID", "Sync")


def relations(*entries: tuple[str, str]) -> str:
    """A part of relationships: (kind, target), ids rId1, rId2, …."""
    inner = "".join(
        f'<Relationship Id="rId{number}" Type="{kind if ":" in kind else f"{RELS}/{kind}"}" Target="{target}"/>'
        for number, (kind, target) in enumerate(entries, 1)
    )
    return f'<?xml version="1.0"?>\n<Relationships xmlns="{PACKAGE}/relationships">{inner}</Relationships>'


def zipped(parts: Mapping[str, str | bytes], stored: tuple[str, ...] = ()) -> bytes:
    """A zip file of these parts in order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            about = zipfile.ZipInfo(name, (2025, 3, 4, 5, 6, 8))
            about.external_attr = 0o644 << 16
            method = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            file.writestr(about, content, compress_type=method)
    return out.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    """All parts by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def text(value: str) -> str:
    """The inside of an inline string's cell."""
    return f"<is><t>{value}</t></is>"


def row(number: int, *cells: str, about: str = "") -> str:
    """A row; each cell is a text, which stands in the next column ("" leaves it out), or whole XML."""
    inner = ""
    for place, cell in enumerate(cells):
        name = f"{chr(65 + place)}{number}"
        inner += cell if cell.startswith("<") or not cell else f'<c r="{name}" t="inlineStr">{text(cell)}</c>'
    return f'<row r="{number}"{about}>{inner}</row>'


def sheet(rows: str, *, before: str = "", after: str = "", root: str = "") -> str:
    """A sheet's part; `before` and `after` stand around the cells."""
    return (
        f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<worksheet xmlns="{MAIN}" xmlns:r="{RELS}"{root}>'
        f"{before}<sheetData>{rows}</sheetData>{after}</worksheet>"
    )


TYPES = (
    f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<Types xmlns="{PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Default Extension="bin" ContentType="application/vnd.ms-office.vbaProject"/>'
    '<Default Extension="vml" ContentType="application/vnd.openxmlformats-officedocument.vmlDrawing"/>'
    "{overrides}</Types>"
)
_OFFICE = "application/vnd.openxmlformats-officedocument"
KINDS = {
    "xl/workbook.xml": f"{_OFFICE}.spreadsheetml.sheet.main+xml",
    "xl/styles.xml": f"{_OFFICE}.spreadsheetml.styles+xml",
    "xl/sharedStrings.xml": f"{_OFFICE}.spreadsheetml.sharedStrings+xml",
    "xl/calcChain.xml": f"{_OFFICE}.spreadsheetml.calcChain+xml",
    "xl/worksheets/": f"{_OFFICE}.spreadsheetml.worksheet+xml",
    "xl/tables/": f"{_OFFICE}.spreadsheetml.table+xml",
    "xl/drawings/drawing": f"{_OFFICE}.drawing+xml",
    "xl/charts/": f"{_OFFICE}.drawingml.chart+xml",
    "xl/comments": f"{_OFFICE}.spreadsheetml.comments+xml",
}


def whole(parts: Mapping[str, str | bytes], macros: bool = False) -> bytes:
    """A workbook of these parts, with the part of content types."""
    overrides = ""
    for name in parts:
        kind = next((kind for start, kind in KINDS.items() if name.startswith(start) and "_rels" not in name), None)
        if name == "xl/workbook.xml" and macros:
            kind = "application/vnd.ms-excel.sheet.macroEnabled.main+xml"
        if kind is not None:
            overrides += f'<Override PartName="/{name}" ContentType="{kind}"/>'
    return zipped({"[Content_Types].xml": TYPES.format(overrides=overrides), **parts})


STYLES = (
    f'<styleSheet xmlns="{MAIN}"><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills><borders count="1"><border/></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="7"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="4" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    '<xf numFmtId="9" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="21" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
    '<dxfs count="1"><dxf><font><color rgb="FFFF0000"/></font></dxf></dxfs></styleSheet>'
)


def simple(
    sheet_xml: str,
    *,
    name: str = "Deals",
    about: str = "",
    after: str = "",
    more: Mapping[str, str | bytes] | None = None,
    state: str = "",
) -> bytes:
    """A workbook of one sheet; `about` goes into workbookPr, `after` behind the list of sheets."""
    return whole(
        {
            "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELS}"><workbookPr{about}/><sheets>'
            f'<sheet name="{name}" sheetId="1"{state} r:id="rId1"/></sheets>{after}</workbook>',
            "xl/_rels/workbook.xml.rels": relations(("worksheet", "worksheets/sheet1.xml"), ("styles", "styles.xml")),
            "xl/worksheets/sheet1.xml": sheet_xml,
            "xl/styles.xml": STYLES,
            **(more or {}),
        }
    )


def deals(*rows: str, before: str = "", after: str = "", root: str = "") -> str:
    """A sheet with the usual header and these rows."""
    return sheet(row(1, *HEADER) + "".join(rows), before=before, after=after, root=root)


def table_part(
    ref: str, columns: tuple[str, ...] = HEADER, *, totals: int = 0, formulas: Mapping[int, str] | None = None
) -> str:
    """A table's part."""
    inner = "".join(
        f'<tableColumn id="{place}" name="{column}"'
        + (
            f"><calculatedColumnFormula>{formulas[place - 1]}</calculatedColumnFormula></tableColumn>"
            if formulas and place - 1 in formulas
            else "/>"
        )
        for place, column in enumerate(columns, 1)
    )
    footer = f' totalsRowCount="{totals}"' if totals else ' totalsRowShown="0"'
    return (
        f'<table xmlns="{MAIN}" id="1" name="T" displayName="T" ref="{ref}"{footer}><autoFilter ref="{ref}"/>'
        f'<tableColumns count="{len(columns)}">{inner}</tableColumns>'
        '<tableStyleInfo name="TableStyleMedium2" showRowStripes="1"/></table>'
    )


def with_table(sheet_xml: str, ref: str, **about: object) -> bytes:
    """A workbook of one sheet with one table; the sheet's XML names it by rId1."""
    return simple(
        sheet_xml,
        more={
            "xl/worksheets/_rels/sheet1.xml.rels": relations(("table", "../tables/table1.xml")),
            "xl/tables/table1.xml": table_part(ref, **about),  # type: ignore[arg-type]
        },
    )


TABLE_PARTS = '<tableParts count="1"><tablePart r:id="rId1"/></tableParts>'


def save(path: Path, data: bytes) -> Path:
    """Writes a file that looks as if it was saved an hour ago."""
    path.write_bytes(data)
    settle(path)
    return path


def settle(path: Path) -> None:
    """As if the file had been saved an hour before it really was."""
    about = path.stat()
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns - 3600 * 10**9))


CHART = (
    '<c:chartSpace xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><c:chart><c:autoTitleDeleted val="1"/><c:plotArea>'
    '<c:layout/><c:barChart><c:barDir val="col"/><c:grouping val="clustered"/><c:varyColors val="0"/><c:ser>'
    '<c:idx val="0"/><c:order val="0"/><c:val><c:numRef><c:f>Deals!$D$2:$D$4</c:f><c:numCache>'
    '<c:formatCode>General</c:formatCode><c:ptCount val="3"/><c:pt idx="0"><c:v>100</c:v></c:pt></c:numCache>'
    '</c:numRef></c:val></c:ser><c:axId val="1"/><c:axId val="2"/></c:barChart><c:catAx><c:axId val="1"/><c:scaling>'
    '<c:orientation val="minMax"/></c:scaling><c:delete val="0"/><c:axPos val="b"/><c:crossAx val="2"/></c:catAx>'
    '<c:valAx><c:axId val="2"/><c:scaling><c:orientation val="minMax"/></c:scaling><c:delete val="0"/>'
    '<c:axPos val="l"/><c:crossAx val="1"/></c:valAx></c:plotArea></c:chart></c:chartSpace>'
)
DRAWING = (
    '<xdr:wsDr xmlns:xdr="http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><xdr:twoCellAnchor>'
    "<xdr:from><xdr:col>8</xdr:col><xdr:colOff>0</xdr:colOff><xdr:row>1</xdr:row><xdr:rowOff>0</xdr:rowOff></xdr:from>"
    "<xdr:to><xdr:col>12</xdr:col><xdr:colOff>0</xdr:colOff><xdr:row>6</xdr:row><xdr:rowOff>0</xdr:rowOff></xdr:to>"
    '<xdr:sp macro="" textlink=""><xdr:nvSpPr><xdr:cNvPr id="2" name="TextBox 1"/><xdr:cNvSpPr txBox="1"/></xdr:nvSpPr>'
    '<xdr:spPr><a:xfrm><a:off x="0" y="0"/><a:ext cx="900000" cy="900000"/></a:xfrm><a:prstGeom prst="rect"><a:avLst/>'
    "</a:prstGeom></xdr:spPr><xdr:txBody><a:bodyPr/><a:p><a:r><a:t>A note in a text box</a:t></a:r></a:p></xdr:txBody>"
    "</xdr:sp><xdr:clientData/></xdr:twoCellAnchor><xdr:twoCellAnchor>"
    "<xdr:from><xdr:col>8</xdr:col><xdr:colOff>0</xdr:colOff><xdr:row>8</xdr:row><xdr:rowOff>0</xdr:rowOff></xdr:from>"
    "<xdr:to><xdr:col>14</xdr:col><xdr:colOff>0</xdr:colOff><xdr:row>20</xdr:row><xdr:rowOff>0</xdr:rowOff></xdr:to>"
    '<xdr:graphicFrame macro=""><xdr:nvGraphicFramePr><xdr:cNvPr id="3" name="Chart 1"/><xdr:cNvGraphicFramePr/>'
    '</xdr:nvGraphicFramePr><xdr:xfrm><a:off x="0" y="0"/><a:ext cx="0" cy="0"/></xdr:xfrm><a:graphic><a:graphicData '
    'uri="http://schemas.openxmlformats.org/drawingml/2006/chart"><c:chart '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    f'xmlns:r="{RELS}" r:id="rId1"/></a:graphicData></a:graphic></xdr:graphicFrame><xdr:clientData/>'
    "</xdr:twoCellAnchor></xdr:wsDr>"
)
_X14 = "http://schemas.microsoft.com/office/spreadsheetml/2009/9/main"
EXTENSIONS = (
    f'<extLst><ext uri="{{78C0D931-6437-407d-A8EE-F0AAD7539E65}}" xmlns:x14="{_X14}"><x14:conditionalFormattings>'
    '<x14:conditionalFormatting xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main"><x14:cfRule '
    'type="dataBar" id="{B0B4BC1F-0B43-4D3A-9C2E-3D06D3A2C001}"><x14:dataBar minLength="0" maxLength="100">'
    '<x14:cfvo type="autoMin"/><x14:cfvo type="autoMax"/></x14:dataBar></x14:cfRule><xm:sqref>D2:D4</xm:sqref>'
    "</x14:conditionalFormatting></x14:conditionalFormattings></ext>"
    f'<ext uri="{{05C60535-1F16-4fd2-B633-F4F36F0B64E0}}" xmlns:x14="{_X14}"><x14:sparklineGroups '
    'xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main"><x14:sparklineGroup><x14:sparklines><x14:sparkline>'
    "<xm:f>Deals!D2:D4</xm:f><xm:sqref>H4</xm:sqref></x14:sparkline></x14:sparklines></x14:sparklineGroup>"
    "</x14:sparklineGroups></ext>"
    f'<ext uri="{{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}}" xmlns:x14="{_X14}"><x14:dataValidations '
    'xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main" count="1"><x14:dataValidation type="list" '
    'allowBlank="1"><x14:formula1><xm:f>Lists!$A$1:$A$3</xm:f></x14:formula1><xm:sqref>B2:B4</xm:sqref>'
    "</x14:dataValidation></x14:dataValidations></ext></extLst>"
)


def full() -> bytes:
    """A macro workbook as Excel makes it, with nearly everything that a careless program loses. Rows 2 to 4 are deals
    in a table; F (Sync) is blank, G holds formulas (shared), and H sparklines.
    """
    strings = [*HEADER, "Won %", "Spark", "Acme &amp; Co", "Qualified", "open", "id1", "Müller 🎉", "won", "id2", "id3"]

    def shared(name: str, index: int, style: int = 0) -> str:
        return f'<c r="{name}" s="{style}" t="s"><v>{index}</v></c>'

    spans = ' spans="1:8" x14ac:dyDescent="0.25"'
    head = "".join(shared(f"{chr(65 + place)}1", place, 4) for place in range(8))
    rich = '<c r="A4" t="inlineStr"><is><r><t>Rich </t></r><r><rPr><b/></rPr><t>text</t></r></is></c>'
    formula = '<f t="shared" ref="G2:G4" si="0">D2/100</f>'
    rows = (
        f'<row r="1"{spans}>{head}</row>'
        f'<row r="2"{spans} ht="18" customHeight="1">{shared("A2", 8)}{shared("B2", 9)}{shared("C2", 10)}'
        f'<c r="D2" s="2"><v>100</v></c>{shared("E2", 11, 3)}<c r="F2" s="4"/>'
        f'<c r="G2" s="5">{formula}<v>1</v></c></row>'
        f'<row r="3"{spans}>{shared("A3", 12)}{shared("B3", 9)}{shared("C3", 13)}<c r="D3" s="2"><v>250.5</v></c>'
        f'{shared("E3", 14, 3)}<c r="G3" s="5"><f t="shared" si="0"/><v>2.505</v></c></row>'
        f'<row r="4"{spans}>{rich}{shared("B4", 9)}{shared("C4", 10)}<c r="D4" s="2"><v>1E3</v></c>'
        f'{shared("E4", 15, 3)}<c r="G4" s="5"><f t="shared" si="0"/><v>10</v></c></row>'
    )
    x14ac = (
        ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" mc:Ignorable="x14ac" '
        'xmlns:x14ac="http://schemas.microsoft.com/office/spreadsheetml/2009/9/ac"'
    )
    deals_sheet = sheet(
        rows,
        root=x14ac,
        before='<sheetPr codeName="Sheet1"/><dimension ref="A1:H4"/><sheetViews><sheetView tabSelected="1" '
        'workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView>'
        '</sheetViews><sheetFormatPr defaultRowHeight="15" x14ac:dyDescent="0.25"/><cols><col min="1" max="1" '
        'width="30" customWidth="1"/><col min="4" max="4" width="12" style="2" customWidth="1"/></cols>',
        after='<conditionalFormatting sqref="C2:C4"><cfRule type="cellIs" dxfId="0" priority="1" operator="equal">'
        '<formula>"won"</formula></cfRule></conditionalFormatting><dataValidations count="2"><dataValidation '
        'type="list" allowBlank="1" sqref="C2:C4"><formula1>"open,won,lost"</formula1></dataValidation>'
        '<dataValidation type="decimal" operator="greaterThanOrEqual" allowBlank="1" sqref="D2:D1048576">'
        '<formula1>0</formula1></dataValidation></dataValidations><hyperlinks><hyperlink ref="A2" '
        'location="Lists!A1" display="x"/></hyperlinks><pageMargins left="0.7" right="0.7" top="0.75" bottom="0.75" '
        'header="0.3" footer="0.3"/><drawing r:id="rId2"/><legacyDrawing r:id="rId4"/>' + TABLE_PARTS + EXTENSIONS,
    )
    lists = sheet("".join(row(number, stage) for number, stage in enumerate(("New", "Qualified", "Won, paid"), 1)))
    columns = (*HEADER, "Won %", "Spark")
    vml = '<xml xmlns:v="urn:schemas-microsoft-com:vml"><v:shape id="s1"/></xml>'
    return whole(
        {
            "_rels/.rels": relations(("officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELS}"><workbookPr codeName="ThisWorkbook"/>'
            '<bookViews><workbookView/></bookViews><sheets><sheet name="Deals" sheetId="3" r:id="rId1"/>'
            '<sheet name="Lists" sheetId="7" state="hidden" r:id="rId2"/></sheets><definedNames><definedName '
            'name="Total">SUM(Deals!$D$2:$D$4)</definedName></definedNames><calcPr calcId="191029"/></workbook>',
            "xl/_rels/workbook.xml.rels": relations(
                ("worksheet", "worksheets/sheet1.xml"),
                ("worksheet", "/xl/worksheets/sheet2.xml"),
                ("styles", "styles.xml"),
                ("sharedStrings", "sharedStrings.xml"),
                ("calcChain", "calcChain.xml"),
                ("http://schemas.microsoft.com/office/2006/relationships/vbaProject", "vbaProject.bin"),
            ),
            "xl/worksheets/sheet1.xml": deals_sheet,
            "xl/worksheets/sheet2.xml": lists,
            "xl/worksheets/_rels/sheet1.xml.rels": relations(
                ("table", "../tables/table1.xml"),
                ("drawing", "../drawings/drawing1.xml"),
                ("comments", "../comments1.xml"),
                ("vmlDrawing", "../drawings/vmlDrawing1.vml"),
            ),
            "xl/tables/table1.xml": table_part("A1:H4", columns, formulas={6: "T[[#This Row],[Value]]/100"}),
            "xl/drawings/drawing1.xml": DRAWING,
            "xl/drawings/_rels/drawing1.xml.rels": relations(("chart", "../charts/chart1.xml")),
            "xl/drawings/vmlDrawing1.vml": vml,
            "xl/charts/chart1.xml": CHART,
            "xl/comments1.xml": f'<comments xmlns="{MAIN}"><authors><author>A</author></authors><commentList><comment '
            'ref="B2" authorId="0"><text><t>ask again</t></text></comment></commentList></comments>',
            "xl/styles.xml": STYLES,
            "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}" count="16" uniqueCount="16">'
            + "".join(f"<si><t>{one}</t></si>" for one in strings)
            + "</sst>",
            "xl/calcChain.xml": f'<calcChain xmlns="{MAIN}"><c r="G2" i="3"/><c r="G3"/><c r="G4"/></calcChain>',
            "xl/vbaProject.bin": bytes(range(256)) * 20,
            "customXml/item1.xml": "<anything>not ours</anything>",
        },
        macros=True,
    )
