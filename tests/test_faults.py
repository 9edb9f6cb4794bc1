"""Every fault at every place, alone and in pairs: a run loads the truth or says why not, and the next one is right.

The suite plays a sample; docs/reliability.md has the command that plays everything and writes the counts there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from random import Random

import pytest

from talkover import TalkoverError
from talkover.api.fields import AGENTS, CALLS, PHONE_NUMBERS, RELEASE_REQUESTS
from talkover.sandbox import FAULTS, Account, Fault, Sandbox

from .conftest import TODAY, Connector, Histories, at
from .model import Model, Table, tables_in
from .test_load import change_much

PAGES = {1: "first page", 2: "middle page", 3: "last page"}
FOUNDED, FIRST, SECOND = at("2026-03-13T00:00:00"), at("2026-03-14T00:00:00"), at("2026-03-15T00:00:00")
PAGE_SIZE = 3
ONE_DAY = timedelta(days=1)
SINCE = TODAY - 5 * ONE_DAY
STAYS = 99
TWO = "two in a row"
RELIABILITY = Path(__file__).parent.parent / "docs/reliability.md"
MATRIX_PART = re.compile(r"(<!-- faults: .*? -->\n).*(<!-- end of faults -->)", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """The faults that strike one page one after the other, each `times` often, in a first or in a later run."""

    faults: tuple[str, ...]
    endpoint: str
    page: int
    is_first_run: bool
    times: int = 1

    def __str__(self) -> str:
        kinds = " then ".join(self.faults) + (" that stays" if self.times == STAYS else "")
        run = "first run" if self.is_first_run else "later run"
        return f"{kinds}, {self.endpoint}, {PAGES[self.page]}, {run}"


DOES_NOT_PASS = ("400", "401", "401-expired", "403", "404", "success-false", "no-data", "null-data")
"""Never asked again, so that nothing can come after them."""

PLACES = list(product((PHONE_NUMBERS, RELEASE_REQUESTS), PAGES, (True, False)))
ALONE = [
    Cell((kind,), *place, times)
    for kind in FAULTS
    for times in ((1,) if kind in DOES_NOT_PASS else (1, STAYS))
    for place in PLACES
]
IN_A_ROW = list(product([kind for kind in FAULTS if kind not in DOES_NOT_PASS], FAULTS))
PAIRS = [Cell(kinds, *PLACES[n % len(PLACES)]) for n, kinds in enumerate(IN_A_ROW)]
SAMPLE = [
    *(
        Cell((kind,), *PLACES[5 * n % len(PLACES)], STAYS if n % 2 and kind not in DOES_NOT_PASS else 1)
        for n, kind in enumerate(FAULTS)
    ),
    *PAIRS[::25],
]
MATRIX = list(dict.fromkeys(SAMPLE + ALONE + Random(1).sample(PAIRS, len(PAIRS))))


MORE_PLACES = list(product((AGENTS, CALLS), PAGES, (True, False)))
MORE = [
    Cell((kind,), *place, times)
    for kind in FAULTS
    for times in ((1,) if kind in DOES_NOT_PASS else (1, STAYS))
    for place in MORE_PLACES
]
MORE_SAMPLE = [MORE[17 * n % len(MORE)] for n in range(len(MORE))]
"""Of the endpoints that are off unless asked for: 17 has no factor in common with the number of cells."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" in metafunc.fixturenames:
        cells = MORE_SAMPLE if "start" not in metafunc.fixturenames else MATRIX
        metafunc.parametrize("cell", cells[: metafunc.config.getoption("--fault-cells")], ids=str)


def account_of_three_pages() -> Account:
    """Of each endpoint: 8 rows, three a page."""
    account = Account(seed=3, size=8, founded=TODAY)
    some = next(iter(account.requests.values()))
    while len(account.requests) < 8:
        id = f"request-{len(account.requests)}"
        account.requests[id] = some | {"id": id, "status": "pending"}
    return account


def load(connector: Connector, day: object) -> None:
    # One page after the other, so that a list that moves does so between two pages. Views do not depend on the API.
    connector.load(per_page=PAGE_SIZE, max_concurrent_requests=1, observed_at=day, create_views=False)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.5")
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "3")
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_RETRY_DELAY", "1")


@dataclass
class Start:
    """What a cell begins with: an account, what the tables hold, and the folder that holds them."""

    account: Account
    model: Model
    folder: Path


@pytest.fixture
def start(cell: Cell, workspace: Path, histories: Histories) -> Start:
    account = account_of_three_pages()
    if cell.is_first_run:
        return Start(account, Model(), workspace)
    model = Model().load(account, FOUNDED)
    with Sandbox(account) as sandbox:
        connector = Connector(sandbox)
        histories.once("an account of three pages", connector, lambda: load(connector, FOUNDED))
    change_much(account)
    return Start(account, model, workspace)


def write_matrix(endings: Iterable[tuple[str, str]]) -> None:
    """Puts into the documentation how many cells of which fault ended how."""
    text = RELIABILITY.read_text()
    table = table_of(Counter(endings))
    RELIABILITY.write_text(MATRIX_PART.sub(lambda part: part[1] + table + part[2], text))


def table_of(counted: Counter[tuple[str, str]]) -> str:
    lines = ["| fault | cells | loaded the truth | refused, nothing lost |", "| --- | --- | --- | --- |"]
    for name in (*FAULTS, TWO, "all"):
        loaded, refused = (
            sum(count for (kind, ending), count in counted.items() if ending == end and name in (kind, "all"))
            for end in ("loaded", "refused")
        )
        lines.append(f"| {name} | {loaded + refused} | {loaded} | {refused} |")
    return "\n" + "\n".join(lines) + "\n\n"


