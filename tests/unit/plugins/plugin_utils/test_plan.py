# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examples of the planner: what it returns, and what it says when it refuses."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.pcie.device_lending.plugins.plugin_utils._plan import (
    PlanError,
    Plans,
    differences,
    plan_for_host,
)

HOSTS = ["node-a", "node-b", "node-c"]


def lease(**changes):
    """Return a right lease, with changes."""
    result = {"name": "nvme", "owner": "node-a", "device": {"address": "0000:03:00.0"}, "borrower": "node-b"}
    result.update(changes)
    return result


def refused(leases, host="node-a", hosts=tuple(HOSTS)):
    """Return the message with which a plan is refused."""
    with pytest.raises(PlanError) as caught:
        plan_for_host(leases, host, hosts)
    return str(caught.value)


def test_owner_and_borrower_get_their_own_side():
    leases = [
        lease(name="z"),
        lease(name="a", owner="node-b", borrower="node-a", device={"serial": "S1"}),
        lease(name="m", device={"vendor": "8086", "device": "0A54"}, borrower="node-c"),
    ]
    assert plan_for_host(leases, "node-a", HOSTS) == {
        "grants": [
            {"name": "m", "device": {"vendor": "8086", "device": "0a54"}, "borrower": "node-c"},
            {"name": "z", "device": {"address": "0000:03:00.0"}, "borrower": "node-b"},
        ],
        "borrows": [{"name": "a", "owner": "node-b"}],
    }
    assert plan_for_host(leases, "node-c", HOSTS) == {"grants": [], "borrows": [{"name": "m", "owner": "node-a"}]}


def test_each_side_is_told_its_half_of_the_policy():
    leases = [lease(grace=60, on_loss="wait", attach_again="never"), lease(name="plain", device={"serial": "S1"})]
    device = {"address": "0000:03:00.0"}
    assert plan_for_host(leases, "node-a", HOSTS)["grants"] == [
        {"name": "nvme", "device": device, "borrower": "node-b", "grace": 60.0},
        {"name": "plain", "device": {"serial": "S1"}, "borrower": "node-b"},
    ]
    assert plan_for_host(leases, "node-b", HOSTS)["borrows"] == [
        {"name": "nvme", "owner": "node-a", "on_loss": "wait", "attach_again": "never"},
        {"name": "plain", "owner": "node-a"},
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"grace": "1m"}, "lease 'nvme', host 'node-a': grace is the string '1m'; write a number of seconds from 0 to 3600"),
        ({"grace": ""}, "grace is the string ''"),
        ({"grace": "nan"}, "grace is the string 'nan'"),
        ({"grace": [60]}, "grace is a list"),
        ({"grace": True}, "grace is the boolean true"),
        ({"grace": -1}, "grace is the number -1"),
        ({"grace": 3601}, "grace is the number 3601"),
        ({"on_loss": "detatch"}, "lease 'nvme', host 'node-b': on_loss is the string 'detatch'; write one of detach, wait; "
                                 "did you mean 'detach'?"),
        ({"attach_again": 1}, "attach_again is the number 1; write one of always, once, never"),
        ({"attach_agian": "once"}, "unknown key 'attach_agian'; did you mean 'attach_again'?"),
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused_on_every_host(change, expected):
    for host in HOSTS:
        assert expected in refused([lease(**change)], host)


def test_the_borrower_is_told_which_driver_may_have_it():
    leases = [
        lease(attach={"driver": "vfio-pci"}),
        lease(name="plain", device={"serial": "S1"}, attach={"driver": None}),
    ]
    assert plan_for_host(leases, "node-b", HOSTS)["borrows"] == [
        {"name": "nvme", "owner": "node-a", "driver_override": "vfio-pci"},
        {"name": "plain", "owner": "node-a"},
    ]
    assert all("driver_override" not in grant for grant in plan_for_host(leases, "node-a", HOSTS)["grants"])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (
            "vfio-pci",
            "lease 'nvme', host 'node-b': attach is the string 'vfio-pci'; write a mapping with driver, such as",
        ),
        ({}, "write a mapping with driver"),
        ({"driver": "nvme", "group": 1}, "write a mapping with driver"),
        ({"driver": "../nvme"}, "attach.driver is the string '../nvme'; write the name of a kernel driver"),
        ({"driver": 7}, "attach.driver is the number 7"),
        ({"driver": "-r"}, "attach.driver is the string '-r'"),
    ],
)
def test_a_driver_that_cannot_be_is_refused(how, expected):
    assert expected in refused([lease(attach=how)], "node-b")


