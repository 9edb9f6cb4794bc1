"""An amount of money, exactly: decimal(18,4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import pyarrow as pa

MONEY_PLACES = 4
MONEY_DIGITS = 18
"""An amount that needs more is an error, not a rounding."""

EXACT_DIGITS_OF_A_DOUBLE = 15

_CENT = Decimal(1).scaleb(-MONEY_PLACES)
_FLOAT_NOISE = Decimal("1e-15")
# Noise that reaches it, in amounts beyond 10 billion, cannot be told from a digit.
_FIFTH_PLACE = _CENT / 10
_IS_JSON_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch


def read_money(value: Any, _: tzinfo) -> Decimal | None:
    if type(value) not in (int, str, Decimal) or (isinstance(value, str) and not _IS_JSON_NUMBER(value)):
        if value == "":
            return None
        raise ValueError("must be an amount")
    return _exact_money(value)


@lru_cache(maxsize=4096)
def _exact_money(value: int | str | Decimal) -> Decimal:
    """An exact amount; what a binary float adds behind its 15th digit (0.30000000000000004) is no money.

    PHP with `serialize_precision = 100` writes all the digits of a float: fifty and more.
    """
    try:
        amount = Decimal(value)
    except InvalidOperation:  # an exponent of more than 18 digits
        raise ValueError("must be an amount") from None
    if not amount.is_finite():
        raise ValueError("must be an amount")
    try:
        cents = amount.quantize(_CENT)
    except InvalidOperation:
        cents = None
    if cents is None or len(cents.as_tuple().digits) > MONEY_DIGITS:
        raise ValueError(f"has more than {MONEY_DIGITS - MONEY_PLACES} digits before the point")
    if amount != cents and not _is_float_noise(amount, cents):
        raise ValueError(f"has more than {MONEY_PLACES} digits after the point")
    return cents + 0  # -0 is 0


def _is_float_noise(amount: Decimal, cents: Decimal) -> bool:
    size = max(abs(amount), Decimal(1))
    return len(amount.as_tuple().digits) > EXACT_DIGITS_OF_A_DOUBLE and abs(amount - cents) < min(
        size * _FLOAT_NOISE, _FIFTH_PLACE
    )


def whole_money(values: Sequence[Any], arrow: pa.DataType) -> pa.Array:
    """Arrow would write out an exponent of a billion."""
    return pa.array([None if value is None else _exact_money(value) for value in values], arrow)
