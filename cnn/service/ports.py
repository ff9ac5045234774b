"""Ports of this machine: whether one is free, who holds it, and whether a server answers on it."""

import socket
from contextlib import suppress
from http import HTTPStatus

import psutil
import requests

LOOPBACK = "127.0.0.1"
_TIMEOUT_S = 3.0


def refusal(port: int) -> str:
    """Why no server can listen on a port of this machine, in the system's words; empty when it is free."""
    with socket.socket() as probe:
        # as servers do: connections of an earlier server that are still closing take no port
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return (error.strerror or type(error).__name__).lower()
    return ""


def holder(port: int) -> str:
    """Who listens on a port, as ` by python (process 4711)`; empty when the system does not say."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


def answers(port: int, path: str) -> bool:
    """Whether a server on this machine gives what is asked for.

    Args:
        path: Begins with a slash.
    """
    with requests.Session() as session:
        session.trust_env = False  # a proxy knows nothing of this machine's own ports
        try:
            answer = session.get(f"http://{LOOPBACK}:{port}{path}", timeout=_TIMEOUT_S)
        except requests.exceptions.RequestException:
            return False
        return bool(answer.status_code == HTTPStatus.OK)
