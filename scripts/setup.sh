#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Sets up what a task needs, says what it does, and is quick and quiet when all is there.
#   scripts/setup.sh debian PACKAGE...   Debian packages: installed where the user may, else named
#   scripts/setup.sh wish PACKAGE...     the same, but goes on without them
#   scripts/setup.sh python              the environment .venv with the package's development tools
#   scripts/setup.sh tools NAME...       single tools from scripts/tools.txt into .venv
#   scripts/setup.sh group NAME          a dependency group of the Python package into .venv
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

have() {
  case $1 in
    libcmocka-dev)
      printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <cmocka.h>\n' |
        "${CC:-cc}" -E - >/dev/null 2>&1 ;;
    gcc) command -v "${CC:-cc}" >/dev/null ;;
    python3-venv) [ -x .venv/bin/uv ] || "$python" -c 'import ensurepip, venv' 2>/dev/null ;;
    iproute2) command -v ip >/dev/null ;;
    libclang-rt-dev) find "$(clang -print-resource-dir 2>/dev/null)" -name 'libclang_rt.fuzzer*' 2>/dev/null | grep -q . ;;
    *) command -v "$1" >/dev/null || dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed' ;;
  esac
}

debian() {
  local missing=() package as_root=()
  for package in "$@"; do have "$package" || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    die "needed and not found (names are Debian's): ${missing[*]}. Install them with your system's package manager."
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || die "$wanted, and only root can install it: sudo apt-get install ${missing[*]}"
    as_root=(sudo -n)
  fi
  say "installing Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get could not install ${missing[*]}"
}

wish() {
  wanted=useful
  (debian "$@") || say "going on without: what needs it is skipped"
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      python=$candidate
      return
    fi
  done
  debian python3 python3-venv
  python=python3
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "Python 3.10 or newer is needed"
}

environment() {
  [ -x .venv/bin/uv ] && return 0
  find_python
  debian python3-venv
  say "making .venv with $("$python" --version)"
  "$python" -m venv --clear .venv
  say "installing uv from PyPI into it"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "$(grep '^uv==' scripts/tools.txt)" ||
    die "pip could not fetch uv: is PyPI to be reached from here? (HTTPS_PROXY, PIP_INDEX_URL, PIP_CERT)"
}

uv() {
  .venv/bin/uv pip install --quiet --python .venv/bin/python "$@" ||
    die "uv could not install $*: is PyPI to be reached from here? (HTTPS_PROXY, UV_INDEX_URL, SSL_CERT_FILE)"
}

development() {
  local project=bindings/python/pyproject.toml stamp=.venv/development
  environment
  if [ "$stamp" -nt "$project" ] && [ "$stamp" -nt scripts/setup.sh ]; then return 0; fi
  say "installing the development tools of $project with uv"
  uv --group "$project:dev"
  touch "$stamp"
}

tools() {
  local name requirement
  environment
  for name in "$@"; do
    requirement=$(grep "^$name==" scripts/tools.txt) || die "no such tool: $name"
    [ -e ".venv/$requirement" ] && continue
    say "installing $requirement from PyPI"
    uv "$requirement"
    touch ".venv/$requirement"
  done
}

python=${PYTHON:-python3}
wanted=needed
command=$1
shift
if [ "$command" != debian ] && [ "$command" != wish ] && command -v flock >/dev/null; then # one set-up at a time
  mkdir -p build
  exec 9>build/setup.lock
  flock 9
fi
case $command in
  debian) debian "$@" ;;
  wish) wish "$@" ;;
  python) development ;;
  tools) tools "$@" ;;
  group) environment && uv --group "bindings/python/pyproject.toml:$1" ;;
  *) die "unknown: $command" ;;
esac
