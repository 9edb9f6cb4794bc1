"""The command line: `talkover load`, `check`, `report`, `views` and `sandbox`. Imports dlt only once it is needed."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import ConfigurationError, TalkoverError, ViewError
from .instants import read_instant
from .text import visible

if TYPE_CHECKING:
    from .load.summary import Summary

DEMO_FOUNDED = date(2025, 1, 1)
"""The demo account's first day; what it holds on any later day is always the same."""
DEMO_SIZE = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 2 wrong usage or configuration, 1 anything else."""
    _open_closed_streams()
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter is no failure
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")  # dlt starts it when it is first imported
    if options.debug:
        os.environ.setdefault("RUNTIME__LOG_LEVEL", "INFO")
    log = logging.StreamHandler()
    log.setFormatter(_OneLine("talkover: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if options.debug else logging.WARNING, handlers=[log])
    try:
        code = int(options.run(options))
        sys.stdout.flush()
    except TalkoverError as error:
        if options.debug:
            _print_traceback()
        print(f"talkover: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `talkover … | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # the last line of defence: one line for the log of a schedule
        if options.debug:
            _print_traceback()
        if isinstance(error, OSError):  # a full disk, a folder that may not be written to
            says = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        else:
            says = f"{type(error).__name__}: {error}. This is a bug: please report it, with --debug"
        print(visible(f"talkover: {says}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("talkover: interrupted; the next run starts from what the destination holds", file=sys.stderr)
        return 130
    return code


def _print_traceback() -> None:
    print("\n".join(map(visible, traceback.format_exc().splitlines())), file=sys.stderr)


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        return visible(super().formatMessage(record))


def _open_closed_streams() -> None:
    """A service may be started without them: the next file or socket would get the number of one, and be written to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115  until the process ends
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="talkover", description="Talkover phone numbers and release requests as tables."
    )
    parser.add_argument("--version", action="version", version=f"talkover {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    load = commands.add_parser("load", help="load every number and request", description=_load.__doc__)
    _add_destination(load)
    load.add_argument("--demo", action="store_true", help="load a made-up account, into talkover_demo.duckdb")
    load.add_argument(
        "--weeks", type=_count, default=0, metavar="N", help="with --demo: a load for each of the last N weeks"
    )
    load.add_argument("--full-refresh", action="store_true", help="send every row again (a repair; drops nothing)")
    load.add_argument("--observed-at", metavar="INSTANT", type=_instant, help="date the changes, instead of now")
    load.add_argument("--allow-mass-removal", action="store_true", help="the account really lost most of its numbers")
    load.add_argument("--allow-lost-fields", action="store_true", help="the API really stopped telling a field")
    load.add_argument(
        "--accept-incomplete", action="store_true", help="load a listing that never adds up; remove nothing"
    )
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
        help="phone_numbers or release_requests: do not ask for them; what is loaded of them stays",
    )
    load.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    load.set_defaults(run=_load)

    check = commands.add_parser("check", help="try tokens and destination", description=_check.__doc__)
    _add_destination(check)
    check.set_defaults(run=_check)

    report = commands.add_parser("report", help="the notebooks as one HTML file", description=_report.__doc__)
    _add_destination(report)
    report.add_argument("--demo", action="store_true", help="of the demo account")
    report.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="(default: report.html)")
    report.add_argument("--since", metavar="MONTH", help="such as 2026-01 (default: the last twelve months)")
    report.add_argument("--environment", metavar="KEY", help="one of several (default: all)")
    report.set_defaults(run=_report)

    views = commands.add_parser("views", help="create the views again, or print them", description=_views.__doc__)
    _add_destination(views)
    views.add_argument("--demo", action="store_true", help="of the demo account")
    views.add_argument("--print", metavar="DIALECT", help="print them instead, for postgres, snowflake, bigquery …")
    views.set_defaults(run=_views)

    sandbox = commands.add_parser("sandbox", help="serve a made-up Talkover API", description=_sandbox.__doc__)
    sandbox.add_argument("--port", type=_port, default=8080)
    sandbox.add_argument("--seed", type=int, default=1, help="which account; the same seed gives the same one")
    sandbox.add_argument("--numbers", type=_count, default=DEMO_SIZE, help="how many phone numbers it holds")
    sandbox.add_argument("--pagination", choices=("meta", "links", "none"), default="meta")
    sandbox.add_argument("--rate-limit", type=_count, default=1000, help="requests a minute")
    sandbox.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[,endpoint=NAME][,page=N][,times=N]",
        help="answer wrongly; KIND 'list' lists the kinds",
    )
    sandbox.set_defaults(run=_sandbox)

    for command in (load, check, report, views, sandbox):
        command.add_argument("--debug", action="store_true", help="log everything and show tracebacks")
    return parser


