# syntax=docker/dockerfile:1
# One image for every Ray node (head, workers, submitter), and for haarchive on a single machine.
#
#   docker build -t haarchive:0.1.0-cuda .
#   docker build -t haarchive:0.1.0 --build-arg TORCH_INDEX=... .     # PyTorch's index of builds without CUDA
#
# PYTHON_DIGEST pins the base to its very bytes: `docker buildx imagetools inspect python:3.12-slim-trixie` prints the
# digest; give it as --build-arg PYTHON_DIGEST=@sha256:...

ARG PYTHON_TAG=3.12-slim-trixie
ARG PYTHON_DIGEST=

FROM python:${PYTHON_TAG}${PYTHON_DIGEST} AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/haarchive
ENV PATH=/opt/haarchive/bin:$PATH
WORKDIR /src

# pip's own index has PyTorch with CUDA; PyTorch's index of builds without (its installation page names it) makes an
# image that is several gigabytes smaller. Libraries come with the next step.
ARG TORCH_INDEX=
RUN pip install --no-deps ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} torch==2.13.0

# ray[default] is what a Ray node needs beyond a library: dashboard, job server, metrics, autoscaler.
COPY constraints.txt ./
RUN pip install -c constraints.txt torch==2.13.0 "ray[default]==2.60.0"

COPY pyproject.toml README.md LICENSE ./
COPY codecs codecs
COPY configs configs
COPY pipeline pipeline
RUN pip install -c constraints.txt .

# Kernels for x86-64-v3 run on any x86 server since 2015 (AVX2), so that no node compiles. For others, or ARM, name LLVM's
# CPU (neoverse-n1, ...), or generic. The image must be built on a machine that can run them.
ARG KERNEL_CPU=x86-64-v3
ENV NUMBA_CACHE_DIR=/opt/haarchive/kernels NUMBA_CPU_NAME=${KERNEL_CPU} NUMBA_CPU_FEATURES=""
COPY k8s/compile_kernels.py ./
RUN python compile_kernels.py


FROM python:${PYTHON_TAG}${PYTHON_DIGEST}

# KubeRay starts Ray by bash and asks after its health by wget.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bash wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 haarchive \
    && useradd --uid 1000 --gid 1000 --create-home haarchive

COPY --from=build /opt/haarchive /opt/haarchive
# numba takes machine code only from a folder that it can write to. On a read-only root, pods copy it to one.
COPY --from=build --chown=1000:1000 /opt/haarchive/kernels /opt/haarchive/kernels

ARG KERNEL_CPU=x86-64-v3
ENV PATH=/opt/haarchive/bin:$PATH \
    NUMBA_CACHE_DIR=/opt/haarchive/kernels \
    NUMBA_CPU_NAME=${KERNEL_CPU} \
    NUMBA_CPU_FEATURES="" \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0

LABEL org.opencontainers.image.title=haarchive \
      org.opencontainers.image.version=0.1.0 \
      org.opencontainers.image.licenses=Apache-2.0

USER 1000:1000
WORKDIR /home/haarchive
CMD ["haarchive", "--help"]
