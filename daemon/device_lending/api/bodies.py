# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Request bodies, checked. Works with pydantic 1 and 2."""

from __future__ import annotations

from typing import Any, Dict, List

import pydantic
from pydantic import BaseModel, Field, StrictBool, StrictStr

if pydantic.VERSION.startswith("1."):

    class Body(BaseModel):
        """A request body: unknown keys are errors."""

        class Config:
            extra = "forbid"

else:

    class Body(BaseModel):  # type: ignore[no-redef]
        """A request body: unknown keys are errors."""

        model_config = {"extra": "forbid"}


class GrantIn(Body):
    name: StrictStr = Field(..., description="Name of the lease, unique on this owner.")
    device: Dict[str, Any] = Field(
        ..., description="{address}, {serial}, {vendor, device} or {physical_function, index}; must match one function."
    )
    borrower: StrictStr = Field(..., description="The host that may borrow the device.")
    reserve: StrictBool = Field(False, description="This host does not use the device itself, nor at its next boot.")


class GrantsIn(Body):
    grants: List[GrantIn]
    purge: StrictBool = Field(False, description="Revoke grants that are not in the list.")
    force: StrictBool = Field(False, description="Recall live leases of grants that go or change.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class NamedGrantIn(Body):
    device: Dict[str, Any] = Field(..., description="As in the list of grants.")
    borrower: StrictStr = Field(..., description="The host that may borrow the device.")
    reserve: StrictBool = Field(False, description="This host does not use the device itself, nor at its next boot.")
    force: StrictBool = Field(False, description="Recall a live lease of the grant when it changes.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class DeleteGrantIn(Body):
    force: StrictBool = Field(False, description="Recall a live lease of the grant.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class HoldIn(Body):
    why: StrictStr = Field("", max_length=200, description="The reason, for people; the borrower is told as well.")


class AttachmentIn(Body):
    name: StrictStr = Field(..., description="Name of the lease.")
    owner: StrictStr = Field(..., description="The host that lends the device.")


class AttachmentsIn(Body):
    attachments: List[AttachmentIn]
    purge: StrictBool = Field(False, description="Return what is not in the list.")
    force: StrictBool = Field(False, description="Return devices even when they are in use here.")
    wait_returned: float = Field(30, ge=0, le=3600, description="Seconds to wait until what goes has been returned.")
    wait: float = Field(0, ge=0, le=3600, description="Seconds to wait then until all in the list are attached.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class NamedAttachmentIn(Body):
    owner: StrictStr = Field(..., description="The host that lends the device.")
    force: StrictBool = Field(False, description="Return the device of another owner even when it is in use here.")
    wait_returned: float = Field(30, ge=0, le=3600, description="Seconds to wait until that has been returned.")
    wait: float = Field(0, ge=0, le=3600, description="Seconds to wait then until it is attached.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class DeleteAttachmentIn(Body):
    force: StrictBool = Field(False, description="Return the device even when it is in use here.")
    wait_returned: float = Field(30, ge=0, le=3600, description="Seconds to wait until it has been returned.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class DrainOwnerIn(Body):
    until_boot: StrictBool = Field(False, description="The next boot ends it.")


class DrainBorrowerIn(DrainOwnerIn):
    force: StrictBool = Field(False, description="Take devices that are in use then.")
    wait: float = Field(30, ge=0, le=3600, description="Seconds to wait until nobody uses the devices.")


class PeerIn(Body):
    peer: StrictStr = Field(..., description="Name of the host behind the NTB function.")


class RecallIn(Body):
    force: StrictBool = Field(False, description="Take the device at once; reset a quarantined one again.")
    ban: StrictBool = Field(False, description="Cut the borrower off as well, with all that it has; implies force.")
