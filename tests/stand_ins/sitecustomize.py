"""What every Python process of a test does first where something plays a warehouse: see tests/warehouses.py."""

import os

if port := os.environ.get("TEST_CLICKHOUSE_ENGINE"):
    from clickhouse_engine import stand_in

    stand_in(int(port))

if "BIGQUERY_EMULATOR_HOST" in os.environ:
    from dlt.common.configuration.specs import GcpServiceAccountCredentials
    from google.auth.credentials import AnonymousCredentials

    GcpServiceAccountCredentials.to_native_credentials = lambda _: AnonymousCredentials()  # the emulator takes any
