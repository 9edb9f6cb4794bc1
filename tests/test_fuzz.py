"""A short run of the fuzzer; docs/reliability.md has the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from .fuzz import TOTALS, Hostile, fuzz


@pytest.mark.slow
@pytest.mark.product
@pytest.mark.timeout(1200, method="thread")  # the fuzzer has an alarm of its own
def test_hostile_answers_end_in_an_error_or_in_the_right_rows(
    workspace: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    inputs = request.config.getoption("--fuzz-inputs")
    ended, largest = fuzz(inputs=inputs, loads=3, rows=20_000, seed=2)
    assert [verdict for verdict in (*ended, *largest.values()) if "WRONG" in verdict] == []
    assert ended["right rows"] > inputs / 8
    assert ended["right rows in DuckDB"] == 3


def test_an_input_leaves_nothing_in_those_after_it() -> None:
    hostile, before = Hostile(seed=1), repr(TOTALS)
    for _ in range(2_000):
        hostile.make()
    assert repr(TOTALS) == before
