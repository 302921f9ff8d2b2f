# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make one archive from a directory: the same octets from the same files, wherever and whenever.

Private to the collection.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import os
import tarfile
import tempfile

# What building and running leaves behind, and what hosts have no use for.
LEFTOVERS = (
    "__pycache__",
    "*.py[co]",
    "*.egg-info",
    ".*",
    "*.ko",
    "*.o",
    "*.a",
    "*.mod",
    "*.mod.c",
    "Module.symvers",
    "modules.order",
)


def files_below(source, exclude=LEFTOVERS):
    """The files of a directory, relative to it, in an order that does not depend on the machine.

    What is below a link to a directory is one of them: the daemons have a part of their code in module_utils.
    """
    found = []
    for directory, names, files in os.walk(source, followlinks=True):
        names[:] = sorted(name for name in names if not excluded(name, exclude))
        for name in files:
            path = os.path.join(directory, name)
            if not excluded(name, exclude) and os.path.isfile(path):
                found.append(os.path.relpath(path, source))
    return sorted(found)


def excluded(name, patterns):
    """Whether the name of a file or directory matches one of the patterns."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def mode_of(path):
    """The mode a file gets in the archive: what matters is whether it can be run."""
    return 0o755 if os.stat(path).st_mode & 0o100 else 0o644


def digest(source, files):
    """One hash of names, modes and contents."""
    total = hashlib.sha256()
    for name in files:
        path = os.path.join(source, name)
        with open(path, "rb") as handle:
            content = hashlib.sha256(handle.read()).hexdigest()
        total.update(("%s %o %s\n" % (name, mode_of(path), content)).encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def write(source, files, top, handle):
    """Write the archive, with all files below one directory."""
    with gzip.GzipFile(filename="", mode="wb", fileobj=handle, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            directories = {top}
            for name in files:
                parent = os.path.dirname(name)
                while parent:
                    directories.add(top + "/" + parent)
                    parent = os.path.dirname(parent)
            for name in sorted(directories):
                entry = tarfile.TarInfo(name)
                entry.type = tarfile.DIRTYPE
                entry.mode = 0o755
                archive.addfile(entry)
            for name in files:
                path = os.path.join(source, name)
                entry = tarfile.TarInfo(top + "/" + name)
                entry.size = os.path.getsize(path)
                entry.mode = mode_of(path)
                with open(path, "rb") as content:
                    archive.addfile(entry, content)


def make(source, destination, name, exclude=LEFTOVERS):
    """Make the archive unless it is there; give its path, the directory in it, and the hash of what is in it."""
    files = files_below(source, exclude)
    if not files:
        raise ValueError("%s holds no files" % source)
    sha256 = digest(source, files)
    top = "%s-%s" % (name, sha256[:12])
    path = os.path.join(destination, top + ".tar.gz")
    if not os.path.exists(path):
        os.makedirs(destination, exist_ok=True)
        descriptor, fresh = tempfile.mkstemp(prefix="." + name, dir=destination)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                write(source, files, top, handle)
            os.chmod(fresh, 0o644)
            os.rename(fresh, path)
        except BaseException:
            os.unlink(fresh)
            raise
    return {"path": path, "directory": top, "sha256": sha256}
