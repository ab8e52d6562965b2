"""The few formulas that the local Google Sheets works out: arithmetic, comparison, texts, and a handful of functions.

Anything else gives #NAME? or #ERROR!, as a mistyped formula does in the real one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from .sheets_grid import CellError, Scalar, letters, number

if TYPE_CHECKING:
    from .sheets_grid import Tab

DEEPEST: Final = 40
_TOKEN = re.compile(
    r'\s*(?:(?P<text>"(?:[^"]|"")*")|(?P<number>\d+(?:\.\d+)?)|(?P<error>\#[A-Z]+[!?])'
    r"|(?P<range>\$?[A-Z]{1,3}\$?\d+:\$?[A-Z]{1,3}\$?\d+)|(?P<cell>\$?[A-Z]{1,3}\$?\d+(?![\w(]))"
    r"|(?P<name>[A-Za-z][\w.]*)|(?P<sign><=|>=|<>|[-+*/&=<>(),;]))"
)
REF, NAME, VALUE, DIVIDE, ERROR, LOADING = (
    CellError("REF", "#REF!"),
    CellError("NAME", "#NAME?"),
    CellError("VALUE", "#VALUE!"),
    CellError("DIVIDE_BY_ZERO", "#DIV/0!"),
    CellError("ERROR", "#ERROR!"),
    CellError("LOADING", "Loading..."),
)


class _Failed(Exception):
    def __init__(self, error: CellError) -> None:
        super().__init__(error.text)
        self.error = error


def evaluate(tab: Tab, formula: str, depth: int = 0) -> Scalar | CellError:
    """What a formula gives, as a value or an error; a circle of formulas is #REF!."""
    try:
        if depth > DEEPEST:
            raise _Failed(REF)
        return _Parser(tab, formula[1:], depth).whole()
    except _Failed as failed:
        return failed.error


class _Parser:
    def __init__(self, tab: Tab, text: str, depth: int) -> None:
        self._tab, self._depth = tab, depth
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if not found:
                raise _Failed(ERROR)
            self._tokens.append((str(found.lastgroup), found.group(str(found.lastgroup))))
            at = found.end()

    def whole(self) -> Scalar:
        value = self._compared()
        if self._tokens:
            raise _Failed(ERROR)
        return value

    def _sign(self, *signs: str) -> str:
        if self._tokens and self._tokens[0][0] == "sign" and self._tokens[0][1] in signs:
            return self._tokens.pop(0)[1]
        return ""

    def _compared(self) -> Scalar:
        left = self._joined()
        while sign := self._sign("=", "<>", "<", ">", "<=", ">="):
            right = self._joined()
            if sign in ("=", "<>"):
                left = (left == right) == (sign == "=")
            else:
                pair = _number(left), _number(right)
                left = pair[0] < pair[1] if sign[0] == "<" else pair[0] > pair[1]
                left = left or (len(sign) == 2 and pair[0] == pair[1])
        return left

    def _joined(self) -> Scalar:
        left = self._sum()
        while self._sign("&"):
            left = _text(left) + _text(self._sum())
        return left

    def _sum(self) -> Scalar:
        left = self._product()
        while sign := self._sign("+", "-"):
            right = _number(self._product())
            left = _number(left) + (right if sign == "+" else -right)
        return left

    def _product(self) -> Scalar:
        left = self._one()
        while sign := self._sign("*", "/"):
            right = _number(self._one())
            if sign == "/" and not right:
                raise _Failed(DIVIDE)
            left = _number(left) * right if sign == "*" else _number(left) / right
        return left

    def _one(self) -> Scalar:
        if self._sign("-"):
            return -_number(self._one())
        if self._sign("("):
            value = self._compared()
            self._expect(")")
            return value
        if not self._tokens:
            raise _Failed(ERROR)
        kind, text = self._tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace('""', '"')
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "cell":
            return self._at(text)
        if kind == "error":
            raise _Failed(REF if text == "#REF!" else VALUE)
        if kind == "name" and text.upper() in ("TRUE", "FALSE"):
            return text.upper() == "TRUE"
        if kind == "name" and self._sign("("):
            return self._call(text.upper())
        raise _Failed(NAME if kind == "name" else ERROR)

    def _expect(self, sign: str) -> None:
        if not self._sign(sign):
            raise _Failed(ERROR)

    def _at(self, text: str) -> Scalar:
        found = re.fullmatch(r"\$?([A-Z]+)\$?(\d+)", text)
        assert found is not None  # the token is of this form
        row, column = int(found[2]) - 1, number(found[1])
        if row >= self._tab.row_count or column >= self._tab.column_count:
            raise _Failed(REF)
        value = self._tab.shown(row, column, self._depth + 1)
        if isinstance(value, CellError):
            raise _Failed(value)
        return value

    def _call(self, name: str) -> Scalar:
        if name not in _FUNCTIONS:
            raise _Failed(NAME)
        arguments: list[Scalar] = []
        while not self._sign(")"):
            if self._tokens and self._tokens[0][0] == "range":
                arguments += self._range(self._tokens.pop(0)[1])
            else:
                arguments.append(self._compared())
            if not self._sign(",", ";") and (not self._tokens or self._tokens[0] != ("sign", ")")):
                raise _Failed(ERROR)
        try:
            value: Scalar = _FUNCTIONS[name](arguments)
        except (IndexError, TypeError):
            raise _Failed(CellError("N_A", "#N/A")) from None
        return value

    def _range(self, text: str) -> list[Scalar]:
        cells = [re.fullmatch(r"\$?([A-Z]+)\$?(\d+)", one) for one in text.split(":")]
        corners = [(int(one[2]), number(one[1])) for one in cells if one]
        (top, left), (bottom, right) = corners
        return [
            self._at(f"{letters(column)}{row}") for row in range(top, bottom + 1) for column in range(left, right + 1)
        ]


def _number(value: Scalar) -> int | float:
    if value is None or isinstance(value, bool):
        return int(bool(value))
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise _Failed(VALUE) from None
    return value


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return "" if value is None else str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _loading(_arguments: list[Scalar]) -> Scalar:
    raise _Failed(LOADING)


_FUNCTIONS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "SUM": lambda found: sum(_number(one) for one in found if not isinstance(one, str)),
    "CONCATENATE": lambda found: "".join(_text(one) for one in found),
    "UPPER": lambda found: _text(found[0]).upper(),
    "TRIM": lambda found: " ".join(_text(found[0]).split()),
    "LEN": lambda found: len(_text(found[0])),
    "IF": lambda found: found[1] if found[0] else found[2] if len(found) > 2 else False,
    "IMPORTRANGE": _loading,
}
