# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose certificate it is, with the standard library alone: RFC 5280, 4.1. Private to the collection."""

from __future__ import annotations

import base64
import binascii
import re
import typing as t

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_COMMON_NAME = bytes.fromhex("550403")
_VERSION = 0xA0


def signer(path: str) -> str | None:
    """Return the common name of the certificate in a file, PEM or DER; None where there is none that can be read."""
    try:
        with open(path, "rb") as handle:
            return common_name(handle.read())
    except OSError:
        return None


def common_name(octets: bytes) -> str | None:
    """Return the common name of the subject of a certificate, or None."""
    pem = _PEM.search(octets)
    try:
        certificate = base64.b64decode(pem[1]) if pem else octets
        dummy, content = next(_parts(certificate))
        dummy, signed = next(_parts(content))
        fields = [part for part in _parts(signed) if part[0] != _VERSION]
        # Serial number, algorithm, issuer, validity, subject.
        for dummy, names in _parts(fields[4][1]):
            for dummy, pair in _parts(names):
                (dummy, kind), (dummy, value) = _parts(pair)
                if kind == _COMMON_NAME:
                    return value.decode("utf-8", "replace")
    except (ValueError, IndexError, StopIteration, binascii.Error):
        return None
    return None


def _parts(octets: bytes) -> t.Iterator[tuple[int, bytes]]:
    """The tag and content of each value in a sequence of DER values: X.690, 8.1 and 10.1."""
    place = 0
    while place < len(octets):
        tag, length, place = octets[place], octets[place + 1], place + 2
        if length & 0x80:
            count = length & 0x7F
            length, place = int.from_bytes(octets[place : place + count], "big"), place + count
        if place + length > len(octets):
            raise ValueError("cut off")
        yield tag, octets[place : place + length]
        place += length
