internal import FleetTransport
internal import FleetYAML

/// `wait: 5s` lets time pass; `wait: { until: COMMAND }` waits until a command succeeds.
struct WaitStep: StepKind {
    static let key = "wait"
    static let summary = "Lets time pass, or waits until a command on the host succeeds."
    static let isIdempotent = true
    static let defaultTimeoutMilliseconds = 600_000

    private enum Condition {
        case time(milliseconds: Int)
        case command(Template, everyMilliseconds: Int)
    }
    private let condition: Condition

    init?(_ node: YAMLNode, reader: YAMLReader) {
        if case .scalar = node.content {
            guard let time = reader.milliseconds(node, of: "`wait`") else { return nil }
            condition = .time(milliseconds: time)
            return
        }
        guard let fields = reader.fields(node, of: "`wait`") else { return nil }
        let time = fields.milliseconds("for")
        let command = fields.node("until")
        let every = fields.milliseconds("every") ?? 1000
        fields.refuseUnknown()
        switch (time, command) {
        case (let time?, nil):
            condition = .time(milliseconds: time)
        case (nil, let node?):
            guard let text = reader.text(node, of: "`until`") else { return nil }
            condition = .command(
                Template(text, location: node.location, reader: reader),
                everyMilliseconds: every
            )
        default:
            reader.report("`wait` needs exactly one of `for` and `until`", at: node.location)
            return nil
        }
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        switch condition {
        case .time(let milliseconds):
            return .script(try scope.script(text: "sleep \(Self.seconds(milliseconds))"))
        case .command(let command, let every):
            let (text, environment) = try command.shell(in: scope)
            // A shell of its own: a condition of several lines holds if all of them do, and `until` would let only
            // the last one count (POSIX, XCU 2.15, `set -e`).
            let loop =
                #"until sh -e -c 'eval "$FLEET_UNTIL"'; do sleep \#(Self.seconds(every)); done"#
            return .script(
                try scope.script(
                    text: loop,
                    more: environment + [EnvironmentVariable("FLEET_UNTIL", text)]
                )
            )
        }
    }

    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        try action(in: scope)
    }

    /// POSIX `sleep` takes whole seconds.
    private static func seconds(_ milliseconds: Int) -> Int { (milliseconds + 999) / 1000 }
}
