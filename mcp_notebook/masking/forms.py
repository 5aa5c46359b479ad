"""How secrets are written: the forms of a known value, and tokens that are known by their looks. Pure."""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

HEAD_CHARS = 16
"""So much of a long random value is enough to know it by, where a preview or a table cut it."""

LONGEST_CHARS = 1_000
"""A pattern takes time for each character of it."""
SHORTEST_TOKEN = 12
PRIVATE_KEY = "private key"
PASSWORD = "password"
"""Of these tokens alone what was found must be looked at: it may be a common word."""

Span = tuple[int, int, str]
"""From where to where in a text, and what is there."""

KEY_HEADER = r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
KEY_FIELD = r"(?:Proc-Type|DEK-Info|Comment|Version):[^\n\\]{0,256}+"
"""What may stand between the header of a key and its lines."""

_BEFORE = r"(?<![A-Za-z0-9])"
_GAP = r"(?:\s|\\[nr])*+"
_QUOTED = r"[\"'\\]*+\s*+[:=]\s*+[\"'\\]*+"
_TOKENS = {
    PRIVATE_KEY: (
        rf"{KEY_HEADER}{_GAP}(?:{KEY_FIELD}{_GAP}){{0,8}}+(?:[A-Za-z0-9+/=]{{16,}}+{_GAP})++"
        rf"(?:[A-Za-z0-9+/=]{{0,64}}{_GAP}-----END [A-Z0-9 ]++-----)?"
    ),
    "GitHub token": rf"{_BEFORE}(?:gh[pousr]_[A-Za-z0-9]{{20,255}}|github_pat_\w{{22,255}})",
    "GitLab token": rf"{_BEFORE}gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[\w-]{{20,255}}(?:\.\w{{1,64}}){{0,2}}",
    "AWS access key": rf"{_BEFORE}(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{{16}}(?![A-Za-z0-9])",
    "AWS secret key": rf"(?i:cret_?access_?key){_QUOTED}(?P<secret>[A-Za-z0-9/+]{{40}})(?![A-Za-z0-9/+])",
    "Anthropic key": rf"{_BEFORE}sk-ant-[\w-]{{20,255}}",
    "API key": (
        r"(?<![\w-])sk-(?:(?=[\w-]{0,80}?[0-9])(?=[\w-]{0,80}?[A-Z])[\w-]{20,255}|(?:or-v1-)?[0-9a-f]{32,64}(?![\w-]))"
    ),
    "Slack token": (
        rf"{_BEFORE}(?:xox[abeoprs]-[A-Za-z0-9-]{{10,255}}|xapp-\d-[A-Za-z0-9-]{{10,255}})"
        r"|hooks\.slack\.com/services/[A-Za-z0-9/]{20,255}"
    ),
    "Google key": rf"{_BEFORE}(?:AIza[\w-]{{35}}|ya29\.[\w-]{{20,512}}+|GOCSPX-[\w-]{{20,64}})",
    "Hugging Face token": rf"{_BEFORE}hf_[A-Za-z0-9]{{30,64}}",
    "npm token": rf"{_BEFORE}npm_[A-Za-z0-9]{{36}}(?![A-Za-z0-9])",
    "PyPI token": rf"{_BEFORE}pypi-AgE[\w-]{{40,512}}+",
    "Stripe key": rf"{_BEFORE}[rs]k_(?:live|test)_[A-Za-z0-9]{{16,255}}",
    "SendGrid key": rf"{_BEFORE}SG\.[\w-]{{16,32}}\.[\w-]{{30,64}}",
    "JWT": rf"{_BEFORE}eyJ[\w-]{{8,2048}}+\.eyJ[\w-]{{8,4096}}+\.[\w-]{{8,2048}}+",
    "bearer token": r"(?i:earer)[ ]++(?P<secret>(?=[^\s\"'\\]{0,255}?[0-9])[\w.~+/=-]{16,4096}+)",
    "credentials": rf"(?i:uthorization){_QUOTED}(?i:basic|token)[ ]++(?P<secret>[\w.~+/=-]{{8,4096}}+)",
    PASSWORD: r"://[^\s/:@\"'<>]{0,64}:(?P<secret>[^\s/:@\"'<>]{8,128})@",
}
_HINTS = (
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-",
    "glimt-", "glagent-", "gloas-", "glsoat-", "AKIA", "ASIA", "ABIA", "ACCA", "sk-", "xoxa-", "xoxb-", "xoxe-",
    "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-", "hooks.slack.com", "AIza", "ya29.", "GOCSPX-", "hf_", "npm_",
    "pypi-AgE", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "SG.", "eyJ", "-----BEGIN ", "cret_access",
    "cretAccess", "CRET_ACCESS", "cretaccess", "earer ", "EARER ", "uthorization", "UTHORIZATION", "://",
)  # fmt: skip
"""What a token begins with: where none of these is, there is none."""
_HINT = re.compile("|".join(map(re.escape, sorted(_HINTS))))
_HINT_CHARS = max(map(len, _HINTS))
_GATE = re.compile(
    r"_(?:(?<=gh[pousr]_)|(?<=hf_)|(?<=npm_)|(?<=_pat_)|(?<=k_live_)|(?<=k_test_)|(?<=ccess_)|(?<=CCESS_)|(?<=cret_))"
    r"|-(?:(?<=sk-)|(?<=xox[abeoprs]-)|(?<=xapp-)|(?<=CSPX-)|(?<=pypi-)|(?<=gl\w\w-)|(?<=gl\w{3}-)|(?<=glagent-)"
    r"|(?<=glsoat-))|A(?:KIA|SIA|BIA|CCA|Iza)|SG\.|:(?=//)|B(?:(?<=-----B)|earer |EARER )|bearer |J(?<=eyJ)|9(?<=ya29)"
    r"|K(?<=ccessK)|k(?<=ccessk)|k(?<=hooks\.slack)|z(?<=uthoriz)|Z(?<=UTHORIZ)"
)
"""Begins with what is rare in texts, so that it finds sooner that there is no token than hints would."""
_TOKEN = re.compile(
    "|".join(f"(?P<t{n}>{each.replace('<secret>', f'<s{n}>')})" for n, each in enumerate(_TOKENS.values())), re.ASCII
)
_LABELS = tuple(_TOKENS)


