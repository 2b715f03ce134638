internal import FleetInventory
internal import FleetPlan
internal import FleetReport
internal import FleetRollout
internal import FleetRunner
public import FleetTransport

/// Asks hosts about their locks, takes them and gives them back.
public struct HostLocks: Sendable {
    /// Who holds the lock of a host.
    public struct Holder: Sendable, Hashable {
        /// The host.
        public let host: HostName
        /// The owner of the lock; nil if the lock is free or the host could not be asked.
        public let owner: String?
        /// The owner and the time of locking, the reason why the host could not be asked, or `free`.
        public let text: String
        /// Whether nobody holds it.
        public var isFree: Bool { owner == nil && text == "free" }
    }

    /// Why something was not done on a host.
    struct Refusal: Sendable, Hashable {
        /// The host.
        let host: HostName
        /// In its own words.
        let reason: String
    }

    let environment: String
    private let hosts: [Host]
    private let survey: Survey
    private let initiator: Initiator

    init(environment: String, hosts: [Host], transport: any Transport, initiator: Initiator) {
        self.environment = environment
        self.hosts = hosts
        survey = Survey(transport: transport)
        self.initiator = initiator
    }

    /// The owner of locks that this person took on this machine.
    var handOwner: String {
        let name = "\(initiator.user)-\(initiator.machine)".lowercased()
        return "hand-" + name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
    }

    /// A lock on every host.
    func lock(owner: String, reason: String) -> HostLock {
        let who = initiator.origin.phrase
        return HostLock(
            environment: environment,
            owner: owner,
            description: reason.isEmpty ? who : "\(who): \(Sanitizer.line(reason))"
        )
    }

    /// Runs a script on the hosts that have one; what went wrong.
    func ask(_ script: (HostName) -> Script?) async -> [Refusal] {
        let answers = await survey.ask(
            hosts.compactMap { host in script(host.name).map { (host, $0) } }
        )
        return answers.sorted { $0.key < $1.key }.compactMap { host, answer in
            switch answer {
            case .success(let answer) where answer.status == 0: nil
            case .success(let answer):
                Refusal(host: host, reason: Sanitizer.line(answer.text))
            case .failure(let error):
                Refusal(host: host, reason: "\(error.token): \(error.message)")
            }
        }
    }

    /// Refusals as a failure.
    static func failure(_ refusals: [Refusal], _ what: String) -> OperationFailure {
        OperationFailure(
            .locked,
            what,
            hints: refusals.map { "\($0.host): \($0.reason)" }
        )
    }

    /// Waits until every host's lock is free.
    ///
    /// - Throws: ``OperationFailure`` with who holds them when the time is over.
    func wait(milliseconds: Int, tell: @Sendable (Happening) -> Void)
        async throws(OperationFailure)
    {
        let start = ContinuousClock.now
        var said = ""
        while true {
            let held = await holders().filter { !$0.isFree }
            guard let first = held.first else { return }
            guard ContinuousClock.now - start < .milliseconds(milliseconds) else {
                throw OperationFailure(
                    .locked,
                    "\(HostRange.fold(held.map(\.host))) stayed locked: \(first.text)",
                    hints: ["fleet lock status \(environment)", "nothing was changed"]
                )
            }
            let text = "waiting for \(HostRange.fold(held.map(\.host))): \(first.text)"
            if text != said { tell(.waiting(text)) }
            said = text
            do { try await Task.sleep(for: .seconds(2)) } catch {
                throw OperationFailure(.interrupted, "cancelled while waiting; nothing was changed")
            }
        }
    }

    /// Who holds each host's lock.
    public func holders() async -> [Holder] {
        let lock = lock(owner: handOwner, reason: "")
        let answers = await survey.ask(hosts.map { ($0, lock.status) })
        return hosts.map { host in
            switch answers[host.name] {
            case .success(let answer) where answer.status == 0:
                let facts = Snapshot.facts(from: answer.text)
                let owner = facts["owner"] ?? ""
                guard !owner.isEmpty else {
                    return Holder(host: host.name, owner: nil, text: "free")
                }
                let running = facts["running"].map { ", \(Sanitizer.line($0)) still runs" } ?? ""
                let who = Sanitizer.line(facts["who"] ?? "")
                let since = Sanitizer.line(facts["since"] ?? "")
                return Holder(
                    host: host.name,
                    owner: owner,
                    text: "\(Sanitizer.line(owner)) (\(who), since \(since)\(running))"
                )
            case .success(let answer):
                return Holder(host: host.name, owner: nil, text: Sanitizer.line(answer.text))
            case .failure(let error):
                return Holder(host: host.name, owner: nil, text: "\(error.token): \(error.message)")
            case nil: return Holder(host: host.name, owner: nil, text: "not asked")
            }
        }
    }
}

extension Operations {
    /// Returns the locks of the selected hosts.
    ///
    /// - Throws: ``OperationFailure`` if a selected host does not exist.
    public func locks(of selection: HostSelection) async throws(OperationFailure) -> HostLocks {
        let (_, hosts) = try selection.hosts(of: project)
        return HostLocks(
            environment: selection.environment,
            hosts: hosts,
            transport: try await controller.openTransport(for: hosts, in: project),
            initiator: initiator
        )
    }
}
