# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""A file that is put in place in one step: whoever reads it sees the old one or all of the new."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replaced(path: Path, mode: int) -> Iterator[IO[bytes]]:
    """What is written becomes the file when the block ends well, and nothing is left of it else. Raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as handle:
            os.fchmod(descriptor, mode)
            yield handle
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
