import FleetOperations
import FleetReport
import FleetRollout
import FleetSSH
import FleetServing
import FleetTestSupport
import FleetTransport
import Foundation
import Synchronization

@testable import FleetServer

/// A server on a port of its own, the repository that it deploys, and an environment on this machine for each of two names.
final class ServerFixture: Sendable {
    let directory: TemporaryDirectory
    let log = Mutex<[String]>([])
    private let running = Mutex<
        (server: FleetServer, task: Task<Void, Never>, stop: AsyncStream<Void>.Continuation)?
    >(nil)
    private let portNumber = Mutex(0)
    private let engineBox = Mutex<ServerEngine?>(nil)

    static let secret = "a secret that nobody guesses"
    static let password = "correct horse battery"
    static let publicURL = "http://fleet.test"

    var engine: ServerEngine {
        guard let engine = engineBox.withLock({ $0 }) else {
            preconditionFailure("the server was not started")
        }
        return engine
    }
    var port: Int { portNumber.withLock { $0 } }
    var path: String { directory.path }

    /// Makes the repository and the files; nothing runs yet.
    ///
    /// - Parameters:
    ///   - production: More lines of production's inventory.
    ///   - more: More lines of the server file.
    ///   - hooks: The hooks; nil for one of GitHub's.
    /// - Throws: ``Command/Failed``.
    init(
        production: String = "policy: { require: [approved] }",
        more: String = "",
        hooks: String? = nil
    ) throws {
        directory = try TemporaryDirectory()
        try Command.shell(
            """
            mkdir -m 700 home && git init -q --bare -b main app.git && git clone -q app.git app 2>/dev/null
            cd app && git config user.name ada && git config user.email ada@example.org
            mkdir inventory playbooks
            """,
            in: directory.path
        )
        for (name, lines) in [("staging", ""), ("production", production)] {
            try directory.write(
                "ssh: { client: local }\nvars: { place: \(directory.path)/\(name) }\nhosts: [\(name)1]\n\(lines)\n",
                to: "app/inventory/\(name).yml"
            )
        }
        try directory.write(
            """
            name: Deploy
            steps:
              - { name: code, checkout: { repository: "\(directory.path)/app.git", path: "${{ vars.place }}" } }
              - { name: say, run: "cat ${{ vars.place }}/said" }
            smoke:
              - { name: good, command: "grep -q good ${{ vars.place }}/state", deadline: 2s }
            """,
            to: "app/playbooks/deploy.yml"
        )
        try directory.write("\(Self.secret)\n", to: "secret")
        try Command.shell("chmod 600 secret", in: directory.path)
        try directory.write(
            """
            listen: 127.0.0.1:0
            public_url: \(Self.publicURL)
            project: { repository: \(directory.path)/app.git, trust: branch, poll: 1h }
            accounts:
              ada: { role: admin, addresses: [ada@example.org], logins: { github: ada-l } }
              bob: { role: [deploy, approve], addresses: [bob@example.org] }
              eve: { role: { staging: see } }
              dan: { role: { staging: [deploy], production: [see] } }
            \(hooks ?? hook("app", "github"))
            \(more)
            """,
            to: "server.yml"
        )
    }

    /// A hook's lines.
    private func hook(_ name: String, _ provider: String) -> String {
        """
        hooks:
          \(name):
            provider: \(provider)
            secret: { file: \(directory.path)/secret }
            repository: \(directory.path)/app.git
            project: acme/app
            poll: 1h
            rules:
              - { branch: main, deploy: staging }
              - { tag: "v*", deploy: [staging, production] }
        """
    }

    /// Commits a release and pushes it.
    func commit(
        _ message: String,
        state: String = "good",
        said: String = "hello",
        tag: String? = nil
    ) throws {
        try directory.write(state + "\n", to: "app/state")
        try directory.write(said + "\n", to: "app/said")
        try directory.write(message, to: "message")
        let tagging = tag.map { "git tag -am \($0) \($0) && " } ?? ""
        try Command.shell(
            "git add -A && git commit -qF ../message --allow-empty && \(tagging)git push -q origin HEAD:main --tags --force",
            in: directory.path + "/app"
        )
    }

