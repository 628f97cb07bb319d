#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs the conformance suite: the cases against their schema and the header, both runners on the library and on
# the simulated network, their transcripts against each other, and the deliberately wrong cases.
#   conformance/run.sh [--quick]
# The network is a namespace's, and then this host's own; --quick leaves out the latter and the wrong cases.
# PYTHON: an interpreter with jsonschema; BUILD: where the libraries and the runners were built.
set -uo pipefail
cd "$(dirname "$0")" || exit

full=yes
[ "${1-}" = --quick ] && full=
build=$(realpath "${BUILD:-../build}")
PYTHON=$(command -v "${PYTHON:-../.venv/bin/python}") || { echo "conformance: no interpreter: set PYTHON"; exit 2; }
checker=$PYTHON
if ! "$checker" -c 'import jsonschema' 2>/dev/null; then
  ../scripts/setup.sh tools jsonschema || exit
  checker=../.venv/bin/python
fi
make --no-print-directory -s all BUILD="$build" PYTHON="$PYTHON" || exit

out=$build/conformance
simulated=$out/simulated # libmctx-sim under the name that the package loads
mkdir -p "$simulated"
ln -sf "$build/lib/libmctx-sim.so.0" "$simulated/libmctx.so.0"
export PYTHONPATH=$PWD/python:$PWD/../bindings/python${PYTHONPATH:+:$PYTHONPATH}

passed=0 failed=0 skipped=0
add() { passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3)); }

# Adds the closing line of a log; a run without one has failed.
count() {
  local line
  line=$(tail -n 1 "$1")
  if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
    add "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[4]:-0}"
  else
    add 0 1 0
    tail -n 20 "$1"
    line="died"
  fi
  printf '%-28s %s\n' "$2" "$line"
}

# start WHERE NAME ARGUMENT...: a runner, its report and its closing line in a log. WHERE: host, namespace or sim.
start() {
  local where=$1 name=$2 log=$out/$1-$2.log runner=() in=()
  shift 2
  case $name in
    c*) runner=("$out/runner") && [ "$where" = sim ] && runner=("$out/runner-sim") ;;
    *) runner=("$PYTHON" -m mctx_conformance) ;;
  esac
  [ "$where" = namespace ] && in=(../scripts/namespace.sh)
  LIBMCTX_LIB_DIR=$([ "$where" = sim ] && echo "$simulated" || echo "$build/lib") \
    "${in[@]}" "${runner[@]}" "$@" . >"$log" 2>&1
}

# The same, counted.
run() {
  start "$@"
  grep -A1 '^not ok' "$out/$1-$2.log"
  count "$out/$1-$2.log" "$2 ($1)"
}

# Both runners, and their transcripts over the cases that both can express.
both() {
  local where=$1 lines
  run "$where" c
  start "$where" c-comparable --without c --transcript "$out/$where-c.transcript"
  run "$where" python --transcript "$out/$where-python.transcript"
  if cmp "$out/$where-c.transcript" "$out/$where-python.transcript"; then
    add 1 0 0
    lines=$(wc -l <"$out/$where-c.transcript")
    printf '%-28s equal, %d lines\n' "transcripts ($where)" "$lines"
  else
    add 0 1 0
    diff "$out/$where-c.transcript" "$out/$where-python.transcript" | head -n 20
  fi
}

"$checker" check.py "$build/lib/libmctx.so.0" >"$out/check.log" 2>&1
grep -v ' passed, ' "$out/check.log"
count "$out/check.log" "schema and coverage"
where=namespace
reason=$(../scripts/namespace.sh true 2>&1) || where=host
[ $where = namespace ] || echo "on this host's own network, because $reason"
both $where
both sim
[ "$full" ] && [ $where = namespace ] && both host
if [ "$full" ]; then
  for where in "$where" sim; do
    run "$where" c-wrong --negative
    run "$where" python-wrong --negative
  done
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