@pytest.mark.product
def test_a_run_loads_the_truth_or_says_why_not(
    cell: Cell, start: Start, record_property: Callable[[str, object], None]
) -> None:
    account, before = start.account, start.model
    numbers_before = dict(account.numbers)
    with Sandbox(account) as sandbox:
        connector = Connector(sandbox)
        sandbox.faults = [Fault(kind, cell.endpoint, cell.page, cell.times) for kind in cell.faults]
        outcome = run(connector)
        found = tables_in() if Path("talkover_pipeline.duckdb").exists() else Model().tables
        if outcome == "refused":
            assert found == before.tables
        elif account.numbers == numbers_before:
            assert found == before.load(account, FIRST).tables
        else:
            known = before.tables["phone_numbers"]
            assert_moving_list_is_held(found, known, numbers_before, account.numbers)
        sandbox.faults = []
        load(connector, SECOND)
        found_after = tables_in()
        assert found_after == Model(found).load(account, SECOND).tables
        assert Model(found_after).held("phone_number_changes").keys() == account.numbers.keys()
    record_property("ending", (cell.faults[0] if len(cell.faults) == 1 else TWO, outcome))


def run(connector: Connector) -> str:
    """How the run under faults ends; anything but these two is a failure."""
    try:
        load(connector, FIRST)
    except TalkoverError as error:
        return "refused" if error.exit_code else "refused with exit code 0"
    return "loaded"


def assert_moving_list_is_held(found: dict[str, Table], known: Table, before: Table, after: Table) -> None:
    """No single moment was read; but what was held all the time is there, and nothing that never was.

    Only of numbers that no run has seen yet one may be hidden until the next run: to read every list with new numbers
    twice would double the requests.
    """
    for held in (found["phone_numbers"].keys(), Model(found).held("phone_number_changes").keys()):
        assert known.keys() & before.keys() & after.keys() <= held, "a number is lost"
        assert held <= before.keys() | after.keys(), "a number is there that never was"


def test_the_sample_has_every_fault_and_every_place() -> None:
    assert {cell.faults[0] for cell in SAMPLE} == set(FAULTS)
    assert {(cell.endpoint, cell.page, cell.is_first_run) for cell in SAMPLE} == set(PLACES)


# Agents and calls.


@pytest.mark.product
def test_agents_and_calls_are_the_truth_too_or_nothing_of_them(cell: Cell) -> None:
    account = Account(seed=3, size=8, founded=TODAY)
    with Sandbox(account) as sandbox:
        connector = Connector(sandbox)
        few_calls(account, TODAY - ONE_DAY, 8)
        while len(account.agents) < 8:
            account.hire()
        if not cell.is_first_run:
            load_more(connector, FOUNDED)
            few_calls(account, TODAY - ONE_DAY, 9)
            account.hire()
        before, served = held_of(connector), served_of(account)
        sandbox.faults = [Fault(kind, cell.endpoint, cell.page, cell.times) for kind in cell.faults]
        try:
            load_more(connector, FIRST)
        except TalkoverError:
            found = held_of(connector)
            assert found[cell.endpoint] == before[cell.endpoint]
            assert found[AGENTS] == (before if cell.endpoint == AGENTS else served)[AGENTS]
        else:
            stayed = served[cell.endpoint].keys() & served_of(account)[cell.endpoint].keys()
            if "swapping" in cell.faults:  # as of numbers, one that no run has seen may be hidden until the next run
                stayed &= before[cell.endpoint].keys()
            assert stayed <= held_of(connector)[cell.endpoint].keys(), "a row is lost"
        sandbox.faults = []
        load_more(connector, SECOND)
        found, served = held_of(connector), served_of(account)
        assert found[AGENTS] == served[AGENTS]
        assert served[CALLS].items() <= found[CALLS].items()


def few_calls(account: Account, day: date, how_many: int) -> None:
    """So many calls on `day`, and none on those around it."""
    like = account.calls_on(day)[0]
    account.calls |= {day + days * ONE_DAY: [] for days in range(-20, 5)}
    account.calls[day] = [like | {"id": f"call-{n}"} for n in range(how_many)]


def load_more(connector: Connector, day: object) -> None:
    calls = {"calls": True, "calls_since": SINCE, "caller_key": "the key of the tests"}
    paged = {"per_page": PAGE_SIZE, "max_concurrent_requests": 1}
    connector.load(agents=True, **calls, **paged, observed_at=day, create_views=False)


def served_of(account: Account) -> dict[str, dict[str, object]]:
    """Agents and their names, calls and their status."""
    agents = {agent["id"]: agent["name"] for agent in account.agents}
    return {AGENTS: agents, CALLS: {call["id"]: call["status"] for call in account.calls_between(SINCE, TODAY)}}


def held_of(connector: Connector) -> dict[str, dict[str, object]]:
    tables = (
        {AGENTS: {}, CALLS: {}} if not Path("talkover_pipeline.duckdb").exists() else connector.tables(AGENTS, CALLS)
    )
    agents = {row["id"]: row["name"] for row in tables[AGENTS]}
    return {AGENTS: agents, CALLS: {row["id"]: row["status"] for row in tables[CALLS]}}
