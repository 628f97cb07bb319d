# SPDX-License-Identifier: MIT
"""Subscriptions: opening, joining and leaving, filters, receiving, asking."""

from __future__ import annotations

from typing import Any

import libmctx
from mctx_conformance.objects import Objects, Result, only_c, seconds, shown_endpoint
from mctx_conformance.values import address, integer, shown_address, shown_payload

METADATA = ("source", "group", "hop_limit", "traffic_class", "time", "drops")
_MANY = 4096
"""Datagrams in a batch, as many as the runner in C has records for."""


def _interface(reference: Any) -> Any:
    return None if reference is None else reference[reference["by"]]


def _filter(wanted: dict[str, Any]) -> dict[str, Any]:
    if "sources" not in wanted:
        return {}
    return {"sources" if wanted.get("mode") == "include" else "exclude": wanted["sources"]}


def _membership(wanted: dict[str, Any]) -> libmctx.Membership:
    return libmctx.Membership(wanted["group"], _interface(wanted.get("interface")), **_filter(wanted))


def _shown_address(text: str) -> Any:
    found = address(text)
    return shown_address(found.host, found.port, found.scope_id, found.prefix)


def _nanoseconds(duration: float | None) -> str:
    return "-1" if duration is None else str(round(duration * 1e9))


def _wide(number: int | None) -> str | None:
    return None if number is None else str(number)


def _shown_datagram(payload: bytes, known: libmctx.DatagramInfo) -> Result:
    return {
        "payload": shown_payload(payload),
        "truncated": known.truncated,
        "source": shown_endpoint(known.source_endpoint),
        "group": shown_endpoint(known.group_endpoint),
        "interface_index": known.interface,
        "hop_limit": known.hop_limit,
        "traffic_class": known.traffic_class,
        "time_ns": _wide(known.time_ns),
        "drops": _wide(known.drops),
    }


class SubscriptionOperations(Objects):
    """The operations of subscriptions."""

    def _subscription(self, args: dict[str, Any]) -> libmctx.Subscription:
        found = self._object(args["subscription"])
        assert isinstance(found, libmctx.Subscription)
        return found

    # ---- opening ----

    def mctx_subscription_open(self, args: dict[str, Any]) -> Result:
        """Open a subscription."""
        options: dict[str, Any] = dict(args["options"])
        port = options.pop("port", "auto")
        groups = [_membership(each) for each in options.pop("memberships", [])]
        if "interfaces" in options:
            options["interfaces"] = [_interface(each) for each in options["interfaces"]]
        if "receive_buffer" in options:
            options["receive_buffer"] = integer(options["receive_buffer"])
        context = self._object(args["context"])
        opened = context.add_subscription(None if port == "auto" else port, groups, **options)
        return {"subscription": self._keep(opened)}

    def mctx_subscription_get_info(self, args: dict[str, Any]) -> Result:
        """Tell all there is to tell of a subscription."""
        info = self._subscription(args).info()
        flags = {"frozen": info.frozen, "blind": not info.follows_interfaces}
        return {
            "flags": [name for name, is_set in flags.items() if is_set],
            "port": info.port,
            "metadata": [name for name in METADATA if name in info.metadata],
            "reuse_port": int(info.reuse_port),
            "coalescing": int(info.coalescing),
            "binding": info.binding,
            "clock": info.clock or "none",
            "group_sockets": info.group_sockets,
            "wildcard_sockets": info.wildcard_sockets,
            "membership_count": info.membership_count,
            "max_group_sockets": info.max_group_sockets,
            "receive_buffer_asked": str(info.receive_buffer_asked),
            "receive_buffer": str(info.receive_buffer),
            "min_arena": str(info.min_arena),
            "min_datagrams": str(info.min_datagrams),
        }

    # ---- joining, leaving, filters ----

    def mctx_join(self, args: dict[str, Any]) -> Result:
        """Join groups."""
        self._subscription(args).join_many([_membership(each) for each in args["memberships"]])
        return {}

    def mctx_leave(self, args: dict[str, Any]) -> Result:
        """Leave groups."""
        self._subscription(args).leave_many([_membership(each) for each in args["memberships"]])
        return {}

    def mctx_allow(self, args: dict[str, Any]) -> Result:
        """Let a source through."""
        wanted = args["membership"]
        interface = _interface(wanted.get("interface"))
        self._subscription(args).allow(wanted["group"], args["source"], interface)
        return {}

    def mctx_block(self, args: dict[str, Any]) -> Result:
        """Shut a source out."""
        wanted = args["membership"]
        interface = _interface(wanted.get("interface"))
        self._subscription(args).block(wanted["group"], args["source"], interface)
        return {}

    def mctx_filter_set(self, args: dict[str, Any]) -> Result:
        """Replace a filter."""
        wanted = args["membership"]
        interface = _interface(wanted.get("interface"))
        self._subscription(args).set_filter(wanted["group"], interface=interface, **_filter(wanted))
        return {}

    # ---- asking ----

    @staticmethod
    def _shown_membership(found: libmctx.MembershipInfo) -> Result:
        flags = ("default", "refused", "filtered", "absent", "sourceless")
        return {
            "group": _shown_address(found.group),
            "id": found.id,
            "interface_index": found.interface_index,
            "mode": found.mode,
            "flags": [name for name in flags if getattr(found, name)],
            "refusal": found.refused or "ok",
            "name_count": len(found.interface_names),
            "source_count": str(len(found.sources)),
            "datagrams": str(found.datagrams),
            "bytes": str(found.bytes),
            "first_ns": _nanoseconds(found.first),
            "last_ns": _nanoseconds(found.last),
        }

    def mctx_memberships(self, args: dict[str, Any]) -> Result:
        """List the memberships."""
        listed = [self._shown_membership(each) for each in self._subscription(args).memberships()]
        return {"memberships": listed, "count": len(listed)}

    def _membership_info(self, args: dict[str, Any]) -> libmctx.MembershipInfo:
        found = [each for each in self._subscription(args).memberships() if each.id == args["id"]]
        return found[0] if found else only_c()

    def mctx_membership_sources(self, args: dict[str, Any]) -> Result:
        """List the sources of a membership."""
        sources = [_shown_address(each) for each in self._membership_info(args).sources]
        return {"sources": sources, "count": len(sources)}

    def mctx_membership_name(self, args: dict[str, Any]) -> Result:
        """Tell how the interface of a membership was named."""
        name = self._membership_info(args).interface_names[integer(args["position"])]
        return {"name": name, "length": len(name.encode())}

    # ---- receiving ----

    def mctx_recv(self, args: dict[str, Any]) -> Result:
        """Receive one datagram."""
        subscription = self._subscription(args)
        timeout = seconds(args.get("timeout_ns", 0))
        if "capacity" not in args:
            datagram = subscription.recv(timeout)
            return {"datagram": _shown_datagram(bytes(datagram), datagram)}
        buffer = bytearray(integer(args["capacity"]))
        length, known = subscription.recv_into(buffer, timeout)
        return {"datagram": _shown_datagram(bytes(buffer[:length]), known)}

    def mctx_recv_batch(self, args: dict[str, Any]) -> Result:
        """Receive what is there."""
        received = self._subscription(args).recv_many(_MANY, seconds(args.get("timeout_ns", 0)))
        return {"datagrams": [_shown_datagram(bytes(each), each) for each in received]}
