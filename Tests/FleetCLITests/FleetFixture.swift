import FleetTestSupport
import Foundation

/// A small fleet of real hosts, a repository with three releases, and a project for them.
///
/// The service is a Python web server from the standard library; `appctl` takes systemctl's verbs.
final class FleetFixture {
    let directory: TemporaryDirectory
    let servers: [SSHDServer]
    /// Where each host's service listens: an address of its own, where no other host's can answer.
    private let addresses: [String]
    private let ports: [Int]

    /// Whether everybody's surroundings are hostile, here and on the hosts: the same stories are told again so.
    private static let isHostile = ProcessInfo.processInfo.environment["FLEET_HOSTILE"] != nil

    /// What reaches the hosts, where a test does not say: `FLEET_CLIENT`, as of `scripts/crash-test`.
    static let client = ProcessInfo.processInfo.environment["FLEET_CLIENT"]

    /// Where a test puts programs that come before the hosts' own.
    var lies: String { directory.path + "/lies" }

    /// Raises hosts named web1, web2 and so on.
    ///
    /// - Parameters:
    ///   - count: How many.
    ///   - isDeceitful: Whether programs in `lies` come before the hosts' own.
    ///   - configurations: More lines for each host's sshd, in their order.
    /// - Throws: ``Command/Failed`` if a host cannot be raised.
    convenience init(
        hosts count: Int = 3,
        deceitful isDeceitful: Bool = false,
        configurations: [[String]] = []
    ) throws {
        let directory = try TemporaryDirectory()
        let path = isDeceitful ? directory.path + "/lies:/usr/sbin:/usr/bin:/sbin:/bin" : nil
        let isHostile = Self.isHostile
        let servers = try (0..<count).map { index in
            try SSHDServer(
                configuration: index < configurations.count ? configurations[index] : [],
                searchPath: path,
                hostile: isHostile
            )
        }
        try self.init(in: directory, servers: servers)
    }

    /// The same with hosts that stand already.
    init(in directory: TemporaryDirectory, servers: [SSHDServer]) throws {
        self.directory = directory
        self.servers = servers
        addresses = servers.map { _ in Loopback.address() }
        ports = try addresses.map { try Listener(address: $0).port }
        try makeRepository()
        for (server, (address, port)) in zip(servers, zip(addresses, ports)) {
            try Program.write(Self.control, to: server.home + "/appctl")
            try Data("\(port)\n".utf8).write(to: URL(fileURLWithPath: server.home + "/port"))
            try Data("\(address)\n".utf8).write(to: URL(fileURLWithPath: server.home + "/address"))
        }
        try directory.write(inventory(), to: "project/inventory/production.yml")
        try directory.write(Self.playbook, to: "project/playbooks/deploy.yml")
    }

    deinit {
        for server in servers {
            _ = try? Command.run(
                ["sh", "-c", "kill $(cat \"$HOME/app.pid\") 2>/dev/null"],
                environment: ["HOME": server.home]
            )
        }
    }

    func inventory(_ ssh: String = "", hosts: Range<Int>? = nil) -> String {
        let ssh = ssh.isEmpty ? Self.client.map { ", client: \($0)" } ?? "" : ssh
        var text =
            "vars: { repository: \(directory.path)/origin.git }\ngroups:\n  web:\n    hosts:\n"
        for (index, server) in servers.enumerated() where hosts?.contains(index) ?? true {
            text += """
                      web\(index + 1):
                        ssh: { hostname: 127.0.0.1, port: \(server.port), identity_file: \(server.keyFile), known_hosts: \(server.knownHostsFile) \(ssh) }
                        vars: { address: \(addresses[index]), port: \(ports[index]) }

                """
        }
        return text
    }

    private func makeRepository() throws {
        try directory.write(Self.application, to: "work/app.py")
        try Command.shell(
            """
            export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t
            export GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
            git init -q --bare -b main origin.git
            cd work
            git init -q -b main .
            release() { echo "$1" >VERSION; echo "$2" >HEALTH; git add -A; git commit -qm "$1"; git tag -a "$1" -m "$1"; }
            release v1.0.0 ok
            release v1.1.0 ok
            release v1.2.0 error
            git push -q ../origin.git main --tags
            """,
            in: directory.path
        )
    }

    /// Runs the built program in the project.
    func fleet(_ arguments: String..., environment: [String: String] = [:]) throws -> Command {
        try fleet(arguments, environment: environment)
    }

    /// The same in another folder below the test's directory.
    func fleet(
        _ arguments: [String],
        environment: [String: String],
        in folder: String = "project"
    ) throws -> Command {
        let result = try Command.run(
            [Package.binary] + arguments,
            in: directory.path + "/" + folder,
            environment: surroundings(of: "state").merging(environment) { $1 }
        )
        try JSONForms.check(result, of: arguments)
        return result
    }

