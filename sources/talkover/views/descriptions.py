"""What tables and views are, what their columns mean, and what always holds of them: descriptions.toml, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, cast

import tomlkit

from ..sync.tables import KEYS, TableName, columns
from .translation import view_columns


@dataclass(frozen=True)
class Description:
    """`columns` is name to meaning, in order; `key` tells rows apart.

    `not_null` are columns that no row lacks. `values` has all values of a column, `references` the column of another
    table or view (`name.column`) that holds each of its values, but null.
    """

    description: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    not_null: tuple[str, ...]
    values: Mapping[str, list[str]] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)


@cache
def described() -> Mapping[str, Any]:
    """descriptions.toml as it is."""
    text = files(__package__).joinpath("descriptions.toml").read_text(encoding="utf-8")
    return cast(Mapping[str, Any], tomlkit.parse(text).unwrap())


def describe_table(name: str) -> Description:
    """That of one of our tables, or of dlt's table of loads."""
    said = described()["tables"][name]
    if name in KEYS:
        return _description(said, _meanings(name), KEYS[name])
    return _description(said, said["columns"], said["key"])


def key_of(name: str) -> tuple[str, ...]:
    """The columns that tell the rows of a table or view apart."""
    views = described()["views"]
    return tuple(views[name]["key"]) if name in views else KEYS[cast(TableName, name)]


def describe_view(name: str) -> Description:
    """Raises KeyError for a column that has no meaning."""
    said = described()["views"][name]
    meanings = _meanings("phone_numbers") | described()["columns"] | said.get("columns", {})
    return _description(said, {column: meanings[column] for column in view_columns(name)}, key_of(name))


def _meanings(table: TableName) -> dict[str, str]:
    return {name: column["description"] or "" for name, column in columns(table).items()}


def _description(said: Mapping[str, Any], meanings: Mapping[str, str], key: tuple[str, ...]) -> Description:
    return Description(
        description=said["description"],
        columns=meanings,
        key=tuple(key),
        not_null=tuple(said.get("not_null", key)),
        values=said.get("values", {}),
        references=said.get("references", {}),
    )
