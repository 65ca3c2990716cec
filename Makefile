# make try     install into .venv and run the example end to end, offline
# make test    install and pass the tests
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# torch: a local folder of wheels where one is named, the CPU build where there is no GPU, else what the index gives
TORCH  := $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),$(if $(shell command -v nvidia-smi),,--torch-backend=cpu))
export HF_HUB_OFFLINE ?= 1
STUDIES := $(addprefix bench-,adapters banking77 bases contexts cqa curation estimate generalization generation gpu knowledge prefix quant reft retrieval stepwise stepwise_speed text throughput)

.PHONY: setup try test slow lint docs clean bench $(STUDIES)

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed; have: $$(python3 --version). Type: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 3; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(TORCH) --constraint constraints.txt --editable '.[dev]'
	touch $@

try: setup
	$(BIN)/limbeck run examples/kettle/prompt.md

test: setup
	$(BIN)/ruff check src tests examples bench
	$(BIN)/mypy
	$(BIN)/pytest

slow: setup
	$(BIN)/pytest -m slow --timeout 3600

lint: setup
	$(BIN)/ruff format src tests
	$(BIN)/ruff check --fix src tests examples bench
	$(BIN)/mypy

# the quick tables; bench-<name> is that study's core
bench: setup
	$(BIN)/python bench/retrieval/bench.py
	$(BIN)/python bench/bases/bench.py
	$(BIN)/python bench/banking77/bench.py --seeds 0 --name quick

bench-adapters bench-generalization bench-stepwise: setup
	$(BIN)/limbeck bench $(@:bench-%=%)

bench-banking77 bench-bases bench-contexts bench-cqa bench-curation bench-estimate bench-generation bench-gpu bench-knowledge bench-prefix bench-quant bench-reft bench-retrieval bench-stepwise_speed bench-text bench-throughput: setup
	$(BIN)/python bench/$(@:bench-%=%)/bench.py

docs: setup
	$(BIN)/python docs/commands.py > docs/commands.md

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
