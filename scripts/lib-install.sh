# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
#
# How scripts/setup installs what is missing: from the system's own suite where that is new enough, else
# from a private apt state or built into build/tools. The caller sets "missing", the names of missing_tools.

BINDGEN_BUILD=0.72.1

# Whether the system's own apt offers PACKAGE in at least VERSION.
offered() {
	local version
	version=$(apt-cache madison "$1" | sed -n '1s/^[^|]*| *\([0-9]*:\)\?\([0-9.]*\).*/\2/p')
	[ -n "$version" ] && version_ge "$version" "$2"
}

# Whether rustc is, or is going to be, the one of the distribution: then its companions are too.
debian_rust() {
	[[ " ${missing[*]} " == *" rust "* ]] || dpkg -S "$(readlink -f "$(command -v rustc)")" >/dev/null 2>&1
}

# packages_for NAME: the packages of the system's own suite for a missing tool, none if it is to be built.
packages_for() {
	local web=
	offered rustc "$RUSTC_MIN" || web=-web
	case $1 in
	llvm) echo clang-19 lld-19 llvm-19 libclang1-19 ;;
	rust) echo "rustc$web" "cargo$web" ;;
	rustfmt) ! debian_rust || echo "rustfmt$web" ;;
	clippy) ! debian_rust || echo "rust$web-clippy" ;;
	rust-src) ! debian_rust || echo "rust$web-src" ;;
	bindgen) ! offered bindgen "$BINDGEN_MIN" || echo bindgen ;;
	mkfs.erofs) offered erofs-utils "$EROFS_MIN" && echo erofs-utils || echo autoconf automake libtool pkg-config ;;
	qemu) ! offered qemu-system-x86 "$QEMU_MIN" || echo qemu-system-x86 seabios ;;
	*) echo "$1" ;;
	esac
}

install_packages() {
	say "installing: $*"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove "$@" \
		>"$TOOLS/apt.log" 2>&1 </dev/null || {
		tail -n 20 "$TOOLS/apt.log" >&2
		die "apt-get could not install: $*"
	}
}

# QEMU of bookworm-backports; refuses a plan that replaces parts of the system for it.
install_qemu() {
	local names=(qemu-system-{x86,common,data}/bookworm-backports seabios/bookworm-backports) plan
	say "installing QEMU from bookworm-backports"
	plan=$(apt_private bookworm-backports install -s --no-install-recommends "${names[@]}")
	! grep -E '^(Remv|Inst (libc6|dpkg|apt|systemd|libssl3) )' <<<"$plan" >&2 ||
		die "installing QEMU from bookworm-backports would change these packages: not done"
	DEBIAN_FRONTEND=noninteractive apt_private bookworm-backports install -y -qq --no-install-recommends \
		--no-remove "${names[@]}" >"$TOOLS/apt.log" 2>&1 </dev/null || {
		tail -n 20 "$TOOLS/apt.log" >&2
		die "cannot install QEMU from bookworm-backports"
	}
}

# rustup's toolchain without sources: Debian's package of the same upstream version, unpacked.
fetch_rust_src() {
	local version package
	version=$(version_of rustc --version)
	package=$(apt_private trixie madison rust-src | sed -n "s/^[^|]*| *\(${version}[+~][^ ]*\) .*/\1/p" | head -n 1)
	[ -n "$package" ] || return 0
	say "fetching the library sources of rustc $version"
	rm -rf "$TOOLS/rust-src-$version" "$TOOLS/download"
	mkdir -p "$TOOLS/download"
	(cd "$TOOLS/download" && apt_private trixie download -qq "rust-src=$package")
	dpkg-deb -x "$TOOLS"/download/rust-src_*.deb "$TOOLS/download/unpacked"
	mv "$TOOLS/download/unpacked" "$TOOLS/rust-src-$version"
	rm -rf "$TOOLS/download"
}

build_bindgen() {
	say "building bindgen $BINDGEN_BUILD (one or two minutes)"
	env -u CARGO_TARGET_DIR cargo install --quiet --locked --version "$BINDGEN_BUILD" --root "$TOOLS" bindgen-cli </dev/null
}
