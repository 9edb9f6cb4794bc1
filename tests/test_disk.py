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

pytestmark = pytest.mark.slow

FULL = "No space left on device"
READ_ONLY = "Read-only file system"
LOADS = """
import os, subprocess, sys
from talkover.cli import main

here, *commands = sys.argv[1:]
for mount, afterwards in zip(commands[::2], commands[1::2]):
    subprocess.run(["sh", "-c", mount], check=True)
    os.chdir(here)  # which may be the folder that was mounted
    assert main(["load", "--destination", "duckdb"]) == 1
    subprocess.run(["sh", "-c", afterwards], check=True)
    os.chdir(here)
"""


def run_mounted(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`command` where it may mount what it likes, which is forgotten when it ends."""
    return subprocess.run(
        ["/usr/bin/env", "unshare", "--map-root-user", "--mount", *command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def mountable(workspace: Path) -> None:
    try:
        run_mounted("mount", "-t", "tmpfs", "tmpfs", ".").check_returncode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(
            "this machine lets nobody mount: test_a_full_disk_is_named_and_nothing_is_lost bounds files instead"
        )


def fail_mounted(sandbox: Sandbox, *mounts: tuple[str, str]) -> list[str]:
    """The one line on stderr of each load that fails after a command that mounts; another command comes after it."""
    commands = [command for mount in mounts for command in mount]
    account = {"TALKOVER_TOKEN": sandbox.token, "SOURCES__TALKOVER__BASE_URL": sandbox.base_url}
    done = run_mounted(sys.executable, "-c", LOADS, str(Path.cwd()), *commands, **account)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (0, len(mounts)), (done.returncode, done.stderr)
    return lines


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
    (line,) = fail_mounted(
        connector.sandbox,
        (f"mount -t tmpfs -o size={size}k tmpfs data && cp kept/numbers.duckdb data", "rm kept/* && cp data/* kept"),
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
    in_each_step = [(f"mount -t tmpfs -o size={kibibytes}k tmpfs dlt", "umount -l dlt") for kibibytes in (4, 64, 256)]
    for line in fail_mounted(connector.sandbox, *in_each_step):
        assert FULL in line
        assert f"{Path.cwd()}/dlt" in line
    assert connector.state() == before
    assert_next_run_is_right(connector, account, before)


def test_a_read_only_disk(connector: Connector, account: Account) -> None:
    before = connector.state()
    change_much(account)
    folders = [Path.cwd() / name for name in ("data", "dlt", ".")]
    mounts = [(f"mount --bind {it} {it} && mount -o remount,bind,ro {it}", f"umount -l {it}") for it in folders]
    lines = fail_mounted(connector.sandbox, *mounts)
    for folder, line in zip(folders, lines, strict=True):
        assert READ_ONLY in line
        assert f"{folder}/" in line
    assert connector.state() == before
    assert_next_run_is_right(connector, account, before)
