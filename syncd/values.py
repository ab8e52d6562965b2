"""Canonical values: one form per field type, in which equality is decided (SPEC §1).

A codec reads a raw value of a side into a canonical `Value`, and writes a canonical value as the raw value of a side.
What cannot be read is a `Problem` with a sentence for people; the field then waits and what was typed stays (SPEC
§5).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Protocol, TypeAlias, TypeVar

from syncd.fields import STATUSES
from syncd.model import Raw, Value
from syncd.sides import Column, Pipeline, Stage, User, Vocabulary

MAX_CHOICES_NAMED = 12
THOUSANDS = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Problem:
    """A raw value that has no canonical form. `sentence` says what is wrong and what can be typed instead.

    `person` is false where nobody typed it (a stage that was made a moment ago): it waits without troubling anyone.
    """

    sentence: str
    person: bool = True


Reading: TypeAlias = Value | Problem


def text(raw: object) -> Value:
    """Unicode NFC, white space collapsed and trimmed; empty is None."""
    if raw is None:
        return None
    return " ".join(unicodedata.normalize("NFC", str(raw)).split()) or None


def folded(raw: object) -> str:
    """The form in which labels are matched when first met: canonical text, case-folded ("" for empty)."""
    return unicodedata.normalize("NFC", (text(raw) or "").casefold())


def money(raw: Raw, precision: int) -> Reading:
    """A plain decimal string rounded to `precision` digits; blank is "0", since HighLevel's value knows no empty
    (SPEC §1).
    """
    if isinstance(raw, bool | list):
        return Problem(f"“{clipped(raw)}” is not a number.")
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return "0"
    written = str(raw).strip()
    if THOUSANDS.fullmatch(written):
        written = written.replace(",", "")  # any other comma is no number: 12,50 means different things to people
    try:
        number = Decimal(written)
        # By its digits: even abs() of 1e9999999, which anybody can type, overflows.
        if not number.is_finite() or (number and number.adjusted() >= 15):
            raise InvalidOperation
        rounded = number.quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP)
    except InvalidOperation:
        return Problem(f"“{clipped(raw)}” is not a number that a deal's value can hold.")
    plain = format(rounded, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain == "-0" else plain


def clipped(raw: object, length: int = 60) -> str:
    """`raw` for a sentence: printable, and no longer than `length` characters."""
    shown = "".join(character if character.isprintable() else "·" for character in str(raw))
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def choices(names: Iterable[str]) -> str:
    """Names as a list for a sentence; long lists are cut, but never for a single name."""
    listed = [clipped(text(name) or "(blank)") for name in names]
    if len(listed) > MAX_CHOICES_NAMED + 1:
        listed = [*listed[:MAX_CHOICES_NAMED], f"and {len(listed) - MAX_CHOICES_NAMED} more"]
    return ", ".join(listed)


class Codec(Protocol):
    """Translates one field between the two sides' raw values and its canonical value."""

    def from_crm(self, raw: Raw) -> Reading:
        """The canonical value of what the CRM holds."""

    def from_table(self, raw: Raw, known: Value) -> Reading:
        """The canonical value of a cell; `known` is the deal's value, in whose pipeline a stage is looked up."""

    def to_crm(self, value: Value) -> Raw:
        """What the CRM shall hold."""

    def to_table(self, value: Value) -> Raw:
        """What the cell shall hold: a label for a choice."""

    def show(self, value: Value) -> str:
        """The value for people."""

    def is_blank(self, raw: Raw) -> bool:
        """Whether nothing was typed: the cell is blank (of a stage: its Stage cell)."""

    def has_gap(self, raw: Raw) -> bool:
        """Whether a cell of the field is blank, so that it can be filled from the CRM (SPEC §5)."""


def _blank(raw: Raw) -> bool:
    return raw is None or (isinstance(raw, str) and not raw.strip())


@dataclass(frozen=True, slots=True)
class TextCodec:
    """Free text."""

    column: Column | None = None

    def from_crm(self, raw: Raw) -> Reading:
        return text(raw)

    def from_table(self, raw: Raw, known: Value) -> Reading:
        return text(label_of(raw, self.column))

    def to_crm(self, value: Value) -> Raw:
        return value

    def to_table(self, value: Value) -> Raw:
        return value

    def show(self, value: Value) -> str:
        return value or ""

    def is_blank(self, raw: Raw) -> bool:
        return _blank(raw)

    def has_gap(self, raw: Raw) -> bool:
        return _blank(raw)


@dataclass(frozen=True, slots=True)
class MoneyCodec:
    """The deal's value. `precision` is the column's; `as_text` where the column holds text."""

    precision: int = 2
    as_text: bool = False

    def from_crm(self, raw: Raw) -> Reading:
        return money(raw, self.precision)

    def from_table(self, raw: Raw, known: Value) -> Reading:
        return money(raw, self.precision)

    def to_crm(self, value: Value) -> Raw:
        return _number(value)

    def to_table(self, value: Value) -> Raw:
        return (value or "0") if self.as_text else _number(value)

    def show(self, value: Value) -> str:
        return value or "0"

    def is_blank(self, raw: Raw) -> bool:
        return _blank(raw)

    def has_gap(self, raw: Raw) -> bool:
        return _blank(raw)


