"""Exchange rates that the user gives: one total across currencies, or an error that names what is missing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import dlt
import pytest

from talkover import ConfigurationError
from talkover.report.rates import Rates, rates_of, read_rates

EUR = Rates("EUR", date(2026, 11, 20), {"EUR": Decimal(1), "USD": Decimal("0.92")})


def test_a_total_is_exact() -> None:
    assert EUR.total({"USD": Decimal("10.10"), "EUR": Decimal("0.0001")}) == Decimal("9.2921")
    assert EUR.total({}) == 0


def test_a_currency_without_a_rate_is_named() -> None:
    with pytest.raises(ConfigurationError, match="^rates: no rate for BRL, GBP, of 2026-11-20"):
        EUR.total({"GBP": Decimal(1), "USD": Decimal(1), "BRL": Decimal(1)})


def test_rates_come_from_a_file_or_the_configuration(workspace: Path) -> None:
    text = 'currency = "EUR"\ndate = 2026-11-20\nUSD = 0.92\n'
    Path("rates.toml").write_text(text)
    assert read_rates(Path("rates.toml")) == EUR
    assert read_rates(None) is None
    Path(".dlt").mkdir(exist_ok=True)
    Path(".dlt/config.toml").write_text(f"[talkover.report.rates]\n{text}")
    dlt.current.run_context().reload()
    assert read_rates(None) == EUR


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "^cannot read rates.toml: No such file or directory"),
        ("USD: 1", "^rates.toml is not TOML: "),
        ("USD = 0.92", "^rates.toml: `currency` or `date` is missing"),
        ('currency = "EUR"\ndate = "today"', "^rates.toml: `currency` or `date` is missing, or not a text and a day"),
        ('currency = "EUR"\ndate = 2026-11-20\nUSD = "x"', "^rates.toml: the rate of USD is not a number: 'x'"),
        (
            'currency = "EUR"\ndate = 2026-11-20\nUSD = 0',
            "^rates.toml: the rate of USD must be above 0 and at most 1,000,000,000, but is 0",
        ),
        (
            'currency = "EUR"\ndate = 2026-11-20\nUSD = "1e999999999999"',
            "must be .* at most .*, but is '1e999999999999'",
        ),
        ('currency = "EUR"\ndate = 2026-11-20\nUSD = nan', "^rates.toml: the rate of USD must be above 0"),
    ],
)
def test_rates_that_cannot_be_used_are_one_line(workspace: Path, text: str | None, says: str) -> None:
    if text is not None:
        Path("rates.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=says) as error:
        read_rates(Path("rates.toml"))
    assert "\n" not in str(error.value)


def test_a_setting_that_is_no_table_is_one_line() -> None:
    with pytest.raises(ConfigurationError, match="^here is not a table of rates"):
        rates_of("0.92", "here")
