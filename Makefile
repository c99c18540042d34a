# What a person or CI types. `make help` lists it; scripts/ has the steps.
SHELL := /bin/bash
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/cupola-paas/cupola/cli.Version=$(VERSION)
HELPERS := buildpack/embedded/phase buildpack/embedded/launcher buildpack/embedded/buildpack buildpack/embedded/guest buildpack/embedded/keeper buildpack/embedded/objects
export CGO_ENABLED ?= 0

.PHONY: help build helpers up down clean test unit e2e lint bench install-tools

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: helpers ## build bin/cupola
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/cupola .

# The small programs that run inside build containers, app images and data services are part of the binary.
helpers: $(HELPERS)

buildpack/embedded/phase: $(shell find buildpack -name '*.go' -not -name '*_test.go') go.mod
	$(GO) build -trimpath -ldflags '-s -w' -o $@ ./buildpack/lifecycle/cmd/phase
buildpack/embedded/launcher: $(shell find buildpack/launcher buildpack/lifecycle -name '*.go' -not -name '*_test.go') go.mod
	$(GO) build -trimpath -ldflags '-s -w' -o $@ ./buildpack/launcher/cmd/launcher
buildpack/embedded/buildpack: $(shell find buildpack/system -type f -not -name '*_test.go') go.mod
	$(GO) build -trimpath -ldflags '-s -w' -o $@ ./buildpack/system/cmd/buildpack
buildpack/embedded/guest: $(shell find controller/ssh/guest controller/ssh/cmd -name '*.go' -not -name '*_test.go') go.mod
	$(GO) build -trimpath -ldflags '-s -w' -o $@ ./controller/ssh/cmd/guest
buildpack/embedded/keeper: $(shell find controller/dataservice/keeper controller/dataservice/jetstream controller/dataservice/cmd/keeper -name '*.go' -not -name '*_test.go') go.mod
	$(GO) build -trimpath -ldflags '-s -w' -o $@ ./controller/dataservice/cmd/keeper
buildpack/embedded/objects: $(shell find controller/dataservice/objects controller/dataservice/cmd/objects -name '*.go' -not -name '*_test.go') go.mod
	$(GO) build -trimpath -ldflags '-s -w' -o $@ ./controller/dataservice/cmd/objects

up: ## install what is missing, start the platform, push a sample app
	@scripts/up.sh

down: ## stop the platform; data, apps' images and settings stay
	@scripts/down.sh

clean: ## stop the platform and remove its data, containers and networks
	@scripts/clean.sh

test: ## everything that proves the platform: lint, unit tests with -race, end-to-end tests
	@scripts/test.sh

unit: helpers ## unit tests only
	CGO_ENABLED=1 $(GO) test -race $$($(GO) list ./... | grep -v '/e2e$$')
	$(GO) test ./cli

e2e: build ## end-to-end tests only
	$(GO) test -count=1 -timeout 40m ./e2e

lint: ## gofmt, vet, staticcheck, the import table
	@scripts/lint.sh

bench: build ## benchmarks: packages first, then the platform as a whole
	@scripts/bench.sh
