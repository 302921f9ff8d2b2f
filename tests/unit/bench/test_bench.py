# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's figures: from what programs print to the table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

from bench import __main__ as bench_main
from bench import attach, cpu, crossing, jobs, network, rdma, report, statistics
from bench.instructions import __main__ as instructions_main
from bench.jobs import ALONE, JOBS
from bench.statistics import Spread
from lab.kernels import SERIES, Kernel

FIO = {
    "jobname": "rand-read-1",
    "error": 0,
    "job_start": 5000,
    "read": {
        "total_ios": 100,
        "runtime": 2000,
        "bw_bytes": 204800,
        "clat_ns": {"mean": 15000.0, "max": 90000, "percentile": {"99.000000": 40000}},
    },
}


def test_ratios_are_taken_round_by_round_so_that_drift_cancels():
    value = statistics.ratio([2.0, 20.0, 6.0], [1.0, 10.0, 2.0])
    assert (value.median, value.low, value.high, value.rounds) == (2.0, 2.0, 3.0, 3)


@pytest.mark.parametrize(("above", "below"), [([1.0], [1.0, 2.0]), ([1.0], [0.0]), ([], [])])
def test_rounds_that_cannot_be_compared_are_refused(above, below):
    with pytest.raises(ValueError, match="round"):
        statistics.ratio(above, below)


def test_fio_is_told_to_run_the_jobs_one_after_the_other():
    text = jobs.job_file(JOBS, "/dev/nvme9n1", 1.5, 1 << 20)
    assert text.count("stonewall") == len(JOBS)
    assert "runtime=1500ms" in text
    assert re.search(r"\[seq-write\]\nstonewall\nrw=write\nbs=131072\niodepth=8", text)


def test_names_of_jobs_differ():
    assert len({job.name for job in JOBS}) == len(JOBS)


def test_fios_report_is_read():
    found = jobs.results("fio: something\n" + json.dumps({"jobs": [FIO]}), JOBS[:1])["rand-read-1"]
    assert (found.ios, found.us_per_io, found.latency_us, found.p99_us) == (100, 20000.0, 15.0, 40.0)
    assert (found.begin, found.end) == (5.0, 7.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"error": 5}, "failed with error 5"),
        ({"jobname": "other"}, "does not report"),
        ({"read": {**FIO["read"], "total_ios": 0}}, "did nothing"),
    ],
)
def test_a_job_that_did_not_work_is_an_error(change, says):
    with pytest.raises(ValueError, match=says):
        jobs.results(json.dumps({"jobs": [{**FIO, **change}]}), JOBS[:1])


def test_processor_time_comes_from_the_samples_of_the_job_alone():
    samples = [(0.0, {"a": 0}), (1.0, {"a": 10**9}), (2.0, {"a": 15 * 10**8}), (3.0, {"a": 9 * 10**9})]
    assert cpu.share(samples, "a", 0.9, 2.1) == 0.5
    assert cpu.us_per_io(0.5, 0.1, 100.0) == pytest.approx(40.0)
    with pytest.raises(ValueError, match="samples"):
        cpu.share(samples, "a", 0.9, 1.1)


def test_points_in_the_module_are_functions_that_the_compiler_keeps():
    """What a header of it declares is not folded into its caller."""
    kmod = Path(__file__).resolve().parents[3] / "kmod"
    declared = "".join(path.read_text(encoding="utf-8") for path in kmod.glob("*.h"))
    ours = {symbol for _kind, symbol in attach.PROBES.values() if re.match("lend_|owner_|borrower_", symbol)}
    assert ours
    assert {symbol for symbol in ours if f" {symbol}(" not in declared} == set()


TRACE = """\
# tracer: nop
 python3-1 [001] .....  10.000000: detach: (borrower_detach+0x4/0x110)
 python3-1 [001] .....  10.500000: detached: (lend_nl_detach+0xa6/0xf0 <- borrower_detach)
 python3-2 [001] .....  20.000000: attach: (borrower_attach+0x4/0x7d0)
 python3-2 [001] .N...  20.010000: lend_call: link=0 op=2 handle=0 arg=0x0 ns=9000000 ret=0
 python3-2 [001] .....  20.020000: config: (borrower_attach+0x1a0/0x7d0 <- lend_irq_init)
 python3-2 [001] .....  20.030000: bus: (pci_create_root_bus+0x4/0xb0)
 python3-2 [001] .....  20.040000: scan: (pci_scan_child_bus+0x4/0x10)
 python3-2 [001] .N...  20.050000: lend_call: link=0 op=5 handle=0 arg=0x42 ns=4000000 ret=0
 python3-2 [001] .N...  20.060000: lend_call: link=0 op=6 handle=0 arg=0x42 ns=2000000 ret=0
 python3-2 [001] .....  20.070000: scanned: (borrower_attach+0x604/0x7d0 <- pci_scan_child_bus)
 python3-2 [001] .....  20.100000: probe: (nvme_probe+0x4/0x7b0)
 kworker-3 [001] .....  20.250000: disk: (nvme_alloc_ns+0x71b/0x9f0 <- device_add_disk)
 python3-2 [001] .....  20.300000: attached: (lend_nl_attach+0xe5/0x140 <- borrower_attach)
"""


