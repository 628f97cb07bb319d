#!/bin/sh
# SPDX-License-Identifier: MIT
# The C reference from the header into build/docs/html, where an undocumented symbol or parameter is an error; the
# Python reference from the docstrings into build/docs/python.
set -eu
cd "$(dirname "$0")/.."
VERSION=$(cat VERSION) OUTPUT=build/docs
export VERSION OUTPUT
mkdir -p "$OUTPUT"
doxygen docs/Doxyfile
python3 scripts/undocumented.py "$OUTPUT/xml"
scripts/setup.sh tools pdoc
PYTHONPATH=bindings/python LIBMCTX_LIB_DIR=${LIBMCTX_LIB_DIR:-$PWD/build/lib} \
  .venv/bin/python -m pdoc --docformat google --no-show-source --output-directory "$OUTPUT/python" libmctx
echo "docs: $OUTPUT/html/index.html $OUTPUT/python/libmctx.html"
