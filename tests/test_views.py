"""The views: their grain, their sums, and what they say, on every destination that runs here."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import closing
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import dlt
import duckdb
import pandas as pd
import psycopg2
import pytest
import sqlglot
from pandas.testing import assert_frame_equal
from sqlglot import exp

from talkover import NothingLoaded, ViewError, read_view, talkover_source
from talkover.cli import main
from talkover.load.pipeline import open_pipeline
from talkover.sandbox import Account, Sandbox
from talkover.sync.tables import hints
from talkover.views import create_views, view_names, view_sql
from talkover.views.descriptions import describe_view

from .conftest import TODAY, Connect, Connector, Histories, Row, at, plain
from .test_load import DisturbingTheEnd
from .test_source import first
from .warehouses import new_database

pytestmark = pytest.mark.sql

GRAIN = {name: describe_view(name).key for name in view_names()}


def set_today(connector: Connector, day: date) -> None:
    """Makes the views again as if it were noon of `day`."""
    pipeline = connector.pipeline()
    with pipeline.sql_client() as client:
        assert create_views(client, Path(pipeline.working_dir), noon(day)).made == view_names()


@pytest.fixture
def year(connect: Connect, histories: Histories) -> Connector:
    """An account that was loaded now and then over a year."""
    account = Account(seed=5, size=80, founded=TODAY - timedelta(days=365))
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)

        def play() -> None:
            for days in (0, 40, 41, 200, 365):
                account.advance(TODAY - timedelta(days=365 - days))
                connector.load(observed_at=noon(account.today))

        histories.once("a year", connector, play)
    return connector


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc)


def put(pipeline: dlt.Pipeline, **rows: list[Row]) -> None:
    """Loads `rows` into the tables that are named, as a run would have."""
    pipeline.run([dlt.resource(of_table, name=table, **hints(table)) for table, of_table in rows.items()])  # type: ignore[arg-type]


def window(first_day: str, last_day: str, observed_at: str, **values: Any) -> Row:
    """A row of call_windows."""
    days = {"first_day": date.fromisoformat(first_day), "last_day": date.fromisoformat(last_day)}
    seen = {"observed_at": at(observed_at), "read_at": at(observed_at)}
    return {"environment_key": "default", **days, **seen, "listed": 0, "total": 0, "complete": True, **values}


def some_calls(numbers: list[Row], until: date) -> dict[str, list[Row]]:
    """The rows of two months of calls on `numbers`, and on a number that nobody holds."""
    texts = [*sorted(row["number"] for row in numbers)[::2], "+0", None]
    calls = [
        {
            "id": f"call {n}",
            "environment_key": "default",
            "direction": ("inbound", "outbound", None)[n % 3],
            "status": ("completed", "no-answer", "answered", "busy", "in-progress")[n % 5],
            "duration": (n * 37) % 300 if n % 5 == 0 else None,
            "is_testing": n % 7 == 0,
            "created_at": noon(until) - timedelta(hours=7 * n),
            "phone_number": texts[n % len(texts)],
            "party_hash": f"hash {n % 11}",
            "party_country_code": ("BR", "US", None)[n % 3],
            "agent__id": None if n % 4 == 0 else f"agent {n % 4}",
            "agent__name": None if n % 4 == 0 else f"Agent {n % 4}",
        }
        for n in range(200)
    ]
    first_day = until - timedelta(days=60)
    return {"calls": calls, "call_windows": [window(str(first_day), str(until), f"{until}T12:00:00", total=200)]}


# Grain.


def test_every_view_has_a_grain_and_says_it_on_line_1() -> None:
    for name in view_names():
        assert view_sql(name, "duckdb").splitlines()[1].startswith("/* One row per "), name


def assert_grain(connector: Connector) -> dict[str, list[Row]]:
    rows = connector.tables(*GRAIN)
    for name, key in GRAIN.items():
        keys = Counter(tuple(row[column] for column in key) for row in rows[name])
        assert [key for key, times in keys.items() if times > 1] == [], name
    return rows


@pytest.mark.parametrize(
    ("seed", "size"),
    [pytest.param(1, 1, marks=pytest.mark.slow), (2, 40), pytest.param(3, 120, marks=pytest.mark.slow)],
)
def test_grain_holds_for_generated_accounts(seed: int, size: int, connect: Connect) -> None:
    account = Account(seed=seed, size=size, founded=TODAY - timedelta(days=150))
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        for days in (150, 70, 0):
            account.advance(TODAY - timedelta(days=days))
            connector.load(observed_at=noon(account.today), allow_mass_removal=True)
    rows = assert_grain(connector)
    assert len(rows["current_numbers"]) == len(account.numbers)


def test_grain_holds_for_an_empty_account(connect: Connect) -> None:
    with Sandbox(Account(size=0, founded=TODAY)) as sandbox:
        connector = connect(sandbox)
        connector.load()
    rows = assert_grain(connector)
    assert {name for name, found in rows.items() if found} == {"calendar_months", "data_health", "first_loads"}


@pytest.mark.slow
def test_grain_holds_where_all_values_are_null(connect: Connect) -> None:
    account = Account(size=0, founded=TODAY)
    account.numbers = {id: {"id": id} for id in ("a", "b")}
    account.requests = {id: {"id": id} for id in ("r", "s")}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load()
        account.numbers["a"]["type"] = "fax"
        connector.load()
    rows = assert_grain(connector)
    assert [row["numbers"] for row in rows["capability_mix"]] == [2]
    assert {row["finding"] for row in rows["findings"]} == {"missing_cost", "missing_currency"}
    assert [row["bucket"] for row in rows["renewal_calendar"]] == ["unknown", "unknown"]


@pytest.mark.slow
def test_grain_holds_for_several_environments(connect: Connect) -> None:
    accounts = {f"talq_{seed}": Account(seed=seed, size=25, founded=TODAY) for seed in (1, 2)}
    with Sandbox(accounts) as sandbox:
        connector = connect(sandbox)
        tokens = {"live": "talq_1", "test": "talq_2"}
        connector.load(api_token=None, environments=tokens)
        moved = first(accounts["talq_1"])["id"]
        accounts["talq_2"].numbers[moved] = accounts["talq_1"].numbers.pop(moved)
        connector.load(api_token=None, environments=tokens)
    rows = assert_grain(connector)
    for name, found in rows.items():
        if name not in ("calendar_months", "monthly_cost_total"):
            assert {row["environment_key"] for row in found} <= {"live", "test"}, name
    last = max(row["month"] for row in rows["monthly_cost"])
    by_environment = Counter[str]()
    for row in rows["monthly_cost"]:
        if row["month"] == last:
            by_environment[row["environment_key"]] += row["closing_numbers"]
    assert by_environment == {"live": 24, "test": 26}


# Joins never multiply: every sum equals the one taken straight from the tables.


def money(rows: list[Row], column: str = "monthly_cost") -> dict[Any, Decimal]:
    """The exact sum of a column by environment and currency."""
    sums: dict[Any, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row["environment_key"], row["currency"]] += row[column] or 0
    return {group: total for group, total in sums.items() if total}


def count(rows: list[Row], column: str | None = None) -> Counter[Any]:
    counts: Counter[Any] = Counter()
    for row in rows:
        counts[row["environment_key"], row["currency"]] += row[column] if column else 1
    return counts


def test_every_sum_equals_the_same_sum_of_the_tables(year: Connector) -> None:
    numbers, requests = year.rows("phone_numbers"), year.rows("release_requests")
    assert count(year.rows("current_numbers")) == count(numbers)
    assert money(year.rows("current_numbers")) == money(numbers, "monthly_renewal_cost")
    for view in ("cost_by_group", "capability_mix", "capability_mix_by_country"):
        assert count(year.rows(view), "numbers") == count(numbers), view
        assert money(year.rows(view)) == money(numbers, "monthly_renewal_cost"), view
    for capability in ("fax", "mms", "sms", "voice", "whatsapp"):
        of_it = [row for row in year.rows("capability_share") if row["capability"] == capability]
        having = [row for row in numbers if row[f"has_{capability}"]]
        assert +count(of_it, "numbers_with") == count(having)
        assert money(of_it, "monthly_cost") == money(having, "monthly_renewal_cost")
        assert sum(row["numbers_with"] + row["numbers_without"] + row["numbers_unknown"] for row in of_it) == len(
            numbers
        )
    flow = year.rows("release_request_flow")
    assert {row["release_request_id"] for row in flow} == {row["id"] for row in requests}
    held = {row["id"]: row for row in numbers}
    at_stake = {row["phone_number_id"] for row in requests if row["status"] in ("pending", "approved")} & held.keys()
    assert money(flow, "cost_at_stake") == money([held[id] for id in at_stake], "monthly_renewal_cost")
    now = [row for row in year.rows("phone_number_history") if row["valid_to"] is None]
    assert money(now) == money(numbers, "monthly_renewal_cost")
    assert {row["phone_number_id"] for row in now} == held.keys()
    months = year.rows("monthly_cost")
    last = [row for row in months if row["month"] == max(row["month"] for row in months)]
    assert money(last, "closing_cost") == money(numbers, "monthly_renewal_cost")
    assert +count(last, "closing_numbers") == count(numbers)
    health = {row["resource"]: row for row in year.rows("data_health")}
    assert health["phone_numbers"]["rows_held"] == len(numbers)
    assert health["phone_numbers"]["without_cost"] == sum(row["monthly_renewal_cost"] is None for row in numbers)
    assert health["release_requests"]["rows_held"] == len(requests)


def test_the_bridge_balances_in_every_row(year: Connector) -> None:
    months = sorted(year.rows("monthly_cost"), key=lambda row: row["month"])
    before: dict[Any, Row] = {}
    for row in months:
        assert row["opening_numbers"] + row["added_numbers"] - row["removed_numbers"] == row["closing_numbers"]
        moved = row["added_cost"] - row["removed_cost"] + row["repriced_cost"]
        assert row["opening_cost"] + moved == row["closing_cost"]
        group = (row["environment_key"], row["currency"])
        if group in before:
            assert row["opening_cost"] == before[group]["closing_cost"]
            assert row["opening_numbers"] == before[group]["closing_numbers"]
        before[group] = row
    assert any(row["repriced_cost"] for row in months)
    assert any(row["removed_cost"] for row in months)


def test_every_month_from_the_first_load_to_now_has_its_row(account: Account, connector: Connector) -> None:
    connector.load(observed_at=at("2025-11-30T23:59:59"))
    set_today(connector, date(2026, 2, 1))
    rows = connector.rows("monthly_cost")
    months = [date(2025, 11, 1), date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1)]
    currencies = {number["currency"] for number in account.numbers.values()}
    assert {(row["month"], row["currency"]) for row in rows} == {(m, c) for m in months for c in currencies}
    assert sum(row["opening_numbers"] for row in rows if row["month"] == months[0]) == 57
    assert sum(row["added_numbers"] for row in rows) == 0


def test_months_are_utc_whatever_the_session(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instant that is another month in São Paulo."""
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    connector.load(observed_at=at("2026-02-01T00:30:00"))
    assert {row["month"] for row in connector.rows("cost_changes")} == {date(2026, 2, 1)}


