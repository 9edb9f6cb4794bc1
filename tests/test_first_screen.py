"""The first screen of the report: figures by currency, why they changed, savings and what to do."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from talkover.report.account import Account as Analysed
from talkover.report.findings import kinds_of_findings
from talkover.report.first_screen import NOTHING_TO_COMPARE, actions, bill, changes, converted, lines, savings
from talkover.report.rates import Rates
from talkover.report.report import front_page
from talkover.sandbox import Account, Sandbox

from .conftest import TODAY, Connector, Row, at
from .test_views import number, request

pytestmark = pytest.mark.duckdb
NOW = datetime.now(timezone.utc)
BEFORE = NOW.replace(day=1) - timedelta(days=40)
YEAR_AGO = NOW.replace(year=NOW.year - 1, day=1)


def load(*steps: tuple[datetime, list[Row]], requests: tuple[Row, ...] = ()) -> None:
    """Loads an account as it is at each instant."""
    account = Account(size=0, founded=TODAY)
    account.requests = {row["id"]: row for row in requests}
    with Sandbox(account) as sandbox:
        for instant, numbers in steps:
            account.numbers = {row["id"]: row for row in numbers}
            Connector(sandbox).load(observed_at=instant, allow_mass_removal=True)


@pytest.mark.usefixtures("workspace")
def test_a_first_load_is_nothing_to_compare_with() -> None:
    load((NOW, [number("a"), number("b", currency="EUR")]))
    for line in lines(Analysed()):
        assert (line.against_month, line.against_year) == (NOTHING_TO_COMPARE, NOTHING_TO_COMPARE)
    (change,) = changes(lines(Analysed()))
    assert change.currencies == "EUR and USD"
    assert change.why == f"first load on {NOW.day} {NOW:%B %Y}; nothing to compare yet"


@pytest.mark.usefixtures("workspace")
def test_each_currency_says_what_changed_this_month() -> None:
    """Pounds end, dollars grow by one number and lose another, euros stay, and the yen is new."""
    old = [number("a"), number("b"), number("c", monthly_renewal_cost="3.00"), number("e", currency="EUR")]
    now = [
        number("a", monthly_renewal_cost="2.50"),
        number("b"),
        number("new", monthly_renewal_cost="0.75"),
        number("e", currency="EUR"),
        number("y", currency="JPY", monthly_renewal_cost="110"),
    ]
    load((BEFORE, [*old, number("p", currency="GBP")]), (NOW, now))
    shown = {line.currency: line for line in lines(Analysed())}
    assert next(iter(shown)) == "USD", "it has most numbers"
    assert (shown["USD"].cost, shown["USD"].numbers) == ("5.25 USD", "3")
    assert shown["USD"].against_month == "-1.75 USD (-25.0%)"
    assert shown["USD"].why == "1 number added (+0.75 USD), 1 number removed (-3.00 USD), price changes +0.50 USD"
    assert (shown["EUR"].against_month, shown["EUR"].why) == ("no change", "no change")
    assert shown["JPY"].against_month == "+110 JPY"
    assert (shown["GBP"].cost, shown["GBP"].against_month) == ("0.00 GBP", "-2.00 GBP (-100.0%)")


@pytest.mark.usefixtures("workspace")
def test_a_year_ago_is_the_end_of_that_month() -> None:
    load((YEAR_AGO, [number("a")]), (NOW, [number("a", monthly_renewal_cost="3.00")]))
    (line,) = lines(Analysed())
    assert line.against_year == "+1.00 USD (+50.0%)"


@pytest.mark.usefixtures("workspace")
def test_the_cost_of_numbers_that_the_api_gives_no_cost_of_is_unknown_not_zero() -> None:
    load((NOW, [number("a", monthly_renewal_cost=None), number("b", currency="EUR", monthly_renewal_cost="0.00")]))
    assert {line.currency: line.cost for line in lines(Analysed())} == {"USD": "unknown", "EUR": "0.00 EUR"}


@pytest.mark.usefixtures("workspace")
def test_environments_are_one_total_with_the_split_below() -> None:
    accounts = {f"talq_{name}": Account(size=0, founded=TODAY) for name in ("live", "test")}
    for place, account in enumerate(accounts.values(), start=1):
        account.numbers = {
            f"{place}": number(f"{place}", monthly_renewal_cost=place, environment={"id": "e", "name": f"Shop {place}"})
        }
    with Sandbox(accounts) as sandbox:
        tokens = {"live": "talq_live", "test": "talq_test"}
        Connector(sandbox).load(api_token=None, environments=tokens)
    (line,) = lines(Analysed())
    assert (line.cost, line.split) == ("3.00 USD", "Shop 1 1.00 USD · Shop 2 2.00 USD")
    (alone,) = lines(Analysed("test"))
    assert (alone.cost, alone.split) == ("2.00 USD", "")


@pytest.mark.usefixtures("workspace")
def test_rates_make_one_total_that_says_so() -> None:
    load((NOW, [number("a"), number("b", currency="EUR"), number("unknown", currency=None)]))
    rates = Rates("EUR", date(2026, 11, 20), {"EUR": Decimal(1), "USD": Decimal("0.92")})
    assert converted(Analysed(), rates) == "3.84 EUR in all, converted at the rates given for 20 November 2026"
    assert converted(Analysed(), None) == ""


@pytest.mark.usefixtures("workspace")
def test_savings_count_a_number_once_and_actions_lead_to_their_findings() -> None:
    released = [number(f"r{n}", monthly_renewal_cost="2.00", current_status="suspended") for n in range(3)]
    requests = tuple(request(f"q{n}", "approved", "2026-01-01", "2026-01-02", f"r{n}") for n in range(3))
    load(
        (at("2026-01-05T00:00:00"), [*released, number("a"), number("euro", currency="EUR", is_sandbox=True)]),
        requests=requests,
    )
    found = Analysed().view("findings")
    assert set(savings(found)) == {"6.00 USD", "2.00 EUR"}
    first, second = actions(found, bill(Analysed()))
    assert first == {
        "finding": "sandbox_costs",
        "action": "Request its release when testing is over",
        "saves": "(1 number): 2.00 EUR a month",
    }
    assert second["saves"] == "(3 numbers): 6.00 USD a month"
    kinds = kinds_of_findings(found)
    assert {first["finding"], second["finding"]} <= {kind.id for kind in kinds}
    assert all(kind.action for kind in kinds)
    by_id = {kind.id: kind for kind in kinds}
    assert (by_id["approved_still_listed"].numbers, by_id["approved_still_listed"].at_stake) == ("3", ["6.00 USD"])


def test_a_load_that_did_not_come_to_its_end_is_a_warning(connector: Connector) -> None:
    connector.load()
    assert not front_page(Analysed(), None)["is_unfinished"]
    connector.execute("update {load_runs} set _dlt_load_id = '9999999999.9' where 1 = 1")
    assert front_page(Analysed(), None)["is_unfinished"]
