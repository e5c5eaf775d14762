# Two commands: `make gate` judges the recorded clouds, `make test` runs everything that needs no root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
ROOMS := fixtures plugins suites reports profiles lab

.PHONY: gate test check provide lab-test docs record bench-boots bench-broker bench-scale report-example clean

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

docs: $(READY)
	$(BIN)/python -m seatrial.command.catalogue > docs/invariants.md
	$(BIN)/python -m seatrial.command.remedies > docs/remedies.md
	$(BIN)/python -m seatrial.command.remedies role > docs/clusterrole-remedies.yaml
	$(BIN)/python -m seatrial.command.chart_rights > charts/seatrial/files/rights.json

# Both recorded clouds come from the lab: one with the faults of the UM report in place, one sound.
OUT := reports/out
gate: $(READY)
	@mkdir -p $(OUT)
	@$(BIN)/seatrial gate --bundle um-cloud-before --profile lab --verdict $(OUT)/before.json; \
	  status=$$?; test $$status -eq 1 || { echo "um-cloud-before should close the gate (exit 1), not exit $$status"; exit 1; }
	@$(BIN)/seatrial gate --bundle um-cloud-after --profile lab --verdict $(OUT)/after.json
	@$(BIN)/seatrial report $(OUT)/before.json $(OUT)/after.json --out $(OUT)/report.html
	@$(BIN)/seatrial report $(OUT)/before.json $(OUT)/after.json --headline svg --out $(OUT)/headline.svg

# LAB is yes where this machine can carry the lab: root with the capabilities for namespaces and mounts.
LAB := $(shell test "$$(id -u)" = 0 && unshare --mount --pid --fork true 2>/dev/null && echo yes)
test: $(READY) check
	$(BIN)/python -m pytest tests -n 2 -q -rs -m "not lab"

# What `make test` runs real ones of where it can: an API server, Helm, memcached, RabbitMQ. Without, tests of theirs are
# skipped and say so.
provide: $(READY)
ifeq ($(LAB),yes)
	$(BIN)/seatrial lab build
	$(BIN)/python tests/services.py
else
	@echo "nothing is provided: it needs root, and unshare of mount and pid namespaces"
endif

lab-test: $(READY)
ifeq ($(LAB),yes)
	$(BIN)/python -m pytest tests -q -rs -m lab $(if $(ALL),,-m "lab and not round") --durations 10
else
	@echo "the lab cannot run here: it needs root, and unshare of mount and pid namespaces"
	@test -z "$$CI"
endif

# The conformance suite against 100, 1000 and 3000 nodes of KWOK's, beside a raw list (docs/performance.md). Takes an
# hour on two cores, 4 GiB of memory, and no root; SIZES=100,1000 takes a quarter of that.
bench-scale: $(READY)
	$(BIN)/python -m pytest tests/benchmarks/scale.py -q -s

# The clouds that are shipped: captured from the lab, which must be up and sound.
RECORDED := fixtures/recorded
record: $(READY)
	rm -rf build/recorded && mkdir -p build/recorded $(RECORDED)
	$(BIN)/seatrial capture build/recorded/um-cloud-after.tar.zst --cloud lab
	$(BIN)/python -m seatrial.lab.um_cloud break
	$(BIN)/seatrial capture build/recorded/um-cloud-before.tar.zst --cloud lab; status=$$?; \
	  $(BIN)/python -m seatrial.lab.um_cloud heal && test $$status -eq 0 -o $$status -eq 10
	mv build/recorded/*.tar.zst $(RECORDED)/

# Our forty servers at once beside Rally's; RALLY is the `rally` of an environment of its own.
bench-boots: $(READY)
	@$(BIN)/python tests/benchmarks/boots.py --rally $(or $(RALLY),rally) --cloud $(or $(CLOUD),lab)

# RabbitMQ's own PerfTest beside our load, on a broker of this machine: minutes, best on a quiet machine.
bench-broker: $(READY)
	@PYTHONPATH=tests $(BIN)/python tests/benchmarks/broker.py $(if $(SECONDS),--seconds $(SECONDS))

# Ten runs on the lab with a regression in the middle, for docs/ten-runs.md and its pictures; a quarter of an hour.
# REHEARSE=yes plays it on a RabbitMQ of this machine, without the lab, and leaves docs/ as it is.
report-example: $(READY)
	@PYTHONPATH=tests $(BIN)/python tests/ten_runs.py $(if $(REHEARSE),--rehearse) $(if $(SECONDS),--seconds $(SECONDS))

clean:
	rm -rf build dist $(OUT)
