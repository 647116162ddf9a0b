# Needs Go, a C compiler, git and, for the first run, the network. Tools go into
# ./bin at the versions below; servers are found or installed by cmd/devstack.

BUF_VERSION            := v1.75.0
PROTOC_GEN_GO_VERSION  := v1.36.12
CONNECT_VERSION        := v2.0.2
GOLANGCI_LINT_VERSION  := v2.15.0
WORKFLOWCHECK_VERSION  := v0.6.0
K6_VERSION             := v1.8.1

BIN      := $(CURDIR)/bin
DEVSTACK := $(BIN)/devstack
export GOBIN := $(BIN)

# What make test runs: all packages, then those with the most concurrency again under the race detector.
PKGS      ?= ./...
RACE_PKGS ?= ./internal/connections/... ./internal/db/... ./api/... ./internal/tenants/... ./internal/ratelimit/...
# A cached result would not have met these servers.
TESTFLAGS ?= -count=1

# How many tenants make fleet makes.
FLEET ?= 100

# Directories that make generate owns.
GENERATED := api/gen api/openapi/openapi.json client/services.go clients/typescript/src ent/centraldb ent/tenantdb migrations docs/generated

.DEFAULT_GOAL := help
.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## the binary, ./bin/tenantry
	CGO_ENABLED=0 go build -trimpath -o $(BIN)/tenantry ./cmd/tenantry

.PHONY: devstack
devstack:
	@go build -o $(DEVSTACK) ./cmd/devstack

.PHONY: dev
dev: devstack ## everything on this machine, with two demo tenants; Ctrl-C stops it
	@$(DEVSTACK) up $(ARGS)

.PHONY: dev-reset
dev-reset: devstack ## forget what make dev has stored
	@$(DEVSTACK) reset

.PHONY: test
test: devstack ## all tests on servers of their own (PKGS=, RACE_PKGS=, TESTFLAGS=)
	$(DEVSTACK) run -- go test -timeout 20m $(TESTFLAGS) $(PKGS)
ifneq ($(strip $(RACE_PKGS)),)
	CGO_ENABLED=1 $(DEVSTACK) run -- go test -race -timeout 20m $(TESTFLAGS) $(RACE_PKGS)
endif

.PHONY: bench
bench: devstack ## measurements (ONLY=name for one)
	$(DEVSTACK) run -- go run ./cmd/bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

.PHONY: load
load: devstack $(BIN)/.k6-$(K6_VERSION) ## k6 with thresholds on a system of its own (SCRIPT=login|mfa|refresh|me|list|search|update, ARGS=)
	$(DEVSTACK) run -- go run ./cmd/loadtest --k6 $(BIN)/k6 $(ARGS) $(or $(SCRIPT),me)

.PHONY: crash
crash: devstack ## kill processes at numbered points, then verify (ARGS=)
	$(DEVSTACK) run -- go run ./cmd/crashtest $(ARGS)

.PHONY: fleet
fleet: devstack ## two API processes over FLEET tenants (100): no error, connections within the budget (ARGS=)
	$(DEVSTACK) run -- go run ./cmd/fleet -tenants $(FLEET) $(ARGS)

.PHONY: verify
verify: verify-generated lint ## generated code is up to date, vet, lint, workflow determinism

.PHONY: lint
lint: $(BIN)/.golangci-lint-$(GOLANGCI_LINT_VERSION) $(BIN)/.workflowcheck-$(WORKFLOWCHECK_VERSION) ## vet, golangci-lint, workflowcheck
	go vet ./...
	$(BIN)/golangci-lint run ./...
	$(BIN)/workflowcheck ./workflows/...

.PHONY: verify-generated
verify-generated: generate
	@git diff --exit-code --stat -- $(wildcard $(GENERATED)) || { echo "generated code differs: run make generate and commit" >&2; exit 1; }
	@new="$$(git ls-files --others --exclude-standard -- $(wildcard $(GENERATED)))"; \
	  if [ -n "$$new" ]; then echo "generated but not committed:" >&2; echo "$$new" >&2; exit 1; fi

.PHONY: generate
generate: generate-proto generate-ent generate-migrations generate-docs ## all generated code

.PHONY: generate-proto
generate-proto: $(BIN)/.buf-$(BUF_VERSION) $(BIN)/.protoc-gen-go-$(PROTOC_GEN_GO_VERSION) $(BIN)/.protoc-gen-connect-go-$(CONNECT_VERSION)
	./scripts/protos.sh
	./scripts/typescript.sh
	$(BIN)/buf generate
	$(BIN)/buf build -o $(BIN)/schema.binpb
	go run ./client/generate < $(BIN)/schema.binpb
	go run ./api/openapi/generate < $(BIN)/schema.binpb > $(BIN)/openapi.json && mv $(BIN)/openapi.json api/openapi/openapi.json

.PHONY: generate-ent
generate-ent:
	go generate ./ent

# The difference between the schemas and the migrations is taken on a real Postgres.
.PHONY: generate-migrations
generate-migrations: devstack generate-ent
	$(DEVSTACK) run -- go run ./internal/schema/gendiff

.PHONY: generate-docs
generate-docs: generate-proto
	go run ./api/gendocs

# A stamp per version: another version above installs the tool again.
$(BIN)/.buf-%:
	@$(call install,buf,github.com/bufbuild/buf/cmd/buf@$*)
$(BIN)/.protoc-gen-go-%:
	@$(call install,protoc-gen-go,google.golang.org/protobuf/cmd/protoc-gen-go@$*)
$(BIN)/.protoc-gen-connect-go-%:
	@$(call install,protoc-gen-connect-go,connectrpc.com/connect/v2/cmd/protoc-gen-connect-go@$*)
$(BIN)/.golangci-lint-%:
	@$(call install,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$*)
$(BIN)/.workflowcheck-%:
	@$(call install,workflowcheck,go.temporal.io/sdk/contrib/tools/workflowcheck@$*)
$(BIN)/.k6-%:
	@$(call install,k6,go.k6.io/k6@$*)

define install
mkdir -p $(BIN) && echo "installing $(2) into ./bin (once)" && go install $(2) && rm -f $(BIN)/.$(1)-v* && touch $@
endef