    /// Starts the built program in the project and goes on beside it.
    ///
    /// - Parameters:
    ///   - arguments: What it is told.
    ///   - machine: Whose journal it writes; what it prints is in `MACHINE.out` and `MACHINE.err`.
    ///   - tracer: A program that starts it.
    ///   - output: Where its standard output goes instead.
    /// - Returns: The process.
    /// - Throws: ``Command/Failed`` if it cannot be started.
    func start(
        _ arguments: [String],
        on machine: String = "state",
        under tracer: [String] = [],
        output: String? = nil
    ) throws -> ChildProcess {
        for name in ["out", "err"] { try directory.write("", to: "\(machine).\(name)") }
        return try ChildProcess(
            tracer + [Package.binary] + arguments,
            in: directory.path + "/project",
            environment: surroundings(of: machine),
            files: (
                "/dev/null", output ?? directory.path + "/\(machine).out",
                directory.path + "/\(machine).err"
            )
        )
    }

    /// What a started program has printed.
    func said(_ machine: String = "state") -> String {
        (directory.read("\(machine).out") ?? "") + (directory.read("\(machine).err") ?? "")
    }

    func surroundings(of machine: String) -> [String: String] {
        let own = [
            "FLEET_STATE_DIR": "\(directory.path)/\(machine)", "HOME": directory.path,
            "SSH_AUTH_SOCK": "", "CI": "", "FLEET_TRUSTED_FILES": "all",
        ]
        guard Self.isHostile else { return own }
        let hostile = try? HostileSurroundings.write(to: directory)
        return (hostile ?? [:]).merging(own) { $1 }
    }

    /// What a host's service manager is told.
    func control(_ verb: String, on index: Int) throws {
        let home = servers[index].home
        let told = try Command.run([home + "/appctl", verb, "app"], environment: ["HOME": home])
        guard told.status == 0 else { throw Command.Failed(description: told.errors) }
    }

    /// What a host's own database answers, a row to a line; several statements are separated by `;`.
    @discardableResult
    func sql(_ text: String, on index: Int) throws -> String {
        let program =
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1])\n"
            + "for s in sys.argv[2].split(';'): [print(*r) for r in c.execute(s)]\nc.commit()"
        let file = servers[index].home + "/jobs.sqlite3"
        let told = try Command.run(["/usr/bin/python3", "-c", program, file, text])
        guard told.status == 0 else { throw Command.Failed(description: told.errors) }
        return told.output.trimmingCharacters(in: .newlines)
    }

    /// What a host has checked out.
    func tag(_ index: Int) throws -> String {
        try Command.run(
            ["git", "describe", "--tags", "--exact-match"],
            in: servers[index].home + "/app"
        )
        .output.trimmingCharacters(in: .newlines)
    }

    /// The process that serves on a host; it changes with every restart.
    func process(_ index: Int) -> String {
        (try? String(contentsOfFile: servers[index].home + "/app.pid", encoding: .utf8)) ?? ""
    }

    private static let application = """
        import http.server, json, os, subprocess
        read = lambda name: open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name)).read().strip()
        VERSION, HEALTH = read("VERSION"), read("HEALTH")
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({"version": VERSION, "services": {"queue": HEALTH}}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def log_message(self, *args): pass
        http.server.ThreadingHTTPServer((os.environ["ADDRESS"], int(os.environ["PORT"])), Handler).serve_forever()
        """

    private static let control = """
        #!/bin/sh
        PATH=/usr/sbin:/usr/bin:/sbin:/bin
        running() { read -r pid 2>/dev/null <"$HOME/app.pid" && kill -0 "$pid" 2>/dev/null; }
        stop() { running || return 0; kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done; }
        start() {
            PORT=$(cat "$HOME/port") ADDRESS=$(cat "$HOME/address") setsid /usr/bin/python3 "$HOME/app/app.py" </dev/null >/dev/null 2>&1 &
            echo $! >"$HOME/app.pid"
        }
        case $1 in
        restart) stop; start ;;
        start) running || start ;;
        stop) stop ;;
        is-active) running ;;
        status) echo "asked for the status of $2" ;;
        esac
        """

    private static let playbook = """
        name: Deploy app
        serial: [1, "100%"]
        steps:
          - name: pull
            checkout: { path: ~/app, repository: "${{ vars.repository }}" }
          - name: install
            run: cp VERSION installed; echo x >>"$HOME/installs"
            idempotent: true
          - name: test
            run: test -s app.py; echo x >>"$HOME/tests"
          - name: restart
            service: { name: app, control: ~/appctl }
        smoke:
          - name: health
            http: { url: "http://${{ vars.address }}:${{ vars.port }}/health", contains: "${{ release.tag }}" }
            passes: 2
            interval: 100ms
            deadline: 5s
        """
}
