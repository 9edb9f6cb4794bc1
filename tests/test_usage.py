"""What calls and agents tell of numbers: the views that read the tables which are loaded where they are wanted."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pytest
import sqlglot
from sqlglot import exp

from talkover.sandbox import Account, Sandbox
from talkover.sync.tables import MORE_TABLES
from talkover.views import create_views, view_names, view_sql

from .conftest import TODAY, Connect, Connector, Row, at
from .test_views import (
    GRAIN,
    OF_CALLS_ALONE,
    assert_grain,
    findings,
    number,
    put,
    request,
    set_today,
    some_calls,
    window,
)

pytestmark = pytest.mark.sql

OF_CALLS = {"call_coverage", "call_mix", "call_spans", "number_usage", "agent_usage"}

ANA, BEN = {"id": "ana", "name": "Ana"}, {"id": "ben", "name": "Ben"}


def call(id: str, phone_number: str | None, began: str, **values: Any) -> Row:
    """A row of calls: inbound and answered unless it says otherwise."""
    usual = {"environment_key": "default", "direction": "inbound", "status": "completed", "is_testing": False}
    return {"id": id, "phone_number": phone_number, "created_at": at(began), **usual, **values}


def give(connector: Connector, **rows: list[Row]) -> None:
    put(connector.pipeline(), **rows)


def make_views(connector: Connector) -> None:
    """Makes the views again: which tables there are may have changed."""
    pipeline = connector.pipeline()
    with pipeline.sql_client() as client:
        assert create_views(client, Path(pipeline.working_dir)).made == view_names()


def usage(connector: Connector) -> dict[tuple[Any, ...], Row]:
    """number_usage by number, text and month."""
    return {
        (row["phone_number_id"], row["phone_number"], str(row["month"])[:7]): row
        for row in connector.rows("number_usage")
    }


def calls_of(row: Row) -> tuple[int, ...]:
    return tuple(row[name] for name in ("calls_in", "calls_out", "calls_unknown_direction", "test_calls"))


def account_of(*numbers: Row) -> Account:
    """An account of these numbers, and of what BigQuery's emulator needs, which has no table without a row."""
    account = Account(size=0, founded=TODAY)
    account.numbers = {row["id"]: row for row in numbers}
    account.requests = {"settled": request("settled", "cancelled", "2025-06-01", phone_number_id="gone long ago")}
    return account


# Tables that may be absent.


@pytest.mark.essential
def test_every_view_is_there_without_those_tables(loaded: Connector) -> None:
    assert not any(loaded.rows(table) for table in MORE_TABLES)
    rows = loaded.tables(*view_names())
    assert all(loaded.has(name) for name in view_names())
    assert {name for name in OF_CALLS if rows[name]} == set()
    assert {row["status"] for row in rows["number_agents"]} == {"one source"}
    assert {row["on_agent"] for row in rows["number_agents"]} == {None}
    assert len(rows["number_agents"]) == len(loaded.rows("phone_number_agents"))
    assert {row["resource"] for row in rows["data_health"]} == {"phone_numbers", "release_requests"}
    assert {row["finding"] for row in rows["findings"]}.isdisjoint({"no_calls", "still_receives_calls"})


@pytest.mark.essential
def test_views_read_those_tables_once_they_are_there_and_no_longer_once_they_are_gone(
    account: Account, loaded: Connector
) -> None:
    loaded.load()
    rows = some_calls(list(account.numbers.values()), TODAY)
    give(loaded, **rows)
    assert loaded.load().notes == []
    assert loaded.rows("call_coverage")[0]["calls"] == len(rows["calls"])
    assert sum(sum(calls_of(row)) for row in loaded.rows("number_usage")) == len(rows["calls"])
    for table in ("calls", "call_windows"):
        loaded.execute(f"drop table {{{table}}}{' cascade' if loaded.destination == 'postgres' else ''}")
    assert loaded.load().notes == []
    assert {name for name in OF_CALLS if loaded.rows(name)} == set()
    assert all(loaded.has(name) for name in view_names())


def test_agents_are_read_from_the_first_load_of_them_on(loaded: Connector) -> None:
    loaded.load()
    loaded.load(agents=True)
    assert {row["status"] for row in loaded.rows("number_agents")} == {"agree"}
    loaded.load()
    assert {row["status"] for row in loaded.rows("number_agents")} == {"agree"}


