import pytest
from flask import Flask

from dagma.stack.services.mlflow import FIRST_VIEW, open_with_training


@pytest.fixture
def client():
    app = Flask(__name__)
    page = "<!doctype html><html><head><script src='own.js'></script></head></html>"
    for i, path in enumerate(("/", "/get-artifact")):
        app.add_url_rule(path, str(i), lambda: page)
    app.add_url_rule("/ajax-api", "api", lambda: {"head": "<head>"})
    app.after_request(open_with_training)
    return app.test_client()


def test_the_first_view_is_chosen_before_the_pages_own_script(client):
    page = client.get("/").data
    assert page.index(FIRST_VIEW) < page.index(b"own.js")


@pytest.mark.parametrize("path", ["/get-artifact", "/ajax-api"])
def test_other_answers_stay_as_they_are(client, path):
    assert FIRST_VIEW not in client.get(path).data
