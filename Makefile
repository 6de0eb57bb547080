PYTHON ?= python3
BIN := .venv/bin
# One more than there are cores, as a test of a browser or of a thread waits for a third of its time; each may take 3 GB.
WORKERS ?= $(shell $(BIN)/python -c 'import os; gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30; print(max(1, min(os.cpu_count() + 1, gb // 3)))')
TESTS = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
JS := tests/js/node_modules/.done
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Hundreds of processes are started, and none shall compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## what can be done here
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

run: .venv/run ## install what is missing and open the dashboard
	$(BIN)/streamlit run dashboard.py

test: .venv/dev $(JS) ## what every change must pass: lint, types, unit, pages, browser
	$(BIN)/python tests/browser/provide.py
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(MAKE) --no-print-directory -j2 types javascript
	$(TESTS)

# By one process: several of mypy 2.4's miss modules of a cache that another is writing.
types:
	$(BIN)/mypy

javascript:
	if [ -e $(JS) ]; then npm --prefix tests/js run --silent lint; fi
	if command -v node >/dev/null; then node --test tests/js/*.test.js; else echo "JavaScript unit tests skipped: there is no node here."; fi

quick: .venv/dev ## unit tests in Python and JavaScript: no browser, no pages
	if command -v node >/dev/null; then node --test tests/js/*.test.js; else echo "JavaScript unit tests skipped: there is no node here."; fi
	$(TESTS) tests/unit

slow: .venv/dev ## after make test: documented blocks, installation, faults, fuzzing, real weights, more model families
	$(TESTS) -o timeout=1800 -m '(slow or weights) and not release'

oldest: .venv/dev ## the tests of pages with the oldest Streamlit that requirements.txt allows
	rm -rf build/oldest && $(BIN)/pip install -q --no-deps --target build/oldest/site-packages "$$(sed -n 's/^\(streamlit\)>=\([0-9.]*\).*/\1==\2.*/p' requirements.txt)"
	PYTHONPATH=$(CURDIR)/build/oldest/site-packages $(TESTS) tests/pages tests/browser

oracle: .venv/dev ## random cases against an independent reference and laws, for an hour
	$(BIN)/python -m tests.oracle

weights: .venv/dev ## the tests that need real weights, in the folders that SIGHTGLASS_WEIGHTS names
	$(TESTS) -o timeout=1800 -m 'weights and not release'

release: .venv/dev ## tests that take minutes each, once before a release
	$(BIN)/python -m pytest -o timeout=0 -m release

check: .venv/dev ## lint and types only
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(MAKE) --no-print-directory types
	if [ -e $(JS) ]; then npm --prefix tests/js run --silent lint; else echo "JavaScript not checked: make test installs what that takes."; fi

format: .venv/dev ## put the code in order
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

docs: .venv/dev ## the documentation as a site in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Built: build/site/index.html"

bench: .venv/dev ## what is fast, measured against the peers
	$(BIN)/python -m benchmarks speed

examples: .venv/dev ## the results that pages show as examples, made anew: minutes
	$(BIN)/python -m training.examples

LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command 'make lock'
# uv reads no settings of pip: an index of your own goes into UV_INDEX_URL.
lock: .venv/dev ## pin every package with its hashes, anew where requirements changed; make lock UPGRADE=-U takes the newest
	$(LOCK) $(UPGRADE) requirements.txt -o requirements.lock
	$(LOCK) $(UPGRADE) -c requirements.lock requirements-dev.txt requirements-exported.txt -o requirements-dev.lock
	@echo "Locked: requirements.lock and requirements-dev.lock"

audit: .venv/dev ## known vulnerabilities of what is locked, and its licences
	$(BIN)/python deploy/audit.py

sbom: .venv/dev ## sbom.cdx.json: what Sightglass consists of, in CycloneDX
	@# It warns that a list of pins does not say what depends on what.
	PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml -o sbom.cdx.json
	@echo "Written: sbom.cdx.json"

.venv/run: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sightglass needs Python 3.11 or newer: make PYTHON=python3.12 run")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -r requirements.txt
	# A server without a screen has no libGL: OpenCV's build without windows is laid over the other one there.
	$(BIN)/python -c 'import cv2' 2>/dev/null || $(BIN)/pip install --force-reinstall --no-deps opencv-python-headless
	touch $@

.venv/dev: requirements-dev.txt .venv/run
	$(BIN)/pip install -r requirements-dev.txt
	touch $@

$(JS): tests/js/package.json
	npm --prefix tests/js install --silent >/dev/null 2>&1 && touch $@ || echo "JavaScript not checked: there is no npm here, or it could not fetch ESLint and TypeScript."

.PHONY: help run test types javascript quick slow oldest oracle weights release check format docs bench examples lock audit sbom
