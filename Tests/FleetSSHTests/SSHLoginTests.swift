import FleetTestSupport
import FleetTransport
import Foundation
import Synchronization
import Testing

@testable import FleetSSH

/// Logging in: keys, passphrases, certificates, passwords.
@Suite(.serialized) struct SSHLoginTests {
    /// Answers questions for secrets and counts them.
    private final class Person: Sendable {
        private let asked = Mutex<[SecretSource]>([])
        let answers: [SecretSource: String]

        init(_ answers: [SecretSource: String]) { self.answers = answers }

        var questions: [SecretSource] { asked.withLock { $0 } }

        func answer(_ source: SecretSource) -> SecretAnswer {
            asked.withLock { $0.append(source) }
            return answers[source].map { .secret($0) }
                ?? .unavailable(reason: "nobody knows \(source)")
        }
    }

    private func transport(
        _ server: SSHDServer,
        _ person: Person = Person([:]),
        agent: String? = nil
    )
        -> SSHTransport
    {
        var environment = SSHTransport.Environment(
            home: server.directory.path,
            user: NSUserName(),
            agentSocket: agent,
            secret: { person.answer($0) }
        )
        environment.busyMilliseconds = 1_000
        environment.systemConfiguration = "/nonexistent"
        return SSHTransport(environment)
    }

    private func login(_ transport: SSHTransport, _ endpoint: HostEndpoint) async -> TransportError?
    {
        do throws(TransportError) {
            let session = try await transport.open(endpoint, rollout: "r1")
            await session.close(removingRunDirectory: false)
            return nil
        } catch {
            return error
        }
    }

    @Test(
        "A key file of ours that others may read is not used; one of another account is, as ssh does",
        .enabled(if: getuid() == 0)
    )
    func whoseKeyFile() async throws {
        let server = try SSHDServer()
        func reaches() async throws -> (fleet: Bool, ssh: Bool) {
            let ssh = try Command.run([
                "ssh", "-F", "none", "-i", server.keyFile, "-o", "IdentitiesOnly=yes", "-o",
                "BatchMode=yes",
                "-o", "UserKnownHostsFile=\(server.knownHostsFile)", "-p", "\(server.port)",
                "127.0.0.1", "true",
            ])
            return (await login(transport(server), server.endpoint()) == nil, ssh.status == 0)
        }
        chmod(server.keyFile, 0o644)
        #expect(try await reaches() == (false, false))
        chown(server.keyFile, 1, 1)
        #expect(try await reaches() == (true, true))
        chmod(server.keyFile, 0o600)
        #expect(try await reaches() == (true, true))
    }

    @Test("A library that a distribution has mended is told by its package's revision alone")
    func dangerousLibrary() {
        #expect(LibSSH2.danger(version: "1.10.0", package: { nil }) == nil)
        for version in ["1.11.0", "1.11.1"] {
            for bad in [nil, "\(version)-1", "\(version)-1+b2"] {
                #expect(LibSSH2.danger(version: version, package: { bad }) != nil)
            }
            for good in ["\(version)-1+deb13u1", "\(version)-1ubuntu0.1"] {
                #expect(LibSSH2.danger(version: version, package: { good }) == nil)
            }
        }
    }

    // MARK: Passphrases

    private func lock(_ server: SSHDServer, with passphrase: String) throws {
        try Command.shell(
            "ssh-keygen -q -p -a 1 -P '' -N '\(passphrase)' -f key",
            in: server.directory.path
        )
    }

