# longtail: set up, try, test. `make` alone lists the targets.
#
#   make demo VENV=/opt/longtail        another environment
#   make install ACCELERATOR=cpu        the CPU build although there is an NVIDIA GPU
#   make install PYTHON=python3.12      another Python

VENV ?= .venv
PYTHON ?= python3
# auto: CUDA where `nvidia-smi` works, else CPU. Nothing of CUDA is downloaded for `cpu`.
ACCELERATOR ?= auto
# Used only where pip's own configuration has no CPU build of torch.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu

# Processes that run tests side by side; a file of tests stays in one of them.
WORKERS ?= 2

BIN := $(VENV)/bin
FIRST_DAY ?= 2023-06-10
SECOND_DAY ?= 2025-08-09

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow explore drill lint types format config-reference clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: ## make the environment from the lock; nothing when it is up to date
	@$(PYTHON) ops/requirements/install.py --venv "$(VENV)" --accelerator "$(ACCELERATOR)" \
		--torch-cpu-index "$(TORCH_CPU_INDEX)"

demo: install ## raw tables to published embeddings, for two days of the Debian package graph
	$(BIN)/longtail run --as-of $(FIRST_DAY)
	$(BIN)/longtail run --as-of $(SECOND_DAY)
	$(BIN)/longtail status
	$(BIN)/longtail neighbours python3-numpy
	$(BIN)/longtail neighbours nginx
	$(BIN)/longtail recommend python3-pandas
	@echo
	@echo "Next: DAGSTER_HOME=$(CURDIR)/.longtail/dagster $(BIN)/dg dev"
	@echo "        the same flow, and these runs, in Dagster's web interface on port 3000"
	@echo "      $(BIN)/longtail --help"

test: install lint types ## lint, types, and every test that is not slow
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

test-slow: install ## the slow tests alone
	$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist loadfile

explore: install ## the property tests alone, with examples that were not drawn before
	$(BIN)/python -m pytest -m "hypothesis and not slow" --hypothesis-profile explore

drill: install ## generated projects of every format through init, check and a run; 40 minutes
	$(BIN)/python ops/drills/generated_projects.py --per-format 100 --jobs 2

lint: install ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## mypy
	$(BIN)/mypy

format: install ## let ruff rewrite what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

config-reference: install ## rewrite platform/longtail/config/CONFIGURATION.md from the models
	$(BIN)/python -m longtail.config.reference

clean: ## remove caches; keeps the environment and .longtail
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -not -path "./.venv/*" -not -path "./.git/*" -prune -exec rm -rf {} +
