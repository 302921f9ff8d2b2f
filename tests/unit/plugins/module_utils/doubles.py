# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stand-ins for what the units under test talk to: a daemon, commands, module files and a kernel's /sys."""

from __future__ import annotations

import struct

from ansible_collections.pcie.device_lending.plugins.module_utils._api import ApiError, DaemonAbsent


class FakeDaemon:
    """A daemon that answers from a table, and remembers what it was asked."""

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.requests = []

    def get(self, path):
        """Answer a GET."""
        return self._answer("GET", path, None)

    def put(self, path, body, extra_time=0):
        """Answer a PUT."""
        return self._answer("PUT", path, dict(body, extra_time=extra_time))

    def delete(self, path):
        """Answer a DELETE."""
        return self._answer("DELETE", path, None)

    def _answer(self, method, path, body):
        self.requests.append((method, path, body))
        answer = self.answers[f"{method} {path}"]
        if callable(answer):
            answer = answer(body)
        if isinstance(answer, Exception):
            raise answer
        return answer


class AbsentDaemon:
    """A daemon nobody has started."""

    def get(self, path):
        """Fail as an absent socket does."""
        raise DaemonAbsent(f"No daemon listens ({path})")

    def put(self, path, body, extra_time=0):
        """Fail as an absent socket does."""
        raise DaemonAbsent(f"No daemon listens ({path})")


def busy(message="device 0000:03:00.0 of lease 'nvme' is in use"):
    """Return the refusal of a daemon."""
    return ApiError(message, 409, {"code": "device_busy", "message": message, "name": "nvme"})


class Commands:
    """Runs nothing, remembers everything; what fails is given by the first words of the command."""

    def __init__(self, failures=None, effect=None):
        self.failures = failures or {}
        self.effect = effect
        self.ran = []

    def __call__(self, command):
        self.ran.append(command)
        line = " ".join(command)
        for beginning, result in self.failures.items():
            if line.startswith(beginning):
                return result
        if self.effect:
            self.effect(command)
        return 0, "", ""


def note(build_id):
    """Return an ELF note that holds a build id."""
    raw = bytes.fromhex(build_id)
    return struct.pack("<III", 4, len(raw), 3) + b"GNU\0" + raw


def kernel_module(release="6.12.1-test", build_id="ab" * 20, srcversion="SRC", aliases=(), parameters=()):
    """Return the bytes of a small ELF file with the sections that matter of a kernel module."""
    info = [f"vermagic={release} SMP mod_unload", f"srcversion={srcversion}"]
    info += [f"alias={alias}" for alias in aliases]
    info += [f"parmtype={name}:{kind}" for name, kind in parameters]
    bodies = {
        "": b"",
        ".modinfo": b"\0".join(entry.encode() for entry in info) + b"\0",
        ".note.gnu.build-id": note(build_id) if build_id else b"",
    }
    names = b"\0".join(name.encode() for name in [*bodies, ".shstrtab"]) + b"\0"
    bodies[".shstrtab"] = names
    offset, headers, content = 64, b"", b""
    position = 0
    for name, body in bodies.items():
        headers += struct.pack("<IIQQQQ", position, 1, 0, 0, offset + len(content), len(body)) + bytes(24)
        content += body
        position += len(name) + 1
    table = offset + len(content)
    head = b"\x7fELF\x02\x01" + bytes(10) + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 5, 4)
    head = head[:60] + struct.pack("<HH", len(bodies), len(bodies) - 1)
    return head.ljust(64, b"\0")[:64] + content + headers


class FakeKernel:
    """A root directory that looks like a host's."""

    RELEASE = "6.12.1-test"

    def __init__(self, root):
        self.root = root
        self.write(f"lib/modules/{self.RELEASE}/modules.builtin", "kernel/fs/ext4/ext4.ko\n")

    def write(self, relative, content=""):
        """Write a file below the root."""
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)
        return path

    def load(self, name, build_id="ab" * 20, srcversion="SRC", parameters=None, refcount=0, mode=0o444):
        """Make a module look loaded."""
        base = f"sys/module/{name}"
        self.write(f"{base}/initstate", "live\n")
        self.write(f"{base}/refcnt", f"{refcount}\n")
        self.write(f"{base}/srcversion", f"{srcversion}\n")
        self.write(f"{base}/notes/.note.gnu.build-id", note(build_id))
        for key, value in (parameters or {}).items():
            self.write(f"{base}/parameters/{key}", f"{value}\n").chmod(mode)

    def device(self, address, modalias="", driver=None, below=None):
        """Make a PCI function, perhaps on a bus of its own below another one."""
        parent = f"sys/devices/pci0000:00/{below}/pci{address[:8]}" if below else "sys/devices/pci0000:00"
        self.write(f"{parent}/{address}/modalias", modalias)
        link = self.root / "sys/bus/pci/devices" / address
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.root / parent / address)
        if driver:
            directory = self.root / "sys/bus/pci/drivers" / driver
            directory.mkdir(parents=True, exist_ok=True)
            (directory / address).symlink_to(link)
            (self.root / parent / address / "driver").symlink_to(directory)
