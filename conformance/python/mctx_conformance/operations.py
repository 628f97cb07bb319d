# SPDX-License-Identifier: MIT
"""The public functions, each by the call of the package ``libmctx`` that stands for it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import libmctx
from mctx_conformance.objects import RefusedError, Result, bits, only_c, seconds, shown_endpoint, shown_error
from mctx_conformance.peers import Peer
from mctx_conformance.simulation import FLAGS
from mctx_conformance.subscriptions import SubscriptionOperations
from mctx_conformance.values import InvalidStepError, integer, payload, payloads, shown_address

_STATUS_FIRST = 1000
_WIDE = ("mark", "send_buffer", "pacing_rate", "pacing_burst")
"""Options that are numbers of 64 bits."""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _setting(value: Any) -> Any:
    return "auto" if value is None else value


class Operations(SubscriptionOperations):
    """The operations of a case, and the objects behind its handles."""

    def find(self, name: str) -> Callable[[dict[str, Any]], Result] | None:
        """Return an operation by its name."""
        if name.startswith("mctx_"):
            return getattr(self, name, None)
        if name.startswith("sim_"):
            return getattr(self._simulation, name, None)
        return getattr(self._peers, name, None)

    # ---- statuses and the library ----

    def mctx_version(self, args: dict[str, Any]) -> Result:
        """Tell the version."""
        return {"version": libmctx.native_version()}

    def mctx_abi_version(self, args: dict[str, Any]) -> Result:
        """Tell the ABI; the package would not have loaded another one."""
        major, minor = libmctx.abi_version()
        return {"major": major, "minor": minor, "compatible": True}

    def mctx_capability(self, args: dict[str, Any]) -> Result:
        """Ask for a capability."""
        found = libmctx.capabilities()[args["capability"]]
        return {"state": found.state, "reason": found.reason}

    def mctx_capability_name(self, args: dict[str, Any]) -> Result:
        """Name a capability."""
        names = list(libmctx.capabilities())
        position = integer(args["id"])
        return {"name": names[position] if position < len(names) else None}

    @staticmethod
    def _error(status: Any) -> libmctx.MctxError:
        if isinstance(status, int):
            return libmctx.MctxError(code=status)
        for code in (-(kind * _STATUS_FIRST + n) for kind in range(1, 32) for n in range(1, 100)):
            error = libmctx.MctxError(code=code)
            if error.name == status:
                return error
        raise InvalidStepError(f"unknown status {status}")

    def mctx_status_name(self, args: dict[str, Any]) -> Result:
        """Name a status."""
        return {"name": self._error(args["status"]).name}

    def mctx_status_text(self, args: dict[str, Any]) -> Result:
        """Describe a status; the exception adds the number of an unknown one."""
        return {"text": str(self._error(args["status"])).split(" (status ")[0]}

    def mctx_status_kind(self, args: dict[str, Any]) -> Result:
        """Tell the kind of a status."""
        return {"kind": self._error(args["status"]).kind_number}

    def mctx_kind_name(self, args: dict[str, Any]) -> Result:
        """Name a kind."""
        return {"name": libmctx.MctxError(code=-integer(args["kind"]) * _STATUS_FIRST - 1).kind}

    # ---- interfaces ----

    def mctx_interface_list_open(self, args: dict[str, Any]) -> Result:
        """Take a snapshot."""
        return {"list": self._keep(libmctx.interfaces())}

    def mctx_interface_list_count(self, args: dict[str, Any]) -> Result:
        """Count the interfaces."""
        return {"count": len(self._object(args["list"]))}

    def _interface(self, args: dict[str, Any]) -> libmctx.Interface:
        found = self._object(args["list"])[integer(args["position"])]
        assert isinstance(found, libmctx.Interface)
        return found

    def mctx_interface_list_get(self, args: dict[str, Any]) -> Result:
        """Describe an interface."""
        found = self._interface(args)
        return {
            "index": found.index,
            "name": found.name,
            "flags": [name for name in FLAGS if libmctx.InterfaceFlag[name.upper()] in found.flags],
            "mtu": found.mtu,
            "address_count": len(found.addresses),
            "hardware": found.hardware_address.hex(),
        }

    def mctx_interface_list_addresses(self, args: dict[str, Any]) -> Result:
        """List the addresses of an interface."""
        addresses = [
            shown_address(each.address, 0, each.scope_id, each.prefix_length)
            for each in self._interface(args).addresses
        ]
        return {"addresses": addresses, "count": len(addresses)}

    def mctx_interface_list_friendly_name(self, args: dict[str, Any]) -> Result:
        """Tell the name that people know an interface by."""
        name = self._interface(args).friendly_name
        return {"name": name, "length": len(name.encode())}

    def _position(self, args: dict[str, Any], found: libmctx.Interface) -> Result:
        indices = [each.index for each in self._object(args["list"])]
        return {"position": indices.index(found.index)}

    def mctx_interface_list_find(self, args: dict[str, Any]) -> Result:
        """Find an interface."""
        reference = args["interface"]
        return self._position(args, libmctx.find_interface(reference[reference["by"]]))

    def mctx_interface_list_default(self, args: dict[str, Any]) -> Result:
        """Find the default interface."""
        return self._position(args, libmctx.default_interface(args["family"]))

    # ---- any handle ----

    def mctx_close(self, args: dict[str, Any]) -> Result:
        """Close an object."""
        self._object(args["handle"]).close()
        return {}

    def mctx_wake(self, args: dict[str, Any]) -> Result:
        """End a wait."""
        self._object(args["handle"]).wake()
        return {}

    def mctx_wait(self, args: dict[str, Any]) -> Result:
        """Wait."""
        item = self._object(args["handle"])
        wanted = bits(args["interest"], libmctx.Ready)
        return {"ready": self._ready(item.wait(seconds(args.get("timeout_ns", 0)), events=wanted))}

    @staticmethod
    def _ready(ready: libmctx.Ready) -> list[str]:
        return [name for name in ("readable", "writable") if libmctx.Ready[name.upper()] in ready]

    def mctx_wait_many(self, args: dict[str, Any]) -> Result:
        """Wait for several: the package asks of each what there is to ask for."""
        objects = [self._object(each["handle"]) for each in args["items"]]
        asked = [
            libmctx.Ready.WRITABLE if isinstance(each, libmctx.Publication) else libmctx.Ready.READABLE
            for each in objects
        ]
        if asked != [bits(each["interest"], libmctx.Ready) for each in args["items"]]:
            only_c()
        ready = self._object(args["context"]).wait_many(objects, seconds(args.get("timeout_ns", 0)))
        items = [
            {"ready": self._ready(wanted) if each in ready else []}
            for each, wanted in zip(objects, asked, strict=True)
        ]
        return {"items": items, "ready_count": len(ready)}

    def mctx_pollable(self, args: dict[str, Any]) -> Result:
        """Tell the descriptor to watch."""
        return {"native": {"type": "descriptor", "value": str(self._object(args["handle"]).fileno())}}

    def mctx_metrics(self, args: dict[str, Any]) -> Result:
        """Read the counters."""
        metrics = self._object(args["handle"]).metrics()
        return {"values": {name: str(value) for name, value in metrics.items()}, "count": len(metrics)}

    def mctx_metric_name(self, args: dict[str, Any]) -> Result:
        """Name a counter."""
        with libmctx.Context() as context:
            if args["handle_kind"] == "context":
                names = list(context.metrics())
            elif args["handle_kind"] == "subscription":
                names = list(context.add_subscription(9).metrics())
            else:
                names = list(context.add_publication("239.255.0.1", 9, interface="127.0.0.1").metrics())
        return {"name": names[integer(args["position"])]}

    def mctx_events(self, args: dict[str, Any]) -> Result:
        """Take the events."""
        events = [
            {
                "type": each.type,
                "handle": str(each.id),
                "interface_index": each.interface_index,
                "time_ns": str(int(each.time * 1e9)),
                "value": str(each.value),
                "address": shown_endpoint(each.address),
            }
            for each in self._object(args["handle"]).events()
        ]
        return {"events": events}

    # ---- contexts ----

    def mctx_context_open(self, args: dict[str, Any]) -> Result:
        """Open a context."""
        return {"context": self._keep(libmctx.Context())}

    def mctx_context_publications(self, args: dict[str, Any]) -> Result:
        """List the publications of a context."""
        context = self._object(args["context"])
        listed = [self._keep(each) for each in context.publications()]
        return {"publications": listed, "count": context.publication_count()}

    def mctx_context_subscriptions(self, args: dict[str, Any]) -> Result:
        """List the subscriptions of a context."""
        context = self._object(args["context"])
        listed = [self._keep(each) for each in context.subscriptions()]
        return {"subscriptions": listed, "count": context.subscription_count()}

    # ---- publications ----

    def _interface_arguments(self, reference: Any) -> dict[str, Any]:
        if reference is None:
            return {}
        named = reference[reference["by"]]
        return {"interface_index" if reference["by"] == "index" else "interface": named}

    def mctx_publication_open(self, args: dict[str, Any]) -> Result:
        """Open a publication."""
        options: dict[str, Any] = dict(args["options"])
        arguments = self._interface_arguments(options.pop("interface", None))
        names = {"port": "dst_port", "hop_limit": "ttl", "duplicate": "allow_duplicate"}
        adopted = options.pop("socket", None)
        for name, value in options.items():
            number = integer(value) if name in _WIDE and value != "auto" else value
            is_open = number == "auto" and name != "pacing_by"  # which is always a name
            arguments[names.get(name, name)] = None if is_open else number
        if adopted is not None:
            arguments["socket"] = self._peers.find(adopted).to_adopt()
        opened = self._object(args["context"]).add_publication(**arguments)
        if adopted is not None:
            self._peers.find(adopted).given_away()
        return {"publication": self._keep(opened)}

    @staticmethod
    def _shown_interface(configured: str | int | None) -> Result:
        shown: Result = {"by": "any", "index": 0, "address": None}
        if isinstance(configured, int):
            shown.update(by="index", index=configured)
        elif configured is not None and _is_address(configured):
            shown.update(by="address", address=shown_address(configured))
        elif configured is not None:
            shown["by"] = "name"
        return shown

    def mctx_publication_get_info(self, args: dict[str, Any]) -> Result:
        """Tell all there is to tell of a publication."""
        publication = self._object(args["publication"])
        info = publication.info()
        flags = [name for name in ("duplicate", "adopted") if getattr(info, name)]
        return {
            "flags": flags,
            "group": shown_endpoint(info.group),
            "source": shown_endpoint(info.source),
            "local": shown_endpoint(info.local),
            "sender": shown_endpoint(info.sender),
            "interface": self._shown_interface(info.interface),
            "interface_index": info.interface_index,
            "hop_limit": info.ttl,
            "loopback": int(info.loopback),
            "dscp": info.dscp,
            "connected": int(info.connected),
            "reuse_port": int(info.reuse_port),
            "error_queue": int(info.error_queue),
            "dont_fragment": "auto" if info.dont_fragment is None else int(info.dont_fragment),
            "priority": _setting(info.priority),
            "source_port": _setting(info.source_port),
            "mark": "auto" if info.mark is None else str(info.mark),
            "send_buffer_asked": str(info.send_buffer_asked or 0),
            "send_buffer": str(info.send_buffer),
            "max_datagram": str(info.max_datagram),
            "socket": {"type": "descriptor", "value": str(publication.fileno())},
            "offload": int(info.offload),
            "segment_count_limit": info.segment_count_limit,
            "segment_size_limit": str(info.segment_size_limit),
            "offload_status": info.offload_status or "ok",
            "offload_os_code": info.offload_os_code,
            "pacing_rate": str(info.pacing_rate or 0),
            "pacing_burst": str(info.pacing_burst or 0),
            "pacing_unit": info.pacing_unit,
            "pacing_by": info.pacing_by or "library",
        }

    def mctx_publication_interface_name(self, args: dict[str, Any]) -> Result:
        """Name the interface of a publication."""
        name = self._object(args["publication"]).info().interface_name
        return {"name": name, "length": len(name.encode())}

    def mctx_publication_announce(self, args: dict[str, Any]) -> Result:
        """Tell what a receiver needs."""
        source, group, port = self._object(args["publication"]).announce_tuple()
        return {"source": source, "group": group, "port": port}

    def mctx_publication_take(self, args: dict[str, Any]) -> Result:
        """Take the socket out."""
        number = self._object(args["publication"]).detach()
        if self._simulation is not None:
            return {"socket": self._peers.add(Peer(number, self._simulation))}
        return {"socket": self._peers.add(Peer(socket.socket(fileno=number)))}

    # ---- sending ----

    def mctx_send(self, args: dict[str, Any]) -> Result:
        """Send one datagram."""
        data = payload(args["payload"])
        report = self._object(args["publication"]).send(data)
        if report.bytes_sent != len(data):
            raise InvalidStepError(f"the report says {report.bytes_sent} bytes of {len(data)}")
        return {}

    @staticmethod
    def _stop(publication: libmctx.Publication, timeout_ns: int) -> tuple[str, str, str]:
        """Return why a batch stopped early without an exception: kind, code and retry."""
        if timeout_ns != 0:
            return "timeout", "timeout", "when_ready"
        if publication.info().pacing_by == "library":
            return "would_block", "paced", "after_delay"
        return "would_block", "would_block", "when_ready"

    def _batch(
        self, publication: libmctx.Publication, send: Callable[[], int], count: int, timeout_ns: int
    ) -> Result:
        """Run a batch."""
        try:
            accepted = send()
        except libmctx.MctxError as error:
            raise RefusedError(shown_error(error), {"accepted": str(error.accepted or 0)}) from error
        result = {"accepted": str(accepted)}
        if accepted == count:
            return result
        kind, code, retry = self._stop(publication, timeout_ns)
        stopped: dict[str, Any] = {"kind": kind, "code": code, "field": "", "item": str(accepted)}
        stopped.update(retry=retry, delivered_locally=False, hint=False)
        raise RefusedError(stopped, result)

    def mctx_send_batch(self, args: dict[str, Any]) -> Result:
        """Send many datagrams."""
        many = payloads(args["payloads"])
        timeout_ns = integer(args.get("timeout_ns", 0))
        publication = self._object(args["publication"])
        timeout = seconds(timeout_ns)
        return self._batch(
            publication, lambda: publication.send_many(many, timeout=timeout), len(many), timeout_ns
        )

    def mctx_send_segments(self, args: dict[str, Any]) -> Result:
        """Send one buffer as many datagrams."""
        data = payload(args["payload"])
        size = integer(args["segment_size"])
        timeout_ns = integer(args.get("timeout_ns", 0))
        publication = self._object(args["publication"])
        count = -(-len(data) // size) if size > 0 else 0
        timeout = seconds(timeout_ns)
        return self._batch(
            publication, lambda: publication.send_segments(data, size, timeout=timeout), count, timeout_ns
        )

    def mctx_send_all(self, args: dict[str, Any]) -> Result:
        """Send one payload on every publication."""
        try:
            outcomes = self._object(args["context"]).send_all(payload(args["payload"]))
        except libmctx.MctxError as error:
            raise RefusedError(shown_error(error), {"outcomes": [], "count": 0}) from error
        shown = [
            {"publication": str(each.publication.id), "status": each.error.name if each.error else "ok"}
            for each in outcomes
        ]
        result = {"outcomes": shown, "count": len(shown)}
        failed = next((each.error for each in outcomes if each.error), None)
        if failed is not None:
            raise RefusedError(shown_error(failed), result)
        return result
