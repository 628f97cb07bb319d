#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs each fuzz harness for some seconds (default 60) with libFuzzer and the address and undefined-behaviour
# sanitizers. What it finds stays in build/fuzz.
set -eu
cd "$(dirname "$0")/.."

seconds=${1:-60}
scripts/setup.sh debian clang libclang-rt-dev # with the sanitizers
export BUILD="$PWD/build/fuzz"
make --no-print-directory -s -C libmctx sim CC=clang SANITIZE=fuzzer-no-link,address,undefined
lib=$BUILD/sanitize-fuzzer-no-link-address-undefined/lib
for source in libmctx/tests/fuzz/fuzz_*.c; do
  name=$(basename "$source" .c)
  mkdir -p "$BUILD/$name"
  clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Ilibmctx/include \
    -Ilibmctx/src/platform/sim -o "$BUILD/$name/run" "$source" "$lib/libmctx-sim.a" -pthread
  echo "fuzz: $name for $seconds s"
  (cd "$BUILD/$name" && mkdir -p corpus && ./run -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -max_len=512 -print_final_stats=1 corpus >log 2>&1) || { tail -n 60 "$BUILD/$name/log"; exit 1; }
  grep -E '^(Done|stat::number_of_executed)' "$BUILD/$name/log"
done