@pytest.mark.duckdb
def test_a_pipeline_that_loads_no_calls_leaves_the_views_of_those_of_another(
    account: Account, connector: Connector, workspace: Path
) -> None:
    where: dict[str, Any] = {"destination": dlt.destinations.duckdb(str(workspace / "talkover_pipeline.duckdb"))}
    connector.load()
    give(connector, **some_calls(list(account.numbers.values()), TODAY))
    connector.load(pipeline_name="another", **where)
    assert connector.rows("number_usage")


def test_missing_tables_are_never_those_that_are_loaded_where_they_are_wanted(loaded: Connector) -> None:
    loaded.execute("drop view {release_request_history}")
    loaded.execute("drop table {release_request_changes}")
    pipeline = loaded.pipeline()
    with pipeline.sql_client() as client:
        views = create_views(client, Path(pipeline.working_dir))
    assert views.missing == ("release_request_changes",)
    assert views.failed == {}


@pytest.mark.parametrize(
    "dialect", ["snowflake", "bigquery", "redshift", "databricks", "tsql", "clickhouse", "mysql", "duckdb", "postgres"]
)
def test_a_view_of_absent_tables_is_translated_without_them(dialect: str) -> None:
    for name in view_names():
        text = view_sql(name, dialect, absent=MORE_TABLES)
        [statement] = sqlglot.parse(text, read=dialect)
        assert {table.name for table in statement.find_all(exp.Table)}.isdisjoint(MORE_TABLES)
        assert ";" not in text
    assert "Nullable(String)" in view_sql("call_coverage", "clickhouse", absent=MORE_TABLES)


# Which days are complete.

WINDOWS = [
    window("2026-01-01", "2026-01-10", "2026-02-20T12:00:00"),
    window("2026-01-05", "2026-01-07", "2026-02-20T12:00:00"),  # within another
    window("2026-01-11", "2026-01-15", "2026-02-20T12:00:00"),  # right behind it
    window("2026-01-17", "2026-01-20", "2026-02-20T12:00:00"),  # the 16th is missing
    window("2026-01-18", "2026-02-10", "2026-02-20T12:00:00", complete=False),
    window("2026-03-01", "2026-03-31", "2026-03-20T00:30:00"),  # the 19th is not over in every zone
    window("2026-03-10", "2026-03-12", "2026-03-14T00:30:00"),
    window("2026-03-19", "2026-03-25", "2026-03-20T23:30:00"),
]


def test_days_are_complete_once_they_had_passed_everywhere_when_they_were_read(connect: Connect) -> None:
    with Sandbox(account_of(number("a", number="+1"))) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-03-20T00:00:00"))
    give(connector, call_windows=WINDOWS, calls=[call("1", "+1", "2026-01-02T00:00:00")])
    set_today(connector, date(2026, 3, 21))
    spans = sorted((row["complete_from"], row["complete_until"]) for row in connector.rows("call_spans"))
    assert spans == [
        (date(2026, 1, 1), date(2026, 1, 15)),
        (date(2026, 1, 17), date(2026, 1, 20)),
        (date(2026, 3, 1), date(2026, 3, 18)),
    ]
    (coverage,) = connector.rows("call_coverage")
    assert coverage == {
        "environment_key": "default",
        "complete_from": date(2026, 3, 1),
        "complete_until": date(2026, 3, 18),
        "last_read_at": at("2026-03-20T23:30:00"),
        "windows": 8,
        "calls": 1,
    }


def test_a_load_that_was_not_completed_counts_for_nothing(connect: Connect) -> None:
    """Its windows may be there, and its calls not."""
    with Sandbox(account_of(number("a", number="+1"))) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-03-20T00:00:00"))
    give(connector, call_windows=[window("2026-01-01", "2026-01-10", "2026-02-20T12:00:00")])
    give(connector, call_windows=[window("2026-01-11", "2026-01-20", "2026-02-20T12:00:00")])
    make_views(connector)
    newest = "select _dlt_load_id from {call_windows} where extract(day from first_day) = 11"
    connector.execute(f"delete from {{_dlt_loads}} where load_id in ({newest})")
    (coverage,) = connector.rows("call_coverage")
    assert (coverage["complete_until"], coverage["windows"]) == (date(2026, 1, 10), 1)
    connector.execute("delete from {_dlt_loads} where 1 = 1")
    assert {name for name in OF_CALLS_ALONE if connector.rows(name)} == set()
    assert connector.rows("number_usage") == []


