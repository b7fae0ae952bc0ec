"""The same run by a plain loop, by a cluster of this machine and by one in other processes."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import distributed
import psutil
import pytest
from distributed import Client
from distributed.security import Security
from filelock import FileLock

from gee_pipeline.errors import IncompleteRunError, InputError
from inference.run import scheduler
from inference.run.cell_worker import ReadyCell, WorkerSetup
from inference.run.completeness import RunSummary
from inference.run.execute import Progress, run
from inference.run.ledger import status
from inference.run.planning import open_or_create
from inference.run.prefetch import PlannedCells
from inference.run.scheduler import (
    SCRATCH,
    interrupts_held,
    local_client,
    sweep_scratch,
)
from inference.run.worker_plan import WorkerPlan
from tests.support.fake_runs import FakeSource, carry_out, map_plan, predictions

pytestmark = pytest.mark.slow

HERE = str(Path(__file__).parents[3])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the plain loop."""
    home = tmp_path_factory.mktemp("plain")
    carry_out(home / "run", map_plan(home, FakeSource())).raise_if_incomplete()
    return predictions(home / "run")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Dask's loggers write to streams that pytest has closed by the time a cluster ends."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_a_local_cluster_makes_the_same_files_and_survives_what_kills_its_workers(
    tmp_path: Path, plain: dict[str, bytes]
) -> None:
    folder, told = tmp_path / "run", list[Progress]()
    ill = FakeSource(tmp_path / "calls.txt", broken=("r0000_c0001",), deadly=("r0001_c0001",))
    summary = carry_out(folder, map_plan(tmp_path, ill), workers=2, on_progress=told.append)
    assert sorted(failure.name for failure in summary.failures) == ["r0000_c0001", "r0001_c0001"]
    killed = {failure.name: failure for failure in summary.failures}["r0001_c0001"]
    assert "workers on this cell died" in killed.error
    with pytest.raises(IncompleteRunError) as caught:
        summary.raise_if_incomplete()
    assert caught.value.exit_code == 3  # a worker may die for want of memory, which can pass
    assert (told[-1].done, told[-1].failed) == (4, 2)
    assert status(folder).failed == 2

    before = len(ill.called())
    healthy = FakeSource(tmp_path / "calls.txt")
    carry_out(folder, map_plan(tmp_path, healthy), workers=0).raise_if_incomplete()
    assert sorted(healthy.called()[before:]) == ["r0000_c0001", "r0001_c0001"]
    assert predictions(folder) == plain


@contextmanager
def scheduler_and_worker(scheme: str = "tcp", certificates: Certificates | None = None) -> Iterator[str]:
    """A scheduler and a worker, each in its own process, as on a cluster; gives the address."""
    secured = certificates.of_command_line() if certificates else []
    python = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    options = ["--host", f"{scheme}://127.0.0.1", "--port", "0", "--no-dashboard", "--no-show", *secured]
    env = {**os.environ, "PYTHONPATH": HERE, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*python, *options], stderr=subprocess.PIPE, text=True, env=env) as scheduler:
        assert scheduler.stderr
        found = (re.search(rf"Scheduler at:\s+({scheme}://\S+)", line) for line in scheduler.stderr)
        address = next(match[1] for match in found if match)
        python = [sys.executable, "-m", "distributed.cli.dask_worker", address]
        options = ["--no-nanny", "--no-dashboard", "--nthreads", "2", "--host", "127.0.0.1", *secured]
        with subprocess.Popen([*python, *options], stderr=subprocess.DEVNULL, env=env) as worker:
            try:
                yield address
            finally:
                worker.kill()
                scheduler.kill()


