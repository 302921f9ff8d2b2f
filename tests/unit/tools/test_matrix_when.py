# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When what the page says was seen: the part of it that says so, and what git knows of it."""

from __future__ import annotations

import json
import re
import shutil
import sys

import pytest

from tools.matrix import __main__ as matrix
from tools.matrix import kept, revision, when

DISK = {
    "kernel": "6.12",
    "scenario": "default",
    "bridge": "amd",
    "owner_iommu": "none",
    "borrower_iommu": "none",
    "device": "nvme",
    "interrupts": "msi-x",
    "dma": "direct",
}


# -- the part of the page ----------------------------------------------------------------------------------------------


def seen(scenario, commit, kernel="1.0"):
    return {**DISK, "kernel": kernel, "scenario": scenario, "commit": commit, "date": f"day of {commit}"}


def rows(records, parts=(), passed=(), older=lambda commit, paths: False):
    """The cells of both tables."""
    text = when.section(records, parts, passed, older)
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "at commit" not in line]


def test_each_scenario_on_each_kernel_once():
    records = [seen("b", "c2"), seen("a", "c1", "2.0"), {**seen("b", "c2"), "device": "card"}, seen("a", "c1")]
    assert rows(records) == [
        ["1.0", "a", "day of c1", "c1", ""],
        ["1.0", "b", "day of c2", "c2", ""],
        ["2.0", "a", "day of c1", "c1", ""],
    ]


def test_what_was_seen_before_the_code_changed_is_marked():
    asked = []

    def older(commit, paths):
        asked.append((commit, paths))
        return commit == "c1"

    assert [row[-1] for row in rows([seen("a", "c1"), seen("b", "c2")], older=older)] == ["**older**", ""]
    assert asked == [
        ("c1", ["kmod", "lab/ntb", "daemon", "plugins/module_utils/_pci", "molecule/a"]),
        ("c2", ["kmod", "lab/ntb", "daemon", "plugins/module_utils/_pci", "molecule/b"]),
    ]


def test_parts_of_the_long_tier():
    passed = [
        {"part": "load", "commit": "c1", "time": "2026-01-31T10:11:12Z", "seconds": 1170},
        {"part": "gone", "commit": "c1", "time": "2026-01-31T10:11:12Z", "seconds": 1},
        {"part": "7.2", "commit": "c2", "time": "2026-02-01T00:00:00Z", "seconds": 600},
    ]
    asked = []

    def older(commit, paths):
        asked.append(paths)
        return commit == "c1"

    assert rows([], ["load", "fabrics", "7.2"], passed, older) == [
        ["load", "2026-01-31", "c1", "20", "**older**"],
        ["fabrics", "never", "", "", ""],
        ["7.2", "2026-02-01", "c2", "10", ""],
    ]
    assert asked == [list(when.CODE)] * 2


def test_rows_have_as_many_cells_as_their_headings():
    passed = [{"part": "a", "commit": "c", "time": "2026-01-31T10:11:12Z", "seconds": 1}]
    lines = [
        line for line in when.section([seen("a", "c")], ["a", "b"], passed, lambda *_: True).splitlines() if "|" in line
    ]
    assert {line.count("|") for line in lines} == {6}
    assert len(lines) == 7


def test_a_page_with_this_part_and_without():
    page = "# Heading\n\n## Linux 1.0\n\n| a |\n"
    section = when.section([seen("a", "c1")], ["load"], [], lambda *_: True)
    assert section.endswith("|\n")
    assert when.without(f"{page}\n{section}") == page
    assert when.without(page) == page
    assert when.without("") == "\n"


# -- what git says -----------------------------------------------------------------------------------------------------


def test_the_commit_that_is_checked_out(git):
    first = git("kmod/a.c")
    assert re.fullmatch("[0-9a-f]{12}", first)
    assert revision.commit(git.root) == first
    (git.root / "new").touch()
    assert revision.commit(git.root) == first + "+"
    second = git("new")
    assert revision.commit(git.root) == second != first


