internal import FleetTransport
public import FleetYAML

/// Reads an inventory file: `ssh`, `vars`, `hosts`, `groups`, `policy`, `notify`.
public enum InventoryReader {
    /// Reads one environment.
    ///
    /// - Parameters:
    ///   - source: The file's text.
    ///   - file: The name that messages will carry.
    ///   - environment: The environment's name.
    /// - Returns: The inventory, with at least one host.
    /// - Throws: ``FleetYAML/Diagnostics`` with everything that is wrong with the file.
    public static func read(_ source: String, file: String, environment: String)
        throws(Diagnostics) -> Inventory
    {
        let root = try YAMLDocument.parse(source, file: file)
        let reader = YAMLReader(file: file, source: source)
        var assembly = Assembly(reader: reader)
        var policy = EnvironmentPolicy()
        var notifications: [NotificationRule] = []
        if let fields = reader.fields(root, of: "an inventory") {
            assembly.common = assembly.settings(fields, isForAllHosts: true)
            if let hosts = fields.node("hosts") { assembly.readHosts(hosts, group: nil) }
            if let groups = fields.node("groups") { assembly.readGroups(groups) }
            if let node = fields.node("policy"),
                let keys = reader.fields(node, of: "`policy`")
            {
                policy = PolicyReader(reader: reader, environment: environment).read(keys)
            }
            if let node = fields.node("notify") {
                notifications = NotificationRule.read(node, reader: reader)
            }
            fields.refuseUnknown()
        }
        assembly.checkChildren()
        // Hosts that were refused are there: one true error is enough.
        if case .mapping = root.content, assembly.order.isEmpty, reader.isContent {
            reader.report(
                "the inventory holds no host",
                at: root.location,
                hints: ["add `groups:` with `hosts:` in them, or `hosts:`"]
            )
        }
        try reader.finish()
        return Inventory(
            environment: environment,
            hosts: assembly.order.map(assembly.host),
            policy: policy,
            notifications: notifications
        )
    }
}

/// Settings that a level of the inventory gives to all hosts below it.
private struct Level {
    var variables: [String: String] = [:]
    var ssh = SSHSettings()
}

/// A group as written.
private struct Group {
    var level: Level
    var hosts: Set<HostName> = []
    var children: [(name: String, location: SourceLocation)] = []
}

/// What has been read so far.
private struct Assembly {
    let reader: YAMLReader
    var common = Level()
    var order: [HostName] = []
    var own: [HostName: Level] = [:]
    var groups: [String: Group] = [:]
    var groupOrder: [String] = []

    mutating func readGroups(_ node: YAMLNode) {
        guard let fields = reader.fields(node, of: "`groups`") else { return }
        for pair in fields.entries {
            checkName(pair.key, at: pair.keyLocation)
            groupOrder.append(pair.key)
            guard !pair.value.isNull else {
                groups[pair.key] = Group(level: Level())
                continue
            }
            guard let keys = reader.fields(pair.value, of: "group `\(pair.key)`") else { continue }
            var group = Group(level: settings(keys))
            if let children = keys.node("children"),
                let items = reader.items(children, of: "`children`")
            {
                for item in items {
                    guard let name = reader.text(item, of: "a child group") else { continue }
                    group.children.append((name, item.location))
                }
            }
            groups[pair.key] = group
            if let hosts = keys.node("hosts") { readHosts(hosts, group: pair.key) }
            keys.refuseUnknown()
        }
    }

    /// Reads a list of names and ranges, or a mapping from names to settings.
    mutating func readHosts(_ node: YAMLNode, group: String?) {
        switch node.content {
        case .mapping(let pairs):
            for pair in pairs {
                for name in names(pair.key, at: pair.keyLocation) {
                    add(name, to: group)
                    guard !pair.value.isNull,
                        let keys = reader.fields(pair.value, of: "host `\(pair.key)`")
                    else { continue }
                    var level = settings(keys)
                    level.ssh = level.ssh.overriding(own[name]?.ssh ?? SSHSettings())
                    level.variables.merge(own[name]?.variables ?? [:]) { new, _ in new }
                    own[name] = level
                    keys.refuseUnknown()
                }
            }
        default:
            guard let items = reader.items(node, of: "`hosts`") else { return }
            for item in items {
                guard let text = reader.text(item, of: "a host") else { continue }
                for name in names(text, at: item.location) { add(name, to: group) }
            }
        }
    }

    private mutating func add(_ name: HostName, to group: String?) {
        if own[name] == nil {
            own[name] = Level()
            order.append(name)
        }
        if let group { groups[group]?.hosts.insert(name) }
    }

