# What a contributor and a curious stranger call. Needs git, make and Python 3.11; installs the rest (see README.md).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

include mk/setup.mk
include mk/lint.mk
include mk/test.mk
include mk/bench.mk
include mk/release.mk
include mk/verify.mk
include mk/vpn.mk
include mk/faults.mk
include mk/fleet.mk
-include mk/demo.mk

.PHONY: help clean

help:  ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F '\t' '{ printf "  make %-18s %s\n", $$1, $$2 }'

clean:  ## remove the venv, everything built or downloaded here, and the lab's images
	@tests/tools/clean.sh
