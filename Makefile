# GuestCtl: make help says what there is.
#
# Nothing outside the checkout is touched but Go's caches, the test images' cache (${XDG_CACHE_HOME:-~/.cache}/guestctl)
# and, as root on a Debian-like system, missing packages (.ci/packages lists them; NO_INSTALL=1 prevents it).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# Static, reproducible, without the symbol table. The version is given by hand, since -buildvcs fails in a checkout that
# belongs to another user, as in many a CI.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
# Pinned, and built from source through the Go module proxy alone. The first time takes minutes.
GOLANGCI_LINT ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# Two packages at a time: on two cores more only makes timings worse. The longest package, with images cached, takes minutes.
TEST := $(GO) test -p 2 -timeout 15m
FUZZ_SECONDS ?= 90

.PHONY: help run build package test test-long bench lint images check

help: ## Say what the targets do
	@echo 'GuestCtl mounts the disks of virtual machines in userspace. Targets:'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Put the static binaries of cmd/ into bin/
	@mkdir -p bin
	$(BUILD) -o bin/ ./cmd/...

package: ## Build .deb, .rpm and a static tarball for amd64 and arm64 into dist/
	@GO="$(GO)" .ci/package dist

run: ## Mount a demo guest, list and grep it, unmount; IMAGE=path takes a disk image of yours
	@.ci/packages run
	@$(MAKE) build
	@.ci/try "$(IMAGE)"

test: ## Build, check, run every test, fuzz each decoder for seconds (installs what it needs when root)
	@.ci/packages test
	@$(MAKE) build check images
	$(TEST) -json ./... | $(GO) run ./tests/report
	@.ci/fuzz $(FUZZ_SECONDS)
	@echo 'ok: everything passed'

test-long: ## The race detector, the emulated Debian kernel, 1,000 mounts, longer fuzzing
	@.ci/packages test
	@.ci/packages long
	@$(MAKE) build check images
	CGO_ENABLED=1 GUESTCTL_LONG=1 $(GO) test -race -p 1 -timeout 120m -json ./... | $(GO) run ./tests/report
	@.ci/fuzz $${FUZZ_SECONDS:-1800}
	@echo 'ok: everything passed'

bench: ## Compare with the kernel's loop mount, fuse2fs and ntfs-3g on the same image (root); ROWS=find,tar N=3
	@.ci/packages test
	@.ci/packages bench
	@$(MAKE) build
	$(GO) run ./tests/bench -n $(or $(N),3) $(if $(ROWS),-rows $(ROWS)) $(BENCHFLAGS)

lint: check ## gofmt, go vet and golangci-lint, layers included
	$(GOLANGCI_LINT) run ./...

check:
	@files=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); if [ -n "$$files" ]; then echo "gofmt -l: $$files"; exit 1; fi
	$(GO) vet ./...

images: ## Make the images that the tests read, once (root); minutes the first time
	$(GO) test -count=1 -timeout 60m -run '^Test(Make|ExtVariants|DirtyVariants|DebianOn)$$' ./tests/images
