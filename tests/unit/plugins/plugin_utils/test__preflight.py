# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest

from ansible_collections.pcie.device_lending.plugins.plugin_utils._preflight import evaluate
from ansible_collections.pcie.device_lending.plugins.plugin_utils._preflight_devices import matching

from .preflight_probe import BUILD, HOSTS, LINKS, NTB, NVME, PLAN, PROBE, lend, only, run


def test_nothing_to_say_where_all_is_well(probe):
    assert evaluate(probe, "node-a", PLAN, HOSTS, links=LINKS, build=BUILD, build_host="builder") == []


def test_device_is_not_there(probe):
    only(
        run(probe, lend({"address": "0000:09:00.0"})),
        "scratch",
        "0000:09:00.0",
        "host node-a has no PCI function",
        "0000:03:00.0 (1b36:0010)",
    )


def test_serial_is_not_there(probe):
    only(run(probe, lend({"serial": "other"})), "no PCI function serial other", "lab-0001 at 0000:03:00.0")


def test_several_devices_match(probe):
    probe["functions"].append(dict(NVME, address="0000:04:00.0"))
    only(run(probe, lend({"vendor": "1b36", "device": "0010"})), "matches 2 functions", "0000:03:00.0, 0000:04:00.0")


def test_two_leases_mean_one_device(probe):
    plan = lend({"address": "0000:03:00.0"})
    plan["grants"].append({"name": "other", "device": {"serial": "lab-0001"}, "borrower": "node-b"})
    only(run(probe, plan), "scratch and other", "0000:03:00.0")


def test_device_is_busy(probe):
    probe["functions"][1]["busy"] = ["/dev/nvme0n1 is mounted on /srv"]
    only(run(probe), "scratch", "0000:03:00.0", "mounted on /srv", "Stop using it")


def test_a_live_lease_does_not_make_its_own_device_busy(probe):
    probe["functions"][1].update(busy=["/dev/nvme0n1 is mounted on /srv"])
    probe["ownerd"] = {"leases": [{"name": "scratch", "address": "0000:03:00.0"}]}
    assert run(probe) == []


def test_no_bridge(probe):
    probe["functions"] = [NVME]
    only(run(probe, links=[]), "no NTB function", "take the host out of the group")


def test_the_bridge_of_a_link_is_not_there(probe):
    only(
        run(probe, links=[{"ntb": "0000:02:00.0", "peer": "node-b"}]),
        "device_lending_links",
        "0000:02:00.0, which is not there",
        "0000:01:00.0",
    )


def test_a_link_over_something_else(probe):
    only(run(probe, links=[{"ntb": "0000:03:00.0", "peer": "node-b"}]), "which is no NTB function")


def test_a_link_to_an_unknown_host(probe):
    found = run(probe, links=[{"ntb": "0000:01:00.0", "peer": "node-x"}])
    assert any("peer node-x" in message for message in found)


def test_no_link_to_the_borrower(probe):
    probe_hosts = HOSTS + ["node-c"]
    found = evaluate(probe, "node-a", lend({"address": "0000:03:00.0"}, "node-c"), probe_hosts, links=LINKS)
    only([finding["message"] for finding in found], "needs a link to node-c", "leads to node-b only")


def test_no_dma_goes_through_the_windows(probe):
    passed(windows(probe, 1 << 20, 1 << 12))
    plan = {"grants": [], "borrows": [{"name": "scratch", "owner": "node-b"}]}
    only(run(probe, plan), "lease scratch", "link to node-b", "NTB function 0000:01:00.0 is 1 MiB", "less than 16 MiB")
    assert run(windows(probe, 1 << 24, 1 << 12), plan) == []
    assert run(windows(probe), plan) == []
    windows(probe, 1 << 20)["functions"][0]["iommu_type"] = "DMA"
    assert run(probe, plan) == []


def test_one_large_window_to_a_peer_is_enough(probe):
    passed(probe)
    small = dict(NTB, address="0000:02:00.0", ntb={"driver": "ntb_hw_amd", "windows": [1 << 20]})
    probe["functions"].append(dict(small, iommu_type="identity"))
    plan = {"grants": [], "borrows": [{"name": "scratch", "owner": "node-b"}]}
    assert run(probe, plan, links=[*LINKS, {"ntb": "0000:02:00.0", "peer": "node-b"}]) == []


