"""Configuration: what the keys mean, where they come from, and what people are told when one is wrong (CONTRACT).

The models below are frozen and say what is allowed. `load_settings` finds the file or the environment and turns every
problem into a sentence. No sentence holds a configured value that could be a secret.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    InstanceOf,
    SecretStr,
    StrictInt,
    ValidationError,
    model_validator,
)
from pydantic import Field as Key
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from syncd.config_files import DEFAULTS, ConfigError, Files, read_files
from syncd.fields import (
    DEFAULT_COLUMNS,
    KEY,
    KEY_COLUMN,
    MESSAGE,
    MESSAGE_COLUMN,
    OF_CONTACT,
    PIPELINE,
    REQUIRED,
    Field,
)
from syncd.model import Direction
from syncd.policy import BlankCell, DealDeleted, Limits, OneWay, Policy, RowDeleted

DEFAULT_FILE: Final = Path("config/syncd.toml")
PREFIX: Final = "SYNCD_"
SCALARS: Final = ("state_dir", "interval")  # what SYNCD_… variables can set
OTHER_VARIABLES: Final = ("SYNCD_CONFIG", "SYNCD_COMPLETE")
# Kubernetes puts these into every container beside a Service called "syncd".
OF_KUBERNETES: Final = re.compile(r"SYNCD_(SERVICE_(HOST|PORT)\w*|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
LONGEST_SECRET_BYTES: Final = 16_384
LONGEST_DURATION_SECONDS: Final = 31 * 86_400.0
UNIT_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
WORKBOOKS: Final = (".xlsx", ".xlsm")
CSV: Final = ".csv"
LATER: Final = "not supported yet by this version of syncd"
ALIASES: Final = {
    "contact.name": "contact",
    "contact.email": "email",
    "contact.phone": "phone",
    "contact.companyName": "company",
    "monetaryValue": "value",
    "assignedTo": "owner",
    "pipelineStageId": "stage",
    "pipelineId": PIPELINE,
}

# The load that is under way: its environment, which secret references keep to be resolved in later, and what was read.
_environ: ContextVar[Mapping[str, str]] = ContextVar("environ", default=os.environ)
_values: ContextVar[Mapping[str, Any]] = ContextVar("values", default=MappingProxyType({}))


# --- values --------------------------------------------------------------------------------------------------------
#
# A validator's ValueError continues the sentence `"key" in place …`.


def _duration(value: object) -> float:
    """Seconds of "60s", "5m", "6h", "1d", "500ms", or of a number of seconds."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|[smhd]?)\s*", value)):
        seconds = float(match[1]) * UNIT_SECONDS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise ValueError('must be a duration such as "60s", "5m" or "6h"')
    if not 0 <= seconds <= LONGEST_DURATION_SECONDS or math.isnan(seconds):
        raise ValueError("must be a duration between 0 and 31 days")
    return seconds


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if not value.isprintable():
        raise ValueError("must not hold line breaks, tabs or other characters that cannot be seen")
    return value.strip()


def _identifier(value: str) -> str:
    if re.search(r"[\s/?#]", value):
        raise ValueError("must be the id alone, without blanks or slashes")
    return value


def _address(value: str) -> str:
    """An http(s) address without a slash at its end."""
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise ValueError('must be an address that begins with "https://" (or "http://")')
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an address without user, password, question mark or #")
    return value.rstrip("/")


def _list_only(value: object) -> object:
    if isinstance(value, str) or (isinstance(value, list) and not value):
        raise ValueError('must be a list such as ["Sales"]; leave it out for all pipelines')
    return value


def _version(value: object) -> object:
    if value == "v1":
        raise ValueError(f'is "v1", which is {LATER}; use "2021-07-28" or "v3" with a private integration token')
    return value.isoformat() if isinstance(value, date) else value  # TOML reads 2021-07-28 without quotes as a date


def _spreadsheet_file(value: str) -> str:
    suffix = Path(value).suffix.casefold()
    if suffix in (".xls", ".xlsb", ".ods", ".numbers"):
        raise ValueError(f'names a file of type "{suffix}"; save it as .xlsx (or .csv) and name that one')
    if suffix not in (*WORKBOOKS, CSV):
        raise ValueError("must name a workbook (.xlsx or .xlsm) or a CSV file (.csv)")
    return value


