# make help lists what there is. Needed beforehand: Python 3.11 or later, pip, make, bash.

SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup test test-slow test-processes test-faults check quickstart test-gpu bench bench-peers bench-before bench-gpu docs

VENV := .venv
VENV_PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
LOG := $(VENV)/install.log

# The first of these that is new enough makes the virtual environment.
PYTHON := python3 python3.14 python3.13 python3.12 python3.11 python
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# Processes that share the tests, and further arguments: make test ARGS="-k collators"
WORKERS := 2
ARGS :=
FIGURES := faults.json

help:  ## list these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(STAMP)  ## make .venv and install TorchAssistant and its tools there
	@:

test: setup  ## run the tests (WORKERS=2, ARGS="-k name")
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: setup  ## run the longer sweeps of the same checks
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -m slow -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)
	EVERY_CUT=1 OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest tests/exactness -n $(WORKERS) \
	    --dist loadfile --no-loadscope-reorder $(ARGS)

# On a machine with a CUDA device: what only a GPU shows, then the cuts of all recipes there.
test-gpu: setup  ## run the tests that need a CUDA device, and cut the recipes there
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest tests/gpu tests/data/test_gpu_prefetch.py -n $(WORKERS) $(ARGS)
	EXACT_DEVICE=cuda OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest tests/exactness -k cut \
	    -n $(WORKERS) $(ARGS)

# Each recipe trained by two processes, and the same parts of batches by one that is cut; where a
# step is the user's own, two are cut.
test-processes: setup  ## train the recipes by two processes, and resume them by one
	EXACT_PROCESSES=2 OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest tests/exactness \
	    -k "cut or goes_on_from_any" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# An hour on 2 cores, ten minutes of which are fuzzing (FUZZ_SECONDS=600; FUZZ_SEED, FUZZ_REPLAY: see
# tests/faults/fuzzing.py). Some scenarios need root, and strace; where they are missing they say so.
test-faults: setup  ## try every fault many times; figures go to FIGURES (faults.json)
	rm -f $(FIGURES)
	OMP_NUM_THREADS=1 FAULTS_FIGURES=$(abspath $(FIGURES)) $(VENV_PYTHON) -m pytest tests -m faults \
	    -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# TorchAssistant beside loops by hand, some minutes; ARGS="--only gan" measures one workload. The
# figures are kept in benchmarks/results/ and shown in docs/benchmarks.md.
bench: setup  ## measure it beside loops by hand (ARGS="--only gan")
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m benchmarks $(ARGS)

bench-before: setup  ## this version beside the one before the breadth
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m benchmarks --set before $(ARGS)

bench-gpu: setup  ## the same on a CUDA device
	$(VENV_PYTHON) -m benchmarks --set gpu $(ARGS)

# An environment on top of .venv: pip finds there what is installed already. Only its packages are
# used, by the Python of .venv.
PEERS := .venv-peers
PEERS_PYTHON := $(PEERS)/bin/python
SITE_PACKAGES := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'

bench-peers: setup $(PEERS)/.installed  ## the same beside Lightning, Ignite, argus and Accelerate
	OMP_NUM_THREADS=1 PYTHONPATH="$$($(PEERS_PYTHON) $(SITE_PACKAGES))" \
	    $(VENV_PYTHON) -m benchmarks --set peers $(ARGS)

$(PEERS)/.installed:
	$(VENV_PYTHON) -m venv --clear --without-pip $(PEERS)
	$(VENV_PYTHON) $(SITE_PACKAGES) > "$$($(PEERS_PYTHON) $(SITE_PACKAGES))/base.pth"
	$(VENV_PYTHON) -m pip --python $(PEERS_PYTHON) install --quiet --disable-pip-version-check \
	    lightning pytorch-ignite pytorch-argus accelerate
	@touch $@

check: setup  ## lint, formatting and types
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy

# The root is the source folder, so that links between pages hold on the site as they are. Every
# warning is an error, links and anchors that lead nowhere among them.
SITE := build/site

docs: setup  ## build the documentation as a site, in build/site
	@rm -rf $(SITE)
	$(VENV_PYTHON) -m sphinx -b html -q -W --keep-going -E -d build/doctrees -c docs/site . $(SITE)
	@echo 'Open $(SITE)/index.html in a browser.'

# $(call show,COMMAND) prints the command, then runs it.
show = @printf '\n$$ %s\n' '$(1)'; $(1)

quickstart: setup  ## train, evaluate and use a network on handwritten digits
	@if [ -e sessions/digits ]; then \
	    echo 'Removing sessions/digits, the session of an earlier quick start.'; \
	    rm -rf sessions/digits; \
	fi
	$(call show,$(VENV_PYTHON) init.py examples/digits/training.json)
	$(call show,$(VENV_PYTHON) train.py sessions/digits)
	$(call show,$(VENV_PYTHON) evaluate.py examples/digits/evaluation.json)
	$(call show,$(VENV_PYTHON) infer.py examples/digits/inference.json examples/digits/digit.png)

# Some systems ship Python without ensurepip; there, the system's pip fills the new environment.
$(STAMP): setup.cfg pyproject.toml
	@if $(VENV_PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null && $(VENV_PYTHON) -m pip --version >/dev/null 2>&1; then \
	    exit 0; \
	fi; \
	for candidate in $(PYTHON); do \
	    if "$$candidate" -c '$(NEW_ENOUGH)' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$${python:-}" ]; then \
	    echo 'make setup: Python 3.11 or later is needed, and none of these is: $(PYTHON)' >&2; \
	    echo 'Name one: make setup PYTHON=/path/to/python3.11' >&2; \
	    exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV) >/dev/null 2>&1 || { \
	    "$$python" -m venv --clear --without-pip $(VENV) && \
	    "$$python" -m pip --python $(VENV_PYTHON) install --quiet pip; \
	}
	@echo 'Installing TorchAssistant and what it needs into $(VENV).'
	@echo 'The first time this downloads PyTorch and takes some minutes; all of it is logged in $(LOG).'
	@set -o pipefail; \
	$(VENV_PYTHON) -m pip install --disable-pip-version-check --progress-bar off --editable '.[dev]' 2>&1 \
	    | tee $(LOG) \
	    | while IFS= read -r line; do \
	        case "$$line" in \
	            (*Downloading*' MB)'*) echo "  $${line#"$${line%%[! ]*}"}" ;; \
	            (*'Installing collected packages'*) echo '  Installing the packages' ;; \
	        esac; \
	    done || { \
	        echo 'make setup: the installation failed; the end of $(LOG):' >&2; \
	        tail -n 20 $(LOG) >&2; \
	        exit 1; \
	    }
	@# The first command need not compile it, nor any where Python may write nothing.
	@$(VENV_PYTHON) -m compileall -q torchassistant
	@touch $@
	@echo 'Done. Next: make quickstart, or make test.'
