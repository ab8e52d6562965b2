"""syncd/settings.py: every rule of the configuration, and what people are told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from syncd.config_files import ConfigError
from syncd.fields import Field
from syncd.model import Direction
from syncd.settings import DEFAULT_FILE, Settings, load_settings

REPOSITORY = Path(__file__).resolve().parent.parent
GHL_SECRET = "pit-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
TABLE_SECRET = "patAbCdEfGhIjKlMn.0123456789abcdef"
ENVIRON = {"GHL_TOKEN": GHL_SECRET, "AIRTABLE_TOKEN": TABLE_SECRET}
ALONE = {**ENVIRON, "GHL_LOCATION_ID": "loc1", "AIRTABLE_BASE_ID": "app1", "AIRTABLE_TABLE": "Deals"}
GHL = {"location_id": "loc1", "token": "env:GHL_TOKEN"}
TABLE = {"type": "airtable", "base_id": "app1", "table": "Deals", "token": "env:AIRTABLE_TOKEN"}
GOOGLE = {"type": "google", "spreadsheet_id": "1AbC-x_9", "sheet": "Deals", "credentials": "env:GOOGLE_KEY"}


def toml(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value)


def pair(name: str = "acme", ghl: object = GHL, table: object = TABLE, **more: Any) -> dict[str, Any]:
    """A [[pair]] as data."""
    return {"name": name, "ghl": ghl, "table": table, **more}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(*pairs: dict[str, Any], environ: dict[str, str] | None = None, **top: Any) -> Settings:
    """Writes syncd.toml and loads it."""
    if pairs:
        top["pair"] = list(pairs)
    Path("syncd.toml").write_text("".join(f"{key} = {toml(value)}\n" for key, value in top.items()), "utf-8")
    return load_settings(Path("syncd.toml"), ENVIRON if environ is None else environ)


def problem(run: Callable[[], object]) -> str:
    """What the person is told; no message may hold a secret."""
    with pytest.raises(ConfigError) as caught:
        run()
    said = str(caught.value)
    assert GHL_SECRET not in said
    assert TABLE_SECRET not in said
    assert caught.value.__cause__ is None
    return said


# --- what a configuration means ------------------------------------------------------------------------------------


def test_defaults() -> None:
    settings = load(pair())
    one = settings.pair[0]
    assert (settings.state_dir, settings.interval) == ("state", 60.0)
    assert (one.ghl.version, one.ghl.base_url, one.ghl.pipelines) == (
        "2021-07-28",
        "https://services.leadconnectorhq.com",
        None,
    )
    assert (one.airtable.base_url, one.table.plan, one.table.label) == ("https://api.airtable.com", None, "Airtable")
    assert (one.quiet, one.read_lag, one.skew, one.policy.tie) == (5.0, 60.0, 1.0, "crm")
    assert one.policy.new_row == "deal"
    assert (one.guard.max_changes, one.guard.max_share) == (20, 0.2)
    assert (one.key_column, one.message_column, one.explicit) == ("GHL ID", "Sync", frozenset())


def test_default_fields() -> None:
    fields = load(pair()).pair[0].fields()
    assert [one.name for one in fields] == [
        *("name", "stage", "status", "value", "owner", "contact", "email", "phone", "company", "source")
    ]
    assert fields[1] == Field("stage", ("Pipeline", "Stage"), Direction.BOTH)
    assert fields[5] == Field("contact", ("Contact",), Direction.TO_TABLE)


def test_own_fields() -> None:
    entries = [
        {"crm": "contact.email", "column": "E-Mail"},
        {"crm": "pipelineId", "column": "Funnel"},
        {"crm": "monetaryValue", "column": "Worth", "direction": "to_crm"},
        {"crm": "source", "direction": "off"},
        {"crm": "id", "column": "Key"},
        {"crm": "sync", "column": "Note"},
        {"crm": "owner", "direction": "to_table"},
    ]
    one = load(pair(field=entries)).pair[0]
    fields = {each.name: each for each in one.fields()}
    assert fields["email"] == Field("email", ("E-Mail",), Direction.TO_TABLE)
    assert fields["stage"].columns == ("Funnel", "Stage")
    assert fields["value"] == Field("value", ("Worth",), Direction.TO_CRM)
    assert fields["owner"] == Field("owner", ("Owner",), Direction.TO_TABLE)
    assert "source" not in fields
    assert (one.key_column, one.message_column) == ("Key", "Note")
    assert one.explicit == {"email", "pipeline", "value", "id", "sync"}


def test_a_column_is_free_when_its_field_is_off() -> None:
    entries = [{"crm": "contact", "direction": "off"}, {"crm": "company", "column": "Contact"}]
    assert Field("company", ("Contact",), Direction.TO_TABLE) in load(pair(field=entries)).pair[0].fields()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("60s", 60),
        ("5m", 300),
        ("6h", 21_600),
        ("1d", 86_400),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("90", 90),
        (2, 2),
        (0.25, 0.25),
    ],
)
def test_durations(given: object, seconds: float) -> None:
    assert load(pair(quiet=given), interval=given).interval == seconds


@pytest.mark.parametrize("given", ["soon", "-1s", "60 seconds", "", True, "1e3s", -2, 1e99, ["1s"]])
def test_what_is_no_duration(given: object) -> None:
    assert problem(lambda: load(pair(quiet=given))).startswith('syncd.toml: "quiet" in pair "acme" must be a duration')


def test_interval_is_not_zero() -> None:
    assert problem(lambda: load(pair(), interval=0)) == 'syncd.toml: "interval" in the top level must be more than 0.'


def test_frozen() -> None:
    settings = load(pair())
    with pytest.raises(ValidationError):
        settings.interval = 1.0
    with pytest.raises(ValidationError):
        settings.pair[0].ghl.version = "v3"


def test_version_without_quotes_is_read_too() -> None:
    Path("syncd.toml").write_text(
        '[[pair]]\nname = "a"\n[pair.ghl]\nlocation_id = "l"\ntoken = "env:GHL_TOKEN"\nversion = 2021-07-28\n'
        '[pair.table]\ntype = "airtable"\nbase_id = "app1"\ntable = "T"\ntoken = "env:AIRTABLE_TOKEN"\n'
    )
    assert load_settings(Path("syncd.toml"), ENVIRON).pair[0].ghl.version == "2021-07-28"


def test_addresses_lose_their_last_slash() -> None:
    ghl = {**GHL, "base_url": "http://127.0.0.1:8080/"}
    assert load(pair(ghl=ghl)).pair[0].ghl.base_url == "http://127.0.0.1:8080"


# --- secrets -------------------------------------------------------------------------------------------------------


def test_secret_from_the_environment_is_read_when_asked_for() -> None:
    environ: dict[str, str] = {}
    one = load(pair(), environ=environ).pair[0]
    assert problem(one.ghl.secret) == (
        "The HighLevel token is missing: the environment variable GHL_TOKEN is not set. "
        "Set it, or correct the configuration."
    )
    environ["GHL_TOKEN"] = " \n"
    assert "the environment variable GHL_TOKEN is empty" in problem(one.ghl.secret)
    environ["GHL_TOKEN"] = GHL_SECRET + "\n"
    assert one.ghl.secret() == GHL_SECRET
    assert GHL_SECRET not in repr(one)
    assert GHL_SECRET not in repr(one.ghl.token.resolve("token"))


def test_secret_from_a_file() -> None:
    Path("here").write_text(GHL_SECRET + "\n")
    one = load(pair(ghl={**GHL, "token": "file:here"}, table={**TABLE, "token": "file:gone"})).pair[0]
    assert one.ghl.secret() == GHL_SECRET
    assert (
        problem(one.table.secret) == "The Airtable token cannot be read from the file gone: No such file or directory. "
        "Put it there, or correct the configuration."
    )
    Path("gone").mkdir()
    assert "Is a directory" in problem(one.table.secret)
    Path("gone").rmdir()
    Path("gone").write_bytes(b"\xff\xfe")
    assert "is not a text file" in problem(one.table.secret)
    Path("gone").write_text(f"{TABLE_SECRET}\n{TABLE_SECRET}\n")
    assert "holds a blank or an odd character" in problem(one.table.secret)
    Path("gone").write_text("")
    assert "the file gone is empty" in problem(one.table.secret)


def test_secret_from_systemds_credentials() -> None:
    Path("credentials").mkdir()
    Path("credentials/ghl-token").write_text(GHL_SECRET)
    Path("airtable-token").write_text(TABLE_SECRET)
    environ = {"CREDENTIALS_DIRECTORY": "credentials"}
    ghl, table = {**GHL, "token": "file:ghl-token"}, {**TABLE, "token": "file:airtable-token"}
    one = load(pair(ghl=ghl, table=table), environ=environ).pair[0]
    assert one.ghl.secret() == GHL_SECRET
    assert one.table.secret() == TABLE_SECRET  # not among the credentials: the current folder


@pytest.mark.parametrize("given", [GHL_SECRET, f"env:{GHL_SECRET}", f"file:{GHL_SECRET}", "", "GHL_TOKEN", "vault:x"])
def test_a_literal_is_refused(given: str) -> None:
    assert problem(lambda: load(pair(ghl={**GHL, "token": given}))) == (
        'syncd.toml: "token" in pair "acme", [pair.ghl] must not hold the secret itself, but say where it stands: '
        'a reference such as "env:GHL_TOKEN" or "file:/run/secrets/ghl-token".'
    )


@pytest.mark.parametrize(
    "given", [f"env:{TABLE_SECRET}", "env:keyAbCdEfGhIjKlMn", f"file:{TABLE_SECRET}", TABLE_SECRET]
)
def test_a_literal_of_airtable_is_refused(given: str) -> None:
    said = problem(lambda: load(pair(table={**TABLE, "token": given})))
    assert "must not hold the secret itself" in said
    assert "AbCdEf" not in said


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("env:", "environment variable"),
        ("env:A-B", "environment variable"),
        ("file:", "name a file"),
        (7, "must be a reference"),
    ],
)
def test_broken_references(given: object, told: str) -> None:
    assert told in problem(lambda: load(pair(ghl={**GHL, "token": given})))


def test_no_message_holds_a_secret_wherever_it_was_put() -> None:
    for section, model in (("ghl", GHL), ("table", TABLE)):
        for key in model:
            for value in (GHL_SECRET, [GHL_SECRET], {"x": GHL_SECRET}):
                broken = {**pair(), section: {**model, key: value, "oops": GHL_SECRET}}
                problem(partial(load, broken))
    for key in ("quiet", "guard", "policy", "field", "name"):
        problem(partial(load, {**pair(), key: [GHL_SECRET]}))
    problem(lambda: load(pair(), interval=GHL_SECRET, state_dir=[GHL_SECRET]))
    problem(lambda: load(pair(), environ={"SYNCD_INTERVAL": GHL_SECRET, "SYNCD_X": GHL_SECRET}))
    problem(lambda: load_settings(None, {**ALONE, "GHL_VERSION": GHL_SECRET, "GHL_BASE_URL": TABLE_SECRET}))


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: load(pair(), intervall="60s"),
            'unknown key "intervall" in the top level; did you mean "interval"?',
        ),
        (
            lambda: load(pair(ghl={**GHL, "locationid": "x"})),
            'unknown key "locationid" in pair "acme", [pair.ghl]; did you mean "location_id"?',
        ),
        (
            lambda: load(pair(policy={"zzz": 1})),
            'unknown key "zzz" in pair "acme", [pair.policy]; known are tie, deal_deleted, row_deleted, new_row, '
            "blank_cell, one_way.",
        ),
        (
            lambda: load(pair(guard={"state_dir": "60s"})),
            'unknown key "state_dir" in pair "acme", [pair.guard]; it belongs to the top level, above',
        ),
        (
            lambda: load(pair(), max_changes=3),
            'unknown key "max_changes" in the top level; it belongs to [pair.guard].',
        ),
        (lambda: load(pair(), _env_file="x"), 'unknown key "_env_file" in the top level; known are'),
        (
            lambda: load({"ghl": GHL, "table": TABLE, "name": 5}),
            '"name" in pair 1 must be text in quotes.',
        ),
        (lambda: load({"ghl": GHL, "table": TABLE}), '"name" is missing in pair 1.'),
        (lambda: load({"name": "acme", "table": TABLE}), '"ghl" is missing in pair "acme".'),
        (
            lambda: load(pair(table={"type": "airtable", "token": "env:A"})),
            'syncd.toml: "base_id" is missing in pair "acme", [pair.table].\n'
            'syncd.toml: "table" is missing in pair "acme", [pair.table].',
        ),
        (lambda: load(pair(ghl="x")), '"ghl" must be written as [pair.ghl].'),
        (lambda: load(pair(ghl=[GHL])), '"ghl" must be written as [pair.ghl].'),
        (lambda: load(pair(field={"crm": "name"})), '"field" must be written as [[pair.field]].'),
        (lambda: load(pair=pair()), '"pair" must be written as [[pair]].'),
        (lambda: load(pair=["x"]), "pair 1: must be written as [[pair]]."),
        (lambda: load(pair=[]), "there is no [[pair]] yet; add one."),
        (lambda: load(), "there is no [[pair]] yet; add one."),
        (lambda: load(pair("")), '"name" in pair 1 must not be empty.'),
        (lambda: load(pair("a\nb")), '"name" in pair 1 must not hold line breaks'),
        (
            lambda: load(pair(ghl={**GHL, "version": "v2"})),
            '"version" in pair "acme", [pair.ghl] must be "2021-07-28" or "v3".',
        ),
        (lambda: load(pair(ghl={**GHL, "version": "v1"})), 'is "v1", which is not supported yet by this version'),
        (
            lambda: load(pair(ghl={**GHL, "pipelines": "Sales"})),
            '"pipelines" in pair "acme", [pair.ghl] must be a list such as ["Sales"]',
        ),
        (lambda: load(pair(ghl={**GHL, "pipelines": []})), "leave it out for all pipelines"),
        (
            lambda: load(pair(ghl={**GHL, "pipelines": ["Sales", ""]})),
            '"pipelines" in pair "acme", [pair.ghl] must not',
        ),
        (lambda: load(pair(ghl={**GHL, "base_url": "localhost:80"})), 'must be an address that begins with "https://"'),
        (lambda: load(pair(ghl={**GHL, "base_url": "http://[::1"})), "must be an address that begins with"),
        (lambda: load(pair(ghl={**GHL, "base_url": "https://u:p@x"})), "must be an address without user"),
        (lambda: load(pair(ghl={**GHL, "base_url": "https://x/?a=b"})), "must be an address without user"),
        (lambda: load(pair(table={**TABLE, "base_id": "app1/tbl2"})), "must be the id alone"),
        (
            lambda: load(pair(table={**TABLE, "type": "workbook"})),
            'unknown key "base_id" in pair "acme", [pair.table] of type "workbook"; known are type, path, sheet,',
        ),
        (lambda: load(pair(table={"type": "workbook"})), '"path" is missing in pair "acme", [pair.table].'),
        (
            lambda: load(pair(table={"type": "google", "sheet": "Deals"})),
            '"spreadsheet_id" is missing in pair "acme", [pair.table].\n'
            'syncd.toml: "credentials" is missing in pair "acme", [pair.table].',
        ),
        (
            lambda: load(pair(table={**GOOGLE, "credentials": "{}"})),
            '"credentials" in pair "acme", [pair.table] must not hold the secret itself',
        ),
        (
            lambda: load(pair(table={**GOOGLE, "pth": 1})),
            'unknown key "pth" in pair "acme", [pair.table]; known are type',
        ),
        (lambda: load(pair(table={"type": "workbook", "path": "a.xls"})), 'a file of type ".xls"; save it as .xlsx'),
        (
            lambda: load(pair(table={"type": "workbook", "path": "a.txt"})),
            '"path" in pair "acme", [pair.table] must name a workbook (.xlsx or .xlsm) or a CSV file (.csv).',
        ),
        (
            lambda: load(pair(table={"type": "workbook", "path": "a.csv", "sheet": "Deals"})),
            'pair "acme", [pair.table]: a CSV file has no sheets; leave out "sheet".',
        ),
        (lambda: load(pair(table={"token": "env:A"})), '"type" is missing in pair "acme", [pair.table].'),
        (lambda: load(pair(table="deals.xlsx")), '"table" must be written as [pair.table].'),
        (lambda: load(pair(path="deals.xlsx")), 'unknown key "path" in pair "acme"; it belongs to [pair.table].'),
        (
            lambda: load(pair(table={**TABLE, "type": "excel"})),
            '"type" in pair "acme", [pair.table] must be "airtable", "workbook" or "google".',
        ),
        (
            lambda: load(
                pair(table={"type": "workbook", "path": "deals.xlsx", "sheet": "One"}),
                pair("b", table={"type": "workbook", "path": "./deals.xlsx", "sheet": "one"}),
            ),
            'the pairs "acme" and "b" use the same table; each needs its own table.',
        ),
        (lambda: load(pair(table=GOOGLE), pair("b", table=GOOGLE)), 'the pairs "acme" and "b" use the same table'),
        (lambda: load(pair(table={**TABLE, "plan": "Team"})), 'must be "free", "team", "business" or "enterprise".'),
        (lambda: load(pair(guard={"max_changes": -1})), "must be at least 0."),
        (lambda: load(pair(guard={"max_changes": True})), "must be a whole number."),
        (lambda: load(pair(guard={"max_changes": 1.5})), "must be a whole number."),
        (
            lambda: load(pair(guard={"max_share": 20})),
            '"max_share" in pair "acme", [pair.guard] must be at most 1.',
        ),
        (lambda: load(pair(guard={"max_share": "20%"})), "must be a number."),
        (lambda: load(pair(policy={"new_row": "row"})), 'must be "deal" or "off".'),
        (lambda: load(pair(policy={"tie": "me"})), 'must be "crm" or "table".'),
        (lambda: load(pair(), pair("acme", table={**TABLE, "table": "T"})), 'two pairs are called "acme"; each needs'),
        (lambda: load(pair(), pair("b")), 'the pairs "acme" and "b" use the same table; each needs its own table.'),
    ],
)
def test_refused(make: Callable[[], object], told: str) -> None:
    said = problem(make)
    assert told in said
    assert all(line.startswith("syncd.toml: ") for line in said.split("\n"))


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (
            [{"crm": "custom:budget", "column": "B"}],
            '"crm" in pair "acme", [[pair.field]] of "custom:budget" names no field that this version of syncd can sync'
            "; the choices are name, pipeline, stage, status, value, owner, contact, email, phone, company, source, "
            "id, sync.",
        ),
        ([{"crm": "stauts"}], 'can sync (did you mean "status"?); the choices'),
        ([{"column": "B"}], '"crm" is missing in pair "acme", [[pair.field]] 1.'),
        ([{"crm": "name", "direction": "left"}], 'must be "both", "to_table", "to_crm" or "off".'),
        ([{"crm": "name", "colum": "X"}], 'unknown key "colum" in pair "acme", [[pair.field]] of "name"; did you mean'),
        ([{"crm": "name"}, {"crm": "name"}], 'pair "acme": [[pair.field]] names "name" more than once.'),
        ([{"crm": "email"}, {"crm": "contact.email"}], '[[pair.field]] names "email" more than once.'),
        ([{"crm": "id", "direction": "off"}], '"id" takes a column only, no direction.'),
        ([{"crm": "sync", "direction": "both"}], '"sync" takes a column only, no direction.'),
        ([{"crm": "pipeline", "direction": "off"}], 'set the direction of crm = "stage".'),
        ([{"crm": "status", "direction": "off"}], '"status" cannot be off'),
        (
            [{"crm": "phone", "direction": "both"}],
            'syncd does not write "phone" of a contact; use "to_table" or "off".',
        ),
        (
            [{"crm": "name", "column": "Email"}],
            'pair "acme": the column "Email" is used for name and email; give one of them another column, or direction',
        ),
        ([{"crm": "name", "column": "gHL id"}], 'the column "gHL id" is used for name and id'),
        ([{"crm": "stage", "column": "Pipeline"}], "is used for pipeline and stage"),
        ([{"crm": "name", "column": " "}], '"column" in pair "acme", [[pair.field]] of "name" must not be empty.'),
    ],
)
def test_refused_fields(entries: list[dict[str, str]], told: str) -> None:
    assert told in problem(lambda: load(pair(field=entries)))


def test_several_problems_are_told_at_once() -> None:
    said = problem(lambda: load(pair(quiet="x", ghl={**GHL, "token": "y"}), interval="z", environ={"SYNCD_FOO": "1"}))
    assert len(said.split("\n")) == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("interval = 60s\n", "syncd.toml, line 1, column 14: this is not TOML"),
        (f"\ntoken = {GHL_SECRET}\n", "syncd.toml, line 2, column 9: this is not TOML"),
        ('a = "', "this is not TOML"),
        ("a = 1\na = 2\n", "syncd.toml, line 2, column 6: this is not TOML (Cannot overwrite a value)"),
        (f"a = {'9' * 5_000}", "this is not TOML"),
        (f"a = {'[' * 100_000}", "this is not TOML"),
    ],
)
def test_syntax(text: str, told: str) -> None:
    Path("syncd.toml").write_text(text)
    assert told in problem(lambda: load_settings(Path("syncd.toml"), ENVIRON))


def test_files_that_cannot_be_read() -> None:
    assert problem(lambda: load_settings(Path("x.toml"), {})) == "The configuration file x.toml does not exist."
    assert problem(lambda: load_settings(None, {"SYNCD_CONFIG": "y.toml"})) == (
        "The configuration file y.toml does not exist."
    )
    Path("folder").mkdir()
    assert "The configuration file folder cannot be read: Is a directory." in problem(
        lambda: load_settings(Path("folder"), {})
    )
    Path("latin").write_bytes(b"a = '\xe9'")
    assert "is not UTF-8 text" in problem(lambda: load_settings(Path("latin"), {}))


# --- where it comes from -------------------------------------------------------------------------------------------


def test_order_of_the_places() -> None:
    load(pair(), state_dir="by option")
    Path("syncd.toml").rename("option.toml")
    load(pair(), state_dir="by variable")
    Path("syncd.toml").rename("variable.toml")
    load(pair(), state_dir="by default")
    DEFAULT_FILE.parent.mkdir()
    Path("syncd.toml").rename(DEFAULT_FILE)
    assert load_settings(Path("option.toml"), {"SYNCD_CONFIG": "variable.toml"}).state_dir == "by option"
    assert load_settings(None, {**ALONE, "SYNCD_CONFIG": "variable.toml"}).state_dir == "by variable"
    assert load_settings(None, {**ALONE, "SYNCD_CONFIG": ""}).state_dir == "by default"
    DEFAULT_FILE.unlink()
    assert load_settings(None, ALONE).pair[0].name == "default"


def test_a_byte_order_mark_does_no_harm() -> None:
    load(pair())
    text = Path("syncd.toml").read_bytes()
    Path("syncd.toml").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert load_settings(Path("syncd.toml"), ENVIRON).pair[0].name == "acme"


def test_the_environment_alone() -> None:
    one = load_settings(None, ALONE).pair[0]
    assert (one.name, one.ghl.location_id, one.airtable.base_id, one.airtable.table) == (
        "default",
        "loc1",
        "app1",
        "Deals",
    )
    assert (one.ghl.secret(), one.table.secret()) == (GHL_SECRET, TABLE_SECRET)
    assert one.ghl.pipelines is None


def test_other_names_in_the_environment() -> None:
    environ = {**ALONE, "LOCATION_ID": "loc2", "AIRTABLE_API_KEY": TABLE_SECRET}
    assert load_settings(None, environ).pair[0].ghl.location_id == "loc1"
    del environ["GHL_LOCATION_ID"], environ["AIRTABLE_TOKEN"]
    one = load_settings(None, environ).pair[0]
    assert (one.ghl.location_id, one.table.secret()) == ("loc2", TABLE_SECRET)


def test_optional_variables() -> None:
    more = {
        "GHL_BASE_URL": "http://127.0.0.1:1",
        "AIRTABLE_BASE_URL": "http://127.0.0.1:2/",
        "GHL_VERSION": "v3",
        "GHL_PIPELINES": "Sales, Renewals,",
    }
    one = load_settings(None, {**ALONE, **more}).pair[0]
    assert (one.ghl.base_url, one.airtable.base_url) == ("http://127.0.0.1:1", "http://127.0.0.1:2")
    assert (one.ghl.version, one.ghl.pipelines) == ("v3", ("Sales", "Renewals"))


def test_missing_variables_are_all_named() -> None:
    assert problem(lambda: load_settings(None, {"GHL_TOKEN": GHL_SECRET, "AIRTABLE_TABLE": " "})) == (
        "There is no configuration file (config/syncd.toml), and these environment variables are not set: "
        "GHL_LOCATION_ID or LOCATION_ID, AIRTABLE_TOKEN or AIRTABLE_API_KEY, AIRTABLE_BASE_ID, AIRTABLE_TABLE. "
        "Set them, or copy config/syncd.example.toml to config/syncd.toml."
    )


def test_a_wrong_variable_is_named() -> None:
    said = problem(lambda: load_settings(None, {**ALONE, "GHL_VERSION": "v9", "SYNCD_INTERVAL": "x"}))
    assert said.split("\n") == [
        'SYNCD_INTERVAL must be a duration such as "60s", "5m" or "6h".',
        'GHL_VERSION must be "2021-07-28" or "v3".',
    ]


def test_scalars_of_the_environment_win() -> None:
    environ = {**ENVIRON, "SYNCD_INTERVAL": "5m", "SYNCD_STATE_DIR": "elsewhere"}
    settings = load(pair(), interval="1s", state_dir="here", environ=environ)
    assert (settings.interval, settings.state_dir) == (300.0, "elsewhere")
    empty = load(pair(), interval="1s", environ={"SYNCD_INTERVAL": "", "SYNCD_STATE_DIR": ""})
    assert (empty.interval, empty.state_dir) == (1.0, "state")


def test_our_own_environment_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCD_INTERVAL", "7s")
    monkeypatch.setenv("STATE_DIR", "x")
    assert load(pair()).interval == 60.0


def test_unknown_variables() -> None:
    assert problem(lambda: load(pair(), environ={**ENVIRON, "SYNCD_INTERVALL": "60s"})) == (
        'Unknown environment variable "SYNCD_INTERVALL"; did you mean "SYNCD_INTERVAL"?'
    )
    assert "known are SYNCD_STATE_DIR, SYNCD_INTERVAL" in problem(lambda: load(pair(), environ={"SYNCD_PAIR": "[]"}))


@pytest.mark.parametrize(
    "name",
    ["_SYNCD_COMPLETE", "SYNCD_COMPLETE", "SYNCD_CONFIG", "SYNCD_SERVICE_HOST", "SYNCD_SERVICE_PORT_HTTP", "SYNCD_PORT",
     "SYNCD_PORT_8080_TCP", "SYNCD_PORT_8080_TCP_ADDR", "SYNCDX"],
)  # fmt: skip
def test_variables_that_are_no_slip(name: str) -> None:
    assert load(pair(), environ={**ENVIRON, name: "x"}).interval == 60.0


# --- the examples --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((REPOSITORY / "config").glob("*.toml")), ids=lambda path: path.name)
def test_every_example_loads(path: Path) -> None:
    settings = load_settings(path, {})
    assert all(one.fields() for one in settings.pair)


def test_the_full_example_holds_every_key_with_its_default() -> None:
    text = (REPOSITORY / "config" / "syncd.example.toml").read_text("utf-8")
    for name in ("plan", "pipelines", "interval"):  # None by default, so they stand there as comments
        text = text.replace(f"# {name} = ", f"{name} = ")
    Path("syncd.toml").write_text(text, "utf-8")
    full = load_settings(Path("syncd.toml"), {})
    assert full.model_fields_set == set(Settings.model_fields)
    one = full.pair[0]
    for section in (one, one.ghl, one.table, one.guard, one.policy):
        assert section.model_fields_set == set(type(section).model_fields)
    plain = load_settings(REPOSITORY / "config" / "one-pair.toml", {})
    example = load_settings(REPOSITORY / "config" / "syncd.example.toml", {})
    assert example.model_copy(update={"pair": ()}) == plain.model_copy(update={"pair": ()})
    first, second = example.pair[0], plain.pair[0]
    assert first.fields() == second.fields()
    assert first.model_copy(update={"field": ()}) == second


def test_the_examples_do_what_they_say() -> None:
    def first(name: str) -> Any:
        return load_settings(REPOSITORY / "config" / name, {}).pair[0]

    assert {one.direction for one in first("read-only-crm.toml").fields()} == {Direction.TO_TABLE}
    assert first("v3.toml").ghl.version == "v3"
    assert first("some-pipelines.toml").ghl.pipelines == ("Sales", "Renewals")
    assert first("own-columns.toml").key_column == "HighLevel"
    assert len(load_settings(REPOSITORY / "config" / "two-clients.toml", {}).pair) == 2
    assert first("container-secrets.toml").ghl.token.text == "file:/run/secrets/ghl-token"


# --- many pairs ------------------------------------------------------------------------------------------------------

SHARED = """
[defaults]
interval = "5m"
quiet = "9s"
[defaults.table]
type = "airtable"
token = "env:AIRTABLE_TOKEN"
plan = "team"
[defaults.guard]
max_changes = 50
[[defaults.field]]
crm = "value"
column = "Worth"
[[defaults.field]]
crm = "source"
direction = "off"
"""


def agency(*pairs: str, main: str = SHARED) -> Path:
    """A configuration whose pairs stand in pairs.d."""
    Path("pairs.d").mkdir(exist_ok=True)
    for number, pair in enumerate(pairs):
        Path(f"pairs.d/{number}.toml").write_text(pair, "utf-8")
    Path("syncd.toml").write_text(main, "utf-8")
    return Path("syncd.toml")


def client(name: str, more: str = "") -> str:
    return f"""