def test_an_environment_without_a_complete_day_has_coverage_all_the_same(loaded: Connector) -> None:
    give(loaded, call_windows=[window("2026-03-14", "2026-03-20", "2026-03-15T12:00:00")])
    loaded.load()
    (coverage,) = loaded.rows("call_coverage")
    assert (coverage["complete_from"], coverage["complete_until"], coverage["calls"]) == (None, None, 0)


# Calls of numbers.


@pytest.fixture
def rebought(connect: Connect) -> Connector:
    """`a` is +1 from November on, `b` is +2 from January on; +1 is bought again, as `c`, before `a` was missed."""
    account = account_of(
        number("a", number="+1", created_at="2025-11-20T10:00:00Z"),
        number("b", number="+2", created_at="2026-01-02T00:00:00Z", monthly_renewal_cost="3.00", agents=[ANA]),
    )
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-05T00:00:00"))
        del account.numbers["a"]
        account.numbers["b"]["monthly_renewal_cost"] = "4.00"
        account.numbers["c"] = number(
            "c", number="+1", created_at="2026-02-08T08:00:00Z", monthly_renewal_cost="5.00", currency="EUR"
        )
        connector.load(observed_at=at("2026-02-10T12:00:00"))
    return connector


@pytest.mark.essential
def test_a_call_is_on_the_number_that_was_held_under_that_text_when_it_began(rebought: Connector) -> None:
    other = {"environment_key": "other"}
    calls = [
        call("before a was bought", "+1", "2025-11-20T09:59:59"),
        call("before the first load", "+1", "2025-12-15T00:00:00"),
        call("a's last", "+1", "2026-02-08T07:59:59", party_hash="x"),
        call("c's first", "+1", "2026-02-08T08:00:00", party_hash="x"),
        call("before b was bought", "+2", "2026-01-01T23:59:59"),
        call("b", "+2", "2026-01-02T00:00:00"),
        call("unknown", "+9", "2026-01-02T00:00:00"),
        call("no number", None, "2026-01-02T00:00:00"),
        call("no number either", None, "2026-01-03T00:00:00", direction="outbound"),
        call("in another environment", "+1", "2026-01-02T00:00:00", **other),
    ]
    windows = [
        window("2025-12-10", "2026-03-14", "2026-03-15T12:00:00"),
        window("2026-02-10", "2026-03-14", "2026-03-15T12:00:00", **other),
    ]
    give(rebought, calls=calls, call_windows=windows)
    set_today(rebought, date(2026, 3, 15))
    counted = {
        (row["environment_key"], *key): row["calls_in"] + row["calls_out"] for key, row in usage(rebought).items()
    }
    assert {key: calls for key, calls in counted.items() if calls} == {
        ("default", None, "+1", "2025-11"): 1,
        ("default", "a", "+1", "2025-12"): 1,
        ("default", "a", "+1", "2026-02"): 1,
        ("default", "c", "+1", "2026-02"): 1,
        ("default", None, "+2", "2026-01"): 1,
        ("default", "b", "+2", "2026-01"): 1,
        ("default", None, "+9", "2026-01"): 1,
        ("default", None, None, "2026-01"): 2,
        ("other", None, "+1", "2026-01"): 1,
    }
    health = {(row["environment_key"], row["resource"]): row for row in rebought.rows("data_health")}
    assert health["default", "calls"]["without_known_number"] == 3, "+9 and those of no number"
    assert health["other", "calls"]["without_known_number"] == 1


def test_a_number_has_a_row_in_each_month_that_it_was_held_in_with_what_it_then_cost(rebought: Connector) -> None:
    give(rebought, call_windows=[window("2025-12-10", "2026-03-14", "2026-03-15T12:00:00")])
    set_today(rebought, date(2026, 3, 15))
    found = usage(rebought)
    assert {key: (row["monthly_cost"], row["currency"]) for key, row in found.items()} == {
        ("a", "+1", "2025-12"): (None, None),
        ("a", "+1", "2026-01"): (Decimal(2), "USD"),
        ("a", "+1", "2026-02"): (Decimal(2), "USD"),
        ("b", "+2", "2026-01"): (Decimal(3), "USD"),
        ("b", "+2", "2026-02"): (Decimal(4), "USD"),
        ("b", "+2", "2026-03"): (Decimal(4), "USD"),
        ("c", "+1", "2026-02"): (Decimal(5), "EUR"),
        ("c", "+1", "2026-03"): (Decimal(5), "EUR"),
    }
    nothing = {"answered": 0, "minutes": 0, "callers": 0, "last_call_at": None}
    nothing |= {"cost_per_answered_call": None, "cost_per_minute": None}
    for row in found.values():
        assert calls_of(row) == (0, 0, 0, 0)
        assert {name: row[name] for name in nothing} == nothing
    complete = {month for (_, _, month), row in found.items() if row["is_complete"]}
    assert complete == {"2026-01", "2026-02"}, "neither the month in which the windows begin, nor the running one"


