"""The search index of the local HighLevel: a projection that lags behind the records (reference/ghl.md §3.4).

Search's default order is createdAt descending, then contact id; between rows that share both the order is that of
indexing, so that an edit may move a row within its tie, and no cursor can tell them apart (reference/ghl.md §3.2).
"""

from __future__ import annotations

import heapq
import json
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .data import Record

Key: TypeAlias = tuple[int, str, int, str]  # minus createdAt in ms, contact id, order of indexing, deal id


@dataclass(slots=True)
class Doc:
    """One deal as search knows it, with its contact as it was then. `deal` and `contact` are never changed in place."""

    deal: Record
    contact: Record
    key: Key = (0, "", 0, "")
    _bytes: dict[bool, bytes] = field(default_factory=dict)

    def row(self, v3: bool, render: Callable[[Doc, bool], Record]) -> bytes:
        """The row as JSON without its closing brace, so that `sort` can be put after it; made once."""
        found = self._bytes.get(v3)
        if found is None:
            found = json.dumps(render(self, v3), ensure_ascii=False, separators=(",", ":")).encode()[:-1]
            self._bytes[v3] = found
        return found


class Index:
    """Documents by id, in default order, whole and per pipeline; writes become visible when their time has come."""

    def __init__(self) -> None:
        self.docs: dict[str, Doc] = {}
        self.version = 0  # counts visible changes; what was computed under another version is out of date
        self._orders: dict[str | None, list[Key]] = {None: []}
        self._queue: list[tuple[float, int, str, Doc | None]] = []
        self._applied: dict[str, int] = {}
        self._count = 0

    def load(self, docs: Iterable[Doc]) -> None:
        """Fills the empty index at once."""
        for doc in docs:
            self._place(doc)
            self._orders[None].append(doc.key)
            self._orders.setdefault(doc.deal["pipelineId"], []).append(doc.key)
        for order in self._orders.values():
            order.sort()

    def put(self, deal_id: str, doc: Doc | None, visible_at: float) -> None:
        """Queues a write, or with None a deletion, for `visible_at` (epoch seconds)."""
        self._count += 1
        heapq.heappush(self._queue, (visible_at, self._count, deal_id, doc))

    def advance(self, now: float) -> None:
        """Makes visible what is due. A write that is visible already is not undone by an older, slower one."""
        while self._queue and self._queue[0][0] <= now:
            _, number, deal_id, doc = heapq.heappop(self._queue)
            if number > self._applied.get(deal_id, 0):
                self._applied[deal_id] = number
                self._apply(deal_id, doc)

    def keys(self, pipeline_id: str | None) -> list[Key]:
        """The keys in default order, of one pipeline or (None) of all. Not to be changed by the caller."""
        return self._orders.get(pipeline_id, [])

    def _place(self, doc: Doc) -> None:
        self._count += 1
        deal: dict[str, Any] = doc.deal
        doc.key = (-deal["createdAt"], deal["contactId"], self._count, deal["id"])
        self.docs[deal["id"]] = doc

    def _apply(self, deal_id: str, doc: Doc | None) -> None:
        self.version += 1
        old = self.docs.pop(deal_id, None)
        if old is not None:
            for order in (self._orders[None], self._orders[old.deal["pipelineId"]]):
                del order[bisect_left(order, old.key)]
        if doc is not None:
            self._place(doc)
            insort(self._orders[None], doc.key)
            insort(self._orders.setdefault(doc.deal["pipelineId"], []), doc.key)