@dataclass(frozen=True)
class Certificates:
    """A key, and a certificate of it that is its own authority."""

    certificate: Path
    key: Path

    @classmethod
    def made(cls, folder: Path) -> Certificates:
        folder.mkdir()
        made, new = Security.temporary(), cls(folder / "cert.pem", folder / "key.pem")
        new.certificate.write_text(str(made.tls_client_cert))
        new.key.write_text(str(made.tls_client_key))
        return new

    def of_command_line(self) -> list[str]:
        named = {"--tls-ca-file": self.certificate, "--tls-cert": self.certificate, "--tls-key": self.key}
        return [str(part) for pair in named.items() for part in pair]

    def of_environment(self) -> dict[str, str]:
        """As docs/trust.md has it."""
        named = {"CA_FILE": self.certificate, "CLIENT__CERT": self.certificate, "CLIENT__KEY": self.key}
        return {f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(path) for name, path in named.items()}


def test_a_scheduler_and_worker_in_other_processes_make_the_same_files(
    tmp_path: Path, plain: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, source = tmp_path / "run", FakeSource(tmp_path / "calls.txt")
    plan = map_plan(tmp_path, source)
    with scheduler_and_worker() as address:
        summary: RunSummary = carry_out(folder, plan, scheduler=address)
        summary.raise_if_incomplete()
        assert predictions(folder) == plain
        assert len(source.called()) == 6

        opened, _ = open_or_create(tmp_path / "unseen", plan)
        monkeypatch.setattr(scheduler, "_sees", not_shared)
        with pytest.raises(InputError, match="storage that all Dask workers share"):
            run(tmp_path / "unseen", opened, scheduler=address, device="cpu")


@contextmanager
def dask_started_with(environment: dict[str, str]) -> Iterator[None]:
    """Dask reads the environment when it is imported; here once more."""
    try:
        dask.config.refresh(env={**os.environ, **environment})
        yield
    finally:
        dask.config.refresh()


def test_a_scheduler_with_certificates_serves_who_names_them_to_dask(
    tmp_path: Path, plain: dict[str, bytes]
) -> None:
    ours, others = (Certificates.made(tmp_path / name) for name in ("ours", "others"))
    with scheduler_and_worker("tls", ours) as address:
        for environment in ({}, others.of_environment()):
            refused = pytest.raises(InputError, match=r"tls://.*wants a certificate.*docs/trust\.md")
            with refused, dask_started_with(environment):
                scheduler.require_scheduler(address)
        with pytest.raises(InputError, match="its address begins with tls://"):
            scheduler.require_scheduler(address.replace("tls", "tcp"))
        with dask_started_with(ours.of_environment()):
            carry_out(tmp_path / "run", map_plan(tmp_path, FakeSource()), scheduler=address)
    assert predictions(tmp_path / "run") == plain


def test_the_cluster_of_this_machine_answers_its_own_client_only() -> None:
    with scheduler.local_client(WorkerPlan(1)) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert client.submit(abs, -1).result() == 1
        for asked in (address, address.replace("tls", "tcp")):
            with pytest.raises(InputError, match="No Dask scheduler answers"):
                scheduler.require_scheduler(asked)
        others = Security.temporary()
        context = others.get_connection_args("client")["ssl_context"]
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it asks the cluster for nothing
        for port in listening(client):
            assert not answers(port, context)


def test_a_refused_client_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    loop_of_a_new_thread = distributed.utils.get_loop_factory

    def collecting() -> Any:
        gc.collect()  # as Python may at any moment; Dask holds its lock here
        return loop_of_a_new_thread()

    monkeypatch.setattr(distributed.utils, "get_loop_factory", collecting)
    for _ in range(2):
        with pytest.raises(InputError, match="TLS expects"):
            scheduler.require_scheduler("tls://127.0.0.1:9")


def listening(client: Client) -> list[int]:
    """All ports that the cluster's processes listen at, none of them open to other machines."""
    own = psutil.Process()
    processes = [own, *own.children(recursive=True)]
    found = [c.laddr for p in processes for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {place.ip for place in found} == {"127.0.0.1"}
    return [place.port for place in found]


def answers(port: int, context: ssl.SSLContext) -> bool:
    """Whether a port says anything but no to a stranger who asks by TLS, in plain words, or by HTTP."""
    here = ("127.0.0.1", port)
    with suppress(OSError), context.wrap_socket(socket.create_connection(here, timeout=1)) as encrypted:
        return bool(encrypted.recv(1))  # a refusal comes after the handshake
    with suppress(OSError), socket.create_connection(here, timeout=1) as plain:
        plain.sendall(b"GET /info/main/workers.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = plain.recv(100)
        return bool(said) and b" 404 " not in said
    return False


def test_two_clusters_at_once_say_nothing(recwarn: pytest.WarningsRecorder) -> None:
    with scheduler.local_client(WorkerPlan(1)), scheduler.local_client(WorkerPlan(1)):
        pass
    assert [str(one.message) for one in recwarn if "Port" in str(one.message)] == []


@pytest.mark.slow
def test_threads_of_a_worker_share_the_memory_that_they_have_freed() -> None:
    with scheduler.local_client(WorkerPlan(1)) as client:
        assert set(client.run(os.getenv, "MALLOC_ARENA_MAX").values()) == {"1"}


def not_shared(folder: str) -> bool:
    """Stands for a worker on a machine that does not mount the run folder."""
    return False


def test_a_scheduler_that_does_not_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_PATIENCE", 0.5)
    with pytest.raises(InputError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9.*--scheduler"):
        carry_out(tmp_path / "run", map_plan(tmp_path, FakeSource()), scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize("address", ["nonsense://x", "tcp://"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(InputError, match="--scheduler"):
        carry_out(tmp_path / "run", map_plan(tmp_path, FakeSource()), scheduler=address)


def test_a_record_lost_with_its_worker_is_looked_for_again_and_then_given_up(tmp_path: Path) -> None:
    window, lost = window_with_one_cell(tmp_path, client_status="running")
    assert window._outcome(lost) is None
    (suspect,) = window._suspects

    window._alone, window._cells[lost.key] = True, suspect
    record = window._outcome(lost)
    assert record is not None
    assert (record.name, record.state) == ("r0002_c0003", "failed")
    assert "workers on this cell died" in str(record.error)


def test_a_record_lost_with_its_scheduler_ends_the_run(tmp_path: Path) -> None:
    window, lost = window_with_one_cell(tmp_path, client_status="closed")
    with pytest.raises(IncompleteRunError, match="the same command continues"):
        window._outcome(lost)


def window_with_one_cell(folder: Path, client_status: str) -> tuple[scheduler._Window, Any]:
    """A window whose one cell has ended in a state that real clusters reach only by chance."""
    client = SimpleNamespace(loop=object(), status=client_status)
    setup = WorkerSetup(folder, FakeSource(), composites_only=False)
    window = scheduler._Window(setup, client, PlannedCells([]))  # type: ignore[arg-type]
    window._cells["key"] = ReadyCell(2, 3)
    return window, SimpleNamespace(key="key", status="lost")


def _interrupted(over: list[int]) -> None:
    with interrupts_held():
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"])
        os.kill(child.pid, signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        over.append(child.wait())


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows holds no signals")
def test_an_interruption_waits_and_spares_the_processes_that_begin(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    over: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        _interrupted(over)
    assert over == [0]
    assert signal.getsignal(signal.SIGINT) == before
    with interrupts_held():  # nothing came
        pass


def test_temporary_folders_of_killed_runs_are_removed(tmp_path: Path) -> None:
    dead, alive, other = (tmp_path / f"{SCRATCH}{name}" for name in ("dead", "alive", "other"))
    for folder in (dead, alive, other):
        folder.mkdir()
    (dead / "cropmap.lock").touch()
    (dead / "worker").mkdir()
    with FileLock(alive / "cropmap.lock"):
        sweep_scratch(tmp_path)
    assert (dead.exists(), alive.exists(), other.exists()) == (False, True, True)


@pytest.mark.slow
def test_a_second_cluster_on_the_machine_is_not_spoken_of(recwarn: pytest.WarningsRecorder) -> None:
    with socket.socket() as first:
        with suppress(OSError):  # where the port is taken already, all the better
            first.bind(("127.0.0.1", 8787))
            first.listen()
        with local_client(WorkerPlan(1)) as client:
            assert client.submit(sum, [1, 2]).result(timeout=60) == 3
    assert [str(one.message) for one in recwarn if "Port" in str(one.message)] == []
