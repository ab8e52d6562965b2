"""Airtable as a side, against the local Airtable over a socket; odd answers by faults (§: reference/airtable.md)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from syncd.at_rest import Sieve
from syncd.fields import DEFAULT_COLUMNS, PIPELINE, Field
from syncd.http import Bucket, Reply
from syncd.model import ABSENT, Raw, Record, Side, Stamp
from syncd.sandbox.airtable import Airtable
from syncd.sandbox.wire import Answer, Fault, Faulty, Logged, Request, serve
from syncd.sides import (
    Later,
    Lost,
    Misconfigured,
    NewRecord,
    Patch,
    Question,
    Refused,
    SideDown,
    TableSide,
    TryAgain,
    Unread,
    WriteResult,
    Written,
)
from syncd.tables.airtable import AirtableSide, open_airtable
from syncd.tables.airtable_errors import on_429, parsed
from syncd.tables.airtable_formulas import quoted
from tests.stored import links_of

BASE = "appSandbox0000001"
NOW = 1_790_000_000.0
FIELDS = tuple(
    Field(name, ("Pipeline", column) if name == "stage" else (column,), direction)
    for name, (column, direction) in DEFAULT_COLUMNS.items()
    if name != PIPELINE
)
NAMES = [field.name for field in FIELDS]
NAME, STAGE, STATUS, VALUE, OWNER = (NAMES.index(name) for name in ("name", "stage", "status", "value", "owner"))
REFUSED_FORMULA = {"error": {"type": "INVALID_FILTER_BY_FORMULA", "message": "The formula is invalid"}}


class Clock:
    """Stands until it is moved; sleeping moves it."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class World:
    """A local Airtable behind a socket, with faults and a log, and sides of its table."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.base = Airtable(clock=self.clock, rate_per_second=None)
        self.wire = Faulty(self.base, clock=self.clock, sleep=lambda seconds: None)
        self.served = serve(self.wire, clock=self.clock)
        self.sides: list[AirtableSide] = []

    def deals(self, **options: Any) -> World:
        self.base.deals_table(**options)
        return self

    def side(self, **options: Any) -> AirtableSide:
        given: dict[str, Any] = {
            "base_url": self.served.url,
            "token": "pat-sandbox",
            "base_id": BASE,
            "table": "Deals",
            "fields": FIELDS,
            "bucket": Bucket.unlimited(monotonic=self.clock),
            "clock": self.clock,
            "monotonic": self.clock,
            "sleep": self.clock.sleep,
            "rng": lambda: 0.5,
        }
        side = open_airtable(**{**given, **options})
        self.sides.append(side)
        return side

    def ready(self, **options: Any) -> AirtableSide:
        """A side whose schema was read; the log is empty again."""
        side = self.side(**options)
        side.schema()
        self.wire.log.clear()
        return side

    def add(self, **cells: Any) -> str:
        return self.base.person_add("Deals", cells)

    def fault(self, **fault: Any) -> None:
        self.wire.faults.append(Fault(**fault))

    def refuse(self, status: int, kind: str, message: str = "", **fault: Any) -> None:
        self.fault(status=status, body={"error": {"type": kind, "message": message}}, **fault)

    def calls(self, method: str = "", part: str = "") -> list[Logged]:
        return [one for one in self.wire.log if one.method == (method or one.method) and part in one.path]

    def column(self, name: str) -> str:
        return self.base.column(self.base.table("Deals"), name).id

    def choices(self, column: str) -> list[str]:
        return [choice.name for choice in self.base.column(self.base.table("Deals"), column).choices]

    def close(self) -> None:
        for side in self.sides:
            side.close()
        self.served.close()


@pytest.fixture
def bare() -> Iterator[World]:
    """A base without tables."""
    world = World()
    yield world
    world.close()


@pytest.fixture
def world(bare: World) -> World:
    """A base with a table of the default columns."""
    return bare.deals()


def record(result: object) -> Record:
    """The record of a result that must be one."""
    found = result.record if isinstance(result, Written) else result
    assert isinstance(found, Record), found
    return found


def refused(result: WriteResult) -> Refused:
    assert isinstance(result, Refused), result
    return result


def value(rec_id: str, to: Raw) -> Patch:
    return Patch(rec_id, {VALUE: to})


# --- opening ----------------------------------------------------------------------------------------------------------


def test_it_is_a_table_side_and_sends_nothing_when_opened(world: World) -> None:
    side: TableSide = world.side()
    assert (side.label, side.write_batch, side.read_batch, side.calls) == ("Airtable", 10, 100, 0)
    assert not world.wire.log


def test_pyairtable_is_imported_only_when_a_side_is_opened() -> None:
    code = "import sys, syncd.tables.airtable; print([m for m in ('pyairtable', 'requests') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_token_that_no_header_can_hold_is_misconfigured_and_not_shown(world: World) -> None:
    with pytest.raises(Misconfigured, match="header") as caught:
        world.side(token="pat-secret\nx")
    assert "secret" not in str(caught.value)


def test_netrc_does_not_replace_the_token(world: World, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert world.side().schema().message


# --- schema -----------------------------------------------------------------------------------------------------------


def test_schema_is_one_call_and_shows_kinds_options_and_precision(world: World) -> None:
    side = world.side()
    schema = side.schema()
    assert len(world.wire.log) == side.calls == 1
    assert schema.identity == side.identity == f"{BASE}/{world.base.table('Deals').id}"
    assert schema.message
    assert schema.missing == ()
    kinds = {name: column.kind for name, column in schema.columns.items()}
    assert kinds.items() >= {"name": "text", "pipeline": "select", "stage": "select", "value": "number"}.items()
    assert list(schema.columns["status"].options.values()) == ["open", "won", "lost", "abandoned"]
    assert all(option.startswith("sel") for option in schema.columns["status"].options)
    assert schema.columns["value"].precision == 2
    assert schema.columns["id"].id == world.column("GHL ID")  # remembered as well, so that a renamed key is noticed


@pytest.mark.parametrize("name", ["Deals", " deals ", "DEALS"])
def test_a_table_is_found_by_name_and_by_id(world: World, name: str) -> None:
    table_id = world.base.table("Deals").id
    assert world.side(table=name).schema().identity == f"{BASE}/{table_id}"
    assert world.side(table=table_id).schema().identity == f"{BASE}/{table_id}"


def test_an_exact_name_wins_over_one_that_only_looks_alike(bare: World) -> None:
    for name in ("deals", "Deals"):
        bare.deals(name=name)
    assert bare.side(table="Deals").schema().identity.endswith(bare.base.table("Deals").id)
    with pytest.raises(Misconfigured, match=r"several tables.*deals, Deals"):
        bare.side(table="DEALS").schema()


def test_names_are_matched_whatever_their_unicode_form(bare: World) -> None:
    bare.deals(name="Vertra\u0308ge")
    assert bare.side(table="Verträge").schema().identity


def test_a_missing_table_lists_those_there_are(world: World) -> None:
    world.base.add_table("Contacts", [{"name": "Name", "type": "singleLineText"}])
    with pytest.raises(Misconfigured, match=r"no table “Opportunities”\. It has: Deals, Contacts"):
        world.side(table="Opportunities").schema()


def test_a_renamed_column_is_known_by_its_id(world: World) -> None:
    remembered = {name: column.id for name, column in world.side().schema().columns.items()}
    world.base.rename_field("Deals", "Stage", "Phase")
    with pytest.raises(Misconfigured, match="The column “Stage” is now called “Phase”"):
        world.side(remembered=remembered).schema()
    with pytest.raises(Misconfigured, match="lacks the column “Stage”"):
        world.side().schema()


@pytest.mark.parametrize("old", ["GHL ID", "Company", "Sync", "Pipeline"])
def test_a_side_remembers_columns_from_one_pass_to_the_next(world: World, old: str) -> None:
    side = world.side()
    side.schema()
    world.base.rename_field("Deals", old, "Other")
    with pytest.raises(Misconfigured, match=f"“{old}” is now called “Other”"):
        side.schema()


@pytest.mark.parametrize("name", ["GHL ID", "Stage", "Status"])
def test_required_columns_are_named_when_they_lack(world: World, name: str) -> None:
    world.base.delete_field("Deals", name)
    with pytest.raises(Misconfigured, match=f"“Deals” lacks the column “{name}”"):
        world.side().schema()


def test_other_default_columns_may_lack_unless_they_were_configured(bare: World) -> None:
    bare.deals(include=["Name", "Stage", "Status", "GHL ID"])
    schema = bare.side().schema()
    assert set(schema.columns) == {"name", "stage", "status", "id"}
    assert set(schema.missing) >= {"Pipeline", "Value", "Sync"}
    assert not schema.message
    with pytest.raises(Misconfigured, match="lacks the column “Value”"):
        bare.side(explicit=frozenset({"value"})).schema()


def test_a_column_is_found_whatever_its_case_and_spaces(world: World) -> None:
    world.base.rename_field("Deals", "Value", " VALUE ")
    assert world.side().schema().columns["value"].name == " VALUE "


def test_two_fields_in_one_column_are_misconfigured(world: World) -> None:
    twice = tuple(replace(one, columns=("Company",)) if one.name == "source" else one for one in FIELDS)
    with pytest.raises(Misconfigured, match="“Company” is configured twice: for company and for source"):
        world.side(fields=twice).schema()


@pytest.mark.parametrize(
    ("type_", "options", "says"),
    [
        ("formula", {"formula": "RECORD_ID()"}, "“GHL ID” is computed .formula"),
        ("email", None, "“GHL ID” has the type email"),
        ("number", {"precision": 0}, "“GHL ID” has the type number"),
    ],
)
def test_the_key_column_must_be_able_to_hold_ids(world: World, type_: str, options: Any, says: str) -> None:
    world.base.delete_field("Deals", "GHL ID")
    world.base.add_field("Deals", "GHL ID", type_, options)
    with pytest.raises(Misconfigured, match=f"{says}.*Make a single line text column"):
        world.side().schema()


@pytest.mark.parametrize(
    ("type_", "options", "kind", "precision"),
    [
        ("formula", {"formula": "1"}, "computed", None),
        ("autoNumber", None, "computed", None),
        ("percent", {"precision": 1}, "number", 3),
        ("number", {"precision": 0}, "number", 0),
        ("multilineText", None, "text", None),
        ("somethingNew", None, None, None),
        ("multipleRecordLinks", {"linkedTableId": "tbl"}, None, None),
    ],
)
def test_kinds_of_columns(world: World, type_: str, options: Any, kind: str | None, precision: int | None) -> None:
    world.base.delete_field("Deals", "Company")
    world.base.add_field("Deals", "Company", type_, options)
    schema = world.side().schema()
    found = schema.columns.get("company")
    assert (found.kind if found else None) == kind
    assert (found.precision if found else None) == precision
    assert ("Company" in schema.missing) == (kind is None)
    if kind is None:
        with pytest.raises(Misconfigured, match=f"“Company” has the type {type_}"):
            world.side(explicit=frozenset({"company"})).schema()


@pytest.mark.parametrize(
    ("type_", "options"), [("checkbox", {"icon": "check", "color": "greenBright"}), ("number", {"precision": 0})]
)
def test_a_sync_column_that_holds_no_text_is_not_used(world: World, type_: str, options: Any) -> None:
    world.base.delete_field("Deals", "Sync")
    world.base.add_field("Deals", "Sync", type_, options)
    schema = world.side().schema()
    assert not schema.message
    assert schema.missing == ("Sync",)


# --- refusals of the door ---------------------------------------------------------------------------------------------


def test_a_wrong_token_names_the_scopes_and_is_not_shown(world: World) -> None:
    with pytest.raises(SideDown, match=r"refused the token.*data\.records:write and schema\.bases:read") as caught:
        world.side(token="pat-wrong-one").schema()
    assert "pat-wrong-one" not in str(caught.value)


def test_a_base_that_does_not_exist_is_named(world: World) -> None:
    with pytest.raises(Misconfigured, match="no base appOther, or the token has no access"):
        world.side(base_id="appOther").schema()
    world.fault(status=404, body={"error": "NOT_FOUND"})
    with pytest.raises(Misconfigured, match="no base"):
        world.side().schema()


def test_a_missing_schema_scope_is_named(world: World) -> None:
    world.base.set(scopes=["data.records:read", "data.records:write"])
    with pytest.raises(SideDown, match=r"lacks the scope schema\.bases:read"):
        world.side().schema()


def test_a_missing_scope_to_read_is_named(world: World) -> None:
    side = world.ready()
    world.base.set(scopes=["schema.bases:read"])
    with pytest.raises(SideDown, match=r"data\.records:read"):
        side.sweep()


@pytest.mark.parametrize("body", [b"<html>502</html>", b"", b"[]", b"null", {}, {"tables": None}, {"records": 5}])
def test_an_answer_that_is_no_answer_ends_the_pass(world: World, body: Any) -> None:
    world.add(Name="A")
    side = world.ready()
    for ask in (side.schema, side.sweep):
        world.fault(status=200, body=body)
        with pytest.raises(SideDown):
            ask()


def test_a_refusal_that_is_not_airtables_is_shown(world: World) -> None:
    side = world.ready()
    world.fault(status=403, body=b"<h1>Blocked by the company's proxy</h1>")
    with pytest.raises(SideDown, match="Blocked by the company's proxy"):
        side.sweep()


# --- raw values -------------------------------------------------------------------------------------------------------


def test_raw_values_stand_in_the_order_of_the_fields(world: World) -> None:
    options = {label: id for id, label in world.side().schema().columns["stage"].options.items()}
    statuses = {label: id for id, label in world.side().schema().columns["status"].options.items()}
    world.add(Name="Acme", Stage="Contacted", Status="open", Value=1200.5, **{"GHL ID": " d1 ", "Sync": "hm"})
    side = world.ready()
    [row] = side.sweep()
    assert row.raw[NAME] == row.title == "Acme"
    assert row.raw[STAGE] == [None, options["Contacted"]]
    assert row.raw[STATUS] == statuses["open"]
    assert row.raw[VALUE] == 1200.5
    assert row.raw[OWNER] is None
    assert (row.partner, row.message, row.stamp, row.clocks, row.lacks) == ("d1", "hm", None, (), frozenset())


def test_a_blank_row_is_blank(world: World) -> None:
    world.add()
    [row] = world.ready().sweep()
    assert row.raw == tuple([None, None] if name == "stage" else None for name in NAMES)
    assert (row.partner, row.message, row.title) == (None, "", "")


def test_without_a_sync_column_there_is_no_message(bare: World) -> None:
    bare.deals(include=["Stage", "Status", "GHL ID"])
    bare.add(**{"GHL ID": "d1"})
    [row] = bare.ready().sweep()
    assert row.message is None
    assert row.title == ""


def test_use_changes_the_order(world: World) -> None:
    world.add(Name="Acme", Value=5)
    side = world.ready()
    side.use((FIELDS[VALUE], FIELDS[NAME]))
    [row] = side.sweep()
    assert row.raw == (5, "Acme")
    side.schema()  # columns are looked at, and nothing stands elsewhere for that
    assert next(side.sweep()).raw == (5, "Acme")
    side.use(FIELDS)
    assert len(next(side.sweep()).raw) == len(FIELDS)


def test_an_option_that_the_schema_does_not_know_shows_its_label(world: World) -> None:
    side = world.ready()
    world.add(Stage="Brand new")
    [row] = side.sweep()
    assert row.raw[STAGE] == [None, "Brand new"]


def test_cells_that_are_objects_cannot_be_told(world: World) -> None:
    world.base.delete_field("Deals", "Company")
    world.base.add_field("Deals", "Company", "formula", {"formula": "ERROR()"})
    world.add(Name="A")
    [row] = world.ready().sweep()
    company = NAMES.index("company")
    assert row.raw[company] is None
    assert row.lacks == {company}


# --- sweep ------------------------------------------------------------------------------------------------------------


def many(world: World, count: int) -> set[str]:
    return {world.add(Name=f"n{number}", **{"GHL ID": f"d{number}"}) for number in range(count)}


def test_a_sweep_reads_pages_of_100_by_field_id_without_view_or_sort(world: World) -> None:
    ids = many(world, 250)
    side = world.ready(fields=(FIELDS[STAGE], FIELDS[STATUS]))
    assert {row.id for row in side.sweep()} == ids
    assert len(world.wire.log) == 3
    query = world.wire.log[0].query
    names = {name for name, _ in query}
    assert names == {"pageSize", "fields[]", "returnFieldsByFieldId"}
    wanted = {world.column(name) for name in ("Pipeline", "Stage", "Status", "GHL ID", "Sync")}
    assert {text for name, text in query if name == "fields[]"} == wanted


def test_an_empty_table_is_swept(world: World) -> None:
    assert list(world.ready().sweep()) == []


def test_a_lost_iterator_starts_the_listing_anew_and_throws_its_pages_away(world: World) -> None:
    ids = many(world, 250)
    side = world.ready()
    gone = next(iter(ids))
    lost = {"error": {"type": "LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "message": "start over"}}
    handle, pages = world.base.handle, 0

    def losing(request: Request) -> Answer:
        nonlocal pages
        pages += 1
        if pages == 3:
            world.base.person_delete("Deals", gone)
            return Answer(422, lost)
        return handle(request)

    world.base.handle = losing  # type: ignore[method-assign]
    assert {row.id for row in side.sweep()} == ids - {gone}  # pages of the first listing held it
    assert pages == 3 + 3


@pytest.mark.parametrize("kind", ["LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "INVALID_OFFSET_VALUE"])
def test_a_listing_that_never_ends_well_is_given_up(world: World, kind: str) -> None:
    many(world, 101)
    side = world.ready()

    class Losing:
        def handle(self, request: Request) -> Answer:
            if request.first("offset"):
                return Answer(422, {"error": {"type": kind}})
            return world.base.handle(request)

    world.wire.service = Losing()
    with pytest.raises(SideDown, match="lost its place"):
        side.sweep()
    assert len(world.wire.log) == 4 * 2


def test_the_sandbox_s_own_expiry_is_survived(world: World) -> None:
    ids = many(world, 150)
    side = world.ready()
    handle, first = world.base.handle, [True]

    def expiring(request: Request) -> Answer:
        answer = handle(request)
        if first.pop() if first else False:
            world.base.expire_offsets()
        return answer

    world.base.handle = expiring  # type: ignore[method-assign]
    assert {row.id for row in side.sweep()} == ids
    assert [one.status for one in world.wire.log] == [200, 422, 200, 200]


def scripted(world: World, pages: list[Any]) -> None:
    """Answers listings with these bodies, one after the other."""

    class Script:
        def handle(self, request: Request) -> Answer:
            return Answer(200, pages.pop(0)) if len(pages) > 1 else Answer(200, pages[0])

    world.wire.service = Script()


def row_of(id: str, **cells: Any) -> dict[str, Any]:
    return {"id": id, "createdTime": "2026-09-01T10:00:00.000Z", "fields": cells}


def test_a_row_that_comes_twice_counts_once_as_seen_last(world: World) -> None:
    side, name = world.ready(), world.column("Name")
    rows = [row_of("recA", **{name: "old"}), row_of("recB")]
    scripted(world, [{"records": rows, "offset": "itr/1"}, {"records": [row_of("recA", **{name: "new"})]}])
    assert [(row.id, row.title) for row in side.sweep()] == [("recA", "new"), ("recB", "")]


def test_a_listing_in_circles_ends(world: World) -> None:
    side = world.ready()
    scripted(world, [{"records": [row_of("recA")], "offset": "itr/1"}])
    with pytest.raises(SideDown, match="circles"):
        side.sweep()


@pytest.mark.parametrize("row", [{"fields": {}}, {"id": "", "fields": {}}, {"id": "recA", "fields": []}, 5])
def test_a_row_without_an_id_ends_the_sweep(world: World, row: Any) -> None:
    side = world.ready()
    scripted(world, [{"records": [row]}])
    with pytest.raises(SideDown, match="without an id"):
        side.sweep()


def test_a_sweep_that_fails_half_way_hands_out_nothing(world: World) -> None:
    many(world, 150)
    side = world.ready()
    world.fault(status=500, body=b"oops", skip=1, times=-1)
    with pytest.raises(SideDown, match="fault of its own"):
        side.sweep()
    assert len(world.wire.log) >= 1 + 4  # reads are retried


# --- read -------------------------------------------------------------------------------------------------------------


def test_many_rows_are_one_call_per_hundred_by_post_where_the_address_grows_long(world: World) -> None:
    ids = many(world, 205)
    side = world.ready()
    found = side.read(sorted(ids))
    assert {record(one).id for one in found.values()} == ids == found.keys()
    assert len(world.wire.log) == 3
    assert record(found[min(ids)]).raw == next(row for row in side.sweep() if row.id == min(ids)).raw


def test_one_row_is_read_by_its_id(world: World) -> None:
    rec_id = world.add(Name="A", **{"GHL ID": "d1"})
    side = world.ready()
    assert record(side.read([rec_id, rec_id])[rec_id]).partner == "d1"
    assert [one.path for one in world.wire.log] == [f"/v0/{BASE}/{world.base.table('Deals').id}/{rec_id}"]


def test_nothing_is_read_for_nothing(world: World) -> None:
    side = world.ready()
    assert side.read([]) == {}
    assert not world.wire.log


def test_a_row_that_the_batch_lacks_is_absent_only_by_its_own_read(world: World) -> None:
    here, gone = world.add(Name="A"), world.add(Name="B")
    world.base.person_delete("Deals", gone)
    side = world.ready()
    found = side.read([here, gone])
    assert record(found[here]).title == "A"
    assert found[gone] is ABSENT
    assert [one.method for one in world.wire.log] == ["GET", "GET"]
    assert world.wire.log[1].path.endswith(gone)


@pytest.mark.parametrize("shape", ["string", "type", "model_id"])
def test_shapes_of_not_found(world: World, shape: str) -> None:
    gone = world.add(Name="A")
    world.base.person_delete("Deals", gone)
    world.base.set(not_found_shape=shape)
    assert world.ready().read([gone]) == {gone: ABSENT}


def test_row_does_not_exist_is_not_found(world: World) -> None:
    world.refuse(422, "ROW_DOES_NOT_EXIST", "Record ID recX does not exist in this table", path="recX")
    assert world.ready().read(["recX"]) == {"recX": ABSENT}


@pytest.mark.parametrize(
    "body", [b"Cannot GET /v0", {"error": {"type": "TABLE_NOT_FOUND", "message": "Could not find table"}}, {}]
)
def test_any_other_404_is_no_deletion(world: World, body: Any) -> None:
    rec_id = world.add(Name="A")
    side = world.ready()
    world.fault(status=404, body=body)
    assert isinstance(side.read([rec_id])[rec_id], Unread)


def test_a_403_is_never_a_deletion(world: World) -> None:
    gone = world.add(Name="A")
    world.base.person_delete("Deals", gone)
    world.base.set(not_found_shape="forbidden")
    side = world.ready()
    found = side.read([gone])[gone]
    assert isinstance(found, Unread)  # Airtable leaves open which it is: the one row is unknown, the others go on
    assert "403" in found.sentence
    world.refuse(403, "INVALID_PERMISSIONS", "You are not permitted")
    with pytest.raises(SideDown, match=r"data\.records:read"):
        side.read([gone])


def test_not_found_with_403_is_no_deletion(world: World) -> None:
    side = world.ready()
    world.fault(status=403, body={"error": "NOT_FOUND"})
    with pytest.raises(SideDown):
        side.read(["recA"])


def test_a_refused_token_while_reading_one_row_ends_the_pass(world: World) -> None:
    side = world.ready()
    world.refuse(401, "AUTHENTICATION_REQUIRED", "Authentication required")
    with pytest.raises(SideDown, match="refused the token"):
        side.read(["recA"])


def test_a_server_that_fails_at_one_row_after_the_other_ends_the_pass(world: World) -> None:
    """At one alone, it is that row's own trouble."""
    side = world.ready()
    world.fault(status=503, body={"error": {"type": "RETRIABLE_ERROR"}}, times=-1)
    for _ in range(2):
        found = side.read(["recA"])["recA"]
        assert isinstance(found, Unread)
        assert found.fault
    with pytest.raises(SideDown):
        side.read(["recB"])


