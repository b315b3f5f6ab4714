"""Every form of a secret that is looked for, planted in text as people and programs write it, and what looks like one and is none.

Nothing here is anybody's secret: all are drawn at random when the test runs.
"""

import json
import random
import string

import pytest

from tests.unit.gateway.redaction.redactors import redactor

_RANDOM = random.Random(20261120)
_LETTERS = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_BASE64 = _LETTERS + "+/"
_URL64 = _LETTERS + "_-"


def drawn(length, alphabet=_LETTERS):
    return "".join(_RANDOM.choices(alphabet, k=length))


def _pem(kind):
    lines = "\n".join(drawn(64, _BASE64) for _ in range(12))
    return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n", lines


FORMS = {
    "aws-key-id": "AKIA" + drawn(16, string.ascii_uppercase + "234567"),
    "aws-session-key-id": "ASIA" + drawn(16, string.ascii_uppercase + "234567"),
    "google-api-key": "AIza" + drawn(34, _URL64) + "x",
    "google-oauth": "ya29." + drawn(60, _URL64),
    "google-client": "GOCSPX-" + drawn(28, _LETTERS),
    "azure-client-secret": drawn(3) + "8Q~" + drawn(33),
    "digitalocean": "dop_v1_" + drawn(64, _HEX),
    "github": "ghp_" + drawn(36),
    "github-server": "ghs_" + drawn(36),
    "github-fine": "github_pat_" + drawn(22) + "_" + drawn(59),
    "gitlab": "glpat-" + drawn(20),
    "atlassian": "ATATT3" + drawn(180, _URL64) + "=" + drawn(8),
    "npm": "npm_" + drawn(36),
    "pypi": "pypi-AgEIcHlwaS5vcmc" + drawn(120, _URL64) + "x",
    "rubygems": "rubygems_" + drawn(48, _HEX),
    "docker": "dckr_pat_" + drawn(27),
    "anthropic": "sk-ant-api03-" + drawn(93, _URL64) + "AA",
    "openai-project": "sk-proj-" + drawn(120, _URL64) + "x",
    "openai-old": "sk-" + drawn(48),
    "openrouter": "sk-or-v1-" + drawn(64, _HEX),
    "hugging-face": "hf_" + drawn(34),
    "groq": "gsk_" + drawn(52),
    "xai": "xai-" + drawn(80),
    "nvidia": "nvapi-" + drawn(64),
    "lastro": "lastro-" + drawn(43),
    "slack-bot": f"xoxb-{drawn(12, string.digits)}-{drawn(12, string.digits)}-{drawn(24)}",
    "slack-app": f"xapp-1-A{drawn(10)}-{drawn(12, string.digits)}-{drawn(64, _HEX)}",
    "stripe": "sk_live_" + drawn(24),
    "stripe-hook": "whsec_" + drawn(32),
    "sendgrid": f"SG.{drawn(22)}.{drawn(43)}",
    "telegram": f"{drawn(9, '123456789')}:AA{drawn(32)}x",
    "mailchimp": drawn(32, _HEX) + "-us14",
    "shopify": "shpat_" + drawn(32, _HEX),
    "grafana": f"glsa_{drawn(32)}_{drawn(8, _HEX)}",
    "databricks": "dapi" + drawn(32, _HEX),
    "vault": "hvs." + drawn(90, _LETTERS),
    "terraform": f"{drawn(14)}.atlasv1.{drawn(67)}",
    "tailscale": f"tskey-auth-{drawn(17)}-{drawn(32)}",
    "age": "AGE-SECRET-KEY-1" + drawn(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
    "json-web-token": f"eyJ{drawn(33)}.eyJ{drawn(80)}.{drawn(43)}",
    "bcrypt": "$2b$12$" + drawn(53, _LETTERS),
    "sha512-crypt": f"$6${drawn(16)}${drawn(86)}",
}
SENTENCES = (
    "{}",
    "use {} for it",
    "KEY={}\nNEXT=1",
    'client = Client("{}")',
    "a: '{}',",
    "curl -H 'X-Auth: {}' https://example.org/x",
    '{{"k": "{}"}}',
    "<v>{}</v>",
)

VALUE = drawn(6) + "7" + drawn(25)
PLAIN = "hunter2" + drawn(3)
CONTEXTS = {
    "env": ("DB_PASSWORD={}\n", PLAIN),
    "env-letters": ("A=1\nDB_PASSWORD={}\nB=2\n", "correcthorsebattery"),
    "export": ("export MYSQL_PWD={}", PLAIN),
    "yaml": ("database:\n  password: {}\n  host: db\n", PLAIN),
    "yaml-quoted": ('password: "{}"', PLAIN),
    "toml": ('api_key = "{}"', VALUE),
    "python": ('connect(host, password="{}")', PLAIN),
    "annotated": ('password: str = "{}"', PLAIN),
    "javascript": ("const clientSecret = '{}';", PLAIN),
    "json-in-text": ('```json\n{{"password": "{}"}}\n```', PLAIN),
    "xml": ("<password>{}</password>", PLAIN),
    "option": ("mysql --password {} -h db", PLAIN),
    "option-equals": ("psql --password={} -h db", PLAIN),
    "aws-secret": ("aws_secret_access_key = {}", drawn(20, _BASE64) + "9" + drawn(19, _BASE64)),
    "url": ("postgres://app:{}@db.example.org:5432/app", PLAIN),
    "url-odd": ("DATABASE_URL=mysql://root:{}@10.0.0.5/x", "p%40ss:w0rd!"),
    "redis": ("redis://:{}@cache:6379/0", PLAIN),
    "bearer": ("Authorization: Bearer {}", VALUE),
    "bearer-curl": ('curl -H "Authorization: Bearer {}" https://example.org', VALUE),
    "basic": ("Authorization: Basic {}", "dXNlcjpodW50ZXIyaHVudGVyMg=="),
    "token-header": ('headers = {{"Authorization": "token {}"}}', VALUE),
    "curl-user": ("curl -u admin:{} https://example.org", PLAIN),
    "pgpass-short": ("h:5432:a:b:{}", "pw1x"),
    "pgpass": ("db.example.org:5432:app:admin:{}", PLAIN),
    "netrc": ("machine example.org login me password {}", PLAIN),
    "ado": ("Server=db;Database=x;User Id=sa;Password={};Encrypt=True", PLAIN),
    "npmrc": ("//registry.example.org/:_authToken={}", VALUE),
    "azure-storage": ("AccountName=x;AccountKey={};EndpointSuffix=y", drawn(86, _BASE64) + "=="),
    "wireguard": ("[Interface]\nPrivateKey = {}\n", drawn(20, _BASE64) + "1" + drawn(22, _BASE64) + "="),
    "token": ("API_TOKEN={}", VALUE),
    "prose": ("the API key is {} and works", VALUE),
    "prose-secret": ("Here is my secret: {}", VALUE),
    "cookie": ("Cookie: theme=dark; sid={}", VALUE),
    "set": ('config.set("client_secret", "{}")', PLAIN),
    "docker": ("docker run -e POSTGRES_PASSWORD={} postgres", PLAIN),
    "query": ("GET /x?api_key={}&page=2", VALUE),
    "ruby": (":password => '{}'", PLAIN),
    "escaped": ('f.write("password=\\"{}\\"")', PLAIN),
}
NAMES = (
    "password",
    "db_password",
    "clientSecret",
    "api_key",
    "APIKey",
    "secret",
    "private_key",
    "spring.datasource.password",
)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_secret_of_a_known_form_does_not_leave(name, sentence):
    body = json.dumps({"messages": [{"content": sentence.format(FORMS[name])}]}).encode()
    redacted = redactor().redact(body)
    assert FORMS[name].encode() not in redacted.body
    assert redacted.count == 1
    assert json.loads(redacted.restore(redacted.body.decode())) == json.loads(body)


@pytest.mark.parametrize("name", CONTEXTS)
def test_what_is_called_a_secret_does_not_leave(name):
    sentence, value = CONTEXTS[name]
    body = json.dumps({"messages": [{"content": "Look:\n" + sentence.format(value)}]}).encode()
    redacted = redactor().redact(body)
    assert value.encode() not in redacted.body, redacted.body
    # Its surroundings stay: the name, the quotation marks, the host.
    placeholder = json.loads(redacted.body)["messages"][0]["content"].split("LASTRO_SECRET_")[1][:10]
    assert redacted.body.decode() == json.dumps(
        {"messages": [{"content": "Look:\n" + sentence.format("LASTRO_SECRET_" + placeholder)}]}
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_value_of_a_key_that_names_a_secret_does_not_leave(name):
    body = json.dumps({"input": {name: PLAIN, "path": "README.md"}}).encode()
    assert PLAIN.encode() not in redactor().redact(body).body


@pytest.mark.parametrize(
    "kind",
    ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"],
)
@pytest.mark.parametrize("quoted", [False, True])
def test_no_line_of_a_private_key_leaves(kind, quoted):
    text, lines = _pem(kind)
    content = json.dumps({"private_key": text}) if quoted else f"cat key\n{text}done"
    for written in (content, f"x = {content}"):
        redacted = redactor().redact(json.dumps({"content": written}).encode())
        assert not any(line.encode() in redacted.body for line in lines.split("\n"))
        assert b"BEGIN" in redacted.body


def test_a_private_key_whose_end_is_cut_off_does_not_leave():
    text, lines = _pem("RSA PRIVATE KEY")
    redacted = redactor().redact(json.dumps({"content": text[:500]}).encode())
    assert lines.split("\n")[0].encode() not in redacted.body
    assert lines.split("\n")[5].encode() not in redacted.body


HARMLESS = {
    "commit": "commit " + drawn(40, _HEX) + "\n\n    token: read it once\n",
    "uuid": "session_id: 6f1c2b9e-8f5e-4d0b-9a55-0f3b1c9d7e11",
    "lock": f"cryptography==50.0.2 \\\n    --hash=sha256:{drawn(64, _HEX)}",
    "integrity": f'"integrity": "sha512-{drawn(86, _BASE64)}=="',
    "variable": "password=$DB_PASSWORD and token=${TOKEN} and secret: {{ vault.secret }}",
    "python": "password = get_password(user)\ntoken = self.token\nsecret=os.environ['SECRET']\npassword: str | None = None",
    "names": "token_count = 200000\nmax_tokens: 4096\nnext_token=page_token\npassword_field='login_password'",
    "prose": "Please enter the password: it must be long. The secret: work hard. Bearer authentication is used.",
    "translation": '{"password": "Your password", "token": "Session token"}',
    "css": ".sk-toggleable__label-arrow-with-a-long-name-that-goes-on { color: red }",
    "version": "pwd: 1.2.3\nkey: value\napi_key: null\npassword: true",
    "typescript": "function login(password: string, token: string): Promise<Session> {",
    "public": "-----BEGIN PUBLIC KEY-----\n" + drawn(64, _BASE64) + "\n-----END PUBLIC KEY-----",
    "ids": "call_" + drawn(24) + " toolu_01" + drawn(22) + " msg_" + drawn(24),
    "placeholder": "password=LASTRO_SECRET_abcdefghij",
    "image": "data:image/png;base64,iVBORw0KGgo" + drawn(4000, _BASE64),
    "marker": "if '-----BEGIN RSA PRIVATE KEY-----' in text:\n    return read(text, end='-----END RSA PRIVATE KEY-----')",
    "address": "https://example.org:8443/path?x=1#y and git@github.com:owner/name.git and http://user:${PASS}@host/",
    "stars": "password=******** api_key=xxxxxxxxxxxxxxxx secret=<your-secret-here>",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_only_looks_like_a_secret_stays(name):
    body = json.dumps({"messages": [{"content": HARMLESS[name]}]}).encode()
    assert redactor().redact(body).body == body


def test_keys_with_harmless_names_or_values_stay():
    # What would be a secret anywhere else: in so many random characters it comes up by chance.
    sealed = f"{drawn(500, _BASE64)}+{FORMS['aws-key-id']}/{drawn(99, _BASE64)}"
    body = json.dumps(
        {
            "model": "gpt-5-codex-2026-01-01-preview",
            "max_tokens": 5,
            "tool_choice": "auto",
            "prompt_cache_key": "6f1c2b9e-8f5e-4d0b-9a55-0f3b1c9d7e11",
            "properties": {"password": {"type": "string", "description": "The user's password"}},
            "required": ["password", "api_key", "token"],
            "token": "hello",
            "key": drawn(40, _HEX),
            "id": "toolu_01" + drawn(22),
            "signature": sealed,
            "encrypted_content": sealed,
            "data": "/9j/" + sealed,
            "url": "data:image/png;base64," + sealed,
        }
    ).encode()
    assert redactor().redact(body).body == body
