internal import FleetTransport
internal import FleetYAML

/// `run: SCRIPT` runs a POSIX shell script on the host, which stops at the first command that fails
/// (`set -e`); `set +e` in it lets it go on.
///
/// `run: { script: SCRIPT, digest: COMMAND }` also records the SHA-256 of what a read-only command
/// prints, as `pip freeze` does, before the host is touched: a host counts as back only if the
/// command prints the same again.
struct RunStep: StepKind {
    static let key = "run"
    static let summary = "Runs a POSIX shell script on the host."
    static let isIdempotent = false
    static let defaultTimeoutMilliseconds = 600_000

    private let script: Template
    private let digest: Template?

    init?(_ node: YAMLNode, reader: YAMLReader) {
        var scriptNode = node
        var digestNode: YAMLNode?
        if case .mapping = node.content {
            guard let fields = reader.fields(node, of: "`run`") else { return nil }
            digestNode = fields.node("digest")
            let found = fields.node("script")
            if found == nil { reader.report("`run` needs `script`", at: node.location) }
            fields.refuseUnknown()
            guard let found else { return nil }
            scriptNode = found
        }
        guard let text = reader.text(scriptNode, of: "`run`") else { return nil }
        guard text.contains(where: { !$0.isWhitespace }) else {
            reader.report("`run` is empty", at: scriptNode.location)
            return nil
        }
        script = Template(text, location: scriptNode.location, reader: reader)
        digest = digestNode.flatMap { node in
            reader.text(node, of: "`digest`").map {
                Template($0, location: node.location, reader: reader)
            }
        }
    }

    /// Prints `digest=…`, or nothing where the command cannot be run yet.
    private static let digestPrologue =
        HostTools.sha256 + #"""
            case "$FLEET_WHERE" in
            '~/'*) cd "$HOME/${FLEET_WHERE#??}" 2>/dev/null || exit 0 ;;
            ?*) cd "$FLEET_WHERE" 2>/dev/null || exit 0 ;;
            esac
            digest() {
                # Every line counts. Of a pipeline only the last part does, because `| head` ends the first one; a
                # first part that fails prints nothing, which is no answer.
                printed=$(sh -e -c 'eval "$FLEET_DIGEST"') && [ -n "$printed" ] || return 1
                printf %s "$printed" | $sha | cut -c1-64
            }

            """#

    private func digest(_ text: String, of command: Template, in scope: StepScope)
        throws(UndefinedReference) -> Script
    {
        let (shell, used) = try command.shell(in: scope)
        // It goes where the release is by itself.
        var scope = scope
        scope.directory = nil
        return try scope.script(
            text: Self.digestPrologue + text,
            more: used + [
                EnvironmentVariable("FLEET_DIGEST", shell),
                EnvironmentVariable("FLEET_WHERE", scope.directoryBefore ?? ""),
            ]
        )
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        guard let digest else { return nil }
        return try self.digest(
            #"! no_sha || exit 1; d=$(digest 2>/dev/null) && echo "digest=$d"; exit 0"#,
            of: digest,
            in: scope
        )
    }

    func verification(in scope: StepScope) throws(UndefinedReference) -> Script? {
        guard let digest, scope.direction == .revert else { return nil }
        return try self.digest(
            #"""
            [ -n "${FLEET_SNAPSHOT_DIGEST:-}" ] || {
                echo "note=nobody knows whether \`$FLEET_DIGEST\` prints what it did: it failed before this rollout"
                exit 0
            }
            [ "$(digest)" = "$FLEET_SNAPSHOT_DIGEST" ] || {
                echo "\`$FLEET_DIGEST\` does not print what it printed before this rollout"
                exit 1
            }
            """#,
            of: digest,
            in: scope
        )
    }

    /// What stands before every script of a playbook's: only its last line would count otherwise (POSIX,
    /// XCU 2.15, `set`).
    static let strictness = "set -e\n"

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        .script(try scope.script(script, after: Self.strictness))
    }

    /// An install is run again for the previous release; a step that may run only once is not.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        isIdempotent ? .script(try scope.script(script, after: Self.strictness)) : nil
    }
}
