from dagma.stack import environment, settings


def exports(tmp_path, services=("postgres", "mlflow"), **environ):
    loaded = settings.load({"DAGMA_HOME": str(tmp_path), **environ})
    return environment.of_services(loaded, services, environ)


def test_no_password_is_handed_to_the_services(tmp_path):
    made = exports(tmp_path, POSTGRES_PASSWORD="very-secret")
    assert not [name for name, value in made.items() if "very-secret" in value]


def test_the_webhook_is_handed_to_the_services_as_a_file(tmp_path):
    made = exports(tmp_path, DAGMA_WEBHOOK_URL="http://very-secret")
    assert made["DAGMA_WEBHOOK_URL_FILE"] == f"{tmp_path}/secrets/webhook_url"
    assert not [name for name, value in made.items() if "very-secret" in value]
    assert "DAGMA_WEBHOOK_URL_FILE" not in exports(tmp_path)


def test_links_lead_to_the_web_interface_unless_told_otherwise(tmp_path):
    assert exports(tmp_path)["DAGMA_PUBLIC_URL"] == "http://127.0.0.1:3000"
    assert exports(tmp_path, DAGMA_PUBLIC_URL="https://d.x")["DAGMA_PUBLIC_URL"] == "https://d.x"


def test_connection_urls_name_driver_and_password_file(tmp_path):
    url = exports(tmp_path)["DAGMA_POSTGRES_URL"]
    assert url == (
        f"postgresql+psycopg2://dagster@127.0.0.1:5432/dagster?passfile={tmp_path}/secrets/pgpass"
    )


def test_loopback_is_kept_off_the_proxy_and_what_was_there_stays(tmp_path):
    made = exports(tmp_path, NO_PROXY="corp.example", DAGMA_HOST="10.0.0.5")
    assert made["NO_PROXY"] == "corp.example,127.0.0.1,localhost,::1,10.0.0.5"
    assert made["no_proxy"] == made["no_grpc_proxy"] == "127.0.0.1,localhost,::1,10.0.0.5"


def test_variables_of_process_compose_are_not_inherited(tmp_path):
    assert "PC_PORT_NUM" not in exports(tmp_path, PC_PORT_NUM="1")


def test_own_servers_are_named_only_when_they_run_and_the_user_named_no_other(tmp_path):
    assert exports(tmp_path)["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert "MLFLOW_TRACKING_URI" not in exports(tmp_path, services=["postgres"])
    assert exports(tmp_path, MLFLOW_TRACKING_URI="http://x")["MLFLOW_TRACKING_URI"] == "http://x"
    assert "QDRANT_URL" not in exports(tmp_path)


def test_assets_track_where_there_is_an_mlflow_unless_the_user_says_otherwise(tmp_path):
    assert exports(tmp_path)["MLFLOW_USE_TRACKING"] == "true"
    assert exports(tmp_path, services=["postgres"])["MLFLOW_USE_TRACKING"] == "false"
    elsewhere = exports(tmp_path, services=["postgres"], MLFLOW_TRACKING_URI="http://x")
    assert elsewhere["MLFLOW_USE_TRACKING"] == "true"
    assert exports(tmp_path, MLFLOW_USE_TRACKING="no")["MLFLOW_USE_TRACKING"] == "false"
    assert exports(tmp_path)["MLFLOW_EXPERIMENT"] == "dagma"
    assert exports(tmp_path)["DAGMA_MLFLOW_UNREACHABLE"] == "stub"


def test_the_patience_of_mlflows_client_is_ours_unless_the_user_set_it(tmp_path):
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    assert exports(tmp_path)[name] == "4"
    assert exports(tmp_path, **{name: "7"})[name] == "7"


def test_on_all_addresses_this_machine_is_still_reached_over_loopback(tmp_path):
    made = exports(tmp_path, DAGMA_HOST="0.0.0.0")
    assert made["DAGMA_PROBE_HOST"] == "127.0.0.1"
    assert made["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"


def test_images_are_named_by_the_names_that_people_use(tmp_path):
    assert exports(tmp_path, USER_CODE_IMAGE="a:1")["DAGSTER_CURRENT_IMAGE"] == "a:1"
    both = {"USER_CODE_IMAGE": "a:1", "DAGSTER_CURRENT_IMAGE": "b:2"}
    assert exports(tmp_path, **both)["DAGSTER_CURRENT_IMAGE"] == "b:2"


def test_the_environment_wins_over_the_file_for_variables_of_the_products_too(tmp_path):
    (tmp_path / ".env").write_text("QDRANT__SERVICE__API_KEY=of the file\nMINE=of the file\n")
    environ = {"DAGMA_HOME": str(tmp_path), "QDRANT__SERVICE__API_KEY": "of the environment"}
    made = environment.of_services(settings.load(environ, tmp_path), ["qdrant"], environ)
    assert made["QDRANT__SERVICE__API_KEY"] == "of the environment"
    assert made["MINE"] == "of the file"


def test_what_is_exported_may_be_read_back_as_settings(tmp_path):
    first = settings.load({"DAGMA_HOME": str(tmp_path)})
    made = environment.exports(first, ["postgres", "mlflow"], {})
    again = settings.load(made | environment.client(first.settings))
    assert environment.exports(again, ["postgres", "mlflow"], made) == made
