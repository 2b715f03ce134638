import ArgumentParser
import FleetInventory
import FleetJournal
import FleetPlan
import FleetReport
import FleetRollout
import FleetRunner
import FleetTransport

/// `fleet lock status|acquire|release|break ENV`.
struct LockCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lock",
        _superCommandName: Fleet.name,
        abstract: "See, take, give back and break the locks on the hosts.",
        discussion: """
            A rollout locks every host before it changes any, and gives the locks back at its end. A
            lock that stays belongs to a rollout that has not come to its end: `fleet resume` first.
            """,
        subcommands: [
            LockStatusCommand.self, LockAcquireCommand.self, LockReleaseCommand.self,
            LockBreakCommand.self,
        ]
    )
}

/// `fleet lock status ENV`.
struct LockStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Who holds the lock of every host. Exits 1 if any is held."
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let keeper = try await LockKeeper(hosts, common)
        let holders = await keeper.holders()
        keeper.show(holders)
        if holders.contains(where: { !$0.isFree }) { throw ExitStatus.saidNo }
    }
}

/// `fleet lock acquire ENV --reason REASON`.
struct LockAcquireCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "acquire",
        abstract: "Lock every host by hand, so that no rollout changes it."
    )

    @OptionGroup var hosts: HostOptions
    @Option(help: "Why; whoever finds the lock reads it.")
    var reason: String
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let keeper = try await LockKeeper(hosts, common)
        let lock = keeper.lock(owner: LockKeeper.handOwner, reason: reason)
        let refusals = await keeper.ask { _ in lock.taking(generation: nil) }
        guard refusals.isEmpty else {
            // All or none.
            let others = Set(refusals.map(\.host))
            _ = await keeper.ask { others.contains($0) ? nil : lock.giving() }
            throw keeper.failure(refusals, "no host was locked")
        }
        common.print("locked; `fleet lock release \(hosts.environment)` gives it back")
    }
}

/// `fleet lock release ENV`.
struct LockReleaseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "release",
        abstract: "Give back what `fleet lock acquire` took."
    )

    @OptionGroup var hosts: HostOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let keeper = try await LockKeeper(hosts, common)
        let lock = keeper.lock(owner: LockKeeper.handOwner, reason: "")
        let refusals = await keeper.ask { _ in lock.giving() }
        guard refusals.isEmpty else { throw keeper.failure(refusals, "some locks stay") }
        let holders = await keeper.holders()
        keeper.show(holders)
        if holders.contains(where: { !$0.isFree }) { throw ExitStatus.saidNo }
    }
}

/// `fleet lock break ENV --reason REASON`.
struct LockBreakCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "break",
        abstract: "Take the locks away from a rollout, and end what still runs of it.",
        discussion: """
            From then on the hosts refuse every further step of that rollout. What state it left them
            in is for `fleet status` to find out.
            """
    )

    @OptionGroup var hosts: HostOptions
    @Option(help: "The rollout that holds the locks; asked for if it is not given.")
    var owner: String?
    @Option(help: "Why; the locks' next reader sees it while they are being broken.")
    var reason: String
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let keeper = try await LockKeeper(hosts, common)
        let holders = await keeper.holders()
        keeper.show(holders)
        let owners = Set(holders.compactMap(\.owner))
        guard !owners.isEmpty else { return }
        let typed: String
        if let owner {
            typed = owner
        } else {
            guard Terminal.canAsk else {
                throw CommandFailure(
                    .refused,
                    "name the rollout that holds the locks with --owner",
                    hints: owners.sorted() + ["nothing was changed"]
                )
            }
            typed = Terminal.ask("type the name of the rollout whose locks shall be broken: ") ?? ""
        }
        guard owners.contains(typed) else {
            throw CommandFailure(
                .refused,
                "`\(Sanitizer.line(typed))` holds no lock here; nothing was changed"
            )
        }
        let stamp = Surroundings.newRolloutID()
        let breaker = "break-\(stamp)"
        // Written down before it is done, as everything is.
        try await record(
            typed,
            HostRange.fold(holders.filter { $0.owner == typed }.map(\.host)),
            stamp
        )
        let lock = keeper.lock(owner: breaker, reason: reason)
        let theirs = Set(holders.filter { $0.owner == typed }.map(\.host))
        let refusals = await keeper.ask { theirs.contains($0) ? lock.breaking(typed) : nil }
        guard refusals.isEmpty else { throw keeper.failure(refusals, "some locks stay") }
        let unasked = holders.filter { $0.owner == nil && !$0.isFree }.map(\.host)
        guard unasked.isEmpty else {
            throw CommandFailure(
                .locked,
                "\(HostRange.fold(unasked)) could not be asked, and may still be locked by \(typed)",
                hints: ["broken on \(HostRange.fold(theirs))", "try again when it answers"]
            )
        }
        common.print("broken on \(HostRange.fold(theirs)); nothing of \(typed) runs there any more")
    }
}

