"""What a load makes of a listing, over HTTP, read from the tables afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from talkover import (
    AuthenticationError,
    ConfigurationError,
    InvalidRow,
    LoadError,
    SuspiciousRemoval,
    talkover_source,
)
from talkover.load.failures import translate_errors
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sync.listed import ENDPOINTS
from talkover.sync.settings import configured_clients
from talkover.views import view_names

from .conftest import TODAY, Connect, Connector, Row, at


def first(account: Account) -> Row:
    return next(iter(account.numbers.values()))


@pytest.mark.duckdb
def test_accepting_an_incomplete_listing_loads_it_and_removes_nothing(
    account: Account, sandbox: Sandbox, loaded: Connector
) -> None:
    released = first(account)["id"]
    account.release(released)
    bought = account.buy()["id"]
    sandbox.faults = [Fault("wrong-total", "phone-numbers", times=99)]
    summary = loaded.load(accept_incomplete=True)
    assert {released, bought} <= set(loaded.by_id())
    assert not summary.resources["phone_numbers"].complete
    assert summary.resources["phone_numbers"].removed == 0
    assert loaded.rows("load_runs")[-1]["phone_numbers_complete"] == 0  # MariaDB has no booleans


# A run without changes, and changes that updated_at does not tell.


@pytest.mark.essential
def test_a_second_run_without_changes_touches_nothing_but_the_ledger(loaded: Connector) -> None:
    before, loads = loaded.state(), loaded.load_ids()
    summary = loaded.load()
    assert loaded.state() == before
    assert loaded.load_ids() == loads
    assert len(loaded.rows("load_runs")) == 2
    counts = summary.resources["phone_numbers"]
    assert (counts.added, counts.changed, counts.removed, counts.unchanged) == (0, 0, 0, 57)


ANA, BRUNO = {"id": "a-1", "name": "Ana"}, {"id": "a-2", "name": "Bruno"}


CHANGES: dict[str, tuple[Row, Row, Row]] = {
    "status": ({}, {"current_status": "suspended"}, {"current_status": "suspended"}),
    "price": ({}, {"monthly_renewal_cost": 7.5}, {"monthly_renewal_cost": Decimal("7.5")}),
    "countdown": ({}, {"days_until_monthly_renewal": 3}, {"days_until_monthly_renewal": 3}),
    "agent attached": ({"agents": []}, {"agents": [ANA]}, {"agents": [ANA]}),
    "agent swapped": ({"agents": [ANA]}, {"agents": [BRUNO]}, {"agents": [BRUNO]}),
    "agent detached": ({"agents": [ANA, BRUNO]}, {"agents": [BRUNO]}, {"agents": [BRUNO]}),
    "agents no longer returned": ({"agents": [ANA]}, {"agents": None}, {"agents": None}),
    "updated_at goes back": (
        {"updated_at": "2026-03-01T00:00:00Z"},
        {"updated_at": "2026-02-01T00:00:00Z", "type": "fax"},
        {"updated_at": at("2026-02-01T00:00:00"), "type": "fax"},
    ),
}
"""What a number was, becomes, and is to be in its row."""


def test_a_change_is_seen_although_updated_at_does_not_move(
    account: Account, connector: Connector, subtests: pytest.Subtests
) -> None:
    numbers = dict(zip(CHANGES, account.numbers.values(), strict=False))
    for change, (before, _, _) in CHANGES.items():
        numbers[change].update(before)
    connector.load()
    for change, (_, after, _) in CHANGES.items():
        numbers[change].update(after)
    connector.load()
    rows, on_numbers = connector.by_id(), connector.rows("phone_number_agents")
    for change, (_, _, expected) in CHANGES.items():
        id, agents = numbers[change]["id"], numbers[change]["agents"] or []
        with subtests.test(change):
            assert {name: rows[id][name] for name in expected} == expected
            attached = [row["agent_id"] for row in on_numbers if row["phone_number_id"] == id]
            assert attached == [agent["id"] for agent in agents]


# Numbers that go and return, and the change log.


@pytest.mark.core
@pytest.mark.essential
def test_a_released_number_leaves_the_current_tables_and_stays_in_the_log(
    account: Account, connector: Connector
) -> None:
    number = first(account)
    number["agents"] = [ANA]
    connector.load(observed_at=at("2026-03-01T00:00:00"))
    account.release(number["id"])
    connector.load(observed_at=at("2026-03-02T00:00:00"))
    assert number["id"] not in connector.by_id()
    assert [row for row in connector.rows("phone_number_agents") if row["phone_number_id"] == number["id"]] == []
    added, removed = [row for row in connector.rows("phone_number_changes") if row["id"] == number["id"]]
    assert (added["change_type"], added["changed_at"]) == ("added", at("2026-03-01T00:00:00"))
    assert removed == added | {"change_type": "removed", "changed_at": at("2026-03-02T00:00:00")}


def test_a_number_can_come_back(account: Account, connector: Connector) -> None:
    number = first(account)
    connector.load()
    account.release(number["id"])
    connector.load()
    account.numbers[number["id"]] = number
    connector.load()
    assert number["id"] in connector.by_id()
    assert types_of_change(connector, number["id"]) == ["added", "removed", "added"]


def types_of_change(connector: Connector, id: str, table: str = "phone_number_changes") -> list[str]:
    return [row["change_type"] for row in connector.rows(table) if row["id"] == id]


def test_a_touch_alone_makes_no_row_in_the_change_log(account: Account, connector: Connector) -> None:
    touches = {
        "days_until_monthly_renewal": 1,
        "is_due_for_monthly_renewal": True,
        "updated_at": at("2026-03-14T00:00:00"),
    }
    numbers = dict(zip(touches, account.numbers.values(), strict=False))
    connector.load()
    log = connector.rows("phone_number_changes")
    for touch, value in touches.items():
        numbers[touch][touch] = value.isoformat() if isinstance(value, datetime) else value
    summary = connector.load()
    assert connector.rows("phone_number_changes") == log
    assert summary.resources["phone_numbers"].changed == 0
    rows = connector.by_id()
    assert {touch: rows[number["id"]][touch] for touch, number in numbers.items()} == touches


@pytest.mark.slow
def test_a_to_b_to_a_makes_three_rows(account: Account, connector: Connector) -> None:
    number = first(account)
    for price in (1.5, 2.5, 1.5):
        number["monthly_renewal_cost"] = price
        connector.load()
    versions = [row for row in connector.rows("phone_number_changes") if row["id"] == number["id"]]
    assert [row["change_type"] for row in versions] == ["added", "changed", "changed"]
    assert [row["monthly_renewal_cost"] for row in versions] == [Decimal("1.5"), Decimal("2.5"), Decimal("1.5")]
    assert versions[0]["row_fingerprint"] == versions[2]["row_fingerprint"]


def test_the_change_log_has_no_countdowns(loaded: Connector) -> None:
    row = loaded.rows("phone_number_changes")[0]
    assert {"days_until_monthly_renewal", "is_due_for_monthly_renewal"} & row.keys() == set()


# Release requests.


@pytest.mark.essential
def test_requests_go_through_their_states_and_are_never_removed(account: Account, connector: Connector) -> None:
    account.requests.clear()
    asked = {
        "phone_number_id": first(account)["id"],
        "phone_number": first(account)["number"],
        "reason": "Not needed any more",
        "status": "pending",
        "requested_at": "2026-03-01T10:00:00Z",
    }
    for id in ("approved", "rejected", "cancelled"):
        account.requests[id] = {"id": id, **asked}
    connector.load()
    account.requests["approved"] |= {"status": "approved", "resolved_at": "2026-03-04T16:20:00Z"}
    account.requests["rejected"] |= {
        "status": "rejected",
        "resolved_at": "2026-03-05T16:20:00Z",
        "rejection_reason": "In use",
    }
    account.requests["cancelled"] |= {"status": "cancelled"}
    connector.load()
    requests = connector.by_id("release_requests")
    settled = {id: (row["status"], row["resolved_at"], row["rejection_reason"]) for id, row in requests.items()}
    assert settled == {
        "approved": ("approved", at("2026-03-04T16:20:00"), None),
        "rejected": ("rejected", at("2026-03-05T16:20:00"), "In use"),
        "cancelled": ("cancelled", None, None),
    }
    assert types_of_change(connector, "rejected", "release_request_changes") == ["added", "changed"]
    account.requests.clear()
    connector.load()
    assert connector.by_id("release_requests") == requests


# A resource that is left out.


def held(connector: Connector, resource: str) -> dict[str, list[Row]]:
    """The rows of each table of a resource."""
    return connector.tables(*ENDPOINTS[resource].tables)


RESOURCES = {"phone_numbers": "phone-numbers", "release_requests": "phone-numbers/release-requests"}


@pytest.mark.slow
@pytest.mark.parametrize("resource", RESOURCES)
def test_a_resource_left_out_of_a_first_load_is_not_asked_and_its_tables_and_all_views_are_there(
    resource: str, sandbox: Sandbox, connector: Connector
) -> None:
    summary = connector.load(without=[resource])
    (other,) = RESOURCES.keys() - {resource}
    assert {request.endpoint for request in sandbox.seen} == {RESOURCES[other]}
    assert summary.resources[resource] is None
    assert all(connector.has(name) for name in (*ENDPOINTS[resource].tables, *view_names()))
    assert not any(held(connector, resource).values())
    assert connector.rows(other)
    (run,) = connector.rows("load_runs")
    assert {value for name, value in run.items() if name.startswith(resource)} == {None}
    assert [row["resource"] for row in connector.rows("data_health")] == [other]
    connector.load()
    assert connector.rows(resource)


@pytest.mark.slow
@pytest.mark.parametrize("resource", RESOURCES)
def test_a_resource_left_out_of_a_later_load_stays_as_it_was(
    resource: str, account: Account, loaded: Connector
) -> None:
    before, loads = held(loaded, resource), loaded.load_ids()
    account.advance(TODAY + timedelta(days=40))
    loaded.load(without=(resource,), full_refresh=True)
    assert held(loaded, resource) == before
    after = loaded.load_ids()
    assert {table: after[table] == loads[table] for table in ENDPOINTS[resource].tables} == dict.fromkeys(
        ENDPOINTS[resource].tables, True
    )
    (other,) = RESOURCES.keys() - {resource}
    assert after[other] != loads[other]


@pytest.mark.duckdb
@pytest.mark.slow
def test_a_forbidden_endpoint_does_not_keep_the_rest_from_being_loaded(sandbox: Sandbox, connector: Connector) -> None:
    sandbox.faults = [Fault("403", "phone-numbers/release-requests", times=99)]
    with pytest.raises(AuthenticationError, match="`talkover load --without release_requests`$"):
        connector.load()
    connector.load(without="release_requests")
    assert len(connector.rows("phone_numbers")) == 57


# The guard.


@pytest.mark.duckdb
def test_an_empty_listing_is_refused_where_numbers_were_known(account: Account, loaded: Connector) -> None:
    before = loaded.state()
    account.numbers.clear()
    with pytest.raises(
        SuspiciousRemoval, match="lists 0 rows where 57 were known: 57 would be removed.*--allow-mass-removal"
    ):
        loaded.load()
    assert loaded.state() == before
    loaded.load(allow_mass_removal=True)
    assert loaded.rows("phone_numbers") == []
    assert loaded.rows("phone_number_agents") == []


@pytest.mark.duckdb
def test_agents_alone_are_guarded_too(account: Account, sandbox: Sandbox, loaded: Connector) -> None:
    before = loaded.rows("phone_number_agents")
    account.numbers.clear()
    source = talkover_source(sandbox.token, base_url=sandbox.base_url).with_resources("phone_number_agents")
    with pytest.raises(PipelineStepFailed, match="35 would be removed"):
        loaded.pipeline().run(source)
    assert before
    assert loaded.rows("phone_number_agents") == before


def nest(number: Row) -> Row:
    """A row as JSON:API has it."""
    return {"id": number["id"], "type": "phone_number", "attributes": number}


@pytest.mark.essential
def test_a_listing_without_the_fields_that_were_held_is_refused(account: Account, loaded: Connector) -> None:
    before = loaded.state()
    account.numbers = {id: nest(number) for id, number in account.numbers.items()}
    with pytest.raises(
        SuspiciousRemoval,
        match=r"57 rows, none of them with a value of number \(57 of 57 held rows have one\), .*--allow-lost-fields",
    ):
        loaded.load()
    assert loaded.state() == before
    loaded.load(allow_lost_fields=True)
    assert {row["monthly_renewal_cost"] for row in loaded.rows("phone_numbers")} == {None}
    assert loaded.load().resources["phone_numbers"].unchanged == 57


@pytest.mark.duckdb
@pytest.mark.parametrize("field", ["monthly_renewal_cost", "has_voice", "renewal_date", "current_status"])
def test_a_field_that_is_renamed_is_a_field_lost(field: str, account: Account, loaded: Connector) -> None:
    for number in account.numbers.values():
        number[f"new_{field}"] = number.pop(field)
    with pytest.raises(SuspiciousRemoval, match=f"none of them with a value of {field} "):
        loaded.load()


@pytest.mark.duckdb
def test_one_row_with_a_value_is_enough(account: Account, loaded: Connector) -> None:
    for number in list(account.numbers.values())[1:]:
        number["renewal_date"] = None
    assert loaded.load().resources["phone_numbers"].changed == 56


@pytest.mark.duckdb
@pytest.mark.slow
def test_requests_are_guarded_too_but_for_what_only_settled_ones_have(account: Account, connector: Connector) -> None:
    row = first(account)
    account.requests = {
        f"r{n}": {
            "id": f"r{n}",
            "phone_number_id": row["id"],
            "status": "approved",
            "resolved_at": "2026-03-01T00:00:00Z",
        }
        for n in range(10)
    }
    connector.load()
    account.requests = {"new": {"id": "new", "phone_number_id": row["id"], "status": "pending"}}
    assert connector.load().resources["release_requests"].added == 1
    account.requests["new"]["state"] = account.requests["new"].pop("status")
    with pytest.raises(SuspiciousRemoval, match=r"none of them with a value of status \(11 of 11 held"):
        connector.load()


@pytest.mark.duckdb
@pytest.mark.parametrize("held", [2, 57])
def test_a_token_of_another_account_is_said_to_be_one(held: int, connect: Connect) -> None:
    ours, theirs = Account(seed=7, size=held, founded=TODAY), Account(seed=8, size=60, founded=TODAY)
    with Sandbox({"talq_ours": ours, "talq_theirs": theirs}) as sandbox:
        connector = connect(sandbox)
        connector.load()
        before = connector.state()
        with pytest.raises(
            SuspiciousRemoval, match=f"none of the {held} numbers that are held .* may be that of another env"
        ):
            connector.load(api_token="talq_theirs")
        assert connector.state() == before


@pytest.mark.duckdb
@pytest.mark.slow
def test_a_single_number_may_be_swapped_for_another(connect: Connect) -> None:
    account = Account(seed=7, size=1, founded=TODAY)
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load()
        account.release(next(iter(account.numbers)))
        bought = account.buy()["id"]
        connector.load()
        assert set(connector.by_id()) == {bought}


def test_a_first_run_on_an_empty_account_succeeds_and_the_next_loads_what_has_come(connect: Connect) -> None:
    account = Account(size=0, founded=TODAY)
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load()
        assert connector.state() == {table: [] for table in connector.state()}
        account.buy()
        connector.load()
    assert set(connector.by_id()) == set(account.numbers)


# Values.


STRANGE = "„Ünïcode“ \"double\" 'single'; drop table\nnew line\t☎"
VALUES: dict[str, tuple[Row, str, Any]] = {
    "price as number": ({"current_price": 1.00}, "current_price", Decimal("1.0000")),
    "price as text": ({"current_price": "1.00"}, "current_price", Decimal("1.0000")),
    "price as integer": ({"current_price": 1}, "current_price", Decimal("1.0000")),
    "price null": ({"current_price": None}, "current_price", None),
    "price with float noise": ({"current_price": 0.1 + 0.2}, "current_price", Decimal("0.3000")),
    "price of 18 digits": ({"current_price": "12345678901234.5678"}, "current_price", Decimal("12345678901234.5678")),
    "boolean as 0": ({"has_voice": 0}, "has_voice", False),
    "boolean as 1": ({"has_voice": 1}, "has_voice", True),
    "date as midnight": ({"renewal_date": "2026-04-30T00:00:00.000000Z"}, "renewal_date", date(2026, 4, 30)),
    "fractional days": ({"days_until_monthly_renewal": 14.37}, "days_until_monthly_renewal", 14),
    "no date, as Laravel writes MySQL's": (
        {"renewal_date": "0000-00-00", "updated_at": "-000001-11-30T00:00:00.000000Z"},
        "updated_at",
        None,
    ),
    "no price, as PHP writes it": ({"monthly_renewal_cost": ""}, "monthly_renewal_cost", None),
    "microseconds": ({"created_at": "2024-01-15T10:30:00.123456Z"}, "created_at", at("2024-01-15T10:30:00.123456")),
    "instant with offset": ({"created_at": "2024-01-15T10:30:00-03:00"}, "created_at", at("2024-01-15T13:30:00")),
    "null": ({"currency": None}, "currency", None),
    "id as integer": ({"id": 4711}, "id", "4711"),
    "new text": ({"colour": "blue"}, "colour", "blue"),
    "new text like an instant": ({"ported_at": "2024-01-15T10:30:00Z"}, "ported_at", "2024-01-15T10:30:00Z"),
    "new text beyond time": ({"since": "0001-01-01T00:00:00+12:00"}, "since", "0001-01-01T00:00:00+12:00"),
    "new number": ({"setup_fee": 5}, "setup_fee", 5.0),
    "new boolean": ({"is_ported": True}, "is_ported", True),
    "new object": ({"Carrier Info": {"name": "x", "n": 3}}, "carrier_info", {"name": "x", "n": 3}),
    "new list": ({"tags": ["a", "b"]}, "tags", ["a", "b"]),
    "unicode, quotes, newlines": ({"formatted_number": STRANGE}, "formatted_number", STRANGE),
    "environment id": ({"environment": {"id": 3, "name": "Live"}}, "environment__id", "3"),
    "environment name": ({"environment": {"id": 3, "name": "Live"}}, "environment__name", "Live"),
    "environment as PHP's empty object": ({"environment": []}, "environment__id", None),
    "agents with numeric keys": ({"agents": {"0": ANA, "2": BRUNO}}, "agents", [ANA, BRUNO]),
}
"""What the API sends of a number, and what is stored in which column."""


def test_a_value_is_stored_as_what_it_means(account: Account, connector: Connector, subtests: pytest.Subtests) -> None:
    sent_to = dict(zip(VALUES, account.numbers.values(), strict=False))
    for meaning, number in sent_to.items():
        number.update(VALUES[meaning][0])
    connector.load()
    for table in ("phone_numbers", "phone_number_changes"):
        rows = {row["number"]: row for row in connector.rows(table)}
        for meaning, (_, column, stored) in VALUES.items():
            if (table, column) != ("phone_number_changes", "days_until_monthly_renewal"):
                with subtests.test(meaning, table=table):
                    assert rows[sent_to[meaning]["number"]][column] == stored


@pytest.mark.duckdb
def test_days_that_the_api_sends_as_instants_are_those_of_its_time_zone(
    account: Account, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__TIME_ZONE", "America/Sao_Paulo")
    first(account)["renewal_date"] = "2026-12-15T03:00:00.000000Z"
    connector.load()
    assert connector.by_id()[first(account)["id"]]["renewal_date"] == date(2026, 12, 15)


@pytest.mark.parametrize("name", ["Sao Paulo", "America", "", "/etc/localtime", 3])
def test_a_time_zone_that_is_not_known_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^time_zone {name!r} is not known: give a name such as"):
        talkover_source("talq_a", time_zone=name)


def test_check_refuses_the_time_zone_that_a_load_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__TIME_ZONE", "Sao Paulo")
    with pytest.raises(ConfigurationError, match="time_zone 'Sao Paulo' is not known"):
        configured_clients()


@pytest.mark.slow
def test_text_that_looks_like_something_else_stays_text(account: Account, connector: Connector) -> None:
    """dlt lets DuckDB guess the types of JSON lines: ids came back in lower case, and every number as released."""
    alike = ["3F2504E0-4F89-11D3-9A0C-0305E82C3301", "2024-1-5", "10:30", "2024-01-15 10:30", "NaN", "007", "1e5"]
    account.numbers = {
        text: first(account) | {"id": text, "number": text, "agents": [{"id": text, "name": text}]} for text in alike
    }
    connector.load()
    assert {(row["id"], row["number"]) for row in connector.rows("phone_numbers")} == {(text, text) for text in alike}
    assert {row["agent_name"] for row in connector.rows("phone_number_agents")} == set(alike)
    assert {row["agents"][0]["id"] for row in connector.rows("phone_numbers")} == set(alike)
    again = connector.load().resources["phone_numbers"]
    assert (again.added, again.changed, again.removed) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.large
def test_a_field_that_first_comes_after_many_rows_is_loaded(sandbox: Sandbox, account: Account) -> None:
    """A column more in the middle of a file of dlt's, whatever it is loaded into."""
    connector = Connector(sandbox)
    row = first(account)
    account.numbers = {f"n{n}": row | {"id": f"n{n}"} for n in range(41_000)}
    account.numbers["n40999"]["note"] = "late"
    connector.sandbox.pagination = "none"
    connector.load(allow_mass_removal=True)
    assert connector.by_id()["n40999"]["note"] == "late"


