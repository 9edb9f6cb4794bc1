"""A new token as docs/schedulers.md has it: `talkover check` says whether it is that of the environment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from talkover import SuspiciousRemoval
from talkover.load.check import check_account
from talkover.sandbox import Account, Fault, Sandbox

from .conftest import TODAY, Connect, Connector

OLD, NEW, STAGING, ANOTHER = "talq_old", "talq_new", "talq_staging", "talq_another"


@pytest.fixture
def production() -> Account:
    return Account(seed=1, size=57, founded=TODAY)


@pytest.fixture
def sandbox(production: Account) -> Iterator[Sandbox]:
    """Production takes two tokens, staging one; the fourth is of an account that nobody knows."""
    staging, another = Account(seed=2, size=12, founded=TODAY), Account(seed=3, size=40, founded=TODAY)
    with Sandbox({OLD: production, NEW: production, STAGING: staging, ANOTHER: another}) as running:
        yield running


@pytest.fixture
def loaded(connect: Connect, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """Both environments are loaded, with the old token."""
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
    connector = connect(sandbox)
    connector.load(api_token=None, environments={"production": OLD, "staging": STAGING}, create_views=False)
    sandbox.seen.clear()
    return connector


class Check:
    """What `talkover check` says of tokens that are set as the documentation has it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __call__(self, connector: Connector, **tokens: str) -> dict[str, tuple[bool, str]]:
        self.monkeypatch.setenv("SOURCES__TALKOVER__ENVIRONMENTS", json.dumps(tokens))
        findings = list(check_account(connector.destination, connector.dataset))
        assert not any(token in finding.says for finding in findings for token in tokens.values())
        return {finding.what.removeprefix("environment "): (finding.is_good, finding.says) for finding in findings}


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    return Check(monkeypatch)


@pytest.mark.essential
def test_a_new_token_of_the_same_environment_says_what_it_was_compared_with(
    loaded: Connector, production: Account, check: Check
) -> None:
    for number in list(production.numbers)[:2]:
        production.release(number)
    production.buy()
    says = check(loaded, production=NEW, staging=STAGING)
    assert says["production: /phone-numbers"] == (
        True,
        "the token works; 56 numbers on 1 page; among them 55 of the 57 that are loaded",
    )
    assert says["staging: /phone-numbers"][1].endswith("12 numbers on 1 page; among them 12 of the 12 that are loaded")
    requests = len(production.requests)
    assert says["production: /phone-numbers/release-requests"][1].endswith(
        f"among them {requests} of the {requests} that are loaded"
    )
    assert all(is_good for is_good, _ in says.values())


