"""Hostile answers: each ends in one of the connector's own errors or in the right rows, in bounded time and memory.

    python -m tests.fuzz --inputs 100000 --loads 100

Every input goes through all of the connector but the socket: body, JSON, pages, rows, columns. Of those that are taken
`loads` are served over HTTP and loaded into DuckDB, and the tables are read back. Rows are compared with a reading of
the same JSON that shares no code with the connector.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import dlt
import duckdb
import requests
from dlt.common.schema import Schema
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from talkover import TalkoverError, load_account
from talkover.api.client import TalkoverClient
from talkover.api.transport import Transport
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.faults import Answer
from talkover.sync.database import Database
from talkover.sync.run import Run
from talkover.sync.shared import Options
from talkover.sync.tables import TableName

from .conftest import TODAY

Json = dict[str, Any]

URL = "http://127.0.0.1:9/api/v1"
# Once, not for every input: dlt makes classes for each, which stay in memory.
SCHEMA = Schema("talkover")
DATABASE = Database()
SECONDS_AN_INPUT = 10
SECONDS_A_GIANT = 180
CEILING = 400
"""MiB that the process of the fuzzer may need, without the giants: inputs leave nothing behind."""

TEXTS = ("number", "type", "current_status", "country_code", "formatted_number", "international_number", "currency")
FLAGS = ("has_voice", "has_sms", "has_mms", "has_fax", "has_whatsapp", "is_sandbox", "auto_renewal")
MONEY = ("current_price", "monthly_renewal_cost")

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, -(10**30), 0.1, 1.1, 0.30000000000000004, 1e-7, 1e22, 1e308),
    *("", " ", "\t", "0", "1", "1.10", "1e5", "1e400", "NaN", "Infinity", "-0", "007", "null", "true", "None"),
    *("\ud800", "\udc00x", "\x00", "\x1f\x7f", "\u202e", "\ufeff", "é", "é", "☎", "😀", "'", '"', "';drop table x;--"),
    *("2026-02-30", "2026-03-01", "2026-03-01T00:00:00+99:99", "9999-12-31T23:59:59-12:00", "0000-00-00 00:00:00"),
    *("0001-01-01T00:00:00+12:00", "2026-03-01T25:00:00Z", "١٢", "1_000", "x" * 300, "x" * 100_000, "1e" + "9" * 20),
    *("-000001-11-30T00:00:00.000000Z", "2026-03-01T00:00:00Z", "2026-03-01T03:00:00Z"),
    *([], {}, [[]], [None], {"0": {}}, {"": ""}, [{"id": None}], {"id": {"id": 1}}),
)
NAMES = (
    *("select", "from", "order", "table", "user", "group", "null", "rowid", "default", "primary key", "_dlt_id"),
    *("_dlt_load_id", "_removed", "row_fingerprint", "change_type", "environment_key", "environment__id"),
    *('a"b', "a'b", "a;b", "a--b", "a.b", "a`b", "a b", "a\nb", "a\\b", "%s", "{x}", "$1", "", " ", "_", "__", "1"),
    *("ID", "Id", "iD ", "Number", "NUMBER", "hasVoice", "has-voice", "Type", "é", "É", "☎", "\ud800", "\x00"),
    *("x" * 70, "x" * 70 + "y", "x" * 5000, "__proto__", "id__v_text", "agents__id"),
)
TOTALS = (None, 0, 1, 2, 3, 4, -1, "3", "x", True, 3.0, [], {}, 10**9, 10**40, "٣")
BYTES = (b"\x00", b"\xff", b"\xc0\x80", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"NaN", b"-Infinity", b"1e999")
BYTES += (b"\\ud800", b"\\u0000", b"\x1b[2J", b"9" * 400, b"null", b"\xef\xbb\xbf", b"/**/", b"'", b" " * 50)
BYTES += (b"e" + b"9" * 20,)


@dataclass(frozen=True)
class Input:
    """An answer: its body, and what the Content-Encoding header says of it."""

    body: bytes
    encoding: str = ""
    seconds: int = SECONDS_AN_INPUT


class Hostile:
    """Makes inputs out of good ones."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)
        self._rows = list(Account(seed=seed, size=40, founded=TODAY).numbers.values())

    def make(self) -> Input:
        chance = self._chance
        rows = [json.loads(json.dumps(row)) for row in chance.sample(self._rows, chance.choice((1, 2, 3, 3)))]
        meta = {"current_page": 1, "per_page": 100, "total": len(rows), "last_page": 1}
        body = {"success": True, "data": rows, "meta": meta}
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            chance.choice((self._value, self._value, self._name, self._name, self._id, self._page, self._nest))(body)
        text = json.dumps(body, ensure_ascii=chance.random() < 0.7).encode("utf-8", "surrogatepass")
        if chance.random() < 0.15:
            text = self._twice(text)
        if chance.random() < 0.3:
            text = self._break(text)
        if chance.random() < 0.1:
            packed = gzip.compress(text, 1)
            return Input(packed[: chance.choice((len(packed), len(packed) // 2))], "gzip")
        return Input(text, chance.choice(("", "", "", "", "", "", "", "", "", "gzip")))

    def _value(self, body: Json) -> None:
        row = self._row(body)
        if row:
            row[self._chance.choice(list(row))] = self._chance.choice(VALUES)

    def _name(self, body: Json) -> None:
        row = self._row(body)
        if row is None:
            return
        names = [name.swapcase() for name in row] + [f" {name}" for name in row]
        name = self._chance.choice(NAMES if self._chance.random() < 0.7 or not names else names)
        row[name] = self._chance.choice(VALUES)
        if self._chance.random() < 0.2:
            row.pop(self._chance.choice(list(row)))

    def _id(self, body: Json) -> None:
        row = self._row(body)
        if row and isinstance(id := row.get("id"), str) and isinstance(body["data"], list):
            spaced = (f" {id}", f"{id} ", f"{id}\t", f"{id}\u200b")
            alike = (id, id.upper(), id.lower(), *spaced, id.replace("a", "\u0430"))
            body["data"].append(row | {"id": self._chance.choice(alike)})
            if isinstance(body.get("meta"), dict):
                body["meta"]["total"] = len({str(r.get("id")) for r in body["data"] if isinstance(r, dict)})

    def _page(self, body: Json) -> None:
        where = self._chance.choice((body, body.get("meta")))
        if isinstance(where, dict):
            names = ("total", "last_page", "per_page", "totalPages", "has_more", "next", "next_cursor", "links")
            name = self._chance.choice((*names, "data", "meta", "success"))
            where[name] = deepcopy(self._chance.choice((*TOTALS, "?page=2", {"next": 2})))

    def _nest(self, body: Json) -> None:
        value: Any = self._chance.choice(VALUES)
        for _ in range(self._chance.choice((1, 5, 49, 51, 200))):
            value = {"x": value} if self._chance.random() < 0.5 else [value]
        row = self._row(body)
        if row is not None:
            row[self._chance.choice(("extra", "agents", "environment", "id", "current_price"))] = value

    def _row(self, body: Json) -> Json | None:
        data = body.get("data")
        rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
        return self._chance.choice(rows) if rows else None

    def _twice(self, text: bytes) -> bytes:
        """The same name twice in an object: the later one counts, as for PHP and JavaScript."""
        name = self._chance.choice((b'"id"', b'"current_price"', b'"data"', b'"total"', b'"currency"'))
        value = json.dumps(self._chance.choice(VALUES)).encode()
        return text.replace(name, name + b": " + value + b", " + name, 1)

    def _break(self, text: bytes) -> bytes:
        at = self._chance.randrange(len(text) + 1)
        if self._chance.random() < 0.3:
            return text[:at]
        return text[:at] + self._chance.choice(BYTES) + text[at + self._chance.choice((0, 0, 1, 3)) :]


def giants(rows: int) -> dict[str, Input]:
    """What is too large in one way each; `rows` on the largest page."""
    many = b", ".join(b'{"id": "n%d"}' % n for n in range(rows))
    names = b", ".join(b'"field %d": %d' % (n, n) for n in range(10_000))
    return {
        "gzip bomb": Input(gzip.compress(b" " * (1 << 29), 9), "gzip", SECONDS_A_GIANT),
        "gzip bomb in a bomb": Input(gzip.compress(gzip.compress(b" " * (1 << 29), 9)), "gzip, gzip", SECONDS_A_GIANT),
        f"{rows} rows on a page": Input(b'{"data": [' + many + b"]}", "", SECONDS_A_GIANT),
        "10,000 new fields": Input(b'{"data": [{"id": "a", ' + names + b"}]}"),
        "10,000 new fields, one a row": Input(
            b'{"data": [' + b", ".join(b'{"id": "n%d", "field %d": 1}' % (n, n) for n in range(10_000)) + b"]}"
        ),
        "a million brackets": Input(b"[" * 1_000_000),
        "a number of a million digits": Input(b'{"data": [{"id": "a", "x": ' + b"9" * 1_000_000 + b"}]}"),
        "an exponent of a billion": Input(b'{"data": [{"id": "a", "current_price": 1e999999999}]}'),
        "an exponent of a billion, as days": Input(
            b'{"data": [{"id": "a", "days_until_monthly_renewal": 1e999999999, "x": 1e999999999}]}'
        ),
        "an unknown exponent of a billion": Input(b'{"data": [{"id": "a", "x": -1e999999999, "y": 1e-999999999}]}'),
        "a text of 50 MB": Input(
            b'{"data": [{"id": "a", "number": "' + b"x" * 50_000_000 + b'"}]}', "", SECONDS_A_GIANT
        ),
        "100,000 agents": Input(
            b'{"data": [{"id": "a", "agents": [' + b", ".join(b'{"id": %d}' % n for n in range(100_000)) + b"]}]}",
            "",
            SECONDS_A_GIANT,
        ),
    }


class Served(BaseAdapter):
    """Answers every request with the input; pages after the first are empty."""

    def __init__(self, given: Input) -> None:
        super().__init__()
        self._given = given

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        is_first = "page=1" in str(request.url).replace("per_page", "size").split("?")[-1].split("&")
        body = self._given.body if is_first else b'{"data": []}'
        headers = {"Content-Encoding": self._given.encoding} if self._given.encoding and is_first else {}
        response = requests.Response()
        response.status_code = 200
        response.raw = HTTPResponse(io.BytesIO(body), headers, 200, preload_content=False)
        response.headers.update(headers)
        response.url = str(request.url)
        response.request = request
        return response

    def close(self) -> None:
        pass


def read(given: Input) -> list[Json]:
    """The rows that a first run would send. Raises what the connector raises."""
    transport = Transport("talq_fuzz", URL, max_attempts=1, max_wait=1)
    transport.session.mount(URL, Served(given))
    client = TalkoverClient(transport, reading_pause=0)
    tables: dict[TableName, Any] = {"phone_numbers": {}, "phone_number_agents": {}}
    first_run = Run({"default": client}, Options(), SCHEMA, tables, database=DATABASE)
    rows, _agents = ([row for batch in first_run.rows(table) for row in batch] for table in tables)
    return rows


def expected(body: bytes) -> dict[str, Json]:
    """Id to row, the one that was updated last, as any reader of JSON would have it."""
    data = json.loads(body, parse_float=Decimal)["data"]
    rows: dict[str, Json] = {}
    for row in data.values() if isinstance(data, dict) else data:
        other = rows.get(str(row["id"]))
        if other is None or _instant(row) >= _instant(other):
            rows[str(row["id"])] = row
    return rows


def _instant(row: Json) -> datetime:
    text = row.get("updated_at") or "0001-01-01"
    if text.startswith(("0000-00-00", "-0")):
        text = "0001-01-01"
    instant = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    return instant.replace(tzinfo=None) - (instant.utcoffset() or instant - instant)


def misfit(rows: Mapping[str, Json], body: bytes) -> str | None:
    """What is wrong with the rows that came of `body`."""
    right = expected(body)
    if rows.keys() != right.keys():
        return f"ids {sorted(rows)} instead of {sorted(right)}"
    for id, row in right.items():
        found = rows[id]
        for name in TEXTS:
            sent = row.get(name)
            if name == "country_code" and sent is None:
                sent = row.get("country")
            if found.get(name) != (None if name == "currency" and sent == "" else sent):
                return f"{id!r}: {name} is {found.get(name)!r} instead of {sent!r}"
        for name in FLAGS:
            if found.get(name) is not (None if row.get(name) in (None, "") else row[name] in (True, 1, "1")):
                return f"{id!r}: {name} is {found.get(name)!r} instead of {row.get(name)!r}"
        for name in MONEY:
            sent, held = (None if row.get(name) == "" else row.get(name)), found.get(name)
            if (sent is None) != (held is None) or (sent is not None and abs(Decimal(sent) - Decimal(held)) > 1e-12):
                return f"{id!r}: {name} is {held!r} instead of {sent!r}"
    return None


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raises TimeoutError after that: a hang is a finding."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"took over {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judge(given: Input) -> str:
    """How the connector ends; starts with WRONG where it must not."""
    try:
        with at_most(given.seconds):
            rows = read(given)
    except TalkoverError as error:
        return "WRONG: an error of many lines" if "\n" in str(error) or len(str(error)) > 2000 else type(error).__name__
    except BaseException as error:
        return f"WRONG: {type(error).__name__}: {error}"[:300]
    wrong = misfit({row["id"]: row for row in rows}, gzip.decompress(given.body) if given.encoding else given.body)
    return f"WRONG: {wrong}"[:300] if wrong else "right rows"


def judge_load(given: Input) -> str:
    """The same after HTTP and DuckDB."""
    Path("talkover_pipeline.duckdb").unlink(missing_ok=True)
    answer = Answer(200, given.body.decode())
    fault = Fault("answer", "phone-numbers", 1, 99, answer)
    with Sandbox(Account(size=0, founded=TODAY), pagination="silent", faults=[fault]) as sandbox:
        try:
            load_account(destination="duckdb", api_token=sandbox.token, base_url=sandbox.base_url)
        except TalkoverError as error:
            return f"{type(error).__name__} of a load: {error}"[:200]
        except BaseException as error:
            return f"WRONG: {type(error).__name__}: {error}"[:300]
    with duckdb.connect("talkover_pipeline.duckdb") as connection:
        result = connection.execute("from talkover.phone_numbers")
        names = [column[0] for column in result.description or []]
        rows = {row["id"]: row for row in (dict(zip(names, values, strict=True)) for values in result.fetchall())}
        (logged,) = connection.execute("select count(*) from talkover.phone_number_changes").fetchone() or (0,)
    wrong = misfit(rows, given.body) or (f"{logged} rows in the log" if logged != len(rows) else None)
    return f"WRONG: {wrong}"[:300] if wrong else "right rows in DuckDB"


def fuzz(inputs: int, loads: int, rows: int, seed: int = 1) -> tuple[Counter[str], dict[str, str]]:
    """How many inputs ended how, and how each of the giants did."""
    hostile, ended, slowest = Hostile(seed), Counter[str](), 0.0
    every, due = inputs // max(loads * 3, 1), 0
    for n in range(inputs):
        if n % 10_000 == 0:
            print(f"{n} inputs, {memory('VmRSS')} MiB", flush=True)  # noqa: T201
        given = hostile.make()
        started = time.monotonic()
        verdict = judge(given)
        slowest = max(slowest, time.monotonic() - started)
        ended[verdict] += 1
        if verdict.startswith("WRONG"):
            print(verdict, given.body[:3000], flush=True)  # noqa: T201
        if verdict == "right rows" and n >= due and loads and not given.encoding:
            loads, due = loads - 1, n + every
            with suppress(UnicodeDecodeError):
                ended[verdict := judge_load(given)] += 1
                if verdict.startswith("WRONG"):
                    print(verdict, given.body[:3000], flush=True)  # noqa: T201
    print(f"slowest input {slowest:.2f} s")  # noqa: T201
    # In a process of its own, whose memory is not that of all inputs before.
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        return ended, alone.submit(judge_giants, rows).result()


def judge_giants(rows: int) -> dict[str, str]:
    """How each of the giants ended, and the memory that this process had needed by then."""
    largest: dict[str, str] = {}
    for name, given in giants(rows).items():
        started = time.monotonic()
        verdict = judge(given)
        largest[name] = f"{verdict}, {time.monotonic() - started:.1f} s, {memory('VmHWM')} MiB at most so far"
        print(name, largest[name], flush=True)  # noqa: T201
    return largest


def memory(what: str) -> int:
    """The memory of this process in MiB: VmRSS is what it has now, VmHWM the most that it ever had.

    getrusage would count that of the process that started it, too.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) // 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--loads", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000, help="on the largest page")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ |= {
            "DLT_DATA_DIR": folder,
            "RUNTIME__REQUEST_MAX_ATTEMPTS": "1",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }
        dlt.current.run_context().reload()
        ended, largest = fuzz(given.inputs, given.loads, given.rows, given.seed)
        os.chdir("/")
    for verdict, count in ended.most_common():
        print(f"{count:8} {verdict}")  # noqa: T201
    for name, verdict in largest.items():
        print(f"{name}: {verdict}")  # noqa: T201
    most = memory("VmHWM")
    print(f"{time.monotonic() - started:.0f} s, {most} MiB at most, {CEILING} allowed")  # noqa: T201
    is_wrong = most > CEILING or any("WRONG" in verdict for verdict in (*ended, *largest.values()))
    raise SystemExit(1 if is_wrong else 0)


if __name__ == "__main__":
    main()
