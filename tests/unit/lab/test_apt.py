# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Finding Debian's mirror in apt configurations as they are found in the wild."""

import pytest

from lab import apt, index, kernels
from lab.errors import LabError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEB822 = """\
# A comment
Types: deb deb-src
# http://snapshot.example/archive
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main contrib
"""
ONE_LINE = """\
# deb http://commented.example/debian trixie main
deb http://mirror.example/debian/ trixie main non-free-firmware # with a comment
deb-src http://sources.example/debian trixie main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://sec.example/x trixie-security main
nonsense
"""
OTHERS = """\
deb [signed-by=/etc/apt/keyrings/docker.gpg] https://docker.example/linux/debian bookworm stable
deb https://tools.example/apt bookworm main
deb https://postgres.example/pub bookworm-pgdg main
deb https://node.example/node_20.x nodistro main
deb cdrom:[Debian]/ bookworm main
"""


def choose(*texts):
    sources = [source for text in texts for source in apt.parse_one_line(text)]
    return apt.choose(sources, KEYRING)


def test_deb822():
    archive = apt.choose(apt.parse_deb822(DEB822), KEYRING)
    assert archive == apt.Archive("http://mirror.example/debian", "http://mirror.example/debian-security", KEYRING)


def test_one_line():
    archive = choose(ONE_LINE)
    assert archive == apt.Archive("http://mirror.example/debian", "http://sec.example/x", KEYRING)


def test_other_peoples_archives_are_ignored():
    assert choose(OTHERS, ONE_LINE).uri == "http://mirror.example/debian"
    with pytest.raises(LabError, match=apt.MIRROR_VARIABLE):
        choose(OTHERS)


def test_disabled_and_folded_stanzas():
    text = "Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\n\n"
    text += "Types: deb\nURIs:\n http://on.example/debian\nSuites: sid\nComponents: main\nSigned-By:\n -----BEGIN\n .\n"
    assert [source.uri for source in apt.parse_deb822(text)] == ["http://on.example/debian"]


def test_lines_for_a_release():
    archive = apt.Archive("http://m/debian", "http://m/debian-security", KEYRING)
    assert archive.lines("trixie", backports=True) == [
        f"deb [signed-by={KEYRING}] http://m/debian trixie main",
        f"deb [signed-by={KEYRING}] http://m/debian trixie-updates main",
        f"deb [signed-by={KEYRING}] http://m/debian-security trixie-security main",
        f"deb [signed-by={KEYRING}] http://m/debian trixie-backports main",
    ]
    assert len(apt.Archive("http://m/debian", None, KEYRING).lines("trixie")) == 2


def test_directory_is_read_without_disabled_files(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian sid main\n")
    (tmp_path / "sources.list.d/b.sources").write_text(DEB822)
    (tmp_path / "sources.list.d/c.list.disabled").write_text("deb http://c.example/debian sid main\n")
    assert {source.uri for source in apt.read_sources(tmp_path)} == {
        "http://a.example/debian",
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
    }


MADISON = """\
linux-source-6.1 |  6.1.192-3 | http://m/debian-security bookworm-security/main amd64 Packages
linux-source-6.1 |  6.1.176-1 | http://m/debian bookworm/main amd64 Packages
linux-source-6.1 |  6.1.176-1 | http://m/debian-security bookworm-security/main amd64 Packages
     qemu | 1:11.1.3+ds-1~bpo13+1 | http://m/debian trixie-backports/main amd64 Packages
     qemu | 1:10.0.13+ds-0+deb13u1 | http://m/debian trixie/main amd64 Packages
     qemu | 1:11.1.3+ds-1~bpo13+1 | http://m/debian trixie-backports/main Sources
N: no line of the table
"""


def test_versions_are_those_that_the_archive_has():
    found = index.offered(MADISON)
    assert found["linux-source-6.1"] == ["6.1.192-3", "6.1.176-1"]
    assert found["qemu"] == ["1:11.1.3+ds-1~bpo13+1", "1:10.0.13+ds-0+deb13u1"]
    assert index.offered(MADISON, "trixie-backports") == {"qemu": ["1:11.1.3+ds-1~bpo13+1"]}


def versions(release, version, series):
    names = [f"linux-image-{release}", f"linux-headers-{release}", f"linux-source-{series}"]
    return {name: [version] for name in names}


@pytest.mark.parametrize(
    ("series", "release", "version"),
    [
        ("6.1", "6.1.0-56-amd64", "6.1.192-2"),
        ("6.12", "6.12.117+deb13-amd64", "6.12.117-1"),
        ("7.2", "7.2.12+deb13-amd64", "7.2.12-1~bpo13+1"),
    ],
)
def test_kernel_is_chosen_by_its_series(series, release, version):
    offered = {
        **versions(release, version, series),
        **versions("6.1.0-50-amd64", "6.1.176-1", "6.0"),
        **versions("7.3.4+deb13-amd64", "7.3.4-1~bpo13+1", "7.3"),
        # Another flavour, a meta-package, and an image that is newer than its headers.
        f"linux-headers-{release.removesuffix('-amd64')}-cloud-amd64": [version],
        f"linux-headers-{series}-amd64": [version],
        f"linux-image-{series}-amd64": [version],
        "linux-image-6.12.118+deb13-amd64": ["6.12.118-1"],
    }
    kernel = index.choose(kernels.SERIES[series], offered)
    assert (kernel.release, kernel.version) == (release, version)
    assert kernel.pinned(kernel.source) == [f"linux-source-{series}={version}"]


def test_kernel_packages_must_agree():
    offered = versions("6.12.1+deb13-amd64", "6.12.1-1", "6.12")
    series = kernels.SERIES["6.12"]
    index.choose(series, offered)
    with pytest.raises(LabError, match=r"has sources of 6\.12\.2-1$"):
        index.choose(series, {**offered, "linux-source-6.12": ["6.12.2-1"]})
    with pytest.raises(LabError, match=r"does not offer kernel 6\.12"):
        index.choose(series, {name: value for name, value in offered.items() if name != "linux-source-6.12"})


def test_a_source_may_be_newer_than_the_signed_image_that_is_to_come():
    offered = versions("6.1.0-56-amd64", "6.1.192-2", "6.1") | versions("6.1.0-50-amd64", "6.1.176-1", "6.1")
    offered["linux-headers-6.1.0-57-amd64"] = ["6.1.192-3"]
    offered["linux-source-6.1"] = ["6.1.192-3", "6.1.192-2", "6.1.176-1"]
    kernel = index.choose(kernels.SERIES["6.1"], offered)
    assert (kernel.release, kernel.version) == ("6.1.0-56-amd64", "6.1.192-2")


def test_kernel_series_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("KERNEL", raising=False)
    assert kernels.chosen() == kernels.DEFAULT
    monkeypatch.setenv("KERNEL", "6.1")
    assert kernels.chosen() == "6.1"
    with pytest.raises(LabError, match=r"choose one of 6\.1, 6\.12, 7\.2"):
        kernels.series("6.11")
