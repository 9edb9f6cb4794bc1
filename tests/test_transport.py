"""Faults that pass, faults that do not, the rate limit, and where the token may go: over real HTTP."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from email.utils import formatdate
from typing import Any

import pytest

from talkover import ApiError, AuthenticationError, ConfigurationError, UnexpectedPayload
from talkover.api.fields import PHONE_NUMBERS, RELEASE_REQUESTS
from talkover.api.rate_limit import Pace, asked_wait
from talkover.api.refusals import server_message
from talkover.api.transport import Transport
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.faults import Answer
from talkover.sandbox.server import RateLimit, Request

from .conftest import TODAY, Connector
from .listings import client, extract, fetch, ids, read_ids

pytestmark = pytest.mark.duckdb  # the destination does not matter here

PASSING = ("429-bare", "408", "500", "502", "503", "html", "empty", "cut", "drop", "hang")
"""What passes after a wait of our own; see test_a_429_is_obeyed for one that the server asks for."""


def get(
    sandbox: Sandbox, params: Mapping[str, Any] | None = None, *, endpoint: str = PHONE_NUMBERS, **settings: Any
) -> Any:
    """What a transport of its own answers."""
    transport = Transport(sandbox.token, sandbox.base_url, **({"backoff": 0.01, "timeout": 1} | settings))
    with closing(transport):
        return transport.get(endpoint, params or {})


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("page", [1, 3])
def test_a_fault_that_passes_is_waited_out(kind: str, page: int, sandbox: Sandbox, account: Account) -> None:
    sandbox.faults = [Fault(kind, "phone-numbers", page)]
    assert ids(fetch(sandbox, per_page=20, timeout=0.3, max_attempts=5)) == set(account.numbers)
    assert len(sandbox.seen) == 3 + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "at_least"), [("429-seconds", 1.0), ("429-reset", 1.0), ("429-epoch", 0.5), ("429-date", 0.5)]
)
def test_a_429_is_obeyed(kind: str, at_least: float, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault(kind)]
    started = time.monotonic()
    get(sandbox)
    assert at_least * 0.9 <= time.monotonic() - started < 3
    assert len(sandbox.seen) == 2


def test_a_429_on_a_later_page_is_obeyed_and_loses_no_row(sandbox: Sandbox, account: Account) -> None:
    answer = Answer(429, {"message": "Slow down"}, {"Retry-After": "0.2"})
    sandbox.faults = [Fault("answer", page=3, answer=answer)]
    started = time.monotonic()
    assert ids(fetch(sandbox, per_page=20, max_attempts=5)) == set(account.numbers)
    assert time.monotonic() - started >= 0.2
    assert len(sandbox.seen) == 3 + 1


@pytest.mark.parametrize("kind", ["500", "503", "408", "drop", "cut", "html", "empty"])
def test_a_fault_that_stays_is_asked_max_attempts_times(kind: str, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault(kind, times=99)]
    with pytest.raises((ApiError, UnexpectedPayload)):
        get(sandbox, max_attempts=3)
    assert len(sandbox.seen) == 3


def test_a_429_that_stays_is_given_up_after_max_wait(sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("429-bare", times=999)]
    started = time.monotonic()
    with pytest.raises(ApiError, match="answered 429: Too many requests"):
        get(sandbox, max_wait=0.3)
    assert 0.3 <= time.monotonic() - started < 3


def rate_limited(**details: Any) -> dict[str, Any]:
    """The documented 429 of a call that was to be made."""
    return {"error": {"code": "RATE_LIMIT_EXCEEDED", "message": "Slow down", "details": details}}


@pytest.mark.parametrize(
    "body",
    [
        rate_limited(retry_after=0.2),
        rate_limited(retry_after="0.20"),
        {"error": {"message": "Slow down", "retry_after": 0.2}},
        {"message": "Slow down", "details": {"retry_after": 0.2}},
        {"message": "Slow down", "code": "RATE_LIMIT_EXCEEDED", "retry_after": 0.2},
    ],
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Retry-After": "soon"},
        {"Retry-After": f"Mon, {'9' * 20} Mar 2026 00:00:00 GMT"},
        {"X-RateLimit-Reset": "0"},
    ],
    ids=str,
)
def test_a_429_that_says_how_long_in_its_body_is_obeyed(headers: dict[str, str], body: Any, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("answer", answer=Answer(429, body, headers))]
    started = time.monotonic()
    get(sandbox)
    assert 0.2 <= time.monotonic() - started < 30
    assert len(sandbox.seen) == 2


@pytest.mark.parametrize("date", ["soon", f"Mon, {'9' * 20} Mar 2026 00:00:00 GMT"])
def test_a_date_that_is_none_leaves_our_own_clock(date: str) -> None:
    in_a_minute = formatdate(time.time() + 60, usegmt=True)
    assert asked_wait({"Retry-After": in_a_minute, "Date": date}, None) == pytest.approx(60, abs=5)


def test_the_header_of_a_429_comes_before_its_body(sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("answer", answer=Answer(429, rate_limited(retry_after=60), {"Retry-After": "0"}))]
    started = time.monotonic()
    get(sandbox)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("nonsense", [-5, "soon", True, None, [60], {"seconds": 60}, "NaN", "inf", 10**400], ids=str)
def test_a_nonsensical_wait_in_a_body_is_ignored(nonsense: Any, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("answer", answer=Answer(429, rate_limited(retry_after=nonsense)))]
    started = time.monotonic()
    get(sandbox)
    assert time.monotonic() - started < 30
    assert len(sandbox.seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(429, {"message": "Slow down"}, {"Retry-After": "3600"}),
        Answer(429, rate_limited(retry_after=3600)),
    ],
    ids=["header", "body"],
)
def test_a_429_that_asks_for_too_long_ends_at_once_and_says_for_how_long(answer: Answer, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("answer", answer=answer, times=99)]
    with pytest.raises(ApiError, match="Slow down. It asks to wait 3600 s"):
        get(sandbox)
    assert len(sandbox.seen) == 1


@pytest.mark.parametrize("kind", ["400", "401", "401-expired", "403", "404", "success-false", "no-data", "null-data"])
def test_what_does_not_pass_is_asked_once(kind: str, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault(kind, times=99)]
    with pytest.raises((ApiError, AuthenticationError, UnexpectedPayload)):
        fetch(sandbox, max_attempts=5)
    assert len(sandbox.seen) == 1


@pytest.mark.parametrize(("reset_as", "seconds"), [("seconds", 0.3), ("epoch", 0.3), ("none", 1.0)])
def test_a_small_rate_limit_is_survived_without_losing_a_row(reset_as: Any, seconds: float) -> None:
    account = Account(size=120, founded=TODAY)
    with Sandbox(account, rate_limit=RateLimit(3, seconds, reset_as)) as sandbox:
        assert ids(fetch(sandbox, per_page=20, side_by_side=4, max_attempts=5)) == set(account.numbers)
    assert len(sandbox.seen) == 6 or reset_as == "none", "the headers tell enough never to be refused"


def test_a_rate_limit_that_only_refuses_is_survived() -> None:
    account = Account(size=120, founded=TODAY)

    class Refusing(RateLimit):
        def take(self) -> tuple[bool, dict[str, str], float]:
            allowed, _, left = super().take()
            return allowed, {}, left

    with Sandbox(account, rate_limit=Refusing(3, 1.0)) as sandbox:
        assert ids(fetch(sandbox, per_page=20, side_by_side=4, max_attempts=5)) == set(account.numbers)


def test_a_failure_on_one_page_ends_the_waits_of_the_others() -> None:
    account = Account(size=200, founded=TODAY)
    slow = Answer(503, {"message": "later"}, {"Retry-After": "60"})
    with Sandbox(account) as sandbox:
        sandbox.faults = [
            Fault("answer", "phone-numbers", 3, times=99, answer=slow),
            Fault("403", "phone-numbers", 5, times=99),
        ]
        started = time.monotonic()
        with pytest.raises(AuthenticationError):
            fetch(sandbox, per_page=20, side_by_side=4, max_attempts=5)
    assert time.monotonic() - started < 20


ENDLESS = f'{{"data": [{{"id": "a", "x": -1e{"9" * 20}}}]}}'
"""JSON with a number that is beyond what a Decimal holds."""


def test_fractions_are_decimals_from_the_text() -> None:
    account = Account(size=1, founded=TODAY)
    exact = Answer(200, '{"data": [1.10, 12345678901234.5678, 3]}', {"Content-Type": "application/json"})
    with Sandbox(account, faults=[Fault("answer", answer=exact)]) as sandbox:
        body = get(sandbox)
    assert body == {"data": [Decimal("1.10"), Decimal("12345678901234.5678"), 3]}


@pytest.mark.parametrize("body", ['{"data": NaN}', '{"data": [', '{"data": "\udc00', "[" * 100_000, ENDLESS])
def test_json_that_cannot_be_read_is_called_so(body: str, sandbox: Sandbox) -> None:
    answer = Answer(200, body.encode("utf-8", "replace").decode())
    sandbox.faults = [Fault("answer", answer=answer, times=9)]
    with pytest.raises(UnexpectedPayload, match="answered 200 with unreadable JSON"):
        get(sandbox, max_attempts=1)


def test_an_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    monkeypatch.setattr("talkover.api.transport.MAX_BODY_BYTES", 10_000)
    with pytest.raises(UnexpectedPayload, match="larger than"):
        get(sandbox, {"per_page": 57})


# Messages.


INVALID = {"message": "The given data was invalid.", "errors": {"type": ["Wrong.", "Bad."]}}
SHAPES = {
    "most endpoints": (401, {"success": False, "message": "Unauthorized"}, "Unauthorized"),
    "introduction": (
        401,
        {"success": False, "error": {"code": "INVALID_API_KEY", "message": "Bad key", "details": {}}},
        "INVALID_API_KEY; Bad key",
    ),
    "authentication page": (
        401,
        {"error": "TOKEN_EXPIRED", "message": "Expired", "status_code": 401},
        "TOKEN_EXPIRED; Expired",
    ),
    "validation": (422, {"success": False, **INVALID}, "The given data was invalid.; type: Wrong. Bad."),
    "validation without success": (422, INVALID, "The given data was invalid.; type: Wrong. Bad."),
    "message alone": (401, {"message": "Missing Bearer Token"}, "Missing Bearer Token"),
    "making a call": (
        400,
        {"error": {"code": "INVALID_NUMBER", "message": "No such number", "details": {}}},
        "INVALID_NUMBER; No such number",
    ),
    "flat code": (
        409,
        {"success": False, "message": "Already pending", "code": "RELEASE_ALREADY_PENDING"},
        "RELEASE_ALREADY_PENDING; Already pending",
    ),
    "campaign calls": (
        409,
        {"success": False, "message": "Already called", "existing_call": {"id": 7, "to": "+351912345678"}},
        "Already called",
    ),
}
"""The documented error bodies, by where they are documented, and what is to be said of each."""


@pytest.mark.parametrize(("status", "answer", "said"), SHAPES.values(), ids=SHAPES)
def test_code_and_message_of_each_documented_shape_are_said_once(
    status: int, answer: Any, said: str, sandbox: Sandbox
) -> None:
    sandbox.faults = [Fault("answer", answer=Answer(status, answer))]
    with pytest.raises((ApiError, AuthenticationError)) as refused:
        get(sandbox)
    sentence = str(refused.value)
    assert sentence.startswith(f"GET /phone-numbers (environment 'default') answered {status}: {said}")
    assert [sentence.count(part) for part in said.split("; ")] == [1] * len(said.split("; "))
    assert "+351" not in sentence


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": "Unauthorized", "message": "Unauthorized"}, "Unauthorized"),
        ({"error": {"code": "GONE"}, "code": "GONE", "message": "Gone"}, "GONE; Gone"),
        ({"code": 403, "message": "Forbidden"}, "Forbidden"),
        ({"message": "two\nlines\x00 and\tmore"}, "two lines and more"),
        ({"message": None}, None),
        (["x"], None),
        (None, None),
    ],
)
def test_the_servers_message_is_found_in_other_shapes_too(answer: Any, said: str | None) -> None:
    assert server_message(answer) == said


FIREWALL = "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head><body>no</body></html>"


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407])
@pytest.mark.parametrize(
    ("body", "came"),
    [
        (FIREWALL, "an HTML page ('Attention Required! | Cloudflare')"),
        ("error code: 1020\n", "text ('error code: 1020')"),
        ("", "an empty body"),
    ],
    ids=["html", "text", "empty"],
)
def test_a_refusal_by_somebody_else_may_pass_and_is_not_blamed_on_the_token(
    body: str, came: str, status: int, sandbox: Sandbox
) -> None:
    sandbox.faults = [Fault("answer", answer=Answer(status, body), times=99)]
    with pytest.raises(ApiError) as refused:
        get(sandbox, max_attempts=2)
    assert str(refused.value) == (
        f"GET /phone-numbers (environment 'default') answered {status}: {came}. That is not the API, but something on "
        f"the way to 127.0.0.1:{sandbox.port} (a firewall, a proxy), or base_url is wrong"
    )
    assert len(sandbox.seen) == 2


def test_rows_that_come_with_a_wrong_status_are_not_quoted(sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("answer", answer=Answer(201, {"data": [{"number": "+351912345678"}]}))]
    with pytest.raises(ApiError, match="answered 201: Created$"):
        get(sandbox)


def test_a_firewall_that_lets_the_next_request_through_ends_nothing(sandbox: Sandbox, account: Account) -> None:
    sandbox.faults = [Fault("answer", answer=Answer(403, FIREWALL))]
    assert ids(fetch(sandbox, max_attempts=2)) == set(account.numbers)


@pytest.mark.parametrize("body", [SHAPES["most endpoints"][1], SHAPES["introduction"][1]])
def test_the_apis_own_401_is_about_the_token(body: Any, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("answer", answer=Answer(401, body))]
    with pytest.raises(AuthenticationError, match="The token is wrong, expired or missing: each Talkover environment"):
        get(sandbox)


@pytest.mark.parametrize(
    ("endpoint", "what", "resource"),
    [(PHONE_NUMBERS, "phone numbers", "phone_numbers"), (RELEASE_REQUESTS, "release requests", "release_requests")],
)
@pytest.mark.parametrize(
    ("status", "needs"),
    [
        (403, "No. The token is known, but may not read {}: give it that permission"),
        (404, "No. Either base_url is wrong, or the API of this account has no {}"),
    ],
)
def test_a_refusal_of_one_endpoint_says_what_it_needs_and_how_to_load_the_rest(
    status: int, needs: str, endpoint: str, what: str, resource: str, sandbox: Sandbox
) -> None:
    sandbox.faults = [Fault("answer", answer=Answer(status, {"success": False, "message": "No."}))]
    with pytest.raises((ApiError, AuthenticationError)) as refused:
        get(sandbox, endpoint=endpoint)
    assert f"answered {status}: {needs.format(what)}. To load the rest" in str(refused.value)
    assert str(refused.value).endswith(f": `talkover load --without {resource}`")


# The token.


@pytest.mark.parametrize("token", ["", "  ", None])
def test_a_missing_token_says_where_to_put_it(token: str | None) -> None:
    with pytest.raises(ConfigurationError, match="TALKOVER_TOKEN"):
        Transport(token or "", "https://app.talkover.ai/api/v1")


@pytest.mark.parametrize("token", ["Bearer talq_secret", "talq_secret\nX-Other: 1", "talq_secrét", "talq\x00secret"])
def test_a_token_that_cannot_be_one_is_refused_without_quoting_it(token: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Transport(token, "https://app.talkover.ai/api/v1")
    assert "secr" not in str(refused.value)


def test_white_space_around_a_token_does_not_matter(sandbox: Sandbox) -> None:
    with closing(Transport(f" {sandbox.token}\n", sandbox.base_url)) as transport:
        transport.get("phone-numbers", {})
    assert sandbox.seen[0].token == sandbox.token


@pytest.mark.parametrize(
    "base_url",
    [
        "http://app.talkover.ai/api/v1",
        "http://127.0.0.1.example.com/api",
        "http://localhost.example.com",
        "ftp://127.0.0.1/",
        "app.talkover.ai",
        "https://user:pass@app.talkover.ai",
        "https://app.talkover.ai/?x=1",
        "",
    ],
)
def test_an_unsafe_address_is_refused_before_the_first_request(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        Transport("talq_x", base_url)


@pytest.mark.parametrize(
    "base_url", ["http://localhost:1/api", "http://127.0.0.2:1", "http://[::1]:1/", "https://x.example/"]
)
def test_https_and_loopback_are_taken(base_url: str) -> None:
    Transport("talq_x", base_url)


@contextmanager
def redirecting_server(location: str) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", location.replace("{path}", self.path.split("/api/v1")[-1]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api/v1"
        server.shutdown()


def test_a_redirect_to_another_host_is_not_followed(sandbox: Sandbox) -> None:
    with (
        redirecting_server(f"{sandbox.base_url}{{path}}") as base_url,
        closing(Transport("talq_secret", base_url)) as transport,
        pytest.raises(ApiError, match="redirects to http://127.0.0.1:.*not followed"),
    ):
        transport.get("phone-numbers", {})
    assert sandbox.seen == []


def test_a_netrc_entry_does_not_replace_the_token(
    sandbox: Sandbox, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password pass\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    get(sandbox)
    assert sandbox.seen[0].token == sandbox.token


def test_a_proxy_never_sees_plain_http(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    get(sandbox)
    assert len(sandbox.seen) == 1


def test_a_server_that_quotes_the_token_does_not_put_it_in_the_error(sandbox: Sandbox) -> None:
    answer = Answer(401, {"message": f"Invalid token {sandbox.token}"})
    sandbox.faults = [Fault("answer", answer=answer)]
    with pytest.raises(AuthenticationError, match=r"Invalid token talq_\*\*\*"):
        get(sandbox)


@pytest.mark.parametrize("before", range(280, 300, 3))
def test_a_token_that_a_message_is_cut_in_does_not_show_a_part(before: int, sandbox: Sandbox) -> None:
    answer = Answer(401, {"message": "x" * before + sandbox.token + "y" * 50})
    sandbox.faults = [Fault("answer", answer=answer)]
    with pytest.raises(AuthenticationError) as caught:
        get(sandbox)
    assert sandbox.token[:8] not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_page_that_hangs_does_not_hold_up_the_error_of_another() -> None:
    with Sandbox(Account(size=250), faults=[Fault("hang", page=2), Fault("401", page=3)]) as sandbox:
        started = time.monotonic()
        with pytest.raises(AuthenticationError):
            fetch(sandbox, side_by_side=4)
        assert time.monotonic() - started < 4, "the time-out is 5 s"


def test_only_gets_to_the_two_endpoints_are_sent(sandbox: Sandbox) -> None:
    extract(sandbox)
    assert {(request.method, request.endpoint) for request in sandbox.seen} == {
        ("GET", PHONE_NUMBERS),
        ("GET", RELEASE_REQUESTS),
    }


@pytest.mark.parametrize("kind", ["500", "429-bare", "wrong-total", "drop"])
def test_every_request_that_was_sent_is_counted(kind: str, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault(kind, page=2)]
    connection = client(sandbox, per_page=20, max_attempts=2)
    connection.fetch(PHONE_NUMBERS, read_ids)
    pace = connection.transport.pace
    assert pace.requests == len(sandbox.seen) > 3, "the faulty page was asked for again"
    assert pace.most_a_minute == pace.requests


def test_the_summary_tells_how_many_requests_were_sent(loaded: Connector) -> None:
    loaded.sandbox.faults = [Fault("500", page=2)]
    summary = loaded.load(per_page=20)
    assert summary.requests == summary.requests_a_minute == len(loaded.sandbox.seen) == 3 + 1 + 1


def test_the_first_answer_of_a_new_window_counts() -> None:
    """The end of a window is told in whole seconds, rounded up: the next one can begin before it."""
    told = {"1": (2, 1, 0.0), "2": (0, 1, 0.0), "3": (99, 60, 0.3), "4": (98, 60, 0.0)}
    with Sandbox(Account(size=80, founded=TODAY)) as sandbox:
        plain = sandbox.answer

        def answer(request: Request) -> Any:
            made, behaviour = plain(request)
            remaining, reset, seconds = told[request.query["page"]]
            time.sleep(seconds)
            headers = {"Limit": "100", "Remaining": str(remaining), "Reset": str(reset)}
            return replace(made, headers={f"X-RateLimit-{name}": value for name, value in headers.items()}), behaviour

        sandbox.answer = answer  # type: ignore[method-assign]
        started = time.monotonic()
        assert fetch(sandbox, per_page=20, side_by_side=2).distinct == 80
    assert time.monotonic() - started < 20, "the new window lasts a minute"


def test_the_pace_stays_within_what_the_headers_allow() -> None:
    """The server refuses nothing, because nothing is asked before its window allows it."""
    limit = RateLimit(5, 0.4)
    with Sandbox(Account(size=230, founded=TODAY), rate_limit=limit) as sandbox:
        answers: list[int] = []
        plain = sandbox.answer
        sandbox.answer = lambda request: (answer := plain(request), answers.append(answer[0].status))[0]  # type: ignore[method-assign]
        started = time.monotonic()
        connection = client(sandbox, per_page=20, side_by_side=8)
        connection.fetch(PHONE_NUMBERS, read_ids)
        seconds = time.monotonic() - started
    assert set(answers) == {200}
    assert len(answers) <= limit.requests * (seconds / limit.seconds + 1)
    assert connection.transport.pace.requests == 12


def test_the_most_requests_a_minute_are_those_of_any_60_seconds() -> None:
    seconds = [0.0, 10.0, 59.0, 61.0, 62.0, 63.0, 200.0]
    pace = Pace(clock=iter(seconds).__next__)
    for _ in seconds:
        pace.count()
    assert (pace.requests, pace.most_a_minute) == (7, 5), "from 10 to 63"
