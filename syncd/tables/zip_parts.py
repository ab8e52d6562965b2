"""A zip file whose entries can be replaced one by one: every other entry is copied byte for byte, compressed as it is,
in the same order. `zipfile` could only write all of them anew. Source: APPNOTE.TXT 6.3, sections 4.3 and 4.4.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

LIMIT: Final = 512 * 1024 * 1024  # bytes of one part, unpacked; a sheet of a million full rows stays below it
_END: Final = struct.Struct("<4s4H2LH")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _DESCRIPTOR = 0x1, 0x8


class BadZip(Exception):
    """Not a zip file that can be edited. `cut` says that it looks like one of which the end is missing."""

    def __init__(self, sentence: str, *, cut: bool = False) -> None:
        super().__init__(sentence)
        self.cut = cut


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the directory describes it. `record` is its whole directory record; `start` and `end` bound what
    stands for it before the directory.
    """

    name: str
    record: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    start: int
    end: int


class Parts:
    """The entries of a zip file that is held in memory."""

    def __init__(self, data: bytes) -> None:
        """Raises `BadZip`."""
        self._data = data
        self._directory, self._tail, entries = _directory(data)
        self._entries = {entry.name: entry for entry in entries}
        # Part names are matched without regard to case (ECMA-376 part 2, 6.2.2.3).
        self._folded = {name.lower(): name for name in self._entries}
        if len(self._folded) != len(entries):
            raise BadZip("two of its parts have the same name")

    def names(self) -> list[str]:
        """Names of all entries, in the directory's order."""
        return list(self._entries)

    def find(self, name: str) -> str | None:
        """The entry's name as it is written; None where there is no such entry."""
        return self._folded.get(name.lower())

    def size(self, name: str) -> int:
        """Its unpacked size in bytes, as the directory says."""
        return self._entries[name].size

    def read(self, name: str) -> bytes:
        """An entry's content. Raises `BadZip` where it is damaged, encrypted or too large, `KeyError` where missing."""
        entry = self._entries[name]
        if entry.flags & _ENCRYPTED:
            raise BadZip(f"its part {name} is encrypted")
        if entry.size > LIMIT:
            raise BadZip(f"its part {name} is larger than {LIMIT // 1024**2} MB")
        packed = self._packed(entry)
        if entry.method == _STORED:
            content = packed
        elif entry.method == _DEFLATED:
            content = _inflated(packed, entry)
        else:
            raise BadZip(f"its part {name} is packed in a way that syncd does not know")
        if len(content) != entry.size or zlib.crc32(content) != entry.crc:
            raise BadZip(f"its part {name} is damaged", cut=True)
        return content

    def _packed(self, entry: Entry) -> bytes:
        lengths = _LOCAL.unpack_from(self._data, entry.start)[9:11]
        begin = entry.start + _LOCAL.size + sum(lengths)
        if begin + entry.packed > entry.end:
            raise BadZip(f"its part {entry.name} is damaged", cut=True)
        return self._data[begin : begin + entry.packed]

    def with_parts(self, changed: Mapping[str, bytes]) -> bytes:
        """The file with new content for these entries, each of which exists."""
        pieces: list[bytes | memoryview] = []
        records: dict[str, bytes] = {}
        view, at, copied = memoryview(self._data), 0, 0
        for entry in sorted(self._entries.values(), key=lambda one: one.start):
            pieces.append(view[copied : entry.start])  # what stands between two entries, usually nothing
            at += entry.start - copied
            copied = entry.end
            local: bytes | memoryview
            if entry.name in changed:
                local, record = _packed_anew(entry, changed[entry.name], at)
            else:
                local, record = view[entry.start : entry.end], _moved(entry.record, at)
            pieces.append(local)
            records[entry.name] = record
            at += len(local)
        pieces.append(view[copied : self._directory])
        at += self._directory - copied
        directory = b"".join(records[name] for name in self._entries)
        if at + len(directory) >= 0xFFFFFFFF:
            raise BadZip("it would become larger than 4 GB")
        count = len(records)
        comment = self._tail[_END.size :]
        end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), at, len(comment))
        return b"".join([*pieces, directory, end, comment])


