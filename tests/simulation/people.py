"""What people and their automations do. An action is drawn from the state of the world, recorded with all it needs, and
done; replayed in a shorter story it does nothing where its record is not there any more.

To add an action: a class with a name, a share, `draw` and `do`, and a line in ACTIONS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from syncd.fields import STATUSES
from syncd.guards import SEVERAL
from syncd.model import Raw, Side
from syncd.sides import Pipeline, Stage, User
from syncd.store import HeldRecord
from tests.memory import Row
from tests.simulation.ghost import PERSON
from tests.simulation.schedule import Argument

if TYPE_CHECKING:
    from tests.simulation.world import SimWorld

Arguments = tuple[Argument, ...]
NAMES: Final = ("Roof", "roof ", "  ROOF", "Ren\u00e9", "Rene\u0301", "Kitchen and bathroom, second floor", "0")
VALUES: Final[tuple[Raw, ...]] = (0, 1, 100, 99.995, 12.345, 1234567.89)


class Action(Protocol):
    """One kind of thing that people do; `share` names the knob that it belongs to."""

    name: ClassVar[str]
    share: ClassVar[str]
    weight: ClassVar[int]

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        """What would be done now; None where there is nothing to do it to."""

    def do(self, world: SimWorld, *given: Any) -> None:
        """Does it."""


# --- values ----------------------------------------------------------------------------------------------------------


def live_deals(world: SimWorld) -> list[str]:
    """Deals that are there."""
    return [deal for deal, versions in world.crm.deals.items() if versions[-1].values is not None]


def crm_value(world: SimWorld, rng: Random, name: str) -> Raw:
    """Something that a person or workflow puts into a field of a deal."""
    if name == "name":
        if rng.random() < 0.02:
            return ""
        return rng.choice(NAMES) if rng.random() < 0.4 else f"Name {world.serial()}"
    if name == "stage":
        pipeline = rng.choice(world.crm.vocabulary.pipelines if rng.random() < 0.1 else synced(world))
        return [pipeline.id, rng.choice(pipeline.stages).id] if pipeline.stages else None
    if name == "status":
        return rng.choice(STATUSES)
    if name == "value":
        return rng.choice(VALUES) if rng.random() < 0.4 else world.serial()
    if name == "owner":
        return "u9" if rng.random() < 0.04 else rng.choice((None, *(user.id for user in world.crm.vocabulary.users)))
    return rng.choice((None, "web", "ad")) if rng.random() < 0.6 else f"source {world.serial()}"


def synced(world: SimWorld) -> list[Pipeline]:
    """Pipelines in scope."""
    return [pipeline for pipeline in world.crm.vocabulary.pipelines if pipeline.synced]


def existing(world: SimWorld) -> list[Raw]:
    """Every stage as a deal holds it; HighLevel takes no other."""
    return [[p.id, stage.id] for p in world.crm.vocabulary.pipelines for stage in p.stages]


def cells(world: SimWorld, rng: Random, name: str) -> dict[str, Raw]:
    """What a person types into the cell, or the two cells, of a field."""
    if name == "stage":
        pipeline = rng.choice(synced(world))
        both: dict[str, Raw] = {"pipeline": pipeline.name, "stage": rng.choice(pipeline.stages).name}
        some = rng.choice(("both", "both", "stage", "stage", "pipeline", "blank", "wrong"))
        if some in both:
            both = {some: both[some]}
        elif some == "blank":
            both = {rng.choice(("pipeline", "stage")): None}
        elif some == "wrong":
            both = {"stage": "Nope"}
        return {column: raw for column, raw in both.items() if column in world.table.columns}
    if name == "status":
        return {name: rng.choice((*STATUSES, *STATUSES, "Won", None, "Nope"))}
    if name == "owner":
        return {name: rng.choice((None, "Ann", "bob", *(user.name for user in world.crm.vocabulary.users), "Nobody"))}
    if name == "value" and rng.random() < 0.15:
        return {name: None}
    if name == "name" and rng.random() < 0.1:
        return {name: rng.choice((None, "", "  "))}
    return {name: crm_value(world, rng, name)}


def field_drawn(world: SimWorld, rng: Random) -> str:
    """A field; some are edited more often."""
    names = [f.name for f in world.fields if f.name in world.table.columns]
    return rng.choice([*names, "name", "value", "status"])


def again(world: SimWorld, rng: Random, side: Side, record: str, name: str) -> Raw | None:
    """Something that this field held before: people undo what they did."""
    past = world.ghost.raws.get((side, record, name), [])
    column = world.table.columns.get(name)
    if side is Side.TABLE and column is not None and column.kind == "select":
        past = [raw for raw in past if raw in column.options]
    return rng.choice(past[-4:]) if past and rng.random() < 0.3 else None


# --- edits -----------------------------------------------------------------------------------------------------------


class EditDeal:
    """A person edits a field of a deal."""

    name: ClassVar[str] = "edit deal"
    share: ClassVar[str] = ""
    weight: ClassVar[int] = 10

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        deals = live_deals(world)
        if not deals:
            return None
        deal, name = rng.choice(deals), field_drawn(world, rng)
        raw = again(world, rng, Side.CRM, deal, name)
        raw = crm_value(world, rng, name) if raw is None else raw
        return None if raw is None and name in ("stage", "name", "status") else (deal, name, raw)

    def do(self, world: SimWorld, deal: str, name: str, raw: Raw) -> None:
        if deal in live_deals(world) and (name != "stage" or raw in existing(world)):
            world.crm.put(deal, **{name: world.crm.faults.tidy(name, raw)})
            world.ghost.changed(Side.CRM, deal, PERSON)


class EditRow:
    """A person types into a row."""

    name: ClassVar[str] = "edit row"
    share: ClassVar[str] = ""
    weight: ClassVar[int] = 12

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        if not world.table.rows:
            return None
        row, name = rng.choice(list(world.table.rows)), field_drawn(world, rng)
        raw = again(world, rng, Side.TABLE, row, name) if name != "stage" else None
        typed = {name: raw} if raw is not None else cells(world, rng, name)
        return (row, *(part for column, cell in typed.items() for part in (column, cell)))

    def do(self, world: SimWorld, row: str, *typed: Raw) -> None:
        if row in world.table.rows:
            for name, raw in zip(typed[::2], typed[1::2], strict=True):
                column = world.table.columns.get(str(name))
                picked = column is not None and column.options and str(raw).startswith(f"opt{column.id}")
                if picked and column is not None and raw not in column.options:
                    continue  # an option that is gone cannot be picked
                world.table.put(row, None, **{str(name): world.table.faults.tidy(str(name), raw)})
            world.ghost.changed(Side.TABLE, row, PERSON)


class EditBoth:
    """Two people edit the same field of a deal and of its row, one shortly after the other."""

    name: ClassVar[str] = "edit both"
    share: ClassVar[str] = ""
    weight: ClassVar[int] = 5

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        rows = [(row, held.key) for row, held in world.table.rows.items() if held.key in live_deals(world)]
        if not rows:
            return None
        (row, deal), name = rng.choice(rows), field_drawn(world, rng)
        raw, gap = crm_value(world, rng, name), rng.choice((0.0, 0.4, 1.0, 3.0, 9.0))
        if raw is None and name in ("stage", "name", "status"):
            return None
        typed = [part for column, cell in cells(world, rng, name).items() for part in (column, cell)]
        return (rng.choice(("deal", "row")), gap, deal, row, name, raw, *typed)

    def do(
        self, world: SimWorld, first: str, gap: float, deal: str, row: str, name: str, raw: Raw, *typed: Raw
    ) -> None:
        gap = gap if world.pausing else 0.0  # within a pass time is what requests take
        if first == "deal":
            EditDeal().do(world, deal, name, raw)
            world.clock.advance(gap)
            EditRow().do(world, row, *typed)
        else:
            EditRow().do(world, row, *typed)
            world.clock.advance(gap)
            EditDeal().do(world, deal, name, raw)


class TouchDeal:
    """Something that is not synced changes in a deal, which moves its `updatedAt`."""

    name: ClassVar[str] = "touch deal"
    share: ClassVar[str] = ""
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        deals = live_deals(world)
        return (rng.choice(deals),) if deals else None

    def do(self, world: SimWorld, deal: str) -> None:
        if deal in live_deals(world):
            world.crm.put(deal)
            world.ghost.changed(Side.CRM, deal, PERSON)


# --- records ---------------------------------------------------------------------------------------------------------


class AddDeal:
    """A person makes a deal."""

    name: ClassVar[str] = "add deal"
    share: ClassVar[str] = "records"
    weight: ClassVar[int] = 2

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        if len(world.crm.deals) >= 9:
            return None
        names = [f.name for f in world.fields]
        drawn: list[tuple[str, Raw]] = [(name, crm_value(world, rng, name)) for name in names]
        return (f"deal{len(world.crm.deals) + 1}", *(part for pair in drawn for part in pair))

    def do(self, world: SimWorld, deal: str, *given: Raw) -> None:
        values = dict(zip(map(str, given[::2]), given[1::2], strict=True))
        if deal not in world.crm.deals and values["stage"] and values["name"]:
            if values["stage"] not in existing(world):
                return
            world.deal(deal, **{name: world.crm.faults.tidy(name, raw) for name, raw in values.items()})
            world.ghost.changed(Side.CRM, deal, PERSON)


class DropDeal:
    """A person deletes a deal."""

    name: ClassVar[str] = "delete deal"
    share: ClassVar[str] = "records"
    weight: ClassVar[int] = 2

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        deals = live_deals(world)
        return (rng.choice(deals),) if len(deals) > 1 else None

    def do(self, world: SimWorld, deal: str) -> None:
        if deal in live_deals(world):
            world.crm.drop(deal)
            world.ghost.changed(Side.CRM, deal, PERSON)


class RestoreDeal:
    """A person takes a deleted deal back (H55)."""

    name: ClassVar[str] = "restore deal"
    share: ClassVar[str] = "records"
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        gone = [deal for deal in world.crm.deals if deal not in live_deals(world)]
        return (rng.choice(gone),) if gone else None

    def do(self, world: SimWorld, deal: str) -> None:
        if deal in world.crm.deals and deal not in live_deals(world):
            last = next(v.values for v in reversed(world.crm.deals[deal]) if v.values is not None)
            if last.get("stage") not in existing(world):
                last = {**last, "stage": existing(world)[0]}
            world.crm.put(deal, **last)
            world.ghost.changed(Side.CRM, deal, PERSON)


class DropRow:
    """A person deletes a row."""

    name: ClassVar[str] = "delete row"
    share: ClassVar[str] = "records"
    weight: ClassVar[int] = 3

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        return (rng.choice(list(world.table.rows)),) if world.table.rows else None

    def do(self, world: SimWorld, row: str) -> None:
        if row in world.table.rows:
            world.bin[row] = world.table.rows[row]
            world.table.drop(row)
            world.ghost.changed(Side.TABLE, row, PERSON)


class DropRows:
    """A person deletes some rows at once."""

    name: ClassVar[str] = "delete rows"
    share: ClassVar[str] = "records"
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        rows = list(world.table.rows)
        return tuple(rng.sample(rows, rng.choice((2, 3)))) if len(rows) > 4 else None

    def do(self, world: SimWorld, *rows: str) -> None:
        for row in rows:
            DropRow().do(world, row)


class RestoreRow:
    """A person takes a deleted row back from the bin."""

    name: ClassVar[str] = "restore row"
    share: ClassVar[str] = "records"
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        gone = [row for row in world.bin if row not in world.table.rows]
        return (rng.choice(gone),) if gone else None

    def do(self, world: SimWorld, row: str) -> None:
        if row in world.bin and row not in world.table.rows:
            world.table.rows[row] = world.bin[row]
            world.ghost.changed(Side.TABLE, row, PERSON)


# --- keys ------------------------------------------------------------------------------------------------------------


class CopyRow:
    """A person duplicates a row, its key included."""

    name: ClassVar[str] = "copy row"
    share: ClassVar[str] = "keys"
    weight: ClassVar[int] = 2

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        rows = list(world.table.rows)
        return (rng.choice(rows), f"copy-{world.serial()}") if rows and len(rows) < 14 else None

    def do(self, world: SimWorld, row: str, copy: str) -> None:
        if row in world.table.rows and copy not in world.table.rows:
            held = world.table.rows[row]
            second = float(int(world.table.server_now))
            world.table.rows[copy] = Row(dict(held.cells), {}, second, held.key, held.message)
            world.ghost.changed(Side.TABLE, copy, PERSON)


class SetKey:
    """A person clears a key, or types another into its cell; most often where two rows share one."""

    name: ClassVar[str] = "set key"
    share: ClassVar[str] = "keys"
    weight: ClassVar[int] = 4

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        rows = list(world.table.rows)
        if not rows:
            return None
        keys = [held.key for held in world.table.rows.values()]
        twofold = [row for row, held in world.table.rows.items() if held.key and keys.count(held.key) > 1]
        if twofold and rng.random() < 0.6:
            return (rng.choice(twofold), "")
        last = world.lost_keys.get(row := rng.choice(rows), "")
        return (row, rng.choice(("", "", last, "nonsense id", "unknown1", rng.choice(list(world.crm.deals) or [""]))))

    def do(self, world: SimWorld, row: str, key: str) -> None:
        if row in world.table.rows:
            world.lost_keys[row] = world.table.rows[row].key or ""
            world.table.put(row, key)
            world.ghost.changed(Side.TABLE, row, PERSON)


class TypeRow:
    """A person makes a row of their own, without a key or with a deal's."""

    name: ClassVar[str] = "type row"
    share: ClassVar[str] = "keys"
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        if len(world.table.rows) >= 14:
            return None
        key = rng.choice(("", *live_deals(world)))
        return (f"mine-{world.serial()}", key, rng.choice(NAMES))

    def do(self, world: SimWorld, row: str, key: str, name: str) -> None:
        if row not in world.table.rows:
            world.table.put(row, key, name=name)
            world.ghost.changed(Side.TABLE, row, PERSON)


