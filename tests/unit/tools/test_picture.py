# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the demo."""

from __future__ import annotations

from tools.demo.picture import lent, side_by_side


def test_all_lines_are_as_wide_as_the_boxes():
    lines = side_by_side(["a", "", "long line"], ["", "wire", "words on the way"], ["c", "", "d"]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "═ wire ═" in lines[2]


def test_it_says_what_is_lent():
    columns = lent(
        {"name": "scratch", "owner": "node-a", "borrower": "node-b", "device": {"serial": "S1"}},
        {"state": "ready", "windows": [{"size": 1 << 30}]},
        {"address": "0000:02:00.0"},
        {"address": "1ff00:00:00.0", "driver": "nvme", "nodes": ["/dev/nvme0n1"], "epoch": 7},
    )
    picture = side_by_side(*columns)
    for words in ("node-a (owner)", "link ready", "1ff00:00:00.0", "/dev/nvme0n1", "serial S1", "epoch 7", "1024 MiB"):
        assert words in picture
