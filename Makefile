# `make run` and `make test` each work alone on a fresh clone: they need Python 3.10 or newer and make.
PYTHON ?= python3
DESTINATIONS ?= duckdb,postgres
BIN := .venv/bin

.PHONY: help run test lint docs clean

help:  ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

run: .venv/installed  ## play a year of the demo account, load it as it is today, and write a report of it
	rm -f talkover_demo.duckdb
	$(BIN)/talkover load --demo --weeks 52
	$(BIN)/talkover load --demo
	$(BIN)/talkover report --demo

test: lint  ## lint, types and every test
	@command -v chromium >/dev/null || echo "No chromium here: the tests that look at the report in a browser are left out."
	$(BIN)/pytest -n 2 --destinations $(DESTINATIONS) $$(command -v chromium >/dev/null || echo "-m 'not browser'")

lint: .venv/installed  ## lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/installed  ## write the made parts and the outputs in docs/ anew
	UPDATE_DOCS=1 $(BIN)/pytest -q tests/test_docs.py

clean:  ## remove what the others made
	rm -rf .venv .venv-* talkover_demo.duckdb report.html

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