def _inflated(packed: bytes, entry: Entry) -> bytes:
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return unpack.decompress(packed, entry.size + 1)  # one more than it may have: a bomb shows, and goes no further
    except zlib.error as error:
        raise BadZip(f"its part {entry.name} is damaged", cut=True) from error


def _moved(record: bytes, offset: int) -> bytes:
    return record[:42] + struct.pack("<L", offset) + record[46:]


def _packed_anew(entry: Entry, content: bytes, offset: int) -> tuple[bytes, bytes]:
    """Local header with data, and directory record, of an entry with new content."""
    fields = list(_CENTRAL.unpack_from(entry.record))
    name = entry.record[_CENTRAL.size : _CENTRAL.size + fields[10]]
    comment = entry.record[_CENTRAL.size + fields[10] + fields[11] :]
    method = _DEFLATED if entry.method == _DEFLATED else _STORED
    packed = content
    if method == _DEFLATED:
        pack = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = pack.compress(content) + pack.flush()
    flags = fields[3] & ~_DESCRIPTOR  # sizes stand in the header, so none follows the data
    crc = zlib.crc32(content)
    local = _LOCAL.pack(
        b"PK\3\4", 20, flags, method, fields[5], fields[6], crc, len(packed), len(content), len(name), 0
    )
    # The extra field (times of other systems, sizes of 64 bits, padding) describes the old data: left out.
    fields[3:5] = [flags, method]
    fields[7:10] = [crc, len(packed), len(content)]
    fields[11] = 0
    fields[16] = offset
    return b"".join((local, name, packed)), _CENTRAL.pack(*fields) + name + comment


def _directory(data: bytes) -> tuple[int, bytes, list[Entry]]:
    """Where the directory starts, the file's last record with its comment, and the entries."""
    at = data.rfind(b"PK\5\6", max(0, len(data) - _END.size - 0xFFFF))
    if at < 0 or at + _END.size > len(data):
        raise BadZip("it is not a zip file" if data[:2] != b"PK" else "its end is missing", cut=data[:2] == b"PK")
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(data, at)
    if 0xFFFFFFFF in (size, start) or count == 0xFFFF:
        raise BadZip("it is larger than 4 GB, or has more than 65,534 parts")
    if disk or first_disk or here != count or start + size != at or at + _END.size + comment != len(data):
        raise BadZip("its list of parts does not fit the file", cut=True)
    entries: list[Entry] = []
    position = start
    for _ in range(count):
        entry = _entry(data, position, at)
        entries.append(entry)
        position += len(entry.record)
    if position != at:
        raise BadZip("its list of parts does not fit the file", cut=True)
    return start, data[at:], _bounded(data, entries, start)


def _entry(data: bytes, position: int, end: int) -> Entry:
    if position + _CENTRAL.size > end or data[position : position + 4] != b"PK\1\2":
        raise BadZip("its list of parts is damaged", cut=True)
    fields = _CENTRAL.unpack_from(data, position)
    length = _CENTRAL.size + sum(fields[10:13])
    record = data[position : position + length]
    if position + length > end or 0xFFFFFFFF in (fields[8], fields[9], fields[16]):
        raise BadZip("its list of parts is damaged", cut=True)
    name = record[_CENTRAL.size : _CENTRAL.size + fields[10]].decode(
        "utf-8" if fields[3] & 0x800 else "cp437", "replace"
    )
    return Entry(name, record, fields[3], fields[4], fields[7], fields[8], fields[9], fields[16], 0)


def _bounded(data: bytes, entries: list[Entry], directory: int) -> list[Entry]:
    """The entries with the end of each: data, and the descriptor that may follow them. None may overlap another."""
    starts = sorted(entry.start for entry in entries)
    if len(set(starts)) != len(starts):
        raise BadZip("its parts overlap", cut=True)
    following = dict(zip(starts, [*starts[1:], directory], strict=True))
    bounded = []
    for entry in entries:
        end = following[entry.start]
        if entry.start + _LOCAL.size > end or data[entry.start : entry.start + 4] != b"PK\3\4":
            raise BadZip("its list of parts does not fit the file", cut=True)
        if entry.start + _LOCAL.size + entry.packed > end:
            raise BadZip("its parts overlap", cut=True)
        bounded.append(replace(entry, end=end))
    return bounded
