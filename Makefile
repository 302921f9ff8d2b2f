# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The one entry for a person. `make help` says what there is.

SHELL := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-turn test-debug soak lint bench bench-planner bench-grants bench-converge bench-instructions lab lab-down build pin clean clean-cache setup

help: ## Say what there is
	@echo 'make TARGET, with one of:'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## See it work: two virtual hosts, one lends its NVMe drive to the other (KERNEL as for test)
	@. tools/lib.sh && use_tools && exec python -m tools.demo

test: setup ## Run the tests and linters (KERNEL=6.1|6.12|7.2: on that kernel)
	@tools/run test

test-long: setup ## Run what takes long: other bridges and IOMMUs, load, models, the whole suite on other kernels
	@tools/run test-long

test-turn: setup ## Run the part of test-long that was seen longest ago
	@tools/run test-turn

test-debug: setup ## Run many devices, failures and attacks on a kernel with KASAN, lockdep and the like, built first (takes hours)
	@tools/run long-debug

soak: setup ## Lend and take back under failures for HOURS (1), drawn from SEED (any); stops at what is wrong
	@. tools/lib.sh && use_tools && exec python -m tools.soak --hours $(or $(HOURS),1) $(if $(SEED),--seed $(SEED))

lint: setup ## Run the linters alone
	@tools/run lint

bench: setup ## Measure what lending costs (QUICK=1: a short run; WRITE=1: put the figures into the docs)
	@. tools/lib.sh && use_tools && LAB_STATE=$${LAB_STATE:-$(CURDIR)/.build/bench/lab} \
	  python -m bench $(if $(QUICK),--quick) $(if $(KEEP),--keep) $(if $(WRITE),--write) && \
	  python -m bench.grants && python -m bench.planner && python -m bench.converge $(if $(QUICK),--hosts 20 --rounds 1)

bench-planner: setup ## Measure what planning the leases of 1,000 hosts takes on this machine (seconds)
	@. tools/lib.sh && use_tools && exec python -m bench.planner

bench-grants: setup ## Measure how many grants ownerd takes in a second, divided by commits of SQLite (half a minute)
	@. tools/lib.sh && use_tools && exec python -m bench.grants

bench-converge: setup ## Measure what a run of site.yml takes here that changes nothing on 200 hosts (HOSTS=n; some minutes)
	@. tools/lib.sh && use_tools && exec python -m bench.converge $(if $(HOSTS),--hosts $(HOSTS))

bench-instructions: setup ## Count the instructions of an access to a borrowed device, divided by a local one's (ROUNDS=n; ONLY='no IOMMU'; WRITE=1: put them into the docs; 35 minutes)
	@. tools/lib.sh && use_tools && LAB_STATE=$${LAB_STATE:-$(CURDIR)/.build/bench/counted} \
	  python -m bench.instructions $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only '$(ONLY)') $(if $(KEEP),--keep) $(if $(WRITE),--write)

lab: setup ## Start the virtual fabric and leave it running
	@. tools/lib.sh && use_tools && python -m lab up

lab-down: setup ## Stop the virtual fabric
	@. tools/lib.sh && use_tools && python -m lab down

build: setup ## Build the collection's archive into .build/
	@. tools/lib.sh && use_tools && work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	  mv "$$(build_archive "$$work" </dev/null)" .build/ && ls .build/*.tar.gz

pin: ## Renew requirements-dev.txt from requirements-dev.in
	@tools/pin

setup: ## Get what all the others need (they do it by themselves)
	@tools/setup

clean: ## Remove what was made in this checkout
	@. tools/lib.sh && rm -rf "$$(dirname "$$(dirname "$$(dirname "$$TREE")")")" .build tests/output
	@find . -name __pycache__ -prune -exec rm -rf {} +

clean-cache: clean ## Remove the cache, too: environments, packages, disk images
	@. tools/lib.sh && rm -rf "$$CACHE"
