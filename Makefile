# carlake: everything a person or a CI runs. Needs GNU make and Python 3.11 or newer; the rest is installed in .venv.

USABLE = import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c "$(USABLE)" 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
READY := .venv/.setup-done
COMPLETE := .venv/.tests-setup-done
DEPLOYS := .venv/.deploy-setup-done
# What starts a process often would otherwise compile carlake anew each time.
unexport PYTHONDONTWRITEBYTECODE
# Of the CDK's modules, one for each of AWS's services, a few are used: those compile as they are.
COMPILE = $(BIN)/python -m compileall -qq -j 0 -x '/aws_cdk/aws_' .venv/lib
# Tests wait for servers, disks and clocks a third of their time: three share two cores well.
WORKERS ?= 3

# An environment works only where it was made: if this folder was moved or copied, it is made again.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
$(shell rm -f $(READY) $(COMPLETE))
endif
ifneq ($(shell cat $(DEPLOYS) 2>/dev/null),$(CURDIR))
$(shell rm -f $(DEPLOYS))
endif

define NEED_PYTHON
@test -n "$(PYTHON)" && "$(PYTHON)" -c "$(USABLE)" 2>/dev/null || { \
	echo "carlake needs Python 3.11 or newer, with its venv module, and found none in $(or $(PYTHON),PATH)." >&2; \
	echo "Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	exit 1; }
endef
VENV = test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear .venv

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests servers servers-soon demo test test-all test-aws lint docs bench bench-spark bench-peers bench-scale bench-lambda torture torture-spark parity-files deploy-template clean

help: ## show this
	@echo "carlake: files of car events in, three right tables out, exactly once"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## build .venv with what carlake needs on one machine, and what checks it

$(READY): pyproject.toml constraints.txt
	$(NEED_PYTHON)
	@echo "Building .venv with $$("$(PYTHON)" --version); this takes about a minute."
	@$(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@# Without bytecode every command would start three times slower. pip would make it too, with one core.
	@$(COMPILE) src || true
	@printf '%s' "$(CURDIR)" > $@

setup-tests: $(COMPLETE) ## add Spark, the drivers of catalogs and stores, and what else the tests need

$(COMPLETE): $(READY)
	@echo "Adding Spark and the other extras to .venv; this takes some minutes."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev,spark,postgres,aws,servers,deploy,lambda,checks]'
	@$(COMPILE) || true
	@touch $@

$(DEPLOYS): pyproject.toml constraints.txt
	$(NEED_PYTHON)
	@# An environment that has all that the tests need has this, too.
	@test $(COMPLETE) -nt pyproject.toml || { \
		echo "Adding what deploying needs to .venv; this takes some minutes."; \
		{ $(VENV); } && $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[deploy]'; }
	@printf '%s' "$(CURDIR)" > $@

servers-soon: setup-tests
	@PYTHONPATH=tests $(BIN)/python -m servers.provide java postgres rest_catalog versitygw spark_submit

servers: setup-tests ## fetch or build the servers that the tests start (PostgreSQL, catalogs, stores, engines) in .envs
	@PYTHONPATH=tests $(BIN)/python -m servers.provide

demo: setup ## a simulated fleet with faults, from landing to the three gold tables
	@$(BIN)/carlake demo $(ARGS)

lint: setup-tests ## ruff and mypy
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

test: setup ## lint, then the tests; test-aws and test-all have the long ones
	@# What takes minutes to build or to fetch comes meanwhile: one server while pip works, Trino beside the first tests.
	@PYTHONPATH=tests $(BIN)/python -m servers.provide versitygw & \
	$(MAKE) --no-print-directory setup-tests && { \
	PYTHONPATH=tests $(BIN)/python -m servers.provide trino & \
	$(MAKE) --no-print-directory -j2 lint servers-soon && \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope $(if $(ARGS),$(ARGS),--matrix usual); }

test-aws: servers ## the deployment on AWS: its long proofs beside the usual ones
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --aws all tests/aws $(ARGS)

test-all: servers ## one behaviour on every combination of engine, catalog and store, and jobs on every Spark
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --matrix all tests/matrix tests/spark tests/readers tests/bench $(ARGS)

docs: setup ## the reference from the code, and in every other page what its commands print now
	@$(BIN)/python docs/make_reference.py
	@$(BIN)/python docs/make_runbook.py
	@$(BIN)/python docs/run_pages.py

deploy-template: $(DEPLOYS) ## the CloudFormation templates, checked, in build/deploy (ARGS=parameters.toml)
	@$(BIN)/python -m carlake_aws.templates build/deploy $(ARGS)

bench: setup ## how fast, as ratios to DuckDB alone on the same input
	@$(BIN)/python bench/run.py $(ARGS)

bench-spark: setup-tests ## carlake on Spark, embedded, a plain Spark job and DuckDB alone, on the same input
	@$(BIN)/python bench/spark.py $(ARGS)

bench-lambda: setup-tests ## the deployed function in its runtime, cold and warm, beside the embedded engine
	@$(BIN)/python bench/lambda_handler.py $(ARGS)

bench-peers: setup ## the same input through dbt-duckdb and dlt
	@$(BIN)/python bench/peers.py $(ARGS)

bench-scale: setup ## what bounds each part, as laws fitted to measurements at three sizes
	@$(BIN)/python bench/scale.py $(ARGS)

torture: setup ## kills, lost power, full disks, damage, crowds, seeded faults: an hour or two
	@$(BIN)/python tests/torture/run.py $(ARGS)

torture-spark: setup-tests ## Spark runs killed at random beside a watch on the same lake
	@$(BIN)/python tests/spark/torture.py $(ARGS)

parity-files: setup-tests ## CARLAKE_FILES=folder: the files through both engines, and every table compared
	@$(BIN)/python tests/spark/torture.py --files "$(CARLAKE_FILES)"

clean: ## remove .venv, caches and the demo's lake
	@rm -rf .venv .envs .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist demo-lake bench/out
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
