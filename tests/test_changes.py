"""Fingerprints, and what was added, changed and removed: no I/O."""

from __future__ import annotations

from contextlib import nullcontext
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from talkover import SuspiciousRemoval
from talkover.api.columns import read_table
from talkover.api.fields import PHONE_NUMBER, RELEASE_REQUEST, Resource
from talkover.sync.changes import Filled, compare, guard_account, guard_environment, guard_fields, guard_removal
from talkover.sync.database import Database
from talkover.sync.fingerprints import with_fingerprints

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
    "agents": [{"id": "a-2", "name": "Bruno"}, {"id": "a-1", "name": "Ana"}],
}
REQUEST: dict[str, Any] = {
    "id": "request-uuid-1",
    "phone_number_id": "phone-uuid-1",
    "reason": "Não é mais „nötig“",
    "status": "approved",
    "requested_at": "2024-01-05T10:00:00Z",
}


def marked(resource: Resource, *rows: dict[str, Any], environment: str = "live") -> pa.Table:
    """`rows` of the API with their fingerprints."""
    read = read_table(resource, rows, "test")
    rows_of = read.append_column("environment_key", pa.array([environment] * len(rows)))
    return with_fingerprints(rows_of, Database(), next(iter(resource.lists), None))


def mark(resource: Resource, row: dict[str, Any], name: str = "fingerprint") -> Any:
    return marked(resource, row)[name][0].as_py()


def marks(resource: Resource, row: dict[str, Any]) -> list[Any]:
    return [mark(resource, row, name) for name in ("fingerprint", "change_fingerprint", "links_fingerprint")]


GOLDEN = NUMBER | {
    "is_sandbox": False,
    "label": "Não é „nötig“; id:1:x",
    "doubles": 0.1,
    "large": 1e22,
    "small": 1e-7,
    "whole": 5,
    "huge": 10**30,
    "flag": True,
    "tags": ["b", {"z": 1.5, "a": None}],
}
"""What a fingerprint must see through or hold apart, to the spelling of doubles by DuckDB."""


@pytest.mark.essential
def test_golden_fingerprints_never_change() -> None:
    """If this fails, every number of every user is about to be logged as changed."""
    assert marks(PHONE_NUMBER, GOLDEN) == ["ba7205d484a59d86", "a55250e639124011", "e4041e920b2848c4"]
    assert marks(RELEASE_REQUEST, REQUEST) == ["2eb203b5d43384c0", "b859bd26b3e90332", None]
    assert marks(PHONE_NUMBER, {"id": "x"}) == ["7a86b2bd9a0673e7", "156eedaad7c09d0d", None]


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
        pytest.param({"agents": [agent | {"actions": ["x"]} for agent in NUMBER["agents"]]}, id="what may be secret"),
    ],
)
def test_two_spellings_of_a_row_have_one_fingerprint(spelling: dict[str, Any]) -> None:
    assert mark(PHONE_NUMBER, NUMBER | spelling) == mark(PHONE_NUMBER, NUMBER)


def test_minus_zero_is_zero() -> None:
    assert mark(PHONE_NUMBER, {"id": "x", "current_price": "-0.0"}) == mark(
        PHONE_NUMBER, {"id": "x", "current_price": 0}
    )


def test_an_order_of_fields_does_not_matter() -> None:
    assert mark(PHONE_NUMBER, dict(reversed(NUMBER.items()))) == mark(PHONE_NUMBER, NUMBER)


def test_every_field_counts() -> None:
    other: dict[str, Any] = {str: "other", bool: False, Decimal: Decimal("9"), int: 9}
    for name, value in NUMBER.items():
        if name in ("renewal_date", "created_at", "updated_at"):
            changed: Any = "2025-12-31"
        else:
            changed = other.get(type(value))
        if name == "has_sms":
            changed = True
        assert mark(PHONE_NUMBER, NUMBER | {name: changed}) != mark(PHONE_NUMBER, NUMBER), name


def test_a_field_is_not_taken_for_another() -> None:
    assert mark(PHONE_NUMBER, {"id": "x", "number": "1"}) != mark(PHONE_NUMBER, {"id": "x", "type": "1"})