def test_there_is_no_usage_where_no_calls_were_loaded(rebought: Connector) -> None:
    give(rebought, calls=[], call_windows=[])
    assert rebought.rows("number_usage") == []


@pytest.mark.essential
def test_half_of_the_last_digit_is_rounded_up_as_of_exact_money(connect: Connect) -> None:
    """0.57 times 10,000 is a hair less than 5,700 to a double."""
    account = account_of(
        number("a", number="+1", created_at="2025-11-20T10:00:00Z", monthly_renewal_cost="0.57"),
        number("b", number="+2", created_at="2025-11-20T10:00:00Z", monthly_renewal_cost="0.41"),
    )
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-01T00:00:00"))
    calls = [call(f"a{n}", "+1", "2026-01-10T10:00:00") for n in range(8)]
    calls.append(call("b", "+2", "2026-01-10T10:00:00", duration=32))
    give(connector, calls=calls, call_windows=[window("2026-01-01", "2026-03-14", "2026-03-15T12:00:00")])
    set_today(connector, date(2026, 3, 15))
    rows = usage(connector)
    assert rows["a", "+1", "2026-01"]["cost_per_answered_call"] == Decimal("0.0713"), "0.07125"
    assert rows["b", "+2", "2026-01"]["cost_per_minute"] == Decimal("0.7688"), "0.76875"


@pytest.mark.essential
def test_the_calls_of_a_month_are_counted_by_what_they_were(rebought: Connector) -> None:
    january = "2026-01-10T10:00:00"
    calls = [
        call("1", "+2", january, duration=61, party_hash="x"),
        call("2", "+2", "2026-01-31T23:59:59", duration=29, party_hash="x", status="answered"),
        call("3", "+2", january, status="in-progress", party_hash="y"),
        call("4", "+2", january, status="no-answer", duration=0),
        call("5", "+2", january, status="busy", direction="outbound", party_hash="z"),
        call("6", "+2", january, direction="outbound", duration=600, party_hash="z"),
        call("7", "+2", january, direction=None, status=None, party_hash="x"),
        call("8", "+2", january, direction="sideways", duration=10),
        call("9", "+2", "2026-01-31T23:59:59", is_testing=True, duration=6000, party_hash="test"),
        call("10", "+2", "2026-01-20T10:00:00", is_testing=None),
        call("11", "+2", "2026-02-01T00:00:00", duration=30),
    ]
    give(rebought, calls=calls, call_windows=[window("2026-01-01", "2026-03-14", "2026-03-15T12:00:00")])
    set_today(rebought, date(2026, 3, 15))
    row = usage(rebought)["b", "+2", "2026-01"]
    assert calls_of(row) == (5, 2, 2, 1)
    assert (row["answered"], row["callers"]) == (6, 3)
    assert row["minutes"] == Decimal("11.67"), "700 seconds"
    assert row["last_call_at"] == at("2026-01-31T23:59:59")
    assert row["cost_per_answered_call"] == Decimal("0.5"), "3.00 for 6"
    assert round(row["cost_per_minute"], 3) == Decimal("0.257"), "3.00 for 700 seconds"
    row = usage(rebought)["b", "+2", "2026-02"]
    assert (calls_of(row), row["minutes"], row["cost_per_minute"]) == ((1, 0, 0, 0), Decimal("0.5"), Decimal(8))


