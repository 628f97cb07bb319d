#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a command in a network namespace of its own, with loopback up and multicast routed to it: nothing that
# it sends leaves the host. Ends with 77 and a reason where the host allows no such namespace.
#   scripts/namespace.sh COMMAND [ARGUMENT...]
set -eu

if [ "${1-}" != --inside ]; then
  for how in -n -Urn; do
    if unshare "$how" true 2>/dev/null; then exec unshare "$how" -- "$0" --inside "$@"; fi
  done
  echo "this host allows no network namespace (unshare -n, unshare -Urn)"
  exit 77
fi

shift
if ! command -v ip >/dev/null; then
  echo "the command ip is missing: apt-get install iproute2"
  exit 77
fi
ip link set lo up
ip route add 224.0.0.0/4 dev lo
ip -6 route add local ff00::/8 dev lo table local 2>/dev/null || : # a host without IPv6
exec "$@"
