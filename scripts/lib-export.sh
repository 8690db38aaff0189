# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2164
#
# Parts of scripts/overlay-export, which sets GIT_DIR, work (a scratch directory), base, tip and overlaid.

maintainer=$(sed -n 's/^M:[[:space:]]*//p' "$TOP/MAINTAINERS" | head -n 1)

# "PATCH<tab>SOURCE<tab>PATH" for each new file; dies on a file without exactly one commit.
claim_new_files() {
	local from path claims
	while IFS=$'\t' read -r from path; do
		claims=$(awk -v path="$path" '!/^#/ {
			for (i = 2; i <= NF; i++)
				if ($i == path || ($i ~ /\/$/ && index(path, $i) == 1)) print $1
		}' "$TOP/patches/new-files")
		[ "$(wc -w <<<"$claims")" = 1 ] || die "patches/new-files gives $path to: ${claims:-no commit}"
		printf '%s\t%s\t%s\n' "$claims" "$from" "$path"
	done <"$work/files"
}

# The tree object of LINUX_TREE as it is; the index keeps what did not change.
overlaid_tree() {
	export GIT_INDEX_FILE=$GIT_DIR/index
	git add -A -f .
	git write-tree
}

blob_entry() { # blob_entry FILE PATH: a line for update-index --index-info
	local mode=100644
	[ ! -x "$1" ] || mode=100755
	printf '%s %s\t%s\n' "$mode" "$(git hash-object -w --no-filters "$1")" "$2"
}

commit_as() { # commit_as NAME EMAIL DATE: commit-tree with the rest from the caller
	local name=$1 email=$2 date=$3
	shift 3
	GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=$email GIT_AUTHOR_DATE=$date \
		GIT_COMMITTER_NAME=$name GIT_COMMITTER_EMAIL=$email GIT_COMMITTER_DATE=$date git commit-tree "$@"
}

# The pristine kernel: the overlaid one without our files, patched files as they came.
base_commit() {
	export GIT_INDEX_FILE=$work/index
	cp "$GIT_DIR/index" "$GIT_INDEX_FILE"
	{
		sed "s/^/0 0000000000000000000000000000000000000000\t/" "$OVERLAY_STATE/copied"
		cd "$OVERLAY_STATE/pristine"
		find . -type f -printf '%P\n' | while read -r path; do blob_entry "$path" "$path"; done
	} | git update-index --index-info
	commit_as linux linux@localhost '2000-01-01T00:00:00Z' "$(git write-tree)" -m "Linux $(tree_version "$LINUX_TREE")"
}

# export_commit PATCH PARENT: prints the new commit; the index in work has the parent's tree.
export_commit() {
	local author email date tree
	export GIT_INDEX_FILE=$work/index
	git mailinfo "$work/message" "$work/diff" <"$TOP/patches/$1" >"$work/info"
	author=$(sed -n 's/^Author: //p' "$work/info")
	email=$(sed -n 's/^Email: //p' "$work/info")
	date=$(GIT_DIR=$TOP/.git git -C "$TOP" log -1 --format=%cI 2>/dev/null) || date=$(date -Is -r "$TOP/KERNEL_VERSION")
	{
		sed -n 's/^Subject: //p' "$work/info"
		echo
		sed '${/^---$/d}' "$work/message"
	} >"$work/full"
	if grep -q '^--- ' "$work/diff"; then
		git apply --cached "$work/diff" || die "patches/$1 does not apply"
	fi
	awk -F '\t' -v name="$1" '$1 == name' "$work/claims" | while IFS=$'\t' read -r _ from path; do
		blob_entry "$TOP/$from" "$path"
	done | git update-index --add --index-info
	tree=$(git write-tree)
	[ "$tree" != "$(git rev-parse "$2^{tree}")" ] || die "patches/$1 gives an empty commit"
	commit_as "${author:-${maintainer% <*}}" "${email:-$(cut -d '<' -f 2 <<<"${maintainer%>}")}" "$date" \
		"$tree" -p "$2" -F "$work/full"
}

# Whoever receives the mailbox applies it to a checkout; only the touched files are checked out here.
check_git_am() {
	(
		unset GIT_INDEX_FILE GIT_WORK_TREE
		git worktree prune
		git worktree add -q --no-checkout --detach "$work/am" "$base"
		git diff --name-only "$base" "$tip" >"$work/paths"
		unset GIT_DIR
		cd "$work/am"
		git sparse-checkout set --no-cone --stdin <"$work/paths"
		git checkout -q
		git -c user.name=check -c user.email=check@localhost am -q "$BUILD"/export/*.patch
		[ "$(git rev-parse 'HEAD^{tree}')" = "$overlaid" ] || die "git am gives another tree than scripts/overlay"
	)
	rm -rf "$work/am"
	(unset GIT_WORK_TREE && git worktree prune)
	say "git am of the series gives the overlaid tree"
}

# The remarks of checkpatch that scripts/checkpatch.allow does not list.
not_allowed() {
	local line path kind
	while read -r line; do
		[[ $line =~ ^(.*):[0-9]+:\ (ERROR|WARNING|CHECK):([A-Z0-9_]+): ]] || die "cannot parse: $line"
		path=${BASH_REMATCH[1]} kind=${BASH_REMATCH[3]}
		[[ $path != *.patch ]] || path=-
		while read -r type pattern _; do
			# shellcheck disable=SC2053 # the pattern is meant as one
			[ "$type" != "$kind" ] || [[ $path != $pattern ]] || continue 2
		done < <(grep -v '^#' "$TOP/scripts/checkpatch.allow")
		printf '%s\n' "$line"
	done
}

# checkpatch_of PATCH: its remarks; dies unless checkpatch came to its end and all of them were understood. Not
# --terse, since that has no last line for a patch without remarks.
checkpatch_of() {
	local status=0 total='' found
	perl scripts/checkpatch.pl --strict --showfile --show-types --root=. "$1" >"$work/checkpatch" 2>&1 || status=$?
	[ "$status" -gt 1 ] || total=$(checkpatch_total "$work/checkpatch") || true
	[ -n "$total" ] || {
		tail -n 20 "$work/checkpatch" >&2
		die "checkpatch failed on ${1##*/}: exit status $status, see above"
	}
	checkpatch_remarks "$work/checkpatch" >"$work/remarks"
	found=$(wc -l <"$work/remarks")
	[ "$found" = "$total" ] || {
		cat "$work/checkpatch" >&2
		die "checkpatch counts $total remarks on ${1##*/}, of which $found were understood"
	}
	cat "$work/remarks"
}

check_checkpatch() {
	local patch
	cd "$LINUX_TREE"
	: >"$work/all"
	for patch in "$BUILD"/export/*.patch; do
		checkpatch_of "$patch" >"$work/of-patch"
		cat "$work/of-patch" >>"$work/all"
		not_allowed <"$work/of-patch" | sed "s|^|${patch##*/}: |"
	done >"$work/findings"
	[ ! -s "$work/findings" ] || {
		cat "$work/findings" >&2
		die "checkpatch --strict: see above, or scripts/checkpatch.allow"
	}
	say "checkpatch --strict: $(wc -l <"$work/all") remarks, all listed in scripts/checkpatch.allow"
}
