"""What talkover is to be, and what a run of compare.py says of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from contest import CHANGED, FIRST, LATENCY_MS, NEXT_DAY, PHASES, SAME, Result
from measure import aim
from tools import CONCURRENCY, DLT_WITH_CURSOR, DLT_WITHOUT_CURSOR, DUCKDB, POSTGRES

Results = Mapping[tuple[str, int], Mapping[str, Result]]
"""By destination and size, then by name of the tool."""
SMALL, REMOTE, LARGE = 200, 10_000, 200_000
ALL_DLT = (*DLT_WITHOUT_CURSOR, *DLT_WITH_CURSOR)


def aims(results: Results) -> Iterator[Sequence[str]]:
    """A row for `measure.AIMS` each. What a table is compared with is the fastest of its kind in this very run."""

    def result(size: int, name: str = "talkover", destination: str = DUCKDB) -> Result:
        return results.get((destination, size), {}).get(name, Result())

    def against(size: int, phase: str, *names: str, destination: str = DUCKDB) -> float:
        """How many times as long as the fastest of those tools."""
        times = [result(size, name, destination).seconds(phase) for name in names]
        fastest = min((time for time in times if time > 0), default=math.nan)
        return result(size, destination=destination).seconds(phase) / fastest

    def peak(*phases: str) -> float:
        """The highest, into either destination."""
        peaks = [result(LARGE, destination=into).peak(phase) for into in (DUCKDB, POSTGRES) for phase in phases]
        return max((mib for mib in peaks if mib > 0), default=math.nan)

    def written(size: int, phase: str, table: int) -> float:
        return result(size).written.get(phase, [math.nan] * 4)[table]

    small, remote, large = (f"{size:,} numbers" for size in (SMALL, REMOTE, LARGE))
    ideal = result(REMOTE).requests.get(SAME, math.nan) * LATENCY_MS[REMOTE] / 1000 / CONCURRENCY
    fetching = result(REMOTE).fetching_seconds(SAME) / ideal
    yield aim(f"{small}, no change: × plain dlt", against(SMALL, SAME, "dlt"), 1)
    yield aim(f"{remote}, no change: × the floor with threads", against(REMOTE, SAME, "floor-threads"), 1.5)
    yield aim(f"{remote}, no change: fetching, × (pages × latency ÷ concurrency)", fetching, 1.3)
    yield aim(f"{large}, no change: × dlt's best cursor", against(LARGE, SAME, *DLT_WITH_CURSOR), 1.1)
    yield aim(f"{large}, no change: × the best dlt without a cursor", against(LARGE, SAME, *DLT_WITHOUT_CURSOR), 0.35)
    yield aim(f"{large}, first load: × the best dlt", against(LARGE, FIRST, *ALL_DLT), 0.7)
    yield aim(f"{large}, first load: × the floor", against(LARGE, FIRST, "floor"), 4)
    yield aim(f"{large}, next day: × the best dlt without a cursor", against(LARGE, NEXT_DAY, *DLT_WITHOUT_CURSOR), 0.6)
    yield aim(f"{large}, peak MiB of any run", peak(*PHASES), 500)
    yield aim(f"{large}, peak MiB without changes", peak(SAME), 350)
    for phase in (FIRST, SAME, NEXT_DAY):
        ratio = against(LARGE, phase, *DLT_WITHOUT_CURSOR, destination=POSTGRES)
        yield aim(f"{large}, PostgreSQL, {phase}: × the best dlt", ratio, 0.5)
    for size in sorted({size for destination, size in results if destination == DUCKDB}):
        numbers, log = written(size, CHANGED, 0), written(size, NEXT_DAY, 2)
        yield aim(f"{size:,} numbers, ten changes: rows of phone_numbers written", numbers, 10)
        yield aim(f"{size:,} numbers, next day: rows of phone_number_changes written", log, 10)