class NewLead:
    """A person types a row that becomes a deal, or nearly so."""

    name: ClassVar[str] = "new lead"
    share: ClassVar[str] = "leads"
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        if len(world.table.rows) >= 14 or len(world.crm.deals) >= 14:
            return None
        number = world.serial()
        known = [person.email for person in world.crm.contacts.values()]
        email = rng.choice(known) if known and rng.random() < 0.3 else f"p{number}@example.com"
        name = rng.choice(NAMES) if rng.random() < 0.2 else f"Lead {number}"
        cells: dict[str, Raw] = {"name": name, "email": email, "pipeline": rng.choice(("Sales", "Sales", "Service"))}
        for column in ("status", "value", "stage", "email", "pipeline"):
            r = rng.random()
            if r < 0.1:
                cells.pop(column, None)
            elif r < 0.4 and column in ("status", "value"):
                cells[column] = "won" if column == "status" else 12.5
        typed = [part for column, raw in cells.items() if column in world.table.columns for part in (column, raw)]
        return (f"lead-{number}", *typed)

    def do(self, world: SimWorld, row: str, *typed: Raw) -> None:
        if row not in world.table.rows:
            cells = dict(zip(map(str, typed[::2]), typed[1::2], strict=True))
            world.table.put(row, None, **{name: world.table.faults.tidy(name, raw) for name, raw in cells.items()})
            world.ghost.changed(Side.TABLE, row, PERSON)


