"""A pair, and what a pass starts from: its columns and names as they are now, and whether they are those of before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from syncd import generation
from syncd.fields import MESSAGE, MESSAGE_COLUMN, PIPELINE, REQUIRED, Field
from syncd.guards import (
    HeldSet,
    swapped,
    unapproved,
)
from syncd.incremental import Memory
from syncd.judge import Ground
from syncd.model import Direction, Side, packed_shadow
from syncd.policy import Limits, Policy
from syncd.sides import CrmSide, Misconfigured, TableSchema, TableSide, Vocabulary
from syncd.store import Store
from syncd.values import Names, codec_for

COARSEST_CLOCK_SECONDS = 1.0  # Airtable's modified times are whole seconds


@dataclass(slots=True)
class Pair:
    """A location and a table that are kept in agreement, with everything a pass needs."""

    name: str
    fields: tuple[Field, ...]
    crm: CrmSide
    table: TableSide
    store: Store
    tie_side: Side = Side.CRM
    skew_seconds: float = 1.0
    read_lag_seconds: float = 60.0
    clock: Callable[[], float] = time.time
    stopping: Callable[[], bool] = lambda: False
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)
    siblings: frozenset[str] = frozenset()  # the names of all pairs of the configuration
    quiet_seconds: float = 0.0  # how long a typed cell must rest; only the daemon waits (SPEC §4)
    parallel: bool = False  # whether both sides may be swept at once, in two threads; the simulation has one
    new_deals: bool = True  # whether a row without an id becomes a deal (SPEC §5)
    memory: Memory | None = None  # of a process that goes on; without it every pass is a full one


def column_problems(gone: Sequence[str], computed: Sequence[str]) -> list[str]:
    """Sentences for a person about columns that cannot be synced."""
    return [
        f"The column “{name}” is gone, so rows cannot say what they need. Make it again."
        if name == MESSAGE_COLUMN
        else f"The column “{name}” is gone, so its values are not carried. Make it again, or set its direction to off."
        for name in gone
    ] + [
        f"The column “{name}” is computed, so it cannot be written and is not synced. Use a plain column, "
        "or set its direction to to_crm or off."
        for name in computed
    ]


def active_fields(fields: Sequence[Field], schema: TableSchema) -> tuple[Field, ...]:
    """The fields that the table has a column for, in order. A computed column is only ever read, and only where the
    configuration says that it goes to the CRM: what a formula shows is no edit of a person.
    """
    return tuple(
        f for f in fields if f.name in schema.columns and f.direction is not Direction.OFF and not _computed(f, schema)
    )


def _computed(field: Field, schema: TableSchema) -> bool:
    kinds = {schema.columns[part].kind for part in _parts(field.name) if part in schema.columns}
    return "computed" in kinds and field.direction is not Direction.TO_CRM


def computed_columns(fields: Sequence[Field], schema: TableSchema) -> tuple[str, ...]:
    """Columns that are configured to be written and cannot be."""
    return tuple(f.columns[-1] for f in fields if f.name in schema.columns and _computed(f, schema))


def gone_columns(pair: Pair, schema: TableSchema) -> tuple[str, ...]:
    """Optional columns that were synced before and are gone (CONTRACT: exit code 3)."""
    before: Mapping[str, str] = pair.store.fact("columns") or {}
    names = {f.name: f.columns[-1] for f in pair.fields}
    names[MESSAGE] = MESSAGE_COLUMN  # another one was named by a person, and must exist
    names[PIPELINE] = next((f.columns[0] for f in pair.fields if f.name == "stage"), PIPELINE)
    return tuple(names[name] for name in before if name in names and name not in schema.columns)


def names_first_met(pair: Pair, schema: TableSchema, *, keep: bool) -> dict[str, Names]:
    """The meaning of each select's options as first met, by field; `keep` stores the new ones (SPEC §1)."""
    known: dict[str, dict[str, str]] = pair.store.fact("options") or {}
    met = {column: dict(options) for column, options in known.items()}
    for column in schema.columns.values():
        for option_id, label in column.options.items():
            met.setdefault(column.id, {}).setdefault(option_id, label)
    if keep:
        pair.store.set_fact("options", met)
    return {name: Names(met.get(column.id, {})) for name, column in schema.columns.items()}


def label_text(vocabulary: Vocabulary, schema: TableSchema) -> dict[str, str]:
    """All names that rows show, by id, and the column that shows the pipelines': where this is unchanged no cell can
    have an old name, or none at all.
    """
    labels = {
        stage.id: f"{pipeline.name}/{stage.name}" for pipeline in vocabulary.pipelines for stage in pipeline.stages
    }
    column = {PIPELINE: schema.columns[PIPELINE].id} if PIPELINE in schema.columns else {}
    return {**labels, **{user.id: f"{user.name}/{user.email}" for user in vocabulary.users}, **column}


def make_ground(pair: Pair, fields: tuple[Field, ...], vocabulary: Vocabulary, schema: TableSchema,
                names: Mapping[str, Names]) -> Ground:  # fmt: skip
    """The ground of all verdicts of this pass."""
    return Ground(
        fields,
        tuple(codec_for(f.name, schema.columns, vocabulary, names) for f in fields),
        {Side.CRM: pair.crm.label, Side.TABLE: pair.table.label},
        pair.tie_side,
        COARSEST_CLOCK_SECONDS + pair.skew_seconds,
        typed=tuple(_typed(f, schema) for f in fields),
        policy=pair.policy,
    )


