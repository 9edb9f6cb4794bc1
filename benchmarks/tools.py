"""What is compared: how each tool is run, in which environment, and where it leaves the rows."""

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
"""Pages side by side: what talkover does unless told otherwise, and the floor with threads."""

LARGE = 50_000
"""From here on pages are of 5,000 rows: with 100 it would be the server that is measured."""

SINGER_TARGET = {"path": "loaded.duckdb", "default_target_schema": "plain", "add_metadata_columns": True}

Command = Callable[[Path, str, int, Path], Sequence[str]]
"""Makes a command line of the folder of programs, the base URL, the page size and the folder to work in."""


@dataclass(frozen=True)
class Tool:
    """A tool. It leaves its rows in `schema` of loaded.duckdb.

    `stamp` is a column that is new in every row that a run writes; `with_agent` is the SQL for the ids of numbers that
    an agent is on; `told` are the packages whose versions a reader wants to know.
    """

    packages: tuple[str, ...]
    command: Command
    schema: str
    stamp: str
    with_agent: str
    told: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)


def script(name: str, *arguments: str) -> Command:
    def command(programs: Path, base_url: str, per_page: int, _folder: Path) -> Sequence[str]:
        return [str(programs / "python"), str(RUNNERS / name), base_url, str(per_page), *arguments]

    return command


def talkover() -> Tool:
    def command(programs: Path, base_url: str, per_page: int, _folder: Path) -> Sequence[str]:
        settings = [f"SOURCES__TALKOVER__BASE_URL={base_url}", f"SOURCES__TALKOVER__PER_PAGE={per_page}"]
        return ["env", *settings, str(programs / "talkover"), "load", "--json"]

    return Tool(
        packages=("--editable", "."),
        command=command,
        schema="talkover",
        stamp="_dlt_load_id",
        with_agent="select phone_number_id from talkover.phone_number_agents where agent_id = ?",
        told=("talkover", "dlt", "duckdb"),
        settings={
            "TALKOVER_TOKEN": "talq_benchmark",
            "DESTINATION__DUCKDB__CREDENTIALS": "loaded.duckdb",
            "SOURCES__TALKOVER__MAX_CONCURRENT_REQUESTS": str(CONCURRENCY),
        },
    )


def floor(*arguments: str) -> Tool:
    return Tool(
        packages=("requests", "orjson", "duckdb"),
        command=script("floor.py", *arguments),
        schema="main",
        stamp="loaded_at",
        with_agent="select id from phone_numbers where contains(agents::text, ?)",
        told=("requests", "orjson", "duckdb"),
    )


def plain_dlt(*arguments: str) -> Tool:
    return Tool(
        packages=("dlt[duckdb,parquet]",),
        command=script("dlt_rest_api.py", *arguments),
        schema="plain",
        stamp="_dlt_load_id",
        with_agent=(
            "select id from plain.phone_numbers where _dlt_id in "
            "(select _dlt_parent_id from plain.phone_numbers__agents where id = ?)"
        ),
        told=("dlt", "duckdb"),
    )


def singer() -> Tool:
    def command(programs: Path, base_url: str, per_page: int, folder: Path) -> Sequence[str]:
        (folder / "tap.json").write_text(json.dumps({"base_url": base_url, "per_page": per_page}))
        (folder / "target.json").write_text(json.dumps(SINGER_TARGET))
        tap = f"{programs / 'python'} {RUNNERS / 'singer_tap.py'} --config tap.json"
        return ["bash", "-o", "pipefail", "-c", f"{tap} | {programs / 'target-duckdb'} --config target.json"]

    return Tool(
        # With duckdb 1.2 and later target-duckdb 0.8 loses the first row of every batch: it takes it for a header.
        packages=("singer-sdk", "target-duckdb", "duckdb<1.2"),
        command=command,
        schema="plain",
        stamp="_sdc_batched_at",
        with_agent="select id from plain.phone_numbers where contains(agents::text, ?)",
        told=("singer-sdk", "target-duckdb", "duckdb"),
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
        packages=("meltano", *pair.packages),
        command=command,
        told=("meltano", *pair.told),
        settings={"MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false"},
    )


def pyairbyte() -> Tool:
    return Tool(
        packages=("airbyte",),
        command=script("pyairbyte.py"),
        schema="plain",
        stamp="_airbyte_extracted_at",
        with_agent="select id from plain.phone_numbers where contains(agents::text, ?)",
        told=("airbyte", "airbyte-cdk", "duckdb"),
        settings={"AIRBYTE_OFFLINE_MODE": "1"},  # no registry of connectors is needed: the manifest is ours
    )


TOOLS = {
    "talkover": talkover(),
    "floor": floor(),
    "floor-threads": floor("--threads", str(CONCURRENCY)),
    "dlt": plain_dlt(),
    "dlt-cursor": plain_dlt("--cursor"),
    "dlt-jsonl": plain_dlt("--format", "jsonl"),
    "dlt-parquet": plain_dlt("--format", "parquet"),
    "dlt-parquet-cursor": plain_dlt("--format", "parquet", "--cursor"),
    "singer": singer(),
    "meltano": meltano(),
    "pyairbyte": pyairbyte(),
}
DLT_WITHOUT_CURSOR = ("dlt", "dlt-jsonl", "dlt-parquet")
DLT_WITH_CURSOR = ("dlt-cursor", "dlt-parquet-cursor")


def page_size(numbers: int) -> int:
    return 5000 if numbers >= LARGE else 100


def programs_of(tool: Tool) -> Path:
    """The programs of its environment, which is made on first use; tools of the same packages share one."""
    first = next(name for name, other in TOOLS.items() if other.packages == tool.packages)
    return environment(f"bench-{first}", "--compile-bytecode", *tool.packages)  # or the first run of all would do it


def versions(tool: Tool, programs: Path) -> str:
    """As they are in its environment."""
    tell = "import importlib.metadata as m, sys; print(*(f'{p} {m.version(p)}' for p in sys.argv[1:]), sep=', ')"
    command: list[Any] = [programs / "python", "-c", tell, *tool.told]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
