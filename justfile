# SPDX-License-Identifier: MIT
# The tasks of the Makefile by their names; each sets up what it needs.

[private]
default:
    @just --list

# build the library, its static twin and the simulated one
all:
    @make --no-print-directory all

# real multicast on this host, from C and from Python
demo:
    @make --no-print-directory demo

# every test that needs no special right
test:
    @make --no-print-directory test

# the C library's tests: unit, fault, network, ABI
libmctx-test:
    @make --no-print-directory test-c

# the Python package's tests
bindings-python-test:
    @make --no-print-directory test-python

# the conformance cases on both runners
conformance:
    @make --no-print-directory conformance

# the code of the documents and the examples
docs-test:
    @make --no-print-directory test-docs

# formats, static analysis, types, exports, headers, generated documents
lint:
    @make --no-print-directory lint

# header and core compiled for other systems
cross:
    @make --no-print-directory cross

# the API reference, into build/docs
docs:
    @make --no-print-directory docs

# speed against plain sockets and peers: just bench --quick
bench *ARGS:
    @make --no-print-directory bench ARGS={{ quote(ARGS) }}

# what the benchmark compares with
bench-peers:
    @make --no-print-directory bench-peers

# instructions, locks, allocations and system calls of sends and receives, against their record
bench-counts:
    @make --no-print-directory bench-counts

# the fuzz harnesses, a minute each
fuzz:
    @make --no-print-directory fuzz

# the long random runs
soak:
    @make --no-print-directory soak

# into PREFIX, staged below DESTDIR
install PREFIX="/usr/local" DESTDIR="":
    @make --no-print-directory install PREFIX={{ quote(PREFIX) }} DESTDIR={{ quote(DESTDIR) }}

# remove what was built
clean:
    @make --no-print-directory clean
