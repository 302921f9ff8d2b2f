# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""The forms of the answers, for the OpenAPI description only. Works with pydantic 1 and 2."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from pydantic import BaseModel, Field

from device_lending.events.event import KINDS


class ErrorDetail(BaseModel):
    code: str
    message: str
    name: Optional[str] = None
    device: Optional[str] = None
    other: Optional[str] = None


class Error(BaseModel):
    error: ErrorDetail


class Kernel(BaseModel):
    loaded: bool
    version: Optional[str]
    srcversion: Optional[str]


class Status(BaseModel):
    daemon: str
    version: str
    host: str
    kernel: Kernel
    drained: Optional[Dict[str, Any]] = Field(
        ..., description="since (UTC, ISO 8601) and until_boot; null unless it is"
    )
    store: str = Field(..., description="What was wrong with the daemon's store since its start, in words, or nothing.")


class EventOut(BaseModel):
    """A line of /v1/events; null, nothing or an empty list for what it is not about."""

    version: int = Field(..., description="Of this form. Later ones may have more keys and kinds.")
    id: int = Field(..., description="Its number: one more than the event before, also over restarts at least more.")
    time: str = Field(..., description="UTC, ISO 8601, with milliseconds")
    daemon: str
    host: str
    kind: str = Field(..., description=f"One of: {', '.join(KINDS)}.")
    name: Optional[str] = Field(..., description="Of the lease.")
    epoch: Optional[int] = Field(..., description="Of the lease.")
    link: Optional[int]
    peer: Optional[str] = Field(..., description="The host at the other end of the lease or the link.")
    device: Optional[str] = Field(..., description="PCI address on this host.")
    nodes: List[str]
    reason: str = Field(..., description="In words, for people.")


class WindowOut(BaseModel):
    index: int
    size: int
    base: int
    inbound_base: int
    inbound_size: int


class LinkOut(BaseModel):
    id: int
    ntb: str
    peer: Optional[str]
    announced: Optional[str]
    physical: bool
    state: str
    message: str
    epoch: int
    peer_epoch: int
    iommu: bool
    dma: str = Field(..., description="How borrowed devices reach this host's memory: iommu, direct or bounce.")
    banned: bool = Field(..., description="This host keeps it down: see /v1/bans.")
    space: Dict[str, int] = Field(
        ..., description="Octets for DMA mappings: size, free, largest, bounced, and how often none was left."
    )
    windows: List[WindowOut]
    counters: Dict[str, int]


class Links(BaseModel):
    links: List[LinkOut]


class PeerOut(BaseModel):
    ntb: str = Field(..., description="PCI address of the NTB function.")
    peer: str


class Peers(BaseModel):
    peers: List[PeerOut]


class BarOut(BaseModel):
    index: int
    size: int
    flags: int = Field(..., description="Low bits of the register: 1 I/O, 4 64-bit, 8 prefetchable.")


class DeviceOut(BaseModel):
    address: str
    vendor: str
    device: str
    class_code: str = Field(..., alias="class")
    serial: Optional[str]
    model: Optional[str]
    size: Optional[int] = Field(..., description="Octets of all its disks.")
    wwid: List[str] = Field(..., description="Of its disks.")
    mac: List[str] = Field(..., description="Of its network interfaces.")
    driver: Optional[str]
    bars: List[BarOut]
    lendable: bool
    reasons: List[str]
    busy: List[str]
    lease: Optional[str]


class Devices(BaseModel):
    devices: List[DeviceOut]


class BanOut(BaseModel):
    host: str
    since: str = Field(..., description="UTC, ISO 8601")


class Bans(BaseModel):
    bans: List[BanOut]


class GrantOut(BaseModel):
    name: str
    device: Dict[str, Any]
    borrower: str
    grace: Optional[float] = Field(..., description="As it was put; null for recall_grace of the configuration.")
    address: Optional[str]
    state: str = Field(..., description="unresolved, offered, held, leased or quarantined")
    reserve: bool = Field(..., description="This host is not to use the device itself, nor at its next boot.")
    reserved: bool = Field(..., description="It does not. Where it still does though not meant to, message says why.")
    by_hand: bool = Field(..., description="A person has set it alone, and a list without it usually leaves it.")
    any: bool = Field(..., description="Of several functions that match one was taken.")
    message: str


class Grants(BaseModel):
    grants: List[GrantOut]


class Change(BaseModel):
    changed: bool
    before: List[Dict[str, Any]]
    after: List[Dict[str, Any]]
    actions: List[str]
    unwritten: str = Field(..., description="Why this is in memory only, until the disk can be written; or nothing.")


class LeaseOut(BaseModel):
    name: str
    address: str
    borrower: str
    link: int
    epoch: int
    state: str = Field(..., description="granted, active, returning or quarantined")
    since: str
    expires: Optional[str]
    grace: float = Field(..., description="Seconds that the borrower has to hand the device over.")
    contained: bool = Field(..., description="An IOMMU lets the device reach its borrower and nothing of this host.")
    limits: List[str] = Field(..., description="What the device lacks for its borrower, in words.")
    message: str


class Leases(BaseModel):
    leases: List[LeaseOut]


class Done(BaseModel):
    message: str = Field(..., description="What was done, in words.")
    unwritten: str = Field(..., description="Why this is in memory only, until the disk can be written; or nothing.")


class OfferOut(BaseModel):
    owner: str
    name: str
    address: str
    vendor: str
    device: str
    class_code: str = Field(..., alias="class")
    serial: Optional[str]
    leased: bool


class Offers(BaseModel):
    offers: List[OfferOut]


class AttachmentOut(BaseModel):
    name: str
    owner: str
    state: str = Field(..., description="waiting, requesting, attaching, attached, detaching or failed")
    address: Optional[str]
    remote_address: Optional[str]
    driver: Optional[str]
    nodes: List[str]
    epoch: Optional[int]
    attempt: int
    next_attempt: Optional[str]
    leaving: bool = Field(
        ..., description="Its device goes as soon as nobody uses it: its owner wants it back, or this host is drained"
    )
    recall_deadline: Optional[str] = Field(..., description="When it goes even if it is in use; null for never")
    grace: Optional[float] = Field(..., description="As it was put; null for the owner's.")
    on_loss: str = Field(..., description="detach or wait")
    attach_again: str = Field(..., description="always, once or never")
    driver_override: Optional[str] = Field(..., description="The only driver that may have it; null for any.")
    by_hand: bool = Field(..., description="A person has set it alone, and a list without it usually leaves it.")
    spent: bool = Field(..., description="It is not attached again until a person puts it again.")
    ended: str = Field(..., description="Why its device went last: loss, recall or drain; empty while it is here.")
    began: Optional[int] = Field(
        ..., description="Epoch of the first lease since which it was only lost and waited for; null before the first"
    )
    formerly: List[str] = Field(..., description="The names that it had since then, oldest first.")
    message: str
    interrupts: Optional[str] = Field(
        ..., description="msi-x or msi, straight; msi-relayed or intx-relayed, by the owner; none; null without device"
    )
    mappings: Dict[str, int] = Field(..., description="DMA mappings: alive, octets, octets bounced, refused.")


class Attachments(BaseModel):
    attachments: List[AttachmentOut]


class ReleaseOut(BaseModel):
    name: str
    owner: str
    epoch: int
    remote_address: str
    attempt: int = Field(..., description="How often the owner was told since the daemon started.")
    next_attempt: Optional[str]


class Releases(BaseModel):
    releases: List[ReleaseOut]


class ConfigSpace(BaseModel):
    address: str
    config: str = Field(..., description="The configuration space, as hexadecimal digits.")