    @Test func aPassphraseIsAskedForOncePerRun() async throws {
        let server = try SSHDServer()
        try lock(server, with: "open sesame")
        let question = SecretSource.prompt("the passphrase of \(server.keyFile)")
        let person = Person([question: "open sesame"])
        let transport = transport(server, person)
        let endpoints = (1...3).map { server.endpoint(name: HostName("web\($0)")) }
        await transport.prepare(endpoints)
        #expect(person.questions == [question])
        for endpoint in endpoints { #expect(await login(transport, endpoint) == nil) }
        #expect(person.questions == [question])
    }

    /// Row K9.
    @Test(
        "A known_hosts that is there and cannot be read refuses the host, and so does one that is not a file"
    )
    func unreadableKnownHosts() async throws {
        let server = try SSHDServer()
        var ssh = server.endpoint().ssh
        ssh.knownHostsFile = server.directory.path + "/hosts"
        ssh.hostKeys = .acceptNew
        try Command.shell("mkdir hosts", in: server.directory.path)
        let error = await login(transport(server), HostEndpoint(name: "web1", ssh: ssh))
        #expect(
            error?.token == "E_SSH_CONFIG" && error?.message.contains("cannot be read") == true,
            "\(String(describing: error))"
        )
    }

    /// Row K9.
    @Test("`trust` calls no host new of which another key is known, and no key that was revoked")
    func trustOfKnownHosts() async throws {
        let server = try SSHDServer()
        try Command.shell("ssh-keygen -q -t ecdsa -N '' -f other", in: server.directory.path)
        let other = try Command.shell("cut -d' ' -f1,2 other.pub", in: server.directory.path)
        try server.directory.write("[127.0.0.1]:\(server.port) \(other)", to: "hosts")
        var ssh = server.endpoint().ssh
        ssh.knownHostsFile = server.directory.path + "/hosts"
        let seen = try await transport(server).offeredKey(of: HostEndpoint(name: "web1", ssh: ssh))
        guard case .changed = seen.standing else { return #expect(Bool(false), "\(seen.standing)") }
        try server.directory.write("", to: "hosts")
        let new = try await transport(server).offeredKey(of: HostEndpoint(name: "web1", ssh: ssh))
        #expect(new.standing == .new)
    }

    @Test func aMistypedPassphraseMayBeTypedAgain() async throws {
        let server = try SSHDServer()
        try lock(server, with: "right")
        let first = SecretSource.prompt("the passphrase of \(server.keyFile)")
        let again = SecretSource.prompt(
            "wrong passphrase; once more, the passphrase of \(server.keyFile)"
        )
        let person = Person([first: "wrong", again: "right"])
        #expect(await login(transport(server, person), server.endpoint()) == nil)
        #expect(person.questions == [first, again])
    }

    @Test func withoutAPersonTheErrorSaysWhy() async throws {
        let server = try SSHDServer()
        try lock(server, with: "secret")
        let error = await login(transport(server), server.endpoint())
        guard case .credentialUnusable(let reason) = error else { return #expect(Bool(false)) }
        #expect(reason.contains("it has a passphrase, and nobody knows"))
    }

    @Test func aPassphraseFromTheInventorysPlaceIsNotAskedFor() async throws {
        let server = try SSHDServer()
        try lock(server, with: "from-env")
        var ssh = server.endpoint().ssh
        ssh.passphrase = .environment("KEY_PASS")
        let person = Person([.environment("KEY_PASS"): "from-env"])
        let endpoint = HostEndpoint(name: "web1", ssh: ssh)
        #expect(await login(transport(server, person), endpoint) == nil)
        // A wrong one is not tried again and again: each attempt counts at the agent's or at sshd's.
        let other = Person([.environment("KEY_PASS"): "wrong"])
        #expect(await login(transport(server, other), endpoint)?.token == "E_CREDENTIAL")
        #expect(other.questions.count == 1)
    }

    @Test func aLockedDefaultKeyIsLeftAloneWhenAnotherOneIsOpen() async throws {
        let server = try SSHDServer()
        try Command.shell(
            """
            mkdir -p .ssh; cp key .ssh/id_ecdsa; cp key.pub .ssh/id_ecdsa.pub
            ssh-keygen -q -t ed25519 -a 1 -N locked -f .ssh/id_ed25519
            """,
            in: server.directory.path
        )
        var ssh = server.endpoint().ssh
        ssh.identityFiles = nil
        let person = Person([:])
        let error = await login(transport(server, person), HostEndpoint(name: "w", ssh: ssh))
        #expect(error == nil)
        #expect(person.questions.isEmpty)
    }

    // MARK: Keys

    /// Row O25.
    @Test func anAgentsKeyStandsInForALockedFile() async throws {
        let server = try SSHDServer()
        let agent = try ChildProcess(["ssh-agent", "-D", "-a", server.directory.path + "/agent"])
        defer {
            kill(agent.pid, SIGTERM)
            agent.wait()
        }
        let socket = server.directory.path + "/agent"
        try await eventually("the agent is up") { FileManager.default.fileExists(atPath: socket) }
        try Command.run(
            ["ssh-add", "-q", server.keyFile],
            environment: ["SSH_AUTH_SOCK": socket, "HOME": server.directory.path]
        )
        try lock(server, with: "unknown")
        let person = Person([:])
        #expect(await login(transport(server, person, agent: socket), server.endpoint()) == nil)
        #expect(person.questions.isEmpty)
    }

    @Test func noMoreKeysAreOfferedThanAServerCounts() async throws {
        let server = try SSHDServer()
        for number in 0..<8 {
            try Command.shell(
                "ssh-keygen -q -t ed25519 -N '' -f other\(number)",
                in: server.directory.path
            )
        }
        var ssh = server.endpoint().ssh
        ssh.identityFiles = (0..<8).map { server.directory.path + "/other\($0)" }
        let error = await login(transport(server), HostEndpoint(name: "web1", ssh: ssh))
        guard case .authenticationDenied(let user, let tried, let accepts) = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        #expect(user == NSUserName())
        #expect(tried.count == CredentialStore.keyLimit + 1)
        #expect(tried.last?.contains("3 more keys were not offered: 5 are the limit") ?? false)
        #expect(tried.first == "ssh-ed25519 \(server.directory.path)/other0")
        #expect(accepts == ["publickey"])
    }

    // MARK: Certificates

    @Test(arguments: ["ecdsa", "ed25519"]) func certificatesWhereLibssh2Can(_ type: String)
        async throws
    {
        let probe = try TemporaryDirectory()
        try Command.shell("ssh-keygen -q -t ed25519 -N '' -f ca", in: probe.path)
        let server = try SSHDServer(
            configuration: [
                "TrustedUserCAKeys \(probe.path)/ca.pub", "AuthorizedKeysFile none",
            ],
            keyType: type
        )
        try Command.shell(
            "ssh-keygen -q -s \(probe.path)/ca -I me -n \(NSUserName()) key.pub",
            in: server.directory.path
        )
        let error = await login(transport(server), server.endpoint())
        withExtendedLifetime(probe) {}
        if type == "ecdsa" || LibSSH2.isModern {
            #expect(error == nil)
        } else {
            // 1.10 cannot: the error says so instead of only `denied`.
            #expect(error?.message.contains("cannot use ssh-ed25519-cert") ?? false)
        }
    }

    @Test func theKeyInACertificateIsFound() throws {
        let directory = try TemporaryDirectory()
        for type in ["ed25519", "ecdsa", "rsa"] {
            try Command.shell(
                """
                rm -f ca k k-cert.pub; ssh-keygen -q -t ed25519 -N '' -f ca
                ssh-keygen -q -t \(type) -N '' -f k; ssh-keygen -q -s ca -I x k.pub
                """,
                in: directory.path
            )
            func blob(_ name: String) throws -> [UInt8] {
                let words = (directory.read(name) ?? "").split(separator: " ")
                return try #require(Base64.decode(Array(words[1].utf8)))
            }
            #expect(Certificate.publicKey(in: try blob("k-cert.pub")) == (try blob("k.pub")))
            #expect(Certificate.publicKey(in: try blob("k.pub")) == nil)
        }
    }

    // MARK: Passwords

    /// A login with a password needs an account that has one, and root to check it.
    private static let account: (user: String, password: String)? = {
        guard getuid() == 0 else { return nil }
        let script = """
            id fleet-login >/dev/null 2>&1 || useradd -m -s /bin/sh fleet-login
            echo 'fleet-login:open-sesame-7' | chpasswd
            """
        guard (try? Command.shell(script)) != nil else { return nil }
        return ("fleet-login", "open-sesame-7")
    }()

    private func passwordEndpoint(_ server: SSHDServer, _ user: String) -> HostEndpoint {
        var ssh = server.endpoint().ssh
        ssh.user = user
        ssh.identityFiles = []
        ssh.password = .environment("PW")
        return HostEndpoint(name: "web1", ssh: ssh)
    }

    @Test(.enabled(if: account != nil), arguments: ["password", "keyboard-interactive"])
    func logsInWithAPassword(_ method: String) async throws {
        let account = try #require(Self.account)
        let isPassword = method == "password"
        let server = try SSHDServer(configuration: [
            "UsePAM \(isPassword ? "no" : "yes")",
            "PasswordAuthentication \(isPassword ? "yes" : "no")",
            "KbdInteractiveAuthentication \(isPassword ? "no" : "yes")", "SetEnv FLEET=1",
        ])
        let endpoint = passwordEndpoint(server, account.user)
        let right = Person([.environment("PW"): account.password])
        #expect(await login(transport(server, right), endpoint) == nil)
        let wrong = Person([.environment("PW"): "wrong"])
        let error = await login(transport(server, wrong), endpoint)
        guard case .authenticationDenied(_, let tried, let accepts) = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        #expect(tried.contains(method))
        #expect(accepts.contains(method))
        #expect(!"\(String(describing: error))".contains("wrong\""))
    }

    @Test(
        "A server that hangs up at a password has refused it, and gets it no second time",
        .enabled(if: account != nil)
    )
    func hangsUpAtAPassword() async throws {
        let account = try #require(Self.account)
        let server = try SSHDServer(configuration: [
            "UsePAM no", "PasswordAuthentication yes", "MaxAuthTries 1",
        ])
        let endpoint = passwordEndpoint(server, account.user)
        let error = await login(
            transport(server, Person([.environment("PW"): "nonsense"])),
            endpoint
        )
        guard case .authenticationDenied(_, let tried, _) = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        #expect(tried.last?.contains("MaxAuthTries") ?? false, "\(tried)")
        #expect(error?.isRetryable == false)
        #expect(!"\(String(describing: error))".contains("nonsense"))
        let log = server.directory.read("sshd.log") ?? ""
        #expect(log.components(separatedBy: "Failed password").count == 2, "\(log)")
    }

    // MARK: sudo

    /// An account that may become root with its password, and nobody without; root only.
    private static let sudoer: String? = {
        guard account != nil, access("/usr/bin/sudo", X_OK) == 0 else { return nil }
        let rules = """
            fleet-login ALL=(root) ALL
            fleet-login ALL=(nobody) NOPASSWD: ALL
            """
        let path = "/etc/sudoers.d/fleet-login-test"
        guard
            (try? rules.appending("\n").write(toFile: path, atomically: true, encoding: .utf8))
                != nil
        else { return nil }
        chmod(path, 0o440)
        return "fleet-login"
    }()

    private func sudoEndpoint(_ server: SSHDServer) -> HostEndpoint {
        // sshd looks for the account's keys as that account.
        chmod(server.directory.path, 0o755)
        var ssh = server.endpoint().ssh
        ssh.user = Self.sudoer
        ssh.becomePassword = .environment("SUDO_PW")
        return HostEndpoint(name: "web1", ssh: ssh)
    }

    /// Row H9.
    @Test(.enabled(if: sudoer != nil)) func sudoIsGivenItsPasswordOnlyWhenItAsks() async throws {
        let server = try SSHDServer(configuration: ["SetEnv HOME=/home/fleet-login"])
        let password = try #require(Self.account?.password)
        let person = Person([.environment("SUDO_PW"): password])
        let session = try await transport(server, person).open(
            sudoEndpoint(server),
            rollout: "sudo"
        )
        for (user, isDetached) in [
            ("root", false), ("root", true), ("nobody", false), ("nobody", true),
        ] {
            let output = OutputRecorder()
            // The script reads what is left on its standard input: nothing, least of all a password.
            let script = Script("id -un; cat; echo end", becomeUser: user)
            let result =
                isDetached
                ? try await session.runDetached(
                    script,
                    key: ActionKey("f0-\(user)"),
                    timeoutMilliseconds: 20_000,
                    output: output
                )
                : try await session.run(script, timeoutMilliseconds: 20_000, output: output)
            #expect(result.status == .exited(0))
            #expect(output.text == "\(user)\nend\n")
        }
        let output = OutputRecorder()
        let spool = Script("grep -r '\(password)' ~/.fleet ~/.bash_history 2>/dev/null | wc -l")
        _ = try await session.run(spool, timeoutMilliseconds: 20_000, output: output)
        #expect(output.text.trimmingCharacters(in: .whitespacesAndNewlines) == "0")
        await session.close(removingRunDirectory: true)
    }

    @Test(.enabled(if: sudoer != nil)) func aWrongSudoPasswordIsSaidAndNotRepeated() async throws {
        let server = try SSHDServer(configuration: ["SetEnv HOME=/home/fleet-login"])
        let person = Person([.environment("SUDO_PW"): "wrong"])
        let session = try await transport(server, person).open(
            sudoEndpoint(server),
            rollout: "sudo"
        )
        let error = await #expect(throws: TransportError.self) {
            _ = try await session.run(
                Script("true", becomeUser: "root"),
                timeoutMilliseconds: 20_000,
                output: OutputRecorder()
            )
        }
        #expect(error?.message.contains("did not take the password for root") ?? false)
        await session.close(removingRunDirectory: true)
    }

    @Test(.enabled(if: sudoer != nil)) func aStepThatRunsAsAnotherUserIsStopped() async throws {
        let server = try SSHDServer(configuration: ["SetEnv HOME=/home/fleet-login"])
        let password = try #require(Self.account?.password)
        let person = Person([.environment("SUDO_PW"): password])
        let session = try await transport(server, person).open(
            sudoEndpoint(server),
            rollout: "sudo"
        )
        let result = try await session.runDetached(
            Script("sleep 1000", becomeUser: "root"),
            key: ActionKey("f9-1"),
            timeoutMilliseconds: 1_000,
            output: OutputRecorder()
        )
        #expect(result.status == .timedOut(confirmedDead: true))
        await session.close(removingRunDirectory: true)
    }

    /// A host whose sudo is a script of ours: what it is given is in `given`.
    private func pretender(_ sudo: String, password: String = "wrong") async throws
        -> (server: SSHDServer, session: any HostSession)
    {
        let bin = try TemporaryDirectory()
        try bin.write("#!/bin/sh\n" + sudo, to: "sudo", mode: 0o755)
        let server = try SSHDServer(searchPath: "\(bin.path):/usr/bin:/bin")
        var ssh = server.endpoint().ssh
        ssh.becomePassword = .environment("SUDO_PW")
        let person = Person([.environment("SUDO_PW"): password])
        let endpoint = HostEndpoint(name: "web1", ssh: ssh)
        Self.pretenders.withLock { $0.append(bin) }
        return (server, try await transport(server, person).open(endpoint, rollout: "sudo"))
    }

    private static let pretenders = Mutex<[TemporaryDirectory]>([])

    private func refusal(_ session: any HostSession) async -> TransportError? {
        await #expect(throws: TransportError.self) {
            _ = try await session.run(
                Script("true", becomeUser: "root"),
                timeoutMilliseconds: 60_000,
                output: OutputRecorder()
            )
        }
    }

