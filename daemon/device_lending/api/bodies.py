# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Request bodies, checked. Works with pydantic 1 and 2."""

from __future__ import annotations

from typing import Annotated, Any, Dict, List, Optional

import pydantic
from pydantic import BaseModel, Field, StrictBool, StrictStr

from device_lending.api import forms
from device_lending.policy import ALWAYS, DETACH, GRACE_MAX, AttachAgain, OnLoss

ITEMS_MAX = 1024

if pydantic.VERSION.startswith("1."):

    class Body(BaseModel):
        """A request body: unknown keys are errors, and nothing is taken for what it is not."""

        class Config:
            extra = "forbid"

        @classmethod
        def validate(cls, value: Any) -> Body:
            """Raises TypeError for what is no object; pydantic 1 takes a list of pairs for one."""
            if not isinstance(value, dict):
                raise TypeError("value is not a valid dict")
            return super().validate(value)

        @pydantic.validator("wait", "wait_returned", "grace", pre=True, check_fields=False)
        @classmethod
        def _number(cls, value: Any) -> Any:
            if value is not None and type(value) not in (int, float):
                raise TypeError("value is not a number")
            return value

    Seconds = float

    def _extra(schema: forms.Schema) -> dict[str, Any]:
        return schema

else:

    class Body(BaseModel):  # type: ignore[no-redef]
        """A request body: unknown keys are errors, and nothing is taken for what it is not."""

        model_config = {"extra": "forbid"}

    Seconds = Annotated[float, Field(strict=True)]  # type: ignore[assignment,misc]

    def _extra(schema: forms.Schema) -> dict[str, Any]:
        return {"json_schema_extra": schema}


def _checked(schema: forms.Schema, description: str, default: Any = ...) -> Any:
    """A field of a form that the daemon checks by itself."""
    return Field(default, description=description, **_extra(schema))


def _grace(description: str) -> Any:
    return Field(None, ge=0, le=GRACE_MAX, description=description)


def _by_hand() -> Any:
    return Field(False, description="Whether leave_by_hand of a list without it means it; null leaves that as it is.")


def _formerly() -> Any:
    description = "Its name before, if it still stands by that: it is renamed, and its lease goes on."
    return Field(None, description=description, **_extra({"anyOf": [forms.LEASE, {"type": "null"}]}))


_LIST = {"maxItems": ITEMS_MAX}
_FORCE_OF = "What counts in the place of force for some, by name, whether they are in the list or not."
_REPLACE = "Revoke another grant that means the same device, instead of refusing it."
_ANY = "Of several functions that match, one that nothing uses is taken, and stays so."


class GrantIn(Body):
    name: StrictStr = _checked(forms.LEASE, "Name of the lease, unique on this owner.")
    device: Any = _checked(forms.DEVICE, "It must match one function, or with any at least one.")
    borrower: StrictStr = _checked(forms.HOST, "The host that may borrow the device.")
    grace: Optional[Seconds] = _grace("Seconds to hand the device over; null for recall_grace of the configuration.")
    reserve: StrictBool = Field(False, description="This host does not use the device itself, nor at its next boot.")
    hold: Optional[StrictBool] = Field(False, description="Whether it is on hold; null leaves that as it is.")
    by_hand: Optional[StrictBool] = _by_hand()
    any: StrictBool = Field(False, description=_ANY)
    formerly: Optional[StrictStr] = _formerly()


