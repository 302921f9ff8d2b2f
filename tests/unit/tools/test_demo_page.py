# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo makes of ansible-playbook's output."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from tools.demo.page import Page, listed, row

# Each line comes when the number before it says.
RECORDED = """\
0.0 [WARNING]: something that is of no interest here
0.1
0.1 PLAY [Say what will not work before anything is changed] ***********************
0.2
0.2 TASK [pcie.device_lending.preflight : Validating arguments against arg spec 'main' - Look before anything is changed] ***
0.3 ok: [node-a]
0.3 ok: [node-b]
0.3
0.3 TASK [pcie.device_lending.preflight : Look at the host] ************************
1.0 ok: [node-b]
1.1 ok: [node-a]
1.1
1.1 TASK [pcie.device_lending.preflight : Look at the build host] ******************
1.2 skipping: [node-b]
1.4 ok: [node-a -> builder(127.0.0.1)]
1.4
1.4 PLAY [Install the kernel modules] **********************************************
1.4
1.4 TASK [pcie.device_lending.kmod : Build once for each kernel] *******************
1.5 skipping: [node-b]
1.5 included: /collections/pcie/device_lending/roles/kmod/tasks/build.yml for node-a
1.5
1.5 TASK [pcie.device_lending.kmod : Know what has to be brought to the build host] ***
1.5 ok: [node-a]
1.5
1.5 TASK [pcie.device_lending.kmod : Build] ****************************************
34.0 changed: [node-a -> builder(127.0.0.1)]
34.0
34.0 TASK [pcie.device_lending.kmod : Fetch the modules to the controller] **********
34.2 changed: [node-a -> builder(127.0.0.1)] => (item=ntb/ntb.ko)
34.4 changed: [node-a -> builder(127.0.0.1)] => (item=ntb/ntb_hw_amd.ko)
34.6 changed: [node-a -> builder(127.0.0.1)] => (item=ntb_lend.ko)
34.6
34.6 TASK [pcie.device_lending.kmod : Install and load the modules] *****************
39.0 changed: [node-b]
41.6 changed: [node-a]
41.6
41.6 TASK [pcie.device_lending.kmod : Remove the modules of earlier versions] *******
41.6 skipping: [node-a]
41.6 skipping: [node-b]
42.0
42.0 RUNNING HANDLER [pcie.device_lending.daemon : Restart] *************************
43.0 changed: [node-b] => (item=one)
43.0 changed: [node-b] => (item=two)
43.0
43.0 PLAY [Give back what is no longer declared] ************************************
43.0
43.0 TASK [pcie.device_lending.leases : Release] ************************************
43.5 fatal: [node-a]: FAILED! =>
43.5     changed: true
43.5     msg: no matter
43.5 ...ignoring
44.0 ok: [node-b]
44.0
44.0 PLAY RECAP *********************************************************************
44.0 builder                    : ok=7    changed=5    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
44.0 node-a                     : ok=7    changed=5    unreachable=0    failed=0    skipped=1    rescued=0    ignored=1
"""
PRINTED = [
    "Say what will not work before anything is changed .................. nothing to change     1.3 s",
    "Install the kernel modules",
    "  Build ...................................................................... builder    32.5 s",
    "  Fetch the modules to the controller ........................................ builder     0.6 s",
    "  Install and load the modules ........................................ node-a, node-b     7.0 s",
    "  Restart ..................................................................... node-b     1.0 s",
    "  in all .................................................................................. 41.6 s",
    "Give back what is no longer declared ............................... nothing to change     1.0 s",
]


def fed(text, width=97):
    """Feed lines with their times; return what each made, and the page."""
    page = Page(width)
    return [page.feed(line.partition(" ")[2], float(line.split()[0])) for line in text.splitlines()], page


def squeezed(lines):
    """Lines without their filling."""
    return [re.sub(r"[. ]{3,}(?=\S)", " … ", line[2:] if line[:2] == "  " else line) for line in lines]


def test_one_line_for_each_task_that_changed_something():
    told, _page = fed(RECORDED)
    assert squeezed(chain(*told)) == squeezed(PRINTED)


def test_all_rows_are_as_wide_as_they_may_be():
    told, _page = fed(RECORDED)
    assert {len(line) for line in chain(*told) if line.endswith(" s")} == {97}


def test_a_task_is_told_when_the_next_begins():
    told, _page = fed(RECORDED)
    after = RECORDED.splitlines().index(
        "34.0 TASK [pcie.device_lending.kmod : Fetch the modules to the controller] **********"
    )
    assert [line.split()[0] for line in told[after]] == ["Install", "Build"]
    assert all(not lines for lines in told[:after] if lines != told[after] and "nothing to change" not in str(lines))


def test_what_runs():
    page = Page(90)
    assert page.running(0) == ""
    page.feed("PLAY [Attach] ****", 1)
    page.feed("TASK [pcie.device_lending.leases : Validating arguments against arg spec 'main'] ***", 1)
    assert page.running(2) == "Attach …"
    page.feed("TASK [pcie.device_lending.leases : Attach what is declared] ***", 2)
    assert page.running(14) == "Attach what is declared … 12 s"
    page.feed("PLAY RECAP *****", 15)
    assert page.running(16) == ""


def test_an_end_without_a_recap():
    told, page = fed("0 PLAY [Install] ***\n1 TASK [role : Bring it] ***\n2 changed: [node-a]")
    assert not any(told)
    assert squeezed(page.close(3)) == ["Install", "Bring it … node-a … 2.0 s", "in all … 3.0 s"]
    assert page.close(4) == []


@pytest.mark.parametrize("name", ["short", "a name of a task that says " * 5])
def test_a_row_is_as_wide_as_it_may_be(name):
    made = row(name, "node-a", 1.25, 80)
    assert len(made) == 80
    assert re.search(r" \.{3,} node-a     1\.[23] s$", made)


def test_many_hosts():
    assert listed(["d", "a", "c", "b", "e"]) == "a, b, c and 2 more"