def test_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision.commit(tmp_path) == revision.UNKNOWN


def test_what_was_seen_before_a_change_is_older(git):
    before = git("kmod/a.c")
    other = git("docs/a.md")
    changed = git("daemon/a.py")
    after = git("docs/b.md")
    paths = ["kmod", "daemon"]
    assert revision.is_older(git.root, before, paths)
    assert revision.is_older(git.root, other, paths)
    assert not revision.is_older(git.root, changed, paths)
    assert not revision.is_older(git.root, after, paths)
    assert not revision.is_older(git.root, before, ["kmod"])
    assert not revision.is_older(git.root, after + "+", paths)
    assert revision.is_older(git.root, before + "+", paths)
    assert not revision.is_older(git.root, before, ["nothing/there"])


def test_what_was_seen_who_knows_when_is_older(git):
    git("kmod/a.c")
    assert revision.is_older(git.root, "unknown", ["kmod"])
    assert revision.is_older(git.root, "0123456789ab", ["kmod"])


def test_what_was_seen_in_another_history_is_older(git):
    git("docs/a.md")
    git.run("checkout", "--quiet", "-b", "side")
    side = git("docs/b.md")
    git.run("checkout", "--quiet", "main")
    git("kmod/a.c")
    assert revision.is_older(git.root, side, ["kmod"])
    assert not revision.is_older(git.root, side, ["docs/a.md"])


def test_what_differs_from_the_commit(git):
    git("lab/a.py")
    assert not revision.is_changed(git.root, ["lab"])
    (git.root / "docs").touch()
    assert not revision.is_changed(git.root, ["lab"])
    (git.root / "lab" / "new").touch()
    assert revision.is_changed(git.root, ["lab"])
    assert not revision.is_changed(git.root, ["molecule"])


def test_without_git_nobody_knows_that_nothing_differs(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision.is_changed(tmp_path, ["lab"])


def test_the_day_and_the_time():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", revision.now())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", revision.today())


# -- comparing and writing ---------------------------------------------------------------------------------------------


@pytest.fixture(name="run")
def run_fixture(git, monkeypatch, capsys):
    """Return a function that runs the command in a checkout with two scenarios; it returns its status and what it says."""
    root = git.root
    for name in ("RUNS", "KEPT", "PAGE", "SCENARIOS", "LONG_RUNS", "LONG_KEPT"):
        monkeypatch.setattr(matrix, name, root / getattr(matrix, name).relative_to(matrix.ROOT))
    monkeypatch.setattr(matrix, "ROOT", root)
    monkeypatch.setattr(matrix, "_yaml", lambda name: {"nvme": "a disk"} if "devices" in name else [{"why": "no time"}])
    monkeypatch.setattr(revision, "today", lambda: "2026-01-31")
    for scenario in ("default", "other"):
        git(f"molecule/{scenario}/molecule.yml")
    git("kmod/a.c")
    git("docs/lab.md")
    matrix.RUNS.mkdir(parents=True)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tools.matrix", *words])
        status = matrix.main()
        return status, capsys.readouterr().out

    return run


def ran(scenario, commit, *records, date="2026-01-30"):
    kept.begin(matrix.RUNS, scenario, "6.12", commit, date)
    with open(matrix.RUNS / f"{scenario}.jsonl", "a", encoding="utf-8") as handle:
        for record in records:
            handle.write(json.dumps({**record, "scenario": scenario, "release": "6.12.1"}) + "\n")
    kept.end(matrix.RUNS, scenario, "6.12")


def test_what_is_written_is_what_was_seen(run, git):
    commit = git("docs/a.md")
    ran("default", commit, DISK)
    assert run()[0] == 1
    assert not matrix.PAGE.exists()
    status, said = run("--write")
    assert (status, said) == (0, "seen in this checkout: default on 6.12\n")
    assert kept.parse(matrix.KEPT.read_text()) == [{**DISK, "commit": commit, "date": "2026-01-30"}]
    assert matrix.LONG_KEPT.read_text() == ""
    page = matrix.PAGE.read_text()
    assert f"| 6.12 | default | 2026-01-30 | {commit} |  |" in page
    assert "| load | never |" in page
    assert page.count(when.HEADING) == 1
    assert run() == (0, "seen in this checkout: default on 6.12\n")


