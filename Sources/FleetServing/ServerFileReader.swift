internal import FleetTransport
public import FleetYAML

/// Reads `server.yml`.
public struct ServerFileReader {
    private let reader: YAMLReader

    /// Reads a server file.
    ///
    /// - Parameters:
    ///   - text: What it says.
    ///   - file: Its name, for messages.
    /// - Returns: What it means.
    /// - Throws: `Diagnostics` with everything that is wrong with it.
    public static func read(_ text: String, file: String) throws(Diagnostics) -> ServerFile {
        let node = try YAMLDocument.parse(text, file: file)
        let reader = YAMLReader(file: file, source: text)
        let found = ServerFileReader(reader: reader).server(node)
        try reader.finish()
        guard let found else {
            throw Diagnostics([Diagnostic("\(file) says nothing", at: node.location)])
        }
        return found
    }

    private func server(_ node: YAMLNode) -> ServerFile? {
        guard let keys = reader.fields(node, of: "a server file") else { return nil }
        let address = url("public_url", keys, isRequired: true)
        if let address, address.split(separator: "/").count > 2 {
            reader.report(
                "`public_url` has no path: the server is reached at the top of its host",
                at: keys.location(of: "public_url")
            )
        }
        let project = keys.node("project").flatMap(self.project)
        if !keys.has("project") {
            reader.report("a server file needs `project`", at: keys.location)
        }
        var server = ServerFile(
            publicURL: address ?? "http://127.0.0.1",
            project: project
                ?? ServerFile.ProjectSource(
                    repository: "",
                    branch: "main",
                    folder: "",
                    trust: .ask,
                    pollMilliseconds: 300_000
                )
        )
        if let node = keys.node("listen"), let text = reader.text(node, of: "`listen`") {
            if let listen = Self.listen(text) {
                server.listen = listen
            } else {
                reader.report(
                    "`\(text)` is no address to listen on",
                    at: node.location,
                    hints: ["write `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/fleet/server.sock`"]
                )
            }
        }
        if let node = keys.node("tls"), let fields = reader.fields(node, of: "`tls`") {
            if let certificate = fields.requiredText("certificate"),
                let key = fields.requiredText("key")
            {
                server.tls = ServerFile.TLS(certificate: certificate, key: key)
            }
            fields.refuseUnknown()
        }
        server.trustedProxies = (keys.texts("trusted_proxies") ?? []).compactMap { text in
            let range = AddressRange(text)
            if range == nil {
                reader.report(
                    "`\(text)` is no address",
                    at: keys.location(of: "trusted_proxies"),
                    hints: ["write `127.0.0.1`, `10.0.0.0/8`, `::1` or `unix`"]
                )
            }
            return range
        }
        signIn(keys, &server)
        if let node = keys.node("accounts") { server.accounts = accounts(node) }
        if let node = keys.node("hooks") { server.hooks = hooks(node) }
        keys.refuseUnknown()
        check(server, keys)
        return server
    }

    /// What fits together and what does not.
    private func check(_ server: ServerFile, _ keys: YAMLFields) {
        if server.proxySignIn != nil, server.trustedProxies.isEmpty {
            reader.report(
                "signing in by a proxy needs `trusted_proxies`: else anybody who reaches the server is anybody",
                at: keys.location(of: "sign_in")
            )
        }
        guard case .address(let host, _) = server.listen, server.tls == nil else { return }
        let isLocal = host == "localhost" || host == "::1" || host.hasPrefix("127.")
        if !isLocal, server.trustedProxies.isEmpty {
            reader.report(
                "`listen: \(host)` without `tls` sends passwords over the network as they are",
                at: keys.location(of: "listen"),
                hints: [
                    "add `tls`, or listen on 127.0.0.1 or a Unix socket behind a proxy, and name it in `trusted_proxies`"
                ]
            )
        }
    }

