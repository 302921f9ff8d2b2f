# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file that has the plans of all hosts: who asks first makes it, and it says the same to all."""

from __future__ import annotations

import datetime
import multiprocessing

import pytest

from ansible_collections.pcie.device_lending.plugins.plugin_utils import _plan_file
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import Plans, judged
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan_file import as_text, planned

HOSTS = ["node-a", "node-b", "node-ü"]
LEASES = [
    {"name": "nvme", "owner": "node-a", "device": {"serial": "S1"}, "borrower": "node-b"},
    {"name": "nic", "owner": "node-ü", "device": {"serial": "U1"}, "borrower": "node-a"},
]


@pytest.fixture(name="made")
def made_fixture(monkeypatch):
    """Return a list with an entry for each time that plans are made."""
    times = []

    def plans(*arguments):
        times.append(arguments)
        return judged(*arguments)

    monkeypatch.setattr(_plan_file, "judged", plans)
    return times


def test_all_hosts_are_planned_once(tmp_path, made):
    text = as_text(LEASES)
    plans = Plans(LEASES, HOSTS)
    for host in [*HOSTS, *HOSTS]:
        found = planned(str(tmp_path), text, host, HOSTS)
        assert found == {**plans.of(host), "error": None, "digest": plans.digest(), "leases": 2}
    assert len(made) == 1


def test_what_leases_say_of_force_is_in_it_once_for_all_hosts(tmp_path):
    leases = [dict(LEASES[0], force=False), LEASES[1]]
    plans = Plans(leases, HOSTS)
    for host in HOSTS:
        found = planned(str(tmp_path), as_text(leases), host, HOSTS)
        assert found == {**plans.of(host), "error": None, "digest": plans.digest(), "leases": 2}
        assert found["force_of"] == {"nvme": False}
    (path,) = (path for path in tmp_path.iterdir() if path.suffix != ".lock")
    assert path.read_text(encoding="utf-8").count("force_of") == 1


def test_another_list_or_other_hosts_are_planned_anew(tmp_path, made):
    planned(str(tmp_path), as_text(LEASES), "node-a", HOSTS)
    assert planned(str(tmp_path), as_text(LEASES[:1]), "node-a", HOSTS)["borrows"] == []
    assert "'node-ü'" in planned(str(tmp_path), as_text(LEASES), "node-a", HOSTS[:2])["error"]
    assert len(made) == 3


def test_what_is_wrong_is_worked_out_once_as_well(tmp_path, made):
    text = as_text([dict(LEASES[0], borrower="node-x")])
    found = [planned(str(tmp_path), text, host, HOSTS) for host in HOSTS]
    assert len(made) == 1
    assert all("'node-x'" in plan["error"] and plan["grants"] == plan["borrows"] == [] for plan in found)
    assert found[0]["digest"] != planned(str(tmp_path), as_text(LEASES), "node-a", HOSTS)["digest"]


def test_a_host_outside_the_fabric_is_told_so(tmp_path):
    assert "host 'node-x' is not one of" in planned(str(tmp_path), as_text(LEASES), "node-x", HOSTS)["error"]


def _ask(directory, barrier, another, answers):
    made = []

    def plans(*arguments):
        made.append(arguments)
        # Time for another one to begin as well, if it can: it would end the wait.
        another.release()
        for _number in range(2):
            another.acquire(timeout=1)
        return judged(*arguments)

    _plan_file.judged = plans
    barrier.wait()
    found = planned(directory, as_text(LEASES), "node-a", HOSTS)
    answers.put((found["error"], len(found["grants"]), len(made)))


def test_of_processes_that_ask_at_once_one_plans(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, another, answers = context.Barrier(3), context.Semaphore(0), context.Queue()
    arguments = (str(tmp_path), barrier, another, answers)
    processes = [context.Process(target=_ask, args=arguments) for number in range(3)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for process in processes]
    for process in processes:
        process.join()
    assert [(error, grants) for error, grants, made in found] == [(None, 1)] * 3
    assert sum(made for error, grants, made in found) == 1


@pytest.mark.parametrize("mark", ["{{ owner }}", "{% if true %}", "{# no #}"])
def test_a_list_with_templates_is_left_to_ansible(mark):
    assert as_text([dict(LEASES[0], owner=mark)]) is None
    assert mark in as_text([dict(LEASES[0], owner=mark)], final=True)


def test_what_json_has_no_word_for_is_left_to_ansible_and_then_a_string():
    leases = [dict(LEASES[0], name=datetime.date(2026, 1, 2))]
    assert as_text(leases) is None
    assert '"2026-01-02"' in as_text(leases, final=True)