extension LockBreakCommand {
    private func record(_ owner: String, _ hosts: String, _ stamp: RolloutID)
        async throws(CommandFailure)
    {
        let origin = Surroundings.origin
        let remark = Remark(
            environment: self.hosts.environment,
            what: "broke the lock of \(owner) on \(hosts)",
            reason: reason,
            user: origin.user,
            machine: origin.machine
        )
        let (_, journal) = try common.openJournal()
        do {
            try await journal.note(
                .remarked(remark),
                stamp: stamp,
                at: Surroundings.unixMilliseconds
            )
        } catch {
            throw CommandFailure(error)
        }
    }
}

/// Asks hosts about their locks.
struct LockKeeper {
    /// The owner of locks that this person took on this machine.
    static var handOwner: String {
        let origin = Surroundings.origin
        let name = "\(origin.user)-\(origin.machine)".lowercased()
        return "hand-" + name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
    }

    struct Holder {
        let host: HostName
        /// Nil if it is free, or could not be asked.
        let owner: String?
        let text: String
        var isFree: Bool { owner == nil && text == "free" }
    }

    struct Refusal {
        let host: HostName
        let reason: String
    }

    private let environment: String
    private let hosts: [Host]
    private let survey: Survey
    private let common: CommonOptions

    init(_ options: HostOptions, _ common: CommonOptions) async throws {
        let project = try await common.openProject()
        let (_, selected) = try options.select(in: project)
        environment = options.environment
        hosts = selected
        survey = Survey(transport: try await common.openTransport(for: selected, in: project))
        self.common = common
    }

    func lock(owner: String, reason: String) -> HostLock {
        let who = Surroundings.origin.phrase
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

    func failure(_ refusals: [Refusal], _ what: String) -> CommandFailure {
        CommandFailure(
            .locked,
            what,
            hints: refusals.map { "\($0.host): \($0.reason)" }
        )
    }

    /// Waits until every host's lock is free.
    ///
    /// - Throws: ``CommandFailure`` with who holds them when the time is over.
    func wait(milliseconds: Int) async throws {
        let start = ContinuousClock.now
        var said = ""
        while true {
            let held = await holders().filter { !$0.isFree }
            guard let first = held.first else { return }
            guard ContinuousClock.now - start < .milliseconds(milliseconds) else {
                throw CommandFailure(
                    .locked,
                    "\(HostRange.fold(held.map(\.host))) stayed locked: \(first.text)",
                    hints: ["fleet lock status \(environment)", "nothing was changed"]
                )
            }
            let text = "waiting for \(HostRange.fold(held.map(\.host))): \(first.text)"
            if !common.quiet, text != said { Terminal.standardError.write("fleet: \(text)\n") }
            said = text
            try await Task.sleep(for: .seconds(2))
        }
    }

    func holders() async -> [Holder] {
        let lock = lock(owner: Self.handOwner, reason: "")
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

    /// Hosts with the same holder are one line.
    func show(_ holders: [Holder]) {
        var lines: [(text: String, hosts: [HostName])] = []
        for holder in holders {
            if let index = lines.firstIndex(where: { $0.text == holder.text }) {
                lines[index].hosts.append(holder.host)
            } else {
                lines.append((holder.text, [holder.host]))
            }
        }
        for line in lines { common.print("\(HostRange.fold(line.hosts))  \(line.text)") }
    }
}