def _add_destination(command: argparse.ArgumentParser) -> None:
    command.add_argument("--destination", help="a destination of dlt (default: as configured, else duckdb)")
    command.add_argument("--dataset", help="the schema of the tables (default: as configured, else talkover)")


def _load(options: argparse.Namespace) -> int:
    """Load every phone number and release request, and print what changed."""
    from .load.load import load_account
    from .load.progress import TerminalLine

    arguments: dict[str, Any] = {
        "destination": options.destination,
        "dataset": options.dataset,
        "progress": TerminalLine() if sys.stderr.isatty() else None,
        "wait_seconds": options.wait,
        "full_refresh": options.full_refresh,
        "allow_mass_removal": options.allow_mass_removal,
        "allow_lost_fields": options.allow_lost_fields,
        "accept_incomplete": options.accept_incomplete,
    }
    if options.without or options.demo:  # else as configured
        arguments["without"] = options.without
    try:
        if options.demo:
            summary = _load_demo(options, arguments)
        elif options.weeks:
            raise ConfigurationError("--weeks plays the history of the demo account: it needs --demo")
        else:
            summary = load_account(**arguments, observed_at=options.observed_at)
    except ViewError as error:
        _print(error.summary, options.json)
        raise
    _print(summary, options.json)
    return 0


def _load_demo(options: argparse.Namespace, arguments: dict[str, Any]) -> Summary:
    """Loads the demo account as it is on that day, or week by week before it with a line for each; the last summary."""
    from .load.load import load_account
    from .load.pipeline import DEMO_PIPELINE
    from .sandbox import Account, Sandbox

    end = options.observed_at or datetime.now(timezone.utc)
    if (end.date() - DEMO_FOUNDED).days < 7 * options.weeks:
        raise ConfigurationError(
            f"the demo account begins on {DEMO_FOUNDED}: give a later --observed-at or fewer --weeks"
        )
    instants = [end - timedelta(weeks=week) for week in range(options.weeks, 0, -1)] or [end]
    account = Account(size=DEMO_SIZE, founded=DEMO_FOUNDED)
    with Sandbox(account) as sandbox:
        arguments |= {
            "api_token": sandbox.token,
            "base_url": sandbox.base_url,
            "environments": {},
            "environment_key": "demo",
            "pipeline_name": DEMO_PIPELINE,
        }
        for instant in instants:
            account.advance(instant.date())
            summary = load_account(**arguments, observed_at=instant)
            if options.weeks:
                print(_line(summary), file=sys.stderr if options.json else sys.stdout, flush=True)
    return summary


def _report(options: argparse.Namespace) -> int:
    """Run the notebooks on what was loaded, and write them as one HTML file that needs no network."""
    try:
        from .report.analysis import Account
        from .report.report import refuse_unwritable, write_report
    except ImportError as error:
        raise ConfigurationError(
            f"{error.name} is missing. Run, in the project's folder: pip install '.[notebooks]'"
        ) from None
    from .load.pipeline import DEMO_PIPELINE, PIPELINE
    from .load.progress import show

    refuse_unwritable(options.out)
    account = Account(
        environment=options.environment,
        since=options.since,
        pipeline_name=DEMO_PIPELINE if options.demo else PIPELINE,
        destination=options.destination,
        dataset=options.dataset,
    )
    try:
        write_report(account, options.out, show if sys.stderr.isatty() else lambda _: None)
    finally:
        if sys.stderr.isatty():
            show("")
    print(options.out.resolve())
    return 0


