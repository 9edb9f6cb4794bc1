"""The arguments of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from . import __version__, commands
from .instants import read_instant
from .text import visible


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def parser() -> argparse.ArgumentParser:
    """Of every command; `run` of what it parses is the command's function in `commands`."""
    whole = _Parser(prog="talkover", description="Talkover phone numbers and release requests as tables.")
    whole.add_argument("--version", action="version", version=f"talkover {__version__}")
    parsers = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], int], short: str) -> argparse.ArgumentParser:
        made = parsers.add_parser(run.__name__, help=short, description=run.__doc__)
        made.set_defaults(run=run)
        return made

    load = command(commands.load, "load every number and request")
    check = command(commands.check, "try tokens and destination")
    report = command(commands.report, "the notebooks as one HTML file")
    findings = command(commands.findings, "print what is open, for alerts")
    copy = command(commands.copy, "copy all tables into another destination")
    views = command(commands.views, "create the views again, or print them")
    dbt = command(commands.dbt, "write a dbt package of the views")
    environment = command(commands.environment, "rename an environment, or end it")
    sandbox = command(commands.sandbox, "serve a made-up Talkover API")

    of_environments = _add_to_environment(environment)
    for one in (load, check, report, findings, copy, views, dbt, *of_environments):
        one.add_argument("--destination", help="a destination of dlt (default: as configured, else duckdb)")
        one.add_argument("--dataset", help="the schema of the tables (default: as configured, else talkover)")
    check.add_argument(
        "--shape", action="store_true", help="print what the API answers as structure alone, to be sent to this project"
    )
    _add_to_load(load)
    _add_to_report(report)
    _add_to_findings(findings)
    _add_to_copy(copy)
    _add_to_views(views)
    _add_to_dbt(dbt)
    _add_to_sandbox(sandbox)
    for one in (load, check, report, findings, copy, views, dbt, sandbox, *of_environments):
        one.add_argument("--debug", action="store_true", help="log everything and show tracebacks")
    return whole


def _add_to_load(load: argparse.ArgumentParser) -> None:
    load.add_argument("--demo", action="store_true", help="load a made-up account, into talkover_demo.duckdb")
    load.add_argument(
        "--weeks", type=_count, default=0, metavar="N", help="with --demo: a load for each of the last N weeks"
    )
    load.add_argument("--dry-run", action="store_true", help="show what would change, field by field; load nothing")
    load.add_argument("--full-refresh", action="store_true", help="send every row again (a repair; drops nothing)")
    load.add_argument("--observed-at", metavar="INSTANT", type=_instant, help="date the changes, instead of now")
    load.add_argument("--allow-mass-removal", action="store_true", help="the account really lost most of its numbers")
    load.add_argument("--allow-lost-fields", action="store_true", help="the API really stopped returning a field")
    load.add_argument("--accept-incomplete", action="store_true", help="load an incomplete listing; remove nothing")
    _add_wait(load)
    load.add_argument(
        "--without",
        action="append",
        metavar="RESOURCE",
        help="phone_numbers or release_requests: do not request it; rows already loaded stay",
    )
    _add_with(load, "load it, too")
    load.add_argument(
        "--calls-since",
        type=_instant,
        metavar="DAY",
        help="the first day of calls to load (default: 90 days before the first run)",
    )
    load.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def _add_to_report(report: argparse.ArgumentParser) -> None:
    report.add_argument("--demo", action="store_true", help="of the demo account")
    report.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="(default: report.html)")
    report.add_argument("--xlsx", type=Path, metavar="FILE", help="write a workbook with the same figures, too")
    report.add_argument("--rates", type=Path, metavar="FILE", help="exchange rates, for one total across currencies")
    report.add_argument("--since", metavar="MONTH", help="such as 2026-01 (default: the last twelve months)")
    report.add_argument("--environment", metavar="KEY", help="one of several (default: all)")


def _add_to_findings(findings: argparse.ArgumentParser) -> None:
    findings.add_argument("--demo", action="store_true", help="of the demo account")
    findings.add_argument(
        "--kind", action="append", metavar="KIND", help="these alone (default: all; with --fail: the alerts)"
    )
    findings.add_argument("--fail", action="store_true", help="exit with 3 where any is open")
    findings.add_argument("--json", action="store_true", help="print them as one JSON object")


def _add_to_copy(copy: argparse.ArgumentParser) -> None:
    copy.add_argument("--to", required=True, metavar="DESTINATION", help="where to: a destination of dlt")
    copy.add_argument("--to-dataset", metavar="DATASET", help="the schema there (default: called like this one)")
    copy.add_argument("--demo", action="store_true", help="of the demo account")
    _add_wait(copy)
    copy.add_argument("--json", action="store_true", help="print what was copied as one JSON object")


def _add_wait(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--wait",
        type=_count,
        default=60,
        metavar="SECONDS",
        help="how long to wait for another load of the same pipeline or dataset (default: %(default)s)",
    )


def _add_to_views(views: argparse.ArgumentParser) -> None:
    views.add_argument("--demo", action="store_true", help="of the demo account")
    views.add_argument("--print", metavar="DIALECT", help="print them instead, for postgres, snowflake, bigquery …")


def _add_to_dbt(dbt: argparse.ArgumentParser) -> None:
    dbt.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty folder, or the package to update")
    dbt.add_argument("--dialect", help="postgres, snowflake, bigquery … (default: that of the destination)")
    _add_with(dbt, "it is loaded, too (default: as configured)")


def _add_with(command: argparse.ArgumentParser, says: str) -> None:
    command.add_argument(
        "--with",
        dest="more",
        type=_more,
        default=(),
        metavar="RESOURCES",
        help=f"{', '.join(commands.MORE)}: {says}",
    )


def _add_to_environment(environment: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    parsers = environment.add_subparsers(dest="what", required=True, metavar="WHAT")
    rename = parsers.add_parser("rename", help="give it another name, with its history")
    rename.add_argument("old", metavar="OLD", help="its name in the tables")
    rename.add_argument("new", metavar="NEW", help="the name that it has in your settings from now on")
    retire = parsers.add_parser("retire", help="remove what it holds; its history stays")
    retire.add_argument("name", metavar="NAME", help="its name in the tables")
    retire.add_argument("--observed-at", metavar="INSTANT", type=_instant, help="when it ended, instead of now")
    return [rename, retire]


def _add_to_sandbox(sandbox: argparse.ArgumentParser) -> None:
    sandbox.add_argument("--port", type=_port, default=8080)
    sandbox.add_argument("--seed", type=int, default=1, help="which account; the same seed gives the same one")
    sandbox.add_argument("--numbers", type=_count, default=commands.DEMO_SIZE, help="how many phone numbers it holds")
    sandbox.add_argument(
        "--environment",
        action="append",
        default=[],
        metavar="NAME=TOKEN",
        help="an account of its own and its token; again for another, or for another token of the same",
    )
    sandbox.add_argument("--since", type=_instant, metavar="DAY", help="the accounts' first day (default: 30 days ago)")
    sandbox.add_argument("--pagination", choices=("meta", "links", "none"), default="meta")
    sandbox.add_argument("--rate-limit", type=_count, default=1000, help="requests a minute")
    sandbox.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[,endpoint=NAME][,page=N][,times=N]",
        help="answer wrongly; KIND 'list' lists the kinds",
    )


def _more(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if strange := [name for name in names if name not in commands.MORE]:
        raise argparse.ArgumentTypeError(f"{strange[0]!r} is not one of {', '.join(commands.MORE)}")
    return names


def _instant(text: str) -> datetime:
    try:
        return read_instant(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)