[[pair]]
name = "{name}"
{more}
[pair.ghl]
location_id = "loc{name}"
token = "env:{name.upper()}_TOKEN"
[pair.table]
base_id = "app{name}"
table = "Deals"
"""


def test_pairs_of_a_folder_share_the_defaults_and_say_only_what_is_their_own() -> None:
    own = (
        client("beta", 'interval = "1m"')
        + '[pair.guard]\nmax_share = 0.5\n[[pair.field]]\ncrm = "value"\ncolumn = "Sum"\n'
    )
    settings = load_settings(agency(client("acme"), own), {})
    acme, beta = settings.pair
    assert [settings.interval_of(one) for one in settings.pair] == [300.0, 60.0]
    assert (acme.quiet, acme.table.plan, acme.airtable.token.text) == (9.0, "team", "env:AIRTABLE_TOKEN")
    assert (acme.guard.max_changes, acme.guard.max_share) == (50, 0.2)
    assert (beta.guard.max_changes, beta.guard.max_share) == (50, 0.5), "a section is taken key by key"
    columns = [{one.name: one.columns[-1] for one in pair.fields()} for pair in (acme, beta)]
    assert [one["value"] for one in columns] == ["Worth", "Sum"]
    assert all("source" not in one for one in columns)


def test_pairs_may_stand_in_the_file_and_in_the_folder() -> None:
    settings = load_settings(agency(client("beta"), main=SHARED + client("acme")), {})
    assert [pair.name for pair in settings.pair] == ["acme", "beta"]
    assert settings.interval_of(settings.pair[0]) == 300.0


def test_without_an_interval_of_its_own_a_pair_has_that_of_the_top_level() -> None:
    settings = load_settings(
        agency(client("acme"), main='interval = "7m"\n' + SHARED.replace('interval = "5m"\n', "")), {}
    )
    assert settings.interval_of(settings.pair[0]) == 420.0


@pytest.mark.parametrize(
    ("main", "pair", "says"),
    [
        (SHARED.replace("quiet", "quite"), client("acme"), 'syncd.toml: unknown key "quite" in [defaults]; did'),
        (SHARED.replace("plan", "plane"), client("acme"), 'unknown key "plane" in [defaults.table]; did you mean'),
        (SHARED.replace('"9s"', '"soon"'), client("acme"), 'syncd.toml: "quiet" in [defaults] must be a duration'),
        (SHARED.replace('"team"', '"huge"'), client("acme"), 'syncd.toml: "plan" in [defaults.table] must be'),
        ("defaults = 5\n", client("acme"), 'syncd.toml: "defaults" must be written as [defaults].'),
        (SHARED, client("acme", 'quiet = "soon"'), 'pairs.d/0.toml: "quiet" in pair "acme" must be a duration'),
        (SHARED, client("acme", "quite = 1"), 'pairs.d/0.toml: unknown key "quite" in pair "acme"; did you mean'),
        (SHARED, 'interval = "1m"\n' + client("acme"), 'pairs.d/0.toml: "interval" does not belong here'),
        (SHARED, "pair = 5", 'pairs.d/0.toml: "pair" must be written as [[pair]].'),
        (SHARED, "[[pair", "pairs.d/0.toml, "),
        ("threads = 0\n" + SHARED, client("acme"), '"threads" in the top level must be at least 1'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_once_with_the_file_that_holds_it(main: str, pair: str, says: str) -> None:
    with pytest.raises(ConfigError) as failed:
        load_settings(agency(pair, pair.replace("acme", "beta") if "acme" in pair else client("beta"), main=main), {})
    lines = str(failed.value).splitlines()
    assert sum(says in line for line in lines) == 1, lines


def test_a_pair_that_is_there_twice_is_told() -> None:
    with pytest.raises(ConfigError, match='two pairs are called "acme"'):
        load_settings(agency(client("acme"), client("acme")), {})
