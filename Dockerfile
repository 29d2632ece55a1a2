FROM python:3.13-slim-trixie

LABEL org.opencontainers.image.title="logscollector" \
      org.opencontainers.image.description="Carries Lyve Cloud audit logs to AWS CloudWatch Logs." \
      org.opencontainers.image.version="2.0.0"

ENV TZ=UTC \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /app

# A layer of their own: the packages change seldom, the daemon often.
COPY requirements.txt ./
RUN pip install --require-hashes --no-deps --only-binary :all: --no-cache-dir \
        --root-user-action ignore --disable-pip-version-check -r requirements.txt

COPY config.json engine.py ./
COPY dashboards ./dashboards
COPY services ./services
COPY utils ./utils

# The user below can read the files, whatever their mode was where the image is built, and finds
# their bytecode ready: it cannot write it.
RUN chmod -R a+rX . && python -m compileall -q services utils

USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=2 \
    CMD ["python", "-m", "services.daemon.health_check"]
ENTRYPOINT ["python", "/app/engine.py"]
