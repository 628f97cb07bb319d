#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiles, with zig as the compiler, what must not depend on this host: the header with its recorded layouts
# for many targets as C11 and C++17, and the core for targets whose backends exist or are to come. Nothing of
# it is run.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh tools ziglang
out=build/cross
mkdir -p "$out"
export ZIG_GLOBAL_CACHE_DIR=$PWD/build/zig-cache ZIG_LOCAL_CACHE_DIR=$PWD/build/zig-cache
zig=(.venv/bin/python -m ziglang)
warnings=(-Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Werror)

header_targets=(x86_64-linux-gnu x86-linux-musl arm-linux-musleabihf s390x-linux-musl
  x86_64-windows-gnu x86-windows-gnu aarch64-windows-gnu x86_64-macos aarch64-macos)
core_targets=(x86_64-linux-gnu x86-linux-musl s390x-linux-musl x86_64-windows-gnu aarch64-macos)

header=libmctx/tests/abi/header.c
for target in "${header_targets[@]}"; do
  "${zig[@]}" cc -target "$target" -x c -std=c11 "${warnings[@]}" -Ilibmctx/include -c -o "$out/header.o" "$header"
  "${zig[@]}" c++ -target "$target" -x c++ -std=c++17 "${warnings[@]}" -Ilibmctx/include -c -o "$out/header.o" "$header"
done
echo "header: ${#header_targets[@]} targets, C11 and C++17"

core=$(make -s --no-print-directory -C libmctx print-core)
for target in "${core_targets[@]}"; do
  for source in $core; do
    "${zig[@]}" cc -target "$target" -std=c11 -O2 -DMCTX_BUILD -DMCTX_VERSION_STRING='"0"' "${warnings[@]}" \
      -Ilibmctx/include -Ilibmctx/src -Ilibmctx/src/platform -c -o "$out/core.o" "libmctx/$source"
  done
  echo "core: $target"
done
