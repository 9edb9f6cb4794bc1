"""Instants as people write them."""

from __future__ import annotations

from datetime import date, datetime, time, timezone


def read_instant(given: datetime | date | str) -> datetime:
    """A datetime, a day (its midnight) or ISO 8601 text as an instant in UTC, which is the zone unless one is given.

    Raises ValueError.
    """
    instant: object = given
    if isinstance(given, str):
        try:
            instant = datetime.fromisoformat(given.replace("Z", "+00:00"))
        except ValueError:
            instant = None
    elif isinstance(given, date) and not isinstance(given, datetime):
        instant = datetime.combine(given, time())
    if not isinstance(instant, datetime):
        raise ValueError(f"{given!r} is not an ISO 8601 date or time")
    try:
        return instant.astimezone(timezone.utc) if instant.tzinfo else instant.replace(tzinfo=timezone.utc)
    except OverflowError:
        raise ValueError(f"{given!r} is out of range") from None
