"""Held-out loss against tokens read, as one SVG that needs no style sheet."""

from __future__ import annotations

from typing import Any

WIDE, HIGH, LEFT, TOP = 330, 240, 46, 34
COLOURS = {"tiny": "#2563a8", "tiny-lm": "#b4540a"}


def curves(held: dict[str, list[dict[str, Any]]]) -> str:
    """held: base -> [{"tokens", "text", "mixture"}]. The first point of a curve is the model with random weights."""
    parts = [panel(held, "text", "held-out text", 0), panel(held, "mixture", "held-out made rows", WIDE + 30)]
    size = (2 * WIDE + 60, HIGH + 20)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def panel(held: dict[str, list[dict[str, Any]]], key: str, title: str, x0: int) -> str:
    points = {name: [(h["tokens"] / 1e6, h[key]) for h in rows if key in h] for name, rows in held.items()}
    most_x = max((x for rows in points.values() for x, _ in rows), default=1) or 1
    most_y = max((y for rows in points.values() for _, y in rows), default=1) or 1
    right, bottom = WIDE - 10, HIGH - 30
    place = lambda x, y: (x0 + LEFT + x / most_x * (right - LEFT), bottom - y / most_y * (bottom - TOP))  # noqa: E731
    out = [f'<text x="{x0 + LEFT}" y="18" font-size="13">{title}, nats per token</text>']
    out.append(f'<path d="M{x0 + LEFT},{TOP}V{bottom}H{x0 + right}" fill="none" stroke="#555"/>')
    for y in range(0, int(most_y) + 1, 2):
        at = place(0, y)[1]
        out.append(f'<text x="{x0 + LEFT - 6}" y="{at + 4:.0f}" text-anchor="end">{y}</text>')
    out.append(f'<text x="{x0 + LEFT}" y="{bottom + 16}">0</text>')
    out.append(f'<text x="{x0 + right}" y="{bottom + 16}" text-anchor="end">{most_x:.1f} M tokens read</text>')
    for n, (name, rows) in enumerate(points.items()):
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*p) for p in rows))
        out.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        out.append(f'<text x="{x0 + right}" y="{TOP + 14 * n + 8}" text-anchor="end" fill="{COLOURS[name]}">{name}</text>')
    return "\n".join(out)