def test_a_missing_field_is_null_and_country_is_taken_for_country_code(account: Account, connector: Connector) -> None:
    number = first(account)
    del number["currency"], number["agents"]
    number["country"] = number.pop("country_code")
    connector.load()
    row = connector.by_id()[number["id"]]
    assert (row["currency"], row["agents"], row["country_code"]) == (None, None, number["country"])
    loads = connector.load_ids()
    number |= {"currency": None, "agents": None, "country_code": number.pop("country")}
    connector.load()
    assert connector.load_ids() == loads, "another spelling of the same row is no change"


@pytest.mark.slow
def test_many_agents_on_one_number_are_loaded_in_time(account: Account, sandbox: Sandbox) -> None:
    """Their rows were looked up in a way that took hours for 100,000."""
    connector = Connector(sandbox)
    first(account)["agents"] = [{"id": f"agent-{n}", "name": "A"} for n in range(20_000)]
    started = time.monotonic()
    connector.load()
    assert time.monotonic() - started < 60
    assert len(connector.rows("phone_number_agents")) > 20_000


# Several environments.

TOKENS = {"live": "talq_live", "test": "talq_test"}


@pytest.fixture
def live() -> Account:
    return Account(seed=1, size=12, founded=TODAY)


@pytest.fixture
def test() -> Account:
    return Account(seed=2, size=15, founded=TODAY)