def tokens_in(text: str) -> Iterator[Span]:
    """The tokens, in order."""
    at = tried = 0
    while near := _GATE.search(text, at):
        token = None
        for hint in _HINT.finditer(text, max(tried, near.start() - _HINT_CHARS), near.end() + _HINT_CHARS):
            tried = hint.start() + 1
            if token := _TOKEN.match(text, hint.start()):
                yield _secret(token)
                tried = token.end()
                break
        at = max(near.end(), tried if token else 0)


def _secret(token: re.Match[str]) -> Span:
    number = next(n for n in range(len(_LABELS)) if token[f"t{n}"] is not None)
    group = f"s{number}" if f"s{number}" in token.re.groupindex else f"t{number}"
    return (*token.span(group), _LABELS[number])


_LONG_RANDOM = re.compile(r"(?=(?:\D*\d){2})(?=(?:[^A-Za-z]*[A-Za-z]){2})[\w+/=~.-]+", re.ASCII)


def forms_of(value: str) -> Iterator[tuple[str, str]]:
    """A text that each form of it contains, and the pattern of that form; of a very long value as it is only."""
    if len(value) > LONGEST_CHARS:
        yield value[:LONGEST_CHARS], rf"{re.escape(value[:LONGEST_CHARS])}\S*"
        return
    if len(value) >= HEAD_CHARS + 8 and _LONG_RANDOM.fullmatch(value[:HEAD_CHARS]):
        head, rest = value[:HEAD_CHARS], value[HEAD_CHARS:]
        yield head, rf"{re.escape(head)}(?:{re.escape(rest)}|[\w+/=~-]*)"
    data = value.encode("utf-8", "surrogatepass")
    in_urls = (quote(data, safe=""), quote(data), quote_plus(data))
    in_sources = (json.dumps(value)[1:-1], repr(value)[1:-1], html.escape(value))
    for form in dict.fromkeys((value, *in_urls, *in_sources, data.hex())):
        yield form, re.escape(form)
    for form in dict.fromkeys(_in_base64(data)):
        yield form, rf"{re.escape(form)}[\w+/-]?={{0,2}}"


def _in_base64(data: bytes) -> Iterator[str]:
    """What is the same wherever the value stands in a longer text that is encoded."""
    for offset, begin in enumerate((0, 2, 3)):
        end = (offset + len(data)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(offset) + data)[begin:end].decode()
