# Measurements. They run beside a demo and leave it as it was (project mediastack-bench, ports from 24000).

.PHONY: bench

bench: setup-test setup-lab engine  ## a no-op site against a ping play and an idiomatic play → build/bench/results.json
	@tests/tools/with_engine.sh tests/lab/bin/images build
	@tests/tools/with_engine.sh .venv/bin/python tests/bench/bench.py

.PHONY: bench-fleet

bench-fleet: setup-test setup-lab engine  ## no-op runs, waves and unreachable hosts among 1,000 hosts → build/bench/fleet.json
	@tests/tools/with_engine.sh tests/lab/bin/images build
	@tests/tools/with_engine.sh .venv/bin/python tests/bench/bench_fleet.py
