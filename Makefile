# `make run` and `make test` need nothing but a shell: they set up the rest and say what they do.
.PHONY: run test test-peers test-agents serve lint fmt types bench vendor docs lock venv-base venv-dev
.NOTPARALLEL:
python := .venv/bin/python
export PYTHONUNBUFFERED := 1

run: venv-base ## prepare all, run the examples, open the site
	@$(python) -m pier_site.bootstrap run

test: venv-dev ## prepare all, then lint, types and every test
	@$(python) -m pier_site.bootstrap test

test-peers: venv-dev ## let pier and harbor read what is written here (installs both, 900 MB, on the first call)
	@$(python) -m pier_site.bootstrap images
	$(python) -m pytest -m peers tests/peers

test-agents: venv-dev ## run every agent CLI for real, in Docker, against a scripted model (several minutes)
	@$(python) -m pier_site.bootstrap images
	$(python) -m pytest -m "agents or agents_all" tests/agents

serve: venv-base ## the site as in production, on PORT (8000)
	$(python) manage.py collectstatic --noinput --verbosity 0 && $(python) manage.py migrate --verbosity 0
	$(python) -m uvicorn pier_site.asgi:application --host 127.0.0.1 --port $${PORT:-8000} --no-server-header --timeout-graceful-shutdown 3

lint: venv-dev ## ruff, djlint, import-linter, Django's checks, mypy
	@$(python) -m pier_site.bootstrap lint

fmt: venv-dev ## put the code in shape
	.venv/bin/ruff check --fix-only . && .venv/bin/ruff format .

types: venv-dev ## mypy, strict
	@$(python) -m pier_site.bootstrap types

bench: venv-dev ## the figures that issues and docs quote
	$(python) -m benchmarks

vendor: venv-dev ## fetch the vendored JavaScript of viewer/static/vendor/vendor.toml again
	$(python) -m pier_site.bootstrap.vendor

docs: venv-dev ## check the documentation
	$(python) -m pytest tests/docs

lock: venv-dev ## lock the newest versions that pyproject.toml allows
	$(python) -m pier_site.bootstrap.lock

venv-base venv-dev:
	@sh pier_site/bootstrap/venv.sh $(@:venv-%=%)
