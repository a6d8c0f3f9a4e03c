# Training, conversion and proofs on x86-64, with every package of requirements/ at its locked version and hash.
#
#   docker build --tag larqnets .
#   docker run --rm --volume "$PWD/mine:/home/larqnets" larqnets runtime build     once, for the proofs on ARM64
#   docker run --rm --volume "$PWD/mine:/home/larqnets" larqnets train digits
#   docker run --rm --volume "$PWD/mine:/home/larqnets" larqnets convert runs/digits-seed0
#
# /home/larqnets holds runs/, the prepared data sets and the built ARM64 runtime; the folder that is mounted there must belong to user 1000,
# or name yours: --user "$(id -u):$(id -g)".
#
# What was tried: the commands of this file on Debian 12 with its Python 3.11, one after the other, in an empty folder. Not tried:
# docker itself, and everything about GPUs.
#
# GPU (not tried): TensorFlow finds CUDA's libraries where its own packages of them are installed, `tensorflow[and-cuda]`, which
# are not in the locks: take the comment away from the line that says so below, build, and run with --gpus all. A base with CUDA
# is not needed for that. One may be given, if its Python 3.11 comes from apt: --build-arg BASE=nvidia/cuda:12.5.1-runtime-ubuntu22.04
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

# qemu and ARM64 libraries: `convert` proves that a file gives the same on ARM64. A base without Python 3.11 gets it from apt.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends qemu-user libc6-arm64-cross libgcc-s1-arm64-cross libstdc++6-arm64-cross \
    && { command -v python3.11 || apt-get install --yes --no-install-recommends python3.11 python3.11-venv; } \
    && rm -rf /var/lib/apt/lists/*

# The commands of `make install`; the packages first, which change less often than the code.
WORKDIR /opt/source
COPY requirements requirements
RUN python3.11 -m venv /opt/larqnets
RUN /opt/larqnets/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes --only-binary :all: --requirement requirements/core.txt
RUN /opt/larqnets/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes --no-build-isolation --requirement requirements/everything.txt
# For a GPU (not tried): RUN /opt/larqnets/bin/python -m pip install "tensorflow[and-cuda]>=2.21,<2.22"
COPY pyproject.toml hatch_build.py README.md LICENSE NOTICE ./
COPY configs configs
COPY larqnets larqnets
COPY deploy deploy
COPY android_bench android_bench
RUN /opt/larqnets/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation .

RUN useradd --no-create-home --home-dir /home/larqnets --uid 1000 larqnets && mkdir /home/larqnets && chown larqnets:larqnets /home/larqnets
ENV PATH=/opt/larqnets/bin:$PATH HOME=/home/larqnets TFDS_DATA_DIR=/home/larqnets/data
USER larqnets
WORKDIR /home/larqnets
VOLUME ["/home/larqnets"]
ENTRYPOINT ["larqnets"]
CMD ["--help"]