def test_a_number_that_changes_its_text_or_comes_back_costs_once_a_month(connect: Connect) -> None:
    account = account_of(number("a", number="+1", created_at="2025-12-01T00:00:00Z"), number("b", number="+5"))
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-05T00:00:00"))
        account.numbers["a"]["number"] = "+2"
        connector.load(observed_at=at("2026-01-10T00:00:00"))
        held = account.numbers.pop("a")
        connector.load(observed_at=at("2026-02-10T00:00:00"))
        account.numbers["a"] = held
        connector.load(observed_at=at("2026-02-20T00:00:00"))
    calls = [
        call("1", "+1", "2026-01-09T23:59:59"),
        call("2", "+2", "2026-01-09T23:59:59"),
        call("3", "+2", "2026-01-10T00:00:00"),
        call("4", "+2", "2026-02-10T00:00:00"),
        call("5", "+2", "2026-02-20T00:00:00"),
        call("6", "+5", "2026-01-04T00:00:00"),  # before it was first seen: when it was bought is not known
    ]
    give(connector, calls=calls, call_windows=[window("2026-01-01", "2026-02-20", "2026-03-15T12:00:00")])
    set_today(connector, date(2026, 2, 25))
    assert {key: (row["calls_in"], row["monthly_cost"]) for key, row in usage(connector).items()} == {
        ("a", "+1", "2026-01"): (1, None),
        ("a", "+2", "2026-01"): (1, Decimal(2)),
        (None, "+2", "2026-01"): (1, None),
        ("a", "+2", "2026-02"): (1, Decimal(2)),
        (None, "+2", "2026-02"): (1, None),
        ("b", "+5", "2026-01"): (0, Decimal(2)),
        ("b", "+5", "2026-02"): (0, Decimal(2)),
        (None, "+5", "2026-01"): (1, None),
    }
    assert len(connector.rows("number_holdings")) == 4
    assert_grain(connector)


def test_usage_of_numbers_and_of_agents_adds_up_to_all_calls(account: Account, loaded: Connector) -> None:
    rows = some_calls(list(account.numbers.values()), TODAY)
    rows["calls"].append(call("never began", "+1", "2026-01-01T00:00:00") | {"created_at": None})
    give(loaded, **rows)
    loaded.load()
    found = assert_grain(loaded)
    for view in ("number_usage", "agent_usage", "call_mix"):
        assert sum(sum(calls_of(row)) for row in found[view]) == len(rows["calls"]) == 201
        assert sum(row["test_calls"] for row in found[view]) == sum(row["is_testing"] for row in rows["calls"])
        seconds = sum(row.get("duration") or 0 for row in rows["calls"] if not row["is_testing"])
        assert sum(row["minutes"] for row in found[view]) == pytest.approx(Decimal(seconds) / 60, abs=1)


# Calls of agents.


def test_the_calls_of_an_agent_have_its_newest_name(loaded: Connector) -> None:
    calls = [
        call("1", "+1", "2026-01-10T00:00:00", agent__id="x", agent__name="Old", duration=30, party_hash="p"),
        call("2", "+2", "2026-01-11T00:00:00", agent__id="x", agent__name="New", duration=30, party_hash="p"),
        call("3", "+2", "2026-01-12T00:00:00", agent__id="x", direction="outbound", status="failed", party_hash="q"),
        call("4", "+3", "2026-01-13T00:00:00", agent__id="x", is_testing=True),
        call("5", "+1", "2026-02-01T00:00:00", agent__id="listed", agent__name="On the call"),
        call("6", "+1", "2026-02-02T00:00:00"),
    ]
    give(
        loaded,
        calls=calls,
        call_windows=[window("2026-01-01", "2026-02-20", "2026-03-15T12:00:00")],
        agents=[{"id": "listed", "name": "In the list", "environment_key": "default"}],
    )
    loaded.load()
    rows = {row["agent_id"]: row for row in loaded.rows("agent_usage")}
    assert rows["x"] == {
        "environment_key": "default",
        "agent_id": "x",
        "agent_name": "New",
        "month": date(2026, 1, 1),
        "calls_in": 2,
        "calls_out": 1,
        "calls_unknown_direction": 0,
        "answered": 2,
        "minutes": Decimal(1),
        "callers": 2,
        "numbers": 2,
        "test_calls": 1,
        "last_call_at": at("2026-01-12T00:00:00"),
    }
    assert rows["listed"]["agent_name"] == "In the list"
    assert (rows[None]["agent_name"], rows[None]["calls_in"]) == (None, 1)


# Agents of numbers.


def agent(id: str, *numbers: str, knows: bool = True) -> Row:
    """A row of agents, whose list of numbers is known or not."""
    listed = [{"id": number} for number in numbers] if knows else None
    return {"id": id, "name": id.title(), "environment_key": "default", "phone_numbers": listed}