def _number(value: Value) -> int | float:
    number = Decimal(value or "0")
    return int(number) if number == number.to_integral_value() else float(number)


def label_of(raw: Raw, column: Column | None) -> Raw:
    """The label behind an option's id; anything else as it is."""
    if column is not None and isinstance(raw, str):
        return column.options.get(raw, raw)
    return raw


@dataclass(frozen=True, slots=True)
class Names:
    """What options were called when first met: option id -> label. A renamed option keeps its meaning (SPEC §1)."""

    first_met: Mapping[str, str] = field(default_factory=dict)

    def met(self, raw: Raw) -> Raw:
        """What a cell's option was called at first; anything else as it is."""
        return self.first_met.get(raw, raw) if isinstance(raw, str) else raw

    def of(self, raw: Raw, column: Column | None) -> list[str]:
        """The folded labels to look up for a cell: what the person saw, then what the option was called at first."""
        now = folded(label_of(raw, column))
        first = folded(self.met(raw)) if isinstance(raw, str) and raw in self.first_met else now
        return [now, first]


@dataclass(frozen=True, slots=True)
class StatusCodec:
    """open, won, lost, abandoned. Never derived from the stage (SPEC §1)."""

    column: Column | None = None
    names: Names = Names()

    def from_crm(self, raw: Raw) -> Reading:
        status = folded(raw)
        return status if status in STATUSES else Problem(f"HighLevel says status “{clipped(raw)}”.", person=False)

    def from_table(self, raw: Raw, known: Value) -> Reading:
        for label in self.names.of(raw, self.column):
            if label in STATUSES:
                return label
        shown = clipped(label_of(raw, self.column))
        return Problem(f"Status “{shown}” does not exist. Choose one of: {choices(STATUSES)}.")

    def to_crm(self, value: Value) -> Raw:
        return value

    def to_table(self, value: Value) -> Raw:
        return value

    def show(self, value: Value) -> str:
        return value or ""

    def is_blank(self, raw: Raw) -> bool:
        return _blank(raw)

    def has_gap(self, raw: Raw) -> bool:
        return _blank(raw)


@dataclass(frozen=True, slots=True)
class OwnerCodec:
    """The user's id; people see the name, with the address where two users share a name."""

    users: tuple[User, ...] = ()
    column: Column | None = None
    names: Names = Names()

    def from_crm(self, raw: Raw) -> Reading:
        return str(raw) if raw else None

    def from_table(self, raw: Raw, known: Value) -> Reading:
        if _blank(raw):
            return None
        labels = self.names.of(raw, self.column)
        for label in labels:
            found = [user for user in self.users if label in self._labels(user)]
            alive = [user for user in found if not user.deleted] or found
            if len(alive) == 1:
                return alive[0].id
        shown = clipped(label_of(raw, self.column))
        listed = choices(self.show(user.id) for user in self.users if not user.deleted)
        return Problem(f"Owner “{shown}” is no single user of this location. Choose one of: {listed}.")

    def _labels(self, user: User) -> set[str]:
        names = (user.id, user.name, user.email, f"{user.name} ({user.email})")
        return {folded(name) for name in names} - {""}

    def knows(self, value: Value) -> bool:
        """Whether this user is in the list."""
        return value is None or any(user.id == value for user in self.users)

    def to_crm(self, value: Value) -> Raw:
        return value

    def to_table(self, value: Value) -> Raw:
        return self.show(value) or None

    def show(self, value: Value) -> str:
        if value is None:
            return ""
        for user in self.users:
            if user.id == value:
                shared = sum(folded(other.name) == folded(user.name) for other in self.users) > 1
                return f"{text(user.name)} ({user.email})" if shared and user.email else (text(user.name) or user.id)
        return value

    def is_blank(self, raw: Raw) -> bool:
        return _blank(raw)

    def has_gap(self, raw: Raw) -> bool:
        return _blank(raw)


Name = TypeVar("Name", Stage, Pipeline)


def _called(one: Name) -> str:
    """A stage's or pipeline's name for a sentence."""
    return clipped(text(one.name))


def _meant(found: list[Name], own: list[Name]) -> Name | None:
    """Which of several names that fold alike is meant: the only one, else the deal's own; else a person must say."""
    for some in (found, [one for one in own if one in found]):
        if len(some) == 1:
            return some[0]
    return None


