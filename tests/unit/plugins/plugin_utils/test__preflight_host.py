# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import series_of, version_of
from ansible_collections.pcie.device_lending.plugins.plugin_utils._preflight import evaluate

from .preflight_probe import BUILD, HOSTS, LINKS, PLAN, RELEASE, only, run

RHEL = {"name": "Red Hat Enterprise Linux 9.4 (Plow)", "families": ["rhel", "fedora"]}


@pytest.mark.parametrize("option", ["CONFIG_PCI_MSI", "CONFIG_MODULES"])
def test_kernel_options(probe, option):
    probe["kernel"]["config"][option] = "n"
    only(run(probe), option, RELEASE)


def test_unreadable_kernel_configuration_is_a_warning(probe):
    probe["kernel"]["config"] = None
    assert run(probe) == []
    only(run(probe, severity="warning"), "cannot be read")


def test_other_machine(probe):
    probe["machine"] = "aarch64"
    only(run(probe), "aarch64")


def test_no_headers(probe):
    build = dict(BUILD, kernels={RELEASE: {"headers": None}})
    only(run(probe, build=build, build_host="builder"), "builder has no headers", "linux-headers-" + RELEASE)


def test_no_kernel_source(probe):
    only(run(probe, build=dict(BUILD, sources={}), build_host="builder"), "linux-source-6.12")


def test_kernel_source_of_another_version(probe):
    only(run(probe, build=dict(BUILD, sources={"6.12": "6.12.117"}), build_host="builder"), "6.12.117, not 6.12.107")


def test_a_release_that_does_not_tell_its_version_is_not_compared(probe):
    probe["kernel"]["release"] = "6.1.0-37-amd64"
    build = dict(BUILD, kernels={"6.1.0-37-amd64": {"headers": "/x"}}, sources={"6.1": "6.1.140"})
    assert run(probe, build=build, build_host="builder") == []


def test_kernels_own_ntb_drivers_need_no_source(probe):
    probe["kernel"]["ntb_modules"] = True
    assert run(probe, build=dict(BUILD, sources={}), build_host="builder") == []


def test_no_compiler(probe):
    only(run(probe, build=dict(BUILD, programs={"gcc": False, "make": True}), build_host="builder"), "has no gcc.")


@pytest.mark.parametrize(
    ("release", "version", "series"),
    [(RELEASE, "6.12.107", "6.12"), ("6.1.0-37-amd64", "6.1.0", "6.1"), ("7.2.12+deb13-amd64", "7.2.12", "7.2")],
)
def test_series(release, version, series):
    assert (version_of(release), series_of(release)) == (version, series)


def test_a_build_host_that_cannot_be_reached_is_named(probe):
    only(run(probe, build={"unreachable": "no route"}, build_host="builder"), "builder cannot be reached (no route)")


@pytest.mark.parametrize(
    ("security", "config"),
    [
        ({"enforced": ["the kernel is locked down (integrity)"]}, {}),
        ({"enforced": ["module signatures are enforced"]}, {}),
        ({}, {"CONFIG_MODULE_SIG_FORCE": "y"}),
    ],
)
def test_unsigned_modules_where_signatures_are_enforced(probe, security, config):
    probe["security"].update(security)
    probe["kernel"]["config"].update(config)
    only(run(probe), "device_lending_kmod_signing_key")
    assert run(probe, signed=True) == []
    assert run(probe, modules=False) == []


def test_secure_boot_that_enforces_nothing_is_no_fault(probe):
    probe["security"]["secure_boot"] = True
    assert evaluate(probe, "node-a", PLAN, HOSTS, links=LINKS) == []
    probe["security"]["hidden"] = True
    only(run(probe, severity="warning"), "does not show whether")


def test_a_key_that_is_not_enrolled(probe):
    probe["security"].update(enforced=["module signatures are enforced"], trusted=["Debian Secure Boot CA"])
    build = dict(BUILD, signer="our key")
    only(run(probe, signed=True, build=build, build_host="builder"), "does not trust", "our key", "mokutil --import")
    probe["security"]["trusted"].append("Example: our key")
    assert run(probe, signed=True, build=build, build_host="builder") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"python": "3.9"}, "its Python is 3.9, and the daemons need 3.11"),
        ({"missing_packages": None}, "there is no dpkg on this host"),
        ({"system": RHEL, "missing_packages": None}, "Enterprise Linux 9.4 (Plow). The roles install Debian packages"),
        ({"system": RHEL}, "it runs Red Hat Enterprise Linux 9.4 (Plow)"),
        ({"unwritable": ["/lib/modules", "/usr/local/bin"]}, "/lib/modules, /usr/local/bin cannot be written to"),
    ],
)
def test_surroundings(probe, change, words):
    probe.update(change)
    only(run(probe), words)


@pytest.mark.parametrize("families", [["debian"], ["ubuntu", "debian"], []])
def test_a_system_that_is_made_of_debian_is_taken(probe, families):
    probe["system"] = {"name": "some system", "families": families}
    assert run(probe) == []


@pytest.mark.parametrize("value", ["y", "m"])
def test_ntb_modules_that_are_in_a_package_of_their_own(probe, value):
    probe["kernel"]["config"]["CONFIG_NTB"] = value
    words = "apt-get install linux-modules-extra-" + RELEASE
    only(run(probe, build=dict(BUILD, sources={}), build_host="builder"), words)
    probe["kernel"]["ntb_modules"] = True
    assert run(probe) == []