@pytest.fixture
def both(live: Account, test: Account, connect: Connect) -> Iterator[Connector]:
    with Sandbox({TOKENS["live"]: live, TOKENS["test"]: test}) as sandbox:
        yield connect(sandbox)


def load_environments(connector: Connector, *names: str, **arguments: Any) -> None:
    connector.load(api_token=None, environments={name: TOKENS[name] for name in names or TOKENS}, **arguments)


@pytest.mark.essential
def test_rows_carry_their_environment_and_none_removes_anothers(live: Account, test: Account, both: Connector) -> None:
    load_environments(both)
    listed = {(row["id"], row["environment_key"]) for row in both.rows("phone_numbers")}
    assert listed == {(id, "live") for id in live.numbers} | {(id, "test") for id in test.numbers}
    assert [row["environment_key"] for row in both.rows("load_runs")] == ["live", "test"]
    load_environments(both, "live")
    assert {(row["id"], row["environment_key"]) for row in both.rows("phone_numbers")} == listed


@pytest.mark.slow
@pytest.mark.parametrize("order", [("live", "test"), ("test", "live")])
def test_a_number_that_moves_to_another_environment_is_one_row(
    order: tuple[str, str], live: Account, test: Account, both: Connector
) -> None:
    load_environments(both)
    moved = first(live)["id"]
    test.numbers[moved] = live.numbers.pop(moved)
    for name in order:
        load_environments(both, name)
    assert both.by_id()[moved]["environment_key"] == "test"
    assert len(both.rows("phone_numbers")) == 27