# --- names -----------------------------------------------------------------------------------------------------------


def with_pipelines(world: SimWorld, *changed: Pipeline) -> None:
    """The CRM's pipelines are others now."""
    by_id = {pipeline.id: pipeline for pipeline in changed}
    old = world.crm.vocabulary
    world.crm.vocabulary = replace(old, pipelines=tuple(by_id.get(p.id, p) for p in old.pipelines))
    world.ghost.retold(Side.TABLE, list(world.table.rows))


def stages(world: SimWorld) -> list[tuple[Pipeline, Stage]]:
    """All stages in scope."""
    return [(pipeline, stage) for pipeline in synced(world) for stage in pipeline.stages]


class RenameStage:
    """A person renames a stage, or gives two stages each other's name."""

    name: ClassVar[str] = "rename stage"
    share: ClassVar[str] = "vocabulary"
    weight: ClassVar[int] = 4

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        pipeline, stage = rng.choice(stages(world))
        others = [other.id for other in pipeline.stages if other.id != stage.id]
        if others and rng.random() < 0.4:
            return (pipeline.id, stage.id, rng.choice(others), "")
        return (pipeline.id, stage.id, "", f"Stage {world.serial()}")

    def do(self, world: SimWorld, pipeline: str, stage: str, other: str, name: str) -> None:
        for one in synced(world):
            names = {s.id: s.name for s in one.stages}
            if one.id == pipeline and stage in names and (not other or other in names):
                news = {stage: names[other], other: names[stage]} if other else {stage: name}
                kept = tuple(replace(s, name=news.get(s.id, s.name)) for s in one.stages)
                with_pipelines(world, replace(one, stages=kept))