    private static func listen(_ text: String) -> ServerFile.Listen? {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst("unix:".count))
            // sockaddr_un(7): 108 bytes with the one that ends it.
            return path.hasPrefix("/") && path.utf8.count < 108 ? .socket(path: path) : nil
        }
        guard let colon = text.lastIndex(of: ":"),
            let port = Int(text[text.index(after: colon)...]), (0...65_535).contains(port)
        else { return nil }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard host == "localhost" || AddressRange.address(host) != nil else { return nil }
        return .address(host: host, port: port)
    }

    /// An `http:` or `https:` address without what could hold a secret or lead elsewhere.
    private func url(_ key: String, _ keys: YAMLFields, isRequired: Bool) -> String? {
        guard var text = isRequired ? keys.requiredText(key) : keys.text(key) else { return nil }
        while text.hasSuffix("/") { text.removeLast() }
        let isWeb = text.hasPrefix("https://") || text.hasPrefix("http://")
        let plain = text.unicodeScalars.allSatisfy {
            $0.value > 0x20 && $0.value < 0x7F && !"@?#\\\"<>".unicodeScalars.contains($0)
        }
        let hasHost = text.split(separator: "/", omittingEmptySubsequences: false).count >= 3
        guard isWeb, plain, hasHost, !text.hasSuffix(":") else {
            reader.report(
                "`\(key)` must be an address, as in `https://fleet.example.com`",
                at: keys.location(of: key)
            )
            return nil
        }
        return text
    }

    private func project(_ node: YAMLNode) -> ServerFile.ProjectSource? {
        guard let fields = reader.fields(node, of: "`project`") else { return nil }
        defer { fields.refuseUnknown() }
        let repository = repository("repository", fields)
        let branch = fields.line("branch") ?? "main"
        if !Self.isBranch(branch) {
            reader.report("`\(branch)` is no branch", at: fields.location(of: "branch"))
        }
        let folder = fields.line("folder") ?? ""
        if folder.hasPrefix("/") || folder.split(separator: "/").contains("..") {
            reader.report(
                "`folder` is a folder of the repository",
                at: fields.location(of: "folder"),
                hints: ["write it without a slash in front and without `..`"]
            )
        }
        let trust = word("trust", fields, ServerFile.Trust.self) ?? .ask
        let poll = fields.milliseconds("poll") ?? 300_000
        guard let repository else { return nil }
        return ServerFile.ProjectSource(
            repository: repository,
            branch: branch,
            folder: folder,
            trust: trust,
            pollMilliseconds: max(1_000, poll)
        )
    }

    /// Whether a text may stand where git expects a branch: git itself has the last word.
    private static func isBranch(_ text: String) -> Bool {
        !text.isEmpty && !text.hasPrefix("-") && !text.contains("..")
            && text.unicodeScalars.allSatisfy {
                $0.value > 0x20 && $0.value != 0x7F && !"~^:?*[\\".unicodeScalars.contains($0)
            }
    }

    private func repository(_ key: String, _ fields: YAMLFields) -> String? {
        guard let text = fields.requiredText(key) else { return nil }
        guard !text.hasPrefix("-"), !text.hasPrefix("ext::"), !text.contains("\n") else {
            reader.report("`\(key)` is no repository", at: fields.location(of: key))
            return nil
        }
        return text
    }

    private func word<Word: RawRepresentable<String> & CaseIterable>(
        _ key: String,
        _ fields: YAMLFields,
        _ type: Word.Type
    ) -> Word? {
        guard let text = fields.text(key) else { return nil }
        if let word = Word(rawValue: text) { return word }
        let all = Word.allCases.map(\.rawValue)
        reader.report(
            "`\(key)` cannot be `\(text)`",
            at: fields.location(of: key),
            hints: Suggestion.hint(for: text, in: all) + [
                "it is one of \(all.joined(separator: ", "))"
            ]
        )
        return nil
    }

    private func signIn(_ keys: YAMLFields, _ server: inout ServerFile) {
        guard let node = keys.node("sign_in"), let fields = reader.fields(node, of: "`sign_in`")
        else { return }
        if let node = fields.node("proxy"), let proxy = reader.fields(node, of: "`proxy`") {
            if let user = proxy.requiredText("user_header") {
                server.proxySignIn = ServerFile.ProxySignIn(
                    userHeader: user,
                    timeHeader: proxy.line("time_header")
                )
            }
            proxy.refuseUnknown()
        }
        fields.refuseUnknown()
    }

    /// Says where a secret is; a secret itself never stands in the file.
    private func secret(_ key: String, _ keys: YAMLFields, isRequired: Bool) -> ServerFile.Secret? {
        guard let node = keys.node(key) else {
            if isRequired { reader.report("\(keys.what) needs `\(key)`", at: keys.location) }
            return nil
        }
        return secret(node, of: key)
    }

    private func secret(_ node: YAMLNode, of key: String) -> ServerFile.Secret? {
        guard case .mapping = node.content, let fields = reader.fields(node, of: "`\(key)`") else {
            reader.report(
                "`\(key)` says where the secret is, not what it is",
                at: node.location,
                hints: [
                    "write `\(key): { file: path }`, `{ env: NAME }`, `{ command: [pass, show, x] }` or "
                        + "`{ credential: NAME }`"
                ]
            )
            return nil
        }
        let found: [ServerFile.Secret] = [
            fields.text("env").map { .source(.environment($0)) },
            fields.text("file").map { .source(.file($0)) },
            fields.texts("command").map { .source(.command($0)) },
            fields.text("credential").map { .credential($0) },
        ].compactMap { $0 }
        fields.refuseUnknown()
        if case .credential(let name)? = found.first, name.contains("/") || name.hasPrefix(".") {
            reader.report("`credential` is a name, not a path", at: node.location)
        }
        guard found.count == 1 else {
            reader.report(
                "`\(key)` needs one of `env`, `file`, `command` and `credential`",
                at: node.location
            )
            return nil
        }
        return found[0]
    }

    // MARK: Accounts

    private func accounts(_ node: YAMLNode) -> [ServerFile.Account] {
        guard let people = reader.fields(node, of: "`accounts`") else { return [] }
        var logins: [String: String] = [:]
        var addresses: [String: String] = [:]
        return people.entries.compactMap { pair in
            let name = pair.key
            guard Self.isName(name) else {
                reader.report(
                    "`\(name)` is no account's name",
                    at: pair.keyLocation,
                    hints: ["write up to 64 letters, digits, `.`, `_`, `-` and `@`"]
                )
                return nil
            }
            guard let fields = reader.fields(pair.value, of: "the account `\(name)`") else {
                return nil
            }
            defer { fields.refuseUnknown() }
            let account = ServerFile.Account(
                name: name,
                roles: roles(fields),
                addresses: fields.texts("addresses") ?? [],
                logins: Dictionary(
                    fields.textMap("logins").map { ($0.key, $0.value) }
                ) { first, _ in first }
            )
            // Two people with one login would approve for each other.
            for (provider, login) in account.logins.sorted(by: { $0.key < $1.key }) {
                if Hook.Provider(rawValue: provider) == nil {
                    reader.report(
                        "`\(provider)` is no provider",
                        at: fields.location(of: "logins"),
                        hints: [
                            "there are: "
                                + Hook.Provider.allCases.map(\.rawValue).joined(separator: ", ")
                        ]
                    )
                }
                if let other = logins.updateValue(name, forKey: "\(provider) \(login)") {
                    reader.report(
                        "`\(login)` at \(provider) is \(other)'s login, too",
                        at: fields.location(of: "logins")
                    )
                }
            }
            for address in account.addresses {
                if let other = addresses.updateValue(name, forKey: address) {
                    reader.report(
                        "`\(address)` is \(other)'s address, too",
                        at: fields.location(of: "addresses")
                    )
                }
            }
            return account
        }
    }

    /// Whether a text may name an account or a hook: it stands in addresses, headers and records.
    static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && !text.hasPrefix(".") && !text.hasPrefix("-")
            && text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0)
                    || (0x61...0x7A).contains($0) || "._-@".utf8.contains($0)
            }
    }

    private func roles(_ fields: YAMLFields) -> Roles {
        guard let node = fields.node("role") else {
            reader.report("\(fields.what) needs `role`", at: fields.location)
            return Roles([:])
        }
        guard case .mapping = node.content else {
            return Roles([Roles.everywhere: roles(node)])
        }
        guard let environments = reader.fields(node, of: "`role`") else { return Roles([:]) }
        var found: [String: Set<Role>] = [:]
        for pair in environments.entries { found[pair.key] = roles(pair.value) }
        return Roles(found)
    }

    private func roles(_ node: YAMLNode) -> Set<Role> {
        var found: Set<Role> = []
        for text in reader.texts(node, of: "a role") ?? [] {
            if let role = Role(rawValue: text) {
                found.insert(role)
                continue
            }
            let all = Role.allCases.map(\.rawValue)
            reader.report(
                "`\(text)` is no role",
                at: node.location,
                hints: Suggestion.hint(for: text, in: all) + [
                    "there are: \(all.joined(separator: ", "))"
                ]
            )
        }
        return found
    }

    // MARK: Hooks

    private func hooks(_ node: YAMLNode) -> [Hook] {
        guard let hooks = reader.fields(node, of: "`hooks`") else { return [] }
        return hooks.entries.compactMap { pair in
            guard Self.isName(pair.key) else {
                reader.report(
                    "`\(pair.key)` is no hook's name",
                    at: pair.keyLocation,
                    hints: ["write up to 64 letters, digits, `.`, `_` and `-`"]
                )
                return nil
            }
            return hook(pair.key, pair.value)
        }
    }

    private func hook(_ name: String, _ node: YAMLNode) -> Hook? {
        guard let fields = reader.fields(node, of: "the hook `\(name)`") else { return nil }
        defer { fields.refuseUnknown() }
        if !fields.has("provider") {
            reader.report("\(fields.what) needs `provider`", at: fields.location)
        }
        let provider = word("provider", fields, Hook.Provider.self)
        let secrets = [
            secret("secret", fields, isRequired: true),
            secret("next_secret", fields, isRequired: false),
        ].compactMap { $0 }
        let acceptsToken = fields.flag("accept_token") ?? false
        if acceptsToken, provider != .gitlab {
            reader.report(
                "`accept_token` is for GitLab before 19.0",
                at: fields.location(of: "accept_token")
            )
        }
        let repository = repository("repository", fields)
        let project = fields.line("project")
        if project == nil, provider != .standard {
            reader.report(
                "\(fields.what) needs `project`: a secret that leaks must not deploy other projects",
                at: fields.location,
                hints: ["write the name that the provider calls it by: `project: acme/shop`"]
            )
        }
        let poll = fields.milliseconds("poll") ?? 300_000
        let rules = fields.node("rules").flatMap { reader.items($0, of: "`rules`") } ?? []
        if rules.isEmpty { reader.report("\(fields.what) needs `rules`", at: fields.location) }
        let read = rules.compactMap(rule)
        guard let provider, let repository, !secrets.isEmpty else { return nil }
        return Hook(
            name: name,
            provider: provider,
            secrets: secrets,
            acceptsToken: acceptsToken,
            repository: repository,
            project: project,
            rules: read,
            pollMilliseconds: max(1_000, poll)
        )
    }

    private func rule(_ node: YAMLNode) -> Hook.Rule? {
        guard let fields = reader.fields(node, of: "a rule") else { return nil }
        defer { fields.refuseUnknown() }
        let branch = fields.line("branch")
        let tag = fields.line("tag")
        let environments = fields.texts("deploy") ?? []
        if environments.isEmpty {
            reader.report("a rule needs `deploy`: the environments, in order", at: fields.location)
        }
        if Set(environments).count != environments.count {
            reader.report("an environment stands there twice", at: fields.location(of: "deploy"))
        }
        var gate: Hook.CIGate?
        if let node = fields.node("after_ci"), let text = reader.text(node, of: "`after_ci`") {
            gate = text == "true" ? .any : text == "false" ? nil : .named(text)
        }
        switch (branch, tag) {
        case (let branch?, nil):
            if !Self.isBranch(branch) {
                reader.report(
                    "`\(branch)` is no branch",
                    at: fields.location(of: "branch"),
                    hints: ["a branch is named whole; patterns are for tags"]
                )
            }
            return Hook.Rule(watched: .branch(branch), environments: environments, afterCI: gate)
        case (nil, let tag?):
            return Hook.Rule(watched: .tags(tag), environments: environments, afterCI: gate)
        default:
            reader.report("a rule watches either a `branch` or a `tag`", at: fields.location)
            return nil
        }
    }
}
