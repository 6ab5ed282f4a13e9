"""Under which names a web interface answers, and from which sites a browser may ask it."""

import fnmatch
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

#: Settings.
HOSTS, PUBLIC_URL, ADDRESS = "DAGMA_ALLOWED_HOSTS", "DAGMA_PUBLIC_URL", "DAGMA_HOST"
#: MLflow's own settings for the same.
MLFLOW_HOSTS, MLFLOW_ORIGINS = "MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"
_EVERYWHERE = "0.0.0.0"


@dataclass(frozen=True)
class Site:
    """One web interface as browsers know it.

    Attributes:
        names: Host names, in lower case; `*.example.org` stands for all below it.
        any_address: It answers to every address of the machine. No name server can make a page of
            another site have an address for its name.
        origins: Sites whose pages may ask as well, as a browser writes them (RFC 6454, section 6).
        origins_setting: What holds them.
    """

    names: frozenset[str] = frozenset()
    any_address: bool = False
    origins: frozenset[str] = frozenset()
    origins_setting: str = PUBLIC_URL

    def answers_to(self, host: str) -> bool:
        """Whether a `Host` header, with or without a port, names this site."""
        name = name_of(host)
        return name == "localhost" or _is_among(name, self.names) or self._is_own_address(name)

    def _is_own_address(self, name: str) -> bool:
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.any_address or address.is_loopback

    def has_pages_of(self, origin: str, host: str) -> bool:
        """Whether an `Origin` header is this site's own, or of one that may ask as well.

        A proxy with TLS in front changes the scheme, which is not compared; where it changes the
        `Host` too, the origin has to be among `origins`.
        """
        return origin.partition("://")[2] == host or _is_among(origin, self.origins)


def of_dagster(environ: Mapping[str, str]) -> Site:
    """The webserver as the settings describe it."""
    public = urlsplit(environ.get(PUBLIC_URL, "").lower())
    origins = {f"{public.scheme}://{public.netloc}"} if public.netloc else set()
    names = {public.hostname} if public.hostname else set()
    return _described(environ, names, origins, PUBLIC_URL)


def of_mlflow(environ: Mapping[str, str]) -> Site:
    """MLflow as the settings describe it, its own among them."""
    names = {name_of(host) for host in _listed(environ.get(MLFLOW_HOSTS, ""))}
    public = urlsplit(environ.get(PUBLIC_URL, "").lower())
    names |= {public.hostname} if public.hostname else set()
    return _described(environ, names, set(_listed(environ.get(MLFLOW_ORIGINS, ""))), MLFLOW_ORIGINS)


def _described(
    environ: Mapping[str, str], names: set[str], origins: set[str], origins_setting: str
) -> Site:
    address = environ.get(ADDRESS, "")
    known = {*names, *_listed(environ.get(HOSTS, "")), address} - {"", _EVERYWHERE}
    return Site(frozenset(known), address == _EVERYWHERE, frozenset(origins), origins_setting)


def _listed(text: str) -> list[str]:
    return [part.strip().lower() for part in text.split(",") if part.strip()]


def _is_among(value: str, patterns: frozenset[str]) -> bool:
    return value in patterns or any(
        fnmatch.fnmatchcase(value, pattern) for pattern in patterns if "*" in pattern
    )


@lru_cache(maxsize=64)
def name_of(host: str) -> str:
    """The name or address in a `Host` header, in lower case; empty when there is none."""
    found = _HOST.fullmatch(host.lower())
    return (found[1] or found[2]) if found else ""


#: An address of IPv6 in brackets or a name, with or without a port; in a setting a port may be `*`.
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/\\@,\[\]]+?)\.?)(?::(?:\d+|\*))?")
