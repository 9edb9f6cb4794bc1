"""What reading costs: the views of cost and the report, on a large account with years of history, in DuckDB.

    python benchmarks/reading.py --numbers 200000 --weeks 156 --markdown docs/performance.md

A view is asked by a process of its own, from the opening of the file to the last row as Arrow; the report is the
command as a whole, and its peak that of the largest of its processes. Environments are made as for compare.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from measure import AIMS, CommandFailed, Cost, aim, figure, machine, middle, own_command, replace_part, run, table
from tools import DUCKDB, RUNNERS, TOOLS, programs_of, versions

HELD = ("phone_numbers", "phone_number_changes", "release_requests", "load_runs", "cost_changes", "monthly_cost")
QUERIES = [
    f"select {what} from talkover.{view}" for view in ("monthly_cost", "cost_changes") for what in ("*", "count(*)")
]
ASK = """
import duckdb, json, pyarrow, sys, time
started = time.monotonic()
with duckdb.connect("loaded.duckdb", read_only=True) as connection:
    connection.execute("set enable_progress_bar = false")  # it goes to stdout where Python runs a text
    answer = connection.sql(sys.argv[1]).to_arrow_table()
seconds = time.monotonic() - started
print(json.dumps({"seconds": seconds, "value": answer[0][0].as_py()}, default=str))
"""
TOOL = replace(TOOLS[DUCKDB]["talkover"], environment="notebooks", packages=("--editable", ".[notebooks]"))


@dataclass(frozen=True)
class Answer:
    """How long a query took, and the first value of its first row."""

    seconds: float
    value: Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=200_000, help="(default: %(default)s)")
    parser.add_argument("--weeks", type=int, default=156, help="a load a week (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="the medians are of so many runs (default: %(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="replaces its part of that page")
    options = parser.parse_args()
    programs = programs_of(TOOL)
    with tempfile.TemporaryDirectory(prefix="talkover-reading-") as place:
        folder = Path(place)
        print(f"playing {options.weeks} weeks", file=sys.stderr)
        play = [str(programs / "python"), str(RUNNERS / "history.py"), str(options.numbers), str(options.weeks)]
        run(play, folder, TOOL.settings)
        held = {name: ask(programs, folder, f"select count(*) from talkover.{name}").value for name in HELD}
        print("asking the views, then the report", file=sys.stderr)
        times = {q: median(ask(programs, folder, q).seconds for _ in range(options.repeat)) for q in QUERIES}
        report, failure = reports(programs, folder, options.repeat)
    now = datetime.now(timezone.utc)
    parts = [
        f"Made on {now:%Y-%m-%d} by `{own_command()}` on {machine()}; {versions(TOOL, programs)}.",
        f"Times are medians of {options.repeat}, peaks the highest.",
        f"Rows: {', '.join(f'{name} {rows:,}' for name, rows in held.items())}.",
        table(AIMS, list(aims(times, report))),
        f"The report takes {figure(report.cpu_seconds)} s of CPU.",
        *([f"It failed: {failure}."] if failure else []),
    ]
    made = "\n\n".join(parts)
    print(made)
    if options.markdown:
        replace_part(options.markdown, "benchmarks/reading.py", made)


def ask(programs: Path, folder: Path, query: str) -> Answer:
    done = subprocess.run([programs / "python", "-c", ASK, query], cwd=folder, stdout=subprocess.PIPE, check=True)
    return Answer(**json.loads(done.stdout))


def reports(programs: Path, folder: Path, repeats: int) -> tuple[Cost, str]:
    """What `talkover report` cost, and why it failed if it did; then it is run no more."""
    costs: list[Cost] = []
    try:
        for _ in range(repeats):
            costs.append(run([str(programs / "talkover"), "report"], folder, TOOL.settings))
    except CommandFailed as error:
        return middle(costs), str(error)
    return middle(costs), ""


def aims(times: Mapping[str, float], report: Cost) -> Iterator[Sequence[str]]:
    for query, seconds in times.items():
        yield aim(f"`{query}`, s", seconds, 2)
    yield aim("`talkover report`, s", report.seconds, 15)
    yield aim("`talkover report`, peak MiB", report.peak_mib, 700)


if __name__ == "__main__":
    main()
