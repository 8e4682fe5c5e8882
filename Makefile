# `make help` lists the targets. `go test ./...` needs none of them.

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME  ?= 10s
SOAKTIME  ?= 2m
SOAKCOUNT ?= 20
LANETIME  ?= 30m
BENCH     ?= .
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

LDFLAGS := -s -w -X main.version=$(VERSION)
PROGRAM := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'

.DEFAULT_GOAL := help
.PHONY: help build test race vet cross-vet fmt lint fuzz soak bench sizes realsite clients release clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the program, as bin/selvage
	$(PROGRAM) -o bin/selvage ./cmd/selvage

test: ## all tests; needs only Go
	go test ./...

race: ## all tests under the race detector; needs a C compiler
	@if command -v "$$(go env CC)" >/dev/null; then CGO_ENABLED=1 go test -race ./...; \
	else echo "NOT RUN: race: no C compiler"; fi

fmt: ## fail on files that gofmt would change
	@files=$$(gofmt -l .); test -z "$$files" || { echo "gofmt would change:" $$files; exit 1; }

vet: ## go vet
	go vet ./...

cross-vet: ## build and vet for the other operating system
	GOOS=darwin go build ./...
	GOOS=darwin go vet ./...

lint: ## staticcheck, govulncheck, shellcheck
	.ci/lint

fuzz: ## every fuzz target for FUZZTIME each
	.ci/fuzz $(FUZZTIME)

soak: ## the long proofs: kills, damage, purges, failing upstreams, hostile clients and reloads by the hundred; tests with -race SOAKCOUNT times; every fuzz target for SOAKTIME
	SELVAGE_SOAK=1 go test -count=1 -timeout=4h -v -run '^Test(Crash|NoClientSeesWhatWasPurged|UpstreamFailures|NameServerFails|HostileTLS|ReloadUnderLoad)$$' ./cmd/selvage/
	SELVAGE_SOAK=1 go test -count=1 -timeout=4h -v -run '^Test(ModelOfBothTiers|NoRequestSeesWhatWasPurged)$$' ./cache/
	SELVAGE_SOAK=1 go test -count=1 -timeout=4h ./cache/internal/disk/ ./purge/
	go test -run '^$$' -fuzz '^FuzzBothWaysReadTheSame$$' -fuzztime $(LANETIME) -fuzzminimizetime 1s ./edge/
	go test -run '^$$' -fuzz '^FuzzAnswers$$' -fuzztime $(LANETIME) -fuzzminimizetime 1s ./edge/internal/lane/
	go test -race -count=$(SOAKCOUNT) -timeout=4h ./...
	.ci/fuzz $(SOAKTIME)

bench: ## Go benchmarks whose names match BENCH
	go test -run '^$$' -bench '$(BENCH)' ./...

sizes: ## real text by every coding, beside the reference tools; TEXT="NEW OLD" names folders of your own
	testdata/bench/sizes $(TEXT)

realsite: ## a documentation tree, through the edge and back, compared byte by byte
	testdata/realsite/check

clients: ## curl, openssl, Chromium over HTTP/2 and HTTP/3, testssl.sh
	testdata/clients/check

release: ## static binaries for PLATFORMS, with checksums, in dist/
	rm -rf dist && mkdir dist
	@set -e; for platform in $(PLATFORMS); do \
	  name=selvage-$(VERSION)-$$(echo $$platform | tr / -); echo "$$name"; \
	  GOOS=$${platform%/*} GOARCH=$${platform#*/} $(PROGRAM) -o dist/$$name ./cmd/selvage; \
	done
	cd dist && { command -v sha256sum >/dev/null && sha256sum selvage-* || shasum -a 256 selvage-*; } > SHA256SUMS

clean: ## remove what was built
	rm -rf bin dist
