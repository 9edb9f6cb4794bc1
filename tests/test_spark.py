"""The views as they are printed for Databricks, on Apache Spark, which speaks the same SQL. Nothing is loaded there."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import duckdb
import pytest
from pandas.testing import assert_frame_equal

from talkover.cli import main
from talkover.report.columns import typed
from talkover.report.frame import to_frame
from talkover.sync.tables import KEYS

from .conftest import Connector
from .test_views import GRAIN, in_order, load_three_months, sorted_rows


@pytest.mark.spark
@pytest.mark.timeout(1200)
def test_every_view_of_databricks_gives_duckdbs_rows_on_spark(spark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    load_three_months(Connector, {})
    with closing(duckdb.connect("talkover_pipeline.duckdb", read_only=True)) as file:
        for table in (*KEYS, "_dlt_loads"):
            rows = file.sql(f"from talkover.{table}").to_arrow_table()
            spark.createDataFrame(rows).write.saveAsTable(table)
    assert main(["views", "--print", "databricks"]) == 0
    for statement in capsys.readouterr().out.removesuffix(";\n").split(";\n"):
        spark.sql(statement)
    for name in GRAIN:
        found = in_order(name, to_frame(typed(spark.table(name).toArrow())))
        assert_frame_equal(found, sorted_rows(name), check_dtype=False, obj=name)
