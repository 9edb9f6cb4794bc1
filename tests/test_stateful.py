"""Random lives of an account, loaded in random ways under random faults: the tables always equal the model's."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from talkover import TalkoverError, load_account, talkover_source
from talkover.api.fields import PHONE_NUMBERS, RELEASE_REQUESTS
from talkover.load.pipeline import open_pipeline
from talkover.sandbox import Account, Fault, Sandbox

from .conftest import TABLES, TODAY, at
from .model import Model, tables_in

PASSING = ("500", "502", "503", "408", "empty", "html", "cut", "drop", "429-bare")
STAYING = ("500", "401", "403", "404", "success-false", "no-data", "null-data", "wrong-total")
DRIFTING = ("shrinking", "growing", "swapping")
PAGE_SIZE = 4

places = st.tuples(st.sampled_from((PHONE_NUMBERS, RELEASE_REQUESTS)), st.integers(1, 3))
which = st.integers(0, 50)


class Lives(RuleBasedStateMachine):
    """An account of about three pages, a DuckDB file, and the model of what that must hold."""

    def __init__(self) -> None:
        super().__init__()
        shutil.rmtree("dlt", ignore_errors=True)
        Path("talkover_pipeline.duckdb").unlink(missing_ok=True)
        self.account = Account(seed=4, size=9, founded=TODAY)
        self.sandbox = Sandbox(self.account).__enter__()
        self.model = Model()
        self.now = at("2025-01-01T00:00:00")
        self.left_pending: Model | None = None

    def teardown(self) -> None:
        self.sandbox.__exit__()

    # What happens in the account.

    @rule()
    def buy(self) -> None:
        self.account.buy()

    @precondition(lambda self: self.account.numbers)
    @rule(n=which)
    def release(self, n: int) -> None:
        self.account.release(self._id(n))

    @precondition(lambda self: self.account.numbers)
    @rule(
        n=which,
        values=st.sampled_from(
            [
                {"current_status": "suspended"},
                {"current_status": "active"},
                {"monthly_renewal_cost": 7.5},
                {"monthly_renewal_cost": None, "currency": None},
                {"type": "fax"},
                {"agents": None},
                {"agents": []},
                {"agents": [{"id": "a", "name": "Ana"}]},
                {"agents": [{"id": "b", "name": "Bruno"}, {"id": "a", "name": "Ana B."}]},
                {"days_until_monthly_renewal": 3},
                {"updated_at": "2026-03-14T00:00:00Z"},
            ]
        ),
    )
    def edit(self, n: int, values: dict[str, Any]) -> None:
        self.account.numbers[self._id(n)].update(values)

    @rule(days=st.integers(1, 40))
    def live(self, days: int) -> None:
        self.account.advance(self.account.today + timedelta(days=days))

    @precondition(lambda self: self.account.requests)
    @rule(n=which, status=st.sampled_from(("pending", "approved", "cancelled")))
    def settle(self, n: int, status: str) -> None:
        requests = list(self.account.requests.values())
        requests[n % len(requests)]["status"] = status

    @precondition(lambda self: self.account.requests)
    @rule(n=which)
    def forget_a_request(self, n: int) -> None:
        del self.account.requests[list(self.account.requests)[n % len(self.account.requests)]]

    # Runs.

    @rule(full_refresh=st.booleans(), allow_mass_removal=st.booleans())
    def load(self, full_refresh: bool, allow_mass_removal: bool) -> None:
        instant = self._later()
        guarded = self._settled().is_guarded(self.account) and not allow_mass_removal
        is_loaded = self._run(instant, full_refresh=full_refresh, allow_mass_removal=allow_mass_removal)
        assert is_loaded is not guarded
        self.model = self.model.load(self.account, instant) if is_loaded else self.model

    @rule(type=st.sampled_from(("voice", "fax", "sms")))
    def load_some(self, type: str) -> None:
        instant = self._later()
        assert self._run(instant, type=type, allow_mass_removal=True)
        self.model = self.model.load(self.account, instant, type=type)

    @precondition(lambda self: self.left_pending is None)
    @rule(selected=st.lists(st.sampled_from(TABLES), min_size=1, unique=True).map(tuple))
    def load_selected(self, selected: tuple[str, ...]) -> None:
        instant = self._later()
        source = self._source(instant).with_resources(*selected)
        try:
            open_pipeline("duckdb", "talkover").run(source, loader_file_format="parquet")
        except PipelineStepFailed:
            assert self.model.is_guarded(self.account, selected)
            return
        assert not self.model.is_guarded(self.account, selected)
        self.model = self.model.load(self.account, instant, selected)

    @rule(kind=st.sampled_from(PASSING), place=places, times=st.integers(1, 2))
    def load_in_spite_of(self, kind: str, place: tuple[str, int], times: int) -> None:
        self.sandbox.faults = [Fault(kind, *place, times=times)]
        self.load(full_refresh=False, allow_mass_removal=True)

    @rule(kind=st.sampled_from(STAYING), place=places)
    def fail_or_load(self, kind: str, place: tuple[str, int]) -> None:
        instant = self._later()
        self.sandbox.faults = [Fault(kind, *place, times=99)]
        if self._run(instant, allow_mass_removal=True):
            self.model = self.model.load(self.account, instant)  # there was no such page

    @rule(kind=st.sampled_from(DRIFTING), page=st.integers(1, 3))
    def load_while_it_moves(self, kind: str, page: int) -> None:
        """Between two pages; what is there afterwards is checked, and taken for what the next run starts from."""
        instant, before = self._later(), set(self.account.numbers)
        known = self._settled().tables["phone_numbers"].keys()
        if not before:
            return
        self.sandbox.faults = [Fault(kind, PHONE_NUMBERS, page)]
        if not self._run(instant, allow_mass_removal=True):
            return
        found = Model(tables_in())
        after = set(self.account.numbers)
        for held in (found.tables["phone_numbers"].keys(), found.held("phone_number_changes").keys()):
            assert known & before & after <= held <= before | after  # one never seen may wait for the next run
        self.model = found

    @precondition(lambda self: self.left_pending is None)
    @rule(step=st.sampled_from(("extract", "normalize")))
    def die_after(self, step: str) -> None:
        """What a killed process leaves behind; the next run loads it first.

        Where nothing was ever loaded it goes: dlt forgets what it has for a dataset that is not there.
        """
        instant = self._later()
        pipeline = open_pipeline("duckdb", "talkover")
        pipeline.sync_destination()
        pipeline.extract(self._source(instant, allow_mass_removal=True), loader_file_format="parquet")
        if step == "normalize":
            pipeline.normalize()
        with pipeline.sql_client() as client:
            self.left_pending = self.model.load(self.account, instant) if client.has_dataset() else None

    @rule()
    def lose_the_working_directory(self) -> None:
        shutil.rmtree("dlt", ignore_errors=True)
        self.left_pending = None

    @invariant()
    def tables_equal_the_model(self) -> None:
        found = tables_in() if Path("talkover_pipeline.duckdb").exists() else Model().tables
        assert found == self.model.tables

    def _run(self, instant: datetime, **arguments: Any) -> bool:
        """Whether it loaded. What was left pending is loaded in any case."""
        where = {"destination": "duckdb", "dataset": "talkover", "observed_at": instant, "create_views": False}
        account = {"api_token": self.sandbox.token, "base_url": self.sandbox.base_url, "per_page": PAGE_SIZE}
        self.model, self.left_pending = self._settled(), None
        try:
            load_account(**where, **account, max_concurrent_requests=1, **arguments)
        except TalkoverError as error:
            if not self.sandbox.faults and "--allow-mass-removal" not in str(error):
                raise
            return False
        finally:
            self.sandbox.faults = []
        return True

    def _settled(self) -> Model:
        return self.left_pending or self.model

    def _source(self, instant: datetime, **arguments: Any) -> Any:
        address = {"base_url": self.sandbox.base_url, "per_page": PAGE_SIZE, "observed_at": instant}
        return talkover_source(self.sandbox.token, **address, **arguments)

    def _later(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now

    def _id(self, n: int) -> str:
        return list(self.account.numbers)[n % len(self.account.numbers)]


@pytest.mark.product
@pytest.mark.slow
def test_after_any_life_the_tables_equal_the_model(request: pytest.FixtureRequest, workspace: Path) -> None:
    lives = request.config.getoption("--lives")
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=lives,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # to shrink takes hours: add Phase.shrink to look into a failure
        ),
    )
