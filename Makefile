# `make` builds, `make help` lists. Only Go, make and bash are needed; tools come through the Go module proxy,
# pinned here, into .tmp/bin, when a target first wants them. Products go to .build.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := all

BIN := $(CURDIR)/.tmp/bin
export PATH := $(BIN):$(PATH)
# A cache of its own for each checkout: the linter remembers findings with the paths of the checkout that had them.
export GOLANGCI_LINT_CACHE := $(CURDIR)/.tmp/golangci-lint

# What a caller may set.
ARGS ?=
CASES ?=
FUZZTIME ?= 30s
INSTALL ?=
RERUN ?=
GO ?= go

# Where goroutines meet. The race detector makes code five to ten times slower, so elsewhere it is left to
# `make nightly`, and the long tests as well.
RACE_PACKAGES := ./rpc/... ./host/accumulate ./host/identity ./host/intake ./host/query

# Of the host's tests, those in which its goroutines have most to do with each other. Each test starts a host, which
# takes the race detector ten seconds.
RACE_HOST := Watch|Turns|Outbox|Shadow

# The folders of examples/tariffs that are built into the binary.
BUILTINS := standard metered rules

# What is compiled into tariffs, some of it for WebAssembly alone.
GUEST_PACKAGES := ./sdk/billing ./sdk/abi ./sdk/tariff $(BUILTINS:%=./examples/tariffs/%)

TOLLWAY := .build/tollway
TARIFFS := $(BUILTINS:%=plugins/builtin/%.wasm)
# What a plugin's bytes depend on: the tariffs, the SDK, and the code that appends the manifest.
TARIFF_SOURCES := go.mod go.sum $(shell find sdk $(BUILTINS:%=examples/tariffs/%) plugins -name '*.go' ! -name '*_test.go' ! -path '*/node_modules/*')
SOURCES := go.mod go.sum $(shell find host plugins rpc sdk examples -type f ! -name '*_test.go' ! -path '*/testdata/*' ! -path '*/node_modules/*')

# The dashboard and the TypeScript client are made with npm. What they make is committed, so nothing else needs it:
# without npm these targets say that they do nothing.
NPM := $(shell node -e 'process.exit(+process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null && command -v npm)
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser)
WEB_MODULES := host/web/node_modules/.installed
CLIENT_MODULES := rpc/ts/node_modules/.installed
with-npm = $(if $(NPM),$(2),echo "SKIPPED: make $(1) needs npm (Node.js 20 or later), which is not on this machine" >&2)

.PHONY: generate-ts checkgenerate-ts web checkweb web-test screenshots
.PHONY: help all build release tariffs demo test check lint fmt race generate checkgenerate checkmod vectors hostile bench bench-languages bench-swap bench-pipeline bench-acceptance bench-ingest bench-latency bench-growth bench-recovery bench-serving bench-docs fuzz simulate mutants chaos scorecard nightly conformance tools clean

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' | \
		while IFS=$$'\t' read -r target text; do printf '%-14s %s\n' "$$target" "$$text"; done

all: build ## builds the binary with the built-in tariffs

build: $(TOLLWAY) ## builds .build/tollway

# All packages are compiled anew with the profile, which takes minutes the first time, so only what is measured and shipped
# is built so. The profile is two that were merged: `tollway bench stages --only packed --accounts 100000 --events 5000000
# --cpu-profile FILE` and `tollway bench serving --export none --cpu-profile FILE`.
release: $(TARIFFS) ## builds .build/tollway by a profile of the engine: an event takes a tenth less, the first build minutes more
	@mkdir -p $(dir $(TOLLWAY))
	$(GO) build -trimpath -pgo=host/cmd/tollway/engine.pprof -o $(TOLLWAY) ./host/cmd/tollway

tariffs: $(TARIFFS) ## builds the built-in tariffs to WebAssembly

demo: build ## runs everything in one process, with live usage; ARGS="--months 3 --exit" for a run that checks itself
	@$(TOLLWAY) demo $(ARGS)

# Runs the tests of the packages $(1) with the flags $(2). A test that fails for the machine's sake costs a whole run
# of CI, so with RERUN it is run once more by itself; it is a defect all the same, and listed at the end. What fails
# twice fails, and so does a run with more than three such tests.
define go-test
$(if $(RERUN),@rm -f .tmp/rerun.txt; $(BIN)/gotestsum --format standard-quiet --hide-summary skipped --rerun-fails=1 \
	--rerun-fails-max-failures=3 --rerun-fails-report .tmp/rerun.txt --packages '$(1)' -- $(2) && if [[ -s .tmp/rerun.txt ]]; then \
	echo "TO BE MENDED: failed and then passed when run again:"; cat .tmp/rerun.txt; fi,$(GO) test $(2) $(1))
