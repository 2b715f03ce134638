import FleetTestSupport
import Foundation
import Testing

/// What a person's terminal is left like, tried on a real pseudo-terminal.
@Suite(.serialized) struct TerminalTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 1) }

    /// Runs fleet on a terminal of its own; `talk` is Python that sees `wait(text)`, `type(text)`, `echo()`.
    private func onTerminal(_ arguments: [String], _ talk: String, setting: String? = nil) throws
        -> String
    {
        let program = """
            import os, pty, select, sys, termios, time
            child, terminal = pty.fork()
            if child == 0:
                os.environ.update(\(setting.map { "[\"\($0)\".split(\"=\")]" } ?? "{}"))
                os.execv(sys.argv[1], sys.argv[1:])
            seen = ""
            def read():
                global seen
                if not select.select([terminal], [], [], 60)[0]:
                    sys.exit("silence after: " + seen)
                try: piece = os.read(terminal, 65536)
                except OSError: piece = b""
                seen += piece.decode(errors="replace")
                return bool(piece)
            def wait(text):
                while text not in seen:
                    if not read(): sys.exit("no `%s` in: %s" % (text, seen))
            def type(text): os.write(terminal, text.encode())
            def echo(): return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
            def echoes(what):
                # No event: a terminal tells nobody that its modes have changed.
                for _ in range(600):
                    if echo() == what: return True
                    time.sleep(0.05)
            \(talk)
            while read(): pass
            end = os.waitpid(child, 0)[1]
            print("signal", os.WTERMSIG(end)) if os.WIFSIGNALED(end) else print("exit", os.WEXITSTATUS(end))
            """
        let result = try Command.run(
            ["env", "-u", "CI", "python3", "-c", program, Package.binary] + arguments,
            in: fixture.directory.path + "/project",
            environment: [
                "FLEET_STATE_DIR": fixture.directory.path + "/state",
                "FLEET_TRUSTED_FILES": "all",
                "HOME": fixture.directory.path,
                "SSH_AUTH_SOCK": "", "TERM": "xterm",
            ]
        )
        #expect(result.status == 0, "\(result.errors)")
        return result.output
    }

    @Test(
        "What is started to reach a host cannot ask at the terminal, where it would wait for ever",
        arguments: ["libssh2", "openssh"]
    )
    func questionsOfProxies(client: String) throws {
        try fixture.directory.write(
            "#!/bin/sh\nread -r answer </dev/tty && echo answered >&2\nexit 1\n",
            to: "proxy",
            mode: 0o755
        )
        try fixture.directory.write(
            fixture.inventory(
                ", client: \(client), proxy_command: \(fixture.directory.path)/proxy"
            ),
            to: "project/inventory/production.yml"
        )
        let said = try onTerminal(
            ["exec", "production", "--", "true"],
            """
            while read(): pass
            print(seen)
            """
        )
        #expect(said.contains("exit 1"), "\(said)")
        #expect(said.contains("E_") && !said.contains("E_TIMEOUT"), "\(said)")
    }

    @Test("A program that has a terminal is asked as a person is, unless it says that it is CI")
    func whoIsThere() throws {
        // Which release is for fleet to say, so it asks.
        let deploy = ["deploy", "production"]
        let asked = try onTerminal(
            deploy,
            """
            wait("[y/N]")
            type("n\\n")
            """
        )
        #expect(asked.contains("exit 11"), "\(asked)")
        for variable in ["CI=true", "TERM=dumb"] {
            let said = try onTerminal(
                deploy,
                """
                while read(): pass
                print(seen)
                """,
                setting: variable
            )
            #expect(said.contains("exit 11") && said.contains("add --yes"), "\(variable): \(said)")
        }
    }

    @Test("Ctrl-C at a password leaves a terminal that shows what is typed")
    func interruptedPassword() throws {
        let said = try onTerminal(
            ["exec", "production", "-k", "--", "true"],
            """
            wait("assword")
            print("asked", echoes(False))
            type("half\\x03")
            while read(): pass
            print("left", echo(), "half" in seen)
            """
        )
        #expect(said.contains("asked True"), "\(said)")
        #expect(said.contains("left True False"), "\(said)")
        #expect(said.contains("signal 2"), "\(said)")
    }

    @Test("Keys turn the live view off, explain themselves, and stop the rollout after a batch")
    func keysAreObeyed() throws {
        let plain = try onTerminal(
            ["deploy", "production", "--tag", "v1.0.0", "--yes"],
            """
            print("live", echoes(False))
            type("?")
            wait("failures only, or all")
            type("q")
            wait("the live view is off")
            print("mended", echoes(True))
            while read(): pass
            rest = seen.split("the live view is off")[1].split("\\n", 1)[1]
            print("lines", "restart" in rest, "frames", "2026h" in rest)
            print(rest)
            """
        )
        for part in ["live True", "mended True", "lines True frames False", "exit 0"] {
            #expect(plain.contains(part), "\(plain)")
        }
        let paused = try onTerminal(
            ["deploy", "production", "--tag", "v1.1.0", "--yes"],
            """
            print("live", echoes(False))
            type("p")
            while read(): pass
            print("asked", "asked to stop after this batch" in seen)
            print("heard", "asked to stop by" in seen)
            print("cursor", seen.rfind("?25h") > seen.rfind("?25l"))
            """
        )
        for part in ["asked True", "heard True", "cursor True"] {
            #expect(paused.contains(part), "\(paused)")
        }
    }

    @Test("A live view survives a terminal that becomes narrow, and a stop and its end")
    func resizedAndStopped() throws {
        let said = try onTerminal(
            [
                "exec", "production", "--",
                "echo begun; until [ -e \(fixture.directory.path)/go ]; do sleep 0.1; done",
            ],
            """
            import fcntl, signal, struct
            def size(rows, columns):
                fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            size(24, 100)
            print("live", echoes(False))
            size(8, 20)
            # The second frame behind the change is of that width for certain.
            at = len(seen)
            while seen[at:].count("2026l") < 3: read()
            frame = seen.split("\\x1b[?2026h")[-1].split("\\x1b[?2026l")[0]
            print("narrow", max(len(line) for line in frame.split("\\n")) < 60)
            os.kill(child, signal.SIGTSTP)
            print("stopped", echoes(True))
            os.kill(child, signal.SIGCONT)
            print("goes on", echoes(False))
            open(sys.argv[-1].split()[5], "w").close()
            while read(): pass
            """
        )
        for part in ["live True", "narrow True", "stopped True", "goes on True", "exit 0"] {
            #expect(said.contains(part), "\(said)")
        }
    }

    @Test("`fleet watch` mends a terminal that a killed fleet has left without echo")
    func mended() throws {
        _ = try fixture.fleet("deploy", "production", "--tag", "v1.0.0")
        let said = try onTerminal(
            ["watch", "last"],
            """
            while read(): pass
            print("cursor", "?25h" in seen)
            """
        )
        #expect(said.contains("cursor True") && said.contains("exit 0"), "\(said)")
    }

    @Test("Keys that are pressed while the live view draws leave no mark in it")
    func keysDuringLiveView() throws {
        let said = try onTerminal(
            ["deploy", "production", "--tag", "v1.1.0", "--yes"],
            """
            print("live", echoes(False))
            type("KEYS")
            while read(): pass
            print("left", echo(), "KEYS" in seen)
            """
        )
        #expect(said.contains("live True"), "\(said)")
        #expect(said.contains("left True False"), "\(said)")
        #expect(said.contains("exit 0"), "\(said)")
    }
}
