# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Three hosts, at a device of one of which something hangs."""

from __future__ import annotations

import contextlib
import threading

from daemon_hosts import until
from daemon_kernel import join

from device_lending.client import Failed
from device_lending.owner.turns import Turns

STUCK, HEALTHY, SPARE = "0000:03:00.0", "0000:04:00.0", "0000:05:00.0"
GRANTS = (
    ("scratch", {"address": STUCK}, "node-b"),
    ("other", {"address": HEALTHY}, "node-c"),
    ("spare", {"address": SPARE}, "node-c"),
)
HANGS = {
    "unbind": "unbinding it from nvme",
    "lend": "resetting it and lending it to node-b",
    "unlend": "taking it from node-b and resetting it",
    "bind": "unbinding it from ntb_lend",
}
OPENING = "opening it to see whether it is in use"


class Scene:
    """node-a lends a device to node-b and another to node-c, and may lend a third; something hangs at the first.

    No step there takes too long, but one of `limits`, in seconds by what it is: a machine may be slow where nothing hangs.
    """

    def __init__(self, fabric, monkeypatch) -> None:
        step, self.limits = Turns.step, {}
        monkeypatch.setattr(
            Turns,
            "step",
            lambda turns, at, what, limit: step(turns, at, what, self.limits.get(what, limit) if at == STUCK else limit),
        )
        self.owner, self.borrower = fabric.pair(configured=False, start=False, lease_ttl=60)
        self.owner.tree.add_nvme(HEALTHY, "SER-2", "nvme7n1", "259:70")
        self.owner.tree.add_nvme(SPARE, "SER-3", "nvme8n1", "259:80")
        self.third = fabric.host("node-c", lease_ttl=60)
        self.third.kernel.boot = 3000
        join(self.owner.kernel, 1, self.third.kernel, 0)
        for host in (self.owner, self.borrower, self.third):
            host.start()
        self.owner.put_grants(*GRANTS)
        self.third.put_attachments(("other", "node-a"), wait=60)
        self.recalled = None

    def hang(self, where) -> threading.Event:
        """Have node-a hang at its device, and wait until that is seen there."""
        kernel, binder = self.owner.kernel, self.owner.binder
        hangs = {"unbind": (binder, "nvme"), "bind": (binder, "ntb_lend")}
        holder, what = hangs.get(where, (kernel, where))
        is_given = where in ("unbind", "lend")
        if not is_given:
            self.borrower.put_attachments(("scratch", "node-a"), wait=60)
        end = holder.hang(what, STUCK)
        self.limits[HANGS[where]] = 0.5
        if is_given:
            self.borrower.put_attachments(("scratch", "node-a"))
        else:
            self.recalled = threading.Thread(target=self.recall)
            self.recalled.start()
        until(lambda: "hangs since" in self.owner.lease("scratch")["message"])
        return end

    def recall(self):
        with contextlib.suppress(Failed):  # but where the hang ends before anybody was told
            self.owner.recall("scratch", force=True)

    def end(self) -> None:
        for event in (*self.owner.kernel.hangs.values(), *self.owner.binder.hangs.values(),
                      *self.borrower.kernel.hangs.values()):  # fmt: skip
            event.set()
        if self.recalled:
            self.recalled.join(10)

    def healthy(self):
        return self.owner.lease("other")
