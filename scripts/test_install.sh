#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs below a staging folder and builds the examples against the result, as C and against C++, shared and
# static, by pkg-config alone.
set -eu
cd "$(dirname "$0")/.."

stage=$PWD/build/stage
rm -rf "$stage"
make --no-print-directory -s install PREFIX=/opt/mctx DESTDIR="$stage"
PKG_CONFIG_PATH=$stage/opt/mctx/lib/pkgconfig
PKG_CONFIG_SYSROOT_DIR=$stage
LD_LIBRARY_PATH=$stage/opt/mctx/lib
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH
[ "$(pkg-config --modversion libmctx)" = "$(cat VERSION)" ]
# It can be moved elsewhere.
[ "$(pkg-config --define-variable=prefix=/elsewhere --variable=libdir libmctx)" = /elsewhere/lib ]

flags=$(pkg-config --cflags --libs libmctx)
for source in examples/*.c; do
  # shellcheck disable=SC2086 # several flags
  "${CC:-cc}" -std=c11 -o "$stage/example" "$source" $flags
done
# shellcheck disable=SC2086
"${CC:-cc}" -std=c11 -o "$stage/interfaces" examples/interfaces.c $flags
"$stage/interfaces" >/dev/null
"${CC:-cc}" -std=c11 -I"$stage/opt/mctx/include" -o "$stage/static" examples/interfaces.c \
  "$LD_LIBRARY_PATH/libmctx.a" -pthread
"$stage/static" >/dev/null
if command -v c++ >/dev/null; then
  # shellcheck disable=SC2086
  printf '#include <mctx.h>\n#include <cstdio>\nint main() { std::puts(mctx_version()); }\n' |
    c++ -std=c++17 -Wall -Wextra -Werror -x c++ -o "$stage/cpp" - $flags
  [ "$("$stage/cpp")" = "$(cat VERSION)" ]
fi
for file in include/mctx.h lib/libmctx.a lib/libmctx.so lib/libmctx.so.0 lib/pkgconfig/libmctx.pc; do
  [ -e "$stage/opt/mctx/$file" ] || { echo "not installed: $file"; exit 1; }
done
echo "installed, built against and run"
