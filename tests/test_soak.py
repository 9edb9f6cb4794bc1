"""A short soak; docs/reliability.md has the long ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.large
def test_what_loads_leave_behind_stays_level() -> None:
    command = [sys.executable, "-m", "tests.soak", "--loads", "10", "--blocks", "2"]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
