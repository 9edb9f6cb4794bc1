"""Which days of calls a run reads."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import pytest

from talkover.sync.calls import Window, due_windows
from talkover.sync.held import WindowRead
from talkover.sync.shared import CallOptions

from .conftest import at

NOW = at("2026-03-15T10:00:00")
DAY = timedelta(days=1)


def day(text: str) -> date:
    return date.fromisoformat(f"2026-{text}")


def read(first: str, last: str, when: datetime, *, complete: bool = True, key: str = "live") -> WindowRead:
    return WindowRead(key, day(first), day(last), when, complete, "key")


def due(*windows: WindowRead, now: datetime = NOW, again: bool = False, **options: Any) -> list[tuple[str, str]]:
    """First and last day of each window that is due, as month and day."""
    made = due_windows("live", windows, now, CallOptions(**{"window_days": 7} | options), again=again)
    return [(f"{window.first_day:%m-%d}", f"{window.last_day:%m-%d}") for window in made]


def test_a_first_run_reads_ninety_days_in_windows_oldest_first() -> None:
    windows = due(window_days=CallOptions().window_days)
    assert windows[0] == ("12-15", "12-28")
    assert windows[-1] == ("03-09", "03-15")
    assert len(windows) == 7


def test_a_first_run_reads_from_the_day_that_it_is_told() -> None:
    assert due(since=day("03-01")) == [("03-01", "03-07"), ("03-08", "03-14"), ("03-15", "03-15")]
    assert due(since=day("03-01"), window_days=30) == [("03-01", "03-15")]
    assert due(since=day("03-16")) == []


def test_a_later_run_reads_again_what_may_have_changed_since() -> None:
    yesterday = NOW - DAY
    assert due(read("03-01", "03-14", yesterday)) == [("03-11", "03-15")]
    assert due(read("03-01", "03-14", yesterday), lookback_days=5) == [("03-09", "03-15")]


def test_the_last_days_are_read_again_whatever_the_lookback_says() -> None:
    """Where a day ends nobody tells: in some time zone the one before was not over yet."""
    assert due(read("03-01", "03-14", NOW - DAY), lookback_days=0) == [("03-13", "03-15")]


def test_a_run_after_a_pause_goes_on_where_the_last_one_was_sure() -> None:
    assert due(read("01-01", "02-20", at("2026-02-20T10:00:00")))[0] == ("02-17", "02-23")


def test_a_backfill_that_was_killed_goes_on_where_it_stopped() -> None:
    windows = [read("01-01", "01-07", NOW - DAY), read("01-08", "01-14", NOW - DAY)]
    assert due(*windows)[0] == ("01-15", "01-21")


def test_windows_of_the_same_run_are_not_read_again() -> None:
    assert due(read("03-01", "03-10", NOW)) == [("03-11", "03-15")]
    assert due(read("03-01", "03-15", NOW)) == []
    assert due(read("03-01", "03-15", NOW, complete=False)) == []
    assert due(read("03-01", "03-15", NOW), again=True) == []


def test_an_incomplete_window_is_read_again() -> None:
    assert due(read("03-01", "03-05", NOW - DAY, complete=False), read("03-06", "03-14", NOW - DAY)) == [
        ("03-01", "03-05"),
        ("03-11", "03-15"),
    ]


def test_an_earlier_first_day_reads_what_was_not_asked_for_before() -> None:
    assert due(read("03-01", "03-14", NOW - DAY), since=day("02-25")) == [("02-25", "02-28"), ("03-11", "03-15")]


def test_the_first_day_does_not_move_on_with_the_years() -> None:
    years_ago = read("01-01", "03-14", NOW - DAY)
    assert due(years_ago, now=NOW + 400 * DAY)[0] == ("03-11", "03-17")


def test_a_full_refresh_reads_everything_again() -> None:
    assert due(read("03-01", "03-14", NOW - DAY), again=True, window_days=20) == [("03-01", "03-15")]


def test_an_environment_has_its_own_windows() -> None:
    assert due(read("03-01", "03-14", NOW - DAY, key="test"), since=day("03-10")) == [("03-10", "03-15")]


@pytest.mark.parametrize("seed", range(50))
def test_of_windows_that_differ_in_their_run_alone_the_last_one_says_all(seed: int) -> None:
    """A destination tells no others: of hourly loads there are very many."""
    chance = Random(seed)
    ends = [sorted((f"03-{chance.randint(1, 14):02}", f"03-{chance.randint(1, 14):02}")) for _ in range(3)]
    runs = sorted(NOW - chance.randint(0, 200) * timedelta(hours=1) for _ in range(20))
    windows = [read(*chance.choice(ends), run, complete=chance.random() < 0.7) for run in runs]
    last = {(window.first_day, window.last_day, window.complete): window for window in windows}.values()
    again = chance.random() < 0.3
    assert due(*last, again=again) == due(*windows, again=again)


@pytest.mark.parametrize("lookback", [0, 1, 3, 10])
def test_no_day_is_left_out_and_none_is_read_for_ever(lookback: int) -> None:
    """A run a day: each day is read until it is older than the lookback, and by no run after that."""
    windows: list[WindowRead] = []
    reads: dict[date, list[datetime]] = {}
    for now in (NOW + days * DAY for days in range(40)):
        for window in due_windows("live", windows, now, CallOptions(since=NOW.date(), lookback_days=lookback)):
            windows.append(WindowRead("live", window.first_day, window.last_day, now, True, "key"))
            for days in range((window.last_day - window.first_day).days + 1):
                reads.setdefault(window.first_day + days * DAY, []).append(now)
    settled = [NOW.date() + days * DAY for days in range(25)]
    assert {(reads[one][-1].date() - one).days for one in settled} == {max(lookback + 1, 2)}
    assert {len(reads[one]) for one in settled} == {max(lookback + 1, 2) + 1}


def test_a_window_asks_for_a_day_more_on_both_sides() -> None:
    assert Window("live", day("03-01"), day("03-07")).filters == {"date_from": "2026-02-28", "date_to": "2026-03-08"}
