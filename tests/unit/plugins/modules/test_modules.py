# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules' own thin layer: argument specs, check mode, diff and failure, without any daemon."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
import socket as sockets

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.pcie.device_lending.plugins.modules import (
    fabric_info,
    kmod,
    kmod_info,
    lease_attachments,
    lease_grants,
    preflight_info,
)

GRANT = {"name": "nvme", "device": {"address": "0000:03:00.0"}, "borrower": "node-b"}
ATTACHMENT = {"name": "nvme", "owner": "node-a"}


def run(module, capsys, **arguments):
    """Run a module's main and return what it prints."""
    with patch_module_args(arguments), contextlib.suppress(SystemExit):
        module.main()
    return json.loads(capsys.readouterr().out)


@pytest.fixture(name="socket")
def socket_fixture(tmp_path):
    """Return the path of a socket nobody serves."""
    return str(tmp_path / "none.sock")


def test_grants_in_check_mode_with_diff(capsys, socket):
    result = run(lease_grants, capsys, grants=[GRANT], socket=socket, _ansible_check_mode=True, _ansible_diff=True)
    assert result["changed"] and not result["daemon_available"]
    assert result["diff"]["after"] == {"nvme": {"device": {"address": "0000:03:00.0"}, "borrower": "node-b"}}


def test_grants_without_daemon(capsys, socket):
    result = run(lease_grants, capsys, grants=[GRANT], socket=socket)
    assert result["failed"] and "No daemon listens" in result["msg"]


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ({"vendor": 0x10DE, "device": "0010"}, '"10de" for 0x10de or "4318" for 4318'),
        ({"address": 180.0}, "a number in base 60"),
        ({"serial": 12}, "put it in quotes"),
    ],
)
def test_grants_of_what_yaml_has_made_a_number(capsys, socket, device, words):
    result = run(lease_grants, capsys, grants=[dict(GRANT, device=device)], socket=socket)
    assert result["failed"] and words in result["msg"]


def test_grants_with_an_ambiguous_selector(capsys, socket):
    result = run(lease_grants, capsys, grants=[dict(GRANT, device={"device": "0a54"})], socket=socket)
    assert result["failed"] and "without device.vendor" in result["msg"]


def test_attachments_in_check_mode(capsys, socket):
    result = run(lease_attachments, capsys, attachments=[ATTACHMENT], socket=socket, _ansible_check_mode=True)
    assert result["changed"] and result["after"] == [ATTACHMENT]
    assert "diff" not in result


def test_a_policy_in_check_mode_with_diff(capsys, socket):
    policy = {"grace": 5, "on_loss": "wait", "attach_again": "once"}
    result = run(lease_attachments, capsys, attachments=[dict(ATTACHMENT, **policy)], socket=socket,
                 _ansible_check_mode=True, _ansible_diff=True)  # fmt: skip
    assert result["diff"]["after"] == {"nvme": {"owner": "node-a", **policy}}
    result = run(lease_grants, capsys, grants=[dict(GRANT, grace=60)], socket=socket, _ansible_check_mode=True)
    assert result["after"] == [dict(GRANT, grace=60)]


@pytest.mark.parametrize(("key", "value"), [("on_loss", "hope"), ("attach_again", "twice"), ("grace", "long")])
def test_a_policy_that_makes_no_sense(capsys, socket, key, value):
    result = run(lease_attachments, capsys, attachments=[dict(ATTACHMENT, **{key: value})], socket=socket)
    assert result["failed"] and key in result["msg"] and "attachments" in result["msg"]


def test_info_without_daemons(capsys, socket):
    result = run(fabric_info, capsys, ownerd_socket=socket, borrowerd_socket=socket)
    assert (result["changed"], result["available"], result["links"]) == (False, False, [])


def test_kmod_names_what_is_missing(capsys, tmp_path):
    (tmp_path / "Makefile").write_text("")
    result = run(kmod, capsys, state="built", source=str(tmp_path), output=str(tmp_path / "out"), kernel="0.0-none")
    assert result["failed"] and "install linux-headers-0.0-none" in result["msg"]


def test_kmod_present_without_a_build(capsys, tmp_path):
    result = run(kmod, capsys, source=str(tmp_path), kernel="0.0-none", _ansible_check_mode=True)
    assert result["failed"] and "no ntb_lend.ko" in result["msg"]


def test_kmod_with_neither_or_no_builds(capsys, tmp_path):
    result = run(kmod, capsys, _ansible_check_mode=True)
    assert result["failed"] and "source, builds" in result["msg"]
    result = run(kmod, capsys, builds=[], _ansible_check_mode=True)
    assert result["failed"] and "builds is empty" in result["msg"]


def test_kmod_info_of_this_machine_is_no_error(capsys):
    result = run(kmod_info, capsys, _ansible_check_mode=True)
    assert result["changed"] is False
    assert [kernel["running"] for kernel in result["kernels"]].count(True) == 1


def test_preflight_waits_for_a_daemon_as_long_as_it_is_told(capsys, tmp_path):
    with sockets.socket(sockets.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "ownerd.sock"))
        listener.listen()
        result = run(preflight_info, capsys, runtime_directory=str(tmp_path), timeout=1)
    assert result["host"]["ownerd"] == {"unanswered": "GET /v1/status within 1 seconds"}


@pytest.mark.parametrize("module", [fabric_info, kmod, kmod_info, lease_attachments, lease_grants])
def test_every_module_is_thin(module):
    source = pathlib.Path(module.__file__).read_text(encoding="utf-8")
    code = source[source.index("from ansible.module_utils.basic") :]
    assert len(io.StringIO(code).readlines()) < 200