def test_where_the_time_of_an_attach_goes():
    found = attach.phases(attach.parse(TRACE))
    wanted = {
        "detach": 0.5,
        "attach": 0.3,
        "open": 0.02,
        "open_calls": 1,
        "scan": 0.03,
        "scan_calls": 2,
        "scan_waiting": 0.006,
        "before_probe": 0.1,
        "calls_before_probe": 3,
        "probe": 0.2,
        "probe_to_disk": 0.15,
    }
    assert {key: found[key] for key in wanted} == pytest.approx(wanted)


def test_a_trace_that_lacks_a_point_is_an_error():
    with pytest.raises(ValueError, match="probe"):
        attach.phases(attach.parse(TRACE.replace(" probe:", " other:")))


def entry(us: float, **more: float) -> dict:
    figures = {"us_per_io": us, "octets_per_second": 1e9 / us, "cpu_us_per_io": {"a": 0.1, "b": 5.0}}
    figures |= {"latency_us": us - 10, "p99_us": us * 2}
    return {job.name: {**figures, **more} for job in JOBS}


def a_run() -> dict:
    besides = {
        "device": [[10000.0, 40000.0]],
        "ram": [[10.0, 20.0]],
        **{f"map_{pages}": [[pages * 100 + 50.0, pages * 100.0]] for pages in report.LISTS},
        "map_all": [[150.0, 100.0]],
        "config": [[90000.0]],
        "config_apart": [[95000.0]],
    }
    fast = {"local": entry(100), "borrowed": entry(200), "tcp": entry(1000), "bridge": entry(110)}
    per_io = {"owner_writes": 1.0, "borrower_writes": 2.0, "ios": 10, "owner_requests_served": 0}
    return {
        "owner": "a",
        "borrower": "b",
        "fast": [{"fio": fast, **besides}] * 2,
        "message": [
            {"fio": {"local": entry(100), "borrowed": entry(4000)}, **{k: v for k, v in besides.items() if k != "ram"}}
        ],
        "per_io": {job.name: per_io for job in JOBS},
        "network": [
            {"local": {"echo_us": 100, "packets_per_second": 900}, "borrowed": {"echo_us": 300, "packets_per_second": 300}}
        ],
        "second": [{"alone": {job.name: 100.0 for job in ALONE}, "both": {job.name: 150.0 for job in ALONE}}],
        "crossing": [{job.name: {"all": 800.0, "the emulated bridge": 300.0} for job in ALONE}],
        "doorbell": {"fast": [100.0], "message": [80.0]},
        "attach": [{key: 0.1 for key, *_rest in report.ATTACH}],
        "conditions": {
            "when": "2026-01-01 00:00",
            "kernel": "6.12",
            "qemu": "QEMU 11.1",
            "accel": "tcg",
            "processors": 2,
            "load": [0.1, 0, 0],
            "load_end": [2.0, 0, 0],
            "wire": "taps",
            "iommu": {"owner": "none", "borrower": "none", "borrower_message": "translating"},
        },
    }


def the_row(run: dict, group: str, title: str) -> report.Row:
    (found,) = [row for row in report.rows(run) if row.group.startswith(group) and row.title.startswith(title)]
    return found


def test_the_bridges_part_is_what_its_operations_take_one_after_the_other():
    # DMA 10, the doorbell's way there 20, the other doorbell 10, the interrupt 50 less 10.
    assert report.bridge_us(a_run(), JOBS[0]) == pytest.approx([80.0, 80.0])
    assert the_row(a_run(), "The bridge alone", f"{JOBS[0].title}: the bridge's part").value.median == pytest.approx(80.0)


def test_figures_of_their_own_stand_beside_the_ratios():
    found = [row for row in report.rows(a_run()) if row.group.startswith("In figures")]
    shown = {(row.title, row.unit): row.value.median for row in found}
    assert len(shown) == len(found) == 3 * 3 * len(JOBS)
    assert shown[f"{JOBS[0].title}: borrowed", "µs"] == 190
    assert shown[f"{JOBS[0].title}: borrowed, 99 %", "µs"] == 400
    assert shown[f"{JOBS[0].title}: NVMe/TCP", "IOPS"] == 1000
    assert shown[f"{JOBS[4].title}: local", "MB/s"] == 10


