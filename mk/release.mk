# The artifact. Publishing it is a person's act: ansible-galaxy collection publish build/artifact/….tar.gz

.PHONY: build release

artifact = build/artifact/homelab-mediastack-$(shell sed -n 's/^version: //p' galaxy.yml).tar.gz

build: setup-run  ## the artifact, in build/artifact
	@mkdir -p build/artifact
	@.venv/bin/ansible-galaxy collection build --force --output-path build/artifact .

release_stage = @tests/tools/stage.py run --quiet build/release

release: setup build  ## the artifact, with every check that needs no stack: changelog, contents, Galaxy's own import, installation
	@rm -rf build/release
	$(release_stage) changelog .venv/bin/antsibull-changelog lint
	$(release_stage) contents .venv/bin/python tests/tools/check_artifact.py $(artifact)
	$(release_stage) galaxy-importer tests/tools/galaxy_importer.sh $(artifact)
	$(release_stage) installation .venv/bin/python -m pytest -q tests/integration/test_artifact.py
	@tests/tools/stage.py summary build/release
	@echo "$(artifact)"
