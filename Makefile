# make demo    train, convert, prove and inspect a first binary network (about 2 minutes after installation)
# make test    every check; what is skipped is listed at the end with its reason
# make durations    the same, and how long every file took, by which `make test` orders them, into tests/durations.json
# make bench-training    images/s of our training loop against plain Larq in model.fit, into results/training.json
# make bench-groupnet-training    Group-Net's training step with its branches in different forms, into results/groupnet_training.json
# make native  the ARM64 runtime into build/ (about 2 minutes the first time)
# make aar     the Android archive into build/maven, for Gradle (needs a JDK)
# make wheels  packages into dist/: for ARM64 Linux with the runtime in it, and for every other machine
# make arm64-python    an aarch64 CPython for the tests, to be run under qemu (Debian 12 only, nothing is installed)
# make bench-kernels    executed instructions of kernels and networks on ARM64, into results/kernels.json
# make bench-int8    the same of ResNet-18 with a float and an int8 rest, and of its twins, into results/int8_rest.json
# make bench-groupnet    the same of Group-Net by the number of branches, into results/groupnet_instructions.json
# make bench-stems    the same of first convolutions, as trained and rewritten, by which `convert` decides, into deploy/export/stems.json
# make reference    the pages of docs/reference, from commands, schemas and docstrings
# make results-docs    tables, numbers and pictures of README.md and docs/, from results/
# make docs    the documentation as a site into build/site, without network; a broken link or a page outside the menu is an error
# make lint    formatting, lint and types
# make lock    the exact versions and hashes in requirements/, from pyproject.toml
PYTHON ?= python3.11
VENV := .venv
CORE := .venv-core
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check --quiet
LOCKED := --no-deps --require-hashes
COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --python-version 3.11 --generate-hashes --no-annotate \
    --custom-compile-command "make lock" $(UPGRADE)

.PHONY: demo test durations bench-training bench-groupnet bench-groupnet-training native aar wheels arm64-python bench-kernels bench-int8 bench-groupnet bench-stems reference results-docs docs lint lock install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements/core.txt requirements/everything.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed. Install Python 3.11, or name one: make PYTHON=python3"; exit 1; }
	@echo "installing the locked packages into $(VENV) (about 2 minutes, 4 GB)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP) install $(LOCKED) --only-binary :all: --requirement requirements/core.txt
	@$(BIN)/python $(PIP) install $(LOCKED) --no-build-isolation --requirement requirements/everything.txt
	@$(BIN)/python $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# The core alone, as on a board that only inspects and runs: no TensorFlow.
$(CORE)/.installed: pyproject.toml requirements/core.txt
	@echo "installing the core alone into $(CORE)"
	@$(PYTHON) -m venv $(CORE)
	@$(CORE)/bin/python $(PIP) install $(LOCKED) --only-binary :all: --requirement requirements/core.txt
	@$(CORE)/bin/python $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Versions stay as they are where they still fit: make lock UPGRADE=--upgrade takes the newest ones.
lock: $(VENV)/.installed
	$(COMPILE) --universal --group build --output-file requirements/core.txt
	$(COMPILE) --python-platform x86_64-manylinux_2_28 --overrides requirements/overrides.txt \
	    --all-extras --group build --group zoo --output-file requirements/everything.txt

demo: $(VENV)/.installed
	$(BIN)/larqnets train digits --name demo --resume
	$(BIN)/larqnets train digits_real --name demo-real --resume
	$(BIN)/larqnets convert runs/demo --target arm64 --twins --twin-run runs/demo-real --no-arm64-proof

test: $(VENV)/.installed $(CORE)/.installed
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

durations: export LARQNETS_WRITE_DURATIONS = 1
durations: test

bench-training: $(VENV)/.installed
	$(BIN)/larqnets bench-training

bench-groupnet-training: $(VENV)/.installed
	$(BIN)/larqnets bench-groupnet-training

native: $(VENV)/.installed
	$(BIN)/larqnets runtime build --output build

aar: $(VENV)/.installed
	$(BIN)/larqnets runtime build --aar --output build

wheels: native
	LARQNETS_BUNDLE=build/arm64 $(BIN)/python -m build --wheel --no-isolation --outdir dist .
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

arm64-python: $(VENV)/.installed
	tests/android_bench/arm64_python.sh build/arm64-python $(BIN)/python

bench-kernels: native
	$(BIN)/larqnets bench-kernels

bench-int8: native
	$(BIN)/larqnets bench-int8

bench-groupnet: native
	$(BIN)/larqnets bench-groupnet

bench-stems: native
	$(BIN)/larqnets bench-stems

reference: $(VENV)/.installed
	$(BIN)/python -m larqnets.cli.reference docs/reference

# The variable leaves out what the theme says about its successors.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

results-docs: $(VENV)/.installed
	$(BIN)/python -m docs.numbers

# Without the variable pyright asks a registry whether there is a newer one.
lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

clean:
	rm -rf $(VENV) $(CORE) build dist
