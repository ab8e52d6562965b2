"""The local Google Sheets, asked by Google's own client and by gspread."""

from __future__ import annotations

import json
import time
import urllib.request
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from syncd.sandbox.control import Controlled
from syncd.sandbox.sheets import DRIVE, SHEETS
from syncd.sandbox.sheets_people import list_rule
from syncd.sandbox.wire import Fault, Request
from tests.sandbox.google import BOOK, Desk, Offline

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import gspread
    from google.auth.exceptions import RefreshError
    from google.auth.transport.requests import AuthorizedSession
    from googleapiclient.errors import HttpError  # type: ignore[import-untyped]
    from gspread.utils import ValueInputOption

HEADER = ["Name", "Stage", "Value", "GHL ID"]


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        made.google.add_tab(BOOK, "Deals", HEADER)
        yield made


@pytest.fixture
def sheets(desk: Desk) -> Any:
    return desk.service().spreadsheets()


def fill(desk: Desk, *rows: tuple[Any, ...]) -> None:
    for row in rows:
        desk.google.person_add(BOOK, "Deals", dict(zip(HEADER, row, strict=False)))


def batch(sheets: Any, *requests: dict[str, Any], **more: Any) -> Any:
    return sheets.batchUpdate(spreadsheetId=BOOK, body={"requests": list(requests), **more}).execute()


def values(sheets: Any, *ranges: str, **options: Any) -> list[Any]:
    options = {"valueRenderOption": "UNFORMATTED_VALUE", **options}
    found = sheets.values().batchGet(spreadsheetId=BOOK, ranges=list(ranges), **options).execute()
    return [one.get("values") for one in found["valueRanges"]]


def refusal(call: Any) -> tuple[int, str, str]:
    """Status, Google's word, and its message of a call that is refused."""
    with pytest.raises(HttpError) as caught:
        call.execute()
    error = json.loads(caught.value.content)["error"]
    assert error["code"] == caught.value.status_code
    return error["code"], error.get("status", ""), error["message"]


# --- values ----------------------------------------------------------------------------------------------------------


def test_trailing_blank_rows_and_cells_are_left_out(desk: Desk, sheets: Any) -> None:
    fill(desk, ("Anna", "", 5))
    desk.google.person_edit(BOOK, "Deals", 2, {"Name": "Ben", "Stage": "won"})
    assert values(sheets, "Deals") == [[HEADER, ["Anna", "", 5], [], ["Ben", "won"]]]
    assert values(sheets, "Deals!D2:D") == [None]
    found = sheets.values().get(spreadsheetId=BOOK, range="Deals!A2:B3").execute()
    assert found == {"range": "Deals!A2:B3", "majorDimension": "ROWS", "values": [["Anna"]]}


def test_every_form_of_a_range(desk: Desk, sheets: Any) -> None:
    desk.google.add_tab(BOOK, "It's mine", ["A", "B"])
    desk.google.person_add(BOOK, "It's mine", {"A": "a", "B": "b"})
    ranges = ["'It''s mine'", "'It''s mine'!A:A", "'It''s mine'!2:2", "'It''s mine'!B2", "'It''s mine'!R2C1:R2C2",
              "'It''s mine'!A2:B", "A1:B1"]  # fmt: skip
    whole = [["A", "B"], ["a", "b"]]
    assert values(sheets, *ranges) == [whole, [["A"], ["a"]], [["a", "b"]], [["b"]], [["a", "b"]], [["a", "b"]], None]
    for wrong in ("Nope!A1", "Nope", "'Deals", "Deals!", "Deals!A0", "Deals!A1:2:3"):
        code, word, message = refusal(sheets.values().get(spreadsheetId=BOOK, range=wrong))
        assert (code, word, message) == (400, "INVALID_ARGUMENT", f"Unable to parse range: {wrong}")
    _, _, message = refusal(sheets.values().get(spreadsheetId=BOOK, range="Deals!A1001:B1002"))
    assert message == "Range (Deals!A1001:B1002) exceeds grid limits. Max rows: 1000, max columns: 26"


