# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the one shared list of leases into what one host has to grant and to borrow. Pure: no I/O, no facts.

This plugin util is private to pcie.device_lending.
"""

from __future__ import annotations

import difflib
import re
import typing as t

VARIABLE = "device_lending_leases"

LEASE_KEYS = ("name", "owner", "device", "borrower")
# What may be left out.
LEASE_OPTIONS = ("reserve",)
SELECTOR_FORMS = (
    "{'address': '0000:03:00.0'}, {'serial': '…'}, {'vendor': '8086', 'device': '0a54'} "
    "or {'physical_function': {…}, 'index': 0}"
)
INDEX_MAX = 65535

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]\Z")
_SHORT_ADDRESS = re.compile(r"[0-9a-f]{2}:[01][0-9a-f]\.[0-7]\Z")
_ID = re.compile(r"[0-9a-f]{4}\Z")


class PlanError(ValueError):
    """The list of leases cannot be planned; the message names the variable, the lease and what to do."""


def plan_for_host(leases: t.Any, host: str, hosts: t.Any) -> dict[str, list[dict[str, t.Any]]]:
    """Return ``{"grants": [...], "borrows": [...]}`` of ``host``, both sorted by name.

    The whole list is checked on every host, so that all hosts of a play agree on whether it is right.
    """
    known = _hosts(hosts)
    if host not in known:
        raise PlanError(
            f"{VARIABLE}: host '{host}' is not one of the fabric's hosts ({_listing(known)}). "
            "Add it to the inventory group of NTB-connected hosts, or run the play on that group only."
        )
    grants = []
    borrows = []
    for lease in normalise(leases, known):
        if lease["owner"] == host:
            grants.append({key: value for key, value in lease.items() if key != "owner"})
        elif lease["borrower"] == host:
            borrows.append({"name": lease["name"], "owner": lease["owner"]})
    return {"grants": grants, "borrows": borrows}


def normalise(leases: t.Any, known: t.Collection[str]) -> list[dict[str, t.Any]]:
    """Check every lease against the others and the known hosts; return them in canonical form, sorted by name."""
    if leases is None:
        return []
    if not isinstance(leases, (list, tuple)):
        raise PlanError(f"{VARIABLE} must be a list of leases, not {_kind(leases)}.")
    by_name: dict[str, int] = {}
    by_device: dict[tuple[str, str], str] = {}
    result = []
    for index, item in enumerate(leases, start=1):
        lease = _lease(item, index, known)
        name, owner = lease["name"], lease["owner"]
        if name in by_name:
            raise PlanError(
                f"{VARIABLE}: entries {by_name[name]} and {index} are both named '{name}'. "
                "Names identify leases on every host: give each its own."
            )
        by_name[name] = index
        device = describe_selector(lease["device"])
        other = by_device.setdefault((owner, device), name)
        if other != name:
            raise PlanError(
                f"{VARIABLE}: leases '{other}' and '{name}' both lend device {device} of host '{owner}'. "
                "A device has one borrower at a time: remove one of them."
            )
        result.append(lease)
    return sorted(result, key=lambda lease: lease["name"])


def describe_selector(device: t.Mapping[str, t.Any]) -> str:
    """Say in one word which device a selector means; equal for equal selectors."""
    if "index" in device:
        return f"virtual function {device['index']} of {describe_selector(device['physical_function'])}"
    if "address" in device:
        return device["address"]
    if "serial" in device:
        return f"with serial {device['serial']}"
    return f"{device['vendor']}:{device['device']}"


def _lease(item: t.Any, index: int, known: t.Collection[str]) -> dict[str, t.Any]:
    if not isinstance(item, t.Mapping):
        raise PlanError(f"{VARIABLE}: entry {index} is {_kind(item)}; a lease is a mapping of {', '.join(LEASE_KEYS)}.")
    where = f"{VARIABLE}: lease '{item['name']}'" if isinstance(item.get("name"), str) else f"{VARIABLE}: entry {index}"
    for key in item:
        if key not in (*LEASE_KEYS, *LEASE_OPTIONS):
            raise PlanError(f"{where} has the unknown key '{key}'{_near(str(key), (*LEASE_KEYS, *LEASE_OPTIONS))}.")
    for key in LEASE_KEYS:
        if item.get(key) in (None, ""):
            raise PlanError(f"{where} has no '{key}'; a lease needs {', '.join(LEASE_KEYS)}.")
    name = item["name"]
    if not isinstance(name, str) or not _NAME.match(name):
        raise PlanError(
            f"{VARIABLE}: entry {index} has the name {name!r}; use up to 63 letters, digits, '.', '_' and '-', "
            "starting with a letter or digit (quote it if it is a number)."
        )
    for role in ("owner", "borrower"):
        peer = item[role]
        if not isinstance(peer, str):
            raise PlanError(f"{where}: {role} is {_kind(peer)}; it must be the inventory name of a host.")
        if peer not in known:
            raise PlanError(
                f"{where}: {role} '{peer}' is not one of the fabric's hosts ({_listing(known)})"
                f"{_near(peer, known)}. Use the host's inventory name, and make sure it is in the group."
            )
    if item["owner"] == item["borrower"]:
        raise PlanError(
            f"{where}: owner and borrower are both '{item['owner']}'. "
            "A host uses its own devices without a lease: remove the entry or name another borrower."
        )
    reserve = item.get("reserve", False)
    if not isinstance(reserve, bool):
        raise PlanError(f"{where}: reserve is {_kind(reserve)}; write true or false.")
    return {
        "name": str(name),
        "owner": str(item["owner"]),
        "device": _selector(item["device"], f"{where}, host '{item['owner']}'"),
        "borrower": str(item["borrower"]),
        **({"reserve": True} if reserve else {}),
    }


def _selector(device: t.Any, where: str) -> dict[str, t.Any]:
    if not isinstance(device, t.Mapping):
        raise PlanError(f"{where}: device is {_kind(device)}; write one of {SELECTOR_FORMS}.")
    keys = set(device)
    if keys == {"address"}:
        return {"address": _address(device["address"], where)}
    if keys == {"serial"}:
        serial = device["serial"]
        if not isinstance(serial, str) or not serial.strip():
            raise PlanError(f"{where}: device serial is {_kind(serial)}; write the serial number in quotes.")
        return {"serial": str(serial).strip()}
    if keys == {"vendor", "device"}:
        return {key: _pci_id(device[key], key, where) for key in ("vendor", "device")}
    if keys == {"physical_function", "index"}:
        index = device["index"]
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index <= INDEX_MAX:
            raise PlanError(f"{where}: device index {index!r} is not the number of a virtual function, counted from 0.")
        physical = _selector(device["physical_function"], where)
        if "index" in physical:
            raise PlanError(f"{where}: a virtual function has no virtual functions; name a physical one.")
        return {"physical_function": physical, "index": int(index)}
    found = ", ".join(sorted(str(key) for key in keys)) or "nothing"
    raise PlanError(f"{where}: device has {found}; write exactly one of {SELECTOR_FORMS}.")


def _address(value: t.Any, where: str) -> str:
    if not isinstance(value, str):
        raise PlanError(
            f"{where}: device address is {_kind(value)}. YAML reads an unquoted PCI address as a number in base 60: "
            'put it in quotes, as in address: "0000:03:00.0".'
        )
    address = str(value).strip().lower()
    if _SHORT_ADDRESS.match(address):
        raise PlanError(f"{where}: device address '{value}' has no domain; write '0000:{address}'.")
    if not _ADDRESS.match(address):
        raise PlanError(
            f"{where}: device address '{value}' is not a PCI address; "
            "write domain:bus:slot.function as `lspci -D` shows it, such as '0000:03:00.0'."
        )
    return address


def _pci_id(value: t.Any, key: str, where: str) -> str:
    # An unquoted 8086 arrives as a number; four decimal digits are unambiguous, anything else has lost something.
    text = str(value).strip().lower() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    text = text[2:] if text.startswith("0x") else text
    if not _ID.match(text):
        raise PlanError(
            f"{where}: device {key} {value!r} is not a PCI id; write four hexadecimal digits in quotes, "
            f'as `lspci -n` shows them, such as {key}: "8086".'
        )
    return text


def _hosts(hosts: t.Any) -> t.Collection[str]:
    if isinstance(hosts, str) or not isinstance(hosts, t.Iterable):
        raise PlanError(f"hosts must be the list of the fabric's hosts, not {_kind(hosts)}; pass groups['…'].")
    return {str(host) for host in hosts}


def _kind(value: t.Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string '{value}'"
    if isinstance(value, t.Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"


def _listing(names: t.Iterable[str], limit: int = 8) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:limit]) or "none"
    return shown if len(ordered) <= limit else f"{shown} and {len(ordered) - limit} more"


def _near(word: str, choices: t.Iterable[str]) -> str:
    close = difflib.get_close_matches(word, sorted(choices), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
