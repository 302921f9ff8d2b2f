# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table: rows out of what a run has measured, and text out of rows. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .jobs import ALONE, JOBS, MESSAGE_JOBS, Job
from .statistics import Spread, ratio, spread, verdict

# Ways over a network, by the drive that goes it.
PEERS = {"tcp": "NVMe/TCP", "rdma": "NVMe/RDMA"}
# Pages that are mapped at once.
LISTS = (1, 32, 256)
BEGIN = "<!-- begin: figures of make bench ({name}) -->"
MARKS = {True: "✓", False: "✗", None: "?"}
END = "<!-- end: figures of make bench ({name}) -->"


@dataclass(frozen=True)
class Row:
    """One line of the table. `reached` is None where there is no aim, and where the spread crosses it."""

    group: str
    title: str
    value: Spread
    unit: str = ""
    aim: str = ""
    reached: bool | None = None
    short: bool = False

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "group": self.group,
            "title": self.title,
            "unit": self.unit,
            "aim": self.aim,
            "reached": self.reached,
            **self.value.as_json(),
        }


def _most(limit: float) -> tuple[str, Callable[[float], bool]]:
    return f"≤ {limit:g}", lambda value: value <= limit


def _least(limit: float) -> tuple[str, Callable[[float], bool]]:
    return f"≥ {limit:g}", lambda value: value >= limit


def _row(
    group: str,
    title: str,
    value: Spread,
    unit: str = "",
    aim: tuple[str, Callable[[float], bool]] | None = None,
    short: bool = False,
) -> Row:
    return Row(group, title, value, unit, aim[0] if aim else "", verdict(value, aim[1]) if aim else None, short)


def series(rounds: list[dict[str, Any]], target: str, job: Job, key: str = "us_per_io") -> list[float]:
    """One figure of one target and job in all rounds."""
    return [float(entry["fio"][target][job.name][key]) for entry in rounds]


def _compare(
    group: str,
    rounds: list[dict[str, Any]],
    above: str,
    below: str,
    jobs: tuple[Job, ...] = JOBS,
    faster: float | None = None,
    short: bool = True,
) -> list[Row]:
    rows = []
    for job in jobs:
        if job.sequential and above not in PEERS:
            key, what = "octets_per_second", "bandwidth"
            aim = _least(faster) if faster else None
        else:
            key, what, aim = "us_per_io", "time of an access", _least(5) if above in PEERS else None
        value = ratio(series(rounds, above, job, key), series(rounds, below, job, key))
        rows.append(
            _row(group, f"{job.title}: {what}", value, aim=aim, short=short and (job.depth != 32 or above == "tcp"))
        )
    return rows


def bridge_us(run: dict[str, Any], job: Job) -> list[float]:
    """The bridge's part of one access at queue depth 1, by rounds, out of what the bridge alone takes.

    DMA into the window is measured with the same job. Then come, one after the other: the submission doorbell's way to
    the device (half of a read's), the interrupt's way to the borrower (half of a doorbell's round trip, less the
    write that clears it), and the completion doorbell, for which the borrower's processor waits.
    """
    needs = run["per_io"][job.name]
    bell = spread(run["doorbell"]["fast"]).median / 2
    answer = []
    for entry, window, local in zip(
        run["fast"], series(run["fast"], "bridge", job), series(run["fast"], "local", job), strict=True
    ):
        write = sum(pair[0] for pair in entry["device"]) / len(entry["device"]) / 1000
        read = sum(pair[1] for pair in entry["device"]) / len(entry["device"]) / 1000
        more = max(needs["borrower_writes"] - 1, 0) * write
        answer.append(
            window
            - local
            + min(needs["borrower_writes"], 1) * read / 2
            + more
            + needs["owner_writes"] * max(bell - write, 0)
        )
    return answer


def _peers(run: dict[str, Any]) -> dict[str, str]:
    """Those of PEERS that were measured."""
    return {target: name for target, name in PEERS.items() if target in run["fast"][0]["fio"]}


