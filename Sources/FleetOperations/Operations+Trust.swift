internal import FleetClients
internal import FleetInventory
internal import FleetJournal
internal import FleetProject
internal import FleetRollout
internal import FleetRunner
public import FleetSSH
public import FleetTransport

/// What a project's files would do on this machine, compared with what somebody has agreed to.
public struct FileAgreement: Sendable {
    /// Everything that the files would do, with the file that says so and whether it was agreed to.
    public let values: [(text: String, file: String, isKnown: Bool)]
    /// What was agreed to and is no longer in the files.
    public let gone: [String]
    /// Files that are invalid and were therefore not examined.
    public let invalidFiles: [String]
    /// The digest of ``values``, by which CI can agree to exactly these.
    public let digest: String
    /// Whether ``values`` differ from what was agreed to, so that somebody has to agree anew.
    public let isNew: Bool
}

/// The SSH keys that the hosts of one stage offer.
public struct CollectedKeys: Sendable {
    /// Each host and its key, sorted by host name.
    public let found: [KeyCollection.Found]

    private var keys: [(host: HostName, key: OfferedHostKey)] {
        found.compactMap { host, result in
            if case .success(let key?) = result { (host, key) } else { nil }
        }
    }

    /// The keys that nobody has compared yet.
    public var new: [OfferedHostKey] { keys.map(\.key).filter { $0.standing == .new } }

    /// The hosts that show another key than the known one, or a revoked one.
    public var refused: [(host: HostName, key: OfferedHostKey)] {
        keys.filter { $0.key.standing != .known && $0.key.standing != .new }
    }

    /// Whether every host's key is known as soon as the ``new`` ones are.
    public var isComplete: Bool {
        refused.isEmpty
            && found.allSatisfy { if case .failure = $0.result { false } else { true } }
    }
}

/// Collects the SSH keys of an environment's hosts in stages.
///
/// A host behind a jump host can only be asked once the key of the jump host is known.
public struct KeyCollection: Sendable {
    /// A host, and the key that it offers or an error; the key is nil if the host is this machine.
    public typealias Found = (host: HostName, result: Result<OfferedHostKey?, TransportError>)

    /// How many stages there are.
    public var count: Int { stages.count }
    let stages: [[HostEndpoint]]
    let transport: ClientTransport
    let operations: UnrecordedOperations

    /// Asks the hosts of one stage for their keys, several hosts at a time.
    ///
    /// - Parameters:
    ///   - stage: The number of the stage, from 0.
    ///   - fanout: The largest number of hosts that are asked at once.
    /// - Returns: The offered keys, sorted by host name.
    public func collect(_ stage: Int, fanout: Int) async -> CollectedKeys {
        let found: [Found] = await stages[stage].windowed(fanout) { ($0.name, await ask($0)) }
        return CollectedKeys(found: found.sorted { $0.host < $1.host })
    }

    private func ask(_ endpoint: HostEndpoint) async -> Result<OfferedHostKey?, TransportError> {
        do throws(TransportError) {
            return .success(try await transport.offeredKey(of: endpoint))
        } catch {
            return .failure(error)
        }
    }

    /// Stores keys that a person has compared with the real ones.
    ///
    /// If this changes a known_hosts file of the project that was agreed to, the changed file counts as agreed to as
    /// well; no other change does.
    ///
    /// - Parameters:
    ///   - keys: The keys.
    ///   - user: The person who compared them.
    /// - Throws: ``OperationFailure`` if the keys cannot be stored.
    public func remember(_ keys: [OfferedHostKey], by user: String) async throws(OperationFailure) {
        let project = operations.project
        // What came in while the question stood there is nobody's word.
        let before = await project.sensitiveValues()
        do throws(TransportError) {
            try await transport.trust(keys)
        } catch {
            throw OperationFailure(.stateDirectory, error.message)
        }
        let known = operations.trustStore.values(of: project)
        func place(_ text: String) -> Substring {
            text.firstRange(of: " (sha256:").map { text[..<$0.lowerBound] } ?? text[...]
        }
        let old = Set(
            before.map(\.text).filter { $0.hasPrefix("known_hosts in ") && known.contains($0) }
        )
        let now = await project.sensitiveValues().map(\.text).filter { text in
            text.hasPrefix("known_hosts in ") && old.contains { place($0) == place(text) }
        }
        guard !old.isEmpty, Set(now) != old else { return }
        try operations.keep(known.subtracting(old).union(now), by: user)
    }
}

extension UnrecordedOperations {
    /// What people have agreed to on this machine.
    var trustStore: TrustStore { TrustStore(in: settings.stateDirectory) }

    /// Returns what the project's files would do on this machine.
    ///
    /// - Parameter playbook: The path of a playbook outside `playbooks` to include; nil for none.
    /// - Returns: Everything that the files would do, and what was agreed to.
    /// - Throws: ``OperationFailure`` if the playbook does not exist.
    public func fileAgreement(with playbook: String?) async throws(OperationFailure)
        -> FileAgreement
    {
        if let playbook {
            do throws(ProjectError) { _ = try project.playbook(playbook) } catch {
                throw OperationFailure(error)
            }
        }
        let values = await project.sensitiveValues(with: playbook)
        let known = trustStore.values(of: project)
        let texts = Set(values.map(\.text))
        return FileAgreement(
            values: values.sorted().map { ($0.text, $0.file, known.contains($0.text)) },
            gone: known.subtracting(texts).sorted(),
            invalidFiles: project.invalidFiles,
            digest: Project.digest(of: values),
            isNew: texts != known
        )
    }

    /// Records that a person agrees to everything in an agreement.
    ///
    /// - Throws: ``OperationFailure`` if the agreement cannot be stored.
    public func agree(to agreement: FileAgreement, by user: String) throws(OperationFailure) {
        try keep(Set(agreement.values.map(\.text)), by: user)
    }

    func keep(_ texts: Set<String>, by user: String) throws(OperationFailure) {
        do throws(JournalError) {
            // Ours alone, or nothing is kept there.
            _ = try StateDirectory(path: settings.stateDirectory)
        } catch {
            throw OperationFailure(error)
        }
        do throws(TrustStore.Failure) {
            try trustStore.keep(
                texts,
                of: project,
                by: user,
                at: WallClock.unixMilliseconds()
            )
        } catch {
            throw OperationFailure(.stateDirectory, "the agreement cannot be kept: \(error.reason)")
        }
    }

    /// Prepares to collect the keys of hosts and of the jump hosts in front of them.
    ///
    /// - Throws: ``OperationFailure`` if a selected host does not exist or a configuration file cannot be read.
    public func keys(of selection: HostSelection) async throws(OperationFailure) -> KeyCollection {
        let (_, hosts) = try selection.hosts(of: project)
        let transport = try await Controller.openTransport(for: hosts, in: project, settings)
        let endpoints = hosts.map(\.endpoint)
        var stages: [[HostEndpoint]] = []
        for endpoint in endpoints {
            let way: [HostEndpoint]
            do throws(TransportError) {
                way = try transport.jumpHosts(for: endpoint)
            } catch {
                throw OperationFailure(.invalidFiles, "\(endpoint.name): \(error.message)")
            }
            for (depth, hop) in way.enumerated() {
                if stages.count <= depth { stages.append([]) }
                if !stages[depth].contains(hop) { stages[depth].append(hop) }
            }
        }
        return KeyCollection(stages: stages + [endpoints], transport: transport, operations: self)
    }
}
