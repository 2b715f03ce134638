internal import FleetClients
internal import FleetInventory
internal import FleetJournal
internal import FleetProject
internal import FleetRollout
internal import FleetRunner
public import FleetSSH
public import FleetTransport

/// What a project's files would do on this machine, beside what somebody has agreed to.
public struct FileAgreement: Sendable {
    /// Everything that they would do, and in which file it stands.
    public let values: [(text: String, file: String, isKnown: Bool)]
    /// What was agreed to and is not there any more.
    public let gone: [String]
    /// Files that are not valid, and so were not looked at.
    public let invalidFiles: [String]
    /// What CI is given to agree to exactly that.
    public let digest: String
    /// Whether somebody has to agree.
    public let isNew: Bool
}

/// The keys of an environment's hosts, asked for in stages: a host behind others can only be seen once those are known.
public struct KeyCollection: Sendable {
    /// What a host offered: nil for this machine itself.
    public typealias Found = (host: HostName, result: Result<OfferedHostKey?, TransportError>)

    /// How many stages there are.
    public var count: Int { stages.count }
    let stages: [[HostEndpoint]]
    let transport: ClientTransport
    let operations: UnrecordedOperations

    /// Asks the hosts of a stage for their keys, many at a time.
    ///
    /// - Parameters:
    ///   - stage: Its number, from 0.
    ///   - fanout: The most hosts in flight.
    /// - Returns: What they offered, by name.
    public func collect(_ stage: Int, fanout: Int) async -> [Found] {
        let found: [Found] = await stages[stage].windowed(fanout) { ($0.name, await ask($0)) }
        return found.sorted { $0.host < $1.host }
    }

    private func ask(_ endpoint: HostEndpoint) async -> Result<OfferedHostKey?, TransportError> {
        do throws(TransportError) {
            return .success(try await transport.offeredKey(of: endpoint))
        } catch {
            return .failure(error)
        }
    }

    /// Remembers keys that a person has compared.
    ///
    /// A known_hosts of the project's that this has just written is as agreed to as it was before; nothing else is.
    ///
    /// - Parameters:
    ///   - keys: The keys.
    ///   - user: Who has compared them.
    /// - Throws: ``OperationFailure`` if they cannot be kept.
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

    /// What the project's files would do here.
    ///
    /// - Parameter playbook: A playbook that is not in `playbooks`, by its path; nil for none.
    /// - Returns: All of it.
    /// - Throws: ``OperationFailure`` for a playbook that there is not.
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

    /// Keeps a person's word that the project's files may do exactly that here.
    ///
    /// - Throws: ``OperationFailure`` if it cannot be kept.
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

    /// Prepares to collect the keys of hosts, and of those before them.
    ///
    /// - Throws: ``OperationFailure`` for hosts that there are not, and a configuration that cannot be read.
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