def _spreadsheet_id(value: str) -> str:
    """The id, also out of the address that a browser shows."""
    found = re.search(r"/spreadsheets/d/([A-Za-z0-9_-]+)", value)
    return _identifier(found[1] if found else value)


def _crm_name(value: str) -> str:
    name = ALIASES.get(value, value)
    known = (*DEFAULT_COLUMNS, KEY, MESSAGE)
    if name in known:
        return name
    close = difflib.get_close_matches(value, [*known, *ALIASES], 1)
    hint = f' (did you mean "{close[0]}"?)' if close else ""
    raise ValueError(f"names no field that this version of syncd can sync{hint}; the choices are {', '.join(known)}")


Seconds: TypeAlias = Annotated[float, BeforeValidator(_duration)]
Text: TypeAlias = Annotated[str, AfterValidator(_not_blank)]
Identifier: TypeAlias = Annotated[str, AfterValidator(_not_blank), AfterValidator(_identifier)]
SpreadsheetFile: TypeAlias = Annotated[str, AfterValidator(_not_blank), AfterValidator(_spreadsheet_file)]
SpreadsheetId: TypeAlias = Annotated[str, AfterValidator(_not_blank), AfterValidator(_spreadsheet_id)]
Address: TypeAlias = Annotated[str, AfterValidator(_not_blank), AfterValidator(_address)]


# --- secrets -------------------------------------------------------------------------------------------------------

HOW: Final = 'a reference such as "env:GHL_TOKEN" or "file:/run/secrets/ghl-token"'
LOOKS_LIKE_TOKEN: Final = re.compile(r"pit-|pat[A-Za-z0-9]{14}\.|key[A-Za-z0-9]{14}$|eyJ")


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret stands: "env:NAME" or "file:PATH". It is read when it is asked for, and never kept."""

    text: str
    environ: Mapping[str, str] = field(repr=False, compare=False)

    def resolve(self, what: str, *, text: bool = False) -> SecretStr:
        """The secret; `what` names it for people ("HighLevel token"). A token is one word, a `text` several lines.
        Raises `ConfigError` where there is none."""
        kind, _, rest = self.text.partition(":")
        if kind == "env":
            source, mend = f"the environment variable {rest}", "Set it"
            value = self.environ.get(rest, "")
        else:
            path = self._path(rest)
            source, mend = f"the file {path}", "Put it there"
            try:
                with path.open(encoding="utf-8") as file:
                    value = file.read(LONGEST_SECRET_BYTES)
            except OSError as error:
                mend = "Let this user read it" if isinstance(error, PermissionError) else mend
                raise ConfigError(
                    f"The {what} cannot be read from {source}: {error.strerror}. {mend}, or correct the configuration."
                ) from None
            except UnicodeDecodeError:
                raise ConfigError(
                    f"The {what} cannot be read from {source}: it is not a text file. Copy it again."
                ) from None
        value = value.strip()
        if not value:
            state = "is not set" if kind == "env" and rest not in self.environ else "is empty"
            raise ConfigError(f"The {what} is missing: {source} {state}. {mend}, or correct the configuration.")
        if not text and not re.fullmatch(r"[!-~]+", value):
            raise ConfigError(f"The {what} in {source} holds a blank or an odd character. Copy it again.")
        return SecretStr(value)

    def _path(self, text: str) -> Path:
        """The file; one that is named without a folder is looked for among systemd's credentials first."""
        folder = self.environ.get("CREDENTIALS_DIRECTORY")
        if folder and os.sep not in text and (Path(folder) / text).exists():
            return Path(folder) / text
        return Path(text).expanduser()


