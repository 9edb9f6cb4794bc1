"""What a load costs after years of hourly loads: three ledgers have a row or two of each, and each load reads them.

    python benchmarks/years.py --years 5 --markdown docs/performance.md

An account of 200 numbers with 40,000 calls a year is loaded into DuckDB day after day, as by calls.py. Then the ledgers
are given the rows of so many hourly loads before, and the next days are loaded. Nothing else in the file changes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import duckdb
from calls import LAST_MONTH, PER_PAGE, Place, Runs
from measure import AIMS, Api, aim, api, figure, machine, own_command, replace_part, table
from server import DAY, LAST_CALLS
from tools import DUCKDB, TOOLS, programs_of, versions

NUMBERS, CALLS = 200, 40_000
HOURS_A_YEAR = 8760
AT = "timestamptz '2025-06-01 00:00:00+00' - hour * interval 1 hour"
LOAD_ID = "'17' || lpad(hour::varchar, 8, '0') || '.' || of_hour"
LEDGERS = {
    "load_runs": ([1], {"run_id": "'run ' || hour", "started_at": AT, "observed_at": AT, "_dlt_load_id": LOAD_ID}),
    "call_windows": (
        [2],
        {
            "first_day": f"({AT})::date - 4",
            "last_day": f"({AT})::date",
            "observed_at": AT,
            "read_at": AT,
            "_dlt_load_id": LOAD_ID,
        },
    ),
    "_dlt_loads": ([1, 2], {"load_id": LOAD_ID, "inserted_at": AT}),
}
"""Which of dlt's two loads an hour have a row there, of which the second brings the calls; and what differs in it from
any row that is there.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=5, help="of hourly loads (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="the medians are of so many runs (default: %(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="replaces its part of that page")
    options = parser.parse_args()
    few, many = Runs(), Runs()
    with (
        api(NUMBERS, PER_PAGE, 0, CALLS) as server,
        tempfile.TemporaryDirectory(prefix="talkover-years-") as folder,
    ):
        place = Place(server, Path(folder))
        place.load(Runs(), LAST_MONTH, LAST_CALLS)
        play(place, server, few, first=1, days=options.repeat)
        add_loads(place.folder / "loaded.duckdb", options.years * HOURS_A_YEAR)
        play(place, server, many, first=options.repeat + 1, days=options.repeat)
    made = page(few, many, options)
    print(made)
    if options.markdown:
        replace_part(options.markdown, "benchmarks/years.py", made)


def play(place: Place, server: Api, runs: Runs, first: int, days: int) -> None:
    """A load a day, the first so many days after the server's last one."""
    for day in range(first, first + days):
        print(f"day {day}", file=sys.stderr)
        server.next_day()
        place.load(runs, LAST_MONTH, LAST_CALLS + day * DAY)


def add_loads(file: Path, hours: int) -> None:
    with duckdb.connect(str(file)) as connection:
        for name, (loads, values) in LEDGERS.items():
            replaced = ", ".join(f"{value} as {column}" for column, value in values.items())
            each = f"range({hours}) hours(hour), unnest({loads}) loads(of_hour)"
            rows = f"select one.* replace ({replaced}) from (from talkover.{name} limit 1) one, {each}"
            connection.execute(f"insert into talkover.{name} by name {rows}")


def page(few: Runs, many: Runs, options: argparse.Namespace) -> str:
    """The Markdown of a whole run."""
    now, tool = datetime.now(timezone.utc), TOOLS[DUCKDB]["talkover"]
    loads = options.years * HOURS_A_YEAR
    rows = [
        [what, figure(runs.cost.seconds), figure(runs.cost.cpu_seconds), f"{runs.cost.peak_mib:,.0f}"]
        for what, runs in (("a few", few), (f"{loads:,}", many))
    ]
    ratio = many.cost.cpu_seconds / few.cost.cpu_seconds
    parts = [
        f"Made on {now:%Y-%m-%d} by `{own_command()}` on {machine()}; {versions(tool, programs_of(tool))}.",
        f"Times are medians of {options.repeat}, peaks the highest.",
        table(AIMS, [aim(f"after {loads:,} loads: × the CPU time after a few", ratio, 1.3)]),
        table(["loads before", "s", "CPU s", "peak MiB"], rows),
    ]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
