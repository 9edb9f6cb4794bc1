"""What a value means, to the ends of what JSON can say and databases can hold; or an error with row and field."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from talkover import InvalidRow, read_view
from talkover.api.columns import read_table
from talkover.api.fields import PHONE_NUMBER, RELEASE_REQUEST, Resource
from talkover.api.unknown import base_of
from talkover.sandbox import Account
from talkover.views import view_names

from .conftest import Connector, Row, at


def read(value: Any, field: str, time_zone: str = "UTC") -> Any:
    """What becomes of `value` in a row of the API."""
    resource = RELEASE_REQUEST if field in RELEASE_REQUEST.columns else PHONE_NUMBER
    sent = json.loads(json.dumps({"id": "a", field: value}), parse_float=Decimal)
    return only_row(resource, sent, time_zone).get(field)


def only_row(resource: Resource, row: Row, time_zone: str = "UTC") -> Row:
    """Column to value, without nulls; a field that no page documents under its own name."""
    (read,) = read_table(resource, [row], "GET /x", time_zone=ZoneInfo(time_zone)).to_pylist()
    return {base_of(name) or name: value for name, value in read.items() if value is not None}


def exact(number: float) -> Decimal:
    """All the digits of a double, as PHP writes them with `serialize_precision = 100`."""
    return Decimal(number)


# Money.


@pytest.mark.parametrize("written", [str, Decimal])
@pytest.mark.parametrize(
    ("digits", "amount"),
    [
        (exact(1.1), "1.1"),
        (exact(0.3), "0.3"),
        (exact(0.1 + 0.2), "0.3"),
        (exact(0.00005 * 20_000), "1"),
        (exact(27964.000000000004), "27964"),
        (exact(-2.675), "-2.675"),
        (exact(0.3 - 0.1 - 0.2), "0"),
        (exact(9999999999.1), "9999999999.1"),
        (exact(12345678901.1), "12345678901.1"),
        (exact(68719476735.0001), "68719476735.0001"),
        ("1.10000000000000009", "1.1"),
        ("1.1000000000000000888", "1.1"),
        ("1.09999999999999999999999999999999999999", "1.1"),
        ("0.30000000000000004", "0.3"),
        ("12345678901234.5678000000000000000000000000", "12345678901234.5678"),
    ],
)
def test_the_noise_of_a_double_is_no_money_however_many_digits_of_it_are_written(
    digits: Decimal | str, amount: str, written: type[str] | type[Decimal]
) -> None:
    sent = {"id": "a", "current_price": written(digits)}
    assert only_row(PHONE_NUMBER, sent)["current_price"] == Decimal(amount)


@pytest.mark.parametrize(
    "digits",
    [
        "1.00001",
        "0.00005",
        "1.000050000000000000000000000000000000000000",
        "0.00004999999999999999999",
        "1.00000000000001",
        "1e-999999999",
        "12345678901.10001",
        # Doubles lie too far apart here to tell whether these digits are noise.
        "123456789012.12345",
        "12345678901234.56785",
        "12345678901234.568359375",
    ],
)
@pytest.mark.parametrize("written", [str, Decimal])
def test_a_fifth_place_after_the_point_is_refused(digits: str, written: type[str] | type[Decimal]) -> None:
    sent = {"id": "a", "current_price": written(digits)}
    with pytest.raises(InvalidRow, match="current_price has more than 4 digits after the point, but is"):
        only_row(PHONE_NUMBER, sent)


def test_a_number_of_an_unknown_field_is_the_same_in_how_many_digits_ever_it_is_written() -> None:
    assert only_row(PHONE_NUMBER, {"id": "a", "setup_fee": exact(1.1)})["setup_fee"] == 1.1


# What tells nothing.

NO_DATES = (
    "",
    "0000-00-00",
    "0000-00-00 00:00:00",
    "0000-00-00 00:00:00.000000",
    "0000-00-00T00:00:00Z",
    "0000-00-00T00:00:00.000000Z",
    "-0001-11-30",
    "-0001-11-30 00:00:00",
    "-0001-11-30T00:00:00+00:00",
    "-0001-11-30T00:00:00.000000Z",
    "-000001-11-30T00:00:00.000000Z",
    "-000001-11-30T03:06:28.000000Z",  # from São Paulo
    "-000001-11-29T15:54:17.000000Z",  # from Shanghai
)
"""MySQL's zero date, and what PHP and Laravel make of it."""


@pytest.mark.parametrize("field", ["renewal_date", "updated_at", "resolved_at"])
@pytest.mark.parametrize("text", NO_DATES)
def test_no_date_is_null(text: str, field: str) -> None:
    assert read(text, field) is None


@pytest.mark.parametrize("field", ["renewal_date", "updated_at"])
@pytest.mark.parametrize("text", ["2026-00-00", "0000-01-01", "0000-00-01", "-0001-12-30", "-", " ", "null", "0"])
def test_what_is_neither_a_date_nor_none_is_refused(text: str, field: str) -> None:
    with pytest.raises(InvalidRow, match=rf"row 0 of a page, id 'a': {field} .*, but is '{text}'"):
        read(text, field)


@pytest.mark.parametrize(
    "field",
    [
        "current_price",
        "has_voice",
        "days_until_monthly_renewal",
        "currency",
        "environment",
        "agents",
        "phone_number_id",
    ],
)
def test_an_empty_text_where_no_text_belongs_is_null(field: str) -> None:
    assert read("", field) is None


