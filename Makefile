# The two commands of a fresh machine are `make demo` and `make test`; each does all of its own set-up.
# What they make stands in .venv (this project), .cache/envs (engines, each in an environment of its own) and demo/.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(CURDIR)/.cache
export LLM_MAGICS_ENVS := $(CACHE)/envs

PEERS ?= guidellm aiperf inference-perf
PEER_PYTHON ?= python3.12
# What SGLang's clients need of it; the engine itself would bring gigabytes.
SGLANG_CLIENT_NEEDS := torch==2.13.0 triton msgspec aiohttp numpy requests tqdm transformers pillow pydantic orjson pybase64 datasets psutil \
  packaging pyzmq fastapi uvicorn ipython setproctitle

# `make test-vscode VSCODE=oldest`: in the oldest VS Code that the extension is for.
VSCODE ?= newest

.PHONY: demo test test-unit test-engines test-ui test-sidebar notebooks tutorials lint format bench bench-peers simulate wheel engines extra-engines browser
.PHONY: sidebar vscode test-vscode clean prometheus test-code test-running test-gpu bench-gpu test-ray \
  test-notebooks test-notebooks-on-vllm test-other-notebooks

demo: $(VENV)/.demo sidebar    ## serve, bench and compare on the embedded engine in a notebook; leaves demo/report.html
	$(BIN)/python tools/demo.py

SIDE_BY_SIDE := --no-print-directory $(if $(filter output-sync,$(.FEATURES)),-Otarget)

test: $(VENV)/.test browser prometheus test-sidebar ## every test: unit, faults, real engines, notebooks, browser, built wheel
	$(MAKE) $(SIDE_BY_SIDE) -j3 test-running test-notebooks-on-vllm test-other-notebooks test-code

# The parts of `make test`, three at a time: each waits for processes half of its time. The longest stand first; but the last
# needs no engines, and is run while they are installed. What they print comes part by part.
test-code:
	$(BIN)/python -m pytest tests -m 'not extra_engine' --ignore tests/engines --ignore tests/ui --ignore tests/vscode

test-running: engines
	$(BIN)/python -m pytest -p no:cacheprovider tests/engines -m 'not extra_engine'
	$(BIN)/python -m pytest tests/ui

NBVAL := LLM_MAGICS_NONINTERACTIVE=1 $(BIN)/python tools/isolated.py $(BIN)/python -m pytest --nbval-lax --nbval-current-env \
  --nbval-cell-timeout=600 -p no:cacheprovider --durations=8

# Notebooks on vLLM compute (each start is 40 CPU-seconds of imports, one core at a time), the others mostly wait: for requests
# that come at a rate, for Prometheus, who looks once a second. So each kind is run beside the other, but for one of vLLM's
# (speculative decoding), so that the two take equally long. The tutorial of Ray is run where Ray's cluster is: `make test-ray`.
ON_VLLM := $(patsubst %,examples/%.ipynb,01-first-server 04-quantization 05-prefix-caching 06-engines-compared 07-many-gpus)

test-notebooks: $(VENV)/.test prometheus ## the tutorials under nbval
	$(MAKE) $(SIDE_BY_SIDE) -j2 test-notebooks-on-vllm test-other-notebooks

test-notebooks-on-vllm: engines
	$(NBVAL) $(ON_VLLM)

test-other-notebooks: engines
	$(NBVAL) examples $(patsubst %,--ignore %,$(ON_VLLM) examples/19-ray.ipynb)

test-unit: $(VENV)/.test prometheus ## the fast ones
	$(BIN)/python -m pytest -m 'not extra_engine' tests/unit tests/faults

test-ray: $(VENV)/.test        ## a Ray cluster of three nodes on this machine, entered by ray and by ray://, and its tutorial: four minutes
	$(BIN)/python -m pytest tests/faults/test_ray.py -k 'not exchanged'
	$(NBVAL) examples/19-ray.ipynb

test-engines: $(VENV)/.test engines extra-engines prometheus test-ray ## every engine that runs here, one after another; leaves build/engines.html
	$(BIN)/python -m pytest tests/engines
	$(BIN)/python -m pytest tests/faults/test_ray.py -k exchanged
	$(BIN)/python benchmarks/engines.py

# A model folder of a real size for `make test-gpu` and `make bench-gpu`; random weights, 14 GB.
GPU_MODEL ?= $(CACHE)/random-7b

$(GPU_MODEL)/config.json: | engines
	$(LLM_MAGICS_ENVS)/transformers/bin/python tools/random_model.py $(GPU_MODEL)

