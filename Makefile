# Sets the project up on a bare machine and runs it; `make` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip
INSTALLED := $(VENV)/.installed

# A drawn screen for the tests: large enough for every dock, 24 bits for OpenGL.
# X11 is what Xvfb offers, and Mesa draws where there is no graphics card.
ifeq ($(shell uname),Linux)
XVFB := xvfb-run -a -s "-screen 0 1920x1200x24"
HEADLESS := env -u OMP_NUM_THREADS QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1
else
HEADLESS := env -u OMP_NUM_THREADS
endif

# Most tests wait for windows and child processes, so they share the cores, a thread each; more
# than four at a time would want too much memory.
PARALLEL := -n auto --maxprocesses 4

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
	  | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

.PHONY: system
system: ## install the system libraries that Qt, OpenGL and Python need, or name what is missing
	@tools/system-libraries.sh

.PHONY: install
install: system $(INSTALLED) ## make .venv with the package and all it needs

# torch comes alone first, so that pip takes the CPU file where it knows one
# instead of resolving the GPU libraries along with everything else.
$(INSTALLED): setup.cfg constraints.txt | system
	tools/make-environment.sh $(VENV)
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[all,test,lint]'
	@touch $@

# Files in their own order: by default those with one test, the longest of all, would run last and alone.
.PHONY: test
test: install ## run the tests, without the long ones
	$(HEADLESS) OMP_NUM_THREADS=1 $(XVFB) $(PYTHON) -m pytest -m "not slow" $(PARALLEL) --dist loadfile --no-loadscope-reorder

# pytest ends with 5 where it finds no test of that mark; that is no failure.
.PHONY: test-slow
test-slow: install ## run the long end-to-end tests
	$(HEADLESS) OMP_NUM_THREADS=1 $(XVFB) $(PYTHON) -m pytest -m slow $(PARALLEL) --dist load || [ $$? -eq 5 ]

.PHONY: lint
lint: install ## check style, format, types and the direction of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: demo
demo: install ## open the demo in napari; with no screen, do it all and write demo-output
	$(VENV)/bin/medcontext demo --out demo-output

.PHONY: docs-pictures
docs-pictures: install ## draw the pictures of the documentation again
	$(HEADLESS) $(XVFB) $(PYTHON) docs/make_pictures.py

.PHONY: clean
clean: ## remove .venv and everything that the other targets made
	rm -rf $(VENV) build dist demo-output *.egg-info \
	  .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
