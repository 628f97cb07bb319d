#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiles, with zig as the compiler, what must not depend on this host: the header with its recorded layouts
# for many targets as C11 and C++17, the core for targets whose backends exist or are to come, and the library
# for other and older Linux systems. Nothing of it is run.
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
library_targets=(x86_64-linux-gnu.2.17 arm-linux-gnueabihf.2.17 s390x-linux-musl)

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

read -ra sources < <(make -s --no-print-directory -C libmctx print-lib)
for target in "${library_targets[@]}"; do
  (cd libmctx && "../.venv/bin/python" -m ziglang cc -target "$target" -std=c11 -O2 -fPIC -shared -fvisibility=hidden \
    -fno-sanitize=undefined -DMCTX_BUILD -DMCTX_VERSION_STRING='"0"' -Wall -Werror -Iinclude -Isrc -Isrc/platform \
    -Wl,-z,defs -Wl,--version-script=abi/libmctx.map -o "../$out/libmctx.so" "${sources[@]}")
  echo "library: $target"
done