@pytest.mark.duckdb
def test_a_list_of_several_pages_is_read_whole(
    loaded: Connector, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__PER_PAGE", "20")
    assert check(loaded, production=NEW)["production: /phone-numbers"] == (
        True,
        "the token works; 57 numbers on 3 pages; among them 57 of the 57 that are loaded",
    )


@pytest.mark.duckdb
def test_tokens_that_are_swapped_are_said_to_be(loaded: Connector, check: Check) -> None:
    says = check(loaded, production=STAGING, staging=NEW)
    assert says["production: /phone-numbers"] == (
        False,
        "GET /phone-numbers (environment 'production') lists 12 numbers, of which 12 are loaded as environment "
        "'staging': the token may be that of the other one. Give each environment its own",
    )
    is_good, why = says["staging: /phone-numbers"]
    assert not is_good
    assert "57 are loaded as environment 'production'" in why


@pytest.mark.duckdb
def test_a_token_under_a_name_that_nothing_is_loaded_of_is_said_to_be_anothers(loaded: Connector, check: Check) -> None:
    """As where the one environment is tried under the name `default`."""
    is_good, why = check(loaded, default=NEW)["default: /phone-numbers"]
    assert not is_good
    assert "lists 57 numbers, of which 57 are loaded as environment 'production'" in why


@pytest.mark.duckdb
def test_an_environment_more_is_new(loaded: Connector, check: Check) -> None:
    assert check(loaded, production=NEW, test=ANOTHER)["test: /phone-numbers"] == (
        True,
        "the token works; 40 numbers on 1 page; none of them is loaded under this name yet",
    )


@pytest.mark.duckdb
@pytest.mark.parametrize("per_page", ["20", "100"])
def test_a_token_of_another_account_is_refused_though_it_shares_a_number(
    per_page: str, loaded: Connector, production: Account, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__PER_PAGE", per_page)
    another = Account(seed=3, size=40, founded=TODAY)
    id, shared = next(iter(production.numbers.items()))
    another.numbers = {id: shared, **another.numbers}
    with Sandbox({ANOTHER: another}) as theirs:
        monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", theirs.base_url)
        is_good, why = check(loaded, production=ANOTHER)["production: /phone-numbers"]
    assert not is_good
    assert "lists 41 rows where 57 were known: 56 would be removed" in why


@pytest.mark.duckdb
def test_most_of_a_few_numbers_are_missed(connect: Connect, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load would take it: of fewer than ten numbers any but all may go."""
    account = Account(seed=5, size=4, founded=TODAY)
    with Sandbox({OLD: account}) as sandbox:
        monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
        connector = connect(sandbox)
        connector.load(environment_key="production", create_views=False)
        for number in list(account.numbers)[:3]:
            account.release(number)
        is_good, why = check(connector, production=OLD)["production: /phone-numbers"]
    assert not is_good
    assert "lists 1 numbers, and 3 of the 4 that are loaded are not among them: the token may be" in why


@pytest.mark.duckdb
def test_where_numbers_are_left_out_the_requests_say_whose_the_token_is(
    loaded: Connector, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__WITHOUT", '["phone_numbers"]')
    says = check(loaded, production=ANOTHER)
    assert says["production: /phone-numbers"] == (True, "not requested, as configured with `without`")
    is_good, why = says["production: /phone-numbers/release-requests"]
    assert not is_good
    assert "that are loaded are not among them: the token may be that of another environment or account" in why


@pytest.mark.duckdb
def test_agents_are_compared_where_they_are_loaded(
    loaded: Connector, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__WITH", '["agents"]')
    loaded.load(api_token=None, environments={"production": OLD, "staging": STAGING}, create_views=False)
    assert check(loaded, production=NEW)["production: /agents"] == (
        True,
        "the token works; 3 agents on 1 page; among them 3 of the 3 that are loaded",
    )
    is_good, why = check(loaded, production=STAGING)["production: /agents"]
    assert not is_good
    assert "of which 3 are loaded as environment 'staging'" in why


@pytest.mark.duckdb
def test_two_tokens_of_one_environment_are_said_to_be_before_anything_is_loaded(
    connect: Connect, sandbox: Sandbox, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
    says = check(connect(sandbox), production=OLD, staging=NEW)
    assert says["production: /phone-numbers"] == (True, "the token works; 57 numbers on 1 page")
    is_good, why = says["staging: /phone-numbers"]
    assert not is_good
    assert "lists 57 numbers, of which 57 are listed for environment 'production'" in why


@pytest.mark.duckdb
def test_a_number_of_two_environments_is_told(
    connect: Connect, sandbox: Sandbox, production: Account, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
    another = sandbox.accounts[ANOTHER]  # type: ignore[index]
    id, shared = next(iter(production.numbers.items()))
    another.numbers[id] = shared
    assert check(connect(sandbox), production=OLD, test=ANOTHER)["test: /phone-numbers"] == (
        True,
        "the token works; 41 numbers on 1 page; also listed for environment 'production': 1 of them",
    )


@pytest.mark.duckdb
def test_a_list_that_never_adds_up_proves_nothing(
    loaded: Connector, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__PER_PAGE", "20")
    loaded.sandbox.faults = [Fault("wrong-total", "phone-numbers", times=99)]
    is_good, why = check(loaded, production=NEW)["production: /phone-numbers"]
    assert not is_good
    assert "57 distinct rows on 3 pages, but the API's total is 58, after 3 attempts" in why


@pytest.mark.duckdb
def test_what_cannot_be_compared_is_said(loaded: Connector, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "talkover_pipeline.duckdb")
    with open("talkover_pipeline.duckdb", "wb") as file:
        file.write(b"no database" * 1000)
    says = check(loaded, production=NEW)
    assert says["production: /phone-numbers"][1].endswith("; not compared with what is loaded, which cannot be read")
    assert not says["destination duckdb"][0]


@pytest.mark.duckdb
def test_a_load_with_swapped_tokens_is_refused(loaded: Connector) -> None:
    """No number is gone: each would have changed its environment."""
    before = loaded.state()
    swapped = {"production": STAGING, "staging": OLD}
    with pytest.raises(SuspiciousRemoval, match="'production'.* lists 12 rows, and none of the 57 numbers"):
        loaded.load(api_token=None, environments=swapped, create_views=False)
    assert loaded.state() == before
    loaded.load(api_token=None, environments=swapped, create_views=False, allow_mass_removal=True)
    assert Counter(row["environment_key"] for row in loaded.rows("phone_numbers")) == {"production": 12, "staging": 57}


@pytest.mark.duckdb
def test_a_load_takes_numbers_that_move_to_another_environment(
    loaded: Connector, sandbox: Sandbox, production: Account
) -> None:
    staging = sandbox.accounts[STAGING]  # type: ignore[index]
    for id in list(production.numbers)[:50]:
        staging.numbers[id] = production.numbers.pop(id)
    loaded.load(api_token=None, environments={"production": OLD, "staging": STAGING}, create_views=False)
    assert Counter(row["environment_key"] for row in loaded.rows("phone_numbers")) == {"production": 7, "staging": 62}


@pytest.mark.duckdb
def test_a_filtered_list_may_hold_none_of_what_is_loaded(loaded: Connector, production: Account) -> None:
    search = production.buy()["number"]
    both = {"production": OLD, "staging": STAGING}
    loaded.load(api_token=None, environments=both, create_views=False, search=search)
    assert len(loaded.rows("phone_numbers")) == 57 + 12 + 1