@pytest.mark.duckdb
@pytest.mark.slow
def test_no_environment_is_asked_for_the_numbers_of_another(both: Connector) -> None:
    """A number that is missing from a list of several pages is looked for again: not in another environment's."""
    load_environments(both, per_page=5)
    both.sandbox.seen.clear()
    load_environments(both, per_page=5)
    pages = [request.query["page"] for request in both.sandbox.seen if request.endpoint == "phone-numbers"]
    assert sorted(pages) == ["1", "1", "2", "2", "3", "3"]


@pytest.mark.duckdb
@pytest.mark.slow
def test_the_failure_of_one_environment_loads_nothing(live: Account, test: Account, both: Connector) -> None:
    load_environments(both)
    before = both.state()
    first(live)["type"] = "fax"
    del first(test)["id"]
    with pytest.raises(InvalidRow, match="environment 'test'"):
        load_environments(both)
    assert both.state() == before


@pytest.mark.duckdb
def test_a_token_of_the_wrong_environment_does_not_empty_it(live: Account, both: Connector) -> None:
    """Each environment is guarded by itself, however large the others are."""
    load_environments(both)
    live.numbers.clear()
    with pytest.raises(SuspiciousRemoval, match=r"environment 'live'\) lists 0 rows where 12 were known"):
        load_environments(both)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="both set"):
        talkover_source(api_token="talq_a", environments={"b": "talq_b"})
    with pytest.raises(ConfigurationError, match="same token"):
        talkover_source(environments={"a": "talq_a", "b": "talq_a"})


