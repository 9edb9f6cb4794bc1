"""Thousands of loads in a row: what they leave behind stays level, and at the end tables and views are right.

    python -m tests.soak --loads 2000 --destination duckdb

The sandbox's account lives a day between two loads. One process makes them, as a worker of a scheduler does, but for
the last of each block, which is the command line's. Tables are compared with the model's after each block, and views
at the end with those over a file that was written at once: the model's tables, and the calls of a single load.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from datetime import datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import dlt
from pandas.testing import assert_frame_equal

from talkover import load_account, talkover_source
from talkover.load.pipeline import PIPELINE, open_pipeline
from talkover.sandbox import Account, Sandbox
from talkover.sandbox.server import RateLimit
from talkover.sync.tables import KEYS, MORE_TABLES
from talkover.views import create_views, view_names

from .conftest import TODAY, Connector, rows_of
from .fuzz import memory
from .model import Model, keyed
from .postgres import postgres
from .test_views import noon, put, sorted_rows

DATASET = "talkover"
EXPECTED = {"destination": "duckdb", "pipeline_name": "expected"}
"""Where the views are as they must be."""
LEDGERS = ("load_runs", "call_windows")
OF_DLT = ("_dlt_loads", "_dlt_pipeline_state", "_dlt_version")

LEVEL = {
    "of them of the processor": 2,
    "memory of the process, MiB": 1.3,
    "database, MiB": 3,
    "dlt's working directories, MiB": 1.3,
    "files in them": 1.3,
    "rows of `_dlt_pipeline_state`": 3,
    "rows of `_dlt_version`": 3,
}
"""What is to stay level: how much more of it there may be after the last block than after the first."""

Figures = Mapping[str, float]
"""What there is after a block of loads, by what it is called."""


class Soak:
    """An account, the destination that it is loaded into day by day, and the model of that."""

    def __init__(self, destination: str, loads: int, blocks: int) -> None:
        self._loads, self._blocks = loads, blocks
        self._destination = destination
        self._founded = TODAY - timedelta(days=loads)
        self._account = Account(seed=7, size=57, founded=self._founded, calls_a_number=0.1)
        self._sandbox = Sandbox(self._account, rate_limit=RateLimit(requests=10**9))
        self._model = Model()

    def play(self) -> Iterator[Figures]:
        """All loads; what there is after each block."""
        with self._sandbox, ProcessPoolExecutor(1, get_context("spawn")) as worker:
            os.environ |= {
                "TALKOVER_TOKEN": self._sandbox.token,
                "SOURCES__TALKOVER__BASE_URL": self._sandbox.base_url,
                "SOURCES__TALKOVER__WITH": json.dumps(["agents", "calls"]),
                "SOURCES__TALKOVER__CALLS_SINCE": self._founded.isoformat(),
                "SOURCES__TALKOVER__CALLER_KEY": "the soak's is no secret",
            }
            connector = Connector(self._sandbox, self._destination)
            for block in range(1, self._blocks + 1):
                until = self._loads * block // self._blocks
                days = until - self._loads * (block - 1) // self._blocks - 1
                times = [worker.submit(load, self._destination, self._live()).result() for _ in range(days)]
                of_process = worker.submit(own_memory).result()
                by_command = load_by_command(self._destination, self._live())
                for table, rows in connector.state().items():
                    assert keyed(table, rows) == self._model.tables[table], table
                yield {
                    "loads": until,
                    "a load, seconds (median)": median(seconds for seconds, _ in times),
                    "of them of the processor": median(seconds for _, seconds in times),
                    "`talkover load`, seconds": by_command,
                    **of_process,
                    **left_behind(connector),
                }
            self._compare_views(connector)

    def _live(self) -> datetime:
        """A day more; the instant of its load, which the model has made, too."""
        self._sandbox.seen.clear()
        self._account.advance(self._account.today + timedelta(days=1))
        instant = noon(self._account.today)
        self._model = self._model.load(self._account, instant)
        return instant

    def _compare_views(self, connector: Connector) -> None:
        """Every view, and the tables that the model does not know, have the rows that they have over its tables.

        What is said of the runs themselves is taken over; calls must add up to it.
        """
        ledgers = connector.tables(*LEDGERS)
        assert sum(row["added"] for row in ledgers["call_windows"]) == len(connector.rows("calls"))
        assert len(ledgers["load_runs"]) == self._loads
        instant, expected = noon(self._account.today), open_pipeline(dataset=DATASET, **EXPECTED)
        put(expected, **{table: list(rows.values()) for table, rows in self._model.tables.items()})
        expected.run(talkover_source(observed_at=instant).with_resources(*MORE_TABLES))
        with expected.sql_client() as client:
            client.execute_sql("delete from talkover.call_windows")
            for table in ("calls", "agents", "agent_phone_numbers"):
                assert rows_of(client, table) == connector.rows(table), table
        put(expected, **ledgers)
        for pipeline in (expected, connector.pipeline()):
            with pipeline.sql_client() as client:
                assert create_views(client, Path(pipeline.working_dir), instant).made == view_names()
        for name in view_names():
            found, right = sorted_rows(name, destination=self._destination), sorted_rows(name, **EXPECTED)
            assert_frame_equal(found, right, check_dtype=False, obj=name)


def load(destination: str, instant: datetime) -> tuple[float, float]:
    """The seconds that it took, and those of them that the processor worked for it."""
    started, worked = time.monotonic(), time.process_time()
    load_account(destination=destination, dataset=DATASET, observed_at=instant)
    return time.monotonic() - started, time.process_time() - worked


def own_memory() -> Figures:
    return {"memory of the process, MiB": memory("VmRSS"), "the most of it until then, MiB": memory("VmHWM")}


def load_by_command(destination: str, instant: datetime) -> float:
    """The same by the command line, in a process of its own."""
    started = time.monotonic()
    command = [sys.executable, "-m", "talkover", "load", "--destination", destination, "--dataset", DATASET]
    subprocess.run([*command, "--observed-at", instant.isoformat()], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def left_behind(connector: Connector) -> Figures:
    """What grows, or might."""
    with connector.pipeline().sql_client() as client:
        tables = client.execute_sql(
            "select table_schema, table_name from information_schema.tables "
            f"where table_type = 'BASE TABLE' and table_schema in ('{DATASET}', '{DATASET}_staging')"
        )
        rows = {table: client.execute_sql("select count(*) from {}.{}".format(*table))[0][0] for table in tables}
        if connector.destination == "postgres":
            ((size,),) = client.execute_sql("select pg_database_size(current_database())")
        else:
            size = Path(f"{PIPELINE}.duckdb").stat().st_size
    files = [file.stat().st_size for file in Path(os.environ["DLT_DATA_DIR"]).rglob("*") if file.is_file()]
    return {
        "database, MiB": size / 2**20,
        "dlt's working directories, MiB": sum(files) / 2**20,
        "files in them": len(files),
        **{f"rows of `{table}`": rows[DATASET, table] for table in (*KEYS, *OF_DLT)},
        "rows of all staging tables": sum(count for (schema, _), count in rows.items() if schema != DATASET),
    }


def page(blocks: Sequence[Figures]) -> str:
    """The first block, the one in the middle and the last one beside each other."""
    shown = [blocks[0], blocks[(len(blocks) - 1) // 2], blocks[-1]]
    lines = [[name, *(number(block[name]) for block in shown)] for name in blocks[0]]
    lines.insert(1, ["---", *["--:"] * len(shown)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def refuse_growth(blocks: Sequence[Figures]) -> None:
    """Raises SystemExit where what is to stay level does not."""
    grown = [name for name, times in LEVEL.items() if blocks[-1][name] > times * blocks[0][name]]
    if grown:
        raise SystemExit(f"WRONG: {', '.join(grown)} grew")


def number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def soak(destination: str, loads: int, blocks: int) -> list[Figures]:
    """All loads, in the folder that this process is in."""
    played = []
    for figures in Soak(destination, loads, blocks).play():
        played.append(figures)
        print(", ".join(f"{name} {number(value)}" for name, value in figures.items()), flush=True)  # noqa: T201
    return played


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, default=2000)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--destination", choices=("duckdb", "postgres"), default="duckdb")
    given = parser.parse_args()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres() if given.destination == "postgres" else nullcontext() as url,
    ):
        os.chdir(folder)
        os.environ |= {"DLT_DATA_DIR": f"{folder}/dlt", "RUNTIME__DLTHUB_TELEMETRY": "false"}
        if url:
            os.environ["DESTINATION__POSTGRES__CREDENTIALS"] = url
        dlt.current.run_context().reload()
        played = soak(given.destination, given.loads, given.blocks)
        os.chdir("/")
    print(f"{page(played)}\n\nAll tables and views are right. {time.monotonic() - started:.0f} s")  # noqa: T201
    refuse_growth(played)


if __name__ == "__main__":
    main()
