# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Keeps the bytecode of what Python imports from zip archives, by a hash of the source.

Ansible sends each module as a zip of sources, and Python never keeps the bytecode of those: on an emulated processor
compiling them takes 3 of the 5 seconds of each call. Loaded by lab_bytecode.pth, in the lab's guests alone. What cannot
be kept is compiled as ever.
"""

import _imp
import marshal
import os
import sys
import zipimport

DIRECTORY = "/var/cache/lab-bytecode"
_compile = zipimport._compile_source  # type: ignore[attr-defined]


def compile_source(pathname, source):
    """Stands for zipimport's own: the code object of a source."""
    name = f"{DIRECTORY}/{_imp.source_hash(sys.hexversion, source).hex()}-{len(source):x}"
    try:
        with open(name, "rb") as file:
            return marshal.loads(file.read())
    except (OSError, ValueError, EOFError, TypeError):
        pass
    code = _compile(pathname, source)
    try:
        partial = f"{name}.{os.getpid()}"
        with open(partial, "wb") as file:
            file.write(marshal.dumps(code))
        os.rename(partial, name)
    except OSError:
        pass
    return code


zipimport._compile_source = compile_source  # type: ignore[attr-defined]
