"""The destinations that the tests run on: each is made empty for a test, and stopped at the end.

DuckDB and PostgreSQL come with `pip install -e '.[dev]'`; `make warehouses` builds an environment for each other one.
What is missing is an error that says what to install, never a skip.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from .environments import environment
from .mariadb import Node, Server, running_servers
from .ports import answers, free_port
from .postgres import postgres
from .watch import Watch, watched

MISSING = "{what} is missing: `make warehouses` builds an environment with it"


def set_configuration(monkeypatch: pytest.MonkeyPatch, destination: str, **settings: object) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"DESTINATION__{destination}__{name}".upper(), str(value))


def in_duckdb(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The default: a file in the workspace."""
    return "duckdb"


def in_postgres(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of its own."""
    set_configuration(monkeypatch, "postgres", credentials=new_database(request.getfixturevalue("postgres_server")))
    return "postgres"


def new_database(server: str) -> str:
    """The URL of an empty database on a PostgreSQL server."""
    database = f"test_{uuid4().hex}"
    connection = psycopg2.connect(server)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"create database {database}")
    connection.close()
    return server.removesuffix("postgres") + database


def in_ducklake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A catalog in a DuckDB file, and Parquet files beside it."""
    import_extensions("ducklake")
    set_configuration(
        monkeypatch,
        "ducklake",
        credentials__ducklake_name="lake",
        credentials__catalog=f"duckdb:///{Path.cwd()}/catalog.duckdb",
        credentials__storage__bucket_url=(Path.cwd() / "lake").as_uri(),
    )
    return "ducklake"


def in_lake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """DuckLake as several people use it: a catalog in PostgreSQL, and the files in a bucket."""
    import_extensions("ducklake", "postgres_scanner", "httpfs", "aws")
    set_configuration(
        monkeypatch,
        "ducklake",
        credentials__ducklake_name="lake",
        credentials__catalog=new_database(request.getfixturevalue("postgres_server")),
        credentials__storage__bucket_url=f"s3://lake/{uuid4().hex}",
        credentials__storage__credentials__aws_access_key_id=BUCKET_USER,
        credentials__storage__credentials__aws_secret_access_key=BUCKET_PASSWORD,
        credentials__storage__credentials__endpoint_url=request.getfixturevalue("bucket_server"),
        credentials__storage__credentials__region_name="us-east-1",
    )
    return "ducklake"


def in_mariadb(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A server without databases: there a dataset is a database."""
    url, root = request.getfixturevalue("mariadb_server")
    with root.cursor() as cursor:
        cursor.execute("show databases")
        for (database,) in cursor.fetchall():
            if database not in ("information_schema", "mysql", "performance_schema", "sys", "home"):
                cursor.execute(f"drop database `{database}`")
    set_configuration(monkeypatch, "sqlalchemy", credentials=url)
    return "sqlalchemy"


def in_clickhouse(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of its own in the engine of this process."""
    engine = request.getfixturevalue("clickhouse_engine")
    database = f"test_{uuid4().hex}"
    engine.execute(f"create database {database}")
    request.addfinalizer(lambda: engine.execute(f"drop database {database}"))
    set_configuration(
        monkeypatch,
        "clickhouse",
        credentials__host="127.0.0.1",
        credentials__database=database,
        credentials__username="default",
        credentials__password="",
        credentials__secure=0,
    )
    return "clickhouse"


def in_bigquery(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project of its own in the emulator, which takes any credentials."""
    request.getfixturevalue("bigquery_emulator")
    monkeypatch.setenv("NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION", "true")  # the emulator cannot unpack
    set_configuration(
        monkeypatch,
        "bigquery",
        credentials__project_id=f"test-{uuid4().hex}",
        credentials__client_email="test@example.com",
        credentials__private_key="none",
    )
    return "bigquery"


def in_snowflake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of its own in the emulator, which takes any credentials."""
    port, database = request.getfixturevalue("snowflake_emulator"), f"test_{uuid4().hex}"
    address = f"snowflake://fake:snow@fakesnow/{database}?host=127.0.0.1&port={port}&protocol=http&warehouse=loading"
    monkeypatch.setenv("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true")  # the driver would ask every cloud
    set_configuration(monkeypatch, "snowflake", credentials=address)
    return "snowflake"


WAREHOUSES: dict[str, Callable[[pytest.FixtureRequest, pytest.MonkeyPatch], str]] = {
    "duckdb": in_duckdb,
    "postgres": in_postgres,
    "ducklake": in_ducklake,
    "lake": in_lake,
    "mariadb": in_mariadb,
    "clickhouse": in_clickhouse,
    "bigquery": in_bigquery,
    "snowflake": in_snowflake,
}
"""What makes a destination ready, and tells by which name dlt knows it."""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres() as url:
        yield url


@cache
def import_extensions(*names: str) -> None:
    """Has DuckDB find its extensions in packages: it would download them."""
    try:
        from duckdb_extensions import import_extension

        for name in names:
            import_extension(name)
    except ImportError as error:
        raise RuntimeError(MISSING.format(what=f"An extension of DuckDB ({error})")) from None


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[str]:
    """The address of a server of S3, which has the bucket `lake`: rclone, over a folder."""
    rclone = Path(sys.executable).parent / "rclone"
    if not rclone.exists():
        raise RuntimeError(MISSING.format(what="rclone"))
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="talkover_bucket_"))
    (folder / "lake").mkdir()
    listen = ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{BUCKET_USER},{BUCKET_PASSWORD}", "--config", "/dev/null"]
    with (
        watched(signal.SIGTERM, folder) as watch,
        running([rclone, "serve", "s3", *listen, folder], lambda: answers(port), watch),
    ):
        yield f"http://127.0.0.1:{port}"


BUCKET_USER, BUCKET_PASSWORD = "loader", "a secret of the tests"


@pytest.fixture(scope="session")
def clickhouse_engine() -> Iterator[Any]:
    try:
        from .stand_ins import clickhouse_engine
    except ImportError as error:
        raise RuntimeError(MISSING.format(what=f"ClickHouse's engine ({error})")) from None
    folder = Path(tempfile.mkdtemp(prefix="talkover_clickhouse_"))
    command = [sys.executable, clickhouse_engine.__file__, str(folder)]
    with (
        watched(signal.SIGTERM, folder) as watch,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving,
    ):
        watch(serving)
        assert serving.stdout is not None
        port = serving.stdout.readline().strip()
        with in_every_process(TEST_CLICKHOUSE_ENGINE=port):
            yield clickhouse_engine.stand_in(int(port))
        serving.terminate()


@pytest.fixture(scope="session")
def bigquery_emulator() -> Iterator[None]:
    try:
        from bqemulator.cli import main as _
    except ImportError as error:
        raise RuntimeError(MISSING.format(what=f"The BigQuery emulator ({error})")) from None
    import_extensions("spatial")
    port, grpc_port = free_port(), free_port()
    command = ["bqemulator", "start", "--rest-port", str(port), "--grpc-port", str(grpc_port), "--log-level", "error"]
    with (
        watched(signal.SIGTERM) as watch,
        running([Path(sys.executable).parent / command[0], *command[1:]], lambda: answers(port), watch),
        in_every_process(BIGQUERY_EMULATOR_HOST=f"http://127.0.0.1:{port}"),
    ):
        from .stand_ins import sitecustomize as _  # noqa: F401

        yield


@pytest.fixture(scope="session")
def snowflake_emulator() -> Iterator[int]:
    """The port of the emulator, which lives in an environment of its own: it wants another DuckDB."""
    try:
        import snowflake.connector as _  # noqa: F401
    except ImportError as error:
        raise RuntimeError(MISSING.format(what=f"Snowflake's driver ({error})")) from None
    python = environment("fakesnow", "fakesnow[server]>=0.12.1,<0.13", "snowflake-connector-python<5") / "python"
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="talkover_snowflake_"))
    serve = [python, Path(__file__).parent / "stand_ins/snowflake_server.py", str(port)]
    with (
        watched(signal.SIGTERM, folder) as watch,
        running(["env", f"TMPDIR={folder}", *serve], lambda: answers(port), watch),
    ):
        yield port