# History.


@pytest.mark.slow
def test_as_of_any_instant_gives_the_inventory_that_was_last_seen_before_it(connect: Connect) -> None:
    account = Account(seed=9, size=30, founded=TODAY - timedelta(days=100))
    seen: dict[datetime, dict[str, Row]] = {}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        for days in (100, 60, 59, 0):
            account.advance(TODAY - timedelta(days=days))
            instant = noon(account.today)
            connector.load(observed_at=instant)
            seen[instant] = connector.by_id()
    history = connector.rows("phone_number_history")
    for instant, inventory in seen.items():
        for asked in (instant, instant + timedelta(hours=7)):
            version = {
                row["phone_number_id"]: row
                for row in history
                if row["valid_from"] <= asked and (row["valid_to"] is None or asked < row["valid_to"])
            }
            assert version.keys() == inventory.keys()
            for id, row in inventory.items():
                assert version[id]["monthly_cost"] == row["monthly_renewal_cost"]
                for column in ("currency", "type", "current_status", "has_sms", "renewal_date"):
                    assert version[id][column] == row[column]


def test_versions_of_a_number_never_overlap_and_leave_no_gap_while_it_is_held(year: Connector) -> None:
    versions = defaultdict(list)
    for row in year.rows("phone_number_history"):
        versions[row["phone_number_id"]].append(row)
    removed = {
        (row["id"], row["changed_at"]) for row in year.rows("phone_number_changes") if row["change_type"] == "removed"
    }
    for id, rows in versions.items():
        rows.sort(key=lambda row: row["valid_from"])
        for earlier, later in pairwise(rows):
            assert earlier["valid_to"] == later["valid_from"] or (id, earlier["valid_to"]) in removed
    assert removed


@pytest.mark.slow
def test_request_history_has_each_state(account: Account, connector: Connector) -> None:
    connector.load(observed_at=at("2026-03-01T00:00:00"))
    request = next(request for request in account.requests.values() if request["status"] == "pending")
    request |= {"status": "approved", "resolved_at": "2026-03-02T10:00:00Z"}
    connector.load(observed_at=at("2026-03-03T00:00:00"))
    rows = [row for row in connector.rows("release_request_history") if row["release_request_id"] == request["id"]]
    assert [(row["status"], row["valid_from"], row["valid_to"]) for row in rows] == [
        ("pending", at("2026-03-01T00:00:00"), at("2026-03-03T00:00:00")),
        ("approved", at("2026-03-03T00:00:00"), None),
    ]


