"""Talkover against what one would run instead: time, memory, requests and rows written, side by side in one run.

    python benchmarks/compare.py --sizes 200,10000,200000 --repeat 3 --markdown docs/performance.md
    python benchmarks/compare.py --sizes 200 --only talkover,dlt,floor --repeat 1

For each size: a first load, a run without changes, and one after ten numbers and a request changed. Every run is a cold
process, every tool has an environment of its own (`.venv-bench-…`, made on first use), and the tools take turns, so
that what else the machine does hits all alike. What each loaded is compared with what the API serves.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from measure import Api, CommandFailed, Cost, api, machine, own_command, replace_part, run, table
from server import NEW_AGENT, NUMBERS, REQUESTS, Listings
from tools import CONCURRENCY, DLT_WITH_CURSOR, DLT_WITHOUT_CURSOR, TOOLS, Tool, page_size, programs_of, versions

PHASES = FIRST, SAME, CHANGED = ("first load", "no change", "ten changes")
LATENCY_MS = {10_000: 50}
TABLES = ("phone_numbers", "release_requests")
SELECT = """
import duckdb, json, sys
with duckdb.connect("loaded.duckdb", read_only=True) as connection:
    print(json.dumps(connection.execute(sys.argv[1], sys.argv[2:]).fetchall(), default=str))
