# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Metrics in one text, and that alerts, dashboard and docs ask for metrics that there are."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from daemon_hosts import Fabric, until
from hypothesis import given
from hypothesis import strategies as st
from test_daemon_end_to_end import lend

from device_lending import cli, exposition, kernel
from device_lending.api import metrics
from device_lending.borrower import telling as borrowing
from device_lending.borrower.attachment import Attachment
from device_lending.borrower.attachment_events import Seen
from device_lending.clock import Clock
from device_lending.events.journal import Journal
from device_lending.latency import BOUNDS, Histogram, Latencies
from device_lending.links import Peering
from device_lending.owner import telling as owning

ROOT = Path(__file__).resolve().parents[3]
MAPPINGS = dict.fromkeys(("alive", "bytes", "bounced", "errors"), 1)
SPACE = dict.fromkeys(("size", "free", "largest", "bounced", "exhausted"), 1)
COUNTERS = ("requests", "responses", "timeouts", "served", "rejected", "hb_missed")


def every_name():
    """The names of all metrics, and of the one that says who answers."""
    link = kernel.Link(0, "0000:01:00.0", counters=dict.fromkeys(COUNTERS, 1), space=SPACE)
    lease = {"name": "x", "address": "a", "borrower": "b", "state": "active", "contained": True}
    attachment = {"name": "x", "owner": "b", "state": "attached", "address": "a", "attempt": 0}
    latencies = Latencies({**owning.STAGES, **borrowing.STAGES}, Clock())
    found = [
        *metrics.of_host("ownerd", "h", kernel.KernelInfo(True), [Peering(link, "b", "b", "")], {}),
        metrics.of_events("ownerd", {"lost": 1}),
        *metrics.of_latencies("ownerd", latencies),
        *metrics.of_leases([lease]),
        *metrics.of_attachments([{**attachment, "leaving": False, "mappings": MAPPINGS}], 0),
    ]
    texts = {"ownerd": metrics.render(found), "borrowerd": None}
    text = exposition.of_daemons(texts)
    histograms = re.findall(r"^# TYPE (\w+) histogram$", text, re.MULTILINE)
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    return parts.union(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))


@pytest.mark.parametrize("path", ["monitoring/alerts.yml", "monitoring/dashboard.json", "docs/monitoring.md"])
def test_metrics_that_are_named_exist(path):
    named = set(re.findall(r"\bdevice_lending_\w+", (ROOT / path).read_text(encoding="utf-8")))
    assert named
    assert named <= every_name()


def test_alerts_are_all_tested_and_described():
    alerts = re.findall(r"alert: (\w+)", (ROOT / "monitoring/alerts.yml").read_text(encoding="utf-8"))
    tested = (ROOT / "tests/monitoring/alerts.yml").read_text(encoding="utf-8")
    told = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    assert len(alerts) > 10
    assert [name for name in alerts if tested.count(name) < 2 or name not in told] == []


def test_a_family_is_told_once():
    first = '# HELP a The a.\n# TYPE a gauge\na{daemon="x"} 1\n# HELP b The b.\n# TYPE b counter\nb 2\n'
    second = '# HELP a The a.\n# TYPE a gauge\na{daemon="y"} 3\n'
    assert exposition.merged([first, second]) == (
        '# HELP a The a.\n# TYPE a gauge\na{daemon="x"} 1\na{daemon="y"} 3\n# HELP b The b.\n# TYPE b counter\nb 2\n'
    )


def test_a_histogram_of_both_daemons_stays_in_one_piece():
    text = "# HELP a_seconds The a.\n# TYPE a_seconds histogram\n"
    rows = ['a_seconds_bucket{daemon="x",le="+Inf"} 1\n', 'a_seconds_sum{daemon="x"} 2\n', 'a_seconds_count{daemon="x"} 1\n']
    first = text + "".join(rows)
    second = text + "".join(rows).replace('"x"', '"y"')
    assert exposition.merged([first, second]) == first + second.removeprefix(text)
    counter = "# HELP b_count The b.\n# TYPE b_count gauge\nb_count 1\n"
    assert exposition.merged([counter, counter]) == counter + "b_count 1\n"


def test_who_does_not_answer_is_told():
    told = exposition.of_daemons({"ownerd": "a 1\n", "borrowerd": None})
    assert 'device_lending_daemon_up{daemon="ownerd"} 1\n' in told
    assert 'device_lending_daemon_up{daemon="borrowerd"} 0\n' in told
    assert told.endswith("a 1\n")


def test_devlend_prints_and_writes_them(fabric: Fabric, capsys, tmp_path):
    owner, _borrower = fabric.pair()
    owner.stop_borrower()
    where = ["--run-dir", str(owner.base)]
    assert cli.main(["metrics", *where]) == 0
    printed = capsys.readouterr().out
    assert 'device_lending_daemon_up{daemon="ownerd"} 1\n' in printed
    assert 'device_lending_daemon_up{daemon="borrowerd"} 0\n' in printed
    file = tmp_path / "x.prom"
    file.write_text("old")
    assert cli.main(["metrics", "--output", str(file), *where]) == 0
    assert "device_lending_kernel_module_loaded" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert cli.main(["metrics", "--output", str(tmp_path / "none" / "x.prom"), *where]) == 1
    assert "none/.x.prom" in capsys.readouterr().err