endef

test: tariffs tools-test ## runs all tests; RERUN=1 runs those that fail once more, and lists them
	$(call go-test,./...,-timeout 30m)

check: checkmod lint checkgenerate checkweb tariffs test ## what CI runs: format, lint, generated code, tariffs, tests

lint: tools-lint $(TARIFFS) ## checks format and code, of Go and of the protocol
	$(BIN)/golangci-lint run --allow-parallel-runners ./...
	GOOS=wasip1 GOARCH=wasm $(BIN)/golangci-lint run --allow-parallel-runners --tests=false --disable unused $(GUEST_PACKAGES)
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

fmt: tools-lint ## formats Go and the protocol
	$(BIN)/golangci-lint fmt ./...
	$(BIN)/buf format --write

# What the collector frees is overwritten: a slot that refers to something that nobody keeps is found.
race: export GODEBUG = clobberfree=1
race: $(TARIFFS) tools-test ## runs the tests under the race detector, where it is affordable
	$(call go-test,$(RACE_PACKAGES),-race -short)
	$(call go-test,./host,-race -short -run '$(RACE_HOST)')
	$(call go-test,./host/rate,-race -short -run 'Slab|Live')

generate: tools-generate ## makes the code of the protocol again; where npm is, the TypeScript and the dashboard that is built with it too
	$(BIN)/buf generate
	@$(MAKE) generate-ts
	@$(MAKE) web

generate-ts: $(BIN)/.buf@v1.75.0 $(if $(NPM),$(CLIENT_MODULES))
	@$(call with-npm,generate-ts,rm -rf rpc/ts/gen && $(BIN)/buf generate --template rpc/ts/buf.gen.yaml)

checkgenerate: tools-generate checkgenerate-ts ## proves that the committed code is what the protocol's files make
	@rm -rf .tmp/generated
	@$(BIN)/buf generate --output .tmp/generated
	@{ diff -rN --brief .tmp/generated/rpc rpc || true; } > .tmp/generated.diff
	@if grep -E '\.(pb|connect)\.go( |$$)' .tmp/generated.diff; then echo "the generated code is not current: run 'make generate'" >&2; exit 1; fi

checkgenerate-ts: $(BIN)/.buf@v1.75.0 $(if $(NPM),$(CLIENT_MODULES))
	@rm -rf .tmp/generated-ts
	@$(call with-npm,checkgenerate-ts,$(BIN)/buf generate --template rpc/ts/buf.gen.yaml --output .tmp/generated-ts && \
		{ diff -r --brief .tmp/generated-ts/rpc/ts/gen rpc/ts/gen || { echo "the generated TypeScript is not current: run 'make generate'" >&2; exit 1; }; })

web: $(if $(NPM),$(WEB_MODULES)) ## builds the dashboard into host/web/dist; needs npm
	@$(call with-npm,web,cd host/web && npm run -s build -- --logLevel warn)

checkweb: $(if $(NPM),$(WEB_MODULES) $(CLIENT_MODULES)) ## proves that the dashboard's built files are current, checks its types, tests the TypeScript client
	@$(call with-npm,checkweb,cd host/web && npm run -s check && npm run -s build -- --logLevel warn --outDir $(CURDIR)/.tmp/dist --emptyOutDir && \
		{ diff -r --brief $(CURDIR)/.tmp/dist dist || { echo "host/web/dist is not what its sources make: run 'make web'" >&2; exit 1; }; } && \
		cd ../../rpc/ts && npm run -s check && npm test --silent)

# Runs Playwright with the arguments $(2) for the target $(1).
with-browser = $(if $(CHROMIUM),$(call with-npm,$(1),cd host/web && TOLLWAY=$(CURDIR)/$(TOLLWAY) CHROMIUM=$(CHROMIUM) npx --no-install playwright test $(2)),echo "SKIPPED: make $(1) needs Chromium, which is not on this machine: apt-get install chromium" >&2)

web-test: build $(if $(NPM),$(WEB_MODULES) $(CLIENT_MODULES)) ## drives the dashboard of the real binary, and the example of the TypeScript client, with a real browser; ARGS="-g invoice" for some tests
	@$(call with-browser,web-test,$(ARGS))

