# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook status: its table, its files, and its page as a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from roles_hosts import Hosts

LEASE = {"name": "ab", "owner": "node-a", "device": {"serial": "SER-node-a"}, "borrower": "node-b"}
# What is not where it should be, as the browser has laid it out; put into the page's title.
JUDGE = """<script>
const wrong = [], svg = document.querySelector("svg"), box = svg.viewBox.baseVal;
for (const text of svg.querySelectorAll("text")) {
  const place = text.getBBox(), card = text.parentNode.querySelector("rect.card");
  const around = card && text.parentNode.tagName === "g" ? card.getBBox() : box;
  if (place.x < around.x || place.x + place.width > around.x + around.width || place.y < around.y ||
      place.y + place.height > around.y + around.height) wrong.push(text.textContent);
}
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
document.title = JSON.stringify({wrong, wide, texts: svg.querySelectorAll("text").length,
                                 ink: getComputedStyle(document.body).color});
</script>"""


@pytest.fixture(name="hosts")
def hosts_fixture(tmp_path):
    """Four hosts, one of which lends a drive."""
    made = Hosts(tmp_path)
    made.lend([LEASE])
    yield made
    made.stop()


def test_it_shows_the_whole_fabric_and_who_does_not_answer(hosts, tmp_path):
    hosts.power("node-d", on=False)
    ended = hosts.run("status.yml", "--check", device_lending_status_directory=str(tmp_path / "status"))
    assert {host for host, counts in ended.recap.items() if counts["failed"]} == {"node-d"}
    assert ended.changed() == 0
    assert re.search(r"ab +node-a +0000:03:00.0 +node-b +attached", ended.printed)
    assert "3 of 4 hosts answer" in ended.printed
    assert "wrong: host node-d: cannot be reached" in ended.printed
    files = {path.name for path in (tmp_path / "status").iterdir()}
    assert files == {"index.json", "index.html", "node-a.json", "node-b.json", "node-c.json"}
    document = json.loads((tmp_path / "status/index.json").read_text())
    assert [(row["name"], row["state"]) for row in document["leases"]] == [("ab", "attached")]
    assert document["wrong"][0].startswith("host node-d: cannot be reached")
    assert "attached" in (tmp_path / "status/index.html").read_text()


def shown(path, *options) -> dict:
    """What a browser makes of the page."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", *options, "--dump-dom", path.as_uri()]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return json.loads(re.search("<title>(.*?)</title>", printed)[1].replace("&amp;", "&"))


@pytest.mark.long
@pytest.mark.parametrize("width", [400, 1400])
def test_a_browser_shows_all_of_it(hosts, tmp_path, width):
    assert shutil.which("chromium"), "tools/steps/unit-long installs it"
    hosts.power("node-d", on=False)
    hosts.run("status.yml", device_lending_status_directory=str(tmp_path / "status"))
    path = tmp_path / "status/index.html"
    path.write_text(path.read_text().replace("</body>", JUDGE + "</body>"))
    found = shown(path, f"--window-size={width},1000")
    assert found["wrong"] == []
    assert not found["wide"]
    assert found["texts"] >= 7
    dark = shown(path, "--blink-settings=preferredColorScheme=0")
    assert dark["ink"] != found["ink"]
