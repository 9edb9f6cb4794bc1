"""What a value of the API means: text, ids, true and false, and what stands in fields that no page documents.

Null and absent are the same, and so is an empty text where no text belongs. Each reader takes a value and the zone of
the API's days, and raises a ValueError that says what the value must be.
"""

from __future__ import annotations

from datetime import timezone, tzinfo
from decimal import Decimal
from typing import Any

MAX_DEPTH = 50
LARGEST_EXACT_DOUBLE = 2**53


def read_text(value: Any, _: tzinfo = timezone.utc) -> str:
    """`value`, which must be text that UTF-8 can write."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a lone surrogate)") from None
    return value


def read_id(value: Any, _: tzinfo) -> str:
    if type(value) is int:
        return str(value)
    text = read_text(value)
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def read_reference(value: Any, time_zone: tzinfo) -> str | None:
    return None if value == "" else read_id(value, time_zone)


def read_currency(value: Any, time_zone: tzinfo) -> str | None:
    return None if value == "" else read_text(value, time_zone)


def read_flag(value: Any, _: tzinfo) -> bool | None:
    """True and false, or 0 and 1 as a database driver without booleans writes them."""
    if value is True or value is False:
        return bool(value)
    if value == "":
        return None
    if type(value) in (int, str) and value in (0, 1, "0", "1"):
        return value in (1, "1")
    raise ValueError("must be true or false")


def read_unknown(value: Any) -> Any:
    """What JSON holds, without nulls inside.

    A number becomes a double, since PHP writes 5.0 as 5 and a column must not change its type from row to row.
    """
    plain = _read_json(value, 0)
    return float(plain) if type(plain) is int else plain


def _read_json(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        return {read_text(k): _read_json(v, depth + 1) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_read_json(v, depth + 1) for v in value]
    if isinstance(value, str):
        return read_text(value)
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return _read_number(value)
    return value


def _read_number(value: int | Decimal) -> int | float | str:
    """The shortest spelling; text where a double would not be exact."""
    if not -LARGEST_EXACT_DOUBLE <= value <= LARGEST_EXACT_DOUBLE:
        return str(value)
    return int(value) if value == int(value) else float(value)
