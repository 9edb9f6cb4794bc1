"""Peak memory and time of a run in which nothing changed: what an hourly schedule does nearly always.

    python benchmarks/no_change_memory.py --numbers 200000 --destination duckdb
    python benchmarks/no_change_memory.py --numbers 200000 --destination postgres

The API is the sandbox in a process of its own; PostgreSQL is the one of the tests, in another. Each load is a process
too, so that what it says of its memory (ru_maxrss) is its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVE = """
import sys
from talkover.sandbox import Account, Sandbox
with Sandbox(Account(size=int(sys.argv[1])), largest_page=5000) as sandbox:
    print(sandbox.base_url, sandbox.token, flush=True)
    sys.stdin.read()
"""
LOAD = """
import resource, sys
from talkover import load_account
base_url, token, destination = sys.argv[1:]
summary = load_account(destination=destination, base_url=base_url, api_token=token, per_page=5000)
numbers = summary.resources["phone_numbers"]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{numbers.added} added, {numbers.unchanged} unchanged: {summary.seconds:.1f} s, peak {peak:.0f} MiB", flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=200_000)
    parser.add_argument("--destination", choices=["duckdb", "postgres"], default="duckdb")
    options = parser.parse_args()
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    sys.path.insert(0, str(ROOT))
    from tests.postgres import postgres  # noqa: PLC0415  after the path to it

    is_postgres = options.destination == "postgres"
    serve = [sys.executable, "-c", SERVE, str(options.numbers)]
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres() if is_postgres else nullcontext() as url,
        subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sandbox,
    ):
        assert sandbox.stdout
        os.environ["DLT_DATA_DIR"] = f"{folder}/dlt"
        if url:
            os.environ["DESTINATION__POSTGRES__CREDENTIALS"] = url
        load = [sys.executable, "-c", LOAD, *sandbox.stdout.readline().split(), options.destination]
        for run in ("first run", "second run", "third run"):
            print(f"{options.destination}, {options.numbers} numbers, {run}: ", end="", flush=True)
            subprocess.run(load, check=True, cwd=folder)
        sandbox.communicate("")


if __name__ == "__main__":
    main()
