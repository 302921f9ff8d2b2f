# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The policy of a lease on the command line of `devlend`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from device_lending.asking import Document, seconds
from device_lending.policy import ATTACH_AGAIN, ON_LOSS, USUAL


def borrower(parser: argparse.ArgumentParser) -> None:
    """Tell the command line of what a borrower says."""
    parser.add_argument("--grace", type=seconds, metavar="S",
                        help="seconds to hand it over when its owner wants it back, if that gives more")  # fmt: skip
    parser.add_argument("--on-loss", choices=ON_LOSS,
                        help="end with a device that is lost, or wait for it (default: detach)")  # fmt: skip
    parser.add_argument("--attach-again", choices=ATTACH_AGAIN,
                        help="how often it is attached again by itself (default: always)")  # fmt: skip
    parser.add_argument("--driver", dest="driver_override", metavar="NAME",
                        help="the only driver that may have it, such as vfio-pci (default: any)")  # fmt: skip


def owner(parser: argparse.ArgumentParser) -> None:
    """Tell the command line of what an owner says."""
    parser.add_argument("--grace", type=seconds, metavar="S",
                        help="seconds its borrower has to hand it over (default: recall_grace)")  # fmt: skip


def wanted(options: argparse.Namespace, known: Sequence[Document]) -> Document:
    """What a person says of an attachment, and, where nothing is said, what is so now. `known` are the attachments
    with its name and owner."""
    usual = USUAL.document()
    now = {key: known[0].get(key, value) for key, value in usual.items()} if known else usual
    said = {key: getattr(options, key) for key in usual}
    policy = {**now, **{key: value for key, value in said.items() if value is not None}}
    return {key: value for key, value in policy.items() if value != usual[key]}
