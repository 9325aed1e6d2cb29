# Several servers of their own, reached by ssh (molecule/fleet/README.md).

.PHONY: test-fleet

test-fleet: setup-test engine  ## three servers with engines of their own, by ssh: every playbook, and rollouts that stop in time
	@mkdir -p build/test
	@MOLECULE_GLOB='molecule/*/molecule.yml' PYTEST_ADDOPTS="-p no:pytest-ansible '--junitxml=$(CURDIR)/build/test/fleet.xml'" ANSIBLE_CONFIG= \
	   tests/tools/with_engine.sh .venv/bin/molecule test --scenario-name fleet
