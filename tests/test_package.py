"""What the package promises to those who import it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import requires
from pathlib import Path

import duckdb
import pytest
from packaging.requirements import Requirement

import talkover
from talkover.sandbox import Sandbox
from talkover.views import view_names

from .environments import ROOT, uv


def test_public_names_are_there_and_sorted() -> None:
    assert talkover.__all__ == sorted(talkover.__all__)
    for name in talkover.__all__:
        assert getattr(talkover, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(talkover, "nonsense")


def test_importing_the_package_imports_neither_dlt_nor_pandas() -> None:
    check = "import sys, talkover; print(sorted({'dlt', 'pandas', 'pyarrow', 'requests'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_error_is_a_talkover_error_with_an_exit_code() -> None:
    errors = [
        getattr(talkover, name) for name in talkover.__all__ if name.endswith(("Error", "Payload", "Listing", "Row"))
    ]
    for error in (*errors, talkover.SuspiciousRemoval, talkover.RunInProgress):
        assert issubclass(error, talkover.TalkoverError)
        assert error.exit_code == (2 if error is talkover.ConfigurationError else 1)


@pytest.mark.environment
@pytest.mark.slow
def test_the_wheel_works_in_a_clean_environment_and_an_empty_folder(workspace: Path) -> None:
    (wheel,) = built(workspace / "wheel", ROOT, "--wheel").glob("*.whl")
    assert wheel.name.startswith(f"talkover-{talkover.__version__}-")
    clean = workspace / "clean"
    uv("venv", "--quiet", "--no-python-downloads", "--python", sys.executable, str(clean))
    uv("pip", "install", "--quiet", "--python", str(clean / "bin/python"), str(wheel))
    (package,) = clean.glob("lib/python*/site-packages/talkover")
    assert (package / "py.typed").exists()

    empty = workspace / "empty"
    empty.mkdir()
    version = run([clean / "bin/talkover", "--version"], empty)
    assert version == f"talkover {talkover.__version__}\n"
    assert "phone_numbers" in run([clean / "bin/talkover", "load", "--demo"], empty)
    assert f": {len(view_names())} models, for duckdb" in run(
        [clean / "bin/talkover", "dbt", "--out", "package"], empty
    )
    with duckdb.connect(str(empty / "talkover_demo.duckdb"), read_only=True) as connection:
        views = connection.sql("select view_name from duckdb_views() where schema_name = 'talkover'").fetchall()
        rows = connection.sql("select count(*) from talkover.phone_numbers").fetchall()
    assert {name for (name,) in views} == {*view_names()}
    assert rows[0][0] > 0
    read = "from talkover import read_view; print(len(read_view('data_health', pipeline_name='talkover_demo')))"
    without_pandas = subprocess.run(
        [clean / "bin/python", "-c", read], cwd=empty, capture_output=True, text=True, check=False
    )
    assert without_pandas.stderr.splitlines()[-1] == (
        "talkover.errors.ConfigurationError: pandas is missing. Run: pip install 'talkover[notebooks]'"
    )
    uv("pip", "install", "--quiet", "--python", str(clean / "bin/python"), f"talkover[notebooks] @ {wheel.as_uri()}")
    assert run([clean / "bin/python", "-c", read], empty) == "2\n"


@pytest.mark.environment
def test_nothing_that_a_user_made_in_the_folder_is_packed(workspace: Path) -> None:
    """Settings and output, by the names of the docs: with a token, telephone numbers and a password."""
    folder = workspace / "folder"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".venv*", ".git", ".*_cache", "__pycache__"))
    made = (".dlt/secrets.toml", ".dlt/config.toml", "mail.conf", "report.html", "report.xlsx", "loads.jsonl")
    backups = (
        "talkover.dump",
        "exported/load.sql",
        "backup/talkover_pipeline.duckdb.wal",
        "talkover_dbt/models/sources.yml",
    )
    databases = ("talkover_pipeline.duckdb", "sources/talkover/numbers.duckdb", "notebooks/numbers.parquet")
    for name in (*made, *backups, *databases):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("private")
    packed = built(workspace / "packed", folder)
    (archive,), (wheel,) = packed.glob("*.tar.gz"), packed.glob("*.whl")
    with tarfile.open(archive) as opened:
        files = [member for member in opened.getmembers() if member.isfile()]
        assert [member.name for member in files if opened.extractfile(member).read() == b"private"] == []  # type: ignore[union-attr]
    with zipfile.ZipFile(wheel) as whole:
        names = whole.namelist()
    assert {name.split("/")[0].removesuffix(f"-{talkover.__version__}.dist-info") for name in names} == {"talkover"}
    assert {Path(name).suffix for name in names if "dist-info" not in name} == {
        *(".html", ".ipynb", ".py", ".sql", ".toml", ".typed", ".yml")
    }


def built(into: Path, folder: Path, *what: str) -> Path:
    """Packs the project in `folder`; both archives unless `what` says which."""
    uv("build", "--quiet", *what, "--out-dir", str(into), str(folder))
    return into


def test_the_version_stands_in_one_place() -> None:
    code = [ROOT / "pyproject.toml", *ROOT.glob("sources/**/*.py"), *ROOT.glob("pipelines/*")]
    with_version = [file for file in code if file.is_file() and f'"{talkover.__version__}"' in file.read_text()]
    assert with_version == [ROOT / "sources/talkover/__init__.py"]


@pytest.mark.environment
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_python_finds_all_it_needs_without_a_compiler(python: str) -> None:
    uv("pip", "compile", "--quiet", "--no-build", "--python-version", python, "--extra", "dev", "pyproject.toml")


READS_BACK = """
import dlt
from talkover import load_account
from talkover.sandbox import Account, Sandbox

