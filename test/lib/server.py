"""Starting and stopping servers on random ports with temporary data directories.

Every process started here is ended by its pid, and every directory made here is removed, when the suite
exits. A server is ready when PING answers anything but -LOADING.
"""

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import names
from report import Failure, check
from resp import Closed, Conn, ErrorReply

READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
# Outside of Linux's range of ephemeral ports, so that no client's own port is in the way.
PORT_RANGE = (10000, 32000)

_servers = []
_directories = []


@atexit.register
def _clean_up():
    for server in list(_servers):
        server.kill()
    for path in list(_directories):
        shutil.rmtree(path, ignore_errors=True)


def temp_dir(label="torc-test", parent=None):
    path = tempfile.mkdtemp(prefix=label + "-", dir=parent)
    _directories.append(path)
    return path


def remove_dir(path):
    shutil.rmtree(path, ignore_errors=True)
    if path in _directories:
        _directories.remove(path)


def free_port():
    while True:
        port = random.SystemRandom().randrange(*PORT_RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def torcd_command(port, data_dir, fsync, extra):
    command = [names.TORCD, "--port", str(port), "--data-dir", data_dir]
    if fsync is None:
        command.append("--no-persistence")
    else:
        command += ["--fsync", fsync]
    return command + list(extra)


def redis_command(port, data_dir, fsync, extra):
    command = ["redis-server", "--port", str(port), "--dir", data_dir, "--save", "", "--bind", "127.0.0.1"]
    if fsync is not None:
        # Redis' own everysec may hold back a write for two seconds while an fsync runs, so that kill -9
        # loses it; where a suite asks for everysec, `no` is what gives Torc's promise.
        policy = "always" if fsync == "always" else "no"
        command += ["--appendonly", "yes", "--appendfsync", policy, "--auto-aof-rewrite-percentage", "0"]
    return command + list(extra)


class Server:
    """One server process. `fsync` None means without persistence."""

    def __init__(self, fsync="everysec", extra=(), data_dir=None, redis=None, wrap=(), env=None, start=True,
                 stop_status=0):
        self.redis = names.REDIS if redis is None else redis
        self.fsync = fsync
        self.extra = list(extra)
        self.wrap = list(wrap)
        self.env = dict(os.environ, **(env or {}))
        self.own_dir = data_dir is None
        self.data_dir = data_dir or temp_dir()
        self.log_path = tempfile.mktemp(prefix="server-", suffix=".log", dir=temp_dir("torc-log"))
        self.process = None
        self.port = None
        self.stop_status = stop_status
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def spawn(self, port=None):
        """Starts the process and returns at once."""
        self.port = port or free_port()
        build = redis_command if self.redis else torcd_command
        command = self.wrap + build(self.port, self.data_dir, self.fsync, self.extra)
        with open(self.log_path, "ab") as log:
            try:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd=self.data_dir)
            except OSError as error:
                raise Failure("can't start %s: %s" % (command[0], error))
        _servers.append(self)

    def start(self, port=None):
        self.spawn(port)
        self.wait_ready()
        return self

    def wait_ready(self):
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure("server exited with %s while starting:\n%s" % (self.process.returncode, self.log_tail()))
            if self.answers():
                return
            time.sleep(0.01)
        raise Failure("server not ready in %d s:\n%s" % (READY_TIMEOUT_S, self.log_tail()))

    def answers(self):
        try:
            with Conn(self.port, timeout_s=5) as conn:
                reply = conn.call("PING")
        except (OSError, Closed):
            return False
        return not isinstance(reply, ErrorReply)

    def connect(self, **options):
        return Conn(self.port, **options)

    @property
    def pid(self):
        """The server's own pid, also below a wrapper such as strace."""
        if not self.wrap:
            return self.process.pid
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as children:
            pids = children.read().split()
        return int(pids[0]) if pids else self.process.pid

    def rss_bytes(self):
        with open("/proc/%d/status" % self.pid) as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise Failure("the server is gone:\n" + self.log_tail())

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log_text(self):
        try:
            with open(self.log_path, "rb") as log:
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def log_tail(self, lines=15):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def kill(self):
        """SIGKILL, to the server and to its wrapper."""
        if self.process is None:
            return
        if self.process.poll() is None:
            pids = [self.process.pid]
            if self.wrap:
                try:
                    pids.insert(0, self.pid)
                except OSError:
                    pass
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.wait()
        if self in _servers:
            _servers.remove(self)

    def stop(self):
        """SIGTERM; the exit status must be the one expected, else the test fails."""
        if not self.alive():
            status = self.process.wait()
            self.kill()
            raise Failure("server had already ended with status %s:\n%s" % (status, self.log_tail()))
        os.kill(self.pid, signal.SIGTERM)
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure("server did not stop in %d s:\n%s" % (STOP_TIMEOUT_S, self.log_tail()))
        self.kill()
        check(status == self.stop_status, "server stopped with status %s:\n%s", status, self.log_tail())

    def close(self):
        self.kill()
        if self.own_dir:
            remove_dir(self.data_dir)


def run_to_end(server, timeout_s=20):
    """Waits for a server that is expected to refuse to start; returns (status, its output)."""
    try:
        status = server.process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        server.kill()
        raise Failure("the server went on instead of refusing:\n" + server.log_tail())
    server.kill()
    return status, server.log_text()
