internal import FleetFiles
internal import FleetHostShell
internal import FleetReactor
internal import FleetTransport
internal import Glibc
internal import Synchronization

/// What a host is offered at login, in order.
struct Credentials: Sendable {
    var signers: [Signer] = []
    /// For hosts that take no key.
    var password: String?
    /// How to log in, in order.
    var methods: [LoginMethod] = [.publicKey, .keyboardInteractive, .password]
    /// Keys that could not be offered, and why.
    var problems: [String] = []
}

/// A secret, or why it cannot be had.
public enum SecretAnswer: Sendable {
    /// The secret.
    case secret(String)
    /// Why there is none, and what to do about it.
    case unavailable(reason: String)
}

/// The keys, agents and secrets of one run: each file is read once, each key decrypted once, each
/// question asked once.
actor CredentialStore {
    /// How many keys are offered unless the inventory says otherwise: sshd's MaxAuthTries is 6, and each refused key
    /// counts.
    static let keyLimit = 5
    /// How often a person may mistype a passphrase.
    private static let tries = 3

    /// What a login depends on; hosts that agree in it share their credentials.
    private struct Request: Hashable {
        let identityFiles: [String]
        let namesIdentities: Bool
        let certificateFiles: [String]
        let identitiesOnly: Bool
        let agentSocket: String?
        let keyLimit: Int
        let methods: [LoginMethod]
        let keyRule: KeyRule
        let passphrase: SecretSource?
        let password: SecretSource?
    }

    private typealias Answer = Result<Credentials, TransportError>

    private let ask: @Sendable (SecretSource) async -> SecretAnswer
    private var made: [Request: Task<Answer, Never>] = [:]
    private var secrets: [SecretSource: Task<SecretAnswer, Never>] = [:]

    init(ask: @escaping @Sendable (SecretSource) async -> SecretAnswer) { self.ask = ask }

    /// The credentials for a host.
    ///
    /// - Throws: ``FleetTransport/TransportError/credentialUnusable(reason:)``.
    func credentials(for settings: EffectiveSettings) async throws(TransportError) -> Credentials {
        let request = Request(
            identityFiles: settings.identityFiles,
            namesIdentities: settings.namesIdentities,
            certificateFiles: settings.certificateFiles,
            identitiesOnly: settings.identitiesOnly,
            agentSocket: settings.agentSocket,
            keyLimit: settings.keyLimit,
            methods: settings.methods,
            keyRule: settings.keyRule,
            passphrase: settings.passphrase,
            password: settings.password
        )
        let task =
            made[request]
            ?? Task {
                do throws(TransportError) {
                    return .success(try await self.make(request))
                } catch {
                    return .failure(error)
                }
            }
        made[request] = task
        return try await task.value.get()
    }

    /// A secret, asked for once.
    ///
    /// - Throws: ``FleetTransport/TransportError/credentialUnusable(reason:)``.
    func secret(_ source: SecretSource) async throws(TransportError) -> String {
        // Kept before it is answered: nobody is asked twice, however many hosts wait.
        let question = secrets[source] ?? Task { await ask(source) }
        secrets[source] = question
        switch await question.value {
        case .secret(let text): return text
        case .unavailable(let reason): throw .credentialUnusable(reason: reason)
        }
    }

    // MARK: Keys

    /// A key file as far as it can be read.
    private struct KeyFile {
        let path: String
        var key: PrivateKey?
        var publicBlob: [UInt8]?
        var problem: PrivateKey.Unusable?
        var text: String?
        var isMissing = false
    }

    /// The order of ssh: certificates; keys that somebody named; the agent's keys that are also files; the agent's
    /// other keys; default files.
    ///
    /// Where there are more than may be offered, those that are also files stay, and the agent's others go.
    private func make(_ request: Request) async throws(TransportError) -> Credentials {
        var credentials = Credentials(methods: request.methods)
        let takesPassword =
            request.methods.contains(.password) || request.methods.contains(.keyboardInteractive)
        guard request.methods.contains(.publicKey) else {
            guard takesPassword, let source = request.password else {
                throw Self.unusable(
                    "ssh_config forbids keys (`PubkeyAuthentication no` or PreferredAuthentications), and "
                        + "there is no password (-k, or `ssh: { password: … }` in the inventory)"
                )
            }
            credentials.password = try await secret(source)
            return credentials
        }
        let (held, agentProblem) = await identities(of: request.agentSocket)
        if let socket = request.agentSocket, let agentProblem {
            credentials.problems.append("the agent at \(socket): \(agentProblem)")
        }
        var files: [KeyFile] = []
        for path in request.identityFiles { files.append(await Self.read(path)) }
        try await unlock(&files, request, held: held)

        var own: [Signer] = []
        for file in files {
            guard let signer = signer(for: file, agent: request.agentSocket, held: held),
                !own.contains(where: { $0.publicBlob == signer.publicBlob })
            else { continue }
            own.append(signer)
        }
        let others =
            request.identitiesOnly
            ? []
            : agentSigners(held, request.agentSocket).filter { agent in
                !own.contains { $0.publicBlob == agent.publicBlob }
            }
        let certificates = await certificates(
            request,
            signers: own + others,
            held: held,
            &credentials.problems
        )
        own = allowed(own, request, &credentials.problems)
        let kept = certificates + own
        let room = max(0, request.keyLimit - kept.count)
        let strangers = allowed(others, request, &credentials.problems)
        let inAgent = own.filter(\.isInAgent)
        let plain =
            request.namesIdentities
            ? own + strangers.prefix(room)
            : inAgent + strangers.prefix(room) + own.filter { !$0.isInAgent }
        credentials.signers = Array((certificates + plain).prefix(request.keyLimit))
        let left = kept.count + strangers.count - credentials.signers.count
        if left > 0 {
            credentials.problems.append(
                "\(left) more \(left == 1 ? "key was" : "keys were") not offered: \(request.keyLimit) are the "
                    + "limit (`ssh: { key_limit: … }`; a server hangs up after MaxAuthTries)"
            )
        }
        for file in files
        where file.problem != nil && signer(for: file, agent: nil, held: []) == nil {
            // Default keys that are not there are nothing to speak of.
            if file.isMissing, !request.namesIdentities { continue }
            // What the agent has needs no file.
            if own.contains(where: { $0.publicBlob == file.publicBlob }) { continue }
            if let problem = file.problem {
                credentials.problems.append("\(file.path): \(problem.reason)")
            }
        }
        if takesPassword, let source = request.password {
            credentials.password = try await secret(source)
        }
        guard !credentials.signers.isEmpty || credentials.password != nil else {
            let seen =
                credentials.problems.isEmpty
                ? "no key in ~/.ssh and no agent" : credentials.problems.joined(separator: "; ")
            throw Self.unusable("there is no usable key: \(seen)")
        }
        return credentials
    }

    /// Why there is nothing to offer; where `ssh` can use a key that is there, it is not the end.
    private static func unusable(_ reason: String) -> TransportError {
        reason.contains(SSHTransport.forOpenSSH)
            ? .beyondClient(reason: reason) : .credentialUnusable(reason: reason)
    }

    /// Those keys that this client can use and ssh_config allows.
    private func allowed(_ signers: [Signer], _ request: Request, _ problems: inout [String])
        -> [Signer]
    {
        signers.filter { signer in
            let objection =
                signer.type.hasPrefix("sk-")
                ? "a key of this kind (\(signer.type)) \(SSHTransport.forOpenSSH)"
                : request.keyRule.objection(to: signer.publicBlob)
            guard let objection else { return true }
            problems.append("\(signer.name): \(objection)")
            return false
        }
    }

    /// Opens the locked keys that are needed: all that somebody named, and default ones only if
    /// there is nothing else to offer.
    private func unlock(_ files: inout [KeyFile], _ request: Request, held: [Agent.Identity])
        async throws(TransportError)
    {
        let hasOthers = !held.isEmpty && !request.identitiesOnly
        for index in files.indices {
            guard files[index].problem?.wantsPassphrase == true, let text = files[index].text else {
                continue
            }
            // What the agent holds is open already.
            if let blob = files[index].publicBlob,
                held.contains(where: { $0.publicBlob == blob })
            {
                files[index].problem = nil
                continue
            }
            let isNeeded =
                request.namesIdentities || request.passphrase != nil
                || !hasOthers && !files.contains { $0.key != nil }
            guard isNeeded else { continue }
            for attempt in 1...Self.tries {
                let source =
                    request.passphrase
                    ?? .prompt(
                        (attempt > 1 ? "wrong passphrase; once more, " : "")
                            + "the passphrase of \(files[index].path)"
                    )
                let passphrase: String
                switch await passphraseAnswer(source) {
                case .secret(let text): passphrase = text
                case .unavailable(let reason):
                    // Without a person the other keys must do; if there are none, this is why.
                    files[index].problem = PrivateKey.Unusable(
                        reason: "it has a passphrase, and \(reason)"
                    )
                    passphrase = ""
                }
                guard files[index].problem?.wantsPassphrase == true else { break }
                let result = await Self.open(text, passphrase)
                switch result {
                case .success(let key):
                    files[index].key = key
                    files[index].problem = nil
                case .failure(let problem): files[index].problem = problem
                }
                if files[index].key != nil || request.passphrase != nil { break }
            }
        }
    }

    private func passphraseAnswer(_ source: SecretSource) async -> SecretAnswer {
        do throws(TransportError) {
            return .secret(try await secret(source))
        } catch {
            guard case .credentialUnusable(let reason) = error else {
                return .unavailable(reason: error.message)
            }
            return .unavailable(reason: reason)
        }
    }

    /// Decrypting takes a noticeable moment, so not on a thread that others need.
    private static func open(_ text: String, _ passphrase: String) async
        -> Result<PrivateKey, PrivateKey.Unusable>
    {
        await BlockingQueue.shared.run {
            do throws(PrivateKey.Unusable) {
                return .success(try PrivateKey.read(text, passphrase: passphrase))
            } catch {
                return .failure(error)
            }
        }
    }

    private static func read(_ path: String) async -> KeyFile {
        await BlockingQueue.shared.run {
            var file = KeyFile(path: path)
            guard let data = WholeFile.read(path) else {
                file.isMissing = access(path, F_OK) != 0
                file.problem = PrivateKey.Unusable(
                    reason: file.isMissing ? "there is no such file" : "it cannot be read"
                )
                file.publicBlob = Self.publishedBlob(path + ".pub")
                return file
            }
            let text = String(decoding: data, as: UTF8.self)
            if !text.contains("PRIVATE KEY"), let blob = Self.publishedBlob(path) {
                // A public half says which of the agent's keys is meant.
                file.publicBlob = blob
                file.problem = PrivateKey.Unusable(
                    reason: "it is a public key, and no agent has the private one"
                )
                return file
            }
            if text.contains("PRIVATE KEY"), let problem = Self.openToOthers(path) {
                file.problem = PrivateKey.Unusable(reason: problem)
                file.publicBlob =
                    PrivateKey.publicBlob(of: text) ?? Self.publishedBlob(path + ".pub")
                return file
            }
            file.text = text
            do throws(PrivateKey.Unusable) {
                let key = try PrivateKey.read(text)
                file.key = key
                file.publicBlob = key.publicBlob
            } catch {
                file.problem = error
                // PEM hides the public half too; the file beside it has it.
                file.publicBlob =
                    PrivateKey.publicBlob(of: text) ?? Self.publishedBlob(path + ".pub")
            }
            return file
        }
    }

    /// As ssh: a private key of ours that others can read is not used (OpenSSH's sshkey_perm_ok).
    private static func openToOthers(_ path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_uid == getuid(), status.st_mode & 0o077 != 0
        else {
            return nil
        }
        let mode = String(status.st_mode & 0o777, radix: 8)
        return "others may read it (its mode is 0\(mode)): chmod 600 \(path)"
    }

    /// The blob of a public key or certificate file: `type base64 comment`, after comments.
    private static func publishedBlob(_ path: String) -> [UInt8]? {
        guard let data = WholeFile.read(path) else { return nil }
        for line in data.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }) {
            let words = line.split { $0 == 0x20 || $0 == 0x09 }
            guard words.count > 1, words[0].first != UInt8(ascii: "#"),
                let blob = Base64.decode(words[1]),
                HostKey(blob: blob).type.utf8.elementsEqual(words[0])
            else { continue }
            return blob
        }
        return nil
    }

    private func signer(for file: KeyFile, agent: String?, held: [Agent.Identity]) -> Signer? {
        if let key = file.key {
            return Signer(source: .key(key), publicBlob: key.publicBlob, name: file.path)
        }
        guard let agent, let blob = file.publicBlob,
            held.contains(where: { $0.publicBlob == blob })
        else { return nil }
        return Signer(
            source: .agent(Agent(path: agent)),
            publicBlob: blob,
            name: "\(file.path) (agent)"
        )
    }

    // MARK: Agent and certificates

    private func identities(of socket: String?) async -> ([Agent.Identity], problem: String?) {
        guard let socket else { return ([], nil) }
        return await BlockingQueue.shared.run {
            do throws(Agent.Problem) { return (try Agent(path: socket).identities(), nil) } catch {
                return ([], error.reason)
            }
        }
    }

    private func agentSigners(_ held: [Agent.Identity], _ socket: String?) -> [Signer] {
        guard let socket else { return [] }
        return held.filter { !HostKey(blob: $0.publicBlob).type.contains("-cert-v01@") }.map {
            Signer(
                source: .agent(Agent(path: socket)),
                publicBlob: $0.publicBlob,
                name: "\(SSHText.oneLine($0.comment.utf8)) (agent)"
            )
        }
    }

    /// Certificates for the keys at hand: those that are named, `KEY-cert.pub` beside a key, and the agent's.
    private func certificates(
        _ request: Request,
        signers: [Signer],
        held: [Agent.Identity],
        _ problems: inout [String]
    ) async -> [Signer] {
        let beside = request.identityFiles.map { $0 + "-cert.pub" }
        var candidates: [(name: String, blob: [UInt8])] = []
        for path in request.certificateFiles + request.identityFiles + beside {
            let blob = await BlockingQueue.shared.run { Self.publishedBlob(path) }
            if let blob, HostKey(blob: blob).type.contains("-cert-v01@") {
                candidates.append((path, blob))
            } else if request.certificateFiles.contains(path) {
                problems.append("\(path): no certificate can be read there")
            }
        }
        if !request.identitiesOnly {
            for identity in held
            where HostKey(blob: identity.publicBlob).type.contains("-cert-v01@") {
                candidates.append(
                    ("\(SSHText.oneLine(identity.comment.utf8)) (agent)", identity.publicBlob)
                )
            }
        }
        var found: [Signer] = []
        for (name, blob) in candidates where !found.contains(where: { $0.publicBlob == blob }) {
            let type = HostKey(blob: blob).type
            // An agent that lists a certificate signs for it by its own name.
            let own = held.contains { $0.publicBlob == blob }
            let key = Certificate.publicKey(in: blob)
            let signer =
                signers.first { $0.publicBlob == key }
                ?? (own
                    ? request.agentSocket.map {
                        Signer(source: .agent(Agent(path: $0)), publicBlob: blob, name: name)
                    } : nil)
            guard let signer else {
                problems.append(
                    type.hasPrefix("sk-")
                        ? "\(name): a certificate of this kind (\(type)) \(SSHTransport.forOpenSSH)"
                        : "\(name): there is no private key for it"
                )
                continue
            }
            if let objection = request.keyRule.objection(to: blob) {
                problems.append("\(name): \(objection)")
                continue
            }
            // 1.10 signs for ECDSA certificates only (measured).
            guard LibSSH2.isModern || type.hasPrefix("ecdsa-") else {
                problems.append(
                    "\(name): libssh2 \(LibSSH2.version) cannot use \(type), which \(SSHTransport.forOpenSSH)"
                )
                continue
            }
            found.append(
                Signer(
                    source: signer.source,
                    publicBlob: blob,
                    name: name,
                    key: signer.publicBlob == blob ? blob : key
                )
            )
        }
        return found
    }
}

/// OpenSSH's certificates (PROTOCOL.certkeys).
enum Certificate {
    /// The plain public key that a certificate is for; nil if it is none that we know.
    static func publicKey(in blob: [UInt8]) -> [UInt8]? {
        var reader = WireFormatReader(blob)
        let suffix = "-cert-v01@openssh.com"
        guard let type = reader.text(), type.hasSuffix(suffix), reader.string() != nil else {
            return nil
        }
        let plain = String(type.dropLast(suffix.count))
        let fields: Int
        switch plain {
        case "ssh-ed25519": fields = 1
        case "ssh-rsa": fields = 2
        case _ where plain.hasPrefix("ecdsa-"): fields = 2
        default: return nil
        }
        var writer = WireFormatWriter()
        writer.text(plain)
        for _ in 0..<fields {
            guard let field = reader.string() else { return nil }
            writer.string(field)
        }
        return writer.bytes
    }
}
