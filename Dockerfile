FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/vifsim && /opt/vifsim/bin/pip install --no-cache-dir '.[metrics,openapi,postgres]'

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home vifsim
COPY --from=build /opt/vifsim /opt/vifsim
ENV PATH=/opt/vifsim/bin:$PATH PYTHONUNBUFFERED=1
# A number, so that a host that knows no such name can still tell that it is not root.
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8774
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD \
    ["python", "-c", "import os, urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8774/_vifsim/health', headers={'Authorization': 'Bearer ' + os.environ.get('VIFSIM_CONTROL_TOKEN', '')}), timeout=2)"]
# The control API wants a token beyond loopback: give VIFSIM_CONTROL_TOKEN, or it does not start.
ENTRYPOINT ["vifsim", "serve", "--host", "0.0.0.0"]
CMD ["--backend", "sqlite:///demo.db"]
