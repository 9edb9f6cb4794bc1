"""Exchange rates that the user gives: with them, and never without, one total across currencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import dlt
import tomlkit
from tomlkit.exceptions import TOMLKitError

from ..errors import ConfigurationError
from ..load.failures import translate_errors

SETTING = "talkover.report.rates"
FORM = 'currency = "EUR", date = 2026-11-20, and a rate for each other currency, such as USD = 0.92'
LARGEST_RATE = 10**9
"""No currency is worth so much of another, and no total comes to more digits than a Decimal keeps."""


@dataclass(frozen=True)
class Rates:
    """What one unit of each currency is worth in `currency`, on a day."""

    currency: str
    date: date
    rates: Mapping[str, Decimal]

    def total(self, costs: Mapping[str, Decimal]) -> Decimal:
        """`costs`, by currency, in one currency. Raises ConfigurationError for a currency without a rate."""
        if missing := sorted(currency for currency in costs if currency not in self.rates):
            raise ConfigurationError(f"rates: no rate for {', '.join(missing)}, of {self.date}. Give one, or no rates")
        return sum((cost * self.rates[currency] for currency, cost in costs.items()), Decimal(0))


def read_rates(file: Path | None) -> Rates | None:
    """The rates in `file`, else in the setting `[talkover.report.rates]`, else None. Raises ConfigurationError."""
    if file is None:
        with translate_errors():
            given: Any = dlt.config.get(SETTING)
        return None if given is None else rates_of(given, SETTING)
    try:
        return rates_of(tomlkit.parse(file.read_text(encoding="utf-8")).unwrap(), str(file))
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not TOML: {error}. Expected: {FORM}") from None


def rates_of(given: Any, where: str) -> Rates:
    """Rates from the names and values of a table of TOML."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{where} is not a table of rates. Expected: {FORM}")
    currency, day = given.get("currency"), given.get("date")
    if not isinstance(currency, str) or not isinstance(day, date):
        raise ConfigurationError(f"{where}: `currency` or `date` is missing, or not a text and a day. Expected: {FORM}")
    rates = {currency: Decimal(1)}
    for name, value in given.items():
        if name in ("currency", "date"):
            continue
        try:
            rates[name] = Decimal(str(value))
        except InvalidOperation:
            raise ConfigurationError(f"{where}: the rate of {name} is not a number: {value!r}") from None
        if not rates[name].is_finite() or not 0 < rates[name] <= LARGEST_RATE:
            raise ConfigurationError(
                f"{where}: the rate of {name} must be above 0 and at most {LARGEST_RATE:,}, but is {value!r}"
            )
    return Rates(currency, day, rates)