    @Test("A wrong password is given once, and nothing after it, however often sudo asks")
    func oneTry() async throws {
        let (server, session) = try await pretender(
            """
            case "$*" in *" -n "*) exit 1 ;; esac
            while [ "$1" != -p ]; do shift; done
            printf %s "$2"
            while IFS= read -r line; do
                echo "got:$line" >>"$HOME/given"
                echo 'Sorry, try again.' >&2
                printf %s "$2"
            done
            echo end >>"$HOME/given"
            exit 1
            """
        )
        let error = await refusal(session)
        guard case .credentialUnusable(let reason)? = error else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        #expect(reason.contains("did not take the password") && reason.contains("Sorry, try again"))
        await session.close(removingRunDirectory: false)
        try await eventually("it has come to its end") {
            server.directory.read("home/given")?.hasSuffix("end\n") ?? false
        }
        #expect(server.directory.read("home/given") == "got:wrong\nend\n")
    }

    @Test("With one try only, a wrong password is the credential's error, too")
    func onlyTry() async throws {
        let (server, session) = try await pretender(
            """
            case "$*" in *" -n "*) exit 1 ;; esac
            while [ "$1" != -p ]; do shift; done
            printf %s "$2"
            IFS= read -r line
            echo 'sudo: 1 incorrect password attempt' >&2
            exit 1
            """
        )
        let error = await refusal(session)
        #expect(error?.token == "E_CREDENTIAL", "\(String(describing: error))")
        #expect(error?.message.contains("1 incorrect password attempt") ?? false)
        await session.close(removingRunDirectory: false)
        server.stop()
    }