class RenamePipeline:
    """A person renames a pipeline."""

    name: ClassVar[str] = "rename pipeline"
    share: ClassVar[str] = "vocabulary"
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        return (rng.choice(synced(world)).id, f"Pipeline {world.serial()}")

    def do(self, world: SimWorld, pipeline: str, name: str) -> None:
        for one in synced(world):
            if one.id == pipeline:
                with_pipelines(world, replace(one, name=name))


class DropStage:
    """A person deletes a stage: HighLevel moves its deals to another one of the pipeline (H56)."""

    name: ClassVar[str] = "delete stage"
    share: ClassVar[str] = "vocabulary"
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        pipeline, stage = rng.choice(stages(world))
        return (pipeline.id, stage.id) if len(pipeline.stages) > 1 else None

    def do(self, world: SimWorld, pipeline: str, stage: str) -> None:
        for one in synced(world):
            kept = tuple(s for s in one.stages if s.id != stage)
            if one.id == pipeline and kept and len(kept) < len(one.stages):
                with_pipelines(world, replace(one, stages=kept))
                for deal in live_deals(world):
                    if (world.crm.now(deal) or {}).get("stage") == [pipeline, stage]:
                        world.crm.put(deal, stage=[pipeline, kept[0].id])
                        world.ghost.changed(Side.CRM, deal, PERSON)