def test_network_cards_are_compared():
    for title, relative in (("time of an echo of 1,500 octets", 3), ("packets of 1,500 octets", 1 / 3)):
        assert the_row(a_run(), "A borrowed network card", title).value.median == pytest.approx(relative)


PING = "--- 10.98.0.1 ping statistics ---\n100 packets transmitted\nrtt min/avg/max/mdev = 0.612/0.745/1.201/0.1 ms"
PKTGEN = "Result: OK: 98233(c97000+d1233) usec, 2000 (1500byte,0frags)\n  20359pps 244Mb/sec (244308000bps) errors: 0"


def test_what_ping_and_the_packet_generator_say_is_read():
    assert network.average_us(PING) == pytest.approx(745)
    assert network.per_second(PKTGEN) == 20359
    with pytest.raises(ValueError, match="ping says no times"):
        network.average_us("100% packet loss")
    with pytest.raises(ValueError, match="says no rate"):
        network.per_second("Result: Idle")


def test_what_a_second_borrower_costs_is_a_ratio_within_a_round():
    assert the_row(a_run(), "While another borrower", ALONE[0].title).value.median == 1.5


def test_no_verdict_is_made_of_parts_that_are_only_known_roughly():
    assert [row.title for row in report.rows(a_run()) if "our code" in row.title or "− bridge" in row.title] == []


@pytest.mark.parametrize(("pages", "title"), [(1, "one page"), (32, "a list of 32 pages"), (256, "a list of 256 pages")])
def test_lists_are_mapped_as_well_as_pages(pages, title):
    run = a_run()
    for around in ("no IOMMU", "behind an IOMMU"):
        row = the_row(run, "Other", f"map and unmap ÷ the same on the bridge's function, {around}, one CPU, {title}")
        assert row.value.median == pytest.approx((pages * 100 + 50) / (pages * 100))


def test_ratios_and_aims_of_the_table():
    run = a_run()
    assert the_row(run, "Borrowed ÷ local, fast", JOBS[0].title).value.median == 2.0
    row = the_row(run, "Borrowed ÷ local, fast", JOBS[4].title)
    assert (row.value.median, row.reached) == (0.5, True)
    row = the_row(run, "NVMe/TCP", JOBS[0].title)
    assert (row.value.median, row.aim, row.reached) == (5.0, "≥ 5", True)
    row = the_row(run, "Other", "map and unmap ÷ the same on the bridge's function, behind an IOMMU, one CPU, one")
    assert (row.value.median, row.reached) == (1.5, False)
    assert the_row(run, "What the machine", JOBS[0].title).value.high == 1.0
    assert the_row(run, "Configuration", "in a row, fast").value.median == 90
    for kind, relative, reached in (("fast", 0.95, True), ("message", 1.1875, True)):
        row = the_row(run, "Configuration", f"one alone ÷ doorbell's round trip, {kind}")
        assert (row.value.median, row.reached) == (pytest.approx(relative), reached)


def test_the_processor_time_of_a_process_is_all_that_its_threads_have_had():
    before = time.process_time_ns()
    thread = threading.Thread(target=lambda: sum(range(300000)))
    thread.start()
    thread.join()
    assert before < crossing.process_ns(os.getpid()) <= time.process_time_ns()


def test_an_access_is_given_the_processor_time_that_is_more_than_idle(monkeypatch):
    now, runs = [0.0], threading.Event()
    used = {"emulator": 0.0, "guest": 0.0}

    def sleep(seconds):
        if seconds == crossing.BEFORE:
            assert runs.wait(20)
        now[0] += seconds
        for name, idle, busy in (("emulator", 0.1, 0.6), ("guest", 0.0, 0.25)):
            used[name] += seconds * (busy if runs.is_set() else idle)

    class Parts:
        def used(self):
            return {name: round(value * 1e9) for name, value in used.items()}

    def run(drive, wanted, seconds):
        assert (drive, wanted, seconds) == ("drive", (JOBS[0],), crossing.BEFORE + 2.0 + crossing.AFTER)
        runs.set()
        return {JOBS[0].name: jobs.Result(10, 800.0, 0.0, 0.0, 0.0, 0.0, 0.0)}

    monkeypatch.setattr(crossing.time, "sleep", sleep)
    monkeypatch.setattr(crossing.time, "monotonic_ns", lambda: round(now[0] * 1e9))
    monkeypatch.setattr(crossing.drives, "run", run)
    found = crossing.once(Parts(), "drive", JOBS[0], 2.0)
    assert found == pytest.approx({"all": 800.0, "emulator": 400.0, "guest": 200.0})


