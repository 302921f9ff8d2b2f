# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of the whole fabric. How a browser shows it, tests/unit/roles/test_status_page.py sees."""

from __future__ import annotations

import html.parser
import itertools
import xml.etree.ElementTree

import pytest

from ansible_collections.pcie.device_lending.plugins.plugin_utils._fabric_page import WIDTH, page, places
from ansible_collections.pcie.device_lending.plugins.plugin_utils._fabric_status import status
from ansible_collections.pcie.device_lending.tests.unit.plugins.plugin_utils.fabric_answers import (
    attachment,
    grant,
    host,
    ring,
    two,
)

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<script>alert("x")</script>&amp;'


class Texts(html.parser.HTMLParser):
    """What a reader sees, and which elements there are."""

    def __init__(self, text):
        super().__init__()
        self.seen, self.tags, self.attributes = [], [], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data):
        self.seen.append(data)


def picture(text):
    """The picture as a tree."""
    svg = text[text.index("<svg") : text.index("</svg>") + 6]
    return xml.etree.ElementTree.fromstring(svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))


def test_all_is_on_it():
    text = page(status(two(), {"node-c": "off"}), "noon")
    seen = " ".join(Texts(text).seen)
    for word in ("scratch", "node-a", "node-b", "node-c", "0000:03:00.0", "/dev/nvme0n1", "attached", "noon", "S-1"):
        assert word in seen
    assert "host node-c: off" in seen
    assert "Nothing is wrong" not in seen
    assert "Nothing is wrong" in page(status(two(), {}), "noon")


def test_it_needs_nothing_else():
    found = Texts(page(status(ring(5), {}), "noon"))
    assert not {"script", "img", "link", "iframe"} & set(found.tags)
    assert not {"src", "href"} & set(found.attributes)
    assert "url(http" not in page(status(ring(5), {}), "noon")


def test_what_hosts_say_stays_text():
    answers = {
        EVIL: host(grants=[grant(EVIL, EVIL, "quarantined", EVIL)]),
        "b": host(attachments=[attachment(EVIL, EVIL, "waiting", EVIL)]),
    }
    text = page(status(answers, {EVIL + "2": EVIL}), EVIL)
    assert "script" not in Texts(text).tags
    assert any(EVIL in seen for seen in Texts(text).seen)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 12, 13, 200])
def test_the_picture_has_each_host_link_and_lease_once(count):
    text = page(status(ring(count) if count > 1 else dict(list(two().items())[:count]), {}), "noon")
    if not count:
        assert "<svg" not in text
        return
    tree = picture(text)
    kinds = [(element.tag.removeprefix(SVG), element.get("class", "").split(" ")[0]) for element in tree.iter()]
    cables = {0: 0, 1: 1, 2: 2}.get(count, count)
    cards = max(count, 2)
    assert kinds.count(("rect", "card")) == cards
    assert kinds.count(("line", "link")) == cables
    assert kinds.count(("path", "lease")) == (1 if count == 1 else count)
    assert (kinds.count(("rect", "tag")) > 0) == (count <= 12)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 12, 40, 200])
@pytest.mark.parametrize("height", [30.0, 180.0])
def test_cards_do_not_touch(count, height):
    where = places(["h%d" % number for number in range(count)], height)
    for (x1, y1), (x2, y2) in itertools.combinations(where.values(), 2):
        assert abs(x1 - x2) > WIDTH + 20 or abs(y1 - y2) > height + 20


def test_leases_between_two_hosts_are_one_arrow_as_bad_as_the_worst():
    grants = [grant("x%d" % number, "node-b") for number in range(6)]
    has = [attachment("x%d" % number, "node-a", "waiting" if number == 5 else "attached") for number in range(6)]
    text = page(status({"node-a": host(grants=grants), "node-b": host(attachments=has)}, {}), "noon")
    (arrow,) = [element for element in picture(text).iter(SVG + "path") if element.get("class", "").startswith("lease")]
    assert arrow.get("class") == "lease bad"
    assert "6 leases" in text
    assert "and 3 more" in text
