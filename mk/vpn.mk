# The VPN: a tunnel, an internet behind it, and captures of what leaves beside it (tests/vpn/README.md).

.PHONY: test-vpn test-vpn-short

vpn_tests = tests/tools/with_engine.sh .venv/bin/python -m pytest -v --durations=15

test-vpn: setup-test setup-lab engine  ## a real tunnel in a world of its own: nothing leaves beside it, whatever happens
	@mkdir -p build/test
	@tests/tools/with_engine.sh .venv/bin/python tests/lab/bin/images build
	@$(vpn_tests) --junitxml=build/test/vpn.xml tests/vpn
	@.venv/bin/python tests/vpn/chaos_results.py --docs

test-vpn-short: setup-test setup-lab engine
	@mkdir -p build/test
	@tests/tools/with_engine.sh .venv/bin/python tests/lab/bin/images build
	@$(vpn_tests) --junitxml=build/test/vpn.xml -m "not full" tests/vpn
	@.venv/bin/python tests/vpn/chaos_results.py
