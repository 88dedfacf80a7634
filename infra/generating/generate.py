"""Write what is generated from code: golden schemas, AsyncAPI, topic pages, the settings page.

`python -m sightline.infra.generating.generate` writes; `--check` compares and fails on a
difference; `--freeze` also makes today's contracts the released ones, if that breaks no reader
(docs/adr/0002-event-envelope.md).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sightline.infra.generating.settings_page import settings_page
from sightline.schemas.documents.all_documents import FROZEN, GOLDEN, contracts_now, documents
from sightline.schemas.documents.compatibility import Break, schema_breaks, topic_breaks

CHECKOUT = Path(__file__).resolve().parents[2]
SETTINGS_PAGE = "docs/settings.md"
_GENERATED_FOLDERS = (f"{GOLDEN}/events", f"{GOLDEN}/examples", "docs/topics")


def generated() -> dict[str, str]:
    """Every generated file: path in the checkout to text."""
    return documents() | {SETTINGS_PAGE: settings_page()}


def stale_files(root: Path) -> list[str]:
    """Paths of generated files that are missing, different, or no longer generated."""
    wanted = generated()
    stale = [path for path in _existing(root) if path not in wanted]
    return sorted(stale + [path for path, text in wanted.items() if _read(root / path) != text])


def write_generated(root: Path) -> list[str]:
    """Make the checkout agree; returns the paths that changed."""
    changed, wanted = stale_files(root), generated()
    for path in changed:
        if path in wanted:
            _write(root / path, wanted[path])
        else:
            (root / path).unlink()
    return changed


def breaks(root: Path) -> list[Break]:
    """What today's contracts break for readers and writers of the frozen ones."""
    frozen, now = _frozen(root), contracts_now()
    found: list[Break] = []
    for path, text in frozen.items():
        if path.startswith("events/"):
            found += schema_breaks(json.loads(text), json.loads(now.get(path, "{}")))
    if "topics.json" in frozen:
        found += topic_breaks(json.loads(frozen["topics.json"]), json.loads(now["topics.json"]))
    return found


def freeze(root: Path) -> list[Break]:
    """Make today's contracts the released ones, unless that would break somebody."""
    found = breaks(root)
    if not found:
        for path, text in contracts_now().items():
            _write(root / FROZEN / path, text)
    return found


def main(arguments: Sequence[str]) -> int:
    """The command: 0 in order, 1 something differs or breaks."""
    if "--check" in arguments:
        return _report("differs (make golden)", stale_files(CHECKOUT))
    if "--freeze" in arguments:
        return _report("would break", map(str, freeze(CHECKOUT)))
    for path in write_generated(CHECKOUT):
        sys.stdout.write(f"wrote {path}\n")
    return 0


def _report(what: str, lines: Sequence[str] | Iterator[str]) -> int:
    told = [f"{what}: {line}\n" for line in lines]
    sys.stderr.writelines(told)
    return 1 if told else 0


def _existing(root: Path) -> Iterator[str]:
    for folder in _GENERATED_FOLDERS:
        for path in sorted((root / folder).glob("*")):
            yield path.relative_to(root).as_posix()


def _frozen(root: Path) -> Mapping[str, str]:
    folder = root / FROZEN
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.json")
    }


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
