# Two images out of one file:
#   docker build -t voice-gateway .                            the gateway (the default target)
#   docker build -t voice-gateway-sandbox --target sandbox .   the stand-in API, with speech engines
# Everything is installed from the hash-checked locks, as wheels: no compiler is needed or present.
# Without a Docker engine, tools/container-check.sh runs these very steps in a clean Debian root.

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1

# ---- virtual environments, built apart so that neither pip nor the build backend is shipped
FROM base AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/venv

FROM build AS build-gateway
COPY locks/gateway.txt locks/
RUN python -m pip --python /opt/venv install --no-cache-dir --no-deps --only-binary=:all: --require-hashes \
      -r locks/gateway.txt
COPY pyproject.toml README.md LICENSE THIRD_PARTY.md ./
COPY audio audio
COPY gateway gateway
RUN python -m pip --python /opt/venv install --no-cache-dir --no-deps --no-build-isolation --no-index . \
 && python -m pip --python /opt/venv uninstall --yes \
      hatchling editables pathspec pluggy tomlkit trove-classifiers \
 && python -m pip --python /opt/venv check

FROM build AS build-sandbox
COPY locks/sandbox.txt locks/
RUN python -m pip --python /opt/venv install --no-cache-dir --no-deps --only-binary=:all: --require-hashes \
      -r locks/sandbox.txt
COPY pyproject.toml README.md LICENSE THIRD_PARTY.md ./
COPY audio audio
COPY gateway gateway
RUN python -m pip --python /opt/venv install --no-cache-dir --no-deps --no-build-isolation --no-index . \
 && python -m pip --python /opt/venv uninstall --yes \
      hatchling editables pathspec pluggy tomlkit trove-classifiers \
 && python -m pip --python /opt/venv check

# ---- what both images run in: a user without rights, and one folder that is theirs
FROM base AS runtime
# The modules were compiled when they were installed; the user could not write there anyway.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/venv/bin:$PATH
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin gateway \
 && install --directory --owner=10001 --group=10001 --mode=0750 /data
WORKDIR /data
VOLUME /data
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["voice-gateway"]

FROM runtime AS sandbox
LABEL org.opencontainers.image.title="voice-gateway-sandbox" \
      org.opencontainers.image.description="Local stand-in for the Amigo conversation API, with offline speech" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build-sandbox /opt/venv /opt/venv
EXPOSE 8090
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8090, timeout=3); c.request('GET', '/v1/openapi.json'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["sandbox", "--host", "0.0.0.0", "--port", "8090"]

FROM runtime AS gateway
LABEL org.opencontainers.image.title="voice-gateway" \
      org.opencontainers.image.description="Telephone calls to agents in the Amigo conversation API" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build-gateway /opt/venv /opt/venv
ENV GATEWAY_STORE_URL=sqlite:////data/voice-gateway.db
EXPOSE 8080
# Change the port by GATEWAY_PORT, not by --port, so that this finds it too.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('GATEWAY_PORT', '8080')), timeout=3); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["serve"]
