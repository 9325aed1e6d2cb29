# Tests. Each stage runs even when one before it failed; the last lines sum them up.

.PHONY: test test-unit test-integration test-long test-molecule engine

test_stage = @tests/tools/stage.py run build/test

test: setup  ## lint, unit tests with coverage, integration and molecule on the real engine
	@rm -rf build/test
	$(test_stage) lint $(MAKE) lint
	$(test_stage) unit $(MAKE) test-unit
	$(test_stage) engine $(MAKE) engine
	$(test_stage) integration $(MAKE) test-integration
	$(test_stage) molecule $(MAKE) test-molecule
	@tests/tools/stage.py summary build/test

test-unit: setup-test  ## the unit tests, with coverage
	@tests/tools/unit.sh

engine:  # a running Docker Engine with Compose v2, installed where there is none
	@tests/lab/bin/engine

test-integration: setup-test engine  ## the integration tests on the real engine
	@mkdir -p build/test
	@tests/tools/with_engine.sh .venv/bin/python tests/lab/bin/images build
	@tests/tools/with_engine.sh .venv/bin/python -m pytest -v --durations=15 --junitxml=build/test/integration.xml \
	   -n 3 --dist loadfile --ignore tests/integration/test_site_promises.py tests/integration
	@tests/tools/with_engine.sh .venv/bin/python -m pytest -v --durations=15 --junitxml=build/test/promises.xml \
	   tests/integration/test_site_promises.py

test-long: setup-test engine  ## the long forms: every engine with every Compose version, ten kills
	@mkdir -p build/test
	@MEDIASTACK_TEST_LONG=1 MEDIASTACK_TEST_KILLS=10 tests/tools/with_engine.sh .venv/bin/python -m pytest -v --durations=15 \
	   --junitxml=build/test/long.xml tests/integration

test-molecule: setup-test engine  ## the molecule scenario, with testinfra
	@MOLECULE_GLOB='molecule/*/molecule.yml' PYTEST_ADDOPTS="-p no:pytest-ansible '--junitxml=$(CURDIR)/build/test/molecule.xml'" ANSIBLE_CONFIG= \
	   tests/tools/with_engine.sh .venv/bin/molecule test --scenario-name default
