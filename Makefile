# The two commands a newcomer needs. ARGS="--smoke" and the like are passed on.
PYTHON ?= python3
.PHONY: ablation analysis test

ablation: .venv/run-ready
	.venv/bin/python sweeps/ablation_layers.py --yes $(ARGS)

test: .venv/test-ready
	.venv/bin/python -m pytest -n 2 -p no:rerunfailures -m "not slow and not gpu" $(ARGS)

# What analysis/ needs and nothing that trains: no torch, no Ray.
analysis: .venv-analysis/ready

.venv-analysis/ready: pyproject.toml
	$(PYTHON) -m venv .venv-analysis
	.venv-analysis/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["analysis"], sep="\n")' > .venv-analysis/requirements.txt
	.venv-analysis/bin/python -m pip install --quiet --requirement .venv-analysis/requirements.txt
	.venv-analysis/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

.venv/run-ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable .
	touch $@

.venv/test-ready: pyproject.toml .venv/run-ready
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@
