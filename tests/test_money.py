"""Amounts are written in the digits of their currency, and none that an amount has is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from talkover.money import digits, money, signed, signed_mean


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        ("1234.5000", "EUR", "1,234.50 EUR"),
        ("3.3750", "KWD", "3.375 KWD"),
        ("3.0000", "KWD", "3.000 KWD"),
        ("110.0000", "JPY", "110 JPY"),
        ("990.0000", "CLP", "990 CLP"),
        ("0.0000", "JPY", "0 JPY"),
        ("110.5000", "JPY", "110.5 JPY"),
        ("1.1250", "USD", "1.125 USD"),
        ("0.0045", "USD", "0.0045 USD"),
        ("-0.0045", "USD", "-0.0045 USD"),
        ("99999999999999.9999", "USD", "99,999,999,999,999.9999 USD"),
        ("1.0000", "Gold", "1.00 Gold"),
        ("1.1250", "Gold", "1.125 Gold"),
        ("2.5000", "US$", "2.50 US$"),
        ("1.1250", "", "1.125"),
        ("1.0000", "unknown", "1.00"),
        ("1.0000", None, "1.00"),
    ],
)
def test_an_amount_has_the_digits_of_its_currency_and_all_of_its_own(
    amount: str, currency: str | None, written: str
) -> None:
    assert money(Decimal(amount), currency) == written


@pytest.mark.parametrize("nothing", [None, float("nan"), Decimal("nan")])
def test_an_amount_that_is_not_told_says_so(nothing: Any) -> None:
    assert money(nothing, "EUR") == digits(nothing, "EUR") == "unknown"


@pytest.mark.parametrize(
    ("amount", "written"),
    [("3.88", "+3.880 KWD"), ("-3.88", "-3.880 KWD"), ("0", "0.000 KWD"), ("-0.0005", "-0.0005 KWD")],
)
def test_a_difference_has_its_sign(amount: str, written: str) -> None:
    assert signed(Decimal(amount), "KWD") == written


@pytest.mark.parametrize(
    ("currency", "written"), [("USD", "+1,000.67 USD"), ("KWD", "+1,000.667 KWD"), ("JPY", "+1,001 JPY")]
)
def test_a_mean_is_rounded_to_the_digits_of_its_currency(currency: str, written: str) -> None:
    assert signed_mean(3002 / 3, currency) == written
    assert signed_mean(-3002 / 3, currency) == written.replace("+", "-")


def test_the_machine_s_locale_changes_nothing() -> None:
    settings = os.environ | {"LC_ALL": "de_DE.UTF-8", "LANG": "hi_IN.UTF-8"}
    code = "from decimal import Decimal; from talkover.money import money; print(money(Decimal('1234567.5'), 'EUR'))"
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True)
    assert done.stdout == "1,234,567.50 EUR\n"
