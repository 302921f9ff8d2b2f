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
    assert kept.parse(kept.render([DISK], kept.FIELDS)) == [DISK]
    assert all(json.loads(line) for line in text.splitlines())


def test_a_run_renews_what_its_scenarios_have_seen_on_its_kernels():
    card = {**DISK, "device": "card"}
    others = [{**DISK, "kernel": "2.0"}, {**DISK, "scenario": "long"}]
    assert kept.renew([DISK, *others], [card], SCENARIOS) == [*others, card]


def test_without_a_run_all_is_kept():
    assert kept.renew([DISK], [], SCENARIOS) == [DISK]


def test_scenarios_that_are_no_more_are_forgotten():
    assert kept.renew([DISK, {**DISK, "scenario": "gone"}], [], SCENARIOS) == [DISK]


def begins(kernel, commit, scenario="default"):
    return {"begins": scenario, "kernel": kernel, "commit": commit, "date": f"day of {commit}"}


def ends(kernel, scenario="default"):
    return {"ends": scenario, "kernel": kernel}


def seen(record, commit):
    return {**record, "commit": commit, "date": f"day of {commit}"}


def test_a_file_says_when_each_record_was_seen():
    record = seen(DISK, "c1")
    assert kept.parse(kept.render([{**record, "release": "1.0.7"}])) == [record]
    assert kept.parse(kept.render([record], kept.FIELDS)) == [DISK]
    # What is not known is empty.
    assert kept.parse(kept.render([DISK])) == [{**DISK, "commit": "", "date": ""}]


def test_when_it_was_seen_is_no_difference():
    assert kept.render([seen(DISK, "c1")], kept.FIELDS) == kept.render([seen(DISK, "c2"), DISK], kept.FIELDS)
    assert kept.render([seen(DISK, "c1")]) != kept.render([seen(DISK, "c2")])


def test_the_last_run_on_each_kernel():
    card, old = {**DISK, "device": "card"}, {**DISK, "kernel": "0.9"}
    lines = [
        begins("1.0", "c1"),
        DISK,
        ends("1.0"),
        begins("0.9", "c1"),
        old,
        # Of two runs side by side lines alternate.
        begins("1.0", "c2"),
        {**old, "device": "card"},
        card,
        ends("1.0"),
        ends("0.9"),
    ]
    assert kept.last_run(lines) == [seen(card, "c2"), seen(old, "c1"), seen({**old, "device": "card"}, "c1")]


def test_a_run_that_has_not_passed_says_nothing():
    assert kept.last_run([begins("1.0", "c1"), DISK]) == []
    assert kept.last_run([]) == []
    # One that passed before is the last one.
    passed = [begins("1.0", "c1"), DISK, ends("1.0")]
    card = {**DISK, "device": "card"}
    assert kept.last_run([*passed, begins("1.0", "c2"), card, begins("1.0", "c3")]) == [seen(DISK, "c1")]
    # So what was kept of the scenario is kept on.
    assert kept.renew([DISK], kept.last_run([begins("1.0", "c1"), card]), SCENARIOS) == [DISK]


def test_a_run_that_has_passed_without_having_seen_anything():
    assert kept.last_run([begins("1.0", "c1"), DISK, ends("1.0"), begins("1.0", "c2"), ends("1.0")]) == []


def test_the_beginning_is_added(tmp_path):
    directory = tmp_path / "new" / "matrix"
    kept.begin(directory, "default", "1.0", "c1", "day of c1")
    with open(directory / "default.jsonl", "a", encoding="utf-8") as handle:
        handle.write(json.dumps(DISK) + "\n")
    kept.begin(directory, "default", "2.0", "c2", "day of c2")
    text = (directory / "default.jsonl").read_text()
    assert kept.parse(text) == [begins("1.0", "c1"), DISK, begins("2.0", "c2")]
    assert kept.last_run(kept.parse(text)) == []
    kept.end(directory, "default", "1.0")
    text = (directory / "default.jsonl").read_text()
    assert kept.last_run(kept.parse(text)) == [seen(DISK, "c1")]


def test_what_is_not_known_to_have_been_seen_was_seen_before_today():
    dated = kept.dated([DISK, seen(DISK, "c1")], "2026-01-31")
    assert dated == [{**DISK, "commit": "unknown", "date": "before 2026-01-31"}, seen(DISK, "c1")]
    # Another day that is not said anew.
    assert kept.dated(kept.parse(kept.render(dated)), "2026-12-31") == kept.parse(kept.render(dated))


def test_a_run_renews_when_it_was_seen():
    assert kept.renew([seen(DISK, "c1")], [seen(DISK, "c2")], SCENARIOS) == [seen(DISK, "c2")]


def passed(part, time, commit="c"):
    return {"part": part, "commit": commit, "time": time, "seconds": 60}


def test_the_newest_of_each_part():
    records = [
        passed("b", "2026-01-02"),
        passed("a", "2026-01-01"),
        passed("b", "2026-01-01"),
        passed("a", "2026-01-03"),
    ]
    assert kept.newest(records, ["a", "b", "c"]) == [passed("a", "2026-01-03"), passed("b", "2026-01-02")]
    assert kept.newest(records, ["b"]) == [passed("b", "2026-01-02")]
    assert kept.newest([], ["a"]) == []
    # At the same time: that which was noted last.
    assert kept.newest([passed("a", "2026", "c1"), passed("a", "2026", "c2")], ["a"]) == [passed("a", "2026", "c2")]


def test_the_file_of_parts():
    records = [passed("b", "2026-01-02"), {**passed("a", "2026-01-01"), "more": 1}]
    text = kept.render(records, kept.PART_FIELDS)
    assert kept.parse(text) == [passed("a", "2026-01-01"), passed("b", "2026-01-02")]