@pytest.mark.parametrize(
    ("said", "meant"),
    [(True, True), (False, False), ("yes", True), ("no", False), ("False", False), (1, True), (0, False), (None, None)],
)
def test_force_of_a_lease_is_told_to_both_sides_and_to_all_others(said, meant):
    plans = Plans([lease(force=said), lease(name="plain", device={"serial": "S1"})], HOSTS)
    told = {} if meant is None else {"force": meant}
    for host, side in (("node-a", "grants"), ("node-b", "borrows")):
        found = [{key: item[key] for key in item if key == "force"} for item in plans.of(host)[side]]
        assert found == [told, {}]
    assert [plans.of(host).get("force_of") for host in HOSTS] == [None if meant is None else {"nvme": meant}] * 3


@pytest.mark.parametrize("state", ["present", "held", "absent"])
def test_force_counts_by_each_name_and_in_each_state(state):
    leases = [
        lease(force=True, state=state, formerly="scratch"),
        lease(name="pool", device={"class": "nvme"}, any=2, formerly="set", force="off", state=state),
    ]
    names = {"nvme": True, "scratch": True, "pool-1": False, "set-1": False, "pool-2": False, "set-2": False}
    assert plan_for_host(leases, "node-c", HOSTS) == {"grants": [], "borrows": [], "force_of": names}


@pytest.mark.parametrize("wrong", ["maybe", "", 2, 0.5, [True], {}])
def test_force_that_is_no_truth_value_is_refused_with_lease_and_hosts(wrong):
    said = refused([lease(force=wrong)], "node-c")
    assert said.startswith("device_lending_leases: lease 'nvme', hosts 'node-a' and 'node-b': force is ")
    assert said.endswith("; write true or false.")


def test_lists_that_differ_in_force_are_different():
    assert differences({"node-a": seen([lease(force=False)]), "node-b": seen([lease()])}) != ""
    assert differences({"node-a": seen([lease(force="yes")]), "node-b": seen([lease(force=True)])}) == ""


def test_a_key_of_the_policy_may_be_empty():
    assert plan_for_host([lease(grace=None, on_loss=None, attach_again=None)], "node-b", HOSTS)["borrows"] == [
        {"name": "nvme", "owner": "node-a"}
    ]


@pytest.mark.parametrize(("said", "planned"), [(True, {"reserve": True}), (False, {})])
def test_a_device_is_reserved_where_that_is_said(said, planned):
    grant = {"name": "nvme", "device": {"address": "0000:03:00.0"}, "borrower": "node-b", **planned}
    assert plan_for_host([lease(reserve=said)], "node-a", HOSTS)["grants"] == [grant]
    assert plan_for_host([lease(reserve=said)], "node-b", HOSTS)["borrows"] == [{"name": "nvme", "owner": "node-a"}]


@pytest.mark.parametrize("nothing", [[], ()])
def test_no_leases(nothing):
    assert plan_for_host(nothing, "node-a", HOSTS) == {"grants": [], "borrows": []}


def test_a_list_whose_entries_are_all_commented_out_is_refused():
    message = refused(yaml.safe_load("device_lending_leases:\n  # - name: nvme\n")["device_lending_leases"])
    assert "device_lending_leases is empty" in message
    assert "Write []" in message


def test_addresses_are_compared_in_canonical_form():
    upper = lease(name="upper", device={"address": "0000:AF:00.0"})
    lower = lease(name="lower", device={"address": "0000:af:00.0"}, borrower="node-c")
    message = refused([upper, lower])
    assert "leases 'upper' and 'lower' both lend device 0000:af:00.0 of host 'node-a'" in message


def test_same_address_on_two_owners_is_two_devices():
    leases = [lease(name="one"), lease(name="two", owner="node-b", borrower="node-a")]
    assert len(plan_for_host(leases, "node-a", HOSTS)["grants"]) == 1


