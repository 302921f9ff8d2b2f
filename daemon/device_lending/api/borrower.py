# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""borrowerd's HTTP API, as docs/development/interfaces.md has it."""

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from device_lending.api import common, metrics, models
from device_lending.borrower.service import Borrower
from device_lending.kernel import KernelPort


def create(borrower: Borrower, port: KernelPort) -> FastAPI:
    """The application; handlers run in threads, as the kernel calls below them block."""
    app = common.create(
        "borrowerd",
        borrower.config.host,
        port,
        borrower.peerings,
        lambda: borrower.endpoint.malformed,
        lambda: metrics.of_attachments(borrower.attachments(), borrower.pending_releases()),
    )

    @app.get("/v1/offers", response_model=models.Offers, summary="What the owners offer to this host")
    def offers() -> JSONResponse:
        return common.answer({"offers": borrower.offers()})

    @app.get("/v1/attachments", response_model=models.Attachments, summary="What this host borrows or waits for")
    def attachments() -> JSONResponse:
        return common.answer({"attachments": borrower.attachments()})

    @app.put("/v1/attachments", response_model=models.Change, summary="Set what is wanted, all or nothing")
    def put_attachments(body: models.AttachmentsIn) -> JSONResponse:
        common.limit(body.attachments, "attachments")
        items = [{"name": item.name, "owner": item.owner} for item in body.attachments]
        return common.answer(
            borrower.put_attachments(items, purge=body.purge, force=body.force, wait=body.wait, dry_run=body.dry_run)
        )

    return app
