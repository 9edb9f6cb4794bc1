"""The arguments of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from . import __version__, commands
from .instants import read_instant


def parser() -> argparse.ArgumentParser:
    """Of every command; `run` of what it parses is the command's function in `commands`."""
    whole = argparse.ArgumentParser(
        prog="talkover", description="Talkover phone numbers and release requests as tables."
    )
    whole.add_argument("--version", action="version", version=f"talkover {__version__}")
    parsers = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], int], short: str) -> argparse.ArgumentParser:
        made = parsers.add_parser(run.__name__, help=short, description=run.__doc__)
        made.set_defaults(run=run)
        return made

    load = command(commands.load, "load every number and request")
    check = command(commands.check, "try tokens and destination")
    report = command(commands.report, "the notebooks as one HTML file")
    views = command(commands.views, "create the views again, or print them")
    sandbox = command(commands.sandbox, "serve a made-up Talkover API")

    for one in (load, check, report, views):
        one.add_argument("--destination", help="a destination of dlt (default: as configured, else duckdb)")
        one.add_argument("--dataset", help="the schema of the tables (default: as configured, else talkover)")
    _add_to_load(load)
    _add_to_report(report)
    _add_to_views(views)
    _add_to_sandbox(sandbox)
    for one in (load, check, report, views, sandbox):
        one.add_argument("--debug", action="store_true", help="log everything and show tracebacks")
    return whole


def _add_to_load(load: argparse.ArgumentParser) -> None:
    load.add_argument("--demo", action="store_true", help="load a made-up account, into talkover_demo.duckdb")
    load.add_argument(
        "--weeks", type=_count, default=0, metavar="N", help="with --demo: a load for each of the last N weeks"
    )
    load.add_argument("--full-refresh", action="store_true", help="send every row again (a repair; drops nothing)")
    load.add_argument("--observed-at", metavar="INSTANT", type=_instant, help="date the changes, instead of now")
    load.add_argument("--allow-mass-removal", action="store_true", help="the account really lost most of its numbers")
    load.add_argument("--allow-lost-fields", action="store_true", help="the API really stopped returning a field")
    load.add_argument("--accept-incomplete", action="store_true", help="load an incomplete listing; remove nothing")
    load.add_argument(
        "--wait",
        type=_count,
        default=60,
        metavar="SECONDS",
        help="how long to wait for another load of the same pipeline or dataset (default: %(default)s)",
    )
    load.add_argument(
        "--without",
        action="append",
        metavar="RESOURCE",
        help="phone_numbers or release_requests: do not request it; rows already loaded stay",
    )
    load.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def _add_to_report(report: argparse.ArgumentParser) -> None:
    report.add_argument("--demo", action="store_true", help="of the demo account")
    report.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="(default: report.html)")
    report.add_argument("--xlsx", type=Path, metavar="FILE", help="write a workbook with the same figures, too")
    report.add_argument("--rates", type=Path, metavar="FILE", help="exchange rates, for one total across currencies")
    report.add_argument("--since", metavar="MONTH", help="such as 2026-01 (default: the last twelve months)")
    report.add_argument("--environment", metavar="KEY", help="one of several (default: all)")


def _add_to_views(views: argparse.ArgumentParser) -> None:
    views.add_argument("--demo", action="store_true", help="of the demo account")
    views.add_argument("--print", metavar="DIALECT", help="print them instead, for postgres, snowflake, bigquery …")


def _add_to_sandbox(sandbox: argparse.ArgumentParser) -> None:
    sandbox.add_argument("--port", type=_port, default=8080)
    sandbox.add_argument("--seed", type=int, default=1, help="which account; the same seed gives the same one")
    sandbox.add_argument("--numbers", type=_count, default=commands.DEMO_SIZE, help="how many phone numbers it holds")
    sandbox.add_argument("--pagination", choices=("meta", "links", "none"), default="meta")
    sandbox.add_argument("--rate-limit", type=_count, default=1000, help="requests a minute")
    sandbox.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[,endpoint=NAME][,page=N][,times=N]",
        help="answer wrongly; KIND 'list' lists the kinds",
    )


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
