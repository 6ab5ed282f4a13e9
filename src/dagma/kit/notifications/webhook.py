"""The webhook: an address that is kept secret, and sending to it."""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from dagma.kit.notifications.message import Message

if TYPE_CHECKING:
    import requests

__all__ = ["Webhook", "WebhookError"]

#: Seconds to connect, and to wait for an answer, at each attempt.
TIMEOUT = (2.0, 3.0)
#: Attempts after the first. With both, a message takes 11 s at most; Dagster hands a tick five runs
#: and ends it after 60 s.
RETRIES = 2
#: Loggers that write the address with each attempt; a filter is not inherited from a parent.
TELLTALES = ("urllib3.connectionpool", "urllib3.util.retry")
#: Bytes of an answer that are read.
ANSWER = 4096


class WebhookError(Exception):
    """The webhook did not take a message; the sentence does not name its address."""


class Webhook(dg.ConfigurableResource["Webhook"]):
    """Where notifications go.

    The address of a webhook is a password: who knows it can post. So the stack hands it over as a
    file of mode 0600; in a container it may also be an environment variable.
    """

    url: str = Field(default="", description="The address; prefer url_file where you can.")
    url_file: str = Field(default="", description="A file that holds the address.")
    format: str = Field(default="json", description="json, slack, or wecom for a WeCom bot.")
    public_url: str = Field(
        default="", description="Where people reach Dagster's web interface, for links."
    )

    def link(self, run_id: str) -> str:
        """The page of a run; empty where the web interface has no address."""
        return self.page(f"runs/{run_id}")

    def page(self, path: str) -> str:
        """A page of the web interface; empty where it has no address."""
        return f"{self.public_url.rstrip('/')}/{path}" if self.public_url else ""

    def send(self, message: Message) -> None:
        """Post a message; repeats it when the server does not answer or answers 429 or 5xx.

        Raises:
            WebhookError: There is no address, or no attempt had success.
        """
        formats = {"json": message.json, "slack": message.slack, "wecom": message.wecom}
        body = formats.get(self.format)
        if body is None:
            raise WebhookError(f"The webhook's format is {self.format!r}, not {_any_of(formats)}.")
        answer = _post(self._address(), body())
        # WeCom says 200 whatever happened; what did is in the answer.
        code = _errcode(answer) if self.format == "wecom" else 0
        if code != 0:
            raise WebhookError(f"WeCom refused the message with errcode {code}.")

    def _address(self) -> str:
        if self.url_file and not self.url:
            try:
                address = Path(self.url_file).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise WebhookError(f"{self.url_file} cannot be read: {error.strerror}.") from None
        else:
            address = self.url.strip()
        if not address:
            raise WebhookError("DAGMA_WEBHOOK_URL is not set.")
        return address


def _any_of(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"


def _post(address: str, body: dict[str, Any]) -> bytes:
    # No error of requests is chained or shown: their texts hold the address.
    import requests

    try:
        with (
            _unlogged(),
            _session() as session,
            session.post(
                address, json=body, timeout=TIMEOUT, allow_redirects=False, stream=True
            ) as answer,
        ):
            status = answer.status_code
            content = answer.raw.read(ANSWER, decode_content=True) if status < 300 else b""
    except requests.RequestException as error:
        raise WebhookError(f"The webhook did not answer: {_kind(error)}.") from None
    except Exception as error:  # such as urllib3's, for an answer that breaks off
        raise WebhookError(f"The webhook's answer broke off: {type(error).__name__}.") from None
    if status >= 300:
        raise WebhookError(f"The webhook answered with status {status}.")
    return bytes(content)


def _session() -> "requests.Session":
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        total=RETRIES,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("POST",),
        backoff_factor=0.5,
        respect_retry_after_header=False,  # it may ask for hours
        raise_on_status=False,
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _kind(error: Exception) -> str:
    """The name of what is at the bottom of an error of requests."""
    reason: Any = error.args[0] if error.args else None
    return type(getattr(reason, "reason", None) or error).__name__


def _errcode(answer: bytes) -> object:
    import json

    try:
        return json.loads(answer)["errcode"]
    except (ValueError, LookupError, TypeError):
        return "unknown"


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep what would log the address silent in this thread."""
    here = threading.get_ident()

    def of_others(record: logging.LogRecord) -> bool:
        return record.thread != here

    loggers = [logging.getLogger(name) for name in TELLTALES]
    for logger in loggers:
        logger.addFilter(of_others)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(of_others)
