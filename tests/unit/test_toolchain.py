"""Finding and installing outside tools, without installing any."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sightline.infra.local import toolchain
from sightline.infra.local.toolchain import CHROMIUM, JAVA, Tool, ToolMissing


def program(folder: Path, name: str, says: str) -> Path:
    """An executable that prints one line."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Java, looked for in this test's folders alone, where nothing can be installed."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    return dataclasses.replace(JAVA, homes=(f"{tmp_path}/jvm/*/java", "$NO_SUCH_VARIABLE/java"))


def test_what_is_on_path_comes_first(tmp_path: Path, java: Tool) -> None:
    """A sufficient tool on PATH is taken before one in a usual place."""
    program(tmp_path / "jvm" / "a", "java", 'openjdk version "25.0.1"')
    first = program(tmp_path / "path", "java", 'openjdk version "17.0.15" 2025-04-15')
    assert toolchain.find_executable(java) == first


def test_a_browser_without_a_window_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chromium's headless shell is taken before the whole browser beside it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "chromium", "Chromium 156.0.8078.108")
    shell = program(tmp_path, "chromium-headless-shell", "Chromium 156.0.8078.108")
    assert toolchain.find_executable(CHROMIUM) == shell


def test_an_old_tool_is_passed_over(tmp_path: Path, java: Tool) -> None:
    """Java 11 on PATH does not hide Java 21 elsewhere; the newest folder is asked first."""
    program(tmp_path / "path", "java", 'openjdk version "11.0.2"')
    program(tmp_path / "jvm" / "java-17", "java", 'openjdk version "17"')
    newer = program(tmp_path / "jvm" / "java-21", "java", 'openjdk version "21"')
    assert toolchain.find_executable(java) == newer


def test_a_broken_tool_is_passed_over(tmp_path: Path, java: Tool) -> None:
    """A program that fails or says no version is not taken."""
    program(tmp_path / "path", "java", "cannot be said\nexit 3")
    assert toolchain.find_executable(java) is None


def test_a_missing_tool_is_told_in_one_line(java: Tool) -> None:
    """Who may not install packages is told what to install and why."""
    with pytest.raises(ToolMissing) as told:
        toolchain.locate(java)
    message = str(told.value)
    assert "\n" not in message
    assert all(word in message for word in ("Java 17", "Kafka", "default-jdk-headless", "PATH"))


def test_root_on_debian_installs_the_package(
    tmp_path: Path, java: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, apt-get is asked for the package and the tool is looked for again."""
    asked = tmp_path / "asked"
    program(tmp_path / "path", "apt-get", "")
    (tmp_path / "path" / "apt-get").write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\n'
        f'if [ "$1" = install ]; then printf "#!/bin/sh\\necho version \\\\\\"17\\\\\\"\\n" '
        f"> {tmp_path}/path/java; /bin/chmod 755 {tmp_path}/path/java; fi\n"
    )
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    assert toolchain.locate(java) == tmp_path / "path" / "java"
    lines = asked.read_text().splitlines()
    assert lines[0] == "update"
    assert lines[1].startswith("install ")
    assert lines[1].endswith(" default-jdk-headless")


def test_an_install_that_fails_is_told(
    tmp_path: Path, java: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice comes with what the package manager said."""
    program(tmp_path / "path", "apt-get", "E: no such package\nexit 100")
    (tmp_path / "path" / "apt-get").write_text("#!/bin/sh\necho no such package\nexit 100\n")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ToolMissing, match="no such package"):
        toolchain.locate(java)


def test_the_cache_lies_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SIGHTLINE_CACHE` wins, else the home directory; the folder is made."""
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "there"))
    assert toolchain.cache_directory() == (tmp_path / "there").resolve()
    monkeypatch.delenv("SIGHTLINE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert toolchain.cache_directory() == (tmp_path / "home/.cache/sightline").resolve()
    assert toolchain.cache_directory().is_dir()
