#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# First program of the inner host of "make bench-vmrm", from its read-only root file system: squeezes guests
# below one cgroup, and says on the console how that ended.

export PATH=/usr/bin:/usr/sbin HOME=/tmp TMPDIR=/tmp XDG_CACHE_HOME=/tmp LC_ALL=C
export ONECOPY_GUEST_PROGRAM=/usr/bin/onecopy-guest
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
# Guests need locks, and files that are verified once.
cp -a --sparse=always /squeeze /tmp/
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
onecopy-bench --build /build --accel tcg squeeze
echo "squeeze: ended with $?"
# The outer host ends the machine.
sleep 1000
