"""Talkover against what one would run instead: time, memory, requests and rows written, compared in one run.

    python benchmarks/compare.py --sizes 200,10000,200000 --postgres 200000 --markdown docs/performance.md
    python benchmarks/compare.py --sizes 200 --postgres 5000 --only talkover,dlt,floor --repeat 1

For each size: a first load, a run without changes, one after ten numbers and a request changed, and one on the next
day, when every countdown moved and as much changed again. Every run is a cold process, every tool has an environment of
its own (`.venv-bench-…`, made on first use), and the tools take turns, so that what else the machine does hits all
alike. What each loaded is compared with what the API serves. PostgreSQL is the one of the tests.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from aims import Results, aims
from contest import CHANGED, LATENCY_MS, NEXT_DAY, PHASES, SAME, Result, compare
from measure import AIMS, figure, machine, own_command, replace_part, table
from tools import DUCKDB, LARGE, POSTGRES, SLOW, TOOLS, page_size, programs_of, versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = list(dict.fromkeys(name for tools in TOOLS.values() for name in tools))
    parser.add_argument("--sizes", type=counts, default="200,10000,200000", help="into DuckDB (default: %(default)s)")
    parser.add_argument("--postgres", type=counts, default="200000", help="into PostgreSQL (default: %(default)s)")
    parser.add_argument("--only", default=",".join(known), metavar="NAME,…", help="(default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="the medians are of so many runs (default: %(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="replaces its part of that page")
    options = parser.parse_args()
    asked = options.only.split(",")
    if unknown := set(asked) - set(known):
        parser.error(f"unknown {', '.join(sorted(unknown))}: of {', '.join(known)}")
    results: dict[tuple[str, int], Mapping[str, Result]] = {}
    installed = {}
    for destination, of_destination in ((DUCKDB, options.sizes), (POSTGRES, options.postgres)):
        if of_destination:
            tools = {name: tool for name, tool in TOOLS[destination].items() if name in asked}
            programs = {name: programs_of(tool) for name, tool in tools.items()}
            installed[destination] = {name: versions(tools[name], programs[name]) for name in tools}
            for size in of_destination:
                results[destination, size] = compare(destination, size, programs, options.repeat)
    made = page(results, installed, options.repeat)
    print(made)
    if options.markdown:
        replace_part(options.markdown, "benchmarks/compare.py", made)


def counts(text: str) -> list[int]:
    """An option's numbers with commas between; none where it is empty."""
    return [int(part) for part in text.split(",") if part]


def page(results: Results, installed: Mapping[str, Mapping[str, str]], repeats: int) -> str:
    """The Markdown of a whole run."""
    now = datetime.now(timezone.utc)
    parts = [
        f"Made on {now:%Y-%m-%d} by `{own_command()}` on {machine()}.",
        f"Times are medians of {repeats}, peaks the highest. From {LARGE:,} numbers on {', '.join(SLOW)} ran once.",
        "### Aims",
        table(AIMS, list(aims(results))),
    ]
    for (destination, size), by_tool in results.items():
        latency = LATENCY_MS.get(size, 0)
        parts += [
            f"### {destination}: {size:,} numbers, {page_size(size):,} rows a page, {latency} ms a request",
            size_table(by_tool),
            *(f"{name}: {result.verdict()}." for name, result in by_tool.items() if result.verdict()),
        ]
    parts += ["### Versions", "\n".join(version_lines(installed))]
    return "\n\n".join(parts)


def size_table(by_tool: Mapping[str, Result]) -> str:
    """A row a tool; figures of the phases are divided by slashes where they share a column."""
    phases = " / ".join(PHASES)
    head = [f"s: {phases}", f"{SAME}: × floor", "× dlt", f"{NEXT_DAY}: × dlt", "CPU s", "peak MiB", "requests"]
    head += ["fetching, s", *(f"rows written, {phase}" for phase in (CHANGED, NEXT_DAY)), "same rows"]
    floor, dlt = by_tool.get("floor-threads", by_tool.get("floor")), by_tool.get("dlt")
    rows = [
        [
            name,
            slashed(result.seconds(phase) for phase in PHASES),
            ratio(result, floor, SAME),
            ratio(result, dlt, SAME),
            ratio(result, dlt, NEXT_DAY),
            slashed(result.cpu_seconds(phase) for phase in PHASES),
            slashed((result.peak(phase) for phase in PHASES), 0),
            slashed((result.requests.get(phase, math.nan) for phase in PHASES), 0),
            figure(result.fetching_seconds(SAME)),
            *(added(result.written.get(phase, ())) for phase in (CHANGED, NEXT_DAY)),
            "**no**" if result.verdict() else "yes",
        ]
        for name, result in by_tool.items()
    ]
    return table(["", *head], rows)


def version_lines(installed: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """One for each set of versions, with the tools that have it."""
    for destination, by_tool in installed.items():
        for version in dict.fromkeys(by_tool.values()):
            names = [name for name in by_tool if by_tool[name] == version]
            yield f"- {destination}, {', '.join(names)}: {version}"


def slashed(values: Iterable[float], places: int = 2) -> str:
    return " / ".join(figure(value, places) for value in values)


def added(written: Sequence[int]) -> str:
    return " + ".join(f"{rows:,}" for rows in written) or "–"


def ratio(result: Result, other: Result | None, phase: str) -> str:
    return "–" if other is None else figure(result.seconds(phase) / other.seconds(phase))


if __name__ == "__main__":
    main()