def link(agent_id: str, phone_number_id: str) -> Row:
    return {"agent_id": agent_id, "phone_number_id": phone_number_id, "environment_key": "default"}


@pytest.fixture
def linked(connect: Connect) -> Connector:
    """Numbers whose agents are known or not, after a complete listing of agents that named none of them."""
    like: Row = {"created_at": "2025-06-01T00:00:00Z"}
    account = account_of(
        number("both", agents=[ANA], **like),
        number("number alone", agents=[ANA], **like),
        number("agent alone", agents=[], **like),
        number("agent, and the number is silent", agents=None, **like),
        number("agent is silent", agents=[BEN], **like),
        number("nobody", agents=[], **like),
        number("silent", agents=None, **like),
        number("silent and new", agents=None, created_at="2099-01-01T00:00:00Z"),
    )
    with Sandbox(account) as sandbox:
        for one in list(account.agents):
            account.dismiss(one["id"])
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-01T00:00:00"), agents=True)
    return connector


@pytest.mark.essential
def test_what_numbers_and_agents_say_of_each_other_is_compared(linked: Connector) -> None:
    named = ("both", "agent alone", "agent, and the number is silent", "never listed")
    give(
        linked,
        agents=[agent("ana", *named), agent("ben", knows=False)],
        agent_phone_numbers=[link("ana", phone_number_id) for phone_number_id in named],
    )
    make_views(linked)
    rows = {(row["phone_number_id"], row["agent_id"]): row for row in linked.rows("number_agents")}
    assert {key: (row["on_number"], row["on_agent"], row["status"]) for key, row in rows.items()} == {
        ("both", "ana"): (True, True, "agree"),
        ("number alone", "ana"): (True, False, "only the number"),
        ("agent alone", "ana"): (False, True, "only the agent"),
        ("agent, and the number is silent", "ana"): (None, True, "one source"),
        ("agent is silent", "ben"): (True, None, "one source"),
        ("never listed", "ana"): (None, True, "one source"),
    }
    assert {row["environment_key"] for row in rows.values()} == {"default"}
    assert {row["agent_name"] for row in rows.values()} == {"Ana", "Ben"}
    counts = {row["phone_number_id"]: row["agent_count"] for row in linked.rows("current_numbers")}
    assert counts == {
        "both": 1,
        "number alone": 1,
        "agent alone": 1,
        "agent, and the number is silent": 1,
        "agent is silent": 1,
        "nobody": 0,
        "silent": None,  # Ben may answer on it
        "silent and new": None,
    }
    by_agent = {row["agent"]: row["numbers"] for row in linked.rows("cost_by_agent")}
    assert by_agent == {"Ana": 4, "Ben": 1, "no agent": 1, "unknown": 2}
    assert {id for finding, id in findings(linked) if finding == "no_agent"} == {"nobody"}


def test_a_number_that_no_agent_of_a_complete_listing_names_has_none(linked: Connector) -> None:
    give(linked, agents=[agent("ana"), agent("ben")])
    make_views(linked)
    counts = {row["phone_number_id"]: row["agent_count"] for row in linked.rows("current_numbers")}
    assert (counts["silent"], counts["silent and new"]) == (0, None), "the listing was before it was bought"
    assert {id for finding, id in findings(linked) if finding == "no_agent"} == {"agent alone", "nobody", "silent"} | {
        "agent, and the number is silent"
    }
    linked.update("load_runs", "agents_complete = false")
    counts = {row["phone_number_id"]: row["agent_count"] for row in linked.rows("current_numbers")}
    assert (counts["silent"], counts["nobody"]) == (None, 0)


# Findings.

UNTIL = date(2026, 3, 31)