def test_an_unquoted_address_is_explained():
    leases = yaml.safe_load("- {name: nvme, owner: node-a, device: {address: 0000:03:00.0}, borrower: node-b}")
    message = refused(leases)
    assert "device.address is the number 180.0" in message
    assert "put it in quotes" in message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0x10de", '"10de" for 0x10de or "4318" for 4318'),
        ("8086", '"1f96" for 0x1f96 or "8086" for 8086'),
        ("0x8086", '"8086" for 0x8086'),
        ("0010", '"0008" for 0x0008 or "0010" for 0010'),
    ],
)
def test_an_unquoted_id_may_mean_two_and_is_explained(written, meant):
    leases = yaml.safe_load(
        "- {name: n, owner: node-a, device: {vendor: %s, device: 0a54}, borrower: node-b}" % written
    )
    message = refused(leases)
    assert "device.vendor is the number" in message
    assert message.endswith(f"put it in quotes: {meant}.")


@pytest.mark.parametrize("address", ["af:00.0", "00000000:AF:00.0", " 0000:af:00.0 "])
def test_addresses_are_taken_as_tools_write_them(address):
    grants = plan_for_host([lease(device={"address": address})], "node-a", HOSTS)["grants"]
    assert grants[0]["device"] == {"address": "0000:af:00.0"}


def test_a_serial_in_another_case_is_the_same_device():
    twice = [lease(device={"serial": "abC 1"}), lease(name="again", device={"serial": "ABC1"}, borrower="node-c")]
    assert "both lend device serial" in refused(twice)


def test_a_virtual_function_is_named_by_its_number():
    device = {"physical_function": {"address": "0000:AF:00.0"}, "index": 1}
    grants = plan_for_host([lease(device=device)], "node-a", HOSTS)["grants"]
    assert grants[0]["device"] == {"physical_function": {"address": "0000:af:00.0"}, "index": 1}
    assert plan_for_host([lease(device={**device, "index": "1"})], "node-a", HOSTS)["grants"] == grants
    twice = refused([lease(device=device), lease(name="again", device=device, borrower="node-c")])
    assert "both lend device virtual function 1 of 0000:af:00.0" in twice


PHYSICAL = {"address": "0000:af:00.0"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": {"physical_function": PHYSICAL, "index": "one"}}, ("device.index is the string 'one'",)),
        ({"device": {"physical_function": PHYSICAL, "index": "-1"}}, ("device.index is the number -1",)),
        ({"device": {"physical_function": PHYSICAL, "index": "65536"}}, ("device.index is the number 65536",)),
        ({"device": {"physical_function": PHYSICAL, "index": True}}, ("device.index is the boolean true",)),
        ({"device": {"physical_function": {"serial": "x"}}}, ("device has physical_function",)),
        ({"owner": "node-x"}, ("lease 'nvme'", "owner 'node-x'", "node-a, node-b, node-c")),
        ({"borrower": "nodeb"}, ("borrower 'nodeb'", "did you mean 'node-b'")),
        ({"borrower": "node-a"}, ("owner and borrower are both 'node-a'",)),
        ({"borrower": 7}, ("borrower is the number 7",)),
        ({"borrower": None}, ("has no 'borrower'",)),
        ({"reserve": "maybe"}, ("host 'node-a': reserve is the string 'maybe'", "write true or false")),
        ({"reserve": 2}, ("reserve is the number 2",)),
        ({"reserve": ["yes"]}, ("reserve is a list",)),
        ({"borower": "node-b"}, ("unknown key 'borower'", "did you mean 'borrower'")),
        ({"name": "a b"}, ("name 'a b'",)),
        ({"name": "../../etc"}, ("name '../../etc'",)),
        ({"name": "nvme\n"}, ("letters, digits",)),
        ({"name": 5}, ("entry 1", "quote it")),
        ({"name": "n" * 64}, ("up to 63",)),
        ({"device": "0000:03:00.0"}, ("device is the string '0000:03:00.0'", "write some of address")),
        ({"device": {}}, ("device has nothing; write some of",)),
        ({"device": {"device": "0a54"}}, ("device.device is given without device.vendor",)),
        ({"device": {"address": "0000:03:00.0", "index": 1}}, ("device has address, index",)),
        ({"device": {"class": "drive"}}, ("device.class is the string 'drive'", "nvme")),
        ({"device": {"slot": 4}}, ("device.slot is the number 4", "quotes")),
        ({"device": {"address": "0000:03:00.9"}}, ("not a PCI address", "host 'node-a'")),
        ({"device": {"address": "0000:03:20.0"}}, ("not a PCI address",)),
        ({"device": {"serial": 12}}, ("device.serial is the number 12", "quotes")),
        ({"device": {"serial": " "}}, ("device.serial",)),
        ({"device": {"vendor": "8086", "device": 54}}, ("device.device is the number 54",)),
        ({"device": {"vendor": True, "device": "0a54"}}, ("device.vendor is the boolean true",)),
        ({"device": {"min_size": "large"}}, ("device.min_size is the string 'large'", "1 TB")),
        ({"device": {"any_of": []}}, ("device.any_of is a list", "1 to 256")),
        ({"any": 0}, ("any is the number 0", "from 1 to 256")),
        ({"any": 257}, ("any is the number 257",)),
        ({"any": "all"}, ("any is the string 'all'", "write true")),
        ({"any": 1.5}, ("any is the number 1.5",)),
        ({"any": "0"}, ("any is the string '0'", "from 1 to 256")),
        ({"any": ""}, ("any is the string ''",)),
        ({"any": []}, ("any is a list",)),
        ({"any": 10, "name": "n" * 61}, ("its name is too long for",)),
    ],
)
def test_a_wrong_lease_is_refused_with_its_name_and_the_fix(change, said):
    message = refused([lease(**change)])
    assert message.startswith("device_lending_leases")
    for words in said:
        assert words in message


