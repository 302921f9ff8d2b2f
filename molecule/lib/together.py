# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Several things at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def together(*works: Callable[[], Any], meanwhile: Callable[[], None] | None = None) -> list[Any]:
    """Do all of it at once, and something else over and over until all are through; what they return.

    What one of them raises is raised here, after all have ended.
    """
    with ThreadPoolExecutor(max_workers=len(works)) as pool:
        futures = [pool.submit(work) for work in works]
        while meanwhile is not None and not all(future.done() for future in futures):
            meanwhile()
    return [future.result() for future in futures]
