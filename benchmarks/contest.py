"""A contest: the tools take turns at loading one account, and what each loaded is compared with what is served."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

import psycopg2
from measure import ROOT, Api, CommandFailed, Cost, api, run
from server import NEW_AGENT, NUMBERS, REQUESTS, Listings
from tools import DATABASE, DUCKDB, LARGE, POSTGRES, SLOW, TOOLS, Tool, page_size

sys.path.insert(0, str(ROOT))
from tests.postgres import postgres

PHASES = FIRST, SAME, CHANGED, NEXT_DAY = ("first load", "no change", "ten changes", "next day")
LATENCY_MS = {10_000: 50}
SELECT = {
    DUCKDB: """
import duckdb, json, sys
with duckdb.connect("loaded.duckdb", read_only=True) as connection:
    print(json.dumps(connection.execute(sys.argv[1], sys.argv[2:]).fetchall(), default=str))
""",
    POSTGRES: f"""
import json, os, psycopg2, sys
cursor = psycopg2.connect(os.environ["{DATABASE}"]).cursor()
cursor.execute(sys.argv[1].replace("?", "%s"), sys.argv[2:])
print(json.dumps(cursor.fetchall(), default=str))
""",
}


@dataclass
class Result:
    """What the runs of a tool at a size cost, by phase and repeat.

    `written` are the rows that the last run of a phase wrote into each table; `wrong` is how the rows differ that were
    loaded, `failure` why there are no more runs.
    """

    costs: dict[str, list[Cost]] = field(default_factory=lambda: {phase: [] for phase in PHASES})
    requests: dict[str, int] = field(default_factory=dict)
    fetching: dict[str, list[float]] = field(default_factory=lambda: {phase: [] for phase in PHASES})
    written: dict[str, list[int]] = field(default_factory=dict)
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


@dataclass(frozen=True)
class Expected:
    """What is served in a phase, by id; and who the new agent is, where there is one, and on which number."""

    prices: Mapping[str, Decimal | None]
    countdowns: Mapping[str, int]
    states: Mapping[str, str]
    agent: str | None
    number: str

    @classmethod
    def of(cls, served: Listings) -> Expected:
        numbers = {row["id"]: row for row in served.rows(NUMBERS)}
        return cls(
            prices={id: amount(row["current_price"]) for id, row in numbers.items()},
            countdowns={id: row["days_until_monthly_renewal"] for id, row in numbers.items()},
            states={row["id"]: row["status"] for row in served.rows(REQUESTS)},
            agent=NEW_AGENT.format(served.changes) if served.changes else None,
            number=served.row(NUMBERS, 0)["id"],
        )


@dataclass
class Contender:
    """A tool, and what its runs at one size came to. They go where `begin` was called with last."""

    tool: Tool
    programs: Path
    select: str
    result: Result = field(default_factory=Result)

    def begin(self, folder: Path, database: Mapping[str, str]) -> None:
        folder.mkdir()
        self._folder, self._database = folder, dict(database)

    def run(self, phase: str, server: Api, per_page: int, expected: Expected) -> None:
        """One run and the comparison after it, unless a run failed before."""
        if self.result.failure:
            return
        earlier = None if phase == FIRST else self._stamps()
        command = self.tool.command(self.programs, server.base_url, per_page, self._folder)
        server.asked()
        try:
            cost = run(command, self._folder, {**self.tool.settings, **self._database})
        except CommandFailed as error:
            self.result.failure = f"{phase} failed: {error}"
            return
        self.result.costs[phase].append(cost)
        self.result.requests[phase], seconds = server.asked()
        self.result.fetching[phase].append(seconds)
        if wrong := list(self._differences(expected)):
            self.result.wrong[phase] = wrong
        if earlier:
            self.result.written[phase] = [
                sum(rows for stamp, rows in now.items() if stamp not in before)
                for now, before in zip(self._stamps(), earlier, strict=True)
            ]

    def _differences(self, expected: Expected) -> Iterator[str]:
        rows = self._select("select id, current_price, days_until_monthly_renewal from {}.phone_numbers")
        yield from differences("numbers", "prices", expected.prices, {id: amount(price) for id, price, _ in rows})
        yield from others("countdowns", expected.countdowns, {id: days for id, _, days in rows})
        states = dict(self._select("select id, status from {}.release_requests"))
        yield from differences("requests", "states", expected.states, states)
        if expected.agent:
            on = self._select(self.tool.agents, expected.agent)
            if on != [[expected.number]]:
                yield f"the new agent is on {len(on)} numbers instead of on one"

    def _stamps(self) -> list[dict[str, int]]:
        """How many rows of each table have which stamp."""
        query = f"select {self.tool.stamp}::text, count(*) from {{}}.{{}} group by 1"
        return [dict(self._select(query.format("{}", name))) for name in self.tool.tables]

    def _select(self, query: str, *values: str) -> list[list[Any]]:
        """By the tool's own programs: an older DuckDB cannot read the file of a newer one."""
        command = [str(self.programs / "python"), "-c", self.select, query.format(self.tool.schema), *values]
        done = subprocess.run(
            command, cwd=self._folder, env={**os.environ, **self._database}, stdout=subprocess.PIPE, check=True
        )
        rows: list[list[Any]] = json.loads(done.stdout)
        return rows


