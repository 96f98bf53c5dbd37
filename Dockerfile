# syntax=docker/dockerfile:1
# a2u in a container: `docker build --tag a2u .`; docs/scale.md says how to run it.
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS base
# opencv-python opens no window here, but wants the libraries to do so.
# More of Debian's programs: --build-arg PROGRAMS=ffmpeg for films.
ARG PROGRAMS=
# hadolint ignore=DL3008,SC2086
RUN apt-get update && \
    apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 $PROGRAMS && \
    rm -rf /var/lib/apt/lists/*

FROM base AS build
# Where torch comes from: its build for CPUs. For CUDA: --build-arg TORCH=https://pypi.org/simple
ARG TORCH=https://download.pytorch.org/whl/cpu
# What is installed beside the core, as pyproject.toml names it.
ARG EXTRAS=exr,heic,serve
ARG AT=/opt/a2u
# Of the image's own Debian the newest compiler will do: it does not go into what is shipped.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
RUN python3 -m venv "$AT" && \
    "$AT/bin/pip" install --no-cache-dir --index-url "$TORCH" 'torch>=2.6'
WORKDIR /source
COPY . .
RUN "$AT/bin/pip" install --no-cache-dir ".[$EXTRAS]" && \
    "$AT/bin/a2u" doctor

FROM base
COPY --from=build /opt/a2u /opt/a2u
# Nobody in particular, and by number, as Kubernetes wants it: --user gives the files to another.
USER 1000:1000
ENV PATH=/opt/a2u/bin:$PATH XDG_CACHE_HOME=/tmp/cache
WORKDIR /work
ENTRYPOINT ["a2u"]
CMD ["--help"]