"""


@dataclass
class Result:
    """What the runs of a tool at a size cost, by phase and repeat.

    `wrong` is how the rows differ that were loaded, `failure` why there are no more runs.
    """

    costs: dict[str, list[Cost]] = field(default_factory=lambda: {phase: [] for phase in PHASES})
    requests: dict[str, int] = field(default_factory=dict)
    fetching: dict[str, list[float]] = field(default_factory=lambda: {phase: [] for phase in PHASES})
    written: list[int] = field(default_factory=list)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    failure: str = ""

    def verdict(self) -> str:
        """Empty where all is well."""
        different = [f"{phase}: {', '.join(wrong)}" for phase, wrong in self.wrong.items()]
        return "; ".join([*different, *filter(None, [self.failure])])

    def seconds(self, phase: str) -> float:
        """The median; not a number where there was no run."""
        return median([cost.seconds for cost in self.costs[phase]] or [math.nan])

    def cpu_seconds(self, phase: str) -> float:
        return median([cost.cpu_seconds for cost in self.costs[phase]] or [math.nan])

    def peak(self, phase: str) -> float:
        return max((cost.peak_mib for cost in self.costs[phase]), default=math.nan)

    def fetching_seconds(self, phase: str) -> float:
        return median(self.fetching[phase] or [math.nan])


@dataclass
class Contender:
    """A tool at a size: its runs go into `folder`, anew each time `begin` is called."""

    tool: Tool
    programs: Path
    result: Result = field(default_factory=Result)

    def begin(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def run(self, phase: str, server: Api, per_page: int) -> None:
        command = self.tool.command(self.programs, server.base_url, per_page, self.folder)
        server.asked()
        try:
            cost = run(command, self.folder, self.tool.settings)
        except CommandFailed as error:
            self.result.failure = f"{phase} failed: {error}"
            return
        self.result.costs[phase].append(cost)
        self.result.requests[phase], seconds = server.asked()
        self.result.fetching[phase].append(seconds)

    def check(self, phase: str, served: Listings) -> None:
        """Compares ids, prices, states and the new agent with what is served."""
        prices = {row["id"]: amount(row["current_price"]) for row in served.rows(NUMBERS)}
        states = {row["id"]: row["status"] for row in served.rows(REQUESTS)}
        loaded = {id: amount(price) for id, price in self._select("select id, current_price from {}.phone_numbers")}
        wrong = [
            *differences("numbers", "prices", prices, loaded),
            *differences(
                "requests", "states", states, dict(self._select("select id, status from {}.release_requests"))
            ),
        ]
        if phase == CHANGED:
            with_agent = self._select(self.tool.with_agent, NEW_AGENT.format(served.changes))
            if with_agent != [[served.row(NUMBERS, 0)["id"]]]:
                wrong.append(f"the new agent is on {len(with_agent)} numbers instead of on one")
        if wrong:
            self.result.wrong[phase] = wrong

    def stamps(self) -> list[dict[str, int]]:
        """How many rows of each table have which stamp."""
        query = f"select {self.tool.stamp}::text, count(*) from {{}}.{{}} group by all"
        return [dict(self._select(query.format("{}", name))) for name in TABLES]

    def count_written(self, before: Sequence[Mapping[str, int]]) -> None:
        """The rows with stamps that none had before."""
        self.result.written = [
            sum(rows for stamp, rows in now.items() if stamp not in earlier)
            for now, earlier in zip(self.stamps(), before, strict=True)
        ]

    def _select(self, query: str, *values: str) -> list[list[Any]]:
        """By the DuckDB that wrote the file: an older one cannot read it."""
        command = [str(self.programs / "python"), "-c", SELECT, query.format(self.tool.schema), *values]
        done = subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, text=True, check=True)
        rows: list[list[Any]] = json.loads(done.stdout)
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="200,10000,200000", help="how many numbers (default: %(default)s)")
    parser.add_argument("--only", default=",".join(TOOLS), metavar="NAME,…", help="(default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="the medians are of so many runs (default: %(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="replaces its part of that page")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - TOOLS.keys():
        parser.error(f"unknown {', '.join(sorted(unknown))}: of {', '.join(TOOLS)}")
    programs = {name: programs_of(TOOLS[name]) for name in names}
    results = {int(size): compare(int(size), programs, options.repeat) for size in options.sizes.split(",")}
    installed = {name: versions(TOOLS[name], programs[name]) for name in names}
    made = page(results, installed, options.repeat)
    print(made)
    if options.markdown:
        replace_part(options.markdown, "benchmarks/compare.py", made)


def compare(size: int, programs: Mapping[str, Path], repeats: int) -> dict[str, Result]:
    """Every tool at one size. One that failed is run no more."""
    contenders = {name: Contender(TOOLS[name], programs[name]) for name in programs}
    served = Listings(size)
    with api(size, page_size(size), LATENCY_MS.get(size, 0)) as server:
        for repeat in range(repeats):
            with tempfile.TemporaryDirectory(prefix="talkover-bench-") as place:
                for name, contender in contenders.items():
                    contender.begin(Path(place, name))
                for phase in PHASES:
                    if phase == CHANGED:
                        server.change()
                        served.change()
                    for name, contender in contenders.items():
                        if not contender.result.failure:
                            print(f"{size:,} numbers, {repeat + 1} of {repeats}, {phase}: {name}", file=sys.stderr)
                            one_run(contender, phase, server, served)
    return {name: contender.result for name, contender in contenders.items()}


def one_run(contender: Contender, phase: str, server: Api, served: Listings) -> None:
    before = contender.stamps() if phase == CHANGED else []
    contender.run(phase, server, page_size(served.sizes[NUMBERS]))
    if contender.result.failure:
        return
    contender.check(phase, served)
    if before:
        contender.count_written(before)


def amount(value: Any) -> Decimal | None:
    return None if value is None else round(Decimal(value), 4)


def differences(rows: str, values: str, served: Mapping[str, Any], loaded: Mapping[str, Any]) -> Iterator[str]:
    """In a few words, how `loaded` differs."""
    if missing := len(served.keys() - loaded.keys()):
        yield f"{missing} of {len(served)} {rows} are missing"
    if surplus := len(loaded.keys() - served.keys()):
        yield f"{surplus} {rows} are not served"
    if other := sum(served[id] != loaded[id] for id in served.keys() & loaded.keys()):
        yield f"{other} of {len(served)} {values} are others"


def page(results: Mapping[int, Mapping[str, Result]], installed: Mapping[str, str], repeats: int) -> str:
    """The Markdown of a whole run."""
    now = datetime.now(timezone.utc)
    parts = [
        f"Made on {now:%Y-%m-%d} by `{own_command()}` on {machine()}.",
        f"Times are medians of {repeats}, peaks the highest.",
        "### Aims",
        table(["aim", "measured", "at most", ""], list(aims(results))),
    ]
    for size, by_tool in results.items():
        latency = LATENCY_MS.get(size, 0)
        parts += [
            f"### {size:,} numbers, {page_size(size):,} rows a page, {latency} ms a request",
            size_table(by_tool),
            *(f"{name}: {result.verdict()}." for name, result in by_tool.items() if result.verdict()),
        ]
    same = {version: [name for name in installed if installed[name] == version] for version in installed.values()}
    parts += ["### Versions", "\n".join(f"- {', '.join(names)}: {version}" for version, names in same.items())]
    return "\n\n".join(parts)


def size_table(by_tool: Mapping[str, Result]) -> str:
    """A row a tool; figures of the three phases are divided by slashes where they share a column."""
    phases = " / ".join(PHASES)
    head = [f"s: {phases}", "no change: × floor", "× dlt", "CPU s", "peak MiB", "requests", "fetching, s"]
    rows = [
        [
            name,
            slashed(result.seconds(phase) for phase in PHASES),
            ratio(result, by_tool.get("floor-threads"), SAME),
            ratio(result, by_tool.get("dlt"), SAME),
            slashed(result.cpu_seconds(phase) for phase in PHASES),
            slashed((result.peak(phase) for phase in PHASES), 0),
            slashed((result.requests.get(phase, math.nan) for phase in PHASES), 0),
            figure(result.fetching_seconds(SAME)),
            " + ".join(f"{rows:,}" for rows in result.written) or "–",
            "**no**" if result.verdict() else "yes",
        ]
        for name, result in by_tool.items()
    ]
    return table(["", *head, "rows written", "same rows"], rows)


def slashed(values: Iterator[float], places: int = 2) -> str:
    return " / ".join(figure(value, places) for value in values)


def ratio(result: Result, other: Result | None, phase: str) -> str:
    return "–" if other is None else figure(result.seconds(phase) / other.seconds(phase))


def figure(value: float, places: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:,.{places}f}"


def aims(results: Mapping[int, Mapping[str, Result]]) -> Iterator[list[str]]:
    """What talkover is to be, and what this run says of it."""

    def result(size: int, name: str = "talkover") -> Result:
        return results.get(size, {}).get(name, Result())

    def aim(size: int, what: str, measured: float, limit: float) -> list[str]:
        verdict = "not run" if math.isnan(measured) else "met" if measured <= limit else "**not met**"
        return [f"{size:,} numbers: {what}", figure(measured), figure(limit), verdict]

    def against(size: int, phase: str, *names: str) -> float:
        """How many times as long as the fastest of those tools."""
        times = [result(size, name).seconds(phase) for name in names]
        return result(size).seconds(phase) / min((time for time in times if time > 0), default=math.nan)

    pages = result(10_000).requests.get(SAME, math.nan)
    ideal = pages * LATENCY_MS[10_000] / 1000 / CONCURRENCY
    yield aim(200, "no change, × plain dlt", against(200, SAME, "dlt"), 1)
    yield aim(10_000, "no change, × the floor with threads", against(10_000, SAME, "floor-threads"), 1.5)
    yield aim(10_000, "fetching, × (pages × latency ÷ concurrency)", result(10_000).fetching_seconds(SAME) / ideal, 1.3)
    yield aim(200_000, "no change, × dlt with its best cursor", against(200_000, SAME, *DLT_WITH_CURSOR), 1)
    yield aim(200_000, "no change, × the best dlt without a cursor", against(200_000, SAME, *DLT_WITHOUT_CURSOR), 1 / 3)
    best_dlt = against(200_000, FIRST, *DLT_WITHOUT_CURSOR, *DLT_WITH_CURSOR)
    yield aim(200_000, "first load, × the best dlt", best_dlt, 1)
    yield aim(200_000, "first load, × the floor", against(200_000, FIRST, "floor"), 4)
    yield aim(200_000, "first load, peak MiB", result(200_000).peak(FIRST), 380)
    for size in results:
        rows = result(size).written[0] if result(size).written else math.nan
        yield aim(size, "ten changes, rows of phone_numbers written", rows, 10)


if __name__ == "__main__":
    main()
