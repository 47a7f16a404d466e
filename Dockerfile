# One file, two images. Docker 20.10 of Debian can build it:
#   docker build .                     -> runtime: serves a bundle on CPU, has no torch
#   docker build --target builder .    -> also builds bundles (extra `train`)
# On x86-64 the default index gives torch with CUDA (several GB). For the CPU build of torch add:
#   --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu

# The newest patch of Python 3.11 on Debian 12. To pin the bytes as well, name the digest that you
# have tested: PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:… None is written here, because a digest
# keeps out the security fixes of Debian until somebody renews it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
# No .pyc files are written at run time, because the root file system is read-only. pip wrote those
# of the installed packages into the image: 27 MB that save 1.4 s of every start.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PATH=/opt/venv/bin:$PATH
WORKDIR /srv/recserve


# The packages that serving needs, in a venv without pip. pip compares each with the hashes of the
# lock. Only the locks are copied, so a change of our code does not install the packages again.
FROM base AS wheels
COPY locks/serve.txt ./
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --no-deps --require-hashes --requirement serve.txt


# The same without files that serving does not use: tests of the packages, and the tools of ONNX
# Runtime that make models.
FROM wheels AS slim
WORKDIR /opt/venv/lib/python3.11/site-packages
RUN rm -rf onnxruntime/transformers onnxruntime/tools onnxruntime/datasets \
 && find . -type d -name tests -prune -exec rm -rf {} +


# The compiled kernels. If no compiler can be installed, the folder stays empty: the service then
# encodes texts with ONNX Runtime, which takes longer. Debian removes older versions of a package, so
# a pinned version of gcc would soon not be found. Nothing of this stage but the kernels is shipped.
FROM base AS kernel
WORKDIR /kernel
COPY app/engine/kernels/loader.py ./
COPY app/engine/kernels/c ./c
# hadolint ignore=DL3008
RUN mkdir lib \
 && if apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev; \
    then python loader.py && find c -name '*.so' -exec mv {} lib/ ';'; \
    else echo "no C compiler: texts will be encoded by ONNX Runtime"; fi


# Our code as a wheel. The build backend has its own layer, below the code.
FROM base AS package
COPY locks/backend.txt ./
RUN pip install --no-deps --require-hashes --requirement backend.txt
COPY pyproject.toml README.md LICENSE recserve.py ./
COPY models models
COPY app app
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .


# Everything that builds bundles, and the demo bundle (MovieLens, from a package).
FROM wheels AS builder
ARG TORCH_INDEX_URL=""
COPY constraints.txt locks/train.txt ./
# torch has no hash, because its files differ from index to index (locks/README.md). Without
# --extra-index-url pip uses the index that it is configured for. Nothing is compiled to .pyc: this
# image usually builds one bundle, which would gain less time than compiling takes.
RUN pip --python /opt/venv/bin/python install --no-compile --no-deps --require-hashes \
    --requirement train.txt \
 && pip --python /opt/venv/bin/python install --no-compile --constraint constraints.txt \
    ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} torch
# A checkout, not the wheel: the kernel's folder is known.
COPY app app
COPY --from=kernel /kernel/lib/ app/engine/kernels/c/
COPY models models
RUN python -m app.cli demo --build-only
# Libraries with a cache look for a home folder, and any uid may run this image.
ENV HOME=/tmp
ENTRYPOINT ["python", "-m", "app.cli"]
CMD ["build", "--help"]


# An SBOM (CycloneDX) of the image below, with Debian's packages:
#   docker build --target sbom --output . .
FROM base AS bill
COPY locks/tools.txt ./
RUN python -m venv --without-pip /opt/tools \
 && pip --python /opt/tools/bin/python install --no-deps --require-hashes --requirement tools.txt
COPY --from=slim /opt/venv /opt/venv
COPY --from=package /wheels /wheels
RUN pip --python /opt/venv/bin/python install --no-deps /wheels/*.whl
COPY .ci/sbom.py ./
RUN /opt/tools/bin/python sbom.py --environment /opt/venv/bin/python \
    --dpkg /var/lib/dpkg/status --out /sbom.cdx.json

FROM scratch AS sbom
COPY --from=bill /sbom.cdx.json /


# The default image: what a server runs.
FROM base AS runtime
# The uid is fixed, so that a mounted folder can belong to it. It has no home and no shell.
RUN groupadd --gid 10001 recserve \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin recserve
COPY --from=slim /opt/venv /opt/venv
# COPY keeps the symbolic link `current`. The folder belongs to root: the server only reads it.
COPY --from=builder /srv/recserve/models/demo models/demo
COPY --from=package /wheels /wheels
RUN pip --python /opt/venv/bin/python install --no-deps /wheels/*.whl
COPY --from=kernel /kernel/lib/ /opt/venv/lib/python3.11/site-packages/app/engine/kernels/c/
# The event store is here: mount a volume, or set RECSERVE_STORE_URL.
RUN install --directory --owner 10001 --group 10001 data
ENV RECSERVE_HOST=0.0.0.0 RECSERVE_PORT=8000 RECSERVE_BUNDLE=/srv/recserve/models/demo \
    RECSERVE_DATA_DIR=/srv/recserve/data
USER 10001:10001
EXPOSE 8000
# The slim image has no curl. http.client ignores HTTP_PROXY; urllib would use it.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import http.client, os, sys; connection = http.client.HTTPConnection('127.0.0.1', int(os.environ['RECSERVE_PORT']), timeout=2); connection.request('GET', '/readyz'); sys.exit(connection.getresponse().status != 200)"]
# The exec form makes recserve PID 1, so that it gets SIGTERM.
CMD ["recserve", "serve"]
