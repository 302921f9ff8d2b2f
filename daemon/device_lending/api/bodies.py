# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Request bodies, checked. Works with pydantic 1 and 2."""

from __future__ import annotations

from typing import Any, Dict, List, Literal, Optional

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
    grace: Optional[float] = Field(
        None, ge=0, le=3600, description="Seconds to hand the device over; null for recall_grace of the configuration."
    )


class GrantsIn(Body):
    grants: List[GrantIn]
    purge: StrictBool = Field(False, description="Revoke grants that are not in the list.")
    force: StrictBool = Field(False, description="Recall live leases of grants that go or change.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class NamedGrantIn(Body):
    device: Dict[str, Any] = Field(..., description="As in the list of grants.")
    borrower: StrictStr = Field(..., description="The host that may borrow the device.")
    grace: Optional[float] = Field(
        None, ge=0, le=3600, description="Seconds to hand the device over; null for recall_grace of the configuration."
    )
    force: StrictBool = Field(False, description="Recall a live lease of the grant when it changes.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class DeleteGrantIn(Body):
    force: StrictBool = Field(False, description="Recall a live lease of the grant.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class HoldIn(Body):
    why: StrictStr = Field("", max_length=200, description="The reason, for people; the borrower is told as well.")


class PolicyIn(Body):
    grace: Optional[float] = Field(
        None, ge=0, le=3600, description="Seconds until a recalled device is handed over; no more than the owner's."
    )
    on_loss: Literal["detach", "wait"] = Field(
        "detach", description="Whether a lost device is the end of it, or is waited for by those who use it."
    )
    attach_again: Literal["always", "once", "never"] = Field(
        "always", description="How often it is attached again by itself, until a person puts it again."
    )


class AttachmentIn(PolicyIn):
    name: StrictStr = Field(..., description="Name of the lease.")
    owner: StrictStr = Field(..., description="The host that lends the device.")


class AttachmentsIn(Body):
    attachments: List[AttachmentIn]
    purge: StrictBool = Field(False, description="Return what is not in the list.")
    force: StrictBool = Field(False, description="Return devices even when they are in use here.")
    wait_returned: float = Field(30, ge=0, le=3600, description="Seconds to wait until what goes has been returned.")
    wait: float = Field(0, ge=0, le=3600, description="Seconds to wait then until all in the list are attached.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class NamedAttachmentIn(PolicyIn):
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