def test_another_row_than_asked_for_is_unread(world: World) -> None:
    side = world.ready()
    scripted(world, [row_of("recB")])
    assert isinstance(side.read(["recA"])["recA"], Unread)


@pytest.mark.parametrize("odd", ["", "../meta", "recA/comments", "recA?x=1"])
def test_what_is_no_id_is_never_sent_as_one(world: World, odd: str) -> None:
    side = world.ready()
    assert isinstance(side.read([odd])[odd], Unread)
    assert not world.wire.log


def test_a_server_that_refuses_the_formula_is_read_row_by_row_and_not_asked_again(world: World) -> None:
    ids = set(sorted(many(world, 250))[:3])
    side = world.ready()
    list(side.sweep())  # three pages: not fewer calls than three rows
    world.wire.log.clear()
    world.fault(status=422, body=REFUSED_FORMULA, times=1)
    assert {record(one).id for one in side.read(sorted(ids)).values()} == ids
    assert len(world.wire.log) == 1 + 3
    side.read(sorted(ids))
    assert len(world.wire.log) == 1 + 3 + 3
    side.schema()  # a new pass asks again
    side.read(sorted(ids))
    assert len(world.wire.log) == 1 + 3 + 3 + 1 + 1


def test_a_server_that_refuses_the_formula_is_listed_where_that_is_fewer_calls(world: World) -> None:
    ids = many(world, 120)
    gone = ids.pop()
    side = world.ready()
    list(side.sweep())
    world.base.person_delete("Deals", gone)
    world.wire.log.clear()
    world.fault(status=422, body=REFUSED_FORMULA, times=1)
    found = side.read([*sorted(ids), gone])
    assert {id for id, one in found.items() if isinstance(one, Record)} == ids
    assert found[gone] is ABSENT
    assert [one.path.rpartition("/")[2] == gone for one in world.wire.log] == [False, False, False, True]


