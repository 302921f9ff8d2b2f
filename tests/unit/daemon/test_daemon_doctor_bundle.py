# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""What devlend doctor packs for a helper, and what it keeps back."""

from __future__ import annotations

import json
import stat
import sys
import tarfile

import pytest
from daemon_patient import NVME, PEERS_SERIAL, SERIAL, Patient
from hypothesis import given
from hypothesis import strategies as st

from device_lending.doctor import bundle, tools
from device_lending.doctor.serials import Mask, pseudonym

KEY = "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----"
DSN = "00-1b-21-ff-ff-c0-ff-ee"
GONE = "4C530001"


@pytest.fixture
def patient(tmp_path):
    made = Patient(tmp_path / "host")
    made.tree.write("proc/cmdline", "root=/dev/vda1 rd.password=hunter2 quiet\n")
    made.tree.write("sys/class/dmi/id/product_serial", "BOX-77\n")
    made.tree.write("sys/class/dmi/id/board_serial", "Default string\n")
    made.tree.write(f"sys/kernel/debug/ntb_hw_amd/{NVME}/info", "Link Status - UP\n")
    made.programs = {
        "lspci": f"03:00.0 NVMe\n\tCapabilities: [150] Device Serial Number {DSN}\n\t[SN] Serial number: VPD-123\n",
        "journalctl": f"ownerd: device {NVME}, serial {SERIAL.lower()}: lent\n{KEY}\nusb 1-1: SerialNumber: {GONE}\n"
        f"usb 1-1: New USB device strings: Mfr=1, SerialNumber=3\nBOX-77 and {SERIAL}X stay apart\n",
        "uname": "Linux node-a\n",
    }
    return made


def packed(patient, tmp_path, mask=False):
    path = tmp_path / "b.tar.gz"
    document, shown, code = patient.examine(path, mask)
    assert document["bundle"] == str(path) and str(path) in shown and code == 0
    with tarfile.open(path) as archive:
        return {
            member.name.removeprefix("devlend-doctor/"): archive.extractfile(member).read().decode()
            for member in archive.getmembers()
        }


def test_it_has_what_a_helper_asks_for(patient, tmp_path):
    files = packed(patient, tmp_path)
    for name in ("doctor.json", "doctor.txt", "facts.json", "versions.json", "uname.txt", "lspci.txt", "journal.txt",
                 "kernel-log.txt", "config.yaml", "api/ownerd/links.json", "api/ownerd/leases.json",
                 "api/borrowerd/attachments.json", "api/borrowerd/offers.json", "parameters/require_iommu.txt",
                 "proc/cmdline.txt", f"pci/{NVME}.txt", f"ntb/ntb_hw_amd-{NVME}.txt"):  # fmt: skip
        assert files[name].strip(), name
    assert json.loads(files["doctor.json"])["wrong"] is None
    assert json.loads(files["facts.json"])["bridges"][0]["family"] == "ntb_hw_amd"
    assert SERIAL in files["api/ownerd/devices.json"]
    assert "dmesg.txt" not in files  # not there, which is no error


def test_only_its_owner_reads_it_and_nothing_else_is_left(patient, tmp_path):
    (tmp_path / "b.tar.gz").write_text("an old one")
    packed(patient, tmp_path)
    assert stat.S_IMODE((tmp_path / "b.tar.gz").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz", "host"]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "b.tar.gz"
    path.write_text("old")
    with pytest.raises(AttributeError):
        bundle.write(path, {"a": "b", "c": None})
    assert path.read_text() == "old" and [item.name for item in tmp_path.iterdir()] == ["b.tar.gz"]


def test_nothing_secret_is_packed(patient, tmp_path):
    everything = "\n".join(packed(patient, tmp_path).values())
    assert "hunter2" not in everything and "MIIabc" not in everything
    assert "rd.password=(not packed) quiet" in everything


def test_serial_numbers_are_masked_everywhere_and_alike(patient, tmp_path):
    files = packed(patient, tmp_path, mask=True)
    everything = "\n".join([*files, *files.values()]).lower()
    for serial in (PEERS_SERIAL, DSN, GONE, "BOX-77", "VPD-123"):
        assert serial.lower() not in everything, serial
        assert pseudonym(serial) in everything, serial
    assert f"{SERIAL}X stay apart" in files["journal.txt"]
    assert SERIAL.lower() not in everything.replace(f"{SERIAL}X".lower(), "")
    assert json.loads(files["api/ownerd/grants.json"])[0]["device"]["serial"] == pseudonym(SERIAL)
    assert f"serial {pseudonym(SERIAL)}: lent" in files["journal.txt"]
    assert "SerialNumber=3" in files["journal.txt"]


def test_wwids_are_masked_too(patient, tmp_path):
    """Those of what is lent are in no file of this host."""
    patient.row("devices", wwid=["eui.0025feed"])
    files = packed(patient, tmp_path, mask=True)
    assert json.loads(files["api/ownerd/devices.json"])[0]["wwid"] == [pseudonym("eui.0025feed")]


def test_what_is_printed_is_masked_too(patient):
    patient.row("grants", state="unresolved", address=None, message=f"no function with serial {SERIAL}")
    document, shown, _code = patient.examine(mask=True)
    assert SERIAL not in shown + json.dumps(document) and pseudonym(SERIAL) in shown
    assert SERIAL in patient.examine()[1]


serials = st.text("abcXYZ0189-", min_size=4, max_size=20).filter(lambda text: text.strip("-") == text)


@given(st.lists(serials, min_size=1, max_size=5), st.lists(st.sampled_from([" ", "/", "\n", ": "]), min_size=6))
def test_no_known_serial_survives_between_words(known, between):
    text = "".join(f"{space}{serial.swapcase()}" for space, serial in zip(between, known, strict=False)) + " end"
    masked = Mask(known).text(text)
    words = masked.lower().replace("/", " ").replace(":", " ").split()
    assert not {serial.lower() for serial in known} & set(words)
    assert Mask(known).text(masked) == masked


def test_short_serials_are_masked_where_they_are_known():
    mask = Mask({"7"})
    assert mask.document({"serial": "7", "epoch": 7, "text": "7 links"}) == {
        "serial": pseudonym("7"),
        "epoch": 7,
        "text": "7 links",
    }


def test_programs_that_are_missing_or_stuck_are_no_error(monkeypatch):
    monkeypatch.setattr(tools, "_SECONDS", 0.2)
    monkeypatch.setattr(tools, "_PATH", "/none")
    assert tools.run(["nothing-of-this-name"]) is None
    assert tools.run([sys.executable, "-c", "import time; time.sleep(60)"]) is None
    monkeypatch.setattr(tools, "_SECONDS", 30)
    assert tools.run([sys.executable, "-c", "print('x')"]) == "x\n"
