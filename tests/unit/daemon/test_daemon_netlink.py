# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The netlink layer against the specification, against this machine's kernel, and against broken octets."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from device_lending import kernel
from device_lending.netlink import codec, contract, genl, port

SPEC = yaml.safe_load((Path(__file__).resolve().parents[3] / "kmod/netlink/ntb_lend.yaml").read_text(encoding="utf-8"))


def test_the_tables_are_those_of_the_specification():
    sets = {}
    for item in SPEC["attribute-sets"]:
        rows = []
        for attribute in item["attributes"]:
            kind = attribute["type"]
            if kind == "nest":
                kind = ("nests:" if attribute.get("multi-attr") else "nest:") + attribute["nested-attributes"]
            rows.append((attribute["name"], kind))
        sets[item["name"]] = tuple(rows)
    assert sets == contract.ATTRIBUTES
    assert tuple(item["name"] for item in SPEC["operations"]["list"]) == contract.OPERATIONS
    enums = {item["name"]: tuple(entry["name"] for entry in item["entries"])
             for item in SPEC["definitions"] if item["type"] == "enum"}  # fmt: skip
    assert enums == contract.ENUMS
    constants = {item["name"]: item["value"] for item in SPEC["definitions"] if item["type"] == "const"}
    assert constants["mailbox-max"] == kernel.MAILBOX_MAX
    assert (SPEC["name"], SPEC.get("version", 1)) == (contract.FAMILY, contract.VERSION)
    assert SPEC["mcast-groups"]["list"][0]["name"] == contract.GROUP
    assert contract.ENUMS["mailbox-port"][kernel.PORT_OWNER] == "owner"
    assert contract.ENUMS["mailbox-port"][kernel.PORT_BORROWER] == "borrower"


def values_of(name):
    kinds = {
        "u8": st.integers(0, 255),
        "u32": st.integers(0, 2**32 - 1),
        "u64": st.integers(0, 2**64 - 1),
        "string": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
        "binary": st.binary(max_size=100),
        "flag": st.just(True),
    }
    fields = {}
    for attribute, kind in contract.ATTRIBUTES[name]:
        if kind.startswith("nests:"):
            fields[attribute] = st.lists(values_of(kind[6:]), min_size=1, max_size=3)
        elif kind.startswith("nest:"):
            fields[attribute] = values_of(kind[5:])
        elif kind != "pad":
            fields[attribute] = kinds[kind]
    return st.fixed_dictionaries({}, optional=fields)


@given(values_of("main"))
def test_what_is_encoded_decodes_to_the_same(values):
    assert codec.decode("main", codec.encode("main", values)) == values


@given(st.binary(max_size=200))
def test_random_octets_decode_or_raise_codec_error(data):
    try:
        codec.decode("main", data)
        list(genl.parse(data))
    except codec.CodecError:
        pass


def test_the_octets_of_a_request_are_those_of_the_kernel_headers():
    encoded = codec.encode("main", {"lent": {"address": "a", "link": 1}, "force": True})
    inner = struct.pack("=HH", 6, 2) + b"a\0\0\0" + struct.pack("=HHI", 8, 4, 1)
    assert encoded == struct.pack("=HH", 4 + len(inner), 0x8002) + inner + struct.pack("=HH", 4, 5)


def test_pyroute2_reads_what_we_write():
    pyroute2 = pytest.importorskip("pyroute2.netlink")

    class Main(pyroute2.nlmsg):
        nla_map = (("NONE", "none"), ("LINK", "none"), ("LENT", "lent"), ("BORROWED", "none"), ("MAILBOX", "none"),
                   ("FORCE", "flag"))  # fmt: skip

        class lent(pyroute2.nla):
            nla_map = (("LENT_NONE", "none"), ("LENT_ID", "uint32"), ("LENT_ADDRESS", "asciiz"),
                       ("LENT_STATE", "uint32"), ("LENT_LINK", "uint32"), ("LENT_EPOCH", "uint64"))  # fmt: skip

    payload = codec.encode("main", {"lent": {"address": "0000:03:00.0", "link": 3, "epoch": 2**63}, "force": True})
    data = struct.pack("=IHHII", 16 + len(payload), 20, 0, 1, 0) + payload
    decoded = Main(data)
    decoded.decode()
    found = decoded.get_attr("LENT")
    assert found is not None
    assert found.get_attr("LENT_ADDRESS") == "0000:03:00.0"
    assert found.get_attr("LENT_LINK") == 3
    assert found.get_attr("LENT_EPOCH") == 2**63