def test_rows_that_were_not_asked_for_are_not_in_the_answer(world: World) -> None:
    side = world.ready()
    scripted(world, [{"records": [row_of("recA"), row_of("recB"), row_of("recC")]}])
    assert side.read(["recA", "recB"]).keys() == {"recA", "recB"}


# --- write ------------------------------------------------------------------------------------------------------------


def sent(call: Logged) -> Any:
    return json.loads(call.body)


def test_one_patch_names_only_what_changes_by_id_and_type_without_casting(world: World) -> None:
    rec_id = world.add(Name="Acme", Value=1, Status="open", Stage="Contacted", Owner="x", **{"GHL ID": "d1"})
    side = world.ready()
    [result] = side.write([Patch(rec_id, {VALUE: 2, STATUS: "won", OWNER: None}, message="look", partner="d2")])
    [call] = world.wire.log
    assert call.method == "PATCH"
    body = sent(call)
    assert body["typecast"] is False
    column = world.column
    assert body["records"] == [
        {
            "id": rec_id,
            "fields": {
                column("Value"): 2,
                column("Status"): "won",
                column("Owner"): None,
                column("Sync"): "look",
                column("GHL ID"): "d2",
            },
        }
    ]
    row = record(result)
    assert (row.raw[VALUE], row.raw[OWNER], row.partner, row.message) == (2, None, "d2", "look")
    assert side.schema().columns["status"].options[str(row.raw[STATUS])] == "won"
    assert world.base.row("Deals", rec_id)["Stage"] == "Contacted"


