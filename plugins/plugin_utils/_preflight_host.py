# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a host itself will not work: kernel, signatures, file systems, and the host that builds for it.

Private to the collection. Pure: no I/O, no Ansible.
"""

from __future__ import annotations

from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import is_source_of, series_of, version_of
from ansible_collections.pcie.device_lending.plugins.module_utils._pci.security import trusts

# The daemons' floor; see daemon/pyproject.toml.
OLDEST_PYTHON = (3, 11)
# What the system has to be made of, as os-release(5) calls it.
FAMILY = "debian"
# What Debian alone has under that name, of the packages that DKMS takes.
DEBIANS_OWN = ("linux-headers-amd64", "linux-source")


def check_kernel(findings, probe):
    kernel = probe["kernel"]
    if probe.get("machine") not in (None, "x86_64"):
        findings.error(
            "the machine is %s; ntb_lend composes interrupts for x86-64 only. Take the host out of the group.",
            probe["machine"],
        )
    config = kernel.get("config")
    if config is None:
        findings.warning(
            "the configuration of kernel %s cannot be read (/boot/config-%s, /proc/config.gz), so it was not checked.",
            kernel["release"],
            kernel["release"],
        )
        return
    if config.get("CONFIG_NTB") in ("y", "m") and not kernel.get("ntb_modules"):
        findings.error(
            "kernel %s has CONFIG_NTB=%s, but its NTB modules are not there: they are in a package of their own. Run "
            "apt-get install linux-modules-extra-%s.",
            kernel["release"],
            config["CONFIG_NTB"],
            kernel["release"],
        )
    for option, why in (
        ("CONFIG_MODULES", "modules cannot be loaded"),
        ("CONFIG_PCI_MSI", "the interrupts of a borrowed device are messages"),
    ):
        if config.get(option) != "y":
            findings.error(
                "kernel %s has %s=%s: %s. Boot a kernel that has it.",
                kernel["release"],
                option,
                config.get(option),
                why,
            )


def check_surroundings(findings, probe):
    """Python, packages, and where the roles write to."""
    python = probe.get("python")
    if python and tuple(int(part) for part in python.split(".")[:2]) < OLDEST_PYTHON:
        findings.error(
            "its Python is %s, and the daemons need %d.%d or newer. Upgrade the system to a release that has it.",
            python,
            *OLDEST_PYTHON,
        )
    system = probe.get("system") or {}
    if system.get("families") and FAMILY not in system["families"]:
        findings.error(
            "it runs %s. The roles install Debian packages, by apt and dpkg, and modules are built with the headers and "
            "sources of Debian's kernels, in linux-headers and linux-source; docs/hosts.md says what is missing for other "
            "systems. Use Debian 12 or 13, or a system that is made of them.",
            system["name"],
        )
    elif probe.get("missing_packages", []) is None:
        findings.error(
            "there is no dpkg on this host, and the roles install Debian packages. Install pydantic, Starlette, uvicorn and "
            "PyYAML for its Python, and set device_lending_packages to []."
        )
    if probe.get("unwritable"):
        findings.error(
            "%s cannot be written to, as the file system is mounted read-only. Run mount -o remount,rw for it, or use a "
            "host whose system is no image.",
            ", ".join(probe["unwritable"]),
        )


def check_security(findings, probe, signed, build, build_host, by_dkms=False):
    """Whether the kernel will take the modules. Secure Boot alone does not tell: what is enforced counts."""
    found = probe.get("security") or {}
    config = probe["kernel"].get("config") or {}
    reasons = list(found.get("enforced") or [])
    if config.get("CONFIG_MODULE_SIG_FORCE") == "y" and not found.get("signatures_enforced"):
        reasons.append("module signatures are enforced")
    if not reasons:
        if found.get("hidden") and found.get("secure_boot") and not signed and not by_dkms:
            findings.warning(
                "Secure Boot is on, and the kernel does not show whether it refuses modules that nobody signed. If it does, "
                "set device_lending_kmod_signing_key and device_lending_kmod_signing_certificate to a key that it trusts."
            )
        return
    why = " and ".join(reasons)
    if by_dkms:
        _check_dkms_key(findings, probe.get("dkms") or {}, found.get("trusted"), why)
        return
    if not signed:
        findings.error(
            "%s, so the kernel will refuse a module that nobody signed. Set device_lending_kmod_signing_key and "
            "device_lending_kmod_signing_certificate to a key that this host trusts, or turn Secure Boot off.",
            why,
        )
        return
    signer, trusted = (build or {}).get("signer"), found.get("trusted")
    if signer and trusted and not trusts(trusted, signer):
        findings.error(
            "%s, and this host does not trust the certificate of %s that the build host %s signs with. Run mokutil --import "
            "with it, in DER form, on this host, and confirm it at the console at the next boot.",
            why,
            signer,
            build_host,
        )


def _check_dkms_key(findings, dkms, trusted, why):
    """Whether this host trusts the certificate that DKMS signs with. A key that the first build makes comes too late."""
    signer, path = (dkms.get("build") or {}).get("signer"), dkms.get("certificate")
    if path and not signer:
        findings.error(
            "%s, and DKMS signs with %s, which is not there, or no certificate. Make the key first, as docs/hosts.md has "
            "it, and have this host trust it: mokutil --import %s, reboot, and choose Enroll MOK at the console.",
            why,
            path,
            path,
        )
    elif signer and trusted and not trusts(trusted, signer):
        findings.error(
            "%s, and this host does not trust the certificate of %s that DKMS signs with. Run mokutil --import %s, in DER "
            "form, on this host, and confirm it at the console at the next boot.",
            why,
            signer,
            path,
        )


def check_build(findings, probe, build, build_host):
    """Whether the build host can build modules for the kernel of this host."""
    if not build:
        return
    release = probe["kernel"]["release"]
    if "unreachable" in build:
        findings.error(
            "the build host %s cannot be reached (%s), and the modules for kernel %s come from there. Bring it up, or set "
            "device_lending_build_host to another host.",
            build_host,
            build["unreachable"],
            release,
        )
        return
    for problem in unbuildable(probe, release, build, "the build host %s" % build_host, " there"):
        findings.error("%s", problem)


def check_dkms(findings, probe, signed):
    """Whether DKMS on the host itself can build for its kernels. What the role installs first is looked at after that."""
    if signed:
        findings.error(
            "device_lending_kmod_builder is dkms, which signs by a key of this host, and device_lending_kmod_signing_key is "
            "one of the build host. Leave that and device_lending_kmod_signing_certificate empty; mok_signing_key and "
            "mok_certificate in /etc/dkms/framework.conf name another key than DKMS' own."
        )
    found = probe.get("dkms")
    if not found:
        return
    missing = found["missing_packages"]
    if missing is None:
        # That there is no dpkg was said.
        return
    if not found["program"] and "dkms" not in missing:
        findings.error(
            "device_lending_kmod_builder is dkms, and dkms is not installed. Run apt-get install dkms, or have it in "
            "device_lending_kmod_dkms_packages."
        )
    wrong = [name for name in missing if name in DEBIANS_OWN]
    if wrong and _is_ubuntu(probe):
        findings.error(
            "it runs %s, which has no %s that fits. Set device_lending_kmod_dkms_packages to [dkms, build-essential, "
            "linux-headers-generic, xz-utils]; with another flavour of the kernel, to the headers of that.",
            probe["system"]["name"],
            " or ".join(wrong),
        )
    if missing:
        return
    for release in found["unbuilt"]:
        for problem in unbuildable(probe, release, found["build"], "this host", ""):
            if release == probe["kernel"]["release"]:
                findings.error("%s", problem)
            else:
                findings.warning("kernel %s is installed, and would not lend after a boot: %s", release, problem)


def unbuildable(probe, release, build, who, there):
    """What keeps modules from being built for a kernel, in words; who: the host that builds, there: how to refer to it."""
    found = (build.get("kernels") or {}).get(release) or {}
    series = series_of(release)
    if found.get("stray_headers"):
        yield (
            "%s has the headers of kernel %s in %s only, where the build does not look for them. Run "
            "mkdir -p /lib/modules/%s; ln -s %s /lib/modules/%s/build%s."
            % (who, release, found["stray_headers"], release, found["stray_headers"], release, there)
        )
    elif not found.get("headers"):
        yield (
            "%s has no headers of kernel %s, so no module can be built for it. Install "
            "linux-headers-%s%s, or boot this host with a kernel whose headers it has." % (who, release, release, there)
        )
    # Of other kernels than the one that runs, the configuration was not looked at.
    config = (probe["kernel"].get("config") or {}) if release == probe["kernel"]["release"] else {}
    is_clang = config.get("CONFIG_CC_IS_CLANG") == "y"
    needless = ("gcc",) if is_clang else ("clang", "ld.lld")
    programs = build.get("programs") or {}
    missing = sorted(name for name, is_there in programs.items() if not is_there and name not in needless)
    if missing:
        yield "%s has no %s%s. Run apt-get install %s%s." % (
            who,
            ", ".join(missing),
            ", and kernel %s was built by clang" % release if is_clang else "",
            "clang lld llvm make xz-utils" if is_clang else "build-essential xz-utils",
            there,
        )
    if _ships_drivers(probe, release, found, config):
        return
    sources = build.get("sources") or {}
    if _is_ubuntu(probe):
        # Its linux-source has another name and another place.
        yield (
            "kernel %s ships no NTB drivers, and Ubuntu's sources of it are none that they can be built from. Boot one of "
            "the flavour generic, and run apt-get install linux-modules-extra-RELEASE for its release." % release
        )
    elif series not in sources:
        yield (
            "kernel %s ships no NTB drivers, and %s has no linux-source-%s to build them from. Install "
            "linux-source-%s%s." % (release, who, series, series, there)
        )
    elif sources[series] and not is_source_of(sources[series], release):
        yield (
            "kernel %s ships no NTB drivers, and linux-source-%s on %s is %s, not %s. Install the version "
            "that the kernel was built from, or boot kernel %s."
            % (release, series, who, sources[series], version_of(release), sources[series])
        )


def _is_ubuntu(probe):
    return "ubuntu" in ((probe.get("system") or {}).get("families") or [])


def _ships_drivers(probe, release, found, config):
    if release != probe["kernel"]["release"]:
        return found.get("ntb_modules")
    return probe["kernel"].get("ntb_modules") or config.get("CONFIG_NTB") in ("y", "m")