def test_duplicate_names():
    assert "entries 1 and 2 are both named 'nvme'" in refused([lease(), lease(device={"serial": "x"})])


@pytest.mark.parametrize("wrong", ["nvme", {"nvme": {}}, 3])
def test_the_list_must_be_a_list(wrong):
    assert "must be a list of leases" in refused(wrong)


def test_an_entry_must_be_a_mapping():
    assert "entry 2 is the string 'nvme'" in refused([lease(), "nvme"])


def test_host_outside_the_fabric():
    assert "host 'builder' is not one of the fabric's hosts" in refused([], host="builder")


def test_hosts_must_be_a_list():
    assert "hosts must be the list" in refused([], hosts="node-a")


def test_a_long_list_of_hosts_is_cut_short():
    assert "and 92 more" in refused([lease(owner="elsewhere")], hosts=[f"h{n:03}" for n in range(99)] + ["node-a"])


def seen(leases):
    """What a host is told of the list it sees."""
    plans = Plans(leases, HOSTS)
    return {"digest": plans.digest(), "leases": len(plans.leases), "error": None}


def test_lists_that_mean_the_same_are_the_same():
    one, two = lease(), lease(name="two", device={"address": "0000:AF:00.0"})
    other = {**two, "device": {"address": "0000:af:00.0"}}
    assert differences({"node-a": seen([one, two]), "node-b": seen([other, one])}) == ""
    assert differences({}) == ""


def test_hosts_that_see_different_lists_are_named_with_what_they_see():
    wrong = {"digest": "wrong", "leases": 0, "error": "device_lending_leases is empty"}
    said = differences({"node-a": seen([lease()]), "node-b": seen([]), "node-c": seen([lease()]), "node-d": wrong})
    assert "node-a, node-c: 1 lease;" in said
    assert "node-b: 0 leases;" in said
    assert "node-d: device_lending_leases is empty)" in said


def test_a_host_that_sees_the_same_list_and_has_no_part_in_the_fabric_is_named():
    outside = {**seen([lease()]), "error": "host 'builder' is not one of the fabric's hosts"}
    said = differences({"node-a": seen([lease()]), "builder": outside})
    assert "(node-a: 1 lease; builder: host 'builder' is not one of the fabric's hosts)" in said


@pytest.mark.parametrize(
    ("state", "hold", "borrowed"),
    [(None, {}, True), ("present", {"hold": False}, True), ("held", {"hold": True}, False)],
)
def test_the_state_of_a_lease_says_whether_it_is_on_hold(state, hold, borrowed):
    given = lease() if state is None else lease(state=state)
    grants, borrows = (
        plan_for_host([given], "node-a", HOSTS)["grants"],
        plan_for_host([given], "node-b", HOSTS)["borrows"],
    )
    assert [{key: grant[key] for key in grant if key == "hold"} for grant in grants] == [hold]
    assert bool(borrows) == borrowed


def test_an_absent_lease_is_checked_and_makes_way_for_another_of_its_device():
    given = [lease(state="absent"), lease(name="other", borrower="node-c")]
    assert [grant["name"] for grant in plan_for_host(given, "node-a", HOSTS)["grants"]] == ["other"]
    assert plan_for_host(given, "node-b", HOSTS) == {"grants": [], "borrows": []}


