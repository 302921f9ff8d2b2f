# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host looks like before anything is changed on it.

Private to the collection. Everything is read, nothing is written. All paths are taken relative to a root, so that a
test can show this code a host that does not exist.
"""

from __future__ import annotations

import glob
import os
import re
import struct

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError, Daemon, DaemonSilent
from ansible_collections.pcie.device_lending.plugins.module_utils._kernels import installed_kernels

# The PCI functions that the NTB drivers of Linux bind: vendor -> {device: indexes of the BARs that are windows}.
# None stands for every function of that vendor with the class "other bridge"; an empty tuple for "not fixed".
NTB_IDS: dict = {
    "1022": {
        "145b": (1, 2, 4),
        "148b": (2, 4),
        "14c0": (2, 4),
        "14c3": (2, 4),
        "155a": (2, 4),
        "17d4": (2, 4),
        "17d7": (2, 4),
    },
    "1d94": {"145b": (1, 2, 4)},
    "8086": dict.fromkeys(
        ("3725 3726 3727 3c0d 3c0e 3c0f 0e0d 0e0e 0e0f 2f0d 2f0e 2f0f 6f0d 6f0e 6f0f 201c 347e 0db4").split(),
        (2, 4),
    ),
    "111d": dict.fromkeys("8088 808a 808c 808e 808f 8090 8091 8092".split(), ()),
    "104c": {"b00d": (2, 3, 4, 5)},
    "1957": {"0809": (4, 5)},
    "1912": {"0030": (2,)},
    "11f8": {None: ()},
}

# Which in-tree driver binds them.
NTB_DRIVERS = {
    "1022": "ntb_hw_amd",
    "1d94": "ntb_hw_amd",
    "8086": "ntb_hw_intel",
    "111d": "ntb_hw_idt",
    "11f8": "switchtec",
    "104c": "ntb_hw_epf",
    "1957": "ntb_hw_epf",
    "1912": "ntb_hw_epf",
}

# Options that decide whether ntb_lend can be built and work.
KERNEL_OPTIONS = (
    "CONFIG_MODULES",
    "CONFIG_MODVERSIONS",
    "CONFIG_MODULE_SIG_FORCE",
    "CONFIG_PCI",
    "CONFIG_PCI_MSI",
    "CONFIG_IRQ_REMAP",
    "CONFIG_IOMMU_DMA",
    "CONFIG_AMD_IOMMU",
    "CONFIG_INTEL_IOMMU",
    "CONFIG_NTB",
    "CONFIG_SYSFS",
    "CONFIG_NET",
)

IORESOURCE_IO = 0x00000100
IORESOURCE_MEM = 0x00000200
IORESOURCE_PREFETCH = 0x00002000
IORESOURCE_MEM_64 = 0x00100000

# What building a kernel module takes.
BUILD_PROGRAMS = ("bash", "gcc", "make", "tar", "xz")
PROGRAM_DIRECTORIES = ("/usr/local/bin", "/usr/bin", "/bin")

# What the names of what the roles bring to a host begin with.
STAGED = "device-lending-"

# The file that is written last into a directory that was brought to a host.
COMPLETE = ".complete"

PCI_EXT_CAP_ID_DSN = 0x0003


class UnansweredError(Exception):
    """A daemon runs, but has not answered in time."""


def ask_daemon(path, request, timeout=30.0):
    """The answer to one GET as data, or None when there is no daemon that gives one; UnansweredError after seconds."""
    try:
        return Daemon(path, timeout).get(request)
    except DaemonSilent as exc:
        raise UnansweredError("GET %s within %g seconds" % (request, timeout)) from exc
    except ApiError:
        return None


def parse_resource(text):
    """The BARs of a function from its sysfs file `resource`: one line (start, end, flags) for each."""
    bars = []
    for index, line in enumerate(text.splitlines()[:6]):
        fields = line.split()
        if len(fields) != 3:
            continue
        start, end, flags = (int(field, 16) for field in fields)
        if not flags or end <= start:
            continue
        bars.append(
            {
                "index": index,
                "start": start,
                "size": end - start + 1,
                "memory": bool(flags & IORESOURCE_MEM),
                "prefetchable": bool(flags & IORESOURCE_PREFETCH),
                "wide": bool(flags & IORESOURCE_MEM_64),
            }
        )
    return bars


def parse_serial(config):
    """The Device Serial Number capability of a function from its configuration space, or None."""
    offset = 0x100
    for dummy in range(96):
        if offset < 0x100 or offset + 12 > len(config):
            return None
        header = struct.unpack_from("<I", config, offset)[0]
        if header in (0, 0xFFFFFFFF):
            return None
        if header & 0xFFFF == PCI_EXT_CAP_ID_DSN:
            low, high = struct.unpack_from("<II", config, offset + 4)
            octets = struct.pack(">II", high, low)
            return "-".join("%02x" % octet for octet in octets)
        offset = (header >> 20) & 0xFFC
    return None


def parse_config(text, options=KERNEL_OPTIONS):
    """The wanted options out of a kernel's configuration file: y, m or n."""
    found = dict.fromkeys(options, "n")
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator and name in found:
            found[name] = value.strip()
    return found


