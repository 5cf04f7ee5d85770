# Every target sets up what it needs in .venv; the second time that costs nothing.
# PYTHON names an interpreter to build with; ARGS goes to pytest, pixelgene demo or a benchmark.
.PHONY: setup demo test search lint docs bench clean
SHELL := bash
export PYTHON
ARGS ?=
BENCHMARKS ?= $(sort $(wildcard benchmarks/*.py))

setup: .venv/.stamp

.venv/.stamp: pyproject.toml constraints.txt scripts/setup.sh scripts/system_libs.sh
	scripts/setup.sh

demo: setup
	scripts/with_display.sh .venv/bin/pixelgene demo $(ARGS)

test: setup
	scripts/test.sh -q $(ARGS)

# Cases the suite has not tried yet, other ones each time. What is found becomes an @example.
search: setup
	scripts/test.sh -q -m hypothesis --hypothesis-profile=search $(ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/python -m pytest -q tests/test_house.py

# The site, in docs/_build; a warning, such as a link that leads nowhere, is an error. Nothing is fetched.
docs: setup
	.venv/bin/python -m sphinx -q -W --keep-going -n -b html -d build/docs -c docs . docs/_build

bench: setup
	@set -e; for file in $(BENCHMARKS); do echo "== $$file"; .venv/bin/python $$file $(ARGS); done

clean:
	rm -rf .venv .venv-headless .venv-peers build dist demo docs/_build