def test_a_state_that_there_is_not_is_refused():
    said = refused([lease(state="hold")])
    assert "state is the string 'hold'; write one of present, held, absent; did you mean 'held'?" in said


# -- any of several --------------------------------------------------------------------------------------------------------


def test_an_entry_for_any_two_is_two_leases():
    plan = plan_for_host([lease(name="pool", device={"class": "nvme"}, any=2, state="present")], "node-a", HOSTS)
    assert [(item["name"], item["any"], item["hold"]) for item in plan["grants"]] == [
        ("pool-1", True, False),
        ("pool-2", True, False),
    ]
    borrows = plan_for_host([lease(name="pool", device={"class": "nvme"}, any="2")], "node-b", HOSTS)["borrows"]
    assert [item["name"] for item in borrows] == ["pool-1", "pool-2"]


def test_any_alone_keeps_its_name_and_others_may_mean_the_same():
    leases = [lease(name="a", device={"class": "nvme"}, any=True), lease(name="b", device={"class": "nvme"}, any=1)]
    assert [item["name"] for item in plan_for_host(leases, "node-a", HOSTS)["grants"]] == ["a", "b-1"]
    assert "any" not in plan_for_host([lease(any=False)], "node-a", HOSTS)["grants"][0]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        ({"grace": " 60 "}, {"grace": 60}),
        ({"grace": "2.5"}, {"grace": 2.5}),
        ({"reserve": "yes"}, {"reserve": True}),
        ({"reserve": "Off"}, {"reserve": False}),
        ({"reserve": 1}, {"reserve": True}),
        ({"any": "2"}, {"any": 2}),
        ({"any": 2.0}, {"any": 2}),
        ({"any": "1"}, {"any": 1}),
        ({"any": "yes"}, {"any": True}),
        ({"any": "False"}, {"any": False}),
        (
            {"device": {"any_of": [{"physical_function": PHYSICAL, "index": "1"}], "vendor": "8086"}},
            {"device": {"any_of": [{"physical_function": PHYSICAL, "index": 1}], "vendor": "8086"}},
        ),
        ({"device": {"class": "nvme", "min_size": "960000000000"}}, {"device": {"class": "nvme", "min_size": 960000000000}}),
        ({"device": {"class": "nvme", "min_size": 1.5e12}}, {"device": {"class": "nvme", "min_size": 1500000000000}}),
    ],
)  # fmt: skip
def test_what_templates_and_the_command_line_give_means_what_it_says(texts, values):
    said, meant = Plans([lease(**texts)], HOSTS), Plans([lease(**values)], HOSTS)
    assert (said.by_host, said.digest()) == (meant.by_host, meant.digest())


def test_names_that_any_makes_are_unique_too():
    leases = [lease(name="a", device={"class": "nvme"}, any=2), lease(name="a-2", device={"serial": "S"})]
    assert "entries 1 and 2 are both named 'a-2'" in refused(leases)


# -- other names -----------------------------------------------------------------------------------------------------------


def test_both_sides_are_told_what_a_lease_was_called():
    leases = [lease(formerly="scratch"), lease(name="pool", formerly="set", device={"class": "nvme"}, any=2)]
    for host, side in (("node-a", "grants"), ("node-b", "borrows")):
        told = {item["name"]: item["formerly"] for item in plan_for_host(leases, host, HOSTS)[side]}
        assert told == {"nvme": "scratch", "pool-1": "set-1", "pool-2": "set-2"}
    assert "formerly" not in plan_for_host([lease(formerly=None)], "node-a", HOSTS)["grants"][0]


def test_a_former_name_that_means_something_else_is_refused():
    other = lease(name="scratch", device={"serial": "S1"})
    assert "'nvme' was called 'scratch' formerly, but another lease has it" in refused(
        [lease(formerly="scratch"), other]
    )
    twice = [lease(formerly="x"), {**other, "formerly": "x"}]
    assert "but another lease ('nvme') was called that, too" in refused(twice)
    assert "another lease has it" in refused([lease(formerly="nvme")])
    assert "formerly is the number 5; write the name that the lease had before" in refused([lease(formerly=5)])
    assert "formerly is the string 'a b'" in refused([lease(formerly="a b")])
