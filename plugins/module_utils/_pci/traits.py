# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What a function's own driver tells of it, which nobody sees while the function has another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .blocks import heads
from .sysfs import Roots, functions_of, text

# Of the attribute `size` of a disk, whatever the disk's own are (Documentation/ABI/stable/sysfs-block).
_SECTOR = 512


@dataclass(frozen=True)
class Traits:
    """Serial number and model, octets of all disks together, their WWIDs, and the addresses of network interfaces.

    Empty is what it does not have, or nobody has seen.
    """

    serial: str | None = None
    model: str | None = None
    size: int | None = None
    wwid: tuple[str, ...] = ()
    mac: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "wwid": list(self.wwid), "mac": list(self.mac)}

    def stored(self) -> dict[str, Any]:
        """What there is of it, for JSON; read() takes it back."""
        return {key: value for key, value in self.document().items() if value not in (None, [])}


UNSEEN = Traits()


def read(document: Any) -> Traits:
    """What a document says of it; what makes no sense is left out."""
    if not isinstance(document, Mapping):
        return UNSEEN
    serial, model, size = (document.get(key) for key in ("serial", "model", "size"))
    return Traits(
        serial=serial if isinstance(serial, str) else None,
        model=model if isinstance(model, str) else None,
        size=size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None,
        wwid=_texts(document.get("wwid")),
        mac=_texts(document.get("mac")),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else ()


class Reader:
    """Reads traits of functions as they are at one moment: which disks and interfaces are whose is found out once."""

    def __init__(self, roots: Roots) -> None:
        self._sys = str(roots.sys)
        self._drives = functions_of(roots, "class/nvme")
        self._disks = functions_of(roots, "block")
        self._interfaces = functions_of(roots, "class/net")

    def of(self, address: str) -> Traits:
        """The traits of a function."""
        drives = [f"{self._sys}/class/nvme/{name}" for name in self._drives.get(address, ())]
        disks = [f"{self._sys}/block/{name}" for name in heads(self._disks.get(address, ()))]
        size = sum(_number(text(f"{disk}/size")) for disk in disks) * _SECTOR
        return Traits(
            serial=_first(f"{drive}/serial" for drive in drives),
            model=_first([*(f"{drive}/model" for drive in drives), *(f"{disk}/device/model" for disk in disks)]),
            size=size or None,
            wwid=_distinct(text(f"{disk}/wwid") or text(f"{disk}/device/wwid") for disk in disks),
            mac=_distinct(self._mac(name) for name in self._interfaces.get(address, ())),
        )

    def _mac(self, name: str) -> str:
        home = f"{self._sys}/class/net/{name}"
        # Those of one bond all have its address.
        return text(f"{home}/bonding_slave/perm_hwaddr") or text(f"{home}/address")


def _first(paths: Iterable[str]) -> str | None:
    return next(filter(None, map(text, paths)), None)


def _distinct(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(filter(None, found))))


def _number(digits: str) -> int:
    return int(digits) if digits.isdecimal() else 0
