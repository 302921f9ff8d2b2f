#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Copyright: (c) 2026, the pcie.device_lending authors
#
# What DKMS runs in its copy of the sources: dkms.sh KERNEL_RELEASE KERNEL_BUILD_DIRECTORY
set -euo pipefail

release=$1
kdir=$2
# DKMS says which kernel it is for; make would take these for the state of a build that calls it.
unset MAKEFLAGS MAKELEVEL KERNELRELEASE

if grep -qs '^CONFIG_CC_IS_CLANG=y' "$kdir/.config"; then
	export LLVM=1
fi

arguments=("KVER=$release" "KDIR=$kdir")
if ! grep -qs '^CONFIG_NTB=[ym]' "$kdir/.config"; then
	bash ntb/build.sh "$release" built
	arguments+=(NTB_DIR=built)
fi
make "${arguments[@]}" modules
