# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the role kmod goes about several kernels, and its cache; nothing is installed on the machine that runs this."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
RUNNING, OTHER = "6.12.9-none", "6.12.10-none"
CONTENT = b"not read in check mode"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HERE = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
}
ROLE = "- hosts: all\n  gather_facts: false\n  roles: [pcie.device_lending.kmod]\n"
# The variables of the role, without what it does.
SHOW = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: pcie.device_lending.kmod, tasks_from: verify}
    - ansible.builtin.debug: {msg: "{{ __kmod_dkms_missing | join(' ') }}."}
"""
FETCH = """\
- hosts: all
  gather_facts: false
  tasks:
    - pcie.device_lending.fetch_verified: {src: "{{ src }}", dest: "{{ dest }}", sha256: "{{ sha256 }}"}
"""


@pytest.fixture(name="play")
def play_fixture(tmp_path):
    """Return a function that runs a play on hosts that are this machine; it gives status, output and counts by host."""

    def play(text, *arguments, hosts=("node-a",), **variables):
        (tmp_path / "play.yml").write_text(text)
        inventory = {"all": {"hosts": dict.fromkeys(hosts), "vars": {**HERE, **variables}}}
        (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory))
        ended = subprocess.run(
            ["ansible-playbook", "-i", str(tmp_path / "inventory.yml"), str(tmp_path / "play.yml"), *arguments],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, " ".join((ended.stdout + ended.stderr).split())

    return play


def seen(tmp_path, **more):
    """Variables of a host that runs one kernel and has another one installed, as preflight has found it."""
    host = {
        "kernel": {"release": RUNNING, "version": "#1"},
        "installed_kernels": [RUNNING, OTHER],
        "builds": {RUNNING: "0" * 16, OTHER: "1" * 16},
        "staged": [],
        **more,
    }
    return {
        "__preflight_probe": {"host": host},
        "device_lending_staging": str(tmp_path / "staging"),
        "device_lending_cache": str(tmp_path / "cache"),
    }


def built(**others):
    """What a build host has made, given by kernel: the message of a failure, or none."""
    return {
        release: {"archive": "/nowhere", "sha256": None if message else SHA256, "message": message}
        for release, message in {RUNNING: "", OTHER: "", **others}.items()
    }


def given(builds):
    """Arguments that have a build taken as made."""
    return "-e", json.dumps({"__kmod_mine": [], "__kmod_builds": builds})


@pytest.mark.long
def test_a_host_says_why_there_are_no_modules_for_its_kernel(play, tmp_path):
    (tmp_path / "staging").mkdir()
    status, printed = play(ROLE, **seen(tmp_path))
    assert status != 0
    assert f"node-a: there are no modules for its kernel {RUNNING}" in printed, printed
    assert f"install linux-headers-{RUNNING}" in printed


@pytest.mark.long
def test_each_kernel_is_built_for_once(play, tmp_path):
    """Three hosts with the same two kernels and one build host."""
    (tmp_path / "staging").mkdir()
    hosts = ("node-a", "node-b", "node-c")
    status, printed = play(ROLE, hosts=hosts, **seen(tmp_path), device_lending_build_host="node-a")
    assert status != 0
    builds = [
        text for text in printed.split("TASK [")[1:] if text.startswith("pcie.device_lending.kmod : Build and sign]")
    ]
    assert len(builds) == 1
    assert [builds[0].count(f"(item={release})") for release in (RUNNING, OTHER)] == [1, 1], builds
    assert printed.count("fatal: ") == 3


def test_check_mode_with_an_empty_cache_predicts(play, tmp_path):
    status, printed = play(ROLE, "--check", *given(built()), **seen(tmp_path))
    assert status == 0, printed
    assert f"would install the modules for kernel {RUNNING}, {OTHER}" in printed
    assert "changed=1 " in printed
    assert not (tmp_path / "cache").exists()


def test_an_installed_kernel_that_cannot_be_built_for_is_named_and_stops_nothing(play, tmp_path):
    builds = built(**{OTHER: "There are no kernel headers for it."})
    status, printed = play(ROLE, "--check", *given(builds), **seen(tmp_path))
    assert status == 0, printed
    assert f"kernel {OTHER} is installed and gets no modules" in printed
    assert f"would install the modules for kernel {RUNNING} " in printed


def test_what_the_host_has_is_neither_fetched_nor_brought(play, tmp_path):
    """The module then looks at what was brought, which is nothing here."""
    staged = [f"device-lending-modules-{SHA256}.tar.gz", "device-lending-modules-0123456789ab.tar.gz"]
    status, printed = play(ROLE, "--check", *given(built()), **seen(tmp_path, staged=staged))
    assert status != 0
    assert "There is no ntb_lend.ko in" in printed, printed
    assert "would install" not in printed and "changed=0 " in printed


def by_dkms(tmp_path, **more):
    """Variables of a host whose DKMS has built nothing yet; the build host is none of the inventory."""
    found = {
        "missing_packages": [],
        "sources": False,
        "unbuilt": [RUNNING, OTHER],
        "build": {"kernels": {RUNNING: {"headers": "/usr/src"}}},
        **more,
    }
    return {
        **seen(tmp_path, dkms=found),
        "device_lending_kmod_builder": "dkms",
        "device_lending_build_host": "nobody",
    }


def test_where_dkms_builds_the_build_host_is_not_asked(play, tmp_path):
    status, printed = play(ROLE, "--check", **by_dkms(tmp_path))
    assert status == 0, printed
    assert f"would have DKMS build the modules for kernel {RUNNING}, {OTHER}" in printed
    assert "changed=1 " in printed and "nobody" not in printed


def test_dkms_does_not_sign_with_a_key_of_the_build_host(play, tmp_path):
    given = {"device_lending_kmod_signing_key": "/a", "device_lending_kmod_signing_certificate": "/b"}
    status, printed = play(ROLE, "--check", **by_dkms(tmp_path), **given)
    assert status != 0
    assert "device_lending_kmod_builder is dkms, which signs by a key of the host" in printed


@pytest.mark.long
def test_the_headers_of_the_kernel_that_runs_are_among_the_packages(play, tmp_path):
    """Those of the newest one need not fit it. With an empty list nobody has agreed to install any."""
    lacking = {"missing_packages": ["dkms"], "build": {"kernels": {RUNNING: {"headers": None}}}}
    skipped = {"__kmod_installed": {"skipped": True, "changed": False}}
    status, printed = play(SHOW, "--check", **by_dkms(tmp_path, **lacking), **skipped)
    assert status == 0 and f"dkms linux-headers-{RUNNING}." in printed, printed
    lacking["missing_packages"] = []
    status, printed = play(
        SHOW, "--check", **by_dkms(tmp_path, **lacking), **skipped, device_lending_kmod_dkms_packages=[]
    )
    assert status == 0 and "linux-headers" not in printed, printed


@pytest.fixture(name="source")
def source_fixture(tmp_path):
    """Return a file that a host has."""
    (tmp_path / "built").write_bytes(CONTENT)
    return {"src": str(tmp_path / "built"), "dest": str(tmp_path / "cache" / "kept"), "sha256": SHA256}


def test_what_was_built_is_fetched_once_for_all_hosts(play, tmp_path, source):
    status, printed = play(FETCH, hosts=("node-a", "node-b"), **source)
    assert status == 0, printed
    assert (tmp_path / "cache" / "kept").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "cache") == ["kept"]
    status, printed = play(FETCH, **source)
    assert status == 0 and "changed=0 " in printed, printed


def test_what_is_damaged_in_the_cache_is_fetched_again(play, tmp_path, source):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "kept").write_bytes(CONTENT[:5])
    status, printed = play(FETCH, "--check", **source)
    assert status == 0 and "changed=1 " in printed, printed
    assert (tmp_path / "cache" / "kept").read_bytes() == CONTENT[:5]
    status, printed = play(FETCH, **source)
    assert status == 0 and "changed=1 " in printed, printed
    assert (tmp_path / "cache" / "kept").read_bytes() == CONTENT


def test_another_file_than_that_which_was_built_is_not_kept(play, tmp_path, source):
    (tmp_path / "built").write_bytes(b"another")
    status, printed = play(FETCH, **source)
    assert status != 0 and "is not what was expected" in printed
    assert not (tmp_path / "cache").exists()


REMOVE = """\
- hosts: fabric
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: pcie.device_lending.kmod, tasks_from: remove}
"""


@pytest.fixture(name="staging")
def staging_fixture(tmp_path):
    """Return where things were brought to and built: here the same for all hosts, as all are this machine."""
    for name in ("device-lending-kmod-0123", "device-lending-built-6.1.0", "somebody-elses"):
        (tmp_path / "staging" / name).mkdir(parents=True)
    return {"device_lending_staging": str(tmp_path / "staging"), "device_lending_build_host": "builder"}


def cleared(printed):
    """Whose turn it was to clear the build host."""
    return [host for host in ("node-a", "node-b", "builder") if f"changed: [{host} -> builder" in printed]


@pytest.mark.parametrize(
    ("arguments", "times"),
    [
        pytest.param((), 1, marks=pytest.mark.long),
        pytest.param(("--limit", "fabric"), 0, marks=pytest.mark.long),
        pytest.param(("-e", "device_lending_build_host=node-b"), 0, marks=pytest.mark.long),
        pytest.param(("-e", "device_lending_kmod_builder=dkms"), 0, marks=pytest.mark.long),
    ],
)
def test_the_build_host_is_cleared_once_and_only_when_nobody_needs_it(play, tmp_path, staging, arguments, times):
    inventory = {"all": {"children": {"fabric": {"hosts": dict.fromkeys(("node-a", "node-b"))}}}}
    (tmp_path / "fabric.yml").write_text(yaml.safe_dump(inventory))
    extra = ("--check", "-i", str(tmp_path / "fabric.yml"), *arguments)
    status, printed = play(REMOVE, *extra, hosts=("builder", "node-a", "node-b"), **staging)
    assert status == 0, printed
    assert len(cleared(printed)) == times
    for host in ("node-a", "node-b"):
        removed = [name for name in os.listdir(tmp_path / "staging")
                   if f"changed: [{host}] => (item={tmp_path / 'staging' / name})" in printed]  # fmt: skip
        assert sorted(removed) == ["device-lending-built-6.1.0", "device-lending-kmod-0123"]
