"""MariaDB on several nodes that hold the same by Galera: any of them can be loaded, and be lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pandas.testing import assert_frame_equal

from talkover import LoadError
from talkover.sandbox import Account, Sandbox

from .conftest import TODAY, Connector
from .mariadb import Node
from .test_load import Disturbing
from .test_views import GRAIN, OF_CALLS_ALONE, REFERENCE, noon, sorted_rows
from .warehouses import set_configuration


@pytest.mark.mariadb
@pytest.mark.core
@pytest.mark.slow
def test_loads_through_any_node_of_mariadb_go_on_when_one_is_killed(
    galera_nodes: list[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = galera_nodes
    account = Account(seed=5, size=40, founded=TODAY - timedelta(days=90))
    with Sandbox(account) as sandbox:
        connector = Connector(sandbox, "sqlalchemy")

        def load(through: Node, days: int, **arguments: Disturbing) -> None:
            account.advance(TODAY - timedelta(days=days))
            connector.load(observed_at=noon(account.today), agents=True, **REFERENCE)
            set_configuration(monkeypatch, "sqlalchemy", credentials=through.url)
            connector.load(observed_at=noon(account.today), agents=True, **arguments)

        load(first, 90)
        load(second, 60)
        with pytest.raises(LoadError, match="load step failed: .*Can't connect"):
            load(first, 30, progress=Disturbing("Load", first.kill))
        load(second, 30)
        load(third, 0)
    set_configuration(monkeypatch, "sqlalchemy", credentials=second.url)
    for name in GRAIN.keys() - OF_CALLS_ALONE:
        found, expected = sorted_rows(name, destination="sqlalchemy"), sorted_rows(name, **REFERENCE)
        assert_frame_equal(found, expected, check_dtype=False, obj=name)
