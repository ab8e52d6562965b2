"""Airtable's formula language, as far as `filterByFormula` needs it (reference/airtable.md §§2, 3).

A formula is read into a tree (cached per text), then bound to a table as nested Python functions. A formula that names
an unknown column or function, or is no formula, is `InvalidFormula` and fails the call; one that errs on a row is
`FormulaError`, and that row is silently left out.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from .airtable_formula_functions import FUNCTIONS, FormulaError, Instant, Value, compare, equal, number, text, truthy
from .airtable_model import Field, Row, Table
from .airtable_values import DATE_TYPES, TEXT_TYPES, last_modified, parse_instant, reader

Evaluate: TypeAlias = Callable[[Row], Value]
_MAX_DEPTH = 4  # how many formula columns may stand on one another


class InvalidFormula(ValueError):
    """The formula cannot be used at all; the message is the part after Airtable's own introduction."""

    def __init__(self, message: str = "Invalid formula. Please check your formula text.") -> None:
        super().__init__(message)


# --- the tree ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A string or a number."""

    value: str | int | float


@dataclass(frozen=True, slots=True)
class FieldRef:
    """`{Name}`, `{fldXXXXXXXXXXXXXX}` or a bare name."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments; the name is in upper case."""

    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands around one of = != < <= > >= & + - * /."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Negated:
    """A minus sign before an operand."""

    operand: Node


Node: TypeAlias = Literal | FieldRef | Call | Binary | Negated

# --- reading ----------------------------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<number>\d+(?:\.\d+)?|\.\d+)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<field>\{(?:[^}\\]|\\.)*\})
      | (?P<name>[^\W\d]\w*)
      | (?P<sign>!=|<=|>=|[=<>&+\-*/(),])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
# From loosest to tightest, as in a spreadsheet.
_LEVELS: Final = (("=", "!=", "<", "<=", ">", ">="), ("&",), ("+", "-"), ("*", "/"))


def _tokens(formula: str) -> Iterator[tuple[str, str]]:
    at = 0
    while True:
        match = _TOKEN.match(formula, at)
        if match is None or match.lastgroup is None:
            raise InvalidFormula
        yield match.lastgroup, match.group(match.lastgroup)
        if match.lastgroup == "end":
            return
        at = match.end()


def _unescaped(quoted: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), quoted[1:-1], flags=re.DOTALL)


