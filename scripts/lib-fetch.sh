# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
#
# Where kernel sources come from and how they are unpacked. The caller sets SERIES, 7.3 for example, and NEW,
# the directory to unpack into.

KERNEL_ORG=${KERNEL_ORG:-https://cdn.kernel.org/pub/linux/kernel}
# Who signs stable releases (https://www.kernel.org/signature.html).
SIGNERS=${SIGNERS:-647F28654894E3BD457199BE38DBBDC86092693E E27E5D8A3403A2EF66873BBCDEA66FF797772CDC}

unpack_tree() {
	if [ -e "$1/.git" ]; then
		git -C "$1" archive --format=tar HEAD | tar -x -C "$NEW"
	else
		[ ! -e "$1/.config" ] || die "$1 has been built in: run 'make mrproper' there first"
		cp -a --reflink=auto "$1/." "$NEW"
	fi
}

unpack_tarball() {
	tar -x --strip-components=1 -C "$NEW" -f "$1"
}

unpack_deb() {
	dpkg-deb --fsys-tarfile "$1" | tar -x -O --wildcards './usr/src/linux-source-*.tar.xz' |
		xz -d -T 0 | tar -x --strip-components=1 -C "$NEW"
}

# A package that apt has checked; its checksum is kept beside it for later uses from the cache.
fetch_debian() {
	local version
	[ -e "$DEBIAN_KEYRING" ] && command -v apt-get >/dev/null || return 1
	mkdir -p "$TOOLS"
	version=$(apt_private trixie madison "linux-source-$SERIES" | cut -d '|' -f 2 | tr -d ' ' | sort -V | tail -n 1)
	[ -n "$version" ] || return 1
	say "downloading Debian's linux-source-$SERIES $version"
	rm -rf "$CACHE/partial"
	mkdir -p "$CACHE/partial"
	(cd "$CACHE/partial" && apt_private trixie download -qq "linux-source-$SERIES=$version" >&2 &&
		sha256sum ./*.deb >../SHA256SUMS && mv ./*.deb ..) || return 1
	rmdir "$CACHE/partial"
}

# What only this way needs, so scripts/setup does not install it.
need_for_kernel_org() {
	local tool missing=()
	for tool in curl gpg dirmngr xz; do
		command -v "$tool" >/dev/null || missing+=("$tool")
	done
	[ ${#missing[@]} = 0 ] || die "no linux-source-$SERIES in Debian, and to get it from kernel.org these are missing:" \
		"${missing[*]} (apt install curl gnupg dirmngr xz-utils; or set LINUX to a tree or tarball)"
}

# A release tarball with a good signature of one of SIGNERS.
fetch_kernel_org() {
	local base=$KERNEL_ORG/v${KERNEL_PIN%%.*}.x/linux-$KERNEL_PIN.tar keys=$TOOLS/gnupg 
	need_for_kernel_org
	say "downloading linux-$KERNEL_PIN from kernel.org"
	mkdir -p "$keys"
	chmod 700 "$keys"
	curl -fsS --retry 2 -o "$CACHE/partial.tar.xz" "$base.xz" || return 1
	curl -fsS --retry 2 -o "$CACHE/partial.sign" "$base.sign" || return 1
	gpg --homedir "$keys" --batch --quiet --auto-key-locate clear,wkd --locate-keys \
		gregkh@kernel.org sashal@kernel.org >&2 || say "cannot fetch keys; using those in $keys"
	xz -d -T 0 -c "$CACHE/partial.tar.xz" |
		gpg --homedir "$keys" --batch --status-fd 3 --verify "$CACHE/partial.sign" - 3>"$CACHE/partial.status" || true
	grep -q -E "VALIDSIG (.* )?(${SIGNERS// /|})( |$)" "$CACHE/partial.status" ||
		die "linux-$KERNEL_PIN.tar.xz carries no valid signature of a stable maintainer"
	mv "$CACHE/partial.tar.xz" "$CACHE/linux-$KERNEL_PIN.tar.xz"
	rm "$CACHE/partial.sign" "$CACHE/partial.status"
	(cd "$CACHE" && sha256sum "./linux-$KERNEL_PIN.tar.xz" >SHA256SUMS)
}

# The newest intact archive of the right series in the cache.
cached() {
	local file
	[ -e "$CACHE/SHA256SUMS" ] || return 0
	file=$(cut -d ' ' -f 3 "$CACHE/SHA256SUMS")
	[ -e "$CACHE/$file" ] || return 0
	[[ $file == ./linux-source-"$SERIES"_* || $file == ./linux-"$SERIES".* ]] || return 0
	(cd "$CACHE" && sha256sum --quiet -c SHA256SUMS >&2) || return 0
	realpath "$CACHE/$file"
}