def _reference(value: object) -> SecretReference:
    if not isinstance(value, str):
        raise ValueError(f"must be {HOW}")
    kind, colon, rest = value.strip().partition(":")
    if not colon or kind not in ("env", "file") or LOOKS_LIKE_TOKEN.match(rest):
        raise ValueError(f"must not hold the secret itself, but say where it stands: {HOW}")
    if kind == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
        raise ValueError('must name an environment variable after "env:" (letters, digits and _)')
    if kind == "file" and (not rest or not rest.isprintable()):
        raise ValueError('must name a file after "file:"')
    return SecretReference(f"{kind}:{rest}", _environ.get())


Secret: TypeAlias = Annotated[InstanceOf[SecretReference], BeforeValidator(_reference)]


# --- models --------------------------------------------------------------------------------------------------------


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class GhlSettings(_Section):
    """[pair.ghl]: the HighLevel location. `pipelines` are names or ids, None means all."""

    location_id: Identifier
    token: Secret
    version: Annotated[Literal["2021-07-28", "v3"], BeforeValidator(_version)] = "2021-07-28"
    base_url: Address = "https://services.leadconnectorhq.com"
    pipelines: Annotated[tuple[Text, ...] | None, BeforeValidator(_list_only)] = None

    def secret(self) -> str:
        """The token, read now; raises `ConfigError`."""
        return self.token.resolve("HighLevel token").get_secret_value()


class AirtableSettings(_Section):
    """[pair.table] of type "airtable". `table` is a name or a tbl… id."""

    type: Literal["airtable"]
    base_id: Identifier
    table: Text
    token: Secret
    base_url: Address = "https://api.airtable.com"
    plan: Literal["free", "team", "business", "enterprise"] | None = None

    @property
    def label(self) -> str:
        """The table's service, as people know it."""
        return "Airtable"

    @property
    def place(self) -> tuple[str, ...]:
        """What no other pair may use."""
        return self.type, self.base_url, self.base_id, self.table

    @property
    def scope(self) -> str:
        """Whose budget of calls is used up."""
        return f"airtable:{self.base_id}"

    def secret(self) -> str:
        """The token, read now; raises `ConfigError`."""
        return self.token.resolve("Airtable token").get_secret_value()


class WorkbookSettings(_Section):
    """[pair.table] of type "workbook": a file, and which of its sheets (left out: the first with a key column).
    `edited_column` is filled by a script with the time of each row's last edit."""

    type: Literal["workbook"]
    path: SpreadsheetFile
    sheet: Text | None = None
    edited_column: Text | None = None
    plan: ClassVar[None] = None

    @property
    def is_csv(self) -> bool:
        """Whether it is a CSV file, which has no sheets."""
        return Path(self.path).suffix.casefold() == CSV

    @property
    def file(self) -> Path:
        """The file; a relative path counts from the current folder."""
        return Path(self.path).expanduser()

    @property
    def label(self) -> str:
        """The table, as people know it."""
        return "the CSV file" if self.is_csv else "the workbook"

    @property
    def place(self) -> tuple[str, ...]:
        """What no other pair may use."""
        return self.type, os.path.realpath(self.file), (self.sheet or "").casefold()

    @property
    def scope(self) -> str:
        """A file counts no calls."""
        return f"file:{os.path.realpath(self.file)}"

    def secret(self) -> str:
        """A file needs none."""
        return ""

    @model_validator(mode="after")
    def _sheets(self) -> WorkbookSettings:
        if self.is_csv and self.sheet is not None:
            raise ValueError('a CSV file has no sheets; leave out "sheet"')
        return self


class GoogleSettings(_Section):
    """[pair.table] of type "google": a spreadsheet that is shared with the service account of `credentials`."""

    type: Literal["google"]
    spreadsheet_id: SpreadsheetId
    sheet: Text
    credentials: Secret
    base_url: Address = "https://sheets.googleapis.com"
    edited_column: Text | None = None
    plan: ClassVar[None] = None

    @property
    def label(self) -> str:
        """The service, as people know it."""
        return "Google Sheets"

    @property
    def place(self) -> tuple[str, ...]:
        """What no other pair may use."""
        return self.type, self.base_url, self.spreadsheet_id, self.sheet.casefold()

    @property
    def scope(self) -> str:
        """Google limits the rate alone."""
        return f"google:{self.spreadsheet_id}"

    def secret(self) -> str:
        """The key file's text, read now; raises `ConfigError`."""
        return self.credentials.resolve("Google service account's key", text=True).get_secret_value()


