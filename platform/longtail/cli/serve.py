"""`serve`: runs Feast's feature server, reachable from this machine only."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import FrameType
from typing import Annotated

import typer

from longtail.cli.options import ConfigOption, JsonOption
from longtail.cli.output import output
from longtail.config import config_file, load_config
from longtail.errors import LongtailError

START_SECONDS = 120.0
PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help="The port on 127.0.0.1.")]


def serve(
    config: ConfigOption = None, port: PortOption = 6566, as_json: JsonOption = False
) -> None:
    """Run Feast's feature server on this machine's loopback address, until Ctrl-C or SIGTERM."""
    with output(as_json) as out:
        load_config(config)
        command = [sys.executable, "-P", "-m", "longtail.features.feast.server"]
        command += [f"--config={config_file(config)}", f"--port={port}"]
        # A session of its own: a terminal's Ctrl-C reaches only us, and we end the server.
        server = subprocess.Popen(command, start_new_session=True)
        url = f"http://127.0.0.1:{port}"

        def end(signum: int, frame: FrameType | None) -> None:
            server.terminate()

        signal.signal(signal.SIGINT, end)
        signal.signal(signal.SIGTERM, end)
        try:
            out.progress.print(f"Starting Feast's feature server on {url}")
            if _healthy(server, url):
                out.result(
                    {"url": url, "pid": server.pid},
                    f"Serving until Ctrl-C: POST {url}/get-online-features",
                )
            code = server.wait()
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()
        if code not in (0, -signal.SIGTERM):
            raise LongtailError(f"the feature server ended with exit code {code}: see above")


def _healthy(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the server answers, and return True; return False if it ended instead.

    Raises:
        LongtailError: it neither answered nor ended within `START_SECONDS`.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise LongtailError(f"the feature server does not answer on {url} after {START_SECONDS:g} s")
