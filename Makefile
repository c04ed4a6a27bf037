# Every command a person types. Settings are variables: make up PORT=9000
PYTHON ?= python3
RUN = $(PYTHON) -m deploy.local
VENV = .venv/bin/python

.PHONY: help up down status logs test check bench
help:       ## list these commands
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */make \1	/' | expand -t 14

up:         ## install what is missing, start everything on loopback, print how to upload (PORT=8080 ...)
	@$(RUN).install all
	@$(VENV) -m deploy.local.up

down:       ## stop what `make up` started; the data stay in var/
	@$(RUN).down

status:     ## what runs
	@$(VENV) -m deploy.local.status

logs:       ## the end of every log; follows them on a terminal
	@$(VENV) -m deploy.local.status logs

test:       ## unit, integration and end-to-end tests on servers of their own
	@$(RUN).install test
	@$(VENV) -m pytest tests/unit tests/integration tests/e2e

check:      ## ruff, mypy --strict, import contracts, and each service with its own extra only
	@$(RUN).install check
	@$(VENV) -m deploy.local.check

bench:      ## files per second, CPU and memory, beside Orthanc where it can be installed
	@$(RUN).install test
	@$(VENV) -m tests.bench
