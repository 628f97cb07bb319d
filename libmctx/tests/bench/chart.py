# SPDX-License-Identifier: MIT
"""Charts of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pygal  # type: ignore[import-untyped]
from comparison import Measured
from pygal.style import Style  # type: ignore[import-untyped]

SIZES = ("64", "1200")
LOOPBACK = "lo, IPv4"
STYLE = Style(
    background="white",
    plot_background="white",
    colors=("#1f5f99", "#e07b39"),
    font_family="sans-serif",
    label_font_size=13,
    major_label_font_size=13,
    value_font_size=12,
    legend_font_size=14,
    title_font_size=17,
)


def rates(measured: Iterable[Measured], chosen: Callable[[Measured], bool]) -> dict[str, float]:
    """Return the millions of datagrams a second of those that are chosen, by size; of several the fastest."""
    found: dict[str, float] = {}
    for item in filter(chosen, measured):
        found[item.size] = max(1000 / item.ns, found.get(item.size, 0))
    return found


def sending(way: str, batch: int = 64) -> Callable[[Measured], bool]:
    """Choose a way of sending."""
    return lambda item: (
        (item.section, item.path, item.batch)
        == (
            "sending",
            LOOPBACK,
            batch,
        )
        and item.way.startswith(way)
    )


def receiving(way: str, metadata: str) -> Callable[[Measured], bool]:
    """Choose a way of receiving."""
    path = f"lo IPv4, {metadata}"
    return lambda item: item.section == "receiving" and item.path == path and item.way.startswith(way)


def python(way: str) -> Callable[[Measured], bool]:
    """Choose a way of Python."""
    return lambda item: item.section == "Python" and item.way == way


SENDING = {
    "C: send": sending("raw send", 1),
    "C: mctx_send": sending("mctx_send", 1),
    "C: mctx-core": sending("mctx-core", 1),
    "C: sendmmsg, 64": sending("raw sendmmsg"),
    "C: best plain offload, 64": sending("raw offload"),
    "C: mctx_send_batch, 64 scattered": sending("mctx_send_batch, scattered"),
    "C: mctx_send_batch, 64 neighbours": sending("mctx_send_batch, contiguous"),
    "C: mctx_send_segments, 64": sending("mctx_send_segments"),
}
ALONE, TOGETHER = "all metadata, coalescing", "all metadata, coalesced"
RECEIVING = {
    "C: recvmsg": receiving("raw recvmsg", ALONE),
    "C: mctx_recv": receiving("mctx_recv", ALONE),
    "C: recvmmsg": receiving("raw recvmmsg", ALONE),
    "C: mctx_recv_batch": receiving("mctx_recv_batch", ALONE),
    "C: best plain receive, coalesced": receiving("raw", TOGETHER),
    "C: mctx_recv_batch, coalesced": receiving("mctx_recv_batch", TOGETHER),
}


def draw(title: str, bars: dict[str, dict[str, float]], file: Path) -> None:
    """Draw bars, the first at the top."""
    shown = {label: found for label, found in reversed(bars.items()) if found}
    if not shown:
        return
    chart = pygal.HorizontalBar(
        style=STYLE,
        js=(),
        width=900,
        height=120 + 46 * len(shown),
        print_values=True,
        print_values_position="top",
        legend_at_bottom=True,
        show_y_guides=False,
        explicit_size=True,
        disable_xml_declaration=True,
        no_prefix=True,
        title=title,
        value_formatter=lambda value: "" if value is None else f"{value:.3g}",
    )
    chart.x_labels = list(shown)
    for size in SIZES:
        chart.add(f"{size} bytes", [found.get(size) for found in shown.values()])
    file.write_text(chart.render(is_unicode=True) + "\n")


def draw_all(measured: list[Measured], folder: Path) -> list[str]:
    """Draw what was measured; return the names of the files."""
    of_python = {item.way: None for item in measured if item.section == "Python"}
    sends = {f"Python: {way}": python(way) for way in of_python if "send" in way}
    receives = {f"Python: {way}": python(way) for way in of_python if "send" not in way}
    names = []
    for name, title, ways in (
        ("sending", "Sending: millions of datagrams a second", {**SENDING, **sends}),
        ("receiving", "Receiving: millions of datagrams a second", {**RECEIVING, **receives}),
    ):
        bars = {label: rates(measured, chosen) for label, chosen in ways.items()}
        if any(bars.values()):
            draw(f"{title} (lo, one processor)", bars, folder / f"{name}.svg")
            names.append(f"{name}.svg")
    return names
