# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Start this host's kernel anew in good order, without the firmware: nothing resets bridge or devices. Runs on the hosts.

What kexec(8) does, which the hosts do not have: kexec_file_load(2) of the kernel that runs. systemd takes what is loaded.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

KEXEC_FILE_LOAD = 320  # on x86-64, arch/x86/entry/syscalls/syscall_64.tbl


def main() -> None:
    """Do it."""
    release = os.uname().release
    command_line = Path("/proc/cmdline").read_bytes().strip() + b"\0"
    kernel, initrd = (os.open(f"/boot/{name}-{release}", os.O_RDONLY) for name in ("vmlinuz", "initrd.img"))
    call = ctypes.CDLL(None, use_errno=True).syscall
    if call(KEXEC_FILE_LOAD, kernel, initrd, len(command_line), command_line, 0):
        raise OSError(ctypes.get_errno(), "kexec_file_load")
    subprocess.run(["systemctl", "kexec"], check=True)


if __name__ == "__main__":
    main()