class _Parser:
    def __init__(self, formula: str) -> None:
        self._tokens = list(_tokens(formula))
        self._at = 0

    def whole(self) -> Node:
        found = self._level(0)
        if self._peek()[0] != "end":
            raise InvalidFormula
        return found

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at]

    def _next(self) -> tuple[str, str]:
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes(self, sign: str) -> bool:
        if self._peek() != ("sign", sign):
            return False
        self._at += 1
        return True

    def _level(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._operand()
        left = self._level(level + 1)
        while self._peek()[0] == "sign" and self._peek()[1] in _LEVELS[level]:
            sign = self._next()[1]
            left = Binary(sign, left, self._level(level + 1))
        return left

    def _operand(self) -> Node:
        if self._takes("-"):
            return Negated(self._operand())
        if self._takes("("):
            inner = self._level(0)
            if not self._takes(")"):
                raise InvalidFormula
            return inner
        kind, found = self._next()
        if kind == "number":
            return Literal(float(found) if "." in found else int(found))
        if kind == "string":
            return Literal(_unescaped(found))
        if kind == "field":
            return FieldRef(_unescaped(found))
        if kind == "name":
            return Call(found.upper(), self._arguments()) if self._takes("(") else FieldRef(found)
        raise InvalidFormula

    def _arguments(self) -> tuple[Node, ...]:
        if self._takes(")"):
            return ()
        found = [self._level(0)]
        while self._takes(","):
            found.append(self._level(0))
        if not self._takes(")"):
            raise InvalidFormula
        return tuple(found)


@lru_cache(maxsize=256)
def parse(formula: str) -> Node:
    """The tree of a formula. InvalidFormula where it is none."""
    try:
        return _Parser(formula).whole()
    except RecursionError:
        raise InvalidFormula from None


# --- binding to a table -----------------------------------------------------------------------------------------------

_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_TEXTUAL: Final = TEXT_TYPES | {"singleSelect"}


class _Binder:
    """Turns a tree into functions of a row of one table."""

    def __init__(self, table: Table, *, blank_dates_fail: bool, depth: int = 0) -> None:
        self._table = table
        self._blank_dates_fail = blank_dates_fail
        self._depth = depth
        self._readers: dict[str, Evaluate] = {}

    def bind(self, node: Node) -> Evaluate:
        if isinstance(node, Literal):
            value = node.value
            return lambda row: value
        if isinstance(node, FieldRef):
            return self.column(self.field(node.name))
        if isinstance(node, Negated):
            inner = self.bind(node.operand)
            return lambda row: -number(inner(row))
        if isinstance(node, Binary):
            return self._binary(node)
        return self._call(node)

    def field(self, name: str) -> Field:
        """The column that a formula names. InvalidFormula, the name in lower case as in Airtable, if unknown."""
        found = self._table.field(name)
        if found is None:
            raise InvalidFormula(f"Unknown field names: {name.lower()}")
        return found

    def column(self, field: Field) -> Evaluate:
        if field.id not in self._readers:
            self._readers[field.id] = self._read_column(field)
        return self._readers[field.id]

    def _read_column(self, field: Field) -> Evaluate:
        if field.type == "formula":
            return self._formula_column(field)
        plain = reader(self._table, field)
        if field.type in DATE_TYPES:
            return lambda row: None if (found := plain(row)) is None else Instant(parse_instant(found))
        if field.type == "multipleSelects":
            return lambda row: ", ".join(found) if (found := plain(row)) else None
        if field.type in ("multipleRecordLinks", "multipleAttachments", "multipleCollaborators", "singleCollaborator"):
            return lambda row: None if (found := plain(row)) is None else str(found)
        return plain

    def _formula_column(self, field: Field) -> Evaluate:
        if self._depth >= _MAX_DEPTH:
            return _failing
        inner = _Binder(self._table, blank_dates_fail=self._blank_dates_fail, depth=self._depth + 1)
        try:
            return inner.bind(parse(str((field.options or {}).get("formula", ""))))
        except InvalidFormula:
            return _failing

    def _binary(self, node: Binary) -> Evaluate:
        sign, left, right = node.operator, self.bind(node.left), self.bind(node.right)
        if sign == "=":
            return lambda row: equal(left(row), right(row))
        if sign == "!=":
            return lambda row: not equal(left(row), right(row))
        if sign == "&":
            return lambda row: text(left(row)) + text(right(row))
        if sign in _ARITHMETIC:
            compute = _ARITHMETIC[sign]
            return lambda row: _arithmetic(compute, left(row), right(row))
        return lambda row: compare(sign, left(row), right(row))

    def _call(self, node: Call) -> Evaluate:
        special = _SPECIAL.get(node.name)
        if special is not None:
            return special(self, node)
        known = FUNCTIONS.get(node.name)
        if known is None:
            raise InvalidFormula(f"Unknown function names: {node.name}")
        if not known.fewest <= len(node.args) <= known.most:
            raise InvalidFormula
        call = known.call
        if node.name in ("IS_AFTER", "IS_BEFORE", "IS_SAME") and not self._blank_dates_fail:
            call = _blank_is_false(call)
        args = [self.bind(one) for one in node.args]
        if _constant(node):
            return _once(call, args)
        if len(args) == 1:
            only = args[0]
            return lambda row: call(only(row))
        if len(args) == 2:
            first, second = args
            return lambda row: call(first(row), second(row))
        return lambda row: call(*[one(row) for one in args])

    def if_(self, node: Call) -> Evaluate:
        """IF computes only the branch that it takes."""
        if len(node.args) not in (2, 3):
            raise InvalidFormula
        condition, yes = self.bind(node.args[0]), self.bind(node.args[1])
        no: Evaluate = self.bind(node.args[2]) if len(node.args) == 3 else lambda row: None
        return lambda row: yes(row) if truthy(condition(row)) else no(row)

    def is_error(self, node: Call) -> Evaluate:
        if len(node.args) != 1:
            raise InvalidFormula
        inner = self.bind(node.args[0])

        def evaluate(row: Row) -> Value:
            try:
                inner(row)
            except FormulaError:
                return True
            return False

        return evaluate

    def last_modified_time(self, node: Call) -> Evaluate:
        """LAST_MODIFIED_TIME() of any column, or of those named; blank where none was ever written."""
        fields = [self.field(one.name) for one in node.args if isinstance(one, FieldRef)]
        if len(fields) != len(node.args):
            raise InvalidFormula
        if len(fields) == 1:  # the form that a sync asks for, over every row
            only = fields[0].id
            return lambda row: None if (at := row.modified.get(only)) is None else Instant(at)
        watched = [field.id for field in fields] or None
        return lambda row: None if (at := last_modified(row, watched)) is None else Instant(at)

    def or_(self, node: Call) -> Evaluate:
        """OR of every argument, without a short cut: an error in any of them is an error of the whole.

        Comparisons of one text with many constants become one look-up in a set.
        """
        if not node.args:
            raise InvalidFormula
        wanted: dict[Node, set[str]] = {}
        others: list[Evaluate] = []
        for one in node.args:
            if found := self._text_equals(one):
                wanted.setdefault(found[0], set()).add(found[1])
            else:
                others.append(self.bind(one))
        parts = [*(_member(self.bind(left), values) for left, values in wanted.items()), *others]
        if len(parts) == 1:
            only = parts[0]
            return lambda row: truthy(only(row))
        return lambda row: True in [truthy(part(row)) for part in parts]

    def _text_equals(self, node: Node) -> tuple[Node, str] | None:
        """The text expression and the constant of `text = "constant"`; None for anything else."""
        if not isinstance(node, Binary) or node.operator != "=":
            return None
        left, right = (node.right, node.left) if isinstance(node.left, Literal) else (node.left, node.right)
        if not isinstance(right, Literal) or not isinstance(right.value, str) or not right.value:
            return None
        is_text = left == _RECORD_ID or (isinstance(left, FieldRef) and self.field(left.name).type in _TEXTUAL)
        return (left, right.value) if is_text else None


def _member(left: Evaluate, wanted: set[str]) -> Evaluate:
    return lambda row: left(row) in wanted


def _failing(row: Row) -> Value:
    raise FormulaError


def _once(call: Callable[..., Value], args: list[Evaluate]) -> Evaluate:
    """A function of constants, computed once; it errs on every row, or on none."""
    try:
        value = call(*[one(_NO_ROW) for one in args])
    except FormulaError:
        return _failing
    return lambda row: value


def _constant(node: Node) -> bool:
    if isinstance(node, Call):
        return node.name in FUNCTIONS and all(_constant(one) for one in node.args)
    return isinstance(node, Literal)


def _arithmetic(compute: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    try:
        return compute(number(left), number(right))  # type: ignore[no-any-return]
    except (ZeroDivisionError, OverflowError):
        raise FormulaError from None


def _blank_is_false(call: Callable[..., Value]) -> Callable[..., Value]:
    return lambda *args: False if None in args else call(*args)


def _without_arguments(evaluate: Evaluate) -> Callable[[_Binder, Call], Evaluate]:
    def bind(_: _Binder, node: Call) -> Evaluate:
        if node.args:
            raise InvalidFormula
        return evaluate

    return bind


_NO_ROW = Row("", 0, 0.0)
_RECORD_ID = Call("RECORD_ID", ())
_SPECIAL: Final[dict[str, Callable[[_Binder, Call], Evaluate]]] = {
    "CREATED_TIME": _without_arguments(lambda row: Instant(row.created)),
    "ERROR": lambda binder, node: _failing,
    "IF": _Binder.if_,
    "ISERROR": _Binder.is_error,
    "LAST_MODIFIED_TIME": _Binder.last_modified_time,
    "OR": _Binder.or_,
    "RECORD_ID": _without_arguments(lambda row: row.id),
}


# --- using it ---------------------------------------------------------------------------------------------------------


def _possible(node: Node) -> frozenset[str] | None:
    """The ids of the only rows that a formula can keep, where its RECORD_ID() comparisons say so; else None."""
    if isinstance(node, Binary) and node.operator == "=":
        sides = (node.left, node.right)
        texts = [one.value for one in sides if isinstance(one, Literal) and isinstance(one.value, str)]
        return frozenset(texts) if _RECORD_ID in sides and texts else None
    if isinstance(node, Call) and node.name in ("AND", "OR"):
        sets = [_possible(one) for one in node.args]
        known = [one for one in sets if one is not None]
        if node.name == "AND" and known:
            return frozenset.intersection(*known)
        if node.name == "OR" and known and len(known) == len(sets):
            return frozenset.union(*known)
    return None


def evaluator(formula: str, table: Table, *, blank_dates_fail: bool = True) -> Evaluate:
    """A function that computes `formula` for a row; it raises FormulaError where Airtable shows #ERROR!."""
    try:
        return _Binder(table, blank_dates_fail=blank_dates_fail).bind(parse(formula))
    except RecursionError:
        raise InvalidFormula from None


def kept(formula: str, table: Table, ids: Iterable[str], *, blank_dates_fail: bool = True) -> list[str]:
    """Those of `ids` whose row `formula` keeps, in their order: its result is not 0, false, blank, NaN or an error."""
    evaluate = evaluator(formula, table, blank_dates_fail=blank_dates_fail)
    possible = _possible(parse(formula))
    if possible is not None:
        ids = [one for one in ids if one in possible]
    rows = table.rows
    found = []
    for one in ids:
        try:
            if truthy(evaluate(rows[one])):
                found.append(one)
        except FormulaError:
            continue
    return found
