"""A page on its way to a table, and the values on it that are not what their field holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from decimal import Decimal
from typing import Any

from ..errors import InvalidRow

Json = dict[str, Any]
NameColumn = Callable[[str], str]
"""Gives the column of a field that no page documents."""


@dataclass(frozen=True)
class Misfit:
    """A value that is not what its field holds: the row's place on the page, and the field within the row."""

    position: int
    path: str
    what: str
    value: str


@dataclass
class Reading:
    """One page on its way to a table. `asked` names the request, `taken` are columns that no unknown field may fill."""

    asked: str
    rows: Sequence[Json]
    time_zone: tzinfo
    name_column: NameColumn
    taken: Collection[str]
    misfits: list[Misfit] = field(default_factory=list)

    def refuse_misfits(self) -> None:
        """Raises InvalidRow for the first one, by row."""
        if not self.misfits:
            return
        first = min(self.misfits, key=lambda misfit: misfit.position)
        more = f" (and {len(self.misfits) - 1} more misfits)" if len(self.misfits) > 1 else ""
        raise InvalidRow(
            f"{self.asked}: row {first.position} of a page, id {quote(self.rows[first.position].get('id'))}: "
            f"{first.path[:200]} {first.what}, but is {first.value}{more}. "
            "Nothing was loaded. If the API is right, please report this; the next good run loads everything"
        )


@dataclass
class Objects:
    """Objects of one resource, and where on the page each stands: the row's place, and the path to it."""

    rows: Sequence[Json]
    place: Callable[[int], tuple[int, str]]


def misfit(objects: Objects, index: int, name: str, what: str, value: str) -> Misfit:
    position, prefix = objects.place(index)
    return Misfit(position, prefix + (name if name.isidentifier() else quote(name)), what, value)


def quote(value: Any) -> str:
    """`value` as an error shows it: short, and on one line of ASCII whatever it holds."""
    text = str(value) if isinstance(value, Decimal) else ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
