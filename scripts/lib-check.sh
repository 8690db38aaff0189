# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What logs of tests say: parts of scripts/check, scripts/fuzz and scripts/overlay-export. Sourced, never run.

# counts LOG: "PASSED FAILED" as all test harnesses in the log say together; nothing when there is none.
counts() {
	awk '
		/^test result: / { passed += $4; failed += $6; seen = 1 }
		/# Totals: pass:/ {
			match($0, /pass:[0-9]+/); passed += substr($0, RSTART + 5, RLENGTH - 5)
			match($0, /fail:[0-9]+/); failed += substr($0, RSTART + 5, RLENGTH - 5); seen = 1
		}
		/^[0-9]+ passed, [0-9]+ failed(, [0-9]+ retried)?$/ { passed = $1; failed = $3; seen = 1 }
		/^ok [0-9]+ - / { passed++; seen = 1 }
		/^not ok [0-9]+ - / { failed++; seen = 1 }
		END { if (seen) print passed + 0, failed + 0 }
	' "$1"
}

# show_failure LOG: the failed tests, each with the beginning of its message, where the log names them; else the end
# of the log. What calls this may keep little of the output, so the names come first.
show_failure() {
	awk '
		/^test .* FAILED$/ || /^not ok [0-9]+ - / || /^ +not ok [0-9]+ / { print; found = 1 }
		/^---- .* ----$/ || / panicked at / { shown = 8 }
		shown > 0 { print "    " substr($0, 1, 300); shown-- }
		END { exit !found }
	' "$1" || tail -n 60 "$1"
}

# fuzz_figures LOG: "EXECUTIONS EDGES" as libFuzzer says.
fuzz_figures() {
	awk '
		$1 == "stat::number_of_executed_units:" { executions = $2 }
		match($0, / cov: [0-9]+/) { edges = substr($0, RSTART + 6, RLENGTH - 6) }
		END { print executions + 0, edges + 0 }
	' "$1"
}

# lacks_space DIRECTORY MIB: says what is missing if files in the directory cannot come to so much.
lacks_space() {
	local used free
	used=$(du -sxm "$1" | cut -f 1)
	free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
	[ $((used + free)) -lt "$2" ] || return 1
	echo "$1 has $used MiB of files and $free MiB free; $2 MiB are needed together: free $(($2 - used - free)) MiB more"
}

# The lines of checkpatch --show-types that are remarks; what else is shown with them is left out.
checkpatch_remarks() {
	grep -E '^[^ +#-][^ ]*:[0-9]+: (ERROR|WARNING|CHECK):[A-Z0-9_]+: ' "$1" || [ $? = 1 ]
}

# checkpatch_total LOG: how many remarks checkpatch has counted; fails without its last line.
checkpatch_total() {
	awk '
		/^total: [0-9]+ errors, [0-9]+ warnings, [0-9]+ checks, [0-9]+ lines checked$/ {
			total = $2 + $4 + $6; seen++
		}
		END { if (seen != 1) exit 1; print total }
	' "$1"
}
