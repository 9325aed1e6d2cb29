# Tests. Each stage runs even when one before it failed; the last lines sum them up.

.PHONY: test test-static test-real test-unit test-integration test-promises test-long test-molecule test-browser engine

test_stage = @tests/tools/stage.py run build/test
test_stage_block = @tests/tools/stage.py run --block build/test

# Two lanes: what reads the checkout, and then the VPN, beside what else uses the engine. The promises come last and alone: they hold times
# against a clock, and nothing else may be what makes them late.
test: setup  ## lint, unit tests with coverage, integration and molecule on the real engine
	@rm -rf build/test
	@$(MAKE) -j2 test-static test-real
	$(test_stage) promises $(MAKE) test-promises
	@tests/tools/stage.py summary build/test

test-static:
	$(test_stage_block) lint $(MAKE) lint
	$(test_stage_block) unit $(MAKE) test-unit
	$(test_stage_block) vpn $(MAKE) test-vpn-short

test-real:
	$(test_stage) engine $(MAKE) engine
	$(test_stage) molecule $(MAKE) test-molecule
	$(test_stage) integration $(MAKE) test-integration
	$(test_stage) faults $(MAKE) test-faults-short

test-unit: setup-test  ## the unit tests, with coverage
	@tests/tools/unit.sh

engine:  # a running Docker Engine with Compose v2, installed where there is none
	@tests/lab/bin/engine

test-integration: setup-test engine  ## the integration tests on the real engine
	@mkdir -p build/test
	@tests/tools/with_engine.sh .venv/bin/python tests/lab/bin/images build
	@tests/tools/with_engine.sh .venv/bin/python -m pytest -v --durations=15 --junitxml=build/test/integration.xml \
	   -n 4 --dist loadfile -m "not alone" tests/integration

test-promises: setup-test engine  ## the integration tests that hold something against a clock, one after the other
	@mkdir -p build/test
	@tests/tools/with_engine.sh .venv/bin/python tests/lab/bin/images build
	@tests/tools/with_engine.sh .venv/bin/python -m pytest -v --durations=15 --junitxml=build/test/promises.xml \
	   -m alone tests/integration

long_tests = MEDIASTACK_TEST_LONG=1 MEDIASTACK_TEST_KILLS=10 tests/tools/with_engine.sh .venv/bin/python -m pytest -v --durations=15

test-long: setup-test engine  ## every integration test, also those that `make test` leaves out: each engine with each Compose version, ten kills
	@mkdir -p build/test
	@tests/tools/with_engine.sh .venv/bin/python tests/lab/bin/images build
	@rc=0; $(long_tests) --junitxml=build/test/long.xml -n 4 --dist loadfile -m "not alone" tests/integration || rc=$$?; \
	   $(long_tests) --junitxml=build/test/long-alone.xml -m "alone" tests/integration && exit $$rc

test-molecule: setup-test engine  ## the molecule scenario, with testinfra
	@MOLECULE_GLOB='molecule/*/molecule.yml' PYTEST_ADDOPTS="-p no:pytest-ansible '--junitxml=$(CURDIR)/build/test/molecule.xml'" ANSIBLE_CONFIG= \
	   tests/tools/with_engine.sh .venv/bin/molecule test --scenario-name default

test-browser: setup-test  ## the page of status in Chromium (which it installs), on a desk and on a phone, light and dark
	@tests/tools/chromium.sh
	@mkdir -p build/test
	@.venv/bin/python -m pytest -v --junitxml=build/test/browser.xml tests/browser
