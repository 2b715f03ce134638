import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

@testable import FleetPlaybook

/// What a service step says of a service, and what it can know of its process; by a real shell, with real
/// processes and a systemctl that answers what a test tells it.
struct ServiceStepTests {
    private let home: TemporaryDirectory
    private let address = Loopback.address()

    init() throws {
        home = try TemporaryDirectory()
        try home.write("#!/bin/sh\n[ \"$1\" != is-active ] || exit 0\n", to: "ctl", mode: 0o755)
        try Command.shell("mkdir app other", in: home.path)
    }

    private func step(_ text: String) throws -> ServiceStep {
        let reader = YAMLReader(file: "p", source: text)
        let step = ServiceStep(try YAMLDocument.parse(text, file: "p"), reader: reader)
        try reader.finish()
        return try #require(step)
    }

    private func scope(_ listens: [String] = []) -> StepScope {
        var scope = StepScope(
            environment: "test",
            endpoint: HostEndpoint(name: "web1"),
            variables: [:],
            release: (tag: "v1", commit: String(repeating: "a", count: 40))
        )
        scope.listens = listens
        return scope
    }

    private func run(_ script: Script?, _ told: [String: String] = [:]) throws -> Command {
        try Command.run(
            ["sh", "-s"],
            in: home.path,
            environment: [
                "HOME": home.path,
                "PATH": home.path + "/bin:" + (ProcessInfo.processInfo.environment["PATH"] ?? ""),
            ],
            input: try #require(script).adding(
                (["KEPT": ""].merging(told) { $1 }).map { EnvironmentVariable("FLEET_\($0)", $1) }
            ).runnableText
        )
    }

    /// What the release step's check would tell: the moment, and the directory.
    private func moment() throws -> String {
        let printed = try Command.shell(GitScript.stamp + "stamp commit", in: home.path)
        let words = printed.split(whereSeparator: \.isWhitespace)
        return "\(words[0]) \(words[1]) \(home.path)/app"
    }

    /// A process that listens, working in a folder; it has said that it does.
    private func listener(in folder: String, _ port: Int) throws -> ChildProcess {
        let log = try LogPipe(home.path + "/listener.log")
        // It sleeps until the test ends it.
        let process = try ChildProcess(
            [
                "python3", "-c",
                "import socket, sys, time; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
                    + "s.bind((sys.argv[1], int(sys.argv[2]))); s.listen(); print('up', flush=True); time.sleep(600)",
                address, String(port),
            ],
            in: home.path + "/" + folder,
            files: ("/dev/null", log.entrance, "/dev/null")
        )
        guard log.waits(for: "up") else { throw Command.Failed(description: "it does not listen") }
        return process
    }

    private func end(_ process: ChildProcess) {
        kill(process.pid, SIGKILL)
        process.wait()
    }

    @Test("Without systemd: who answers must be of the release, and younger than its files")
    func listeners() throws {
        let step = try step("{ name: app, control: ~/ctl }")
        let port = try Listener(address: address).port
        let place = "\(address):\(port)"
        func seen(_ tree: String) throws -> Command {
            try run(step.verification(in: scope([place])), ["TOLD_TREE": tree])
        }
        let nobody = try seen(moment())
        #expect(nobody.status == 0 && nobody.output.contains("unknown=nobody on this host listens"))

        let early = try moment()
        let worker = try listener(in: "app", port)
        let good = try seen(early)
        #expect(good.status == 0 && !good.output.contains("unknown"), "\(good.output)")
        let unmarked = try seen("")
        #expect(unmarked.output.contains("unknown=it is not known when the files were written"))
        let otherBoot =
            "other-boot " + early.split(separator: " ").dropFirst().joined(separator: " ")
        #expect(
            try !seen(otherBoot).output.contains("unknown"),
            "everything is younger than a boot"
        )
        // The files change, and the old worker has survived the restart.
        try eventuallyLater(than: worker)
        let late = try moment()
        let old = try seen(late)
        #expect(
            old.status == 1 && old.output.contains("E_PROCESS process \(worker.pid)"),
            "\(old.output)"
        )
        end(worker)

        let stranger = try listener(in: "other", port)
        defer { end(stranger) }
        let foreign = try seen(early)
        #expect(foreign.status == 0)
        #expect(foreign.output.contains("unknown=\(place) is answered by process \(stranger.pid)"))
    }

    /// Waits for the kernel's next tick: the age of a process is counted in those.
    private func eventuallyLater(than process: ChildProcess) throws {
        func ticks() throws -> Int {
            let words = try moment().split(separator: " ")
            return try #require(Int(words[1]))
        }
        let start = try ticks()
        while try ticks() <= start {}
    }

    /// A systemctl that answers with a file of properties, and notes what it was asked.
    private func systemctl(_ facts: String, verb: String = "") throws {
        try home.write(facts, to: "facts")
        try home.write(
            """
            #!/bin/sh
            echo "$*" >>"$HOME/asked"
            for word do
                case $word in
                show) cat "$HOME/facts"; exit ;;
                daemon-reload) sed -i 's/NeedDaemonReload=yes/NeedDaemonReload=no/' "$HOME/facts"; exit ;;
                is-active | is-enabled | status) exit 0 ;;
                restart) \(verb.isEmpty ? "exit 0" : verb) ;;
                esac
            done
            """,
            to: "bin/systemctl",
            mode: 0o755
        )
    }

    private func facts(
        pid: Int = 0,
        restarts: Int = 0,
        reload: Bool = false,
        load: String = "loaded",
        group: String = "/none.slice/app.service",
        killMode: String = "control-group"
    )
        -> String
    {
        """
        LoadState=\(load)
        ActiveState=active
        SubState=running
        MainPID=\(pid)
        NRestarts=\(restarts)
        ControlGroup=\(group)
        KillMode=\(killMode)
        NeedDaemonReload=\(reload ? "yes" : "no")

        """
    }

    @Test("A service that systemd starts again and again does not stay up")
    func flapping() throws {
        let step = try step("{ name: app }")
        try systemctl(facts(pid: 100))
        let first = try run(step.verification(in: scope()))
        #expect(first.status == 0 && first.output.contains("keep 100/0\n"), "\(first.output)")
        #expect(first.output.contains("unknown=no process of app can be looked at"))
        try systemctl(facts(pid: 200, restarts: 3))
        let second = try run(step.verification(in: scope()), ["KEPT": "100/0"])
        #expect(second.status == 1, "\(second.output)")
        #expect(second.output.contains("E_SERVICE app does not stay up: its process was 100"))
        #expect(try run(step.verification(in: scope()), ["KEPT": "200/3"]).status == 0)
    }

    @Test(
        "An old worker is no fault of a playbook that leaves processes of another service running"
    )
    func otherServices() throws {
        let port = try Listener(address: address).port
        let worker = try listener(in: "app", port)
        defer { end(worker) }
        try eventuallyLater(than: worker)
        var scope = scope(["\(address):\(port)"])
        scope.restartsEveryService = false
        let seen = try run(
            step("{ name: worker, control: ~/ctl }").verification(in: scope),
            ["TOLD_TREE": moment()]
        )
        #expect(seen.status == 0, "\(seen.output)")
        #expect(
            seen.output.contains("unknown=\(address):\(port) is answered by process \(worker.pid)")
        )
        #expect(try step("{ name: web, state: reloaded }").leavesProcesses)
        #expect(try !step("{ name: web }").leavesProcesses)
    }

    private static let hasControlGroups = ["", "/systemd", "/unified"].contains {
        FileManager.default.fileExists(atPath: "/sys/fs/cgroup\($0)/cgroup.procs")
    }

    @Test(
        "What a restart is meant to leave running is no fault; what it should have ended is",
        .enabled(if: hasControlGroups),
        arguments: [("process", 0, "unknown="), ("control-group", 1, "E_PROCESS")]
    )
    func survivors(mode: String, status: Int32, words: String) throws {
        // The group of this test: what runs in it is older than any moment from now on.
        let own = try Command.shell("sed -n 's/^0:://p' /proc/self/cgroup").trimmingCharacters(
            in: .newlines
        )
        try systemctl(facts(pid: 1_000_000_000, group: own, killMode: mode))
        let seen = try run(
            step("{ name: app }").verification(in: scope()),
            ["TOLD_TREE": moment()]
        )
        #expect(seen.status == status && seen.output.contains(words), "\(seen.output)")
    }

    @Test("Files that are called like another's socket make nobody its holder")
    func forgedHolders() throws {
        let port = try Listener(address: address).port
        let server = try listener(in: "app", port)
        defer { end(server) }
        func holders() throws -> String {
            try Command.run(
                ["sh", "-s"],
                input: ProcessProof.functions
                    + "for i in $(listening \(address) \(port)); do holders \"$i\"; done; "
                    + "listening \(address) \(port) >'\(home.path)/inode'"
            ).output
        }
        #expect(try holders() == "\(server.pid)\n")
        let inode = (home.read("inode") ?? "").trimmingCharacters(in: .newlines)
        for name in ["x socket:[\(inode)]", "b\n/proc/1/fd:\nx socket:[\(inode)]"] {
            let path = home.path + "/" + name.replacing("/", with: "_")
            #expect(FileManager.default.createFile(atPath: path, contents: nil))
            let other = try ChildProcess(["sleep", "600"], files: (path, "/dev/null", "/dev/null"))
            defer { end(other) }
            #expect(try holders() == "\(server.pid)\n")
        }
    }

    @Test("A unit that only asks a daemon for its container says nothing of what runs in it")
    func clientsOfDaemons() throws {
        try Command.shell(
            "cp \"$(command -v sleep)\" app/docker; cp \"$(command -v sleep)\" app/server",
            in: home.path
        )
        func asksOthers(_ name: String) throws -> Bool {
            let process = try ChildProcess([home.path + "/app/" + name, "600"])
            defer { end(process) }
            // No event: a process tells nobody that it has become another program.
            while try Command.shell("cat /proc/\(process.pid)/comm") != name + "\n" {}
            return try Command.run(
                ["sh", "-s"],
                input: ProcessProof.functions + "asks_others \(process.pid)"
            ).status == 0
        }
        #expect(try asksOthers("docker"))
        #expect(try !asksOthers("server"))
    }

    @Test("A unit file that was changed is read again before the restart, and never runs old")
    func daemonReload() throws {
        let step = try step("{ name: app }")
        try systemctl(facts(reload: true))
        guard case .script(let action) = try step.action(in: scope()) else { return }
        let stale = try run(step.verification(in: scope()))
        #expect(stale.status == 1 && stale.output.contains("systemctl daemon-reload"))
        let done = try run(action)
        #expect(done.status == 0 && done.output.contains("has read the unit file of app again"))
        let asked = try #require(home.read("asked"))
        let reload = try #require(asked.range(of: "daemon-reload"))
        let restart = try #require(asked.range(of: "restart app"))
        #expect(reload.lowerBound < restart.lowerBound)
    }

    /// Row K3.
    @Test(
        "A rule of sudoers for `restart app` alone is enough, and one for another unit is refused in preflight",
        .enabled(if: getuid() == 0 && access("/usr/bin/sudo", X_OK) == 0)
    )
    func sudoForOneCommand() throws {
        let control = home.path + "/ctl"
        try home.write(
            "#!/bin/sh\necho \"$(id -u) $*\" >>\(home.path)/asked\n[ \"$1\" != is-active ] || exit 0\n",
            to: "ctl",
            mode: 0o755
        )
        try home.write("", to: "asked", mode: 0o666)
        chmod(home.path, 0o755)
        let path = "/etc/sudoers.d/fleet-service-test"
        try "daemon ALL=(root) NOPASSWD: \(control) restart app\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        chmod(path, 0o440)
        defer { unlink(path) }
        func asDaemon(_ script: Script?) throws -> Command {
            try Command.run(
                ["setpriv", "--reuid=1", "--regid=1", "--clear-groups", "sh", "-s"],
                in: home.path,
                environment: [
                    "HOME": home.path, "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "",
                ],
                input: try #require(script).runnableText
            )
        }
        var scope = scope()
        scope.becomeUser = "root"
        let step = try step("{ name: app, control: sudo \(control) }")
        let asked = try asDaemon(step.preflight(in: scope))
        #expect(asked.status == 0, "\(asked.output)\(asked.errors)")
        #expect(home.read("asked")?.contains("restart") == false)
        guard case .script(let script) = try step.action(in: scope) else { return }
        #expect(script.becomeUser == nil)
        let done = try asDaemon(script)
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(home.read("asked")?.contains("0 restart app\n") == true)
        #expect(home.read("asked")?.contains("1 is-active app\n") == true)
        // Listed, but only for whoever types a password.
        try "daemon ALL=(root) NOPASSWD: /bin/ls\ndaemon ALL=(root) \(control) restart app\n"
            .write(toFile: path, atomically: false, encoding: .utf8)
        let asking = try asDaemon(step.preflight(in: scope))
        #expect(asking.status == 1 && asking.output.hasPrefix("E_SUDO"), "\(asking.output)")
        // Others, with tags and lists of their own.
        for rule in [
            "NOPASSWD: /bin/ls, \(control) restart app, PASSWD: /bin/cat", "NOPASSWD: ALL",
            "PASSWD: /bin/cat, NOPASSWD: \(control) restart app",
        ] {
            try "daemon ALL=(root) \(rule)\n".write(
                toFile: path,
                atomically: false,
                encoding: .utf8
            )
            let free = try asDaemon(step.preflight(in: scope))
            #expect(free.status == 0, "\(rule): \(free.output)")
        }
        try "daemon ALL=(root) NOPASSWD: \(control) restart app\n"
            .write(toFile: path, atomically: false, encoding: .utf8)
        let other = try self.step("{ name: other, control: sudo \(control) }")
        let refused = try asDaemon(other.preflight(in: scope))
        #expect(refused.status == 1 && refused.output.hasPrefix("E_SUDO"), "\(refused.output)")
        #expect(
            refused.output.contains("daemon ALL=(root) NOPASSWD: \(control) restart other")
        )
        #expect(throws: (any Error).self) {
            try self.step("{ name: app, scope: user, control: sudo systemctl }")
        }
    }

    /// Row K3.
    @Test(
        "What preflight can see of a unit is refused there",
        arguments: [
            ("masked", "is masked"), ("not-found", "knows no unit"), ("bad-setting", "bad-setting"),
        ]
    )
    func preflight(load: String, words: String) throws {
        try systemctl(facts(load: load))
        let asked = try run(step("{ name: app }").preflight(in: scope()))
        #expect(asked.status == 1 && asked.output.hasPrefix("E_SERVICE"))
        #expect(asked.output.contains(words), "\(asked.output)")
    }

    /// Row K3.
    @Test(
        "A name that stands for several services is none",
        arguments: ["worker@*", "w?", "[ab]", "a b", ""]
    )
    func patterns(name: String) throws {
        #expect(throws: (any Error).self) { try step("{ name: \"\(name)x*\" }") }
        var scope = scope()
        scope.variables = ["unit": name]
        let asked = try run(
            step("{ name: \"${{ vars.unit }}\", control: ~/ctl }").preflight(in: scope)
        )
        #expect(
            asked.status == 1 && asked.output.contains("not the name of one service"),
            "\(asked.output)"
        )
    }

    /// Row K2.
    @Test(
        "A process has to do with the release if it works there or was started with it, or its unit says so",
        arguments: [
            ("app", "sleep 600", "", true), ("other", "sleep 600", "", false),
            ("other", "HOME/app/run 600", "", true), ("other", "HOME/link/run 600", "", true),
            ("other", "sleep 600", "WorkingDirectory=HOME/link\n", true),
            ("other", "sleep 600", "WorkingDirectory=!HOME/app\n", true),
            ("other", "sleep 600", "WorkingDirectory=HOME/other\n", false),
            (
                "other", "sleep 600",
                "ExecStart={ path=/bin/sh ; argv[]=/bin/sh HOME/app/run ; }\n", true
            ),
            (
                "other", "sleep 600",
                "ExecStart={ path=/usr/bin/docker ; argv[]=docker run x ; }\n", false
            ),
        ]
    )
    func ofTheRelease(folder: String, command: String, unit: String, isOfIt: Bool) throws {
        try Command.shell("cp $(command -v sleep) app/run; ln -s app link", in: home.path)
        let words = command.replacing("HOME", with: home.path).split(separator: " ").map(
            String.init
        )
        let process = try ChildProcess(words, in: home.path + "/" + folder)
        defer { end(process) }
        try home.write(facts() + unit.replacing("HOME", with: home.path), to: "facts")
        let script = Script(
            ServiceStep.functions + ProcessProof.functions
                + "facts=$(cat facts); tree_dir=$PWD/app\nof_release \(process.pid) && echo yes || echo no"
        )
        #expect(try run(script).output == (isOfIt ? "yes\n" : "no\n"))
    }

    /// Row K2.
    @Test(
        "Who listens is found at any address of this host, and elsewhere it is said that nobody can see"
    )
    func listeningPlaces() throws {
        let listener = try Listener(address: "127.0.0.1")
        func inodes(_ place: String) throws -> Command {
            try run(
                Script(
                    ProcessProof.functions + "listening \(place) \(listener.port); echo \"rc $?\""
                )
            )
        }
        for place in ["127.0.0.1", "localhost", "0.0.0.0"] {
            #expect(try inodes(place).output.wholeMatch(of: /[0-9]+\nrc 0\n/) != nil, "\(place)")
        }
        #expect(try inodes("10.9.9.9").output == "rc 0\n")
        for place in ["app.example.com", "fe80::1", "1.2.3.4.5"] {
            #expect(try inodes(place).output == "rc 1\n", "\(place)")
        }
    }

    /// Row K2.
    @Test(
        "A service that ran before it was stopped runs again on the way back, or the way back says so"
    )
    func stoppedAndBack() throws {
        try home.write(
            "#!/bin/sh\ncase $1 in is-active) [ -e up ] ;; start) [ ! -e broken ] && : >up ;; stop) rm -f up ;; esac\n",
            to: "ctl",
            mode: 0o755
        )
        let step = try step("{ name: app, control: ~/ctl, state: stopped }")
        var back = scope()
        back.direction = .revert
        guard case .script(let last) = try step.lastRevertAction(in: back),
            let check = try step.verification(in: back)
        else { return #expect(Bool(false)) }
        func run(_ script: Script, was active: String) throws -> Command {
            try self.run(script, ["SNAPSHOT_ACTIVE": active])
        }
        #expect(try run(check, was: "no").status == 0)
        #expect(try run(last, was: "no").status == 0)
        #expect(home.read("up") == nil)
        #expect(try run(check, was: "yes").output.contains("E_SERVICE"))
        #expect(try run(last, was: "yes").status == 0)
        #expect(home.read("up") != nil)
        #expect(try run(check, was: "yes").status == 0)
        try Command.shell("rm up; touch broken", in: home.path)
        #expect(try run(last, was: "yes").status == 1)
        #expect(try self.step("{ name: app }").lastRevertAction(in: back) == nil)
    }

    @Test(
        "What is on its way down, or is started again by itself, is not stopped",
        arguments: [
            ("inactive", 0), ("failed", 0), ("deactivating", 1), ("activating", 1), ("active", 1),
        ]
    )
    func onItsWay(state: String, status: Int32) throws {
        try systemctl("LoadState=loaded\nActiveState=\(state)\nNeedDaemonReload=no\n")
        // Its own word would be believed for all of them.
        try Command.shell("sed -i 's/is-active | //' bin/systemctl", in: home.path)
        guard
            case .script(let script) = try step("{ name: app, state: stopped }").action(in: scope())
        else { return #expect(Bool(false)) }
        let result = try run(script)
        #expect(result.status == status, "\(result.output)\(result.errors)")
        #expect(status == 0 || result.output.contains("app is still \(state)"), "\(result.output)")
    }

    @Test("A service that comes to rest a moment later is stopped")
    func stopsLater() throws {
        try home.write(
            """
            #!/bin/sh
            for word do
                case $word in
                show)
                    n=$(cat "$HOME/n" 2>/dev/null || echo 0)
                    echo $((n + 1)) >"$HOME/n"
                    state=deactivating
                    [ "$n" -lt 3 ] || state=inactive
                    printf 'LoadState=loaded\\nActiveState=%s\\nNeedDaemonReload=no\\n' "$state"
                    exit ;;
                stop) exit 0 ;;
                esac
            done
            """,
            to: "bin/systemctl",
            mode: 0o755
        )
        guard
            case .script(let script) = try step("{ name: app, state: stopped }").action(in: scope())
        else { return #expect(Bool(false)) }
        let result = try run(script)
        #expect(result.status == 0, "\(result.output)\(result.errors)")
    }

    @Test("A service that shall be stopped is not watched: a later step may start it")
    func stopped() throws {
        #expect(try step("{ name: app, state: stopped }").verification(in: scope()) == nil)
    }
}
