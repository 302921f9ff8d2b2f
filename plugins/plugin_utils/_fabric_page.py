# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole fabric as one page of HTML that needs nothing else: its picture, what is wrong, and all of it in tables.

Private to the collection. Pure: no I/O, no Ansible. The document is that of _fabric_status. Sizes are in pixels.
"""

from __future__ import annotations

import html
import math
import typing as t

from ansible_collections.pcie.device_lending.plugins.plugin_utils._fabric_status import (
    ATTACHED,
    COLUMNS,
    READY,
    between,
    cells,
)

Document = t.Mapping[str, t.Any]
Point = t.Tuple[float, float]

WIDTH, LINE, HEAD, PAD = 230, 17, 26, 8  # of a host's card: its width, a line of text, its head, what is around
SHOWN = 4  # leases on each side of a card; how many more there are is said
MARGIN, BEND = 24, 0.22  # around the picture; how much leases are bent
GAP = 140, 110  # between cards that are side by side, and one above the other
NAMED = 12  # leases are named in the picture when there are no more hosts
KINDS = ("bad", "off", "good")  # of leases, the worst first
LETTER = 7.0  # the width of a letter, about

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --soft: #667; --line: #c4c9d2; --card: #f5f7fa;
  --good: #12715b; --bad: #b3261e; --off: #8a6d00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ec; --paper: #15181c; --soft: #a0a6b0; --line: #4a515c;
  --card: #20252b; --good: #5fd3b3; --bad: #ff8a80; --off: #e6c34a; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  padding: 0 1rem; max-width: 75rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; } .soft { color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); } .off { color: var(--off); }
.box { border-left: 4px solid var(--bad); background: var(--card); padding: .6rem 1rem; margin: 1rem 0; }
.box.good { border-color: var(--good); } .box ul { margin: 0; padding-left: 1.1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.address { font-family: ui-monospace, monospace; white-space: nowrap; }
svg { max-width: 100%; height: auto; display: block; margin: 1rem auto; } svg text { font-size: 12px; fill: var(--ink); }
svg .name { font-size: 14px; font-weight: 600; } svg .card { fill: var(--card); stroke: var(--line); }
svg .card.silent { stroke: var(--bad); stroke-dasharray: 5 4; } svg .card.part { stroke: var(--off); }
svg .link { stroke: var(--line); stroke-width: 6; } svg .link.bad { stroke: var(--bad); stroke-dasharray: 8 7; }
svg .lease { fill: none; stroke: var(--good); stroke-width: 2; } svg .lease.bad { stroke: var(--bad); }
svg .lease.off { stroke: var(--off); } svg .tag { fill: var(--paper); opacity: .9; }
svg text.good { fill: var(--good); } svg text.bad { fill: var(--bad); } svg text.off { fill: var(--off); }
"""


