# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""ownerd's HTTP API, as docs/development/interfaces.md has it."""

from collections.abc import Callable

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from device_lending.api import common, metrics, models
from device_lending.kernel import KernelPort
from device_lending.owner.service import Notifier, Owner


def create(owner: Owner, port: KernelPort, notify: Notifier, malformed: Callable[[], int]) -> FastAPI:
    """The application; `malformed` counts ignored messages of peers.

    Handlers run in threads, as the kernel calls below them block.
    """
    app = common.create(
        "ownerd", owner.config.host, port, owner.peerings, malformed, lambda: metrics.of_leases(owner.leases())
    )

    @app.get("/v1/devices", response_model=models.Devices, summary="This host's PCI functions")
    def devices() -> JSONResponse:
        return common.answer({"devices": owner.devices()})

    @app.get("/v1/grants", response_model=models.Grants, summary="What may be borrowed, and by whom")
    def grants() -> JSONResponse:
        return common.answer({"grants": owner.grants()})

    @app.put("/v1/grants", response_model=models.Change, summary="Set the grants, all or nothing")
    def put_grants(body: models.GrantsIn) -> JSONResponse:
        common.limit(body.grants, "grants")
        items = [{"name": item.name, "device": item.device, "borrower": item.borrower} for item in body.grants]
        return common.answer(
            owner.put_grants(items, purge=body.purge, force=body.force, dry_run=body.dry_run, notify=notify)
        )

    @app.get("/v1/leases", response_model=models.Leases, summary="What is borrowed now")
    def leases() -> JSONResponse:
        return common.answer({"leases": owner.leases()})

    @app.post("/v1/leases/{name}/recall", response_model=models.Done, summary="Take a device back and hold its grant")
    def recall(name: str, body: models.RecallIn) -> JSONResponse:
        return common.answer({"message": owner.recall(name, body.force, notify)})

    return app
