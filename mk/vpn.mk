# The VPN: a tunnel, an internet behind it, and captures of what leaves beside it (tests/vpn/README.md).

.PHONY: test-vpn

test-vpn: setup-test setup-lab engine  ## a real tunnel in a world of its own: nothing leaves beside it
	@mkdir -p build/test
	@tests/tools/with_engine.sh .venv/bin/python tests/lab/bin/images build
	@tests/tools/with_engine.sh .venv/bin/python -m pytest -v --durations=15 --junitxml=build/test/vpn.xml tests/vpn
