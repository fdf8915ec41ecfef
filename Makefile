# make demo         from nothing to faces: sets up .venv, trains on the built-in drawn faces, shows where everything is
# make test         sets up .venv and runs the fast tests
# make integration  tests that need a browser, a terminal, a compiler or several processes, or that build packages
# make campaign     long versions of the kill test, the fuzzer and the simulated coverage of intervals: about an hour
# make check        format, lint, types, layers, stale docs
# make docs         writes the reference pages again
#
# Without an NVIDIA GPU on Linux, `make demo TORCH_BACKEND=cpu` installs PyTorch's CPU build and saves 5 GB.
# `make test TORCH=2.6.0` installs this version of torch, in a fresh .venv (`make clean`).

ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
PYTHON ?= python
else
BIN := .venv/bin
PYTHON ?= python3
endif
TORCH_BACKEND ?=
TORCH ?=
UV := $(BIN)/python -m uv pip install --quiet --python $(BIN)/python $(if $(TORCH_BACKEND),--torch-backend=$(TORCH_BACKEND)) \
      $(if $(TORCH),torch==$(TORCH))
PRESET ?= demo
# Without bytecode on the disk every process would compile torch again, which takes 15 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test integration campaign check docs clean

demo: .venv/.installed
	$(BIN)/facegan train --preset $(PRESET)
	@mkdir -p demo
	$(BIN)/facegan sample -n 64 -o demo/generated.png
	$(BIN)/facegan plot -o demo/losses.png
	$(BIN)/facegan timelapse -o demo/timelapse.gif
	@cp "$$(ls -td runs/*/ | head -1)faces.png" demo/faces.png
	@echo
	@echo "The run is in $$(ls -td runs/*/ | head -1)"
	@echo "Drawn faces and generated ones: demo/faces.png"
	@echo "64 generated faces:             demo/generated.png"
	@echo "The losses:                     demo/losses.png"
	@echo "How the faces grew:             demo/timelapse.gif"

# Two files of tests at a time, each on one thread.
test: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

integration: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m integration $(ARGS)

campaign: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m campaign -n 2 --durations=0 $(ARGS)

check: .venv/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

docs: .venv/.installed-dev
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

.venv/.created:
	$(PYTHON) -c 'import sys; sys.exit("facegan needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip uv
	@touch $@

.venv/.installed: pyproject.toml | .venv/.created
	@echo "Setting up .venv (PyTorch is large: a minute or more) ..."
	$(UV) --editable .
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | .venv/.created
	@echo "Setting up .venv with what the tests need ..."
	$(UV) --constraint constraints.txt --editable ".[dev]"
	@touch $@ .venv/.installed