# Every way to run the source.


def count(pipeline: dlt.Pipeline, table: str = "phone_numbers", where: str = "") -> int:
    with pipeline.sql_client() as client:
        found = client.execute_sql(f"select count(*) from {client.make_qualified_table_name(table)} {where}")
    return int(found[0][0]) if found else 0


@pytest.mark.slow
def test_the_source_runs_in_a_plain_dlt_pipeline(sandbox: Sandbox, warehouse: str) -> None:
    pipeline = dlt.pipeline("plain", destination=warehouse, dataset_name="numbers")
    for _ in range(2):
        pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url))
    assert (count(pipeline), count(pipeline, "phone_number_changes"), count(pipeline, "load_runs")) == (57, 57, 2)


def test_one_resource_alone_is_loaded_alone_and_asks_one_endpoint(
    sandbox: Sandbox, account: Account, warehouse: str
) -> None:
    pipeline = dlt.pipeline("alone", destination=warehouse, dataset_name="numbers")
    pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url).with_resources("phone_numbers"))
    assert {request.endpoint for request in sandbox.seen} == {"phone-numbers"}
    assert [table["name"] for table in pipeline.default_schema.data_tables(seen_data_only=True)] == ["phone_numbers"]
    account.release(next(iter(account.numbers)))
    pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url).with_resources("phone_numbers"))
    assert count(pipeline) == 56


