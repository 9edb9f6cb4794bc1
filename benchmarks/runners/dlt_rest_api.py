"""Plain dlt: its rest_api source, merged on `id`, as its tutorial has it.

    python dlt_rest_api.py BASE_URL PER_PAGE [--destination postgres] [--format parquet] [--cursor] [--calls FIRST LAST]

Into loaded.duckdb, or into the PostgreSQL that dlt is configured to use. `--cursor` lets through only numbers whose
`updated_at` is not older than the newest one seen. A removed number stays with and without it. `--calls` loads the
calls of these days, too.
"""

from __future__ import annotations

import argparse
from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base_url")
    parser.add_argument("per_page", type=int)
    parser.add_argument(
        "--destination", choices=("duckdb", "postgres"), default="duckdb", help="(default: %(default)s)"
    )
    parser.add_argument("--format", choices=("parquet", "jsonl", "csv"), help="dlt's own choice unless given")
    parser.add_argument("--cursor", action="store_true", help="numbers by updated_at")
    parser.add_argument("--calls", nargs=2, metavar=("FIRST", "LAST"), help="the days of calls to load")
    options = parser.parse_args()
    numbers: dict[str, Any] = {"path": "phone-numbers", "data_selector": "data"}
    if options.cursor:
        numbers["incremental"] = {"cursor_path": "updated_at"}
    more: list[Any] = []
    if options.calls:
        days = dict(zip(("date_from", "date_to"), options.calls, strict=True))
        more = [{"name": "calls", "endpoint": {"path": "calls", "data_selector": "data", "params": days}}]
    source = rest_api_source(
        {
            "client": {
                "base_url": options.base_url,
                "auth": {"type": "bearer", "token": "talq_benchmark"},
                "paginator": {"type": "page_number", "base_page": 1, "total_path": "meta.last_page"},
            },
            "resource_defaults": {
                "primary_key": "id",
                "write_disposition": "merge",
                "endpoint": {"params": {"per_page": options.per_page}},
            },
            "resources": [
                {"name": "phone_numbers", "endpoint": numbers},
                {
                    "name": "release_requests",
                    "endpoint": {"path": "phone-numbers/release-requests", "data_selector": "data"},
                },
                *more,
            ],
        }
    )
    into = "postgres" if options.destination == "postgres" else dlt.destinations.duckdb("loaded.duckdb")
    pipeline = dlt.pipeline("bench", destination=into, dataset_name="plain")
    pipeline.run(source, loader_file_format=options.format)


if __name__ == "__main__":
    main()
