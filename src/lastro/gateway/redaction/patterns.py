"""Secrets that show by their form: the kept set of patterns.

Each pattern names the literal text (a needle) without which it cannot match. A text is cut to its long words, these are searched for
all needles at once, and only a pattern whose needle is there runs, over the whole text. What always holds: every expression takes linear
time (repetitions are bounded, or over a class that what follows does not share), and its group 1 is the secret. A new form is one line
here, and one in its test.

Our own instead of a library: detect-secrets 1.5 (Apache-2.0) reads line by line, says no positions, imports ``requests``, and was last
released in 2024; gitleaks' and trufflehog's rules need another engine for expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_BEFORE: Final = r"(?<![A-Za-z0-9])"
_AFTER: Final = r"(?![A-Za-z0-9])"
_WORD: Final = r"[A-Za-z0-9_\-]"


class Pattern(NamedTuple):
    """One form of a secret. ``needles``: at least one of them is in every text that matches."""

    name: str
    needles: tuple[str, ...]
    expression: re.Pattern[str]


def _prefixed(name: str, prefixes: str, body: str, *, after: str = _AFTER) -> Pattern:
    """A secret that begins with one of ``prefixes`` (words), which are its needles, and goes on as ``body``."""
    needles = tuple(prefixes.split())
    choice = "|".join(re.escape(each) for each in needles)
    return Pattern(name, needles, re.compile(f"{_BEFORE}((?:{choice}){body}){after}"))


def _written(name: str, needles: str, expression: str) -> Pattern:
    return Pattern(name, tuple(needles.split()), re.compile(expression, re.MULTILINE))


PATTERNS: Final[tuple[Pattern, ...]] = (
    # Clouds
    _prefixed("aws-key-id", "AKIA ASIA ABIA ACCA", r"[A-Z2-7]{16}"),
    _prefixed("aws-bedrock", "ABSK bedrock-api-key-", r"[A-Za-z0-9+/=]{60,400}"),
    _prefixed("google-api-key", "AIza", r"[A-Za-z0-9_\-]{35}", after=r"(?![A-Za-z0-9_\-])"),
    _prefixed("google-oauth", "ya29. GOCSPX- 1//0", r"[A-Za-z0-9_\-]{24,2048}"),
    _written(
        "azure-account-key",
        "AccountKey= SharedAccessKey=",
        r"(?:Account|SharedAccess)Key=([A-Za-z0-9+/]{40,100}={0,2})",
    ),
    _written(
        "azure-client-secret",
        "Q~",
        r"(?<![A-Za-z0-9_~.\-])([A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.\-]{31,34})(?![A-Za-z0-9_~\-])",
    ),
    _written("azure-signature", "sig=", r"[?&;]sig=([A-Za-z0-9%+/]{40,120}={0,2})"),
    _written("azure-devops", "AZDO", r"(?<![A-Za-z0-9])([A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4})(?![A-Za-z0-9])"),
    _prefixed("digitalocean", "dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{64}"),
    _prefixed("alibaba-key-id", "LTAI", r"[A-Za-z0-9]{17,21}"),
    _prefixed("cloudflare-origin", "v1.0-", r"[a-f0-9]{24}-[a-f0-9]{146}"),
    # Places where code lies
    _prefixed("github", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9_]{36,255}"),
    _prefixed("github-fine", "github_pat_", r"[A-Za-z0-9_]{22,255}"),
    _prefixed(
        "gitlab",
        "glpat- gldt- glrt- glcbt- glptt- glft- glimt- glagent- gloas- glsoat- glwt- glffct-",
        r"[A-Za-z0-9_\-.]{20,300}",
    ),
    _prefixed("bitbucket-atlassian", "ATATT3 ATBB ATCTT3", r"[A-Za-z0-9_\-=.]{28,400}"),
    _prefixed("npm", "npm_", r"[A-Za-z0-9]{36}"),
    _prefixed("pypi", "pypi-AgE", r"[A-Za-z0-9_\-]{50,1000}"),
    _prefixed("rubygems", "rubygems_", r"[a-f0-9]{48}"),
    _prefixed("crates", "cio", r"[A-Za-z0-9]{32}"),
    _prefixed("docker", "dckr_pat_ dckr_oat_", r"[A-Za-z0-9_\-]{20,100}"),
    # Models
    _prefixed(
        "anthropic-openai", "sk-ant- sk-proj- sk-svcacct- sk-admin- sk-or-v1- sk-lf-", _WORD + "{16,300}"
    ),
    _prefixed("openai", "sk-", r"[A-Za-z0-9]{32,200}", after=r"(?![A-Za-z0-9_\-])"),
    _prefixed("hugging-face", "hf_ api_org_", r"[A-Za-z0-9]{30,60}"),
    _prefixed("model-providers", "gsk_ xai- pplx- csk- r8_ tgp_v1_", _WORD + "{35,200}"),
    _prefixed("nvidia", "nvapi-", _WORD + "{60,100}"),
    _prefixed("lastro", "lastro-", r"[A-Za-z0-9]{40,48}"),
    # Services
    _prefixed(
        "slack",
        "xoxa- xoxb- xoxe- xoxe. xoxo- xoxp- xoxr- xoxs- xoxc- xoxd- xapp-",
        r"[A-Za-z0-9\-.%]{10,300}",
    ),
    _written(
        "slack-hook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9_/]{20,200})",
    ),
    _written("discord-hook", "/api/webhooks/", r"/api/webhooks/\d{15,21}/([A-Za-z0-9_\-]{50,100})"),
    _written("telegram", ":AA", r"(?<![A-Za-z0-9])(\d{8,10}:AA[A-Za-z0-9_\-]{33})(?![A-Za-z0-9_\-])"),
    _prefixed("stripe", "sk_live_ sk_test_ rk_live_ rk_test_ whsec_", r"[A-Za-z0-9+/=]{16,250}"),
    _prefixed("sendgrid", "SG.", r"[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}"),
    _prefixed("mailgun", "key-", r"[a-f0-9]{32}"),
    _written("mailchimp", "-us", r"(?<![A-Za-z0-9])([a-f0-9]{32}-us\d{1,2})(?![A-Za-z0-9])"),
    _prefixed("twilio", "SK", r"[a-f0-9]{32}"),
    _prefixed("square", "sq0atp- sq0csp- sq0idp- EAAA", _WORD + "{22,80}"),
    _prefixed("shopify", "shpat_ shpca_ shppa_ shpss_", r"[a-fA-F0-9]{32}"),
    _prefixed("grafana", "glsa_ glc_", r"[A-Za-z0-9+/_]{32,400}={0,2}"),
    _prefixed("new-relic", "NRAK-", r"[A-Z0-9]{27}"),
    _prefixed("sentry", "sntrys_ sntryu_", r"[A-Za-z0-9+/=_\-]{40,500}"),
    _prefixed("databricks", "dapi", r"[a-f0-9]{32}(?:-\d)?"),
    _prefixed("hashicorp", "hvs. hvb. hvr.", _WORD + "{24,300}"),
    _written(
        "terraform", ".atlasv1.", r"(?<![A-Za-z0-9])([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-=]{40,100})"
    ),
    _prefixed("linear-notion-figma", "lin_api_ ntn_ figd_", _WORD + "{40,80}"),
    _prefixed("postman", "PMAK-", r"[a-f0-9]{24}-[a-f0-9]{34}"),
    _prefixed("doppler", "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.", r"[A-Za-z0-9_.\-]{30,100}"),
    _prefixed(
        "databases", "pscale_tkn_ pscale_pw_ pscale_oauth_ sbp_ sb_secret_ napi_", r"[A-Za-z0-9_.=\-]{20,150}"
    ),
    _prefixed("tailscale", "tskey-", r"[a-z]{2,12}-[A-Za-z0-9\-]{20,100}"),
    _prefixed("one-password", "ops_eyJ", r"[A-Za-z0-9_\-+/=]{100,4096}"),
    _prefixed("age", "AGE-SECRET-KEY-", r"(?:PQ-)?1[0-9A-Z]{50,4000}"),
    # Forms of many places
    _written(
        "json-web-token",
        "eyJ",
        r"(?<![A-Za-z0-9_\-])(eyJ[A-Za-z0-9_\-]{8,4096}\.[A-Za-z0-9_\-]{8,65536}\.[A-Za-z0-9_\-]{10,4096})",
    ),
    _written(
        "password-hash",
        "$1$ $2a$ $2b$ $2y$ $5$ $6$ $y$ $7$ $apr1$ $argon2",
        r"(\$(?:1|2[aby]|5|6|7|y|apr1|argon2(?:id?|d))\$[A-Za-z0-9./$=,+\-]{20,400})",
    ),
    _written(
        "postgres-password-file",
        ":5432: :5433: :6432: :*:",
        r"^[\w.\-*/]{1,100}:(?:5432|5433|6432|\*):[\w.*\-]{1,64}:[\w.*\-]{1,64}:([^\s:]{1,200})$",
    ),
    _written(
        "netrc",
        "login",
        r"\blogin[ \t\r\n]{1,10}[^\s]{1,100}[ \t\r\n]{1,10}password[ \t\r\n]{1,10}([^\s\"']{1,200})",
    ),
)
"""In no order: what several of them find is joined."""


_LONG_WORD: Final = re.compile(r"(?<![A-Za-z0-9_\-.+/=%~:$?&;])[A-Za-z0-9_\-.+/=%~:$?&;]{16,}")
_SPACED: Final = frozenset({"netrc", "postgres-password-file"})
"""Patterns whose needle may stand in no long word."""
_ANY_NEEDLE: Final = re.compile(
    "|".join(
        sorted(re.escape(needle) for each in PATTERNS if each.name not in _SPACED for needle in each.needles)
    )
)


def find_patterns(text: str) -> Iterator[tuple[int, int]]:
    """Where something of a known form stands in ``text``."""
    words = "\n".join(_LONG_WORD.findall(text))
    some = _ANY_NEEDLE.search(words) is not None
    for pattern in PATTERNS if some else _PATTERNS_OF_SPACED:
        if any(needle in text for needle in pattern.needles):
            for match in pattern.expression.finditer(text):
                yield match.span(1)


_PATTERNS_OF_SPACED: Final = tuple(pattern for pattern in PATTERNS if pattern.name in _SPACED)
