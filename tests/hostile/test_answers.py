"""Every call of both sides, with its answer bent or spoilt: the outcome is one that sides.py names, and nothing is told
that no answer said.

Hypothesis removes, replaces, nests, retypes, doubles or swaps any node of lifelike answers (mangle.py); `SPOILS` are
bytes that are no JSON. Each case counts its outcomes and fails where a kind of them never came.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.crm.highlevel import HighLevelError, NotFound
from syncd.http import HttpError, NoAnswer
from syncd.model import ABSENT, Record, Stamp
from syncd.sides import (
    Lost,
    Misconfigured,
    NewRecord,
    Patch,
    Person,
    Question,
    Refused,
    SideDown,
    TableSchema,
    Unread,
    Written,
)
from tests.hostile.bench import AT, START, TABLE, Bench, Exchange, Wire
from tests.hostile.mangle import SPOILS, Bend, Sent, bends, bent, leaves

GONE_CRM, GONE_ROW = "goneGoneGoneGone0001", "recGoneGoneGone01"
ROW_GONE_WORDS = {"NOT_FOUND", "MODEL_ID_NOT_FOUND", "ROW_DOES_NOT_EXIST"}
Outcomes = Counter[str]


# --- what may be told ------------------------------------------------------------------------------------------------


def sound(value: Any) -> None:
    """Fails where a value could not be stored, sent or compared: half an emoji, NaN, an instant of no year."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, Stamp):
        assert not math.isnan(value.low)
        assert not math.isnan(value.high)
    elif isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, Record):
        assert value.id
        for instant in (value.stamp, *value.clocks):
            assert instant is None or 0 <= instant < 5e9, instant
        for part in (value.id, value.title, value.partner, value.message, value.outside, *value.raw):
            sound(part)
    elif is_dataclass(value):
        for one in fields(value):
            sound(getattr(value, one.name))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            sound(key)
            sound(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            sound(one)
    else:
        assert value is None or isinstance(value, bool | int | Enum), value


def said(exchanges: list[Exchange]) -> set[object]:
    """Every text and number in the JSON of these answers."""
    found: set[object] = set()
    for exchange in exchanges:
        found |= set(leaves(body_of(exchange)))
    return found


def told(record: Record, exchanges: list[Exchange]) -> None:
    """Fails where a record holds what no answer said; a contact's name may be put together, a title be a number."""
    known = said(exchanges)
    known |= {str(one) for one in known}
    sound(record)
    assert record.id in known
    for part in (record.title or None, *leaves(list(record.raw))):
        words = part.split(" ") if isinstance(part, str) else []
        assert (
            part is None or part in known or (len(words) > 1 and all(one in " ".join(map(str, known)) for one in words))
        )


def body_of(exchange: Exchange) -> Any:
    """The JSON of an answer, None where it is none."""
    try:
        return json.loads(exchange.answer.content.decode())
    except (ValueError, RecursionError):
        return None


def no_such_deal(exchange: Exchange, id: str) -> bool:
    """404 with the code OPPORTUNITY_NOT_FOUND, in one of its two places (reference/ghl.md §2.3)."""
    body = body_of(exchange)
    if exchange.answer.status != 404 or not isinstance(body, dict) or not exchange.path.endswith(f"/{id}"):
        return False
    nested = body.get("error")
    codes = [body.get("code"), nested.get("code") if isinstance(nested, dict) else None]
    return "OPPORTUNITY_NOT_FOUND" in codes


def no_such_row(exchange: Exchange, id: str) -> bool:
    """A not-found body of reference/airtable.md §9."""
    body = body_of(exchange)
    if exchange.answer.status not in (404, 422) or not isinstance(body, dict) or not exchange.path.endswith(f"/{id}"):
        return False
    errors, error = body.get("errors"), body.get("error")
    shapes = [error, error.get("type") if isinstance(error, dict) else None]
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        shapes.append(errors[0].get("error"))
    return any(isinstance(one, str) and one in ROW_GONE_WORDS for one in shapes)


def names_record(exchange: Exchange, id: str) -> bool:
    """Whether an answer of success shows a record of this id."""
    body = body_of(exchange)
    if not 200 <= exchange.answer.status < 300 or not isinstance(body, dict):
        return False
    rows = body.get("records")
    found = [body, body.get("opportunity"), *(rows if isinstance(rows, list) else [])]
    return any(isinstance(one, dict) and one.get("id") == id for one in found)


# --- the world of one call -------------------------------------------------------------------------------------------


@dataclass
class Scene:
    """A bench with three deals, of which two have rows, and the outcome of the call under test."""

    bench: Bench
    wire: Wire
    first: str  # the id of the deal that the call is about, where it is about one
    raised: Exception | None = None
    result: Any = None

    @property
    def log(self) -> list[Exchange]:
        return self.wire.log

    def kinds(self) -> set[str]:
        """The types of the outcome: what was raised, or what was returned with its parts."""
        found = [self.raised if self.raised is not None else self.result]
        if isinstance(self.result, dict | list):
            found += self.result.values() if isinstance(self.result, dict) else self.result
        return {type(one).__name__ for one in found}


def prepared(bench: Bench) -> list[str]:
    """Two deals get rows with everything in them; the deals' ids. The owner of the first is set."""
    ids = sorted(bench.deals())
    bench.highlevel.allow_duplicates = True
    bench.highlevel.person_edit(ids[0], assignedTo=bench.highlevel.users[0]["id"])
    for id in ids[:2]:
        deal = bench.highlevel.deal(id)
        cells = {
            "Name": deal["name"],
            "Stage": "New Lead",
            "Pipeline": "Sales",
            "Status": deal["status"],
            "Value": 12.5,
        }
        bench.airtable.person_add(TABLE, {**cells, "Email": "a@b.c", "GHL ID": id, "Sync": "Look here"})
    return ids


def row_ids(bench: Bench) -> list[str]:
    """The rows' ids, in the order of their deals'."""
    return [id for _, id in sorted((row["GHL ID"], id) for id, row in bench.airtable.rows(TABLE).items())]


@dataclass(frozen=True)
class Case:
    """A call: on whose wire, what it does, what must hold of its outcome, and the outcomes that must come up."""

    name: str
    of_crm: bool
    act: Callable[[Bench], Any]
    check: Callable[[Scene], None]
    kinds: frozenset[str]
    errors: tuple[type[Exception], ...] = (SideDown, Misconfigured)
    opens: bool = True  # whether the table's schema is read, unspoilt, before the call


def spoiler(which: int | None, change: Callable[[Sent], Sent]) -> Callable[[Exchange], Sent | None]:
    """Changes the answer of this number (None: all)."""
    count = iter(range(10**9))
    return lambda exchange: change(exchange.answer) if next(count) == which or which is None else None


def run(case: Case, which: int | None, change: Callable[[Sent], Sent]) -> Scene:
    """The call in a world of its own, with its answers changed."""
    with Bench(deals=3) as bench:
        prepared(bench)
        if case.opens and not case.of_crm:
            bench.table.schema()
        scene = Scene(bench, bench.crm_wire if case.of_crm else bench.table_wire, first(bench))
        scene.wire.log.clear()
        scene.wire.spoil = spoiler(which, change)
        try:
            scene.result = case.act(bench)
        except case.errors as error:
            scene.raised = error
        scene.wire.spoil = lambda _exchange: None
        sentence = str(scene.raised or "")
        assert sentence.isprintable(), sentence
        assert len(sentence) < 1500
        case.check(scene)
        return scene


# --- HighLevel as a side ---------------------------------------------------------------------------------------------


def first(bench: Bench) -> str:
    return min(bench.deals())


def check_sweep(scene: Scene) -> None:
    for record in scene.result or []:
        told(record, scene.log)
    ids = [record.id for record in scene.result or []]
    assert len(ids) == len(set(ids))


def check_crm_read(scene: Scene) -> None:
    for id, found in (scene.result or {}).items():
        if isinstance(found, Record):
            assert found.id == id
            told(found, scene.log)
        elif found is ABSENT:
            assert any(no_such_deal(exchange, id) for exchange in scene.log)
        else:
            assert isinstance(found, Unread)
            assert found.sentence.isprintable()
    assert scene.raised is not None or set(scene.result) == {scene.first, GONE_CRM}


NEW_NAME = "A new name"


def check_crm_write(scene: Scene) -> None:
    """What raises or is refused did not happen; what is written was shown by an answer for that very deal."""
    held = scene.bench.highlevel.deal(scene.first)
    results = scene.result or []
    if scene.raised is not None or isinstance(results[0], Refused):
        assert held["name"] != NEW_NAME
    for id, result in zip((scene.first, GONE_CRM), results, strict=False):
        if isinstance(result, Written):
            assert result.record.id == id
            shown = [one for one in scene.log if names_record(one, id)]
            assert shown
            told(result.record, shown)
        else:
            assert isinstance(result, Refused | Lost)
            assert result.sentence.isprintable()


def crm_patches(bench: Bench) -> list[Patch]:
    changes: dict[int, Any] = {AT["name"]: NEW_NAME, AT["status"]: "won", AT["value"]: 77}
    return [Patch(first(bench), changes), Patch(GONE_CRM, changes)]


def check_crm_delete(scene: Scene) -> None:
    id = scene.first
    if isinstance(scene.result, Written):
        assert scene.result.record.id == id
        answers = [body_of(one) for one in scene.log if one.method == "DELETE" and one.answer.status < 300]
        assert any(isinstance(one, dict) and one.get("succeded") is True for one in answers)
    elif scene.result is ABSENT:
        assert any(no_such_deal(exchange, id) for exchange in scene.log)
    else:
        assert scene.raised is not None or isinstance(scene.result, Refused | Lost)
    if scene.raised is not None or isinstance(scene.result, Refused):
        assert id in scene.bench.deals()


def check_sound(scene: Scene) -> None:
    sound(scene.result)


def check_vocabulary(scene: Scene) -> None:
    """No stage or pipeline is called otherwise than an answer said: rows get these names."""
    sound(scene.result)
    known = said(scene.log)
    for pipeline in scene.result.pipelines if scene.result is not None else ():
        assert {pipeline.id, pipeline.name} <= known
        names = {one["name"] for one in scene.bench.highlevel.pipelines}
        assert pipeline.name != pipeline.id or pipeline.id in names or swapped_id(scene, pipeline.id)
        for stage in pipeline.stages:
            assert {stage.id, stage.name} <= known
            assert stage.name != stage.id or swapped_id(scene, stage.id)


def swapped_id(scene: Scene, id: str) -> bool:
    """Whether an answer itself gives this id as a name, which nobody can see through; blank becomes the id."""
    found = json.dumps([body_of(one) for one in scene.log])
    return f'"name": {json.dumps(id)}' in found or '"name": ""' in found


STRANGER = Person("New One", "new@x.y", "+15550001234", "New Company")


def known_person(bench: Bench) -> Person:
    """Who has a contact already, found by the number only: nobody has this address."""
    phones = (one.get("phone") for one in bench.highlevel.contacts)
    return Person("Somebody else", "nobody@x.y", next(phone for phone in phones if phone), "Another company")


def check_contact(scene: Scene) -> None:
    """An id is one that an answer gave. Nobody who was there is changed."""
    people = scene.bench.highlevel.contacts
    if isinstance(scene.result, str):
        assert scene.result.strip()
        assert scene.result in said(scene.log)
    else:
        assert scene.raised is not None or isinstance(scene.result, Refused | Lost)
    made = [one for one in people if one.get("email") == STRANGER.email]
    assert len(made) <= 1
    assert len(people) - len(made) == 3
    assert all(one.get("companyName") not in ("New Company", "Another company") for one in people if one not in made)
    if scene.raised is not None or isinstance(scene.result, Refused):
        assert not made


def deal_values(bench: Bench, *, twice: bool = False) -> dict[int, Any]:
    """A deal for the first deal's contact; `twice` where its pipeline has one already, and may have no second."""
    body = new_deal(bench)
    if twice:
        bench.highlevel.allow_duplicates = False
        deal = bench.highlevel.deal(first(bench))
        body |= {"pipelineId": deal["pipelineId"], "pipelineStageId": deal["pipelineStageId"]}
    return {AT["name"]: "Made", AT["stage"]: [body["pipelineId"], body["pipelineStageId"]], AT["status"]: "open"}


def check_deal_made(scene: Scene) -> None:
    """What raises or is refused was not made; what is written was shown by an answer."""
    made = len(scene.bench.deals()) - 3
    assert made in (0, 1)
    if isinstance(scene.result, Written):
        assert made
        assert any(names_record(one, scene.result.record.id) for one in scene.log)
        told(scene.result.record, scene.log)
    else:
        assert scene.raised is not None or isinstance(scene.result, Refused | Lost)
        assert isinstance(scene.result, Lost) or not made


def check_made_of(scene: Scene) -> None:
    for deal in scene.result or []:
        told(deal.record, scene.log)
        sound(deal)


def check_made_deal(scene: Scene) -> None:
    if scene.result is not None:
        assert scene.result.record.id == scene.first
        told(scene.result.record, scene.log)
        sound(scene.result)


def check_no_made_deal(scene: Scene) -> None:
    assert scene.result is None or scene.result.record.id == GONE_CRM


CRM_SIDE = [
    Case("sweep", True, lambda b: list(b.crm.sweep()), check_sweep, frozenset({"Record", "SideDown"})),
    Case(
        "read",
        True,
        lambda b: b.crm.read([first(b), GONE_CRM]),
        check_crm_read,
        frozenset({"Record", "Unread", "Missing"}),
    ),
    Case(
        "write", True, lambda b: b.crm.write(crm_patches(b)), check_crm_write, frozenset({"Written", "Refused", "Lost"})
    ),
    Case("delete", True, lambda b: b.crm.delete(first(b)), check_crm_delete, frozenset({"Written", "Lost"})),
    Case("delete gone", True, lambda b: b.crm.delete(GONE_CRM), lambda s: None, frozenset({"Missing", "Refused"})),
    Case("schema", True, lambda b: b.crm.schema(), check_vocabulary, frozenset({"Vocabulary", "SideDown"})),
    Case("contact known", True, lambda b: b.crm.contact_for(known_person(b)), check_contact,
         frozenset({"str", "Refused"})),
    Case("contact new", True, lambda b: b.crm.contact_for(STRANGER), check_contact,
         frozenset({"str", "Refused", "Lost"})),
    Case("create deal", True, lambda b: b.crm.create_deal(contact_of(b), deal_values(b)), check_deal_made,
         frozenset({"Written", "Lost"})),
    Case("create deal, refused", True, lambda b: b.crm.create_deal(contact_of(b), deal_values(b, twice=True)),
         check_deal_made, frozenset({"Refused"})),
    Case("made of", True, lambda b: b.crm.made_of(contact_of(b)), check_made_of, frozenset({"MadeDeal", "SideDown"})),
    Case("made deal", True, lambda b: b.crm.made_deal(first(b)), check_made_deal,
         frozenset({"MadeDeal", "NoneType"})),
    Case("changed", True, lambda b: b.crm.changed(START - 3e8), check_sweep, frozenset({"Record", "NoneType"})),
    Case("made deal gone", True, lambda b: b.crm.made_deal(GONE_CRM), check_no_made_deal, frozenset({"NoneType"})),
]  # fmt: skip


# --- Airtable as a side ----------------------------------------------------------------------------------------------


def check_rows_read(scene: Scene) -> None:
    for id, found in (scene.result or {}).items():
        if isinstance(found, Record):
            assert found.id == id
            told(found, scene.log + METADATA)
        elif found is ABSENT:
            assert any(no_such_row(exchange, id) for exchange in scene.log)
        else:
            assert isinstance(found, Unread)
            assert found.sentence.isprintable()
    assert scene.raised is not None or set(scene.result) == {*row_ids(scene.bench), GONE_ROW}


METADATA: list[Exchange] = []  # what the unspoilt call for the schema answered: the options' names stand there


def read_rows(bench: Bench) -> Any:
    return bench.table.read([*row_ids(bench), GONE_ROW])


def read_row(bench: Bench) -> Any:
    return {**bench.table.read([GONE_ROW]), **{id: bench.table.read([id])[id] for id in row_ids(bench)}}


def check_rows_swept(scene: Scene) -> None:
    for record in scene.result or []:
        told(record, scene.log + METADATA)


def row_patches(bench: Bench) -> list[Patch]:
    return [Patch(id, {AT["name"]: NEW_NAME, AT["value"]: 77}, message="New") for id in row_ids(bench)]


def check_rows_written(scene: Scene) -> None:
    results = scene.result or []
    rows = scene.bench.airtable.rows(TABLE)
    for id, result in zip(row_ids(scene.bench), results, strict=False):
        if isinstance(result, Written):
            assert result.record.id == id
            assert any(names_record(one, id) for one in scene.log)
            told(result.record, scene.log + METADATA)
        else:
            assert isinstance(result, Refused | Lost)
        assert not isinstance(result, Refused) or rows[id]["Name"] != NEW_NAME
    if scene.raised is not None:
        assert all(row["Name"] != NEW_NAME for row in rows.values())


def new_rows(bench: Bench) -> list[NewRecord]:
    values: dict[int, Any] = {AT["name"]: NEW_NAME, AT["stage"]: ["Sales", "A new stage"], AT["status"]: "open"}
    return [NewRecord(f"newDeal{number}", values) for number in (1, 2)]


def check_rows_made(scene: Scene) -> None:
    made = [row for row in scene.bench.airtable.rows(TABLE).values() if row.get("Name") == NEW_NAME]
    for number, result in zip((1, 2), scene.result or [], strict=False):
        if isinstance(result, Written):
            assert result.record.partner == f"newDeal{number}"
            assert any(names_record(one, result.record.id) for one in scene.log)
            told(result.record, scene.log + METADATA)
        else:
            assert isinstance(result, Refused | Lost)
        assert not isinstance(result, Refused) or len(made) < 2
    assert len(made) <= 2
    assert scene.raised is None or not made


def check_row_deleted(scene: Scene) -> None:
    gone = len(scene.bench.airtable.rows(TABLE)) == 1
    if isinstance(scene.result, Written):
        answers = [body_of(one) for one in scene.log if one.method == "DELETE" and one.answer.status < 300]
        id = scene.result.record.id
        assert any(isinstance(one, dict) and one.get("deleted") is True and one.get("id") == id for one in answers)
    elif scene.result is ABSENT:
        assert any(no_such_row(exchange, exchange.path.rpartition("/")[2]) for exchange in scene.log)
    if scene.raised is not None or isinstance(scene.result, Refused):
        assert not gone


def check_found(scene: Scene) -> None:
    for partner, records in (scene.result or {}).items():
        for record in records:
            assert record.partner == partner
            told(record, scene.log + METADATA)


def questions(bench: Bench) -> list[Question]:
    old = [Question(id, AT["value"], START - 1000.0) for id in row_ids(bench)]
    return [*old, *(Question(id, AT["stage"], START + 1000.0) for id in row_ids(bench))]


def check_edited(scene: Scene) -> None:
    assert set(scene.result or {}) <= set(questions(scene.bench))
    sound(list((scene.result or {}).values()))


def check_schema(scene: Scene) -> None:
    if scene.result is None:
        return
    assert isinstance(scene.result, TableSchema)
    sound(scene.result)
    for column in scene.result.columns.values():
        assert column.kind in ("text", "number", "select", "computed")
        assert column.precision is None or 0 <= column.precision <= 10
        assert {column.id, column.name} <= said(scene.log)


TABLE_SIDE = [
    Case("schema", False, lambda b: b.table.schema(), check_schema,
         frozenset({"TableSchema", "SideDown", "Misconfigured"}), opens=False),
    Case("sweep", False, lambda b: list(b.table.sweep()), check_rows_swept, frozenset({"Record", "SideDown"})),
    Case("read", False, read_rows, check_rows_read, frozenset({"Record", "Missing", "SideDown"})),
    Case("read one", False, read_row, check_rows_read, frozenset({"Record", "Missing", "Unread", "SideDown"})),
    Case("write", False, lambda b: b.table.write(row_patches(b)), check_rows_written, frozenset({"Written", "Lost"})),
    Case("create", False, lambda b: b.table.create(new_rows(b)), check_rows_made, frozenset({"Written", "Lost"})),
    Case("changed", False, lambda b: b.table.changed(START - 3e8), check_rows_swept, frozenset({"Record", "SideDown"})),
    Case("find", False, lambda b: b.table.find([first(b), "nobody"]), check_found, frozenset({"dict", "SideDown"})),
    Case("delete", False, lambda b: b.table.delete(row_ids(b)[0]), check_row_deleted, frozenset({"Written", "Lost"})),
    Case("delete gone", False, lambda b: b.table.delete(GONE_ROW), check_row_deleted,
         frozenset({"Missing", "Refused"})),
    Case("edited", False, lambda b: b.table.edited(questions(b)), check_edited, frozenset({"dict", "SideDown"})),
]  # fmt: skip


# --- the calls of HighLevelClient ------------------------------------------------------------------------------------


def check_deal(scene: Scene) -> None:
    sound(scene.result)
    assert scene.result is None or scene.result.id == scene.first


def check_no_deal(scene: Scene) -> None:
    assert scene.result is None
    assert not isinstance(scene.raised, NotFound) or any(no_such_deal(one, GONE_CRM) for one in scene.log)


def check_made(scene: Scene) -> None:
    """Where a deal may have been made, the only failure is `NoAnswer`."""
    sound(scene.result)
    if scene.raised is not None and not isinstance(scene.raised, NoAnswer):
        assert len(scene.bench.deals()) == 3


def check_changed(scene: Scene) -> None:
    sound(scene.result)
    held = scene.bench.highlevel.deal(scene.first)
    if scene.raised is not None and not isinstance(scene.raised, NoAnswer):
        assert held["status"] != "abandoned"


def new_deal(bench: Bench) -> dict[str, Any]:
    deal = bench.highlevel.deal(first(bench))
    pipeline = next(one for one in bench.highlevel.pipelines if one["id"] != deal["pipelineId"])
    stage = pipeline["stages"][0]["id"]
    return {"name": "Made", "pipelineId": pipeline["id"], "pipelineStageId": stage, "status": "open",
            "contactId": deal["contactId"]}  # fmt: skip


def contact_of(bench: Bench) -> str:
    return str(bench.highlevel.deal(first(bench))["contactId"])


def named(kind: str) -> frozenset[str]:
    """A good outcome of this type, and the failure of an answer that is none."""
    return frozenset({kind, "Unexpected"})


def client(name: str, act: Callable[[Bench], Any], kinds: frozenset[str],
           check: Callable[[Scene], None] = check_sound) -> Case:  # fmt: skip
    return Case(name, True, act, check, kinds, (HighLevelError, HttpError))


CLIENT = [
    client("opportunity", lambda b: b.crm.client.opportunity(first(b)), named("Opportunity"), check_deal),
    client("opportunity gone", lambda b: b.crm.client.opportunity(GONE_CRM), named("NotFound"), check_no_deal),
    client("search_page", lambda b: b.crm.client.search_page(limit=2), named("SearchPage")),
    client("search_post", lambda b: b.crm.client.search_post(limit=2), named("SearchPage")),
    client("update", lambda b: b.crm.client.update_opportunity(first(b), {"status": "abandoned"}),
           frozenset({"Opportunity", "NoneType"}), check_changed),
    client("update_status", lambda b: b.crm.client.update_status(first(b), "abandoned"), frozenset({"NoneType"}),
           check_changed),
    client("create", lambda b: b.crm.client.create_opportunity(new_deal(b)), frozenset({"Opportunity", "NoAnswer"}),
           check_made),
    client("upsert", lambda b: b.crm.client.upsert_opportunity(new_deal(b)), frozenset({"Opportunity", "NoAnswer"}),
           check_made),
    client("contact", lambda b: b.crm.client.contact(contact_of(b)), named("Contact")),
    client("contact gone", lambda b: b.crm.client.contact(GONE_CRM), named("ContactNotFound")),
    client("find_contact", lambda b: b.crm.client.find_contact(email="nobody@x.y"), named("NoneType")),
    client("upsert_contact", lambda b: b.crm.client.upsert_contact({"email": "new@x.y", "name": "New One"}),
           frozenset({"str", "NoAnswer"})),
    client("pipelines", lambda b: b.crm.client.pipelines(), named("tuple")),
    client("users", lambda b: b.crm.client.users(), frozenset({"tuple", "Validation"})),
    client("user", lambda b: b.crm.client.user(b.highlevel.users[0]["id"]), named("User")),
    client("custom_fields", lambda b: b.crm.client.custom_fields(), named("tuple")),
    client("lost_reasons", lambda b: b.crm.client.lost_reasons(), named("tuple")),
]  # fmt: skip


# --- the tests -------------------------------------------------------------------------------------------------------

CASES = [*CRM_SIDE, *TABLE_SIDE, *CLIENT]
NAMED = [*(f"crm {one.name}" for one in CRM_SIDE), *(f"table {one.name}" for one in TABLE_SIDE),
         *(f"client {one.name}" for one in CLIENT)]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def metadata() -> Iterator[None]:
    """The options' labels, which no listing tells."""
    with Bench(deals=3) as bench:
        prepared(bench)
        bench.table.schema()
        METADATA[:] = bench.table_wire.log
    yield
    METADATA.clear()


@pytest.mark.parametrize("case", CASES, ids=NAMED)
def test_an_answer_with_bent_nodes(case: Case) -> None:
    """One or two nodes of one answer, or of all, are removed, replaced, nested, retyped, doubled or swapped."""
    outcomes: Outcomes = Counter()

    @settings(derandomize=True, deadline=None, max_examples=30, database=None)
    @given(st.lists(bends(), min_size=1, max_size=2), st.sampled_from((0, 0, 0, 1, 2, None)))
    def check(changes: list[Bend], which: int | None) -> None:
        scene = run(case, which, lambda sent: bent(sent, *changes))
        outcomes.update(scene.kinds())

    check()
    assert case.kinds <= set(outcomes), outcomes


@pytest.mark.parametrize("case", CASES, ids=NAMED)
def test_an_answer_that_is_no_json(case: Case) -> None:
    """Every way in which bytes can be none, in the first answer and in all."""
    for what, change in SPOILS.items():
        for which in (0, None):
            try:
                run(case, which, change)
            except BaseException as error:
                error.add_note(f"an answer made {what!r}")
                raise
