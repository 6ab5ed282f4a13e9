import urllib.error
import urllib.request

import pytest
from webhook_server import a_webhook

from dagma.stack import direct


def test_no_proxy_of_the_environment_is_asked(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.delenv("no_proxy", raising=False)
    with a_webhook() as server:
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(urllib.request.Request(server.url, data=b"{}"), timeout=10)
        with direct.opened(urllib.request.Request(server.url, data=b"{}"), timeout=10) as answer:
            assert answer.status == 200