def test_empty_texts_clear_message_and_key(world: World) -> None:
    rec_id = world.add(Sync="look", **{"GHL ID": "d1"})
    [result] = world.ready().write([Patch(rec_id, message="", partner="")])
    cleared = {world.column("Sync"): None, world.column("GHL ID"): None}
    assert sent(world.wire.log[-1])["records"] == [{"id": rec_id, "fields": cleared}]
    assert world.base.row("Deals", rec_id) == {}
    assert (record(result).message, record(result).partner) == ("", None)


def test_a_stage_is_two_cells_of_which_only_those_with_a_value_are_sent(world: World) -> None:
    rec_id = world.add(Pipeline="Sales", Stage="Contacted")
    side = world.ready()
    side.write([Patch(rec_id, {STAGE: ["Sales", "Closed"]})])
    assert sent(world.wire.log[-1])["records"][0]["fields"] == {
        world.column("Pipeline"): "Sales",
        world.column("Stage"): "Closed",
    }
    side.write([Patch(rec_id, {STAGE: [None, "New Lead"]})])
    assert sent(world.wire.log[-1])["records"][0]["fields"] == {world.column("Stage"): "New Lead"}


def test_without_a_pipeline_column_only_the_stage_is_sent(bare: World) -> None:
    bare.deals(include=["Name", "Stage", "Status", "GHL ID"])
    rec_id = bare.add(Stage="Contacted")
    side = bare.ready()
    side.use((FIELDS[STAGE],))
    [result] = side.write([Patch(rec_id, {0: ["Sales", "Closed"]})])
    assert sent(bare.wire.log[-1])["records"][0]["fields"] == {bare.column("Stage"): "Closed"}
    assert record(result).raw[0] == [None, bare.base.column(bare.base.table("Deals"), "Stage").choices[-1].id]


@pytest.mark.parametrize("label", ["contacted", "  CONTACTED ", "Contacted"])
def test_a_label_of_another_case_is_the_option_there_is(world: World, label: str) -> None:
    rec_id, before = world.add(Name="A"), world.choices("Stage")
    side = world.ready()
    assert isinstance(side.write([Patch(rec_id, {STAGE: [None, label]})])[0], Written)
    assert sent(world.wire.log[-1])["typecast"] is False
    assert world.base.row("Deals", rec_id)["Stage"] == "Contacted"
    assert world.choices("Stage") == before


def test_an_exact_label_wins_over_one_of_another_case(bare: World) -> None:
    bare.deals(stages=("WON", "Won"))
    first, second = bare.add(), bare.add()
    bare.ready().write([Patch(first, {STAGE: [None, "Won"]}), Patch(second, {STAGE: [None, "won"]})])
    assert bare.base.row("Deals", first)["Stage"] == "Won"
    assert bare.base.row("Deals", second)["Stage"] == "WON"


def test_casting_is_asked_for_only_by_the_call_that_needs_a_new_option(world: World) -> None:
    first, second, third = (world.add(Name=name) for name in "ABC")
    side = world.ready()
    results = side.write(
        [
            Patch(first, {VALUE: 5}),
            Patch(second, {STAGE: ["Sales", "Negotiation"], VALUE: 7}),
            Patch(third, {STATUS: "lost"}),
        ]
    )
    assert [record(one).id for one in results] == [first, second, third]
    by_casting = {sent(one)["typecast"]: [row["id"] for row in sent(one)["records"]] for one in world.wire.log}
    assert by_casting == {False: [first, third], True: [second]}
    assert "Negotiation" in world.choices("Stage")
    assert record(results[1]).raw[STAGE][1] == "Negotiation"  # type: ignore[index]
    world.wire.log.clear()
    side.write([Patch(third, {STAGE: ["Sales", "negotiation"]})])  # known from now on
    assert [sent(one)["typecast"] for one in world.wire.log] == [False]
    assert world.choices("Stage").count("Negotiation") == 1


