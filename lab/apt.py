# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Find the Debian mirror this machine is configured to use, without asking the network.

Pure functions over the text of apt's source files (one-line and deb822) plus one function that reads them. Other
people's archives in the same configuration are ignored: an archive counts as Debian only if its suites and components
look like Debian's, and what is fetched from it is verified with Debian's own archive keyring anyway.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .errors import LabError

DEBIAN_SUITES = frozenset(
    "stable oldstable oldoldstable testing unstable sid buster bullseye bookworm trixie forky duke".split()
)
KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
)
MIRROR_VARIABLE = "LAB_DEBIAN_MIRROR"
SECURITY_VARIABLE = "LAB_DEBIAN_SECURITY_MIRROR"
PASSED_ON = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date")


@dataclass(frozen=True)
class Source:
    """One line's worth of apt source: where, which suite, which components, and which key (may be empty)."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True)
class Archive:
    """The Debian archive to use: base URIs of the main and (if configured) the security archive, and the keyring."""

    uri: str
    security_uri: str | None
    keyring: str

    def lines(self, codename: str, backports: bool = False) -> list[str]:
        """One-line apt sources for a release; the component is main only, as free software is all that is needed."""
        options = f"[signed-by={self.keyring}]"
        lines = [f"deb {options} {self.uri} {codename} main", f"deb {options} {self.uri} {codename}-updates main"]
        if self.security_uri:
            lines.append(f"deb {options} {self.security_uri} {codename}-security main")
        if backports:
            lines.append(f"deb {options} {self.uri} {codename}-backports main")
        return lines


def parse_one_line(text: str) -> Iterator[Source]:
    """Sources of a file in one-line format; comments, deb-src and malformed lines are left out."""
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)$", line)
        if not match:
            continue
        options = dict(part.split("=", 1) for part in (match[1] or "").split() if "=" in part)
        yield Source(match[2], match[3], tuple(match[4].split()), options.get("signed-by", ""))


def parse_deb822(text: str) -> Iterator[Source]:
    """Sources of a file in deb822 format; disabled stanzas and those without type deb are left out."""
    for stanza in re.split(r"\n\s*\n", "\n".join(li for li in text.splitlines() if not li.startswith("#"))):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t"):
                fields[name] = fields.get(name, "") + "\n" + line.strip()
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        signed_by = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, tuple(fields.get("components", "").split()), signed_by)


def choose(sources: Iterable[Source], keyring: str) -> Archive:
    """The Debian archive among these sources, and its security archive.

    Raises LabError if none of them looks like Debian's.
    """
    best: dict[bool, tuple[int, str]] = {}
    for source in sources:
        parts = urlsplit(source.uri)
        base = source.suite.split("-", 1)[0].split("/", 1)[0]
        if parts.scheme not in ("http", "https", "file") or base not in DEBIAN_SUITES:
            continue
        if "main" not in source.components:
            continue
        path = parts.path.rstrip("/")
        security = path.endswith("debian-security") or "-security" in source.suite or "/updates" in source.suite
        if "debian-archive" not in source.signed_by and not re.search(r"/debian(-security)?(/|$)", path):
            continue
        score = 2 * ("debian-archive" in source.signed_by) + (path.endswith("/debian") or security)
        if security not in best or score > best[security][0]:
            best[security] = (score, source.uri.rstrip("/"))
    if False not in best:
        raise LabError(
            "no Debian archive in this machine's apt configuration; set "
            f"{MIRROR_VARIABLE} to the URI of one (and {SECURITY_VARIABLE} to that of debian-security)"
        )
    return Archive(best[False][1], best[True][1] if True in best else None, keyring)


def read_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """All active sources of an apt configuration directory."""
    found: list[Source] = []
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    for path in files:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".sources":
            found.extend(parse_deb822(text))
        elif path.suffix == ".list":
            found.extend(parse_one_line(text))
    return found


def archive(etc: Path = Path("/etc/apt")) -> Archive:
    """The archive for this machine: from the environment, or else from its apt configuration."""
    keyring = next((path for path in KEYRINGS if os.path.exists(path)), None)
    if keyring is None:
        raise LabError("Debian's archive keyring is missing: install the package debian-archive-keyring")
    if os.environ.get(MIRROR_VARIABLE):
        return Archive(os.environ[MIRROR_VARIABLE].rstrip("/"), os.environ.get(SECURITY_VARIABLE), keyring)
    return choose(read_sources(etc), keyring)


def passed_on_options() -> list[str]:
    """This machine's proxy and date-check settings of apt as `Name "value"` strings for another apt."""
    result = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    options = []
    for line in result.stdout.splitlines():
        match = re.match(r'(\S+) "(.*)";$', line)
        if match and match[1] in PASSED_ON and match[2]:
            options.append(f'{match[1]} "{match[2]}"')
    return options
