# What training and answering run in: Python by digest, everything else from the hash locks. See docs/container.md
# `docker buildx imagetools inspect python:3.11-slim-bookworm` shows the digest of the day.
ARG BASE_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${BASE_IMAGE}

# LOCK is gpu or cpu. No index has the CPU build of torch: TORCH is its line with a hash, FIND_LINKS a page that has it.
ARG LOCK=gpu
ARG TORCH=
ARG FIND_LINKS=

# The first five as release/running/child.py sets them outside; slim does not say what CUDA needs, nvidia/cuda does.
# DL3064 takes TOKENIZERS for a secret.
# hadolint ignore=DL3064
ENV HF_HUB_DISABLE_TELEMETRY=1 \
    GX_ANALYTICS_ENABLED=false \
    TOKENIZERS_PARALLELISM=false \
    PYTHONHASHSEED=0 \
    CUBLAS_WORKSPACE_CONFIG=:4096:8 \
    DO_NOT_TRACK=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/adapter-release \
    PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_REQUIRE_CUDA=cuda>=13.0

COPY locks/uv.txt locks/gpu.txt locks/cpu.txt /adapter-release/locks/
WORKDIR /adapter-release
RUN python3 -m pip install --quiet --no-cache-dir --no-compile --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: --target /tmp/uv --requirement locks/uv.txt \
    && printf '%s\n' "$TORCH" > /tmp/torch.txt \
    && /tmp/uv/bin/uv venv --quiet --no-cache --python "$(command -v python3)" /venv \
    && /tmp/uv/bin/uv pip install --quiet --no-cache --python /venv/bin/python --no-deps --require-hashes --only-binary :all: \
        ${FIND_LINKS:+--find-links "$FIND_LINKS"} --requirement "locks/$LOCK.txt" --requirement /tmp/torch.txt \
    && rm -r /tmp/uv /tmp/torch.txt

COPY release release
COPY gates gates
COPY hub_folder hub_folder
COPY schemas schemas

# Last, so that another commit with the same locks installs nothing again.
ARG SOURCE_COMMIT=unknown
ARG LOCKS_SHA256=unknown
LABEL org.opencontainers.image.title="adapter-release" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${SOURCE_COMMIT}" \
      adapter-release.locks.sha256="${LOCKS_SHA256}" \
      adapter-release.lock="${LOCK}"

USER 10001:10001
CMD ["python", "-m", "release.cli", "--help"]