def test_calls_are_counted_by_hour_month_and_country_in_utc(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours and months of São Paulo are others."""
    monkeypatch.setenv("TZ", "America/Sao_Paulo")
    account = Account(size=0, founded=TODAY)
    account.numbers = {"a": number("a", number="+1")}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-05T00:00:00"))
    like = {"environment_key": "default", "phone_number": "+1", "direction": "inbound", "status": "completed"}
    like |= {"is_testing": False, "party_country_code": "BR", "duration": 30}
    calls = [
        like | {"id": "1", "created_at": at("2026-01-31T23:59:59")},
        like | {"id": "2", "created_at": at("2026-02-01T00:00:00")},
        like | {"id": "3", "created_at": at("2026-02-10T00:59:59"), "status": "busy", "direction": "outbound"},
        like | {"id": "4", "created_at": at("2026-02-10T00:30:00"), "is_testing": True},
        like | {"id": "5", "created_at": at("2026-02-10T00:30:00"), "direction": None, "party_country_code": None},
    ]
    put(connector.pipeline(), calls=calls, call_windows=[window("2026-01-01", "2026-02-20", "2026-03-15T12:00:00")])
    set_today(connector, date(2026, 3, 15))
    keys = ("environment_key", "month", "hour_of_day", "party_country_code")
    found = {
        tuple(row[key] for key in keys): tuple(value for name, value in row.items() if name not in keys)
        for row in connector.rows("call_mix")
    }
    assert found == {
        ("default", date(2026, 1, 1), 23, "BR"): (1, 0, 0, 1, Decimal("0.5"), 0),
        ("default", date(2026, 2, 1), 0, "BR"): (1, 1, 0, 1, Decimal(1), 1),
        ("default", date(2026, 2, 1), 0, None): (0, 0, 1, 1, Decimal("0.5"), 0),
    }


# First loads, countries and agents.


def test_a_first_load_is_a_starting_point_and_no_change(connect: Connect) -> None:
    account = Account(size=0, founded=TODAY)
    account.numbers = {id: number(id) for id in "ab"}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-05T00:00:00"))
        account.numbers["c"] = number("c", monthly_renewal_cost="0.50", created_at="2026-01-06T10:00:00Z")
        connector.load(observed_at=at("2026-01-07T00:00:00"))
    changes = {row["phone_number_id"]: row for row in connector.rows("cost_changes")}
    assert {id: row["change_type"] for id, row in changes.items()} == {
        "a": "first_load",
        "b": "first_load",
        "c": "added",
    }
    assert changes["c"]["created_at"] == at("2026-01-06T10:00:00")
    (first_load,) = connector.rows("first_loads")
    assert (first_load["first_load_at"], first_load["month"]) == (at("2026-01-05T00:00:00"), date(2026, 1, 1))
    month = next(row for row in connector.rows("monthly_cost") if row["month"] == date(2026, 1, 1))
    assert (month["opening_numbers"], month["opening_cost"]) == (2, Decimal(4))
    assert (month["added_numbers"], month["added_cost"], month["closing_cost"]) == (1, Decimal("0.50"), Decimal("4.50"))


def test_an_account_that_was_empty_at_first_adds_its_first_number(connect: Connect) -> None:
    account = Account(size=0, founded=TODAY)
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-05T00:00:00"))
        account.numbers["a"] = number("a")
        connector.load(observed_at=at("2026-01-07T00:00:00"))
    assert [row["change_type"] for row in connector.rows("cost_changes")] == ["added"]


def test_a_country_costs_what_its_numbers_cost_at_the_end_of_a_month(connect: Connect) -> None:
    """A number that turns out to be of another country goes with its cost, and back again."""
    account = Account(size=0, founded=TODAY)
    account.numbers = {id: number(id, country_code="US") for id in "abc"}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-05T00:00:00"))
        account.numbers["a"]["country_code"] = "CA"
        account.numbers["b"]["monthly_renewal_cost"] = "2.50"
        connector.load(observed_at=at("2026-01-31T23:59:59"))
        account.numbers["a"]["country_code"] = "US"
        del account.numbers["c"]
        connector.load(observed_at=at("2026-02-20T00:00:00"))
    set_today(connector, date(2026, 2, 25))
    rows = connector.rows("cost_by_country_month")
    assert {(row["month"].month, row["country_code"]): (row["numbers"], row["monthly_cost"]) for row in rows} == {
        (1, "CA"): (1, Decimal(2)),
        (1, "US"): (2, Decimal("4.50")),
        (2, "CA"): (0, Decimal(0)),
        (2, "US"): (2, Decimal("4.50")),
    }


def test_countries_and_environments_add_up_to_the_monthly_cost(year: Connector) -> None:
    bridge, by_country, totals = (
        year.rows(view) for view in ("monthly_cost", "cost_by_country_month", "monthly_cost_total")
    )
    for month in {row["month"] for row in bridge}:
        held = [row for row in bridge if row["month"] == month]
        countries = [row for row in by_country if row["month"] == month]
        assert money(countries) == money(held, "closing_cost")
        assert +count(countries, "numbers") == +count(held, "closing_numbers")
        total = {row["currency"]: row["closing_cost"] for row in totals if row["month"] == month}
        assert {currency: cost for currency, cost in total.items() if cost} == {
            currency: cost for (_, currency), cost in money(held, "closing_cost").items()
        }


def test_an_agent_costs_what_its_numbers_cost(connect: Connect) -> None:
    ana, ben = {"id": "1", "name": "Ana"}, {"id": "2", "name": None}
    connector = load_numbers(
        connect,
        number("a", agents=[ana]),
        number("b", agents=[ana, ben]),
        number("nobody", agents=[]),
        number("unknown", agents=None),
    )
    counts = {row["phone_number_id"]: row["agent_count"] for row in connector.rows("current_numbers")}
    assert counts == {"a": 1, "b": 2, "nobody": 0, "unknown": None}
    rows = {
        row["agent"]: (row["numbers"], row["shared_numbers"], row["monthly_cost"])
        for row in connector.rows("cost_by_agent")
    }
    assert rows == {
        "Ana": (2, 1, Decimal(4)),
        "2": (1, 1, Decimal(2)),
        "no agent": (1, 0, Decimal(2)),
        "unknown": (1, 0, Decimal(2)),
    }


# Capabilities.


def test_a_capability_set_is_named_by_what_is_known(connect: Connect) -> None:
    each = ("has_fax", "has_mms", "has_sms", "has_voice", "has_whatsapp")
    account = Account(size=0, founded=TODAY)
    account.numbers = {
        "sms+voice": {"id": "sms+voice", "has_sms": True, "has_voice": True},
        "fax+mms+sms+voice+whatsapp": {"id": "fax+mms+sms+voice+whatsapp", **dict.fromkeys(each, True)},
        "none": {"id": "none", **dict.fromkeys(each, False)},
        "unknown": {"id": "unknown"},
    }
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load()
    named = {row["phone_number_id"]: row["capability_set"] for row in connector.rows("current_numbers")}
    assert named == {id: id for id in account.numbers}


def test_the_capability_mix_adds_up_to_all_of_it(year: Connector) -> None:
    shares: Counter[Any] = Counter()
    costs: Counter[Any] = Counter()
    for row in year.rows("capability_mix"):
        group = (row["environment_key"], row["currency"])
        shares[group] += float(row["share_of_numbers"])
        costs[group] += float(row["share_of_cost"] or 0)
    assert shares
    assert all(share == pytest.approx(1) for share in shares.values())
    assert all(share == pytest.approx(1) for group, share in costs.items() if group[1] is not None)


def test_the_mix_of_a_month_is_what_was_held_at_its_end(connect: Connect) -> None:
    account = Account(size=0, founded=TODAY)
    account.numbers = {id: number(id, has_sms=True, has_voice=False) for id in "abcd"}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-05T00:00:00"))
        account.numbers["a"]["has_voice"] = True
        connector.load(observed_at=at("2026-01-31T23:59:59"))
        account.numbers["b"]["has_voice"] = True
        connector.load(observed_at=at("2026-02-01T00:00:00"))
        del account.numbers["c"]
        account.numbers["b"] |= {"has_voice": False, "has_sms": None}
        connector.load(observed_at=at("2026-02-20T00:00:00"))
    set_today(connector, date(2026, 3, 15))
    rows = connector.rows("capability_mix_by_month")
    assert {(row["month"].month, row["capability_set"]): row["numbers"] for row in rows} == {
        (1, "none"): 0,
        (1, "sms"): 3,
        (1, "sms+voice"): 1,
        (2, "none"): 1,
        (2, "sms"): 1,
        (2, "sms+voice"): 1,
        (3, "none"): 1,
        (3, "sms"): 1,
        (3, "sms+voice"): 1,
    }
    shares = {row["capability_set"]: float(row["share_of_numbers"]) for row in rows if row["month"].month == 1}
    assert shares == {"none": 0, "sms": 0.75, "sms+voice": 0.25}


def test_the_mix_of_the_current_month_is_that_of_the_numbers_held_now(year: Connector) -> None:
    rows = year.rows("capability_mix_by_month")
    now = [row for row in rows if row["month"] == max(row["month"] for row in rows)]
    held = Counter(row["capability_set"] for row in year.rows("current_numbers"))
    assert +Counter({row["capability_set"]: row["numbers"] for row in now}) == held
    assert min(row["numbers"] for row in rows) >= 0


def test_new_fields_of_the_api_cannot_shadow_a_column_of_a_view(connect: Connect) -> None:
    """The views' own names, sent by the API: each once changed a sum, or made a view fail."""
    strange: Row = dict.fromkeys(
        ("cost", "old_cost", "is_held", "was_held", "stays", "version_age", "today", "renews"), 99
    )
    strange |= {"capabilities": ["fax"], "currency_group": "XXX", "next_changed_at": "2020-01-01"}
    asked = request("r", "pending", "2026-01-01") | {"currency": "XXX", "monthly_renewal_cost": 77, "is_listed": 0}
    connector = load_numbers(connect, number("a", has_sms=True, **strange), requests=(asked,))
    (cost,) = [row for row in connector.rows("monthly_cost") if row["month"] == date(2026, 1, 1)]
    assert (cost["closing_numbers"], cost["closing_cost"]) == (1, Decimal(2))
    assert connector.rows("current_numbers")[0]["capability_set"] == "sms"
    (flow,) = connector.rows("release_request_flow")
    assert (flow["currency"], flow["cost_at_stake"]) == ("USD", Decimal(2))


@pytest.mark.slow
def test_the_bridge_begins_where_the_history_does_though_the_ledger_was_not_loaded(connect: Connect) -> None:
    account = Account(size=0, founded=TODAY)
    account.numbers = {id: number(id) for id in "ab"}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        arguments = {"api_token": sandbox.token, "base_url": sandbox.base_url, "observed_at": at("2025-11-05T00:00:00")}
        source = talkover_source(**arguments).with_resources("phone_numbers", "phone_number_changes")
        connector.pipeline().run(source)
        connector.load(observed_at=at("2026-01-01T00:00:00"))
    newest = max(connector.rows("monthly_cost"), key=lambda row: row["month"])
    assert (newest["closing_numbers"], newest["closing_cost"]) == (2, Decimal(4))


def test_an_empty_currency_is_unknown(connect: Connect) -> None:
    connector = load_numbers(connect, number("a", currency=""))
    assert connector.by_id()["a"]["currency"] is None
    assert ("missing_currency", "a") in findings(connector)


@pytest.mark.slow
def test_capabilities_are_those_of_the_table_though_its_log_was_not_loaded(connect: Connect) -> None:
    account = Account(size=0, founded=TODAY)
    account.numbers = {"a": number("a", has_sms=True)}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-01T00:00:00"))
        account.numbers["a"]["has_voice"] = True
        source = talkover_source(sandbox.token, base_url=sandbox.base_url).with_resources("phone_numbers")
        connector.pipeline().run(source)
    assert connector.rows("current_numbers")[0]["capability_set"] == "sms+voice"


# Renewals.


def number(id: str, **values: Any) -> Row:
    return {"id": id, "monthly_renewal_cost": "2.00", "currency": "USD", "auto_renewal": True, **values}


def load_numbers(connect: Connect, *numbers: Row, requests: tuple[Row, ...] = ()) -> Connector:
    account = Account(size=0, founded=TODAY)
    account.numbers = {row["id"]: row for row in numbers}
    account.requests = {row["id"]: row for row in requests}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-01T00:00:00"))
    return connector


RENEWALS = {
    renewal_date: (today, expected)
    for renewal_date, today, expected in [
        ("2026-01-31", date(2026, 1, 15), ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ("2027-12-31", date(2027, 12, 15), ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31"]),
        ("2026-12-30", date(2026, 12, 30), ["2026-12-30", "2027-01-30", "2027-02-28", "2027-03-30"]),
        ("2028-01-29", date(2028, 1, 1), ["2028-01-29", "2028-02-29", "2028-03-29", "2028-04-29"]),
        ("2027-01-29", date(2027, 1, 1), ["2027-01-29", "2027-02-28", "2027-03-29", "2027-04-29"]),
        ("2026-03-05", date(2026, 3, 1), ["2026-03-05", "2026-04-05", "2026-05-05", "2026-06-05"]),
    ]
}
"""By the date of the next renewal: a day from which to look at it, and the first four renewals to come."""


def test_renewals_keep_to_the_day_or_the_end_of_a_short_month(connect: Connect, subtests: pytest.Subtests) -> None:
    connector = load_numbers(connect, *(number(renewal_date, renewal_date=renewal_date) for renewal_date in RENEWALS))
    for renewal_date, (today, expected) in RENEWALS.items():
        set_today(connector, today)
        calendar = sorted(connector.rows("renewal_calendar"), key=lambda row: row["renews_on"])
        rows = [row for row in calendar if row["phone_number_id"] == renewal_date]
        with subtests.test(renewal_date):
            assert [str(row["renews_on"]) for row in rows][:4] == expected
            assert len(rows) == 12
            assert {(row["bucket"], row["cash"]) for row in rows} == {("renews", Decimal("2.00"))}
            assert all(row["month"] == row["renews_on"].replace(day=1) for row in rows)


def test_a_renewal_date_of_zero_is_overdue_not_lost(connect: Connect) -> None:
    connector = load_numbers(connect, number("a", renewal_date="1970-01-01"))
    overdue = [row for row in connector.rows("renewal_calendar") if row["bucket"] == "overdue"]
    assert [row["renews_on"] for row in overdue] == [date(1970, 1, 1)]


def test_overdue_stands_apart_and_an_end_is_no_cash(connect: Connect) -> None:
    connector = load_numbers(
        connect,
        number("overdue", renewal_date="2026-03-10"),
        number("ends", renewal_date="2026-05-01", auto_renewal=False),
        number("ended", renewal_date="2026-03-01", auto_renewal=False),
        number("unknown", renewal_date="2026-03-20", auto_renewal=None),
        number("no date"),
        number("no cost", renewal_date="2026-03-20", monthly_renewal_cost=None),
    )
    set_today(connector, date(2026, 3, 15))
    rows = connector.rows("renewal_calendar")
    buckets = {id: Counter(row["bucket"] for row in rows if row["phone_number_id"] == id) for id in connector.by_id()}
    assert buckets == {
        "overdue": {"overdue": 1, "renews": 12},
        "ends": {"ends": 1},
        "ended": {"ends": 1},
        "unknown": {"renews": 12},
        "no date": {"unknown": 1},
        "no cost": {"renews": 12},
    }
    assert {row["cash"] for row in rows if row["bucket"] in ("ends", "unknown")} == {None}
    assert sum(row["cash"] or 0 for row in rows) == 2 * (13 + 12)


def test_a_day_of_renewals_is_the_sum_of_its_numbers(connect: Connect) -> None:
    connector = load_numbers(
        connect,
        number("a", renewal_date="2026-03-20"),
        number("b", renewal_date="2026-03-20", monthly_renewal_cost="0.1001"),
        number("of another day", renewal_date="2026-03-21", monthly_renewal_cost="40"),
        number("in euros", renewal_date="2026-03-20", currency="EUR", monthly_renewal_cost="7"),
        number("overdue", renewal_date="2026-03-10", monthly_renewal_cost="5"),
        number("ends", renewal_date="2026-03-20", auto_renewal=False),
        number("no cost", renewal_date="2026-03-20", monthly_renewal_cost=None),
        number("no date"),
    )
    set_today(connector, date(2026, 3, 15))
    rows = connector.rows("renewals_by_day")
    until = date(2026, 4, 9)
    by_day = {(row["renews_on"], row["bucket"], row["currency"]): (row["numbers"], row["cash"]) for row in rows}
    assert {day: sums for day, sums in by_day.items() if day[0] is None or day[0] < until} == {
        (date(2026, 3, 10), "overdue", "USD"): (1, Decimal(5)),
        (date(2026, 3, 20), "renews", "USD"): (3, Decimal("2.1001")),
        (date(2026, 3, 20), "renews", "EUR"): (1, Decimal(7)),
        (date(2026, 3, 20), "ends", "USD"): (1, None),
        (date(2026, 3, 21), "renews", "USD"): (1, Decimal(40)),
        (None, "unknown", "USD"): (1, None),
    }
    assert all(row["month"] == (row["renews_on"] and row["renews_on"].replace(day=1)) for row in rows)


def test_the_days_of_renewals_add_up_to_the_calendar(year: Connector) -> None:
    by_number: dict[Any, list[Decimal | None]] = defaultdict(list)
    for row in year.rows("renewal_calendar"):
        by_number[tuple(row[column] for column in GRAIN["renewals_by_day"])].append(row["cash"])
    by_day = {tuple(row[column] for column in GRAIN["renewals_by_day"]): row for row in year.rows("renewals_by_day")}
    assert {day: (row["numbers"], row["cash"] or 0) for day, row in by_day.items()} == {
        day: (len(cash), sum(amount or 0 for amount in cash)) for day, cash in by_number.items()
    }


# Release requests.


def request(id: str, status: str, asked: str, settled: str | None = None, phone_number_id: str = "a") -> Row:
    row = {"id": id, "phone_number_id": phone_number_id, "status": status, "requested_at": f"{asked}T09:00:00Z"}
    return row | ({"resolved_at": f"{settled}T17:00:00Z"} if settled else {})


@pytest.mark.slow
def test_lead_times_are_of_decided_requests_alone(connect: Connect) -> None:
    days = [1, 2, 2, 3, 5, 8, 13, 21, 3, 4, 4]
    asked = date(2026, 1, 1)
    decided = [
        request(f"approved-{n}", "approved", str(date(2026, 2, 25) - timedelta(days=n)), "2026-02-25", f"n{n}-{day}")
        | {"requested_at": f"{date(2026, 2, 25) - timedelta(days=day)}T09:00:00Z"}
        for n, day in enumerate(days)
    ]
    connector = load_numbers(
        connect,
        number("a"),
        requests=(
            *decided,
            request("rejected", "rejected", str(asked), "2026-02-03"),
            request("cancelled", "cancelled", str(asked), "2026-02-04"),
            request("pending", "pending", str(asked)),
        ),
    )
    set_today(connector, date(2026, 3, 1))
    rows = {row["outcome"]: row for row in connector.rows("release_lead_times")}
    assert rows.keys() == {"approved", "rejected"}
    approved = rows["approved"]
    assert (approved["month"], approved["requests"]) == (date(2026, 2, 1), 11)
    assert float(approved["median_days"]) == median(days)
    assert approved["p90_days"] == sorted(days)[9], "the 10th of 11: nine of ten took no longer"
    assert float(approved["approval_rate"]) == pytest.approx(11 / 12)
    flow = {row["release_request_id"]: row for row in connector.rows("release_request_flow")}
    assert (flow["pending"]["age_days"], flow["pending"]["lead_time_days"]) == (59, None)
    assert (flow["rejected"]["age_days"], flow["rejected"]["lead_time_days"]) == (None, 33)
    assert (flow["cancelled"]["age_days"], flow["cancelled"]["lead_time_days"]) == (None, None)


def test_median_and_p90_for_any_number_of_decisions(connect: Connect, subtests: pytest.Subtests) -> None:
    months = {date(2025, month, 1): decisions for month, decisions in enumerate((1, 2, 3, 9, 10, 20), start=1)}
    days = {month: [(7 * n) % 23 for n in range(decisions)] for month, decisions in months.items()}
    decided = [
        request(f"{month} {n}", "rejected", str(month.replace(day=25) - timedelta(days=day)), f"{month:%Y-%m}-25")
        for month in months
        for n, day in enumerate(days[month])
    ]
    connector = load_numbers(connect, number("a"), requests=tuple(decided))
    found = {row["month"]: row for row in connector.rows("release_lead_times")}
    assert found.keys() == months.keys()
    for month, decisions in months.items():
        with subtests.test(decisions=decisions):
            assert float(found[month]["median_days"]) == median(days[month])
            assert found[month]["p90_days"] == sorted(days[month])[-(-decisions * 9 // 10) - 1]


def test_cost_at_stake_counts_a_number_once_however_many_requests_it_has(connect: Connect) -> None:
    connector = load_numbers(
        connect,
        number("a", monthly_renewal_cost="3.50"),
        number("b", monthly_renewal_cost=None),
        requests=(
            request("old", "approved", "2026-01-01", "2026-01-02"),
            request("new", "pending", "2026-01-05"),
            request("rejected", "rejected", "2026-01-06", "2026-01-07"),
            request("unpriced", "pending", "2026-01-05", phone_number_id="b"),
            request("gone", "approved", "2026-01-05", "2026-01-06", phone_number_id="never seen"),
        ),
    )
    flow = {row["release_request_id"]: row for row in connector.rows("release_request_flow")}
    assert {id: row["cost_at_stake"] for id, row in flow.items() if row["cost_at_stake"]} == {"new": Decimal("3.50")}
    assert {id for id, row in flow.items() if row["is_at_stake"]} == {"new", "unpriced"}
    assert {id: row["is_still_listed"] for id, row in flow.items()} == dict.fromkeys(flow, True) | {"gone": False}
    assert not flow["gone"]["is_number_known"]
    health = {row["resource"]: row for row in connector.rows("data_health")}
    assert health["release_requests"]["without_known_number"] == 1


# Findings.


@pytest.mark.slow
def test_a_number_that_came_back_after_its_release_is_another_holding(connect: Connect) -> None:
    account = Account(size=0, founded=TODAY)
    account.numbers = {id: number(id) for id in "ab"}
    account.requests = {"r": request("r", "approved", "2025-12-01", "2025-12-05")}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2025-12-06T00:00:00"))
        assert connector.rows("release_request_flow")[0]["cost_at_stake"] == Decimal(2)
        held = account.numbers.pop("a")
        connector.load(observed_at=at("2025-12-10T00:00:00"))
        account.numbers["a"] = held
        connector.load(observed_at=at("2026-01-10T00:00:00"))
    (flow,) = connector.rows("release_request_flow")
    assert (flow["is_still_listed"], flow["cost_at_stake"]) == (False, None)
    assert ("approved_still_listed", "a") not in findings(connector)


def findings(connector: Connector) -> dict[tuple[str, str], Row]:
    return {(row["finding"], row["phone_number_id"]): row for row in connector.rows("findings")}


@pytest.mark.essential
def test_each_kind_of_finding(connect: Connect) -> None:
    like = {
        "country_code": "US",
        "type": "voice",
        "has_voice": True,
        "renewal_date": "2026-06-20",
        "current_status": "active",
    }
    usual = [number(f"usual-{n}", **like) for n in range(5)]
    connector = load_numbers(
        connect,
        *usual,
        number("approved", **like | {"agents": [{"id": "ana"}]}),  # BigQuery's emulator has no table without a row
        number("just approved", **like),
        number("pending, renews", **like | {"renewal_date": "2026-03-20"}),
        number("pending, renews later", **like),
        number("pending, ends", **like | {"renewal_date": "2026-03-20", "auto_renewal": False}),
        number("suspended", **like | {"current_status": "suspended"}),
        number("inactive, ends", **like | {"current_status": "inactive", "auto_renewal": False}),
        number("no agent", **like | {"agents": []}),
        number("no agent, ends", **like | {"agents": [], "auto_renewal": False}),
        number("sandbox", **like | {"is_sandbox": True}),
        number("free sandbox", **like | {"is_sandbox": True, "monthly_renewal_cost": 0, "country_code": "XX"}),
        number("dear", **like | {"monthly_renewal_cost": "3.02"}),
        number("just dear enough", **like | {"monthly_renewal_cost": "3.00"}),
        number("cheap", **like | {"monthly_renewal_cost": "1.33"}),
        number("other kind", **like | {"monthly_renewal_cost": "30", "country_code": "DE"}),
        number("no cost", **like | {"monthly_renewal_cost": None}),
        number("no currency", **like | {"currency": None}),
        requests=(
            request("1", "approved", "2026-02-01", "2026-03-01", "approved"),
            request("2", "approved", "2026-02-01", "2026-03-08", "just approved"),
            request("3", "pending", "2026-03-14", phone_number_id="pending, renews"),
            request("4", "pending", "2026-03-14", phone_number_id="pending, renews later"),
            request("5", "pending", "2026-03-14", phone_number_id="pending, ends"),
        ),
    )
    set_today(connector, date(2026, 3, 15))
    found = findings(connector)
    assert {key: row["monthly_cost"] for key, row in found.items()} == {
        ("approved_still_listed", "approved"): Decimal("2.00"),
        ("pending_renews_first", "pending, renews"): Decimal("2.00"),
        ("out_of_service_renews", "suspended"): Decimal("2.00"),
        ("no_agent", "no agent"): Decimal("2.00"),
        ("sandbox_costs", "sandbox"): Decimal("2.00"),
        ("price_outlier", "dear"): Decimal("1.02"),
        ("price_outlier", "cheap"): Decimal("0"),
        ("missing_cost", "no cost"): None,
        ("missing_currency", "no currency"): None,
    }
    assert found["approved_still_listed", "approved"]["evidence"] == "approved 14 days ago"
    assert found["pending_renews_first", "pending, renews"]["evidence"] == "renews in 5 days"
    assert found["out_of_service_renews", "suspended"]["evidence"] == "suspended, renews 2026-06-20"
    assert found["price_outlier", "dear"]["evidence"] == "151% of the median of 18 similar numbers"
    for row in found.values():
        assert row["description"].endswith(".")
        assert row["action"].endswith(".")
        assert "idle" not in row["description"]
    assert found["approved_still_listed", "approved"]["release_request_id"] == "1"
    assert found["pending_renews_first", "pending, renews"]["release_request_id"] == "3"


def test_half_a_percent_is_rounded_up_as_of_exact_money(connect: Connect) -> None:
    """2.135 times 100 is a hair less than 213.5 to a double."""
    alike = [number(f"alike {n}", monthly_renewal_cost="1.00") for n in range(5)]
    connector = load_numbers(connect, *alike, number("dear", monthly_renewal_cost="2.135"))
    assert findings(connector)["price_outlier", "dear"]["evidence"] == "214% of the median of 6 similar numbers"


def test_a_price_among_free_numbers_is_compared_without_dividing_by_zero(connect: Connect) -> None:
    free = [number(f"free {n}", monthly_renewal_cost=0) for n in range(5)]
    connector = load_numbers(connect, *free, number("dear", monthly_renewal_cost="90000000000000"))
    found = findings(connector)["price_outlier", "dear"]
    assert found["monthly_cost"] == Decimal("90000000000000")
    assert found["evidence"] == "far above the median of 6 similar numbers"


def test_a_price_far_above_the_median_is_compared_too(connect: Connect) -> None:
    cheap = [number(f"cheap {n}", monthly_renewal_cost="0.0001") for n in range(5)]
    connector = load_numbers(connect, *cheap, number("dear", monthly_renewal_cost="90000000000000"))
    assert findings(connector)["price_outlier", "dear"]["evidence"] == "far above the median of 6 similar numbers"


def test_the_saving_of_a_number_counts_once(connect: Connect) -> None:
    """Whatever it has findings for, of them the one at which most is at stake."""
    kept = number("a", monthly_renewal_cost="3.50", current_status="suspended", is_sandbox=True, agents=[])
    connector = load_numbers(connect, kept, number("unpriced", monthly_renewal_cost=None))
    rows = connector.rows("findings")
    assert {row["finding"] for row in rows} == {"out_of_service_renews", "sandbox_costs", "no_agent", "missing_cost"}
    assert [row["saving"] for row in rows if row["saving"] is not None] == [Decimal("3.50")]


@pytest.mark.slow
def test_what_a_decision_usually_takes_comes_from_ten_decisions(connect: Connect) -> None:
    """Nobody waits longer than two days here, so a renewal in five is no finding."""
    decided = [request(str(n), "approved", "2026-03-01", "2026-03-03", f"gone {n}") for n in range(10)]
    pending = request("p", "pending", "2026-03-14")
    connector = load_numbers(connect, number("a", renewal_date="2026-03-20"), requests=(*decided, pending))
    set_today(connector, date(2026, 3, 15))
    assert ("pending_renews_first", "a") not in findings(connector)
    set_today(connector, date(2026, 3, 19))
    assert ("pending_renews_first", "a") in findings(connector)


# Health.


def test_a_schedule_that_died_is_visible(loaded: Connector) -> None:
    listed_on = loaded.rows("load_runs")[0]["phone_numbers_listed_at"].date()
    set_today(loaded, listed_on + timedelta(days=9))
    health = {row["resource"]: row for row in loaded.rows("data_health")}
    assert (health["phone_numbers"]["age_days"], health["release_requests"]["age_days"]) == (9, 9)


@pytest.mark.slow
def test_a_filtered_listing_does_not_pass_for_a_complete_one(loaded: Connector) -> None:
    complete = loaded.rows("load_runs")[0]["phone_numbers_listed_at"]
    loaded.load(type="voice")
    health = {row["resource"]: row for row in loaded.rows("data_health")}["phone_numbers"]
    assert health["last_complete_listing_at"] == complete
    assert not health["last_listing_was_complete"]
    assert health["listed"] < health["rows_held"] == 57


# The same everywhere.


REFERENCE = {"destination": "duckdb", "pipeline_name": "reference"}
"""Where DuckDB is loaded beside another destination."""


def load_three_months(connect: Connect, *places: dict[str, str]) -> Connector:
    """An account of three months, with its agents and calls, in each of `places`."""
    account = Account(seed=5, size=40, founded=TODAY - timedelta(days=90))
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        for days in (90, 45, 0):
            account.advance(TODAY - timedelta(days=days))
            for where in places:
                connector.load(observed_at=noon(account.today), agents=True, **where)
        calls = some_calls(list(account.numbers.values()), account.today)
        for where in places:
            put(open_pipeline(**{"destination": connector.destination, "dataset": "talkover"} | where), **calls)
            connector.load(observed_at=noon(account.today), **where)
    return connector


def in_order(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """A view in the order of its grain, without what tells of the clock."""
    frame = frame.sort_values([*GRAIN[name]], ignore_index=True)
    if "agents" in frame:
        frame["agents"] = frame["agents"].map(plain)
    return frame.drop(columns={"last_complete_listing_at"} & set(frame))


def sorted_rows(name: str, **where: Any) -> pd.DataFrame:
    return in_order(name, read_view(name, **where))


def to_three_places(frame: pd.DataFrame) -> pd.DataFrame:
    """What BigQuery's emulator keeps of a NUMERIC that is cast; BigQuery keeps nine."""
    place = Decimal("0.001")
    return frame.map(lambda value: value.quantize(place, ROUND_HALF_UP) if isinstance(value, Decimal) else value)


@pytest.mark.core
@pytest.mark.essential
@pytest.mark.slow
def test_every_view_gives_the_rows_that_duckdb_gives(connect: Connect) -> None:
    connector = load_three_months(connect, REFERENCE, {})
    for name in GRAIN:
        found, expected = sorted_rows(name, destination=connector.destination), sorted_rows(name, **REFERENCE)
        if connector.destination == "bigquery":
            found, expected = to_three_places(found), to_three_places(expected)
        assert_frame_equal(found, expected, check_dtype=False, obj=name)


# Whatever a session is set to.


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An account that was loaded now and then over half a year: where it is, by destination."""
    account = Account(seed=5, size=80, founded=TODAY - timedelta(days=180))
    folder = tmp_path_factory.mktemp("played")
    where = {"duckdb": str(folder / "played.duckdb")}
    if "postgres" in request.config.getoption("--destinations"):
        where["postgres"] = new_database(request.getfixturevalue("postgres_server"))
    with pytest.MonkeyPatch.context() as patch, Sandbox(account) as sandbox:
        patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        patch.chdir(folder)
        for days in (180, 0):
            account.advance(TODAY - timedelta(days=days))
            for name, url in where.items():
                destination = dlt.destinations.duckdb(url) if name == "duckdb" else dlt.destinations.postgres(url)
                connector = Connector(sandbox, destination)
                pipeline_name = f"played_{name}"
                connector.load(observed_at=noon(account.today), agents=True, pipeline_name=pipeline_name)
                pipeline = open_pipeline(destination, "talkover", pipeline_name)
                put(pipeline, **some_calls(list(account.numbers.values()), account.today))
                connector.load(observed_at=noon(account.today), pipeline_name=pipeline_name)
    return where


SESSIONS = [
    pytest.param("postgres", "datestyle = 'German'", marks=pytest.mark.postgres),
    pytest.param("postgres", "datestyle = 'SQL, DMY'", marks=pytest.mark.postgres),
    pytest.param("postgres", "datestyle = 'Postgres, MDY'", marks=pytest.mark.postgres),
    pytest.param("postgres", "timezone = 'Pacific/Kiritimati'", marks=pytest.mark.postgres),
    pytest.param("postgres", "timezone = 'America/Sao_Paulo'", marks=pytest.mark.postgres),
    pytest.param("postgres", "intervalstyle = 'sql_standard'", marks=pytest.mark.postgres),
    pytest.param("postgres", "extra_float_digits = -15", marks=pytest.mark.postgres),
    pytest.param("postgres", "search_path = pg_catalog", marks=pytest.mark.postgres),
    ("duckdb", "timezone = 'Pacific/Kiritimati'"),
    ("duckdb", "timezone = 'America/Sao_Paulo'"),
    ("duckdb", "default_order = 'desc'"),
    ("duckdb", "default_null_order = 'nulls_first'"),
    ("duckdb", "integer_division = true"),
]


@pytest.mark.slow
@pytest.mark.xdist_group("sessions")  # one process plays the account for all of them
@pytest.mark.parametrize(("name", "setting"), SESSIONS)
def test_every_view_gives_the_same_rows_whatever_the_session_is_set_to(
    name: str, setting: str, played: dict[str, str]
) -> None:
    connection: Any = duckdb.connect(played[name]) if name == "duckdb" else psycopg2.connect(played[name])
    with closing(connection), connection.cursor() as session:
        for run in ("usual", "other"):
            for view in view_names():
                session.execute(f"create temporary table {run}_{view} as select * from talkover.{view}")
            session.execute(f"set {setting}" if run == "usual" else f"reset {setting.split(maxsplit=1)[0]}")
        rows = {}
        for table in (f"{run}_{view}" for run in ("usual", "other") for view in view_names()):
            session.execute(f"select * from {table}")
            rows[table] = Counter(session.fetchall())
    assert [view for view in view_names() if not rows[f"usual_{view}"]] == []
    assert [view for view in view_names() if rows[f"usual_{view}"] != rows[f"other_{view}"]] == []


# Making them.


def test_the_load_survives_a_view_that_cannot_be_created(account: Account, connector: Connector) -> None:
    if connector.destination == "clickhouse":
        pytest.skip("ClickHouse's `create or replace view` replaces a table of that name too")
    connector.load()
    connector.execute("drop view {findings}")
    connector.execute("create table {findings} (mine integer)")
    account.buy()
    with pytest.raises(ViewError, match="view findings could not be created: ") as error:
        connector.load()
    assert error.value.summary.resources["phone_numbers"].added == 1
    assert len(connector.rows("phone_numbers")) == 58
    assert len(connector.rows("current_numbers")) == 58


@pytest.mark.slow
def test_the_command_line_prints_the_summary_names_the_view_and_exits_1(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TALKOVER_TOKEN", sandbox.token)
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
    connector = Connector(sandbox)
    connector.load()
    connector.execute("drop view {data_health}")
    connector.execute("create table {data_health} (mine integer)")
    capsys.readouterr()
    assert main(["load"]) == 1
    out, err = capsys.readouterr()
    assert "phone_numbers" in out
    assert "data_health" in err


@pytest.mark.slow
def test_a_view_that_is_gone_or_changed_is_made_again(loaded: Connector) -> None:
    before = loaded.rows("current_numbers")
    loaded.execute("drop view {data_health}")
    loaded.load()
    assert loaded.rows("data_health")
    assert loaded.rows("current_numbers") == before


def test_views_are_not_made_again_where_nothing_about_them_changed(account: Account, connector: Connector) -> None:
    """A view of somebody else under the name of one of ours tells: it stays until views are asked for."""
    connector.load()
    connector.execute("drop view {data_health}")
    connector.execute("create view {data_health} as select 1 as mine")
    account.buy()
    connector.load()
    assert connector.rows("data_health") == [{"mine": 1}]
    assert main(["views", "--destination", connector.destination]) == 0
    assert connector.rows("data_health")[0].keys() != {"mine"}


@pytest.mark.slow
def test_views_are_made_without_loading(connect: Connect, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    connector = connect(sandbox)
    connector.load()
    connector.execute("drop view {data_health}")
    sandbox.seen.clear()
    assert main(["views", "--destination", connector.destination]) == 0
    assert capsys.readouterr().out.split() == list(view_names())
    assert sandbox.seen == []
    assert connector.rows("data_health")


@pytest.mark.duckdb
def test_no_views_are_made_where_that_is_switched_off(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__CREATE_VIEWS", "false")
    connector.load()
    assert main(["copy", "--to", "duckdb", "--to-dataset", "copied"]) == 0
    for dataset in ("talkover", "copied"):
        with pytest.raises(
            NothingLoaded, match=r"holds no findings .*: create_views is off, so build the models of dbt"
        ):
            read_view("findings", dataset=dataset)
        assert len(read_view("phone_numbers", dataset=dataset)) == 57
    connector.load(create_views=True)
    assert len(read_view("current_numbers")) == 57


OF_CALLS_ALONE = {"agent_usage", "call_coverage", "call_mix", "call_spans"}
NUMBERS_ALONE = {"calendar_months", "capability_share"} | OF_CALLS_ALONE
"""Views that read no table but phone_numbers, and those that need not be there."""


@pytest.fixture
def part(connector: Connector) -> Connector:
    """What a plain pipeline loads of one resource."""
    source = talkover_source(connector.sandbox.token, base_url=connector.sandbox.base_url)
    connector.pipeline().run(source.with_resources("phone_numbers"))
    return connector


def test_views_are_made_as_far_as_their_tables_are_there(part: Connector, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["views", "--destination", part.destination]) == 0
    out, err = capsys.readouterr()
    assert set(out.split()) == NUMBERS_ALONE == {name for name in view_names() if part.has(name)}
    [sentence] = err.splitlines()
    assert sentence == (
        "talkover: the dataset has no phone_number_agents or phone_number_changes or release_requests or "
        "release_request_changes or load_runs"
        f", so these views were not created: {', '.join(name for name in view_names() if name not in NUMBERS_ALONE)}. "
        "`talkover load` brings every table"
    )


def test_a_view_that_fails_is_no_view_without_tables(part: Connector) -> None:
    if part.destination == "clickhouse":
        pytest.skip("ClickHouse's `create or replace view` replaces a table of that name too")
    part.execute("create table {capability_share} (mine integer)")
    pipeline = part.pipeline()
    with pipeline.sql_client() as client:
        views = create_views(client, Path(pipeline.working_dir))
    assert ({*views.made}, [*views.failed]) == (NUMBERS_ALONE - {"capability_share"}, ["capability_share"])
    assert views.not_made == set(view_names()) - NUMBERS_ALONE
    assert all(len(reason) <= 200 for reason in views.failed.values())


def test_a_load_notes_the_views_that_lack_a_table(connector: Connector) -> None:
    """As a job of somebody else may drop it, between the load and the views."""
    drops = DisturbingTheEnd("Load", lambda: connector.execute("drop table {release_request_changes}"))
    assert connector.load(progress=drops).notes == [
        "the dataset has no release_request_changes, so these views were not created: release_request_history. "
        "`talkover load` brings every table"
    ]


def test_views_that_fail_are_one_short_sentence(part: Connector) -> None:
    if part.destination == "clickhouse":
        pytest.skip("ClickHouse's `create or replace view` replaces a table of that name too")
    for view in ("calendar_months", "capability_share"):
        part.execute(f"create table {{{view}}} (mine integer)")
    with pytest.raises(ViewError, match="view calendar_months could not .*; nor could .*capability_share") as error:
        part.load()
    assert len(str(error.value)) < 400
    assert len(part.rows("current_numbers")) == 57


def test_there_are_no_views_of_nothing(warehouse: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["views", "--destination", warehouse]) == 1
    assert capsys.readouterr().err.startswith("talkover: dataset 'talkover' does not exist yet: run `talkover load`")
    assert not list(Path().glob("*.duckdb")), "looking must not make a file"


@pytest.mark.slow
def test_views_of_the_demo_are_made_without_loading(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "--demo"]) == 0
    with duckdb.connect("talkover_demo.duckdb") as file:
        file.execute("drop view talkover.findings")
    capsys.readouterr()
    assert main(["views", "--demo"]) == 0
    assert capsys.readouterr().out.split() == list(view_names())
    with duckdb.connect("talkover_demo.duckdb") as file:
        assert file.execute("select count(*) > 0 from talkover.findings").fetchone() == (True,)


# Other dialects: what was only parsed is said in the docs.


@pytest.mark.parametrize(
    "dialect", ["snowflake", "bigquery", "redshift", "databricks", "tsql", "clickhouse", "duckdb", "postgres"]
)
@pytest.mark.parametrize("name", sorted(GRAIN))
def test_a_view_is_translated_without_anything_that_the_dialect_lacks(name: str, dialect: str) -> None:
    text = view_sql(name, dialect)
    [statement] = sqlglot.parse(text, read=dialect)
    unknown = [function.name for function in statement.find_all(exp.Anonymous)]
    assert set(unknown) <= {"toNullable"}, "ClickHouse's own"
    assert ";" not in text, "dlt splits what it sends to ClickHouse there"
    assert dialect in ("duckdb", "postgres", "bigquery") or not statement.find(exp.Interval), "few add intervals"
    with_errors = view_sql(name, "duckdb")
    sqlglot.transpile(with_errors, read="duckdb", write=dialect, unsupported_level=sqlglot.ErrorLevel.RAISE)


def test_money_has_four_places_in_bigquery_too() -> None:
    """A cast to NUMERIC keeps nine."""
    views = {name: sqlglot.parse_one(view_sql(name, "bigquery"), read="bigquery") for name in GRAIN}
    casts = [
        (name, cast) for name, view in views.items() for cast in view.find_all(exp.Cast) if cast.is_type("decimal")
    ]
    assert casts
    assert [name for name, cast in casts if not isinstance(cast.parent, exp.Round)] == []


@pytest.mark.essential
@pytest.mark.parametrize("dialect", ["snowflake", "mysql", "clickhouse"])
def test_views_are_printed_in_a_dialect(dialect: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["views", "--print", dialect]) == 0
    printed = capsys.readouterr().out
    assert printed.count("CREATE OR REPLACE VIEW") == len(GRAIN)


def test_a_dialect_that_nobody_knows_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["views", "--print", "klingon"]) == 2
    assert "klingon" in capsys.readouterr().err
