"""The dbt package: it is read and built by dbt itself, and every model holds what its view holds."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pytest
import sqlglot
import yaml

from talkover.cli import main
from talkover.dbt.package import DIALECTS
from talkover.sandbox import Account, Sandbox
from talkover.sync.tables import KEYS, MORE_TABLES
from talkover.views import view_names
from talkover.views.descriptions import describe_view

from .conftest import Connect, Connector, at
from .environments import ROOT, environment
from .test_usage_report import OF_CALLS, TODAY

PACKAGE = Path("package")
JINJA = re.compile(r"{{ (?:ref\('(\w+)'\)|source\('talkover', '(\w+)'\)) }}")
RUN = """
import sys

from dbt.cli.main import dbtRunner

ways_out = []

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        ways_out.append(f"{event} {arguments}")
        raise RuntimeError(ways_out[-1])

sys.addaudithook(refuse)
for command in sys.argv[1:]:
    if not dbtRunner().invoke(command.split()).success:
        sys.exit(f"dbt {command} failed")
assert not ways_out, ways_out
"""
"""dbt by its own library: each program of its own would read the project again."""


def written(*options: str) -> str:
    """What the command printed, which succeeded."""
    assert main(["dbt", "--out", str(PACKAGE), *options]) == 0
    return str(PACKAGE)


@pytest.mark.slow
def test_a_model_stands_for_each_view_in_every_dialect_with_an_adapter(workspace: Path) -> None:
    for dialect in DIALECTS:
        written("--dialect", dialect, "--with", "agents,calls")
        models = {file.stem: file.read_text() for file in (PACKAGE / "models").glob("*.sql")}
        assert models.keys() == {*view_names()}
        for name, text in models.items():
            [query] = sqlglot.parse(JINJA.sub(lambda found: found[1] or found[2], text), read=dialect)
            assert [column.lower() for column in query.named_selects] == [*describe_view(name).columns], (dialect, name)
            assert "{" not in JINJA.sub("", text)


def test_the_schema_of_the_sources_is_spelled_as_a_load_spells_it(workspace: Path, sandbox: Sandbox) -> None:
    written("--dataset", "My Data")
    said = yaml.safe_load((PACKAGE / "models/sources.yml").read_text())
    Connector(sandbox, dataset="My Data").load(create_views=False)
    with closing(duckdb.connect("talkover_pipeline.duckdb")) as file:
        schemas = [name for (name,) in file.execute("select distinct schema_name from duckdb_tables()").fetchall()]
    assert said["sources"][0]["schema"] == f"{{{{ var('talkover_schema', \"{min(schemas, key=len)}\") }}}}"


@pytest.mark.slow
def test_tables_that_are_not_loaded_are_no_sources(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {*sources()} == {*KEYS, "_dlt_loads"} - {*MORE_TABLES}
    assert {*sources("--with", "agents,calls")} == {*KEYS, "_dlt_loads"}
    monkeypatch.setenv("SOURCES__TALKOVER__WITH", '["agents"]')
    assert {*sources()} == {*KEYS, "_dlt_loads"} - {"calls", "call_windows"}
    monkeypatch.setenv("TALKOVER__FINDINGS__STALE_HOURS", "200")
    freshness = sources()["load_runs"]["config"]["freshness"]
    assert (freshness["warn_after"]["count"], freshness["error_after"]["count"]) == (200, 400)


def sources(*options: str) -> dict[str, Any]:
    made = yaml.safe_load((Path(written(*options)) / "models/sources.yml").read_text())
    return {table["name"]: table for table in made["sources"][0]["tables"]}


def test_a_package_is_written_again_in_its_own_place_alone(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = Path(written("--destination", "postgres")) / "models"
    assert capsys.readouterr().out == f"{PACKAGE.resolve()}: {len(view_names())} models, for postgres\n"
    mine, gone = models / "mine.sql", models / "view_of_an_earlier_version.sql"
    for file in (mine, gone):
        file.write_text("select 1 as one")
    schema = yaml.safe_load((models / "schema.yml").read_text())
    (models / "schema.yml").write_text(yaml.safe_dump({"models": [*schema["models"], {"name": gone.stem}]}))
    written()
    assert (mine.exists(), gone.exists()) == (True, False)

    Path("other").mkdir()
    Path("other/thesis.txt").write_text("mine")
    capsys.readouterr()
    for options, says in (
        (["--out", "other"], "other is there and is no package of talkover: give another --out"),
        (["--out", "other/thesis.txt"], "other/thesis.txt is there and is no package of talkover: give another --out"),
        (
            ["--out", "new", "--dialect", "klingon"],
            f"no package is written for klingon: give --dialect, one of {', '.join(DIALECTS)}",
        ),
    ):
        assert main(["dbt", *options]) == 2
        assert capsys.readouterr().err == f"talkover: {says}\n"
    assert [file.name for file in Path("other").iterdir()] == ["thesis.txt"]
    assert not Path("new").exists()


def test_the_exposure_names_what_the_report_reads() -> None:
    exposure = yaml.safe_load((ROOT / "sources/talkover/dbt/files/models/exposures.yml").read_text())["exposures"][0]
    named = {re.findall(r"'(\w+)'", text)[-1] for text in exposure["depends_on"]}
    code = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("sources/talkover/report/*.py")]
    quoted = {name for file in code for name in re.findall(r'"(\w+)\\?"', file.read_text())}
    read = quoted & {*view_names()} | {"load_runs", "phone_numbers", "release_requests"}
    assert named == read


@pytest.mark.environment
@pytest.mark.slow
def test_dbt_builds_every_model_as_its_view_is(connect: Connect, workspace: Path) -> None:
    account = Account(seed=5, size=60, founded=TODAY - timedelta(days=400))
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        for days in (70, 35, 0):
            account.advance(TODAY - timedelta(days=days))
            connector.load(observed_at=at(f"{account.today}T00:00:01"), **(OF_CALLS if days == 0 else {}))
    written("--destination", connector.destination, "--with", "agents,calls")
    project = PACKAGE if connector.destination == "duckdb" else project_with(PACKAGE)
    run_dbt(
        project,
        profile(connector),
        *([] if project == PACKAGE else ["deps"]),
        "build",
        "docs generate",
        "source freshness",
    )

    catalog = json.loads((project / "target/catalog.json").read_text())
    assert {node.split(".")[-1] for node in catalog["nodes"]} == {*view_names()}
    assert json.loads((project / "target/sources.json").read_text())["results"][0]["status"] == "pass"
    with connector.pipeline().sql_client() as client:
        for name in view_names():
            view, model = (rows_of(client, f"{schema}.{name}") for schema in ("talkover", "models"))
            assert view[1], f"{name} has no rows to compare"
            assert model == view, name


def rows_of(client: Any, name: str) -> tuple[list[str], Counter[Any]]:
    with client.execute_query(f"select * from {name}") as cursor:
        return list(cursor.columns_schema), Counter(cursor.fetchall())


def project_with(package: Path) -> Path:
    """Somebody's project, which takes the package in."""
    project = Path("project")
    project.mkdir()
    (project / "dbt_project.yml").write_text("name: analytics\nprofile: talkover\n")
    (project / "packages.yml").write_text(f"packages:\n  - local: ../{package}\n")
    return project


def profile(connector: Connector) -> dict[str, Any]:
    common = {"type": connector.destination, "schema": "models", "threads": 4}
    if connector.destination == "duckdb":
        return common | {"path": str(Path("talkover_pipeline.duckdb").resolve())}
    server = urlsplit(os.environ["DESTINATION__POSTGRES__CREDENTIALS"])
    login = {"host": server.hostname, "port": server.port, "user": server.username, "pass": server.password}
    return common | login | {"dbname": server.path.strip("/")}


def run_dbt(project: Path, output: dict[str, Any], *commands: str) -> None:
    """Each command in turn; dbt is to tell nobody about it, and to load nothing from anywhere."""
    Path("profiles.yml").write_text(yaml.safe_dump({"talkover": {"target": "dev", "outputs": {"dev": output}}}))
    done = subprocess.run(
        [environment("dbt", "-e", ".[dbt]") / "python", "-c", RUN, *commands],
        cwd=project,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(Path.cwd()),
            "LANG": "C.UTF-8",
            "DBT_PROFILES_DIR": str(Path.cwd()),
            "DO_NOT_TRACK": "1",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