@pytest.mark.parametrize("state", ["down", "incompatible"])
def test_the_link_is_not_usable(probe, state):
    probe["ownerd"] = {"links": [{"ntb": "0000:01:00.0", "peer": "node-b", "state": state, "message": "cable"}]}
    only(run(probe), "link to node-b", state, "cable", "scratch")


def test_a_link_nobody_needs_may_be_down(probe):
    probe["ownerd"] = {"links": [{"ntb": "0000:01:00.0", "peer": "node-b", "state": "down"}]}
    assert run(probe, {"grants": [], "borrows": []}) == []


def test_a_link_that_is_coming_up_is_a_warning(probe):
    probe["ownerd"] = {"links": [{"ntb": "0000:01:00.0", "peer": "node-b", "state": "handshake"}]}
    assert run(probe) == []
    only(run(probe, severity="warning"), "has not answered yet")


def test_wrong_cabling(probe):
    probe["ownerd"] = {"links": [{"ntb": "0000:01:00.0", "peer": None, "announced": "node-c", "state": "ready"}]}
    only(run(probe), "calls itself node-c")


def region(start, size):
    return {"index": 0, "start": start, "size": size, "memory": True}


def passed(probe):
    """The IOMMU is there, and lets the bridge and the device pass without translating."""
    for function in probe["functions"]:
        function["iommu_type"] = "identity"
        function["uncontained"] = ["the IOMMU does not translate it", "boot without iommu=pt"]
    return probe


def graphics(probe, **audio):
    """A card with an audio function, of which this host uses both; and leases of both."""
    pair = [dict(NVME, address="0000:41:00.%d" % number, iommu_type="DMA-FQ", serial=None) for number in (0, 1)]
    for function, other in zip(pair, reversed(pair)):
        function["neighbours"] = [other["address"]]
        function["uncontained"] = ["the device %s shares its IOMMU group" % function["address"], "plug it in elsewhere"]
    probe["functions"] += pair
    names = {"gpu": pair[0]["address"], "audio": pair[1]["address"]}
    grants = [dict(lend({"address": at}, name=name)["grants"][0], reserve=True) for name, at in names.items()]
    grants[1].update(audio)
    return {"grants": grants, "borrows": []}


def test_a_group_that_is_lent_whole_is_contained_from_the_first_lease_on(probe):
    assert run(probe, graphics(probe), require_iommu=True) == []


@pytest.mark.parametrize("audio", [{"borrower": "node-c"}, {"reserve": False}])
def test_a_group_that_is_not_lent_whole_to_one_host_before_it_is_used_is_not(probe, audio):
    plan = graphics(probe, **audio)
    said = run(probe, plan, require_iommu=True)
    assert any("0000:41:00.0 shares its IOMMU group" in message for message in said)


def test_what_no_lease_takes_with_it_stays_in_the_way(probe):
    plan = graphics(probe)
    plan["grants"].pop()
    only(run(probe, plan, require_iommu=True), "0000:41:00.0 shares its IOMMU group")


def windows(probe, *sizes):
    probe["functions"][0]["ntb"]["windows"] = list(sizes)
    return probe


def test_bar_does_not_fit_the_windows_of_the_borrower(probe):
    probe["functions"][1]["bars"] = [region(0x4000000000, 1 << 30)]
    passed(probe)
    small = windows(copy.deepcopy(PROBE), 1 << 28, 1 << 26)
    only(
        run(probe, peers={"node-b": small}),
        "lease scratch: device 0000:03:00.0 cannot be lent: BAR 0 (1 GiB) is larger than the NTB windows of node-b, which "
        "are 256 MiB and 64 MiB. Enlarge",
    )


def test_a_bar_that_the_first_window_misses_must_fit_the_second(probe):
    passed(windows(probe, 1 << 28, 1 << 26))
    probe["functions"][1]["bars"] = [region(0x4000000000, 1 << 27)]
    only(run(probe), "BAR 0 (128 MiB) of device 0000:03:00.0 cannot be reached", "256 MiB and 64 MiB")