def page(document: Document, made: str) -> str:
    """Return the page. made: when the hosts were asked, in words."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>Lent PCIe devices</title><style>%s</style></head><body>" % _STYLE,
        '<h1>Lent PCIe devices</h1><p class="soft">As the hosts said at %s.</p>' % _text(made),
        _wrong(document),
        _picture(document),
        _table("Leases", COLUMNS, [(_kind(row), cells(row)) for row in document["leases"]]),
        _table("Hosts", ("host", "state", "version", ""), [_host(row) for row in document["hosts"]]),
        _table("Links", ("hosts", "state", ""), [_link(row) for row in document["links"]]),
        _table("Devices that are lent, or could be", ("host", "device", "what", "serial", "driver", "lease"),
               [("", _device(row)) for row in document["devices"]]),
        "</body></html>",
    ]  # fmt: skip
    return "\n".join(part for part in parts if part) + "\n"


def _text(value: t.Any) -> str:
    return html.escape("-" if value is None or value == "" else str(value))


def _kind(lease: t.Mapping[str, t.Any]) -> str:
    """How a lease is: good, bad, or off where nobody has it and nothing is wrong."""
    if lease["wrong"]:
        return "bad"
    return "good" if lease["state"] == ATTACHED else "off"


def _wrong(document: Document) -> str:
    if not document["wrong"]:
        return '<div class="box good">Nothing is wrong.</div>'
    items = "".join("<li>%s</li>" % _text(text) for text in document["wrong"])
    return '<div class="box"><ul>%s</ul></div>' % items


def _host(row: t.Mapping[str, t.Any]) -> tuple[str, tuple[t.Any, ...]]:
    state = {"up": "answers", "part": "answers in part", "silent": "does not answer"}[row["state"]]
    state += ", drained" if row["drained"] else ""
    return "" if row["state"] == "up" else "bad", (row["name"], state, row["version"], row["message"])


def _link(row: t.Mapping[str, t.Any]) -> tuple[str, tuple[t.Any, ...]]:
    return "" if row["state"] == READY else "bad", (between(row), row["state"], row["message"])


def _device(row: t.Mapping[str, t.Any]) -> tuple[t.Any, ...]:
    what = "%s:%s, class %s" % (row["vendor"], row["device"], row["class"])
    return row["host"], row["address"], what, row["serial"], row["driver"], row["lease"]


def _table(title: str, head: t.Sequence[str], rows: t.Sequence[tuple[str, t.Sequence[t.Any]]]) -> str:
    if not rows:
        return ""
    top = "".join("<th>%s</th>" % html.escape(cell) for cell in head)
    lines = []
    for kind, row in rows:
        found = []
        for name, cell in zip(head, row):
            if not name and not cell:
                found.append("<td></td>")
                continue
            look = "address" if name in ("device", "there") else kind if name == "state" else ""
            found.append("<td%s>%s</td>" % (' class="%s"' % look if look else "", _text(cell)))
        lines.append("<tr>%s</tr>" % "".join(found))
    return '<h2>%s</h2><div class="wide"><table><tr>%s</tr>\n%s</table></div>' % (_text(title), top, "\n".join(lines))


# -- the picture --------------------------------------------------------------------------------------------------------


class _Card(t.NamedTuple):
    """What is written on the card of a host: its state, its lines (how they are, and text), and its height."""

    state: str
    lines: list[tuple[str, str]]

    @property
    def height(self) -> float:
        return HEAD + LINE * len(self.lines) + PAD


def _cards(document: Document) -> dict[str, _Card]:
    states = {row["name"]: row["state"] for row in document["hosts"]}
    lends: dict[str | None, list[tuple[str, str]]] = {}
    borrows: dict[str | None, list[tuple[str, str]]] = {}
    for row in document["leases"]:
        has = " ".join([row["name"], *row["nodes"][:1]])
        lends.setdefault(row["owner"], []).append((_kind(row), "lends %s" % row["name"]))
        borrows.setdefault(row["borrower"], []).append((_kind(row), "has %s" % has))
    # Also hosts that this run has not asked.
    ends = [host for row in document["links"] for host in row["hosts"]]
    return {
        name: _Card(states.get(name, "silent"), [*_some(lends.get(name, [])), *_some(borrows.get(name, []))])
        for name in sorted({host or "-" for host in (*states, *lends, *borrows, *ends)})
    }


def _some(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if len(lines) <= SHOWN:
        return lines
    rest = lines[SHOWN - 1 :]
    worst = "bad" if any(kind == "bad" for kind, _text in rest) else ""
    return [*lines[: SHOWN - 1], (worst, "and %d more" % len(rest))]


def places(names: t.Sequence[str], height: float) -> dict[str, Point]:
    """The middle of each host's card, on an ellipse on which cards of that height do not touch."""
    count = len(names)
    if count == 1:
        return {names[0]: (0.0, 0.0)}
    step = math.pi / count
    # Neighbours are apart by a card and a gap in one direction at least.
    across = (WIDTH + GAP[0]) / (2 * math.sin(step)) if count > 2 else WIDTH / 2 + GAP[0]
    down = (height + GAP[1]) / (2 * math.sin(step)) if count > 2 else 0.0
    turn = [math.pi + 2 * step * number for number in range(count)]
    return {name: (across * math.cos(at), down * math.sin(at)) for name, at in zip(names, turn)}


def _picture(document: Document) -> str:
    cards = _cards(document)
    if not cards:
        return ""
    height = max(card.height for card in cards.values())
    where = places(list(cards), height)
    arrows = [_Arrow(rows, where[pair[0]], where[pair[1]], height) for pair, rows in _pairs(document).items()]
    corners = [(x + way * WIDTH / 2, y + way * height / 2) for x, y in where.values() for way in (-1, 1)]
    corners += [point for arrow in arrows for point in arrow.corners()]
    left, top = (min(corner[axis] for corner in corners) - MARGIN for axis in (0, 1))
    right, bottom = (max(corner[axis] for corner in corners) + MARGIN for axis in (0, 1))
    ends = " ".join('<marker id="%s" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
                    'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" style="fill: var(--%s)"/></marker>' % (kind, kind)
                    for kind in KINDS)  # fmt: skip
    size = right - left, bottom - top
    parts = [
        '<svg role="img" aria-label="Hosts, the links between them, and what is lent over these" width="%.0f" height="%.0f" '
        'viewBox="%.0f %.0f %.0f %.0f"><defs>%s</defs>' % (*size, left, top, *size, ends)
    ]
    parts += [_line(row, [where[host or "-"] for host in row["hosts"]]) for row in document["links"]]
    parts += [_drawn(name, card, where[name], height) for name, card in cards.items()]
    parts += [arrow.drawn(len(cards) <= NAMED) for arrow in arrows]
    return "\n".join([*parts, "</svg>"])


