# Two commands: `make gate` judges the recorded clouds, `make test` runs everything that needs no root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
ROOMS := fixtures plugins suites reports profiles lab

.PHONY: gate test check lab-test docs clean

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# mypy follows folders, not the import hook of an editable install: show it the package as it is shipped.
build/typed: $(READY)
	rm -rf $@ && mkdir -p $@/seatrial
	for file in seatrial/*; do ln -s ../../../$$file $@/seatrial/; done
	for room in $(ROOMS); do ln -s ../../../$$room $@/seatrial/$$room; done

check: build/typed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=build/typed $(BIN)/mypy -p seatrial.fixtures -p seatrial.plugins -p seatrial.lab -p seatrial.command
