#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the demonstration and runs it: in a network namespace of its own where the host allows one.
set -eu
cd "$(dirname "$0")/.."

mkdir -p build/examples
"${CC:-cc}" -std=c11 -O2 -Ilibmctx/include -o build/examples/demo examples/demo.c \
  -Lbuild/lib -lmctx -Wl,-rpath,"$PWD/build/lib"

LIBMCTX_LIB_DIR=$PWD/build/lib PYTHONPATH=$PWD/bindings/python
export LIBMCTX_LIB_DIR PYTHONPATH
if scripts/namespace.sh true >/dev/null 2>&1; then
  exec scripts/namespace.sh .venv/bin/python scripts/demo.py --namespace
fi
exec .venv/bin/python scripts/demo.py