class GrantsIn(Body):
    grants: List[GrantIn] = _checked(_LIST, "What may be borrowed.")
    purge: StrictBool = Field(False, description="Revoke grants that are not in the list.")
    leave_by_hand: StrictBool = Field(False, description="With purge, what a person has set alone stays.")
    replace: StrictBool = Field(False, description=_REPLACE)
    force: StrictBool = Field(False, description="Recall live leases of grants that go or change.")
    force_of: Dict[StrictStr, StrictBool] = Field({}, description=_FORCE_OF)
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class NamedGrantIn(Body):
    device: Any = _checked(forms.DEVICE, "As in the list of grants.")
    borrower: StrictStr = _checked(forms.HOST, "The host that may borrow the device.")
    grace: Optional[Seconds] = _grace("Seconds to hand the device over; null for recall_grace of the configuration.")
    reserve: StrictBool = Field(False, description="This host does not use the device itself, nor at its next boot.")
    hold: Optional[StrictBool] = Field(False, description="Whether it is on hold; null leaves that as it is.")
    any: StrictBool = Field(False, description=_ANY)
    replace: StrictBool = Field(False, description=_REPLACE)
    force: StrictBool = Field(False, description="Recall a live lease of a grant that goes or changes.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class DeleteGrantIn(Body):
    force: StrictBool = Field(False, description="Recall a live lease of the grant.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class HoldIn(Body):
    why: StrictStr = Field("", max_length=200, description="The reason, for people; the borrower is told as well.")


class PolicyIn(Body):
    grace: Optional[Seconds] = _grace("Seconds until a recalled device is handed over; no more than the owner's.")
    on_loss: OnLoss = Field(
        DETACH, description="Whether a lost device is the end of it, or is waited for by those who use it."
    )
    attach_again: AttachAgain = Field(
        ALWAYS, description="How often it is attached again by itself, until a person puts it again."
    )
    driver_override: Optional[StrictStr] = _checked(
        forms.DRIVER_OR_NONE, "The only driver that may have the device, such as vfio-pci; null for any.", None
    )


class AttachmentIn(PolicyIn):
    name: StrictStr = _checked(forms.LEASE, "Name of the lease.")
    owner: StrictStr = _checked(forms.HOST, "The host that lends the device.")
    by_hand: Optional[StrictBool] = _by_hand()
    formerly: Optional[StrictStr] = _formerly()


class AttachmentsIn(Body):
    attachments: List[AttachmentIn] = _checked(_LIST, "What is wanted.")
    purge: StrictBool = Field(False, description="Return what is not in the list.")
    leave_by_hand: StrictBool = Field(False, description="With purge, what a person has set alone stays.")
    force: StrictBool = Field(False, description="Return devices even when they are in use here.")
    force_of: Dict[StrictStr, StrictBool] = Field({}, description=_FORCE_OF)
    wait_returned: Seconds = Field(30, ge=0, le=3600, description="Seconds to wait until what goes has been returned.")
    wait: Seconds = Field(0, ge=0, le=3600, description="Seconds to wait then until all in the list are attached.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class NamedAttachmentIn(PolicyIn):
    owner: StrictStr = _checked(forms.HOST, "The host that lends the device.")
    force: StrictBool = Field(False, description="Return the device of another owner even when it is in use here.")
    wait_returned: Seconds = Field(30, ge=0, le=3600, description="Seconds to wait until that has been returned.")
    wait: Seconds = Field(0, ge=0, le=3600, description="Seconds to wait then until it is attached.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class DeleteAttachmentIn(Body):
    force: StrictBool = Field(False, description="Return the device even when it is in use here.")
    wait_returned: Seconds = Field(30, ge=0, le=3600, description="Seconds to wait until it has been returned.")
    dry_run: StrictBool = Field(False, description="Check and answer, but change nothing.")


class DrainOwnerIn(Body):
    until_boot: StrictBool = Field(False, description="The next boot ends it.")


class DrainBorrowerIn(DrainOwnerIn):
    force: StrictBool = Field(False, description="Take devices that are in use then.")
    wait: Seconds = Field(30, ge=0, le=3600, description="Seconds to wait until nobody uses the devices.")


class PeerIn(Body):
    peer: StrictStr = _checked(forms.HOST, "Name of the host behind the NTB function.")


class RecallIn(Body):
    force: StrictBool = Field(False, description="Take the device at once; reset a quarantined one again.")
    ban: StrictBool = Field(False, description="Cut the borrower off as well, with all that it has; implies force.")
