# The whole server in one container: NGINX, uWSGI, the workers, Redis and RabbitMQ under supervisord.
#
#   make build                        with CUDA, which comes with PyTorch's wheels; the driver is the host's
#   make build ELEPHANT_TORCH=cpu     without, some GB smaller
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# What changes least comes first, so that a change of the code makes the last layers only.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        ca-certificates nginx-light python3 python3-venv rabbitmq-server redis-server \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log

WORKDIR /opt/elephant
ENV PATH=/opt/elephant/.venv/bin:$PATH

# The packages alone: this layer holds some GB, and stays as long as the pins do.
COPY constraints.txt ./
COPY script/requirements.py script/
COPY elephant-models/pyproject.toml elephant-models/
COPY elephant-core/pyproject.toml elephant-core/
COPY app/pyproject.toml app/
ARG TORCH=cuda
RUN if [ "$TORCH" = cpu ]; then \
        export PIP_EXTRA_INDEX_URL="https://download.pytorch.org/whl/cpu $PIP_EXTRA_INDEX_URL"; \
    fi \
    && python3 -m venv .venv \
    && python script/requirements.py elephant-models elephant-core app > /tmp/requirements.txt \
    && pip install -q --no-cache-dir -c constraints.txt -r /tmp/requirements.txt \
    && rm /tmp/requirements.txt

COPY . ./
# The documentation is made of the code, too; of what makes it nothing stays in the layer.
RUN pip install -q --no-cache-dir --no-deps ./elephant-models ./elephant-core ./app \
    && pip install -q --no-cache-dir -c constraints.txt --target /tmp/documenting -r docs/requirements.txt \
    && PYTHONPATH=/tmp/documenting python -m sphinx -q -b html -d /tmp/doctrees docs build/docs \
    && rm -rf elephant-models elephant-core app docs examples *.md /tmp/documenting /tmp/doctrees \
    && mkdir /workspace

ENV ELEPHANT_HOME=/opt/elephant \
    ELEPHANT_WORKSPACE=/workspace \
    # Whoever publishes the ports on this machine alone says so (make launch does): else a token is required.
    ELEPHANT_BIND_ADDRESS=0.0.0.0 \
    ELEPHANT_LISTEN_ADDRESS=0.0.0.0 \
    PYTHONUNBUFFERED=1
VOLUME /workspace
EXPOSE 8080 5672
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-m", "elephant_server.deploy.health"]
CMD ["python", "-m", "elephant_server.deploy"]
