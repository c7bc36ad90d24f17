# Two commands matter: `make reproduce` and `make test`. Both build the environment first, if it is missing.
PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 2

BIN   := $(VENV)/bin
STAMP := $(VENV)/.ov2lib-installed

.DEFAULT_GOAL := help
.PHONY: help reproduce test lint docs test-portable test-ray test-lowest lab clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  Settings: PYTHON=$(PYTHON) builds VENV=$(VENV); name a ready environment with VENV=path; WORKERS=$(WORKERS) test processes"

reproduce: $(STAMP)  ## Run every notebook, regenerate figures/, end with a table (logs and copies under runs/)
	$(BIN)/ov2 reproduce

# One thread per worker: the workers already fill the cores, and sums keep one order.
test: export OMP_NUM_THREADS = 1
test: export OPENBLAS_NUM_THREADS = 1
test: $(STAMP)  ## Run the tests and check the notebooks' committed outputs
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadscope --nbval --nbval-current-env tests notebooks

lint: $(STAMP)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check ov2lib tests notebooks/kit notebooks/conftest.py .ci
	$(BIN)/mypy

# Sphinx has an environment of its own and reads the packages that it documents from the project's.
docs: $(STAMP)  ## Build the edition to browse: docs/_build/html
	test -x $(VENV)-docs/bin/python || $(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --disable-pip-version-check --quiet --no-compile --constraint constraints.txt --editable '.[docs]'
	rm -rf docs/api && mkdir -p docs/_build/extra
	$(BIN)/ov2 inspect tests/data/beach_360x640_h264.mp4 --html docs/_build/extra/inspector.html > /dev/null
	PYTHONPATH=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		$(VENV)-docs/bin/sphinx-build -M html . docs/_build -c docs --quiet --jobs $(WORKERS) --fail-on-warning --keep-going
	$(BIN)/python docs/check.py docs/_build/html

test-portable: $(STAMP)  ## Check by hand that results do not depend on the processor: one table (about an hour)
	$(BIN)/python tests/portable.py

test-ray:  ## Check `ov2 corpus --engine ray` on a local Ray of two workers, in an environment of its own (595 MB)
	test -x $(VENV)-ray/bin/python || $(PYTHON) -m venv $(VENV)-ray
	$(VENV)-ray/bin/python -m pip install --disable-pip-version-check --quiet --editable '.[ray]' pytest hypothesis
	$(VENV)-ray/bin/python -m pytest tests/corpus/test_corpus_ray.py

# torch stays at its pin; all else is installed at the lower bound that pyproject.toml promises.
test-lowest: export OMP_NUM_THREADS = 1
test-lowest: export OPENBLAS_NUM_THREADS = 1
test-lowest:  ## Check by hand that the lower bounds of pyproject.toml hold (an environment of its own)
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(PYTHON) tests/lowest.py > $(VENV)-lowest/constraints.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --no-compile --constraint $(VENV)-lowest/constraints.txt --editable '.[dev]'
	$(VENV)-lowest/bin/python -m pytest --numprocesses $(WORKERS) --dist loadscope tests

# OpenMP's threads sleep while they wait: they spin by default, which makes training crawl on a machine that others use too.
lab: export OMP_WAIT_POLICY = PASSIVE
lab: $(STAMP)  ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

clean:  ## Remove what make and the tests left behind (.venv, runs, caches); committed files stay
	rm -rf .venv .venv-docs .venv-lowest docs/_build docs/api runs build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find notebooks ov2lib tests -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# Uncompiled: Python compiles what it imports when it first does, which is a fraction of what pip would compile here.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@
