# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a filter says of input that is not for it: its own name, what is wrong, and what to write.

Private to pcie.device_lending.
"""

from __future__ import annotations

import functools
import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import kind

Filter = t.TypeVar("Filter", bound=t.Callable[..., t.Any])


class InputError(ValueError):
    """What a filter was given is not for it; the message names it and says what to write."""


def explained(gives: str) -> t.Callable[[Filter], Filter]:
    """Have a filter fail in words, and not with what its code stumbled over.

    gives: whose data the filter takes. What is wrong within these data is told as Python says it, beside that.
    """

    def decorate(function: Filter) -> Filter:
        @functools.wraps(function)
        def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
            try:
                return function(*args, **kwargs)
            except InputError as exc:
                raise AnsibleFilterError(f"{function.__name__}: {exc}.") from None
            except (KeyError, TypeError, AttributeError) as exc:
                raise AnsibleFilterError(f"{function.__name__}: the input is not what {gives}: {exc!r}") from exc

        return t.cast("Filter", wrapper)

    return decorate


def a_mapping(what: str, value: t.Any, instead: str) -> t.Mapping[str, t.Any]:
    """Return a mapping as it is; instead: what to write where it is none. Raises InputError."""
    if not isinstance(value, t.Mapping):
        raise InputError(f"{what} is {kind(value)}; {instead}")
    return value


def a_list(what: str, value: t.Any) -> list[t.Any]:
    """Return a list; a text is one of its letters to Python, and nothing that anybody meant. Raises InputError."""
    if isinstance(value, (str, t.Mapping)) or not isinstance(value, t.Iterable):
        raise InputError(f"{what} is {kind(value)}; write a list")
    return list(value)


def one_of(what: str, value: t.Any, choices: t.Sequence[str]) -> str:
    """Return one of some words. Raises InputError."""
    if value not in choices:
        raise InputError(f"{what} is {kind(value)}; write one of {', '.join(choices)}")
    return str(value)


def hosts_of(hostvars: t.Any, what: str, hosts: t.Any) -> list[str]:
    """Return names of hosts as a list; all of them have variables, which are not looked at. Raises InputError."""
    known = a_mapping("the input", hostvars, "write hostvars in front of the filter")
    names = a_list(what, hosts)
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise InputError(f"{what}: {kind(name)} is no host of the inventory")
    return names


def a_plan(value: t.Any) -> t.Mapping[str, t.Any]:
    """Return the plan of a host as it is. Raises InputError."""
    instead = "write what leases_for_host gives"
    for part in ("grants", "borrows"):
        if part not in a_mapping("plan", value, instead):
            raise InputError(f"plan has no '{part}'; {instead}")
        a_list(f"plan.{part}", value[part])
    return value
