#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Copyright: (c) 2026, the pcie.device_lending authors
#
# Build the kernel's own NTB core and bridge drivers for a kernel that ships
# none, from the distribution's linux-source of exactly that version.
set -euo pipefail

usage() {
	cat <<EOF
Usage: ${0##*/} [--tests] [--source TARBALL] KERNEL_RELEASE OUTDIR

Build ntb.ko and ntb_hw_*.ko for KERNEL_RELEASE into OUTDIR, with the
Module.symvers that clients of the NTB core are built against.

  --tests           also ntb_pingpong, ntb_tool, ntb_perf, ntb_transport and the
                    kernel's ntb_test.sh
  --source TARBALL  linux-source to use; default: the one in /usr/src whose
                    version is that of the headers
EOF
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

tests=n
tarball=
while [ $# -gt 0 ]; do
	case $1 in
	--tests) tests=m ;;
	--source) [ $# -ge 2 ] || die "--source needs a file"; tarball=$2; shift ;;
	-h | --help) usage; exit 0 ;;
	-*) usage >&2; exit 2 ;;
	*) break ;;
	esac
	shift
done
[ $# -eq 2 ] || { usage >&2; exit 2; }
release=$1
# make -C looks for it from another directory.
out=$(realpath -m "$2")

kdir=/lib/modules/$release/build
[ -e "$kdir/Makefile" ] || die "no kernel headers for $release: install linux-headers-$release"

# The release need not say it: 6.12.107+deb13-amd64 is 6.12.107, but 6.1.0-37-amd64 is 6.1.140.
version=$(make -s --no-print-directory -C "$kdir" kernelversion)
series=$(cut -d. -f1,2 <<<"$version")
if [ -z "$tarball" ]; then
	for f in /usr/src/linux-source-"$series".tar.{xz,zst,gz}; do
		[ -e "$f" ] && tarball=$f && break
	done
fi
[ -n "$tarball" ] || die "no linux-source-$series in /usr/src: install linux-source-$series"

mkdir -p "$out"
# Its path gets into the modules: always the same one, so that the same sources give the same build.
tree=$out/.source
rm -rf "$tree"
mkdir "$tree"
trap 'rm -rf "$tree"' EXIT
top=linux-source-$series
tar -xf "$tarball" -C "$tree" --wildcards "$top/Makefile" "$top/drivers/ntb" \
	"$top/include/linux/ntb*.h" "$top/tools/testing/selftests/ntb"
have=$(awk '/^VERSION =/{v=$3} /^PATCHLEVEL =/{p=$3} /^SUBLEVEL =/{s=$3; print v"."p"."s; exit}' "$tree/$top/Makefile")
[ "$have" = "$version" ] ||
	die "$tarball holds $have, the kernel is $version: install linux-source-$series of version $version"

# IDT needs HWMON, which the cloud flavour lacks; Switchtec needs
# PCI_SW_SWITCHTEC, which Debian leaves out and which is built elsewhere.
idt=n
grep -qs '^CONFIG_HWMON=[ym]' "$kdir/.config" && idt=m

make -C "$kdir" M="$tree/$top/drivers/ntb" \
	CONFIG_NTB=m CONFIG_NTB_AMD=m CONFIG_NTB_INTEL=m CONFIG_NTB_EPF=m \
	CONFIG_NTB_IDT=$idt CONFIG_NTB_PINGPONG=$tests CONFIG_NTB_TOOL=$tests \
	CONFIG_NTB_PERF=$tests CONFIG_NTB_TRANSPORT=$tests modules

find "$tree/$top/drivers/ntb" -name '*.ko' -exec cp -t "$out" {} +
cp "$tree/$top/drivers/ntb/Module.symvers" "$out/"
if [ $tests = m ]; then
	cp "$tree/$top/tools/testing/selftests/ntb/ntb_test.sh" "$out/"
fi
