# make install | test | test-cluster | demo [SRC=path] | bench [DATA=folder] | lint | format | clean
# Needs Python 3.11 or newer (PYTHON=... picks one) and an index that pip can reach; everything goes into .venv.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
WORKERS ?= 2
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install test test-cluster demo bench lint format clean
.DELETE_ON_ERROR:

install: $(INSTALLED)

# Installed again only when what it installs has changed.
$(INSTALLED): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "haarchive needs Python 3.11 or newer; name one with PYTHON=/path/to/python" >&2; exit 2; }
	@$(BIN)/python -c '' 2>/dev/null || "$(PYTHON)" -m venv --clear .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,demo]'
	@touch $@

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Ten nodes go away, one after the other, under a running job.
test-cluster: install
	HAARCHIVE_CLUSTER_ROUNDS=10 $(BIN)/python -m pytest tests/pipeline/jobs/test_job_cluster.py

# mypy runs where no folder is named codecs: next to one it takes that for the standard library's module.
lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cd typings && ../$(BIN)/mypy --config-file ../pyproject.toml -p haarchive

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

demo: install
	@$(BIN)/python benchmarks/demo.py $(if $(SRC),"$(SRC)")

bench: install
	$(BIN)/python benchmarks/rans.py
	$(BIN)/python benchmarks/lossless_images.py $(if $(DATA),--data "$(DATA)")
	$(BIN)/python benchmarks/idf.py $(if $(DATA),--data "$(DATA)")
	$(BIN)/python benchmarks/lossless_audio.py $(if $(DATA),--data "$(DATA)")
	$(BIN)/python benchmarks/jobs.py $(if $(DATA),--data "$(DATA)")

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
