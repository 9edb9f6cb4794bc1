"""What each command does and prints. Each imports what it needs when it runs: `talkover --help` must answer at once."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .errors import CallsError, ConfigurationError, TalkoverError, ViewError
from .text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .load.dry_run import DryRun
    from .load.summary import Summary
    from .report.alerts import OpenFinding

DEMO_FOUNDED = date(2025, 1, 1)
"""The demo account's first day; what it holds on any later day is always the same."""
DEMO_SIZE = 60
SOMETHING_IS_OPEN = 3
"""What `talkover findings --fail` exits with then: no error of its own ends so."""
SHOWN_CHANGES = 40
"""Of each resource, in a dry run."""
MORE = ("agents", "calls")
"""What `talkover load --with` may name."""


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
    if options.more or options.demo:
        arguments |= {resource: resource in options.more for resource in MORE}
    if options.calls_since:
        arguments["calls_since"] = options.calls_since
    if options.dry_run:
        return _try(options, arguments)
    try:
        if options.demo:
            summary = _load_demo(options, arguments)
        elif options.weeks:
            raise ConfigurationError("--weeks plays the history of the demo account: it needs --demo")
        else:
            summary = load_account(**arguments, observed_at=options.observed_at)
    except (CallsError, ViewError) as error:
        _print(error.summary, options.json)
        raise
    _print(summary, options.json)
    return 0


def _try(options: argparse.Namespace, arguments: dict[str, Any]) -> int:
    """Prints what a load would do; raises what it would end in."""
    from .load.dry_run import dry_run

    if options.demo or options.weeks:
        raise ConfigurationError("--dry-run is of your account: it takes neither --demo nor --weeks")
    del arguments["progress"]
    found = dry_run(**arguments, observed_at=options.observed_at)
    print(json.dumps(found.as_dict()) if options.json else _would_change(found))
    if found.refused:
        raise found.refused
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
            "caller_key": "the demo's is no secret",
            "create_views": True,
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
    for file in filter(None, (options.out, options.xlsx)):
        print(visible(str(file.resolve())))
    return 0


def views(options: argparse.Namespace) -> int:
    """Create the views again without loading, or print them."""
    if options.print is not None:
        from .load.failures import translate_errors
        from .views import configured_thresholds, view_names, view_sql

        with translate_errors():
            thresholds = configured_thresholds()
        made = (view_sql(name, options.print, thresholds=thresholds) for name in view_names())
        print(";\n\n".join(made), end=";\n")
        return 0
    from .load.load import create_views_alone
    from .load.pipeline import DEMO_PIPELINE, PIPELINE

    pipeline_name = DEMO_PIPELINE if options.demo else PIPELINE
    views = create_views_alone(options.destination, options.dataset, pipeline_name)
    print("\n".join(views.made))
    for note in views.notes:
        print(visible(f"talkover: {note}"), file=sys.stderr)
    if views.failed:
        raise ViewError(views.failed)
    return 0


def dbt(options: argparse.Namespace) -> int:
    """Write a dbt package of the views: models, sources, tests and descriptions."""
    from dlt import Schema

    from .dbt.package import Package
    from .load.failures import translate_errors
    from .load.pipeline import open_pipeline
    from .load.settings import defaults
    from .report.alerts import configured_stale_hours
    from .sync.settings import configured_more
    from .views import configured_thresholds

    with translate_errors(), defaults:
        pipeline = open_pipeline(options.destination, options.dataset)
        package = Package(
            dialect=options.dialect or pipeline.destination.capabilities().sqlglot_dialect or "",
            dataset=Schema("talkover").naming.normalize_table_identifier(pipeline.dataset_name),
            stale_hours=configured_stale_hours(),
            more=options.more or configured_more(),
            thresholds=configured_thresholds(),
        )
    models = package.write(options.out)
    print(visible(f"{options.out.resolve()}: {len(models)} models, for {package.dialect}"))
    return 0


def findings(options: argparse.Namespace) -> int:
    """Print what is open: the findings of the report, changed prices and stale data."""
    from .load.pipeline import DEMO_PIPELINE, PIPELINE
    from .report.alerts import KINDS, open_findings, tell_slack

    kinds = options.kind or (None if options.fail else KINDS)
    found = open_findings(
        kinds,
        destination=options.destination,
        dataset=options.dataset,
        pipeline_name=DEMO_PIPELINE if options.demo else PIPELINE,
    )
    text = _open(found)
    as_json = {"open": len(found), "findings": [finding.as_dict() for finding in found]}
    print(json.dumps(as_json) if options.json else text)
    if not (options.fail and found):
        return 0
    tell_slack(text)
    return SOMETHING_IS_OPEN