def test_extended_acks_are_found_in_errors_and_at_the_end_of_dumps():
    attributes = codec.attribute(1, b"BAR 0 does not fit\0")
    flags = genl.NLM_F_CAPPED | genl.NLM_F_ACK_TLVS
    capped = struct.pack("=i", -errno.ENOSPC) + bytes(16) + attributes
    error = genl.error_of(genl.NLMSG_ERROR, capped, flags)
    assert (error.errno, str(error)) == (errno.ENOSPC, "BAR 0 does not fit")
    whole = struct.pack("=i", -errno.ENOSPC) + struct.pack("=IHHII", 21, 0, 0, 0, 0) + bytes(8) + attributes
    assert str(genl.error_of(genl.NLMSG_ERROR, whole, genl.NLM_F_ACK_TLVS)) == "BAR 0 does not fit"
    done = struct.pack("=i", -errno.EIO) + attributes
    assert str(genl.error_of(genl.NLMSG_DONE, done, genl.NLM_F_ACK_TLVS)) == "BAR 0 does not fit"
    assert genl.error_of(genl.NLMSG_ERROR, struct.pack("=i", 0) + bytes(16), genl.NLM_F_CAPPED) is None
    assert str(genl.error_of(genl.NLMSG_ERROR, struct.pack("=i", -errno.EIO), 0)) == "Input/output error"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EBUSY, kernel.DeviceBusy),
        (errno.ENOSPC, kernel.NoSpace),
        (errno.ENOTCONN, kernel.NotConnected),
        (errno.ESTALE, kernel.Stale),
        (errno.EIO, kernel.Unhealthy),
        (errno.ENODEV, kernel.NotFound),
        (errno.ECONNREFUSED, kernel.Refused),
        (errno.ETIMEDOUT, kernel.TimedOut),
        (errno.EPERM, kernel.KernelError),
    ],
)
def test_errors_have_types(number, expected):
    error = port.typed(genl.NetlinkError(number, "text"))
    assert (type(error), error.errno, str(error)) == (expected, number, "text")


def test_objects_from_attributes():
    link = port.link_of(
        {"id": 2, "ntb": "0000:01:00.0", "state": 2, "physical": 1, "window": [{"index": 1, "inbound-size": 4}],
         "counters": {"doorbells-sent": 7}}
    )  # fmt: skip
    assert link.ready and link.physical and link.windows[0].inbound_size == 4
    assert link.counters == {"doorbells_sent": 7}
    assert port.link_of({"state": 99}).state == "unknown-99"
    assert port.lent_of({"id": 1, "address": "a", "state": 0}).link is None
    assert port.borrowed_of({"id": 1, "state": 3, "address": ""}).address is None


def generic_netlink():
    try:
        with genl.GenlSocket() as sock:
            return sock.resolve("nlctrl") is not None
    except OSError:
        return False


needs_kernel = pytest.mark.skipif(not generic_netlink(), reason="this machine has no generic netlink")


@needs_kernel
def test_this_machines_kernel_answers():
    with genl.GenlSocket() as sock:
        family = sock.resolve("nlctrl")
        assert (family.id, family.groups["notify"]) == (genl.GENL_ID_CTRL, genl.CTRL_NOTIFY_GROUP)
        assert sock.resolve("no_such_family") is None
        families = sock.request(genl.GENL_ID_CTRL, genl.CTRL_CMD_GETFAMILY, b"", version=2, dump=True)
        assert "nlctrl" in {genl.family_name_of(reply.payload) for reply in families}
        with pytest.raises(genl.NetlinkError) as failure:
            sock.request(genl.GENL_ID_CTRL, 99, b"")
        assert failure.value.errno == errno.EOPNOTSUPP


@needs_kernel
def test_extended_acks_of_this_machines_kernel():
    with genl.GenlSocket() as sock:
        with pytest.raises(genl.NetlinkError) as failure:
            sock.request(genl.GENL_ID_CTRL, genl.CTRL_CMD_GETFAMILY, codec.attribute(2, b"unterminated" * 9), version=2)
        assert "policy" in str(failure.value) or "range" in str(failure.value).lower()


@needs_kernel
def test_without_the_module_requests_say_so(tmp_path):
    real = port.NetlinkKernel()
    with genl.GenlSocket() as sock:
        if sock.resolve(contract.FAMILY) is not None:
            return  # the module is loaded here: nothing to see
    with pytest.raises(kernel.NotLoaded):
        real.links()
    with pytest.raises(kernel.NotLoaded):
        real.listen(1)
    assert port.NetlinkKernel(str(tmp_path)).info() == kernel.KernelInfo(False)
    (tmp_path / "module/ntb_lend").mkdir(parents=True)
    (tmp_path / "module/ntb_lend/srcversion").write_text("ABC\n")
    assert port.NetlinkKernel(str(tmp_path)).info() == kernel.KernelInfo(True, None, "ABC")
