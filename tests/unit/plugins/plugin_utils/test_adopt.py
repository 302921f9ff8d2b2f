# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of what the daemons hold: the planner makes of it what they hold, and what it cannot say is told."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.pcie.device_lending.plugins.module_utils._lease_forms import said
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.identifiers import serial
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.selector import key
from ansible_collections.pcie.device_lending.plugins.plugin_utils._adopt import Note, adopt
from ansible_collections.pcie.device_lending.plugins.plugin_utils._adopt_file import render
from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import VARIABLE, Plans

HOSTS = ["node-a", "node-b", "node-c", "10", "no"]


def grant(name="x", borrower="node-b", state="leased", **more):
    """A grant as ownerd shows it."""
    usual = {"device": {"serial": "S1"}, "grace": None, "reserve": False}
    about = {"address": "0000:03:00.0", "reserved": False, "message": "", "state": state}
    return {"name": name, "borrower": borrower, **usual, **about, **more}


def attachment(name="x", owner="node-a", **more):
    """An attachment as borrowerd shows it, as far as it matters."""
    policy = {"grace": None, "on_loss": "detach", "attach_again": "always", "spent": False}
    return {"name": name, "owner": owner, "state": "attached", "message": "", **policy, **more}


def heard(**hosts):
    """What each host has said; one without a word has nothing, and None is a daemon that did not say."""
    found = {host: {"grants": [], "attachments": []} for host in HOSTS}
    return {**found, **{name.replace("_", "-"): sides for name, sides in hosts.items()}}


def both(granted, wanted):
    """A grant of node-a, and an attachment of node-b, or none."""
    return heard(
        node_a={"grants": [granted], "attachments": []},
        node_b={"grants": [], "attachments": [wanted] if wanted else []},
    )


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)
DIGITS = st.sampled_from("0123456789abcdef")
ADDRESSES = st.from_regex(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", fullmatch=True)
SERIALS = st.from_regex(r"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True).filter(
    lambda text: not any(mark in text for mark in ("{{", "{%", "{#"))
)
PHYSICAL = (
    st.fixed_dictionaries({"address": ADDRESSES})
    | st.fixed_dictionaries({"serial": SERIALS.map(serial)})
    | st.fixed_dictionaries({which: st.text(DIGITS, min_size=4, max_size=4) for which in ("vendor", "device")})
)
DEVICES = PHYSICAL | st.fixed_dictionaries({"physical_function": PHYSICAL, "index": st.integers(0, 65535)})
GRACES = st.none() | st.floats(0, 3600)
ON_LOSS = st.sampled_from(["detach", "wait"])
AGAIN = st.sampled_from(["always", "once", "never"])
DRIVERS = st.sampled_from([None, "vfio-pci", "uio_pci_generic"])


@st.composite
def fabrics(draw):
    """Draw what all daemons hold, where a list can say all of it."""
    found = heard()
    used = set()
    for name in draw(st.lists(NAMES, unique=True, max_size=8)):
        owner, borrower = draw(st.permutations(HOSTS))[:2]
        device = draw(DEVICES.filter(lambda device, owner=owner: (owner, key(device)) not in used))
        used.add((owner, key(device)))
        is_borrowed = draw(st.booleans())
        state = draw(st.sampled_from(["leased", "offered", "held", "unresolved"])) if is_borrowed else "held"
        about = {"device": device, "grace": draw(GRACES), "reserve": draw(st.booleans()), "any": draw(st.booleans())}
        found[owner]["grants"].append(grant(name, borrower, state, **about))
        if is_borrowed:
            policy = {"on_loss": draw(ON_LOSS), "attach_again": draw(AGAIN), "driver_override": draw(DRIVERS)}
            wanted = attachment(name, owner, **policy)
            found[borrower]["attachments"].append(wanted)
    return found


def held_by_daemons(sides):
    """What the daemons of a host hold, as a plan has it; on hold for the list is what nobody borrows."""
    granted = [said(item, ("name", "device", "borrower", "grace", "reserve", "any")) for item in sides["grants"]]
    wanted = [said(item, ("name", "owner", "on_loss", "attach_again", "driver_override")) for item in sides["attachments"]]
    return {
        "grants": sorted(granted, key=lambda item: item["name"]),
        "borrows": sorted(wanted, key=lambda item: item["name"]),
    }


def written(leases, notes=(), silent=()):
    """The list as Ansible reads it from the file."""
    return yaml.safe_load(render(leases, notes, silent))[VARIABLE]


@given(fabrics())
def test_the_plan_of_what_is_written_is_what_the_daemons_hold(found):
    leases, notes = adopt(found, HOSTS)
    assert notes == []
    plans = Plans(written(leases), HOSTS)
    for host, sides in found.items():
        plan = plans.of(host)
        holds = {item["name"]: item.pop("hold") for item in plan["grants"] if "hold" in item}
        assert plan == held_by_daemons(sides)
        unborrowed = {
            item["name"]
            for item in sides["grants"]
            if item["name"] not in {other["name"] for other in found[item["borrower"]]["attachments"]}
        }
        assert holds == dict.fromkeys(unborrowed, True)


FEW = st.sampled_from(["one", "two", "three"])
SOME = st.sampled_from([*HOSTS[:3], "node-x"])
TROUBLED = st.fixed_dictionaries(
    {
        host: st.fixed_dictionaries(
            {
                "grants": st.none()
                | st.lists(
                    st.builds(
                        grant,
                        FEW,
                        SOME,
                        st.sampled_from(["leased", "offered", "held", "unresolved", "quarantined"]),
                        device=st.sampled_from(
                            [{"serial": "S1"}, {"serial": "s 1"}, {"serial": "{{ x }}"}, {"serial": "S2"}]
                        ),
                    ),
                    unique_by=lambda item: item["name"],
                    max_size=3,
                ),
                "attachments": st.none()
                | st.lists(
                    st.builds(attachment, FEW, SOME, grace=GRACES, spent=st.booleans()),
                    unique_by=lambda item: (item["name"], item["owner"]),
                    max_size=3,
                ),
            }
        )
        for host in HOSTS[:3]
    }
)


@given(TROUBLED)
def test_whatever_they_hold_is_in_the_list_as_it_is_or_told(found):
    leases, notes = adopt(found, HOSTS)
    plans = Plans(written(leases, notes, HOSTS), HOSTS)
    told = {note[:3] for note in notes}
    for host, sides in found.items():
        held = held_by_daemons({what: items or [] for what, items in sides.items()})
        for item in held["grants"]:
            if (item["name"], host, item["borrower"]) not in told:
                assert item in [said(planned, item) for planned in plans.of(host)["grants"]]
        for item in held["borrows"]:
            if (item["name"], item["owner"], host) not in told:
                assert item in plans.of(host)["borrows"]
    # And nothing else is in it.
    assert {(lease["name"], lease["owner"]) for lease in leases} <= {
        (item["name"], host) for host, sides in found.items() for item in sides["grants"] or ()
    }


@pytest.mark.parametrize(
    ("found", "reason", "failing"),
    [
        (
            both(grant(state="offered"), None),
            "node-b does not borrow it; devlend borrow x on node-b",
            ("node-a", "node-b"),
        ),
        (both(grant(state="quarantined"), None), "grants it (quarantined)", ("node-a", "node-b")),
        (both(grant(borrower="node-c"), attachment()), "node-a does not grant it to node-b", ("node-b",)),
        (both(grant(borrower="node-x"), None), "borrower 'node-x' is not one of the fabric's hosts", ("node-a",)),
        (both(grant(device={"serial": "{{ x }}"}), attachment()), "as a template", ("node-a",)),
        (
            heard(node_b={"grants": [], "attachments": [attachment(owner="node-x")]}),
            "node-x did not say which",
            ("node-b",),
        ),
    ],
)
def test_what_no_list_can_say_is_left_out_and_fails_on_those_who_hold_it(found, reason, failing):
    leases, notes = adopt(found, HOSTS)
    assert leases == []
    (note,) = [note for note in notes if reason in note.reason]
    assert note.reason.startswith("left out: ")
    assert note.hosts == failing


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (attachment(grace=5.0), "a grace of 5 seconds"),
        (attachment(state="waiting", spent=True), "at a person's word only"),
        (attachment(state="failed"), "at a person's word only"),
    ],
)
def test_what_a_run_would_change_at_the_borrower_is_written_and_told(wanted, reason):
    leases, (note,) = adopt(both(grant(), wanted), HOSTS)
    assert [lease["name"] for lease in leases] == ["x"]
    assert reason in note.reason
    assert note.hosts == ("node-b",)