@pytest.fixture
def spark(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A session of Apache Spark, which ends with this process at the latest, and keeps its tables in the workspace."""
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise RuntimeError(MISSING.format(what=f"Spark ({error})")) from None
    if shutil.which("java") is None:
        raise RuntimeError("Java is missing: `apt-get install openjdk-17-jre-headless` brings it")
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    building = SparkSession.builder.master("local[2]")
    for name, value in SPARK_SETTINGS.items():
        building = building.config(f"spark.{name}", value)
    with building.config("spark.sql.warehouse.dir", str(workspace / "spark")).getOrCreate() as session:
        yield session


SPARK_SETTINGS = {
    "driver.host": "127.0.0.1",
    "ui.enabled": "false",
    "ui.showConsoleProgress": "false",
    "log.level": "ERROR",
    "sql.session.timeZone": "UTC",
    # To compile a query takes longer than to interpret it on a few rows.
    "driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "sql.codegen.wholeStage": "false",
    "sql.codegen.factoryMode": "NO_CODEGEN",
    "sql.shuffle.partitions": "1",
    "sql.adaptive.enabled": "false",
}


@contextmanager
def in_every_process(**settings: str) -> Iterator[None]:
    """Has this and every process that a test starts do what stand_ins/sitecustomize.py says for `settings`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(Path(__file__).parent / "stand_ins"), prepend=os.pathsep)
        for name, value in settings.items():
            patched.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[tuple[str, Any]]:
    """The URL of a server, and a connection that may do everything."""
    with running_servers(Server, 1) as (server,):
        server.start("--skip-log-bin")
        with server.connect() as root:
            root.cursor().execute("create database home")
            yield server.url, root


@pytest.fixture
def galera_nodes() -> Iterator[list[Node]]:
    """Three servers of MariaDB that hold the same."""
    with running_servers(Node, 3) as nodes:
        for position, node in enumerate(nodes):
            node.join(nodes[:position])
        with nodes[0].connect() as root:
            root.cursor().execute("create database home")
        yield nodes


@contextmanager
def running(command: list[Any], is_ready: Callable[[], bool], watch: Watch, seconds: float = 60) -> Iterator[None]:
    """A server, from the moment that it is ready."""
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        watch(server)
        try:
            until = time.monotonic() + seconds
            while not is_ready():
                if server.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise RuntimeError(f"{command[0]} did not start: {log.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.05)
            yield
        finally:
            server.terminate()
            server.wait(30)
