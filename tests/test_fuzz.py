"""A short run of the fuzzer; docs/reliability.md has the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from .fuzz import fuzz


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
