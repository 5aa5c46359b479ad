"""Which texts are secrets, in which forms, and what must stay readable. Pure."""

import base64
import json
import re
from urllib.parse import quote

import pytest

from mcp_notebook.masking import Masking, StreamMask, forms
from mcp_notebook.masking.values import is_common, values_of

VALUE = "q7Zp/" + "4vXk2+LmN8&w"
RANDOM = "Zx81" + "kQmV27TrPw93LsJdYb64Gh5N"
KEY = (
    "-----BEGIN RSA " + "PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA75\n" * 3 + "ab==\n-----END RSA " + "PRIVATE KEY-----\n"
)


def masking(**environment: str) -> Masking:
    """One that knows the secrets of this environment."""
    known = Masking()
    known.learn(environment)
    return known


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        quote(VALUE, safe=""),
        quote(VALUE),
        json.dumps(VALUE),
        repr(VALUE),
        VALUE.replace("&", "&amp;"),
        VALUE.encode().hex(),
        base64.b64encode(VALUE.encode()).decode(),
        base64.urlsafe_b64encode(VALUE.encode()).decode(),
        base64.b64encode(f"user:{VALUE}".encode()).decode(),
        base64.b64encode(f"me:{VALUE} and more".encode()).decode(),
        f"\x1b[31m{VALUE[:5]}\x1b[0m{VALUE[5:]}",
        "\x00".join(VALUE),
    ],
)
def test_a_value_is_masked_in_each_form(form: str) -> None:
    """As it is, encoded as programs encode it, and with colours in it."""
    masked = masking(SERVICE_SECRET=VALUE).text(f"before {form} behind")
    assert masked.startswith("before ")
    assert masked.endswith(" behind")
    assert "[masked: SERVICE_SECRET]" in masked
    assert not any(part in masked.replace("\x00", "") for part in (VALUE[:5], VALUE[5:10], VALUE[10:]))


def test_a_long_value_is_known_by_its_beginning() -> None:
    """As a table or a preview cuts it; not by less than 16 characters."""
    known = masking(API_TOKEN=RANDOM)
    assert known.text(f"{RANDOM[:18]}... is cut") == "[masked: API_TOKEN]... is cut"
    assert known.text(f"{RANDOM} {RANDOM}!") == "[masked: API_TOKEN] [masked: API_TOKEN]!"
    assert known.text(f"{RANDOM[:12]}... is cut") == f"{RANDOM[:12]}... is cut"


def test_colours_around_a_secret_go_on() -> None:
    """What begins or ends within it is kept behind it."""
    text = f"\x1b[1mkey \x1b[31m{VALUE[:6]}\x1b[0m{VALUE[6:]} end"
    assert masking(A_KEY=VALUE).text(text) == "\x1b[1mkey \x1b[31m[masked: A_KEY]\x1b[0m end"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_KEY", "short7!"),
        ("API_KEY", "/etc/ssl/private/key.pem"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "keys/service-account.json"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "~/keys/account1.json"),
        ("SECRET_NUMBER", "1234567890123"),
        ("TOKEN_EXPIRES", "2026-11-30"),
        ("AUTH_METHOD", "client_credentials"),
        ("AUTH_METHOD", "ServiceAccountKey"),
        ("ADMIN_PASSWORD", "password"),
        ("ADMIN_PASSWORD", "CHANGEME"),
        ("TOKENIZERS_PARALLELISM", "disabled"),
        ("AUTH_HOST", "localhost:5432"),
        ("KEY_IMAGE", "ubuntu22.04"),
        ("KEY_REGION", "eu-central-1"),
        ("AUTH_URL", "https://login.example.com/oauth/authorize"),
        ("AUTH_USER", "somebody@example.com"),
        ("GIT_AUTHOR_NAME", "Jane Q. Doe-Smith 3rd"),
        ("API_KEY", "********"),
        ("API_KEY", "${VAULT_KEY_17}"),
        ("SSH_AUTH_SOCK", "agent-q7Zp4vXk2"),
        ("HARMLESS", RANDOM),
    ],
)
def test_what_may_stand_anywhere_is_no_secret(name: str, value: str) -> None:
    """Short values, paths, numbers, words, addresses, placeholders; values of names that look harmless."""
    assert values_of({name: value}) == {}


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        ("API_KEY", "hunter2-hunter2", ["hunter2-hunter2"]),
        ("DB_PASSWORD", "correct horse battery staple", ["correct horse battery staple"]),
        ("DB_PASSWORD", "qwrtzpsdfg", ["qwrtzpsdfg"]),
        ("DB_PASSWORD", "!x://y7-zz", ["!x://y7-zz"]),
        ("AWS_SECRET_ACCESS_KEY", "/" + "aB3" * 13, ["/" + "aB3" * 13]),
        ("DATABASE_URL", "postgres://app:s3cr%40t-pw@db/x", ["s3cr%40t-pw", "s3cr@t-pw"]),
        (
            "SLACK_WEBHOOK",
            "https://hooks.example.com/T0001/" + RANDOM,
            [RANDOM, f"https://hooks.example.com/T0001/{RANDOM}"],
        ),
        ("CREDENTIALS", json.dumps({"type": "service_account", "private_key_id": RANDOM}), [RANDOM]),
        ("API_KEYS", json.dumps([RANDOM, "disabled"]), [RANDOM]),
        ("SIGNING_KEY", f"{RANDOM}\n{RANDOM[::-1]}", [f"{RANDOM}\n{RANDOM[::-1]}", RANDOM, RANDOM[::-1]]),
    ],
)
def test_what_is_secret_in_an_environment(name: str, value: str, secrets: list[str]) -> None:
    """Passwords, keys, what is secret within a URL and within JSON, each line of a value of many."""
    assert sorted(values_of({name: value})) == sorted(secrets)


