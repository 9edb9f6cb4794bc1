"""What calls cost: a year of them at once, a day more at a time, and against plain dlt, all into DuckDB.

    python benchmarks/calls.py --calls 2000000 --markdown docs/performance.md

A load is the command line as a whole, `talkover load --with calls --calls-since DAY`, in a process that starts cold and
is dated to the day that the server's calls end with. Plain dlt asks for the year at once; environments are made as for
compare.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from pathlib import Path
from statistics import median

from measure import AIMS, Api, Cost, aim, api, figure, machine, middle, own_command, replace_part, run, table
from reading import ask
from server import DAY, FIRST_CALLS, LAST_CALLS, Listings
from tools import DUCKDB, RUNNERS, TOOLS, programs_of, versions

PER_PAGE = 5_000
"""With pages of 100, the most that the API documents, it would be the server that is measured."""
OURS, DLT, BEST_DLT = "talkover", "dlt", "dlt-parquet"
"""Plain dlt as it comes takes over 2 GiB for the small year: the whole one is loaded by the best of it alone."""
LAST_WINDOW, LAST_MONTH = LAST_CALLS - 13 * DAY, LAST_CALLS - 29 * DAY
"""The days since which a load reads exactly one window, and a month."""
USAGE = "select count(*), sum(calls_in) from talkover.number_usage"


@dataclass
class Runs:
    """What runs of a kind cost; how many requests the last one sent, and how large the file is since."""

    costs: list[Cost] = field(default_factory=list)
    requests: int = 0
    file_bytes: int = 0

    @property
    def cost(self) -> Cost:
        return middle(self.costs)


@dataclass(frozen=True)
class Place:
    """Where a tool of tools.py loads the calls of a server: loaded.duckdb in a folder of its own."""

    server: Api
    folder: Path
    tool: str = OURS

    def load(self, runs: Runs, since: date, until: date, *, runner: str | None = None) -> None:
        """One run, which `runs` gets. Ours are those since a day when it is `until`; `runner` runs its command line."""
        tool = TOOLS[DUCKDB][self.tool]
        self.folder.mkdir(exist_ok=True)
        command = list(tool.command(programs_of(tool), self.server.base_url, PER_PAGE, self.folder))
        if self.tool == OURS:
            command += ["--with", "calls", "--calls-since", f"{since}", "--observed-at", f"{until}T23:59:59Z"]
        else:
            command += ["--calls", f"{since}", f"{until}"]
        if runner:
            place = command.index(str(programs_of(tool) / OURS))
            command[place : place + 1] = [str(programs_of(tool) / "python"), str(RUNNERS / runner)]
        self.server.asked()
        runs.costs.append(run(command, self.folder, tool.settings))
        runs.requests, _ = self.server.asked()
        runs.file_bytes = sum(file.stat().st_size for file in self.folder.glob("loaded.duckdb*"))

    def refuse_other_calls(self, served: Listings, since: date, until: date) -> None:
        """What loaded other calls than these is no measure of anything."""
        tool = TOOLS[DUCKDB][self.tool]
        asked = "count(*) || ' calls of ' || sum(duration)::bigint || ' s' "
        between = f"created_at >= '{since}' and created_at < '{until + DAY}'"
        query = f"set timezone = 'UTC'; select {asked} from {tool.schema}.calls where {between}"
        loaded = ask(programs_of(tool), self.folder, query).value
        positions = served.calls.between(since, until)
        durations = sum(served.calls.row(position)["duration"] for position in positions)
        if loaded != (expected := f"{len(positions)} calls of {durations} s"):
            raise SystemExit(f"{self.tool} loaded {loaded} instead of {expected}")


@dataclass
class History:
    """What runs on the large account cost.

    `fetched` are the rows of calls that a daily run after the year fetches from the destination, `listed` the calls
    that it lists.
    """

    window: Runs = field(default_factory=Runs)
    year: Runs = field(default_factory=Runs)
    dlt: Runs = field(default_factory=Runs)
    after_month: Runs = field(default_factory=Runs)
    after_year: Runs = field(default_factory=Runs)
    fetched: int = 0
    listed: int = 0
    usage: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2_000_000, help="in the year (default: %(default)s)")
    parser.add_argument("--few", type=int, default=200_000, help="that all tools load (default: %(default)s)")
    parser.add_argument("--numbers", type=int, default=500, help="(default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="the medians are of so many runs (default: %(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="replaces its part of that page")
    options = parser.parse_args()
    few = contest(options.numbers, options.few, options.repeat)
    history = histories(options.numbers, options.calls, options.repeat)
    made = page(few, history, options)
    print(made)
    if options.markdown:
        replace_part(options.markdown, "benchmarks/calls.py", made)


def contest(numbers: int, calls: int, repeats: int) -> Mapping[str, Runs]:
    """The tools take turns at loading the year, each into nothing."""
    results = {name: Runs() for name in (OURS, DLT, BEST_DLT)}
    served = Listings(numbers, calls)
    with api(numbers, PER_PAGE, 0, calls) as server:
        for repeat in range(repeats):
            for name, runs in results.items():
                with tempfile.TemporaryDirectory(prefix="talkover-calls-") as folder:
                    say(f"{calls:,} calls, {repeat + 1} of {repeats}: {name}")
                    place = Place(server, Path(folder), name)
                    place.load(runs, FIRST_CALLS, LAST_CALLS)
                    place.refuse_other_calls(served, FIRST_CALLS, LAST_CALLS)
    return results


def histories(numbers: int, calls: int, repeats: int) -> History:
    """One window, a month and the year, each into nothing; then day after day on top of the month and of the year."""
    history, served, today = History(), Listings(numbers, calls), LAST_CALLS
    with (
        api(numbers, PER_PAGE, 0, calls) as server,
        tempfile.TemporaryDirectory(prefix="talkover-calls-") as folder,
    ):
        month, year = Place(server, Path(folder, "month")), Place(server, Path(folder, "year"))
        best = Place(server, Path(folder, BEST_DLT), BEST_DLT)
        for repeat in range(repeats):
            say(f"{calls:,} calls, one window of them, {repeat + 1} of {repeats}")
            Place(server, Path(folder, f"window-{repeat}")).load(history.window, LAST_WINDOW, LAST_CALLS)
        for what, place, runs, since in (
            ("the last month", month, Runs(), LAST_MONTH),
            ("the year", year, history.year, FIRST_CALLS),
            ("the year by plain dlt", best, history.dlt, FIRST_CALLS),
        ):
            say(f"{calls:,} calls, {what}")
            place.load(runs, since, LAST_CALLS)
            place.refuse_other_calls(served, since, LAST_CALLS)
        for repeat in range(repeats + 1):
            server.next_day()
            served.next_day()
            today += DAY
            is_counted = repeat == repeats
            say(f"{calls:,} calls, {today}" + (", counted" if is_counted else ""))
            for place, runs, since in (
                (month, history.after_month, LAST_MONTH),
                (year, history.after_year, FIRST_CALLS),
            ):
                place.load(Runs() if is_counted else runs, since, today, runner="counted.py" if is_counted else None)
        year.refuse_other_calls(served, FIRST_CALLS, today)
        history.fetched = json.loads((year.folder / "fetched.json").read_text())["calls"]
        history.listed = asked(year, "select sum(listed) from talkover.call_windows", f"last_day = '{today}'")
        if asked(year, "select count(*) from duckdb_views()", "view_name = 'number_usage'"):
            say("number_usage")
            programs = programs_of(TOOLS[DUCKDB][OURS])
            history.usage = median(ask(programs, year.folder, USAGE).seconds for _ in range(repeats))
    return history


def asked(place: Place, query: str, where: str) -> int:
    return int(ask(programs_of(TOOLS[DUCKDB][OURS]), place.folder, f"{query} where {where}").value)


def page(few: Mapping[str, Runs], history: History, options: argparse.Namespace) -> str:
    """The Markdown of a whole run."""
    now = datetime.now(timezone.utc)
    tools = {name: TOOLS[DUCKDB][name] for name in (OURS, DLT)}
    installed = "; ".join(f"{name}: {versions(tool, programs_of(tool))}" for name, tool in tools.items())
    parts = [
        f"Made on {now:%Y-%m-%d} by `{own_command()}` on {machine()}; {installed}.",
        f"Times are medians of {options.repeat}, peaks the highest. A year of {options.calls:,} calls is loaded once.",
        table(AIMS, list(aims(few, history, options))),
        loads_table(few, history, options),
        runs_table(history, options.calls),
        f"A daily run after the year lists {history.listed:,} calls, and fetches {history.fetched:,} rows of `calls` "
        "from the destination.",
    ]
    return "\n\n".join(parts)


def aims(few: Mapping[str, Runs], history: History, options: argparse.Namespace) -> Iterator[Sequence[str]]:
    window, year, best = history.window.cost, history.year.cost, history.dlt.cost
    best_of_few = min(runs.cost.seconds for name, runs in few.items() if name != OURS)
    peaks = [runs.cost.peak_mib for runs in (history.after_year, history.after_month)]
    yield aim(f"{options.calls:,} calls, the year: peak × that of one window", year.peak_mib / window.peak_mib, 1.3)
    yield aim(f"{options.calls:,} calls, the year: × the best dlt", year.seconds / best.seconds, 1)
    yield aim(f"{options.few:,} calls, the year: × plain dlt", few[OURS].cost.seconds / few[DLT].cost.seconds, 1)
    yield aim(f"{options.few:,} calls, the year: × the best dlt", few[OURS].cost.seconds / best_of_few, 1)
    yield aim("daily run: rows of calls fetched from the destination ÷ listed", history.fetched / history.listed, 1)
    yield aim("daily run: peak after a year × that after a month", peaks[0] / peaks[1], 1.1)
    if history.usage is not None:
        yield aim(f"`{USAGE}`, s", history.usage, 3)


def loads_table(few: Mapping[str, Runs], history: History, options: argparse.Namespace) -> str:
    """The year into nothing."""
    rows = [
        [f"{calls:,}", name, *costs(runs), f"{calls / runs.cost.seconds:,.0f}", f"{runs.requests:,}", megabytes(runs)]
        for calls, tools in ((options.few, few), (options.calls, {OURS: history.year, BEST_DLT: history.dlt}))
        for name, runs in tools.items()
    ]
    heading = ["calls in the year", "tool", "s", "CPU s", "peak MiB", "calls a second", "requests", "MB of the file"]
    return table(heading, rows)


def runs_table(history: History, calls: int) -> str:
    """Runs that read one window."""
    rows = [
        [what, *costs(runs), f"{runs.requests:,}"]
        for what, runs in (
            ("one window into nothing", history.window),
            ("a day later, a month held", history.after_month),
            ("a day later, the year held", history.after_year),
        )
    ]
    return table([f"{calls:,} calls in the year", "s", "CPU s", "peak MiB", "requests"], rows)


def costs(runs: Runs) -> list[str]:
    return [figure(runs.cost.seconds), figure(runs.cost.cpu_seconds), f"{runs.cost.peak_mib:,.0f}"]


def megabytes(runs: Runs) -> str:
    return f"{runs.file_bytes / 1e6:,.1f}"


def say(what: str) -> None:
    print(what, file=sys.stderr)


if __name__ == "__main__":
    main()
