# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Runs Python programs in children that find imported what earlier ones have imported.

Each call of an Ansible module starts Python and imports some 280 modules of its library and of
`ansible.module_utils`: more than a second of an emulated processor, for each task on each host. Here a call is a fork.
What is run, and with which input, output, environment, directory, umask and control group, is as it would be: the
children take all of it from the process that asks (the script `python3` beside this file), by its number.

Nothing is imported ahead by name: children tell which modules of the library they have imported, and this process
imports the same for those to come. Ansible sends its part of the library with each call; it is kept once, and is used
for a call whose own copy is the same to the octet (else that call imports its own). What belongs to collections, and
what a module itself is, is always taken from the call.

Requests are lines in a FIFO that systemd listens on: "run PROCESS", "import MODULE".
"""

import atexit
import base64
import ctypes
import gc
import importlib
import io
import os
import re
import signal
import sys
import traceback
import types
import zipfile
import zlib

PYTHON = "/usr/bin/python3"
ANSWERS = "/run/lab-interpreter"
KEPT = "/var/cache/lab-interpreter"  # with the environment as in lab-interpreter.service
NAMES = f"{KEPT}/names"
SHARED = "ansible.module_utils"
PIDFD_GETFD = 438  # its number on all architectures
INPUT_OF_CALLER = 3
ARCHIVE = re.compile(rb"[\"'](UEsDB[A-Za-z0-9+/=]+)[\"']")  # a zip file in base64
sums: dict[str, int] = {}  # by the name in an archive: what is imported here
_library = ctypes.CDLL(None, use_errno=True)


class Caller:
    """The process that asks for a run."""

    def __init__(self, process):
        self.process = process

    def read(self, name):
        with open(f"/proc/{self.process}/{name}", "rb") as file:
            return file.read()

    def take_over(self):
        """Make its input, output, errors, directory, umask, environment and control group this process's own. OSError."""
        handle = os.pidfd_open(self.process)
        for theirs, ours in ((INPUT_OF_CALLER, 0), (1, 1), (2, 2)):
            got = _library.syscall(PIDFD_GETFD, handle, theirs, 0)
            if got < 0:
                raise OSError(ctypes.get_errno(), f"file {theirs} of process {self.process}")
            os.dup2(got, ours)
            os.close(got)
        os.close(handle)
        os.chdir(os.readlink(f"/proc/{self.process}/cwd"))
        os.umask(int(re.findall(rb"^Umask:\s*([0-7]+)", self.read("status"), re.M)[0], 8))
        variables = (item.split(b"=", 1) for item in self.read("environ").split(b"\0") if b"=" in item)
        os.environb.clear()
        os.environb.update(variables)
        group = self.read("cgroup").decode().strip().removeprefix("0::")
        with open(f"/sys/fs/cgroup{group}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))

    def arguments(self):
        """What follows the script's name on its command line."""
        return [os.fsdecode(word) for word in self.read("cmdline").split(b"\0")[2:-1]]


def importable(name):
    """Whether a module is one to import for those to come."""
    return name.partition(".")[0] in sys.stdlib_module_names or f"{name}.".startswith(f"{SHARED}.")


def load(name):
    """Import a module for those to come, if it can be imported."""
    if name in sys.modules or not importable(name):
        return
    sys.path.insert(0, KEPT)
    try:
        module = importlib.import_module(name)
        if name.startswith(SHARED) and module.__file__:
            file = os.path.relpath(module.__file__, KEPT)
            sums[file] = checksum(file)
    except Exception:
        traceback.print_exc()
    sys.path.remove(KEPT)


def share(source):
    """Keep the part of the library that comes with a program, or forget what is imported of it where it differs."""
    found = ARCHIVE.search(source)
    if not found:
        return
    archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(found[1])))
    for entry in archive.infolist():
        name = entry.filename
        if not name.endswith(".py") or not name.startswith(("ansible/__init__", "ansible/module_utils/")):
            continue
        if name not in sums and not os.path.exists(f"{KEPT}/{name}"):
            keep(f"{KEPT}/{name}", archive.read(entry))
        elif (sums[name] if name in sums else checksum(name)) != entry.CRC:
            for module in [module for module in sys.modules if module.partition(".")[0] == "ansible"]:
                del sys.modules[module]
            return


def checksum(name):
    """That of a file that is kept, as it is in a zip's directory."""
    with open(f"{KEPT}/{name}", "rb") as file:
        return zlib.crc32(file.read())


def keep(path, content):
    """Write a file that nobody sees by halves."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.{os.getpid()}", "wb") as file:
        file.write(content)
    os.rename(file.name, path)


def program(arguments, main):
    """What to run, with its name: from a file, the command line or the input. Sets what is the program's of `sys`."""
    sys.argv = arguments[:1] + arguments[2:] if arguments[:1] == ["-c"] else arguments or [""]
    if not arguments:
        sys.path.insert(0, "")
        return "<stdin>", bytes(sys.stdin.buffer.read())
    if arguments[0] == "-c":
        sys.path.insert(0, "")
        return "<string>", os.fsencode(arguments[1])
    main.__file__ = arguments[0]
    sys.path.insert(0, os.path.dirname(os.path.realpath(arguments[0])))
    with open(arguments[0], "rb") as file:
        return arguments[0], file.read()


def run(caller):
    """Run what a caller asks for, as Python would. Returns the exit status."""
    caller.take_over()
    arguments = caller.arguments()
    if arguments and arguments[0].startswith("-") and (arguments[0] != "-c" or len(arguments) == 1):
        os.execv(PYTHON, [PYTHON, *arguments])
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    name, source = program(arguments, main)
    share(source)
    # The package is the call's own: the module itself is in it.
    sys.modules.pop("ansible", None)
    try:
        exec(compile(source, name, "exec"), main.__dict__)  # noqa: S102
        return 0
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1


def child(caller, requests, known):
    """Run it, say what was imported, and end as Python does."""
    try:
        status = run(caller)
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
        status = 1
    for name in list(sys.modules):
        if name not in known and importable(name):
            os.write(requests, f"import {name}\n".encode())
    # Taking all modules down, as sys.exit() does, is a quarter of a short call.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def fork(process):
    """Fork a child for a process that asks, and another that waits for it and answers. Returns whether this is the child."""
    if os.fork():
        return False
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    answer = os.open(f"{ANSWERS}/{process}", os.O_WRONLY)
    worker = os.fork()
    if worker == 0:
        os.close(answer)
        os.setsid()
        return True
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    os.write(answer, f"{status if status >= 0 else 128 - status}\n".encode())
    os._exit(0)


def main():
    """Serve until killed."""
    requests = 3  # the first that systemd hands over, sd_listen_fds(3)
    os.set_inheritable(requests, False)
    os.set_blocking(requests, True)
    known = set(sys.modules)
    with open(NAMES, "a+", encoding="utf-8") as names:
        names.seek(0)
        for name in names.read().split():
            load(name)
            known.add(name)
        gc.freeze()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        buffer = b""
        while True:
            *lines, buffer = (buffer + os.read(requests, 4096)).split(b"\n")
            for line in lines:
                word, what = line.decode().split(" ")
                if word == "run":
                    if fork(int(what)):
                        child(Caller(int(what)), requests, known)
                elif what not in known:
                    load(what)
                    known.add(what)
                    names.write(f"{what}\n")
                    names.flush()


main()
