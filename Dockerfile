# Two images from one file, and nothing here that Debian's docker 20.10 lacks:
#   docker build .                     -> runtime: serves a bundle on CPU, has no torch
#   docker build --target builder .    -> also builds bundles (extra `train`)
# torch from the default index brings CUDA along (several GB) on x86-64; for its CPU build:
#   --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu

FROM python:3.11-slim AS base
# No .pyc at run time: the root file system is read-only. Those of the installed packages are in the
# image (pip writes them): 27 MB that save 1.4 s of every start.
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PATH=/opt/venv/bin:$PATH
WORKDIR /srv/recserve


# The lists of dependencies alone. Later stages copy *them*: a change of code, or of the linter's
# part of pyproject.toml, then does not reinstall anything.
FROM base AS requirements
COPY pyproject.toml constraints.txt ./
RUN python -c "import pathlib, tomllib; \
project = tomllib.loads(pathlib.Path('pyproject.toml').read_text())['project']; \
pathlib.Path('serve.txt').write_text('\n'.join(project['dependencies'])); \
pathlib.Path('train.txt').write_text('\n'.join(project['optional-dependencies']['train']))"


# What serving needs, in a venv without pip.
FROM base AS wheels
COPY --from=requirements /srv/recserve/constraints.txt /srv/recserve/serve.txt ./
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --constraint constraints.txt --requirement serve.txt


# The same without what serving does not use: the packages' own tests, and ONNX Runtime's tools for
# making models.
FROM wheels AS slim
RUN cd /opt/venv/lib/python3.11/site-packages \
 && rm -rf onnxruntime/transformers onnxruntime/tools onnxruntime/datasets \
 && find . -type d -name tests -prune -exec rm -rf {} +


# The encoder's kernel, compiled, in a folder that stays empty where no compiler can be installed:
# all works then too, with texts encoded by ONNX Runtime, which takes longer.
FROM base AS kernel
WORKDIR /kernel
COPY app/engine/kernels/loader.py ./
COPY app/engine/kernels/c ./c
RUN mkdir lib \
 && if apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev; \
    then python loader.py && find c -name '*.so' -exec mv {} lib/ ';'; \
    else echo "no C compiler: texts will be encoded by ONNX Runtime"; fi


# Our own code as a wheel; its build backend sits in a layer below the code.
FROM base AS package
RUN pip install "hatchling>=1.25"
COPY pyproject.toml README.md LICENSE ./
COPY app app
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .


# Everything that building bundles needs, and the demo bundle (MovieLens, out of a package).
FROM wheels AS builder
ARG TORCH_INDEX_URL=""
COPY --from=requirements /srv/recserve/train.txt ./
# Without --extra-index-url pip looks where it is set up to look. Not compiled: that would take
# longer than the one bundle that this image usually builds gains by it.
RUN pip --python /opt/venv/bin/python install --no-compile --constraint constraints.txt \
    ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} --requirement train.txt
# A checkout and not the wheel: the demo's recipe lies beside the code, in models/.
COPY app app
COPY --from=kernel /kernel/lib/ app/engine/kernels/c/
COPY models models
RUN python -m app.cli demo --build-only
# Libraries that keep a cache look for a home; any uid may run this image.
ENV HOME=/tmp
ENTRYPOINT ["python", "-m", "app.cli"]
CMD ["build", "--help"]


# The default: what a server runs.
FROM base AS runtime
# A fixed uid, so that a mounted folder can be given to it. No home, no shell.
RUN groupadd --gid 10001 recserve \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin recserve
COPY --from=slim /opt/venv /opt/venv
# `current` inside is a symbolic link, and stays one. Owned by root: the server only reads it.
COPY --from=builder /srv/recserve/models/demo models/demo
COPY --from=package /wheels /wheels
RUN pip --python /opt/venv/bin/python install --no-deps /wheels/*.whl
COPY --from=kernel /kernel/lib/ /opt/venv/lib/python3.11/site-packages/app/engine/kernels/c/
# What people do is kept here: mount a volume, or set RECSERVE_STORE_URL.
RUN install --directory --owner 10001 --group 10001 data
ENV RECSERVE_HOST=0.0.0.0 RECSERVE_PORT=8000 RECSERVE_BUNDLE=/srv/recserve/models/demo \
    RECSERVE_DATA_DIR=/srv/recserve/data
USER 10001:10001
EXPOSE 8000
# slim has no curl. http.client and not urllib: it ignores HTTP_PROXY.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import http.client, os, sys; connection = http.client.HTTPConnection('127.0.0.1', int(os.environ['RECSERVE_PORT']), timeout=2); connection.request('GET', '/readyz'); sys.exit(connection.getresponse().status != 200)"]
# The exec form: recserve is PID 1 and gets SIGTERM itself.
CMD ["recserve", "serve"]
