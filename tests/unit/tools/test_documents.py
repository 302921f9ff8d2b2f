# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of users: each is named where they begin, links lead to sections that are there, reasons are those given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("start", ["README.md", "docs/docsite/rst/guide.rst"])
def test_each_document_is_named_where_readers_begin(start):
    assert set(re.findall(r"docs/([\w-]+\.md)", (ROOT / start).read_text(encoding="utf-8"))) >= set(DOCUMENTS)


@pytest.mark.parametrize("start", ["README.md", "docs/docsite/rst/guide.rst"])
def test_each_playbook_is_named_there(start):
    """ansible-doc has no pages for playbooks."""
    text = (ROOT / start).read_text(encoding="utf-8")
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    assert {name for name in playbooks if not re.search(rf"`{name}`|pcie\.device_lending\.{name}`", text)} == set()


@pytest.mark.parametrize("kind", ["modules", "lookup", "inventory"])
def test_the_readme_has_what_own_plays_can_use(kind):
    """Filters are for the roles, but two."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = {path.stem for path in (ROOT / "plugins" / kind).glob("*.py")} - {"source_archive"}
    assert {name for name in names if f"| `{name}`" not in text} == set()


def sections(path: Path) -> set[str]:
    """What links call the sections of a document."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{document}" for document in DOCUMENTS)])
def test_links_lead_to_sections_that_are_there(name):
    path = ROOT / name
    for target, section in re.findall(r"\]\((?!https:)([^)#]*)#([^)]+)\)", path.read_text(encoding="utf-8")):
        assert section in sections(path.parent / target if target else path), f"{name} links to {target}#{section}"


def test_the_reasons_of_a_quarantine_are_those_that_are_given():
    text = (ROOT / "docs/how-to.md").read_text(encoding="utf-8")
    table = text[text.index("### In quarantine") : text.index("Look at the kernel log")]
    told = [part.strip() for row in re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE) for part in row.split("…")]
    files = [*(ROOT / "kmod").glob("*.c"), *(ROOT / "daemon/device_lending").rglob("*.py")]
    sources = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert len(told) > 4
    assert [part for part in told if part not in sources] == []
