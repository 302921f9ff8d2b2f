# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The HTTP API over a real socket: forms, errors, all-or-nothing, dry runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import stat
import threading
import time
from dataclasses import replace

import pytest
from daemon_kernel import FakeKernel
from starlette.applications import Starlette

from device_lending.api import metrics, serve
from device_lending.client import Failed
from device_lending.kernel import KernelError
from device_lending.store.borrower import BorrowerStore
from device_lending.store.owner import OwnerStore

DEVICE = {"address": "0000:03:00.0"}


@pytest.fixture
def host(fabric):
    owner, _borrower = fabric.pair(start=False)
    owner.start()
    return owner


def refused(call, *args, **options) -> Failed:
    with pytest.raises(Failed) as failure:
        call(*args, **options)
    return failure.value


def raw(host, daemon, request: str) -> tuple[int, dict]:
    """One hand-written request, to see what no client would send."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(host.base / f"{daemon}.sock"))
        sock.sendall(request.encode())
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    head, _blank, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def send(host, daemon, method, path, body) -> tuple[int, dict]:
    text = body if isinstance(body, str) else json.dumps(body)
    return raw(
        host, daemon,
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text.encode())}\r\n\r\n{text}",
    )  # fmt: skip


def test_status_and_links(host):
    for running, name in ((host.ownerd, "ownerd"), (host.borrowerd, "borrowerd")):
        status = running.client.get("/v1/status")
        assert status["daemon"] == name and status["host"] == "node-a"
        assert status["kernel"] == {"loaded": True, "version": "0.1", "srcversion": "ABC"}
        link = running.client.get("/v1/links")["links"][0]
        assert set(link) == {
            "id", "ntb", "peer", "announced", "physical", "state", "message", "epoch", "peer_epoch", "iommu", "windows",
            "counters", "dma", "space", "banned",
        }  # fmt: skip


def test_devices_have_the_form_of_the_contract(host):
    assert host.ownerd.client.get("/v1/devices")["devices"] == [
        {
            "address": "0000:03:00.0",
            "vendor": "1b36",
            "device": "0010",
            "class": "010802",
            "serial": "SER-1",
            "model": "QEMU NVMe Ctrl",
            "size": 1 << 30,
            "wwid": ["eui.SER-1"],
            "mac": [],
            "driver": "nvme",
            "bars": [{"index": 0, "size": 0x4000, "flags": 4}],
            "lendable": True,
            "reasons": [],
            "busy": [],
            "lease": None,
        }
    ]


def test_a_dry_run_answers_the_same_and_changes_nothing(host):
    dry = host.put_grants(("a", DEVICE, "node-b"), dry_run=True)
    assert host.ownerd.client.get("/v1/grants") == {"grants": []}
    assert host.put_grants(("a", DEVICE, "node-b")) == dry
    assert dry["actions"] == ["grant a: 0000:03:00.0 to node-b"]
    dry = host.put_attachments(("x", "node-b"), dry_run=True, wait=5)
    assert host.attachment("x") is None
    assert host.put_attachments(("x", "node-b")) == dry


def test_grants_read_back(host):
    host.put_grants(("a", {"serial": "SER-1"}, "node-b"))
    assert host.ownerd.client.get("/v1/grants")["grants"] == [
        {
            "name": "a",
            "device": {"serial": "SER-1"},
            "borrower": "node-b",
            "grace": None,
            "by_hand": False,
            "any": False,
            "address": "0000:03:00.0",
            "state": "offered",
            "reserve": False,
            "reserved": False,
            "message": "",
        }
    ]
    host.tree.remove("0000:03:00.0")
    assert host.grant("a")["state"] == "unresolved"
    assert "no PCI function serial SER-1" in host.grant("a")["message"]


@pytest.mark.parametrize(
    ("grants", "status", "code"),
    [
        ([("a", {"address": "0000:09:00.0"}, "node-b")], 422, "device_not_found"),
        ([("a", {"adress": "x"}, "node-b")], 422, "invalid_selector"),
        ([("a", DEVICE, "node-b"), ("a", DEVICE, "node-b")], 422, "duplicate_name"),
        ([("a", DEVICE, "node-b"), ("b", {"serial": "SER-1"}, "node-b")], 422, "duplicate_device"),
        ([("a", DEVICE, "node-a")], 422, "invalid_borrower"),
        ([("a", DEVICE, "no de")], 422, "invalid_borrower"),
        ([("a/b", DEVICE, "node-b")], 422, "invalid_name"),
        ([("a", {"address": "0000:01:00.0"}, "node-b")], 422, "device_not_lendable"),
    ],
)
def test_refused_grants_change_nothing(host, grants, status, code):
    host.tree.add_function("0000:01:00.0", class_code="068000", driver="ntb_hw_amd")
    host.put_grants(("kept", DEVICE, "node-b"))
    before = host.ownerd.client.get("/v1/grants")
    error = refused(host.put_grants, *grants, purge=True)
    assert (error.status, error.code) == (status, code)
    assert host.ownerd.client.get("/v1/grants") == before


def test_the_same_device_twice_is_found_against_kept_grants_too(host):
    host.put_grants(("kept", DEVICE, "node-b"))
    error = refused(host.put_grants, ("new", {"serial": "SER-1"}, "node-b"))
    assert error.code == "duplicate_device" and "kept" in str(error) and "new" in str(error)
    assert host.put_grants(("new", {"serial": "SER-1"}, "node-b"), purge=True)["changed"]


def test_a_busy_device_is_refused_naming_the_mount_point_unless_granted_before(host):
    host.tree.mount("259:0", "/mnt/data")
    error = refused(host.put_grants, ("a", DEVICE, "node-b"))
    assert (error.status, error.code) == (409, "device_busy")
    assert "/mnt/data" in str(error) and "node-a" in str(error)
    host.tree.unmount()
    host.put_grants(("a", DEVICE, "node-b"))
    host.tree.mount("259:0", "/mnt/data")
    assert host.put_grants(("a", DEVICE, "node-b"))["changed"] is False
    assert "mounted at /mnt/data" in host.grant("a")["message"]


def test_merging_and_purging(host):
    host.tree.add_nvme("0000:04:00.0", "SER-2", "nvme1n1", "259:1")
    host.put_grants(("a", DEVICE, "node-b"))
    change = host.put_grants(("b", {"serial": "SER-2"}, "node-b"))
    assert [item["name"] for item in change["after"]] == ["a", "b"]
    change = host.put_grants(("b", {"serial": "SER-2"}, "node-c"), purge=True)
    assert change["actions"] == ["revoke a", "change grant b: 0000:04:00.0 to node-c"]
    assert [item["name"] for item in change["before"]] == ["a", "b"]


def put_grant(host, name, **body):
    return host.ownerd.client.call("PUT", f"/v1/grants/{name}", body, 30)


def delete_grant(host, name, **body):
    return host.ownerd.client.call("DELETE", f"/v1/grants/{name}", body or None, 30)


def put_attachment(host, name, **body):
    return host.borrowerd.client.call("PUT", f"/v1/attachments/{name}", body, 30)


def delete_attachment(host, name, **body):
    return host.borrowerd.client.call("DELETE", f"/v1/attachments/{name}", body or None, 30)


def test_one_grant_is_set_and_taken_away_alone(host):
    host.tree.add_nvme("0000:04:00.0", "SER-2", "nvme1n1", "259:1")
    host.put_grants(("a", DEVICE, "node-b"))
    dry = put_grant(host, "b", device={"serial": "SER-2"}, borrower="node-b", dry_run=True)
    assert [grant["name"] for grant in host.ownerd.client.get("/v1/grants")["grants"]] == ["a"]
    assert put_grant(host, "b", device={"serial": "SER-2"}, borrower="node-b") == dry
    assert dry["actions"] == ["grant b: 0000:04:00.0 to node-b"]
    assert [item["name"] for item in dry["after"]] == ["a", "b"]
    assert put_grant(host, "b", device={"serial": "SER-2"}, borrower="node-b")["changed"] is False
    error = refused(put_grant, host, "b", device=DEVICE, borrower="node-b")
    assert error.code == "duplicate_device"
    dry = delete_grant(host, "a", dry_run=True)
    assert host.grant("a")["state"] == "offered"
    assert delete_grant(host, "a") == dry
    assert dry["actions"] == ["revoke a"] and [item["name"] for item in dry["after"]] == ["b"]
    assert delete_grant(host, "a")["changed"] is False
    assert refused(put_grant, host, "a%20b", device=DEVICE, borrower="node-b").code == "invalid_name"


def test_one_attachment_is_wanted_and_returned_alone(host):
    put_attachment(host, "a", owner="node-b")
    dry = put_attachment(host, "b", owner="node-b", dry_run=True)
    assert host.attachment("b") is None
    assert put_attachment(host, "b", owner="node-b") == dry
    assert dry["actions"] == ["borrow b from node-b"] and [item["name"] for item in dry["after"]] == ["a", "b"]
    assert put_attachment(host, "b", owner="node-b")["changed"] is False
    assert refused(put_attachment, host, "b", owner="node-z").code == "unknown_owner"
    error = refused(put_attachment, host, "b", owner="node-b", wait=0.2)
    assert (error.status, error.code) == (504, "attach_timeout")
    dry = delete_attachment(host, "a", dry_run=True)
    assert host.attachment("a")
    assert delete_attachment(host, "a") == dry
    assert dry["actions"] == ["return a to node-b"] and [item["name"] for item in dry["after"]] == ["b"]
    assert delete_attachment(host, "a")["changed"] is False
    assert host.attachment("a") is None and host.attachment("b")


def at_once(calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def slowly(read):
    def reading(store):
        found = read(store)
        time.sleep(0.02)  # so that whoever need not wait reads the same
        return found

    return reading


def test_changes_of_single_entries_at_once_lose_none(host, monkeypatch):
    for index in range(8):
        host.tree.add_nvme(f"0000:1{index}:00.0", f"SER-1{index}", f"nvme1{index}n1", f"259:1{index}")
    goes, comes = [f"n{index}" for index in range(4)], [f"n{index}" for index in range(4, 8)]
    device = {f"n{index}": {"serial": f"SER-1{index}"} for index in range(8)}
    host.put_grants(*((name, device[name], "node-b") for name in goes))
    host.put_attachments(*((name, "node-b") for name in goes))
    monkeypatch.setattr(OwnerStore, "grants", slowly(OwnerStore.grants))
    monkeypatch.setattr(BorrowerStore, "wanted", slowly(BorrowerStore.wanted))
    at_once(
        [lambda name=name: delete_grant(host, name) for name in goes]
        + [lambda name=name: put_grant(host, name, device=device[name], borrower="node-b") for name in comes]
        + [lambda name=name: delete_attachment(host, name) for name in goes]
        + [lambda name=name: put_attachment(host, name, owner="node-b") for name in comes]
    )
    assert [item["name"] for item in host.put_grants(dry_run=True)["after"]] == comes
    assert [item["name"] for item in host.put_attachments(dry_run=True)["after"]] == comes


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([("a", "node-a")], "invalid_owner"),
        ([("a", "node-z")], "unknown_owner"),
        ([("a", "node-b"), ("a", "node-b")], "duplicate_name"),
        ([("..", "node-b")], "invalid_name"),
    ],
)
def test_refused_attachments_change_nothing(host, items, code):
    assert refused(host.put_attachments, *items).code == code
    assert host.borrowerd.client.get("/v1/attachments") == {"attachments": []}


def test_a_waiting_attachment_says_why(host):
    host.put_attachments(("x", "node-b"))
    item = host.attachment("x")
    assert set(item) == {
        "name", "owner", "state", "address", "remote_address", "driver", "nodes", "epoch", "attempt", "next_attempt",
        "leaving", "recall_deadline", "grace", "on_loss", "attach_again", "driver_override", "spent",
        "ended", "began", "formerly", "message", "interrupts", "mappings", "by_hand",
    }  # fmt: skip
    assert item["state"] in ("waiting", "requesting")
    assert item["interrupts"] is None


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"grants": [{"name": "a"}]}, "grants[0]"),
        ({"grants": [{"name": 5, "device": {}, "borrower": "b"}]}, "grants[0].name"),
        ({"grants": [], "purge": "yes"}, "purge"),
        ({"grants": [], "other": 1}, "other"),
        ({}, "grants"),
        ([], ""),
    ],
)
def test_validation_errors_have_the_contracts_form(host, body, part):
    status, document = send(host, "ownerd", "PUT", "/v1/grants", body)
    assert status == 422
    assert document["error"]["code"] == "invalid_request"
    assert part in document["error"]["message"]


def test_a_validation_error_names_the_entry(host):
    body = {"grants": [{"name": "scratch", "device": {}, "borrower": 5}]}
    assert send(host, "ownerd", "PUT", "/v1/grants", body)[1]["error"]["name"] == "scratch"


def test_unknown_paths_and_methods_have_the_contracts_form(host):
    assert send(host, "ownerd", "GET", "/v1/nothing", "")[1]["error"]["code"] == "not_found"
    assert send(host, "ownerd", "DELETE", "/v1/grants", "")[1]["error"]["code"] == "method_not_allowed"


def test_too_long_a_list_is_refused(host):
    body = {"attachments": [{"name": f"n{index}", "owner": "node-b"} for index in range(1025)]}
    assert send(host, "borrowerd", "PUT", "/v1/attachments", body)[0] == 422


def test_a_fault_of_the_kernel_is_an_error_with_a_reason(host):
    host.kernel.fail["links"] = [KernelError("odd", 5)] * 50
    error = refused(host.ownerd.client.get, "/v1/links")
    assert (error.status, error.code) == (503, "kernel_error")


def test_a_programming_fault_is_an_error_in_the_same_form(host, monkeypatch):
    def broken(self):
        raise RuntimeError("oops")

    monkeypatch.setattr(FakeKernel, "info", broken)
    error = refused(host.ownerd.client.get, "/v1/status")
    assert (error.status, error.code) == (500, "internal")


def test_recall_without_a_lease_is_not_found(host):
    error = refused(host.recall, "nothing")
    assert (error.status, error.code) == (404, "no_lease")


def test_the_description_covers_every_path(host):
    paths = host.ownerd.client.get("/openapi.json")["paths"]
    assert set(paths) == {
        "/metrics", "/v1/status", "/v1/links", "/v1/events", "/v1/devices", "/v1/grants", "/v1/grants/{name}", "/v1/leases",
        "/v1/leases/{name}/recall", "/v1/bans", "/v1/bans/{host}", "/v1/drain", "/v1/peers", "/v1/peers/{ntb}",
        "/v1/grants/{name}/hold", "/v1/quarantines/{device}", "/v1/devices/{address}/config",
    }  # fmt: skip
    paths = host.borrowerd.client.get("/openapi.json")["paths"]
    assert set(paths) == {
        "/metrics", "/v1/status", "/v1/links", "/v1/events", "/v1/offers", "/v1/attachments",
        "/v1/attachments/{name}", "/v1/drain", "/v1/peers",
        "/v1/peers/{ntb}", "/v1/releases", "/v1/owners/{owner}", "/v1/owners/{owner}/releases/{name}",
        "/v1/attachments/{name}/config",
    }  # fmt: skip
    assert paths["/v1/attachments/{name}"]["put"]["requestBody"]["required"] is True
    assert paths["/v1/attachments/{name}"]["delete"]["requestBody"]["required"] is False


def samples(host, daemon):
    """Metrics by "name{labels}"; fails on a line that is neither a sample nor a comment."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(host.base / f"{daemon}.sock"))
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := sock.recv(65536):
            data += chunk
    head, _blank, body = data.decode().partition("\r\n\r\n")
    assert "content-type: text/plain; version=0.0.4" in head.lower()
    found = {}
    for line in body.splitlines():
        if not line.startswith("# "):
            key, value = re.fullmatch(r"([a-z_]+(?:\{.*\})?) ([0-9.e+-]+)", line).groups()
            assert key not in found
            found[key] = float(value)
    return found


