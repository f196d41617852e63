"""The file of tokens: what is kept of them, who they belong to, and what a broken line says."""

import stat

import pytest
from click.testing import CliRunner

from hpsearch.cli import cli
from hpsearch.errors import SettingsError
from hpsearch.service.tokens import Tokens, User, add_token, digest_of, remove_token


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tokens.txt"


def test_a_token_is_its_users_and_the_file_has_only_its_hash(file):
    token = add_token(file, "ann", "admin")
    assert Tokens(file).user_of(token) == User("ann", "admin")
    assert Tokens(file).user_of(token + "x") is None
    assert Tokens(file).user_of("") is None
    assert file.read_text() == f"ann:{digest_of(token)}:admin\n"
    assert token not in file.read_text()


def test_tokens_are_long_and_differ(file):
    tokens = {add_token(file, f"user-{number}") for number in range(20)}
    assert len(tokens) == 20
    assert all(len(token) == 4 + 43 for token in tokens)  # 256 bits are 43 letters


def test_only_the_owner_may_read_the_file_also_if_others_could(file):
    file.touch(0o644)
    add_token(file, "ann")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("role", "may"),
    [("read", {"read"}), ("run", {"read", "run"}), ("admin", {"read", "run", "admin"})],
)
def test_a_role_may_do_what_lower_roles_may(role, may):
    assert {each for each in ("read", "run", "admin") if User("ann", role).may(each)} == may


def test_a_running_service_sees_new_and_removed_tokens(file):
    ann = add_token(file, "ann")
    tokens = Tokens(file)
    bob = add_token(file, "bob", "read")
    assert tokens.user_of(bob) == User("bob", "read")
    remove_token(file, "ann")
    assert tokens.user_of(ann) is None
    assert tokens.user_of(bob) is not None


def test_a_name_is_replaced_only_by_force(file):
    old = add_token(file, "ann")
    with pytest.raises(SettingsError, match=r"has a token 'ann' already; force=True replaces it$"):
        add_token(file, "ann")
    new = add_token(file, "ann", force=True)
    assert Tokens(file).user_of(old) is None
    assert Tokens(file).user_of(new) == User("ann", "run")


def test_comments_and_other_tokens_stay(file):
    file.write_text("# the lab\n\n")
    ann = add_token(file, "ann")
    add_token(file, "bob")
    remove_token(file, "bob")
    assert file.read_text().startswith("# the lab\n\nann:")
    assert Tokens(file).user_of(ann) is not None


HASH = "0" * 64


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("ann", "tokens.txt, line 1: must be name:hash:role as `hpsearch token` writes it"),
        (f"# x\nann:{HASH}", "tokens.txt, line 2: '' is not a role"),
        (f"ann:{HASH}:rum", r"line 1: 'rum' is not a role; did you mean 'run'\?"),
        ("ann:abc:run", "line 1: must be name:hash:role"),
        (f"a/b:{HASH}:run", "line 1: must be name:hash:role"),
        (f"ann:{HASH}:run\nann:{HASH}:read", "line 2: a line above it has the name 'ann' too"),
    ],
)
def test_a_broken_line_is_one_sentence_with_file_and_line(file, lines, sentence):
    file.write_text(lines)
    with pytest.raises(SettingsError, match=sentence):
        Tokens(file)
    with pytest.raises(SettingsError, match=sentence):
        add_token(file, "bob")
    assert file.read_text() == lines


def test_a_missing_file_is_a_sentence(file):
    with pytest.raises(SettingsError, match=r"tokens\.txt: cannot be read: No such file"):
        Tokens(file)


def run(*arguments):
    return CliRunner().invoke(cli, ["token", *map(str, arguments)])


def test_the_command_prints_the_token_once(file):
    result = run("ann", "--role", "read", "--file", file)
    assert result.exit_code == 0
    assert Tokens(file).user_of(result.stdout.strip()) == User("ann", "read")
    again = run("ann", "--file", file)
    assert again.exit_code == 1
    assert again.stderr.endswith("has a token 'ann' already; --force replaces it\n")
    assert run("ann", "--file", file, "--remove").exit_code == 0
    assert Tokens(file).user_of(result.stdout.strip()) is None
    assert "has no token 'ann'" in run("ann", "--file", file, "--remove").stderr


@pytest.mark.parametrize("name", ["a:b", "a b", "", "é", "a\nb"])
def test_a_name_that_would_break_the_file_is_refused(file, name):
    result = run(name, "--file", file)
    assert result.exit_code == 1
    assert "is no name for a token" in result.stderr
    assert not file.exists()


def test_a_folder_that_is_missing_is_a_sentence(tmp_path):
    result = run("ann", "--file", tmp_path / "no" / "tokens.txt")
    assert result.exit_code == 1
    assert "--file: " in result.stderr
    assert "No such file or directory" in result.stderr