def test_all_bars_that_are_too_large_are_named(probe):
    windows(probe, 1 << 28, 1 << 26)
    probe["functions"][1]["bars"] = [
        region(0, 1 << 29),
        dict(region(0, 1 << 30), index=2),
        dict(region(0, 4096), index=4),
    ]
    only(run(probe), "BAR 0 (512 MiB), BAR 2 (1 GiB) are larger than the NTB windows of this host")


def test_a_bar_below_the_first_window_needs_no_second(probe):
    passed(windows(probe, 1 << 20, 1 << 32))
    probe["functions"][1]["bars"] = [region(0xF0000000, 1 << 27)]
    assert run(probe) == []


def test_behind_an_iommu_only_sizes_are_known(probe):
    windows(probe, 1 << 20, 1 << 28)
    probe["functions"][1]["bars"] = [region(0x4000000000, 1 << 27)]
    assert run(probe) == []
    probe["functions"][1]["bars"] = [region(0x4000000000, 1 << 29)]
    only(run(probe), "BAR 0 (512 MiB)")


def test_bars_of_several_leases_share_the_second_window(probe):
    passed(windows(probe, 1 << 28, 1 << 32))
    probe["functions"][1]["bars"] = [region(0x4000000000, 1 << 20)]
    probe["functions"].append(dict(NVME, address="0000:04:00.0", bars=[region(0x4008000000, 1 << 20)]))
    plan = lend({"address": "0000:03:00.0"})
    plan["grants"] += lend({"address": "0000:04:00.0"}, name="second")["grants"]
    assert run(probe, plan) == []
    probe["functions"][2]["bars"] = [region(0x4010000000, 1 << 20)]
    only(run(probe, plan), "lease second", "too far from those of lease scratch", "256 MiB")


BORDER = 0x4010000000  # a multiple of 256 MiB


@pytest.mark.parametrize("aligned", [False, True])
def test_bars_on_both_sides_of_a_border_fit_where_the_window_may_begin_anywhere(probe, aligned):
    passed(windows(probe, 1 << 28, 1 << 28))
    probe["functions"][0]["ntb"]["aligned"] = aligned
    probe["functions"][1]["bars"] = [region(BORDER - (1 << 20), 1 << 20), dict(region(BORDER, 1 << 20), index=2)]
    if not aligned:
        assert run(probe) == []
        return
    only(run(probe), "BAR 0 (1 MiB), BAR 2 (1 MiB) of device 0000:03:00.0 cannot be reached", "begin at multiples of their")
    probe["functions"][1]["bars"][0] = region(BORDER + (1 << 20), 1 << 20)
    assert run(probe) == []


def test_the_window_begins_where_the_largest_bar_is_aligned(probe):
    passed(windows(probe, 1 << 28, 1 << 28))
    bars = [region(BORDER + 0x2000, 0x1000), dict(region(BORDER + (1 << 27), 1 << 27), index=2)]
    probe["functions"][1]["bars"] = bars
    assert run(probe) == []
    bars.append(dict(region(BORDER + (1 << 28), 0x1000), index=4))
    only(run(probe), "BAR 0 (4 KiB), BAR 2 (128 MiB), BAR 4 (4 KiB) of device 0000:03:00.0 cannot be reached")


def test_the_window_that_the_first_lease_gets_has_to_show_the_others_too(probe):
    passed(windows(probe, 1 << 28, 1 << 28))
    probe["functions"][1]["bars"] = [region(BORDER - (1 << 20), 1 << 20)]
    probe["functions"].append(dict(NVME, address="0000:04:00.0", bars=[region(BORDER, 1 << 20)]))
    plan = lend({"address": "0000:03:00.0"})
    plan["grants"] += lend({"address": "0000:04:00.0"}, name="second")["grants"]
    only(run(probe, plan), "lease second", "too far from those of lease scratch")


def test_what_is_not_known_of_the_window_is_not_an_error(probe):
    probe["functions"][0]["ntb"]["windows"] = []
    assert run(probe) == []