def test_variables_that_the_user_names_are_secret_too() -> None:
    """By patterns, as they are withheld from kernels."""
    known = Masking(secret=("CORP_*",))
    assert known.learn({"CORP_LOGIN": RANDOM, "CORP_REGION": "eu-central-1"})
    assert known.names == ["CORP_LOGIN"]
    assert not known.learn({"CORP_LOGIN": RANDOM})


@pytest.mark.parametrize(
    ("token", "label"),
    [
        ("ghp_" + "a1B2" * 9, "GitHub token"),
        ("github_pat_" + "a1_B2" * 9, "GitHub token"),
        ("glpat-" + "a1B2" * 5, "GitLab token"),
        ("AKIA" + "Q7RS" * 4, "AWS access key"),
        ("sk-ant-" + "a1B2-" * 9, "Anthropic key"),
        ("sk-proj-" + "a1B2_" * 9, "API key"),
        ("sk-or-v1-" + "a1b2" * 16, "API key"),
        ("xoxb-" + "12345-" * 3 + "abCD12", "Slack token"),
        ("AIza" + "a1B2_" * 7, "Google key"),
        ("hf_" + "aB1" * 11, "Hugging Face token"),
        ("npm_" + "aB1" * 12, "npm token"),
        ("sk_live_" + "aB1" * 8, "Stripe key"),
        ("eyJ" + "hbGciOiJI." + "eyJ" + "zdWIiOiIx." + "a1b2c3d4e5", "JWT"),
    ],
)
def test_tokens_are_known_by_their_looks(token: str, label: str) -> None:
    """Whatever environment they come from, in quotes and in the middle of a line."""
    assert Masking().text(f"a={token!r}, b={token}.") == f"a='[masked: {label}]', b=[masked: {label}]."


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abcdef-0123456789.xyz", "Authorization: Bearer [masked: bearer token]"),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "{'Authorization': 'Basic [masked: credentials]'}"),
        ("GET https://me:s3cr3t-word@host/x?y", "GET https://me:[masked: password]@host/x?y"),
        ("aws_secret_access_key = " + "aB3/" * 10, "aws_secret_access_key = [masked: AWS secret key]"),
        (f"x\n{KEY}y", "x\n[masked: private key]\ny"),
        (repr(KEY), "'[masked: private key]\\n'"),
    ],
)
def test_secrets_are_known_by_what_is_around_them(text: str, masked: str) -> None:
    """Headers, URLs, settings, and keys in many lines or in one."""
    assert Masking().text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "the password is wrong: try your token, key or secret again",
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "550e8400-e29b-41d4-a716-446655440000",
        "0x7f3c9d1e2b80 3.141592653589793 1,234,567,890",
        "/usr/lib/python3.11/site-packages/sklearn/base.py:1234",
        '<div class="sk-estimator-doc-link-fitted sk-toggleable__content-arrow"></div>',
        "task-0123456789abcdefABCDEF01234567 risk-A1b2C3d4E5f6G7h8I9j0K1",
        "https://example.com:8080/a@b and postgres://postgres:postgres@localhost:5432/postgres",
        "Bearer authentication-is-needed-for-this",
        "Authorization: Basic",
        "import os; os.environ['API_KEY']",
        "AKIAAAA, eyJ and ghp_ are how tokens begin",
        "'-----BEGIN " + "PRIVATE KEY-----' in text",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCARwCCQD2\n-----END CERTIFICATE-----",
        "aGVsbG8gd29ybGQgdGhpcyBpcyBiYXNlNjQgdGV4dCBvZiBubyBpbXBvcnRhbmNl",
        "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "model.layers.0.self_attn.q_proj.weight float32 (4096, 4096)",
    ],
)
def test_ordinary_outputs_stay(text: str) -> None:
    """Words about secrets, hashes, ids, numbers, paths, addresses, HTML: the very same object comes back."""
    assert masking(SERVICE_SECRET=VALUE, API_TOKEN=RANDOM).text(text) is text