TableSettings: TypeAlias = AirtableSettings | WorkbookSettings | GoogleSettings
TABLES: Final[Mapping[str, type[_Section]]] = {
    "airtable": AirtableSettings,
    "workbook": WorkbookSettings,
    "google": GoogleSettings,
}


class FieldSettings(_Section):
    """[[pair.field]]: overrides the default column or direction of one field; None keeps the default."""

    crm: Annotated[Text, AfterValidator(_crm_name)]
    column: Text | None = None
    direction: Direction | None = None

    @model_validator(mode="after")
    def _direction_fits(self) -> FieldSettings:
        if self.direction is None:
            return self
        if self.crm in (KEY, MESSAGE):
            raise ValueError(f'"{self.crm}" takes a column only, no direction')
        if self.crm == PIPELINE:
            raise ValueError('pipeline and stage are one field; set the direction of crm = "stage"')
        if self.crm in REQUIRED and self.direction is Direction.OFF:
            raise ValueError(f'"{self.crm}" cannot be off; every pair syncs {" and ".join(REQUIRED)}')
        if self.crm in OF_CONTACT and self.direction in (Direction.BOTH, Direction.TO_CRM):
            raise ValueError(f'syncd does not write "{self.crm}" of a contact; use "to_table" or "off"')
        return self


class GuardSettings(_Section):
    """[pair.guard]: writes beyond BOTH limits of a kind wait for a person (SPEC §4). Shares: 0 to 1 of all links."""

    max_changes: Annotated[StrictInt, Key(ge=0)] = 20
    max_share: Annotated[float, Key(ge=0, le=1, strict=True)] = 0.20
    max_crm_changes: Annotated[StrictInt, Key(ge=0)] = 200
    max_deletions: Annotated[StrictInt, Key(ge=0)] = 5
    max_deletion_share: Annotated[float, Key(ge=0, le=1, strict=True)] = 0.10

    def limits(self) -> Limits:
        """The same for the engine."""
        return Limits(
            self.max_changes, self.max_share, self.max_crm_changes, self.max_deletions, self.max_deletion_share
        )


class PolicySettings(_Section):
    """[pair.policy]: `tie` is the side that wins where two edits cannot be told apart in time; `deal_deleted` and
    `row_deleted` say what becomes of the other record, `new_row` what a row without an id becomes, `blank_cell` and
    `one_way` what becomes of a cleared cell, and of what is typed into a column that goes only to the table (SPEC §5).
    """

    tie: Literal["crm", "table"] = "crm"
    deal_deleted: DealDeleted = DealDeleted.KEEP
    row_deleted: RowDeleted = RowDeleted.RESTORE
    new_row: Literal["deal", "off"] = "deal"
    blank_cell: BlankCell = BlankCell.CLEAR
    one_way: OneWay = OneWay.KEEP

    def policy(self) -> Policy:
        """The same for the engine."""
        return Policy(self.deal_deleted, self.row_deleted, self.blank_cell, self.one_way)


