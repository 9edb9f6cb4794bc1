"""The command line as a person and a scheduler use it: messages, exit codes, what is printed where."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests

from talkover import Summary, TalkoverError
from talkover.cli import main
from talkover.client import PHONE_NUMBERS, RELEASE_REQUESTS
from talkover.load import Counts, RunRate
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.faults import FAULTS, HTML, Answer

from .conftest import TODAY, Connector, at
from .listings import fetch

INTERRUPTED = "talkover: interrupted; the next run starts from what the destination holds\n"
INVALID = {"success": False, "message": "The given data was invalid.", "errors": {"type": ["It is invalid."]}}
SUMMARY = Summary(
    run_id="1",
    observed_at=datetime(2026, 3, 15, tzinfo=timezone.utc),
    destination="numbers.duckdb",
    dataset="talkover",
    resources={
        "phone_numbers": Counts(listed=5, added=2, changed=1, removed=1, unchanged=2, complete=True),
        "release_requests": None,
    },
    run_rate=[RunRate("default", "KWD", 3, Decimal("3.3750")), RunRate("default", "JPY", 2, Decimal("110.0000"))],
    requests=1,
    requests_a_minute=1,
    seconds=0.5,
)


pytestmark = pytest.mark.duckdb  # the destination does not matter here


@pytest.fixture
def configured(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, as the vendor's variable and dlt's standard ones name it."""
    monkeypatch.setenv("TALKOVER_TOKEN", sandbox.token)
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
    return sandbox


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of every load that the command line asks for: none is made, and each ends in SUMMARY."""
    loads = []

    def load(**arguments: Any) -> Summary:
        loads.append(arguments)
        return replace(SUMMARY, observed_at=arguments["observed_at"] or SUMMARY.observed_at)

    monkeypatch.setattr("talkover.load.load_account", load)
    return loads


@contextlib.contextmanager
def own_log() -> Iterator[None]:
    """A log as a new process has it: the command line adds its handler where there is none, and pytest has some."""
    root = logging.getLogger()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(root, "handlers", [])
        patch.setattr(root, "level", root.level)
        yield


def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """A cold process, as cron starts it."""
    command = [sys.executable, "-m", "talkover", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **settings)


# load


def test_load_prints_a_table_and_exits_0(configured: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    with own_log():
        assert main(["load"]) == 0
    out, err = capsys.readouterr()
    assert err == "", "quiet where nobody watches"
    lines = out.splitlines()
    assert lines[0].split() == ["listed", "added", "changed", "removed", "unchanged"]
    assert lines[1].split() == ["phone_numbers", "57", "57", "0", "0", "0"]
    assert any(line.startswith("default USD") for line in lines)
    assert lines[-1].startswith(f"{Path.cwd()}/talkover_pipeline.duckdb, dataset talkover: 2 requests, ")


def test_money_is_shown_in_the_digits_of_its_currency(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["default", "JPY", "2", "110"] in lines
    assert ["default", "KWD", "3", "3.375"] in lines


@pytest.mark.slow
def test_a_service_that_has_no_streams_loads(configured: Sandbox, connector: Connector) -> None:
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "talkover", "load"]
    assert subprocess.run(command, check=False).returncode == 0
    assert len(connector.rows("phone_numbers")) == 57


def test_output_that_cannot_be_written_is_one_line() -> None:
    command = [sys.executable, "-m", "talkover", "sandbox", "--fault", "list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "talkover: No space left on device\n")


def test_json_is_one_object_on_the_last_line_with_the_same_figures(
    configured: Sandbox,
    account: Account,
    loaded: Connector,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configured.faults = [Fault("500")]
    with own_log():
        assert main(["load", "--json"]) == 0
    out, err = capsys.readouterr()
    summary = json.loads(out.splitlines()[-1])
    assert summary["resources"]["phone_numbers"] == {
        "listed": 57,
        "added": 0,
        "changed": 0,
        "removed": 0,
        "unchanged": 57,
        "complete": True,
    }
    usd = [row["monthly_renewal_cost"] for row in account.numbers.values() if row["currency"] == "USD"]
    assert [float(rate["monthly_cost"]) for rate in summary["run_rate"] if rate["currency"] == "USD"] == [
        round(sum(usd), 2)
    ]
    assert summary["requests"] == 3
    assert "answered 500: Internal server error.; asking again" in err


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_gone_at_the_end(
    configured: Sandbox, loaded: Connector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["load"]) == 0
    shown = terminal.getvalue()
    assert "Extract: phone-numbers pages 1 of 1" in shown
    assert "Load: Jobs" in shown
    assert shown.split("\r")[-2].strip() == "", "the line is wiped"
    assert "pages" not in capsys.readouterr().out


def read_to_the_end(terminal: int) -> str:
    """A terminal whose other end is closed gives what it has, then an error."""
    shown = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    return shown.decode()


@pytest.mark.parametrize(
    ("flags", "reaches"),
    [
        ([], {"destination": None, "dataset": None, "observed_at": None, "wait_seconds": 60}),
        (["--destination", "postgres"], {"destination": "postgres"}),
        (["--dataset", "numbers"], {"dataset": "numbers"}),
        (["--observed-at", "2026-02-01"], {"observed_at": at("2026-02-01T00:00:00")}),
        (["--wait", "5"], {"wait_seconds": 5}),
        (["--without", "phone_numbers"], {"without": ["phone_numbers"]}),
    ],
)
def test_a_flag_reaches_the_load(flags: list[str], reaches: dict[str, Any], asked: list[dict[str, Any]]) -> None:
    assert main(["load", *flags]) == 0
    assert asked[0].items() >= reaches.items()


@pytest.mark.parametrize("flag", ["full_refresh", "allow_mass_removal", "allow_lost_fields", "accept_incomplete"])
def test_what_may_be_dangerous_is_done_only_where_a_flag_says_so(flag: str, asked: list[dict[str, Any]]) -> None:
    assert main(["load"]) == 0
    assert main(["load", f"--{flag}".replace("_", "-")]) == 0
    assert [arguments[flag] for arguments in asked] == [False, True]


# The demo


def test_the_demo_needs_no_account_and_stays_out_of_the_file_and_warehouse_that_are_configured(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(workspace / "real.duckdb"))
    monkeypatch.setenv("PIPELINES__DESTINATION_TYPE", "postgres")
    assert main(["load", "--demo"]) == 0
    assert [path.name for path in workspace.glob("*.duckdb")] == ["talkover_demo.duckdb"]
    with duckdb.connect(str(workspace / "talkover_demo.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) > 30 from talkover.phone_numbers").fetchone() == (True,)


def test_weeks_of_the_demo_are_loaded_one_by_one(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", "--demo", "--weeks", "3", "--observed-at", "2026-03-01"]) == 0
    days = ["2026-02-08", "2026-02-15", "2026-02-22"]
    assert [f"{arguments['observed_at']:%Y-%m-%d}" for arguments in asked] == days
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [[day, "2", "added", "1", "changed", "1", "removed"] for day in days]
    assert lines[3].split() == ["listed", "added", "changed", "removed", "unchanged"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--weeks", "3"], "it needs --demo"),
        (["--demo", "--weeks", "9999999999"], "the demo account begins on 2025-01-01"),
    ],
)
def test_weeks_that_nobody_lived_exit_2(flags: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", *flags]) == 2
    assert says in capsys.readouterr().err


def test_the_demo_lives_and_is_the_same_whenever_a_day_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = []

    def load(api_token: str, base_url: str, **_: Any) -> Summary:
        lists.append(numbers_of(base_url, api_token))
        return SUMMARY

    monkeypatch.setattr("talkover.load.load_account", load)
    for instant in ("2026-02-01", "2026-02-01T12:00:00", "2026-03-01"):
        assert main(["load", "--demo", "--observed-at", instant]) == 0
    assert lists[0] == lists[1] != lists[2]


@pytest.mark.parametrize("command", ["load", "check"])
@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("SOURCES__TALKOVER__PER_PAGE", "abc", "`per_page` cannot be coerced"),
        ("SOURCES__TALKOVER__ENVIRONMENTS", '{"a": 5}', "token of 'a' is no text"),
        ("SOURCES__TALKOVER__ENVIRONMENTS", '{"": "talq_x"}', "'' cannot be the name of an environment"),
        ("SOURCES__TALKOVER__ENVIRONMENT_KEY", " ", "' ' cannot be the name of an environment"),
        ("SOURCES__TALKOVER__BASE_URL", "http://[bad", "is no https address"),
        ("PIPELINES__DATASET_NAME", " ", "' ' is no name of a dataset"),
    ],
)
def test_a_setting_that_cannot_work_exits_2_with_one_line(
    setting: str,
    value: str,
    says: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TALKOVER_TOKEN", "talq_x")
    monkeypatch.setenv(setting, value)
    assert main([command]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "other", "ends_it", "code", "says"),
    [
        (1, [], signal.SIGINT, 130, INTERRUPTED),
        (2, [], signal.SIGINT, 130, INTERRUPTED),
        (2, [], signal.SIGTERM, -signal.SIGTERM, ""),
        (2, [Fault("401", page=3)], None, 1, "answered 401: Unauthorized"),
    ],
    ids=["Ctrl-C on page 1", "Ctrl-C on page 2", "SIGTERM on page 2", "an error on page 3"],
)
def test_a_page_that_hangs_does_not_keep_the_process_alive(
    page: int, other: list[Fault], ends_it: signal.Signals | None, code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "60")
    with Sandbox(Account(size=250), faults=[Fault("hang", page=page, times=9), *other]) as sandbox:
        monkeypatch.setenv("TALKOVER_TOKEN", sandbox.token)
        monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
        command = [sys.executable, "-m", "talkover", "load"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as load:
            while load.poll() is None and all(request.query["page"] != str(page) for request in sandbox.seen):
                time.sleep(0.02)
            asked = time.monotonic()
            if ends_it:
                load.send_signal(ends_it)
            _, err = load.communicate(timeout=50)
            seconds = time.monotonic() - asked
    assert load.returncode == code
    assert seconds < 10, "the time-out is a minute"
    assert says in err
    assert err.count("\n") <= 1


# --without


def test_a_resource_that_is_left_out_is_shown_as_not_asked(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load"]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    assert lines["release_requests"] == ["not", "asked"]
    assert len(lines["phone_numbers"]) == 5


def test_a_resource_that_is_left_out_is_null_in_json(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["resources"]
    assert shown["release_requests"] is None
    assert shown["phone_numbers"]["listed"] == 5


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["numbers"], "talkover: without names 'numbers': it may leave out phone_numbers or release_requests\n"),
        ([""], "talkover: without names '': it may leave out phone_numbers or release_requests\n"),
        (
            ["phone_numbers", "release_requests"],
            "talkover: without names phone_numbers and release_requests: nothing would be left to load\n",
        ),
    ],
)
def test_what_cannot_be_left_out_exits_2(
    names: list[str], says: str, configured: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", *(argument for name in names for argument in ("--without", name))]) == 2
    assert capsys.readouterr().err == says
    assert configured.seen == []


def test_what_the_configuration_leaves_out_is_not_asked_by_load_nor_check(
    configured: Sandbox, loaded: Connector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__WITHOUT", '["release_requests"]')
    assert main(["load"]) == 0
    assert "release_requests          not asked" in capsys.readouterr().out
    assert main(["check"]) == 0
    assert (
        "ok    environment default: /phone-numbers/release-requests: not asked, as configured with `without`\n"
        in capsys.readouterr().out
    )
    assert {request.endpoint for request in configured.seen} == {"phone-numbers"}


def test_the_demo_leaves_out_what_its_flag_says_and_not_what_is_configured(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__WITHOUT", '["release_requests"]')
    assert main(["load", "--demo", "--without", "phone_numbers", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["resources"]
    assert shown["phone_numbers"] is None
    assert shown["release_requests"] is not None


# Exit codes and messages.


def test_a_missing_token_exits_2_and_says_where_to_put_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("talkover: no API token for environment 'default': set TALKOVER_TOKEN")
    assert said.count("\n") == 1


def test_plain_http_to_a_foreign_host_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TALKOVER_TOKEN", "talq_x")
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", "http://api.example.com/v1")
    assert main(["load"]) == 2
    assert "plain http" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["load", "--no-such"],
        ["load", "--observed-at", "soon"],
        ["sandbox", "--port", "99999"],
        ["sandbox", "--numbers", "-1"],
        ["nonsense"],
        [],
    ],
)
def test_wrong_usage_exits_2(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    assert "usage: talkover" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["load", "check", "views"])
def test_a_destination_that_dlt_does_not_know_exits_2(
    command: str, configured: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--destination", "postgresql"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("talkover: 'postgresql' is no destination that dlt knows. Take duckdb, postgres or ")
    assert said.count("\n") == 1
    assert configured.seen == []


@pytest.mark.parametrize("command", ["load", "check"])
def test_a_duckdb_file_called_like_the_dataset_is_refused_before_anything_is_fetched(
    command: str,
    configured: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workspace: Path,
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(workspace / "Talkover.duckdb"))
    assert main([command]) == 2
    said = capsys.readouterr().err
    assert "DuckDB cannot keep dataset 'talkover' in a file of the same name (Talkover.duckdb)" in said
    assert configured.seen == []
    assert main(["check", "--dataset", "numbers"]) == 0


BAD_ANSWERS = [
    pytest.param(Answer(200, HTML), "an HTML page ('Server Error')", id="HTML with 200"),
    pytest.param(FAULTS["success-false"], "success: false (The environment is being migrated.)", id="success false"),
    pytest.param(FAULTS["no-data"], "no 'data'", id="no data"),
    pytest.param(FAULTS["null-data"], "null as 'data' instead of a list", id="data null"),
    pytest.param(Answer(200, {"data": "none"}), "text as 'data' instead of a list", id="data text"),
    pytest.param(Answer(200, {"data": {"id": "x"}}), "an object as 'data' instead of a list", id="data an object"),
    pytest.param(Answer(200, [{"id": "x"}]), "a list instead of an object with 'data'", id="list at the top"),
    pytest.param(
        Answer(200, {"data": [{"id": "x"}, 7]}), "a number as row 1 of 'data' instead of an object", id="rows"
    ),
    pytest.param(
        Answer(200, {"data": [], "meta": {"total": "many"}}), "text as meta.total instead of a count", id="meta"
    ),
    pytest.param(FAULTS["empty"], "an empty body", id="empty body"),
    pytest.param(FAULTS["400"], "answered 400: Bad request.", id="400"),
    pytest.param(FAULTS["401"], "answered 401: Unauthorized. The token is wrong", id="401"),
    pytest.param(FAULTS["401-expired"], "answered 401: TOKEN_EXPIRED; The token has expired.", id="401 expired"),
    pytest.param(FAULTS["403"], "answered 403: INSUFFICIENT_PERMISSIONS; This token may not", id="403"),
    pytest.param(FAULTS["404"], "answered 404: Not found.", id="404"),
    pytest.param(Answer(422, INVALID), "answered 422: The given data was invalid.; type: It is invalid.", id="422"),
]


@pytest.mark.parametrize(("answer", "complaint"), BAD_ANSWERS)
@pytest.mark.parametrize("endpoint", [PHONE_NUMBERS, RELEASE_REQUESTS])
def test_a_bad_answer_is_an_error_of_one_line(endpoint: str, answer: Answer, complaint: str, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("answer", endpoint, answer=answer)]
    with pytest.raises(TalkoverError) as refused:
        fetch(sandbox, endpoint)
    says = str(refused.value)
    assert says.startswith(f"GET /{endpoint} (environment 'default')")
    assert complaint in says
    assert "\n" not in says


def test_an_error_is_the_last_line_and_exit_1_and_loses_nothing(
    configured: Sandbox, loaded: Connector, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the requests, once the numbers have come."""
    before = loaded.state()
    configured.faults = [Fault("success-false", RELEASE_REQUESTS, times=99)]
    with own_log():
        assert main(["load"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith(f"talkover: GET /{RELEASE_REQUESTS} (environment 'default')")
    assert loaded.state() == before
    configured.faults = []
    assert main(["load"]) == 0


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")  # else it is set for the whole process
    with own_log():
        assert main(["load", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.slow
def test_debug_shows_what_dlt_logs(configured: Sandbox) -> None:
    done = run("load", "--debug")
    assert done.returncode == 0
    assert "|dlt|" in done.stderr


def test_an_empty_folder_is_enough_and_sends_no_telemetry(configured: Sandbox, workspace: Path) -> None:
    """Nothing of the shipped .dlt/config.toml is here."""
    environment = {name: value for name, value in os.environ.items() if name != "RUNTIME__DLTHUB_TELEMETRY"}
    check = (
        "import sys; from talkover.cli import main; code = main(['check']); "
        "import dlt; print(code, dlt.current.run_context().runtime_config.dlthub_telemetry)"
    )
    done = subprocess.run([sys.executable, "-c", check], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"


# check


def test_check_says_what_each_token_reaches_and_loads_nothing(
    configured: Sandbox, account: Account, capsys: pytest.CaptureFixture[str], workspace: Path
) -> None:
    assert main(["check"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok    environment default: /phone-numbers: the token works; 57 numbers on 1 page",
        "ok    environment default: /phone-numbers/release-requests: "
        f"the token works; {len(account.requests)} requests on 1 page",
        f"ok    destination duckdb: {workspace}/talkover_pipeline.duckdb will be made by the first load",
    ]
    assert list(workspace.glob("*.duckdb")) == []
    assert len(configured.seen) == 2


def test_check_tells_of_the_last_load(
    configured: Sandbox, loaded: Connector, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = loaded.rows("load_runs")
    assert main(["check"]) == 0
    said = f"answers; dataset 'talkover' was last loaded {run['observed_at']:%Y-%m-%d %H:%M} UTC"
    assert said in capsys.readouterr().out


def test_check_takes_a_dataset_that_somebody_has_made_for_it(
    configured: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    with duckdb.connect("talkover_pipeline.duckdb") as file:
        file.execute("create schema talkover")
    assert main(["check"]) == 0
    assert "answers; dataset 'talkover' holds no load yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pagination", "says"),
    [
        ("none", "at least 57 numbers: the answer tells nothing of other pages"),
        ("links", "at least 20 numbers, on several pages"),
        ("total", "57 numbers on several pages"),
        ("nested", "57 numbers on 3 pages"),
    ],
)
def test_check_says_whether_the_answer_is_paginated(
    pagination: Any, says: str, configured: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configured.pagination = pagination
    monkeypatch.setenv("SOURCES__TALKOVER__PER_PAGE", "20")
    assert main(["check"]) == 0
    assert says in capsys.readouterr().out


def test_check_goes_through_every_environment_and_fails_if_one_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox({"talq_live": Account(size=3, founded=TODAY)}) as sandbox:
        monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
        monkeypatch.setenv("SOURCES__TALKOVER__ENVIRONMENTS", '{"live": "talq_live", "test": "talq_gone"}')
        assert main(["check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["ok  ", "ok  ", "FAIL", "FAIL", "ok  "]
    assert "answered 401: Unauthorized" in lines[2]
    assert "talq_gone" not in "".join(lines)


@pytest.mark.parametrize("pages", ["meta", "none"])
def test_check_says_that_a_token_is_of_another_account(
    pages: Any,
    configured: Sandbox,
    loaded: Connector,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__PER_PAGE", "20")
    assert main(["check"]) == 0
    with Sandbox(Account(seed=8, size=50, founded=TODAY), pagination=pages) as theirs:
        monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", theirs.base_url)
        assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  environment default: /phone-numbers: GET /phone-numbers (environment 'default') lists 50 rows" in out
    assert "none of the 57 numbers that are held of this environment is among them" in out


def test_check_asks_further_only_where_the_first_page_is_of_no_number_that_is_held(
    configured: Sandbox, account: Account, loaded: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__PER_PAGE", "20")
    bought = [account.buy() for _ in range(20)]
    account.numbers = {number["id"]: number for number in bought} | account.numbers
    assert main(["check"]) == 0
    assert len(configured.seen) == 1 + 4 + 1


def test_check_says_that_the_clock_is_wrong(configured: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    configured.clock_ahead = 7200
    assert main(["check"]) == 1
    assert "Set this machine's clock" in capsys.readouterr().out


def test_check_tells_of_an_endpoint_that_is_forbidden_and_how_to_load_the_rest(
    configured: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    configured.faults = [Fault("403", "phone-numbers/release-requests")]
    assert main(["check"]) == 1
    numbers, requests_, _ = capsys.readouterr().out.splitlines()
    assert numbers.startswith("ok    environment default: /phone-numbers: the token works")
    assert requests_.startswith("FAIL  environment default: /phone-numbers/release-requests: GET /phone-numbers/")
    assert requests_.endswith("To load the rest meanwhile: `talkover load --without release_requests`")


def test_check_says_when_the_destination_does_not_answer(
    configured: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "/no/such/folder/numbers.duckdb")
    assert main(["check"]) == 1
    assert "FAIL  destination duckdb: /no/such/folder is no folder that can be written to" in capsys.readouterr().out


# sandbox


def test_the_sandbox_is_served_and_lives(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "talkover", "sandbox", "--port", "0", "--numbers", "30", "--fault", "500,times=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            exports = [served.stdout.readline() for _ in range(4)][1]
            settings = dict(setting.split("=", 1) for setting in exports.split()[1:])
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            assert main(["check"]) == 0, "the fault passes"
            assert "the token works; 30 numbers on 1 page" in capsys.readouterr().out
            address, token = settings["SOURCES__TALKOVER__BASE_URL"], settings["TALKOVER_TOKEN"]
            before = numbers_of(address, token)
            sandbox = address.removesuffix("/api/v1")
            requests.post(f"{sandbox}/sandbox/advance?days=40", timeout=5).raise_for_status()
            assert sum(number not in before for number in numbers_of(address, token)) > 20
        finally:
            served.terminate()


def numbers_of(base_url: str, token: str) -> Any:
    """The list of numbers as the API answers."""
    header = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{base_url}/phone-numbers?per_page=100", headers=header, timeout=5).json()["data"]


def test_an_unknown_fault_is_named_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "--fault", "flood"]) == 2
    assert "unknown fault 'flood': one of 429-seconds" in capsys.readouterr().err