def test_raw_and_user_entered(sheets: Any) -> None:
    given = [["=1+1", "00123", "1/2/2026", "TRUE", True, 1.5, "'x"]]
    for option in ("RAW", "USER_ENTERED"):
        body = {"values": given}
        sheets.values().update(spreadsheetId=BOOK, range="Deals!A2", valueInputOption=option, body=body).execute()
        shown = values(sheets, "Deals!A2:G2")[0][0]
        formulas = values(sheets, "Deals!A2:G2", valueRenderOption="FORMULA")[0][0]
        if option == "RAW":
            assert shown == formulas == ["=1+1", "00123", "1/2/2026", "TRUE", True, 1.5, "'x"]
        else:
            assert shown == [2, 123, 46024, True, True, 1.5, "x"]
            assert formulas == ["=1+1", 123, 46024, True, True, 1.5, "x"]
            text = values(sheets, "Deals!A2:C2", dateTimeRenderOption="FORMATTED_STRING")
            assert text == [[[2, 123, "1/2/2026"]]]
            assert values(sheets, "Deals!C2:D2", valueRenderOption="FORMATTED_VALUE") == [[["1/2/2026", "TRUE"]]]
    call = sheets.values().update(spreadsheetId=BOOK, range="Deals!A2", body={"values": given})
    assert refusal(call)[:2] == (400, "INVALID_ARGUMENT")  # without valueInputOption


def test_null_leaves_a_cell_and_an_empty_text_clears_it(desk: Desk, sheets: Any) -> None:
    fill(desk, ("Anna", "open", 5, "k1"))
    body = {
        "valueInputOption": "RAW",
        "data": [{"range": "Deals!A2:C2", "values": [[None, "", 6]]}],
        "includeValuesInResponse": True,
        "responseValueRenderOption": "UNFORMATTED_VALUE",
    }
    found = sheets.values().batchUpdate(spreadsheetId=BOOK, body=body).execute()
    assert found["totalUpdatedCells"] == 2
    assert found["responses"][0]["updatedData"]["values"] == [["Anna", "", 6]]
    assert values(sheets, "Deals!A2:D2") == [[["Anna", "", 6, "k1"]]]


def test_a_batch_of_values_is_all_or_nothing(desk: Desk, sheets: Any) -> None:
    fill(desk, ("Anna",))
    before = desk.book.version
    for data in (
        [{"range": "Deals!A2", "values": [["x"]]}, {"range": "Deals!A1001", "values": [["y"]]}],
        [{"range": "Deals!A2", "values": [["x"]]}, {"range": "Deals!B2:B2", "values": [[["list"]]]}],
        [{"range": "Deals!A2", "values": [["x"]]}, {"range": "Deals!B2:B3", "values": [["a", "b"]]}],
    ):
        body = {"valueInputOption": "RAW", "data": data}
        assert refusal(sheets.values().batchUpdate(spreadsheetId=BOOK, body=body))[0] == 400
    assert values(sheets, "Deals!A2:C2") == [[["Anna"]]]
    assert desk.book.version == before


def test_append_goes_below_the_last_row_and_makes_room(desk: Desk, sheets: Any) -> None:
    tab = desk.google.add_tab(BOOK, "Small", ["A"], rows=2)
    for text in ("x", "y"):
        call = sheets.values().append(
            spreadsheetId=BOOK, range="Small", valueInputOption="RAW", body={"values": [[text]]}
        )
        call.execute()
    assert values(sheets, "Small") == [[["A"], ["x"], ["y"]]]
    assert tab.row_count == 3


# --- structure -------------------------------------------------------------------------------------------------------


