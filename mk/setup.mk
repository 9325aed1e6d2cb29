# The virtual environment and the collections. Everything stays inside the checkout: .venv, .ansible, .cache, build.

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: setup setup-run setup-lab setup-test setup-lint collections pins

setup: setup-test setup-lint  ## the venv and the collections, for everything

setup-run:  # what running the playbooks needs
	@tests/tools/venv.sh .venv python
	@tests/tools/collections.sh

setup-lab:  # … and building the demo's images
	@tests/tools/venv.sh .venv python lab
	@tests/tools/collections.sh

setup-test:
	@tests/tools/venv.sh .venv test
	@tests/tools/collections.sh

setup-lint:
	@tests/tools/venv.sh .venv lint
	@tests/tools/collections.sh

pins: setup  # write requirements/constraints.txt from the venv
	@{ head -n 1 requirements/constraints.txt; \
	   .venv/bin/python -m pip freeze --disable-pip-version-check | grep -v -i -E '^(pip|setuptools|wheel)=='; } >requirements/constraints.new
	@mv requirements/constraints.new requirements/constraints.txt
