import pwd

import pytest

from dagma.stack import access
from dagma.stack.settings import Settings

ME = 1000


def account(name: str, uid: int, shell: str) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, uid, "", "/", shell))


SYSTEM = [
    account("root", 0, "/bin/bash"),
    account("sync", 4, "/bin/sync"),
    account("postgres", 101, "/bin/bash"),
    account("nobody", 65534, "/usr/sbin/nologin"),
    account("me", ME, "/bin/bash"),
]


@pytest.mark.parametrize(
    ("more", "others"),
    [
        ([], False),
        ([account("service", 1001, "/usr/sbin/nologin")], False),
        ([account("service", 1001, "/bin/false")], False),
        ([account("container", 100000, "/bin/sh")], False),
        ([account("ann", 1001, "/bin/zsh")], True),
        ([account("ann", 1001, "")], True),  # passwd(5): then it is /bin/sh
    ],
)
def test_other_people_are_accounts_with_a_shell(tmp_path, more, others):
    assert access.others_log_in(ME, lambda: [*SYSTEM, *more], tmp_path / "none") == others


def test_to_root_everybody_else_is_another(tmp_path):
    assert access.others_log_in(0, lambda: SYSTEM, tmp_path / "none")


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ("passwd: files systemd", False),
        ("passwd: files [NOTFOUND=return] systemd # sss", False),
        ("passwd:files sss", True),
        ("passwd:  compat ldap", True),
        ("hosts: files sss", False),
    ],
)
def test_a_directory_service_stands_for_people_that_no_list_shows(tmp_path, line, others):
    (tmp_path / "nsswitch.conf").write_text(f"# comment\n{line}\n")
    assert access.others_log_in(ME, lambda: SYSTEM, tmp_path / "nsswitch.conf") == others


@pytest.mark.parametrize(
    ("values", "others", "needed"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"DAGMA_HOST": "127.0.0.2"}, False, False),
        ({"DAGMA_HOST": "0.0.0.0"}, False, True),
        ({"DAGMA_TOKEN": "on"}, False, True),
        ({"DAGMA_TOKEN": "off", "DAGMA_HOST": "0.0.0.0"}, True, False),
    ],
)
def test_the_token_is_needed_where_others_can_ask(monkeypatch, values, others, needed):
    monkeypatch.setattr(access, "others_log_in", lambda *_: others)
    assert access.needs_token(Settings.model_validate(values)) == needed
