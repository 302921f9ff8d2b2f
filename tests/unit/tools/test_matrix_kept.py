# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that are kept from run to run."""

from __future__ import annotations

import json

from tools.matrix import kept

DISK = {
    "kernel": "1.0",
    "scenario": "default",
    "bridge": "x",
    "owner_iommu": "none",
    "borrower_iommu": "none",
    "device": "disk",
    "interrupts": "msi-x",
    "dma": "direct",
}
SCENARIOS = {"default", "long"}


def test_a_file_has_each_record_once_in_order_and_nothing_that_changes_from_run_to_run():
    card = {**DISK, "device": "card", "release": "1.0.9"}
    text = kept.render([{**DISK, "release": "1.0.7"}, card, {**DISK, "release": "1.0.8"}])
    assert [record["device"] for record in kept.parse(text)] == ["card", "disk"]
    assert "release" not in text
    assert kept.parse(kept.render([DISK])) == [DISK]
    assert all(json.loads(line) for line in text.splitlines())


def test_a_run_renews_what_its_scenarios_have_seen_on_its_kernels():
    card = {**DISK, "device": "card"}
    others = [{**DISK, "kernel": "2.0"}, {**DISK, "scenario": "long"}]
    assert kept.renew([DISK, *others], [card], SCENARIOS) == [*others, card]


def test_without_a_run_all_is_kept():
    assert kept.renew([DISK], [], SCENARIOS) == [DISK]


def test_scenarios_that_are_no_more_are_forgotten():
    assert kept.renew([DISK, {**DISK, "scenario": "gone"}], [], SCENARIOS) == [DISK]
