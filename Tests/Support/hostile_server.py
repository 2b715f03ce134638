#!/usr/bin/python3
"""An SSH server that breaks the protocol on purpose, after a login that is in order.

    hostile_server.py DIRECTORY

DIRECTORY holds `host_key` and `key.pub`. Prints its port. The user's name says what it does wrong;
the user `honest` is treated as a good server would. Commands run in the local shell.
"""
import asyncio
import sys

import asyncssh
import asyncssh.channel
import asyncssh.connection
from asyncssh.constants import (
    MSG_CHANNEL_CLOSE, MSG_CHANNEL_DATA, MSG_CHANNEL_EOF, MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_OPEN, MSG_CHANNEL_OPEN_CONFIRMATION, MSG_CHANNEL_REQUEST, MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST, MSG_DEBUG, MSG_DISCONNECT, MSG_GLOBAL_REQUEST, MSG_IGNORE,
    MSG_CHANNEL_FAILURE, MSG_CHANNEL_OPEN_FAILURE, MSG_REQUEST_FAILURE, MSG_REQUEST_SUCCESS,
    MSG_UNIMPLEMENTED, MSG_USERAUTH_BANNER, MSG_USERAUTH_SUCCESS,
)
from asyncssh.packet import Boolean, String, UInt32

directory = sys.argv[1]


def ignore(receiver, kind, number, packet):
    """Answers to what was never asked in earnest."""


for kind in (MSG_REQUEST_FAILURE, MSG_REQUEST_SUCCESS, MSG_CHANNEL_OPEN_FAILURE,
             MSG_CHANNEL_FAILURE, MSG_CHANNEL_SUCCESS):
    asyncssh.connection.SSHConnection._packet_handlers[kind] = ignore
    asyncssh.channel.SSHChannel._packet_handlers[kind] = ignore


class Server(asyncssh.SSHServer):
    def connection_made(self, connection):
        self.connection = connection

    def begin_auth(self, user):
        self.user = user
        if user == "banners":
            for _ in range(500):
                self.connection.send_packet(
                    MSG_USERAUTH_BANNER, String("\x1b]0;owned\x07" * 200), String(""))
        if user == "early-success":
            self.connection.send_packet(MSG_USERAUTH_SUCCESS)
        return True

    def password_auth_supported(self):
        return False

    def kbdint_auth_supported(self):
        return self.user == "questions"

    def public_key_auth_supported(self):
        return self.user != "questions"

    def get_kbdint_challenge(self, user, lang, submethods):
        return ("", "", "en-US", [])

    def validate_kbdint_response(self, user, responses):
        # No question at all, again and again.
        return ("", "", "en-US", [])


def junk(connection, channel, what):
    """Sends what a good server would not."""
    number = channel._send_chan
    send = connection.send_packet
    if what == "ignored-window":
        for _ in range(64):
            send(MSG_CHANNEL_DATA, UInt32(number), String(b"x" * 32_000))
    elif what == "window-overflow":
        for _ in range(3):
            send(MSG_CHANNEL_WINDOW_ADJUST, UInt32(number), UInt32(0xFFFFFFFF))
    elif what == "unknown-channel":
        for other in (7, 99, 0xFFFFFFFF):
            send(MSG_CHANNEL_DATA, UInt32(other), String(b"stray"))
            send(MSG_CHANNEL_EOF, UInt32(other))
            send(MSG_CHANNEL_CLOSE, UInt32(other))
            send(MSG_CHANNEL_SUCCESS, UInt32(other))
            send(MSG_CHANNEL_OPEN_CONFIRMATION, UInt32(other), UInt32(5), UInt32(1), UInt32(1))
    elif what == "requests":
        for _ in range(2_000):
            send(MSG_GLOBAL_REQUEST, String("keepalive@openssh.com"), Boolean(True))
            send(MSG_GLOBAL_REQUEST, String("x" * 1_000), Boolean(False))
            send(MSG_CHANNEL_REQUEST, UInt32(number), String("what@is.this"), Boolean(True))
    elif what == "chatter":
        for _ in range(5_000):
            send(MSG_IGNORE, String(b"x" * 100))
            send(MSG_DEBUG, Boolean(True), String("debug"), String(""))
            send(MSG_UNIMPLEMENTED, UInt32(1))
    elif what == "nothings":
        for _ in range(5_000):
            send(MSG_CHANNEL_DATA, UInt32(number), String(b""))
    elif what == "extended":
        for kind in (0, 2, 7, 0xFFFFFFFF):
            send(MSG_CHANNEL_EXTENDED_DATA, UInt32(number), UInt32(kind), String(b"y" * 5_000))
    elif what == "opens":
        for kind in ("x11", "session", "forwarded-tcpip", "auth-agent@openssh.com", "x" * 300):
            send(MSG_CHANNEL_OPEN, String(kind), UInt32(50), UInt32(1 << 20), UInt32(1 << 15),
                 String("127.0.0.1"), UInt32(1), String("127.0.0.1"), UInt32(2))
    elif what == "long-packet":
        send(MSG_CHANNEL_DATA, UInt32(number), String(b"z" * 100_000))
    elif what == "lying-length":
        send(MSG_CHANNEL_DATA, UInt32(number), UInt32(0x7FFFFFFF) + b"short")
        send(MSG_CHANNEL_DATA, UInt32(number))
        send(MSG_CHANNEL_DATA)
    elif what == "lying-request":
        send(MSG_CHANNEL_REQUEST, UInt32(number), UInt32(0xFFFFFFF0) + b"exit-status")
        send(MSG_CHANNEL_REQUEST, UInt32(number), String("exit-signal"), Boolean(False),
             UInt32(0xFFFFFFFF))
    elif what == "goodbye":
        send(MSG_DISCONNECT, UInt32(11), String("\x1b[31mgo away"), String(""))
    elif what == "early-end":
        send(MSG_CHANNEL_EOF, UInt32(number))
        send(MSG_CHANNEL_CLOSE, UInt32(number))
        send(MSG_CHANNEL_DATA, UInt32(number), String(b"after the end"))
        send(MSG_CHANNEL_CLOSE, UInt32(number))
    elif what == "unknown-message":
        for kind in (60, 100, 127, 191, 192, 255):
            send(kind, String(b"what is this"))


async def handle(process):
    connection = process.get_extra_info("connection")
    user = process.get_extra_info("username")
    junk(connection, process.channel, user)
    if user == "early-end":
        return
    shell = await asyncio.create_subprocess_shell(
        process.command or "true", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        # As sshd does: a command that does not end is ended with its group, not with us.
        stderr=asyncio.subprocess.DEVNULL, start_new_session=user != "one-group")

    async def feed():
        while True:
            data = await process.stdin.read(65_536)
            if not data:
                break
            shell.stdin.write(data)
            await shell.stdin.drain()
        shell.stdin.close()

    feeding = asyncio.ensure_future(feed())
    pieces = 0
    while True:
        data = await shell.stdout.read(1_000)
        if not data:
            break
        process.stdout.write(data)
        pieces += 1
        if pieces == 2:
            junk(connection, process.channel, user)
    feeding.cancel()
    process.exit(await shell.wait())


async def main():
    server = await asyncssh.create_server(
        Server, "127.0.0.1", 0, server_host_keys=[directory + "/host_key"],
        authorized_client_keys=directory + "/key.pub", process_factory=handle, encoding=None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.get_event_loop().run_until_complete(main())
