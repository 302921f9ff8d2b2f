# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The emulated bridge, judged by programs nobody here wrote, and by one that watches PCIe's ordering rules."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[2]
STATE = Path(os.environ.get("LAB_BRIDGE_STATE") or CHECKOUT / ".build" / "bridge")
NTB = "0000:01:00.0"
SYSFS = f"/sys/bus/pci/devices/{NTB}"
HOSTS = ("node-a", "node-b")
ROUNDS = 300


def lab(*arguments: str) -> str:
    """Run the lab's command; it must succeed."""
    command = [sys.executable, "-m", "lab", "--state", str(STATE), *arguments]
    result = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def start(host: str, command: str) -> subprocess.Popen[str]:
    """Start a command on a host; its errors go where its output goes."""
    args = ["ssh", "-F", str(STATE / "ssh_config"), host, command]
    return subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(host: str, command: str) -> str:
    """Run a command on a host; it must succeed."""
    process = start(host, command)
    output, _errors = process.communicate()
    assert process.returncode == 0, f"{host}: {command}: {output}"
    return output.strip()


def copy(source: str, target: str) -> None:
    """Copy files from or to a host, as scp does."""
    subprocess.run(["scp", "-q", "-r", "-F", str(STATE / "ssh_config"), source, target], check=True)


def until(what: str, host: str, command: str, wanted: str, seconds: float) -> float:
    """Wait until a command's output on a host contains something; returns the seconds that took."""
    begin = time.monotonic()
    while True:
        process = start(host, command)
        if wanted in process.communicate()[0]:
            return time.monotonic() - begin
        assert time.monotonic() - begin < seconds, f"{what}: not within {seconds:g} s"
        time.sleep(0.5)


def link_info(host: str) -> str:
    return run(host, f"cat /sys/kernel/debug/ntb_hw_amd/{NTB}/info")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The kernel's NTB modules and selftest, of exactly the running version, and our own watcher, on both hosts."""
    directory = tmp_path_factory.mktemp("programs")
    release = run("node-a", "uname -r")
    run("builder", "rm -rf /root/bridge && mkdir /root/bridge")
    copy(str(CHECKOUT / "kmod" / "ntb"), "builder:/root/bridge/")
    copy(str(HERE / "ordering.c"), "builder:/root/bridge/")
    run("builder", f"cd /root/bridge && bash ntb/build.sh --tests {release} /root/bridge/out && rm -f out/ntb_hw_[eist]*")
    run("builder", "cd /root/bridge && gcc -O2 -Wall -Werror -static -o out/ordering ordering.c")
    copy("builder:/root/bridge/out", str(directory))
    for host in HOSTS:
        run(host, "rm -rf /root/bridge")
        copy(str(directory / "out"), f"{host}:/root/bridge")
        target = f"/lib/modules/{release}/updates/bridge"
        run(host, f"mkdir -p {target} && cp /root/bridge/*.ko {target}/ && depmod -a")
    run("node-a", "test -e /root/.ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519")
    config = "ControlMaster auto\nControlPath /run/ssh-%C\nControlPersist 60\nStrictHostKeyChecking accept-new\n"
    run("node-a", f"printf %s {shlex.quote(config)} > /root/.ssh/config")
    key = run("node-a", "cat /root/.ssh/id_ed25519.pub")
    run("node-b", f"grep -qF '{key}' /root/.ssh/authorized_keys || echo '{key}' >> /root/.ssh/authorized_keys")


@pytest.fixture
def unbound(programs: None) -> Iterator[None]:
    """No driver is bound to the bridge, on either host."""
    for host in HOSTS:
        run(host, "modprobe -r ntb_hw_amd; setpci -s 01:00.0 COMMAND=6:6")
    yield
    lab("ordering", "strict")


@pytest.fixture
def bound(programs: None) -> None:
    """The kernel's driver is bound on both hosts and sees the link."""
    for host in HOSTS:
        run(host, "modprobe ntb_hw_amd")
    for host in HOSTS:
        until("link up", host, f"cat /sys/kernel/debug/ntb_hw_amd/{NTB}/info", "Link Status -\t\tUp", 30)


