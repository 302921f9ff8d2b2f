# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""README.md as Galaxy shows it: apart from the files that it links to."""

from __future__ import annotations

import pytest

from tools.published import main, with_whole_links

ADDRESS = "https://docs.invalid/v1"


@pytest.mark.parametrize(
    ("link", "published"),
    [
        ("docs/hosts.md", f"{ADDRESS}/docs/hosts.md"),
        ("docs/how-to.md#a-gpu", f"{ADDRESS}/docs/how-to.md#a-gpu"),
        ("LICENSES/GPL-2.0-only.txt", f"{ADDRESS}/LICENSES/GPL-2.0-only.txt"),
        ("#tests", "#tests"),
        ("https://kernel.invalid/x.html", "https://kernel.invalid/x.html"),
        ("mailto:admin@lab.invalid", "mailto:admin@lab.invalid"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("given", [ADDRESS, ADDRESS + "/"])
def test_only_links_to_files_are_made_whole(link, published, given):
    assert with_whole_links(f"see [this]({link}), (docs/x.md) too", given) == f"see [this]({published}), (docs/x.md) too"


@pytest.mark.parametrize("lines", ["", f"documentation: {ADDRESS}\n"])
def test_the_address_is_that_of_the_documentation(tmp_path, lines):
    (tmp_path / "galaxy.yml").write_text("name: device_lending\n" + lines)
    (tmp_path / "README.md").write_text("[hosts](docs/hosts.md)")
    main(tmp_path)
    expected = f"[hosts]({ADDRESS}/docs/hosts.md)" if lines else "[hosts](docs/hosts.md)"
    assert (tmp_path / "README.md").read_text() == expected
