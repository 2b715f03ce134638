internal import FleetTransport
internal import FleetYAML

/// `command: SCRIPT` passes when a read-only script on the host exits 0.
struct CommandSmokeTest: SmokeKind {
    static let key = "command"
    static let summary = "Runs a read-only script on the host; exit status 0 passes."

    private let script: Template
    private let written: String

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let text = reader.filledText(node, of: "`command`", isScript: true) else {
            return nil
        }
        script = Template(text, location: node.location, reader: reader)
        written = text
    }

    var title: String {
        let line = written.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        return line.count > 40 ? line.prefix(39) + "…" : line
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        .script(try scope.script(script, after: RunStep.strictness))
    }
}
