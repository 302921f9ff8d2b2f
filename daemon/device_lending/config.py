# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The daemons' configuration file, checked on loading."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_lending.pci import identifiers

HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
PCI_ADDRESS = identifiers.CANONICAL

_KEYS = ("host", "links", "lease_ttl", "recall_grace", "first_use", "hook_timeout")


class ConfigError(Exception):
    """The configuration file cannot be used; the text says which key and why."""


@dataclass(frozen=True)
class LinkConfig:
    """One cable: the peer expected at the other end of an NTB function."""

    ntb: str
    peer: str


@dataclass(frozen=True)
class Config:
    """Settings of both daemons of a host. Times are in seconds.

    `links` is None when the file leaves it out: then the first name that is announced behind an NTB function is taken
    for good, or with `first_use` "refuse" none that no person has named.
    `lease_ttl` is how long a lease outlives a dead link, `recall_grace` how long a borrower may
    take to hand a recalled device back before it is taken by force, `hook_timeout` how long a hook may run.
    """

    host: str
    links: tuple[LinkConfig, ...] | None = None
    lease_ttl: float = 120.0
    recall_grace: float = 20.0
    first_use: str = "trust"
    hook_timeout: float = 30.0


def load(path: str) -> Config:
    """Read and check the file at `path`. Without the file the host name of the machine is used.

    Raises ConfigError.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config(host=socket.gethostname().split(".")[0])
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    import yaml  # only here: a start without a file need not load it

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    try:
        return parse(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse(document: Any) -> Config:
    """Turn the loaded YAML document into a Config. Raises ConfigError."""
    if not isinstance(document, dict):
        raise ConfigError("the top level must be a mapping with at least the key 'host'")
    unknown = sorted(set(map(str, document)) - set(_KEYS))
    if unknown:
        raise ConfigError(f"unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}")
    host = document.get("host")
    if not isinstance(host, str) or not HOST_NAME.fullmatch(host):
        raise ConfigError(
            f"host must be this host's name in the inventory (letters, digits, '.', '_', '-'), not {host!r}"
        )
    return Config(
        host=host,
        links=_links(document.get("links"), host),
        lease_ttl=_seconds(document, "lease_ttl", Config.lease_ttl, 1, 86400),
        recall_grace=_seconds(document, "recall_grace", Config.recall_grace, 0, 3600),
        first_use=_first_use(document.get("first_use", Config.first_use)),
        hook_timeout=_seconds(document, "hook_timeout", Config.hook_timeout, 1, 3600),
    )


def _links(value: Any, host: str) -> tuple[LinkConfig, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise ConfigError("links must be a list of {ntb: PCI address, peer: host name}")
    links = []
    for number, item in enumerate(value):
        where = f"links[{number}]"
        if not isinstance(item, dict) or set(item) != {"ntb", "peer"}:
            raise ConfigError(f"{where} must have the keys ntb and peer and no others")
        ntb, peer = item["ntb"], item["peer"]
        try:
            ntb = identifiers.address(ntb, f"{where}.ntb")
        except identifiers.IdentifierError as error:
            raise ConfigError(str(error)) from error
        if not isinstance(peer, str) or not HOST_NAME.fullmatch(peer):
            raise ConfigError(f"{where}.peer must be a host name, not {peer!r}")
        if peer == host:
            raise ConfigError(f"{where}.peer is {peer!r}, this host itself")
        links.append(LinkConfig(ntb, peer))
    return tuple(links)


def _first_use(value: Any) -> str:
    if value not in ("trust", "refuse"):
        raise ConfigError(f"first_use must be trust or refuse, not {value!r}")
    return str(value)


def _seconds(document: dict[str, Any], key: str, default: float, least: float, most: float) -> float:
    value = document.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ConfigError(f"{key} must be a number of seconds from {least:g} to {most:g}, not {value!r}")
    return float(value)
