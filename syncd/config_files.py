"""Where the configuration stands: its file, the files of `pairs.d` beside it, and `[defaults]` that all pairs share."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "pairs.d"
DEFAULTS: Final = "defaults"


class ConfigError(Exception):
    """The configuration is wrong. The text is one sentence per problem, each a line, for people (exit 2)."""


@dataclass(frozen=True, slots=True)
class Files:
    """What was read: all values, with the defaults in each pair. Of each pair, `sources` is the file it stands in and
    `own` what stands there itself; `defaults` is what [defaults] holds."""

    values: Mapping[str, Any]
    sources: Sequence[Path]
    own: Sequence[Any]
    defaults: Mapping[str, Any]

    def is_default(self, loc: Sequence[int | str]) -> bool:
        """Whether the value at this place (("pair", 0, "table", …)) comes from [defaults]."""
        if len(loc) < 3 or loc[0] != "pair" or not isinstance(loc[1], int) or not self.defaults:
            return False
        shared: Any = self.defaults
        mine: Any = self.own[loc[1]]
        for part in loc[2:]:
            shared = shared.get(part) if isinstance(shared, Mapping) else None
            mine = mine.get(part) if isinstance(mine, Mapping) else None
        return mine is None and shared is not None


def read_files(path: Path) -> Files:
    """The configuration in `path` and in the files beside it. Raises `ConfigError`."""
    values = read_toml(path)
    defaults = values.pop(DEFAULTS, {})
    if not isinstance(defaults, dict):
        raise ConfigError(f'{path}: "{DEFAULTS}" must be written as [{DEFAULTS}].')
    pairs, sources = _pairs(values, path), []
    sources += [path] * len(pairs)
    for other in sorted((path.parent / FOLDER).glob("*.toml")):
        more = read_toml(other)
        strange = sorted(set(more) - {"pair"})
        if strange:
            raise ConfigError(f'{other}: "{strange[0]}" does not belong here; a file of {FOLDER} holds [[pair]] alone.')
        found = _pairs(more, other)
        pairs += found
        sources += [other] * len(found)
    if pairs or "pair" in values:
        values["pair"] = [merged(defaults, pair) for pair in pairs]
    return Files(values, sources, pairs, defaults)


def _pairs(values: Mapping[str, Any], path: Path) -> list[Any]:
    pairs = values.get("pair", [])
    if not isinstance(pairs, list):
        raise ConfigError(f'{path}: "pair" must be written as [[pair]].')
    return list(pairs)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file. Raises `ConfigError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"The configuration file {path} does not exist.") from None
    except OSError as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"The configuration file {path} is not UTF-8 text. Save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and numbers or nesting beyond all bounds
        match = re.fullmatch(r"(.*) \(at (.*)\)", str(error), re.DOTALL)
        what, where = (match[1], match[2]) if match else (str(error), "an unknown line")
        raise ConfigError(f"{path}, {where}: this is not TOML ({what}). Text stands in quotes.") from None


def merged(defaults: Mapping[str, Any], pair: Any) -> Any:
    """A pair with what it does not say itself taken from the defaults: key by key in its sections, and of the columns
    by the field that they are for."""
    if not isinstance(pair, dict):
        return pair
    whole = dict(pair)
    for key, shared in defaults.items():
        mine = pair.get(key)
        if mine is None:
            whole[key] = shared
        elif isinstance(mine, dict) and isinstance(shared, dict):
            whole[key] = merged(shared, mine)
        elif key == "field" and isinstance(mine, list) and isinstance(shared, list):
            named = [one.get("crm") for one in mine if isinstance(one, dict)]
            whole[key] = [one for one in shared if not (isinstance(one, dict) and one.get("crm") in named)] + mine
    return whole


__all__ = ["DEFAULTS", "FOLDER", "ConfigError", "Files", "merged", "read_files", "read_toml"]