screenshots: build $(if $(NPM),$(WEB_MODULES) $(CLIENT_MODULES)) ## takes the pictures of docs/screenshots anew
	@$(call with-browser,screenshots,--config screenshots.config.ts $(ARGS))

checkmod: ## proves that go.mod lists what is imported, and no more
	$(GO) mod tidy -diff

conformance: ## holds the SDKs of all languages against each other; INSTALL=1 installs what Debian has of the missing toolchains
	@$(GO) run ./plugins/conformance $(if $(INSTALL),-install) $(ARGS)

vectors: build ## prices the cases of CASES=file.jsonl with the built-in tariffs
	@test -n "$(CASES)" || { echo "name a file: make vectors CASES=cases.jsonl" >&2; exit 2; }
	@$(TOLLWAY) vectors "$(CASES)"

hostile: $(TARIFFS) ## runs the corpus of modules that mean harm, alone and in a host; ARGS="loop" for those with such a name
	@$(GO) run ./plugins/hostile/run $(ARGS)
	$(GO) test -count=1 -run '^TestHostile' ./host

bench: release ## measures events/s of the stages and of the whole pipeline, what an event costs in each guest language, and a hot swap
	@$(TOLLWAY) bench $(ARGS)
	@$(GO) run ./plugins/languages
	@$(MAKE) --no-print-directory bench-swap WINDOW=10s

WINDOW ?= 1m
bench-swap: $(TARIFFS) ## measures latency before a tariff's plugin is replaced under load, and around it; WINDOW=1m
	@$(GO) test ./host -count=1 -v -run '^TestHotSwapLatency$$' -swapwindow $(WINDOW) | grep -v '^time='

bench-languages: ## measures what an event costs in each guest language
	@$(GO) run ./plugins/languages $(ARGS)

bench-pipeline: release ## measures the whole pipeline beside plain Go maps and PostgreSQL; ARGS="--quick" for two minutes
	@$(TOLLWAY) bench pipeline $(ARGS)

bench-acceptance: release ## measures the pipeline's promised figures, in some twelve minutes
	@$(TOLLWAY) bench pipeline --acceptance $(ARGS)

bench-ingest: release ## measures usage through RPC into a log that syncs
	@$(TOLLWAY) bench ingest $(ARGS)

bench-latency: release ## measures from accepted to visible at a quarter, half and three quarters of the capacity
	@$(TOLLWAY) bench latency $(ARGS)

bench-growth: release ## measures the cost of an event, and memory, as keys and identities grow
	@$(TOLLWAY) bench growth $(ARGS)

bench-recovery: release ## measures from the start of a process to its first answer, after a stop and after kill -9
	@$(TOLLWAY) bench recovery $(ARGS)

bench-serving: release ## measures from accepted to a watching client, and calls of Get, while usage flows; ARGS="--keys 100000 --duration 10s"
	@$(TOLLWAY) bench serving $(ARGS)

# Five rounds of each but growth, of which each step stands on all before it: that is measured once, and the set of
# identities ends at 30 million.
bench-docs: release ## measures all of that, in a quarter of an hour or two, and writes docs/performance.md; on a machine that does nothing else
	@$(TOLLWAY) bench pipeline --acceptance --rounds 5 --markdown docs/performance.md $(ARGS)
	@$(TOLLWAY) bench ingest --rounds 5 --markdown docs/performance.md $(ARGS)
	@$(TOLLWAY) bench latency --rounds 5 --duration 8s --markdown docs/performance.md $(ARGS)
	@$(TOLLWAY) bench recovery --rounds 5 --markdown docs/performance.md $(ARGS)
	@$(TOLLWAY) bench growth --rounds 1 --identities 1000000,3000000,10000000,30000000 --markdown docs/performance.md --plot docs/growth.svg $(ARGS)

fuzz: ## runs every fuzz target for FUZZTIME (30s)
	@grep -rlE '^func Fuzz' --include='*_test.go' host plugins rpc sdk examples | xargs -n1 dirname | sort -u | while read -r folder; do \
		$(GO) test -list '^Fuzz' "./$$folder" | grep '^Fuzz' | while read -r target; do \
			echo "$$folder $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$folder"; \
		done; \
	done