test-gpu: $(VENV)/.test engines $(GPU_MODEL)/config.json ## what only an NVIDIA GPU shows
	$(BIN)/python -m pip install -q -e '.[gpu]'
	LLM_MAGICS_GPU_MODEL=$(GPU_MODEL) $(BIN)/python -m pytest -s tests/gpu

bench-gpu: $(VENV)/.test engines extra-engines $(GPU_MODEL)/config.json ## vLLM, Transformers and DeepSpeed on one GPU; leaves build/gpu/
	$(BIN)/python -m pip install -q -e '.[gpu]'
	$(BIN)/python benchmarks/engines_on_a_gpu.py --model $(GPU_MODEL) --out build/gpu

test-ui: $(VENV)/.test browser sidebar
	$(BIN)/python -m pytest tests/ui

notebooks: $(VENV)/.test engines prometheus ## run the tutorials again and save their outputs
	$(BIN)/python tools/isolated.py $(BIN)/python tools/run_notebooks.py examples

tutorials: $(VENV)/.test engines prometheus ## run every tutorial on this machine; leaves demo/tutorials/index.html
	$(BIN)/python tools/tutorials.py

lint: $(VENV)/.lint            ## ruff (lint and format), mypy; tsc, eslint and prettier
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python tools/sidebar.py lint

format: $(VENV)/.lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/python tools/sidebar.py format

bench: $(VENV)/.test           ## the load generator beside those peers that are installed; start-up and import times
	$(BIN)/python benchmarks/load_generator.py --peers installed --peers-in $(CACHE)/peers
	$(BIN)/python benchmarks/startup.py

wheel: $(VENV)/.test           ## with the sidebar in it
	$(BIN)/python tools/sidebar.py build --required
	LLM_MAGICS_REQUIRE_SIDEBAR=1 $(BIN)/python -m build --outdir dist

sidebar: $(BIN)/python         ## build the JupyterLab sidebar, where node is there or can be had, and link it into .venv
	$(BIN)/python tools/sidebar.py

test-sidebar: $(VENV)/.test    ## the sidebar's own modules
	$(BIN)/python tools/sidebar.py build --required
	$(BIN)/python tools/sidebar.py test

vscode: $(BIN)/python          ## build the extension for VS Code: vscode/llm-magics.vsix
	$(BIN)/python tools/vscode.py

test-vscode: $(VENV)/.test browser vscode  ## the extension in a real VS Code; the first time, code-server is installed: minutes
	$(BIN)/python -m pip install -q --group vscode
	$(BIN)/python tools/code_server.py $(if $(filter oldest,$(VSCODE)),--oldest)
	LLM_MAGICS_VSCODE=$(VSCODE) $(BIN)/python -m pytest tests/vscode

simulate: $(VENV)/.test        ## how often a verdict errs, 1,000 trials a row: 20 minutes; leaves benchmarks/results/verdicts.md
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python tools/simulate_verdicts.py

engines: $(VENV)/.test         ## vLLM and Transformers in environments of their own, kept between runs
	$(BIN)/llm-magics install transformers --if-missing
	$(BIN)/llm-magics install vllm --if-missing

extra-engines: $(VENV)/.test   ## what `make test` does without; about 7 GB without a GPU
	$(BIN)/llm-magics install sglang --if-missing
	$(BIN)/llm-magics install deepspeed --if-missing
	$(BIN)/llm-magics install triton --if-missing
	@test -e /usr/include/libaio.h && command -v c++ >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends libaio-dev g++; }  # DeepSpeed compiles

browser:                       ## Chromium for the browser tests: Debian's package, where none is there
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }

# Debian's packages start daemons of their own on the ports that are usual; ours run beside them, so none is started.
prometheus:                    ## Prometheus and Alertmanager for the monitor's tests: Debian's packages, where none are there
	@{ command -v prometheus && command -v promtool && { command -v alertmanager || command -v prometheus-alertmanager; }; } >/dev/null || \
	  { test -e /usr/sbin/policy-rc.d || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; ours=yes; }; \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus prometheus-alertmanager; done=$$?; \
	    test -z "$$ours" || rm /usr/sbin/policy-rc.d; exit $$done; }

clean:
	rm -rf $(VENV) .cache build dist demo node_modules labextension/lib labextension/dist packages/*/lib vscode/node_modules vscode/dist .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV) || { apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); }

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e . --group demo
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e . --group demo --group test
	touch $@

$(VENV)/.lint: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e . --group lint
	touch $@
