# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Finds the tools that the build and the tests need, and says which are missing or too old.
# Sourced after lib.sh; nothing here changes the system.

LLVM_MIN=17.0.1 RUSTC_MIN=1.85.0 BINDGEN_MIN=0.71.1 QEMU_MIN=10.0 EROFS_MIN=1.8

# Package and what proves it: a command, or a path.
plain_tools() {
	cat <<-END
		bc bc
		bison bison
		bsdutils script
		ca-certificates /etc/ssl/certs/ca-certificates.crt
		cpio cpio
		dpkg-dev dpkg-source
		e2fsprogs mkfs.ext4
		flex flex
		g++ g++
		gcc gcc
		git git
		groff-base groff
		kmod depmod
		libc6-dev /usr/include/stdio.h
		libelf-dev /usr/include/libelf.h
		libssl-dev /usr/include/openssl/ssl.h
		make make
		man-db man
		mmdebstrap mmdebstrap
		patch patch
		perl pod2usage
		pkg-config pkg-config
		python3 python3
		shellcheck shellcheck
		util-linux-extra fincore
		xz-utils xz
	END
	[ "$(id -u)" = 0 ] || echo uidmap newuidmap
}

# Administration tools are not on every user's PATH.
PATH=$PATH:/usr/sbin:/sbin

# The directory of a complete LLVM: the versioned ones of Debian first, then the one on PATH.
find_llvm() {
	local bin tool
	for bin in /usr/lib/llvm-{19,20,21,22,18,17}/bin "$(dirname "$(readlink -f "$(command -v clang)")")"; do
		for tool in clang ld.lld llvm-{ar,nm,objcopy,objdump,readelf,strip}; do
			[ -x "$bin/$tool" ] || continue 2
		done
		[ -n "$(libclang_dir "$bin")" ] || continue
		version_ge "$(version_of "$bin/clang" --version)" "$LLVM_MIN" || continue
		printf '%s\n' "$bin"
		return
	done
}

# libclang_dir LLVM_BIN: where bindgen finds libclang of that LLVM.
libclang_dir() {
	local dir
	for dir in "${1%/bin}/lib" "${1%/bin}/lib64"; do
		compgen -G "$dir/libclang*.so*" >/dev/null || continue
		printf '%s\n' "$dir"
		return
	done
}

# The library sources of exactly the rustc in use; a nightly has them only in its own toolchain.
find_rust_src() {
	local full version dir
	full=$(rustc --version 2>/dev/null | cut -d ' ' -f 2) || return 0
	version=${full%%[-+]*}
	for dir in "$(rustc --print sysroot)/lib/rustlib/src/rust" "/usr/src/rustc-$version" \
		"$TOOLS/rust-src-$version/usr/src/rustc-$version"; do
		[ -e "$dir/library/core/src/lib.rs" ] || continue
		printf '%s\n' "$(realpath "$dir/library")"
		return
	done
}

# find_tool COMMAND MINIMUM [DIRECTORY]: our own build of a tool comes before the system's.
find_tool() {
	local path
	for path in "$TOOLS/bin/$1" "$(command -v "$1")"; do
		[ -x "$path" ] || continue
		version_ge "$(version_of "$path" --version)" "$2" || continue
		printf '%s\n' "$path"
		return
	done
}

# What is missing, one word for each: the name of a plain package, or the name of a versioned tool.
missing_tools() {
	local package proof
	while read -r package proof; do
		[ -e "$proof" ] || command -v "$proof" >/dev/null || echo "$package"
	done < <(plain_tools)
	[ -n "$(find_llvm)" ] || echo llvm
	version_ge "$(version_of rustc --version)" "$RUSTC_MIN" && command -v cargo >/dev/null || echo rust
	rustfmt --version >/dev/null 2>&1 || echo rustfmt
	cargo-clippy --version >/dev/null 2>&1 || echo clippy
	[ -n "$(find_rust_src)" ] || echo rust-src
	[ -n "$(find_tool bindgen "$BINDGEN_MIN")" ] || echo bindgen
	[ -n "$(find_tool mkfs.erofs "$EROFS_MIN")" ] || echo mkfs.erofs
	[ -n "$(find_tool qemu-system-x86_64 "$QEMU_MIN")" ] || echo qemu
}

# explain NAME: what is there and what is needed.
explain() {
	local found need
	case $1 in
	llvm) found="clang $(version_of clang --version)" need="clang, lld, llvm and libclang >= $LLVM_MIN" ;;
	rust) found="rustc $(version_of rustc --version)" need="rustc and cargo >= $RUSTC_MIN" ;;
	rustfmt | clippy) found="" need="$1 of the same toolchain as rustc (rustup component add $1)" ;;
	rust-src) found="" need="the library sources of exactly rustc $(version_of rustc --version) (rustup component add rust-src)" ;;
	bindgen) found="bindgen $(version_of bindgen --version)" need="bindgen >= $BINDGEN_MIN" ;;
	mkfs.erofs) found="mkfs.erofs $(version_of mkfs.erofs --version)" need="mkfs.erofs (erofs-utils) >= $EROFS_MIN" ;;
	qemu) found="QEMU $(version_of qemu-system-x86_64 --version)" need="qemu-system-x86_64 >= $QEMU_MIN" ;;
	*) found="" need="$1 (Debian's name of the package)" ;;
	esac
	[[ $found == *[0-9] ]] || found=nothing
	printf '  needed: %s; found: %s\n' "$need" "$found"
}
