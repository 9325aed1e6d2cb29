# The demo: a whole stack on this machine's engine, made of real programs and stand-ins (tests/lab/README.md).

.PHONY: demo demo-down lab-images lab-clean

demo:  ## a running, healthy media stack on this machine, and its status table
	@tests/lab/bin/demo plan
	@$(MAKE) setup-lab
	@tests/lab/bin/engine
	@.venv/bin/python tests/lab/bin/images build
	@tests/lab/bin/demo up

demo-down:  ## take the demo's containers, network, files and image names away
	@tests/lab/bin/demo down

lab-images: setup-lab engine  ## the lab's images, under the real images' names
	@.venv/bin/python tests/lab/bin/images build

lab-clean:  # remove the lab's images
	@.venv/bin/python tests/lab/bin/images remove