    /// Row H51.
    @Test(
        "A password goes to the accounts for which sudo asks, and to no other, whichever comes first"
    )
    func onlyWhoAsks() async throws {
        // For `daemon` the rule wants no password, and leaves what it is given to whom it runs.
        let (server, session) = try await pretender(
            """
            case "$*" in *"-u daemon"*) free=1 ;; *) free= ;; esac
            case "$*" in *" -n "*) [ "$free" ] || exit 1 ;; esac
            prompt=
            for word; do case $word in --) break ;; esac; [ "$last" != -p ] || prompt=$word; last=$word; done
            if [ -z "$free" ] && case "$*" in *" -S "*) ;; *) false ;; esac; then
                printf %s "$prompt" >&2
                IFS= read -r line
                [ "$line" = right ] || exit 1
            fi
            while [ "$1" != -- ]; do shift; done
            shift
            [ "$1" != true ] || exit 0
            if [ "$free" ]; then tee -a "$HOME/given" | "$@"; else exec "$@"; fi
            """,
            password: "right"
        )
        for (index, user) in ["daemon", "root", "daemon", "root"].enumerated() {
            for isDetached in [false, true] {
                let script = Script("echo hello \(user)", becomeUser: user)
                let output = OutputRecorder()
                let result =
                    isDetached
                    ? try await session.runDetached(
                        script,
                        key: ActionKey("f\(index)-1"),
                        timeoutMilliseconds: 60_000,
                        output: output
                    )
                    : try await session.run(script, timeoutMilliseconds: 60_000, output: output)
                #expect(
                    result.status == .exited(0) && output.text == "hello \(user)\n",
                    "\(output.text)"
                )
            }
        }
        await session.close(removingRunDirectory: false)
        let given = server.directory.read("home/given") ?? ""
        #expect(given.contains("hello daemon") && !given.contains("right"), "\(given)")
    }

    @Test(
        "A sudo that ends without a question is no wrong password, and the shell goes on behind it"
    )
    func noQuestion() async throws {
        let (server, session) = try await pretender(
            "echo 'sudo: sorry, you must have a tty' >&2; exit 1"
        )
        for _ in 1...2 {
            let output = OutputRecorder()
            let result = try await session.run(
                Script("true", becomeUser: "root"),
                timeoutMilliseconds: 60_000,
                output: output
            )
            #expect(result.status == .exited(1))
            #expect(output.text.contains("you must have a tty"))
        }
        let output = OutputRecorder()
        let own = try await session.run(
            Script("echo still here"),
            timeoutMilliseconds: 60_000,
            output: output
        )
        #expect(own.status == .exited(0) && output.text == "still here\n")
        await session.close(removingRunDirectory: false)
        server.stop()
    }

    @Test("What asks in other words than our own is shown, and not answered")
    func otherWords() async throws {
        let (server, session) = try await pretender(
            """
            case "$*" in *" -n "*) exit 1 ;; esac
            printf 'Verification code: ' >&2
            while IFS= read -r line; do echo "got:$line" >>"$HOME/given"; done
            echo end >>"$HOME/given"
            exit 1
            """
        )
        let error = await refusal(session)
        #expect(error?.token == "E_CREDENTIAL")
        #expect(
            error?.message.contains("Verification code:") ?? false,
            "\(String(describing: error))"
        )
        await session.close(removingRunDirectory: false)
        try await eventually("it is told that there is no more") {
            server.directory.read("home/given") == "end\n"
        }
    }

    @Test("PubkeyAuthentication no: no key is offered, and the server never sees one")
    func keysForbidden() async throws {
        let server = try SSHDServer()
        try server.directory.write("PubkeyAuthentication no\n", to: ".ssh/config", mode: 0o600)
        var environment = SSHTransport.Environment(
            home: server.directory.path,
            user: NSUserName(),
            agentSocket: nil
        )
        environment.systemConfiguration = "/nonexistent"
        let transport = SSHTransport(environment)
        let error = await #expect(throws: TransportError.self) {
            _ = try await transport.open(server.endpoint(), rollout: "r1")
        }
        #expect(error?.token == "E_CREDENTIAL")
        #expect(error?.message.contains("PubkeyAuthentication no") ?? false)
    }

    @Test(
        "Trust that the configuration narrows is narrowed, or the host is refused by name",
        arguments: [
            ("RevokedHostKeys REVOKED", "E_HOSTKEY_REVOKED", "REVOKED:2"),
            ("RevokedHostKeys /no/such/file", "E_SSH_CONFIG", "cannot be read"),
            ("RevokedHostKeys KRL", "E_SSH_CONFIG", "binary key revocation list"),
            ("HostKeyAlgorithms ssh-dss", "E_ALGO", "HostKeyAlgorithms"),
            ("HostKeyAlgorithms ecdsa-*", "E_ALGO", "no common algorithm"),
            ("KnownHostsCommand /bin/keys %H", "E_CLIENT", "config:1"),
            ("RevokedHostKeys none\nHostKeyAlgorithms -ecdsa-*\nKnownHostsCommand none", "", ""),
            ("HostKeyAlgorithms ^ssh-ed25519", "", ""),
        ]
    )
    func narrowedTrust(text: String, token: String, words: String) async throws {
        let server = try SSHDServer()
        let place = server.directory.path
        try server.directory.write(
            "# stolen\n" + (server.directory.read("host_key.pub") ?? ""),
            to: "REVOKED"
        )
        try server.directory.write("SSHKRL\n\u{0}", to: "KRL")
        let config = text.replacing("REVOKED", with: place + "/REVOKED")
            .replacing("Keys KRL", with: "Keys \(place)/KRL")
        try server.directory.write(config + "\n", to: ".ssh/config", mode: 0o600)
        var environment = SSHTransport.Environment(
            home: place,
            user: NSUserName(),
            agentSocket: nil
        )
        environment.systemConfiguration = "/nonexistent"
        do throws(TransportError) {
            let session = try await SSHTransport(environment).open(server.endpoint(), rollout: "r1")
            await session.close(removingRunDirectory: false)
            #expect(token.isEmpty, "it was let in")
        } catch {
            #expect(error.token == token && error.message.contains(words), "\(error)")
        }
    }

    @Test("Where something is marked @revoked for a host, no new key is accepted by itself")
    func revokedAuthority() async throws {
        let server = try SSHDServer()
        try Command.shell(
            "ssh-keygen -q -t ed25519 -N '' -f ca; echo \"@revoked * $(cut -d' ' -f1,2 ca.pub)\" >known",
            in: server.directory.path
        )
        var ssh = server.endpoint(knownHosts: server.directory.path + "/known").ssh
        ssh.hostKeys = .acceptNew
        let endpoint = HostEndpoint(name: "web1", ssh: ssh)
        let error = await #expect(throws: TransportError.self) {
            _ = try await SSHTransport(
                .init(home: server.directory.path, user: NSUserName(), agentSocket: nil)
            ).open(endpoint, rollout: "r1")
        }
        #expect(error?.token == "E_HOSTKEY_REVOKED")
        #expect(error?.message.contains("known:1") ?? false)
        #expect(error?.message.contains("[127.0.0.1]:\(server.port)") ?? false, "host and port")
    }
}