def _pairs(document: Document) -> dict[tuple[str, str], list[t.Mapping[str, t.Any]]]:
    """The leases of each owner to each borrower."""
    pairs: dict[tuple[str, str], list[t.Mapping[str, t.Any]]] = {}
    for row in document["leases"]:
        pairs.setdefault((row["owner"], row["borrower"] or "-"), []).append(row)
    return pairs


def _line(row: t.Mapping[str, t.Any], ends: t.Sequence[Point]) -> str:
    (x1, y1), (x2, y2) = ends
    what = "%s: %s" % (between(row), row["message"] or row["state"])
    kind = "link" if row["state"] == READY else "link bad"
    coordinates = 'x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"' % (x1, y1, x2, y2)
    return '<line class="%s" %s><title>%s</title></line>' % (kind, coordinates, _text(what))


class _Arrow:
    """What one host lends to another, from card to card, bent to the right of the way that it goes."""

    def __init__(self, rows: t.Sequence[t.Mapping[str, t.Any]], start: Point, end: Point, height: float) -> None:
        across, down = end[0] - start[0], end[1] - start[1]
        self._bend = (start[0] + end[0]) / 2 - down * BEND, (start[1] + end[1]) / 2 + across * BEND
        self._start, self._end = _edge(start, self._bend, height), _edge(end, self._bend, height)
        kinds = {_kind(row) for row in rows}
        self._kind = next(kind for kind in KINDS if kind in kinds)
        self._name = rows[0]["name"] if len(rows) == 1 else "%d leases" % len(rows)
        self._what = "; ".join("%s: %s" % (row["name"], row["wrong"] or row["state"]) for row in rows)

    @property
    def _middle(self) -> Point:
        first, second = ((a + 2 * b + c) / 4 for a, b, c in zip(self._start, self._bend, self._end))
        return first, second

    @property
    def _half(self) -> float:
        return LETTER * len(self._name) / 2 + 3

    def corners(self) -> list[Point]:
        """Where it and its name end."""
        x, y = self._middle
        return [self._start, self._end, (x - self._half, y - 8), (x + self._half, y + 8)]

    def drawn(self, is_named: bool) -> str:
        """The arrow, and its name on it."""
        path = "M%.1f %.1fQ%.1f %.1f %.1f %.1f" % (*self._start, *self._bend, *self._end)
        line = '<path class="lease %s" d="%s" marker-end="url(#%s)"><title>%s</title></path>'
        line %= self._kind, path, self._kind, _text(self._what)
        if not is_named:
            return line
        x, y = self._middle
        tag = '<rect class="tag" x="%.1f" y="%.1f" width="%.1f" height="16" rx="3"/>'
        name = '<text class="%s" x="%.1f" y="%.1f" text-anchor="middle">%s</text>'
        tag %= x - self._half, y - 8, 2 * self._half
        return line + tag + name % (self._kind, x, y + 4, _text(self._name))


def _edge(middle: Point, towards: Point, height: float) -> Point:
    """Where a line from the middle of a card to somewhere else leaves it."""
    across, down = towards[0] - middle[0], towards[1] - middle[1]
    scale = min((WIDTH / 2) / abs(across) if across else math.inf, (height / 2) / abs(down) if down else math.inf, 1.0)
    return middle[0] + across * scale, middle[1] + down * scale


def _drawn(name: str, card: _Card, where: Point, height: float) -> str:
    left, top = where[0] - WIDTH / 2, where[1] - height / 2
    parts = ['<rect class="card %s" x="%.1f" y="%.1f" width="%d" height="%.1f" rx="8"/>' % (
        card.state, left, top, WIDTH, height)]  # fmt: skip
    parts.append('<text class="name" x="%.1f" y="%.1f">%s</text>' % (left + PAD, top + 18, _text(_short(name, 26))))
    for number, (kind, text) in enumerate(card.lines):
        y = top + HEAD + LINE * (number + 0.8)
        said = "<title>%s</title>%s" % (_text(text), _text(_short(text, 32)))
        parts.append('<text class="%s" x="%.1f" y="%.1f">%s</text>' % (kind, left + PAD, y, said))
    return "<g>%s</g>" % "".join(parts)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "\u2026"
