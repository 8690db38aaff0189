# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
#
# The configuration part of scripts/build-kernel, which sets "out", the output directory, and "fragments",
# and has run_make.

# The last value that the fragments ask for, "NAME VALUE", n for "is not set".
requested() {
	sed -n -E 's/^# (CONFIG_[A-Za-z0-9_]+) is not set$/\1 n/p; s/^(CONFIG_[A-Za-z0-9_]+)=(.*)$/\1 \2/p' "${fragments[@]}" |
		awk '{ name = $1; sub(/^[^ ]+ /, ""); value[name] = $0 } END { for (name in value) print name, value[name] }' |
		sort
}

actual() {
	sed -n -E 's/^(CONFIG_[A-Za-z0-9_]+)=(.*)$/\1 \2/p' "$out/.config" | sort
}

# Options that did not come out as asked for, "NAME: VALUE wanted, VALUE set".
unmet() {
	requested | while read -r name value; do
		set=$(awk -v name="$name" '$1 == name { sub(/^[^ ]+ /, ""); print }' "$out/.onecopy-actual")
		[ "${set:-n}" = "$value" ] || printf '  %s: %s wanted, %s set\n' "$name" "$value" "${set:-n}"
	done
}

# What a configuration depends on.
config_inputs() {
	cat "${fragments[@]}" "$TOP"/patches/*.patch
	overlay_files | cut -f 1 | grep Kconfig | sort | (cd "$TOP" && xargs cat)
	tree_version "$LINUX_TREE"
	clang --version
	rustc --version
	bindgen --version
	printf '%s\n' "$RUST_LIB_SRC"
}

configure() {
	requested | sed -E 's/^([^ ]+) n$/# \1 is not set/; t; s/ /=/' >"$out/.onecopy-requested"
	run_make KCONFIG_ALLCONFIG="$out/.onecopy-requested" allnoconfig >"$out/config.log" 2>&1 || {
		cat "$out/config.log" >&2
		die "cannot configure $out"
	}
	actual >"$out/.onecopy-actual"
	unmet >"$out/.onecopy-unmet"
	if [ -s "$out/.onecopy-unmet" ]; then
		! grep -q 'CONFIG_RUST:' "$out/.onecopy-unmet" || run_make rustavailable >&2 || true
		cat "$out/.onecopy-unmet" >&2
		die "these options were not taken; their dependencies are not met"
	fi
}