def test_grid_data_tells_texts_from_formulas(desk: Desk, sheets: Any) -> None:
    fill(desk, ("'=1+1", "=C2*2", 5), ("1/2/2026", "=A9/0", "=B2"), ("TRUE", "=NOPE(1)", '=IMPORTRANGE("x","y")'))
    cell = "effectiveValue,formattedValue,userEnteredValue/formulaValue,effectiveFormat.numberFormat.type"
    mask = f"sheets(properties.sheetId,data(startRow,startColumn,rowData.values({cell})))"
    found = sheets.get(spreadsheetId=BOOK, ranges=["Deals!A2:C4"], fields=mask).execute()
    data = found["sheets"][0]["data"][0]
    assert (data["startRow"], "startColumn" in data, "rowMetadata" in data) == (1, False, False)
    first, second, third = (row["values"] for row in data["rowData"])
    assert first[0] == {"effectiveValue": {"stringValue": "=1+1"}, "userEnteredValue": {}, "formattedValue": "=1+1"}
    assert first[1]["userEnteredValue"] == {"formulaValue": "=C2*2"}
    assert first[1]["effectiveValue"] == {"numberValue": 10}
    assert second[0]["effectiveFormat"] == {"numberFormat": {"type": "DATE"}}
    assert second[1]["effectiveValue"]["errorValue"]["type"] == "DIVIDE_BY_ZERO"
    assert second[1]["formattedValue"] == "#DIV/0!"
    assert [cell["formattedValue"] for cell in third] == ["TRUE", "#NAME?", "Loading..."]


def test_ranges_choose_the_sheets_and_a_mask_decides_about_cells(desk: Desk, sheets: Any) -> None:
    fill(desk, ("Anna",))
    all_of = sheets.get(spreadsheetId=BOOK).execute()
    assert [one["properties"]["title"] for one in all_of["sheets"]] == ["Sheet1", "Deals"]
    assert "data" not in all_of["sheets"][0]
    one = sheets.get(spreadsheetId=BOOK, ranges=["Deals!A2"], includeGridData=True).execute()
    assert [sheet["properties"]["title"] for sheet in one["sheets"]] == ["Deals"]
    assert one["sheets"][0]["data"][0]["rowData"][0]["values"][0]["formattedValue"] == "Anna"
    masked = sheets.get(spreadsheetId=BOOK, includeGridData=True, fields="sheets.properties.title").execute()
    assert masked["sheets"][1] == {"properties": {"title": "Deals"}}


def test_cells_are_updated_by_their_types_all_or_nothing(desk: Desk, sheets: Any) -> None:
    sheet_id = desk.book.tab("Deals").id
    cells = [{"userEnteredValue": {"stringValue": "=1+1"}}, {}, {"userEnteredValue": {"numberValue": 2}}]
    fill(desk, ("Anna", "open", 5, "k1"))
    start: dict[str, Any] = {"sheetId": sheet_id, "rowIndex": 1, "columnIndex": 0}
    good: dict[str, Any] = {"updateCells": {"start": start, "rows": [{"values": cells}], "fields": "userEnteredValue"}}
    found = batch(
        sheets,
        good,
        includeSpreadsheetInResponse=True,
        responseIncludeGridData=True,
        responseRanges=["Deals!A2:D2"],
    )
    shown = found["updatedSpreadsheet"]["sheets"][0]["data"][0]["rowData"][0]["values"]
    assert [cell.get("formattedValue") for cell in shown] == ["=1+1", None, "2", "k1"]
    far = {**good["updateCells"], "start": {**start, "rowIndex": 1000}}
    code, word, message = refusal(
        sheets.batchUpdate(
            spreadsheetId=BOOK,
            body={"requests": [{"deleteDimension": {"range": {"sheetId": sheet_id, "dimension": "ROWS", "startIndex": 1,
                                                              "endIndex": 2}}}, {"updateCells": far}]},
        )
    )  # fmt: skip
    assert (code, word) == (400, "INVALID_ARGUMENT")
    assert message.startswith("Invalid requests[1].updateCells: Attempting to write row: ")
    assert values(sheets, "Deals!A2:D2") == [[["=1+1", "", 2, "k1"]]]


