"""A TCP proxy that lies. The self-tests put it before a sound server to prove that a checker notices.

on_request(args) may return raw reply bytes: they are answered and the server never hears of the command.
on_reply(raw) returns what the client is told instead of `raw`.
Both may be called from several threads.
"""

import socket
import threading

from resp import Closed, Conn, Incomplete, encode, parse


class LyingProxy:
    def __init__(self, port, on_request=None, on_reply=None):
        self.target = port
        self.on_request = on_request or (lambda args: None)
        self.on_reply = on_reply or (lambda raw: raw)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            with client, Conn(self.target) as upstream:
                buf = bytearray()
                while True:
                    data = client.recv(1 << 16)
                    if not data:
                        return
                    buf += data
                    if self._answer_all(client, upstream, buf):
                        return
        except (OSError, Closed):
            pass

    def _answer_all(self, client, upstream, buf):
        """Answers all whole commands in buf; True when one of them was QUIT, which ends the connection."""
        answers = []
        quitting = False
        while buf:
            try:
                args, end = parse(buf, 0)
            except Incomplete:
                break
            del buf[:end]
            fake = self.on_request(args)
            if fake is None:
                upstream.send_raw(encode(*args))
                fake = self.on_reply(upstream.raw_reply())
            answers.append(fake)
            quitting = quitting or args[0].upper() == b"QUIT"
        client.sendall(b"".join(answers))
        return quitting
