"""`talkover report --xlsx`: what the report shows as a workbook, for those who go on in a spreadsheet.

    views → one sheet each

Money is a number with the digits of its currency, a day is a day, an instant is one in UTC, and text stays text, also
where it begins with the `+` of a phone number or an `=`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import xlsxwriter
from babel.numbers import get_currency_precision

from ..errors import ReportError
from ..money import UNKNOWN
from ..text import visible
from .account import Account
from .costs import total
from .first_screen import lines
from .kernel import bounded
from .report import replacing

MOST_ROWS = 1_000_000
"""A sheet holds 1,048,576."""
LONGEST_TEXT = 32_767
FIRST_YEAR = 1900
"""A spreadsheet knows no day before it: such a day is text."""
WIDEST = 60
"""Characters of a column."""
OPTIONS = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
TEXT, DAY, INSTANT = "@", "yyyy-mm-dd", "yyyy-mm-dd hh:mm"


@dataclass(frozen=True)
class Sheet:
    """A sheet: its name, and its rows with one column each."""

    name: str
    rows: pd.DataFrame


def sheets(account: Account) -> Iterator[Sheet]:
    """The sheets of the workbook, in their order; costs, changes and usage of the months that the report shows."""
    changes = account.recent(account.view("cost_changes"))
    yield Sheet("Summary", summary(account))
    yield Sheet("Monthly cost", account.recent(account.view("monthly_cost")))
    yield Sheet("Numbers", account.view("current_numbers"))
    yield Sheet("Changes", changes.sort_values("changed_at", ascending=False, kind="stable"))
    yield Sheet("Findings", account.view("findings"))
    yield Sheet("Renewals", account.view("renewals_by_day"))
    yield Sheet("Release requests", account.view("release_request_flow"))
    if account.has_calls:
        usage = account.recent(account.view("number_usage"))
        yield Sheet("Number usage", usage.assign(minutes=usage["minutes"].astype("float64")))  # not money


def summary(account: Account) -> pd.DataFrame:
    """A row a currency: the figures of the report's first screen."""
    now = account.view("monthly_cost")
    now = now[now["month"] == account.months[-1]]
    shown = {line.currency: line for line in lines(account)}
    rows = [
        {
            "currency": currency,
            "monthly_cost": None if shown[str(currency)].cost == UNKNOWN else total(of_currency["closing_cost"]),
            "change_this_month": total(of_currency["closing_cost"] - of_currency["opening_cost"]),
            "numbers": int(of_currency["closing_numbers"].sum()),
            "what_changed": shown[str(currency)].why,
        }
        for currency, of_currency in now.groupby("currency", observed=True, sort=False)
        if str(currency) in shown
    ]
    return pd.DataFrame(rows, columns=["currency", "monthly_cost", "change_this_month", "numbers", "what_changed"])


def write_workbook(account: Account, out: Path) -> None:
    """Writes `out`, whole or not at all. Raises ReportError."""
    try:
        with replacing(out) as part, bounded(), xlsxwriter.Workbook(part, OPTIONS) as book:
            formats = Formats(book)
            for sheet in sheets(account):
                _write(book.add_worksheet(sheet.name), sheet, formats)
    except xlsxwriter.exceptions.XlsxWriterException as error:
        raise ReportError(f"cannot write {out}: {error}") from None


class Formats:
    """The formats of a workbook, made when they are first needed."""

    def __init__(self, book: Any) -> None:
        self._book = book
        self._made: dict[str, Any] = {}
        self.heading = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})

    def of(self, pattern: str) -> Any:
        if pattern not in self._made:
            self._made[pattern] = self._book.add_format({"num_format": pattern})
        return self._made[pattern]

    def money(self, currency: str, amount: Decimal) -> Any:
        """In the digits of `currency`, and never with fewer than `amount` has."""
        places = max(get_currency_precision(currency), -int(amount.normalize().as_tuple().exponent), 0)
        return self.of("#,##0" + ("." + "0" * places if places else ""))


def _write(sheet: Any, of: Sheet, formats: Formats) -> None:
    """Headings stay in view and filter; columns are as wide as what they hold."""
    rows = of.rows.drop(columns=["environment", "group"], errors="ignore")
    left_out, rows = len(rows) - MOST_ROWS, rows.head(MOST_ROWS)
    names = list(rows.columns)
    for place, name in enumerate(names):
        longest = rows[name].astype("string").str.len().max() if len(rows) else 0
        width = max(len(name), 0 if pd.isna(longest) else int(longest)) + 2
        sheet.set_column(place, place, min(width, WIDEST))
    sheet.freeze_panes(1, 1)
    sheet.autofilter(0, 0, max(len(rows), 1), max(len(names) - 1, 0))
    for place, name in enumerate(names):
        sheet.write_string(0, place, name.replace("_", " "), formats.heading)
    for line, row in enumerate(rows.to_dict("records"), start=1):
        for place, name in enumerate(names):
            if row[name] is not None and not pd.isna(row[name]):
                _write_cell(sheet, (line, place), row[name], str(row.get("currency", "")), formats)
    if left_out > 0:
        sheet.write_string(len(rows) + 1, 0, f"and {left_out:,} more, which a sheet has no room for")


def _write_cell(sheet: Any, cell: tuple[int, int], value: Any, currency: str, formats: Formats) -> None:
    if isinstance(value, Decimal):
        sheet.write_number(*cell, float(value), formats.money(currency, value))
    elif isinstance(value, pd.Timestamp) and value.year >= FIRST_YEAR:
        is_instant = value.tzinfo is not None
        day = value.tz_convert("UTC").tz_localize(None) if is_instant else value
        sheet.write_datetime(*cell, day.to_pydatetime(), formats.of(INSTANT if is_instant else DAY))
    elif isinstance(value, bool):
        sheet.write_boolean(*cell, value)
    elif isinstance(value, (int, float)):
        sheet.write_number(*cell, value)
    else:
        sheet.write_string(*cell, visible(str(value))[:LONGEST_TEXT], formats.of(TEXT))