def test_quarantined_device(probe):
    probe["ownerd"] = {
        "grants": [{"name": "scratch", "state": "quarantined", "address": "0000:03:00.0", "message": "all ones"}]
    }
    only(run(probe), "quarantined (all ones)")


def test_a_daemon_that_has_not_answered(probe):
    probe["functions"] = [function for function in probe["functions"] if function["class"] != NVME["class"]]
    probe["ownerd"] = {"links": [], "unanswered": "GET /v1/devices within 30 seconds"}
    only(run(probe), "ownerd runs, but has not answered GET /v1/devices within 30 seconds", "device-lending-ownerd")


def test_what_is_to_be_given_back_is_in_use(probe):
    probe["functions"].append(
        dict(NVME, address="1ff00:00:00.0", borrowed=True, busy=["/dev/nvme1n1 is mounted on /srv"])
    )
    probe["borrowerd"] = {"attachments": [{"name": "data", "owner": "node-b", "address": "1ff00:00:00.0"}]}
    nothing = {"grants": [], "borrows": []}
    only(run(probe, nothing), "lease data", "mounted on /srv", "device_lending_force")
    assert run(probe, nothing, force=True) == []
    assert run(probe, {"grants": [], "borrows": [{"name": "data", "owner": "node-b"}]}) == []
    assert run(probe, nothing, purge="none") == []
    probe["borrowerd"]["attachments"][0]["by_hand"] = True
    assert run(probe, nothing) == []
    only(run(probe, nothing, purge="all"), "lease data", "mounted on /srv", "device_lending_force")


def test_what_a_lease_says_of_force_counts_where_its_device_is_in_use(probe):
    probe["functions"].append(dict(NVME, address="1ff00:00:00.0", borrowed=True, busy=["mounted on /srv"]))
    probe["borrowerd"] = {"attachments": [{"name": "data", "owner": "node-b", "address": "1ff00:00:00.0"}]}
    moved = {"grants": [], "borrows": [], "force_of": {"data": False, "other": True}}
    for force in (False, True):
        only(run(probe, moved, force=force), "lease data is not for this host any more", "mounted on /srv", "set force of")
        assert run(probe, {**moved, "force_of": {"data": True}}, force=force) == []
    only(run(probe, {**moved, "force_of": {"other": True}}), "lease data is not in device_lending_leases any more")


def test_what_has_another_name_now_is_not_given_back(probe):
    probe["functions"].append(dict(NVME, address="1ff00:00:00.0", borrowed=True, busy=["mounted on /srv"]))
    probe["borrowerd"] = {"attachments": [{"name": "data", "owner": "node-b", "address": "1ff00:00:00.0"}]}
    renamed = {"name": "results", "owner": "node-b", "formerly": "data"}
    assert run(probe, {"grants": [], "borrows": [renamed]}) == []
    assert "lease data is not in" in str(run(probe, {"grants": [], "borrows": [{**renamed, "owner": "node-c"}]}))


def test_the_device_is_granted_by_hand_under_another_name(probe):
    own = {"name": "own", "address": NVME["address"], "state": "offered", "by_hand": True}
    probe["ownerd"] = {"grants": [own], "links": []}
    only(run(probe), "lease scratch", NVME["address"], "devlend revoke own", "device_lending_purge")
    assert run(probe, purge="all") == []
    assert run(probe, lend(PLAN["grants"][0]["device"], name="own")) == []
    own["by_hand"] = False
    assert run(probe) == []


