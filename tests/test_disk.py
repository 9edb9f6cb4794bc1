"""Disks that are full or read-only: real ones, mounted in a namespace of their own, so that nobody has to be root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from talkover.sandbox import Account, Sandbox

from .conftest import TABLES, Connector, Row
from .test_load import change_much

FULL = "No space left on device"
READ_ONLY = "Read-only file system"


@pytest.fixture
def mountable(workspace: Path) -> None:
    try:
        run_mounted("mount -t tmpfs tmpfs .", "true", {}).check_returncode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(
            "this machine lets nobody mount: test_a_full_disk_is_named_and_nothing_is_lost bounds files instead"
        )


def run_mounted(mount: str, command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`command` where `mount` was done before; both are forgotten when it ends."""
    return subprocess.run(
        ["/usr/bin/env", "unshare", "--map-root-user", "--mount", "sh", "-c", f"{mount} && cd $PWD && {command}"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def load_mounted(sandbox: Sandbox, mount: str, afterwards: str = "true") -> str:
    """The one line on stderr of a load that fails."""
    command = f"{sys.executable} -m talkover load --destination duckdb; code=$?; {afterwards}; exit $code"
    account = {"TALKOVER_TOKEN": sandbox.token, "SOURCES__TALKOVER__BASE_URL": sandbox.base_url}
    done = run_mounted(mount, command, account)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), (done.returncode, done.stderr)
    return done.stderr


@pytest.fixture
def connector(mountable: None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """Loaded once, into a file in a folder of its own; much has changed since."""
    Path("data").mkdir()
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", f"{Path.cwd()}/data/numbers.duckdb")
    loaded = Connector(sandbox)
    loaded.load()
    return loaded


def assert_next_run_is_right(connector: Connector, account: Account, before: dict[str, list[Row]]) -> None:
    connector.load()
    assert set(connector.by_id()) == set(account.numbers)
    added = {table: len(connector.rows(table)) - len(before[table]) for table in TABLES if table.endswith("changes")}
    assert added == {"phone_number_changes": 3, "release_request_changes": 1}


def test_a_full_disk_under_the_database(connector: Connector, account: Account) -> None:
    before = connector.state()
    change_much(account)
    shutil.copytree("data", "kept")
    size = -(-Path("data/numbers.duckdb").stat().st_size // 4096) * 4
    line = load_mounted(
        connector.sandbox,
        f"mount -t tmpfs -o size={size}k tmpfs data && cp kept/numbers.duckdb data",
        "rm kept/* && cp data/* kept",
    )
    assert FULL in line
    assert "data/numbers.duckdb" in line
    shutil.rmtree("data")
    shutil.move("kept", "data")
    assert connector.state() == before
    assert_next_run_is_right(connector, account, before)


def test_a_full_disk_under_the_working_directory(connector: Connector, account: Account) -> None:
    before = connector.state()
    change_much(account)
    for kibibytes in (4, 64, 192):  # in each step of a run
        line = load_mounted(connector.sandbox, f"mount -t tmpfs -o size={kibibytes}k tmpfs dlt")
        assert FULL in line
        assert f"{Path.cwd()}/dlt" in line
        assert connector.state() == before
    assert_next_run_is_right(connector, account, before)


def test_a_read_only_disk(connector: Connector, account: Account) -> None:
    before = connector.state()
    change_much(account)
    for folder in ("data", "dlt", "."):
        line = load_mounted(connector.sandbox, f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}")
        assert READ_ONLY in line
        assert f"{Path.cwd() / folder}/" in line
        assert connector.state() == before
    assert_next_run_is_right(connector, account, before)
