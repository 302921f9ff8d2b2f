# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What preflight_info gives for a host with a drive and a bridge where all is well, and what is found in such answers."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.plugin_utils._preflight import evaluate

RELEASE = "6.12.107+deb13-amd64"
HOSTS = ["node-a", "node-b"]
NTB = {
    "address": "0000:01:00.0",
    "vendor": "1022",
    "device": "148b",
    "class": "068000",
    "driver": None,
    "bars": [],
    "iommu_type": "DMA-FQ",
    "ntb": {"driver": "ntb_hw_amd", "windows": [1 << 32, 1 << 28], "wrong": []},
}
NVME = {
    "address": "0000:03:00.0",
    "vendor": "1b36",
    "device": "0010",
    "class": "010802",
    "driver": "nvme",
    "bars": [{"index": 0, "size": 0x4000, "memory": True}],
    "serial": "lab-0001",
    "busy": [],
}
PROBE = {
    "machine": "x86_64",
    "kernel": {
        "release": RELEASE,
        "config": {"CONFIG_MODULES": "y", "CONFIG_PCI_MSI": "y"},
        "ntb_modules": False,
    },
    "python": "3.13",
    "missing_packages": [],
    "security": {
        "secure_boot": False,
        "lockdown": "none",
        "signatures_enforced": False,
        "enforced": [],
        "trusted": None,
    },
    "iommu": {"units": ["dmar0"]},
    "functions": [NTB, NVME],
    "ownerd": None,
    "borrowerd": None,
}
PLAN = {"grants": [{"name": "scratch", "device": {"address": "0000:03:00.0"}, "borrower": "node-b"}], "borrows": []}
LINKS = [{"ntb": "0000:01:00.0", "peer": "node-b"}]
BUILD = {
    "kernels": {RELEASE: {"headers": "/lib/modules/x/build"}},
    "sources": {"6.12": "6.12.107"},
    "programs": {"gcc": True, "make": True},
}


def run(probe, plan=None, links=None, severity="error", **more):
    found = evaluate(probe, "node-a", plan or PLAN, HOSTS, links=LINKS if links is None else links, **more)
    return [finding["message"] for finding in found if finding["severity"] == severity]


def lend(device, borrower="node-b", name="scratch"):
    return {"grants": [{"name": name, "device": device, "borrower": borrower}], "borrows": []}


def only(messages, *words):
    assert len(messages) == 1, messages
    assert messages[0].startswith("node-a: ")
    for word in words:
        assert word in messages[0]