@dataclass(frozen=True, slots=True)
class StageCodec:
    """Pipeline and stage as one value, "pipelineId:stageId" (SPEC §1, §3.8).

    A cell pair is [pipeline, stage]. Without a Pipeline column, or where that cell is blank, the stage is looked up
    in the deal's own pipeline only.
    """

    pipelines: tuple[Pipeline, ...] = ()
    column: Column | None = None
    pipeline_column: Column | None = None
    names: Names = Names()
    pipeline_names: Names = Names()

    def from_crm(self, raw: Raw) -> Reading:
        if not isinstance(raw, list) or len(raw) != 2 or not all(raw):
            return Problem("HighLevel did not say in which stage the deal is.", person=False)
        return f"{raw[0]}:{raw[1]}"

    def from_table(self, raw: Raw, known: Value) -> Reading:
        cells = raw if isinstance(raw, list) and len(raw) == 2 else [None, None]
        pipeline = self.pipeline(cells[0], known)
        if isinstance(pipeline, Problem):
            return pipeline
        listed = choices(stage.name for stage in pipeline.stages)
        if _blank(cells[1]):
            return Problem(f"Choose a stage of pipeline “{_called(pipeline)}”: {listed}.")
        for label in self.names.of(cells[1], self.column):
            found = [stage for stage in pipeline.stages if folded(stage.name) == label]
            own = [stage for stage in found if known == f"{pipeline.id}:{stage.id}"]
            stage = _meant(found, own)
            if stage is not None:
                return f"{pipeline.id}:{stage.id}"
            if found:
                return Problem(f"Two stages of pipeline “{_called(pipeline)}” are called “{_called(found[0])}”.")
        shown = clipped(label_of(cells[1], self.column))
        return Problem(f"Stage “{shown}” is not in pipeline “{_called(pipeline)}”. Choose one of: {listed}.")

    def pipeline(self, raw: Raw, known: Value) -> Pipeline | Problem:
        """The pipeline that a Pipeline cell names, synced or not; where it is blank the one of `known`."""
        own = [pipeline for pipeline in self.pipelines if pipeline.id == (known or "").partition(":")[0]]
        if self.pipeline_column is None or _blank(raw):
            return own[0] if own else Problem("The deal's pipeline is not known yet.", person=False)
        for label in self.pipeline_names.of(raw, self.pipeline_column):
            found = [pipeline for pipeline in self.pipelines if folded(pipeline.name) == label]
            found = [pipeline for pipeline in found if pipeline.synced] or found
            pipeline = _meant(found, own)
            if pipeline is not None:
                return pipeline
            if found:
                return Problem(f"Two pipelines are called “{_called(found[0])}”. Rename one of them in HighLevel.")
        listed = choices(pipeline.name for pipeline in self.pipelines if pipeline.synced)
        return Problem(
            f"Pipeline “{clipped(label_of(raw, self.pipeline_column))}” does not exist. Choose one of: {listed}."
        )

    def _names(self, value: Value) -> tuple[str, str] | None:
        pipeline_id, _, stage_id = (value or "").partition(":")
        for pipeline in self.pipelines:
            if pipeline.id == pipeline_id:
                for stage in pipeline.stages:
                    if stage.id == stage_id:
                        return text(pipeline.name) or pipeline.id, text(stage.name) or stage.id
        return None

    def knows(self, value: Value) -> bool:
        """Whether this pipeline and stage are in the list that was read."""
        return self._names(value) is not None

    def to_crm(self, value: Value) -> Raw:
        pipeline_id, _, stage_id = (value or "").partition(":")
        return [pipeline_id, stage_id]

    def to_table(self, value: Value) -> Raw:
        names = self._names(value)
        if names is None:
            return [None, None]
        return [names[0] if self.pipeline_column else None, names[1]]

    def only_changed(self, want: Raw, present: Raw) -> Raw:
        """`want` without the cell that shows it already (None: not to be written): equal values are never sent."""
        if not isinstance(want, list) or not isinstance(present, list) or len(present) != 2:
            return want
        shown = (label_of(present[0], self.pipeline_column), label_of(present[1], self.column))
        return [None if folded(old) == folded(new) else new for new, old in zip(want, shown, strict=True)]

    def show(self, value: Value) -> str:
        names = self._names(value)
        return " / ".join(names) if names else (value or "")

    def is_blank(self, raw: Raw) -> bool:
        return not isinstance(raw, list) or len(raw) != 2 or _blank(raw[1])

    def has_gap(self, raw: Raw) -> bool:
        if not isinstance(raw, list) or len(raw) != 2:
            return True
        return _blank(raw[1]) or (self.pipeline_column is not None and _blank(raw[0]))


def codec_for(name: str, columns: Mapping[str, Column], vocabulary: Vocabulary, names: Mapping[str, Names]) -> Codec:
    """The codec of a field, for the columns and names as they are now."""
    column = columns.get(name)
    if name == "stage":
        return StageCodec(
            vocabulary.pipelines,
            column,
            columns.get("pipeline"),
            names.get("stage", Names()),
            names.get("pipeline", Names()),
        )
    if name == "status":
        return StatusCodec(column, names.get("status", Names()))
    if name == "owner":
        return OwnerCodec(vocabulary.users, column, names.get("owner", Names()))
    if name == "value":
        precision = column.precision if column is not None and column.precision is not None else 2
        return MoneyCodec(precision, as_text=column is not None and column.kind == "text")
    return TextCodec(column)
