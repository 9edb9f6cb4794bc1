"""What the benchmarks share: the API in a process of its own, a command and what it cost, a part of a page.

python benchmarks/measure.py COMMAND…    runs it, and prints what it cost as JSON
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
LONGEST_RUN = 1200
"""Seconds; what takes longer is killed."""


@dataclass(frozen=True)
class Cost:
    """What a process cost, with those that it started: CPU is the sum of all, the peak that of the largest one."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


class CommandFailed(Exception):
    """It ended with another code than 0, or not in time."""


@dataclass(frozen=True)
class Api:
    """A running server.py."""

    port: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def change(self) -> None:
        self._ask(Request(f"http://127.0.0.1:{self.port}/change", method="POST"))

    def next_day(self) -> None:
        self._ask(Request(f"http://127.0.0.1:{self.port}/next-day", method="POST"))

    def asked(self) -> tuple[int, float]:
        """Requests since this was asked last, and the seconds from the first to the last answer of each listing."""
        answer = self._ask(Request(f"http://127.0.0.1:{self.port}/requests"))
        return answer["requests"], answer["seconds"]

    def _ask(self, request: Request) -> Any:
        with urlopen(request, timeout=600) as response:  # noqa: S310  a change makes large pages anew
            return json.load(response)


@contextmanager
def api(numbers: int, per_page: int, latency_ms: float, calls: int = 0) -> Iterator[Api]:
    """A server with so many numbers, and calls of a year."""
    settings = ["--numbers", str(numbers), "--per-page", str(per_page), "--latency", str(latency_ms)]
    settings += ["--calls", str(calls)]
    command = [sys.executable, str(ROOT / "benchmarks/server.py"), *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield Api(json.loads(server.stdout.readline())["port"])
        finally:
            server.terminate()


def run(command: Sequence[str], folder: Path, settings: Mapping[str, str]) -> Cost:
    """Runs `command` in `folder`, with none of the caller's own settings. Raises CommandFailed.

    It is started by a small process: Linux counts to a child's peak what its parent held when it started it.
    """
    environment = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    environment |= {"HOME": str(folder), "DLT_DATA_DIR": str(folder / "dlt")}
    environment |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "DO_NOT_TRACK": "1", **settings}
    small = [sys.executable, "-S", "-E", __file__, *command]
    log = folder / "log.txt"
    with log.open("w") as errors:
        done = subprocess.run(
            small, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, check=False
        )
    if done.returncode:
        last_lines = [line for line in log.read_text().splitlines() if line.strip()][-3:]
        raise CommandFailed(" / ".join(last_lines)[-500:] or f"exit code {done.returncode}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def measured(command: Sequence[str]) -> Cost:
    """Runs `command` from this very process; its output goes to stderr."""
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=sys.stderr, stdin=subprocess.DEVNULL, start_new_session=True)
    too_long = threading.Timer(LONGEST_RUN, os.killpg, (child.pid, signal.SIGKILL))
    too_long.start()
    try:
        _, status, used = os.wait4(child.pid, 0)
    except KeyboardInterrupt:  # which does not reach a session of its own
        os.killpg(child.pid, signal.SIGKILL)
        raise
    finally:
        too_long.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    if child.returncode:
        sys.exit(child.returncode if child.returncode > 0 else 1)
    kibibytes = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Cost(round(seconds, 3), round(used.ru_utime + used.ru_stime, 3), round(kibibytes / 1024, 1))


def middle(runs: Sequence[Cost]) -> Cost:
    """The medians of their times and the highest of their peaks; not a number where there was no run."""
    return Cost(
        median([cost.seconds for cost in runs] or [math.nan]),
        median([cost.cpu_seconds for cost in runs] or [math.nan]),
        max((cost.peak_mib for cost in runs), default=math.nan),
    )


def machine() -> str:
    """Processor, cores, memory and Python."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.+)", cpuinfo.read_text())):
        model = found[1]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, the first column left and the others right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def figure(value: float, places: int = 2) -> str:
    return "–" if math.isnan(value) else f"{value:,.{places}f}"


AIMS = ("aim", "measured", "at most", "")
"""The head of a table of aims."""


def aim(what: str, measured: float, limit: float) -> tuple[str, str, str, str]:
    """A row of it; not a number stands for what was not measured."""
    verdict = "not run" if math.isnan(measured) else "met" if measured <= limit else "**not met**"
    return what, figure(measured), figure(limit), verdict


def replace_part(page: Path, script: str, made: str) -> None:
    """Puts `made` between `<!-- made by script … -->` and the `<!-- end -->` after it."""
    marked = re.compile(rf"(<!-- made by {re.escape(script)}[^\n]* -->\n).*?(<!-- end -->)", re.DOTALL)
    text, parts = marked.subn(lambda part: f"{part[1]}\n{made}\n\n{part[2]}", page.read_text())
    if parts != 1:
        raise SystemExit(f"{page} has {parts} parts '<!-- made by {script} … -->': one is needed")
    page.write_text(text)


def own_command() -> str:
    """How this very program was called, for a page."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


if __name__ == "__main__":
    print(json.dumps(vars(measured(sys.argv[1:]))))
