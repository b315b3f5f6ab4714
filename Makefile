# Everything a person or CI does with a checkout. `make` alone lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --require-hashes
CATALOGUES := $(wildcard src/lastro/locale/*/LC_MESSAGES/*.po)
WEB := web/build.mjs web/package.json web/package-lock.json $(wildcard web/src/*)
PYTHON ?=

# A word of PATHS becomes one argument, whatever characters are in it; a leading ~/ is the home directory.
quote = '$(subst ','\'',$(patsubst ~/%,$(HOME)/%,$(1)))'
ARGUMENTS = $(foreach path,$(PATHS),$(call quote,$(path)))

# Not the slow ones: what `make check` runs.
FAST := not slow and not system and not clis and not soak

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Use -----------------------------------------------------------------------------------------------------------------

.PHONY: install
install: $(VENV)/.catalogues $(VENV)/.assets ## Install Lastro into .venv (PYTHON=... picks the interpreter)
	@:

$(BIN)/python:
	@python=$$(PYTHON='$(PYTHON)' tools/find_python.sh) && echo "making $(VENV) with $$python" && "$$python" -m venv $(VENV)

# The stamp is written last, so an install that was interrupted is made again.
$(VENV)/.installed: $(BIN)/python requirements.lock requirements-build.lock pyproject.toml hatch_build.py
	@echo "installing into $(VENV)"
	@$(PIP) -r requirements.lock -r requirements-build.lock
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --no-build-isolation --no-deps --no-index --editable .
	@touch $@

# Installing compiles the catalogues too; this is for one that changed since.
$(VENV)/.catalogues: $(VENV)/.installed $(CATALOGUES)
	@$(BIN)/python -m tools.translations compile
	@touch $@

# As the catalogues. Where no npm registry is in reach it says so, and the next install tries again.
$(VENV)/.assets: $(VENV)/.installed $(WEB)
	@$(BIN)/python -m tools.assets && touch $@ || echo "Going on without the console. Everything else works."

.PHONY: up
up: install ## Protect a sample project, or PATHS="/etc /home/me/code", with a gateway beside it, and stay
	@export LASTRO_HOME="$${LASTRO_HOME:-$(CURDIR)/.lastro-home}"; \
	$(BIN)/lastro gateway models pull smollm2 --quiet >/dev/null || \
		echo "Going on without an offline model. Later: lastro gateway models pull smollm2"; \
	exec $(BIN)/lastro up $(ARGUMENTS)

.PHONY: demo
demo: install ## Play a tour of the whole in a scratch home
	@exec $(BIN)/lastro demo

## Develop -------------------------------------------------------------------------------------------------------------

$(VENV)/.developed: $(VENV)/.catalogues $(VENV)/.assets requirements-dev.lock
	@echo "installing the development tools into $(VENV)"
	@$(PIP) -r requirements-dev.lock
	@touch $@

.PHONY: develop
develop: $(VENV)/.developed ## Install the development tools into .venv
	@:

.PHONY: check
check: lint ## Format, lint, types, layers, translations and the fast tests; under two minutes
	@$(BIN)/python -m pytest -q -n logical --dist worksteal -m "$(FAST)"

.PHONY: lint
lint: develop ## Everything of `check` but the tests
	@$(BIN)/ruff format --check --quiet --output-format concise . || { echo "make format does it"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tools.translations check

.PHONY: test
test: develop ## The whole test suite, with what it needs from the system
	@tools/system_packages.sh
	@$(BIN)/python -m pytest -q -n logical --dist worksteal -m "not system and not clis and not soak"
	@$(BIN)/python -m pytest -q -n logical --dist loadfile -m "system and not clis and not soak"

.PHONY: test-clis
test-clis: develop ## Run the large coding tools (Claude Code, opencode) through the gateway and in runs
	@tools/system_packages.sh
	@$(BIN)/python -m pytest -q -m "clis and not soak"

.PHONY: bench
bench: develop ## Run the benchmarks
	@$(BIN)/python -m bench

.PHONY: soak
soak: develop ## Run the tests that take long on purpose
	@tools/system_packages.sh
	@$(BIN)/python -m pytest -m soak

.PHONY: format
format: develop ## Format the code, with the safe fixes of the linter
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

.PHONY: assets
assets: $(VENV)/.installed ## Build the console's style sheet and scripts from web/
	@$(BIN)/python -m tools.assets

.PHONY: screenshots
screenshots: develop ## Take pictures of every page of the console, into build/screenshots/
	@tools/system_packages.sh
	@$(BIN)/python -m tests.browser.screenshots build/screenshots

.PHONY: locale
locale: develop ## Bring the catalogues in step with the sources, and compile them
	@$(BIN)/python -m tools.translations update

# No lock may name a registry: a reader's pip brings its own (docs/adr/0002).
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --quiet $(if $(UPGRADE),--upgrade)

.PHONY: lock
lock: develop ## Remake the locks (UPGRADE=1 moves to the newest versions)
	@$(LOCK) --extra all pyproject.toml -o requirements.lock
	@$(LOCK) --extra all --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	@$(LOCK) -c requirements-dev.lock requirements-build.in -o requirements-build.lock

.PHONY: clean
clean: ## Remove .venv and everything built; never .lastro-home
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
	@find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
	@rm -rf src/lastro/locale/*/LC_MESSAGES/*.mo src/lastro/faces/console/static web/node_modules