class PairSettings(_Section):
    """[[pair]]: one location and one table. `quiet`, `read_lag` and `skew` are seconds (SPEC §§2–4), `full_every` how
    often the daemon looks at everything; between, it looks at what changed. `interval` None: that of the top level."""

    name: Text
    ghl: GhlSettings
    table: Annotated[TableSettings, Key(discriminator="type")]
    field: tuple[FieldSettings, ...] = ()
    guard: GuardSettings = GuardSettings()
    policy: PolicySettings = PolicySettings()
    interval: Annotated[Seconds, Key(gt=0)] | None = None
    full_every: Seconds = 6 * 3_600.0
    quiet: Seconds = 5.0
    read_lag: Seconds = 60.0
    skew: Seconds = 1.0

    def fields(self) -> tuple[Field, ...]:
        """The fields to sync in CONTRACT's order, without those "off"; the stage has the columns (Pipeline, Stage)."""
        columns, found = self._columns(), []
        for name, (column, direction) in columns.items():
            if name in (KEY, MESSAGE, PIPELINE) or direction is Direction.OFF:
                continue
            found.append(Field(name, (columns[PIPELINE][0], column) if name == "stage" else (column,), direction))
        return tuple(found)

    @property
    def airtable(self) -> AirtableSettings:
        """The table's settings, where it is one of Airtable."""
        assert isinstance(self.table, AirtableSettings), f"{self.name} is no table of Airtable"
        return self.table

    @property
    def key_column(self) -> str:
        """The column with the deal's id."""
        return self._columns()[KEY][0]

    @property
    def message_column(self) -> str:
        """The column with what a person should know of the row."""
        return self._columns()[MESSAGE][0]

    @property
    def explicit(self) -> frozenset[str]:
        """The fields ("pipeline", "id" and "sync" too) whose column a person named: such a column must exist."""
        return frozenset(one.crm for one in self.field if one.column and one.direction is not Direction.OFF)

    def _columns(self) -> dict[str, tuple[str, Direction]]:
        """Column and direction of all that has a column, key and message too."""
        found = dict(DEFAULT_COLUMNS)
        found |= {KEY: (KEY_COLUMN, Direction.TO_TABLE), MESSAGE: (MESSAGE_COLUMN, Direction.TO_TABLE)}
        for one in self.field:
            column, direction = found[one.crm]
            found[one.crm] = (one.column or column, one.direction or direction)
        return found

    @model_validator(mode="after")
    def _once_each(self) -> PairSettings:
        names = [one.crm for one in self.field]
        problems = [f'[[pair.field]] names "{name}" more than once' for name in _repeated(names)]
        users: dict[str, list[str]] = {}
        for name, (column, direction) in self._columns().items():
            if direction is not Direction.OFF:
                users.setdefault(column.casefold(), []).append(name)
        for several in users.values():
            if len(several) > 1:
                column = self._columns()[several[0]][0]
                problems.append(
                    f'the column "{column}" is used for {" and ".join(several)}; give one of them another column, '
                    'or direction = "off"'
                )
        if problems:
            raise ValueError("\n".join(problems))
        return self


