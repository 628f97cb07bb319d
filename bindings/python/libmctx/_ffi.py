# SPDX-License-Identifier: MIT
"""The native library's declarations: structs, functions and constants of ``mctx.h``, each on one line.

The only file that declares anything to ctypes. At import the library's ABI version and the sizes of its structs
are compared with what stands here; numbers of constants are not copied but asked of the library by name.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from ctypes import (
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_int32,
    c_int64,
    c_size_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

from libmctx import _load

ABI_MAJOR, ABI_MINOR = 0, 1
"""The ABI that the declarations below describe."""

source, _blocking, quick = _load.open_library()


class Error(Structure):
    """``mctx_error``."""

    _fields_ = [
        ("size", c_uint32),
        ("status", c_int32),
        ("kind", c_uint32),
        ("os_code", c_int32),
        ("handle", c_uint64),
        ("item", c_int64),
        ("value", c_uint64),
        ("limit", c_uint64),
        ("retry", c_uint32),
        ("flags", c_uint32),
        ("operation", c_char * 48),
        ("field", c_char * 48),
        ("message", c_char * 256),
        ("hint", c_char * 512),
    ]


class Address(Structure):
    """``mctx_address``."""

    _fields_ = [
        ("family", c_uint8),
        ("prefix", c_uint8),
        ("port", c_uint16),
        ("scope_id", c_uint32),
        ("bytes", c_uint8 * 16),
    ]


class OsHandle(Structure):
    """``mctx_os_handle``."""

    _fields_ = [("value", c_int64), ("type", c_uint32), ("reserved", c_uint32)]


class CharSlot(ctypes.Union):
    """``MCTX_SLOT const char *``."""

    _fields_ = [("text", c_char_p), ("slot", c_uint64)]


class PointerSlot(ctypes.Union):
    """``MCTX_SLOT`` and a pointer to anything: the number of an address, which keeps nothing alive."""

    _fields_ = [("address", c_void_p), ("slot", c_uint64)]


class InterfaceRef(Structure):
    """``mctx_interface_ref``."""

    _fields_ = [("by", c_uint32), ("index", c_uint32), ("address", Address), ("name", CharSlot)]


class InterfaceInfo(Structure):
    """``mctx_interface_info``."""

    _fields_ = [
        ("size", c_uint32),
        ("index", c_uint32),
        ("flags", c_uint32),
        ("mtu", c_uint32),
        ("address_count", c_uint32),
        ("hardware_length", c_uint32),
        ("hardware", c_uint8 * 32),
        ("name", c_char * 64),
    ]


class CapabilityInfo(Structure):
    """``mctx_capability_info``."""

    _fields_ = [
        ("size", c_uint32),
        ("state", c_uint32),
        ("os_code", c_int32),
        ("reserved", c_uint32),
        ("reason", c_char * 240),
    ]


class Event(Structure):
    """``mctx_event``."""

    _fields_ = [
        ("type", c_uint32),
        ("interface_index", c_uint32),
        ("handle", c_uint64),
        ("time_ns", c_int64),
        ("value", c_uint64),
        ("address", Address),
    ]


class ContextOptions(Structure):
    """``mctx_context_options``."""

    _fields_ = [("size", c_uint32), ("flags", c_uint32)]


class PublicationOptions(Structure):
    """``mctx_publication_options``."""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("group", Address),
        ("source", Address),
        ("bind", Address),
        ("outgoing_interface", InterfaceRef),
        ("port", c_int32),
        ("source_port", c_int32),
        ("hop_limit", c_int32),
        ("loopback", c_int32),
        ("dscp", c_int32),
        ("connected", c_int32),
        ("reuse_port", c_int32),
        ("error_queue", c_int32),
        ("dont_fragment", c_int32),
        ("priority", c_int32),
        ("send_buffer", c_int64),
        ("mark", c_int64),
        ("bind_device", CharSlot),
        ("socket", OsHandle),
        ("offload", c_int32),
        ("pacing_unit", c_int32),
        ("pacing_rate", c_int64),
        ("pacing_burst", c_int64),
        ("pacing_by", c_int32),
        ("reserved", c_uint32),
    ]


class PublicationInfo(Structure):
    """``mctx_publication_info``."""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("context", c_uint64),
        ("group", Address),
        ("source", Address),
        ("local", Address),
        ("sender", Address),
        ("outgoing_interface", InterfaceRef),
        ("interface_index", c_uint32),
        ("hop_limit", c_int32),
        ("loopback", c_int32),
        ("dscp", c_int32),
        ("connected", c_int32),
        ("reuse_port", c_int32),
        ("error_queue", c_int32),
        ("dont_fragment", c_int32),
        ("priority", c_int32),
        ("source_port", c_int32),
        ("mark", c_int64),
        ("send_buffer_asked", c_uint64),
        ("send_buffer", c_uint64),
        ("max_datagram", c_uint64),
        ("socket", OsHandle),
        ("offload", c_int32),
        ("segment_count_limit", c_uint32),
        ("segment_size_limit", c_uint64),
        ("offload_status", c_int32),
        ("offload_os_code", c_int32),
        ("pacing_rate", c_int64),
        ("pacing_burst", c_int64),
        ("pacing_unit", c_int32),
        ("pacing_by", c_int32),
    ]


class Membership(Structure):
    """``mctx_membership``."""

    _fields_ = [
        ("group", Address),
        ("ingress", InterfaceRef),
        ("mode", c_uint32),
        ("reserved", c_uint32),
        ("sources", PointerSlot),
        ("source_count", c_uint64),
    ]


class SubscriptionOptions(Structure):
    """``mctx_subscription_options``."""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("port", c_int32),
        ("reuse_port", c_int32),
        ("coalescing", c_int32),
        ("binding", c_uint32),
        ("metadata", c_uint32),
        ("max_group_sockets", c_uint32),
        ("receive_buffer", c_int64),
        ("interfaces", PointerSlot),
        ("interface_count", c_uint64),
        ("memberships", PointerSlot),
        ("membership_count", c_uint64),
        ("membership_stride", c_uint64),
    ]


class SubscriptionInfo(Structure):
    """``mctx_subscription_info``."""

    _fields_ = [
        ("size", c_uint32),
        ("flags", c_uint32),
        ("context", c_uint64),
        ("port", c_uint32),
        ("metadata", c_uint32),
        ("reuse_port", c_int32),
        ("coalescing", c_int32),
        ("binding", c_uint32),
        ("clock", c_uint32),
        ("group_sockets", c_uint32),
        ("wildcard_sockets", c_uint32),
        ("membership_count", c_uint32),
        ("max_group_sockets", c_uint32),
        ("receive_buffer_asked", c_uint64),
        ("receive_buffer", c_uint64),
        ("min_arena", c_uint64),
        ("min_datagrams", c_uint64),
    ]


class MembershipInfo(Structure):
    """``mctx_membership_info``."""

    _fields_ = [
        ("group", Address),
        ("id", c_uint32),
        ("interface_index", c_uint32),
        ("mode", c_uint32),
        ("flags", c_uint32),
        ("refusal", c_int32),
        ("name_count", c_uint32),
        ("source_count", c_uint64),
        ("datagrams", c_uint64),
        ("bytes", c_uint64),
        ("first_ns", c_int64),
        ("last_ns", c_int64),
    ]


class Datagram(Structure):
    """``mctx_datagram``."""

    _fields_ = [("offset", c_uint32), ("length", c_uint32), ("message", c_uint32), ("flags", c_uint32)]


class Message(Structure):
    """``mctx_message``."""

    _fields_ = [
        ("present", c_uint32),
        ("flags", c_uint32),
        ("source", Address),
        ("group", Address),
        ("interface_index", c_uint32),
        ("hop_limit", c_int32),
        ("traffic_class", c_int32),
        ("segment_size", c_uint32),
        ("time_ns", c_int64),
        ("drops", c_uint64),
        ("length", c_uint64),
        ("first_datagram", c_uint32),
        ("datagram_count", c_uint32),
    ]


class ReceiveBatch(Structure):
    """``mctx_receive_batch``."""

    _fields_ = [
        ("size", c_uint32),
        ("message_stride", c_uint32),
        ("arena", PointerSlot),
        ("arena_size", c_uint64),
        ("datagrams", PointerSlot),
        ("datagram_capacity", c_uint64),
        ("messages", PointerSlot),
        ("message_capacity", c_uint64),
        ("datagram_count", c_uint64),
        ("message_count", c_uint64),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    ]


class WaitItem(Structure):
    """``mctx_wait_item``."""

    _fields_ = [("handle", c_uint64), ("interest", c_uint32), ("ready", c_uint32)]


class Slice(Structure):
    """``mctx_slice``, with its pointer as the number in its slot."""

    _fields_ = [("data", c_uint64), ("length", c_uint64)]


class Refusal(Structure):
    """``mctx_python_refusal``: why a batch was not taken whole, and how far it was."""

    _fields_ = [("error", Error), ("accepted", c_uint64)]


class SendOutcome(Structure):
    """``mctx_send_outcome``."""

    _fields_ = [("publication", c_uint64), ("status", c_int32), ("os_code", c_int32)]


_SIZED = {
    "mctx_error": Error,
    "mctx_interface_info": InterfaceInfo,
    "mctx_capability_info": CapabilityInfo,
    "mctx_context_options": ContextOptions,
    "mctx_publication_options": PublicationOptions,
    "mctx_publication_info": PublicationInfo,
    "mctx_event": Event,
    "mctx_send_outcome": SendOutcome,
    "mctx_membership": Membership,
    "mctx_subscription_options": SubscriptionOptions,
    "mctx_subscription_info": SubscriptionInfo,
    "mctx_membership_info": MembershipInfo,
    "mctx_message": Message,
    "mctx_receive_batch": ReceiveBatch,
    "mctx_wait_item": WaitItem,
}
"""Structs that carry their size, or go with a stride: a newer library's may be longer."""

