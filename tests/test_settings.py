"""Settings and arguments that cannot work are refused before anything is asked: one line, exit 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from talkover import ConfigurationError, talkover_source
from talkover.cli import main
from talkover.instants import read_instant

from .conftest import Connector, at
from .test_cli import run

pytestmark = pytest.mark.duckdb  # nothing is loaded

QUOTE_IS_MISSING = "line 2: a quotation mark or a bracket is missing"


Refused = Callable[[str, str, bytes], str]


@pytest.fixture
def refused(workspace: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """What a command says, in a folder with a file of settings and before dlt has read any, as a new process begins."""

    def run_in_a_project(command: str, file: str, content: bytes) -> str:
        project = project_with(file, content)
        with pytest.MonkeyPatch.context() as patch, settings_unread():
            patch.chdir(project)
            code = main([command])
        out, err = capsys.readouterr()
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert "talq_x" not in err
        return err

    return run_in_a_project


def project_with(file: str, content: bytes) -> Path:
    """A folder with a file of settings."""
    settings = Path("project/.dlt")
    settings.mkdir(parents=True)
    (settings / file).write_bytes(content)
    return settings.parent


@contextmanager
def settings_unread() -> Iterator[None]:
    """dlt keeps its settings in one container, and reads them when they are first asked for."""
    forget_settings()
    try:
        yield
    finally:
        forget_settings()


def forget_settings() -> None:
    if PluggableRunContext in Container():
        del Container()[PluggableRunContext]


def test_a_process_that_cannot_read_its_settings_exits_2() -> None:
    done = run("check", cwd=project_with("secrets.toml", b"[sources.talkover\n"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("talkover: ./.dlt/secrets.toml, line 1: ")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("secrets.toml", b'[sources.talkover]\napi_token = "talq_x\n', QUOTE_IS_MISSING),
        ("config.toml", b'[sources.talkover]\nbase_url = "https://x\n', QUOTE_IS_MISSING),
        ("secrets.toml", b"[sources.talkover]\na = 1\na = 2\n", 'Key "a" already exists.'),
        ("secrets.toml", b'\xef\xbb\xbf[sources.talkover]\napi_token = "talq_x"\n', "begins with a byte order mark"),
        ("secrets.toml", '[sources.talkover]\napi_token = "talq_x"\n'.encode("utf-16"), "is not in UTF-8"),
        ("secrets.toml", "[sources.talkover]\n# Schlüssel\n".encode("latin-1"), "is not in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(file: str, content: bytes, says: str, refused: Refused) -> None:
    said = refused("check", file, content)
    assert said.startswith(f"talkover: ./.dlt/{file}")
    assert says in said


@pytest.mark.parametrize("command", ["load", "check", "report", "views"])
def test_every_command_says_which_settings_it_cannot_read(command: str, refused: Refused) -> None:
    assert "./.dlt/secrets.toml, line 1: " in refused(command, "secrets.toml", b"[sources.talkover\n")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"runtime = 5\n", "dlt's configuration: "),
        (b'[runtime]\nlog_level = "LOUD"\n', "dlt's configuration: Unknown level: 'LOUD'"),
        (
            b'[runtime]\nrequest_max_attempts = "many"\n',
            "dlt's configuration: Configured value for field `request_max_attempts`",
        ),
    ],
)
def test_settings_that_dlt_itself_cannot_take_are_no_bug(content: bytes, says: str, refused: Refused) -> None:
    assert refused("load", "config.toml", content).startswith(f"talkover: {says}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'[sources]\ntalkover = "talq_x"\n', "sources.talkover in secrets.toml is a value, but should be a table"),
        (b'sources = "talq_x"\n', "sources in secrets.toml is a value, but should be a table"),
        (
            b'[[sources.talkover]]\napi_token = "talq_x"\n',
            "sources.talkover in secrets.toml is a value, but should be a table",
        ),
        (b'[sources.talkover]\nenvironments = ["talq_x"]\n', "environments must be names and the token of each"),
        (b'[sources.talkover]\nenvironments = "talq_x"\n', "`environments` cannot be coerced"),
        (b'[sources.talkover]\nper_page = "many"\n', "`per_page` cannot be coerced"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(content: bytes, says: str, refused: Refused) -> None:
    assert says in refused("load", "secrets.toml", content)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("TIMEOUT", "nan", "must be above 0 and at most 86,400: nan"),
        ("TIMEOUT", "-1", "must be above 0 and at most 86,400: -1.0"),
        ("BACKOFF_FACTOR", "inf", "must be above 0 and at most 86,400: inf"),
        ("MAX_RETRY_DELAY", "1e20", "must be above 0 and at most 86,400: 1e+20"),
        ("MAX_ATTEMPTS", "0", "must be at least 1: 0"),
    ],
)
def test_a_wait_that_no_clock_can_count_is_refused(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    monkeypatch.setenv(f"RUNTIME__REQUEST_{name}", value)
    said = refused("load", "secrets.toml", b'[sources.talkover]\napi_token = "talq_x"\n')
    assert said == f"talkover: RUNTIME__REQUEST_{name} {says}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"observed_at": "soon"}, "observed_at: 'soon' is not an ISO 8601 date or time"),
        ({"observed_at": ""}, "observed_at: '' is not an ISO 8601 date or time"),
        ({"observed_at": 5}, "observed_at: 5 is not an ISO 8601 date or time"),
        ({"observed_at": "0001-01-01T00:00:00+14:00"}, "is out of range"),
        ({"environments": ["talq_x"]}, "environments must be names and the token of each, but is of type list"),
        ({"environments": "talq_x"}, "environments must be names and the token of each, but is of type str"),
        ({"environments": {1: "talq_x"}}, "1 cannot be the name of an environment"),
        ({"environments": {"a": None}}, "environments: the token of 'a' is not text"),
        ({"environment_key": ""}, "'' cannot be the name of an environment"),
        ({"environment_key": 5}, "environment_key must be text, but is of type int"),
        ({"api_token": b"talq_x"}, "api_token must be text, but is of type bytes"),
        ({"base_url": 5}, "base_url must be text, but is of type int"),
        ({"type": 5}, "type must be text, but is of type int"),
        ({"search": 5}, "search must be text, but is of type int"),
        ({"has_voice": "yes"}, "has_voice must be True or False, but is of type str"),
        ({"has_whatsapp": 1}, "has_whatsapp must be True or False, but is of type int"),
        ({"per_page": "many"}, "per_page must be a whole number, but is of type str"),
        ({"per_page": 2.5}, "per_page must be a whole number, but is of type float"),
        ({"per_page": True}, "per_page must be a whole number, but is of type bool"),
        ({"max_concurrent_requests": 10**9}, "max_concurrent_requests must be at most 1,000"),
        ({"max_concurrent_requests": "4"}, "max_concurrent_requests must be a whole number, but is of type str"),
        ({"full_refresh": "no"}, "full_refresh must be True or False, but is of type str"),
        ({"allow_mass_removal": 1}, "allow_mass_removal must be True or False, but is of type int"),
        ({"allow_lost_fields": "no"}, "allow_lost_fields must be True or False, but is of type str"),
        ({"without": 5}, "without must be a list of names, but is of type int"),
        ({"accept_incomplete": "no"}, "accept_incomplete must be True or False, but is of type str"),
    ],
)
def test_an_argument_of_another_type_is_refused(
    arguments: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALKOVER_TOKEN", "talq_y")
    with pytest.raises(ConfigurationError, match=says) as refused:
        talkover_source(**arguments)
    assert "talq_" not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        "2026-02-28",
        "2026-02-28T00:00:00Z",
        "2026-02-27T21:00:00-03:00",
        date(2026, 2, 28),
        datetime(2026, 2, 28),  # noqa: DTZ001  that is what is tried
        at("2026-02-28T00:00:00"),
    ],
)
def test_a_day_and_iso_text_are_instants_too(given: Any) -> None:
    assert read_instant(given) == datetime(2026, 2, 28, tzinfo=timezone.utc)


def test_a_load_may_be_dated_by_a_text(connector: Connector) -> None:
    assert connector.load(observed_at="2026-02-28", create_views=False).observed_at == at("2026-02-28T00:00:00")
