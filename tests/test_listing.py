"""How a listing is read, wherever it goes: pages, lists that move, filters, the guard, rows that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from talkover import IncompleteListing, InvalidRow, SuspiciousRemoval, UnexpectedPayload
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.faults import Answer

from .conftest import TODAY, Connector, Row
from .test_source import first

pytestmark = pytest.mark.duckdb  # the destination does not matter here

# Every row arrives.


@pytest.mark.parametrize("size", [0, 1, 20, 57, 100, 101, 200, 1234])
@pytest.mark.parametrize("pagination", ["meta", "links", "none"])
def test_every_row_arrives_under_each_reading_of_pagination(size: int, pagination: Any) -> None:
    account = Account(size=size, founded=TODAY)
    with Sandbox(account, pagination=pagination) as sandbox:
        connector = Connector(sandbox)
        summary = connector.load()
    assert set(connector.by_id()) == set(account.numbers)
    assert set(connector.by_id("release_requests")) == set(account.requests)
    assert summary.resources["phone_numbers"].listed == size
    assert summary.resources["phone_numbers"].complete


def test_a_request_that_comes_twice_is_one_row_whatever_else_it_says(sandbox: Sandbox, account: Account) -> None:
    """`updated_at` decides which one of two rows stands; no page documents it of a request, so it may be anything."""
    request = next(iter(account.requests.values()))
    rows = [*account.requests.values(), request | {"updated_at": "2026-01-01T00:00:00Z"}, request | {"reason": "last"}]
    answer = Answer(200, {"success": True, "data": rows})
    sandbox.faults = [Fault("answer", "phone-numbers/release-requests", answer=answer)]
    connector = Connector(sandbox)
    connector.load()
    assert connector.by_id("release_requests")[request["id"]]["reason"] == "last"


def test_a_server_that_caps_the_page_size_loses_nothing() -> None:
    account = Account(size=130, founded=TODAY)
    with Sandbox(account, largest_page=20, caps_pages=True) as sandbox:
        connector = Connector(sandbox)
        connector.load()
        assert len(sandbox.seen) == 7 + 1
    assert set(connector.by_id()) == set(account.numbers)


@pytest.mark.parametrize("size", [57, 75])
@pytest.mark.parametrize("pagination", ["simple", "size", "more", "total", "nested"])
def test_undocumented_ways_to_tell_of_pages_lose_nothing(pagination: Any, size: int) -> None:
    """A cap below what was asked, and no `last_page` in its place, must not pass for the end of the list."""
    with Sandbox(Account(size=size), pagination=pagination, largest_page=25, caps_pages=True) as sandbox:
        connector = Connector(sandbox)
        assert connector.load().resources["phone_numbers"].listed == size
        assert len(connector.rows("phone_numbers")) == size


def test_a_server_that_refuses_the_page_size_is_asked_for_its_own() -> None:
    account = Account(size=45, founded=TODAY)
    with Sandbox(account, largest_page=50) as sandbox:
        connector = Connector(sandbox)
        connector.load()
        sizes = [request.query.get("per_page") for request in sandbox.seen]
    assert sizes == ["100", None, None, None, None]  # refused once, then three pages and the requests
    assert set(connector.by_id()) == set(account.numbers)


def test_pages_after_the_first_are_fetched_side_by_side_and_as_few_as_can_be() -> None:
    account = Account(size=1000, founded=TODAY)
    with Sandbox(account, latency=0.05) as sandbox:
        connector = Connector(sandbox)
        account.requests.clear()
        connector.load(max_concurrent_requests=4)
        assert len(sandbox.seen) == 10 + 1
        assert sandbox.most_at_once == 4
    assert len(connector.rows("phone_numbers")) == 1000


def test_a_list_without_meta_that_fills_a_page_exactly_is_not_cut() -> None:
    """An API that pages but does not say so: a full page is no proof of the end."""
    account = Account(size=100, founded=TODAY)
    pages = {
        page: Answer(200, {"success": True, "data": list(account.numbers.values())[40 * (page - 1) : 40 * page]})
        for page in (1, 2, 3, 4)
    }
    faults = [Fault("answer", "phone-numbers", page, times=9, answer=answer) for page, answer in pages.items()]
    with Sandbox(account, faults=faults) as sandbox:
        connector = Connector(sandbox)
        connector.load(per_page=40)
    assert set(connector.by_id()) == set(account.numbers)


# Lists that move while they are read.


@pytest.fixture
def three_pages() -> Account:
    return Account(size=250, founded=TODAY)


@pytest.mark.parametrize("drift", ["shrinking", "growing", "swapping"])
@pytest.mark.parametrize("page", [2, 3])
def test_a_number_that_comes_or_goes_between_two_pages_loses_no_neighbour(
    drift: str,
    page: int,
    three_pages: Account,
) -> None:
    with Sandbox(three_pages) as sandbox:
        connector = Connector(sandbox)
        connector.load(max_concurrent_requests=1)
        sandbox.faults = [Fault(drift, "phone-numbers", page)]
        connector.load(max_concurrent_requests=1)
        numbers = connector.by_id()
        assert set(three_pages.numbers) - set(numbers) == set()
        removed = [row["id"] for row in connector.rows("phone_number_changes") if row["change_type"] == "removed"]
        assert set(removed) & set(three_pages.numbers) == set()
        connector.load()
    assert set(connector.by_id()) == set(three_pages.numbers)


def test_a_total_that_never_matches_loads_nothing(three_pages: Account) -> None:
    with Sandbox(three_pages) as sandbox:
        connector = Connector(sandbox)
        connector.load()
        before = connector.state()
        three_pages.release(next(iter(three_pages.numbers)))
        sandbox.faults = [Fault("wrong-total", "phone-numbers", times=99)]
        with pytest.raises(IncompleteListing, match="249 different rows came on 3 pages, but the API's total is 250"):
            connector.load()
    assert connector.state() == before


# The guard.


@pytest.mark.parametrize(
    ("size", "released", "refused"), [(10, 6, True), (10, 5, False), (9, 8, False), (9, 9, True), (1, 1, True)]
)
def test_over_half_of_ten_or_more_is_refused(size: int, released: int, refused: bool) -> None:
    account = Account(size=size, founded=TODAY)
    with Sandbox(account) as sandbox:
        connector = Connector(sandbox)
        connector.load()
        for id in list(account.numbers)[:released]:
            account.release(id)
        if refused:
            with pytest.raises(SuspiciousRemoval, match=f"{size} were known: {released} would be removed"):
                connector.load()
        else:
            connector.load()
    assert len(connector.rows("phone_numbers")) == (size if refused else size - released)


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
