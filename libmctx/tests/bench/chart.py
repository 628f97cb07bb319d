# SPDX-License-Identifier: MIT
"""Charts of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pygal  # type: ignore[import-untyped]
from comparison import Measured
from pygal.style import Style  # type: ignore[import-untyped]
from sending import CONTIGUOUS, SCATTERED

SIZES = ("64", "1200")
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


def ways(section: str, path: str, batch: int, *names: str) -> Callable[[Measured], bool]:
    """Choose ways by their names."""
    place = section, path, batch
    return lambda item: (item.section, item.path, item.batch) == place and item.way in names


def sending(*names: str, batch: int = 64) -> Callable[[Measured], bool]:
    """Choose ways of sending."""
    return ways("sending", "lo, IPv4", batch, *names)


def receiving(metadata: str, *names: str) -> Callable[[Measured], bool]:
    """Choose ways of receiving."""
    return ways("receiving", f"lo IPv4, {metadata}", 1, *names)


SENDING = {
    "C: send": sending("raw send", batch=1),
    "C: mctx_send": sending("mctx_send", batch=1),
    "C: mctx-core": sending("mctx-core send", batch=1),
    "C: sendmmsg, 64": sending("raw sendmmsg"),
    "C: best plain offload, 64 scattered": sending(*SCATTERED),
    "C: mctx_send_batch, 64 scattered": sending("mctx_send_batch, scattered"),
    "C: best plain offload, 64 neighbours": sending(*CONTIGUOUS),
    "C: mctx_send_batch, 64 neighbours": sending("mctx_send_batch, contiguous"),
    "C: mctx_send_segments, 64": sending("mctx_send_segments"),
}
ALONE, TOGETHER = "all metadata, coalescing", "all metadata, coalesced"
RECEIVING = {
    "C: recvmsg": receiving(ALONE, "raw recvmsg"),
    "C: mctx_recv": receiving(ALONE, "mctx_recv"),
    "C: recvmmsg": receiving(ALONE, "raw recvmmsg"),
    "C: mctx_recv_batch": receiving(ALONE, "mctx_recv_batch"),
    "C: best plain receive that keeps, coalesced": receiving(TOGETHER, "raw recvmsg, kept", "raw recvmmsg"),
    "C: mctx_recv_batch, coalesced": receiving(TOGETHER, "mctx_recv_batch"),
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
    python = {f"Python: {way}": ways("Python", "lo, IPv4", 1, way) for way in of_python}
    sends = {label: chosen for label, chosen in python.items() if "send" in label}
    receives = {label: chosen for label, chosen in python.items() if "send" not in label}
    names = []
    for name, title, choices in (
        ("sending", "Sending: millions of datagrams a second", {**SENDING, **sends}),
        ("receiving", "Receiving: millions of datagrams a second", {**RECEIVING, **receives}),
    ):
        bars = {label: rates(measured, chosen) for label, chosen in choices.items()}
        if any(bars.values()):
            draw(f"{title} (lo, one processor)", bars, folder / f"{name}.svg")
            names.append(f"{name}.svg")
    return names
