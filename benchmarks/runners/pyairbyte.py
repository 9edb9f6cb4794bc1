"""PyAirbyte: a declarative manifest, read into its DuckDB cache, full refresh merged on `id`.

python pyairbyte.py BASE_URL PER_PAGE
"""

from __future__ import annotations

import sys
from typing import Any

import airbyte as ab
from airbyte.caches import DuckDBCache
from airbyte.strategies import WriteStrategy

STREAMS = {"phone_numbers": "/phone-numbers", "release_requests": "/phone-numbers/release-requests"}
TEXT, FLAG, AMOUNT = {"type": ["null", "string"]}, {"type": ["null", "boolean"]}, {"type": ["null", "number"]}
INSTANT = TEXT | {"format": "date-time"}
FIELDS = {
    "phone_numbers": {
        **dict.fromkeys(("id", "number", "country_code", "formatted_number", "international_number", "type"), TEXT),
        **dict.fromkeys(("has_voice", "has_sms", "has_mms", "has_fax", "has_whatsapp", "is_sandbox"), FLAG),
        **dict.fromkeys(("current_price", "monthly_renewal_cost"), AMOUNT),
        **dict.fromkeys(("current_status", "currency"), TEXT),
        **dict.fromkeys(("created_at", "updated_at"), INSTANT),
        **dict.fromkeys(("auto_renewal", "is_due_for_monthly_renewal"), FLAG),
        "renewal_date": TEXT | {"format": "date"},
        "days_until_monthly_renewal": {"type": ["null", "integer"]},
        "environment": {"type": ["null", "object"]},
        "agents": {"type": ["null", "array"]},
    },
    "release_requests": {
        **dict.fromkeys(("id", "phone_number_id", "phone_number", "reason", "status", "rejection_reason"), TEXT),
        **dict.fromkeys(("requested_at", "resolved_at"), INSTANT),
    },
}


def manifest(base_url: str, per_page: int) -> dict[str, Any]:
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["release_requests"]},
        "spec": {
            "type": "Spec",
            "connection_specification": {"type": "object", "additionalProperties": True, "properties": {}},
        },
        "streams": [stream(name, base_url, per_page) for name in STREAMS],
    }


def stream(name: str, base_url: str, per_page: int) -> dict[str, Any]:
    return {
        "type": "DeclarativeStream",
        "name": name,
        "primary_key": ["id"],
        "schema_loader": {
            "type": "InlineSchemaLoader",
            "schema": {"type": "object", "additionalProperties": True, "properties": FIELDS[name]},
        },
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "url_base": base_url,
                "path": STREAMS[name],
                "http_method": "GET",
                "authenticator": {"type": "BearerAuthenticator", "api_token": "talq_benchmark"},
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": ["data"]},
            },
            "paginator": {
                "type": "DefaultPaginator",
                "page_token_option": parameter("page"),
                "page_size_option": parameter("per_page"),
                "pagination_strategy": {
                    "type": "CursorPagination",
                    "page_size": per_page,
                    "cursor_value": "{{ response['meta']['current_page'] + 1 }}",
                    "stop_condition": "{{ response['meta']['current_page'] >= response['meta']['last_page'] }}",
                },
            },
        },
    }


def parameter(name: str) -> dict[str, str]:
    return {"type": "RequestOption", "inject_into": "request_parameter", "field_name": name}


def main() -> None:
    base_url, per_page = sys.argv[1:]
    source = ab.get_source("source-talkover", config={}, source_manifest=manifest(base_url, int(per_page)))
    source.select_all_streams()
    cache = DuckDBCache(db_path="loaded.duckdb", schema_name="plain", cache_dir="cache")
    source.read(cache, write_strategy=WriteStrategy.MERGE)


if __name__ == "__main__":
    main()
