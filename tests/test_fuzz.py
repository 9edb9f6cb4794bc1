"""A short run of the fuzzer; docs/reliability.md has the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from .fuzz import fuzz


@pytest.mark.slow
def test_hostile_answers_end_in_an_error_or_in_the_right_rows(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")
    ended, largest = fuzz(inputs=1500, loads=4, rows=20_000, seed=2)
    assert [verdict for verdict in (*ended, *largest.values()) if "WRONG" in verdict] == []
    assert ended["right rows"] > 200
    assert ended["right rows in DuckDB"] >= 3