def test_cells_are_appended_below_whatever_is_last(desk: Desk, sheets: Any) -> None:
    tab = desk.google.add_tab(BOOK, "Small", ["A", "B"], rows=3)
    desk.google.person_add(BOOK, "Small", {"B": "last"})
    new = {"values": [{"userEnteredValue": {"stringValue": "new"}}]}
    batch(sheets, {"appendCells": {"sheetId": tab.id, "rows": [new, new], "fields": "userEnteredValue"}})
    assert values(sheets, "Small") == [[["A", "B"], ["", "last"], ["new"], ["new"]]]
    assert desk.book.tab("Small").row_count == 4


def test_rows_and_columns_rules_protection_and_filters(desk: Desk, sheets: Any) -> None:
    sheet_id = desk.book.tab("Deals").id
    fill(desk, ("b", "=C2", 1, "k1"), ("a", "=C3", 2, "k2"))
    where = {"sheetId": sheet_id, "dimension": "ROWS", "startIndex": 1, "endIndex": 2}
    batch(sheets, {"insertDimension": {"range": where}})
    assert values(sheets, "Deals!A2:D4", valueRenderOption="FORMULA") == [
        [[], ["b", "=C3", 1, "k1"], ["a", "=C4", 2, "k2"]]
    ]
    batch(sheets, {"deleteDimension": {"range": where}}, {"appendDimension": {"sheetId": sheet_id, "dimension": "ROWS",
                                                                              "length": 5}})  # fmt: skip
    part = {"sheetId": sheet_id, "startRowIndex": 1, "endRowIndex": 3, "startColumnIndex": 0, "endColumnIndex": 4}
    batch(sheets, {"sortRange": {"range": part, "sortSpecs": [{"dimensionIndex": 0, "sortOrder": "ASCENDING"}]}})
    assert values(sheets, "Deals!A2:D3", valueRenderOption="FORMULA") == [
        [["a", "=C2", 2, "k2"], ["b", "=C3", 1, "k1"]]
    ]
    column = {"sheetId": sheet_id, "startColumnIndex": 3, "endColumnIndex": 4}
    hidden = {"range": {"sheetId": sheet_id, "dimension": "COLUMNS", "startIndex": 3, "endIndex": 4},
              "properties": {"hiddenByUser": True}, "fields": "hiddenByUser"}  # fmt: skip
    batch(
        sheets,
        {"setDataValidation": {"range": {**column, "startRowIndex": 1}, "rule": list_rule(["x"])}},
        {"addProtectedRange": {"protectedRange": {"range": column, "editors": {"users": ["boss@example.com"]}}}},
        {"updateDimensionProperties": hidden},
        {"setBasicFilter": {"filter": {"range": part}}},
        {"updateSheetProperties": {"properties": {"sheetId": sheet_id, "title": "New"}, "fields": "title"}},
    )
    found = sheets.get(spreadsheetId=BOOK, ranges=["New!D1:D2"], includeGridData=True).execute()["sheets"][0]
    assert found["properties"]["gridProperties"] == {"rowCount": 1005, "columnCount": 26, "frozenRowCount": 1}
    assert found["data"][0]["columnMetadata"][0]["hiddenByUser"]
    assert found["data"][0]["rowData"][1]["values"][0]["dataValidation"]["condition"]["type"] == "ONE_OF_LIST"
    assert found["basicFilter"]["range"] == part
    desk.book.tab("New").protected[0]["editors"]["users"].remove(desk.google.email)
    body = {"values": [["x"]]}
    call = sheets.values().update(spreadsheetId=BOOK, range="New!D2", valueInputOption="RAW", body=body)
    assert refusal(call)[2].startswith("You are trying to edit a protected cell or object.")