    /// What people write for a host who know another tool: `user@host:port`, or an address in brackets.
    private func elsewhere(_ text: String) -> String? {
        if text.hasPrefix("["), text.contains("::") || text.filter({ $0 == ":" }).count > 1 {
            return "give the host a name, and the address below it: "
                + "`web1: { ssh: { hostname: \"\(text.drop { $0 == "[" }.prefix { $0 != "]" })\" } }`"
        }
        let colons = text.filter { $0 == ":" }.count
        guard !text.contains("["), text.contains("@") || colons == 1 else { return nil }
        let behind = text.split(separator: "@").last.map(String.init) ?? text
        let parts = behind.split(separator: ":").map(String.init)
        var settings: [String] = []
        if text.contains("@"), let user = text.split(separator: "@").first {
            settings.append("user: \(user)")
        }
        if colons == 1, parts.count == 2, Int(parts[1]) != nil {
            settings.append("port: \(parts[1])")
        }
        guard !settings.isEmpty else { return nil }
        return "write `\(parts[0]): { ssh: { \(settings.joined(separator: ", ")) } }`"
    }

    private func names(_ text: String, at location: SourceLocation) -> [HostName] {
        if let hint = elsewhere(text) {
            reader.report("`\(text)` is not a host name", at: location, hints: [hint])
            return []
        }
        do {
            return try HostRange.expand(text).filter { name in
                let isValid = HostNameGrammar.allows(name)
                if !isValid {
                    reader.report(
                        "`\(name)` is not a host name",
                        at: location,
                        hints: ["use letters, digits, `.`, `-`, `_` and `:`"]
                    )
                }
                return isValid
            }.map { HostName($0) }
        } catch {
            reader.report("`\(text)`: \(error.reason)", at: location)
            return []
        }
    }

    private func checkName(_ group: String, at location: SourceLocation) {
        if !HostNameGrammar.allows(group) || group == "all" {
            reader.report("`\(group)` cannot name a group", at: location)
        }
    }

    /// Reads `vars` and `ssh`, which every level may have.
    func settings(_ fields: YAMLFields, isForAllHosts: Bool = false) -> Level {
        var level = Level()
        for (key, value, location) in fields.textMap("vars") {
            if !ShellWord.isVariableName(key) {
                reader.report(
                    "`\(key)` cannot name a variable",
                    at: location,
                    hints: ["use letters, digits and `_`, not starting with a digit"]
                )
            }
            level.variables[key] = value
        }
        guard let node = fields.node("ssh"), let keys = reader.fields(node, of: "`ssh`") else {
            return level
        }
        level.ssh.hostname = keys.text("hostname")
        level.ssh.port = keys.number("port", in: 1...65535)
        level.ssh.user = keys.text("user")
        level.ssh.identityFiles = keys.texts("identity_file")
        level.ssh.knownHostsFile = keys.text("known_hosts")
        level.ssh.connectTimeoutMilliseconds = keys.milliseconds("connect_timeout")
        level.ssh.identitiesOnly = keys.flag("identities_only")
        level.ssh.keyLimit = keys.number("key_limit", in: 1...100)
        level.ssh.forwardAgent = keys.flag("forward_agent")
        level.ssh.openSSHSessions = keys.number("openssh_sessions", in: 1...1000)
        if level.ssh.openSSHSessions != nil, !isForAllHosts {
            reader.report(
                "`openssh_sessions` is for all hosts together",
                at: keys.location(of: "openssh_sessions"),
                hints: ["write it in the `ssh` at the top of the inventory"]
            )
        }
        level.ssh.hostKeyAlias = keys.text("host_key_alias")
        level.ssh.jump = keys.texts("jump")?.joined(separator: ",")
        level.ssh.proxyCommand = keys.text("proxy_command")
        level.ssh.passphrase = secret("passphrase", in: keys)
        level.ssh.password = secret("password", in: keys)
        level.ssh.becomePassword = secret("become_password", in: keys)
        // Both come into commands of ssh_config (`ProxyCommand nc %h`) and into known_hosts.
        if let alias = level.ssh.hostKeyAlias, !HostNameGrammar.allows(alias) {
            reader.report(
                "`\(alias)` cannot be a `host_key_alias`",
                at: keys.location(of: "host_key_alias")
            )
        }
        if let jump = level.ssh.jump, !HostNameGrammar.allowsWay(jump) {
            reader.report("`\(jump)` cannot be a `jump`", at: keys.location(of: "jump"))
        }
        if let word = keys.text("client") {
            level.ssh.client = HostClient(rawValue: word)
            if level.ssh.client == nil {
                reader.report(
                    "`client` is `auto`, `libssh2`, `openssh` or `local`, not `\(word)`",
                    at: keys.node("client")?.location
                )
            }
        }
        if let word = keys.text("host_keys") {
            level.ssh.hostKeys = HostKeyPolicy(rawValue: word)
            if level.ssh.hostKeys == nil {
                reader.report(
                    "`host_keys` is `strict` or `accept-new`, not `\(word)`",
                    at: keys.node("host_keys")?.location,
                    hints: ["there is no way to switch the check off"]
                )
            }
        }
        for (what, value) in [("hostname", level.ssh.hostname), ("user", level.ssh.user)] {
            // A control character or a leading dash has turned into commands before (CVE-2023-51385).
            if let value, !HostNameGrammar.allows(value) {
                reader.report("`\(value)` cannot be a \(what)", at: keys.location(of: what))
            }
        }
        keys.refuseUnknown()
        return level
    }

