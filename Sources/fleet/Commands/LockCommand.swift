import ArgumentParser
import FleetInventory
import FleetJournal
import FleetOperations
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
        let keeper = try await common.openOperations().locks(of: hosts.selection)
        let holders = await keeper.holders()
        common.show(holders)
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
        let keeper = try await common.openOperations().locks(of: hosts.selection)
        let lock = keeper.lock(owner: keeper.handOwner, reason: reason)
        let refusals = await keeper.ask { _ in lock.taking(generation: nil) }
        guard refusals.isEmpty else {
            // All or none.
            let others = Set(refusals.map(\.host))
            _ = await keeper.ask { others.contains($0) ? nil : lock.giving() }
            throw HostLocks.failure(refusals, "no host was locked")
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
        let keeper = try await common.openOperations().locks(of: hosts.selection)
        let lock = keeper.lock(owner: keeper.handOwner, reason: "")
        let refusals = await keeper.ask { _ in lock.giving() }
        guard refusals.isEmpty else { throw HostLocks.failure(refusals, "some locks stay") }
        let holders = await keeper.holders()
        common.show(holders)
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
        let keeper = try await common.openOperations().locks(of: hosts.selection)
        let holders = await keeper.holders()
        common.show(holders)
        let owners = Set(holders.compactMap(\.owner))
        guard !owners.isEmpty else { return }
        let typed: String
        if let owner {
            typed = owner
        } else {
            guard Terminal.canAsk else {
                throw OperationFailure(
                    .refused,
                    "name the rollout that holds the locks with --owner",
                    hints: owners.sorted() + ["nothing was changed"]
                )
            }
            typed = Terminal.ask("type the name of the rollout whose locks shall be broken: ") ?? ""
        }
        guard owners.contains(typed) else {
            throw OperationFailure(
                .refused,
                "`\(Sanitizer.line(typed))` holds no lock here; nothing was changed"
            )
        }
        let stamp = RolloutID.new()
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
        guard refusals.isEmpty else { throw HostLocks.failure(refusals, "some locks stay") }
        let unasked = holders.filter { $0.owner == nil && !$0.isFree }.map(\.host)
        guard unasked.isEmpty else {
            throw OperationFailure(
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
        async throws(OperationFailure)
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
            throw OperationFailure(error)
        }
    }
}

extension CommonOptions {
    /// Hosts with the same holder are one line.
    fileprivate func show(_ holders: [HostLocks.Holder]) {
        var lines: [(text: String, hosts: [HostName])] = []
        for holder in holders {
            if let index = lines.firstIndex(where: { $0.text == holder.text }) {
                lines[index].hosts.append(holder.host)
            } else {
                lines.append((holder.text, [holder.host]))
            }
        }
        for line in lines { print("\(HostRange.fold(line.hosts))  \(line.text)") }
    }
}