@pytest.fixture
def called(connect: Connect) -> Connector:
    """Numbers that were all bought in a year before UNTIL, unless their name says otherwise."""
    like: Row = {"created_at": "2025-06-01T00:00:00Z", "has_voice": True}
    names = (
        "never",
        "31 days ago",
        "30 days ago",
        "89 days ago",
        "90 days ago",
        "since",
        "unanswered",
        "tests",
        "again",
    )
    account = account_of(
        *(number(name, number=f"+{name}", **like) for name in names),
        number("free", number="+free", **like | {"monthly_renewal_cost": 0}),
        number("sms alone", number="+sms", created_at=like["created_at"], has_sms=True, has_voice=False),
        number("not known for what", number="+any", created_at=like["created_at"]),
        number("bought 60 days ago", number="+new", **like | {"created_at": "2026-01-30T10:00:00Z"}),
        number("shares with again", number="+again", **like | {"created_at": "2025-07-01T00:00:00Z"}),
        number("without text", number=None, agents=[ANA], **like),
    )
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-02-01T00:00:00"))
    calls = [
        call("1", "+31 days ago", f"{UNTIL - timedelta(days=30)}T23:59:59"),
        call("2", "+30 days ago", f"{UNTIL - timedelta(days=29)}T00:00:00"),
        call("3", "+89 days ago", f"{UNTIL - timedelta(days=89)}T00:00:00"),
        call("4", "+90 days ago", f"{UNTIL - timedelta(days=90)}T23:59:59"),
        call("5", "+since", f"{UNTIL + timedelta(days=1)}T00:00:00"),
        *(call(f"no {n}", "+unanswered", f"2026-03-0{n}T00:00:00", status="no-answer") for n in (1, 2, 3, 4)),
        call("too long ago", "+unanswered", f"{UNTIL - timedelta(days=90)}T23:59:59", status="no-answer"),
        call("test", "+tests", "2026-03-01T00:00:00", is_testing=True),
        call("again", "+again", "2026-03-05T00:00:00"),
        call("in another environment", "+never", "2026-03-01T00:00:00", environment_key="other"),
    ]
    give(connector, calls=calls, call_windows=[window("2025-10-01", "2026-04-02", "2026-04-02T12:00:00")])
    return connector


def quiet(connector: Connector) -> dict[str, str]:
    """The evidence of each finding of that kind, by number."""
    return {id: row["evidence"] for (finding, id), row in findings(connector).items() if finding == "no_calls"}


@pytest.mark.essential
def test_a_number_without_an_answered_call_is_found_for_the_longest_time_that_holds(called: Connector) -> None:
    set_today(called, date(2026, 4, 3))
    month, two, three = (f"no answered call from 2026-{day} to 2026-03-31, " for day in ("03-02", "01-31", "01-01"))
    assert quiet(called) == {
        "never": f"{three}0 unanswered",
        "31 days ago": f"{month}0 unanswered",
        "89 days ago": f"{two}0 unanswered",
        "90 days ago": f"{three}0 unanswered",
        "unanswered": f"{three}4 unanswered",
        "tests": f"{three}0 unanswered",
        "not known for what": f"{three}0 unanswered",
        "bought 60 days ago": f"{two}0 unanswered",
    }
    found = findings(called)
    row = found["no_calls", "never"]
    assert (row["description"], row["monthly_cost"], row["saving"]) == (
        "No answered call in 90 days, but paid for.",
        Decimal(2),
        Decimal(2),
    )
    assert row["action"].endswith(".")
    assert found["no_calls", "31 days ago"]["description"] == "No answered call in 30 days, but paid for."


def test_no_number_is_quiet_over_days_that_are_not_complete(called: Connector) -> None:
    set_today(called, date(2026, 4, 5))
    assert quiet(called)
    set_today(called, date(2026, 4, 6))
    assert quiet(called) == {}, "the last complete day is six days ago"
    called.execute("delete from {call_windows} where 1 = 1")
    give(called, call_windows=[window("2026-01-31", "2026-04-02", "2026-04-02T12:00:00")])
    set_today(called, date(2026, 4, 3))
    assert {evidence[:32] for evidence in quiet(called).values()} == {
        "no answered call from 2026-01-31",
        "no answered call from 2026-03-02",
    }
    called.execute("delete from {call_windows} where 1 = 1")
    give(called, call_windows=[window("2026-03-03", "2026-04-02", "2026-04-02T12:00:00")])
    assert quiet(called) == {}