def parse_dpkg_status(text, names):
    """Which of the named packages are installed, from dpkg's status file."""
    installed = set()
    for stanza in text.split("\n\n"):
        match = re.match(r"Package: (\S+)\n", stanza)
        if match and match.group(1) in names and "\nStatus: install ok installed" in stanza:
            installed.add(match.group(1))
    return sorted(installed)


def ntb_bars(vendor, device, pci_class):
    """The window BARs of an NTB function as a tuple (empty: not fixed), or None when it is no NTB function."""
    devices = NTB_IDS.get(vendor)
    if devices is None:
        return None
    if None in devices:
        return devices[None] if pci_class.startswith("0680") else None
    return devices.get(device)


class Host:
    """Reads one host below a root directory."""

    def __init__(self, root="/", ask=ask_daemon, open_exclusive=True):
        self.root = root.rstrip("/")
        self.ask = ask
        self.open_exclusive = open_exclusive

    def path(self, name):
        return self.root + name

    def read(self, name, default=None):
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as handle:
                return handle.read().strip()
        except OSError:
            return default

    def read_bytes(self, name):
        try:
            with open(self.path(name), "rb") as handle:
                return handle.read(4096)
        except OSError:
            return b""

    def names(self, name):
        try:
            return sorted(os.listdir(self.path(name)))
        except OSError:
            return []

    def link(self, name):
        try:
            return os.path.basename(os.readlink(self.path(name)))
        except OSError:
            return None

    # The kernel

    def kernel(self, release):
        text = None
        for name in ("/boot/config-%s" % release, "/lib/modules/%s/config" % release):
            text = self.read(name)
            if text is not None:
                break
        if text is None:
            text = self.compressed_config()
        return {
            "release": release,
            "config": parse_config(text) if text is not None else None,
            "headers": self.headers(release),
            "ntb_modules": self.has_ntb_modules(release),
            "command_line": self.read("/proc/cmdline", ""),
        }

    def compressed_config(self):
        try:
            import gzip

            with gzip.open(self.path("/proc/config.gz"), "rt", encoding="utf-8") as handle:
                return handle.read()
        except (ImportError, OSError):
            return None

    def headers(self, release):
        """Where the kernel's build tree is, or None."""
        for name in ("/lib/modules/%s/build" % release, "/usr/src/linux-headers-%s" % release):
            if os.path.exists(self.path(name) + "/Makefile"):
                return name
        return None

    def has_ntb_modules(self, release):
        """Whether the kernel brings its own NTB core, as a module or built in."""
        directory = "/lib/modules/%s" % release
        if glob.glob(self.path(directory + "/kernel/drivers/ntb/ntb.ko*")):
            return True
        return "/ntb/ntb.ko" in (self.read(directory + "/modules.builtin") or "")

    def sources(self):
        """The distribution's linux-source archives on this host: series -> version of the package, or None."""
        found: dict = {}
        for name in self.names("/usr/src"):
            match = re.match(r"linux-source-([0-9]+\.[0-9]+)\.tar\.(?:xz|zst|gz)$", name)
            if match:
                found[match.group(1)] = None
        status = self.read("/var/lib/dpkg/status", "") if found else ""
        for series in found:
            match = re.search(
                r"^Package: linux-source-%s\n(?:.+\n)*?Version: ([0-9.]+)" % re.escape(series), status, re.MULTILINE
            )
            if match:
                found[series] = match.group(1)
        return found

    def security(self):
        secure_boot = None
        for name in glob.glob(self.path("/sys/firmware/efi/efivars/SecureBoot-*")):
            octets = self.read_bytes(name[len(self.root) :])
            secure_boot = bool(octets[4:5] == b"\x01")
        if secure_boot is None and not os.path.isdir(self.path("/sys/firmware/efi")):
            secure_boot = False
        lockdown = re.search(r"\[(\w+)\]", self.read("/sys/kernel/security/lockdown", ""))
        enforce = self.read("/sys/module/module/parameters/sig_enforce")
        return {
            "secure_boot": secure_boot,
            "lockdown": lockdown.group(1) if lockdown else None,
            "signatures_enforced": enforce == "Y",
        }

    def iommu(self):
        return {"units": self.names("/sys/class/iommu")}

    def module(self, name):
        directory = "/sys/module/%s" % name
        if not os.path.isdir(self.path(directory)):
            return None
        return {
            "version": self.read(directory + "/version"),
            "srcversion": self.read(directory + "/srcversion"),
            "references": int(self.read(directory + "/refcnt", "0") or 0),
        }

    def missing_packages(self, names):
        """Which of the packages dpkg does not know as installed; None where there is no dpkg."""
        text = self.read("/var/lib/dpkg/status")
        if text is None:
            return None
        installed = parse_dpkg_status(text, set(names))
        return [name for name in names if name not in installed]

    def staged(self, directory):
        """What was brought here whole: archives, and directories that carry the mark of a complete one."""
        return [
            name
            for name in self.names(directory)
            if name.startswith(STAGED)
            and (
                os.path.isfile(self.path("%s/%s" % (directory, name)))
                or os.path.isfile(self.path("%s/%s/%s" % (directory, name, COMPLETE)))
            )
        ]

    # PCI functions

    def function(self, address):
        directory = "/sys/bus/pci/devices/%s" % address
        vendor = self.read(directory + "/vendor", "0x").replace("0x", "")
        device = self.read(directory + "/device", "0x").replace("0x", "")
        pci_class = self.read(directory + "/class", "0x").replace("0x", "")
        found = {
            "address": address,
            "vendor": vendor,
            "device": device,
            "class": pci_class,
            "driver": self.link(directory + "/driver"),
            "override": self.read(directory + "/driver_override", "") or "",
            "iommu_group": self.link(directory + "/iommu_group"),
            "bars": parse_resource(self.read(directory + "/resource", "")),
            "serials": self.serials(address),
            "boot_display": self.read(directory + "/boot_vga") == "1",
            "reset": (self.read(directory + "/reset_method", "") or "").split(),
            "virtual_total": int(self.read(directory + "/sriov_totalvfs", "0") or 0),
            "virtual_functions": sum(name.startswith("virtfn") for name in self.names(directory)),
        }
        physical = self.link(directory + "/physfn")
        if physical:
            found["physical_function"] = physical
            found["virtual_index"] = self.virtual_index(physical, address)
        windows = ntb_bars(vendor, device, pci_class)
        if windows is not None:
            found["ntb"] = {
                "driver": NTB_DRIVERS[vendor],
                "windows": [entry["size"] for entry in found["bars"] if entry["index"] in windows and entry["memory"]],
            }
        return found

    def virtual_index(self, physical, address):
        """The number of a virtual function, or None."""
        directory = "/sys/bus/pci/devices/%s" % physical
        for name in self.names(directory):
            if name.startswith("virtfn") and self.link(directory + "/" + name) == address:
                return int(name[len("virtfn") :])
        return None

    def functions(self):
        return [self.function(address) for address in self.names("/sys/bus/pci/devices")]

    def serials(self, address):
        """What may be called the serial number of a function: the one PCIe has, and that of its NVMe controller."""
        directory = "/sys/bus/pci/devices/%s" % address
        found = []
        serial = parse_serial(self.read_bytes(directory + "/config"))
        if serial:
            found.append(serial)
        for name in self.names(directory + "/nvme"):
            serial = self.read("%s/nvme/%s/serial" % (directory, name))
            if serial and serial not in found:
                found.append(serial)
        return found

    # What uses a function

    def block_devices(self, address):
        """The names of the whole block devices that a function carries."""
        directory = self.path("/sys/bus/pci/devices/%s" % address)
        top = os.path.realpath(directory)
        found = set()
        for name in self.names("/sys/block"):
            path = os.path.realpath(self.path("/sys/block/" + name))
            if (path + "/").startswith(top + "/"):
                found.add(name)
        # A namespace of a multipath NVMe subsystem hangs below the subsystem, not below the controller.
        for controller in self.names("/sys/bus/pci/devices/%s/nvme" % address):
            for link in glob.glob(self.path("/sys/class/nvme-subsystem/*/" + controller)):
                for path in glob.glob(os.path.dirname(link) + "/nvme*n*"):
                    if os.path.exists(self.path("/sys/block/" + os.path.basename(path))):
                        found.add(os.path.basename(path))
        return sorted(name for name in found if not re.match(r"nvme\d+c\d+n\d+$", name))

    def mounts(self):
        """What is mounted: block device number or source -> mount point."""
        found: dict = {}
        for line in self.read("/proc/self/mountinfo", "").splitlines():
            fields = line.split(" ")
            if len(fields) < 10 or "-" not in fields:
                continue
            source = fields[fields.index("-") + 2]
            found.setdefault(fields[2], fields[4])
            if source.startswith("/dev/"):
                found.setdefault(source, fields[4])
        return found

    def block_users(self, name, mounts=None, swaps=None):
        """Why a block device or one of its partitions is in use, in words."""
        if mounts is None:
            mounts = self.mounts()
        if swaps is None:
            swaps = [line.split()[0] for line in self.read("/proc/swaps", "").splitlines()[1:] if line.split()]
        users = []
        directory = "/sys/block/" + name
        parts = [(directory, name)]
        parts += [
            (directory + "/" + part, part)
            for part in self.names(directory)
            if part.startswith(name) and self.read(directory + "/" + part + "/partition")
        ]
        for path, part in parts:
            point = mounts.get(self.read(path + "/dev", "")) or mounts.get("/dev/" + part)
            if point:
                users.append("/dev/%s is mounted on %s" % (part, point))
            if "/dev/" + part in swaps:
                users.append("/dev/%s is swap space" % part)
            for holder in self.names(path + "/holders"):
                users.append("/dev/%s is used by %s" % (part, self.read("/sys/block/%s/dm/name" % holder, holder)))
        if not users and self.open_exclusive and self.exclusively_held(name):
            users.append("/dev/%s is held open for exclusive use" % name)
        return users

    def exclusively_held(self, name):
        try:
            descriptor = os.open(self.path("/dev/" + name), os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            return error.errno == 16
        os.close(descriptor)
        return False

    def interfaces(self, address):
        directory = "/sys/bus/pci/devices/%s" % address
        found = self.names(directory + "/net")
        for path in glob.glob(self.path(directory + "/virtio*/net/*")):
            found.append(os.path.basename(path))
        return found

    def default_routes(self):
        """The interfaces that hold a default route."""
        found = set()
        for line in self.read("/proc/net/route", "").splitlines()[1:]:
            fields = line.split()
            if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
                found.add(fields[0])
        for line in self.read("/proc/net/ipv6_route", "").splitlines():
            fields = line.split()
            if len(fields) == 10 and fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
                found.add(fields[9])
        return found

    def interface_users(self, name, routes=None):
        users = []
        if name in (self.default_routes() if routes is None else routes):
            users.append("%s holds the default route" % name)
        master = self.link("/sys/class/net/%s/master" % name)
        if master:
            users.append("%s is a port of %s" % (name, master))
        for upper in self.names("/sys/class/net/" + name):
            if upper.startswith("upper_"):
                if upper[6:] != master:
                    users.append("%s is used by %s" % (name, upper[6:]))
        return users

    def busy(self, address):
        """Why a function cannot be taken from its host now, in words."""
        users = []
        mounts = self.mounts()
        for name in self.block_devices(address):
            users += self.block_users(name, mounts)
        routes = self.default_routes()
        for name in self.interfaces(address):
            users += self.interface_users(name, routes)
        if self.read("/sys/bus/pci/devices/%s/boot_vga" % address) == "1":
            users.append("it is the display that the firmware started with")
        return users

    # The daemons

    def daemon(self, name, directory, requests):
        """The answers of a daemon by request, or None when it does not run; `unanswered` says what it kept back."""
        path = "%s/%s.sock" % (directory, name)
        if not os.path.exists(self.path(path)):
            return None
        answers: dict = {}
        for request in requests:
            try:
                answer = self.ask(self.path(path), "/v1/" + request)
            except UnansweredError as exc:
                answers["unanswered"] = str(exc)
                return answers
            if answer is None:
                return answers or None
            answers[request] = answer.get(request, answer)
        return answers


def is_borrowed(function):
    """Whether a function is another host's: those are in PCI domains that no firmware numbers."""
    return len(function["address"].split(":")[0]) > 4


def busy_wanted(function, selectors):
    """Whether a selector may mean this function."""
    for selector in selectors:
        if selector.get("address") == function["address"]:
            return True
        if selector.get("serial") and selector["serial"] in function["serials"]:
            return True
        if selector.get("vendor") == function["vendor"] and selector.get("device") == function["device"]:
            return True
        if selector.get("physical_function") and selector.get("index") == function.get("virtual_index"):
            return True
    return False


def look(host, release, machine, selectors=(), packages=(), runtime_directory="/run/device-lending", staging=None):
    """Everything that the evaluation on the controller needs to know of one host."""
    functions = host.functions()
    for function in functions:
        if is_borrowed(function) or busy_wanted(function, selectors):
            function["busy"] = [] if function["driver"] == "ntb_lend" else host.busy(function["address"])
    return {
        "machine": machine,
        "kernel": host.kernel(release),
        "installed_kernels": installed_kernels(host.path("/")),
        "security": host.security(),
        "iommu": host.iommu(),
        "module": host.module("ntb_lend"),
        "functions": functions,
        "missing_packages": host.missing_packages(packages),
        "staged": host.staged(staging) if staging else [],
        "ownerd": host.daemon("ownerd", runtime_directory, ("status", "links", "devices", "grants", "leases")),
        "borrowerd": host.daemon("borrowerd", runtime_directory, ("status", "links", "attachments")),
    }


def look_for_builds(host, releases, staging=None):
    """What a build host has for the kernels that modules are to be built for."""
    return {
        "kernels": {
            release: {"headers": host.headers(release), "ntb_modules": host.has_ntb_modules(release)}
            for release in releases
        },
        "sources": host.sources(),
        "staged": host.staged(staging) if staging else [],
        "programs": {
            name: any(os.access(host.path("%s/%s" % (directory, name)), os.X_OK) for directory in PROGRAM_DIRECTORIES)
            for name in BUILD_PROGRAMS
        },
    }