class _Variables(PydanticBaseSettingsSource):
    """SYNCD_STATE_DIR and SYNCD_INTERVAL, from the environment given to `load_settings`; empty ones do not count."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return _environ.get().get(PREFIX + field_name.upper()) or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(self.settings_cls.model_fields[name], name)[0] for name in SCALARS}
        return {name: value for name, value in values.items() if value is not None}


class Settings(BaseSettings):
    """The whole configuration. `interval` is seconds; `state_dir` counts from the current folder; `threads` is how many
    pairs are synced at once."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    state_dir: Text = "state"
    interval: Annotated[Seconds, Key(gt=0)] = 60.0
    threads: Annotated[StrictInt, Key(ge=1, le=1000)] = 16
    pair: tuple[PairSettings, ...] = ()

    def interval_of(self, pair: PairSettings) -> float:
        """Seconds from the beginning of one pass of this pair to that of the next."""
        return self.interval if pair.interval is None else pair.interval

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The variables of the top level win over what was read from the file."""
        return _Variables(settings_cls), InitSettingsSource(settings_cls, dict(_values.get())), init_settings

    @model_validator(mode="after")
    def _pairs_apart(self) -> Settings:
        if not self.pair:
            raise ValueError("there is no [[pair]] yet; add one")
        names = [pair.name for pair in self.pair]
        problems = [f'two pairs are called "{name}"; each needs its own name' for name in _repeated(names)]
        tables: dict[tuple[str, ...], str] = {}
        for pair in self.pair:
            first = tables.setdefault(pair.table.place, pair.name)
            if first != pair.name:
                problems.append(f'the pairs "{first}" and "{pair.name}" use the same table; each needs its own table')
        problems += _nameless_sheets(self.pair)
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _nameless_sheets(pairs: Sequence[PairSettings]) -> list[str]:
    """Of several pairs on one workbook each has to name its sheet: the first one with the key column may be another's,
    or become it when sheets are moved, and only the file could tell."""
    of_file: dict[str, list[PairSettings]] = {}
    for pair in pairs:
        if isinstance(pair.table, WorkbookSettings) and not pair.table.is_csv:
            of_file.setdefault(os.path.realpath(pair.table.file), []).append(pair)
    problems = []
    for users in of_file.values():
        for pair in users:
            others = [one.name for one in users if one.table.place != pair.table.place]
            if others and pair.table.place[-1] == "":
                problems.append(
                    f'the pairs "{pair.name}" and "{others[0]}" use the same workbook, and "{pair.name}" names no '
                    'sheet, so both may use the same table; give each its "sheet"'
                )
    return problems


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


# --- loading -------------------------------------------------------------------------------------------------------

# One pair without any file: where each key comes from. Of several variables the first that is set counts.
VARIABLES: Final[dict[tuple[str, ...], tuple[str, ...]]] = {
    ("ghl", "token"): ("GHL_TOKEN",),
    ("ghl", "location_id"): ("GHL_LOCATION_ID", "LOCATION_ID"),
    ("table", "token"): ("AIRTABLE_TOKEN", "AIRTABLE_API_KEY"),
    ("table", "base_id"): ("AIRTABLE_BASE_ID",),
    ("table", "table"): ("AIRTABLE_TABLE",),
    ("ghl", "base_url"): ("GHL_BASE_URL",),
    ("ghl", "version"): ("GHL_VERSION",),
    ("ghl", "pipelines"): ("GHL_PIPELINES",),
    ("table", "base_url"): ("AIRTABLE_BASE_URL",),
}
OPTIONAL: Final = frozenset({"base_url", "version", "pipelines"})


def load_settings(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """The checked configuration from `config`, else $SYNCD_CONFIG, else config/syncd.toml, else `environ` alone.

    Raises `ConfigError` with a sentence for each problem. Secrets are not read here.
    """
    path = config or (Path(environ["SYNCD_CONFIG"]) if environ.get("SYNCD_CONFIG") else None)
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    problems = _strange_variables(environ)
    files = Files(_from_environment(environ), (), (), {}) if path is None else read_files(path)
    problems += [f"{path}: {sentence}" for sentence in _strange_defaults(files.defaults, ())]
    try:
        settings = copy_context().run(_checked, _fitting(files), environ)
    except ValidationError as error:
        problems += _Problems(files, path, environ).sentences(error)
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def _fitting(files: Files) -> Mapping[str, Any]:
    """What was read, without the defaults of [defaults.table] that belong to another type of table."""
    pairs = files.values.get("pair")
    shared = files.defaults.get("table")
    if not isinstance(pairs, list) or not isinstance(shared, dict):
        return files.values
    fitting = []
    for at, pair in enumerate(pairs):
        table = pair.get("table") if isinstance(pair, dict) else None
        model = TABLES.get(str(table.get("type"))) if isinstance(table, dict) else None
        if model is not None and isinstance(table, dict):
            strange = {key for key in table if key not in model.model_fields and key in _keys(("pair", "table"))}
            left = {key for key in strange if files.is_default(("pair", at, "table", key))}
            pair = {**pair, "table": {key: value for key, value in table.items() if key not in left}}
        fitting.append(pair)
    return {**files.values, "pair": fitting}


def _checked(values: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """The models from what was read; runs in a context of its own. Raises `ValidationError`."""
    _environ.set(environ)
    _values.set(values)
    return Settings()  # its sources fill it


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The pair "default" from variables; raises `ConfigError` naming all that are missing."""
    pair: dict[str, Any] = {"name": "default", "ghl": {}, "table": {"type": "airtable"}}
    missing = []
    for (section, key), names in VARIABLES.items():
        name = next((name for name in names if environ.get(name, "").strip()), None)
        if name is None:
            if key not in OPTIONAL:
                missing.append(" or ".join(names))
        elif key == "token":
            pair[section][key] = f"env:{name}"
        elif key == "pipelines":
            pair[section][key] = [one.strip() for one in environ[name].split(",") if one.strip()]
        else:
            pair[section][key] = environ[name]
    if missing:
        raise ConfigError(
            f"There is no configuration file ({DEFAULT_FILE}), and these environment variables are not set: "
            f"{', '.join(missing)}. Set them, or copy config/syncd.example.toml to {DEFAULT_FILE}."
        )
    return {"pair": [pair]}


