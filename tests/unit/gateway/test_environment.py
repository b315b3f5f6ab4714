"""The settings of each coding tool, and writing them into the files that its user has already."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import ConfigError
from lastro.gateway.environment import (
    KEY_VARIABLE,
    CodingTool,
    FileForm,
    FileSettings,
    settings_for,
)
from lastro.gateway.environment_files import merged, write_settings

BASE = "http://127.0.0.1:8421"
KEY = "lastro-key-text"


def made(tool, *, model="auto", home="/home/me", base_url=BASE, **variables):
    return settings_for(
        CodingTool(tool), base_url=base_url, key=KEY, model=model, home=home, variables=variables
    )


def read(file):
    """The values as the tool's own reader sees them."""
    text = merged(file, "")
    return tomllib.loads(text) if file.form is FileForm.TOML else json.loads(text)


# What each tool was seen to take, with the dialect, key and model that then arrived (docs/gateway.md says which versions).


def test_codex_asks_in_responses():
    settings = made("codex")
    (file,) = settings.files
    assert file.path == "/home/me/.codex/config.toml"
    assert read(file) == {
        "model": "auto",
        "model_provider": "lastro",
        "model_providers": {
            "lastro": {
                "name": "Lastro",
                "base_url": f"{BASE}/v1",
                "env_key": KEY_VARIABLE,
                "wire_api": "responses",
            }
        },
    }
    assert settings.variables == {KEY_VARIABLE: KEY}


def test_claude_asks_in_messages():
    settings = made("claude", model="anthropic/claude")
    (file,) = settings.files
    assert file.path == "/home/me/.claude/settings.json"
    values = read(file)
    assert values["env"]["ANTHROPIC_BASE_URL"] == BASE
    assert {name: value for name, value in values["env"].items() if name.endswith("MODEL")} == {
        "ANTHROPIC_MODEL": "anthropic/claude",
        "ANTHROPIC_DEFAULT_OPUS_MODEL": "anthropic/claude",
        "ANTHROPIC_DEFAULT_SONNET_MODEL": "anthropic/claude",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "anthropic/claude",
    }
    assert settings.complete
    assert settings.environment == {**values["env"], "ANTHROPIC_AUTH_TOKEN": KEY}
    helper = subprocess.run(
        ["sh", "-c", values["apiKeyHelper"]], env=dict(settings.variables), capture_output=True, check=True
    )
    assert helper.stdout == KEY.encode()


def test_gemini_asks_in_its_own_dialect_and_keeps_auto_from_its_own_meaning():
    settings = made("gemini")
    (file,) = settings.files
    assert file.path == "/home/me/.gemini/settings.json"
    assert read(file) == {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "model": {"name": "lastro/auto"},
    }
    assert settings.variables == {"GOOGLE_GEMINI_BASE_URL": BASE, "GEMINI_API_KEY": KEY}
    assert (
        read(made("gemini", model="google/gemini-2.5-pro").files[0])["model"]["name"]
        == "google/gemini-2.5-pro"
    )


def test_opencode_asks_in_chat():
    (file,) = made("opencode", model="openai/gpt-5").files
    assert file.path == "/home/me/.config/opencode/opencode.json"
    values = read(file)
    assert (values["model"], values["small_model"]) == ("lastro/openai/gpt-5", "lastro/openai/gpt-5")
    provider = values["provider"]["lastro"]
    assert provider["npm"] == "@ai-sdk/openai-compatible"
    assert provider["options"] == {"baseURL": f"{BASE}/v1", "apiKey": "{env:LASTRO_GATEWAY_KEY}"}
    assert list(provider["models"]) == ["openai/gpt-5"]


def test_openclaw_asks_in_chat():
    (file,) = made("openclaw").files
    assert file.path == "/home/me/.openclaw/openclaw.json"
    values = read(file)
    provider = values["models"]["providers"]["lastro"]
    assert provider["baseUrl"] == f"{BASE}/v1"
    assert provider["apiKey"] == "${LASTRO_GATEWAY_KEY}"
    assert provider["api"] == "openai-completions"
    assert values["agents"]["defaults"]["model"]["primary"] == "lastro/auto"


def test_aider_asks_in_chat_from_the_environment_alone():
    settings = made("aider")
    assert (settings.files, settings.complete) == ((), True)
    assert settings.environment["OPENAI_API_BASE"] == f"{BASE}/v1"
    assert settings.environment["OPENAI_API_KEY"] == KEY
    assert settings.environment["AIDER_MODEL"] == "openai/auto"


@pytest.mark.parametrize("tool", CodingTool)
@pytest.mark.parametrize("base_url", [BASE, BASE + "/", BASE + "/v1", BASE + "/v1/"])
def test_the_address_may_be_given_with_its_version_and_the_key_is_in_no_file(tool, base_url):
    settings = made(tool, base_url=base_url)
    assert settings == made(tool)
    assert KEY not in "".join(merged(file, "") for file in settings.files)
    assert KEY in settings.environment.values()
    assert KEY in settings.variables.values()


