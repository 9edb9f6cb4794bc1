"""What a load makes of a listing, over HTTP, read from the tables afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from talkover import (
    ConfigurationError,
    IncompleteListing,
    InvalidRow,
    SuspiciousRemoval,
    UnexpectedPayload,
    talkover_source,
)
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.faults import Answer

from .conftest import TODAY, Connect, Connector, Row, at


def first(account: Account) -> Row:
    return next(iter(account.numbers.values()))


# Every row arrives.


@pytest.mark.parametrize("size", [0, 1, 20, 57, 100, 101, 1234])
@pytest.mark.parametrize("pagination", ["meta", "links", "none"])
def test_every_row_arrives_under_each_reading_of_pagination(size: int, pagination: Any, connect: Connect) -> None:
    account = Account(size=size, founded=TODAY)
    with Sandbox(account, pagination=pagination) as sandbox:
        connector = connect(sandbox)
        summary = connector.load()
    assert set(connector.by_id()) == set(account.numbers)
    assert set(connector.by_id("release_requests")) == set(account.requests)
    assert summary.resources["phone_numbers"].listed == size
    assert summary.resources["phone_numbers"].complete


def test_a_server_that_caps_the_page_size_loses_nothing(connect: Connect) -> None:
    account = Account(size=130, founded=TODAY)
    with Sandbox(account, largest_page=20, caps_pages=True) as sandbox:
        connector = connect(sandbox)
        connector.load()
        assert len(sandbox.seen) == 7 + 1
    assert set(connector.by_id()) == set(account.numbers)


@pytest.mark.parametrize("pagination", ["simple", "size", "more", "total", "nested"])
def test_undocumented_ways_to_tell_of_pages_lose_nothing(pagination: Any, connect: Connect) -> None:
    """A cap below what was asked, and no `last_page` in its place, must not pass for the end of the list."""
    with Sandbox(Account(size=57), pagination=pagination, largest_page=25, caps_pages=True) as sandbox:
        connector = connect(sandbox)
        assert connector.load().resources["phone_numbers"].listed == 57
        assert len(connector.rows("phone_numbers")) == 57


def test_a_server_that_refuses_the_page_size_is_asked_for_its_own(connect: Connect) -> None:
    account = Account(size=45, founded=TODAY)
    with Sandbox(account, largest_page=50) as sandbox:
        connector = connect(sandbox)
        connector.load()
        sizes = [request.query.get("per_page") for request in sandbox.seen]
    assert sizes == ["100", None, None, None, None]  # refused once, then three pages and the requests
    assert set(connector.by_id()) == set(account.numbers)


def test_pages_after_the_first_are_fetched_side_by_side_and_as_few_as_can_be(connect: Connect) -> None:
    account = Account(size=1000, founded=TODAY)
    with Sandbox(account, latency=0.05) as sandbox:
        connector = connect(sandbox)
        account.requests.clear()
        connector.load(max_concurrent_requests=4)
        assert len(sandbox.seen) == 10 + 1
        assert sandbox.most_at_once == 4
    assert len(connector.rows("phone_numbers")) == 1000


def test_a_list_without_meta_that_fills_a_page_exactly_is_not_cut(connect: Connect) -> None:
    """An API that pages but does not say so: a full page is no proof of the end."""
    account = Account(size=100, founded=TODAY)
    pages = {
        page: Answer(200, {"success": True, "data": list(account.numbers.values())[40 * (page - 1) : 40 * page]})
        for page in (1, 2, 3, 4)
    }
    faults = [Fault("answer", "phone-numbers", page, times=9, answer=answer) for page, answer in pages.items()]
    with Sandbox(account, faults=faults) as sandbox:
        connector = connect(sandbox)
        connector.load(per_page=40)
    assert set(connector.by_id()) == set(account.numbers)


# Lists that move while they are read.


@pytest.fixture
def three_pages() -> Account:
    return Account(size=250, founded=TODAY)


@pytest.mark.parametrize("drift", ["shrinking", "growing", "swapping"])
@pytest.mark.parametrize("page", [2, 3])
def test_a_number_that_comes_or_goes_between_two_pages_loses_no_neighbour(
    drift: str, page: int, three_pages: Account, connect: Connect
) -> None:
    with Sandbox(three_pages) as sandbox:
        connector = connect(sandbox)
        connector.load(max_concurrent_requests=1)
        sandbox.faults = [Fault(drift, "phone-numbers", page)]
        connector.load(max_concurrent_requests=1)
        numbers = connector.by_id()
        assert set(three_pages.numbers) - set(numbers) == set()
        removed = [row["id"] for row in connector.rows("phone_number_changes") if row["change_type"] == "removed"]
        assert set(removed) & set(three_pages.numbers) == set()
        connector.load()
    assert set(connector.by_id()) == set(three_pages.numbers)


def test_a_total_that_never_matches_loads_nothing(three_pages: Account, connect: Connect) -> None:
    with Sandbox(three_pages) as sandbox:
        connector = connect(sandbox)
        connector.load()
        before = connector.state()
        three_pages.release(next(iter(three_pages.numbers)))
        sandbox.faults = [Fault("wrong-total", "phone-numbers", times=99)]
        with pytest.raises(IncompleteListing, match="249 different rows came on 3 pages, but the API's total is 250"):
            connector.load()
    assert connector.state() == before


def test_accepting_an_incomplete_listing_loads_it_and_removes_nothing(three_pages: Account, connect: Connect) -> None:
    with Sandbox(three_pages) as sandbox:
        connector = connect(sandbox)
        connector.load()
        released = next(iter(three_pages.numbers))
        three_pages.release(released)
        bought = three_pages.buy()["id"]
        sandbox.faults = [Fault("wrong-total", "phone-numbers", times=99)]
        summary = connector.load(accept_incomplete=True)
    assert {released, bought} <= set(connector.by_id())
    assert not summary.resources["phone_numbers"].complete
    assert summary.resources["phone_numbers"].removed == 0
    assert connector.rows("load_runs")[-1]["phone_numbers_complete"] is False


# A run without changes, and changes that updated_at does not tell.


@pytest.mark.essential
def test_a_second_run_without_changes_touches_nothing_but_the_ledger(connector: Connector) -> None:
    connector.load()
    before, loads = connector.state(), connector.load_ids()
    summary = connector.load()
    assert connector.state() == before
    assert connector.load_ids() == loads
    assert len(connector.rows("load_runs")) == 2
    counts = summary.resources["phone_numbers"]
    assert (counts.added, counts.changed, counts.removed, counts.unchanged) == (0, 0, 0, 57)


def set_to(**values: Any) -> Callable[[Row], None]:
    return lambda number: number.update(values)


ANA, BRUNO = {"id": "a-1", "name": "Ana"}, {"id": "a-2", "name": "Bruno"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({}, {"current_status": "suspended"}, {"current_status": "suspended"}, id="status"),
        pytest.param({}, {"monthly_renewal_cost": 7.5}, {"monthly_renewal_cost": Decimal("7.5")}, id="price"),
        pytest.param({}, {"days_until_monthly_renewal": 3}, {"days_until_monthly_renewal": 3}, id="countdown"),
        pytest.param({"agents": []}, {"agents": [ANA]}, {"agents": [ANA]}, id="agent attached"),
        pytest.param({"agents": [ANA]}, {"agents": [BRUNO]}, {"agents": [BRUNO]}, id="agent swapped"),
        pytest.param({"agents": [ANA, BRUNO]}, {"agents": [BRUNO]}, {"agents": [BRUNO]}, id="agent detached"),
        pytest.param({"agents": [ANA]}, {"agents": None}, {"agents": None}, id="agents not told any more"),
        pytest.param(
            {"updated_at": "2026-03-01T00:00:00Z"},
            {"updated_at": "2026-02-01T00:00:00Z", "type": "fax"},
            {"updated_at": at("2026-02-01T00:00:00"), "type": "fax"},
            id="updated_at goes back",
        ),
    ],
)
def test_a_change_is_seen_although_updated_at_does_not_move(
    before: Row, after: Row, expected: Row, account: Account, connector: Connector
) -> None:
    number = first(account)
    number.update(before)
    connector.load()
    number.update(after)
    connector.load()
    row = connector.by_id()[number["id"]]
    assert {name: row[name] for name in expected} == expected
    agents = [
        row["agent_id"] for row in connector.rows("phone_number_agents") if row["phone_number_id"] == number["id"]
    ]
    assert agents == [agent["id"] for agent in number["agents"] or []]


# Numbers that go and return, and the change log.


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


@pytest.mark.parametrize("touch", ["days_until_monthly_renewal", "is_due_for_monthly_renewal", "updated_at"])
def test_a_touch_alone_makes_no_row_in_the_change_log(touch: str, account: Account, connector: Connector) -> None:
    connector.load()
    log = connector.rows("phone_number_changes")
    value = {"days_until_monthly_renewal": 1, "is_due_for_monthly_renewal": True, "updated_at": "2026-03-14T00:00:00Z"}
    first(account)[touch] = value[touch]
    summary = connector.load()
    assert connector.rows("phone_number_changes") == log
    assert str(connector.by_id()[first(account)["id"]][touch]).startswith(str(value[touch])[:10])
    assert summary.resources["phone_numbers"].changed == 0


def test_a_to_b_to_a_makes_three_rows(account: Account, connector: Connector) -> None:
    number = first(account)
    for price in (1.5, 2.5, 1.5):
        number["monthly_renewal_cost"] = price
        connector.load()
    versions = [row for row in connector.rows("phone_number_changes") if row["id"] == number["id"]]
    assert [row["change_type"] for row in versions] == ["added", "changed", "changed"]
    assert [row["monthly_renewal_cost"] for row in versions] == [Decimal("1.5"), Decimal("2.5"), Decimal("1.5")]
    assert versions[0]["row_fingerprint"] == versions[2]["row_fingerprint"]


def test_the_change_log_has_no_countdowns(connector: Connector) -> None:
    connector.load()
    row = connector.rows("phone_number_changes")[0]
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


# The guard.


def test_an_empty_listing_is_refused_where_numbers_were_known(account: Account, connector: Connector) -> None:
    connector.load()
    before = connector.state()
    account.numbers.clear()
    with pytest.raises(
        SuspiciousRemoval, match="lists 0 rows where 57 were known: 57 would be removed.*--allow-mass-removal"
    ):
        connector.load()
    assert connector.state() == before
    connector.load(allow_mass_removal=True)
    assert connector.rows("phone_numbers") == []
    assert connector.rows("phone_number_agents") == []


def test_agents_alone_are_guarded_too(account: Account, sandbox: Sandbox, connector: Connector) -> None:
    connector.load()
    before = connector.rows("phone_number_agents")
    account.numbers.clear()
    source = talkover_source(sandbox.token, base_url=sandbox.base_url).with_resources("phone_number_agents")
    with pytest.raises(PipelineStepFailed, match="35 would be removed"):
        connector.pipeline().run(source)
    assert before
    assert connector.rows("phone_number_agents") == before


@pytest.mark.parametrize(
    ("size", "released", "refused"), [(10, 6, True), (10, 5, False), (9, 8, False), (9, 9, True), (1, 1, True)]
)
def test_over_half_of_ten_or_more_is_refused(size: int, released: int, refused: bool, connect: Connect) -> None:
    account = Account(size=size, founded=TODAY)
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        connector.load()
        for id in list(account.numbers)[:released]:
            account.release(id)
        if refused:
            with pytest.raises(SuspiciousRemoval, match=f"{size} were known: {released} would be removed"):
                connector.load()
        else:
            connector.load()
    assert len(connector.rows("phone_numbers")) == (size if refused else size - released)


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


@pytest.mark.parametrize(
    ("sent", "column", "stored"),
    [
        pytest.param({"current_price": 1.00}, "current_price", Decimal("1.0000"), id="price as number"),
        pytest.param({"current_price": "1.00"}, "current_price", Decimal("1.0000"), id="price as text"),
        pytest.param({"current_price": 1}, "current_price", Decimal("1.0000"), id="price as integer"),
        pytest.param({"current_price": None}, "current_price", None, id="price null"),
        pytest.param({"current_price": 0.1 + 0.2}, "current_price", Decimal("0.3000"), id="price with float noise"),
        pytest.param(
            {"current_price": "12345678901234.5678"},
            "current_price",
            Decimal("12345678901234.5678"),
            id="price of 18 digits",
        ),
        pytest.param({"has_voice": 0}, "has_voice", False, id="boolean as 0"),
        pytest.param({"has_voice": 1}, "has_voice", True, id="boolean as 1"),
        pytest.param(
            {"renewal_date": "2026-04-30T00:00:00.000000Z"}, "renewal_date", date(2026, 4, 30), id="date as midnight"
        ),
        pytest.param({"days_until_monthly_renewal": 14.37}, "days_until_monthly_renewal", 14, id="fractional days"),
        pytest.param(
            {"created_at": "2024-01-15T10:30:00.123456Z"},
            "created_at",
            at("2024-01-15T10:30:00.123456"),
            id="instant with microseconds",
        ),
        pytest.param(
            {"created_at": "2024-01-15T10:30:00-03:00"},
            "created_at",
            at("2024-01-15T13:30:00"),
            id="instant with offset",
        ),
        pytest.param({"currency": None}, "currency", None, id="null"),
        pytest.param({"id": 4711}, "id", "4711", id="id as integer"),
        pytest.param({"colour": "blue"}, "colour", "blue", id="new text"),
        pytest.param({"setup_fee": 5}, "setup_fee", 5.0, id="new number"),
        pytest.param({"is_ported": True}, "is_ported", True, id="new boolean"),
        pytest.param({"Carrier Info": {"name": "x", "n": 3}}, "carrier_info", {"name": "x", "n": 3}, id="new object"),
        pytest.param({"tags": ["a", "b"]}, "tags", ["a", "b"], id="new list"),
        pytest.param(
            {"formatted_number": "„Ünïcode“ \"double\" 'single'; drop table\nnew line\t☎"},
            "formatted_number",
            "„Ünïcode“ \"double\" 'single'; drop table\nnew line\t☎",
            id="unicode, quotes, newlines",
        ),
        pytest.param({"environment": {"id": 3, "name": "Live"}}, "environment__id", "3", id="environment id"),
        pytest.param({"environment": {"id": 3, "name": "Live"}}, "environment__name", "Live", id="environment name"),
        pytest.param({"environment": []}, "environment__id", None, id="environment as PHP's empty object"),
        pytest.param({"agents": {"0": ANA, "2": BRUNO}}, "agents", [ANA, BRUNO], id="agents with numeric keys"),
    ],
)
def test_a_value_is_stored_as_what_it_means(
    sent: Row, column: str, stored: Any, account: Account, connector: Connector
) -> None:
    number = first(account)
    number.update(sent)
    connector.load()
    row = next(row for row in connector.rows("phone_numbers") if row["number"] == number["number"])
    assert row[column] == stored
    log = next(row for row in connector.rows("phone_number_changes") if row["number"] == number["number"])
    assert log.get(column, stored) == stored


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
def test_a_field_that_first_comes_after_many_rows_is_loaded(connector: Connector, account: Account) -> None:
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


@pytest.mark.parametrize("endpoint", ["phone-numbers", "phone-numbers/release-requests"])
def test_data_as_an_object_with_numeric_keys_is_a_list(endpoint: str, account: Account, connector: Connector) -> None:
    rows = account.numbers if endpoint == "phone-numbers" else account.requests
    data = {str(2 * position): row for position, row in enumerate(rows.values())}
    connector.sandbox.faults = [Fault("answer", endpoint, answer=Answer(200, {"success": True, "data": data}))]
    connector.load()
    assert set(connector.by_id()) == set(account.numbers)
    assert set(connector.by_id("release_requests")) == set(account.requests)


def test_two_new_fields_that_would_share_a_column_are_refused(account: Account, connector: Connector) -> None:
    first(account).update({"countryCode": "DE"})
    with pytest.raises(InvalidRow, match="field 'countryCode' would share column 'country_code'"):
        connector.load()


def test_more_pages_than_rows_are_not_asked_for(account: Account, connector: Connector) -> None:
    meta = {"current_page": 1, "per_page": 100, "total": 57, "last_page": 90_000}
    answer = Answer(200, {"data": list(account.numbers.values()), "meta": meta})
    connector.sandbox.faults = [Fault("answer", "phone-numbers", answer=answer, times=99)]
    with pytest.raises(UnexpectedPayload, match="90000 pages for 57 rows"):
        connector.load()
    assert len(connector.sandbox.seen) == 1


@pytest.mark.parametrize(
    "wrong", [{"id": "x" * 9999, "ID": 1}, {"x" * 9999 + "\n": 1, "x" * 9999 + "\t": 1}, {"\x1b[2J\n": "\ud800"}]
)
def test_a_hostile_name_does_not_flood_the_error(wrong: Row, account: Account, connector: Connector) -> None:
    first(account).update(wrong)
    with pytest.raises(InvalidRow) as caught:
        connector.load()
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


def test_hundreds_of_new_fields_are_refused_before_a_table_gets_them(account: Account, connector: Connector) -> None:
    first(account).update({f"field {n}": n for n in range(501)})
    with pytest.raises(InvalidRow, match="more than 500 fields that are not documented"):
        connector.load()
    assert connector.rows("phone_numbers") == []


def test_many_agents_on_one_number_are_loaded_in_time(account: Account, connector: Connector) -> None:
    """Their rows were looked up in a way that took hours for 100,000."""
    first(account)["agents"] = [{"id": f"agent-{n}", "name": "A"} for n in range(20_000)]
    started = time.monotonic()
    connector.load()
    assert time.monotonic() - started < 60
    assert len(connector.rows("phone_number_agents")) > 20_000


# Bad rows.


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        pytest.param({"id": None}, "id None: id must be text, but is None", id="null id"),
        pytest.param({"id": " "}, "id ' ': id must not be empty, but is ' '", id="empty id"),
        pytest.param({"current_price": "free"}, "current_price must be an amount, but is 'free'", id="price"),
        pytest.param(
            {"current_price": 1.23456},
            "current_price has more than 4 digits after the point, but is 1.23456",
            id="places",
        ),
        pytest.param({"days_until_monthly_renewal": "1e999999999"}, "is more than a million days", id="endless days"),
        pytest.param({"number": "+49\ud800"}, "number holds half a character", id="lone surrogate"),
        pytest.param({"has_sms": "yes"}, "has_sms must be true or false, but is 'yes'", id="boolean"),
        pytest.param({"renewal_date": "2026-02-30"}, "renewal_date .* but is '2026-02-30'", id="impossible date"),
        pytest.param(
            {"agents": [{"name": "Ana"}]}, "agents.0.id Field required, but is missing", id="agent without id"
        ),
    ],
)
def test_a_bad_row_ends_the_run_before_anything_is_loaded(
    wrong: Row, complaint: str, account: Account, connector: Connector
) -> None:
    connector.load()
    before = connector.state()
    good = dict(first(account))
    first(account).update(wrong)
    with pytest.raises(InvalidRow, match=rf"GET /phone-numbers .*: row 0 of a page, .*{complaint}"):
        connector.load()
    assert connector.state() == before
    first(account).update(good | {"type": "fax"})
    connector.load()
    assert connector.by_id()[good["id"]]["type"] == "fax"


def test_a_row_without_id_is_refused(account: Account, connector: Connector) -> None:
    del first(account)["id"]
    with pytest.raises(InvalidRow, match="id None: id Field required, but is missing"):
        connector.load()


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


def test_the_failure_of_one_environment_loads_nothing(live: Account, test: Account, both: Connector) -> None:
    load_environments(both)
    before = both.state()
    first(live)["type"] = "fax"
    del first(test)["id"]
    with pytest.raises(InvalidRow, match="environment 'test'"):
        load_environments(both)
    assert both.state() == before


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


def test_the_source_runs_in_a_plain_dlt_pipeline(sandbox: Sandbox, account: Account, warehouse: str) -> None:
    pipeline = dlt.pipeline("plain", destination=warehouse, dataset_name="numbers")
    for _ in range(2):
        pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url))
    with pipeline.sql_client() as client:
        assert client.execute_sql("select count(*) from phone_numbers") == [(57,)]
        assert client.execute_sql("select count(*) from phone_number_changes") == [(57,)]
        assert client.execute_sql("select count(*) from load_runs") == [(2,)]


def test_one_resource_alone_is_loaded_alone_and_asks_one_endpoint(
    sandbox: Sandbox, account: Account, warehouse: str
) -> None:
    pipeline = dlt.pipeline("alone", destination=warehouse, dataset_name="numbers")
    pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url).with_resources("phone_numbers"))
    assert {request.endpoint for request in sandbox.seen} == {"phone-numbers"}
    assert [table["name"] for table in pipeline.default_schema.data_tables(seen_data_only=True)] == ["phone_numbers"]
    account.release(next(iter(account.numbers)))
    pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url).with_resources("phone_numbers"))
    with pipeline.sql_client() as client:
        assert client.execute_sql("select count(*) from phone_numbers") == [(56,)]


def test_loading_one_table_without_its_log_loses_nothing_for_the_log(
    account: Account, connector: Connector, warehouse: str
) -> None:
    connector.load()
    first(account)["type"] = "fax"
    pipeline = dlt.pipeline("talkover_pipeline", destination=warehouse, dataset_name="talkover")
    source = talkover_source(connector.sandbox.token, base_url=connector.sandbox.base_url)
    pipeline.run(source.with_resources("phone_numbers"))
    assert types_of_change(connector, first(account)["id"]) == ["added"]
    connector.load()
    assert types_of_change(connector, first(account)["id"]) == ["added", "changed"]


def test_the_source_can_be_used_twice(sandbox: Sandbox, account: Account, warehouse: str) -> None:
    pipeline = dlt.pipeline("again", destination=warehouse, dataset_name="numbers")
    for size in (57, 56):
        source = talkover_source(sandbox.token, base_url=sandbox.base_url)
        pipeline.run(source)
        with pipeline.sql_client() as client:
            assert client.execute_sql("select count(*) from phone_numbers") == [(size,)]
        account.release(next(iter(account.numbers)))


def test_the_source_is_iterated_without_a_pipeline(sandbox: Sandbox, account: Account) -> None:
    rows = list(talkover_source(sandbox.token, base_url=sandbox.base_url).with_resources("phone_numbers"))
    assert [row["id"] for row in rows] == list(account.numbers)


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ({"type": "voice"}, {"type": "voice"}),
        ({"has_whatsapp": True}, {"has_whatsapp": "true"}),
        ({"has_voice": False}, {"has_voice": "false"}),
        ({"search": "+1"}, {"search": "+1"}),
    ],
)
def test_a_filtered_listing_never_removes_what_it_did_not_ask_for(
    filters: Row, query: dict[str, str], account: Account, connector: Connector
) -> None:
    connector.load()
    connector.sandbox.seen.clear()
    summary = connector.load(**filters)
    assert connector.sandbox.seen[0].query.items() >= query.items()
    assert 0 < summary.resources["phone_numbers"].listed < 57
    assert not summary.resources["phone_numbers"].complete
    assert set(connector.by_id()) == set(account.numbers)


def test_a_full_refresh_sends_every_row_again_and_changes_nothing(connector: Connector) -> None:
    connector.load()
    before, loads = connector.state(), connector.load_ids()
    connector.load(full_refresh=True)
    assert connector.state() == before
    after = connector.load_ids()
    for table in ("phone_numbers", "phone_number_agents", "release_requests"):
        assert after[table].isdisjoint(loads[table])
    for table in ("phone_number_changes", "release_request_changes"):
        assert after[table] == loads[table]


@pytest.mark.parametrize("refresh", ["drop_sources", "drop_resources", "drop_data"])
def test_every_refresh_mode_of_dlt_leaves_the_tables_full(
    refresh: Any, account: Account, sandbox: Sandbox, warehouse: str
) -> None:
    pipeline = dlt.pipeline("refreshed", destination=warehouse, dataset_name="numbers")
    pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url))
    account.release(next(iter(account.numbers)))
    pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url), refresh=refresh)
    with pipeline.sql_client() as client:
        assert client.execute_sql("select count(*) from phone_numbers") == [(56,)]
        assert client.execute_sql("select count(*), min(change_type) from phone_number_changes") == [(56, "added")]
        assert client.execute_sql("select count(*) from release_requests") == [(len(account.requests),)]


def test_dev_mode_loads_everything_into_a_dataset_of_its_own(sandbox: Sandbox, warehouse: str) -> None:
    for _ in range(2):
        pipeline = dlt.pipeline("developed", destination=warehouse, dataset_name="numbers", dev_mode=True)
        pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url))
        with pipeline.sql_client() as client:
            assert client.execute_sql("select count(*) from phone_numbers") == [(57,)]


def test_dlts_own_cursor_filters_rows_and_leaves_tombstones_alone(
    sandbox: Sandbox, account: Account, warehouse: str
) -> None:
    def load() -> set[str]:
        source = talkover_source(sandbox.token, base_url=sandbox.base_url)
        source.phone_numbers.apply_hints(incremental=dlt.sources.incremental("updated_at"))
        pipeline = dlt.pipeline("cursor", destination=warehouse, dataset_name="numbers")
        pipeline.run(source)
        with pipeline.sql_client() as client:
            return {f"{id} {type}" for id, type in client.execute_sql("select id, type from phone_numbers")}

    load()
    by_update = sorted(account.numbers.values(), key=lambda number: number["updated_at"])
    oldest, newest = by_update[0], by_update[-1]
    account.release(newest["id"])
    oldest["type"] = "fax"
    rows = load()
    assert len(rows) == 56
    assert f"{oldest['id']} fax" not in rows, "the cursor filters what updated_at does not tell"


# Time.


def test_history_only_goes_forward(connector: Connector) -> None:
    connector.load(observed_at=at("2026-03-02T00:00:00"))
    before = connector.state()
    with pytest.raises(ConfigurationError, match="history only goes forward"):
        connector.load(observed_at=at("2026-03-01T00:00:00"))
    assert connector.state() == before


def test_a_run_dated_in_the_future_would_lock_out_all_others(connector: Connector) -> None:
    with pytest.raises(ConfigurationError, match="2062-01-01.* is in the future"):
        connector.load(observed_at=at("2062-01-01T00:00:00"))
    assert connector.rows("phone_numbers") == []


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