    /// Reads where a secret comes from: a secret itself never stands in an inventory.
    private func secret(_ key: String, in keys: YAMLFields) -> SecretSource? {
        guard let node = keys.node(key) else { return nil }
        guard case .mapping = node.content, let fields = reader.fields(node, of: "`\(key)`") else {
            reader.report(
                "`\(key)` says where the secret is, not what it is",
                at: node.location,
                hints: [
                    "write `\(key): { env: NAME }`, `{ file: path }` or `{ command: [pass, show, x] }`"
                ]
            )
            return nil
        }
        let found: [SecretSource] = [
            fields.text("env").map { .environment($0) }, fields.text("file").map { .file($0) },
            fields.texts("command").map { .command($0) },
        ].compactMap { $0 }
        fields.refuseUnknown()
        guard found.count == 1 else {
            reader.report("`\(key)` needs one of `env`, `file` and `command`", at: node.location)
            return nil
        }
        return found[0]
    }

    // MARK: Folding

    func checkChildren() {
        for name in groupOrder {
            for child in groups[name]?.children ?? [] where groups[child.name] == nil {
                reader.report(
                    "group `\(child.name)` is not defined",
                    at: child.location,
                    hints: Suggestion.hint(for: child.name, in: groups.keys)
                )
            }
            if ancestors(of: name).contains(name) {
                reader.report(
                    "group `\(name)` contains itself",
                    at: groups[name]?.children.first?.location
                )
            }
        }
    }

    private func parents(of group: String) -> [String] {
        groupOrder.filter { groups[$0]?.children.contains { $0.name == group } ?? false }
    }

    private func ancestors(of group: String) -> Set<String> {
        var found: Set<String> = []
        var queue = parents(of: group)
        while let next = queue.popLast() {
            if found.insert(next).inserted { queue += parents(of: next) }
        }
        return found
    }

    /// Groups that hold a host, broad before narrow, and in the order of the file otherwise.
    private func chain(for host: HostName) -> [String] {
        var found: Set<String> = []
        for name in groupOrder where groups[name]?.hosts.contains(host) ?? false {
            found.insert(name)
            found.formUnion(ancestors(of: name))
        }
        return groupOrder.filter(found.contains).enumerated().sorted { first, second in
            let a = ancestors(of: first.element).count
            let b = ancestors(of: second.element).count
            return a == b ? first.offset < second.offset : a < b
        }.map(\.element)
    }

    func host(_ name: HostName) -> Host {
        let chain = chain(for: name)
        var level = common
        for narrower in chain.compactMap({ groups[$0]?.level }) + [own[name] ?? Level()] {
            level.variables.merge(narrower.variables) { _, new in new }
            level.ssh = narrower.ssh.overriding(level.ssh)
        }
        return Host(
            name: name,
            groups: chain.sorted(),
            variables: level.variables,
            ssh: level.ssh
        )
    }
}

/// What may stand where a host, user or group is named.
enum HostNameGrammar {
    /// The same of hosts on a way, `[user@]host[:port]` or `ssh://…`, with commas between them.
    static func allowsWay(_ text: String) -> Bool {
        text.split(separator: ",", omittingEmptySubsequences: false).allSatisfy { hop in
            var rest = hop.drop { $0 == " " }
            while rest.last == " " { rest.removeLast() }
            if rest.hasPrefix("ssh://") {
                rest = rest.dropFirst("ssh://".count)
                if rest.last == "/" { rest.removeLast() }
            }
            let parts = rest.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
            var place = parts.last ?? ""
            // Brackets stand around an address, and nowhere else.
            if place.hasPrefix("["), let close = place.firstIndex(of: "]") {
                let port = place[place.index(after: close)...]
                place = place[place.index(after: place.startIndex)..<close] + port
            }
            return parts.count <= 2 && (parts.count == 1 || allows(String(parts[0])))
                && allows(String(place))
        }
    }

    static func allows(_ name: String) -> Bool {
        guard let first = name.utf8.first, first != 0x2D, name.utf8.count <= 253 else {
            return false
        }
        return name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                || (0x61...0x7A).contains(byte) || ".-_:@%".utf8.contains(byte)
        }
    }
}
