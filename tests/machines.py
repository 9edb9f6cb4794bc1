"""Machines that differ from the usual one in one thing each, run by hand, as root:

    .venv/bin/python -m tests.machines [--report] [--only WORDS] [PYTHON …]

Each Python is one of an environment that holds this project. The demo account is loaded, its views are made anew,
and what is open is printed; with --report a report and a workbook are written, too. A machine passes where all of it
is what the usual machine makes. Else each command that fails says why in one line, with an exit code that is not 0;
what is there is right all the same, and the usual machine goes on with it. docs/reliability.md has what this prints.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import openpyxl

from talkover.views import view_names

from .conftest import TABLES

COMMANDS = [f"load --observed-at {datetime.now(timezone.utc):%Y-%m-%d}", "views", "findings"]
REPORT = "report --xlsx report.xlsx"
MOMENT = re.compile(r"\d\d:\d\d UTC")
MOMENTS = {"data_health": "last_complete_listing_at"}
"""When something was read or written is different each time."""


@dataclass(frozen=True)
class Machine:
    """What is different: variables, of which None are not set, and how a shell starts the commands."""

    variables: Mapping[str, str | None] = field(default_factory=dict)
    start: str = '"$@"'


# They may read everything, since Python may lie in root's home, and write what is theirs.
OTHER = (
    'setpriv --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search --reuid={0} --regid={0} "$@"'
)
NOBODY, NAMELESS = OTHER.format(65534), OTHER.format(54321)
PLAIN_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOCALES = ("de_DE.UTF-8", "pt_BR.UTF-8", "tr_TR.UTF-8", "de_DE.ISO-8859-1")
DAY = min(datetime.now(timezone.utc).timetuple().tm_yday, 364)
ZONES = (
    "Pacific/Kiritimati",
    "Etc/GMT+12",
    "America/St_Johns",
    "Asia/Kathmandu",
    f"AAA0BBB,J{DAY}/12,J{DAY + 1}/12",  # the clock is set on today, and back tomorrow
    "No/Where",
    None,
)
SETTINGS = (
    "PYTHONOPTIMIZE=2",
    "PYTHONWARNINGS=error",
    "PYTHONHASHSEED=0",
    "PYTHONHASHSEED=4294967295",
    "PYTHONDEVMODE=1",
)

MACHINES = {
    "the usual one: C.UTF-8, UTC": Machine(),
    "the same again": Machine(),
    **{f"LC_ALL={name}": Machine({"LC_ALL": name}) for name in ("C", "POSIX", *LOCALES, "xx_XX.UTF-8")},
    "LC_ALL=C, and no UTF-8 in its place": Machine(PLAIN_C),
    **{f"TZ={name}" if name else "TZ is not set": Machine({"TZ": name}) for name in ZONES},
    "HOME is not set": Machine({"HOME": None, "DLT_DATA_DIR": None}, NOBODY),
    "HOME is not set, for a user without a name": Machine({"HOME": None, "DLT_DATA_DIR": None}, NAMELESS),
    "HOME=/nonexistent": Machine({"HOME": "/nonexistent", "DLT_DATA_DIR": None}, NOBODY),
    "HOME of somebody else": Machine({"HOME": "/root", "DLT_DATA_DIR": None}, NOBODY),
    "a working folder of somebody else": Machine(start=f"chmod 755 . && {NOBODY}"),
    "TMPDIR=/nonexistent": Machine({"TMPDIR": "/nonexistent"}),
    "stdout is closed": Machine(start='"$@" >&-'),
    "stdout is full": Machine(start='"$@" >/dev/full'),
    "stderr is full": Machine(start='"$@" 2>/dev/full'),
    "TERM=dumb, COLUMNS=20": Machine({"TERM": "dumb", "COLUMNS": "20"}),
    **{setting: Machine(dict([setting.split("=")])) for setting in SETTINGS},
}


class Folder:
    """Where the commands are run, which everybody may write to."""

    def __init__(self, python: str, commands: Sequence[str], locales: Path) -> None:
        self.commands = [[python, "-m", "talkover", *command.split(), "--demo"] for command in commands]
        self.whole = Path(tempfile.mkdtemp(prefix="talkover_machine_"))
        self.work = self.whole / "work"
        self.work.mkdir()
        for folder in (self.whole, self.work):
            folder.chmod(0o777)
        self.usual = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.whole),
            "DLT_DATA_DIR": str(self.whole / "dlt"),
            "TMPDIR": str(self.whole),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "LOCPATH": str(locales),
        }

    def play(self, machine: Machine) -> tuple[list[str], list[str]]:
        """The commands that fail, and the lines on stderr."""
        variables = {name: value for name, value in (self.usual | machine.variables).items() if value is not None}
        failed, said = [], []
        for command in self.commands:
            start = ["/bin/sh", "-c", machine.start, "sh", *command]
            done = subprocess.run(start, cwd=self.work, env=variables, capture_output=True, timeout=1800, check=False)
            said += done.stderr.decode(errors="backslashreplace").splitlines()
            failed += [command[3]] if done.returncode else []
        return failed, said

    def made(self) -> dict[str, list[str]]:
        """The lines of all that is there, without the moments of its making."""
        found: dict[str, list[str]] = {}
        report, book, database = (self.work / name for name in ("report.html", "report.xlsx", "talkover_demo.duckdb"))
        if report.exists():
            found["report"] = MOMENT.sub("", report.read_text(encoding="utf-8")).splitlines()
        if book.exists():
            sheets = openpyxl.load_workbook(book)
            found["workbook"] = [MOMENT.sub("", str(row)) for sheet in sheets for row in sheet.values]
        if database.exists():
            with duckdb.connect(str(database), read_only=True) as connection:
                connection.execute("set timezone = 'UTC'")
                for name in (*TABLES, *view_names()):
                    left_out = "_dlt_id, _dlt_load_id" if name in TABLES else MOMENTS.get(name)
                    columns = f"* exclude ({left_out})" if left_out else "*"
                    rows = connection.sql(f"select {columns} from talkover.{name}").fetchall()
                    found[name] = sorted(map(str, rows))
        return found


def came_of(machine: Machine, folder: Folder, usual: Mapping[str, list[str]]) -> str:
    """What the table says of `machine`. Raises AssertionError where it is not as promised."""
    failed, said = folder.play(machine)
    made = folder.made()
    for name, lines in made.items():
        assert lines == usual.get(name, lines), f"{name}: {sorted(set(lines) ^ set(usual[name]))[:4]}"
    if not failed:
        assert made.keys() == (usual or made).keys()
        return " ".join(["the same", *said])
    assert len(said) in (0, len(failed)), said
    folder.play(Machine())
    assert folder.made() == usual, "the usual machine cannot go on"
    return f"{', '.join(failed)}: {' '.join(dict.fromkeys(said))}"


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--only", default="", metavar="WORDS", help="a regular expression, for the names of machines")
    options.add_argument("--report", action="store_true", help="a report and a workbook, too: most of the time")
    options.add_argument("python", nargs="*", default=[sys.executable])
    chosen = options.parse_args()
    commands = [*COMMANDS, REPORT] if chosen.report else COMMANDS
    with tempfile.TemporaryDirectory(prefix="talkover_locales_") as locales:
        Path(locales).chmod(0o755)
        for name in LOCALES:
            language, charset = name.split(".")
            make = ["/usr/bin/localedef", "-i", language, "-f", charset, f"{locales}/{name}"]
            subprocess.run(make, check=True)
        for python in chosen.python:
            usual: dict[str, list[str]] = {}
            for name, machine in MACHINES.items():
                if usual and not re.search(chosen.only, name):
                    continue
                folder = Folder(python, commands, Path(locales))
                try:
                    says = came_of(machine, folder, usual)
                    usual = usual or folder.made()
                except AssertionError as error:
                    says = f"**not as promised**: {error}"
                says = says.replace(str(folder.whole), "…")
                print(f"| {name} | {says} |", flush=True)  # noqa: T201
                shutil.rmtree(folder.whole)


if __name__ == "__main__":
    main()
