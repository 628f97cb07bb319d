# SPDX-License-Identifier: MIT
# The project's tasks. Each sets up what it needs; `make help` lists them.

BUILD    := $(CURDIR)/build
PREFIX   ?= /usr/local
JOBS     ?= $(shell nproc 2>/dev/null || echo 2)
MAKE_C    = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS)) BUILD=$(BUILD) -C
PYTEST   := .venv/bin/python -bb -m pytest
export LIBMCTX_LIB_DIR := $(BUILD)/lib

.DEFAULT_GOAL := all
.PHONY: all cross fuzz demo test test-setup test-c test-python test-conformance test-docs lint docs conformance bench bench-counts bench-peers bench-program soak install clean help

all: ## build the library, its static twin and the simulated one
	@scripts/setup.sh debian gcc
	@$(MAKE_C) libmctx all

demo: all ## real multicast on this host, from C and from Python: what was sent, received, lost, and how fast
	@scripts/setup.sh wish iproute2
	@scripts/setup.sh python
	@scripts/demo.sh

test: test-setup test-c test-conformance test-docs test-python ## every test that needs no special right

test-setup: # what root has to install is named at once, before the long work
	@scripts/setup.sh debian gcc libcmocka-dev python3-venv

test-c: all ## the C tests: unit, fault, network and ABI
	@scripts/setup.sh wish iproute2
	@scripts/setup.sh debian libcmocka-dev
	@$(MAKE_C) libmctx/tests check

test-python: all ## the Python package's tests
	@scripts/setup.sh python
	cd bindings/python && $(CURDIR)/$(PYTEST) -q

test-conformance: conformance
conformance: all ## the conformance cases on both runners, and that their transcripts are equal
	@scripts/setup.sh python
	@$(MAKE_C) conformance check

test-docs: all ## the code of README, docs and examples
	@scripts/setup.sh python
	@.venv/bin/python scripts/test_docs.py

lint: ## formats, static analysis, types, exports, headers, generated documents
	@scripts/lint.sh

cross: ## the header and the core compiled for other systems
	@scripts/cross.sh

fuzz: ## the fuzz harnesses, a minute each
	@scripts/fuzz.sh

docs: all ## the references: C from the header, Python from the docstrings, into build/docs
	@scripts/setup.sh debian doxygen
	@scripts/docs.sh

BENCH := .venv/bin/python libmctx/tests/bench/bench.py
bench-program: all
	@scripts/setup.sh wish iproute2 ethtool valgrind strace binutils
	@scripts/setup.sh python
	@scripts/setup.sh tools tabulate pygal
	@$(MAKE_C) libmctx/tests bench

bench: bench-program ## speed against plain sockets and peers, 15 minutes into build/bench; ARGS="--quick --only sending"
	@BUILD=$(BUILD) $(BENCH) $(ARGS)

bench-peers: ## what `make bench` compares with: from crates.io where cargo is, from PyPI, from Debian
	@scripts/setup.sh wish iperf sockperf
	@scripts/setup.sh group bench || echo "goes on without multicast_expert"
	@command -v cargo >/dev/null || { echo "cargo is missing: the comparison with mctx-core and mcrx-core is left out"; exit 1; }
	@cargo build --quiet --release --locked --manifest-path libmctx/tests/bench/peer/Cargo.toml --target-dir $(BUILD)/peers

bench-counts: bench-program ## instructions, locks, allocations and system calls of sends and receives, against their record
	@BUILD=$(BUILD) $(BENCH) --check

soak: all ## a hundred million random schedules of faults, a million closes under blocked receivers
	@scripts/setup.sh debian libcmocka-dev
	@$(MAKE_C) libmctx/tests all SUITES="fault stress"
	@MCTX_FAULT_RUNS=100000000 scripts/run_tests.py --limit 36000 $(BUILD)/tests/fault/test_batch_random
	@MCTX_CLOSE_ROUNDS=1000000 scripts/run_tests.py --limit 36000 $(BUILD)/tests/stress/test_receiver_close

install: ## install the C library and its header: PREFIX=/usr/local DESTDIR=
	@$(MAKE_C) libmctx install PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)

clean: ## remove what was built, .venv too
	rm -rf build .venv

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
