# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""ownerd's HTTP API, as docs/development/interfaces.md has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette

from device_lending.api import bodies, common, metrics
from device_lending.api.operation import Operation
from device_lending.drain import Drain
from device_lending.kernel import KernelPort
from device_lending.mailbox.endpoint import Ignored
from device_lending.owner.notifier import Notifier
from device_lending.owner.service import Owner
from device_lending.pending import Answer, Pending
from device_lending.purging import NOBODY, NONE, Purge, meant
from device_lending.store.base import Store
from device_lending.trust import Trust


def _grant(name: str, said: bodies.GrantIn | bodies.NamedGrantIn, by_hand: bool | None) -> dict[str, Any]:
    return {
        "name": name,
        "device": said.device,
        "borrower": said.borrower,
        "grace": said.grace,
        "reserve": said.reserve,
        "hold": said.hold,
        "by_hand": by_hand,
        "any": said.any,
    }


def create(
    owner: Owner,
    port: KernelPort,
    notify: Notifier,
    ignored: Callable[[], Ignored],
    store: Store,
    trust: Trust,
    drain: Drain,
) -> Starlette:
    """The application; `ignored` counts ignored messages of peers, `store` is asked for its troubles alone."""

    def put(
        items: list[dict[str, Any]],
        purge: Purge,
        body: bodies.GrantsIn | bodies.NamedGrantIn,
        force_of: Mapping[str, bool] = NOBODY,
    ) -> Answer | Pending:
        return owner.changes.put(
            items,
            purge=purge,
            replace_others=body.replace,
            force=body.force,
            force_of=force_of,
            dry_run=body.dry_run,
            notify=notify,
        )

    def put_grants(body: bodies.GrantsIn) -> Answer | Pending:
        common.limit(body.grants, "grants")
        items = [{**_grant(item.name, item, item.by_hand), "formerly": item.formerly} for item in body.grants]
        return put(items, meant(body.purge, body.leave_by_hand), body, body.force_of)

    def put_grant(name: str, body: bodies.NamedGrantIn) -> Answer | Pending:
        return put([_grant(name, body, None)], NONE, body)

    def delete_grant(name: str, body: bodies.DeleteGrantIn) -> Answer | Pending:
        return owner.changes.put([], removed=[name], purge=NONE, force=body.force, dry_run=body.dry_run, notify=notify)

    def recall(name: str, body: bodies.RecallIn) -> Answer | Pending:
        return owner.recalls.ban(name) if body.ban else owner.recalls.recall(name, body.force, notify)

    def hold(name: str, body: bodies.HoldIn) -> dict[str, Any]:
        return {"message": owner.changes.hold(name, body.why)}

    def release(name: str) -> dict[str, Any]:
        return {"message": owner.changes.release_hold(name, notify)}

    def clear(device: str) -> Answer | Pending:
        return owner.recalls.clear(device, notify)

    def unban(host: str) -> dict[str, Any]:
        return {"message": owner.recalls.unban(host)}

    def begin_drain(body: bodies.DrainOwnerIn) -> Answer | Pending:
        return owner.recalls.drain(body.until_boot, notify)

    views, config_space, one_grant = owner.views, owner.config_spaces.ask, "/v1/grants/{name}"
    operations = [
        Operation("GET", "/v1/devices", "This host's PCI functions", "Devices", lambda: {"devices": views.devices()}),
        Operation("GET", "/v1/devices/{address}/config", "A device's registers", "ConfigSpace", config_space),
        Operation(
            "GET", "/v1/grants", "What may be borrowed, and by whom", "Grants", lambda: {"grants": views.grants()}
        ),
        Operation("PUT", "/v1/grants", "Set the grants, all or nothing", "Change", put_grants, bodies.GrantsIn),
        Operation("PUT", one_grant, "Set one grant", "Change", put_grant, bodies.NamedGrantIn),
        Operation("DELETE", one_grant, "Take one grant away", "Change", delete_grant, bodies.DeleteGrantIn),
        Operation("PUT", f"{one_grant}/hold", "Do not lend a grant for now", "Done", hold, bodies.HoldIn),
        Operation("DELETE", f"{one_grant}/hold", "Offer a grant again", "Done", release),
        Operation("GET", "/v1/leases", "What is borrowed now", "Leases", lambda: {"leases": views.leases()}),
        Operation(
            "POST", "/v1/leases/{name}/recall", "Take a device back and hold its grant", "Done", recall, bodies.RecallIn
        ),
        Operation("DELETE", "/v1/quarantines/{device}", "Reset a quarantined device and check it again", "Done", clear),
        Operation("GET", "/v1/bans", "Which hosts are cut off", "Bans", lambda: {"bans": views.bans()}),
        Operation("DELETE", "/v1/bans/{host}", "Let a host in again", "Done", unban),
        Operation("PUT", common.DRAIN, "Take all back, and lend nothing", "Done", begin_drain, bodies.DrainOwnerIn),
        Operation("DELETE", common.DRAIN, "Lend again", "Done", lambda: {"message": owner.recalls.undrain(notify)}),
    ]
    return common.create(
        "ownerd",
        owner.config.host,
        port,
        owner.peerings,
        drain,
        ignored,
        store,
        trust,
        owner.telling.journal,
        lambda: [*metrics.of_leases(views.leases()), *metrics.of_latencies("ownerd", owner.telling.latencies)],
        operations,
    )