def test_values_are_sent_in_the_type_of_their_column(world: World) -> None:
    for name in ("Contact", "Company"):
        world.base.delete_field("Deals", name)
    world.base.add_field("Deals", "Contact", "number", {"precision": 1})
    world.base.add_field("Deals", "Company", "singleLineText")
    rec_id = world.add(Company="x")
    side = world.ready()
    contact, company, email = (NAMES.index(name) for name in ("contact", "company", "email"))
    assert isinstance(side.write([Patch(rec_id, {contact: "12.5", company: 7, email: ""})])[0], Written)
    assert world.base.row("Deals", rec_id) == {"Contact": 12.5, "Company": "7"}


def test_results_are_matched_by_id_and_never_by_position(world: World) -> None:
    side, name = world.ready(), world.column("Name")
    scripted(world, [{"records": [row_of("recB", **{name: "b"}), row_of("recC"), row_of("recA", **{name: "a"})]}])
    first, second, third = side.write([Patch(f"rec{one}", {NAME: one.lower()}) for one in "ABX"])
    assert (record(first).title, record(second).title) == ("a", "b")
    assert isinstance(third, Lost)  # taken, but not shown


def test_one_bad_row_of_ten_is_refused_and_nine_are_written(world: World) -> None:
    ids = [world.add(Name=str(number)) for number in range(10)]
    side = world.ready()
    results = side.write([value(id, "no number" if number == 6 else number) for number, id in enumerate(ids)])
    assert [isinstance(one, Written) for one in results] == [number != 6 for number in range(10)]
    assert refused(results[6]).fields == {VALUE}
    assert not refused(results[6]).everyone
    assert "“Value”" in refused(results[6]).sentence
    assert [record(one).raw[VALUE] for one in results if isinstance(one, Written)] == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert len(world.wire.log) <= 9


def test_a_refusal_without_a_reason_is_halved_down_to_its_row(world: World) -> None:
    ids = [world.add(Name=str(number)) for number in range(10)]
    side = world.ready()
    bad = ids[3]
    world.refuse(422, "INVALID_REQUEST_UNKNOWN", "Invalid request", contains=bad, times=-1)
    results = side.write([value(id, 1) for id in ids])
    assert [isinstance(one, Refused) for one in results] == [id == bad for id in ids]
    assert bad in refused(results[3]).sentence
    assert refused(results[3]).fields == frozenset()
    assert len(world.wire.log) <= 9


def test_a_row_that_is_gone_costs_one_more_call(world: World) -> None:
    ids = [world.add(Name=str(number)) for number in range(10)]
    world.base.person_delete("Deals", ids[2])
    side = world.ready()
    results = side.write([value(id, 1) for id in ids])
    assert [isinstance(one, Written) for one in results] == [number != 2 for number in range(10)]
    assert isinstance(gone := results[2], Later)  # the next pass reads it by its id (SPEC §1)
    assert f"{ids[2]} does not exist" in gone.sentence
    assert len(world.wire.log) == 2


def test_a_computed_column_is_blamed_for_every_row_and_the_others_go_on(world: World) -> None:
    world.base.delete_field("Deals", "Company")
    world.base.add_field("Deals", "Company", "formula", {"formula": "1"})
    ids = [world.add(Name=str(number)) for number in range(4)]
    side, company = world.ready(), NAMES.index("company")
    results = side.write([Patch(id, {company: "x"} if number % 2 else {VALUE: 1}) for number, id in enumerate(ids)])
    assert [isinstance(one, Written) for one in results] == [True, False, True, False]
    assert refused(results[1]).fields == {company}
    assert refused(results[1]).everyone
    assert len(world.wire.log) == 2


def test_a_column_that_vanished_is_blamed(world: World) -> None:
    ids = [world.add(Name="A"), world.add(Name="B")]
    side = world.ready()
    world.base.delete_field("Deals", "Value")
    first, second = side.write([value(ids[0], 1), Patch(ids[1], {NAME: "C"})])
    assert refused(first) == replace(refused(first), fields=frozenset({VALUE}), everyone=True)
    assert "“Value”" in refused(first).sentence
    assert isinstance(second, Written)


def test_a_locked_column_is_blamed(world: World) -> None:
    rec_id = world.add(Name="A")
    side = world.ready()
    world.base.set(locked_fields=[world.column("Value")])
    [result] = side.write([value(rec_id, 1)])
    assert refused(result) == replace(refused(result), fields=frozenset({VALUE}), everyone=True)


def test_a_token_that_may_not_write_is_no_row_s_fault(world: World) -> None:
    ids = [world.add(Name="A") for _ in range(3)]
    side = world.ready()
    world.base.set(scopes=["data.records:read", "schema.bases:read"])
    results = side.write([value(id, 1) for id in ids])
    assert all(refused(one).everyone and not refused(one).fields for one in results)
    assert "data.records:write" in refused(results[0]).sentence
    assert len(world.wire.log) == 1


def test_an_option_that_may_not_be_made_is_blamed_on_its_column(world: World) -> None:
    ids = [world.add(Name="A") for _ in range(3)]
    side = world.ready()
    message = 'Insufficient permissions to create new select option ""Foo""'
    world.refuse(422, "INVALID_MULTIPLE_CHOICE_OPTIONS", message, contains="Foo", times=-1)
    results = side.write([Patch(id, {STAGE: [None, "Bar" if id == ids[1] else "Foo"]}) for id in ids])
    assert refused(results[0]).fields == refused(results[2]).fields == {STAGE}
    assert "“Foo”" in refused(results[2]).sentence
    assert "“Stage”" in refused(results[2]).sentence
    assert isinstance(results[1], Written)
    assert len(world.wire.log) == 2  # all that hold that label are refused at once


def test_a_refused_token_while_writing_ends_the_pass(world: World) -> None:
    side = world.ready()
    world.refuse(401, "AUTHENTICATION_REQUIRED", "Authentication required")
    with pytest.raises(SideDown, match="refused the token"):
        side.write([value("recA", 1)])


def test_a_proxy_that_refuses_is_no_row_s_fault(world: World) -> None:
    side = world.ready()
    world.fault(status=403, body=b"<h1>Blocked</h1>")
    with pytest.raises(SideDown, match="Blocked"):
        side.write([value("recA", 1)])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "fault",
    [
        {"cut": True},
        {"status": 500, "body": b"oops"},
        {"status": 503, "body": {"error": {"type": "RETRIABLE_ERROR"}}},
        {"status": 200, "body": b"<html>"},
        {"status": 200, "body": b""},
        {"status": 200, "body": {}},
        {"status": 200, "body": {"records": 5}},
    ],
)
def test_a_lost_answer_is_lost_for_each_row_and_sent_once(world: World, when: str, fault: dict[str, Any]) -> None:
    ids = [world.add(Name="A"), world.add(Name="B")]
    side = world.ready()
    world.fault(method="PATCH", when=when, **fault)
    results = side.write([value(id, 9) for id in ids])
    assert [type(one) for one in results] == [Lost, Lost]
    assert len(world.wire.log) == 1
    assert all(("Value" in world.base.row("Deals", id)) == (when == "after") for id in ids)


def test_a_server_that_cannot_be_reached_ends_the_pass_and_nothing_is_lost(world: World) -> None:
    side = world.ready()
    world.served.close()
    side.http._client.close()  # the kept connection would still be served
    fresh = world.side()
    fresh._layout = side._layout
    with pytest.raises(SideDown, match="could not be reached"):
        fresh.write([value("recA", 1)])


