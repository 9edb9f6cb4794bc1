"""A listing: its pages as they come, what speaks against their being all, and the whole.

A listing is whole when its rows are as many as the API's total. Without a total it is whole when the API says that
nothing follows; where the API says nothing of other pages, when a look at the next page brings nothing new. An empty
page ends nothing while the API speaks of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .page import Page, Read
from .reading import Json

MAX_EMPTY_PAGES = 100
"""In a row: an API that names a next page after each would be asked for ever."""


@dataclass
class Listing:
    """One whole reading of an endpoint.

    `rows` as they came: an id may stand twice, `distinct` counts it once. They came on `pages` pages, while `answers`
    counts a look past their end, too. `total` is the API's own count, None where it gives none. `problem` is why they
    may not be the whole list, None where they are proven to be; `is_filtered` is whether only some were requested.
    `seen` holds the ids of every reading that was made.
    """

    rows: pa.Table
    pages: int
    answers: int
    total: int | None
    distinct: int
    is_filtered: bool
    problem: str | None
    seen: set[str]
    listed_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @property
    def complete(self) -> bool:
        """Whether a row that it lacks is gone."""
        return self.problem is None and not self.is_filtered

    def holds(self, ids: pa.ChunkedArray | None) -> bool:
        """Whether none of `ids` is missing."""
        if ids is None:
            return True
        are_listed = pc.is_in(ids, value_set=self.rows["id"].combine_chunks())
        return bool(pc.all(are_listed, min_count=0).as_py())


@dataclass
class Pages:
    """The pages of one reading, as they come, of a list that `grows` meanwhile or does not.

    `totals` are those that they name, in their order. `repeats`: a look brought known rows again. `ended`: it brought
    nothing new, and the API spoke of nothing more. `stopped`: why no more are asked for though the API speaks of more.
    """

    grows: bool = False
    tables: list[pa.Table] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    totals: list[int] = field(default_factory=list)
    asked: set[frozenset[tuple[str, str]]] = field(default_factory=set)
    answers: int = 0
    count: int = 0
    empty: int = 0
    repeats: bool = False
    ended: bool = False
    stopped: str | None = None

    @property
    def total(self) -> int | None:
        return max(self.totals, default=None)

    def take(self, page: Page, *, is_look: bool = False) -> None:
        """Adds a page. A look that brought nothing new counts as none."""
        ids = set(page.rows["id"].to_pylist())
        is_new = not ids <= self.seen
        self.answers += 1
        self.empty = 0 if ids else self.empty + 1
        if page.total is not None:
            self.totals.append(page.total)
        if is_new or not is_look:
            self.count += 1
            self.tables.append(page.rows)
            self.seen |= ids
        if ids and not is_new:
            self.stopped = f"page {self.count} holds only rows of the pages before it"
        self.ended = is_look and not is_new and (self.repeats or not page.more)

    def unless_seen(self, read: Read) -> Read:
        """`read`, but of no row where all are known: an API that knows no pages sends everything again."""

        def read_news(rows: Sequence[Json]) -> pa.Table:
            self.repeats = bool(rows) and all(str(row.get("id")) in self.seen for row in rows)
            return read([] if self.repeats else rows)

        return read_news

    def go_on_after(self, last: Page) -> bool:
        """Whether what follows `last`, the latest page, is to be asked for."""
        if last.following is None or self.ended or self.stopped is not None:
            return False
        if last.more is None and self.total is not None and len(self.seen) >= self.total:
            return False
        request = request_of(last.following)
        if request in self.asked:
            self.stopped = f"page {self.answers} names a next page that was requested before"
        elif self.empty > MAX_EMPTY_PAGES:
            self.stopped = f"the last {self.empty} pages were empty, and each announced another"
        self.asked.add(request)
        return self.stopped is None

    def doubt(self, earlier: set[str] | None) -> str | None:
        """Why they may not be the whole list; None where nothing speaks against it."""
        if self.grows and self.totals and len(self.seen) >= self.totals[0]:
            return None
        if len(set(self.totals)) > 1:
            return f"its pages name different totals ({', '.join(map(str, sorted(set(self.totals))))})"
        if len(self.seen) == self.total:
            return None
        pages = "1 page" if self.count == 1 else f"{self.count} pages"
        came = f"{len(self.seen)} distinct rows on {pages}"
        if self.total is not None:
            came += f", but the API's total is {self.total}"
        elif self.stopped is None:
            if self.count == 1 or self.seen == earlier:
                return None
            return f"{came} without a total, and no two attempts agree"
        return f"{came}: {self.stopped}" if self.stopped else came


def request_of(params: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(value)) for name, value in params.items())
