# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of what was seen to work."""

from __future__ import annotations

import pytest

from tools.matrix import grid
from tools.matrix.page import page

AXES = grid.Axes(("1.0", "2.0"), ("x", "x-small"), ("none-none", "none-intel"), {"disk": "a disk", "card": "a card"})
DISK = {
    "scenario": "default",
    "device": "disk",
    "kernel": "1.0",
    "bridge": "x",
    "owner_iommu": "none",
    "borrower_iommu": "none",
    "interrupts": "msi-x",
    "dma": "direct",
}
OLD = {"kernel": ["2.0"], "why": "too new"}
CARD = {"device": ["card"], "why": "no\n  card"}


def render(records, *reasons):
    seen = grid.ran(records, AXES)
    return page(AXES, seen, grid.explain(AXES, seen, grid.rules(reasons, AXES)))


def test_all_combinations_of_families_and_iommus():
    assert grid.bridges(["a", "b"]) == ["a", "a-small", "a-one", "b", "b-small", "b-one"]
    assert grid.iommus(["none", "amd"]) == ["none-none", "none-amd", "amd-none", "amd-amd"]


def test_what_ran_says_how_and_who_has_seen_it():
    bounced = {**DISK, "interrupts": "msi-relayed", "dma": "bounce"}
    text = render([DISK, {**DISK, "scenario": "another"}, bounced, DISK], {"why": "no time"})
    assert "| disk | MSI-X, direct DMA (another, default)<br>relayed MSI, bounced DMA (default) |" in text


def test_the_order_of_records_does_not_matter():
    records = [DISK, {**DISK, "scenario": "another"}, {**DISK, "dma": "bounce"}]
    assert render(records, {"why": "no time"}) == render(records[::-1], {"why": "no time"})


def test_columns_and_rows_without_anything_are_folded():
    text = render([DISK], OLD, {"iommu": ["none-intel"], "why": "no IOMMU"}, CARD, {"why": "no time"})
    first, second = text.split("## Linux ")[1:]
    assert "| device | x<br>none → none | x-small<br>none → none |" in first
    assert "| disk | MSI-X, direct DMA (default) | [1] |" in first
    assert "* [1] no time" in first
    assert "* x, x-small with none → intel: no IOMMU" in first
    assert "* card: no card" in first
    assert "| card |" not in first
    assert "* x, x-small with any IOMMU or none: too new" in second
    assert "| device |" not in second


def test_the_first_rule_wins():
    text = render([DISK], CARD, {"bridge": ["x-small"], "why": "small"}, {"why": "no time"})
    assert "* card: no card" not in text.split("## Linux ")[0]
    cell = grid.Cell("1.0", "x-small", "none-none", "card")
    seen = grid.ran([DISK], AXES)
    assert grid.explain(AXES, seen, grid.rules([CARD, {"why": "no time"}], AXES))[cell] == "no card"
    assert grid.explain(AXES, seen, grid.rules([{"why": "no time"}], AXES))[cell] == "no time"


def test_a_combination_without_record_and_reason_is_an_error():
    with pytest.raises(grid.MatrixError, match=r"neither run nor explained: 1.0, x, none-none, card"):
        render([DISK], OLD)


def test_a_reason_of_nothing_is_an_error():
    with pytest.raises(grid.MatrixError, match=r"reason 2 \(never\) is the reason of nothing"):
        render([DISK], {"why": "no time"}, {"kernel": ["1.0"], "why": "never"})
    only_what_ran = {
        "kernel": ["1.0"],
        "bridge": ["x"],
        "iommu": ["none-none"],
        "device": ["disk"],
        "why": "it ran, though",
    }
    with pytest.raises(grid.MatrixError, match="reason 1"):
        render([DISK], only_what_ran, {"why": "no time"})


@pytest.mark.parametrize("wrong", [{"bridge": ["z"], "why": "?"}, {"host": ["a"], "why": "?"}, {"device": ["disk"]}])
def test_a_reason_that_cannot_be_meant_is_an_error(wrong):
    with pytest.raises(grid.MatrixError, match="reason 1"):
        grid.rules([wrong], AXES)


def test_a_record_with_unknown_words_is_an_error():
    with pytest.raises(grid.MatrixError, match="unknown device: tape"):
        grid.ran([{**DISK, "device": "tape"}], AXES)