def _absolute(run: dict[str, Any]) -> list[Row]:
    """What the ratios are of. fio's mean of an access in each round, and what 99 of 100 stay below."""
    group, rows, rounds = "In figures of their own, fast windows", [], run["fast"]
    for job in JOBS:
        for target, name in {"local": "local", "borrowed": "borrowed", **_peers(run)}.items():
            title = f"{job.title}: {name}"
            short = job.depth == 1 and target not in PEERS
            rows.append(_row(group, title, spread(series(rounds, target, job, "latency_us")), "µs", short=short))
            rows.append(_row(group, f"{title}, 99 %", spread(series(rounds, target, job, "p99_us")), "µs", short=short))
            if job.sequential:
                many = [octets / 1e6 for octets in series(rounds, target, job, "octets_per_second")]
                rows.append(_row(group, title, spread(many), "MB/s"))
            else:
                rows.append(_row(group, title, spread([1e6 / us for us in series(rounds, target, job)]), "IOPS"))
    return rows


def _two_at_once(run: dict[str, Any]) -> list[Row]:
    """What a second borrower costs the first: another drive of the same owner, over another bridge, at the same time."""
    group, rows = "While another borrower uses another drive of the owner", []
    for job in ALONE:
        both, alone = ([entry[key][job.name] for entry in run["second"]] for key in ("both", "alone"))
        rows.append(_row(group, f"{job.title}: time of an access, with ÷ without it", ratio(both, alone), short=True))
    return rows


def _network(run: dict[str, Any]) -> list[Row]:
    group, rows = "A borrowed network card, fast windows", []
    for key, unit, title in (
        ("echo_us", "µs", "time of an echo of 1,500 octets"),
        ("packets_per_second", "/s", "packets of 1,500 octets sent in a second"),
    ):
        local, borrowed = ([float(entry[target][key]) for entry in run["network"]] for target in ("local", "borrowed"))
        rows.append(_row(group, f"{title}, borrowed ÷ local", ratio(borrowed, local), short=True))
        rows.append(_row(group, f"  {title}, local", spread(local), unit))
        rows.append(_row(group, f"  {title}, borrowed", spread(borrowed), unit))
    return rows


def _noise(run: dict[str, Any]) -> list[Row]:
    """How far the rounds of one drive differ: no ratio can be surer than that."""
    group, rows = "What the machine itself varies by", []
    for job in JOBS:
        local = series(run["fast"], "local", job)
        middle = spread(local).median
        value = spread([us / middle for us in local])
        rows.append(_row(group, f"{job.title}: local ÷ median of local", value, short=job.depth == 1))
    return rows


def _cpu(run: dict[str, Any]) -> list[Row]:
    group, rows = "Processor time for each access, above idle", []
    owner, borrower = run["owner"], run["borrower"]
    for job in JOBS:
        for target, host, title, aim in (
            ("local", owner, "local", None),
            ("borrowed", borrower, "borrowed, borrower", None),
            ("borrowed", owner, "borrowed, owner", None),
            *(
                (target, host, f"{name}, {role}", None)
                for target, name in _peers(run).items()
                for host, role in ((borrower, "borrower"), (owner, "owner"))
            ),
        ):
            values = [entry["fio"][target][job.name]["cpu_us_per_io"][host] for entry in run["fast"]]
            rows.append(_row(group, f"{job.title}: {title}", spread(values), "µs", aim))
        needs = run["per_io"][job.name]
        served = spread([needs["owner_requests_served"] / needs["ios"]])
        rows.append(_row(group, f"{job.title}: requests that the owner's kernel served", served, "", _most(0)))
    return rows