def test_what_is_done_about_such_a_device_is_told(probe):
    own = {"name": "own", "address": NVME["address"], "state": "offered", "by_hand": True}
    probe["ownerd"] = {"grants": [own], "links": []}
    found = evaluate(probe, "node-a", PLAN, HOSTS, on_conflict="ignore")
    assert [(one["severity"], one["scope"], one["leases"]) for one in found] == [("warning", "conflict", ["scratch"])]
    only([one["message"] for one in found], "lease scratch", NVME["address"], "granted here as own")
    only([one["message"] for one in evaluate(probe, "node-a", PLAN, HOSTS, on_conflict="replace")], "revoked for it")
    own["state"] = "leased"
    assert [one["scope"] for one in evaluate(probe, "node-a", PLAN, HOSTS, on_conflict="replace")] == ["lease"]
    only(run(probe, on_conflict="replace"), "lent or quarantined as own", "device_lending_force")
    assert run(probe, on_conflict="replace", force=True) == []
    assert run(probe, {**PLAN, "force_of": {"own": True}}, on_conflict="replace") == []
    protected = {**PLAN, "force_of": {"own": False, "scratch": True}}
    only(run(probe, protected, on_conflict="replace", force=True), "lent or quarantined as own", "device_lending_force")
    # Two of one list are no such conflict.
    twice = {"grants": [*PLAN["grants"], {**PLAN["grants"][0], "name": "twice"}], "borrows": []}
    assert "both mean" in str(run(probe, twice, purge="all", on_conflict="ignore"))


def test_errors_come_first(probe):
    passed(probe)
    found = evaluate(probe, "node-a", lend({"address": "0000:09:00.0"}), HOSTS, links=LINKS)
    assert [finding["severity"] for finding in found] == ["error", "warning"]


def test_addresses_match_with_and_without_domain():
    assert matching({"address": "03:00.0"}, [NTB, NVME]) == [NVME]


def pool(*names, device=None):
    grants = [
        {"name": name, "device": device or {"class": "010802"}, "borrower": "node-b", "any": True} for name in names
    ]
    return {"grants": grants, "borrows": []}


def test_any_of_several_is_enough(probe):
    """As ownerd chooses: the first that nothing speaks against, what means one device before."""
    second = dict(NVME, address="0000:04:00.0", serial="S2")
    probe["functions"].append(second)
    assert run(probe, pool("a", "b")) == []
    (said,) = run(probe, pool("a", "b", "c"))
    assert "lease c: none of 2 functions of host node-a of the kind class nvme can be had" in said
    assert "0000:03:00.0: lease a means it, 0000:04:00.0: lease b means it" in said
    second["busy"] = ["nvme1n1 is mounted at /data"]
    (said,) = run(probe, pool("a", "b"))
    assert "lease b: " in said and "0000:04:00.0: nvme1n1 is mounted at /data" in said
    plan = pool("a")
    plan["grants"].append({"name": "z", "device": {"address": "0000:03:00.0"}, "borrower": "node-b"})
    (said,) = run(probe, plan)
    assert "lease a: " in said and "0000:03:00.0: lease z means it" in said


def test_what_any_has_been_so_far_it_stays(probe):
    probe["functions"].append(dict(NVME, address="0000:04:00.0", serial="S2", busy=["it is mounted"]))
    grant = {"name": "a", "any": True, "address": "0000:04:00.0", "state": "leased"}
    probe["ownerd"] = {"grants": [grant], "leases": [], "links": []}
    assert run(probe, pool("a", "b")) == []


def test_what_a_driver_tells_matches():
    large = dict(NVME, address="0000:04:00.0", model="Drive 9  ", size=2 * 10**12, wwid=["eui.9"], mac=[])
    card = dict(NVME, address="0000:05:00.0", mac=["52:54:00:12:34:56"])
    there = [NTB, NVME, large, card]
    assert matching({"min_size": "1.92 TB", "model": "drive 9"}, there) == [large]
    assert matching({"wwid": "EUI.9"}, there) == [large]
    assert matching({"mac": "52-54-00-12-34-56"}, there) == [card]
    assert matching({"min_size": "2.1 TB"}, there) == []


NIC = dict(NVME, address="0000:05:00.0", device="10c9", driver="igb", serial=None, virtual_total=7)


def virtual(index):
    return lend({"physical_function": {"address": "0000:05:00.0"}, "index": index})


def test_a_declared_virtual_function_that_is_not_there_yet_can_be_lent(probe):
    probe["functions"].append(NIC)
    wanted = [{"device": {"address": "0000:05:00.0"}, "count": 2}]
    assert run(probe, virtual(1), virtual_functions=wanted) == []
    only(run(probe, virtual(2), virtual_functions=wanted), "no PCI function virtual function 2 of 0000:05:00.0")