    /// What the server has said.
    var said: [String] { log.withLock { $0 } }

    /// The commit that something points at.
    func revision(_ name: String = "HEAD") throws -> String {
        try Command.shell("git rev-parse '\(name)^{commit}'", in: directory.path + "/app")
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    var settings: Controller.Settings {
        Controller.Settings(
            stateDirectory: directory.path + "/state",
            ssh: SSHTransport.Environment(
                home: directory.path + "/home",
                user: NSUserName(),
                agentSocket: nil
            ),
            variables: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": directory.path + "/home"],
            prompt: { _ in .unavailable(reason: "nobody is there") }
        )
    }

    /// Opens the engine; the one before may need a moment until its last task has ended.
    func open() async throws -> ServerEngine {
        let file = try ServerFileOpening.read(directory.path + "/server.yml")
        let end = ContinuousClock.now + .seconds(10)
        while true {
            do throws(OperationFailure) {
                return try ServerEngine(
                    file,
                    settings,
                    credentials: nil,
                    machine: "box",
                    version: "0",
                    owner: "a test",
                    say: { [self] happening in log.withLock { $0.append("\(happening)") } }
                )
            } catch {
                guard error.status == .locked, ContinuousClock.now < end else { throw error }
            }
            // No event: nobody tells when the last reference is gone.
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Starts the server.
    func start() async throws {
        let engine = try await open()
        engineBox.withLock { $0 = engine }
        let server = try await FleetServer(engine, fastPasswords: true)
        let (stops, stop) = AsyncStream.makeStream(of: Void.self)
        let (ready, isReady) = AsyncStream.makeStream(of: Int.self)
        let task = Task {
            do {
                try await server.run(
                    ready: { isReady.yield($0) },
                    until: { for await _ in stops { break } }
                )
            } catch { self.log.withLock { $0.append("\(error)") } }
            isReady.finish()
        }
        running.withLock { $0 = (server, task, stop) }
        for await port in ready {
            portNumber.withLock { $0 = port }
            return
        }
        throw Stopped(log: log.withLock { $0 })
    }

    struct Stopped: Error { let log: [String] }

    /// Stops it as SIGTERM does, and waits for its end.
    func stop() async {
        guard let running = running.withLock({ $0 }) else { return }
        running.stop.finish()
        await running.task.value
        self.running.withLock { $0 = nil }
        engineBox.withLock { $0 = nil }
    }

    /// Reads the certificate anew, as SIGHUP does.
    func reload() throws { try running.withLock { $0?.server }?.reload() }

    /// Waits until something holds.
    func eventually(_ seconds: Int = 30, _ what: () async throws -> Bool) async throws -> Bool {
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end {
            if try await what() { return true }
            // No event: what is waited for is seen in the store or in an answer only.
            try await Task.sleep(for: .milliseconds(50))
        }
        return try await what()
    }

    /// A browser, or another client, with cookies of its own.
    func client(token: String? = nil) throws -> Client {
        Client(self, try TemporaryDirectory(), token)
    }

    /// Somebody who is signed in.
    func signedIn(_ account: String) async throws -> Client {
        let client = try client()
        let link = try await FleetServer.invite(account, engine)
        let page = try await client.get(String(link.dropFirst(Self.publicURL.count)))
        let path = String(link.dropFirst(Self.publicURL.count))
        let reply = try await client.post(
            path,
            ["password": Self.password, "again": Self.password],
            on: page
        )
        guard reply.status == 303 else { throw Unexpected(reply: reply) }
        return client
    }

    struct Unexpected: Error { let reply: Client.Reply }
}

/// curl with a jar of cookies.
struct Client {
    struct Reply {
        let status: Int
        let headers: String
        let body: String

        /// The secret that a page's forms hold.
        var csrf: String {
            guard let start = body.firstRange(of: "name=\"csrf\" value=\"") else { return "" }
            return String(body[start.upperBound...].prefix { $0 != "\"" })
        }

        /// The name of the preview that a page shows; nil if it shows none.
        var preview: String? {
            body.firstRange(of: "name=\"preview\" value=\"").map {
                String(body[$0.upperBound...].prefix { $0 != "\"" })
            }
        }

        func header(_ name: String) -> String? {
            headers.split(whereSeparator: \.isNewline).first {
                $0.lowercased().hasPrefix(name.lowercased() + ":")
            }
            .map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) }
        }
    }

    private let fixture: ServerFixture
    private let folder: TemporaryDirectory
    private let token: String?

    init(_ fixture: ServerFixture, _ folder: TemporaryDirectory, _ token: String?) {
        self.fixture = fixture
        self.folder = folder
        self.token = token
    }

    /// Sends a request with whatever curl can be told, on a thread of its own: the server needs those of the pool.
    func send(_ path: String, _ options: [String] = []) async throws -> Reply {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(with: Result { try self.sendNow(path, options) })
            }
        }
    }

    private func sendNow(_ path: String, _ options: [String]) throws -> Reply {
        let jar = folder.path + "/jar"
        var words = [
            "curl", "-s", "--path-as-is", "-D", folder.path + "/headers", "-b", jar, "-c", jar,
            "--max-time", "40",
        ]
        // The jar is for the name that people use.
        words += ["--resolve", "fleet.test:\(fixture.port):127.0.0.1"]
        if let token { words += ["-H", "Authorization: Bearer \(token)"] }
        let body = try Command.run(words + options + ["http://fleet.test:\(fixture.port)\(path)"])
            .output
        let headers = try String(contentsOfFile: folder.path + "/headers", encoding: .utf8)
        // The last status, behind a `100 Continue`.
        let line = headers.split(whereSeparator: \.isNewline).last { $0.hasPrefix("HTTP/") } ?? ""
        return Reply(
            status: line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0,
            headers: headers,
            body: body
        )
    }

    func get(_ path: String) async throws -> Reply { try await send(path) }

    /// Sends a form of a page.
    func post(
        _ path: String,
        _ fields: [String: String],
        on page: Reply? = nil,
        origin: String = ServerFixture.publicURL
    )
        async throws -> Reply
    {
        var options = ["-X", "POST", "-H", "Origin: \(origin)"]
        var all = fields
        if let page { all["csrf"] = page.csrf }
        for (name, value) in all.sorted(by: { $0.key < $1.key }) {
            options += ["--data-urlencode", "\(name)=\(value)"]
        }
        if all.isEmpty { options += ["--data", ""] }
        return try await send(path, options)
    }

    /// Sends JSON.
    func post(_ path: String, json: String) async throws -> Reply {
        try await send(
            path,
            ["-X", "POST", "-H", "Content-Type: application/json", "--data-binary", json]
        )
    }

    /// Delivers a body as GitHub does; openssl signs it.
    func deliver(
        _ body: String,
        event: String = "push",
        id: String,
        hook: String = "app",
        secret: String = ServerFixture.secret,
        type: String = "application/json"
    )
        async throws -> Reply
    {
        try folder.write(body, to: "body")
        let digest = try Command.run([
            "openssl", "dgst", "-sha256", "-hmac", secret, "-r", folder.path + "/body",
        ]).output.prefix(64)
        return try await send(
            "/hooks/\(hook)",
            [
                "-X", "POST", "-H", "Content-Type: \(type)", "-H",
                "X-GitHub-Event: \(event)",
                "-H", "X-GitHub-Delivery: \(id)", "-H", "X-Hub-Signature-256: sha256=\(digest)",
                "--data-binary", "@\(folder.path)/body",
            ]
        )
    }

    /// A push of somebody.
    static func push(_ ref: String, by login: String = "ada-l") -> String {
        #"{"ref":"\#(ref)","after":"1111111111111111111111111111111111111111","#
            + #""repository":{"full_name":"acme/app"},"sender":{"login":"\#(login)"},"pusher":{"email":"x@example.org"}}"#
    }
}