def test_both_daemons_make_one_text(fabric: Fabric):
    owner, _borrower = fabric.pair()
    owner.put_grants(("scratch", {"address": "0000:03:00.0"}, "node-b"))
    texts = {name: getattr(owner, name).client.text("/metrics") for name in ("ownerd", "borrowerd")}
    told = exposition.of_daemons(texts).splitlines()
    samples = [line.rpartition(" ")[0] for line in told if not line.startswith("#")]
    assert len(samples) == len(set(samples)) > 10
    types = [line.split()[2] for line in told if line.startswith("# TYPE")]
    assert len(types) == len(set(types))


@given(st.lists(st.floats(0, 1000)))
def test_each_time_is_in_one_part_of_a_histogram(times):
    found = Histogram()
    for seconds in times:
        found.add(seconds)
    bounds = [float("-inf"), *BOUNDS, float("inf")]
    wanted = [sum(low < time <= high for time in times) for low, high in pairwise(bounds)]
    assert found.counts == wanted and found.total == pytest.approx(sum(times))


def test_a_histogram_is_told_as_prometheus_reads_it():
    latencies = Latencies({"lend": ("driver",), "recall": ("",)}, Clock())
    for seconds in (0.2, 0.2, 7, 500):
        latencies.took("lend", "driver", seconds)
    with pytest.raises(RuntimeError), latencies.timed("recall", ""):
        raise RuntimeError  # what fails does not count
    text = metrics.render(metrics.of_latencies("ownerd", latencies))
    labels = 'daemon="ownerd",stage="driver"'
    assert "# TYPE device_lending_lend_seconds histogram\n" in text
    for bound, count in (("0.1", 0), ("0.25", 2), ("5", 2), ("10", 3), ("120", 3), ("+Inf", 4)):
        assert f'device_lending_lend_seconds_bucket{{{labels},le="{bound}"}} {count}\n' in text
    assert f"device_lending_lend_seconds_sum{{{labels}}} 507.3" in text
    assert f"device_lending_lend_seconds_count{{{labels}}} 4\n" in text
    assert 'device_lending_recall_seconds_count{daemon="ownerd"} 0\n' in text


def counted(host, daemon):
    """How often each operation and stage of a daemon came to its end."""
    text = getattr(host, daemon).client.text("/metrics")
    found = re.findall(r'^device_lending_(\w+)_seconds_count\{daemon="\w+"(?:,stage="(\w+)")?\} (\d+)$', text, re.MULTILINE)
    return {(operation, stage): int(count) for operation, stage, count in found}


def test_what_is_done_to_a_device_is_measured_in_its_stages(fabric: Fabric):
    owner, borrower = lend(fabric, recall_grace=10)
    taking = dict.fromkeys((("take_back", "reset"), ("take_back", "driver"), ("recall", "")), 0)
    lending = dict.fromkeys((("lend", "driver"), ("lend", "reset")), 1)
    assert counted(owner, "ownerd") == {**lending, **taking}
    attaching = dict.fromkeys((("attach", stage) for stage in ("owner", "kernel", "driver")), 1)
    detaching = dict.fromkeys((("detach", stage) for stage in ("kernel", "owner")), 0)
    # It is counted right after it is told.
    until(lambda: counted(borrower, "borrowerd") == {**attaching, **detaching})
    owner.recall("scratch")
    until(lambda: counted(owner, "ownerd") == {**lending, **dict.fromkeys(taking, 1)})
    until(lambda: counted(borrower, "borrowerd") == {**attaching, **dict.fromkeys(detaching, 1)})


def test_a_device_that_was_there_when_the_daemon_started_is_not_measured():
    telling = borrowing.Telling(Journal("borrowerd", "node-b", Clock()), Clock())
    states = [Attachment("x", "node-a", state, borrowed=number) for state, number in (
        ("waiting", None), ("attaching", 1), ("attached", 1),
    )]  # fmt: skip
    for old, new in pairwise(states):
        telling.step(old, Seen(0.0, 1), new)
    assert not any(sum(row.counts) for row in telling.latencies.all().values())


def test_what_failed_and_what_was_there_before_is_not_measured(fabric: Fabric):
    owner, borrower = lend(fabric)
    borrower.stop_borrower()
    borrower.start_borrower()
    until(lambda: borrower.attachment("scratch")["state"] == "attached")
    assert set(counted(borrower, "borrowerd").values()) == {0}
    owner.kernel.sick.add("0000:03:00.0")
    borrower.put_attachments(purge=True)
    until(lambda: owner.lease("scratch")["state"] == "quarantined")
    assert counted(owner, "ownerd")["take_back", "driver"] == 0
