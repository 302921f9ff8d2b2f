# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter C(adopted_leases): the shared list of leases, from what the daemons of all hosts say."""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.plugin_utils._adopt import adopt
from ansible_collections.pcie.device_lending.plugins.plugin_utils._adopt_file import line_of, one_line, render
from ansible_collections.pcie.device_lending.plugins.plugin_utils._fabric_status import not_asked
from ansible_collections.pcie.device_lending.plugins.plugin_utils._filter_input import a_list, explained, hosts_of

# A fact of the role leases: what fabric_info gives, or why it gives nothing.
FABRIC = "__leases_fabric"
SIDES = {"grants": "ownerd", "attachments": "borrowerd"}


@explained("fabric_info gives")
def adopted_leases(hostvars, hosts, asked):
    """See the documentation beside this file."""
    hosts = a_list("hosts", hosts)
    answers = {host: hostvars[host].get(FABRIC, {}) for host in hosts_of(hostvars, "asked", asked)}
    heard = {host: _heard(answers[host]) for host in answers}
    silent = {host: _why(answers[host]) for host in answers if None in heard[host].values()}
    limited = {host: "it was left out of this run" for host in hosts if host not in answers}
    leases, notes = adopt(heard, hosts)
    failed = {host: [why] for host, why in silent.items()}
    for note in notes:
        for host in note.hosts:
            failed.setdefault(host, []).append(line_of(note))
    told = sorted({**silent, **limited}.items())
    return {
        "leases": leases,
        "text": render(leases, notes, dict(told)),
        "lines": ["host %s: %s" % item for item in told] + [line_of(note) for note in notes],
        "failed": failed,
        "heard": any(side is not None for sides in heard.values() for side in sides.values()),
    }


def _heard(answer):
    return {what: answer[what] if answer.get(daemon, {}).get("available") else None for what, daemon in SIDES.items()}


def _why(answer):
    daemons = [answer[daemon] for daemon in SIDES.values() if daemon in answer]
    if daemons:
        return one_line("; ".join(daemon["message"] for daemon in daemons if not daemon["available"]))
    return not_asked(answer)


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """Name the filters."""
        return {"adopted_leases": adopted_leases}
