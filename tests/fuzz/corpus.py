# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus of a fuzzer as a text file, an input in each line, in hexadecimal; as libFuzzer wants it, a file for each.

Usage: corpus.py unpack FILE DIRECTORY | corpus.py pack FILE DIRECTORY
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def main() -> None:
    """Do what the words say."""
    action, name, place = sys.argv[1:]
    file, directory = Path(name), Path(place)
    if action == "pack":
        inputs = sorted(path.read_bytes().hex() for path in directory.iterdir())
        file.write_text("".join(f"{line}\n" for line in inputs), encoding="ascii")
        return
    directory.mkdir(parents=True, exist_ok=True)
    for line in file.read_text(encoding="ascii").splitlines() if file.exists() else []:
        data = bytes.fromhex(line)
        (directory / hashlib.sha1(data).hexdigest()).write_bytes(data)  # as libFuzzer names it


if __name__ == "__main__":
    main()