def test_metrics(host):
    host.kernel.link_table[0] = replace(host.kernel.link_table[0], counters={"timeouts": 2**40})
    host.put_attachments(("x", "node-b"))
    for daemon in ("ownerd", "borrowerd"):
        which = f'daemon="{daemon}"'
        link = f'{{{which},link="0",ntb="0000:01:00.0",peer="node-b"}}'
        found = samples(host, daemon)
        assert found[f"device_lending_kernel_module_loaded{{{which}}}"] == 1
        assert found["device_lending_link_ready" + link] == 1
        assert found["device_lending_link_timeouts_total" + link] == 2**40
        for why in ("malformed", "surplus"):
            assert found[f'device_lending_messages_ignored_total{{{which},link="0",why="{why}"}}'] == 0
    assert found["device_lending_releases_pending"] == 0
    assert any(key.startswith('device_lending_attachment{name="x",owner="node-b"') for key in found)
    host.kernel.loaded = False
    assert samples(host, "ownerd")['device_lending_kernel_module_loaded{daemon="ownerd"}'] == 0


def test_labels_are_escaped():
    metric = metrics.Metric("m", "gauge", "h", [({"a": 'x"\\\n'}, 1.5)])
    assert metrics.render([metric, metrics.Metric("n", "gauge", "h", [])]) == (
        '# HELP device_lending_m h\n# TYPE device_lending_m gauge\ndevice_lending_m{a="x\\"\\\\\\n"} 1.5\n'
    )