@pytest.mark.slow
def test_loading_one_table_without_its_log_loses_nothing_for_the_log(
    account: Account, loaded: Connector, warehouse: str
) -> None:
    first(account)["type"] = "fax"
    pipeline = dlt.pipeline("talkover_pipeline", destination=warehouse, dataset_name="talkover")
    source = talkover_source(loaded.sandbox.token, base_url=loaded.sandbox.base_url)
    pipeline.run(source.with_resources("phone_numbers"))
    assert types_of_change(loaded, first(account)["id"]) == ["added"]
    loaded.load()
    assert types_of_change(loaded, first(account)["id"]) == ["added", "changed"]


@pytest.mark.slow
def test_the_source_can_be_used_twice(sandbox: Sandbox, account: Account, warehouse: str) -> None:
    pipeline = dlt.pipeline("again", destination=warehouse, dataset_name="numbers")
    source = talkover_source(sandbox.token, base_url=sandbox.base_url)
    for size in (57, 56):
        pipeline.run(source)
        assert count(pipeline) == size
        account.release(next(iter(account.numbers)))
    with pipeline.sql_client() as client:
        name = client.make_qualified_table_name("load_runs")
        requests = client.execute_sql(f"select requests_made from {name}")
    assert [row[0] for row in requests or ()] == [2, 2]