def test_a_field_that_is_null_leaves_the_fingerprints_as_they_are() -> None:
    with_null = marked(PHONE_NUMBER, NUMBER, {"id": "other", "carrier": "Vivo", "score": 1})
    assert with_null["fingerprint"][0].as_py() == mark(PHONE_NUMBER, NUMBER)


@pytest.mark.parametrize("touch", [{"days_until_monthly_renewal": 3}, {"updated_at": "2026-01-01T00:00:00Z"}])
def test_a_touch_is_another_row_and_no_change(touch: dict[str, Any]) -> None:
    assert mark(PHONE_NUMBER, NUMBER | touch) != mark(PHONE_NUMBER, NUMBER)
    assert mark(PHONE_NUMBER, NUMBER | touch, "change_fingerprint") == mark(PHONE_NUMBER, NUMBER, "change_fingerprint")


def test_a_text_cannot_look_like_two_fields() -> None:
    assert mark(PHONE_NUMBER, {"id": "x", "number": "1;type:1:2"}) != mark(
        PHONE_NUMBER, {"id": "x", "number": "1", "type": "2"}
    )


def test_an_environment_counts_also_for_agents() -> None:
    live, test = (marked(PHONE_NUMBER, NUMBER, environment=name) for name in ("live", "test"))
    for name in ("fingerprint", "change_fingerprint", "links_fingerprint"):
        assert live[name] != test[name], name


@pytest.mark.parametrize("agents", [None, []])
def test_a_number_without_agents_has_no_fingerprint_of_them(agents: Any) -> None:
    assert mark(PHONE_NUMBER, NUMBER | {"agents": agents}, "links_fingerprint") is None


@pytest.mark.parametrize(
    ("updated", "stands"),
    [(("01", "02"), "second"), (("02", "01"), "first"), (("01", "01"), "second"), ((None, "01"), "second")],
)
def test_of_an_id_that_comes_twice_the_row_stands_that_was_updated_last(updated: Any, stands: str) -> None:
    rows = [
        {"id": "x", "type": name, "updated_at": day and f"2026-01-{day}T00:00:00Z"}
        for name, day in zip(("first", "second"), updated, strict=True)
    ]
    assert marked(PHONE_NUMBER, {"id": "a"}, *rows, {"id": "z"})["type"].to_pylist() == [None, stands, None]


def test_compare_tells_added_changed_and_removed() -> None:
    held = pa.table(
        {
            "id": ["same", "different", "gone", "moved"],
            "fingerprint": ["1", "1", "1", "1"],
            "environment_key": ["a", "b", "c", "a"],
        }
    )
    listed = pa.table(
        {
            "position": [0, 1, 2, 3],
            "id": ["new", "different", "same", "moved"],
            "fingerprint": ["1", "2", "1", "1"],
            "environment_key": ["a", "b", "a", "b"],
        }
    )
    changes = compare(Database(), held, listed)
    assert (changes.added.to_pylist(), changes.changed.to_pylist()) == ([0], [1, 3])
    assert changes.removed.to_pylist() == [{"id": "gone", "environment_key": "c"}]


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
    ("listed", "elsewhere", "refused"),
    [(3, {"-o": 3}, True), (3, {"-o": 2}, True), (4, {"-o": 2}, False), (1, {"-o": 1}, False), (3, {}, False)],
)
def test_the_guard_against_another_name(listed: int, elsewhere: dict[str, int], refused: bool) -> None:
    expected = pytest.raises(SuspiciousRemoval, match="`talkover environment rename -- -o 'new name'`")
    with expected if refused else nullcontext():
        guard_environment("GET /phone-numbers", "new name", listed, elsewhere, is_new=True)


def test_what_has_a_history_is_no_new_name() -> None:
    with pytest.raises(SuspiciousRemoval, match="the token may be that one's. Nothing was loaded. If the rows"):
        guard_environment("GET /phone-numbers", "new", 3, {"old": 3}, is_new=False)


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
