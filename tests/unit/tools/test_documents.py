# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of users: where they begin, each is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("start", ["README.md", "docs/docsite/rst/guide.rst"])
def test_each_document_is_named_where_readers_begin(start):
    assert set(re.findall(r"docs/([\w-]+\.md)", (ROOT / start).read_text(encoding="utf-8"))) >= set(DOCUMENTS)
