# SPDX-License-Identifier: MIT
"""The host's interfaces, compared with what Python's socket module and the system say."""

from __future__ import annotations

import ipaddress
import json
import pickle
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from conftest import LOOPBACK, NO_NAMESPACE

import libmctx


def test_all_interfaces_are_listed_in_order() -> None:
    found = libmctx.interfaces()
    assert [(each.index, each.name) for each in found] == sorted(socket.if_nameindex())


def test_what_the_system_says_of_each() -> None:
    if shutil.which("ip") is None:
        pytest.skip("needs the command ip")
    text = subprocess.run(["ip", "-json", "address"], check=True, capture_output=True, text=True).stdout
    told = {each["ifindex"]: each for each in json.loads(text) if each}
    for interface in libmctx.interfaces():
        wanted = told[interface.index]
        assert interface.mtu == wanted["mtu"]
        assert interface.is_up == ("UP" in wanted["flags"])
        assert interface.is_loopback == ("LOOPBACK" in wanted["flags"])
        assert interface.supports_multicast == ("MULTICAST" in wanted["flags"])
        assert interface.hardware_address.hex(":") == wanted.get("address", "")
        addresses = {(each["local"], each["prefixlen"]) for each in wanted["addr_info"]}
        assert {(each.address, each.prefix_length) for each in interface.addresses} == addresses
        assert str(interface).startswith(f"{interface.index}: {interface.name}")


def test_the_loopback_interface_by_everything_that_names_it() -> None:
    loopback = libmctx.find_interface("lo")
    assert (loopback.index, loopback.name, loopback.friendly_name) == (LOOPBACK, "lo", "lo")
    assert loopback.is_up
    assert loopback.is_loopback
    assert "127.0.0.1" in loopback.ipv4_addresses
    for wanted in (LOOPBACK, "127.0.0.1", ipaddress.ip_address("127.0.0.1"), loopback):
        assert libmctx.find_interface(wanted) == loopback
    if "::1" in loopback.ipv6_addresses:
        assert libmctx.find_interface("::1") == libmctx.find_interface(ipaddress.ip_address("::1")) == loopback
    address = loopback.addresses[0]
    assert (address.family, str(address)) == (4, "127.0.0.1/8")
    assert address.ip == ipaddress.ip_address("127.0.0.1")
    assert address.scope_id is None
    assert pickle.loads(pickle.dumps(loopback)) == loopback


def test_link_local_addresses_have_a_scope(down_interface: str) -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    subprocess.run(["ip", "link", "set", down_interface, "up"], check=True)
    subprocess.run(["ip", "address", "add", "fe80::77/64", "dev", down_interface, "nodad"], check=True)
    interface = libmctx.find_interface(down_interface)
    address = next(each for each in interface.addresses if each.address == "fe80::77")
    assert address.scope_id == interface.index
    assert str(address) == f"fe80::77%{interface.index}/64"
    assert str(address.ip) == f"fe80::77%{interface.index}"
    assert libmctx.find_interface(address.ip) == interface


@pytest.mark.parametrize(
    ("wanted", "error", "name"),
    [
        ("no-such-if", libmctx.NotFoundError, "interface_not_found"),
        ("192.0.2.77", libmctx.NotFoundError, "interface_not_found"),
        ("0.0.0.0", libmctx.UsageError, "interface_unspecified"),
        ("239.1.1.1", libmctx.UsageError, "interface_multicast"),
        ("1.2.3", libmctx.UsageError, "address_syntax"),
        (0, libmctx.UsageError, "interface_index_zero"),
        (999_999, libmctx.NotFoundError, "interface_not_found"),
    ],
)
def test_interfaces_that_are_not_there(wanted: str | int, error: type[libmctx.MctxError], name: str) -> None:
    with pytest.raises(error) as caught:
        libmctx.find_interface(wanted)
    assert caught.value.name == name


@pytest.mark.parametrize("wanted", [None, 1.5, b"lo", []])
def test_what_names_no_interface(wanted: object) -> None:
    with pytest.raises(TypeError, match="interface"):
        libmctx.find_interface(wanted)  # type: ignore[arg-type]


@pytest.mark.skipif(bool(NO_NAMESPACE), reason=NO_NAMESPACE)
def test_the_default_is_the_routing_tables() -> None:
    assert libmctx.default_interface(4).name == "lo"
    assert libmctx.default_interface("ipv4") == libmctx.default_interface(4)


@pytest.mark.skipif(bool(NO_NAMESPACE), reason=NO_NAMESPACE)
def test_no_route_is_no_default() -> None:
    subprocess.run(["ip", "route", "del", "224.0.0.0/4", "dev", "lo"], check=True)
    try:
        with pytest.raises(libmctx.NotFoundError) as caught:
            libmctx.default_interface(4)
        assert caught.value.name == "no_default_interface"
        with libmctx.Context() as context:
            publication = context.add_publication("239.1.1.1", 5000)  # opening is no error
            with pytest.raises(libmctx.NetworkError) as no_route:
                publication.send(b"x")
            assert no_route.value.name == "no_route"
            with pytest.raises(libmctx.NetworkError):
                publication.source_addr()
    finally:
        subprocess.run(["ip", "route", "add", "224.0.0.0/4", "dev", "lo"], check=True)


def test_families_that_are_none() -> None:
    with pytest.raises(ValueError, match="ipv5"):
        libmctx.default_interface("ipv5")
    with pytest.raises(libmctx.UsageError):
        libmctx.default_interface(5)
    with pytest.raises(TypeError):
        libmctx.default_interface(None)  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        libmctx.default_interface(-1)


@pytest.mark.usefixtures("no_leak")
def test_nothing_leaks() -> None:
    for _ in range(20):
        libmctx.interfaces()
        with pytest.raises(libmctx.NotFoundError):
            libmctx.find_interface("no-such-if")
