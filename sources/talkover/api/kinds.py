"""The kinds of values: the type of their column, and how one is read, all at once or by itself.

0 and 1 for true and false, "1.00" for money, midnight of an instant for a day, a fractional count of days,
microseconds, MySQL's zero date: what Laravel back ends really send has one meaning each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa

from .dates import read_day, read_days, read_instant, read_seconds, whole_calendar_days, whole_counts, whole_instants
from .money import MONEY_DIGITS, MONEY_PLACES, read_money, whole_money
from .values import read_currency, read_flag, read_id, read_reference, read_text

DataType = Literal["text", "bool", "bigint", "double", "decimal", "date", "timestamp", "json"]
"""What dlt calls the type of a column."""

ARROW: dict[str | None, pa.DataType] = {
    "text": pa.string(),
    "bool": pa.bool_(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "decimal": pa.decimal128(MONEY_DIGITS, MONEY_PLACES),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "json": pa.string(),
}


@dataclass(frozen=True)
class Kind:
    """What the values of a field are.

    `types` are those of Python that `whole` takes, which makes an Arrow column of all values at once or raises a
    ValueError; `read` takes any spelling of one value, with the zone of the API's days, or raises a ValueError that
    says what it must be.
    """

    data_type: DataType
    types: frozenset[type]
    whole: Callable[[Sequence[Any], pa.DataType], pa.Array]
    read: Callable[[Any, tzinfo], Any]

    @property
    def arrow(self) -> pa.DataType:
        return ARROW[self.data_type]

    def column(self, values: Sequence[Any]) -> pa.Array | None:
        """All of `values` as Arrow takes them; None where one is spelled otherwise, or is no such value."""
        if not self.types.issuperset(map(type, values)):
            return None
        try:
            return self.whole(values, self.arrow)
        except (ValueError, OverflowError):
            return None


def data_type_of(value: Any) -> DataType:
    """The type of a column for what `read_unknown` gives."""
    kinds: dict[type, DataType] = {str: "text", float: "double", bool: "bool"}
    return kinds.get(type(value), "json")


def _as_they_are(values: Sequence[Any], arrow: pa.DataType) -> pa.Array:
    return pa.array(values, arrow)


def _none_blank(values: Sequence[Any], arrow: pa.DataType) -> pa.Array:
    if not all(value is None or value.strip() for value in values):
        raise ValueError
    return pa.array(values, arrow)


_NULL = type(None)
ID = Kind("text", frozenset({str}), _none_blank, read_id)
REFERENCE = Kind("text", frozenset({str, _NULL}), _none_blank, read_reference)
TEXT = Kind("text", frozenset({str, _NULL}), _as_they_are, read_text)
CURRENCY = Kind("text", frozenset({str, _NULL}), _none_blank, read_currency)
FLAG = Kind("bool", frozenset({bool, _NULL}), _as_they_are, read_flag)
MONEY = Kind("decimal", frozenset({int, Decimal, _NULL}), whole_money, read_money)
DAYS = Kind("bigint", frozenset({int, _NULL}), whole_counts, read_days)
SECONDS = Kind("bigint", frozenset({int, _NULL}), whole_counts, read_seconds)
DAY = Kind("date", frozenset({str, _NULL}), whole_calendar_days, read_day)
INSTANT = Kind("timestamp", frozenset({str, _NULL}), whole_instants, read_instant)
