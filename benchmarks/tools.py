"""What is compared: how each tool is run, in which environment, and how what it loaded is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from measure import ROOT

sys.path.insert(0, str(ROOT))
from tests.environments import environment

RUNNERS = ROOT / "benchmarks/runners"
CONCURRENCY = 4
"""Pages fetched concurrently: what talkover does by default, and the floor with threads."""

LARGE = 50_000
"""From here on pages are of 5,000 rows: with 100 it would be the server that is measured. SLOW tools run once."""

SINGER_TARGET = {"path": "loaded.duckdb", "default_target_schema": "plain", "add_metadata_columns": True}

DATABASE = "DESTINATION__POSTGRES__CREDENTIALS"
"""The setting with the URL of the database, for dlt and for the floor."""

NO_GZIP = {"DATA_WRITER__DISABLE_COMPRESSION": "true", "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true"}
"""What dlt writes on its way is packed unless configured otherwise, as talkover does."""

Command = Callable[[Path, str, int, Path], Sequence[str]]
"""Makes a command line of the folder of programs, the base URL, the page size and the folder to work in."""


@dataclass(frozen=True)
class Tool:
    """A tool. It leaves its rows in `schema`, of loaded.duckdb or of a database in PostgreSQL.

    `environment` names what holds its `packages`; `stamp` is a column that is new in every row that a run writes;
    `agents` is the SQL for the ids of numbers that an agent is on; `shown` are the packages whose versions a reader
    wants to know; `tables` are those whose written rows are counted.
    """

    environment: str
    packages: tuple[str, ...]
    command: Command
    schema: str
    stamp: str
    agents: str
    shown: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ("phone_numbers", "release_requests")


def script(name: str, *arguments: str) -> Command:
    def command(programs: Path, base_url: str, per_page: int, _folder: Path) -> Sequence[str]:
        return [str(programs / "python"), str(RUNNERS / name), base_url, str(per_page), *arguments]

    return command


def talkover(environment: str, package: str, shown: str, settings: Mapping[str, str]) -> Tool:
    def command(programs: Path, base_url: str, per_page: int, _folder: Path) -> Sequence[str]:
        asked = [f"SOURCES__TALKOVER__BASE_URL={base_url}", f"SOURCES__TALKOVER__PER_PAGE={per_page}"]
        return ["env", *asked, str(programs / "talkover"), "load", "--json"]

    concurrency = {"SOURCES__TALKOVER__MAX_CONCURRENT_REQUESTS": str(CONCURRENCY)}
    return Tool(
        environment=environment,
        packages=("--editable", package),
        command=command,
        schema="talkover",
        stamp="_dlt_load_id",
        agents="select phone_number_id from talkover.phone_number_agents where agent_id = ?",
        shown=("talkover", "dlt", shown),
        settings={"TALKOVER_TOKEN": "talq_benchmark", **concurrency, **settings},
        tables=("phone_numbers", "release_requests", "phone_number_changes", "release_request_changes"),
    )


def floor(*arguments: str) -> Tool:
    return Tool(
        environment="floor",
        packages=("requests", "orjson", "duckdb"),
        command=script("floor.py", *arguments),
        schema="main",
        stamp="loaded_at",
        agents="select id from phone_numbers where position(? in agents::text) > 0",
        shown=("requests", "orjson", "duckdb"),
    )


def floor_postgres() -> Tool:
    return Tool(
        environment="floor-postgres",
        packages=("requests", "orjson", "psycopg2-binary"),
        command=script("floor_postgres.py"),
        schema="public",
        stamp="loaded_at",
        agents="select id from phone_numbers where position(? in agents::text) > 0",
        shown=("requests", "orjson", "psycopg2-binary"),
    )


def plain_dlt(*arguments: str, **settings: str) -> Tool:
    return Tool(
        environment="dlt",
        packages=("dlt[duckdb,parquet]",),
        command=script("dlt_rest_api.py", *arguments),
        schema="plain",
        stamp="_dlt_load_id",
        agents=(
            "select id from plain.phone_numbers where _dlt_id in "
            "(select _dlt_parent_id from plain.phone_numbers__agents where id = ?)"
        ),
        shown=("dlt", "duckdb"),
        settings=settings,
    )


def dlt_postgres(*arguments: str, **settings: str) -> Tool:
    return replace(
        plain_dlt("--destination", "postgres", *arguments, **settings),
        environment="dlt-postgres",
        packages=("dlt[postgres,parquet]", "adbc-driver-postgresql"),  # which it loads Parquet with
        shown=("dlt", "psycopg2-binary", "adbc-driver-postgresql"),
    )


def singer() -> Tool:
    def command(programs: Path, base_url: str, per_page: int, folder: Path) -> Sequence[str]:
        (folder / "tap.json").write_text(json.dumps({"base_url": base_url, "per_page": per_page}))
        (folder / "target.json").write_text(json.dumps(SINGER_TARGET))
        tap = f"{programs / 'python'} {RUNNERS / 'singer_tap.py'} --config tap.json"
        return ["bash", "-o", "pipefail", "-c", f"{tap} | {programs / 'target-duckdb'} --config target.json"]

    return Tool(
        environment="singer",
        # With duckdb 1.2 and later target-duckdb 0.8 loses the first row of every batch: it takes it for a header.
        packages=("singer-sdk", "target-duckdb", "duckdb<1.2"),
        command=command,
        schema="plain",
        stamp="_sdc_batched_at",
        agents="select id from plain.phone_numbers where position(? in agents::text) > 0",
        shown=("singer-sdk", "target-duckdb", "duckdb"),
    )


def meltano() -> Tool:
    def command(programs: Path, base_url: str, per_page: int, folder: Path) -> Sequence[str]:
        tap = folder / "tap-talkover"
        tap.write_text(f'#!/bin/sh\nexec {programs / "python"} {RUNNERS / "singer_tap.py"} "$@"\n')
        tap.chmod(0o755)
        extractor = {
            "name": "tap-talkover",
            "namespace": "tap_talkover",
            "executable": str(tap),
            "capabilities": ["catalog", "discover"],
            "config": {"base_url": base_url, "per_page": per_page},
        }
        loader = {
            "name": "target-duckdb",
            "namespace": "target_duckdb",
            "executable": str(programs / "target-duckdb"),
            "config": SINGER_TARGET,
        }
        environments = {"default_environment": "bench", "environments": [{"name": "bench"}]}
        project = {"version": 1, **environments, "plugins": {"extractors": [extractor], "loaders": [loader]}}
        (folder / "meltano.yml").write_text(json.dumps(project))
        return [str(programs / "meltano"), "run", "tap-talkover", "target-duckdb"]

    pair = singer()
    return replace(
        pair,
        environment="meltano",
        packages=("meltano", *pair.packages),
        command=command,
        shown=("meltano", *pair.shown),
        settings={"MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false"},
    )


def pyairbyte() -> Tool:
    return Tool(
        environment="pyairbyte",
        packages=("airbyte",),
        command=script("pyairbyte.py"),
        schema="plain",
        stamp="_airbyte_extracted_at",
        agents="select id from plain.phone_numbers where position(? in agents::text) > 0",
        shown=("airbyte", "airbyte-cdk", "duckdb"),
        settings={"AIRBYTE_OFFLINE_MODE": "1"},  # no registry of connectors is needed: the manifest is ours
    )


DUCKDB, POSTGRES = "DuckDB", "PostgreSQL"
TOOLS = {
    DUCKDB: {
        "talkover": talkover("talkover", ".", "duckdb", {"DESTINATION__DUCKDB__CREDENTIALS": "loaded.duckdb"}),
        "floor": floor(),
        "floor-threads": floor("--threads", str(CONCURRENCY)),
        "dlt": plain_dlt(),
        "dlt-jsonl": plain_dlt("--format", "jsonl", **NO_GZIP),
        "dlt-parquet": plain_dlt("--format", "parquet", **NO_GZIP),
        "dlt-parquet-cursor": plain_dlt("--format", "parquet", "--cursor", **NO_GZIP),
        "singer": singer(),
        "meltano": meltano(),
        "pyairbyte": pyairbyte(),
    },
    POSTGRES: {
        "talkover": talkover("talkover-postgres", ".[postgres]", "psycopg2-binary", {"DESTINATION_TYPE": "postgres"}),
        "floor": floor_postgres(),
        "dlt": dlt_postgres(),
        "dlt-csv": dlt_postgres("--format", "csv", **NO_GZIP),
        "dlt-parquet": dlt_postgres("--format", "parquet", **NO_GZIP),
    },
}
DLT_WITHOUT_CURSOR = ("dlt", "dlt-jsonl", "dlt-csv", "dlt-parquet")
DLT_WITH_CURSOR = ("dlt-parquet-cursor",)
SLOW = ("dlt", "singer", "meltano", "pyairbyte")
"""They take a minute or more for a large account, and no aim goes by them there: one run of each has to do."""


def page_size(numbers: int) -> int:
    return 5000 if numbers >= LARGE else 100


def programs_of(tool: Tool) -> Path:
    """The programs of its environment, which is made on first use."""
    # compiled, or the first run of all would do it
    return environment(f"bench-{tool.environment}", "--compile-bytecode", *tool.packages)


def versions(tool: Tool, programs: Path) -> str:
    """As they are in its environment."""
    versions = "import importlib.metadata as m, sys; print(*(f'{p} {m.version(p)}' for p in sys.argv[1:]), sep=', ')"
    command: list[Any] = [programs / "python", "-c", versions, *tool.shown]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
