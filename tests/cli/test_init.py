"""`init`: the settings that it writes, and that it never writes too early or overwrites a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.control.first_settings import PATHS
from bridge.domain.source import SourceKind
from bridge.providers.catalogue import load_descriptions
from tests.cli.shell import Shell
from tests.cli.terminal import in_terminal, interrupt_at
from tests.world import KEY, World, running_world


@pytest.fixture
def empty(shell: Shell) -> Path:
    """A folder without settings."""
    path = shell.folder / "genbridge.yaml"
    path.unlink()
    return path


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(World()) as running:
        yield running


def test_five_lines_on_stdin_become_settings_that_pass_the_check(shell: Shell, empty: Path) -> None:
    said = shell("init", stdin=b"openai\nsome-key-0123\nwatchlist\nhttps://hooks.example.com/kling\nno\n")
    assert said.code == 0, said.err
    assert stat.S_IMODE(empty.stat().st_mode) == 0o600
    assert "warning" not in said.out
    assert "settings: genbridge.yaml: 1 account, 1 endpoint" in said.out.replace(f"{shell.folder}/", "")
    assert "some-key-0123" not in said.out
    assert shell("check").code == 0


def test_empty_answers_are_the_ones_in_brackets(shell: Shell, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "a-key-0123")
    assert shell("init", stdin=b"fal\n\n\n\n\n").code == 0
    assert (shell.folder / "queue").is_dir()
    assert 'api_key: "${FAL_KEY}"' in empty.read_text()


def test_an_unset_variable_is_named_and_the_file_is_kept(shell: Shell, empty: Path) -> None:
    said = shell("init", "--provider", "replicate", stdin=b"")
    assert said.code == 78
    assert "not set in the environment: REPLICATE_API_TOKEN" in said.err
    assert empty.exists()


def test_every_provider_gets_settings_that_are_valid(subtests: pytest.Subtests, shell: Shell, empty: Path) -> None:
    for name in load_descriptions({}):
        with subtests.test(name):
            description = load_descriptions({})[name]
            keys = ["--key", "access-key-1 secret-key-1" if description.key_pair else "a-key-0123"]
            address = [] if description.base_url else ["--base-url", "https://api.example.com"]
            said = shell("init", "--provider", name, *keys, *address, "--tasks", "none", "--to", "", "--no-test")
            assert said.code == 0, said.out + said.err + empty.read_text()
        empty.unlink()


@pytest.mark.parametrize(("name", "is_named"), [("runpod", True), ("kie", False)])
def test_an_action_without_a_default_is_named_as_an_example(
    name: str, is_named: bool, shell: Shell, empty: Path
) -> None:
    said = shell("init", "--provider", name, "--key", "k-0123", "--tasks", "none", "--to", "", "--no-test")
    assert ("is an example" in said.out, "action: " in empty.read_text()) == (is_named, is_named)


def test_a_list_of_the_provider_can_be_the_source(shell: Shell, empty: Path) -> None:
    assert shell("init", "--provider", "openai", "--key", "k-0123", stdin=b"discover\n\n\n").code == 0
    assert "discover: 1m" in empty.read_text()
    assert "provider: openai_video" in empty.read_text()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://open.feishu.cn/open-apis/bot/v2/hook/0123", "format: feishu"),
        ("json://127.0.0.1:9/x", 'urls: ["json://127.0.0.1:9/x"]'),
        ("https://hooks.example.com/x?a={{ task_id }}", 'url: "https://hooks.example.com/x?a={{ task_id }}"'),
    ],
)
def test_the_address_decides_the_kind_of_the_endpoint(url: str, words: str, shell: Shell, empty: Path) -> None:
    said = shell("init", "--provider", "fal", "--key", "k-0123", "--tasks", "none", "--to", url, "--no-test")
    assert said.code == 0, said.err
    assert words in empty.read_text()


@pytest.mark.parametrize(
    ("words", "stdin", "why"),
    [
        ([], b"", "no answer to `1. Which provider?`: give --provider, or a line on stdin; accepted: aimlapi, "),
        (["--provider", "kking"], b"", 'did you mean "kling"?'),
        ([], b"kking\n", 'genbridge: --provider: unknown provider "kking"; did you mean "kling"?'),
        ([], b"Freepik\n", 'genbridge: --provider: unknown provider "Freepik"; did you mean "magnific"?'),
        (
            [],
            b"sora\n",
            'genbridge: --provider: unknown provider "sora"; did you mean "azure_openai" or "openai_video"?',
        ),
        ([], b"bfl\n", 'genbridge: --provider: unknown provider "bfl"; did you mean "flux"?'),
        (["--provider", "nothing"], b"", ", xai, zhipu\n"),
        (["--provider", "klingg"], b"", 'did you mean "kling"'),
        (["--provider", "suno"], b"", "give --base-url"),
        (["--provider", "fal", "--tasks", "queu"], b"\n", 'did you mean "queue"'),
        (["--provider", "fal", "--key", "two keys"], b"", "--key: holds 2 words; give one key\n"),
        (["--provider", "kling_v2", "--key", "a b c"], b"", "--key: holds 3 words; give one key"),
        (
            ["--provider", "kling", "--base-url", "https://x.example.com", "--key", "a b c"],
            b"",
            "one key, or an access key",
        ),
        (["--provider", "fal", "--key", " "], b"", "--key: is empty; give the key, ${NAME}, file:/path or credential:"),
        (["--provider", "fal", "--key", "${"], b"", "does not start a reference"),
        (["--provider", "fal", "--to", "example.com"], b"\n\n", "write a URL"),
        (["--provider", "fal", "--to", "nosuchservice://x"], b"\n\n", "unknown service"),
        (["--provider", "fal", "--to", "https://api.telegram.org/bot1:x"], b"\n\n", "tgram://"),
        (["--provider", "fal", "--config", "nowhere/genbridge.yaml"], b"", "there is no folder"),
    ],
)
def test_a_wrong_answer_is_explained_and_writes_nothing(
    words: list[str], stdin: bytes, why: str, shell: Shell, empty: Path
) -> None:
    said = shell("init", *words, stdin=stdin)
    assert said.code == 2
    assert why in said.err
    assert list(shell.folder.iterdir()) == []


def test_a_folder_without_permission_is_named_before_the_first_question(shell: Shell, empty: Path) -> None:
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        said = shell("init", "--config", "/genbridge.yaml", stdin=b"")
    finally:
        os.seteuid(user)
    assert said.err == "genbridge: no permission to create a file in /; name another file with --config\n"
    assert said.code == 2


def test_a_file_in_place_of_the_queue_folder_is_reported(shell: Shell, empty: Path) -> None:
    (shell.folder / "queue").touch()
    said = shell("init", "--provider", "fal", "--key", "k-0123", "--tasks", "queue", stdin=b"\n\n")
    assert "queue is not a folder; name the folder that holds the files" in said.out
    assert said.code == 1


def test_an_existing_file_is_never_overwritten(shell: Shell) -> None:
    path = shell.folder / "genbridge.yaml"
    before = path.read_bytes()
    said = shell("init", "--provider", "fal", "--key", "k", stdin=b"\n\n\n")
    assert said.code == 2
    assert "already exists and was not changed" in said.err
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", SourceKind)
def test_every_source_can_be_chosen_and_is_created_empty(shell: Shell, empty: Path, kind: SourceKind) -> None:
    assert shell("init", "--provider", "fal", "--key", "k-0123", "--tasks", kind, stdin=b"\n\n").code == 0
    assert f"\n  {kind}: {PATHS[kind]}\n" in empty.read_text()
    assert (shell.folder / PATHS[kind]).exists()
    assert shell("check").code == 0


def test_a_repository_ignores_the_file(shell: Shell, empty: Path) -> None:
    (shell.folder / ".git").mkdir()
    ignored = shell.folder / ".gitignore"
    ignored.write_bytes(b"*.pyc\xe9")
    for _ in range(2):
        assert shell("init", "--provider", "fal", "--key", "k-0123", stdin=b"\n\n\n").code == 0
        empty.unlink()
    assert ignored.read_bytes() == b"*.pyc\xe9\n/genbridge.yaml\n"


def test_the_test_polls_the_provider_and_sends_a_sample(shell: Shell, empty: Path, world: World) -> None:
    to = f"http://127.0.0.1:{world.receiver_port}/hook"
    address = ["--base-url", f"http://127.0.0.1:{world.provider_port}", "--key", KEY, "--to", to]
    said = shell("init", "--provider", "kling", *address, "--tasks", "queue", "--test")
    assert said.code == 0, said.out
    assert len(world.polls) == 1
    assert len(world.received) == 1


def test_a_person_is_asked_again_after_a_wrong_answer(shell: Shell, empty: Path) -> None:
    answers = [
        ("Which provider? ", "klimg\n"),
        ("Which provider? ", "comfyui\n"),
        ("come from? [queue]: ", "2\n"),
        ("[none]: ", "\n"),
        ("[yes]: ", "no\n"),
    ]
    seen = in_terminal(shell.folder, "init", columns=100, answers=answers)
    assert 'did you mean "kling"' in seen
    assert "\x1b[32mok" in seen
    assert (shell.folder / "tasks.yaml").exists()
    assert "watchlist: tasks.yaml" in empty.read_text()


def test_no_question_is_cut_at_80_columns(shell: Shell, empty: Path) -> None:
    answers = [("API key", "\n"), ("come from?", "\n"), ("send results?", "\n"), ("Test it now", "no\n")]
    seen = in_terminal(
        shell.folder, "init", "--provider", "fal", columns=80, env={"FAL_KEY": "a-key-0123"}, answers=answers
    )
    assert "Providers:" not in seen, "the provider is given"
    assert "tgram://TOKEN/CHAT_ID" in seen
    assert "?:" not in seen
    questions = [line for line in seen.splitlines() if line[:3] in {"2. ", "3. ", "4. ", "5. "}]
    assert len(questions) == 4
    assert all(len(line) <= 70 for line in questions), questions


def test_a_failed_test_leaves_the_file_and_says_what_to_do(shell: Shell, empty: Path) -> None:
    address = ["--base-url", "http://127.0.0.1:9", "--to", "http://127.0.0.1:9/hook"]
    said = shell("init", "--provider", "kling", "--key", "k-0123", *address, "--tasks", "none", "--test")
    assert said.code == 1
    assert "Fix this in genbridge.yaml, then run `genbridge check --online`." in said.out
    assert empty.exists()


def test_without_settings_every_command_suggests_init(shell: Shell, empty: Path) -> None:
    assert "write a file with `genbridge init`" in shell("list").err


def test_ctrl_c_writes_nothing(shell: Shell, empty: Path) -> None:
    in_terminal(shell.folder, "init", on_output=interrupt_at("Which provider?"), exits=130)
    assert list(shell.folder.iterdir()) == []
