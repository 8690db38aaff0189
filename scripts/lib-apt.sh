# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Private apt states: packages of another Debian suite, signatures checked by apt, without adding
# anything to the system's sources. Sourced after lib.sh.

DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The Debian suite that the system's own apt draws from, empty elsewhere.
system_suite() {
	local version
	version=$(apt-cache madison base-files 2>/dev/null | sed -n '1s/^[^|]*| *\([0-9]*\)[.].*/\1/p') || version=
	[ -n "$version" ] || version=$(sed -n 's/^VERSION_ID="\?\([0-9]*\).*/\1/p' /etc/os-release)
	[ -e /etc/debian_version ] || version=
	case $version in
	12) echo bookworm ;;
	13) echo trixie ;;
	esac
}

sources_of() {
	case $1 in
	bookworm-backports) # to install from: nothing newer than the system's own suite but backports
		echo "deb $DEBIAN_MIRROR bookworm main"
		echo "deb $DEBIAN_MIRROR bookworm-updates main"
		echo "deb $DEBIAN_SECURITY bookworm-security main"
		echo "deb $DEBIAN_MIRROR bookworm-backports main"
		;;
	trixie) # to download from, never to install
		echo "deb $DEBIAN_MIRROR trixie main"
		echo "deb-src $DEBIAN_MIRROR trixie main"
		echo "deb $DEBIAN_MIRROR trixie-backports main"
		;;
	*-root) # of the demo's root file system, not of an apt state
		echo "deb $DEBIAN_MIRROR ${1%-root} main"
		echo "deb $DEBIAN_SECURITY ${1%-root}-security main"
		;;
	esac | sed "s|^\(deb[^ ]*\) |\1 [signed-by=$DEBIAN_KEYRING] |"
}

# apt_private STATE COMMAND [ARGUMENT...]: runs an apt command on a private state. The lists are
# fetched when there are none yet or when they are older than a day.
apt_private() {
	local dir=$TOOLS/apt/$1 command=$2
	sources_of "$1" >"$TOOLS/.sources"
	shift 2
	[ -e "$DEBIAN_KEYRING" ] || die "$DEBIAN_KEYRING is missing (package debian-archive-keyring)"
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/etc"
	cmp -s "$TOOLS/.sources" "$dir/etc/sources.list" || {
		mv "$TOOLS/.sources" "$dir/etc/sources.list"
		rm -f "$dir/updated"
	}
	local options=(
		-o "Dir::Etc::SourceList=$dir/etc/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
		-o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache"
		-o APT::Get::AllowUnauthenticated=false -o Acquire::Languages=none -o Acquire::Retries=2
	)
	[ "$(id -u)" != 0 ] || options+=(-o APT::Sandbox::User=root)
	if [ -z "$(find "$dir/updated" -mtime -1 2>/dev/null)" ]; then
		apt-get "${options[@]}" -o APT::Update::Error-Mode=any -qq update >&2 || die "cannot update the package lists of $dir"
		touch "$dir/updated"
	fi
	case $command in
	install) as_root apt-get "${options[@]}" install "$@" ;;
	madison) apt-cache "${options[@]}" madison "$@" ;;
	*) apt-get "${options[@]}" "$command" "$@" ;;
	esac
}
