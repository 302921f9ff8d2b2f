# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes of a copy of the collection what is published: Galaxy shows README.md alone, so its links get whole addresses.

python -m tools.published DIRECTORY
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

# What follows "](" where a link leads to a file beside the text.
_BESIDE = re.compile(r"(?<=\]\()(?![a-z]+:|#)(?=[^)\s])")


def with_whole_links(text: str, address: str) -> str:
    """A Markdown text whose links to files lead to those below an address."""
    return _BESIDE.sub(address.rstrip("/") + "/", text)


def main(directory: Path) -> None:
    """Write README.md anew, if galaxy.yml says where the documentation is; links lead into the archive otherwise."""
    address = yaml.safe_load((directory / "galaxy.yml").read_text(encoding="utf-8")).get("documentation")
    if address:
        readme = directory / "README.md"
        readme.write_text(with_whole_links(readme.read_text(encoding="utf-8"), address), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