@pytest.mark.parametrize("kind", ["spad", "read"])
@pytest.mark.parametrize("ordering", ["strict", "weak"])
def test_ordering(unbound: None, kind: str, ordering: str) -> None:
    """Strict: never old data. Weak: old data is seen, so this test would notice a rule that is missing."""
    lab("ordering", ordering)
    writer = start("node-a", f"/root/bridge/ordering {kind} write {SYSFS} {ROUNDS}")
    found = re.search(r"stale (\d+) of", run("node-b", f"/root/bridge/ordering {kind} check {SYSFS} {ROUNDS}"))
    assert writer.wait() == 0
    assert found
    print(f"{ordering} {kind}: {found[0]} {ROUNDS}")
    if ordering == "strict":
        assert int(found[1]) == 0
    else:
        assert int(found[1]) > 0


def test_driver_binds_both_sides(bound: None) -> None:
    for host, topology in zip(HOSTS, ("NTB_TOPO_PRI", "NTB_TOPO_SEC"), strict=True):
        info = link_info(host)
        assert topology in info
        assert re.search(r"MSIX Vector Count -\t24", info)
        assert re.search(r"Memory Window Count -\t2", info)


def test_pingpong(bound: None) -> None:
    for host in HOSTS:
        run(host, "modprobe ntb_pingpong delay_ms=5")
    time.sleep(5)
    counts = [int(run(host, f"cat /sys/kernel/debug/ntb_pingpong/{NTB}/count")) for host in HOSTS]
    for host in HOSTS:
        run(host, "modprobe -r ntb_pingpong")
    print(f"ping-pongs in about 5 s: {counts}")
    assert min(counts) > 20


@pytest.fixture
def selftest(bound: None) -> str:
    """The kernel's ntb_test.sh. 7.2's gives ntb_tool addresses as that prints them, which that takes in decimal only."""
    script = "/root/bridge/ntb_test.sh"
    in_decimal = r's/write_file "\($MW_DMA_ADDR\):/write_file "$((\1)):/'
    run("node-a", f"! grep -q '%llu:%zu' /root/bridge/ntb_tool.ko || sed -i {shlex.quote(in_decimal)} {script}")
    return script


@pytest.mark.long
def test_kernels_selftest(selftest: str) -> None:
    """ntb_test.sh: ntb_tool, ntb_pingpong and ntb_perf.

    ntb_hw_amd cannot take the link down, but says that it can, so the script waits for ever unless somebody pulls
    out the cable. That is done here, at the words it prints, and the cable is plugged in again for what follows.
    """
    script = start("node-a", f"timeout 900 bash {selftest} -r node-b -p 20 -w 0x100000 {NTB} {NTB}")
    assert script.stdout is not None
    lines: list[str] = []
    link_tests = 0
    for line in script.stdout:
        print(line, end="", flush=True)
        if line.startswith("Running port tests") and not lines[1:]:
            lab("link", "down")
        if line.startswith("Running link tests"):
            link_tests += 1
            if link_tests == 2:
                lab("link", "up")
        lines.append(line.strip())
    text = "\n".join(lines)
    assert script.wait() == 0, text
    assert lines.count("Passed") == 13, text
    assert "copied 1048576 bytes" in text


def test_pulled_cable_is_noticed_on_both_sides(bound: None) -> None:
    lab("link", "down")
    for host in HOSTS:
        until("link down", host, f"cat /sys/kernel/debug/ntb_hw_amd/{NTB}/info", "Link Status -\t\tDown", 10)
    lab("link", "up")
    for host in HOSTS:
        until("link up", host, f"cat /sys/kernel/debug/ntb_hw_amd/{NTB}/info", "Link Status -\t\tUp", 10)


def test_reset_peer_is_noticed_and_comes_back(bound: None) -> None:
    lab("host", "reset", "node-b")
    info = f"cat /sys/kernel/debug/ntb_hw_amd/{NTB}/info"
    assert until("link down", "node-a", info, "Link Status -\t\tDown", 10) < 10
    state = json.loads(lab("status", "--json"))
    assert not state["links"]["ab"]["sides"][1]["ready"]
    until("node-b", "node-b", "modprobe ntb_hw_amd && echo it is back", "it is back", 300)
    until("link up", "node-a", info, "Link Status -\t\tUp", 30)
