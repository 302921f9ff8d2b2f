# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""borrowerd's HTTP API, as docs/development/interfaces.md has it."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette

from device_lending.api import bodies, common, metrics
from device_lending.api.operation import Operation
from device_lending.borrower.service import Borrower
from device_lending.drain import Drain
from device_lending.kernel import KernelPort
from device_lending.pending import Answer, Pending
from device_lending.policy import Policy
from device_lending.purging import NONE, meant
from device_lending.store.base import Store
from device_lending.trust import Trust


def _policy(body: bodies.PolicyIn) -> Policy:
    return Policy(body.grace, body.on_loss, body.attach_again, body.driver_override)


def create(borrower: Borrower, port: KernelPort, store: Store, trust: Trust, drain: Drain) -> Starlette:
    """The application; `store` is asked for its troubles alone."""

    def attachments() -> dict[str, Any]:
        return {"attachments": borrower.views.attachments()}

    def put_attachments(body: bodies.AttachmentsIn) -> Answer | Pending:
        common.limit(body.attachments, "attachments")
        items = [
            {
                "name": item.name,
                "owner": item.owner,
                "policy": _policy(item),
                "by_hand": item.by_hand,
                "formerly": item.formerly,
            }
            for item in body.attachments
        ]
        return borrower.changes.put(
            items,
            purge=meant(body.purge, body.leave_by_hand),
            force=body.force,
            force_of=body.force_of,
            wait_returned=body.wait_returned,
            wait=body.wait,
            dry_run=body.dry_run,
        )

    def put_attachment(name: str, body: bodies.NamedAttachmentIn) -> Answer | Pending:
        return borrower.changes.put(
            [{"name": name, "owner": body.owner, "policy": _policy(body), "by_hand": None}],
            purge=NONE,
            force=body.force,
            wait_returned=body.wait_returned,
            wait=body.wait,
            dry_run=body.dry_run,
        )

    def delete_attachment(name: str, body: bodies.DeleteAttachmentIn) -> Answer | Pending:
        return borrower.changes.put(
            [],
            removed=[name],
            purge=NONE,
            force=body.force,
            wait_returned=body.wait_returned,
            wait=0,
            dry_run=body.dry_run,
        )

    def begin_drain(body: bodies.DrainBorrowerIn) -> Answer | Pending:
        return borrower.draining.begin(until_boot=body.until_boot, force=body.force, wait=body.wait)

    def releases() -> dict[str, Any]:
        return {"releases": borrower.views.releases()}

    def forget(owner: str) -> dict[str, Any]:
        return {"message": borrower.changes.forget(owner)}

    def forget_release(owner: str, name: str) -> dict[str, Any]:
        return {"message": borrower.changes.forget(owner, name)}

    path, one = "/v1/attachments", "/v1/attachments/{name}"
    operations = [
        Operation("GET", "/v1/offers", "What the owners offer to this host", "Offers", borrower.views.offers),
        Operation("GET", path, "What this host borrows or waits for", "Attachments", attachments),
        Operation("PUT", path, "Set what is wanted, all or nothing", "Change", put_attachments, bodies.AttachmentsIn),
        Operation("PUT", one, "Want one attachment", "Change", put_attachment, bodies.NamedAttachmentIn),
        Operation("DELETE", one, "Return one attachment", "Change", delete_attachment, bodies.DeleteAttachmentIn),
        Operation("PUT", common.DRAIN, "Return all, and attach nothing", "Done", begin_drain, bodies.DrainBorrowerIn),
        Operation("DELETE", common.DRAIN, "Attach again", "Done", lambda: {"message": borrower.draining.end()}),
        Operation(
            "GET", f"{one}/config", "A device's registers as seen here", "ConfigSpace", borrower.views.config_space
        ),
        Operation("GET", "/v1/releases", "What owners have not acknowledged", "Releases", releases),
        Operation("DELETE", "/v1/owners/{owner}", "Forget an owner", "Done", forget),
        Operation("DELETE", "/v1/owners/{owner}/releases/{name}", "Forget one release", "Done", forget_release),
    ]
    return common.create(
        "borrowerd",
        borrower.config.host,
        port,
        borrower.peerings,
        drain,
        borrower.endpoint.ignored,
        store,
        trust,
        borrower.telling.journal,
        lambda: [
            *metrics.of_attachments(borrower.views.attachments(), borrower.views.pending_releases()),
            *metrics.of_latencies("borrowerd", borrower.telling.latencies),
        ],
        operations,
    )
