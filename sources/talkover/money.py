"""Amounts as a reader wants them: in the digits of their currency, and never with fewer than they have."""

from __future__ import annotations

from decimal import Decimal
from math import isnan

from babel.numbers import format_currency

from .text import visible

UNKNOWN = "unknown"
PATTERN = "#,##0.00"
"""Babel puts the currency's own digits in the place of the two."""


def digits(amount: Decimal | None, currency: str | None) -> str:
    """`1,234.50` euros, `110` yen, `3.375` Kuwaiti dinars; of a currency that nobody knows two digits or more."""
    if amount is None or isnan(amount):
        return UNKNOWN
    return format_currency(amount, currency or "", PATTERN, locale="en_US", decimal_quantization=False)


def money(amount: Decimal | None, currency: str | None) -> str:
    """`1,234.50 EUR`."""
    return _of(digits(amount, currency), currency)


def signed(amount: Decimal, currency: str | None) -> str:
    """`+3.88 USD`, `-3.88 USD`, `0.00 USD`."""
    return ("+" if amount > 0 else "") + money(amount, currency)


def signed_mean(amount: float, currency: str | None) -> str:
    """As `signed`, of what was worked out: rounded to the currency's digits."""
    rounded = format_currency(amount, currency or "", f"+{PATTERN};-{PATTERN}", locale="en_US")
    return _of(rounded, currency)


def _of(amount: str, currency: str | None) -> str:
    is_known = amount != UNKNOWN and currency not in (None, "", UNKNOWN)
    return f"{amount} {visible(str(currency))}" if is_known else amount