def _bridge(run: dict[str, Any]) -> list[Row]:
    group, rows = "The bridge alone", []
    for kind, entries in (("fast", run["fast"]), ("message", run["message"])):
        for key, where in (("device", "a device's register"), ("ram", "the peer's RAM")):
            if key not in entries[0]:
                continue
            for index, what in ((0, "write"), (1, "read")):
                values = [pair[index] / 1000 for entry in entries for pair in entry[key]]
                rows.append(_row(group, f"{what} of {where} through a window, {kind} windows", spread(values), "µs"))
        values = run["doorbell"][kind]
        rows.append(_row(group, f"doorbell's round trip, {kind} windows", spread(values), "µs"))
    for job in JOBS:
        value = ratio(series(run["fast"], "bridge", job), series(run["fast"], "local", job))
        rows.append(_row(group, f"{job.title}: local with DMA into a window ÷ local", value))
        if job.sequential:
            key = "octets_per_second"
            value = ratio(series(run["fast"], "borrowed", job, key), series(run["fast"], "bridge", job, key))
            title = f"{job.title}: bandwidth, borrowed ÷ local with DMA into a window"
            rows.append(_row(group, title, value, aim=_least(0.95), short=True))
        if job.depth == 1:
            rows.append(_row(group, f"{job.title}: the bridge's part", spread(bridge_us(run, job)), "µs"))
    return rows


def _crossing(run: dict[str, Any]) -> list[Row]:
    """Whose processor time an access takes in the lab; what is left of its time are processes that wait for their turn."""
    group, rows = "Where an access to the borrowed drive goes, fast windows: processor time, above idle", []
    for job in ALONE:
        for part in run["crossing"][0][job.name]:
            values = [entry[job.name][part] for entry in run["crossing"]]
            rows.append(_row(group, f"{job.title}: {part if part != 'all' else 'its time'}", spread(values), "µs"))
    return rows


CONFIG = "Configuration reads that the owner answers"


def _config(run: dict[str, Any]) -> list[Row]:
    """One alone wakes the owner, as a doorbell does: only that is comparable. In a row they need memory and no doorbell."""
    rows = []
    for kind in ("fast", "message"):
        bell = spread(run["doorbell"][kind]).median
        for key, what in (("config", "in a row"), ("config_apart", "one alone")):
            values = [ns / 1000 for entry in run[kind] for (ns,) in entry[key]]
            rows.append(_row(CONFIG, f"{what}, {kind} windows", spread(values), "µs"))
        title = f"one alone ÷ doorbell's round trip, {kind} windows"
        rows.append(_row(CONFIG, title, spread([us / bell for us in values]), aim=_most(1.3), short=kind == "fast"))
    return rows


def _entries(pages: int) -> str:
    return f"a list of {pages} pages" if pages > 1 else "one page"


def _paths(run: dict[str, Any]) -> list[Row]:
    group, rows = "Other paths", _config(run)
    for entries, key, title in (
        *((run["fast"], f"map_{pages}", f"no IOMMU, one CPU, {_entries(pages)}") for pages in LISTS),
        (run["fast"], "map_all", "no IOMMU, all CPUs, one page"),
        *((run["message"], f"map_{pages}", f"behind an IOMMU, one CPU, {_entries(pages)}") for pages in LISTS),
    ):
        pairs = [pair for entry in entries for pair in entry[key]]
        value = ratio([ours for ours, _ref in pairs], [ref for _ours, ref in pairs])
        title = f"map and unmap ÷ the same on the bridge's function, {title}"
        rows.append(_row(group, title, value, aim=_most(1.05), short=True))
        rows.append(_row(group, "  on the bridge's function", spread([ref for _ours, ref in pairs]), "ns"))
        rows.append(_row(group, "  that is more by", spread([ours - ref for ours, ref in pairs]), "ns"))
    return rows


ATTACH = (
    ("attach", "attach, in the kernel", "s", None, True),
    ("before_probe", "  until the driver's probe", "s", 0.1, True),
    ("open", "    asking the owner for the device and its BARs", "s", None, False),
    ("open_calls", "      requests", "", None, False),
    ("learn", "    reading what never changes", "s", None, False),
    ("scan", "    bus scan", "s", None, False),
    ("scan_calls", "      forwarded accesses", "", None, False),
    ("scan_waiting", "      waiting for the owner", "s", None, False),
    ("probe", "  the driver's probe, until attach returns", "s", None, False),
    ("probe_to_disk", "  from the driver's probe to the disk", "s", None, False),
    ("detach", "detach, in the kernel", "s", None, True),
    ("borrow_command", "devlend borrow, as a person sees it", "s", None, False),
    ("return_command", "devlend return, as a person sees it", "s", None, False),
)


