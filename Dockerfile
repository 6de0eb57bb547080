# Two images from one file: `docker build --target cpu .` (the default) and `docker build --target cuda .`
#
# BASE          the base image; give one with a digest (python@sha256:...) to build the same again
# TORCH_INDEX   the index that PyTorch's own builds come from, for one without CUDA: several GB less in the cpu image
# EXTRAS        optional parts, of: exported keras ray transformers
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS packages
ARG TORCH_INDEX=""
ARG EXTRAS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /build
COPY requirements*.txt requirements*.lock ./
# What is locked, by its hashes. Without hashes are PyTorch's own builds, which are not those of the lock, and EXTRAS, of
# which the versions are locked. OpenCV without windows replaces the one that Ultralytics asks for: there is no screen.
RUN if [ -n "${TORCH_INDEX}" ]; then \
        awk '/^[a-z]/ {keep = !/^(torch|torchvision|triton|nvidia|cuda)/} keep' requirements.lock > rest.txt \
        && grep -E '^(torch|torchvision)[<>=]' requirements.txt > torch.txt \
        && pip install --require-hashes --no-deps -r rest.txt && pip install --index-url "${TORCH_INDEX}" -r torch.txt; \
    else pip install --require-hashes -r requirements.lock; fi \
    && sed -nE '/^(torch|torchvision|triton|nvidia|cuda)/!s/^([a-z0-9._-]+==[^ \\]+( ;[^\\]+)?).*/\1/p' requirements-dev.lock > pins.txt \
    && for extra in ${EXTRAS}; do pip install -c pins.txt -r "requirements-${extra}.txt" || exit 1; done \
    && awk '/^[a-z]/ {keep = /^opencv-python-headless==/} keep' requirements.lock > headless.txt \
    && pip install --require-hashes --force-reinstall --no-deps -r headless.txt

FROM ${BASE} AS cpu
RUN groupadd --gid 1000 sightglass \
    && useradd --uid 1000 --gid 1000 --home-dir /data --no-create-home --shell /usr/sbin/nologin sightglass \
    && install --directory --owner=1000 --group=1000 /data /models
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY .streamlit .streamlit
COPY assets assets
COPY models models
COPY explain explain
COPY pages pages
COPY sightglass sightglass
COPY scripts scripts
COPY dashboard.py requirements*.txt LICENSE ./
ENV PATH=/opt/venv/bin:$PATH
# Compiled here: nothing is written later.
RUN python -m compileall -q /app
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DATA=/data MODELS=/models PORT=8501
# As the start script sets it: a `python -m sightglass batch` in a running container writes to the server's own history.
ENV XDG_DATA_HOME=/data
VOLUME ["/data", "/models"]
EXPOSE 8501
USER 1000:1000
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 CMD ["/app/scripts/healthy"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/scripts/start"]
CMD ["dashboard"]

FROM cpu AS cuda
# The container toolkit brings the driver for these; PyTorch's own build brings the rest of CUDA.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility SIGHTGLASS_API_DEVICE=auto

# The last one is what `docker build .` makes.
FROM cpu AS default
