# The real images. Needs the internet and a Docker Engine without the demo; never part of `make test`.

.PHONY: verify-images

verify-images: setup-run  ## pull every pinned image and start it with our file (internet) → build/verify-images.json
	@tests/tools/with_engine.sh .venv/bin/python tests/verify_images/verify.py $(VERIFY)