@pytest.mark.parametrize(
    ("tool", "variable"),
    [
        ("codex", "CODEX_HOME"),
        ("claude", "CLAUDE_CONFIG_DIR"),
        ("gemini", "GEMINI_CLI_HOME"),
        ("opencode", "XDG_CONFIG_HOME"),
        ("openclaw", "OPENCLAW_STATE_DIR"),
    ],
)
def test_files_are_where_the_tool_was_told_to_look(tool, variable):
    assert made(tool, **{variable: "/elsewhere/"}).files[0].path.startswith("/elsewhere/")
    assert made(tool, **{variable: "relative"}).files[0].path.startswith("/home/me/")


# Merging ------------------------------------------------------------------------------------------------------------------------------

NAMES = st.text("abcd", min_size=1, max_size=3)
SCALARS = st.booleans() | st.integers(-5, 5) | st.text("xyz é\"'", max_size=4)
TREES = st.recursive(
    st.dictionaries(NAMES, SCALARS, max_size=3),
    lambda inner: st.dictionaries(NAMES, SCALARS | inner, max_size=3),
    max_leaves=8,
)


def put(old, values):
    """What merging means: the model."""
    result = dict(old)
    for name, value in values.items():
        if isinstance(value, dict):
            if not isinstance(result.get(name, {}), dict):
                raise TypeError(name)
            result[name] = put(result.get(name, {}), value)
        else:
            result[name] = value
    return result


@given(TREES, TREES, st.sampled_from(FileForm))
def test_merging_changes_what_it_says_and_nothing_else(old, values, form):
    text = tomlkit.dumps(old) if form is FileForm.TOML else json.dumps(old)
    file = FileSettings(path="/f", form=form, values=values)
    try:
        expected = put(old, values)
    except TypeError:
        with pytest.raises(ConfigError, match="/f cannot be changed"):
            merged(file, text)
        return
    new = merged(file, text)
    assert (tomllib.loads(new) if form is FileForm.TOML else json.loads(new)) == expected
    assert merged(file, new) == new


def test_comments_of_toml_and_the_indent_of_json_stay(tmp_path):
    home = str(tmp_path)
    codex, opencode = made("codex", home=home), made("opencode", home=home)
    os.makedirs(f"{home}/.codex")
    own = '# mine\nmodel = "gpt-5" # best\n\n[mcp_servers.x] # tools\ncommand = "y"\n'
    path = tmp_path / ".codex" / "config.toml"
    path.write_text(own)
    os.chmod(path, 0o640)
    (written,) = write_settings(codex)
    assert written.changed
    text = path.read_text()
    assert text.startswith('# mine\nmodel = "auto" # best\n')
    assert '[mcp_servers.x] # tools\ncommand = "y"\n' in text
    assert os.stat(path).st_mode & 0o777 == 0o640
    backup = tmp_path / ".codex" / "config.toml.before-lastro"
    assert (written.backup, backup.read_text()) == (str(backup), own)
    assert os.stat(backup).st_mode & 0o777 == 0o640
    again = write_settings(codex)
    assert [(one.changed, one.backup) for one in again] == [(False, "")]
    path.write_text(own)
    assert write_settings(codex)[0].backup == f"{path}.before-lastro.2"

    os.makedirs(f"{home}/.config/opencode")
    path = tmp_path / ".config" / "opencode" / "opencode.json"
    path.write_text('{\n\t"theme": "dark"\n}\n')
    write_settings(opencode)
    assert path.read_text().startswith('{\n\t"theme": "dark",\n\t"$schema"')


def test_new_files_are_their_owners_alone_and_links_stay_links(tmp_path):
    home = str(tmp_path)
    os.makedirs(f"{home}/dotfiles")
    os.makedirs(f"{home}/.claude")
    os.symlink(f"{home}/dotfiles/claude.json", f"{home}/.claude/settings.json")
    (written,) = write_settings(made("claude", home=home))
    assert os.path.islink(f"{home}/.claude/settings.json")
    assert (written.path, written.backup) == (f"{home}/dotfiles/claude.json", "")
    assert os.stat(written.path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("tool", "path", "text"),
    [
        ("claude", ".claude/settings.json", '{"a": 1} // mine'),
        ("claude", ".claude/settings.json", "[]"),
        ("claude", ".claude/settings.json", '{"env": "x"}'),
        ("claude", ".claude/settings.json", b"\xff"),
        ("codex", ".codex/config.toml", "a ="),
        ("codex", ".codex/config.toml", "model_providers = 3"),
    ],
)
def test_a_file_that_cannot_be_understood_is_left_alone(tmp_path, tool, path, text):
    file = tmp_path / path
    file.parent.mkdir()
    raw = text if isinstance(text, bytes) else text.encode()
    file.write_bytes(raw)
    with pytest.raises(ConfigError, match="cannot be changed") as raised:
        write_settings(made(tool, home=str(tmp_path)))
    assert "by hand" in raised.value.hint_text
    assert file.read_bytes() == raw
    assert os.listdir(file.parent) == [file.name]
