"""What the workers of a run share is made before they ask, and does not outlive the run."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

from tests.forked_workers.ahead import make_ahead
from tests.patience import patient
from tests.shared_servers import SharedServer
from tests.unit.test_shared_servers import Tail, running
from tests.waiting import eventually


def test_a_server_waits_for_its_first_user(tmp_path: Path) -> None:
    """It runs before anybody asks for it, and on with who came while it was kept."""
    shared, files = tmp_path / "shared", list[str]()
    said, heard = os.pipe()
    with os.fdopen(said) as run:
        servers = [SharedServer(shared, Tail)]
        ahead = Thread(
            target=make_ahead, args=(servers, [lambda: files.append("made")], run, patient(60))
        )
        ahead.start()
        eventually(lambda: files)
        started = running(shared)
        assert started is not None
        user = SharedServer(shared, Tail)
        user.use()
        os.close(heard)
        ahead.join()
    assert running(shared) == started
    user.leave()
    assert running(shared) is None


def test_a_server_that_nobody_used_ends(tmp_path: Path) -> None:
    """When its time is over; of a run that has ended already, nothing is made at all."""
    shared, files = tmp_path / "shared", list[str]()
    said, heard = os.pipe()
    with os.fdopen(said) as run:
        servers, steps = [SharedServer(shared, Tail)], [lambda: files.append("made")]
        make_ahead(servers, steps, run, 0)
        assert (files, running(shared)) == (["made"], None)
        os.close(heard)
        make_ahead(servers, steps, run, patient(60))
    assert (files, running(shared)) == (["made"], None)
