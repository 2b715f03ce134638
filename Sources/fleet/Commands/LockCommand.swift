import ArgumentParser
import FleetOperations
import FleetRollout
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
        try await common.openOperations().acquireLocks(of: hosts.selection, reason: reason)
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
        let holders = try await common.openOperations().releaseLocks(of: hosts.selection)
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
        let operations = try await common.openOperations()
        let locks = try await operations.locks(of: hosts.selection)
        let holders = await locks.holders()
        common.show(holders)
        let owners = Set(holders.compactMap(\.owner))
        guard !owners.isEmpty else { return }
        if owner == nil, !Terminal.canAsk {
            throw OperationFailure(
                .refused,
                "name the rollout that holds the locks with --owner",
                hints: owners.sorted() + ["nothing was changed"]
            )
        }
        let question = "type the name of the rollout whose locks shall be broken: "
        let typed = owner ?? Terminal.ask(question) ?? ""
        let broken = try await operations.breakLocks(
            locks,
            heldBy: holders,
            owner: typed,
            reason: reason
        )
        common.print("broken on \(HostRange.fold(broken)); nothing of \(typed) runs there any more")
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
