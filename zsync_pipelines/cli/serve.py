"""The command that serves the REST API."""

from __future__ import annotations

import ipaddress
import logging
import socket

import click

from zsync_pipelines.cli.base import command
from zsync_pipelines.errors import ZsyncError

_GRACE_SECONDS = 20


@command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8642, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
def serve(host: str, port: int) -> None:
    """Serve the REST API.

    Runs that it is asked for are handed to Dagster: to the webserver at ZSYNC_DAGSTER_URL, or to a daemon.
    """
    import uvicorn

    from zsync_pipelines.api.app import create_api
    from zsync_pipelines.orchestration.webserver import Webserver
    from zsync_pipelines.service.api_keys import any_usable
    from zsync_pipelines.service.bootstrap import open_zsync

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    app = open_zsync()
    if not _is_loopback(host) and not any_usable(app):
        raise ZsyncError(
            f"{host} can be reached from other machines, and there is no API key that may be used yet: make one with "
            "`zsync api-key create NAME`, then serve again"
        )
    listening = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}"
    click.echo(f"zsync API on {address}/api/v1, described at {address}/docs", err=True)
    api = create_api(app, Webserver(app.settings.dagster_url))
    config = uvicorn.Config(
        api, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS, server_header=False
    )
    uvicorn.Server(config).run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens at an address; a name must lead nowhere else."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def _listen(host: str, port: int) -> socket.socket:
    """Listen, or say why not, before anything is started."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise ZsyncError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose another with --host and --port"
        ) from None
    listening.listen(2048)
    listening.set_inheritable(True)
    return listening
