# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._host import Host
from ansible_collections.pcie.device_lending.plugins.module_utils._virtual_functions import (
    RULES,
    VirtualFunctionsError,
    apply,
    parse,
    render,
)

PHYSICAL = "0000:03:00.0"
WANTED = [{"device": {"address": PHYSICAL, "serial": None, "vendor": None, "device": None}, "count": 2}]


class Machine:
    """A host whose one network card can have seven virtual functions."""

    def __init__(self, base):
        self.base = base
        self.host = Host(str(base))
        self.function(PHYSICAL, sriov_totalvfs="7", sriov_numvfs="0", driver="igb")

    def function(self, address, driver=None, **attributes):
        path = self.base / "sys/bus/pci/devices" / address
        path.mkdir(parents=True)
        for name, text in dict(attributes, vendor="0x8086", device="0x10c9", **{"class": "0x020000"}).items():
            (path / name).write_text(text)
        if driver:
            (path / "driver").symlink_to(self.base / "drivers" / driver)
        return path

    def create(self, count, driver="igbvf"):
        """What the kernel does when the number is written."""
        physical = self.base / "sys/bus/pci/devices" / PHYSICAL
        for index in range(count):
            virtual = self.function("0000:03:10.%d" % index, driver=driver)
            (virtual / "physfn").symlink_to(physical)
            (physical / ("virtfn%d" % index)).symlink_to(virtual)

    @property
    def number(self):
        return (self.base / "sys/bus/pci/devices" / PHYSICAL / "sriov_numvfs").read_text()

    @property
    def rules(self):
        path = self.base / RULES[1:]
        return path.read_text() if path.exists() else None


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def refused(machine, wanted):
    with pytest.raises(VirtualFunctionsError) as caught:
        apply(machine.host, wanted, check_mode=False)
    assert machine.rules is None
    return str(caught.value)


def test_they_are_created_now_and_after_each_boot(machine):
    result = apply(machine.host, WANTED, check_mode=False)
    assert result == {"changed": True, "before": {PHYSICAL: 0}, "after": {PHYSICAL: 2}, "warning": None}
    assert machine.number == "2"
    assert 'KERNEL=="0000:03:00.0", ATTR{sriov_numvfs}="2"' in machine.rules
    machine.create(2)
    assert apply(machine.host, WANTED, check_mode=False)["changed"] is False


def test_check_mode_changes_nothing(machine):
    assert apply(machine.host, WANTED, check_mode=True)["changed"] is True
    assert (machine.number, machine.rules) == ("0", None)


def test_what_is_not_declared_any_more_goes(machine):
    apply(machine.host, WANTED, check_mode=False)
    machine.create(2)
    assert apply(machine.host, [], check_mode=False)["after"] == {PHYSICAL: 0}
    assert (machine.number, machine.rules) == ("0", None)


def test_what_nobody_declared_is_left_alone(machine):
    machine.create(2)
    assert apply(machine.host, [], check_mode=False) == {"changed": False, "before": {}, "after": {}, "warning": None}


def test_the_number_of_lent_ones_does_not_change(machine):
    machine.create(1, driver="ntb_lend")
    assert "but lent are: 0000:03:10.0" in refused(machine, WANTED)


def test_the_number_of_those_in_use_does_not_change(machine):
    machine.create(1)
    interface = machine.base / "sys/bus/pci/devices/0000:03:10.0/net/eth7"
    interface.mkdir(parents=True)
    (machine.base / "sys/class/net").mkdir(parents=True)
    (machine.base / "sys/class/net/eth7").symlink_to(interface)
    (interface / "master").symlink_to("../br0")
    assert "0000:03:10.0 is in use: network interface eth7 is part of br0" in refused(machine, WANTED)
    assert machine.number == "0"


def test_check_mode_warns_of_lent_ones_as_their_leases_would_end_before(machine):
    machine.create(1, driver="ntb_lend")
    result = apply(machine.host, WANTED, check_mode=True)
    assert result["changed"] and result["after"] == {PHYSICAL: 2}
    assert "lent are: 0000:03:10.0" in result["warning"]
    assert (machine.number, machine.rules) == ("0", None)


def test_more_than_the_device_has_is_refused(machine):
    message = refused(machine, [{"device": {"address": PHYSICAL}, "count": 8}])
    assert "it has at most 7. Set count to a number from 0 to 7." in message


def test_a_device_that_is_not_there_is_refused(machine):
    message = refused(machine, [{"device": {"address": "0000:09:00.0"}, "count": 1}])
    assert "0 devices match" in message
    assert "Devices with SR-IOV: 0000:03:00.0" in message


def test_one_of_several_devices_is_none_that_could_be_told_again(machine):
    message = refused(machine, [{"device": {"any_of": [{"address": PHYSICAL}]}, "count": 1}])
    assert "unknown selector key 'any_of'; write some of address" in message


def test_rules_are_read_back():
    counts = {PHYSICAL: 2, "0000:05:00.0": 1}
    assert parse(render(counts)) == counts
    assert render({}) is None
