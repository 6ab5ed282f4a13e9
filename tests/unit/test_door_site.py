import pytest

from dagma.door import site

DAGSTER = {
    "DAGMA_HOST": "10.0.0.5",
    "DAGMA_PUBLIC_URL": "https://Dagma.example.org/x",
    "DAGMA_ALLOWED_HOSTS": "webserver, *.internal",
}


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost:3000", "localhost.", "127.0.0.1:3000", "127.8.9.1", "[::1]:3000"),
        *("10.0.0.5:3000", "dagma.example.org", "webserver:80", "a.b.internal"),
    ],
)
def test_it_answers_to_its_own_names(host):
    assert site.of_dagster(DAGSTER).answers_to(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "attacker.example", "10.attacker.example", "127.0.0.1.attacker.example", "internal"),
        *(
            "localhost.attacker.example",
            "10.0.0.6",
            "0.0.0.0",
            "[::2]",
            "x@localhost",
            "localhost,a",
        ),
        *("localhost:80:80", "[localhost]", "a internal", "localhost/a.internal", "2130706433"),
    ],
)
def test_it_answers_to_no_other_name(host):
    assert not site.of_dagster(DAGSTER).answers_to(host)


def test_on_all_addresses_it_answers_to_each_but_to_no_name():
    everywhere = site.of_dagster({"DAGMA_HOST": "0.0.0.0"})
    assert everywhere.answers_to("192.168.7.7:3000")
    assert everywhere.answers_to("[2001:db8::1]:3000")
    assert not everywhere.answers_to("192.attacker.example")


def test_pages_are_its_own_or_those_of_the_public_address():
    here = site.of_dagster(DAGSTER)
    assert here.has_pages_of("http://127.0.0.1:3000", "127.0.0.1:3000")
    assert here.has_pages_of("https://dagma.example.org", "127.0.0.1:3000")
    for origin in ("null", "http://127.0.0.1:5000", "https://webserver", "://", ""):
        assert not here.has_pages_of(origin, "127.0.0.1:3000")
    assert not site.of_dagster({}).has_pages_of("://", "127.0.0.1:3000")


def test_mlflow_keeps_its_own_two_settings():
    environ = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow:5000,tracking.example:*,[fd00::1]",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "https://*.example.org",
        "DAGMA_PUBLIC_URL": "https://dagma.example.org",
    }
    here = site.of_mlflow(environ)
    assert {"mlflow", "tracking.example", "fd00::1"} <= here.names
    assert here.has_pages_of("https://notes.example.org", "mlflow:5000")
    assert not here.has_pages_of("http://notes.example.org", "mlflow:5000")
    assert not site.of_mlflow(DAGSTER).has_pages_of("https://dagma.example.org", "mlflow:5000")
    assert site.of_mlflow({"MLFLOW_SERVER_ALLOWED_HOSTS": "*"}).answers_to("anything")