def test_gspread_reads_and_writes(desk: Desk) -> None:
    book = desk.gspread()
    assert [one.title for one in book.worksheets()] == ["Sheet1", "Deals"]
    sheet = book.worksheet("Deals")
    sheet.append_rows(
        [["Anna", "open", 5, "k1"], ["Ben", "won", "=1+1", "k2"]], value_input_option=ValueInputOption.raw
    )
    sheet.update([["lost", 7]], "B2:C2", raw=True)
    assert sheet.get_all_records() == [
        {"Name": "Anna", "Stage": "lost", "Value": 7, "GHL ID": "k1"},
        {"Name": "Ben", "Stage": "won", "Value": "=1+1", "GHL ID": "k2"},
    ]
    sheet.batch_clear(["C3"])
    sheet.insert_row(["Cleo", "open"], 2)
    sheet.sort((1, "des"), range="A2:D4")
    assert sheet.col_values(1) == ["Name", "Cleo", "Ben", "Anna"]
    sheet.delete_rows(3)
    sheet.format("C2:C", {"numberFormat": {"type": "CURRENCY", "pattern": "$0.00"}})
    assert sheet.row_values(3) == ["Anna", "lost", "$7.00", "k1"]
    found = sheet.find("Anna")
    assert found is not None
    assert (found.row, found.col) == (3, 1)
    with pytest.raises(gspread.exceptions.APIError, match="exceeds grid limits"):
        sheet.update([["x"]], "A2000")


# --- people ----------------------------------------------------------------------------------------------------------


def test_people_sort_insert_delete_copy_and_clear(desk: Desk) -> None:
    people = desk.google
    fill(desk, ("b", "open", "=C3*2", "k1"), ("c", "won", 2, "k2"), ("a", "lost", 3, "k3"))

    def names() -> list[Any]:
        return [(row.get("Name"), row.get("GHL ID")) for row in people.rows(BOOK, "Deals")]

    people.person_sort(BOOK, "Deals", "Name", leave=["GHL ID"])
    assert names() == [("a", "k1"), ("b", "k2"), ("c", "k3")]
    people.person_sort(BOOK, "Deals", "GHL ID", descending=True)
    assert names() == [("c", "k3"), ("b", "k2"), ("a", "k1")]
    people.person_copy(BOOK, "Deals", 0)
    people.person_insert(BOOK, "Deals", 0, {"Name": "new"})
    assert names() == [("new", None), ("c", "k3"), ("c", "k3"), ("b", "k2"), ("a", "k1")]
    people.person_delete(BOOK, "Deals", 1)
    people.person_clear(BOOK, "Deals", 1)
    people.person_copy(BOOK, "Deals", 3, to=0)
    assert names() == [("a", "k1"), (None, None), ("b", "k2"), ("a", "k1")]
    assert people.rows(BOOK, "Deals")[1] == {}


