"""`talkover report --xlsx`: the report's figures in a workbook that spreadsheets open as they are meant."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from talkover import NothingLoaded, ReportError, read_view
from talkover.report.account import Account as Analysed
from talkover.report.workbook import sheets, write_workbook
from talkover.sandbox import Account, Sandbox
from talkover.sync.tables import KEYS

from .conftest import TABLES, TODAY, Connector, at
from .test_views import number

pytestmark = pytest.mark.duckdb
SHEETS = ["Summary", "Monthly cost", "Numbers", "Changes", "Findings", "Renewals", "Release requests"]


def rows_of(book: Any, name: str) -> list[dict[str, Any]]:
    heading, *rows = book[name].iter_rows()
    return [{title.value: cell for title, cell in zip(heading, row, strict=True)} for row in rows]


@pytest.fixture
def book(workspace: Path) -> Iterator[Any]:
    """The workbook of an account with text that a spreadsheet would act on."""
    account = Account(size=0, founded=TODAY)
    account.numbers = {
        "dollars": number("dollars", number="+15550100", monthly_renewal_cost="1.50", renewal_date="2026-12-31"),
        "yen": number("yen", number="+8150", currency="JPY", monthly_renewal_cost="110", current_status="suspended"),
        "fine": number("fine", number="+9650", currency="KWD", monthly_renewal_cost="1.1250"),
        "formula": number("formula", number='=HYPERLINK("http://x","y")', country_code="@SUM(1)", type="-1+1"),
        "unpriced": number("unpriced", monthly_renewal_cost=None),
        "unknown": number("unknown", monthly_renewal_cost=None, currency=None),
        "old": number("old", renewal_date="1850-02-01", created_at="1850-01-01T10:00:00Z"),
    }
    with Sandbox(account) as sandbox:
        connector = Connector(sandbox)
        connector.load(observed_at=at("2026-01-05T00:00:00"))
        account.numbers["new"] = number("new", monthly_renewal_cost="0.25")
        connector.load()
    write_workbook(Analysed(), workspace / "out.xlsx")
    with closing(openpyxl.load_workbook(workspace / "out.xlsx")) as opened:
        yield opened


def test_money_is_a_number_in_the_digits_of_its_currency(book: Any) -> None:
    numbers = {row["phone number id"].value: row for row in rows_of(book, "Numbers")}
    shown = {id: (row["monthly cost"].value, row["monthly cost"].number_format) for id, row in numbers.items()}
    assert shown["dollars"] == (1.5, "#,##0.00")
    assert shown["yen"] == (110, "#,##0")
    assert shown["fine"] == (1.125, "#,##0.000")
    assert shown["unpriced"] == (None, "General")


def test_text_stays_text_and_dates_are_dates(book: Any) -> None:
    numbers = {row["phone number id"].value: row for row in rows_of(book, "Numbers")}
    for id, column, text in (
        ("dollars", "phone number", "+15550100"),
        ("formula", "phone number", '=HYPERLINK("http://x","y")'),
        ("formula", "country code", "@SUM(1)"),
        ("formula", "type", "-1+1"),
    ):
        cell = numbers[id][column]
        assert (cell.value, cell.data_type) == (text, "s")
        assert cell.hyperlink is None
    day = numbers["dollars"]["renewal date"]
    assert (str(day.value), day.number_format) == ("2026-12-31 00:00:00", "yyyy-mm-dd")
    assert (numbers["old"]["renewal date"].value, numbers["old"]["renewal date"].data_type) == (
        "1850-02-01 00:00:00",
        "s",
    )
    instants = [row["changed at"].value for row in rows_of(book, "Changes")]
    assert str(min(instants)) == "2026-01-05 00:00:00"


def test_figures_are_those_of_the_views(book: Any) -> None:
    assert book.sheetnames == SHEETS
    month = read_view("monthly_cost")
    now = month[month["month"] == month["month"].max()].set_index("currency")
    summary = {row["currency"].value: row for row in rows_of(book, "Summary")}
    assert summary.pop("unknown")["monthly cost"].value is None, "it is no 0"
    assert {currency: Decimal(str(row["monthly cost"].value)) for currency, row in summary.items()} == {
        currency: cost.normalize() for currency, cost in now["closing_cost"].items() if currency != "unknown"
    }
    assert summary["USD"]["change this month"].value == 0.25
    for sheet, view in (("Numbers", "current_numbers"), ("Findings", "findings"), ("Renewals", "renewals_by_day")):
        assert len(rows_of(book, sheet)) == len(read_view(view)) > 0
    assert all(book[name].freeze_panes == "B2" for name in SHEETS)
    assert all(book[name].auto_filter.ref for name in SHEETS)


def test_rows_that_a_sheet_has_no_room_for_are_counted(book: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkover.report.workbook.MOST_ROWS", 2)
    write_workbook(Analysed(), Path("short.xlsx"))
    with closing(openpyxl.load_workbook("short.xlsx")) as opened:
        *rows, last = rows_of(opened, "Numbers")
        assert len(rows) == 2
        assert last["phone number id"].value == "and 6 more, which a sheet has no room for"


def test_an_empty_account_has_a_workbook_too(workspace: Path) -> None:
    with Sandbox(Account(size=0, founded=TODAY)) as sandbox:
        Connector(sandbox).load()
    write_workbook(Analysed(), workspace / "out.xlsx")
    with closing(openpyxl.load_workbook(workspace / "out.xlsx")) as opened:
        assert opened.sheetnames == SHEETS
        assert rows_of(opened, "Numbers") == []


def test_a_workbook_that_cannot_be_written_leaves_nothing(loaded: Connector, workspace: Path) -> None:
    with pytest.raises(ReportError, match="^cannot write nowhere/out.xlsx: "):
        write_workbook(Analysed(), Path("nowhere/out.xlsx"))
    assert not (workspace / "nowhere").exists()
    assert [*workspace.glob("*.xlsx")] == []


def test_a_workbook_of_what_is_not_there_leaves_nothing(loaded: Connector, workspace: Path) -> None:
    account = Analysed()
    loaded.execute("drop view {release_request_flow}")  # that of the last sheet
    before = sorted(workspace.iterdir())
    with pytest.raises(NothingLoaded):
        write_workbook(account, workspace / "out.xlsx")
    assert sorted(workspace.iterdir()) == before


@pytest.mark.browser
@pytest.mark.usefixtures("book")
def test_libreoffice_opens_it(workspace: Path) -> None:
    as_csv = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,true,false,false,3"
    profile = f"-env:UserInstallation={(workspace / 'office').as_uri()}"
    command = ["soffice", profile, "--headless", "--convert-to", as_csv, "out.xlsx"]
    subprocess.run(command, cwd=workspace, check=True, capture_output=True)
    lines = (workspace / "out-Numbers.csv").read_text().splitlines()
    assert lines[0].startswith("phone number id,environment key,phone number,")
    assert any(",+15550100," in line and ",1.50," in line and ",2026-12-31," in line for line in lines)
    assert any('"=HYPERLINK(""http://x"",""y"")"' in line for line in lines)


def test_rows_stand_in_the_same_order_wherever_the_destination_keeps_them(
    connector: Connector, account: Account
) -> None:
    connector.load(observed_at=at("2026-01-05T00:00:00"))
    account.advance(TODAY)
    connector.load()

    def order() -> dict[str, list[str]]:
        return {sheet.name: list(map(str, sheet.rows.to_dict("records"))) for sheet in sheets(Analysed())}

    before = order()
    for table in TABLES:
        key = ", ".join(f"hash({column})" for column in KEYS[table])
        connector.execute(f"create or replace table {{{table}}} as select * from {{{table}}} order by {key} desc")
    assert order() == before