def test_what_is_written_is_not_lost_when_the_server_shuts_half_way(world: World) -> None:
    ids = [world.add(Name=str(number)) for number in range(4)]
    side = world.ready()
    world.refuse(422, "INVALID_REQUEST_UNKNOWN", "Invalid request", method="PATCH")
    world.refuse(401, "AUTHENTICATION_REQUIRED", method="PATCH", skip=1)
    results = side.write([value(id, 1) for id in ids])
    assert [type(one) for one in results] == [Written, Written, Lost, Lost]


def test_more_than_ten_patches_are_several_calls(world: World) -> None:
    ids = [world.add(Name=str(number)) for number in range(12)]
    side = world.ready()
    assert all(isinstance(one, Written) for one in side.write([value(id, 1) for id in ids]))
    assert len(world.wire.log) == 2


def test_a_message_without_a_sync_column_is_no_write(bare: World) -> None:
    bare.deals(include=["Name", "Stage", "Status", "GHL ID"])
    rec_id = bare.add(Name="A")
    [result] = bare.ready().write([Patch(rec_id, message="look")])
    assert record(result).id == rec_id
    assert not bare.calls("PATCH")


# --- create, find, delete ---------------------------------------------------------------------------------------------


def new(partner: str, **values: Raw) -> NewRecord:
    return NewRecord(partner, {NAMES.index(name): given for name, given in values.items()})


def test_rows_are_made_in_one_call_keyed_by_the_key_column(world: World) -> None:
    side = world.ready()
    results = side.create([new("d1", name="A", stage=["Sales", "Closed"], value=3), new("d2", name="B")])
    [call] = world.wire.log
    assert sent(call)["performUpsert"] == {"fieldsToMergeOn": [world.column("GHL ID")]}
    assert sent(call)["typecast"] is False
    assert [(isinstance(one, Written) and one.made, record(one).partner, record(one).title) for one in results] == [
        (True, "d1", "A"),
        (True, "d2", "B"),
    ]
    shown = {"Name": "A", "Pipeline": "Sales", "Stage": "Closed", "Value": 3, "GHL ID": "d1"}
    assert shown in world.base.rows("Deals").values()


def test_a_row_that_was_there_is_found_and_not_made_again(world: World) -> None:
    rec_id = world.add(**{"GHL ID": "d1"})
    [result] = world.ready().create([new("d1", name="A")])
    assert result == Written(record(result), made=False)
    assert record(result).id == rec_id
    assert len(world.base.rows("Deals")) == 1


def test_a_new_option_for_a_new_row_is_cast(world: World) -> None:
    side = world.ready()
    results = side.create([new("d1", name="A"), new("d2", stage=["Sales", "Brand new"])])
    assert all(isinstance(one, Written) for one in results)
    assert sorted(sent(one)["typecast"] for one in world.wire.log) == [False, True]
    assert world.choices("Stage")[-1] == "Brand new"


def test_a_key_that_two_rows_carry_is_refused_alone(world: World) -> None:
    world.base.person_copy_row("Deals", world.add(**{"GHL ID": "d5"}))
    side = world.ready()
    results = side.create([new(f"d{number}", name="A") for number in range(10)])
    assert [isinstance(one, Written) for one in results] == [number != 5 for number in range(10)]
    assert "d5" in refused(results[5]).sentence
    assert "Two rows carry this id" in refused(results[5]).sentence
    assert len(world.wire.log) <= 9


def test_new_rows_are_matched_by_key_and_never_by_position(world: World) -> None:
    side, key = world.ready(), world.column("GHL ID")
    rows = [row_of("recB", **{key: "d2"}), row_of("recA", **{key: "d1"})]
    scripted(world, [{"records": rows, "createdRecords": ["recB"], "updatedRecords": ["recA"]}])
    first, second = side.create([new("d1"), new("d2")])
    assert (record(first).id, record(second).id) == ("recA", "recB")
    assert [isinstance(one, Written) and one.made for one in (first, second)] == [False, True]


def test_a_table_that_takes_no_new_rows_is_no_row_s_fault(world: World) -> None:
    side = world.ready()
    message = "You are not permitted to create records in table Deals (tbl1)"
    world.refuse(403, "INVALID_PERMISSIONS", message, times=-1)
    results = side.create([new("d1", name="A"), new("d2")])
    assert all(refused(one).everyone for one in results)
    assert message in refused(results[0]).sentence
    assert len(world.wire.log) == 1


def test_a_blank_key_would_always_make_a_row_and_is_never_sent(world: World) -> None:
    [result] = world.ready().create([new(" ", name="A")])
    assert isinstance(result, Refused)
    assert not world.base.rows("Deals")


def test_one_key_given_twice_makes_one_row(world: World) -> None:
    world.ready().create([new("d1"), new("d1")])
    assert len(world.base.rows("Deals")) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_create_is_sent_once(world: World, when: str) -> None:
    side = world.ready()
    world.fault(method="PATCH", cut=True, when=when)
    results = side.create([new("d1"), new("d2")])
    assert [type(one) for one in results] == [Lost, Lost]
    assert len(world.wire.log) == 1
    assert len(side.find(["d1"])["d1"]) == (when == "after")


def test_find_shows_every_row_that_carries_a_key(world: World) -> None:
    first = world.add(Name="A", **{"GHL ID": "d'1\\"})
    copy = world.base.person_copy_row("Deals", first)
    other = world.add(**{"GHL ID": "d2"})
    side = world.ready()
    found = side.find(["d'1\\", "d2", "d3"])
    assert {key: {row.id for row in rows} for key, rows in found.items()} == {
        "d'1\\": {first, copy},
        "d2": {other},
        "d3": set(),
    }
    assert len(world.wire.log) == 1


def test_when_a_row_was_made_is_known_once_it_was_found(world: World) -> None:
    rec_id = world.add(**{"GHL ID": "d1"})
    world.clock.now = NOW + 100
    side = world.ready()
    assert side.made_at(rec_id) is None
    side.find(["d1"])
    made = side.made_at(rec_id)
    assert made is not None
    assert abs(made - (NOW + side.clock_offset)) < 1.0


def test_find_asks_for_a_hundred_keys_a_call(world: World) -> None:
    many(world, 150)
    side = world.ready()
    found = side.find([f"d{number}" for number in range(150)])
    assert all(len(rows) == 1 for rows in found.values())
    assert len(world.wire.log) == 2


def test_find_reads_the_whole_table_where_the_formula_is_refused(world: World) -> None:
    many(world, 150)
    side = world.ready()
    world.fault(status=422, body=REFUSED_FORMULA, times=1)
    asked = [f"d{number}" for number in range(140)]
    found = side.find(asked)
    assert list(found) == asked  # not all the others that the listing showed
    assert all(len(rows) == 1 for rows in found.values())
    assert len(world.wire.log) == 1 + 2


def test_delete(world: World) -> None:
    rec_id = world.add(Name="A")
    side = world.ready()
    result = side.delete(rec_id)
    assert record(result).id == rec_id
    assert not world.base.rows("Deals")
    assert side.delete(rec_id) is ABSENT