def compare(destination: str, size: int, programs: Mapping[str, Path], repeats: int) -> dict[str, Result]:
    """Every tool of `programs` at one size, into one destination.

    One that failed is run no more; those that are SLOW run once at a LARGE size.
    """
    tools = TOOLS[destination]
    contenders = {name: Contender(tools[name], programs[name], SELECT[destination]) for name in programs}
    results = {name: contender.result for name, contender in contenders.items()}
    served, per_page = Listings(size), page_size(size)
    with api(size, per_page, LATENCY_MS.get(size, 0)) as server, databases(destination) as new_database:
        changes = {CHANGED: (server.change, served.change), NEXT_DAY: (server.next_day, served.next_day)}
        for repeat in range(repeats):
            if repeat and size >= LARGE:
                contenders = {name: contender for name, contender in contenders.items() if name not in SLOW}
            with tempfile.TemporaryDirectory(prefix="talkover-bench-") as place:
                for name, contender in contenders.items():
                    contender.begin(Path(place, name), new_database(name))
                for phase in PHASES:
                    for change in changes.get(phase, ()):
                        change()
                    expected = Expected.of(served)
                    for name, contender in contenders.items():
                        progress = f"{size:,} numbers into {destination}, {repeat + 1} of {repeats}, {phase}: {name}"
                        print(progress, file=sys.stderr)
                        contender.run(phase, server, per_page, expected)
    return results


@contextmanager
def databases(destination: str) -> Iterator[Callable[[str], Mapping[str, str]]]:
    """Makes an empty database of a name and returns the setting that a run finds it by; DuckDB needs none."""
    if destination == DUCKDB:
        yield lambda _: {}
        return
    with postgres() as url, closing(psycopg2.connect(url)) as server:
        server.autocommit = True

        def new_database(name: str) -> Mapping[str, str]:
            with server.cursor() as cursor:
                cursor.execute(f'drop database if exists "{name}"')
                cursor.execute(f'create database "{name}"')
            return {DATABASE: f"{url.rpartition('/')[0]}/{name}"}

        yield new_database


def amount(value: Any) -> Decimal | None:
    return None if value is None else round(Decimal(value), 4)


def differences(rows: str, values: str, served: Mapping[str, Any], loaded: Mapping[str, Any]) -> Iterator[str]:
    """In a few words, how `loaded` differs."""
    if missing := len(served.keys() - loaded.keys()):
        yield f"{missing:,} of {len(served):,} {rows} are missing"
    if surplus := len(loaded.keys() - served.keys()):
        yield f"{surplus:,} {rows} are not served"
    yield from others(values, served, loaded)


def others(values: str, served: Mapping[str, Any], loaded: Mapping[str, Any]) -> Iterator[str]:
    if other := sum(served[id] != loaded[id] for id in served.keys() & loaded.keys()):
        yield f"{other:,} of {len(served):,} {values} are others"
