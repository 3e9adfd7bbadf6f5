# `make demo` and `make test` work on a fresh machine with Python 3.11 to 3.13, pip, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint soak emulators oracles bench dev mysql clean

demo: $(STAMP)  ## install, then run the main job on real data
	$(BIN)/zsync demo

test: $(STAMP) mysql  ## install, then run the tests
	$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m "not soak"

lint: $(STAMP)  ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: $(STAMP) mysql  ## what takes longer than CI may
	HYPOTHESIS_PROFILE=soak $(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder

emulators:  ## tests on Snowflake (fakesnow) and ClickHouse (chdb), which have versions of their own of some packages
	$(PYTHON) -m venv $(VENV)-emulators
	$(VENV)-emulators/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,databricks]' chdb
	$(VENV)-emulators/bin/python -m pip install --quiet --disable-pip-version-check 'fakesnow==0.12.1' 'snowflake-connector-python<5'
	$(VENV)-emulators/bin/pytest -q -m "fakesnow or chdb" zsync_pipelines_tests/sources zsync_pipelines_tests/conformance
	$(VENV)-emulators/bin/pytest -q zsync_pipelines_tests/sources/test_golden_dialects.py \
		zsync_pipelines_tests/sources/test_dialects_on_duckdb.py \
		zsync_pipelines_tests/destinations/test_sql_golden.py zsync_pipelines_tests/destinations/test_sql_warehouses.py

oracles:  ## vendors' own packages against our digests and stand-ins
	$(PYTHON) -m venv $(VENV)-oracles
	$(VENV)-oracles/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]' \
		-r zsync_pipelines_tests/connectors/oracles/requirements.txt
	$(VENV)-oracles/bin/pytest -q -m oracle zsync_pipelines_tests/connectors/oracles

bench: $(STAMP)  ## measurements, as ratios within one run
	$(BIN)/python -m benchmarks.sync_run
	$(BIN)/python -m benchmarks.delivery
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.audience --customers 100000 --events 1000000 --postgresql 100000 --repeats 3
	$(BIN)/python -m benchmarks.diff --rows 1000000 --peers
	$(BIN)/python -m benchmarks.snapshots --rows 300000 --runs 20
	$(BIN)/python -m benchmarks.connectors
	$(BIN)/python -m benchmarks.scale --rows 100000 300000 1000000 --cores 1000000

dev: $(STAMP)  ## Dagster (UI, schedules, sensors) and the REST API, until Ctrl-C
	$(BIN)/zsync dev

mysql:  ## a MariaDB server for the tests, where none is installed and this is root on Debian (no service is started)
	@for server in mariadbd mysqld /usr/sbin/mariadbd /usr/sbin/mysqld; do \
		if command -v $$server >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get update -qq; apt-get install -qq -y --no-install-recommends mariadb-server-core; } >/dev/null 2>&1 || \
			echo "MariaDB could not be installed: its tests are skipped"; \
	else \
		echo "no MySQL or MariaDB server is installed: its tests are skipped"; \
	fi

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) zsync_demo