def test_a_delete_that_is_refused_or_lost(world: World) -> None:
    rec_id = world.add(Name="A")
    side = world.ready()
    world.fault(method="DELETE", cut=True)
    assert isinstance(side.delete(rec_id), Lost)
    world.refuse(403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", method="DELETE")
    result = side.delete(rec_id)
    assert isinstance(result, Refused)
    assert result.everyone
    assert len(world.calls("DELETE")) == 2
    assert isinstance(side.delete("../x"), Refused)
    assert len(world.calls("DELETE")) == 2


# --- edit times -------------------------------------------------------------------------------------------------------


def after(instant: float) -> Stamp:
    return Stamp(instant + 0.001, inf)


def until(instant: float) -> Stamp:
    return Stamp(-inf, instant)


Setup = Callable[[World], None]


def _as_it_is(world: World) -> None:
    pass


def _without_row_ids(world: World) -> None:
    handle = world.base.handle

    def knowing_less(request: Request) -> Answer:
        formula = request.first("filterByFormula") or str((request.json() or {}).get("filterByFormula"))
        known = "RECORD_ID" not in formula and "AND(" not in formula
        return handle(request) if known else Answer(422, REFUSED_FORMULA)

    world.base.handle = knowing_less  # type: ignore[method-assign]


def _ignoring_row_ids(world: World) -> None:
    """A server that makes nothing of RECORD_ID and returns every row. Noticed by a row that nobody asked about."""
    world.add(Name="unasked")
    handle = world.base.handle

    def ignoring(request: Request) -> Answer:
        if "RECORD_ID" in (request.first("filterByFormula") or ""):
            request = replace(request, query=tuple(pair for pair in request.query if pair[0] != "filterByFormula"))
        return handle(request)

    world.base.handle = ignoring  # type: ignore[method-assign]


ways = pytest.mark.parametrize("setup", [_as_it_is, _without_row_ids, _ignoring_row_ids])


@ways
def test_edits_are_dated_by_the_field_s_own_time(world: World, setup: Setup) -> None:
    edited, other, untouched = (world.add(Name=name, Value=1) for name in "ABC")
    world.clock.now = NOW + 100
    world.base.person_edit("Deals", edited, {"Value": 2})
    world.base.person_edit("Deals", other, {"Name": "B2"})  # another field
    setup(world)
    side = world.ready()
    list(side.sweep())
    at = NOW + 50
    questions = [Question(id, VALUE, at) for id in (edited, other, untouched)]
    assert side.edited(questions) == {questions[0]: after(at), questions[1]: until(at), questions[2]: until(at)}


def test_a_hundred_questions_about_one_field_are_one_call(world: World) -> None:
    ids = sorted(many(world, 100))
    side = world.ready()
    side.read(ids)  # which shows that RECORD_ID() works; else an empty answer would need one more call
    world.wire.log.clear()
    answers = side.edited([Question(id, index, NOW + 1) for id in ids for index in (NAME, VALUE)])
    assert len(answers) == 200
    assert len(world.wire.log) == 2


@ways
def test_ties_are_not_after(world: World, setup: Setup) -> None:
    rec_id = world.add(Value=1)
    world.clock.now = NOW + 100
    world.base.person_edit("Deals", rec_id, {"Value": 2})
    setup(world)
    side = world.ready()
    list(side.sweep())
    for instant, expected in ((NOW + 100, until), (NOW + 99.999, after), (NOW + 100.001, until)):
        question = Question(rec_id, VALUE, round(instant, 3))
        assert side.edited([question]) == {question: expected(question.instant)}


@ways
def test_each_row_has_its_own_instant(world: World, setup: Setup) -> None:
    ids = [world.add(Value=1) for _ in range(3)]
    world.clock.now = NOW + 100
    for id in ids:
        world.base.person_edit("Deals", id, {"Value": 2})
    setup(world)
    side = world.ready()
    list(side.sweep())
    questions = [Question(id, VALUE, NOW + at) for id, at in zip(ids, (50, 150, 99), strict=True)]
    assert [side.edited(questions)[one].high == inf for one in questions] == [True, False, True]


def test_one_row_may_be_asked_about_for_two_instants(world: World) -> None:
    rec_id = world.add(Value=1)
    world.clock.now = NOW + 100
    world.base.person_edit("Deals", rec_id, {"Value": 2})
    side = world.ready()
    questions = [Question(rec_id, VALUE, NOW + 50), Question(rec_id, VALUE, NOW + 150)]
    assert [side.edited(questions)[one].high == inf for one in questions] == [True, False]


@ways
def test_a_stage_is_edited_where_either_of_its_cells_is(world: World, setup: Setup) -> None:
    first, second, third = (world.add(Pipeline="Sales", Stage="Closed") for _ in range(3))
    world.clock.now = NOW + 100
    world.base.person_edit("Deals", first, {"Pipeline": "Other"})
    world.base.person_edit("Deals", second, {"Stage": "Contacted"})
    setup(world)
    side = world.ready()
    questions = [Question(id, STAGE, NOW + 50) for id in (first, second, third)]
    assert [side.edited(questions)[one].high == inf for one in questions] == [True, True, False]


@ways
@pytest.mark.parametrize("bumps", [True, False])
@pytest.mark.parametrize("blanks_fail", [True, False])
def test_a_value_that_came_with_its_row_is_as_old_as_the_row(
    world: World, setup: Setup, bumps: bool, blanks_fail: bool
) -> None:
    world.base.set(creation_bumps=bumps, blank_dates_fail=blanks_fail)
    old = world.add(Value=1)
    world.clock.now = NOW + 100
    young = world.add(Value=1)
    setup(world)
    side = world.ready()
    questions = [Question(id, VALUE, NOW + 50) for id in (old, young)]
    assert [side.edited(questions)[one] for one in questions] == [until(NOW + 50), after(NOW + 50)]


@ways
@pytest.mark.parametrize("blanks_fail", [True, False])
def test_a_blank_cell_that_was_never_edited_is_no_edit(world: World, setup: Setup, blanks_fail: bool) -> None:
    world.base.set(blank_dates_fail=blanks_fail)
    world.clock.now = NOW + 100
    never, cleared = world.add(Name="A"), world.add(Name="B", Value=1)
    world.clock.now = NOW + 200
    world.base.person_edit("Deals", cleared, {"Value": None})
    setup(world)
    side = world.ready()
    questions = [Question(id, VALUE, NOW + 50) for id in (never, cleared)]
    assert [side.edited(questions)[one] for one in questions] == [until(NOW + 50), after(NOW + 50)]


def test_known_rows_are_not_read_again(world: World) -> None:
    world.clock.now = NOW + 100
    rec_id = world.add(Value=1)
    side = world.ready()
    rows = {row.id: row for row in side.sweep()}
    world.wire.log.clear()
    question = Question(rec_id, VALUE, NOW + 50)
    assert side.edited([question], rows) == {question: after(NOW + 50)}
    assert not world.wire.log  # the row's age decides
    assert side.edited([question]) == {question: after(NOW + 50)}
    assert len(world.wire.log) == 1


def test_the_question_is_asked_in_the_server_s_time(world: World) -> None:
    rec_id = world.add(Value=1)
    world.clock.now = NOW + 100
    world.base.person_edit("Deals", rec_id, {"Value": 2})  # 100 by the server, 400 by our own clock
    side = world.ready(clock=lambda: world.clock() + 300)
    assert side.clock_offset == pytest.approx(300, abs=1)
    questions = [Question(rec_id, VALUE, NOW + at) for at in (350, 450)]
    assert [side.edited([one])[one].high == inf for one in questions] == [True, False]


def test_what_cannot_be_asked_is_left_out(world: World) -> None:
    rec_id, gone = world.add(Value=1), world.add(Value=1)
    world.base.person_delete("Deals", gone)
    side = world.ready()
    world.fault(status=422, body=REFUSED_FORMULA, times=-1, contains="", path=world.base.table("Deals").id, skip=2)
    assert side.edited([Question(rec_id, VALUE, NOW), Question(gone, VALUE, NOW)]) == {}


def test_a_row_that_is_gone_is_left_out_alone(world: World) -> None:
    rec_id, gone = world.add(Value=1), world.add(Value=1)
    world.base.person_delete("Deals", gone)
    question = Question(rec_id, VALUE, NOW + 5)
    assert world.ready().edited([question, Question(gone, VALUE, NOW + 5)]) == {question: until(NOW + 5)}


def test_a_row_that_a_later_sweep_lacks_is_not_believed_to_be_as_it_was(world: World) -> None:
    gone = world.add(Value=1)
    side = world.ready()
    list(side.sweep())
    world.base.person_delete("Deals", gone)
    list(side.sweep())
    assert side.edited([Question(gone, VALUE, NOW + 5)]) == {}


def test_a_form_of_formula_that_does_not_work_is_not_tried_again(world: World) -> None:
    rec_id = world.add(Value=1)
    _ignoring_row_ids(world)
    side = world.ready()
    list(side.sweep())
    world.wire.log.clear()
    side.edited([Question(rec_id, VALUE, NOW + 5)])
    assert len(world.wire.log) == 2
    side.edited([Question(rec_id, VALUE, NOW + 5)])
    assert len(world.wire.log) == 3


def test_a_cell_that_cannot_be_told_is_not_blank(world: World) -> None:
    world.base.delete_field("Deals", "Company")
    world.base.add_field("Deals", "Company", "formula", {"formula": "ERROR()"})
    world.clock.now = NOW + 100
    question = Question(world.add(Name="A"), NAMES.index("company"), NOW + 50)
    assert world.ready().edited([question]) == {question: after(NOW + 50)}


def test_no_questions_no_calls(world: World) -> None:
    side = world.ready()
    assert side.edited([]) == {}
    assert not world.wire.log


def test_texts_in_formulas_are_quoted() -> None:
    assert quoted("a'b\\c\nd") == "'a\\'b\\\\c\\nd'"


# --- limits -----------------------------------------------------------------------------------------------------------


def too_many(kind: str, shape: str) -> Any:
    if shape == "errors":
        return {"errors": [{"error": kind, "message": "Rate limit exceeded. Please try again later"}]}
    return {"error": {"type": kind, "message": "Rate limit exceeded. Please try again later"}}


shapes = pytest.mark.parametrize("shape", ["error", "errors"])


@shapes
def test_too_many_requests_rest_30_seconds_before_the_next_one(world: World, shape: str) -> None:
    """A write is not repeated by itself: its row is read again first (SPEC §3.1)."""
    rec_id = world.add(Name="A")
    side = world.ready()
    world.fault(method="PATCH", status=429, body=too_many("RATE_LIMIT_REACHED", shape))
    with pytest.raises(TryAgain):
        side.write([value(rec_id, 1)])
    assert (len(world.calls("PATCH")), world.clock.slept) == (1, [])
    side.make_way()
    assert sum(world.clock.slept) == pytest.approx(30)
    assert isinstance(side.write([value(rec_id, 1)])[0], Written)
    assert len(world.calls("PATCH")) == 2
    world.fault(method="DELETE", status=429, body=too_many("RATE_LIMIT_REACHED", shape))
    with pytest.raises(TryAgain):
        side.delete(rec_id)


@shapes
def test_making_rows_rests_and_goes_on(world: World, shape: str) -> None:
    side = world.ready()
    world.fault(method="PATCH", status=429, body=too_many("RATE_LIMIT_REACHED", shape))
    [answer] = list(side.create_each(iter([[NewRecord("dealAAA1", {})]])))
    assert isinstance(answer, list)
    assert isinstance(answer[0], Written)
    assert sum(world.clock.slept) == pytest.approx(30)


@shapes
def test_making_a_row_that_comes_back_does_not_wait(world: World, shape: str) -> None:
    """Its deal was read directly before, and is read again first."""
    side = world.ready()
    world.fault(method="PATCH", status=429, body=too_many("RATE_LIMIT_REACHED", shape))
    with pytest.raises(TryAgain):
        side.create([NewRecord("dealAAA1", {})])
    assert (len(world.calls("PATCH")), world.clock.slept) == (1, [])


def test_times_of_a_server_whose_clock_is_behind_are_told_in_ours(world: World) -> None:
    """By five minutes: what was edited since, and when a row was made."""
    rec_id = world.add(Value=1)
    world.clock.now = NOW + 100
    world.base.person_edit("Deals", rec_id, {"Value": 2})
    side = world.ready(clock=lambda: world.clock() + 300)
    assert side.clock_offset == pytest.approx(300, abs=1)
    found = side.changed(NOW + 390)
    assert found is not None
    assert [one.id for one in found] == [rec_id]
    assert side.changed(NOW + 450) == []
    side.read([rec_id])
    assert side.made_at(rec_id) == pytest.approx(NOW + 300, abs=1)


@shapes
def test_a_used_up_month_ends_the_pass_at_once(world: World, shape: str) -> None:
    world.base.set(monthly_limit=0, rate_429_shape=shape)
    side = world.ready()
    for ask in (side.sweep, lambda: side.write([value("recA", 1)]), lambda: side.read(["recA"])):
        world.wire.log.clear()
        with pytest.raises(SideDown, match="used up its API calls of this month"):
            ask()
        assert len(world.wire.log) == 1
    assert world.clock.slept == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 30), ({"retry-after": "1"}, 30), ({"retry-after": "45"}, 45), ({"retry-after": "x"}, 30)],
)
def test_the_rest_after_429(headers: Mapping[str, str], seconds: float) -> None:
    for body in (b'{"error":{"type":"RATE_LIMIT_REACHED"}}', b"<html>", b"", b"[]"):
        assert on_429(Reply(429, headers, body)) == seconds