def test_headers_that_the_build_does_not_find(probe):
    build = dict(BUILD, kernels={RELEASE: {"headers": None, "stray_headers": "/usr/src/linux-headers-x"}})
    only(
        run(probe, build=build, build_host="builder"), "ln -s /usr/src/linux-headers-x /lib/modules/%s/build" % RELEASE
    )


def test_a_kernel_that_clang_built(probe):
    build = dict(BUILD, programs={"gcc": True, "make": True, "clang": False, "ld.lld": True})
    assert run(probe, build=build, build_host="builder") == []
    probe["kernel"]["config"]["CONFIG_CC_IS_CLANG"] = "y"
    only(run(probe, build=build, build_host="builder"), "builder has no clang", "apt-get install clang lld llvm")
    build["programs"].update(clang=True, gcc=False)
    assert run(probe, build=build, build_host="builder") == []


OTHER = "6.12.117+deb13-amd64"
DKMS = {
    "program": True,
    "missing_packages": [],
    "sources": True,
    "unbuilt": [],
    "certificate": "/var/lib/dkms/mok.pub",
    "build": dict(BUILD, kernels={}, signer="DKMS module signing key"),
}


def by_dkms(probe, severity="error", signed=False, **more):
    """What is said where DKMS builds on the host itself."""
    probe["dkms"] = {**DKMS, **more}
    return run(probe, severity=severity, builder="dkms", signed=signed)


def test_where_dkms_has_built_nothing_is_asked(probe):
    """Sources of another version do no harm any more."""
    assert by_dkms(probe, build=dict(BUILD, sources={"6.12": "6.12.117"})) == []
    assert by_dkms(probe, severity="warning") == []


def test_a_host_without_dkms(probe):
    only(by_dkms(probe, program=False), "dkms is not installed", "device_lending_kmod_dkms_packages")
    assert by_dkms(probe, program=False, missing_packages=["dkms"]) == []


def test_what_dkms_lacks_for_the_kernel_that_runs(probe):
    found = by_dkms(probe, unbuilt=[RELEASE], build=dict(BUILD, kernels={RELEASE: {"headers": None}}))
    only(found, "this host has no headers of kernel " + RELEASE, "Install linux-headers-%s, or" % RELEASE)
    found = by_dkms(probe, unbuilt=[RELEASE], build=dict(BUILD, sources={}))
    only(found, "this host has no linux-source-6.12", "Install linux-source-6.12.")
    found = by_dkms(probe, unbuilt=[RELEASE], build=dict(BUILD, programs={"make": False}))
    only(found, "this host has no make. Run apt-get install build-essential xz-utils.")
    assert by_dkms(probe, unbuilt=[RELEASE], build=BUILD) == []


def test_what_the_role_installs_is_not_missed(probe):
    missing = ["linux-headers-amd64"]
    assert by_dkms(probe, unbuilt=[RELEASE], build={"kernels": {}}, missing_packages=missing) == []


def test_another_kernel_that_dkms_cannot_build_for_is_a_warning(probe):
    build = dict(BUILD, kernels={OTHER: {"headers": "/x", "ntb_modules": False}})
    assert by_dkms(probe, unbuilt=[OTHER], build=build) == []
    only(
        by_dkms(probe, severity="warning", unbuilt=[OTHER], build=build),
        "kernel %s is installed, and would not lend after a boot" % OTHER,
        "linux-source-6.12 on this host is 6.12.107, not 6.12.117",
    )
    build["kernels"][OTHER]["ntb_modules"] = True
    assert by_dkms(probe, severity="warning", unbuilt=[OTHER], build=build) == []


def test_the_build_hosts_key_is_not_for_dkms(probe):
    only(by_dkms(probe, signed=True), "device_lending_kmod_signing_key", "/etc/dkms/framework.conf")


def test_whom_dkms_signs_as_is_trusted_or_not(probe):
    probe["security"].update(enforced=["module signatures are enforced"], trusted=["Debian Secure Boot CA"])
    only(by_dkms(probe), "does not trust the certificate of DKMS module signing key", "--import /var/lib/dkms/mok.pub")
    only(by_dkms(probe, build=dict(BUILD, signer=None)), "/var/lib/dkms/mok.pub, which is not there", "Make the key first")
    probe["security"]["trusted"].append("DKMS module signing key")
    assert by_dkms(probe) == []


def test_ubuntu_has_no_package_of_debians_for_headers(probe):
    probe["system"] = {"name": "Ubuntu 24.04.1 LTS", "families": ["ubuntu", "debian"]}
    missing = ["linux-headers-amd64", "linux-source"]
    only(
        by_dkms(probe, missing_packages=missing),
        "it runs Ubuntu 24.04.1 LTS, which has no linux-headers-amd64 or linux-source that fits",
        "linux-headers-generic",
    )
    assert by_dkms(probe, missing_packages=["linux-headers-generic"]) == []


def test_ubuntus_kernels_have_their_drivers_in_a_package_or_not_at_all(probe):
    probe["system"] = {"name": "Ubuntu 24.04.1 LTS", "families": ["ubuntu", "debian"]}
    only(run(probe, build=dict(BUILD, sources={}), build_host="builder"), "linux-modules-extra-RELEASE", "flavour generic")
    probe["kernel"]["config"]["CONFIG_NTB"] = "m"
    only(run(probe, build=BUILD, build_host="builder"), "apt-get install linux-modules-extra-%s" % RELEASE)
    probe["kernel"]["ntb_modules"] = True
    assert run(probe, build=dict(BUILD, sources={}), build_host="builder") == []


def test_what_others_build_with_dkms_is_not_looked_at(probe):
    probe["dkms"] = dict(DKMS, program=False)
    assert run(probe, builder="dkms", modules=False, signed=True) == []