def environment(options: argparse.Namespace) -> int:
    """Give an environment another name, or end it, in all tables: its history stays."""
    from .load.environments import rename_environment, retire_environment

    where = {"destination": options.destination, "dataset": options.dataset}
    if options.what == "rename":
        is_renamed = rename_environment(options.old, options.new, **where)
        done = f"{options.old} is {options.new} now, with its history. Call it so in your settings, too"
        nothing = f"nothing to do: nothing is called {options.old} any more, and {options.new} is there"
        print(visible(done if is_renamed else nothing))
        return 0
    ended = retire_environment(options.name, observed_at=options.observed_at, **where)
    if ended.at is None:
        print(visible(f"nothing to do: {options.name} has been retired already"))
    else:
        removed = f"{ended.numbers} numbers and {ended.agents} agents were removed"
        print(visible(f"{options.name} ended at {ended.at:%Y-%m-%d %H:%M:%S} UTC: {removed}, its history stays"))
    return 0


def copy(options: argparse.Namespace) -> int:
    """Copy all tables, with their history, into another destination, and prove that both hold the same."""
    from .load.copy import copy_account
    from .load.pipeline import DEMO_PIPELINE, PIPELINE
    from .load.progress import TerminalLine

    copied = copy_account(
        options.to,
        options.to_dataset,
        destination=options.destination,
        dataset=options.dataset,
        pipeline_name=DEMO_PIPELINE if options.demo else PIPELINE,
        progress=TerminalLine() if sys.stderr.isatty() else None,
        wait_seconds=options.wait,
    )
    if options.json:
        print(json.dumps(copied.as_dict()))
        return 0
    for table, rows in copied.tables.items():
        print(f"{table:<24}{rows:>11,} rows, the same in both")
    done = "was copied before" if copied.was_there else "copied"
    print(
        visible(f"{copied.source}: {done} to {copied.destination}, dataset {copied.dataset}; every value was compared")
    )
    return 0


def check(options: argparse.Namespace) -> int:
    """Try each token and the destination, without loading; or print the structure of what the API answers."""
    from .load.check import check_account
    from .load.shape import shape_of_api

    is_good = True
    for shape in shape_of_api() if options.shape else ():
        print("\n".join(shape.lines), flush=True)
        is_good &= shape.is_good
    for finding in () if options.shape else check_account(options.destination, options.dataset):
        print(visible(f"{'ok  ' if finding.is_good else 'FAIL'}  {finding.what}: {finding.says}"))
        is_good &= finding.is_good
    return 0 if is_good else 1


def sandbox(options: argparse.Namespace) -> int:
    """Serve a made-up Talkover API on this machine until Ctrl-C."""
    from .sandbox import FAULTS, Fault, Sandbox
    from .sandbox.served import accounts_of, environments_of, how_to_use
    from .sandbox.server import RateLimit

    if "list" in options.fault:
        print("\n".join(FAULTS))
        return 0
    try:
        faults = [Fault.parse(text) for text in options.fault]
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    environments = environments_of(options.environment)
    since = options.since.date() if options.since else None
    sandbox = Sandbox(
        accounts_of(environments, seed=options.seed, size=options.numbers, since=since),
        port=options.port,
        pagination=options.pagination,
        faults=faults,
        rate_limit=RateLimit(options.rate_limit),
    )
    try:
        with sandbox:
            print("\n".join(how_to_use(sandbox, options.numbers, environments)), flush=True)
            sandbox.stopped.wait()
    except OSError as error:
        raise TalkoverError(f"cannot serve on port {options.port}: {error.strerror}") from None
    except KeyboardInterrupt:
        print()
    return 0


def _open(found: Sequence[OpenFinding]) -> str:
    """Kind by kind: what it is and what to do, and a line for each."""
    from .money import digits

    lines: list[str] = []
    head = ""
    for finding in found:
        kind = f"{finding.finding}: {finding.description} {finding.action}"
        if kind != head:
            lines += ["", kind] if lines else [kind]
            head = kind
        cost = "" if finding.monthly_cost is None else digits(finding.monthly_cost, finding.currency)
        what = f"{finding.phone_number or '':<18}{finding.environment_key:<14}{cost:>12} {finding.currency or '':<4}"
        lines.append(f"  {what} {finding.evidence}")
    return "\n".join(map(visible, lines)) or "nothing is open"


def _would_change(found: DryRun) -> str:
    """A line for each change, field by field; of many the first."""
    lines = []
    for resource, changes in found.changes.items():
        counts = Counter(change.change_type for change in changes)
        figures = ", ".join(f"{counts[name]} {name}" for name in ("added", "changed", "removed"))
        lines.append(f"{resource}: {found.listed[resource]} listed; {figures}")
        for change in changes[:SHOWN_CHANGES]:
            row = " ".join(str(value) for value in change.row.values()) or change.id
            fields = ", ".join(f"{name}: {_value(old)} → {_value(new)}" for name, (old, new) in change.fields.items())
            lines.append(
                f"  {change.change_type:<8} {change.environment_key:<12} {row}{'  ' if fields else ''}{fields}"
            )
        if len(changes) > SHOWN_CHANGES:
            lines.append(f"  … and {len(changes) - SHOWN_CHANGES} more: --json prints all of them")
    return "\n".join(map(visible, [*lines, *found.notes, "nothing was loaded"]))


def _value(value: Any) -> str:
    return "null" if value is None else str(value)


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
        if counts is None and resource in MORE:
            continue
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
