internal import FleetTransport
internal import FleetYAML

/// `run: SCRIPT` runs a POSIX shell script on the host.
struct RunStep: StepKind {
    static let key = "run"
    static let summary = "Runs a POSIX shell script on the host."
    static let isIdempotent = false
    static let defaultTimeoutMilliseconds = 600_000

    private let script: Template

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let text = reader.text(node, of: "`run`") else { return nil }
        guard text.contains(where: { !$0.isWhitespace }) else {
            reader.report("`run` is empty", at: node.location)
            return nil
        }
        script = Template(text, location: node.location, reader: reader)
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        .script(try scope.script(script))
    }

    /// An install is run again for the previous release; a step that may run only once is not.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        isIdempotent ? .script(try scope.script(script)) : nil
    }
}
