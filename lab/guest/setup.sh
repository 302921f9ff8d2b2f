# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
# shellcheck shell=sh
# Run by mmdebstrap when all packages are there: $1 is the root of the guest. Takes away what slows a boot down.
set -eu
root="$1"

: > "$root/etc/machine-id"
mkdir -p "$root/var/cache/lab-bytecode"
rm -f "$root/etc/hostname" "$root"/etc/update-motd.d/* "$root"/etc/ssh/ssh_host_*
# The kernel command line mounts the root; with an entry here systemd would wait for udev to announce the disk.
: > "$root/etc/fstab"
chroot "$root" passwd -d root > /dev/null
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    logrotate.timer man-db.timer systemd-tmpfiles-clean.timer \
    e2scrub_reap.service getty.target systemd-networkd-wait-online.service \
    systemd-machine-id-commit.service systemd-firstboot.service systemd-hwdb-update.service \
    systemd-pstore.service systemd-update-utmp.service console-getty.service \
    systemd-binfmt.service modprobe@configfs.service modprobe@drm.service modprobe@fuse.service modprobe@nvme_fabrics.service \
    nvmefc-boot-connections.service nvmf-autoconnect.service sys-fs-fuse-connections.mount sys-kernel-config.mount \
    dev-hugepages.mount dev-mqueue.mount ldconfig.service systemd-journal-catalog-update.service systemd-update-done.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
chroot "$root" systemctl enable lab-identity.service lab-interpreter.socket ssh.service
ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\n' > "$root/etc/systemd/journald.conf.d/lab.conf"
printf 'path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\n' > "$root/etc/dpkg/dpkg.cfg.d/lab"
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/cache/apt/*

# The kernel is Debian's, but drivers of what no machine of the lab can have go, and the others are unpacked: depmod, which
# every installation of a module runs, takes 40 s of processor time under emulation with all of them, 14 s with those that
# stay, and 4 s when they are not compressed.
for kernel in "$root"/lib/modules/*/kernel; do
    for name in drivers/accessibility drivers/atm drivers/bluetooth drivers/comedi drivers/gpu/drm/amd \
        drivers/gpu/drm/i915 drivers/gpu/drm/nouveau drivers/gpu/drm/radeon drivers/gpu/drm/xe drivers/hwmon \
        drivers/iio drivers/infiniband drivers/isdn drivers/media drivers/mtd drivers/net/arcnet drivers/net/can \
        drivers/net/wireless drivers/net/wwan drivers/platform drivers/staging drivers/w1 drivers/watchdog \
        net/bluetooth net/mac80211 net/wireless sound/firewire sound/isa sound/soc; do
        rm -rf "${kernel:?}/$name"
    done
    for driver in "$kernel"/drivers/net/ethernet/*; do
        case "$driver" in
            */intel | */realtek) ;;
            *) rm -rf "$driver" ;;
        esac
    done
    find "$kernel" -name '*.ko.xz' -exec unxz {} +
    release=$(basename "$(dirname "$kernel")")
    chroot "$root" depmod -a "$release"
done
chroot "$root" update-initramfs -u -k all
