"""The suite itself: what is collected where, and that collecting it changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .environments import ROOT
from .ports import answers

COLLECT = """
import os, pkgutil, signal, sys
from importlib import import_module

import pytest
import talkover

names = [module.name for module in pkgutil.walk_packages(talkover.__path__, "talkover.")]
modules = [import_module(name) for name in names if not name.endswith("__main__")]

def state():
    ours = {f"{module.__name__}.{name}": value for module in modules for name, value in vars(module).items()}
    handlers = {number.name: signal.getsignal(number) for number in signal.Signals}
    return ours | handlers | {"working folder": os.getcwd()}

before = state()
code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[1:]])
after = state()
print(*(f"changed: {name}" for name, value in before.items() if after.get(name) != value), sep="\\n")
raise SystemExit(code)
"""


def collect(programs: Path, *files: str) -> list[str]:
    """The lines of a collection on a machine that has nothing but `programs`."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, *files],
        cwd=ROOT,
        env=os.environ | {"PATH": str(programs), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def without_chromium(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of a collection on a machine that has no programs at all."""
    return collect(tmp_path_factory.mktemp("programs"))


def in_browser(lines: list[str]) -> list[str]:
    return [line for line in lines if "in_a_browser" in line]


@pytest.mark.slow
def test_a_machine_without_chromium_runs_every_other_test_and_says_so(without_chromium: list[str]) -> None:
    assert len([line for line in without_chromium if "::test_" in line]) > 800
    assert in_browser(without_chromium) == []
    assert "No chromium here: the tests that look at the report in a browser are deselected." in without_chromium


@pytest.mark.slow
def test_a_machine_with_chromium_runs_the_tests_that_need_it(tmp_path: Path) -> None:
    (tmp_path / "chromium").touch(0o755)
    lines = collect(tmp_path, "tests/test_report.py")
    assert len(in_browser(lines)) == 3
    assert [line for line in lines if "deselected" in line] == []


@pytest.mark.slow
def test_collecting_the_tests_changes_nothing(without_chromium: list[str]) -> None:
    """What one file patched while it was imported, all others of the process would be tried with."""
    assert [line for line in without_chromium if line.startswith("changed: ")] == []


HOLDING = """
import time
from contextlib import closing

import psycopg2

def test_that_is_killed(postgres_server):
    with closing(psycopg2.connect(postgres_server)) as connection, connection.cursor() as cursor:
        cursor.execute("show data_directory")
        print("files in", *cursor.fetchone(), flush=True)
        time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.postgres
def test_tests_that_are_killed_leave_no_server_and_no_files(tmp_path: Path) -> None:
    (tmp_path / "test_holding.py").write_text(HOLDING)
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "tests.conftest"]
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        data = next(Path(line.split()[2]) for line in tests.stdout if line.startswith("files in "))
        port = int((data / "postmaster.pid").read_text().splitlines()[3])
        assert answers(port)
        tests.kill()
    until = time.monotonic() + 10
    while (answers(port) or data.parent.exists()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not answers(port)
    assert not data.parent.exists()
