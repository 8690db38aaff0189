# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# Common part of the scripts: sourced, never run.

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$TOP/build
TOOLS=$BUILD/tools
KERNEL_PIN=$(<"$TOP/KERNEL_VERSION")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/onecopy
LINUX_TREE=${LINUX_TREE:-$BUILD/linux}
# What scripts/overlay knows about the tree; beside it, so that the tree holds nothing but kernel.
OVERLAY_STATE=$LINUX_TREE.overlay
DEBIAN_MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
DEBIAN_SECURITY=${DEBIAN_SECURITY:-http://deb.debian.org/debian-security}
export LC_ALL=C.UTF-8

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# version_ge FOUND WANTED
version_ge() {
	[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# The first version number in the output of a command, empty when it cannot run.
version_of() {
	local out=
	out=$("$@" 2>/dev/null) || return 0
	[[ $out =~ [0-9]+(\.[0-9]+)+ ]] && printf '%s\n' "${BASH_REMATCH[0]}"
	return 0
}

# Tool paths that scripts/setup found.
load_env() {
	[ -e "$BUILD/env.sh" ] || die "the tools are not set up: run scripts/setup first"
	# shellcheck source=/dev/null
	. "$BUILD/env.sh"
	export CARGO_TARGET_DIR=$BUILD/cargo
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "not root and no sudo: cannot run: $*"
	fi
}

# The version of a kernel source tree, from the head of its Makefile.
tree_version() {
	sed -n 's/^VERSION = //p; s/^PATCHLEVEL = /./p; s/^SUBLEVEL = /./p; /^NAME/q' "$1/Makefile" |
		tr -d '\n'
}

# Refuses a kernel of another series than the pinned one.
accept_version() {
	case $1 in
	"${KERNEL_PIN%.*}" | "${KERNEL_PIN%.*}".[0-9]*) ;;
	*) die "$2 is Linux ${1:-of unknown version}; this tree is for ${KERNEL_PIN%.*}.y (pinned: $KERNEL_PIN)" ;;
	esac
}

# The new files that this tree adds to a kernel, as "SOURCE<tab>DESTINATION". Cargo's own files and
# its integration tests are of use on the host only; the menu must not replace the kernel's Kconfig.
overlay_files() {
	local dirs=() dir
	for dir in arch include rust drivers fs lib samples kernel Documentation; do
		[ ! -d "$TOP/$dir" ] || dirs+=("$dir")
	done
	(
		cd "$TOP"
		find "${dirs[@]}" \( -name target -o -path 'lib/*/tests' -o -path 'lib/*/benches' \) -prune -o \
			-type f ! -name Cargo.toml ! -name Cargo.lock ! -name '.*.sw?' ! -name '*~' \
			! -name '*.orig' ! -name '*.rej' ! -name '*.proptest-regressions' -printf '%p\t%p\n'
	)
	printf 'Kconfig\tKconfig.onecopy\n'
}

# The patches in order; refuses a series that does not list every file, or lists a missing one.
patch_series() {
	local listed present
	listed=$(sed -E '/^[[:space:]]*(#|$)/d' "$TOP/patches/series")
	present=$(cd "$TOP/patches" && find . -name '*.patch' -printf '%P\n' | sort)
	[ "$(sort <<<"$listed")" = "$present" ] || {
		diff <(sort <<<"$listed") - <<<"$present" >&2 || true
		die "patches/series and patches/*.patch differ (< listed only, > not listed or listed twice)"
	}
	[ -z "$listed" ] || printf '%s\n' "$listed"
}
