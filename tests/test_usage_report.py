"""What the report says of calls: only where they were loaded, right to the cent, and of nobody but the account."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from contextlib import closing
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from talkover.cli import main
from talkover.money import money
from talkover.report.account import Account as Analysed
from talkover.report.charts import calls_by, calls_by_hour
from talkover.report.findings import kinds_of_findings
from talkover.report.kernel import NOTEBOOKS, execute, notebooks_of
from talkover.report.report import front_page, to_section, write_report
from talkover.report.usage import (
    by_calls,
    by_hour,
    by_month,
    by_price,
    coverage,
    held_now,
    in_words,
    kinds_of_unused,
    of_months,
    price_by_group,
    read_months,
    shown_months,
    unused,
)
from talkover.report.workbook import write_workbook
from talkover.sandbox import Account, Sandbox

from .conftest import Connect, Connector, Histories, Row
from .test_notebooks import FOLDER, said
from .test_report import WIDTHS, browser, clipped  # noqa: F401  a fixture
from .test_usage import account_of, call, give, make_views
from .test_views import number, window
from .test_workbook import SHEETS, rows_of

pytestmark = pytest.mark.duckdb
NOW = datetime.now(timezone.utc)
TODAY = NOW.date()
DAY = timedelta(days=1)
OF_CALLS: dict[str, Any] = {
    "agents": True,
    "calls": True,
    "calls_since": TODAY - 75 * DAY,
    "caller_key": "the key of the tests",
}
ANSWERED = ("answered", "in-progress", "completed")


def last_complete_month() -> date:
    """Its first day: the last month that had passed in every time zone two days ago."""
    last_day = TODAY - 2 * DAY
    first = last_day.replace(day=1)
    return first if (last_day + DAY).day == 1 else (first - DAY).replace(day=1)


MONTH = last_complete_month()


@pytest.fixture
def called(connect: Connect, histories: Histories) -> Connector:
    """Numbers in many currencies that were loaded 100 days ago, and today with their calls of 75 days."""
    account = Account(seed=7, size=40, founded=TODAY)
    for place, row in enumerate(account.numbers.values()):
        if place % 5 == 0:
            row |= {"currency": "JPY", "monthly_renewal_cost": "110"}
        if place % 7 == 0:
            row |= {"currency": "KWD", "monthly_renewal_cost": "1.125"}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)

        def play() -> None:
            connector.load(observed_at=NOW - 100 * DAY)
            connector.load(**OF_CALLS)

        histories.once("calls of 75 days", connector, play)
    return connector


def tables_of(html: str) -> dict[str, list[dict[str, str]]]:
    """The rows of each table that has a caption, as they are shown."""
    found = {}
    for caption, body in re.findall(r"<table><caption>(.*?)</caption>.*?<tbody>(.*?)</tbody>", html):
        rows = re.findall(r"<tr>(.*?)</tr>", body)
        cells = [re.findall(r'<td[^>]*? data-title="(.*?)">(.*?)</td>', row) for row in rows]
        found[unescape(caption)] = [{unescape(title): unescape(text) for title, text in row} for row in cells]
    return found


def in_month(calls: list[Row], month: date = MONTH) -> list[Row]:
    return [row for row in calls if row["created_at"].date().replace(day=1) == month and not row["is_testing"]]


def uses_of(calls: list[Row]) -> dict[str, Any]:
    """What the tables say of some calls."""
    return {
        "in": sum(row["direction"] == "inbound" for row in calls),
        "out": sum(row["direction"] == "outbound" for row in calls),
        "answered": sum(row["status"] in ANSWERED for row in calls),
        "seconds": sum(row["duration"] or 0 for row in calls),
        "callers": len({row["party_hash"] for row in calls} - {None}),
        "last": max((row["created_at"] for row in calls), default=None),
    }


def section_of(account: Analysed) -> str:
    return to_section(execute(FOLDER / "number_usage.ipynb", account), "number_usage").html


# There or not.


@pytest.mark.slow
def test_an_account_without_calls_has_the_report_that_it_had(loaded: Connector, workspace: Path) -> None:
    said: list[str] = []
    write_report(Analysed(), workspace / "out.html", said.append)
    html = (workspace / "out.html").read_text()
    assert "Number usage" not in html
    assert "finding-no_calls" not in html
    assert said == [
        "monthly_cost (1 of 3)",
        *(f"{name} ({n} of 3)" for n, name in enumerate(NOTEBOOKS[:3], 1)),
        "writing",
    ]


def test_views_of_an_earlier_version_are_of_an_account_without_calls(loaded: Connector) -> None:
    for view in ("findings", "data_health", "call_coverage"):
        loaded.execute(f"drop view {{{view}}}")
    assert notebooks_of(Analysed()) == list(NOTEBOOKS[:3])


@pytest.mark.slow
def test_the_notebook_by_itself_says_that_there_are_no_calls(loaded: Connector) -> None:
    notebook = execute(FOLDER / "number_usage.ipynb", Analysed())
    assert said(notebook) == "No calls are loaded: `talkover load --with calls` brings them."


@pytest.mark.slow
def test_an_environment_without_calls_has_no_section(connect: Connect, workspace: Path) -> None:
    with Sandbox(Account(seed=1, size=12, founded=TODAY)) as sandbox:
        connect(sandbox).load(environment_key="live", **OF_CALLS)
    with Sandbox(Account(seed=2, size=9, founded=TODAY)) as sandbox:
        connect(sandbox).load(environment_key="test")
    sections = {name: len(notebooks_of(Analysed(name))) for name in ("live", "test", None)}
    assert sections == {"live": 4, "test": 3, None: 4}
    write_workbook(Analysed("test"), workspace / "out.xlsx")
    with closing(openpyxl.load_workbook("out.xlsx")) as book:
        assert book.sheetnames == SHEETS
    assert coverage(Analysed()).split(": ", 1)[1] == coverage(Analysed("live"))


# Figures.


@pytest.mark.slow
def test_every_number_has_the_calls_and_prices_that_the_tables_give_it(called: Connector) -> None:
    account = Analysed()
    months = shown_months(account)
    assert {key: month.date() for key, month in months.items()} == {"default": MONTH}
    assert in_words(account, months) == f"{MONTH:%B %Y}"
    shown = by_price(held_now(read_months(account, "number_usage", months), account.view("current_numbers")), 15)
    rows = {row["phone_number_id"]: row for row in shown.to_dict("records")}
    calls: dict[str, list[Row]] = defaultdict(list)
    for row in in_month(called.rows("calls")):
        calls[row["phone_number"]].append(row)
    numbers = {id: row for id, row in called.by_id().items() if id in rows}
    assert len(numbers) > 30
    assert sum(len(calls[row["number"]]) for row in numbers.values()) > 500
    for id, held in numbers.items():
        row, uses, cost = rows[id], uses_of(calls[held["number"]]), held["monthly_renewal_cost"]
        assert (row["calls_in"], row["calls_out"], row["callers"]) == (uses["in"], uses["out"], uses["callers"])
        assert row["answered"] == uses["answered"]
        assert abs(row["minutes"] - uses["seconds"] / 60) <= 0.51
        assert (None if pd.isna(row["last_call_at"]) else row["last_call_at"]) == uses["last"]
        assert (None if pd.isna(row["monthly_cost"]) else row["monthly_cost"]) == cost
        for price, of in (("cost_per_answered_call", uses["answered"]), ("cost_per_minute", uses["seconds"] / 60)):
            expected = float(cost) / of if of and cost is not None else None
            assert (None if pd.isna(row[price]) else float(row[price])) == (
                expected and pytest.approx(expected, rel=0.06, abs=0.0002)
            )


@pytest.mark.slow
def test_the_most_expensive_of_each_currency_come_first(called: Connector) -> None:
    account = Analysed()
    usage = held_now(read_months(account, "number_usage", shown_months(account)), account.view("current_numbers"))
    shown = by_price(usage, 15)
    has_price = shown["cost_per_answered_call"].notna()
    assert list(has_price) == sorted(has_price, reverse=True)
    groups = set(shown[has_price]["group"])
    first = shown.head(15 // len(groups) * len(groups))
    assert set(first["group"]) == groups
    for _, members in shown.groupby("group"):
        prices = list(members["cost_per_answered_call"].dropna())
        assert prices == sorted(prices, reverse=True)
    assert set(shown["phone_number_id"]) == set(usage["phone_number_id"])


@pytest.mark.slow
def test_currencies_are_never_added_up(called: Connector) -> None:
    account = Analysed()
    usage = held_now(read_months(account, "number_usage", shown_months(account)), account.view("current_numbers"))
    prices = {row["group"]: row for row in price_by_group(usage).to_dict("records")}
    costs: dict[str, Decimal] = defaultdict(Decimal)
    answered: Counter[str] = Counter()
    numbers = {row["number"]: row for row in called.rows("phone_numbers") if row["id"] in set(usage["phone_number_id"])}
    for row in numbers.values():
        if row["monthly_renewal_cost"] is not None:
            costs[row["currency"] or "unknown currency"] += row["monthly_renewal_cost"]
    for row in in_month(called.rows("calls")):
        held = numbers.get(row["phone_number"])
        if held and held["monthly_renewal_cost"] is not None and row["status"] in ANSWERED:
            answered[held["currency"] or "unknown currency"] += 1
    assert {group: row["monthly_cost"] for group, row in prices.items()} == costs
    assert {group: row["answered"] for group, row in prices.items()} == answered
    assert {"JPY", "KWD", "USD"} <= costs.keys()
    for group, row in prices.items():
        assert float(row["cost_per_answered_call"]) == pytest.approx(float(costs[group]) / answered[group], rel=0.06)


@pytest.mark.parametrize(
    ("price", "currency", "shown"),
    [
        ("2.0417", "BRL", "2.04 BRL"),
        ("0.0847", "USD", "0.0847 USD"),
        ("0.1049", "USD", "0.10 USD"),
        ("0.0046", "USD", "0.0046 USD"),
        ("22.4", "JPY", "22 JPY"),
        ("0.3125", "JPY", "0.31 JPY"),
        ("0.0125", "KWD", "0.012 KWD"),
        ("0.5000", "unknown", "0.50"),
        ("0", "USD", "0.00 USD"),
    ],
)
def test_a_price_has_the_digits_of_its_currency_unless_they_would_leave_nothing(
    price: str, currency: str, shown: str
) -> None:
    usage = pd.DataFrame(
        {
            "group": [currency],
            "currency": [currency],
            "minutes": [Decimal(1)],
            "monthly_cost": [Decimal(1)],
            "cost_per_answered_call": [Decimal(price)],
            "cost_per_minute": [None],
        }
    )
    (row,) = by_price(usage, 15).to_dict("records")
    assert money(row["cost_per_answered_call"], currency) == shown
    assert pd.isna(row["cost_per_minute"])


@pytest.mark.slow
def test_agents_countries_hours_and_months_are_those_of_the_calls(called: Connector) -> None:
    account = Analysed()
    months = shown_months(account)
    calls = called.rows("calls")
    then = in_month(calls)
    mix = account.recent(account.view("call_mix"))
    in_it = of_months(mix, months)
    countries = Counter(row["party_country_code"] or "unknown" for row in then)
    shown = by_calls(in_it, "party_country_code")
    assert shown["calls"].sum() == len(then)
    assert len(shown) == min(len(countries), 8)
    named = shown[~shown["label"].str.endswith("others")].set_index("label")["calls"].to_dict()
    assert named.items() <= countries.items()
    assert [*named.values()] == [calls for _, calls in countries.most_common(len(named))]
    hours = by_hour(in_it)
    assert list(hours["calls"]) == [sum(row["created_at"].hour == hour for row in then) for hour in range(24)]
    assert "UTC" in calls_by_hour(hours, "Calls by hour.").text
    agents = Counter(row["agent__id"] for row in then)
    usage = read_months(account, "agent_usage", months)
    assert sorted(by_calls(usage.assign(agent=usage["agent_id"]), "agent", 50)["calls"]) == sorted(agents.values())
    trend = by_month(account, mix)
    for row in trend.itertuples():
        of_it = in_month(calls, row.month.date())
        assert (row.calls, row.answered) == (len(of_it), uses_of(of_it)["answered"])
        assert row.unanswered == row.calls - row.answered
        assert abs(row.minutes - uses_of(of_it)["seconds"] / 60) < 1.5
        assert row.share_answered == pytest.approx(row.answered / row.calls)
    assert [month.date() for month in trend[trend["loaded"] == "all"]["month"]][-1] == MONTH
    assert trend["loaded"].iloc[0] == trend["loaded"].iloc[-1] == "in part"
    assert trend["month"].iloc[-1].date() == TODAY.replace(day=1)


def test_a_country_in_which_few_call_is_one_of_the_others() -> None:
    usage = pd.DataFrame(
        {"group": "live", "country": list("abcdefghij"), "calls": range(10), "answered": [0, 0, *range(8)]}
    )
    shown = by_calls(usage, "country", 4)
    assert shown.to_dict("records")[0] == {"group": "live", "label": "j", "calls": 9, "answered": 7}
    assert shown.to_dict("records")[-1] == {"group": "live", "label": "6 others", "calls": 21, "answered": 10}
    chart = calls_by(shown, "Calls.")
    assert chart.text == "Calls. live: 45 calls, most: j (20%)"  # type: ignore[union-attr]


# The section.


@pytest.mark.slow
def test_the_section_answers_in_its_order_and_shows_nobody_elses_number(called: Connector, workspace: Path) -> None:
    write_report(Analysed(), workspace / "out.html")
    html = (workspace / "out.html").read_text()
    section = html[html.index(">Number usage</h2>") :]
    headings = re.findall(r"<h3[^>]*>(.*?)</h3>", section)
    assert headings == [
        f"What a call cost: {MONTH:%B %Y}",
        "Unused numbers",
        "Who answers, from where and when",
        "Calls by month",
    ]
    (covered,) = called.rows("call_coverage")
    assert f"<strong>{covered['complete_until'].day} {covered['complete_until']:%B %Y}</strong>" in section
    messages = re.findall(r"<figcaption>(.*?)</figcaption>", section)
    assert [message.split(":")[0] for message in messages] == [
        "Calls by agent",
        "Calls by country of the other party",
        "Calls by the hour in which they began, UTC",
        "Calls that were answered, and that were not.",
    ]
    assert all(len(text) > 40 for text in re.findall(r'<img alt="(.*?)"', section))
    calls = called.rows("calls")
    text = re.sub(r"base64,[^\"]+", "", html)
    assert all(row["party_hash"] not in text for row in calls if row["party_hash"])
    own = {row["number"] for row in called.rows("phone_numbers")} | {
        row["number"] for row in called.rows("phone_number_changes")
    }
    numbers = set(re.findall(r">(\+\d{6,})<", text))
    assert numbers
    assert numbers <= own
    ids = re.findall(r'id="([^"]+)"', html)
    assert len(set(ids)) == len(ids)
    assert re.search(r"\bnan\b", text.lower()) is None
    assert_tables_are_right(html, called)


def assert_tables_are_right(html: str, called: Connector) -> None:
    tables = tables_of(html)
    findings = called.rows("findings")
    prices = tables["What the numbers cost, by their answered calls and minutes"]
    yen = next(row for row in prices if row["currency"] == "JPY")
    held = [row for row in called.rows("phone_numbers") if row["currency"] == "JPY"]
    assert yen["monthly cost"] == f"{110 * len(held):,} JPY"
    kinds = tables["Numbers that are not used, or used although they are to go"]
    assert sum(int(row["numbers"]) for row in kinds) == sum(
        row["finding"] in ("no_calls", "no_agent", "still_receives_calls") for row in findings
    )
    for row in kinds:
        of_it = [found for found in findings if found["description"] == row["finding"] and found["saving"]]
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for found in of_it:
            sums[found["currency"]] += found["saving"]
        shown = set(re.split(r", | and ", row["saving a month"])) - {"nothing"}
        assert shown == {money(saving, currency) for currency, saving in sums.items()}
    assert [row["finding"][:18] for row in kinds[:1]] == ["No answered call i"]
    quiet = tables["Numbers without an answered call"]
    assert len(quiet) == sum(row["finding"] == "no_calls" for row in findings) > 0
    trend = tables["Calls, and minutes of them, by month"]
    assert {row["month"]: row["calls"] for row in trend}[f"{MONTH:%b %Y}"] == f"{len(in_month(called.rows('calls'))):,}"


@pytest.mark.slow
def test_calls_that_are_loaded_but_none_in_the_month(connect: Connect, workspace: Path) -> None:
    account = Account(seed=3, size=12, founded=TODAY, calls_a_number=0)
    with Sandbox(account) as sandbox:
        connect(sandbox).load(observed_at=NOW - 100 * DAY)
        connect(sandbox).load(**OF_CALLS)
    section = section_of(Analysed())
    assert "<strong>0</strong> had an answered call" in section
    assert section.count("Nothing to draw yet.") == 4
    assert "No calls in these months." in section
    assert re.search(r"\bnan\b", re.sub(r"base64,[^\"]+", "", section).lower()) is None


@pytest.mark.slow
def test_a_month_that_is_not_complete_is_said_to_be_so(called: Connector) -> None:
    account = Analysed(since=f"{TODAY:%Y-%m}")
    assert in_words(account, shown_months(account)) == f"{TODAY:%B %Y}, as far as it is loaded"
    notebook = execute(FOLDER / "number_usage.ipynb", account)
    assert f"## What a call cost: {TODAY:%B %Y}, as far as it is loaded" in str(notebook)


@pytest.mark.slow
def test_each_environment_has_its_own_month_and_panels(connect: Connect, workspace: Path) -> None:
    live, test = Account(seed=1, size=20, founded=TODAY), Account(seed=2, size=10, founded=TODAY)
    for account, name in ((live, "Shop/EU"), (test, "Test")):
        for row in account.numbers.values():
            row["environment"] = {"id": name, "name": name}
    with Sandbox({"talq_live": live, "talq_test": test}) as sandbox:
        connector = connect(sandbox)
        tokens = {"live": "talq_live", "test": "talq_test"}
        connector.load(api_token=None, environments=tokens, observed_at=NOW - 100 * DAY)
        connector.load(api_token=None, environments=tokens, **OF_CALLS)
    connector.execute(
        f"delete from {{call_windows}} where environment_key = 'test' and first_day < '{TODAY - 20 * DAY}'"
    )
    account = Analysed()
    months = shown_months(account)
    assert months["live"].date() == MONTH
    now = f"{TODAY:%B %Y}, as far as it is loaded (Test)"
    assert in_words(account, months) == f"{MONTH:%B %Y} (Shop/EU) and {now}"
    section = to_section(execute(FOLDER / "number_usage.ipynb", account), "number_usage")
    assert section.contents[1][1] == f"What a call cost: {in_words(account, months)}"
    html = section.html
    shown = {
        row["currency"].split(" · ")[0]
        for row in tables_of(html)["What the numbers cost, by their answered calls and minutes"]
    }
    assert shown == {"Shop/EU", "Test"}
    assert re.search(r'alt="Calls by agent.*?Shop/EU: .*?; Test: ', html)
    assert "<strong>Shop/EU</strong>: Every call from" in html
    assert set(shown_months(Analysed("test"))) == {"test"}
    usage = read_months(Analysed("test"), "number_usage", shown_months(Analysed("test")))
    assert set(usage["environment_key"]) == {"test"}


# How far calls are complete.


def covered_by(connector: Connector, *windows: Row) -> str:
    give(connector, call_windows=list(windows), calls=[call("1", "+1", f"{TODAY - 20 * DAY}T00:00:00")])
    make_views(connector)
    return coverage(Analysed())


def days_ago(first: int, last: int, read: int = 0, **values: Any) -> Row:
    """A window of days ago that was read at that time of day, so many days ago."""
    read_at = (NOW - read * DAY).replace(tzinfo=None).isoformat()
    return window(str(TODAY - first * DAY), str(TODAY - last * DAY), read_at, **values)


def words(days: int) -> str:
    day = TODAY - days * DAY
    return f"{day.day} {day:%B %Y}"


@pytest.fixture
def held(connect: Connect, histories: Histories) -> Connector:
    with Sandbox(account_of(number("a", number="+2"))) as sandbox:
        connector = connect(sandbox)
        histories.once("one number today", connector, connector.load)
    return connector


def test_complete_days_are_said(held: Connector) -> None:
    assert covered_by(held, days_ago(60, 0)) == (
        f"Every call from **{words(60)}** to **{words(2)}** is loaded, and of later days what was there when they were "
        "read. Calls on numbers that no list names: 1 of 1."
    )


@pytest.mark.parametrize(
    ("windows", "says"),
    [
        (
            [days_ago(60, 0, read=9)],
            "**Calls were last read 9 days ago: check whether the scheduled load still runs.** So no number is said to "
            "be without calls.",
        ),
        ([days_ago(60, 10), days_ago(9, 0, complete=False)], "**The days after them were read, but not completely"),
        (
            [days_ago(0, 0)],
            "**No day is complete yet.** Loaded so far: 1 call; others may be missing. So no number is said",
        ),
        (
            [days_ago(60, 50), days_ago(40, 0)],
            f"**Before them calls are missing: the days from {words(49)} to {words(41)} are not complete.**",
        ),
    ],
    ids=["old", "incomplete", "nothing complete", "a gap"],
)
def test_what_is_wrong_with_calls_is_a_sentence(windows: list[Row], says: str, held: Connector) -> None:
    assert says in covered_by(held, *windows)


def test_old_calls_do_not_make_the_figures_of_numbers_old(held: Connector) -> None:
    covered_by(held, days_ago(60, 10, read=9), days_ago(9, 0, read=9, complete=False))
    front = front_page(Analysed(), None)
    assert (front["age"], front["is_stale"], front["is_incomplete"]) == ("today", False, False)


# Findings.


def test_a_finding_of_several_descriptions_has_links_of_its_own() -> None:
    found = pd.DataFrame(
        [
            {"finding": finding, "description": text, "action": "Act.", "currency": "USD", "group": "USD"}
            | {
                "monthly_cost": Decimal(cost),
                "phone_number": "+1",
                "country_code": "US",
                "type": "voice",
                "evidence": "",
            }
            for finding, text, cost, times in (
                ("no_calls", "30 days", 1, 3),
                ("no_agent", "nobody", 1, 2),
                ("no_calls", "90 days", 1, 1),
            )
            for _ in range(times)
        ]
    )
    kinds = kinds_of_findings(found)
    assert [(kind.id, kind.description) for kind in kinds] == [
        ("no_calls", "30 days"),
        ("no_agent", "nobody"),
        ("no_calls-2", "90 days"),
    ]


@pytest.mark.slow
def test_unused_numbers_come_with_the_saving_of_each_currency(called: Connector) -> None:
    found = unused(Analysed().view("findings"))
    assert set(found["finding"]) >= {"no_calls", "no_agent"}
    kinds = kinds_of_unused(found)
    assert list(kinds["numbers"]) == list(
        found.groupby(["finding", "description"], observed=True)
        .size()
        .reindex(["no_calls", "still_receives_calls", "no_agent"], level=0)
    )


@pytest.mark.slow
def test_the_workbook_has_a_sheet_of_them(called: Connector, workspace: Path) -> None:
    write_workbook(Analysed(), workspace / "out.xlsx")
    with closing(openpyxl.load_workbook("out.xlsx")) as book:
        assert book.sheetnames == [*SHEETS, "Number usage"]
        rows = rows_of(book, "Number usage")
    usage = called.rows("number_usage")
    assert len(rows) == len(usage) > 0
    assert sum(row["answered"].value for row in rows) == sum(row["answered"] for row in usage)
    yen = next(row for row in rows if row["currency"].value == "JPY" and row["minutes"].value)
    assert yen["monthly cost"].number_format == "#,##0"
    assert yen["minutes"].number_format == "General"
    assert {row["month"].value.date() for row in rows} == {row["month"] for row in usage}
    write_workbook(Analysed(since=f"{TODAY:%Y-%m}"), workspace / "out.xlsx")
    with closing(openpyxl.load_workbook("out.xlsx")) as book:
        months = {row["month"].value.date() for row in rows_of(book, "Number usage")}
    assert months == {TODAY.replace(day=1)}


# The demo, in a real browser.


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        patch.chdir(folder)
        assert main(["load", "--demo", "--observed-at", str(TODAY - 120 * DAY)]) == 0
        assert main(["load", "--demo", "--with", "agents,calls"]) == 0
        assert main(["report", "--demo"]) == 0
    return folder / "report.html"


@pytest.mark.slow
@pytest.mark.xdist_group("demo with calls")
def test_the_demo_with_calls_has_the_section(demo: Path) -> None:
    text = demo.read_text()
    assert text.count(">Number usage</h2>") == 1
    assert set(re.findall(r'href="#([^"]+)"', text)) == set(re.findall(r'id="([^"]+)"', text))
    assert "No answered call in " in text


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.xdist_group("demo with calls")
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_no_cell_of_it_is_clipped(width: int, height: int, browser: Any, demo: Path) -> None:  # noqa: F811
    assert clipped(browser, demo, width, height) == []
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(demo.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