def test_an_environment_without_an_id_is_one_of_which_the_name_is_told() -> None:
    row = only_row(PHONE_NUMBER, {"id": "a", "environment": {"id": "", "name": "Live"}})
    assert row == {"id": "a", "environment__name": "Live"}


@pytest.mark.parametrize("field", ["type", "current_status", "number", "reason", "not_documented"])
def test_an_empty_text_where_text_belongs_is_empty(field: str) -> None:
    assert read("", field) == ""


@pytest.mark.parametrize("row", [{"id": ""}, {"id": "a", "agents": [{"id": ""}]}])
def test_an_empty_id_of_a_row_is_refused(row: Row) -> None:
    with pytest.raises(InvalidRow, match=r"id must not be empty, but is ''"):
        only_row(PHONE_NUMBER, row)


# Days.


@pytest.mark.parametrize(
    ("time_zone", "text", "day"),
    [
        ("UTC", "2026-12-15", date(2026, 12, 15)),
        ("America/Sao_Paulo", "2026-12-15", date(2026, 12, 15)),
        ("UTC", "2026-12-15T00:00:00.000000Z", date(2026, 12, 15)),
        ("UTC", "2026-12-15 00:00:00", date(2026, 12, 15)),
        ("America/Sao_Paulo", "2026-12-15T03:00:00.000000Z", date(2026, 12, 15)),
        ("America/Sao_Paulo", "2026-12-15T03:00:00+00:00", date(2026, 12, 15)),
        ("America/Sao_Paulo", "2026-12-15T05:00:00+02:00", date(2026, 12, 15)),
        ("America/Sao_Paulo", "2026-12-15 03:00:00", date(2026, 12, 15)),
        # Midnight by a clock of its own, wherever that is.
        ("America/Sao_Paulo", "2026-12-15 00:00:00", date(2026, 12, 15)),
        ("America/Sao_Paulo", "2026-12-15T00:00:00-03:00", date(2026, 12, 15)),
        ("UTC", "2026-12-15T00:00:00-03:00", date(2026, 12, 15)),
        ("Europe/Lisbon", "2026-12-15T00:00:00Z", date(2026, 12, 15)),
        ("Europe/Lisbon", "2026-06-14T23:00:00Z", date(2026, 6, 15)),
        ("Asia/Tokyo", "2026-12-14T15:00:00Z", date(2026, 12, 15)),
        # Clocks went from midnight to one.
        ("America/Sao_Paulo", "2018-11-04T03:00:00Z", date(2018, 11, 4)),
        # Clocks go from one to midnight: the day begins before.
        ("America/Havana", "2026-11-01T04:00:00Z", date(2026, 11, 1)),
    ],
)
def test_an_instant_at_which_a_day_begins_is_that_day(time_zone: str, text: str, day: date) -> None:
    assert read(text, "renewal_date", time_zone) == day


@pytest.mark.parametrize(
    ("time_zone", "text", "there"),
    [
        ("UTC", "2026-12-15T03:00:00.000000Z", "2026-12-15 03:00:00+00:00"),
        ("UTC", "2026-12-15T10:30:00-03:00", "2026-12-15 13:30:00+00:00"),
        ("America/Sao_Paulo", "2026-12-15T00:00:00Z", "2026-12-14 21:00:00-03:00"),
        ("America/Havana", "2026-11-01T05:00:00Z", "2026-11-01 00:00:00-05:00"),
    ],
)
def test_an_instant_within_a_day_is_refused_with_the_setting_that_would_make_it_one(
    time_zone: str, text: str, there: str
) -> None:
    with pytest.raises(InvalidRow) as refused:
        read(text, "renewal_date", time_zone)
    assert str(refused.value).startswith(
        "GET /x: row 0 of a page, id 'a': renewal_date must be a day, or midnight in the zone of the API's days "
        f"(setting time_zone: {time_zone}, where it is {there}), but is '{text}'. Nothing was loaded."
    )


@pytest.mark.parametrize(
    ("time_zone", "text"),
    [("America/Sao_Paulo", "0001-01-01T00:00:00Z"), ("Asia/Tokyo", "0001-01-01T00:00:00Z")],
)
def test_a_day_that_begins_before_the_year_1_is_refused(time_zone: str, text: str) -> None:
    with pytest.raises(InvalidRow, match="renewal_date is out of range, but is '0001-01-01T00:00:00Z'"):
        read(text, "renewal_date", time_zone)


# The ends of time.

FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"


@pytest.mark.parametrize(("resource", "field"), [(PHONE_NUMBER, "created_at"), (RELEASE_REQUEST, "resolved_at")])
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
def test_an_instant_out_of_range_is_named(resource: Resource, field: str, text: str) -> None:
    with pytest.raises(InvalidRow, match=rf"^GET /x: row 1 of a page, id 'b': {field} .*, but is '{text[:9]}"):
        read_table(resource, [{"id": "a"}, {"id": "b", field: text}], "GET /x")


@pytest.mark.parametrize("text", ["0000-01-01", "10000-01-01", "2026-02-29", "9999-12-32", "0001-00-01"])
def test_a_day_out_of_range_is_named(text: str) -> None:
    with pytest.raises(InvalidRow, match=rf"row 0 of a page, id 'a': renewal_date .*, but is '{text}'"):
        only_row(PHONE_NUMBER, {"id": "a", "renewal_date": text})


@pytest.mark.slow
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
