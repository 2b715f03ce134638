import ArgumentParser
import FleetClients
import FleetInventory
import FleetOperations
import FleetProject
import FleetReport
import FleetRollout
import FleetSSH
import FleetTransport

/// `fleet trust ENV`.
struct TrustCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trust",
        _superCommandName: Fleet.name,
        abstract:
            "Collect the keys of hosts that are not known yet; or agree to what the project's files do here.",
        discussion: """
            With --files: what the project's files would run on this machine, read of it, or trust, takes effect
            only after you have agreed to it. A change asks again. CI is given the digest that it prints, as
            --trusted-files or FLEET_TRUSTED_FILES.

            With an environment: Compare each fingerprint with the host's own, from its console or its cloud's page:
            ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub. A key that has changed is never
            replaced.
            """
    )

    @Argument(
        help:
            "The environment whose hosts' keys are collected: inventory/ENV.yml. With --files, the path of a playbook that is not in `playbooks`."
    )
    var environment: String?
    @Option(name: [.short, .long], help: "A host pattern: web:!web03, web[01:04], db*.")
    var limit: String?
    @Flag(name: .customLong("files"), help: "Agree to what the project's files do on this machine.")
    var isAboutFiles = false
    @Option(name: [.customShort("f"), .long], help: "The most hosts in flight at once.")
    var fanout = 32
    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var isConfirmed = false
    @OptionGroup var common: CommonOptions

    private typealias Found = (host: HostName, result: Result<OfferedHostKey?, TransportError>)

    func validate() throws {
        if !(1...10_000).contains(fanout) {
            throw ValidationError("--fanout must be from 1 to 10000")
        }
        if environment == nil, !isAboutFiles {
            throw ValidationError("name an environment, or give --files")
        }
    }

    func run() async throws {
        let project = try await common.openProject()
        guard let environment, !isAboutFiles else {
            try await agree(to: project, with: environment)
            return
        }
        let hosts = try HostOptions.parse([environment] + (limit.map { ["--limit=\($0)"] } ?? []))
        let (_, selected) = try hosts.select(in: project)
        let endpoints = selected.map(\.endpoint)
        let transport = try await common.openTransport(for: selected, in: project)
        var isGood = true
        // A host behind others can only be seen once those are known.
        for stage in try stages(of: endpoints, transport) {
            let found = await collect(stage, transport)
            show(found)
            let new = try await remember(found, transport, in: project)
            isGood = isGood && new
        }
        if !isGood { throw ExitStatus.saidNo }
    }

    /// A known_hosts of the project's that this command has just written is as agreed to as it was before; nothing else is.
    private func agreeStill(to before: Set<SensitiveValue>, of project: Project)
        async throws(OperationFailure)
    {
        let known = common.opening.trustStore.values(of: project)
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
        try keep(known.subtracting(old).union(now), of: project)
    }

    /// Shows what the files would do here, beside what was agreed to before, and keeps a person's word.
    private func agree(to project: Project, with playbook: String?) async throws(OperationFailure) {
        if let playbook {
            do throws(ProjectError) { _ = try project.playbook(playbook) } catch {
                throw OperationFailure(error)
            }
        }
        let values = await project.sensitiveValues(with: playbook)
        let known = common.opening.trustStore.values(of: project)
        let style = common.standardOutputStyle
        let texts = Set(values.map(\.text))
        for value in values.sorted() {
            let isKnown = known.contains(value.text)
            common.print(
                "\(isKnown ? "  " : style.green("+ "))\(Sanitizer.line(value.text))  (\(Sanitizer.line(value.file)))"
            )
        }
        for text in known.subtracting(texts).sorted() {
            common.print(style.red("- ") + Sanitizer.line(text))
        }
        for file in project.invalidFiles {
            common.print(
                "\(style.yellow("not looked at:")) \(Sanitizer.line(file)) is not valid: fleet check"
            )
        }
        if values.isEmpty {
            common.print("the project's files do nothing on this machine")
        } else {
            common.print("for CI: --trusted-files \(Project.digest(of: values))")
        }
        guard texts != known else { return }
        try confirm(
            "may the project's files do that on this machine?",
            or: "what the project's files do here needs a person's word",
            "look at the list, then add --yes"
        )
        try keep(texts, of: project)
        common.print("agreed")
    }

    private func keep(_ texts: Set<String>, of project: Project) throws(OperationFailure) {
        _ = try common.openJournal()
        do throws(TrustStore.Failure) {
            try common.opening.trustStore.keep(
                texts,
                of: project,
                by: Surroundings.user,
                at: Surroundings.unixMilliseconds
            )
        } catch {
            throw OperationFailure(.stateDirectory, "the agreement cannot be kept: \(error.reason)")
        }
    }

    /// Asks, unless `--yes` has answered.
    ///
    /// - Parameters:
    ///   - question: The question.
    ///   - refusal: What is wrong where nobody can be asked.
    ///   - hint: What to do there.
    /// - Throws: ``OperationFailure`` without a yes.
    private func confirm(_ question: String, or refusal: String, _ hint: String)
        throws(OperationFailure)
    {
        guard !isConfirmed else { return }
        guard Terminal.canAsk else {
            throw OperationFailure(.refused, refusal, hints: [hint, "nothing was changed"])
        }
        let answer = Terminal.ask("\(question) [y/N] ") ?? ""
        guard ["y", "yes"].contains(answer.lowercased()) else {
            throw OperationFailure(.refused, "not confirmed; nothing was changed")
        }
    }

    private func stages(of endpoints: [HostEndpoint], _ transport: ClientTransport)
        throws(OperationFailure) -> [[HostEndpoint]]
    {
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
        return stages + [endpoints]
    }

    private func collect(_ endpoints: [HostEndpoint], _ transport: ClientTransport) async -> [Found]
    {
        await withTaskGroup(of: Found.self) { group in
            var rest = endpoints[...]
            var found: [Found] = []
            func start(_ group: inout TaskGroup<Found>) {
                guard let endpoint = rest.popFirst() else { return }
                group.addTask { (endpoint.name, await Self.ask(endpoint, transport)) }
            }
            for _ in 0..<min(fanout, endpoints.count) { start(&group) }
            while let next = await group.next() {
                found.append(next)
                start(&group)
            }
            return found.sorted { $0.host < $1.host }
        }
    }

    private static func ask(_ endpoint: HostEndpoint, _ transport: ClientTransport) async
        -> Result<OfferedHostKey?, TransportError>
    {
        do throws(TransportError) {
            return .success(try await transport.offeredKey(of: endpoint))
        } catch {
            return .failure(error)
        }
    }

    private func show(_ found: [Found]) {
        let rows = found.map { host, result in
            switch result {
            case .success(nil): [host.text, "known", "this machine itself"]
            case .success(let key?):
                switch key.standing {
                case .known: [host.text, "known", key.fingerprint]
                case .new: [host.text, "new", key.fingerprint]
                case .changed(let known, let place):
                    [host.text, "CHANGED", "\(key.fingerprint); known is \(known) at \(place)"]
                case .revoked(let place):
                    [host.text, "REVOKED", "\(key.fingerprint) at \(place)"]
                }
            case .failure(let error):
                [host.text, "not seen", "\(error.token): \(Sanitizer.line(error.message))"]
            }
        }
        let table = Table.lines(
            header: ["host", "key", "fingerprint"],
            rows: rows,
            style: common.standardOutputStyle,
            indent: ""
        )
        common.print(table.joined(separator: "\n"))
    }

    /// Asks about the new keys and writes them.
    ///
    /// - Returns: Whether every host's key is known now.
    private func remember(_ found: [Found], _ transport: ClientTransport, in project: Project)
        async throws -> Bool
    {
        var new: [OfferedHostKey] = []
        var isGood = true
        for (host, result) in found {
            switch result {
            case .success(let key?) where key.standing == .new: new.append(key)
            case .success(let key?) where key.standing == .known: break
            case .success(nil): break
            case .success(let key?):
                isGood = false
                let place = if case .changed(_, let place) = key.standing { place } else { "" }
                Terminal.standardError.write(
                    "\(host): if it was rebuilt, remove the line at \(place) yourself and run "
                        + "`fleet trust` again; otherwise someone may be between you and it\n"
                )
            case .failure: isGood = false
            }
        }
        guard !new.isEmpty else { return isGood }
        try confirm(
            "are these the keys of your hosts?",
            or: "new keys need a person's word: \(new.count)",
            "compare the fingerprints, then add --yes"
        )
        // What came in while the question stood there is nobody's word.
        let before = await project.sensitiveValues()
        do throws(TransportError) {
            try await transport.trust(new)
        } catch {
            throw OperationFailure(.stateDirectory, error.message)
        }
        try await agreeStill(to: before, of: project)
        common.print(new.count == 1 ? "1 key remembered" : "\(new.count) keys remembered")
        return isGood
    }
}
