# Every target runs `setup` first, so any target can be the first command on a new machine.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed

# Some environments disable Python's bytecode cache; without it, every test process compiles both packages again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format lint types doctest docs bench lower-bounds clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with pinned versions of everything, all extras included

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is required, $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12 $(or $(MAKECMDGOALS),setup)"; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): about 6 GB the first time, a few minutes …"
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	@$(PY) -m compileall -qq -j 0 $(VENV)/lib || true  # uses all cores, pip only one; some files are templates
	@touch $@
	@echo "Optional: $(PY) -m hamipose models fetch blazepose downloads pretrained pose networks (41 MB, Apache-2.0)"

demo: $(STAMP) ## adapt a pose model from synthetic to photo-like people and show before and after (ten to fifteen minutes)
	@$(PY) -m hamipose demo --out runs/demo

test: $(STAMP) ## the test suite; prints the 20 slowest tests
	@OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=20

lint: $(STAMP) ## code, docstrings, format and spelling
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) tests/tools/spelling.py

format: $(STAMP) ## format the code
	@$(PY) -m ruff check --fix . ; $(PY) -m ruff format .

types: $(STAMP) ## mypy
	@$(PY) -m mypy

doctest: $(STAMP) ## the examples in docstrings
	@$(PY) -m pytest --doctest-modules hamipose meshtto tests/tools/spelling.py

check: lint types doctest test ## lint, types, doctests and tests, which every change must pass

docs: $(STAMP) ## build the documentation with the API reference in site/; broken links are errors
	@$(PY) -c 'import material, mkdocstrings' 2>/dev/null || $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet && echo "site/index.html"

bench: $(STAMP) ## the side-by-side benchmarks (minutes each; figures go to benchmarks/results)
	@for b in benchmarks/render.py benchmarks/heatmap_warp.py benchmarks/optimizer_step.py benchmarks/gate.py; do echo "== $$b"; $(PY) $$b; done

# Run missing experiments and reuse finished ones. For the paper's scale: HAMIPOSE_DATA=DIR ARGS="--scale paper".
# ARGS="--dry-run" lists missing runs with their estimated time.
TABLES  := $(addprefix reproduce-table,1 2 3 4 5)
FIGURES := $(addprefix reproduce-figure,4 5)
.PHONY: $(TABLES) $(FIGURES)

reproduce-table1: ## Table 1 of both papers (tables 2 to 5, figures 4 and 5 likewise); ARGS="--dry-run" lists missing runs
reproduce-table1: $(STAMP)
	@$(PY) -m hamipose experiments --table 1 $(ARGS); status=$$?; $(PY) -m meshtto experiments $(MESH_ARGS) && exit $$status

$(filter-out %1,$(TABLES)): reproduce-table%: $(STAMP)
	@$(PY) -m hamipose experiments --table $* $(ARGS)

# Set MESH_ARGS if the two need different options, such as --only.
MESH_ARGS ?= $(ARGS)
.PHONY: reproduce-meshes
reproduce-meshes: $(STAMP) ## the table of human mesh recovery only
	@$(PY) -m meshtto experiments $(MESH_ARGS)

$(FIGURES): reproduce-figure%: $(STAMP)
	@$(PY) -m hamipose experiments --figure $* $(ARGS)

lower-bounds: ## the tests with the oldest versions that pyproject.toml allows, in a separate virtual environment
	@$(PYTHON) tests/tools/lower_bounds.py

clean: ## remove the virtual environment, caches, the site and runs
	rm -rf $(VENV) site runs cache .pytest_cache .ruff_cache .mypy_cache
