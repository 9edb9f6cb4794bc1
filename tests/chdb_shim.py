"""ClickHouse's engine in this process (chdb), behind the two clients that dlt knows: no server, no wire."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import Error
from clickhouse_driver import Client
from clickhouse_driver.dbapi.connection import Connection
from clickhouse_driver.errors import ServerException
from clickhouse_driver.util.escape import escape_params

HAS_ROWS = re.compile(r"\s*\(?(select|with|show|describe|exists)\b", re.IGNORECASE)


class EngineClient(Client):  # type: ignore[misc]
    """Plays the driver's client of one cursor."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.connection = SimpleNamespace(hosts=None)

    def execute(self, query: str, params: Any = None, **_: Any) -> Any:
        if params is not None:
            query = query % escape_params(
                params, SimpleNamespace(server_info=SimpleNamespace(get_timezone=lambda: "UTC"))
            )
        try:
            if HAS_ROWS.match(query):
                found = self.engine.query(query)
                types = [kind.name for kind in found.column_types]
                return list(found.result_rows), list(zip(found.column_names, types, strict=True))
            self.engine.command(query)
        except Error as error:
            code = re.search(r"Code: (\d+)", str(error))
            raise ServerException(str(error), int(code[1]) if code else 0) from None
        return [], []

    def disconnect(self) -> None:
        """The engine stays."""


class Engine:
    """One engine a process; dlt's settings say where it would be over there, and are not looked at."""

    def __init__(self, folder: Path) -> None:
        self.client = clickhouse_connect.create_client(interface="chdb", path=str(folder), tz_mode="aware")
        self.client.close = lambda: None  # dlt closes its client after each file
        insert = self.client.raw_insert
        packed = {"gz": "gzip", "none": None}
        self.client.raw_insert = lambda *args, compression, **more: insert(
            *args, compression=packed.get(compression, compression), **more
        )
        Connection._make_client = lambda _: EngineClient(self.client)
        clickhouse_connect.create_client = lambda **_: self.client

    def command(self, statement: str) -> None:
        self.client.command(statement)
