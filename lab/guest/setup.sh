# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
# Run by mmdebstrap when all packages are there: $1 is the root of the guest. Takes away what slows a boot down.
set -eu
root="$1"

: > "$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root"/etc/update-motd.d/* "$root"/etc/ssh/ssh_host_*
echo "/dev/vda / ext4 noatime,errors=remount-ro 0 0" > "$root/etc/fstab"
chroot "$root" passwd -d root > /dev/null
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    logrotate.timer man-db.timer systemd-tmpfiles-clean.timer \
    e2scrub_reap.service getty.target systemd-networkd-wait-online.service \
    systemd-machine-id-commit.service systemd-firstboot.service systemd-hwdb-update.service \
    systemd-pstore.service systemd-update-utmp.service console-getty.service \
    ldconfig.service systemd-journal-catalog-update.service systemd-update-done.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
chroot "$root" systemctl enable lab-identity.service ssh.service
ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\n' > "$root/etc/systemd/journald.conf.d/lab.conf"
printf 'path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\n' > "$root/etc/dpkg/dpkg.cfg.d/lab"
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/cache/apt/*
chroot "$root" update-initramfs -u -k all