def test_the_source_can_be_used_again_after_a_failure(sandbox: Sandbox, account: Account) -> None:
    """The threads of a run that fails are told to stop: the next one must ask as often as any other."""
    pipeline = dlt.pipeline("again", destination="duckdb", dataset_name="numbers")
    source = talkover_source(sandbox.token, base_url=sandbox.base_url, per_page=20)
    sandbox.faults = [Fault("401", "phone-numbers", 2)]
    with pytest.raises(PipelineStepFailed):
        pipeline.run(source)
    sandbox.faults = [Fault("500", "phone-numbers", 2)]
    pipeline.run(source)
    assert count(pipeline) == len(account.numbers)


def test_the_source_is_iterated_without_a_pipeline(sandbox: Sandbox, account: Account) -> None:
    rows = list(talkover_source(sandbox.token, base_url=sandbox.base_url).with_resources("phone_numbers"))
    assert [row["id"] for row in rows] == list(account.numbers)


def test_a_full_refresh_sends_every_row_again_and_changes_nothing(loaded: Connector) -> None:
    before, loads = loaded.state(), loaded.load_ids()
    loaded.load(full_refresh=True)
    assert loaded.state() == before
    after = loaded.load_ids()
    for table in ("phone_numbers", "phone_number_agents", "release_requests"):
        assert after[table].isdisjoint(loads[table])
    for table in ("phone_number_changes", "release_request_changes"):
        assert after[table] == loads[table]


@pytest.mark.slow
@pytest.mark.parametrize("refresh", ["drop_sources", "drop_resources", "drop_data"])
def test_every_refresh_mode_of_dlt_leaves_the_tables_full(
    refresh: Any, account: Account, sandbox: Sandbox, warehouse: str
) -> None:
    pipeline = dlt.pipeline("refreshed", destination=warehouse, dataset_name="numbers")
    pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url))
    account.release(next(iter(account.numbers)))
    pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url), refresh=refresh)
    assert count(pipeline) == count(pipeline, "phone_number_changes", "where change_type = 'added'") == 56
    assert count(pipeline, "phone_number_changes") == 56
    assert count(pipeline, "release_requests") == len(account.requests)


@pytest.mark.slow
def test_dev_mode_loads_everything_into_a_dataset_of_its_own(sandbox: Sandbox, warehouse: str) -> None:
    for _ in range(2):
        pipeline = dlt.pipeline("developed", destination=warehouse, dataset_name="numbers", dev_mode=True)
        pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url))
        assert count(pipeline) == 57


# Time.


def test_history_only_goes_forward(connector: Connector) -> None:
    connector.load(observed_at=at("2026-03-02T00:00:00"))
    before = connector.state()
    with pytest.raises(ConfigurationError, match="history only goes forward"):
        connector.load(observed_at=at("2026-03-01T00:00:00"))
    assert connector.state() == before


@pytest.mark.duckdb
def test_a_run_dated_in_the_future_would_lock_out_all_others(connector: Connector) -> None:
    with pytest.raises(ConfigurationError, match="2062-01-01.* is in the future"):
        connector.load(observed_at=at("2062-01-01T00:00:00"))
    assert connector.rows("phone_numbers") == []


@pytest.mark.slow
def test_history_goes_forward_for_a_number_that_another_environment_listed_later(
    live: Account, test: Account, both: Connector
) -> None:
    live.numbers["moving"] = first(live) | {"id": "moving"}
    load_environments(both, "live", observed_at=at("2026-03-01T00:00:00"))
    test.numbers["moving"] = live.numbers.pop("moving")
    with pytest.raises(ConfigurationError, match="history only goes forward"):
        load_environments(both, "test", observed_at=at("2026-02-01T00:00:00"))
    load_environments(both, "test", observed_at=at("2026-03-02T00:00:00"))
    assert both.by_id()["moving"]["environment_key"] == "test"


@pytest.mark.slow
def test_the_same_instant_can_be_loaded_again(account: Account, connector: Connector) -> None:
    instant = at("2026-03-02T00:00:00")
    connector.load(observed_at=instant)
    first(account)["type"] = "fax"
    bought = account.buy()
    connector.load(observed_at=instant)
    versions = {row["id"]: (row["type"], row["change_type"]) for row in connector.rows("phone_number_changes")}
    assert len(connector.rows("phone_number_changes")) == 58
    assert versions[first(account)["id"]] == ("fax", "added")
    assert versions[bought["id"]][1] == "added"


