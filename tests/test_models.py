"""Dates at the ends of what JSON can say and databases can hold: the right row, or an error with row and field."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pytest

from talkover import InvalidRow, read_view
from talkover.models import PhoneNumber, ReleaseRequest, Resource, read_rows
from talkover.sandbox import Account
from talkover.views import view_names

from .conftest import Connector, Row, at

FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"


@pytest.mark.parametrize(("row_type", "field"), [(PhoneNumber, "created_at"), (ReleaseRequest, "resolved_at")])
@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+00:01",  # before the year 1, once it is in UTC
        "0001-01-01T11:59:59+12:00",
        "9999-12-31T23:59:59-00:01",  # after the year 9999
        "9999-12-31T12:00:00-12:00",
        "0000-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-12-31T23:59:60Z",
        "2026-03-01T00:00:00+99:99",
    ],
)
def test_an_instant_out_of_range_is_named(row_type: type[Resource], field: str, text: str) -> None:
    with pytest.raises(InvalidRow, match=rf"^GET /x: row 1 of a page, id 'b': {field} .*, but is '{text[:9]}"):
        read_rows(row_type, [{"id": "a"}, {"id": "b", field: text}], "GET /x")


@pytest.mark.parametrize("text", ["0000-01-01", "10000-01-01", "2026-02-29", "9999-12-32", "0001-00-01"])
def test_a_day_out_of_range_is_named(text: str) -> None:
    with pytest.raises(InvalidRow, match=rf"row 0 of a page, id 'a': renewal_date .*, but is '{text}'"):
        read_rows(PhoneNumber, [{"id": "a", "renewal_date": text}], "GET /x")


def test_the_ends_of_time_are_loaded_exactly_and_no_view_breaks(account: Account, connector: Connector) -> None:
    """One microsecond more or less would not fit: PostgreSQL, DuckDB and Parquet all count microseconds in 64 bits."""
    if connector.destination == "clickhouse":
        pytest.skip("ClickHouse has no days before 1900 nor after 2299")
    ids = list(account.numbers)
    sent: dict[str, Row] = {
        ids[0]: {"created_at": FIRST, "updated_at": FIRST, "renewal_date": "0001-01-01"},
        ids[1]: {"created_at": LAST, "updated_at": LAST, "renewal_date": "9999-12-31"},
        ids[2]: {"created_at": "1677-09-21T00:12:43.145224Z", "updated_at": "2262-04-11T23:47:16.854776Z"},
    }
    for id, values in sent.items():
        account.numbers[id] |= values
    first, second = list(account.requests)[:2]
    account.requests[first] |= {"requested_at": FIRST, "resolved_at": LAST}
    account.requests[second] |= {"requested_at": LAST, "resolved_at": FIRST}
    connector.load(observed_at=at("2026-03-15T00:00:00"))
    found = connector.by_id()
    for id, values in sent.items():
        for name, text in values.items():
            assert found[id][name] == value_of(text), (id, name)
    request = connector.by_id("release_requests")[first]
    assert (request["requested_at"], request["resolved_at"]) == (value_of(FIRST), value_of(LAST))
    account.release(ids[1])
    connector.load()  # what was loaded is read again for the history
    broken = {}
    for name in view_names():
        try:
            read_view(name, destination=connector.destination)
        except Exception as error:
            broken[name] = error
    assert broken == {}


def value_of(text: str) -> date | datetime:
    if len(text) == len("2026-03-01"):
        return date.fromisoformat(text)
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
