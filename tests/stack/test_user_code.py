import os
import signal
from contextlib import suppress

import psutil
from live_stack import a_stack
from platform_client import free_ports, wait_for


def test_the_code_location_is_loaded_as_soon_as_the_stack_is_up(stack):
    assert stack.location_is_loaded()


def test_killed_it_comes_back_and_the_webserver_loads_it_again(stack):
    before = stack.wait_healthy("user_code", 30)
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: stack.status()["user_code"]["restarts"] > before["restarts"], 30, "a restart")
    assert stack.wait_healthy("user_code", 30)["pid"] != before["pid"]
    wait_for(stack.location_is_loaded, 30, "the location")


def test_when_only_the_process_that_has_loaded_the_code_is_killed_it_is_started_again(stack):
    before = stack.wait_healthy("user_code", 30)
    children = psutil.Process(before["pid"]).children()
    [loaded] = [child for child in children if {"api", "grpc"} <= set(child.cmdline())]
    loaded.kill()
    wait_for(lambda: stack.status()["user_code"]["restarts"] > before["restarts"], 60, "a restart")
    assert stack.wait_healthy("user_code", 30)["pid"] != before["pid"]
    # What the webserver shows may still be the code of before; while it loads the new one, it refuses.
    stack.wait_for_success(wait_for(lambda: launched(stack), 30, "a launch"))


def launched(stack):
    with suppress(AssertionError):
        return stack.launch_numbers()
    return None


def test_on_a_port_when_it_is_asked_for_and_on_loopback_only():
    [port] = free_ports(1)
    with a_stack(USER_CODE_PORT=str(port)) as live:
        live.dagma("up", "-d", "minimal")
        assert live.location_is_loaded()
        assert live.status()["user_code"]["url"] == f"grpc://127.0.0.1:{port}"
        links = psutil.Process(live.status()["user_code"]["pid"]).net_connections("tcp")
        listens = [link.laddr for link in links if link.status == psutil.CONN_LISTEN]
        assert {(at.ip.removeprefix("::ffff:"), at.port) for at in listens} == {("127.0.0.1", port)}
        live.dagma("down")
        del live.settings["USER_CODE_PORT"]
        live.dagma("up", "-d", "minimal")
        assert live.location_is_loaded()
        live.wait_for_success(live.launch_numbers())


def test_it_is_a_code_server_that_can_reload(stack):
    answer = stack.graphql(
        'mutation { reloadRepositoryLocation(repositoryLocationName: "dagma") { __typename } }'
    )
    assert answer["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
