"""Finds the outside tools (Java, Maven, Go, Chromium), or installs them from Debian's packages.

What is on the machine comes first. Nothing is ever written into the checkout: what we build or
download lies in `~/.cache/sightline`, or where `SIGHTLINE_CACHE` says.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sightline.engine.errors import RefusedToStart

CACHE_VARIABLE = "SIGHTLINE_CACHE"
APT_TIMEOUT_S = 900
VERSION_TIMEOUT_S = 600


class ToolMissing(RefusedToStart):
    """A tool is neither on this machine nor can it be installed; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One outside tool: where to look, which version is enough, what Debian calls it."""

    name: str
    purpose: str
    commands: tuple[str, ...]
    homes: tuple[str, ...]
    version_arguments: tuple[str, ...]
    version_pattern: str
    at_least: tuple[int, ...]
    debian_package: str


JAVA = Tool(
    name="Java",
    purpose="the Kafka broker",
    commands=("java",),
    homes=("$JAVA_HOME/bin/java", "/usr/lib/jvm/*/bin/java"),
    version_arguments=("-version",),
    version_pattern=r'version "(\d+)()',
    at_least=(17,),
    debian_package="default-jdk-headless",
)
MAVEN = Tool(
    name="Maven",
    purpose="fetching the Kafka broker",
    commands=("mvn",),
    homes=("$MAVEN_HOME/bin/mvn",),
    version_arguments=("--version",),
    version_pattern=r"Apache Maven (\d+)\.(\d+)",
    at_least=(3, 6),
    debian_package="maven",
)
GO = Tool(
    name="Go",
    purpose="building the MinIO server",
    commands=("go",),
    homes=("$GOROOT/bin/go", "/usr/local/go/bin/go", "/usr/lib/go-*/bin/go"),
    version_arguments=("version",),
    version_pattern=r"go(\d+)\.(\d+)",
    at_least=(1, 24),
    debian_package="golang-go",
)
CHROMIUM = Tool(
    name="Chromium",
    purpose="the tests of the web page",
    # First the one without a window: a third of the CPU time, and what playwright takes, too.
    commands=(
        "chromium-headless-shell",
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ),
    homes=("$SIGHTLINE_CHROMIUM",),
    version_arguments=("--version",),
    version_pattern=r"(\d+)\.(\d+)",
    at_least=(100,),
    debian_package="chromium-headless-shell",
)


def cache_directory() -> Path:
    """Where downloads and builds are kept between checkouts; made if need be."""
    named = os.environ.get(CACHE_VARIABLE)
    directory = Path(named) if named else Path.home() / ".cache" / "sightline"
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the cache's lock `name`: of several processes that install one thing, one does it."""
    with (cache_directory() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def locate(tool: Tool) -> Path:
    """The tool's executable, installing it where this process may.

    Raises:
        ToolMissing: it is not there in a sufficient version, and could not be installed.
    """
    found = find_executable(tool)
    if found is None and _can_install():
        with exclusive("apt"):
            found = find_executable(tool) or _install(tool)
    if found is None:
        raise ToolMissing(_advice(tool))
    return found


def find_executable(tool: Tool) -> Path | None:
    """The first executable of a sufficient version on this machine, or None."""
    sufficient = (path for path in _candidates(tool) if version(tool, path) >= tool.at_least)
    return next(sufficient, None)


def version(tool: Tool, executable: Path) -> tuple[int, ...]:
    """What the executable says its version is; empty where it says nothing readable."""
    try:
        said = run_tool([executable, *tool.version_arguments], timeout_s=VERSION_TIMEOUT_S)
    except ToolMissing:
        return ()
    match = re.search(tool.version_pattern, said)
    return tuple(int(part) for part in match.groups() if part) if match else ()


def run_tool(
    command: Iterable[str | Path],
    *,
    timeout_s: float,
    environment: dict[str, str] | None = None,
    what_for: str = "",
) -> str:
    """Run a tool to its end and return what it printed.

    Raises:
        ToolMissing: it could not be run, failed or took too long; its last lines are quoted.
    """
    words = [str(word) for word in command]
    what = what_for or words[0]
    try:
        done = subprocess.run(  # noqa: S603 - our own fixed command lines, no shell
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissing(f"{what}: {error}") from error
    said = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise ToolMissing(f"{what}: exit code {done.returncode}: {said.strip()[-1500:]}")
    return said


def _candidates(tool: Tool) -> Iterator[Path]:
    for command in tool.commands:
        on_path = shutil.which(command)
        if on_path:
            yield Path(on_path)
    for home in tool.homes:
        yield from _expanded(home)


def _expanded(pattern: str) -> Iterator[Path]:
    expanded = os.path.expandvars(pattern)
    if "$" in expanded:
        return
    found = sorted(Path("/").glob(expanded.lstrip("/")), reverse=True)
    yield from (path for path in found if os.access(path, os.X_OK))


def _can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install(tool: Tool, run: Callable[..., str] = run_tool) -> Path | None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", tool.debian_package]
    try:
        run(["apt-get", "update"], timeout_s=APT_TIMEOUT_S, environment=quiet)
        run(install, timeout_s=APT_TIMEOUT_S, environment=quiet)
    except ToolMissing as error:
        raise ToolMissing(f"{_advice(tool)} Trying to install it: {error}") from error
    return find_executable(tool)


def _advice(tool: Tool) -> str:
    wanted = ".".join(str(part) for part in tool.at_least)
    return (
        f"{tool.name} {wanted} or newer is needed for {tool.purpose} and was not found: install it "
        f"(Debian: apt-get install {tool.debian_package}) or put it on PATH."
    )
