# What can happen to a run, and what comes of it (tests/faults/README.md).

.PHONY: test-faults test-faults-short

fault_tests = tests/tools/with_engine.sh .venv/bin/python -m pytest -v --durations=15 -n 4 --dist loadfile

test-faults: setup-test setup-lab engine  ## every fault at every step of site, update, rollback and restore → docs/fault-matrix.md
	@mkdir -p build/test
	@tests/tools/with_engine.sh .venv/bin/python tests/faults/fault_results.py --forget
	@tests/tools/with_engine.sh .venv/bin/python tests/lab/bin/images build --only gluetun
	@rc=0; $(fault_tests) --junitxml=build/test/faults.xml tests/faults || rc=$$?; \
	   .venv/bin/python tests/faults/fault_results.py --docs && exit $$rc

test-faults-short: setup-test setup-lab engine
	@mkdir -p build/test
	@tests/tools/with_engine.sh .venv/bin/python tests/faults/fault_results.py --forget
	@rc=0; $(fault_tests) --junitxml=build/test/faults.xml -m "not full" tests/faults || rc=$$?; \
	   .venv/bin/python tests/faults/fault_results.py && exit $$rc
