# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What the network interfaces of a function are used for."""

from __future__ import annotations

import socket
import struct

from .sysfs import Roots, lines, link_name, members, names, text

_IFF_UP = 0x1
_SIOCGIFADDR = 0x8915


def uses(roots: Roots, address: str, behind: bool = False) -> list[str]:
    """Why interfaces of the function are in use, in words; see members() for `behind`."""
    found = []
    for name in members(roots, "class/net", address, behind):
        base = roots.sys / "class/net" / name
        master = link_name(base / "master")
        if master:
            found.append(f"network interface {name} is part of {master}")
        # VLANs, macvlans and the like, whoever has them.
        found += [f"network interface {name} carries {entry[6:]}" for entry in names(base) if entry.startswith("upper_")
                  and entry[6:] != master]  # fmt: skip
        try:
            up = int(text(base / "flags") or "0", 16) & _IFF_UP
        except ValueError:
            up = 0
        if not up:
            continue
        if _default_route(roots, name):
            found.append(f"network interface {name} carries the default route")
        else:
            addresses = interface_addresses(roots, name)
            if addresses:
                found.append(f"network interface {name} is up with address {addresses[0]}")
    return found


def _default_route(roots: Roots, name: str) -> bool:
    for line in lines(roots.proc / "net/route")[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[0] == name and fields[1] == fields[7] == "00000000":
            return True
    for line in lines(roots.proc / "net/ipv6_route"):
        fields = line.split()
        # The kernel keeps a reject route ::/0 on lo; only routes over this interface count.
        if len(fields) == 10 and fields[9] == name and fields[0] == "0" * 32 and fields[1] == "00":
            return True
    return False


def interface_addresses(roots: Roots, name: str) -> list[str]:
    """Addresses of an interface apart from IPv6 link-local ones."""
    found = []
    if roots.proc.samefile("/proc"):
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                found.append(socket.inet_ntoa(answer[20:24]))
            except OSError:
                pass  # no IPv4 address
    for line in lines(roots.proc / "net/if_inet6"):
        fields = line.split()
        if len(fields) == 6 and fields[5] == name and not fields[0].startswith("fe8"):
            found.append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[0])))
    return found
