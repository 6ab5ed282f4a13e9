import os
import signal

from live_stack import wait_for

LOCATION = """
query { workspaceOrError { ... on Workspace { locationEntries { name loadStatus
  locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


def location(stack):
    [entry] = stack.graphql(LOCATION)["workspaceOrError"]["locationEntries"]
    return entry["name"], entry["locationOrLoadError"]["__typename"]


def test_the_code_location_is_loaded_as_soon_as_the_stack_is_up(stack):
    assert location(stack) == ("dagma", "RepositoryLocation")


def test_killed_it_comes_back_and_the_webserver_loads_it_again(stack):
    before = stack.wait_healthy("user_code", 30)
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: stack.status()["user_code"]["restarts"] > before["restarts"], 30, "a restart")
    assert stack.wait_healthy("user_code", 30)["pid"] != before["pid"]
    wait_for(lambda: location(stack) == ("dagma", "RepositoryLocation"), 30, "the location")


def test_it_is_a_code_server_that_can_reload(stack):
    answer = stack.graphql(
        'mutation { reloadRepositoryLocation(repositoryLocationName: "dagma") { __typename } }'
    )
    assert answer["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