_FROZEN = {
    "mctx_address": Address,
    "mctx_os_handle": OsHandle,
    "mctx_interface_ref": InterfaceRef,
    "mctx_slice": Slice,
    "mctx_datagram": Datagram,
}
"""Structs that never change."""

STRUCTS: dict[str, type[Structure]] = {**_SIZED, **_FROZEN}

Function = Callable[..., Any]


def declare(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Function:
    """Declare a function.

    Raises:
        ImportError: The library doesn't have it.
    """
    try:
        function: Any = library[name]
    except AttributeError as error:
        raise ImportError(f"{source} is not a libmctx that this package can use: it has no {name}") from error
    function.restype = result
    function.argtypes = arguments
    return function  # type: ignore[no-any-return]


def _blocks(name: str, *arguments: Any) -> Function:
    """Declare a function that may block or takes long: it releases the interpreter's lock."""
    return declare(_blocking, name, c_int32, *arguments, POINTER(Error))


def _keeps(name: str, *arguments: Any) -> Function:
    """Declare a function that never blocks: it keeps the interpreter's lock."""
    return declare(quick, name, c_int32, *arguments, POINTER(Error))


def _check_abi() -> None:
    """Compare the loaded library's ABI with the one declared here, before anything else of it is used.

    Raises:
        ImportError: They don't fit together.
    """
    major, minor = abi_version() >> 16, abi_version() & 0xFFFF
    if major != ABI_MAJOR or minor < ABI_MINOR:
        raise ImportError(
            f"{source} (version {version().decode()}) has ABI {major}.{minor}, and this package needs "
            f"{ABI_MAJOR}.{ABI_MINOR} or a later {ABI_MAJOR}.x: install a library and a package of one version"
        )


_Text = c_char_p
_Buffer = c_void_p
_Length = POINTER(c_size_t)
_Count = POINTER(c_uint32)
_Handle = c_uint64

# The library itself.
version = declare(quick, "mctx_version", _Text)
abi_version = declare(quick, "mctx_abi_version", c_uint32)
_check_abi()
_constant = _keeps("mctx_constant", _Text, POINTER(c_int64))
constant_name = declare(quick, "mctx_constant_name", _Text, c_uint32)
status_name = declare(quick, "mctx_status_name", _Text, c_int32)
status_text = declare(quick, "mctx_status_text", _Text, c_int32)
status_kind = declare(quick, "mctx_status_kind", c_uint32, c_int32)
status_at = declare(quick, "mctx_status_at", c_int32, c_uint32)
kind_name = declare(quick, "mctx_kind_name", _Text, c_uint32)
capability = _keeps("mctx_capability", c_uint32, POINTER(CapabilityInfo))
capability_name = declare(quick, "mctx_capability_name", _Text, c_uint32)
metric_name = declare(quick, "mctx_metric_name", _Text, c_uint32, c_uint32)

# Addresses. A scope's name is looked up.
address_parse = _blocks("mctx_address_parse", _Text, POINTER(Address))
address_format = _keeps("mctx_address_format", POINTER(Address), _Buffer, c_size_t, _Length)

# Interfaces.
interface_list_open = _blocks("mctx_interface_list_open", POINTER(_Handle))
interface_list_count = _keeps("mctx_interface_list_count", _Handle, _Count)
interface_list_get = _keeps("mctx_interface_list_get", _Handle, c_uint32, POINTER(InterfaceInfo))
interface_list_addresses = _keeps(
    "mctx_interface_list_addresses", _Handle, c_uint32, POINTER(Address), c_uint32, _Count
)
interface_list_friendly_name = _keeps(
    "mctx_interface_list_friendly_name", _Handle, c_uint32, _Buffer, c_size_t, _Length
)
interface_list_find = _keeps("mctx_interface_list_find", _Handle, POINTER(InterfaceRef), _Count)
interface_list_default = _keeps("mctx_interface_list_default", _Handle, c_uint32, _Count)

# Any handle.
close = _blocks("mctx_close", _Handle)
wake = declare(quick, "mctx_wake", c_int32, _Handle)
wait = _blocks("mctx_wait", _Handle, c_uint32, c_uint32, c_int64, _Count)
wait_many = _blocks("mctx_wait_many", _Handle, POINTER(WaitItem), c_uint32, c_uint32, c_uint32, c_int64, _Count)
pollable = _keeps("mctx_pollable", _Handle, POINTER(OsHandle))
metrics = _keeps("mctx_metrics", _Handle, POINTER(c_uint64), c_uint32, _Count)
events = _blocks("mctx_events", _Handle, POINTER(Event), c_uint32, c_uint32, _Count)

# Context and publication.
context_open = _blocks("mctx_context_open", POINTER(ContextOptions), POINTER(_Handle))
context_publications = _keeps("mctx_context_publications", _Handle, POINTER(_Handle), c_uint32, _Count)
context_subscriptions = _keeps("mctx_context_subscriptions", _Handle, POINTER(_Handle), c_uint32, _Count)
publication_options_init = declare(
    quick, "mctx_publication_options_init", None, POINTER(PublicationOptions), c_uint32
)
publication_open = _blocks("mctx_publication_open", _Handle, POINTER(PublicationOptions), POINTER(_Handle))
publication_get_info = _blocks("mctx_publication_get_info", _Handle, POINTER(PublicationInfo))
publication_interface_name = _blocks("mctx_publication_interface_name", _Handle, _Buffer, c_size_t, _Length)
publication_announce = _blocks("mctx_publication_announce", _Handle, POINTER(Address), POINTER(Address))
publication_take = _blocks("mctx_publication_take", _Handle, POINTER(OsHandle))

# Sending.
send_batch = _blocks("mctx_send_batch", _Handle, _Buffer, c_size_t, c_uint32, c_int64, POINTER(c_uint64))
send_segments = _blocks(
    "mctx_send_segments", _Handle, _Buffer, c_size_t, c_uint32, c_uint32, c_int64, POINTER(c_uint64)
)
send_all = _blocks(
    "mctx_send_all", _Handle, _Buffer, c_size_t, POINTER(SendOutcome), c_uint32, c_uint32, _Count
)
plain_send: Any = quick["mctx_send"]
"""Without types, each of which costs a conversion: pass objects of ctypes, or an int that fits a C int."""
plain_send.restype = c_int32

# Subscription.
subscription_options_init = declare(
    quick, "mctx_subscription_options_init", None, POINTER(SubscriptionOptions), c_uint32
)
subscription_open = _blocks("mctx_subscription_open", _Handle, POINTER(SubscriptionOptions), POINTER(_Handle))
subscription_get_info = _blocks("mctx_subscription_get_info", _Handle, POINTER(SubscriptionInfo))
join = _blocks("mctx_join", _Handle, POINTER(Membership), c_uint32, c_uint32)
leave = _blocks("mctx_leave", _Handle, POINTER(Membership), c_uint32, c_uint32)
allow = _blocks("mctx_allow", _Handle, POINTER(Membership), c_uint32, POINTER(Address))
block = _blocks("mctx_block", _Handle, POINTER(Membership), c_uint32, POINTER(Address))
filter_set = _blocks("mctx_filter_set", _Handle, POINTER(Membership), c_uint32)
memberships = _keeps("mctx_memberships", _Handle, POINTER(MembershipInfo), c_uint32, c_uint32, _Count)
membership_sources = _keeps("mctx_membership_sources", _Handle, c_uint32, POINTER(Address), c_uint32, _Count)
membership_name = _keeps("mctx_membership_name", _Handle, c_uint32, c_uint32, _Buffer, c_size_t, _Length)

# Receiving. What may not wait keeps the interpreter's lock.
_Recv = (_Handle, _Buffer, c_size_t, c_uint32, c_int64, _Length, POINTER(Message), c_uint32)
_RecvBatch = (_Handle, POINTER(ReceiveBatch), c_uint32, c_int64)
recv = _blocks("mctx_recv", *_Recv)
plain_recv: Any = _blocking["mctx_recv"]
"""As `plain_send`."""
plain_recv_now: Any = quick["mctx_recv"]
"""As `plain_send`."""
plain_recv.restype = plain_recv_now.restype = c_int32
recv_batch = _blocks("mctx_recv_batch", *_RecvBatch)
recv_batch_now = _keeps("mctx_recv_batch", *_RecvBatch)


def new_error() -> Error:
    """Make an error record that is ready for a call."""
    return Error(size=ctypes.sizeof(Error))


def constant(name: str) -> int:
    """Ask the library for a constant by the name that it has in ``mctx.h``.

    Raises:
        ImportError: The library doesn't know it: it is older than this package.
    """
    value = c_int64()
    if _constant(name.encode(), value, None) != 0:
        raise ImportError(
            f"{source} (version {version().decode()}) does not know {name}: "
            f"it is older than this package; install a newer one"
        )
    return value.value


def _listed(name_of: Function, *arguments: int) -> Iterator[str]:
    position = 0
    while (name := name_of(*arguments, position)) is not None:
        yield name.decode()
        position += 1


def constant_names() -> list[str]:
    """Return the names of all constants that the library knows."""
    return list(_listed(constant_name))


def capability_names() -> list[str]:
    """Return the names of all capabilities, at their numbers."""
    return list(_listed(capability_name))


def metric_names(handle_kind: int) -> list[str]:
    """Return the names of the counters of a kind of handle, at their positions."""
    return list(_listed(metric_name, handle_kind))


def status_codes() -> list[int]:
    """Return all statuses that the library knows."""
    codes: list[int] = []
    while (code := status_at(len(codes))) != 0:
        codes.append(code)
    return codes


def _check_structs() -> None:
    """Compare the sizes of the loaded library's structs with those declared here.

    Raises:
        ImportError: They don't fit together.
    """
    for name, struct in STRUCTS.items():
        own, theirs = ctypes.sizeof(struct), constant(f"sizeof({name})")
        if theirs < own or (theirs != own and name in _FROZEN):
            raise ImportError(
                f"{source} has a {name} of {theirs} bytes, and this package one of {own}: "
                f"install a library and a package of one version"
            )


_check_structs()
