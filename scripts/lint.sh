#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every check that reads instead of running: all of them, or those named.
#   scripts/lint.sh [format|warnings|analyzer|tidy|cppcheck|python|shell|rules|abi|docs]...
set -uo pipefail
cd "$(dirname "$0")/.." || exit

all=(format warnings analyzer tidy cppcheck python shell rules abi docs)
gcc_build=$PWD/build/lint-gcc
clang_build=$PWD/build/lint-clang
build() { make --no-print-directory -s -j2 WERROR=1 "$@"; }
gcc_library() { build -C libmctx all CC=gcc BUILD="$gcc_build"; }
tracked() { git ls-files --cached --others --exclude-standard -- "$@"; }
sources() { make -s --no-print-directory -C libmctx print-all | tr ' ' '\n' | sed 's|^|libmctx/|'; }
includes=(-Ilibmctx/include -Ilibmctx/src -Ilibmctx/src/platform -Ilibmctx/src/platform/sim)

lint_format() { tracked '*.c' '*.h' | xargs .venv/bin/clang-format --dry-run -Werror; }

lint_warnings() {
  gcc_library &&
    build -C libmctx all CC=clang BUILD="$clang_build" &&
    build -C libmctx/tests all bench CC=gcc BUILD="$gcc_build" &&
    build -C libmctx/tests all bench CC=clang BUILD="$clang_build"
}

# Two of gcc's checks can't see what another file promises.
lint_analyzer() {
  build -C libmctx all CC=gcc BUILD="$PWD/build/lint-analyzer" \
    CFLAGS="-fanalyzer -Wno-analyzer-null-dereference -Wno-analyzer-use-of-uninitialized-value"
}

lint_tidy() {
  sources | xargs -P2 -n4 sh -c "clang-tidy --quiet \"\$@\" -- -std=c11 -DMCTX_BUILD \
    -DMCTX_VERSION_STRING='\"0\"' ${includes[*]} 2>/dev/null" tidy
}

lint_cppcheck() {
  # Suppressed: members of a returned struct taken for unset, parameters named otherwise than in the contract,
  # sizeof of a pointer type where that is meant, bytes that a function copies.
  sources | xargs cppcheck --quiet --std=c11 --enable=warning,performance,portability --error-exitcode=1 -j2 \
    --suppress={uninitvar,arrayIndexThenCheck,funcArgOrderDifferent,pointerSize,returnDanglingLifetime,missingIncludeSystem} \
    "${includes[@]}"
}

lint_python() {
  local files
  mapfile -t files < <(tracked '*.py' '*.pyi')
  .venv/bin/ruff format --check --quiet "${files[@]}" &&
    .venv/bin/ruff check --quiet "${files[@]}" &&
    (cd bindings/python && ../../.venv/bin/mypy --strict libmctx ../../examples/*.py && ../../.venv/bin/ty check --python ../../.venv --quiet libmctx) &&
    MYPYPATH=bindings/python .venv/bin/mypy --strict scripts/*.py libmctx/tests/bench/*.py
}

lint_shell() { tracked '*.sh' .ci/run | xargs shellcheck; }

lint_rules() { gcc_library && python3 scripts/rules.py "$gcc_build"/lib/*.a; }

lint_abi() { gcc_library && python3 scripts/abi.py check "$gcc_build/lib/libmctx.so.0"; }

lint_docs() {
  gcc_library && LIBMCTX_LIB_DIR=$gcc_build/lib scripts/docs.sh &&
    LIBMCTX_LIB_DIR=$gcc_build/lib python3 scripts/statuses.py --check
}

scripts/setup.sh debian gcc clang clang-tidy cppcheck shellcheck doxygen abigail-tools libcmocka-dev || exit 1
scripts/setup.sh python || exit 1
scripts/setup.sh tools clang-format tabulate pygal || exit 1

failed=()
for name in "${@:-${all[@]}}"; do
  start=$SECONDS
  if "lint_$name"; then verdict=ok; else verdict=FAIL failed+=("$name"); fi
  printf '%-4s lint %s (%d s)\n' "$verdict" "$name" $((SECONDS - start))
done
[ ${#failed[@]} -eq 0 ] || { echo "lint failed: ${failed[*]}"; exit 1; }
