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
class FieldError:
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
    errors: list[FieldError] = field(default_factory=list)

    def raise_errors(self) -> None:
        """Raises InvalidRow for the first one, by row."""
        if not self.errors:
            return
        first = min(self.errors, key=lambda error: error.position)
        others = len(self.errors) - 1
        more = f" ({others} more {'error' if others == 1 else 'errors'})" if others else ""
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


def field_error(objects: Objects, index: int, name: str, what: str, value: str) -> FieldError:
    position, prefix = objects.place(index)
    return FieldError(position, prefix + (name if name.isidentifier() else quote(name)), what, value)


def quote(value: Any) -> str:
    """`value` as an error shows it: short, and on one line of ASCII whatever it holds."""
    text = str(value) if isinstance(value, Decimal) else ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
