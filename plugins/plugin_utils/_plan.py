# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn the one shared list of leases into what each host has to grant and to borrow. Pure: no I/O, no facts.

This plugin util is private to pcie.device_lending.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import typing as t

VARIABLE = "device_lending_leases"

LEASE_KEYS = ("name", "owner", "device", "borrower")
# What may be left out of a lease, by the side that is told it.
GRANT_OPTIONS = ("grace", "reserve", "hold")
BORROW_OPTIONS = ("on_loss", "attach_again")
LEASE_OPTIONS = ("grace", "reserve", "state", *BORROW_OPTIONS)
GRANT_KEYS = ("name", "device", "borrower", *GRANT_OPTIONS)
BORROW_KEYS = ("name", "owner", *BORROW_OPTIONS)
CHOICES = {"on_loss": ("detach", "wait"), "attach_again": ("always", "once", "never")}
# What a lease is to be. Without a word of it, one is present, and on hold where a person has put it so.
PRESENT, HELD, ABSENT = STATES = ("present", "held", "absent")
GRACE_MAX = 3600
SELECTOR_FORMS = (
    "{'address': '0000:03:00.0'}, {'serial': '…'}, {'vendor': '8086', 'device': '0a54'} "
    "or {'physical_function': {…}, 'index': 0}"
)
INDEX_MAX = 65535

Plan = t.Dict[str, t.List[t.Dict[str, t.Any]]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]\Z")
_SHORT_ADDRESS = re.compile(r"[0-9a-f]{2}:[01][0-9a-f]\.[0-7]\Z")
_ID = re.compile(r"[0-9a-f]{4}\Z")
_NUMBER = re.compile(r"[0-9]{1,5}\Z")


class PlanError(ValueError):
    """The list of leases cannot be planned; the message names the variable, the lease and what to do."""


class Plans:
    """What each host of the fabric grants and borrows: the list is checked once, then each host is one look-up.

    The whole list is checked whichever host asks, so that all hosts of a play agree on whether it is right. Raises
    PlanError where it is not. The time is linear in leases and hosts, but for one sort by name.
    """

    def __init__(self, leases: t.Any, hosts: t.Any) -> None:
        self.by_host: dict[str, Plan] = {host: {"grants": [], "borrows": []} for host in _hosts(hosts)}
        self.leases = normalise(leases, self.by_host)
        for lease in self.leases:
            state = lease.get("state")
            if state == ABSENT:
                continue
            hold = {"hold": state == HELD} if state else {}
            self.by_host[lease["owner"]]["grants"].append(_of({**lease, **hold}, GRANT_KEYS))
            if state != HELD:
                self.by_host[lease["borrower"]]["borrows"].append(_of(lease, BORROW_KEYS))

    def of(self, host: str) -> Plan:
        """Return ``{"grants": [...], "borrows": [...]}`` of ``host``, both sorted by name."""
        if host not in self.by_host:
            raise outside(host, self.by_host)
        return self.by_host[host]

    def digest(self) -> str:
        """Return what is equal for lists that mean the same, in whatever order and form they are written."""
        return hashlib.sha256(json.dumps(self.leases, sort_keys=True).encode()).hexdigest()


def outside(host: str, hosts: t.Iterable[str]) -> PlanError:
    """Return the error of a host that is none of the fabric's."""
    return PlanError(
        f"{VARIABLE}: host '{host}' is not one of the fabric's hosts ({_listing(hosts)}). "
        "Add it to the inventory group of NTB-connected hosts, or run the play on that group only."
    )


def plan_for_host(leases: t.Any, host: str, hosts: t.Any) -> Plan:
    """Return ``{"grants": [...], "borrows": [...]}`` of ``host`` alone, both sorted by name."""
    return Plans(leases, hosts).of(host)


def differences(plans: t.Mapping[str, t.Mapping[str, t.Any]]) -> str:
    """Say which hosts see which list, or why there is no plan for one, or nothing where all see the same.

    plans: by host, each with the ``digest`` of its host's list, the number of its ``leases`` and its ``error`` or None.
    """
    lists: dict[tuple[str, str | None], list[str]] = {}
    for host, plan in plans.items():
        lists.setdefault((plan["digest"], plan["error"]), []).append(host)
    if len(lists) < 2:
        return ""
    seen = "; ".join(f"{_listing(hosts)}: {_seen(plans[hosts[0]])}" for hosts in lists.values())
    return f"{VARIABLE} is not the same for all hosts ({seen}). Set it once, where all hosts of the group see it."


def _seen(plan: t.Mapping[str, t.Any]) -> str:
    return plan["error"] or f"{plan['leases']} lease{'' if plan['leases'] == 1 else 's'}"


def _of(lease: dict[str, t.Any], keys: t.Iterable[str]) -> dict[str, t.Any]:
    return {key: lease[key] for key in keys if key in lease}


def normalise(leases: t.Any, known: t.Collection[str]) -> list[dict[str, t.Any]]:
    """Check every lease against the others and the known hosts; return them in canonical form, sorted by name."""
    if leases is None:
        raise PlanError(
            f"{VARIABLE} is empty, which is not the same as no leases: all entries may be commented out by mistake. "
            "Write [] to have all devices given back."
        )
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
        other = name if lease.get("state") == ABSENT else by_device.setdefault((owner, device), name)
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
        if key not in LEASE_KEYS + LEASE_OPTIONS:
            raise PlanError(f"{where} has the unknown key '{key}'{_near(str(key), LEASE_KEYS + LEASE_OPTIONS)}.")
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
        **_policy(item, f"{where}, host '{item['owner']}'", f"{where}, host '{item['borrower']}'"),
        **({"reserve": True} if reserve else {}),
        **_choices(item, where, {"state": STATES}),
    }


def _policy(item: t.Mapping[str, t.Any], at_owner: str, at_borrower: str) -> dict[str, t.Any]:
    """What is given of a lease's policy."""
    given: dict[str, t.Any] = {}
    grace = item.get("grace")
    if grace is not None:
        if not isinstance(grace, (int, float)) or isinstance(grace, bool) or not 0 <= grace <= GRACE_MAX:
            raise PlanError(f"{at_owner}: grace is {_kind(grace)}; write a number of seconds from 0 to {GRACE_MAX}.")
        given["grace"] = float(grace)
    return {**given, **_choices(item, at_borrower, CHOICES)}


def _choices(item: t.Mapping[str, t.Any], where: str, of: t.Mapping[str, tuple[str, ...]]) -> dict[str, t.Any]:
    """What is given of keys that have one of some words each."""
    given: dict[str, t.Any] = {}
    for key, choices in of.items():
        value = item.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or value not in choices:
            near = _near(value, choices) if isinstance(value, str) else ""
            raise PlanError(f"{where}: {key} is {_kind(value)}; write one of {', '.join(choices)}{near}.")
        given[key] = str(value)
    return given


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
        index = _index(device["index"], where)
        physical = _selector(device["physical_function"], where)
        if "index" in physical:
            raise PlanError(f"{where}: a virtual function has no virtual functions; name a physical one.")
        return {"physical_function": physical, "index": index}
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


def _index(value: t.Any, where: str) -> int:
    # What comes from -e or out of a template is a string.
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not _NUMBER.match(text) or int(text) > INDEX_MAX:
        raise PlanError(f"{where}: device index {value!r} is not the number of a virtual function, counted from 0.")
    return int(text)


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
