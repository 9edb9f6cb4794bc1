"""Days, instants, and counts of days and seconds, as Laravel and MySQL write them too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .values import read_text

MOST = 1_000_000
"""Days or seconds."""

UTC = timezone.utc
_FIRST_DAY, _LAST_DAY = date.min, date.max
_FIRST_INSTANT, _LAST_INSTANT = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_IS_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,9}))?)?"
    r"(?:([Zz])|([+-][0-9]{2})(?::?([0-5][0-9]))?)?)?"
).fullmatch
# For PHP month 0 and day 0 of the year 0 are November 30 of the year before, in UTC the 29th in half of the world. It
# writes that year with four digits, Laravel with six.
_IS_NO_DATE = re.compile(r"(0000-00-00|-0+1-11-(29|30))([T ].*)?").fullmatch


def read_days(value: Any, _: tzinfo) -> int | None:
    """Whole days: newer Laravel writes 14.37 where older wrote 14, and the count would change with every request."""
    return _whole(value, "days")


def read_seconds(value: Any, _: tzinfo) -> int | None:
    """Whole seconds."""
    return _whole(value, "seconds")


def _whole(value: Any, what: str) -> int | None:
    if value == "":
        return None
    if type(value) not in (int, str, Decimal):
        raise ValueError(f"must be a number of {what}")
    try:
        count = Decimal(value)
        is_too_many = not -MOST <= count <= MOST
    except InvalidOperation:
        raise ValueError(f"must be a number of {what}") from None
    if is_too_many:
        raise ValueError(f"is more than a million {what}")  # never made an int: 1e999999999 would take hours
    return int(count)


def whole_counts(values: Sequence[Any], arrow: pa.DataType) -> pa.Array:
    return _within(pa.array(values, arrow), -MOST, MOST)


def _within(column: pa.Array, first: Any, last: Any) -> pa.Array:
    """`column`, none of whose values is before `first` or after `last`: Arrow counts further than the type means."""
    ends = pc.min_max(column)
    is_outside = pc.or_(
        pc.less(ends["min"], pa.scalar(first, column.type)), pc.greater(ends["max"], pa.scalar(last, column.type))
    )
    if is_outside.as_py():
        raise ValueError
    return column


def read_instant(value: Any, _: tzinfo) -> datetime | None:
    """ISO 8601, in UTC. The API states its instants in UTC; one without an offset is taken for that."""
    text = read_text(value)
    return None if _tells_no_date(text) else _in_utc(_instant_of(text))


def _tells_no_date(text: str) -> bool:
    return not text or _IS_NO_DATE(text) is not None


def _instant_of(text: str) -> datetime:
    """The instant by its own clock. What is finer than a microsecond is dropped: no database holds it."""
    found = _INSTANT(text)
    if found is None:
        raise ValueError("must be an ISO 8601 date")
    day, hour, minute, second, fraction, utc, hours, minutes = found.groups()
    clock = f"{hour or '00'}:{minute or '00'}:{second or '00'}.{(fraction or '')[:6]:0<6}"
    offset = "+00:00" if utc else f"{hours}:{minutes or '00'}" if hours else ""
    try:
        return datetime.fromisoformat(f"{day}T{clock}{offset}")
    except ValueError:
        raise ValueError("must be an ISO 8601 date that the calendar has") from None


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


def whole_instants(values: Sequence[Any], arrow: pa.DataType) -> pa.Array:
    return _within(pc.cast(pa.array(values, pa.string()), arrow), _FIRST_INSTANT, _LAST_INSTANT)


def read_day(value: Any, time_zone: tzinfo) -> date | None:
    """A plain day, or the instant at which it begins: Laravel has no plain days, and writes every instant in UTC."""
    text = read_text(value)
    if _tells_no_date(text):
        return None
    instant = _instant_of(text)
    return instant.date() if _IS_DAY(text) else _day_that_begins(instant, time_zone)


def _day_that_begins(instant: datetime, time_zone: tzinfo) -> date:
    """The day that begins at `instant`: by its own clock or, where it is in UTC, by that of `time_zone`."""
    if instant.time() == time.min and instant.utcoffset() != timedelta():
        return instant.date()
    instant = _in_utc(instant)
    try:
        there = instant.astimezone(time_zone)
        begins = datetime.combine(there, time.min, time_zone).astimezone(UTC)  # where clocks skip midnight, right after
    except OverflowError:
        raise ValueError("is out of range") from None
    if begins != instant:
        raise ValueError(
            f"must be a day, or midnight in the zone of the API's days (setting time_zone: {time_zone}, "
            f"where it is {there})"
        )
    return there.date()


def whole_calendar_days(values: Sequence[Any], arrow: pa.DataType) -> pa.Array:
    return _within(pc.cast(pa.array(values, pa.string()), arrow), _FIRST_DAY, _LAST_DAY)
