# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Histories of hosts that lend each other devices, from a seed: the daemons as they are, around what a test decides of.

world.py      time, and what runs when: one thing after the other, nothing waits for real
threads.py    what stands in for threads, time and queues in the daemons' modules
machine.py    a host's devices, its clock, and how ownerd sees and binds the devices
module.py     the kernel module of a host, its links, and what becomes of messages
daemons.py    a daemon between its start and its end, and its store meanwhile
truth.py      who may end which lease, and all else that must be so at any time
people.py     what people ask the daemons for
histories.py  what happens, and that all comes to what was declared after it
"""
