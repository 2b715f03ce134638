internal import FleetTransport

/// What a host ran before this rollout touched it, as each step's preflight found it.
public struct Snapshot: Sendable, Hashable, Codable {
    /// Facts by step name, then by their own name: `["pull": ["commit": "…", "tag": "v1.0.0"]]`.
    public let facts: [String: [String: String]]

    /// Gathers facts.
    public init(facts: [String: [String: String]] = [:]) { self.facts = facts }

    /// The most facts kept of one script.
    public static let factLimit = 32

    /// Whether there are more facts in a script's output than are kept: some of them would be lost.
    public static func overflows(_ output: String) -> Bool {
        var names: Set<Substring> = []
        for line in output.split(whereSeparator: \.isNewline) {
            guard let equals = line.firstIndex(of: "="),
                ShellWord.isVariableName(String(line[..<equals]))
            else { continue }
            names.insert(line[..<equals])
        }
        return names.count > factLimit
    }

    /// Reads `name=value` lines; other lines are ignored, because a host may print what it likes.
    public static func facts(from output: String) -> [String: String] {
        var facts: [String: String] = [:]
        for line in output.split(whereSeparator: \.isNewline) where facts.count < factLimit {
            guard let equals = line.firstIndex(of: "=") else { continue }
            let name = String(line[..<equals])
            guard ShellWord.isVariableName(name), name.utf8.count <= 32 else { continue }
            facts[name] = String(line[line.index(after: equals)...].prefix(400))
        }
        return facts
    }

    /// The name under which facts about the host itself are kept; no step can have this name.
    public static let hostFacts = "(host)"

    /// The value that identifies the host; nil if the host did not report it.
    public var identity: String? { facts[Self.hostFacts]?["identity"] }

    /// The fingerprint of the key that the host proved; nil if it was not asked.
    public var hostKey: String? { facts[Self.hostFacts]?["hostkey"] }

    /// What reached the host, as in `libssh2 1.10.0`; nil if that was not recorded.
    public var client: String? { facts[Self.hostFacts]?["client"] }

    /// The client that connected to the host earlier in the same rollout, if it was another one.
    public var clientBefore: String? { facts[Self.hostFacts]?["client_before"] }

    /// The program on the host that connects to the targets of smoke tests, if the host's sshd forwards no connection.
    ///
    /// Nil if no such program is needed, or the host was not asked.
    public var relay: String? { facts[Self.hostFacts]?["relay"] }

    /// A client without its version: `libssh2`, `OpenSSH` or `local`.
    public static func clientName(_ client: String) -> String {
        String(client.prefix { $0 != " " && $0 != "_" })
    }

    /// The journal record that the host was told of last; nil if nothing is wrong with it.
    public var witness: String? { facts[Self.hostFacts]?[Self.witnessFact] }

    /// The same snapshot without ``witness``.
    public var withoutWitness: Snapshot {
        var facts = facts
        facts[Self.hostFacts]?[Self.witnessFact] = nil
        return Snapshot(facts: facts)
    }

    private static let witnessFact = "witness"

    /// How far the host's clock is ahead of the controller's, in seconds; nil if it did not say.
    public var clockSkewSeconds: Int? { facts[Self.hostFacts]?["skew"].flatMap { Int($0) } }

    /// The commit that a step found, if it looked for one.
    public func commit(of step: String) -> String? {
        facts[step]?["commit"].flatMap { GitName.isCommit($0) ? $0 : nil }
    }

    /// The release that a step found checked out.
    public func release(of step: String) -> Release? {
        commit(of: step).map { commit in
            let tag = facts[step]?["tag"] ?? ""
            return Release(tag: GitName.isTag(tag) ? tag : nil, commit: commit)
        }
    }
}