@pytest.mark.essential
def test_a_number_that_is_to_be_released_and_still_receives_calls_is_found(connect: Connect) -> None:
    account = account_of(
        *(number(id, number=f"+{id}", created_at="2025-06-01T00:00:00Z") for id in ("a", "b", "c", "d", "e")),
        number("f", number="+f", created_at="2025-06-01T00:00:00Z", agents=[ANA]),
    )
    requests = [
        request("pending", "pending", "2026-03-01", phone_number_id="a"),
        request("approved", "approved", "2026-02-01", "2026-02-03", "b"),
        request("rejected", "rejected", "2026-02-01", "2026-02-03", "c"),
        request("long ago", "approved", "2025-12-01", "2025-12-03", "d"),
        request("quiet", "pending", "2026-02-01", phone_number_id="e"),
        request("gone", "approved", "2026-02-01", "2026-02-03", "gone"),
    ]
    account.requests = {row["id"]: row for row in requests}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load(observed_at=at("2026-01-01T00:00:00"))
    calls = [
        call("1", "+a", "2026-03-01T08:59:59"),
        call("2", "+a", "2026-03-01T09:00:00", status="no-answer"),
        call("3", "+a", "2026-04-02T23:00:00"),
        call("4", "+b", "2026-02-05T00:00:00"),
        call("5", "+b", "2026-02-06T00:00:00", direction="outbound"),
        call("6", "+b", "2026-02-07T00:00:00", is_testing=True),
        call("7", "+c", "2026-02-05T00:00:00"),
        call("8", "+d", "2025-12-31T23:59:59"),
        call("9", "+d", "2026-01-01T00:00:00"),
        call("10", "+gone", "2026-03-01T00:00:00"),
        call("11", "+f", "2026-03-01T00:00:00"),
    ]
    give(connector, calls=calls, call_windows=[window("2026-01-01", "2026-04-02", "2026-04-02T12:00:00")])
    set_today(connector, date(2026, 4, 3))
    found = {id: row for (finding, id), row in findings(connector).items() if finding == "still_receives_calls"}
    assert {id: row["evidence"] for id, row in found.items()} == {
        "a": "inbound calls since 2026-03-01: 2, the last on 2026-04-02",
        "b": "inbound calls since 2026-02-01: 1, the last on 2026-02-05",
        "d": "inbound calls since 2026-01-01: 1, the last on 2026-01-01",
    }
    assert {id: row["release_request_id"] for id, row in found.items()} == {
        "a": "pending",
        "b": "approved",
        "d": "long ago",
    }
    assert {row["monthly_cost"] for row in found.values()} == {Decimal(0)}
    assert found["a"]["action"].endswith(".")
    set_today(connector, date(2026, 4, 20))
    assert not any(finding == "still_receives_calls" for finding, _ in findings(connector))


# Health.


def test_health_tells_of_agents_and_calls_where_they_are_loaded(account: Account, connector: Connector) -> None:
    connector.load(agents=True)
    give(
        connector,
        calls=[call("1", None, "2026-03-01T00:00:00"), call("2", "+0", "2026-03-02T00:00:00")],
        call_windows=[
            window("2026-01-01", "2026-01-31", "2026-03-10T00:00:00", listed=5, total=5),
            window("2026-02-01", "2026-02-28", "2026-03-12T00:00:00", listed=3, total=3, complete=False),
            window("2026-03-01", "2026-03-31", "2026-03-12T00:00:00", listed=2, total=4),
        ],
    )
    set_today(connector, date(2026, 3, 15))
    health = {row["resource"]: row for row in connector.rows("data_health")}
    assert health.keys() == {"phone_numbers", "release_requests", "agents", "calls"}
    assert health["agents"]["rows_held"] == health["agents"]["listed"] == len(account.agents)
    assert (health["agents"]["complete_from"], health["agents"]["without_known_number"]) == (None, None)
    assert list(health["calls"])[-3:] == ["without_known_number", "complete_from", "complete_until"]
    expected = {
        "last_complete_listing_at": at("2026-03-10T00:00:00"),
        "age_days": 5,
        "last_listing_was_complete": False,
        "listed": 5,
        "api_total": 7,
        "rows_held": 2,
        "without_cost": None,
        "without_known_number": 2,
        "complete_from": date(2026, 3, 1),
        "complete_until": date(2026, 3, 10),
    }
    assert {name: health["calls"][name] for name in expected} == expected


def test_the_grain_of_every_view_holds_with_calls_and_agents(account: Account, connector: Connector) -> None:
    connector.load(agents=True)
    give(connector, **some_calls(list(account.numbers.values()), TODAY))
    connector.load(agents=True)
    rows = assert_grain(connector)
    assert {name for name in GRAIN if not rows[name]} <= {"release_lead_times"}
    assert Counter(row["status"] for row in rows["number_agents"]).keys() == {"agree"}
