"""Throw-away servers of MariaDB for the tests: Debian's `mariadb-server`, which brings Galera's library, too."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .ports import answers, free_port
from .watch import Watch, watched

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
UNICODE = ("--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin")
"""MariaDB's own choices, before 11.6, cannot hold every character, and take ids that differ in case alone for one."""
HASTY = ("--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite")
REPLICATED = ("--wsrep-on=ON", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-sst-method=rsync")
GALERA = Path("/usr/lib/galera/libgalera_smm.so")
SYNCED = "4"
"""A node's `wsrep_local_state` when it has all that the others have."""


class Server:
    """A server in a folder of its own, empty and without a password."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self._folder, self._watch = folder, watch
        self._server, install = (self._program(name) for name in ("mariadbd", "mariadb-install-db"))
        user = pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            user = "mysql"
            shutil.chown(folder, user)
        # A MariaDB that starts deletes all temporary tables in tmpdir: another one's too, if both have /tmp.
        self._where = [f"--datadir={folder}/data", f"--tmpdir={folder}", f"--user={user}"]
        make = [install, "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", *self._where]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/home"

    def start(self, *options: str, is_ready: Callable[[], bool] | None = None) -> None:
        listen = ["--bind-address=127.0.0.1", f"--port={self.port}", f"--socket={self._folder}/socket"]
        command = [self._server, "--no-defaults", *UNICODE, *HASTY, *self._where, *listen, *options]
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        self._watch(self._process)
        until = time.monotonic() + 60
        while not (is_ready() if is_ready else answers(self.port)):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"MariaDB did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def connect(self) -> Any:
        """A connection that may do everything."""
        import pymysql

        return pymysql.connect(host="127.0.0.1", port=self.port, user="root", autocommit=True)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)

    def _program(self, name: str) -> str:
        if found := shutil.which(name, path=PATH):
            return found
        raise RuntimeError("MariaDB is missing: `apt-get install mariadb-server` brings it")


class Node(Server):
    """One of several servers that hold the same by Galera. Each has all rows."""

    def join(self, others: list[Node]) -> None:
        """Starts it: as the first of a new cluster where there are no `others`, whose rows it takes over else."""
        self.address, transfer, changes = (f"127.0.0.1:{free_port()}" for _ in range(3))
        provider = {"base_host": "127.0.0.1", "base_port": self.address.partition(":")[2]}
        provider |= {"gmcast.listen_addr": f"tcp://{self.address}", "ist.recv_addr": changes}
        self.start(
            *REPLICATED,
            f"--wsrep-provider={GALERA}",
            f"--wsrep-cluster-address=gcomm://{','.join(other.address for other in others)}",
            "--wsrep-node-address=127.0.0.1",
            f"--wsrep-sst-receive-address={transfer}",
            "--wsrep-provider-options=" + "; ".join(f"{name}={value}" for name, value in provider.items()),
            is_ready=self._is_synced,
        )

    def _is_synced(self) -> bool:
        import pymysql

        with suppress(pymysql.Error), self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("show status like 'wsrep_local_state'")
            return bool(cursor.fetchone() == ("wsrep_local_state", SYNCED))
        return False


@contextmanager
def running_servers(kind: type[Server], count: int) -> Iterator[list[Any]]:
    """So many servers, which are to be started, and are stopped in the end."""
    with ExitStack() as ends:
        servers = []
        for _ in range(count):
            folder = Path(tempfile.mkdtemp(prefix="talkover_mariadb_"))
            servers.append(kind(folder, ends.enter_context(watched(signal.SIGTERM, folder))))
            ends.callback(lambda server=servers[-1]: server.stop())
        yield servers