def _attach(run: dict[str, Any]) -> list[Row]:
    return [
        _row(
            "Attach and detach",
            title,
            spread([entry[key] for entry in run["attach"]]),
            unit,
            _most(limit) if limit else None,
            short,
        )
        for key, title, unit, limit, short in ATTACH
    ]


def rows(run: dict[str, Any]) -> list[Row]:
    """All rows of a run."""
    fast, message = run["fast"], run["message"]
    return [
        *_compare("Borrowed ÷ local, fast windows", fast, "borrowed", "local", faster=0.5),
        *_compare(
            "Borrowed behind an IOMMU ÷ local, message windows", message, "borrowed", "local", MESSAGE_JOBS, short=False
        ),
        *(
            row
            for target, name in _peers(run).items()
            for row in _compare(f"{name} ÷ borrowed, fast windows", fast, target, "borrowed")
        ),
        *_absolute(run),
        *_noise(run),
        *_network(run),
        *_two_at_once(run),
        *_cpu(run),
        *_crossing(run),
        *_paths(run),
        *_attach(run),
        *_bridge(run),
    ]


def number(value: float) -> str:
    """A figure with three significant digits, never in exponents."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{digits}f}"


def _cells(row: Row) -> tuple[str, str, str, str]:
    value = f"{number(row.value.median)} {row.unit}".strip()
    extent = f"{number(row.value.low)} – {number(row.value.high)}"
    return row.title, value, extent, f"{row.aim} {MARKS[row.reached]}" if row.aim else ""


def text(table: list[Row]) -> str:
    """The table for a terminal."""
    lines, group = [], ""
    wide = max(len(row.title) for row in table)
    for row in table:
        if row.group != group:
            group = row.group
            lines += ["", group]
        title, value, extent, aim = _cells(row)
        lines.append(f"  {title:{wide}}  {value:>12}  ({extent:>17})  {aim}".rstrip())
    return "\n".join(lines)


def machine(about: dict[str, Any]) -> str:
    """When, with what and on what something was measured, of what conditions.py notes."""
    what = f"kernel {about['kernel']}, {about['qemu']} ({about['accel']})"
    return f"{about['when']}, {what}, {about['processors']} processors"


def conditions(run: dict[str, Any]) -> str:
    """One sentence on what was measured where."""
    about = run["conditions"]
    return (
        f"{machine(about)}, load {about['load'][0]:.1f} before and {about['load_end'][0]:.1f} after; one bridge between the "
        f"hosts (1 hop); IOMMU: owner {about['iommu']['owner']}, borrower "
        f"{about['iommu']['borrower']} (fast windows) and {about['iommu']['borrower_message']} (message windows); "
        f"NVMe/TCP over {about['wire']}; "
        f"{len(run['fast'])} rounds with fast windows, {len(run['message'])} with message windows."
    )


def markdown(run: dict[str, Any], table: list[Row], short: bool) -> str:
    """The table for a page."""
    lines = [f"Measured on {conditions(run)}", ""]
    chosen = [row for row in table if row.short or not short]
    lines += ["| | median | least – greatest | aim |", "|---|---|---|---|"]
    group = ""
    for row in chosen:
        if row.group != group:
            group = row.group
            lines.append(f"| **{group}** | | | |")
        lines.append("| " + " | ".join(cell.strip() for cell in _cells(row)) + " |")
    return "\n".join(lines)


def put(page: str, name: str, content: str) -> str:
    """A page with what is between its markers replaced. Raises ValueError where they are missing."""
    begin, end = BEGIN.format(name=name), END.format(name=name)
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page lacks the markers {begin} and {end}")
    head, rest = page.split(begin)
    return f"{head}{begin}\n{content}\n{end}{rest.split(end)[1]}"