@pytest.mark.parametrize(
    "device",
    [{"any_of": [{"address": "0000:05:00.0"}]}, {"physical_function": {"address": "0000:05:00.0"}, "index": 0}],
)
def test_virtual_functions_are_those_of_a_physical_one(probe, device):
    probe["functions"].append(NIC)
    (message,) = run(probe, virtual_functions=[{"device": device, "count": 2}])
    assert f"device_lending_virtual_functions: unknown selector key '{min(device)}'; write some of" in message
    assert "any_of, which" not in message and "index" not in message.partition(";")[2]


def test_more_virtual_functions_than_the_device_has(probe):
    probe["functions"].append(NIC)
    wanted = [{"device": {"address": "0000:05:00.0"}, "count": 8}]
    words = "virtual functions of 0000:05:00.0 are wanted, but it has at most 7. Set count to a number from 0 to 7."
    only(run(probe, virtual_functions=wanted), f"device_lending_virtual_functions: 8 {words}")
    wanted[0]["count"] = -1
    only(run(probe, virtual_functions=wanted), f"device_lending_virtual_functions: -1 {words}")


def test_a_count_from_the_command_line_is_a_number_all_the_same(probe):
    probe["functions"].append(NIC)
    wanted = [{"device": {"address": "0000:05:00.0"}, "count": "2"}]
    for count in ("2", " 2 ", 2.0):
        assert run(probe, virtual(1), virtual_functions=[{**wanted[0], "count": count}]) == []
    only(run(probe, virtual(2), virtual_functions=wanted), "no PCI function virtual function 2 of 0000:05:00.0")


@pytest.mark.parametrize("count", ["two", "", None, True, 1.5])
def test_a_count_that_is_no_number_is_told(probe, count):
    probe["functions"].append(NIC)
    wanted = [{"device": {"address": "0000:05:00.0"}, "count": count}]
    only(run(probe, virtual_functions=wanted), f"the count {count!r} of 0000:05:00.0 is no whole number")


def test_virtual_functions_of_a_device_without_sr_iov(probe):
    wanted = [{"device": {"address": "0000:03:00.0"}, "count": 1}]
    only(run(probe, virtual_functions=wanted), "it has no SR-IOV. Take it out of the list.")


def test_what_a_device_lacks_is_a_warning(probe):
    bars = [{"index": 0, "size": 4096, "memory": True}, {"index": 2, "size": 32, "memory": False}]
    probe["functions"].append(dict(NIC, bars=bars, reset=[]))
    found = run(probe, lend({"address": "0000:05:00.0"}), severity="warning")
    assert [message for message in found if "no way to reset it" in message]
    assert [message for message in found if "I/O port BARs are hidden" in message]


def scopes(probe, plan=None, **more):
    """(scope, leases) of each error."""
    found = evaluate(probe, "node-a", plan or PLAN, HOSTS, **{"links": LINKS, **more})
    return [(finding["scope"], finding["leases"]) for finding in found if finding["severity"] == "error"]


def test_what_is_wrong_with_a_device_is_so_for_its_lease_alone(probe):
    plan = lend({"address": "0000:09:00.0"})
    plan["grants"].append({"name": "right", "device": {"address": "0000:03:00.0"}, "borrower": "node-b"})
    assert scopes(probe, plan) == [("lease", ["scratch"])]


def test_what_is_wrong_with_a_host_is_so_for_all_that_it_does(probe):
    probe["machine"] = "aarch64"
    assert scopes(probe) == [("host", [])]


def test_a_peer_that_is_down_is_told_of_all_leases_with_it(probe):
    plan = lend({"address": "0000:03:00.0"})
    plan["borrows"] = [{"name": "other", "owner": "node-b"}, {"name": "third", "owner": "node-c"}]
    probe["ownerd"] = {"links": [{"peer": "node-b", "ntb": LINKS[0]["ntb"], "state": "down", "message": ""}]}
    assert scopes(probe, plan, links=[]) == [("peer", ["scratch", "other"])]