def test_a_bundle_keeps_its_images() -> None:
    """Every text in it is masked, within JSON too; base64 of an image is none."""
    image = f"iVBORw0KGgo{RANDOM}"
    bundle = {"text/html": f"<b>{RANDOM}</b>", "application/json": {"a": [RANDOM, 1]}, "image/png": image}
    assert masking(API_TOKEN=RANDOM).bundle(bundle) == {
        "text/html": "<b>[masked: API_TOKEN]</b>",
        "application/json": {"a": ["[masked: API_TOKEN]", 1]},
        "image/png": image,
    }
    assert masking(API_TOKEN=RANDOM).bundle({"image/svg+xml": RANDOM}) == {"image/svg+xml": "[masked: API_TOKEN]"}


def test_patterns_of_the_user() -> None:
    """They count in any text; what matches nothing is nothing."""
    known = Masking([r"ACME-\d{4}", "x*"])
    assert known.text("ACME-1234") == "[masked: by mask_patterns]"
    assert known.text("A-1") == "A-1"


def test_switched_off_nothing_is_masked() -> None:
    """Nor learnt."""
    known = Masking(["x"], enabled=False)
    assert not known.learn({"API_TOKEN": RANDOM})
    assert known.text(f"x {RANDOM}") == f"x {RANDOM}"
    assert known.bundle({"text/plain": RANDOM}) == {"text/plain": RANDOM}


@pytest.mark.parametrize("cut", [1, 7, 19, 40, 60, 80, len(KEY) - 5])
def test_a_key_in_pieces(cut: int) -> None:
    """Its lines come one after the other; what follows it is shown."""
    mask = StreamMask(Masking())
    given, line = "", ""
    for piece in (f"a\n{KEY[:cut]}", f"{KEY[cut:]}b\nnot a key\n"):
        lines, newline, rest = f"{line}{piece}".rpartition("\n")
        given += mask.feed(lines + newline)
        line = rest
        assert "MII" not in mask.peek(line)
    shown = given + mask.end(line)
    assert "MII" not in shown
    assert "==" not in shown
    assert shown.startswith("a\n[masked: private key]")
    assert shown.endswith("b\nnot a key\n")


def test_a_key_without_end_does_not_swallow_what_follows() -> None:
    """The first line that is none of a key ends it."""
    mask = StreamMask(Masking())
    assert mask.feed(KEY[:40]) == ""
    assert mask.feed("MIIEpAIBAAKCAQEA75\n") == "[masked: private key]"
    assert mask.feed("MIIEpAIBAAKCAQEA75\n") == ""
    assert mask.feed("That was all.\nMII\n") == "That was all.\nMII\n"


