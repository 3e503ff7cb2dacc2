# What a person does with this project, one word each. Every target sets up what it needs first, and only once.
# Settings are variables, or lines of a file .env: make serve ELEPHANT_HTTP_PORT=9000

.DEFAULT_GOAL := help
PYTHON_OF_VENV := .venv/bin/python

# For the demonstration: MOVIE=x.h5 TRUTH=x.truth.json SEED=1
export MOVIE TRUTH SEED

.PHONY: help build rebuild launch stop bash bashroot test-image apptainer-build apptainer-start apptainer-stop apptainer-access serve serve-stack access test test-all test-client test-faults test-corrections soak demo bench lint types audit check docs docs-serve docs-pictures clean setup setup-stack setup-dev

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 26

serve: setup ## start the server, at http://localhost:8080/ unless told otherwise; Ctrl-C stops it
	@exec $(PYTHON_OF_VENV) -m elephant_server.embedded

serve-stack: setup-stack ## start the whole stack, with Redis, RabbitMQ and NGINX, as in the container; Ctrl-C stops it
	@exec $(PYTHON_OF_VENV) -m elephant_server.deploy

build: ## build the container's image; ELEPHANT_TORCH=cpu makes it some GB smaller
	@script/container.sh build

rebuild: ## build it from nothing, with what is new in its base
	@script/container.sh rebuild

launch: ## start the server in a container; Ctrl-C, or make stop elsewhere, stops it
	@script/container.sh launch

stop: ## stop the container
	@script/container.sh stop

bash: ## open a shell in the running container, as you
	@script/container.sh bash

bashroot: ## open a shell in the running container, as root
	@script/container.sh bashroot

apptainer-build: ## build the image for Apptainer, as on a computing cluster; ELEPHANT_TORCH=cpu makes it smaller
	@script/apptainer.sh build

apptainer-start: ## start the server with Apptainer, in the background and without root
	@script/apptainer.sh start

apptainer-stop: ## stop it
	@script/apptainer.sh stop

apptainer-access: ## print what to enter into the client for it
	@script/apptainer.sh access

access: setup ## print what to enter into the client: the address with its token, RabbitMQ's user and password
	@$(PYTHON_OF_VENV) -m elephant_server.deploy --access

demo: setup-dev ## drive the running server as the client would; MOVIE, TRUTH and SEED choose the movie
	@exec $(PYTHON_OF_VENV) script/demo.py

docs: setup-dev ## make the documentation, below build/docs; what leads nowhere is an error
	@$(PYTHON_OF_VENV) -m sphinx -q -W --keep-going -b html -d build/doctrees docs build/docs
	@echo "The documentation is at build/docs/index.html"

docs-serve: docs ## make it and show it at http://localhost:8000/, or at DOCS_PORT; Ctrl-C stops it
	@exec $(PYTHON_OF_VENV) -m http.server --bind 127.0.0.1 --directory build/docs $(or $(DOCS_PORT),8000)

docs-pictures: setup-dev ## draw its pictures anew, as the tutorial says; FOLDER=dir keeps what that makes
	@cd docs && exec ../$(PYTHON_OF_VENV) -m _pictures $(abspath $(FOLDER))

test: setup-dev ## run the tests, four files at a time; ARGS="-k name" goes to pytest
	@exec $(PYTHON_OF_VENV) -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-all: setup-dev ## run them, and what repeats a behaviour in another combination
	@ELEPHANT_TEST_ALL=1 $(MAKE) --no-print-directory test

test-client: setup-dev ## play all that a client asks on both kinds of server, and with its default settings on large movies
	@ELEPHANT_TEST_CLIENT=1 ELEPHANT_TEST_ALL=1 OMP_NUM_THREADS=$$(nproc) exec $(PYTHON_OF_VENV) -m pytest -rP tests/client $(ARGS)

test-faults: setup-dev ## break the running server in every way that we know; ONLY="words of a case's name"
	@cd tests && exec ../$(PYTHON_OF_VENV) -m faults --only "$(ONLY)"

soak: setup-dev ## use the server in all ways while its programs are killed; MINUTES=30
	@cd tests && exec ../$(PYTHON_OF_VENV) -m faults.soak --minutes $(or $(MINUTES),30)

test-corrections: setup-dev ## correct lineages in 1,000 random ways, and solve them again and anew; takes minutes
	@ELEPHANT_TEST_CORRECTIONS=1000 exec $(PYTHON_OF_VENV) -m pytest tests/core/tracking/test_linkers.py -k all_corrections --timeout 3600 $(ARGS)

test-image: setup-dev ## build the image from nothing and use it; as root, with buildah and debootstrap
	@ELEPHANT_TEST_IMAGE=1 exec $(PYTHON_OF_VENV) -m pytest tests/image $(ARGS)

bench: setup-dev ## measure how fast it is, into docs/benchmarks.md; ARGS="--only updates", --quick, --gpu, --movie x.h5
	@exec $(PYTHON_OF_VENV) -m benchmarks $(ARGS)

lint: setup-dev ## check the style of the code
	@$(PYTHON_OF_VENV) -m ruff check .
	@$(PYTHON_OF_VENV) -m ruff format --check .

types: setup-dev ## check the types of both packages, and of what makes documents and figures
	@$(PYTHON_OF_VENV) -m mypy

audit: setup-dev ## look for known vulnerabilities in the pinned packages; needs a network
	@script/audit.sh

check: lint types test ## all of the above, as the project's checks do

clean: ## delete caches and what was built; the workspace and .venv stay
	@find . -path ./.venv -prune -o -path ./workspace -prune -o -name __pycache__ -type d -print0 | xargs -0r rm -rf
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist */build */dist

setup: ## install what the server needs, where it is missing
	@script/setup.sh

setup-stack: ## install what the whole stack needs besides: Redis, RabbitMQ, NGINX
	@script/setup.sh --stack

setup-dev: ## install what the tests and checks need besides
	@script/setup.sh --dev
