import ArgumentParser
import FleetFiles
import FleetOperations
import FleetReport
import FleetRollout
import FleetTerminal

/// `fleet apply FILE`.
struct ApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        _superCommandName: Fleet.name,
        abstract: "Carry out what `--dry-run --save FILE` has kept: exactly that, or nothing.",
        discussion: """
            It is prepared anew by the same request. If that leads to anything else than what was saved
            (another release, other hosts, a step that was changed), nothing is done.
            """
    )

    @Argument(help: "The file.")
    var file: String
    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var isConfirmed = false
    @OptionGroup var view: ViewOptions
    @OptionGroup var common: CommonOptions

    /// A plan for ten thousand hosts is smaller, in bytes.
    private static let limitBytes = 1 << 30

    func run() async throws {
        let path = Surroundings.fromHere(file)
        guard let bytes = WholeFile.read(path, limit: Self.limitBytes) else {
            throw OperationFailure(
                .usage,
                "\(file) cannot be read: \(Surroundings.lastError)",
                hints: ["save one with --dry-run --save FILE"]
            )
        }
        let saved = try SavedPreparation(bytes)
        common.tell(
            "\(Sanitizer.line(saved.headline))  (saved by \(Sanitizer.line(saved.preparedBy)), "
                + "\(LocalTimes.zone.text(unixMilliseconds: saved.unixMilliseconds)))"
        )
        let operations = try await common.openOperations()
        let status = try await RolloutFace(common.face, operations).carryOut(
            try await operations.prepare(saved, isConfirmed: isConfirmed),
            view.settings(common),
            view.ending
        )
        if status != .succeeded { throw status }
    }
}