def test_answers_match_their_description(host):
    """The answers bypass the models, so compare the keys here."""
    host.put_grants(("a", DEVICE, "node-b"))
    host.put_attachments(("x", "node-b"))
    for running in (host.ownerd, host.borrowerd):
        description = running.client.get("/openapi.json")
        schemas = description["components"]["schemas"]
        for path, methods in description["paths"].items():
            if "get" not in methods or path in ("/v1/offers", "/v1/events", "/metrics") or "{" in path:
                continue
            name = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
            answer = running.client.get(path)
            assert set(answer) == set(schemas[name]["properties"]), path
            for key, rows in answer.items():
                items = schemas[name]["properties"][key].get("items", {})
                for row in rows if isinstance(rows, list) else []:
                    assert set(row) == set(schemas[items["$ref"].split("/")[-1]]["properties"]), (path, key)


def test_the_socket_is_for_its_group_and_replaces_a_stale_one(tmp_path):
    path = tmp_path / "d.sock"
    path.write_text("left by a killed daemon")
    sock = serve.listen(str(path), None)
    mode = os.stat(path).st_mode
    assert stat.S_ISSOCK(mode) and mode & 0o777 == 0o660
    assert os.listdir(tmp_path) == ["d.sock"]
    sock.close()


def test_a_socket_that_cannot_be_made_leaves_nothing(tmp_path):
    (tmp_path / "d.sock").mkdir()
    with pytest.raises(OSError):
        serve.listen(str(tmp_path / "d.sock"), None)
    assert os.listdir(tmp_path) == ["d.sock"]


def test_an_idle_daemon_wakes_up_twice_a_second_at_most(monkeypatch):
    slept = []
    idle = serve.server(Starlette(), lambda: None)
    idle.config.load()

    async def sleep(seconds):
        slept.append(seconds)
        idle.should_exit = sum(slept) >= 10

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(idle.main_loop())
    assert len(slept) <= 20