class AddStage:
    """A person makes a stage."""

    name: ClassVar[str] = "add stage"
    share: ClassVar[str] = "vocabulary"
    weight: ClassVar[int] = 2

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        number = world.serial()
        return (rng.choice(synced(world)).id, f"x{number}", f"Stage {number}")

    def do(self, world: SimWorld, pipeline: str, stage: str, name: str) -> None:
        for one in synced(world):
            if one.id == pipeline and len(one.stages) < 6:
                with_pipelines(world, replace(one, stages=(*one.stages, Stage(stage, name))))


class RenameUser:
    """A user gets another name."""

    name: ClassVar[str] = "rename user"
    share: ClassVar[str] = "vocabulary"
    weight: ClassVar[int] = 2

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        return (rng.choice(world.crm.vocabulary.users).id, f"User {world.serial()}")

    def do(self, world: SimWorld, user: str, name: str) -> None:
        old = world.crm.vocabulary
        users = tuple(replace(one, name=name) if one.id == user else one for one in old.users)
        world.crm.vocabulary = replace(old, users=users)
        world.ghost.retold(Side.TABLE, list(world.table.rows))


class ListUser:
    """A user whom nobody listed is listed."""

    name: ClassVar[str] = "list user"
    share: ClassVar[str] = "vocabulary"
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        return () if all(user.id != "u9" for user in world.crm.vocabulary.users) else None

    def do(self, world: SimWorld) -> None:
        old = world.crm.vocabulary
        if all(user.id != "u9" for user in old.users):
            world.crm.vocabulary = replace(old, users=(*old.users, User("u9", "Nina")))
            world.ghost.retold(Side.TABLE, list(world.table.rows))


class ChangeOption:
    """A person renames an option of a select, or deletes it, which blanks the cells that hold it."""

    name: ClassVar[str] = "change option"
    share: ClassVar[str] = "vocabulary"
    weight: ClassVar[int] = 3

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        names = [name for name, column in world.table.columns.items() if column.options]
        if not names:
            return None
        name = rng.choice(names)
        option = rng.choice(list(world.table.columns[name].options))
        return (name, option, rng.choice(("", f"Option {world.serial()}")))

    def do(self, world: SimWorld, name: str, option: str, label: str) -> None:
        column = world.table.columns.get(name)
        if column is None or option not in column.options:
            return
        if label:
            world.table.columns[name] = replace(column, options={**column.options, option: label})
            world.ghost.retold(Side.TABLE, list(world.table.rows))
            return
        kept = {one: text for one, text in column.options.items() if one != option}
        world.table.columns[name] = replace(column, options=kept)
        for row, held in world.table.rows.items():
            if held.cells.get(name) == option:
                world.table.put(row, None, **{name: None})
                world.ghost.changed(Side.TABLE, row, PERSON)


