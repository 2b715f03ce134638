import FleetTestSupport
import Foundation
import Testing

/// What is shown of a rollout besides its summary: to CI systems, in files, to other terminals.
@Suite(.serialized) struct ViewTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 3) }

    private func file(_ name: String) -> String {
        (try? String(contentsOfFile: fixture.directory.path + "/" + name, encoding: .utf8)) ?? ""
    }

    private func path(_ name: String) -> String { fixture.directory.path + "/" + name }

    /// The lines that GitHub's runner takes for commands (ActionCommand.TryParseV2 and TryParse).
    private func commands(in text: String) -> [String] {
        text.split(whereSeparator: \.isNewline).map(String.init).filter {
            $0.trimmingCharacters(in: .whitespaces).hasPrefix("::") || $0.contains("##[")
        }
    }

    // MARK: CI

    @Test("On GitHub a failed rollout leaves annotations by cause, a summary and outputs")
    func github() throws {
        let on = [
            "GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": path("output"),
            "GITHUB_STEP_SUMMARY": path("summary"),
        ]
        #expect(
            try fixture.fleet("deploy", "production", "--tag", "v1.0.0", environment: on).status
                == 0
        )
        let result = try fixture.fleet(
            "deploy",
            "production",
            "--tag",
            "v1.2.0",
            "--report",
            path("report.html"),
            environment: on
        )
        #expect(result.status == 10, "\(result.output)\(result.errors)")
        let commands = commands(in: result.errors)
        #expect(commands.first?.hasPrefix("::group::deploy v1.2.0") ?? false)
        #expect(commands.contains("::endgroup::"))
        let errors = commands.filter { $0.hasPrefix("::error ") }
        #expect(errors.count == 1, "\(commands)")
        #expect(errors.first?.contains("failed on 1 host::") ?? false, "\(errors)")
        #expect(commands.contains { $0.hasPrefix("::warning title=deploy v1.2.0") })
        #expect(self.commands(in: result.output).isEmpty)
        let outputs = file("output").split(separator: "\n")
        #expect(outputs.filter { $0.hasPrefix("rollout=20") }.count == 2)
        #expect(outputs.suffix(2) == ["outcome=reverted", "report=\(path("report.html"))"])
        #expect(file("summary").contains("✅ succeeded") && file("summary").contains("reverted"))
        #expect(file("report.html").hasPrefix("<!doctype html>"))
    }

    @Test("What a host prints is no command to GitHub's runner, wherever fleet shows it")
    func obeyNobody() throws {
        let script = #"""
            printf '::error::a\n   ::add-mask::b\n\t::stop-commands::c\nx ##[set-env name=PATH;]d\n\302\240::debug::e\n:'
            printf ':group::f\n'; exit 3
            """#
        for arguments in [
            ["exec", "production", "--", script],
            ["exec", "production", "-o", "json", "--", script],
            ["exec", "production", "--progress", "plain", "--", script],
        ] {
            let result = try fixture.fleet(
                arguments,
                environment: ["GITHUB_ACTIONS": "true"]
            )
            #expect(result.status == 1)
            #expect(commands(in: result.output).isEmpty, "\(result.output)")
            let own = commands(in: result.errors).filter {
                !$0.hasPrefix("::group::exec") && $0 != "::endgroup::"
                    && !$0.hasPrefix("::error title=")
            }
            #expect(own.isEmpty, "\(own)")
        }
        // Nothing is taken away, and nobody else's output is changed.
        let plain = try fixture.fleet("exec", "production", "-l", "web1", "--", "echo '##[x]'")
        #expect(plain.output.contains("##[x]"))
    }

    @Test("On GitLab the lines can be folded, and later jobs get variables")
    func gitlab() throws {
        let result = try fixture.fleet(
            "deploy",
            "production",
            "--tag",
            "v1.0.0",
            "--junit",
            path("junit.xml"),
            "--outputs",
            path("fleet.env"),
            environment: ["GITLAB_CI": "true"]
        )
        #expect(result.status == 0, "\(result.errors)")
        let begin = result.errors.firstRange(
            of: /\u{1B}\[0Ksection_start:\d+:fleet_progress\[collapsed=true\]\r/
        )
        let end = result.errors.firstRange(of: /\u{1B}\[0Ksection_end:\d+:fleet_progress\r/)
        #expect(begin != nil && end != nil, "\(result.errors)")
        #expect(file("junit.xml").contains("<testcase classname=\"fleet.production.web1\""))
        let lines = file("fleet.env").split(separator: "\n")
        #expect(lines.count == 3 && lines[1] == "FLEET_OUTCOME=succeeded", "\(lines)")
        let none = try fixture.fleet(
            "exec",
            "production",
            "--progress",
            "plain",
            "--ci",
            "none",
            "--",
            "true",
            environment: ["GITLAB_CI": "true"]
        )
        #expect(!none.errors.contains("\u{1B}"))
    }

    // MARK: Forms

    @Test("Progress is lines, JSON or nothing, as asked; the option counts more than the variable")
    func forms() throws {
        func progress(_ arguments: String..., variable: String = "") throws -> Command {
            try fixture.fleet(
                ["exec", "production"] + arguments + ["--", "exit 3"],
                environment: ["FLEET_PROGRESS": variable]
            )
        }
        // A command's output is what is wanted; lines come where they are asked for.
        #expect(try progress().errors.isEmpty)
        #expect(try progress("--progress", "plain").errors.contains("exec failed: exited 3"))
        #expect(try progress("--progress", "quiet").errors.isEmpty)
        #expect(try progress("--quiet").errors.isEmpty)
        #expect(try progress(variable: "quiet").errors.isEmpty)
        #expect(
            try progress("--progress", "plain", variable: "quiet").errors.contains("exited 3")
        )
        let json = try progress("--progress", "json")
        let lines = json.errors.split(separator: "\n")
        #expect(lines.first?.hasPrefix(#"{"v":1,"#) ?? false, "\(json.errors)")
        #expect(lines.last?.contains(#""type":"rollout.ended""#) ?? false)
        #expect(json.output.contains("web[1-3] (3)  exited 3"))
        #expect(try progress("--progress", "bright").status == 64)
        let deploy = try fixture.fleet(
            ["deploy", "production", "--tag", "v1.0.0"],
            environment: ["FLEET_PROGRESS": "quiet"]
        )
        #expect(deploy.errors.isEmpty && deploy.output.contains("verified on all 3 hosts"))
    }

    @Test("A report that cannot be written is said, and changes nothing of the rollout")
    func unwritableReport() throws {
        for bad in ["/dev/full", path("no/such/directory/x.html"), fixture.directory.path] {
            let result = try fixture.fleet(
                "exec",
                "production",
                "--report",
                bad,
                "--outputs",
                bad,
                "--",
                "true"
            )
            #expect(result.status == 0, "\(bad): \(result.errors)")
            #expect(result.errors.contains("warning:"), "\(bad): \(result.errors)")
        }
    }

    @Test("A report can be made of any rollout, also of the last one, in each form")
    func reports() throws {
        #expect(try fixture.fleet("deploy", "production", "--tag", "v1.0.0").status == 0)
        let made = try fixture.fleet(
            "report",
            "--html",
            path("a.html"),
            "--junit",
            path("a.xml"),
            "--markdown"
        )
        #expect(made.status == 0, "\(made.errors)")
        #expect(made.output.hasPrefix("## ✅ succeeded: `deploy v1.0.0 to production`"))
        #expect(file("a.html").contains("verified on all 3 hosts"))
        #expect(file("a.xml").contains("failures=\"0\" errors=\"0\" skipped=\"0\""))
        let explained = try fixture.fleet("explain", "last")
        #expect(explained.output.contains("rule: every host passed its checks"))
        #expect(try fixture.fleet("report", "nope").status == 64)
        let again = try fixture.fleet("report", "last", "--html", "/dev/full")
        #expect(again.status == 64 && again.errors.contains("no regular file"), "\(again.errors)")
    }

    // MARK: Other terminals

    @Test("A detached rollout goes on by itself, and another terminal sees it to its end")
    func detached() throws {
        // What others left there long ago goes, and nothing else.
        for name in ["detached-1.log", "detached-2.log", "other.log"] {
            try fixture.directory.write("x", to: "state/" + name)
        }
        try Command.shell(
            "chmod 700 . && touch -d '40 days ago' detached-1.log other.log",
            in: path("state")
        )
        let begun = try fixture.fleet("deploy", "production", "--tag", "v1.0.0", "--detach")
        #expect(begun.status == 0, "\(begun.errors)")
        let left = try FileManager.default.contentsOfDirectory(atPath: path("state"))
        #expect(!left.contains("detached-1.log"))
        #expect(left.contains("detached-2.log") && left.contains("other.log"))
        let id = try #require(begun.output.split(separator: " ").dropFirst().first)
        #expect(begun.output.contains("next: fleet watch \(id)"), "\(begun.output)")
        let watched = try fixture.fleet("watch", String(id))
        #expect(watched.status == 0, "\(watched.output)\(watched.errors)")
        #expect(watched.output.contains("verified on all 3 hosts"))
        let events = try fixture.fleet("events", "-f", String(id)).output.split(separator: "\n")
        #expect(events.first?.contains(#""type":"rollout.planned""#) ?? false)
        #expect(events.last?.contains(#""type":"rollout.ended""#) ?? false)
        // What it ends with is what the watcher ends with.
        #expect(
            try fixture.fleet("deploy", "production", "--tag", "v1.2.0", "--detach").status == 0
        )
        #expect(try fixture.fleet("watch").status == 10)
        for index in 0..<3 { #expect(try fixture.tag(index) == "v1.0.0") }
    }

    @Test(
        "A rollout that was left in the middle is watched to where it stands, and to its end once it is taken up"
    )
    func abandoned() throws {
        let hold = fixture.directory.path + "/hold"
        try fixture.directory.write(
            """
            name: Hold
            steps:
              - name: hold
                run: until [ -e \(hold) ]; do sleep 0.1; done
            """,
            to: "project/playbooks/hold.yml"
        )
        let begun = try fixture.fleet("run", "hold", "production", "--yes", "--detach")
        #expect(begun.status == 0, "\(begun.errors)")
        let id = try #require(begun.output.split(separator: " ").dropFirst().first)
        #expect(try fixture.fleet("stop", String(id), "--now", "--reason", "test").status == 0)
        #expect(try fixture.fleet("watch", String(id)).status == 30)
        try fixture.directory.write("", to: "hold")
        #expect(try fixture.fleet("resume", String(id), "--yes").status == 0)
        #expect(try fixture.fleet("watch", String(id)).status == 0)
    }

    @Test("What cannot be detached is refused before anything begins")
    func notDetached() throws {
        let dirty = try fixture.fleet("deploy", "production", "--tag", "v9.9.9", "--detach")
        #expect(dirty.status != 0 && dirty.errors.contains("v9.9.9"), "\(dirty.errors)")
        let typed = try fixture.fleet("deploy", "production", "--tag", "v1.0.0", "-K", "--detach")
        #expect(typed.status != 0)
        let both = try fixture.fleet("deploy", "production", "--tag", "v1.0.0", "-n", "--detach")
        #expect(both.status == 64)
        #expect(try fixture.fleet("history").output == "no rollout yet\n")
        #expect(try fixture.fleet("watch").status == 64)
    }
}

/// A rollout as a trace, sent to a server that keeps what it gets.
@Suite(.serialized) struct TraceSendingTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 1) }

    /// Starts a collector that answers as told, and runs fleet against it.
    private func exec(_ answers: String, _ environment: [String: String] = [:]) throws
        -> (result: Command, requests: String)
    {
        let program = """
            import http.server, os, subprocess, sys, threading
            answers = [int(word) for word in sys.argv[1].split(",")]
            got = []
            class Collector(http.server.BaseHTTPRequestHandler):
                def do_POST(self):
                    body = self.rfile.read(int(self.headers["content-length"]))
                    got.append("%s %s %s %s" % (self.path, self.headers.get("api-key"), self.headers["content-type"], body.decode()))
                    code = answers[min(len(got), len(answers)) - 1]
                    self.send_response(code)
                    if code == 302: self.send_header("location", "http://127.0.0.1:1/")
                    self.send_header("retry-after", "0")
                    self.end_headers()
                    self.wfile.write(b"no thanks")
                def log_message(self, *_): pass
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            os.environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:%d" % server.server_port)
            end = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL)
            print("\\n".join(got))
            sys.exit(end.returncode)
            """
        let result = try Command.run(
            [
                "python3", "-c", program, answers, Package.binary, "exec", "production", "--",
                "echo trace=$TRACEPARENT",
            ],
            in: fixture.directory.path + "/project",
            environment: fixture.surroundings(of: "state").merging(environment) { $1 }
        )
        return (result, result.output)
    }

    @Test("A trace is sent once the rollout has ended, and each step knows its place in it")
    func sent() throws {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        let (result, output) = try exec(
            "200",
            ["TRACEPARENT": parent, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cret"]
        )
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.errors.isEmpty, "\(result.errors)")
        #expect(
            output.contains("/v1/traces s3cret application/json {\"resourceSpans\""),
            "\(output)"
        )
        let told = try #require(
            output.firstMatch(of: /trace=00-0af7651916cd43dd8448eb211c80319c-([0-9a-f]{16})-01/)
        )
        #expect(output.contains("\"spanId\":\"\(told.1)\""))
        #expect(output.contains("\"parentSpanId\":\"b7ad6b7169203331\""))
    }

    @Test("A collector that is slow, refuses or sends elsewhere changes nothing but a warning")
    func inTheWayOfNobody() throws {
        let busy = try exec("503,200")
        #expect(busy.result.status == 0 && busy.result.errors.isEmpty, "\(busy.result.errors)")
        for answers in ["400", "503", "302"] {
            let (result, output) = try exec(
                answers,
                ["OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cret"]
            )
            #expect(result.status == 0, "\(answers)")
            #expect(result.errors.contains("warning: no trace was sent:"), "\(result.errors)")
            #expect(!result.errors.contains("s3cret"))
            #expect(output.contains("ok\n"))
        }
        let gone = try exec("200", ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"])
        #expect(gone.result.status == 0 && gone.result.errors.contains("cannot be reached"))
        // Without a place nothing is sent, and steps are told nothing.
        let off = try exec("200", ["OTEL_SDK_DISABLED": "true"])
        #expect(off.requests.contains("trace=\n"))
        #expect(!off.requests.contains("resourceSpans"))
    }
}
