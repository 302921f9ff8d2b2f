# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
"""Have a real Prometheus scrape both daemons, and its linter read what they tell.

Usage: scrape.py PROMETHEUS PROMTOOL

The daemons run around a fake kernel, as in the unit tests. Prometheus asks over TCP, so that something passes it on.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from daemon_hosts import Fabric, Running, until

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "monitoring" / "dashboard.json"
PATIENCE = 60.0  # seconds


class Relay(http.server.BaseHTTPRequestHandler):
    """Passes a GET on to the daemon that its path begins with."""

    daemons: dict[str, Running] = {}

    def do_GET(self) -> None:
        """Answer with the daemon's text."""
        body = text(self.daemons[self.path.split("/")[1]]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def text(daemon: Running) -> str:
    """What a daemon answers to GET /metrics."""
    return daemon.client.text("/metrics")


def query(port: int, expression: str) -> list[dict[str, Any]]:
    """What Prometheus answers."""
    words = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{words}", timeout=10) as answer:
        return list(json.load(answer)["data"]["result"])


def expressions() -> list[str]:
    """Those of the dashboard, for all hosts."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [target["expr"].replace("$instance", ".*") for panel in panels for target in panel["targets"]]


def free_port() -> int:
    """A port that nobody has."""
    with http.server.HTTPServer(("127.0.0.1", 0), Relay) as server:
        return int(server.server_address[1])


def scrape(prometheus: str, base: Path, relay: int) -> None:
    """Run Prometheus until it has what it needs, and ask it what the dashboard asks."""
    jobs = [
        {"job_name": name, "metrics_path": f"/{name}/metrics", "static_configs": [{"targets": [f"127.0.0.1:{relay}"]}]}
        for name in Relay.daemons
    ]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "monitoring" / "alerts.yml")],
        "scrape_configs": jobs,
    }
    (base / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    command = [
        prometheus,
        f"--config.file={base}/prometheus.yml",
        f"--storage.tsdb.path={base}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with subprocess.Popen(command) as process:
        try:
            until(lambda: answers(port), PATIENCE)
            until(lambda: sum(int(row["value"][1]) for row in query(port, "up")) == len(jobs), PATIENCE)
            until(lambda: query(port, 'device_lending_attachment{state="attached"}'), PATIENCE)
            time.sleep(2)  # rates are of two scrapes
            empty = [words for words in expressions() if not query(port, words)]
            # Nothing is wrong with these links, and the fake kernel counts no mappings.
            expected = [words for words in expressions() if "== 0" in words or "mapped" in words or "bounced" in words]
            expected += [words for words in expressions() if "space" in words or "timeouts" in words]
            surprising = set(empty) - set(expected)
            if surprising:
                sys.exit(f"the dashboard asks for what is not there: {sorted(surprising)}")
            raised = query(port, 'ALERTS{alertstate="firing"}')
            if raised:
                sys.exit(f"alerts of hosts that are well: {raised}")
        finally:
            process.terminate()


def answers(port: int) -> bool:
    """Whether Prometheus does."""
    try:
        return query(port, "vector(1)") != []
    except OSError:
        return False


def main() -> None:
    """Run all of it."""
    prometheus, promtool = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        fabric = Fabric(base)
        try:
            owner, borrower = fabric.pair()
            owner.put_grants(("scratch", {"address": "0000:03:00.0"}, "node-b"))
            borrower.put_attachments(("scratch", "node-a"), wait=30)
            assert owner.ownerd is not None
            assert borrower.borrowerd is not None
            Relay.daemons = {"ownerd": owner.ownerd, "borrowerd": borrower.borrowerd}
            for daemon in Relay.daemons.values():
                subprocess.run([promtool, "check", "metrics"], input=text(daemon), text=True, check=True)
            with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay) as relay:
                threading.Thread(target=relay.serve_forever, daemon=True).start()
                scrape(prometheus, base, int(relay.server_address[1]))
                relay.shutdown()
        finally:
            fabric.stop()
    print("Prometheus reads what the daemons tell, and its dashboard finds what it asks for")


if __name__ == "__main__":
    main()
