"""Where a target is: the parts of its URL, and that no proxy stands before it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from llm_magics.errors import TargetError


@dataclass(frozen=True)
class Address:
    """The parts of a base URL; `path` has neither `/v1` nor a slash at its end."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def address(url: str) -> Address:
    """The parts of a base URL.

    Raises
    ------
    TargetError
        When it is no http or https URL with a host.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise TargetError(f"{url} is not a URL.", why=str(error), then="write http://HOST:PORT") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TargetError(
            f"{url} is not a URL of a server.", then="write http://HOST:PORT, for example http://127.0.0.1:8000"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise TargetError(
            "A target's URL holds neither a password nor a query.",
            then="give the key as --api-key KEY (from Python: api_key=…), the path alone as URL",
        )
    tls = parts.scheme == "https"
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    if any(ord(letter) < 33 for letter in path):
        raise TargetError(f"{url!r} is not a URL.", then="write http://HOST:PORT")
    return Address(tls, parts.hostname, port or (443 if tls else 80), path)


def proxy_note(where: Address) -> str:
    """That a proxy which the environment names for this address is not used; "" where none would be.

    Requests go to the server itself: a proxy's own queues and buffers would be measured with it. The variable is
    named, its value is not: it may hold a password.
    """
    from urllib.request import getproxies_environment, proxy_bypass

    if where.host == "localhost" or where.host.endswith(".localhost") or _is_loopback(where.host):
        return ""
    proxies = getproxies_environment()
    scheme = next((key for key in ("https" if where.tls else "http", "all") if proxies.get(key)), None)
    if scheme is None or proxy_bypass(f"{where.host}:{where.port}"):
        return ""
    name = next((name for name in os.environ if name.lower() == f"{scheme}_proxy"), f"{scheme}_proxy")
    return f"{name} is set, but proxies are not used: requests go straight to {where.host}"


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