def test_where_an_access_goes_is_in_the_table():
    run = a_run()
    rows = [row for row in report.rows(run) if row.group.startswith("Where an access")]
    parts = ("its time", "the emulated bridge")
    assert [row.title for row in rows] == [f"{job.title}: {part}" for job in ALONE for part in parts]
    assert [row.value.median for row in rows] == [800, 300] * len(ALONE)


def test_a_second_peer_has_rows_where_it_was_measured():
    run = a_run()
    assert not any("RDMA" in f"{row.group} {row.title}" for row in report.rows(run))
    for turn in run["fast"]:
        turn["fio"]["rdma"] = entry(800)
    row = the_row(run, "NVMe/RDMA", JOBS[0].title)
    assert (row.value.median, row.aim, row.reached) == (4.0, "≥ 5", False)
    rows = [row for row in report.rows(run) if "RDMA" in f"{row.group} {row.title}"]
    of_each = [sum("NVMe/RDMA" in row.title and row.title.startswith(job.title) for row in rows) for job in JOBS]
    assert of_each == [5] * len(JOBS)
    assert "NVMe/TCP" in {row.group.split(" ÷")[0] for row in report.rows(run)}


def test_modules_of_the_kernel_that_the_image_lacks_come_from_its_package(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    home = "usr/lib/modules/6.12.1-amd64/kernel/drivers"
    there = [f"infiniband/{name}.ko.xz" for name in ("core/ib_core", "sw/rxe/rdma_rxe", "hw/mlx5/mlx5_ib")]
    for name in there:
        path = tmp_path / "root" / home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    control = tmp_path / "root/DEBIAN/control"
    control.parent.mkdir()
    control.write_text("Package: image\nVersion: 1\nArchitecture: all\nMaintainer: n <n@example.org>\nDescription: d\n")
    asked = []

    def download(codename, package, version, directory):
        asked.append((codename, package, version))
        package = directory / "image_1_all.deb"
        subprocess.run(["dpkg-deb", "--build", tmp_path / "root", package], check=True, capture_output=True)
        return package

    monkeypatch.setattr(rdma.index, "download", download)
    kernel = Kernel(SERIES["6.12"], "6.12.1-amd64", "6.12.1-1")
    for _turn in range(2):
        with tarfile.open(rdma.modules(kernel)) as archive:
            assert sorted(archive.getnames()) == [f"./{home}/{name}" for name in there[:2]]
            assert archive.extractfile(f"./{home}/{there[0]}").read().decode() == there[0]
    assert asked == [("trixie", "linux-image-6.12.1-amd64", "6.12.1-1")]
    assert [path.name for path in (tmp_path / "cache/pcie-device-lending").glob("infiniband-*/*.deb")] == []


@pytest.mark.parametrize(
    ("low", "high", "reached", "shown"), [(0.9, 1.05, True, "✓"), (1.06, 2.0, False, "✗"), (0.9, 1.06, None, "?")]
)
def test_a_spread_that_crosses_its_aim_is_undecided(low, high, reached, shown):
    row = report._row("", "", Spread(1.0, low, high, 3), aim=report._most(1.05))
    assert row.reached is reached
    assert report._cells(row)[3] == f"≤ 1.05 {shown}"
    assert report._cells(report._row("", "", Spread(1.0, low, high, 3)))[3] == ""


def test_the_table_says_under_what_conditions_and_shows_everything():
    run = a_run()
    table = report.rows(run)
    page = report.markdown(run, table, short=False)
    for words in ("1 hop", "IOMMU: owner none", "NVMe/TCP over taps", "read", "write", "message windows", "queue depth 32"):
        assert words in page
    assert len(report.markdown(run, table, short=True).splitlines()) < len(page.splitlines())
    assert all(row.title.strip() in report.text(table) for row in table)
    assert json.dumps([row.as_json() for row in table])


@pytest.mark.parametrize(("value", "shown"), [(1234.5, "1234"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.012")])
def test_figures_have_three_digits(value, shown):
    assert report.number(value) == shown


def test_a_page_keeps_all_but_what_is_between_its_markers():
    begin, end = report.BEGIN.format(name="short"), report.END.format(name="short")
    page = f"before\n{begin}\nold\n{end}\nafter\n"
    assert report.put(page, "short", "new") == f"before\n{begin}\nnew\n{end}\nafter\n"
    with pytest.raises(ValueError, match="markers"):
        report.put("nothing", "short", "new")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *((path, "short" if short else "all") for path, short in bench_main.PAGES.items()),
        *((path, name) for path, (name, _short) in instructions_main.PAGES.items()),
    ],
)
def test_each_page_has_the_place_for_what_is_written_into_it(path, name):
    page = path.read_text(encoding="utf-8")
    assert report.put(page, name, "new").count("\nnew\n") == 1
