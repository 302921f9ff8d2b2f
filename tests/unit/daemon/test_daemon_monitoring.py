# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Metrics in one text, and that alerts, dashboard and docs ask for metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from daemon_hosts import Fabric

from device_lending import cli, exposition, kernel
from device_lending.api import metrics
from device_lending.links import Peering

ROOT = Path(__file__).resolve().parents[3]
MAPPINGS = dict.fromkeys(("alive", "bytes", "bounced", "errors"), 1)
SPACE = dict.fromkeys(("size", "free", "largest", "bounced", "exhausted"), 1)
COUNTERS = ("requests", "responses", "timeouts", "served", "rejected", "hb_missed")


def every_name():
    """The names of all metrics, and of the one that says who answers."""
    link = kernel.Link(0, "0000:01:00.0", counters=dict.fromkeys(COUNTERS, 1), space=SPACE)
    lease = {"name": "x", "address": "a", "borrower": "b", "state": "active", "contained": True}
    attachment = {"name": "x", "owner": "b", "state": "attached", "address": "a", "attempt": 0}
    found = [
        *metrics.of_host("ownerd", "h", kernel.KernelInfo(True), [Peering(link, "b", "b", "")], {}),
        *metrics.of_leases([lease]),
        *metrics.of_attachments([{**attachment, "leaving": False, "mappings": MAPPINGS}], 0),
    ]
    texts = {"ownerd": metrics.render(found), "borrowerd": None}
    return set(re.findall(r"^# TYPE (\w+)", exposition.of_daemons(texts), re.MULTILINE))


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