# --- what only a person may say -------------------------------------------------------------------------------------


class Approve:
    """A person approves something that is held."""

    name: ClassVar[str] = "approve"
    share: ClassVar[str] = "answers"
    weight: ClassVar[int] = 5

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        waiting = [record for record in world.sim_store.held() if record.state == "held"]
        return (rng.randrange(len(waiting)),) if waiting and not world.in_transaction else None

    def do(self, world: SimWorld, nth: int) -> None:
        waiting = [record for record in world.sim_store.held() if record.state == "held"]
        if waiting and not world.in_transaction:
            approve(world, waiting[nth % len(waiting)])


class Toggle:
    """Two automations that do not agree: a row's status goes to and fro."""

    name: ClassVar[str] = "toggle"
    share: ClassVar[str] = "toggles"
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        rows = sorted(row for row, held in world.table.rows.items() if held.key)
        return (rows[0],) if rows else None

    def do(self, world: SimWorld, row: str) -> None:
        if row in world.table.rows:
            now = world.table.shown(row, "status")
            EditRow().do(world, row, "status", "won" if now == "open" else "open")


class Resume:
    """A person lets a frozen deal go on."""

    name: ClassVar[str] = "resume"
    share: ClassVar[str] = "answers"
    weight: ClassVar[int] = 1

    def draw(self, world: SimWorld, rng: Random) -> Arguments | None:
        deals = live_deals(world)
        return (rng.choice(deals),) if deals and not world.in_transaction else None

    def do(self, world: SimWorld, deal: str) -> None:
        if not world.in_transaction:
            resume(world, deal)


def approve(world: SimWorld, record: HeldRecord) -> None:
    """Says yes to exactly what was shown."""
    several = record.set.field == SEVERAL
    world.quietly(lambda: world.sim_store.answer_held(record.digest, "refused" if several else "approved"))
    members = record.set.members
    world.ghost.approved |= {(record.set.side, record.set.field, one.record, one.old, one.new) for one in members}


def resume(world: SimWorld, deal: str) -> None:
    """Lets a deal go on."""
    world.ghost.resumed[deal] = world.clock()
    world.quietly(partial(world.sim_store.resume, deal, world.clock()))


def answer_all(world: SimWorld) -> None:
    """A patient person approves whatever is held, and lets everything go on."""
    for record in world.sim_store.held():
        if record.state == "held":
            approve(world, record)
    for deal in sorted({deal for deal, _ in world.sim_store.frozen()}):
        resume(world, deal)


ACTIONS: Final[dict[str, Action]] = {
    action.name: action
    for action in (
        EditDeal(), EditRow(), EditBoth(), TouchDeal(), AddDeal(), DropDeal(), RestoreDeal(), DropRow(), DropRows(),
        RestoreRow(),
        CopyRow(), SetKey(), TypeRow(), RenameStage(), RenamePipeline(), DropStage(), AddStage(), RenameUser(),
        ListUser(), ChangeOption(), Approve(), Resume(), Toggle(), NewLead(),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawn:
    """An action that was drawn."""

    action: Action
    arguments: Arguments


def draw_action(world: SimWorld, rng: Random, *, edits_only: bool = False) -> Drawn | None:
    """What somebody does next: mostly edits; other things as the knobs say."""
    share = ""
    if not edits_only:
        r = rng.random()
        for knob in ("vocabulary", "keys", "records", "answers", "toggles", "leads"):
            rate: float = getattr(world.knobs, knob)
            if r < rate:
                share = knob
                break
            r -= rate
    actions = [action for action in ACTIONS.values() if action.share == share]
    action = rng.choices(actions, [one.weight for one in actions])[0]
    arguments = action.draw(world, rng)
    return None if arguments is None else Drawn(action, arguments)
