"""The command line as a person and a scheduler use it: messages, exit codes, what is printed where."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests

from talkover import TalkoverError
from talkover.cli import main
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.faults import FAULTS, HTML, Answer

from .conftest import TODAY, Connector
from .listings import fetch

INVALID = {"success": False, "message": "The given data was invalid.", "errors": {"type": ["It is invalid."]}}


pytestmark = pytest.mark.duckdb  # the destination does not matter here


@pytest.fixture
def configured(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, as the vendor's variable and dlt's standard ones name it."""
    monkeypatch.setenv("TALKOVER_TOKEN", sandbox.token)
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
    return sandbox


def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """A cold process, as cron starts it."""
    command = [sys.executable, "-m", "talkover", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **settings)


# load


def test_load_prints_a_table_and_exits_0(configured: Sandbox) -> None:
    done = run("load")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "quiet in a pipe"
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["listed", "added", "changed", "removed", "unchanged"]
    assert lines[1].split() == ["phone_numbers", "57", "57", "0", "0", "0"]
    assert any(line.startswith("default USD") for line in lines)
    assert lines[-1].startswith(f"{Path.cwd()}/talkover_pipeline.duckdb, dataset talkover: 2 requests, ")


def test_money_is_shown_in_the_digits_of_its_currency(
    configured: Sandbox, account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.numbers = dict(list(account.numbers.items())[:5])
    for row, currency, cost in zip(
        account.numbers.values(), ["KWD"] * 3 + ["JPY"] * 2, [1.125] * 3 + [55] * 2, strict=True
    ):
        row |= {"currency": currency, "monthly_renewal_cost": cost}
    assert main(["load"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["default", "JPY", "2", "110"] in lines
    assert ["default", "KWD", "3", "3.375"] in lines


@pytest.mark.slow
def test_a_service_that_has_no_streams_loads(configured: Sandbox, connector: Connector) -> None:
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "talkover", "load"]
    assert subprocess.run(command, check=False).returncode == 0
    assert len(connector.rows("phone_numbers")) == 57


@pytest.mark.slow
def test_output_that_cannot_be_written_is_one_line(configured: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", "")  # else it is tried once
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "talkover", "load"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "talkover: No space left on device\n")


def test_json_is_one_object_on_the_last_line_with_the_same_figures(
    configured: Sandbox, account: Account, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    configured.faults = [Fault("500")]
    assert main(["load", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["resources"]["phone_numbers"] == {
        "listed": 57,
        "added": 57,
        "changed": 0,
        "removed": 0,
        "unchanged": 0,
        "complete": True,
    }
    usd = [row["monthly_renewal_cost"] for row in account.numbers.values() if row["currency"] == "USD"]
    assert [float(rate["monthly_cost"]) for rate in summary["run_rate"] if rate["currency"] == "USD"] == [
        round(sum(usd), 2)
    ]
    assert summary["requests"] == 3
    assert "answered 500: Internal server error.; asking again" in caplog.text


@pytest.mark.slow
def test_progress_is_shown_on_a_terminal_and_gone_at_the_end(configured: Sandbox) -> None:
    terminal, end = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "talkover", "load"], stdout=subprocess.PIPE, stderr=end, timeout=120, check=True
    )
    os.close(end)
    shown = read_to_the_end(terminal)
    assert "Extract: phone-numbers pages 1 of 1" in shown
    assert "Load: Jobs" in shown
    assert shown.endswith(" \r"), "the line is wiped"
    assert b"pages" not in done.stdout


def read_to_the_end(terminal: int) -> str:
    """A terminal whose other end is closed gives what it has, then an error."""
    shown = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    return shown.decode()


def test_the_demo_needs_no_account_and_stays_out_of_the_real_file(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in ("2026-02-01", "2026-03-01"):
        assert main(["load", "--demo", "--observed-at", day, "--json"]) == 0
    changed = json.loads(capsys.readouterr().out.splitlines()[-1])["resources"]["phone_numbers"]
    assert changed["listed"] > 30
    assert changed["changed"] > 0
    assert [path.name for path in workspace.glob("*.duckdb")] == ["talkover_demo.duckdb"]


def test_the_demo_stays_out_of_the_file_and_warehouse_that_are_configured(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(workspace / "real.duckdb"))
    monkeypatch.setenv("PIPELINES__DESTINATION_TYPE", "postgres")
    assert main(["load", "--demo"]) == 0
    assert not (workspace / "real.duckdb").exists()
    with duckdb.connect(str(workspace / "talkover_demo.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) > 0 from talkover.phone_numbers").fetchone() == (True,)


@pytest.mark.slow
def test_weeks_of_the_demo_are_loaded_one_by_one(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "--demo", "--weeks", "3", "--observed-at", "2026-03-01"]) == 0
    assert re.findall(r"^2026-\d\d-\d\d", capsys.readouterr().out, re.MULTILINE) == [
        "2026-02-08",
        "2026-02-15",
        "2026-02-22",
    ]
    assert main(["load", "--weeks", "3"]) == 2
    assert "it needs --demo" in capsys.readouterr().err
    assert main(["load", "--demo", "--weeks", "9999999999"]) == 2
    assert "the demo account begins on 2025-01-01" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["load", "check"])
@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("SOURCES__TALKOVER__PER_PAGE", "abc", "`per_page` cannot be coerced"),
        ("SOURCES__TALKOVER__ENVIRONMENTS", '{"a": 5}', "token of 'a' is not text"),
        ("SOURCES__TALKOVER__ENVIRONMENTS", '{"": "talq_x"}', "'' cannot be the name of an environment"),
        ("SOURCES__TALKOVER__ENVIRONMENT_KEY", " ", "' ' cannot be the name of an environment"),
        ("SOURCES__TALKOVER__BASE_URL", "http://[bad", "is not an https URL"),
        ("PIPELINES__DATASET_NAME", " ", "' ' is not a valid dataset name"),
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
def test_the_demo_is_the_same_whenever_it_is_loaded(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for instant in ("2026-02-01", "2026-02-01T12:00:00"):
        assert main(["load", "--demo", "--observed-at", instant, "--json"]) == 0
    counts = json.loads(capsys.readouterr().out.splitlines()[-1])["resources"]["phone_numbers"]
    assert counts["unchanged"] == counts["listed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "other", "ends_it", "code", "says"),
    [
        (1, [], signal.SIGINT, 130, "talkover: interrupted; the next run starts from what the destination holds\n"),
        (2, [], signal.SIGINT, 130, "talkover: interrupted; the next run starts from what the destination holds\n"),
        (1, [], signal.SIGTERM, -signal.SIGTERM, ""),
        (2, [], signal.SIGTERM, -signal.SIGTERM, ""),
        (2, [Fault("401", page=3)], None, 1, "answered 401: Unauthorized"),
    ],
    ids=["Ctrl-C on page 1", "Ctrl-C on page 2", "SIGTERM on page 1", "SIGTERM on page 2", "an error on page 3"],
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("resource", "other"), [("phone_numbers", "release_requests"), ("release_requests", "phone_numbers")]
)
def test_a_resource_that_is_left_out_is_shown_as_not_requested(
    resource: str, other: str, configured: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", "--without", resource]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    assert lines[resource] == ["not", "requested"]
    assert len(lines[other]) == 5
    assert main(["load", "--without", resource, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["resources"]
    assert shown[resource] is None
    assert shown[other]["listed"] == shown[other]["unchanged"] > 0


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


def test_what_the_configuration_leaves_out_is_not_requested_by_load_nor_check(
    configured: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__WITHOUT", '["release_requests"]')
    assert main(["load"]) == 0
    assert "release_requests         not requested" in capsys.readouterr().out
    assert main(["check"]) == 0
    assert (
        "ok    environment default: /phone-numbers/release-requests: not requested, as configured with `without`\n"
        in capsys.readouterr().out
    )
    assert {request.endpoint for request in configured.seen} == {"phone-numbers", "agents", "calls"}


def test_the_demo_leaves_out_what_its_flag_says_and_not_what_is_configured(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__WITHOUT", '["release_requests"]')
    assert main(["load", "--demo", "--without", "phone_numbers", "--weeks", "1", "--json"]) == 0
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


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_help_is_shown_where_a_letter_is_lacking(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    with pytest.raises(SystemExit, match="0"):
        main(["views", "--help"])
    shown.seek(0)
    assert "\\u2026" in shown.read()


def test_names_that_are_no_text_exit_2(
    configured: Sandbox, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not in UTF-8, or not in the encoding of the locale, Python reads as halves of characters."""
    half = os.fsdecode(b"b\xfcro")
    assert main(["load", "--dataset", half]) == 2
    with monkeypatch.context() as settings:
        settings.setenv("SOURCES__TALKOVER__ENVIRONMENT_KEY", half)
        assert main(["load"]) == 2
    (workspace / half).mkdir()
    monkeypatch.chdir(workspace / half)
    assert main(["load"]) == 2
    name, environment, folder = capsys.readouterr().err.splitlines()
    assert name == r"talkover: 'b\udcfcro' is not a valid dataset name"
    assert environment == r"talkover: 'b\udcfcro' cannot be the name of an environment: give it a text"
    assert folder.endswith(r"/b\udcfcro' has a name that is no text here: rename it, or set LC_ALL=C.UTF-8")
    assert configured.seen == []


@pytest.mark.parametrize("command", ["load", "check", "views"])
def test_a_destination_that_dlt_does_not_know_exits_2(
    command: str, configured: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--destination", "postgresql"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("talkover: 'postgresql' is not a destination that dlt knows. Take duckdb, postgres or ")
    assert said.count("\n") == 1
    assert configured.seen == []


def test_a_duckdb_file_called_like_the_dataset_is_refused_before_anything_is_fetched(
    configured: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], workspace: Path
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(workspace / "Talkover.duckdb"))
    assert main(["load"]) == 2
    said = capsys.readouterr().err
    assert "DuckDB cannot keep dataset 'talkover' in a file of the same name (Talkover.duckdb)" in said
    assert configured.seen == []
    assert main(["load", "--dataset", "numbers"]) == 0


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
@pytest.mark.parametrize("endpoint", ["phone-numbers", "phone-numbers/release-requests"])
def test_a_bad_answer_is_told_in_one_line(endpoint: str, answer: Answer, complaint: str, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("answer", endpoint, times=99, answer=answer)]
    with pytest.raises(TalkoverError) as error:
        fetch(sandbox, endpoint)
    assert str(error.value).startswith(f"GET /{endpoint} (environment 'default')")
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("endpoint", ["phone-numbers", "phone-numbers/release-requests"])
def test_a_bad_answer_ends_with_exit_1_and_loses_nothing(
    endpoint: str, configured: Sandbox, loaded: Connector, capsys: pytest.CaptureFixture[str]
) -> None:
    before = loaded.state()
    configured.faults = [Fault("no-data", endpoint, times=99)]
    assert main(["load"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"talkover: GET /{endpoint} (environment 'default')")
    assert loaded.state() == before
    configured.faults = []
    assert main(["load"]) == 0


@pytest.mark.slow
def test_debug_shows_what_dlt_logs_and_the_traceback(configured: Sandbox) -> None:
    done = run("load", "--debug")
    assert done.returncode == 0
    assert "|dlt|" in done.stderr
    configured.faults = [Fault("404")]
    done = run("load", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_allow_mass_removal_reaches_the_run(configured: Sandbox, account: Account, loaded: Connector) -> None:
    account.numbers.clear()
    assert main(["load"]) == 1
    assert main(["load", "--allow-mass-removal"]) == 0
    assert loaded.rows("phone_numbers") == []


def test_accept_incomplete_reaches_the_run(configured: Sandbox, account: Account, loaded: Connector) -> None:
    account.buy()
    configured.faults = [Fault("wrong-total", "phone-numbers", times=99)]
    assert main(["load"]) == 1
    assert main(["load", "--accept-incomplete"]) == 0
    assert len(loaded.rows("phone_numbers")) == 58


@pytest.mark.slow
def test_an_empty_folder_is_enough_and_sends_no_telemetry(configured: Sandbox, workspace: Path) -> None:
    """Nothing of .dlt/example.config.toml is here."""
    environment = {name: value for name, value in os.environ.items() if name != "RUNTIME__DLTHUB_TELEMETRY"}
    check = (
        "import sys; from talkover.cli import main; code = main(['load']); "
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
        "ok    environment default: /agents: the token works; 3 agents on 1 page; `--with agents` loads them",
        "ok    environment default: /calls: the token works; 0 calls since yesterday on 1 page; "
        "`--with calls` loads them",
        f"ok    destination duckdb: {workspace}/talkover_pipeline.duckdb will be created by the first load",
    ]
    assert list(workspace.glob("*.duckdb")) == []
    assert len(configured.seen) == 4


def test_check_tells_of_the_last_load(configured: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "--observed-at", "2026-03-01T05:00:00"]) == 0
    capsys.readouterr()
    assert main(["check"]) == 0
    assert "answers; dataset 'talkover' was last loaded 2026-03-01 05:00 UTC" in capsys.readouterr().out


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
        ("none", "at least 57 numbers: the answer says nothing about other pages"),
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
    assert [line[:4] for line in lines] == ["ok  "] * 4 + ["FAIL"] * 2 + ["ok  "] * 3
    assert "answered 401: Unauthorized" in lines[4]
    assert "talq_gone" not in "".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("pages", ["meta", "none"])
def test_check_says_that_a_token_is_of_another_account(
    pages: Any, configured: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__PER_PAGE", "20")
    assert main(["load"]) == 0
    assert main(["check"]) == 0
    with Sandbox(Account(seed=8, size=50, founded=TODAY), pagination=pages) as theirs:
        monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", theirs.base_url)
        assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  environment default: /phone-numbers: GET /phone-numbers (environment 'default') lists 50 rows" in out
    assert "none of the 57 numbers that are held of this environment is among them" in out


@pytest.mark.slow
def test_check_reads_the_whole_list_where_there_is_anything_to_compare_it_with(
    configured: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__PER_PAGE", "20")
    assert main(["check"]) == 0
    assert len(configured.seen) == 1 + 1 + 1 + 1
    assert main(["load"]) == 0
    configured.seen.clear()
    assert main(["check"]) == 0
    assert len(configured.seen) == 1 + 3 + 1 + 1 + 1


def test_check_says_that_the_clock_is_wrong(configured: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    configured.clock_ahead = 7200
    assert main(["check"]) == 1
    assert "Set this machine's clock" in capsys.readouterr().out


def test_check_tells_of_an_endpoint_that_is_forbidden_and_how_to_load_the_rest(
    configured: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    configured.faults = [Fault("403", "phone-numbers/release-requests")]
    assert main(["check"]) == 1
    numbers, requests_, *_ = capsys.readouterr().out.splitlines()
    assert numbers.startswith("ok    environment default: /phone-numbers: the token works")
    assert requests_.startswith("FAIL  environment default: /phone-numbers/release-requests: GET /phone-numbers/")
    assert requests_.endswith("To load the rest meanwhile: `talkover load --without release_requests`")


def test_check_says_when_the_destination_does_not_answer(
    configured: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "/no/such/folder/numbers.duckdb")
    assert main(["check"]) == 1
    assert "FAIL  destination duckdb: /no/such/folder is not a writable folder" in capsys.readouterr().out


# sandbox


@contextlib.contextmanager
def served(*arguments: str, lines: int = 4) -> Iterator[tuple[list[str], dict[str, str]]]:
    """A sandbox as a user starts it: the lines that it prints, and the environment that its `export` makes."""
    command = [sys.executable, "-m", "talkover", "sandbox", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            printed = [sandbox.stdout.readline().rstrip("\n") for _ in range(lines)]
            settings = (setting.split("=", 1) for setting in shlex.split(printed[1])[1:])
            yield printed, os.environ | dict(settings)
        finally:
            sandbox.terminate()


def as_printed(line: str, environment: dict[str, str]) -> dict[str, Any]:
    """The summary that a printed command loads."""
    command, *arguments = shlex.split(line)
    assert command == "talkover"
    done = run(*arguments, "--json", env=environment)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


@pytest.mark.slow
def test_the_sandbox_lives_and_says_how_to_date_each_load() -> None:
    today = datetime.now(timezone.utc).date()
    with served("--numbers", "30", "--since", str(today - timedelta(days=90)), "--fault", "500,times=1") as (
        lines,
        environment,
    ):
        first = as_printed(lines[2], environment)
        assert first["resources"]["phone_numbers"]["listed"] == 30
        assert first["observed_at"][:10] == str(today - timedelta(days=90))
        (advance,) = re.findall(r"curl -X POST '(.*days=30)'", lines[3])
        answers = [requests.post(advance, timeout=5).json() for _ in range(3)]
        second, third = (as_printed(answer["load"], environment) for answer in (answers[0], answers[2]))
        over = requests.post(advance, timeout=5)
    days = [today - timedelta(days=60), today - timedelta(days=30), today]
    assert [answer["today"] for answer in answers] == list(map(str, days))
    assert [answer["load"] for answer in answers][1:] == [f"talkover load --observed-at {days[1]}", "talkover load"]
    assert second["observed_at"][:10] == str(days[0])
    assert second["resources"]["phone_numbers"]["changed"] > 10
    assert third["observed_at"][:10] >= str(today)
    assert over.status_code == 422
    assert "0 days are left until today, and no load can be dated later" in over.json()["message"]


@pytest.mark.slow
def test_the_sandbox_has_the_environments_and_tokens_that_it_is_given() -> None:
    given = ("production=talq_old", "staging=talq_b", "production=talq_new")
    arguments = [part for text in given for part in ("--environment", text)]
    with served("--numbers", "9", *arguments, lines=5) as (lines, environment):
        assert lines[0].startswith("serving 9 numbers and their calls in each of production, staging as of ")
        assert lines[4] == "  production takes talq_new, too"
        loaded = as_printed(lines[2], environment)
        new = {"SOURCES__TALKOVER__ENVIRONMENTS": '{"production": "talq_new", "staging": "talq_b"}'}
        check = run("check", env=environment | new)
    assert loaded["resources"]["phone_numbers"]["added"] == 18
    assert check.returncode == 0, check.stdout
    assert check.stdout.count("9 numbers on 1 page; among them 9 of the 9 that are loaded") == 2
    with duckdb.connect("talkover_pipeline.duckdb") as file:
        environments = file.execute(
            "select distinct environment_key, environment__name, environment__id from talkover.phone_numbers order by 1"
        ).fetchall()
    assert environments == [("production", "production", "env-1"), ("staging", "staging", "env-2")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--environment", "talq_a"], "--environment must be NAME=TOKEN, such as production=talq_a"),
        (["--environment", "=talq_b"], "--environment must be NAME=TOKEN, such as production=talq_a"),
        (["--environment", "production="], "--environment must be NAME=TOKEN, such as production=talq_a"),
        (["--environment", "production=Bearer talq_b"], "the API token of environment 'production' holds spaces"),
        (["--environment", "a=talq_b", "--environment", "b=talq_b"], "gives one token to 'a' and to 'b'"),
        (["--environment", "a=talq_b", "--environment", "a=talq_b"], "gives 'a' the same token twice"),
        (["--since", "2999-01-01"], "--since 2999-01-01 must be a day from 2000-01-01 to today"),
        (["--since", "0001-01-01"], "--since 0001-01-01 must be a day from 2000-01-01 to today"),
    ],
)
def test_a_sandbox_that_cannot_be_is_refused_in_a_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sandbox", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert "talq_b" not in line


def test_an_unknown_fault_is_named_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "--fault", "flood"]) == 2
    assert "unknown fault 'flood': one of 429-seconds" in capsys.readouterr().err