HEADER = "-----BEGIN RSA " + "PRIVATE KEY-----"
LINE = "MIIEpAIBAAKCAQEA75\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n3\ndone\naccuracy\n0.97\n",
        f"{HEADER}\n\nProc-Type: 4,ENCRYPTED\n\ndone\n",
        f"looked for '{HEADER}' in text\n3\n",
        f"{HEADER}\n{HEADER}\nepoch\n1\n",
        f"{HEADER}\nMIIEpAIB",
        HEADER,
        f"{HEADER}\n" + "\n" * 9_000 + "3\n",
    ],
)
def test_what_follows_a_header_without_a_key_is_shown(text: str) -> None:
    """Short lines of letters and digits are what programs print; a key has at least one long one."""
    assert streamed(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{HEADER}\n{LINE}{LINE}3\ndone\n", "[masked: private key]3\ndone\n"),
        (f"{HEADER}\n{LINE}done\n\naccuracy\n", "[masked: private key]done\n\naccuracy\n"),
        (f"{HEADER}\n{LINE}ab==\n\n-----END KEY-----\n3\n", "[masked: private key]\n3\n"),
        (
            f"{HEADER}\nProc-Type: 4,ENCRYPTED\nDEK-Info: X\n\n{LINE}{LINE}no\u00efve\n",
            "[masked: private key]no\u00efve\n",
        ),
        (f"{HEADER}\n{'A' * 1600}\n-----END KEY-----\n3\n", "[masked: private key]\n3\n"),
        (f"\x1b[1m{HEADER}\x1b[0m\n\x1b[31m{LINE}\x1b[0mab==\nx.\n", "\x1b[1m[masked: private key]\x1b[0mab==\nx.\n"),
        (f"{KEY}{HEADER}\n3\n{KEY}4\n", f"[masked: private key]\n{HEADER}\n3\n[masked: private key]\n4\n"),
    ],
)
def test_what_follows_a_key_is_shown(text: str, shown: str) -> None:
    """A short line is the last of a key only where its footer follows."""
    assert streamed(text) == shown


def streamed(text: str) -> str:
    """What is shown of lines that come one after the other."""
    mask = StreamMask(Masking())
    *lines, rest = text.split("\n")
    return "".join(mask.feed(f"{line}\n") for line in lines) + mask.end(rest)


def test_an_endless_line_hides_no_secret_where_it_is_cut() -> None:
    """Pieces of a line without end are given out; a secret across two of them is masked."""
    known = masking(API_TOKEN=RANDOM)
    mask = StreamMask(known)
    shown = ""
    for cut in range(1, len(RANDOM)):
        shown += mask.feed("." * 9_000 + RANDOM[:cut])
        shown += mask.feed(RANDOM[cut:] + "." * 9_000)
    shown += mask.end("end")
    assert RANDOM not in shown
    assert shown.count("[masked: API_TOKEN]") == len(RANDOM) - 1
    assert shown.count(".") == 18_000 * (len(RANDOM) - 1)
    assert shown.endswith("end")


def test_hostile_values_and_texts_are_quick() -> None:
    """Nothing here takes more than the length of the text, and no value breaks the pattern."""
    known = Masking()
    known.learn({"A_TOKEN": r"(((a+)+)+$[\w{1,9}", "B_TOKEN": "\udc80\udc81 lone surrogates", "URL": "http://[::bad"})
    for text in ("-----BEGIN " + "PRIVATE KEY-----" + "A" * 200_000, "eyJ" * 100_000, "sk-" * 100_000, "://" * 100_000):
        known.text(text + "!")
    for line in ("-----BEGIN " + "PRIVATE KEY-----Comment:", "Comment:-----BEGIN " + "PRIVATE KEY-----\n"):
        known.text(line * 60_000)
    deep = "[" * 900 + "]" * 900
    known.learn({"DEEP_KEY": deep})
    assert known.data(json.loads(deep)) == json.loads(deep)
    huge = "".join(f"{n:x}" for n in range(30_000))
    known.learn({"HUGE_KEY": huge, "LINES_KEY": "\n".join(huge[at : at + 64] for at in range(0, 3_000, 64))})
    assert known.text(f"x {huge} y {huge[640:704]} z") == "x [masked: HUGE_KEY] y [masked: LINES_KEY] z"
    assert known.text(r"x (((a+)+)+$[\w{1,9} y") == "x [masked: A_TOKEN] y"


def test_no_pattern_gives_back_a_long_run(capsys: pytest.CaptureFixture[str]) -> None:
    """What it has read it does not read again, shorter by one, for as many characters as there are."""
    re.compile(forms._TOKEN.pattern, re.ASCII | re.DEBUG)
    shown = capsys.readouterr().out
    assert "POSSESSIVE_REPEAT 8 2048" in shown
    assert not re.findall(r"\bM(?:AX|IN)_REPEAT \d+ (?:\d{4,}|MAXREPEAT)", shown)


def test_words_are_common_and_passwords_are_not() -> None:
    """The line between the two, where a name does not decide it."""
    assert all(map(is_common, ("postgres", "SUPERUSER", "read-only", "ReadOnly", "application.default")))
    assert not any(map(is_common, ("p0stgres!", "aBcDeFgHiJkLmNoP", "tr0ub4dor", "zxcvbnmlkj", "a" * 17 + "bcd")))
