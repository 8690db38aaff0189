# SPDX-License-Identifier: GPL-2.0
#
# The top of the onecopy tree. The kernel's own Makefile is in build/linux after "make overlay".

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
# Every recipe sees the tools that scripts/setup found.
export BASH_ENV := $(CURDIR)/build/env.sh
export CARGO_TARGET_DIR := $(CURDIR)/build/cargo
export DESTDIR PREFIX

CARGO_DIR := tools/onecopy
CONFIGS := kernel/configs
DEMO_CONFIG := $(addprefix $(CONFIGS)/onecopy_, guest.config shared_kernel.config demo.config)
DEBUG_CONFIG := $(DEMO_CONFIG) $(CONFIGS)/onecopy_debug.config
CARGO_RUN := cargo run --quiet --release --locked --manifest-path $(CARGO_DIR)/Cargo.toml

.PHONY: help setup fetch overlay kernel kernel-module kernel-debug kernel-kvm tools man install root stress kunit check-kvm boot-test baremetal balloon-contract bench-cmm bench-dcss bench-ipl bench-vmrm demo check \
	fuzz export rustfmt clean distclean

help: ## Shows this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: kernel tools root ## Four guests execute one copy of Debian's programs; from a saved kernel, booted, and the usual way
	$(CARGO_RUN) -p onecopy-bench -- demo

check: setup ## Runs every test; the last line is "N passed, N failed"
	@scripts/check

setup: ## Installs missing tools, finds the others, writes build/env.sh
	@scripts/setup

fetch: setup ## Puts the pinned kernel into build/linux (LINUX=<tree or tarball> to use another 7.3.y)
	@scripts/fetch

overlay: fetch ## Brings build/linux up to date with this tree
	@scripts/overlay

kernel: overlay ## Builds the kernel of the demo and the boot tests in build/kernel
	@scripts/build-kernel build/kernel $(DEMO_CONFIG)

kernel-module: kernel ## Builds build/kernel-module: as build/kernel, with the driver as a module
	@scripts/build-module-kernel build/kernel build/kernel-module $(DEMO_CONFIG) -- $(CONFIGS)/onecopy_module.config

kernel-debug: overlay ## Builds build/kernel-debug: KUnit, KASAN, lockdep, kmemleak; clippy; warnings are errors
	@scripts/build-kernel build/kernel-debug $(DEBUG_CONFIG) -- CLIPPY=1 W=e

tools: setup ## Builds the onecopy command and the test programs
	cargo build --quiet --release --locked --workspace --manifest-path $(CARGO_DIR)/Cargo.toml

man: tools ## Writes the manual pages of the command to build/man
	@build/cargo/release/onecopy man build/man >/dev/null

install: ## Installs what "make tools" has built, with manual pages, completions, the unit (DESTDIR, PREFIX=/usr/local)
	@scripts/install

root: setup ## Makes the Debian root of the demo in build/root/debian
	@scripts/mkroot

stress: setup ## Puts stress-ng, for guests of the boot tests, into build/root/stress
	@scripts/mkstress

kernel-kvm: overlay ## Builds build/kernel-kvm: the inner host of check-kvm
	@scripts/build-kernel build/kernel-kvm $(CONFIGS)/onecopy_kvm_host.config

check-kvm: kernel kernel-kvm tools stress ## Runs the boot tests with KVM, in an inner host where it does not work here (TEST=name)
	$(CARGO_RUN) -p onecopy-boot --bin check-kvm -- $(TEST)

kunit: kernel-debug tools ## Runs the KUnit suites and the doctests of the abstractions under QEMU
	$(CARGO_RUN) -p onecopy-boot --bin kunit -- --kernel-dir build/kernel-debug

boot-test: kernel-module kernel-debug tools stress ## Boots guests under QEMU and tests the drivers
	$(CARGO_RUN) -p onecopy-boot --bin onecopy-boot

bench-dcss: kernel tools root ## Measures dcss against C drivers; writes build/bench/dcss.json (BENCH_FLAGS=--check)
	$(CARGO_RUN) -p onecopy-bench -- dcss $(BENCH_FLAGS)

baremetal: setup ## Builds the guest without an operating system, the limit of bench-cmm
	CARGO_TARGET_DIR=build/baremetal cargo build --quiet --release --locked \
		--manifest-path tools/testing/baremetal/Cargo.toml

balloon-contract: baremetal ## Checks with that guest what balloon drivers rely on in the device
	$(CARGO_RUN) -p onecopy-bench -- balloon-contract

bench-cmm: kernel tools root baremetal ## Measures cmm against the C driver and the limit; writes build/bench/cmm.json
	$(CARGO_RUN) -p onecopy-bench -- cmm $(BENCH_FLAGS)

bench-ipl: kernel tools root ## Measures guests from a saved system against booted ones; writes build/bench/ipl.json (BENCH_FLAGS=--check)
	$(CARGO_RUN) -p onecopy-bench -- ipl $(BENCH_FLAGS)

bench-vmrm: kernel tools ## Measures the resource manager, with guests squeezed below a limit; writes build/bench/vmrm.json
	$(CARGO_RUN) -p onecopy-bench -- vmrm $(BENCH_FLAGS)

fuzz: setup ## Runs each fuzz target for FUZZ_SECONDS (60)
	@scripts/fuzz

export: overlay ## Writes build/export/*.patch, ready for "git am" on the vanilla kernel
	@scripts/overlay-export

rustfmt: setup ## Formats the Rust of the host and of the kernel side
	@scripts/rustfmt

clean: ## Removes what was built; keeps the kernel sources, the tools and the Debian root
	rm -rf build/{baremetal,kernel,kernel-module,kernel-debug,cargo,man,check,bench,export,export.git,fuzz,segments}

distclean: ## Removes build/ with all that setup and fetch put there; the cache in ~/.cache/onecopy stays
	rm -rf build
