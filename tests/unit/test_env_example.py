from pathlib import Path

from dagma.stack import fields, settings

ROOT = Path(__file__).parents[2]


def rendered() -> str:
    """What .env.example must be; `python tests/unit/test_env_example.py` writes it."""
    lines = [
        "# Settings of Dagma: copy to .env and take the # away from what you change.",
        "# The environment wins over .env. Values are literal: $ has no meaning.",
    ]
    for name, info in settings.table().items():
        computed = (info.json_schema_extra or {}).get("shown")
        default = f" Default: {computed}." if computed else ""
        value = "" if computed else settings.shown_default(info)
        lines += ["", f"# {info.description}{default}", f"#{name}={value}"]
    return "\n".join(lines) + "\n"


def test_env_example_holds_every_setting_with_its_default():
    assert (ROOT / ".env.example").read_text() == rendered()


def test_env_example_with_all_simple_lines_taken_in_is_valid(tmp_path):
    lines = (ROOT / ".env.example").read_text().splitlines()
    active = [
        line[1:] for line in lines if line[:1] == "#" and line[1:2] != " " and line[-1] != "="
    ]
    (tmp_path / ".env").write_text("\n".join(active))
    loaded = settings.load({}, tmp_path)
    assert loaded.settings == settings.load({}, tmp_path / "none").settings
    assert not loaded.extra


def taken(name: str) -> str:
    """How the documentation says who takes a changed setting."""
    services = settings.taken_by(name)
    words = {fields.AT_ONCE: "at once", fields.STACK: "`down`, `up`"}
    return words.get(services, ", ".join(services))


def test_every_setting_is_documented_with_its_default_and_when_it_takes_effect():
    text = (ROOT / "docs/settings.md").read_text()
    for name, info in settings.table().items():
        row = (f"`{name}`", settings.shown_default(info), info.description, taken(name))
        assert f"| {' | '.join(row)} |" in text, name


if __name__ == "__main__":
    (ROOT / ".env.example").write_text(rendered())