def test_people_over_the_control_path(desk: Desk) -> None:
    def ask(method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{desk.url}/_sandbox/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    assert ask("POST", f"rows/{BOOK}/Deals", {"cells": {"Name": "b", "Value": "=2*3"}}) == {"row": 0}
    ask("POST", f"rows/{BOOK}/Deals", {"cells": {"Name": "a"}})
    ask("PATCH", f"rows/{BOOK}/Deals/1", {"cells": {"Stage": "won"}})
    ask("POST", f"sort/{BOOK}/Deals", {"column": "Name"})
    ask("POST", f"rows/{BOOK}/Deals/1/copy")
    ask("POST", f"rows/{BOOK}/Deals/0/insert", {"cells": {"Name": "x"}})
    ask("POST", f"rows/{BOOK}/Deals/2/clear")
    ask("DELETE", f"rows/{BOOK}/Deals/0")
    found = ask("GET", f"rows/{BOOK}/Deals")["rows"]
    assert found == [{"Name": "a", "Stage": "won"}, {}, {"Name": "b", "Value": 6}]
    ask("PUT", "settings", {"reads_per_minute": 1})
    ask("PUT", f"tabs/{BOOK}/Deals", {"name": "Other"})
    assert desk.google.settings.reads_per_minute == 1
    assert desk.book.tab("Other")


def test_what_is_asked_in_vain_of_people_is_a_sentence(desk: Desk) -> None:
    for method, path, body, says in (
        ("DELETE", f"rows/{BOOK}/Deals/5000", None, "There is no row '5000'."),
        ("DELETE", f"rows/{BOOK}/Deals/-1", None, "There is no row '-1'."),
        ("DELETE", f"rows/{BOOK}/Nope/1", None, "There is no sheet 'Nope'."),
        ("GET", "rows/nope/Deals", None, "There is no spreadsheet 'nope'."),
        ("PATCH", f"rows/{BOOK}/Deals/1", {"cells": {"Worth": 1}}, "There is no column 'Worth'."),
        ("PATCH", f"rows/{BOOK}/Deals/1", {}, 'The body needs "cells".'),
        ("POST", f"sort/{BOOK}/Deals", None, "This needs a JSON object as its body."),
    ):
        data = b"" if body is None else json.dumps(body).encode()
        answer = Controlled(desk.http, desk.google).handle(Request(method, f"/_sandbox/{path}", body=data))
        assert (answer.status, answer.body) == (400, {"error": says})


# --- gates -----------------------------------------------------------------------------------------------------------


def test_quotas_are_a_minutes_and_reads_and_writes_count_apart(desk: Desk, sheets: Any) -> None:
    desk.google.set(reads_per_minute=2, writes_per_minute=1, retry_after=7)
    read = sheets.values().get(spreadsheetId=BOOK, range="Deals")
    write = sheets.values().update(
        spreadsheetId=BOOK, range="Deals!A2", valueInputOption="RAW", body={"values": [["x"]]}
    )
    read.execute(), read.execute(), write.execute()
    with pytest.raises(HttpError) as caught:
        read.execute()
    assert caught.value.resp["retry-after"] == "7"
    error = json.loads(caught.value.content)["error"]
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert error["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert "Read requests per minute per user" in error["message"]
    assert "Write requests per minute per user" in refusal(write)[2]


def test_who_may_do_what(desk: Desk, sheets: Any) -> None:
    read = sheets.values().get(spreadsheetId=BOOK, range="Deals")
    write = sheets.values().clear(spreadsheetId=BOOK, range="Deals!A2")
    assert refusal(sheets.get(spreadsheetId="x" * 44))[:2] == (404, "NOT_FOUND")
    desk.book.roles[desk.google.email] = "reader"
    read.execute()
    denied = (403, "PERMISSION_DENIED", "The caller does not have permission")
    assert refusal(write) == denied
    desk.book.roles.clear()
    assert refusal(read) == denied
    desk.book.roles[desk.google.email] = "writer"
    desk.book.office = True
    assert refusal(read)[1] == "FAILED_PRECONDITION"
    desk.google.set(enabled=[])
    assert "has not been used in project" in refusal(read)[2]
    desk.google.set(enabled=["sheets"])
    readonly = desk.service("sheets", "v4", SHEETS + ".readonly").spreadsheets()
    desk.book.office = False
    readonly.values().get(spreadsheetId=BOOK, range="Deals").execute()
    refused = refusal(readonly.values().clear(spreadsheetId=BOOK, range="Deals!A2"))
    assert refused[2] == "Request had insufficient authentication scopes."


def test_a_token_ends_and_a_new_one_is_had(desk: Desk, sheets: Any) -> None:
    read = sheets.values().get(spreadsheetId=BOOK, range="Deals")
    read.execute()
    desk.google.revoke_tokens()
    read.execute()  # Google's client asks for a new token after a 401
    paths = [(line.path, line.status) for line in desk.http.log]
    assert [status for path, status in paths if path != "/token"] == [200, 401, 200]
    assert sum(path == "/token" for path, _ in paths) == 2


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda desk: desk.google.set(key_revoked=True), "Invalid JWT Signature"),
        (lambda desk: desk.google.set(account_deleted=True), "account not found"),
        (lambda desk: setattr(desk.google, "clock", lambda: time.time() + 4000), "reasonable timeframe"),
        (lambda desk: setattr(desk.google, "clock", lambda: time.time() - 400), "reasonable timeframe"),
    ],
)
def test_a_token_is_refused(desk: Desk, spoil: Any, says: str) -> None:
    spoil(desk)
    with pytest.raises(RefreshError, match=says):
        desk.service().spreadsheets().get(spreadsheetId=BOOK).execute()


