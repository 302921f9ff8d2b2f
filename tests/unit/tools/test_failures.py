# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of failures: each row is a function and a line of the page, and the soak draws rows by a seed."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import yaml

from tools.failures import __main__ as failures
from tools.failures.page import newest, page, texts
from tools.soak import __main__ as soak
from tools.soak import plan

PLAN = yaml.safe_load((failures.SCENARIO / "table.yml").read_text(encoding="utf-8"))
TABLE = PLAN["failures"]
NAMES = [row["name"] for row in TABLE]
SEEN = {"name": "link_lost", "release": "6.0", "commit": "abc", "lasted": 3.0, "attached again": 7.5}


def test_each_row_is_whole_and_has_its_function() -> None:
    source = (failures.SCENARIO.parent / "lib" / "failing.py").read_text(encoding="utf-8")
    functions = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert len(set(NAMES)) == len(NAMES)
    for row in TABLE:
        assert set(row) - {"offered", "blinds"} == {"name", "done", "after", "writer", "within"}
        assert row["writer"] in ("ends", "stalls", "goes_on")
        assert row["name"] in functions


def test_the_page_has_each_row_with_what_was_measured() -> None:
    text = page(TABLE, {"link_lost": SEEN}, PLAN["ends"])
    rows = {line.split(" | ")[0][2:]: line for line in text.splitlines() if line.startswith("| ")}
    for row in TABLE:
        measured = "lasted 3 s, attached again after 7.5 s" if row["name"] == "link_lost" else "never run"
        limit = f"{row['within']} s" + (", offered in 5 s" if "offered" in row else "")
        assert rows[row["done"]] == f"| {row['done']} | {row['after']} | {limit} | {measured} |"
    assert "Measured on 6.0, at abc." in text


def test_a_page_is_compared_without_its_times() -> None:
    before = page(TABLE, {"link_lost": SEEN}, PLAN["ends"])
    after = page(TABLE, {"link_lost": {**SEEN, "lasted": 4.0, "commit": "def"}}, PLAN["ends"])
    assert before != after
    assert texts(before) == texts(after)
    assert texts(before) != texts(page(TABLE[1:], {}, PLAN["ends"]))


def test_the_last_record_of_a_row_counts() -> None:
    assert newest([{**SEEN, "lasted": 1.0}, SEEN]) == {"link_lost": SEEN}


def test_a_seed_draws_the_same_rows_again() -> None:
    first, again, other = (
        [row["name"] for row in itertools.islice(plan.rows(TABLE, seed), 200)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert set(first) <= set(NAMES)


def test_what_boots_hosts_is_drawn_seldom() -> None:
    drawn = [row["name"] for row in itertools.islice(plan.rows(TABLE, 1), 2000)]
    boots = sum(plan.weight(name) == 1 for name in drawn)
    assert 0 < boots < len(drawn) / 4


def test_the_soak_brings_to_its_hosts_what_failures_run_there() -> None:
    brought = [Path(path) for path in soak.programs()]
    assert all(path.is_file() for path in brought)
    run = {
        name
        for module in ("failing.py", "journal.py")
        for name in re.findall(r"/root/(\w+[.]py)", (failures.SCENARIO.parent / "lib" / module).read_text(encoding="utf-8"))
    }
    assert run == {path.name for path in brought}
