#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# First program of a demo guest, from its read-only root file system: runs the job, tells the host what it
# found by lines that begin with "onecopy-demo: ", and then waits for the host's word. "demo.dax" on the
# kernel command line says that the root must be mounted with DAX.

say() {
	echo "onecopy-demo: $*"
}

power_off() {
	# There is no init system in the image: reboot(2) with LINUX_REBOOT_CMD_POWER_OFF.
	exec perl -e 'syscall(169, 0xfee1dead, 0x28121969, 0x4321fedc, 0); die "cannot power off: $!\n"'
}

fail() {
	say "fail $*"
	power_off
}

say "first-program"
here=${0%/*}
export PATH=/usr/bin:/usr/sbin HOME=/tmp LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
mount -t proc proc /proc || fail "cannot mount /proc"
mount -t sysfs sysfs /sys || fail "cannot mount /sys"
mount -t tmpfs tmpfs /tmp || fail "cannot mount /tmp"
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev || fail "cannot mount /dev"

# The kernel calls the device of its root /dev/root; EROFS drops dax=always with no more than a message.
while read -r device directory type options _; do
	[ "$directory" != / ] || break
done </proc/mounts
[ "$directory" = / ] || fail "no root in /proc/mounts"
[ "$type" = erofs ] || fail "the root is $type, not erofs"
if grep -qw demo.dax /proc/cmdline; then
	[[ ,$options, == *,dax=always,* ]] || fail "the root is mounted without DAX: $device $options"
else
	[[ ,$options, != *,dax* ]] || fail "the root of the usual way is mounted with DAX: $device $options"
fi
say "root $type $options"

result=$(python3 -I -B "$here/job.py") || fail "the job ended with status $?"
say "result $result"

# With the shell's own means: another program would change what is measured.
meminfo=
while read -r name value _; do
	meminfo+=" ${name%:}=$value"
done </proc/meminfo
say "meminfo$meminfo"
say "idle"

while read -r word; do
	case $word in
	file-cache)
		cached=$(python3 -I -B "$here/file_cache.py") || fail "cannot measure the page cache"
		say "file-cache $cached"
		;;
	power-off) power_off ;;
	esac
done
fail "the console was closed"
