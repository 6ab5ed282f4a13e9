import pytest

from dagma.stack import graphql, location, settings

#: What PyYAML says of a file that Dagster itself reads, a `defs.yaml`.
OF_YAML = 'while scanning a simple key\n  in "/a b/defs.yaml", line 3, column 1:\n    x\n    ^\n'
OF_YAML += "could not find expected ':'\n  in \"/a b/defs.yaml\", line 4, column 1:\n    y\n    ^\n"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("ValueError: boom\n", "ValueError: boom"),
        (OF_YAML, 'while scanning a simple key, in "/a b/defs.yaml", line 4'),
        ("", "no reason given"),
    ],
)
def test_the_line_about_code_that_does_not_load_has_reason_and_place(monkeypatch, message, shown):
    error = {"__typename": "PythonError", "message": "Error loading", "causes": []}
    error["causes"] = [{"message": message}]
    entries = [{"locationOrLoadError": error}]
    answer = {"workspaceOrError": {"locationEntries": entries}}
    monkeypatch.setattr(graphql, "ask", lambda *_: answer)
    said = location.problem(settings.Settings())
    assert f" does not load: {shown}; details at " in said
    assert "\n" not in said
