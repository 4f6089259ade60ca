# headrace: `make help` lists what can be made. Everything a target needs is installed by name: tools through the Go
# module proxy into ./bin, Debian packages by apt (only those that are missing, and only where we may).

SHELL      := /bin/bash
BIN        := $(CURDIR)/bin
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO         := go
GOFLAGS    += -buildvcs=false
LDFLAGS    := -X main.version=$(VERSION)
export GOFLAGS
export PATH := $(BIN):$(PATH)

# Pinned, so that a lint finding is a change of ours and not of the tool.
VERSITYGW   := github.com/versity/versitygw/cmd/versitygw@v1.8.0
MINIO       := github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# What the race detector is linked with, what tests of broken disks are made of, and what the mount tests use as a user would: fusermount3, python3 with mmap,
# getfattr, lsof-like tools, and programs that write: git, rsync, sqlite3.
PACKAGES    := build-essential:gcc e2fsprogs:mkfs.ext4 mount:mount fuse3:fusermount3 python3:python3 attr:getfattr tar:tar procps:pgrep git:git rsync:rsync sqlite3:sqlite3
FUZZTIME    := 30s
DEMO_DIR    := /tmp/headrace-demo

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/headrace
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/headrace ./cmd/headrace

.PHONY: demo
demo: build $(BIN)/versitygw ## serve a small dataset from a local S3 server, mount it, say what to try
	$(BIN)/headrace demo $(DEMO_DIR)

.PHONY: test
test: packages $(BIN)/versitygw ## everything: unit, conformance, race detector, real mounts
	$(GO) vet ./...
	$(GO) test -race -count=1 -timeout 25m ./...

.PHONY: test-stores
test-stores: packages $(BIN)/versitygw $(BIN)/minio ## the conformance suite against every S3 server
	$(GO) test -race -count=1 -timeout 15m -tags stores ./objstore/...

.PHONY: lint
lint: $(BIN)/staticcheck $(BIN)/gofumpt $(BIN)/govulncheck ## vet, staticcheck, gofumpt, govulncheck, the layer test
	$(GO) vet -tags stores ./...
	$(BIN)/staticcheck -tags stores ./...
	@unformatted=$$($(BIN)/gofumpt -l .); if [ -n "$$unformatted" ]; then echo "gofumpt -w these:"; echo "$$unformatted"; exit 1; fi
	@.ci/vulnerabilities $(BIN)/govulncheck
	$(GO) test -count=1 -run '^TestLayers' .

.PHONY: bench
bench: build $(BIN)/versitygw ## compare the mount with a raw client, as it is and with a store's latency
	$(BIN)/headrace bench
	$(BIN)/headrace bench --shape 20ms,80MiB

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (30s)
	@.ci/fuzz $(FUZZTIME)

SOAK := 20000

.PHONY: soak
soak: packages $(BIN)/versitygw ## the model tests with SOAK (20000) random histories: an hour and more
	$(GO) test -count=1 -timeout 6h -run '^TestModel$$' ./upload -seeds $(SOAK)
	$(GO) test -count=1 -timeout 6h -run '^TestModel$$' ./fs -seeds $$(($(SOAK) * 5))
	$(GO) test -count=1 -timeout 6h -run '^TestModel$$' ./cache/disk -seeds $$(($(SOAK) / 5))
	$(GO) test -count=1 -timeout 6h -run '^TestRandomOperations$$' ./integration -fsx.seeds $$(($(SOAK) / 50))

.PHONY: docs
docs: ## write docs/configuration.md from the flags
	$(GO) test -count=1 -run TestConfigurationPage ./cmd/headrace -update

.PHONY: tools
tools: $(BIN)/versitygw $(BIN)/minio $(BIN)/staticcheck $(BIN)/gofumpt $(BIN)/govulncheck ## install servers and linters into ./bin

.PHONY: packages
packages: ## install the Debian packages that the tests need and that are missing
	@.ci/packages $(PACKAGES)

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN)

$(BIN)/versitygw:
	GOBIN=$(BIN) GOFLAGS= $(GO) install $(VERSITYGW)
$(BIN)/minio:
	GOBIN=$(BIN) GOFLAGS= $(GO) install $(MINIO)
$(BIN)/staticcheck:
	GOBIN=$(BIN) GOFLAGS= $(GO) install $(STATICCHECK)
$(BIN)/gofumpt:
	GOBIN=$(BIN) GOFLAGS= $(GO) install $(GOFUMPT)
$(BIN)/govulncheck:
	GOBIN=$(BIN) GOFLAGS= $(GO) install $(GOVULNCHECK)
