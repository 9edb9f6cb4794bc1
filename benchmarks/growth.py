"""How the cost of a load grows with the account: time and peak memory of a first load and of a run without changes.

    python benchmarks/growth.py --sizes 200,2000,50000 --markdown docs/performance.md --plot docs/growth.svg
    python benchmarks/growth.py --sizes 200000 --destination postgres

Every run is a cold process, in the environment that compare.py takes. PostgreSQL is the one of the tests, in processes
whose memory does not count.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot
from measure import AIMS, ROOT, Cost, aim, api, machine, middle, own_command, replace_part, run, table
from server import NUMBERS_A_REQUEST
from tools import DATABASE, DUCKDB, POSTGRES, TOOLS, Tool, page_size, programs_of, versions

sys.path.insert(0, str(ROOT))
from tests.postgres import postgres

PLANS = {"Standard": 100, "Professional": 1000}
"""Requests a minute, by the vendor's documentation."""
ROWS_A_PAGE = 100
MIDDLE, LARGEST = 50_000, 1_000_000
ACCOUNTS = (200, 2_000, MIDDLE, 200_000, LARGEST)


@dataclass(frozen=True)
class Growth:
    """What the two runs cost at one size: medians of the repeats, and the highest peaks."""

    numbers: int
    first: Cost
    same: Cost
    file_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(map(str, ACCOUNTS)), help="(default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="the medians are of so many runs (default: %(default)s)")
    parser.add_argument("--destination", choices=("duckdb", "postgres"), default="duckdb")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="replaces its part of that page")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draws it too, as SVG")
    options = parser.parse_args()
    tool = TOOLS[POSTGRES if options.destination == "postgres" else DUCKDB]["talkover"]
    with postgres() if options.destination == "postgres" else nullcontext() as url:
        settings = {DATABASE: url} if url else {}
        grown = [grow(tool, int(size), settings, options.repeat) for size in options.sizes.split(",")]
    made = page(grown, versions(tool, programs_of(tool)), options)
    print(made)
    if options.markdown:
        replace_part(options.markdown, "benchmarks/growth.py", made)
    if options.plot:
        draw(grown, options.plot)


def grow(tool: Tool, numbers: int, settings: Mapping[str, str], repeats: int) -> Growth:
    """Both runs at one size, in fresh folders each time."""
    programs, per_page = programs_of(tool), page_size(numbers)
    firsts: list[Cost] = []
    sames: list[Cost] = []
    file_bytes = 0
    with api(numbers, per_page, latency_ms=0) as server:
        for repeat in range(repeats):
            with tempfile.TemporaryDirectory(prefix="talkover-growth-") as place:
                folder = Path(place)
                of_run = {**tool.settings, **settings, "DATASET_NAME": f"talkover_{numbers}_{repeat}"}
                command = tool.command(programs, server.base_url, per_page, folder)
                for runs, phase in ((firsts, "first load"), (sames, "no change")):
                    print(f"{numbers:,} numbers, {repeat + 1} of {repeats}, {phase}", file=sys.stderr)
                    runs.append(run(command, folder, of_run))
                file_bytes = sum(file.stat().st_size for file in folder.glob("loaded.duckdb*"))
    return Growth(numbers, middle(firsts), middle(sames), file_bytes)


def page(grown: Sequence[Growth], installed: str, options: argparse.Namespace) -> str:
    """The Markdown of a whole run."""
    now = datetime.now(timezone.utc)
    made = f"Made on {now:%Y-%m-%d} by `{own_command()}` on {machine()}; {installed}, into {options.destination}."
    how = f"Times are medians of {options.repeat}, peaks the highest."
    plans = ["### What the plan allows", plan_table(grown)]
    return "\n\n".join([made, how, table(AIMS, list(aims(grown))), growth_table(grown), *plans])


def aims(grown: Sequence[Growth]) -> Iterator[Sequence[str]]:
    """What a run without changes is to cost in the largest account."""
    same = {growth.numbers: growth.same for growth in grown}
    nothing = Cost(math.nan, math.nan, math.nan)
    largest, middle = same.get(LARGEST, nothing), same.get(MIDDLE, nothing)
    yield aim(f"{LARGEST:,} numbers, no change: × {MIDDLE:,} numbers", largest.seconds / middle.seconds, 20)
    yield aim(f"{LARGEST:,} numbers, no change: peak GiB", largest.peak_mib / 1024, 1.2)


def growth_table(grown: Sequence[Growth]) -> str:
    """A row a size; bytes a number are what the peak grew by since the smallest size, for each number more."""
    smallest = grown[0]
    rows = []
    for growth in grown:
        more = growth.numbers - smallest.numbers
        runs = ((growth.first, smallest.first), (growth.same, smallest.same))
        bytes_each = [f"{(cost.peak_mib - base.peak_mib) * 2**20 / more:,.0f}" if more else "" for cost, base in runs]
        rows.append(
            [
                f"{growth.numbers:,}",
                *(f"{cost.seconds:.1f}" for cost, _ in runs),
                *(f"{cost.peak_mib:,.0f}" for cost, _ in runs),
                *bytes_each,
                f"{growth.file_bytes / growth.numbers:,.0f}" if growth.file_bytes else "",
            ]
        )
    phases = ("first load", "no change")
    units = ("s", "peak MiB", "bytes a number")
    head = ["numbers", *(f"{phase}, {unit}" for unit in units for phase in phases), "file, bytes a number"]
    return table(head, rows)


def plan_table(grown: Sequence[Growth]) -> str:
    """What the API lets pass in a minute against what the program does: arithmetic but for the last column."""
    measured = {growth.numbers: f"{growth.same.seconds:,.1f} s" for growth in grown}
    rows = []
    for numbers in ACCOUNTS:
        requests = math.ceil(numbers / ROWS_A_PAGE) + math.ceil(numbers / NUMBERS_A_REQUEST / ROWS_A_PAGE)
        # The requests of the first minute need not wait, and after the last wait the answers come at once.
        waits = [duration(math.ceil(requests / a_minute) - 1) for a_minute in PLANS.values()]
        rows.append([f"{numbers:,}", f"{requests:,}", *waits, measured.get(numbers, "–")])
    plans = [f"{plan}, {a_minute:,} requests a minute" for plan, a_minute in PLANS.items()]
    return table(["numbers", "requests", *plans, "the program itself, no change"], rows)


def duration(minutes: int) -> str:
    return f"{minutes:,} min" if minutes else "no wait"


def draw(grown: Sequence[Growth], file: Path) -> None:
    """Time and memory against size, both with logarithmic sizes."""
    mpl.rcParams.update({"svg.hashsalt": "talkover", "svg.fonttype": "none", "font.size": 9})
    figure, (time, memory) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    sizes = [growth.numbers for growth in grown]
    for phase, costs in (("first load", [g.first for g in grown]), ("no change", [g.same for g in grown])):
        time.plot(sizes, [cost.seconds for cost in costs], marker="o", label=phase)
        memory.plot(sizes, [cost.peak_mib for cost in costs], marker="o", label=phase)
    time.set(title="wall time of a cold process, s", xscale="log", yscale="log", xlabel="numbers in the account")
    memory.set(title="peak memory, MiB", xscale="log", ylim=(0, None), xlabel="numbers in the account")
    for panel in (time, memory):
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
    figure.savefig(file, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
