#!/bin/sh
# SPDX-License-Identifier: MIT
# The API reference from the header into build/docs/html; an undocumented symbol or parameter is an error.
set -eu
cd "$(dirname "$0")/.."
VERSION=$(cat VERSION) OUTPUT=build/docs
export VERSION OUTPUT
mkdir -p "$OUTPUT"
doxygen docs/Doxyfile
echo "docs: $OUTPUT/html/index.html"