def test_commit_and_date_are_not_compared(run, git):
    ran("default", git("docs/a.md"), DISK)
    run("--write")
    ran("default", git("docs/b.md"), DISK, date="2026-02-01")
    before = matrix.PAGE.read_text(), matrix.KEPT.read_text()
    assert run()[0] == 0
    assert (matrix.PAGE.read_text(), matrix.KEPT.read_text()) == before
    run("--write")
    assert "2026-02-01" in matrix.PAGE.read_text()
    assert [record["date"] for record in kept.parse(matrix.KEPT.read_text())] == ["2026-02-01"]


def test_what_was_seen_otherwise_is_shown(run, git):
    ran("default", git("docs/a.md"), DISK)
    run("--write")
    ran("default", git("docs/b.md"), {**DISK, "dma": "bounce"})
    status, said = run()
    assert status == 1
    assert '+{"kernel": "6.12", "scenario": "default",' in said
    assert "docs/matrix.md is not what was seen" in said
    assert "+++ what was seen" in said


def test_a_page_that_does_not_fit_its_records_is_shown(run, git):
    ran("default", git("docs/a.md"), DISK)
    run("--write")
    matrix.PAGE.write_text(matrix.PAGE.read_text().replace("MSI-X", "MSI"))
    assert run()[0] == 1


def test_records_from_before_they_had_a_date(run, git):
    matrix.KEPT.write_text(json.dumps({**DISK, "scenario": "other"}) + "\n")
    matrix.PAGE.write_text(matrix._page([{**DISK, "scenario": "other"}]))
    assert run() == (0, "seen in this checkout: nothing\n")
    run("--write")
    assert "| 6.12 | other | before 2026-01-31 | unknown | **older** |" in matrix.PAGE.read_text()
    assert run()[0] == 0


def test_a_change_makes_what_was_seen_before_it_older(run, git):
    commit = git("docs/a.md")
    ran("default", commit, DISK)
    ran("other", commit, DISK)
    git("molecule/other/converge.yml")
    run("--write")
    page = matrix.PAGE.read_text()
    assert f"| 6.12 | default | 2026-01-30 | {commit} |  |" in page
    assert f"| 6.12 | other | 2026-01-30 | {commit} | **older** |" in page


def test_parts_that_have_passed_are_written(run, git):
    commit = git("docs/a.md")
    ran("default", commit, DISK)

    def passed(part, time, where):
        line = {"part": part, "commit": commit, "time": time, "seconds": 1200}
        with open(where, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")
        return line

    passed("load", "2026-01-01T00:00:00Z", matrix.LONG_KEPT)
    old = passed("fabrics", "2026-01-01T00:00:00Z", matrix.LONG_KEPT)
    passed("gone", "2026-01-01T00:00:00Z", matrix.LONG_KEPT)
    new = passed("load", "2026-01-02T00:00:00Z", matrix.LONG_RUNS)
    run("--write")
    assert kept.parse(matrix.LONG_KEPT.read_text()) == [old, new]
    assert f"| load | 2026-01-02 | {commit} | 20 |  |" in matrix.PAGE.read_text()
    # It is no difference that one has passed since.
    passed("load", "2026-01-03T00:00:00Z", matrix.LONG_RUNS)
    assert run()[0] == 0
    shutil.rmtree(matrix.RUNS)
    run("--write")
    assert "| load | 2026-01-03 |" in matrix.PAGE.read_text()


def test_records_that_nobody_can_explain(run, git, capsys):
    ran("default", git("docs/a.md"), {**DISK, "device": "tape"})
    assert run()[0] == 1
    assert run("--write")[0] == 1
    assert not matrix.PAGE.exists()