GOLDEN ?= $(shell date +%Y-%m-%d)
.PHONY: golden
golden: $(TARIFFS) ## keeps a data directory of this release, which later ones must open: GOLDEN=NAME
	$(GO) test ./host -count=1 -run '^TestGoldenDirectories$$' -golden '$(GOLDEN)'

CUTS ?= 100
FAULTS ?= 20
.PHONY: powercuts
powercuts: $(TARIFFS) ## cuts the power of a host's disk, fails and fills it: CUTS=100 FAULTS=20; needs /dev/fuse and the right to mount
	$(GO) test ./host/checkpoint -count=1 -v -timeout 2h -run '^TestPowerCuts$$' -cuts $(CUTS)
	$(GO) test ./host/internal/powercut -count=1 -v -timeout 4h -cuts $(CUTS) -faults $(FAULTS)

simulate: tariffs ## runs the engine in a simulated world; ARGS="-seed=7 -v" for one seed, "-from=1001 -seeds=5000" for others
	$(GO) test ./host/internal/sim -run '^TestSimulation$$' -timeout 60m $(ARGS)

mutants: tariffs ## plants bugs, and shows in how many seeds the simulator finds each; ARGS="close" for those with such a name
	@$(GO) run ./host/internal/sim/mutants $(ARGS)

chaos: $(TARIFFS) ## kills and damages the real program and its log, and compares all invoices; ARGS="-only kills -kills 20 -events 100000"
	@$(GO) run ./host/internal/chaos/run $(ARGS)

scorecard: $(TARIFFS) ## runs the demo's claims on the real binary, and shows each with its assertion and figures
	@$(GO) run ./host/internal/chaos/run -scorecard $(ARGS)

nightly: check $(TARIFFS) ## the long checks: many worlds against the naive rater, the race detector everywhere, hostile modules, every fuzz target
	$(GO) test ./host -run '^TestAgainstOracle$$' -oracleworlds 400 -timeout 30m
	$(GO) test ./host/checkpoint -count=1 -run '^TestKillAtEachStep$$' -everystep -timeout 30m
	@$(MAKE) simulate ARGS="-from=1001 -seeds=10000"
	@$(MAKE) mutants ARGS=
	$(GO) test -race -timeout 90m ./...
	@$(MAKE) hostile
	@$(MAKE) fuzz

tools: tools-lint tools-generate ## installs the tools and the hook that checks commits
	@git config core.hooksPath .githooks

clean: ## removes everything that make made
	rm -rf .build .tmp $(TARIFFS)

# Products.

$(TOLLWAY): $(TARIFFS) $(SOURCES)
	@mkdir -p $(@D)
	$(GO) build -trimpath -o $@ ./host/cmd/tollway

host/web/node_modules/.installed rpc/ts/node_modules/.installed: %/node_modules/.installed: %/package-lock.json
	cd $* && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# The same bytes on every machine: no paths, no build ids, no version control stamps.
$(TARIFFS): plugins/builtin/%.wasm: $(TARIFF_SOURCES)
	$(GO) run ./plugins/builtin/pack -o $@ ./examples/tariffs/$*

# Tools. The stamp carries the version, so a new pin installs anew and an old one is left alone.

.PHONY: tools-lint tools-generate tools-test

define tool
$(BIN)/.$(1)@$(2):
	@echo "installing $(1) $(2)"
	@mkdir -p $$(@D)
	@rm -f $(BIN)/.$(1)@*
	@GOFLAGS= GOBIN=$(BIN) $$(GO) install $(3)@$(2)
	@touch $$@
endef

$(eval $(call tool,golangci-lint,v2.12.2,github.com/golangci/golangci-lint/v2/cmd/golangci-lint))
$(eval $(call tool,buf,v1.75.0,github.com/bufbuild/buf/cmd/buf))
$(eval $(call tool,gotestsum,v1.13.0,gotest.tools/gotestsum))
$(eval $(call tool,protoc-gen-go,v1.36.12,google.golang.org/protobuf/cmd/protoc-gen-go))
$(eval $(call tool,protoc-gen-connect-go,v2.0.2,connectrpc.com/connect/v2/cmd/protoc-gen-connect-go))

tools-lint: $(BIN)/.golangci-lint@v2.12.2 $(BIN)/.buf@v1.75.0
tools-generate: $(BIN)/.buf@v1.75.0 $(BIN)/.protoc-gen-go@v1.36.12 $(BIN)/.protoc-gen-connect-go@v2.0.2
tools-test: $(if $(RERUN),$(BIN)/.gotestsum@v1.13.0)
