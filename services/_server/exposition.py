"""`/metrics`: what Prometheus scrapes, answered by a thread of its own.

OpenTelemetry's exporter translates the instruments; whatever else is in the registry of
prometheus_client, such as the process's memory and vLLM's own metrics, is answered beside them.
"""

import logging

from opentelemetry.sdk.metrics.export import MetricReader

from zeroloop.errors import ConfigError

logger = logging.getLogger(__name__)


def make_reader() -> MetricReader:
    """What makes the instruments of a meter provider readable for `serve`."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader

    # Scopes would be three labels of every series that nobody asks for.
    return PrometheusMetricReader(scope_info_enabled=False)


def serve(host: str, port: int) -> int:
    """Answer scrapes until the process ends; return the port, which 0 leaves to the system.

    Raises:
        ConfigError: The port is taken, or the address is not this machine's.
    """
    from prometheus_client import start_http_server

    try:
        server, _ = start_http_server(port, host)
    except OSError as error:
        raise ConfigError(
            f"metrics_port: cannot listen on {host}:{port} ({error.strerror}); choose another one "
            "with --metrics-port, or 0 for a free one"
        ) from error
    logger.info("metrics_served", extra={"host": host, "port": server.server_port})
    return server.server_port