with Sandbox(Account(size=57)) as sandbox:
    load_account(api_token=sandbox.token, base_url=sandbox.base_url)
loaded = dlt.pipeline("talkover_pipeline", destination="duckdb", dataset_name="talkover").dataset()
assert loaded["phone_numbers"].arrow().num_rows == 57
"""


@pytest.mark.environment
@pytest.mark.parametrize(
    ("package", "why"),
    [
        ("dlt", "only dlt<="),  # none is beyond it yet
        ("duckdb", "'DuckDBPyConnection' object has no attribute 'fetch_arrow_table'"),
        ("sqlglot", "qualify() got an unexpected keyword argument 'infer_schema'"),
    ],
    ids=["dlt", "duckdb", "sqlglot"],
)
def test_an_upper_bound_of_pyproject_is_still_needed(package: str, why: str, workspace: Path) -> None:
    """Red once the newest version beyond the bound can be installed, and what is loaded read with it: lift it then."""
    needed = next(found for found in map(Requirement, requires("talkover") or ()) if found.name == package)
    (bound,) = (part.version for part in needed.specifier if part.operator == "<")
    (workspace / "beyond.txt").write_text(f"{package}>={bound}")
    python = str(workspace / "beyond/bin/python")
    uv("venv", "--quiet", "--no-python-downloads", "--python", sys.executable, str(workspace / "beyond"))
    try:
        uv("pip", "install", "--quiet", "--python", python, "-e", ".", "--override", str(workspace / "beyond.txt"))
    except AssertionError as error:  # there is none
        said = str(error)
    else:
        reads = [python, "-c", READS_BACK]
        said = subprocess.run(reads, capture_output=True, text=True, timeout=300, check=False).stderr
    assert why in said, f"{package} {bound}: {said or 'what is loaded can be read'}"


COPIED = """
import dlt
import talkover

print(talkover.__file__)
pipeline = dlt.pipeline("calls", destination="duckdb", dataset_name="numbers")
pipeline.run(talkover.talkover_source())
print(pipeline.dataset()("select count(*) from phone_numbers").fetchall()[0][0])
"""


@pytest.mark.slow
def test_a_copied_folder_works_in_another_dlt_project(workspace: Path, sandbox: Sandbox) -> None:
    """As dlt's users take in a source: its folder beside their script, the token in their .dlt/secrets.toml."""
    project = workspace / "project"
    shutil.copytree(ROOT / "sources/talkover", project / "talkover", ignore=shutil.ignore_patterns("__pycache__"))
    (project / ".dlt").mkdir()
    secrets = f'[sources.talkover]\napi_token = "{sandbox.token}"\nbase_url = "{sandbox.base_url}"\n'
    (project / ".dlt/secrets.toml").write_text(secrets)
    (project / "calls.py").write_text(COPIED)
    printed = run([sys.executable, "calls.py"], project, PYTHONPATH=str(project))
    assert printed.split() == [str(project / "talkover/__init__.py"), "57"]


def run(command: list[str | Path], folder: Path, **settings: str) -> str:
    """What a command prints, that runs in `folder` with few variables and must succeed."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "DLT_DATA_DIR": str(folder / "dlt"), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environ | {"RUNTIME__DLTHUB_TELEMETRY": "false"} | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
