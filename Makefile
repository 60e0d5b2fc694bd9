# The two commands a newcomer needs. ARGS="--smoke" and the like are passed on.
PYTHON ?= python3
.PHONY: ablation test

ablation: .venv/run-ready
	.venv/bin/python sweeps/ablation_layers.py --yes $(ARGS)

test: .venv/test-ready
	.venv/bin/python -m pytest -n 2 -p no:rerunfailures -m "not slow and not gpu" $(ARGS)

.venv/run-ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable .
	touch $@

.venv/test-ready: pyproject.toml .venv/run-ready
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@