@pytest.mark.parametrize("state", ["leased", "held"])
def test_a_lease_whose_borrower_did_not_answer_is_written_as_its_owner_has_it(state):
    found = heard(
        node_a={"grants": [grant(state=state)], "attachments": []}, node_b={"grants": None, "attachments": None}
    )
    (lease,), (note,) = adopt(found, HOSTS)
    assert lease == {"name": "x", "owner": "node-a", "device": {"serial": "S1"}, "borrower": "node-b"}
    assert note.reason == "node-b did not say whether it borrows it, nor with which on_loss and attach_again"
    assert note.hosts == ()


def test_of_leases_that_exclude_each_other_none_is_written():
    found = heard(
        node_a={
            "grants": [grant(), grant("y", device={"serial": "S2"}), grant("z", device={"serial": "s 2"})],
            "attachments": [],
        },
        node_b={"grants": [], "attachments": [attachment(name) for name in "xyz"] + [attachment(owner="node-c")]},
        node_c={"grants": [grant()], "attachments": []},
    )
    leases, notes = adopt(found, HOSTS)
    assert leases == []
    assert [(note.name, note.owner) for note in notes] == [
        ("x", "node-a"),
        ("x", "node-c"),
        ("y", "node-a"),
        ("z", "node-a"),
    ]
    assert ["of that name" in note.reason for note in notes] == [True, True, False, False]


def test_no_text_of_a_daemon_ends_a_comment_or_is_a_template():
    note = Note("x", "node-a", "node-b", "why\nowned: {{ lookup('pipe', 'id') }}\x85more: \u2028\x00", (), None)
    text = render([], [note], [])
    assert yaml.safe_load(text) == {VARIABLE: []}
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == ["---", f"{VARIABLE}: []"]


def test_what_is_left_out_can_be_taken_in_by_taking_the_marks_of_its_comment_away():
    _leases, notes = adopt(both(grant(state="offered"), None), HOSTS)
    comment = [line for line in render([], notes, []).splitlines() if line.startswith("#   ")]
    assert yaml.safe_load("\n".join(line.removeprefix("#") for line in comment)) == [notes[0].lease]
