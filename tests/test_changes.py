"""Fingerprints, and what was added, changed and removed: no I/O."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from talkover import SuspiciousRemoval
from talkover.api.models import PhoneNumber, ReleaseRequest, Resource, read_rows
from talkover.sync.changes import (
    Changes,
    Filled,
    canonical,
    compare,
    fingerprint,
    guard_account,
    guard_fields,
    guard_removal,
)

NUMBER: dict[str, Any] = {
    "id": "phone-uuid-1",
    "number": "+1234567890",
    "country_code": "US",
    "type": "voice",
    "has_voice": True,
    "has_sms": False,
    "current_price": Decimal("1.00"),
    "currency": "USD",
    "renewal_date": "2024-02-15",
    "created_at": "2024-01-15T10:30:00Z",
    "updated_at": "2024-01-15T10:30:00.123456Z",
    "days_until_monthly_renewal": 15,
    "environment": {"id": "e-1", "name": "Live"},
    "agents": [{"id": "a-2", "name": "Bruno"}, {"id": "a-1", "name": "Ana", "extra": {"b": 1, "a": [1.5, None]}}],
}
REQUEST: dict[str, Any] = {
    "id": "request-uuid-1",
    "phone_number_id": "phone-uuid-1",
    "reason": "Não é mais „nötig“",
    "status": "approved",
    "requested_at": "2024-01-05T10:00:00Z",
}


def mark(model: type[Resource], row: dict[str, Any]) -> str:
    return fingerprint(canonical(read_rows(model, [row], "test")[0].row()))


def test_golden_fingerprints_never_change() -> None:
    """If this fails, every number of every user is about to be logged as changed."""
    assert mark(PhoneNumber, NUMBER) == "daf085a9fbf1a3d2"
    assert mark(ReleaseRequest, REQUEST) == "b05ceeb5a2c018d1"
    assert mark(PhoneNumber, {"id": "x"}) == "ca358ac070e44085"


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param({"current_price": "1.0"}, id="money as text"),
        pytest.param({"current_price": 1}, id="money as integer"),
        pytest.param({"has_voice": 1, "has_sms": "0"}, id="booleans as 0 and 1"),
        pytest.param({"renewal_date": "2024-02-15T00:00:00.000000Z"}, id="date as midnight"),
        pytest.param({"created_at": "2024-01-15T12:30:00+02:00"}, id="another offset"),
        pytest.param({"created_at": "2024-01-15T10:30:00.000000Z"}, id="microseconds"),
        pytest.param({"days_until_monthly_renewal": Decimal("15.9")}, id="fractional days"),
        pytest.param({"formatted_number": None}, id="null for absent"),
        pytest.param({"agents": list(reversed(NUMBER["agents"]))}, id="another order of agents"),
    ],
)
def test_two_spellings_of_a_row_have_one_fingerprint(spelling: dict[str, Any]) -> None:
    assert mark(PhoneNumber, NUMBER | spelling) == mark(PhoneNumber, NUMBER)


def test_minus_zero_is_zero() -> None:
    assert mark(PhoneNumber, {"id": "x", "current_price": "-0.0"}) == mark(PhoneNumber, {"id": "x", "current_price": 0})


def test_an_order_of_fields_does_not_matter() -> None:
    assert mark(PhoneNumber, dict(reversed(NUMBER.items()))) == mark(PhoneNumber, NUMBER)


def test_every_field_counts() -> None:
    other: dict[str, Any] = {str: "other", bool: False, Decimal: Decimal("9"), int: 9}
    for name, value in NUMBER.items():
        if name in ("renewal_date", "created_at", "updated_at"):
            changed: Any = "2025-12-31"
        else:
            changed = other.get(type(value))
        if name == "has_sms":
            changed = True
        assert mark(PhoneNumber, NUMBER | {name: changed}) != mark(PhoneNumber, NUMBER), name


def test_a_field_is_not_taken_for_another() -> None:
    assert mark(PhoneNumber, {"id": "x", "number": "1"}) != mark(PhoneNumber, {"id": "x", "type": "1"})


def test_canonical_rows_are_readable_json() -> None:
    row = {"b": Decimal("1.5000"), "a": datetime(2024, 1, 1, tzinfo=timezone.utc), "c": date(2024, 1, 2)}
    assert canonical(row) == b'{"a":"2024-01-01T00:00:00+00:00","b":"1.5000","c":"2024-01-02"}'


def test_compare_tells_added_changed_and_removed() -> None:
    known = {"same": "1", "different": "1", "gone": "1", "not asked for": "1"}
    seen = {"same": "1", "different": "2", "new": "1"}
    assert compare(known, seen, lambda key: key == "gone") == Changes(["new"], ["different"], ["gone"])


@pytest.mark.parametrize(
    ("listed", "known", "removed", "refused"),
    [
        (0, 1, 1, True),
        (0, 0, 0, False),
        (4, 10, 6, True),
        (5, 10, 5, False),
        (1, 9, 8, False),
        (49, 100, 51, True),
    ],
)
def test_the_guard(listed: int, known: int, removed: int, refused: bool) -> None:
    if refused:
        with pytest.raises(SuspiciousRemoval, match=f"lists {listed} rows where {known} were known: {removed} would"):
            guard_removal("GET /phone-numbers", listed, known, removed)
    else:
        guard_removal("GET /phone-numbers", listed, known, removed)


@pytest.mark.parametrize(
    ("listed", "known", "removed", "refused"),
    [(5, 2, 2, True), (1, 1, 1, False), (5, 3, 2, False), (0, 3, 3, False), (3, 0, 0, False)],
)
def test_the_guard_against_the_token_of_another_account(listed: int, known: int, removed: int, refused: bool) -> None:
    with pytest.raises(SuspiciousRemoval, match="another environment or account") if refused else nullcontext():
        guard_account("GET /phone-numbers", listed, known, removed)


@pytest.mark.parametrize(
    ("listed", "told", "held", "refused"),
    [
        (9, {"id"}, Filled(10, {"id": 10, "type": 6}), "type"),
        (9, {"id"}, Filled(10, {"id": 10, "type": 5}), None),
        (9, {"id"}, Filled(9, {"id": 9, "type": 9}), None),
        (9, {"id", "type"}, Filled(10, {"id": 10, "type": 10}), None),
        (0, set(), Filled(10, {"id": 10, "type": 10}), None),
    ],
)
def test_the_guard_against_lost_fields(listed: int, told: set[str], held: Filled, refused: str | None) -> None:
    with pytest.raises(SuspiciousRemoval, match=f"with a value of {refused} ") if refused else nullcontext():
        guard_fields("GET /phone-numbers", listed, told, held)
