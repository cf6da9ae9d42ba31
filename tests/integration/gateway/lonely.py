"""A gateway with the real catalogue on a machine that has only loopback. Run as a program, in a network namespace.

    unshare -n python lonely.py FOLDER [NAME=VALUE …]     # the settings of the gateway

Everything the kernel would send anywhere is routed to the loopback interface and seen there: the program listens to
it below IP, whoever sends. It asks for every model that is listed, prints what happened as JSON, and ends.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.served import serve

NOWHERE = "192.0.2.1"
"""An address of nobody (RFC 5737), known to this program alone: what the spy must be able to see."""


class Spy(threading.Thread):
    """Every packet that is not from loopback to loopback."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[str] = []
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
        self._socket.bind(("lo", 0))

    def run(self) -> None:
        while True:
            frame = self._socket.recv(65_536)
            kind, packet = frame[12:14], frame[14:]
            if kind == b"\x08\x00":
                there = ip_address(packet[16:20])
            elif kind == b"\x86\xdd":
                there = ip_address(packet[24:40])
            else:
                self.seen.append(f"ethertype {kind.hex()}")
                continue
            # multicast is the kernel's own talk about its interface (neighbour discovery)
            if not there.is_loopback and not there.is_multicast:
                self.seen.append(str(there))


def sees_everything(spy: Spy) -> int:
    """Tries to reach somebody, in two ways. Returns how many packets the spy has seen of that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
        knock.sendto(b"hello", (NOWHERE, 53))
    with socket.socket() as knock:
        knock.setblocking(False)
        knock.connect_ex((NOWHERE, 80))
        deadline = time.monotonic() + 5
        while spy.seen.count(NOWHERE) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    return spy.seen.count(NOWHERE)


def main(folder: Path, settings: dict[str, str]) -> None:
    for command in ("ip link set lo up", "ip route add default dev lo", "ip -6 route add default dev lo"):
        subprocess.run(command.split(), check=False, capture_output=True)
    spy = Spy()
    spy.start()
    told: dict[str, Any] = {"seen_of_a_test": sees_everything(spy), "answers": []}
    with serve(folder, **settings) as served:
        first = (folder / "first-run.txt").read_text()
        key = first.partition("key ")[2].split()[0]
        with httpx.Client(base_url=served.url, headers={"X-API-Key": key}, timeout=60, trust_env=False) as client:
            admin = {"Authorization": f"Bearer {served.admin_token}"}

            def asked(path: str) -> Any:
                return client.get(path, headers=admin).json()["data"]

            deadline = time.monotonic() + 20
            while any(s["state"] == "unknown" for s in asked("/admin/api/servers")) and time.monotonic() < deadline:
                time.sleep(0.1)
            told["sources"], told["servers"] = asked("/admin/api/sources"), asked("/admin/api/servers")
            told["models"] = [m["id"] for m in client.get("/v1/models").json()["data"]]
            for model in told["models"]:
                for path in ("/v1/chat", "/v1/chat/stream"):
                    began = time.monotonic()
                    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
                    answer = client.post(path, json=body)
                    seconds = time.monotonic() - began
                    told["answers"].append(
                        {"model": model, "status": answer.status_code, "text": answer.text, "seconds": seconds}
                    )
            told["health"] = client.get("/v1/health").json()
            while len(rows := asked("/admin/api/requests?limit=100")) < len(told["answers"]):
                assert time.monotonic() < deadline + 20
                time.sleep(0.05)
            told["rows"] = rows
    # loopback shows every packet twice, and the kernel sends a SYN again: those of our own test may come at any time
    told["packets"] = [there for there in spy.seen if there != NOWHERE]
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), dict(word.split("=", 1) for word in sys.argv[2:]))
