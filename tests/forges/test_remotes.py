"""What the URL of a remote says: where the forge is, and which repository is meant."""

import pytest

from mcp_notebook.errors import ForgeFailed
from mcp_notebook.forges.remotes import parse


@pytest.mark.parametrize(
    ("url", "web", "owner", "name"),
    [
        ("https://github.com/ada/project.git", "https://github.com", "ada", "project"),
        ("https://github.com/ada/project", "https://github.com", "ada", "project"),
        ("https://GitHub.com:443/ada/project/", "https://github.com", "ada", "project"),
        ("https://ada:secret@git.example.org/ada/project.git", "https://git.example.org", "ada", "project"),
        ("http://git.example.org:3000/ada/project.git", "http://git.example.org:3000", "ada", "project"),
        ("https://example.org/git/ada/project.git", "https://example.org/git", "ada", "project"),
        ("https://example.org/a/b/ada/project.git", "https://example.org/a/b", "ada", "project"),
        ("git@github.com:ada/project.git", "https://github.com", "ada", "project"),
        ("github.com:ada/project", "https://github.com", "ada", "project"),
        ("git@git.example.org:/ada/project.git", "https://git.example.org", "ada", "project"),
        ("ssh://git@git.example.org:2222/ada/project.git", "https://git.example.org", "ada", "project"),
        ("git+ssh://git@git.example.org/ada/project.git", "https://git.example.org", "ada", "project"),
        ("ssh://git@[::1]:2222/ada/project.git", "https://[::1]", "ada", "project"),
        ("git@[2001:db8::1]:ada/project.git", "https://[2001:db8::1]", "ada", "project"),
        ("http://[::1]:3000/ada/project.git", "http://[::1]:3000", "ada", "project"),
        ("https://git.example.org/ada.b-c/pro_ject.py.git", "https://git.example.org", "ada.b-c", "pro_ject.py"),
        ("https://git.example.org/~ada/project", "https://git.example.org", "~ada", "project"),
        (" https://git.example.org/ada/project.git\n", "https://git.example.org", "ada", "project"),
    ],
)
def test_the_forms_of_a_url(url: str, web: str, owner: str, name: str) -> None:
    """ssh, scp-like and http; ports of http and paths above the owner belong to the forge."""
    remote = parse(url)
    assert (remote.web, remote.owner, remote.name) == (web, owner, name)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/git/project.git",
        "../project",
        "file:///srv/git/project.git",
        "C:\\git\\project",
        "C:/git/project",
        "https://git.example.org/project.git",
        "https:///ada/project.git",
        "https://git.example.org:99999/ada/project.git",
        "https://git.example.org/ada/..",
        "https://git.example.org/ada/%2e%2e%2fadmin",
        "https://git.example.org/ada/pro%20ject",
        "https://[::1/ada/project",
        "git@host:project.git",
        "ext::sh -c evil",
    ],
)
def test_what_is_on_no_forge_is_told(url: str) -> None:
    """Directories, other transports, and what names no owner and repository."""
    with pytest.raises(ForgeFailed, match="remote"):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://ada:secret@git.example.org/project",
        "ftp://ada:secret@git.example.org/a/b",
        "https://ada:an@secret@git.example.org/project",
    ],
)
def test_a_password_is_not_repeated(url: str) -> None:
    """The message shows the URL without it."""
    with pytest.raises(ForgeFailed) as refused:
        parse(url)
    assert "secret" not in str(refused.value)
