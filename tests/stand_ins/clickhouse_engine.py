"""ClickHouse's engine (chdb) in a process of its own, behind the two clients that dlt knows: no server, no wire.

`python clickhouse_engine.py FOLDER` serves it, `stand_in(address)` puts it in the place of a server.
"""

from __future__ import annotations

import re
import sys
from multiprocessing.managers import BaseManager
from threading import Lock
from types import SimpleNamespace, TracebackType
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import Error
from clickhouse_driver import Client
from clickhouse_driver.dbapi.connection import Connection
from clickhouse_driver.errors import ServerException
from clickhouse_driver.util.escape import escape_params

HAS_ROWS = re.compile(r"\s*\(?(select|with|show|describe|exists)\b", re.IGNORECASE)
AUTHKEY = b"of a test"

Result = tuple[list[Any], list[tuple[str, str]]]


class Engine:
    """One a process, whoever asks."""

    def __init__(self, folder: str) -> None:
        self._client = clickhouse_connect.create_client(interface="chdb", path=folder, tz_mode="aware")
        self._lock = Lock()

    def execute(self, statement: str) -> Result:
        """Rows, and the name and type of each column."""
        with self._lock:
            if not HAS_ROWS.match(statement):
                self._client.command(statement)
                return [], []
            found = self._client.query(statement)
            if found.column_names:
                types = [kind.name for kind in found.column_types]
                return list(found.result_rows), list(zip(found.column_names, types, strict=True))
            described = self._client.query(f"describe ({statement})").result_rows  # chdb names no columns without rows
            return [], [(column[0], column[1]) for column in described]

    def insert(self, table: str, block: bytes, compression: str | None, more: dict[str, Any]) -> None:
        packed = {"gz": "gzip", "none": None}
        with self._lock:
            self._client.raw_insert(
                table, insert_block=block, compression=packed.get(str(compression), compression), **more
            )


class EngineManager(BaseManager):
    """Serves an Engine to other processes."""


def serve(folder: str) -> None:
    engine = Engine(folder)
    EngineManager.register("engine", callable=lambda: engine)
    server = EngineManager(("127.0.0.1", 0), AUTHKEY).get_server()
    print(server.address[1], flush=True)  # noqa: T201
    server.serve_forever()


def stand_in(port: int) -> Any:
    """dlt's settings say where a server would be, and are not looked at from here on."""
    EngineManager.register("engine")
    manager = EngineManager(("127.0.0.1", port), AUTHKEY)
    manager.connect()
    engine = manager.engine()  # type: ignore[attr-defined]
    Connection._make_client = lambda _: CursorClient(engine)
    clickhouse_connect.create_client = lambda **_: FileClient(engine)
    return engine


class CursorClient(Client):  # type: ignore[misc]
    """Plays clickhouse_driver's client of one cursor."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.connection = SimpleNamespace(hosts=None)

    def execute(self, query: str, params: Any = None, **_: Any) -> Any:
        if params is not None:
            utc = SimpleNamespace(server_info=SimpleNamespace(get_timezone=lambda: "UTC"))
            query = query % escape_params(params, utc)
        try:
            return self.engine.execute(query)
        except Error as error:
            code = re.search(r"Code: (\d+)", str(error))
            raise ServerException(str(error), int(code[1]) if code else 0) from None

    def disconnect(self) -> None:
        """The engine stays."""


class FileClient:
    """Plays clickhouse_connect's client, of which dlt uses the one that inserts files."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def __enter__(self) -> FileClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """The engine stays."""

    def raw_insert(self, table: str, *, insert_block: Any, compression: str | None, **more: Any) -> None:
        self.engine.insert(table, insert_block.read(), compression, more)


if __name__ == "__main__":
    serve(sys.argv[1])
