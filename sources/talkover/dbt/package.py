"""A dbt package of the views: a model each, with the tables as sources, and what always holds of both as tests.

views/*.sql and views/descriptions.toml → models/*.sql, models/sources.yml, models/schema.yml

What is the same in every package lies in the folder `files`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from sqlglot import exp

from ..errors import ConfigurationError
from ..sync.tables import KEYS, MORE_RESOURCES, MORE_TABLES, TableName
from ..views import view_names
from ..views.descriptions import Description, describe_table, describe_view, described
from ..views.thresholds import Thresholds
from ..views.translation import DLT_TABLES, view_query, written

DIALECTS = ("duckdb", "postgres", "clickhouse", "bigquery", "snowflake", "databricks")
"""Those of sqlglot that dbt has an adapter for and that the views are tried in."""
FIXED = Path(__file__).parent / "files"
SOURCE = "talkover"
"""The name of the package, too."""
SCHEMA = "schema.yml"

Yaml = dict[str, Any]


@dataclass(frozen=True)
class Package:
    """What is written: `more` are those of MORE_RESOURCES that are loaded, the tables of the others are left out.

    A source whose last load began `stale_hours` ago is late.
    """

    dialect: str
    dataset: str
    stale_hours: int
    more: Collection[str] = ()
    thresholds: Thresholds | None = None

    def write(self, folder: Path) -> list[str]:
        """Writes it, in place of one that was written there before. Returns the names of the models.

        Raises ConfigurationError for a dialect that is not one of DIALECTS, and for a folder that holds something else.
        """
        if self.dialect not in DIALECTS:
            raise ConfigurationError(
                f"no package is written for {self.dialect}: give --dialect, one of {', '.join(DIALECTS)}"
            )
        _make_place(folder)
        shutil.copytree(FIXED, folder, dirs_exist_ok=True)
        for name in view_names():
            (folder / "models" / f"{name}.sql").write_text(f"{self._model(name)}\n", encoding="utf-8")
        _write(folder / "models/sources.yml", {"sources": [self._source()]})
        _write(folder / "models" / SCHEMA, {"models": [_described(name, describe_view(name)) for name in view_names()]})
        return list(view_names())

    @property
    def _absent(self) -> set[TableName]:
        return {*MORE_TABLES} - {table for resource in self.more for table in MORE_RESOURCES[resource]}

    def _model(self, name: str) -> str:
        query = view_query(name, self.dialect, _reference, absent=self._absent, thresholds=self.thresholds)
        return written(query, self.dialect)

    def _source(self) -> Yaml:
        tables = [table for table in (*KEYS, *DLT_TABLES) if table not in self._absent]
        return {
            "name": SOURCE,
            "description": "What `talkover load` writes.",
            **self._place(),
            "tables": [self._table(table) for table in tables],
        }

    def _place(self) -> Yaml:
        """Where the tables are, unless variables of the project say otherwise."""
        if self.dialect == "clickhouse":  # a dataset is a prefix there
            return {"schema": "{{ var('talkover_database', target.schema) }}"}
        return {"database": "{{ var('talkover_database', target.database) }}", "schema": self._dataset}

    @property
    def _dataset(self) -> str:
        return f"{{{{ var('talkover_schema', {json.dumps(self.dataset)}) }}}}"

    def _table(self, name: str) -> Yaml:
        description = describe_table(name)
        made = _described(name, description, more=described()["row_columns"] if name in KEYS else {})
        if self.dialect == "clickhouse":
            made["identifier"] = f"{self._dataset}___{name}"
        if name == "load_runs":
            made["config"] = {"loaded_at_field": "started_at", "freshness": _freshness(self.stale_hours)}
        return made


def _make_place(folder: Path) -> None:
    """Removes the models of a package that was written there before: views of another version may have other names."""
    project, schema = folder / "dbt_project.yml", folder / "models" / SCHEMA
    if project.is_file() and project.read_text(encoding="utf-8").startswith(f"name: {SOURCE}\n"):
        before = yaml.safe_load(schema.read_text(encoding="utf-8")) if schema.exists() else {"models": []}
        for model in before["models"]:
            schema.with_name(f"{model['name']}.sql").unlink(missing_ok=True)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is there and is no package of talkover: give another --out")


def _reference(name: str) -> exp.Table:
    """A table or view as dbt names it."""
    text = f"{{{{ ref('{name}') }}}}" if name in view_names() else f"{{{{ source('{SOURCE}', '{name}') }}}}"
    return exp.Table(this=exp.Var(this=text))


def _freshness(hours: int) -> Yaml:
    return {
        "warn_after": {"count": hours, "period": "hour"},
        "error_after": {"count": 2 * hours, "period": "hour"},
        "filter": "is_retired is null",
    }


def _described(name: str, description: Description, more: Mapping[str, str] | None = None) -> Yaml:
    """A table or view with its columns, and the tests of both."""
    made: Yaml = {"name": name, "description": _line(description.description)}
    if len(description.key) > 1:
        made["data_tests"] = [{"unique_key": {"arguments": {"columns": list(description.key)}}}]
    made["columns"] = [
        {"name": column, "description": _line(meaning), **_tests(column, description)}
        for column, meaning in (*description.columns.items(), *(more or {}).items())
    ]
    return made


def _tests(column: str, description: Description) -> Yaml:
    tests: list[Any] = ["unique"] if description.key == (column,) else []
    if column in description.not_null:
        tests.append("not_null")
    if values := description.values.get(column):
        tests.append({"accepted_values": {"arguments": {"values": values}}})
    if to := description.references.get(column):
        table, _, field = to.partition(".")
        found = f"ref('{table}')" if table in view_names() else f"source('{SOURCE}', '{table}')"
        tests.append({"relationships": {"arguments": {"to": found, "field": field}}})
    return {"data_tests": tests} if tests else {}


def _line(text: str) -> str:
    return " ".join(text.split())


def _write(file: Path, content: Yaml) -> None:
    file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
