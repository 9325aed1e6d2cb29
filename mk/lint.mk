# Linters. Each runs even when one before it failed; nothing is skipped and nothing is ignored.

.PHONY: lint fmt

lint_stage = @tests/tools/stage.py run --quiet build/lint

lint: setup-lint setup-test  ## ansible-lint, yamllint, ruff, ansible-test sanity, docs, changelog, and what judges the rendered stacks
	@rm -rf build/lint
	$(lint_stage) yamllint yamllint -s .
	$(lint_stage) ruff bash -c 'ruff check . && ruff format --check .'
	$(lint_stage) shellcheck tests/tools/shellcheck.sh
	$(lint_stage) judge tests/tools/judge.py
	$(lint_stage) judges .venv/bin/python tests/judges/judges.py
	$(lint_stage) argument-specs tests/tools/unit.sh tests/unit/test_argument_specs.py
	$(lint_stage) catalogue-docs .venv/bin/python tests/tools/catalogue_docs.py --check
	$(lint_stage) ansible-lint ansible-lint --offline --nocolor --profile production
	$(lint_stage) antsibull-docs antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .
	$(lint_stage) antsibull-changelog antsibull-changelog lint
	$(lint_stage) ansible-test-sanity tests/tools/sanity.sh
	@tests/tools/stage.py summary build/lint

fmt: setup-lint  ## ruff format and ruff's safe repairs
	ruff check --fix-only .
	ruff format .

.PHONY: judges

judges: setup-lint setup-test  ## compose-lint, dclint, compose-harden, detect-secrets and bandit, and their numbers → docs/judges.md
	@.venv/bin/python tests/judges/judges.py --docs

.PHONY: docs

docs: setup-run  ## the tables in README.md and docs/first-hour.md, from the catalogue
	@.venv/bin/python tests/tools/catalogue_docs.py