def _strange_variables(environ: Mapping[str, str]) -> list[str]:
    """A sentence for each SYNCD_… variable that means nothing: most often a slip of the pen."""
    known = [name.upper() for name in SCALARS] + [name.removeprefix(PREFIX) for name in OTHER_VARIABLES]
    return [
        f'Unknown environment variable "{name}"; {_hint(name.removeprefix(PREFIX), known, PREFIX)}'
        for name in sorted(environ)
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known and not OF_KUBERNETES.fullmatch(name)
    ]


def _strange_defaults(defaults: Mapping[str, Any], loc: tuple[str, ...]) -> list[str]:
    """A sentence for each key of [defaults] that no pair has."""
    found = []
    known = [name for name in _keys(("pair", *loc)) if loc or name != "name"]
    for key, value in defaults.items():
        if key not in known:
            place = f"[{'.'.join((DEFAULTS, *loc))}]"
            found.append(f'unknown key "{key}" in {place}; {_hint(key, known)}')
        elif ("pair", *loc, key) in MODELS and isinstance(value, dict):
            found += _strange_defaults(value, (*loc, key))
    return found


def _hint(name: str, known: Sequence[str], prefix: str = "") -> str:
    """The rest of a sentence about an unknown name; `prefix` stands before each name that is shown."""
    close = difflib.get_close_matches(name, known, 1)
    return f'did you mean "{prefix}{close[0]}"?' if close else f"known are {', '.join(prefix + one for one in known)}."


# --- problems as sentences -----------------------------------------------------------------------------------------

MODELS: Final[dict[tuple[str, ...], tuple[type[BaseModel], str]]] = {
    (): (Settings, "the top level"),
    ("pair",): (PairSettings, "[[pair]]"),
    ("pair", "ghl"): (GhlSettings, "[pair.ghl]"),
    ("pair", "table"): (AirtableSettings, "[pair.table]"),
    ("pair", "field"): (FieldSettings, "[[pair.field]]"),
    ("pair", "guard"): (GuardSettings, "[pair.guard]"),
    ("pair", "policy"): (PolicySettings, "[pair.policy]"),
}
OF_TYPE: Final = '"airtable", "workbook" or "google"'


def _keys(names: tuple[str, ...], kind: str = "") -> list[str]:
    """The keys of a section; of a table those of its type, and of all types where that is not known."""
    if names != ("pair", "table"):
        return list(MODELS[names][0].model_fields)
    models = [TABLES[kind]] if kind in TABLES else TABLES.values()
    return list(dict.fromkeys(key for model in models for key in model.model_fields))