def test_what_the_host_says_of_a_device_is_what_refuses_it(probe):
    probe["functions"][1]["never"] = ["it is a bridge", "it has no memory BAR"]
    only(run(probe), "device 0000:03:00.0 cannot be lent: it is a bridge; it has no memory BAR.")


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (
            {"address": 180.0},
            "device.address is the number 180.0: without quotes YAML reads an address as a number",
        ),
        ({"vendor": 0x10DE, "device": "0010"}, 'put it in quotes: "10de" for 0x10de or "4318" for 4318'),
    ],
)
def test_what_yaml_made_of_identifiers_is_told_everywhere(probe, device, words):
    only(run(probe, lend(device)), "lease scratch", words)
    probe["functions"].append(NIC)
    wanted = [{"device": device, "count": 1}]
    only(run(probe, virtual_functions=wanted), "device_lending_virtual_functions", words)
    if "address" in device:
        links = [{"ntb": device["address"], "peer": "node-b"}]
        assert any(words.partition(" ")[2] in message for message in run(probe, links=links))


@pytest.mark.parametrize("address", ["01:00.0", "00000000:01:00.0", "0000:01:00.0 "])
def test_links_may_be_written_as_tools_write_addresses(probe, address):
    assert run(probe, links=[{"ntb": address, "peer": "node-b"}]) == []


def test_a_serial_is_the_same_in_whatever_case_and_with_blanks(probe):
    assert run(probe, lend({"serial": " LAB-0001 "})) == []


def test_no_iommu_that_translates(probe):
    passed(probe)
    assert run(probe) == []
    only(run(probe, severity="warning"), "does not translate", "not contained", "boot without iommu=pt")
    only(run(probe, require_iommu=True), "device_lending_require_iommu", "boot without iommu=pt")
    probe["functions"][0]["uncontained"] = None
    only(run(probe, require_iommu=True), "does not translate")


def test_a_bridge_that_lending_does_not_work_over(probe):
    probe["functions"][0]["ntb"]["wrong"] = [["0000:01:00.0 is an IDT", "use another bridge"]]
    only(run(probe), "0000:01:00.0 is an IDT. Use another bridge.")
    probe["functions"].append(dict(NTB, address="0000:02:00.0"))
    assert run(probe, links=[{"ntb": "0000:02:00.0", "peer": "node-b"}]) == []
    assert run(probe, links=[]) == []
    only(run(probe, links=[], severity="warning"), "0000:01:00.0 is an IDT")


def test_a_switch_that_was_not_told_matters_to_who_lends(probe):
    probe["functions"][0]["ntb"]["untold"] = ["the switch drops the DMA", "enter the devices"]
    only(run(probe), "the switch drops the DMA. Enter the devices.")
    assert run(probe, {"grants": [], "borrows": [{"name": "scratch", "owner": "node-b"}]}) == []
    for told in (True, "1", "Y", "yes"):
        assert run(probe, parameters={"any_requester": told}) == []
    only(run(probe, parameters={"any_requester": "N", "require_iommu": True}), "the switch drops the DMA")


def with_virtual(probe, count, **changes):
    probe["functions"].append(NIC)
    for index in range(count):
        there = dict(
            NIC, address="0000:05:10.%d" % index, physical_function=NIC["address"], virtual_index=index, busy=[]
        )
        probe["functions"].append(dict(there, **changes))
    return probe


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"busy": ["a virtual machine has it"]}, "a virtual machine has it"), ({"driver": "ntb_lend"}, "it is lent")],
)
def test_virtual_functions_in_use_do_not_go_for_another_number(probe, changes, words):
    with_virtual(probe, 1, **changes)
    wanted = [{"device": {"address": "0000:05:00.0"}, "count": 2}]
    only(run(probe, virtual_functions=wanted), "0000:05:10.0 is in use: " + words, "set count to 1")
    wanted[0]["count"] = 1
    assert run(probe, virtual_functions=wanted) == []


def test_a_device_and_its_own_virtual_function_are_not_both_lent(probe):
    with_virtual(probe, 1)
    plan = lend({"address": "0000:05:00.0"})
    plan["grants"] += lend({"address": "0000:05:10.0"}, name="second")["grants"]
    only(run(probe, plan), "lease second", "0000:05:10.0", "lease scratch", "0000:05:00.0")