def test_the_base_s_five_requests_a_second_are_kept_without_a_429(bare: World) -> None:
    bare.deals()
    bare.base.set(rate_per_second=5)
    side = bare.ready(bucket=Bucket(5, 1.04, monotonic=bare.clock))
    for _ in range(12):
        list(side.sweep())
    assert {one.status for one in bare.wire.log} == {200}
    assert bare.clock.now - NOW >= 2 * 1.04


def test_sides_of_one_base_share_their_bucket(world: World) -> None:
    first, second = (world.side(bucket=None) for _ in range(2))
    assert first.http.bucket is second.http.bucket
    assert world.side(bucket=None, base_id="appOther").http.bucket is not first.http.bucket


# --- shapes of errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        ({"error": {"type": "A", "message": "because"}}, "A", "because"),
        ({"error": {"type": "A"}}, "A", "A"),
        ({"error": "NOT_FOUND"}, "NOT_FOUND", "NOT_FOUND"),
        ({"errors": [{"error": "A", "message": "because"}]}, "A", "because"),
        ({"errors": []}, "", "the text"),
        ({"error": 5}, "", "the text"),
        (None, "", "the text"),
        ([], "", "the text"),
    ],
)
def test_the_shapes_of_refusals(body: Any, kind: str, said: str) -> None:
    refusal = parsed(422, body, "the  text")
    assert (refusal.kind, refusal.said) == (kind, said)


def test_a_token_in_a_server_s_words_is_not_shown(world: World) -> None:
    side = world.ready(token="pat-sandbox")
    world.refuse(422, "INVALID_REQUEST_UNKNOWN", "odd header Bearer pat-sandbox given", method="PATCH", times=-1)
    [result] = side.write([value("recA", 1)])
    assert "odd header" in refused(result).sentence
    assert "pat-sandbox" not in refused(result).sentence


def test_a_listing_hands_out_what_is_not_at_rest_and_looks_at_known_rows_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [world.add(**{"GHL ID": f"d{number}", "Name": f"Deal {number}"}) for number in range(150)]
    side = world.ready()
    known = links_of(side.sweep(), NAMES)
    looked: list[str] = []
    real = Sieve.holds_row

    def noting(sieve: Sieve, id: str, *given: Any) -> bool:
        looked.append(id)
        return real(sieve, id, *given)

    monkeypatch.setattr(Sieve, "holds_row", noting)

    def kept(names: list[str] = NAMES) -> tuple[set[str], int]:
        sieve = Sieve(Side.TABLE, known, names, {})
        looked.clear()
        found = {row.id for row in side.sweep(sieve)}
        assert sieve.found == {deal for deal, link in known.items() if link[1] not in found}
        return found, len(looked)

    assert [kept() for _ in range(3)] == [(set(), 150), (set(), 150), (set(), 0)]
    world.base.person_edit("Deals", rows[3], {"Name": "Other"})
    added = world.add(Name="No key")
    assert kept() == ({rows[3], added}, 2)
    side.use([field for field in FIELDS if field.name != "source"])
    assert len(kept([name for name in NAMES if name != "source"])[0]) == 151, "other columns: every row is looked at"
