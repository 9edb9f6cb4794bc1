"""What each command does and prints. Each imports what it needs when it runs: `talkover --help` must answer at once."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError, TalkoverError, ViewError
from .text import visible

if TYPE_CHECKING:
    from .load.summary import Summary

DEMO_FOUNDED = date(2025, 1, 1)
"""The demo account's first day; what it holds on any later day is always the same."""
DEMO_SIZE = 60


def load(options: argparse.Namespace) -> int:
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


def report(options: argparse.Namespace) -> int:
    """Run the notebooks on what was loaded, and write them as one HTML file that needs no network."""
    try:
        from .report.account import Account
        from .report.rates import read_rates
        from .report.report import refuse_unwritable, write_report
        from .report.workbook import write_workbook
    except ImportError as error:
        raise ConfigurationError(
            f"{error.name} is missing. Run, in the project's folder: pip install '.[notebooks]'"
        ) from None
    from .load.pipeline import DEMO_PIPELINE, PIPELINE
    from .load.progress import show

    for file in filter(None, (options.out, options.xlsx)):
        refuse_unwritable(file)
    rates = read_rates(options.rates)
    account = Account(
        environment=options.environment,
        since=options.since,
        pipeline_name=DEMO_PIPELINE if options.demo else PIPELINE,
        destination=options.destination,
        dataset=options.dataset,
    )
    try:
        write_report(account, options.out, show if sys.stderr.isatty() else lambda _: None, rates=rates)
        if options.xlsx:
            write_workbook(account, options.xlsx)
    finally:
        if sys.stderr.isatty():
            show("")
    print(options.out.resolve())
    if options.xlsx:
        print(options.xlsx.resolve())
    return 0


def views(options: argparse.Namespace) -> int:
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


def check(options: argparse.Namespace) -> int:
    """Try each token and the destination, without loading."""
    from .load.check import check_account

    is_good = True
    for finding in check_account(options.destination, options.dataset):
        print(visible(f"{'ok  ' if finding.is_good else 'FAIL'}  {finding.what}: {finding.says}"))
        is_good &= finding.is_good
    return 0 if is_good else 1


def sandbox(options: argparse.Namespace) -> int:
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
            lines.append(f"{resource:<24}{'not requested':>14}")
            continue
        partly = "" if counts.complete else "   incomplete listing: nothing was removed"
        lines.append(f"{resource:<24}" + "".join(f"{getattr(counts, figure):>11,}" for figure in figures) + partly)
    lines += ["", f"{'monthly cost':<24}{'numbers':>11}{'cost':>16}"]
    for rate in summary.run_rate:
        group = visible(f"{rate.environment_key} {rate.currency or '(unknown currency)'}")
        lines.append(f"{group:<24}{rate.numbers:>11,}{digits(rate.monthly_cost, rate.currency):>16}")
    where = visible(f"{summary.destination}, dataset {summary.dataset}")
    pace = f"{summary.requests} requests, at most {summary.requests_a_minute} a minute, {summary.seconds} s"
    return "\n".join([*lines, "", *summary.notes, f"{where}: {pace}"])