def _views(options: argparse.Namespace) -> int:
    """Create the views again without loading, or print them."""
    if options.print is not None:
        from .views import view_names, view_sql

        print(";\n\n".join(view_sql(name, options.print) for name in view_names()), end=";\n")
        return 0
    from .load.load import create_views_alone
    from .load.pipeline import DEMO_PIPELINE, PIPELINE

    pipeline_name = DEMO_PIPELINE if options.demo else PIPELINE
    views = create_views_alone(options.destination, options.dataset, pipeline_name)
    print("\n".join(views.made))
    for note in views.notes:
        print(f"talkover: {note}", file=sys.stderr)
    if views.failed:
        raise ViewError(views.failed)
    return 0


def _check(options: argparse.Namespace) -> int:
    """Try each token and the destination, without loading."""
    from .load.check import check_account

    is_good = True
    for finding in check_account(options.destination, options.dataset):
        print(visible(f"{'ok  ' if finding.is_good else 'FAIL'}  {finding.what}: {finding.says}"))
        is_good &= finding.is_good
    return 0 if is_good else 1


def _sandbox(options: argparse.Namespace) -> int:
    """Serve a made-up Talkover API on this machine until Ctrl-C."""
    from .sandbox import FAULTS, Account, Fault, Sandbox
    from .sandbox.server import RateLimit

    if "list" in options.fault:
        print("\n".join(FAULTS))
        return 0
    try:
        faults = [Fault.parse(text) for text in options.fault]
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    sandbox = Sandbox(
        Account(options.seed, options.numbers),
        port=options.port,
        pagination=options.pagination,
        faults=faults,
        rate_limit=RateLimit(options.rate_limit),
    )
    try:
        with sandbox:
            print(f"serving {options.numbers} numbers; Ctrl-C ends it. In another shell:")
            print(f"  export SOURCES__TALKOVER__BASE_URL={sandbox.base_url} TALKOVER_TOKEN={sandbox.token}")
            print("  talkover load")
            print(
                f"  curl -X POST 'http://127.0.0.1:{sandbox.port}/sandbox/advance?days=30'  # lives a month", flush=True
            )
            sandbox.stopped.wait()
    except OSError as error:
        raise TalkoverError(f"cannot serve on port {options.port}: {error.strerror}") from None
    except KeyboardInterrupt:
        print()
    return 0


def _instant(text: str) -> datetime:
    try:
        return read_instant(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)


def _print(summary: Summary, as_json: bool) -> None:
    print(json.dumps(summary.as_dict()) if as_json else _table(summary))


def _line(summary: Summary) -> str:
    """A load of many, in one line."""
    figures = [
        f"{sum(getattr(counts, figure) for counts in summary.resources.values() if counts):>4} {figure}"
        for figure in ("added", "changed", "removed")
    ]
    return f"{summary.observed_at:%Y-%m-%d} {' '.join(figures)}"


def _table(summary: Summary) -> str:
    from .money import digits

    figures = ("listed", "added", "changed", "removed", "unchanged")
    lines = [f"{'':<24}" + "".join(f"{figure:>11}" for figure in figures)]
    for resource, counts in summary.resources.items():
        if counts is None:
            lines.append(f"{resource:<24}{'not asked':>11}")
            continue
        partly = "" if counts.complete else "   not the whole list: nothing was removed"
        lines.append(f"{resource:<24}" + "".join(f"{getattr(counts, figure):>11,}" for figure in figures) + partly)
    lines += ["", f"{'a month':<24}{'numbers':>11}{'cost':>16}"]
    for rate in summary.run_rate:
        group = visible(f"{rate.environment_key} {rate.currency or '(no currency)'}")
        lines.append(f"{group:<24}{rate.numbers:>11,}{digits(rate.monthly_cost, rate.currency):>16}")
    where = visible(f"{summary.destination}, dataset {summary.dataset}")
    pace = f"{summary.requests} requests, at most {summary.requests_a_minute} a minute, {summary.seconds} s"
    return "\n".join([*lines, "", *summary.notes, f"{where}: {pace}"])


if __name__ == "__main__":
    sys.exit(main())
