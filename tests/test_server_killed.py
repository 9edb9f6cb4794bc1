"""PostgreSQL killed in the middle of a load, all of its processes at once, and started again on the same files."""

from __future__ import annotations

from contextlib import suppress
from threading import Timer

import pytest

from talkover import LoadError
from talkover.sandbox import Sandbox

from .conftest import Connector, at
from .postgres import running_server
from .test_load import Disturbing, DisturbingTheEnd, folder, play, undisturbed
from .warehouses import set_configuration

MOMENTS = (("Extract", 0.0), ("Load", 0.0), ("Load", 0.1), ("Load", 0.3))
"""Seconds after the beginning of a step."""


@pytest.mark.slow
@pytest.mark.postgres
def test_a_server_that_is_killed_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = undisturbed("duckdb", False)
    with running_server() as server:
        set_configuration(monkeypatch, "postgres", credentials=server.url)
        for step, seconds in MOMENTS:

            def kill_in_the_middle(connector: Connector, step: str = step, seconds: float = seconds) -> None:
                before = connector.state()
                kill = Timer(seconds, server.kill)
                with suppress(LoadError):  # or it was faster
                    connector.load(progress=Disturbing(step, kill.start), observed_at=at("2026-03-15T00:00:00"))
                kill.join()
                server.start()
                after = connector.state()
                for table, rows in after.items():  # each has a transaction of its own
                    assert rows in (before[table], expected[table]), table
                is_torn = after not in (before, expected)
                assert not is_torn or all(row["load_is_unfinished"] for row in connector.rows("data_health"))

            with folder(f"killed_in_{step}_after_{seconds:.1f}".replace(".", "_").lower()):
                assert play("postgres", False, kill_in_the_middle) == expected


@pytest.mark.slow
@pytest.mark.postgres
def test_a_server_that_is_killed_before_the_views_is_one_sentence(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server() as server:
        set_configuration(monkeypatch, "postgres", credentials=server.url)
        connector = Connector(sandbox, "postgres")
        with pytest.raises(LoadError, match="postgres does not answer: .*refused"):
            connector.load(progress=DisturbingTheEnd("Load", server.kill))
        server.start()
        assert connector.load().resources["phone_numbers"].listed == len(connector.rows("current_numbers"))