def _parts(name: str) -> tuple[str, ...]:
    """The columns of a field: the stage has two cells (SPEC §3.8)."""
    return (PIPELINE, name) if name == "stage" else (name,)


def _typed(field: Field, schema: TableSchema) -> bool:
    """Whether people type into the field's cells: texts and numbers."""
    parts = [schema.columns[part] for part in _parts(field.name) if part in schema.columns]
    return any(part.kind in ("text", "number") for part in parts)


@dataclass(slots=True)
class Opened:
    """A pair whose schemas were read: ready to be swept."""

    ground: Ground
    vocabulary: Vocabulary
    schema: TableSchema
    names: Mapping[str, Names]
    gone: tuple[str, ...]
    computed: tuple[str, ...] = ()
    held: list[HeldSet] = field(default_factory=list)  # another table or location than before: nothing may be written


def schemas(pair: Pair, known: Mapping[str, str]) -> tuple[TableSchema, Vocabulary | None]:
    """The table's schema and, where both may be read at once and the columns are known from before, the CRM's names."""
    if not pair.parallel or not known:
        return pair.table.schema(), None
    pair.crm.use([f for f in pair.fields if f.name in known])
    with ThreadPoolExecutor(1, thread_name_prefix="schema") as executor:
        names = executor.submit(pair.crm.schema)
        schema = pair.table.schema()
        return schema, names.result()


def open_pair(pair: Pair, *, keep: bool) -> Opened:
    """Reads both schemas (one or two calls a side) and says which fields can be synced. `keep` remembers column ids."""
    known: Mapping[str, str] = pair.store.fact("columns") or {}
    schema, early = schemas(pair, known)
    held = identities_held(pair, schema.identity, keep=keep)
    keep = keep and not held
    gone = gone_columns(pair, schema)
    fields = active_fields(pair.fields, schema)
    missing = [name for name in REQUIRED if name not in {f.name for f in fields}]
    computed = computed_columns(pair.fields, schema)
    if missing:
        why = f"these are computed: {', '.join(computed)}" if computed else "it has none"
        raise Misconfigured(f"The table needs a plain column for {', '.join(missing)}; {why}.")
    if keep:
        now = {name: column.id for name, column in schema.columns.items()}
        forget_fields(pair, [f.name for f in fields if known.get(f.name, now[f.name]) != now[f.name]])
        pair.store.set_fact("columns", {**known, **now})
    names = names_first_met(pair, schema, keep=keep)
    pair.crm.use(fields)
    pair.table.use(fields)
    users_read = "owner" in known or not any(f.name == "owner" for f in fields)
    vocabulary = early if early is not None and users_read else pair.crm.schema()
    if keep and pair.store.fact("identity") is None:  # not before both could be read: a mistyped one was never synced
        identity = {Side.CRM.value: pair.crm.identity, Side.TABLE.value: schema.identity}
        pair.store.set_fact("identity", identity)
    ground = make_ground(pair, fields, vocabulary, schema, names)
    return Opened(ground, vocabulary, schema, names, gone, computed, held)


def identities_held(pair: Pair, table: str, *, keep: bool) -> list[HeldSet]:
    """What waits for a person because a table or a location was swapped for another (SPEC §4). Once approved, the
    links are made anew by their ids."""
    now = {Side.CRM: pair.crm.identity, Side.TABLE: table}
    resume_renamed(pair, {side.value: name for side, name in now.items()}, keep=keep)
    before: Mapping[str, str] = pair.store.fact("identity") or {}
    labels = {Side.CRM: pair.crm.label, Side.TABLE: pair.table.label}
    sets = [
        swapped(side, labels[side], before[side.value], now[side])
        for side in Side
        if side.value in before and before[side.value] != now[side]
    ]
    approved = [record.set for record in pair.store.held() if record.state == "approved"]
    held = [one for one in sets if unapproved(one, approved).members]
    if keep and not held:
        if sets:
            pair.store.start_anew("The table or the location was swapped for another.", pair.clock())
        if before:
            pair.store.set_fact("identity", {side.value: name for side, name in now.items()})
    return held


def resume_renamed(pair: Pair, identity: Mapping[str, str], *, keep: bool) -> None:
    """A pair that is new by its name, over a table and a location that another one synced, is that one renamed.

    Raises `Misconfigured` where the other one is still configured: two pairs on one table (SPEC §4), also where this
    one was synced with another table before.
    """
    for other, known in pair.store.of_others("identity").items():
        # Whatever their locations are: one would take the other's rows for rows with wrong ids.
        if other in pair.siblings and known.get(Side.TABLE.value) == identity[Side.TABLE.value]:
            raise Misconfigured(f"The pairs “{other}” and “{pair.name}” use the same table; each needs its own.")
    if pair.store.fact("identity") is not None:
        return
    for former in pair.store.pairs_with("identity", identity):
        if not keep:
            pair.store = pair.store.named(former)
            return
        if generation.take_over(pair.store, former):
            return


def forget_fields(pair: Pair, names: Sequence[str]) -> None:
    """Drops the shadow of columns that were made anew: their blank cells are not "all empty" (SPEC §4)."""
    if not names:
        return
    links = []
    for link in pair.store.links().values():
        agreed = {name: value for name, value in link.agreed().items() if name not in names}
        links.append(replace(link, shadow=packed_shadow(agreed, list(agreed))))
    pair.store.put_links(links)