MUST: Final = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "tuple_type": 'must be a list such as ["Sales"]',
}
Location: TypeAlias = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class _Problems:
    """Turns pydantic's errors into sentences; `files` is what was read, `path` its main file (None: variables)."""

    files: Files
    path: Path | None
    environ: Mapping[str, str]

    def sentences(self, error: ValidationError) -> list[str]:
        """A sentence for each problem, without the values at fault."""
        found = []
        for one in error.errors(include_url=False, include_input=False):
            kind, loc, context = _untagged(one["type"], one["loc"], one.get("ctx", {}))
            if kind == "extra_forbidden" and self.files.is_default(loc):
                continue  # said already
            text = self._sentence(kind, loc, context, one["msg"])
            source = self._source(loc)
            found += [f"{source}: {line}" if source else line for line in text]
        return list(dict.fromkeys(found))

    def _source(self, loc: Location) -> Path | None:
        """The file that holds what is wrong."""
        of_pair = len(loc) > 1 and loc[0] == "pair" and isinstance(loc[1], int) and not self.files.is_default(loc)
        return self.files.sources[int(loc[1])] if of_pair and self.files.sources else self.path

    def _sentence(self, kind: str, loc: Location, context: Mapping[str, Any], message: str) -> list[str]:
        section, key = self._split(loc)
        place = self._place(section)
        if kind == "missing":
            return [f'"{key}" is missing in {place}.']
        if kind == "extra_forbidden":
            return [self._unknown(section, key, place)]
        said = str(context["error"]) if kind == "value_error" else ""
        if not key:
            said = said or f"must be written as {MODELS[_names(section)][1]}"
            return [f"{place}: {line}." if section else f"{line}." for line in said.split("\n")]
        names = _names(loc)
        if names in MODELS:  # a section written as something else
            return [f"{self._place(loc)}: {said}." if said else f'"{key}" must be written as {MODELS[names][1]}.']
        must = said or MUST.get(kind, message).format_map(context).replace("'", '"')
        if self.files.is_default(loc):
            place = f"[{'.'.join((DEFAULTS, *_names(loc)[1:-1]))}]"
        variable = self._variable(names)
        return [f"{variable} {must}." if variable else f'"{key}" in {place} {must}.']

    @staticmethod
    def _split(loc: Location) -> tuple[Location, str]:
        """The section of a location, and the key in it ("" where the whole section is meant)."""
        for end in range(len(loc), -1, -1):
            if _names(loc[:end]) in MODELS and (end == 0 or isinstance(loc[end - 1], int) or end < len(loc)):
                return loc[:end], str(loc[end]) if end < len(loc) else ""
        return (), ""

    def _place(self, loc: Location) -> str:
        """A section as people would look for it: pair "acme", [pair.ghl]."""
        if not loc:
            return "the top level"
        name = self._named(loc[:2], "name")
        place = f'pair "{name}"' if name else f"pair {int(loc[1]) + 1}"
        if len(loc) == 2:
            return place
        place += f", {MODELS[_names(loc)][1]}"
        if len(loc) == 4:
            crm = self._named(loc, "crm")
            place += f' of "{crm}"' if crm else f" {int(loc[3]) + 1}"
        return place

    def _named(self, loc: Location, key: str) -> str:
        """What the entry at `loc` is called by people, "" where that cannot be said."""
        entry: Any = self.files.values
        for part in loc:
            entry = entry[part]
        name = entry.get(key) if isinstance(entry, dict) else None
        return name if isinstance(name, str) and name.isprintable() else ""

    def _unknown(self, section: Location, key: str, place: str) -> str:
        names, kind = _names(section), self._named(section, "type")
        known = _keys(names, kind)
        if names == ("pair", "table") and key in _keys(names):
            return f'unknown key "{key}" in {place} of type "{kind}"; {_hint(key, known)}'
        homes = [where for names, (_, where) in MODELS.items() if key in _keys(names)]
        if not homes or difflib.get_close_matches(key, known, 1):
            return f'unknown key "{key}" in {place}; {_hint(key, known)}'
        above = "" if homes[0].startswith("[") else ", above the first [[pair]]"
        return f'unknown key "{key}" in {place}; it belongs to {homes[0]}{above}.'

    def _variable(self, names: tuple[str, ...]) -> str:
        """The environment variable that a value came from, "" where it stands in the file."""
        if len(names) == 1 and self.environ.get(PREFIX + names[0].upper()):
            return PREFIX + names[0].upper()
        candidates = VARIABLES.get(names[1:], ()) if self.path is None else ()
        return next((name for name in candidates if self.environ.get(name)), "")


def _untagged(kind: str, loc: Location, context: Mapping[str, Any]) -> tuple[str, Location, Mapping[str, Any]]:
    """An error without the type of table that pydantic adds to the place of what is wrong in one."""
    of_table = _names(loc)[:2] == ("pair", "table")
    if of_table and kind == "union_tag_not_found":
        return "missing", (*loc, "type"), context
    if of_table and kind == "union_tag_invalid":
        return "literal_error", (*loc, "type"), {"expected": OF_TYPE}
    tagged = of_table and len(loc) > 3 and loc[3] in TABLES
    return kind, (*loc[:3], *loc[4:]) if tagged else loc, context


def _names(loc: Location) -> tuple[str, ...]:
    return tuple(part for part in loc if isinstance(part, str))