@pytest.mark.slow
def test_changes_are_dated_with_the_instant_of_the_run(account: Account, connector: Connector) -> None:
    instants = [at("2026-03-01T00:00:00") + timedelta(days=days) for days in (0, 7, 14)]
    for instant, type in zip(instants, ("voice", "sms", "fax"), strict=True):
        first(account)["type"] = type
        connector.load(observed_at=instant)
    versions = [row for row in connector.rows("phone_number_changes") if row["id"] == first(account)["id"]]
    assert [(row["changed_at"], row["type"]) for row in versions] == [
        (instants[0], "voice"),
        (instants[1], "sms"),
        (instants[2], "fax"),
    ]


# What would leave the tables wrong without a word.


def plain_pipeline(destination: str = "duckdb") -> dlt.Pipeline:
    return dlt.pipeline("plain", destination=destination, dataset_name="talkover")


@pytest.mark.parametrize(
    "arguments",
    [
        {"write_disposition": "replace"},
        {"write_disposition": "append"},
        {"write_disposition": {"disposition": "merge", "strategy": "upsert"}},
        {"write_disposition": {"disposition": "merge", "strategy": "scd2"}},
        {"primary_key": "number"},
        {"table_name": "numbers"},
        {"schema_contract": "freeze"},
        {"schema_contract": {"columns": "discard_value"}},
        {"schema_contract": {"data_type": "discard_row"}},
    ],
    ids=str,
)
def test_what_a_pipeline_is_told_to_do_otherwise_is_refused_before_a_request(
    arguments: dict[str, Any], sandbox: Sandbox
) -> None:
    pipeline = plain_pipeline()
    with pytest.raises(ConfigurationError, match="^phone_numbers: "), translate_errors():
        pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url), **arguments)
    assert not pipeline.has_pending_data
    assert sandbox.seen == []


@pytest.mark.parametrize("table", ["phone_number_agents", "load_runs"])
@pytest.mark.parametrize(
    "hints",
    [
        {"write_disposition": "append"},
        {"write_disposition": {"disposition": "merge", "strategy": "insert-only"}},
        {"merge_key": "environment_key"},
        {"table_name": "another"},
        {"schema_contract": {"columns": "discard_row"}},
        {"incremental": dlt.sources.incremental("environment_key")},
    ],
    ids=str,
)
def test_a_hint_that_would_keep_rows_out_of_a_table_is_refused(
    hints: dict[str, Any], table: str, sandbox: Sandbox
) -> None:
    source = talkover_source(sandbox.token, base_url=sandbox.base_url)
    source.resources[table].apply_hints(**hints)
    with pytest.raises(ConfigurationError, match=f"^{table}: "), translate_errors():
        plain_pipeline().extract(source)
    assert sandbox.seen == []


def test_a_cursor_is_refused_with_the_reason(sandbox: Sandbox) -> None:
    """It let 55 of 61 rows go stale in a trial, and dlt's documentation proposes it."""
    source = talkover_source(sandbox.token, base_url=sandbox.base_url)
    source.phone_numbers.apply_hints(incremental=dlt.sources.incremental("updated_at"))
    with pytest.raises(PipelineStepFailed, match="updated_at does not move when a number renews or its agents change"):
        plain_pipeline().extract(source)
    assert sandbox.seen == []


def test_a_filter_of_dlt_is_refused_since_every_run_would_count_its_rows_again(sandbox: Sandbox) -> None:
    source = talkover_source(sandbox.token, base_url=sandbox.base_url)
    source.phone_numbers.add_filter(lambda row: row.get("country_code") == "US")
    with pytest.raises(PipelineStepFailed, match="filter by the arguments of talkover_source or by SQL"):
        plain_pipeline().extract(source)


@pytest.mark.slow
def test_a_merge_that_names_no_strategy_is_the_right_one(sandbox: Sandbox, account: Account) -> None:
    pipeline = plain_pipeline()
    for _ in range(2):
        pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url), write_disposition="merge")
        assert count(pipeline) == len(account.numbers)
        account.release(next(iter(account.numbers)))


@pytest.mark.slow
@pytest.mark.duckdb
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            "insert into {phone_numbers} (id, _removed, _dlt_load_id, _dlt_id) values ('gone', true, '1', 'x')"
        ),
        pytest.param("insert into {phone_numbers} select * from {phone_numbers}"),
        pytest.param("insert into {release_requests} select * from {release_requests}"),
        pytest.param(
            "insert into {phone_number_agents} (phone_number_id, agent_id, _removed, _dlt_load_id, _dlt_id) "
            "values ('gone', 'a', true, '1', 'x')"
        ),
    ],
)
def test_a_table_damaged_by_another_disposition_is_named_and_repaired(damage: str, loaded: Connector) -> None:
    before = loaded.state()
    loaded.execute(damage)
    with pytest.raises(LoadError, match="another write disposition than merge.*--full-refresh"):
        loaded.load()
    loaded.load(full_refresh=True)
    assert loaded.state() == before
