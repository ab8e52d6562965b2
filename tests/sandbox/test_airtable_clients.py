"""The local Airtable driven by clients that others wrote: pyairtable and airtable.js (reference/airtable.md §§10, 11).

The pyairtable part goes through what that project's own integration tests exercise, on the table that they need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyairtable
import pytest
import requests
from pyairtable import formulas as fo
from pyairtable.models.schema import SingleLineTextFieldSchema, SingleSelectFieldSchema

from syncd.sandbox.airtable import Airtable
from syncd.sandbox.wire import Served, serve

TOKEN = "pat-sandbox"
COLUMNS: list[dict[str, Any]] = [
    {"name": "text", "type": "singleLineText"},
    {"name": "number", "type": "number", "options": {"precision": 1}},
    {"name": "boolean", "type": "checkbox", "options": {"icon": "check", "color": "greenBright"}},
    {"name": "datetime", "type": "dateTime"},
    {"name": "stage", "type": "singleSelect", "options": {"choices": [{"name": "New"}, {"name": "Won"}]}},
]


@pytest.fixture
def server() -> Airtable:
    server = Airtable(rate_per_second=None)
    server.add_table("TEST_TABLE", COLUMNS)
    return server


@pytest.fixture
def served(server: Airtable) -> Iterator[Served]:
    with serve(server) as served:
        yield served


@pytest.fixture
def api(served: Served) -> Iterator[pyairtable.Api]:
    api = pyairtable.Api(TOKEN, endpoint_url=served.url, retry_strategy=None, timeout=(5, 30))
    yield api
    api.session.close()


@pytest.fixture
def base(api: pyairtable.Api, server: Airtable) -> pyairtable.Base:
    return api.base(server.base_id)


@pytest.fixture
def table(base: pyairtable.Base) -> pyairtable.Table:
    return base.table("TEST_TABLE")


@pytest.fixture
def ids(server: Airtable) -> SimpleNamespace:
    """Field ids by column name."""
    found = server.table("TEST_TABLE")
    return SimpleNamespace(**{one.name: one.id for one in found.fields.values()})


# --- pyairtable: records ----------------------------------------------------------------------------------------------


def test_the_life_of_records(table: pyairtable.Table) -> None:
    made = table.create({"text": "A", "number": 1, "boolean": True})
    assert table.get(made["id"]) == made
    assert table.update(made["id"], {"text": "B"})["fields"] == {"text": "B", "number": 1, "boolean": True}
    assert table.update(made["id"], {"number": 2}, replace=True)["fields"] == {"number": 2}
    assert [one["id"] for one in table.all()] == [made["id"]]
    assert table.delete(made["id"])["deleted"]

    records = table.batch_create([{"text": "A", "number": n, "boolean": True} for n in range(15)])
    changed = table.batch_update([{"id": one["id"], "fields": {"text": "C"}} for one in records])
    assert [one["fields"]["text"] for one in changed] == ["C"] * 15
    replaced = table.batch_update([{"id": one["id"], "fields": {"number": 7}} for one in records], replace=True)
    assert [one["fields"] for one in replaced] == [{"number": 7}] * 15
    assert len(table.batch_delete([one["id"] for one in records])) == 15
    assert table.all() == []


def test_fields_by_id(table: pyairtable.Table, ids: SimpleNamespace) -> None:
    made = table.create({ids.text: "Hello"}, use_field_ids=True)
    assert made["fields"] == {ids.text: "Hello"}
    assert table.update(made["id"], {ids.text: "Bye"}, use_field_ids=False)["fields"] == {"text": "Bye"}
    assert table.get(made["id"], use_field_ids=True)["fields"] == {ids.text: "Bye"}
    more = table.batch_create([{ids.text: "a"}, {ids.text: "b"}], use_field_ids=True)
    updates: list[Any] = [{"id": one["id"], "fields": {ids.text: one["fields"][ids.text] * 2}} for one in more]
    changed = table.batch_update(updates, use_field_ids=True)
    assert [one["fields"][ids.text] for one in changed] == ["aa", "bb"]


@pytest.mark.parametrize("long", [False, True], ids=["GET", "POST, 17k characters of formula"])
def test_every_option_of_a_listing(table: pyairtable.Table, ids: SimpleNamespace, long: bool) -> None:
    made = table.create({"text": "abracadabra"})
    formula = f"text != '{'x' * (17_000 if long else 10)}'"
    assert table.all(formula=formula, view="Grid view") == [made]
    assert table.all(formula=formula, max_records=1) == [made]
    assert table.all(formula=formula, page_size=1) == [made]
    assert table.all(formula=formula, offset="") == [made]
    assert table.all(formula=formula, fields=["text", "number"]) == [made]
    assert table.all(formula=formula, cell_format="json") == [made]
    assert table.all(formula=formula, sort=["text", "-number"]) == [made]
    assert table.all(formula=formula, time_zone="utc", user_locale="en-ie") == [made]
    assert table.all(formula=formula, use_field_ids=True)[0]["fields"] == {ids.text: "abracadabra"}


def test_pages(table: pyairtable.Table, server: Airtable) -> None:
    made = [server.person_add("TEST_TABLE", {"number": n}) for n in range(230)]
    assert {one["id"] for one in table.all()} == set(made)
    assert [len(page) for page in table.iterate(page_size=50)] == [50, 50, 50, 50, 30]
    assert len(table.all(max_records=120)) == 120
    assert [one["fields"]["number"] for one in table.all(sort=["-number"], max_records=2)] == [229, 228]


def test_upsert(table: pyairtable.Table, ids: SimpleNamespace) -> None:
    one, two = table.batch_create([{"text": "One"}, {"text": "Two"}])
    result = table.batch_upsert(
        [
            {"id": one["id"], "fields": {"number": 3}},
            {"fields": {"text": "Two", "number": 4}},
            {"fields": {"text": "Three", "number": 5}},
        ],
        key_fields=["text"],
    )
    assert set(result["updatedRecords"]) == {one["id"], two["id"]}
    assert len(result["createdRecords"]) == 1
    assert [record["fields"] for record in result["records"]] == [
        {"text": "One", "number": 3},
        {"text": "Two", "number": 4},
        {"text": "Three", "number": 5},
    ]
    result = table.batch_upsert(
        [
            {"id": one["id"], "fields": {"number": 3}},
            {"fields": {"text": "Two"}},
            {"fields": {"text": "Three", "number": 6}},
            {"fields": {"text": None, "number": 7}},  # a blank key makes a row
        ],
        key_fields=["text"],
        replace=True,
    )
    fields = [record["fields"] for record in result["records"]]
    assert fields == [{"number": 3}, {"text": "Two"}, {"text": "Three", "number": 6}, {"number": 7}]
    assert len(result["createdRecords"]) == 1
    result = table.batch_upsert([{"fields": {"text": "Two", "number": 8}}], key_fields=["text"], use_field_ids=True)
    assert result["records"] == [
        {"id": two["id"], "createdTime": two["createdTime"], "fields": {ids.text: "Two", ids.number: 8}}
    ]


def test_typecast(table: pyairtable.Table) -> None:
    with pytest.raises(requests.HTTPError, match="INVALID_MULTIPLE_CHOICE_OPTIONS"):
        table.create({"stage": "Foo"})
    assert table.create({"stage": "Foo", "number": "5"}, typecast=True)["fields"] == {"stage": "Foo", "number": 5}


# --- pyairtable: formulas ---------------------------------------------------------------------------------------------


def test_formulas_that_pyairtable_writes(table: pyairtable.Table) -> None:
    when = datetime(2026, 11, 21, 10, 20, 30, 123_000, tzinfo=UTC)
    quotes = 'Contact\'s "Name" \\ {x}'
    made = table.create({"text": quotes, "number": 12345, "boolean": True, "datetime": "2026-11-21T10:20:30.123Z"})
    table.create({"text": "other", "number": 1})
    moment = fo.Formula("CREATED_TIME()")
    for formula in (
        fo.match({"text": quotes, "number": 12345}),
        fo.match({"text": quotes, "number": 0}, match_any=True),
        fo.match({"datetime": when}),
        fo.match({"boolean": True}),
        fo.AND(fo.EQ(fo.Field("text"), quotes), fo.GTE(fo.Field("number"), 12345)),
        fo.FIND("2026-11-21", fo.Field("datetime")),
        fo.EQ(fo.RECORD_ID(), made["id"]),
        fo.AND(fo.IS_AFTER(fo.Field("datetime"), datetime(2026, 11, 21, tzinfo=UTC)), moment),
        fo.IF(fo.Field("datetime"), fo.IS_SAME(fo.Field("datetime"), when, "day"), 0),
        fo.NOT(fo.EQ(fo.Field("text"), "other")),
    ):
        assert [one["id"] for one in table.all(formula=formula)] == [made["id"]], str(formula)
    assert table.first(formula=fo.match({"text": quotes, "number": 0})) is None
    changed = fo.IS_AFTER(fo.LAST_MODIFIED_TIME(fo.Field("datetime")), datetime(2020, 1, 1, tzinfo=UTC))
    assert [one["id"] for one in table.all(formula=changed)] == [made["id"]]
    with pytest.raises(requests.HTTPError, match="Unknown field names: nme"):
        table.all(formula="{Nme}")


# --- pyairtable: schema and webhooks ----------------------------------------------------------------------------------


def test_the_schema_as_pyairtable_models_it(api: pyairtable.Api, base: pyairtable.Base, ids: SimpleNamespace) -> None:
    assert [one.id for one in api.bases()] == [base.id]
    assert api.base(base.id, validate=True).name == "Sandbox"
    assert api.whoami()["id"].startswith("usr")
    schema = base.table("TEST_TABLE").schema()
    assert schema.field("text").id == ids.text
    assert isinstance(schema.field(ids.text), SingleLineTextFieldSchema)
    stage = schema.field("stage")
    assert isinstance(stage, SingleSelectFieldSchema)
    assert [choice.name for choice in stage.options.choices] == ["New", "Won"]
    assert schema.views[0].visible_field_ids
    made = base.create_table("Other", [{"name": "Key", "type": "singleLineText"}], description="made here")
    added = made.create_field("Price", "currency", options={"precision": 2, "symbol": "$"})
    assert (added.name, added.type) == ("Price", "currency")
    text = made.create_field("Note", "multilineText", description="first")
    text.name, text.description = "Remark", "second"
    text.save()
    found = base.schema(force=True).table("Other")
    assert (found.field("Remark").id, found.field("Remark").description) == (text.id, "second")
    with pytest.raises(requests.HTTPError, match="UNSUPPORTED_FIELD_TYPE_FOR_CREATE"):
        made.create_field("Edited", "lastModifiedTime")


def test_webhook_payloads(
    base: pyairtable.Base, table: pyairtable.Table, server: Airtable, ids: SimpleNamespace
) -> None:
    made = base.add_webhook("https://example.com/", {"options": {"filters": {"dataTypes": ["tableData"]}}})
    webhook = base.webhook(made.id)
    webhook.disable_notifications()
    first = table.create({"text": "Hey there!", "stage": "Won"})
    payloads = list(webhook.payloads())
    assert len(payloads) == 1
    table_id = server.table("TEST_TABLE").id
    cells = payloads[0].changed_tables_by_id[table_id].created_records_by_id[first["id"]].cell_values_by_field_id
    assert cells[ids.text] == "Hey there!"
    assert cells[ids.stage]["name"] == "Won"
    for number in range(120):  # more than two pages of payloads
        table.update(first["id"], {"number": number})
    payloads = list(webhook.payloads(cursor=2))
    assert [payload.cursor for payload in payloads] == list(range(2, 122))
    last = payloads[-1].changed_tables_by_id[table_id].changed_records_by_id[first["id"]]
    assert last.current.cell_values_by_field_id == {ids.number: 119}
    webhook.extend_expiration()
    webhook.delete()
    assert base.webhooks() == []


# --- pyairtable: errors and load --------------------------------------------------------------------------------------


def test_errors_carry_their_body(table: pyairtable.Table, server: Airtable, served: Served) -> None:
    with pytest.raises(requests.HTTPError, match="NOT_FOUND"):
        table.get("recNone0000000000")
    with pytest.raises(requests.HTTPError, match="ROW_DOES_NOT_EXIST"):
        table.batch_update([{"id": "recNone0000000000", "fields": {}}])
    server.settings.rate_per_second = 0
    with pytest.raises(requests.HTTPError, match="RATE_LIMIT_REACHED"):
        table.all()
    server.settings.rate_per_second = None
    other = pyairtable.Api("pat-wrong", endpoint_url=served.url, retry_strategy=None)
    with pytest.raises(requests.HTTPError, match="AUTHENTICATION_REQUIRED"):
        other.table(server.base_id, "TEST_TABLE").all()
    other.session.close()


def test_a_lost_iterator_stops_a_listing(table: pyairtable.Table, server: Airtable) -> None:
    for number in range(20):
        server.person_add("TEST_TABLE", {"number": number})
    pages = table.iterate(page_size=5)
    next(pages)
    server.expire_offsets()
    with pytest.raises(requests.HTTPError, match="LIST_RECORDS_ITERATOR_NOT_AVAILABLE"):
        next(pages)


def test_25_threads(table: pyairtable.Table, server: Airtable) -> None:
    def work(thread: int) -> None:
        made = table.batch_create([{"text": f"thread={thread} record={n}"} for n in range(20)])
        table.batch_delete([one["id"] for one in made])

    table.create({"text": "stays"})
    with ThreadPoolExecutor(25) as pool:
        list(pool.map(work, range(25)))
    assert [one["fields"]["text"] for one in table.all()] == ["stays"]
    assert len(server.writes) == 1 + 25 * 40


# --- airtable.js ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_airtable_js(served: Served, server: Airtable, tmp_path: Path) -> None:
    """The official client, installed from npm into a copy of `airtable_js`, goes through its whole surface."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are needed to run airtable.js")
    folder = tmp_path / "airtable_js"
    shutil.copytree(Path(__file__).parent / "airtable_js", folder)
    install = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"]
    installed = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode != 0:
        message = f"npm could not install airtable.js: {installed.stderr.strip()[-500:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    for number in range(130):
        server.person_add("TEST_TABLE", {"text": f"row {number:03d}", "number": number})
    environment = {**os.environ, "AIRTABLE_ENDPOINT_URL": served.url, "AIRTABLE_API_KEY": TOKEN}
    run = [node, "check.js", server.base_id, "TEST_TABLE"]
    done = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all checks passed" in done.stdout