def test_a_foreign_key_is_refused(desk: Desk) -> None:
    with Desk() as other:
        key = {**json.loads(other.key), "token_uri": f"{desk.url}/token"}
    wrong = Offline.from_service_account_info(key, scopes=[SHEETS])  # type: ignore[no-untyped-call]
    session = AuthorizedSession(wrong)  # type: ignore[no-untyped-call]
    with pytest.raises(RefreshError, match="Invalid JWT Signature"):
        session.get(f"{desk.url}/v4/spreadsheets/{BOOK}")
    session.close()  # type: ignore[no-untyped-call]


def test_drives_version_grows_with_every_change_and_may_lag(desk: Desk, sheets: Any) -> None:
    files = desk.service("drive", "v3").files()
    asked = files.get(fileId=BOOK, fields="version,modifiedTime")
    first = asked.execute()
    assert set(first) == {"version", "modifiedTime"}
    assert set(files.get(fileId=BOOK).execute()) == {"kind", "id", "name", "mimeType"}
    fill(desk, ("Anna",))
    second = asked.execute()
    assert int(second["version"]) > int(first["version"])
    assert second["modifiedTime"] > first["modifiedTime"]
    values(sheets, "Deals")
    assert asked.execute() == second  # reading changes nothing
    desk.google.set(drive_lag=60)
    assert int(asked.execute()["version"]) < int(second["version"])
    with pytest.raises(HttpError, match="File not found"):
        files.get(fileId="y" * 44).execute()
    with pytest.raises(HttpError, match="insufficient authentication scopes"):
        desk.service("drive", "v3", SHEETS).files().get(fileId=BOOK).execute()
    desk.google.set(enabled=["sheets"])
    with pytest.raises(HttpError, match="Drive API has not been used"):
        desk.service("drive", "v3", DRIVE).files().get(fileId=BOOK).execute()


def test_a_lost_answer_took_effect(desk: Desk, sheets: Any) -> None:
    desk.http.faults.append(Fault(method="PUT", status=503, when="after"))
    body = {"values": [["x"]]}
    call = sheets.values().update(spreadsheetId=BOOK, range="Deals!A2", valueInputOption="RAW", body=body)
    with pytest.raises(HttpError):
        call.execute()
    assert values(sheets, "Deals!A2") == [[["x"]]]


def test_nonsense_is_refused_without_a_traceback(desk: Desk) -> None:
    session = desk.gspread().client.session
    for method, path, body in (
        ("POST", ":batchUpdate", b"{"),
        ("POST", ":batchUpdate", b"[]"),
        ("POST", ":batchUpdate", b'{"requests": [{"nope": {}}]}'),
        ("POST", ":batchUpdate", b'{"requests": [{"updateCells": {}}]}'),
        ("POST", ":batchUpdate", b'{"requests": [{"updateCells": 5}]}'),
        ("POST", "/values:batchUpdate", b'{"valueInputOption": "RAW", "data": [5]}'),
        ("POST", "/values:batchUpdate", b"[1]"),
        ("POST", "/values:batchClear", b"[1]"),
        ("PUT", "/values/Deals!A1?valueInputOption=RAW", b"[1]"),
        ("POST", ":batchUpdate", b'{"requests": [{"repeatCell": {"range": {"startRowIndex": "x"}}}]}'),
        ("GET", "?fields=a((", b""),
        ("PUT", "/values/Deals!A1?valueInputOption=NOPE", b'{"values": [["x"]]}'),
        ("GET", "/values/Deals?valueRenderOption=NOPE", b""),
        ("DELETE", "", b""),
        ("GET", "/nope", b""),
    ):
        answer = session.request(method, f"https://sheets.googleapis.com/v4/spreadsheets/{BOOK}{path}", data=body)
        assert answer.status_code in (400, 404), (path, body, answer.text)
        assert answer.json()["error"]["status"] in ("INVALID_ARGUMENT", "NOT_FOUND")
