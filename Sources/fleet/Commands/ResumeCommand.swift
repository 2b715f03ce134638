import ArgumentParser
import FleetOperations
import FleetRollout
import FleetTerminal

/// `fleet resume [ROLLOUT]`.
struct ResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        _superCommandName: Fleet.name,
        abstract: "Take up a rollout that was interrupted, or whose controller was killed.",
        discussion: """
            Goes on as it was planned then: forward, or back if that was decided. Every step whose
            answer was lost is asked about first; none is started twice. With --back nothing more
            goes forward, and the touched hosts are put back.
            """
    )

    @Argument(help: "The rollout; by default the one that has not come to its end.")
    var rollout: String?
    @Flag(help: "Put the touched hosts back instead of going on.")
    var back = false
    @Flag(name: [.customShort("y"), .customLong("yes")], help: "Do not ask.")
    var isConfirmed = false
    @Option(
        name: .customLong("force-missing-records"),
        help: ArgumentHelp(
            "Go on although hosts know of records that this journal lacks; the reason is recorded.",
            valueName: "reason"
        )
    )
    var missingRecordsReason: String?
    @OptionGroup var view: ViewOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let operations = try await common.openOperations()
        var terms = RolloutTerms()
        terms.isConfirmed = isConfirmed
        terms.exception.records = missingRecordsReason
        let request = ResumeRequest(
            try rollout.map(RolloutLookup.id),
            back ? .back : .onward,
            terms: terms
        )
        switch try await operations.prepare(request) {
        case .begun(let prepared):
            let status = try await RolloutFace(common.face, operations).carryOut(
                prepared,
                view.settings(common),
                view.ending
            )
            if status != .succeeded { throw status }
        case .over(let id, let outcome, let kind):
            common.print("rollout \(id) has come to its end: \(outcome.rawValue)")
            let status = ExitStatus(outcome, of: kind)
            if status != .succeeded { throw status }
        }
    }
}
