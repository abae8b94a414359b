# Everything that is done with a checkout. `make help` lists it.
# Written for GNU Make 3.81 and later, which is what macOS has.

# The first Python that is new enough; `make demo PYTHON=/path/to/python3` names another.
OLD := import sys; sys.exit(sys.version_info < (3, 10))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$python -c '$(OLD)' 2>/dev/null && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/installed
BENCH_INSTALLED := $(VENV)/installed-bench
IPYKERNEL6 := .cache/ipykernel6
FEATURE_PEERS := .cache/feature-peers
LOWEST := .cache/lowest
BUNDLE := convlens/static/built-from.sha256
FRONTEND := $(BIN)/python hatch_build.py
JS_SOURCES := $(wildcard js/*.json js/*.mjs) $(shell find js/src -type f)

# The notebook goes in as the default address, so that the printed one leads to it as well.
# Jupyter asks root, the only user of many containers, to confirm.
NOTEBOOK ?= notebooks/quickstart.ipynb
JUPYTER = $(BIN)/jupyter lab --LabApp.default_url=/lab/tree/$(NOTEBOOK) \
	$(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help setup build demo watch test test-python test-js test-lowest lint format bench screenshots clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

setup: $(INSTALLED) $(BUNDLE) ## set up .venv; the targets below do it themselves

build: $(BUNDLE) ## bring the front end up to date

demo: setup ## open the quickstart notebook in JupyterLab
	$(JUPYTER)

watch: setup ## the same, with the front end rebuilt and reloaded at every change in js/
	$(BIN)/python scripts/watch.py $(JUPYTER)

test: test-js test-python ## run every test, those in a real browser included

test-js: setup ## only the tests of the front end
	$(FRONTEND) npm run test

# After vitest, so that a log ends with what pytest says.
test-python: setup $(IPYKERNEL6)/installed ## only those of pytest; PYTEST="-k filters" chooses
	@$(BIN)/python scripts/browser.py
	$(BIN)/python -m pytest $(PYTEST)

# torch aside, whose builds are too large to fetch another. What stands in for the page in the tests
# speaks ipywidgets 8, so the notebook alone shows that the oldest one works.
test-lowest: setup ## the tests without a browser or peers, on the oldest versions that are allowed
	@test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(BIN)/python scripts/lowest.py > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet \
		$$(grep '^torch==' constraints.txt) --requirement $(LOWEST)/lowest.txt \
		hatchling hypothesis nbclient pytest pytest-timeout pyyaml scikit-learn
	$(LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --editable .
	cp notebooks/quickstart.ipynb $(LOWEST)/ && $(LOWEST)/bin/jupyter execute $(LOWEST)/quickstart.ipynb
	$(LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet ipywidgets==8.1.0
	$(LOWEST)/bin/python -m pytest --ignore tests/browser --ignore tests/similarity/test_peers.py $(PYTEST)

lint: setup ## check style and types, Python and TypeScript
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(FRONTEND) npm run lint
	$(FRONTEND) npm run typecheck

format: setup ## put code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(FRONTEND) npm run format

bench: setup $(BENCH_INSTALLED) $(FEATURE_PEERS)/installed ## measure the figures that the docs state
	@$(BIN)/python scripts/browser.py
	@for file in benchmarks/[a-z]*.py; do \
		echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

screenshots: setup ## take the README's pictures from a real JupyterLab
	@$(BIN)/python scripts/browser.py
	$(BIN)/python scripts/screenshots.py

clean: ## remove what was built and set up
	rm -rf $(VENV) .cache convlens/static js/node_modules dist .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python >= 3.10 found: install one, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian, Ubuntu: apt-get install python3-venv)."; exit 1; }

# Also builds the front end, as every installation of the package does.
$(INSTALLED): pyproject.toml constraints.txt hatch_build.py | $(BIN)/python
	@echo "Setting up $(VENV) (some minutes the first time)"
	$(PIP) install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

$(BENCH_INSTALLED): $(INSTALLED)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[bench]"
	@touch $@

# Kept apart and without what they ask for: that would replace torch, and they run on this.
$(FEATURE_PEERS)/installed: | $(INSTALLED)
	$(PIP) install --quiet --no-deps --upgrade --target $(FEATURE_PEERS) torch-lucent==0.1.8 \
		flashtorch==0.1.3 kornia==0.4.1 torchvision==0.28.0 decorator future importlib-resources
	@touch $@

$(BUNDLE): $(JS_SOURCES) | $(INSTALLED)
	$(FRONTEND)

# The kernel of older notebooks, beside the current one: a browser test starts it by PYTHONPATH.
$(IPYKERNEL6)/installed: | $(INSTALLED)
	$(PIP) install --quiet --no-deps --upgrade --target $(IPYKERNEL6) ipykernel==6.31.0 nest-asyncio==1.6.0
	@touch $@
