internal import FleetTransport
internal import FleetYAML

/// `env_file: { destination: PATH }` puts `config/.env.<environment>` on the host, for the service's
/// eyes only.
///
/// It is an upload, with its way back, and three things more: others may not read it, every key of
/// the example must be in it before anything is touched, and what changes is told by key name only.
struct EnvFileStep: StepKind {
    static let key = "env_file"
    static let summary =
        "Puts the environment's `.env` file on the host, readable by its owner only."
    static let isIdempotent = true
    static let defaultTimeoutMilliseconds = 60_000

    private let source: Template
    private let example: String?
    private let mode: String
    private let owner: Template?
    private let location: SourceLocation
    private let destination: Template

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`env_file`") else { return nil }
        let destination = fields.requiredText("destination")
        let source = fields.text("source") ?? "config/.env.${{ environment.name }}"
        example = fields.text("example")
        mode = fields.text("mode") ?? "0600"
        let ownerNode = fields.node("owner")
        owner = fields.text("owner").map {
            Template($0, location: ownerNode?.location ?? node.location, reader: reader)
        }
        if !["0600", "0640", "0400", "0440", "600", "640", "400", "440"].contains(mode) {
            reader.report(
                "`\(mode)` would let others read the file",
                at: fields.location(of: "mode"),
                hints: ["one of: 0600, 0640, 0400, 0440"]
            )
        }
        fields.refuseUnknown()
        guard let destination else { return nil }
        self.destination = Template(destination, location: node.location, reader: reader)
        self.source = Template(source, location: node.location, reader: reader)
        location = node.location
        for reference in self.source.references where reference != .environmentName {
            reader.report(
                "`source` of `env_file` may only name the environment: `${{ environment.name }}`",
                at: node.location
            )
        }
    }

    /// Where the file is, in an environment.
    private func source(in environment: String) -> String {
        source.filled { _ in environment }
    }

    func localFiles(in environment: String) -> [String] {
        [source(in: environment)] + (example.map { [$0] } ?? [])
    }

    let reading = LocalFile.Reading.names

    private func upload(in scope: StepScope) -> UploadStep {
        UploadStep(
            source: source(in: scope.environment),
            destination: destination,
            mode: mode,
            owner: owner,
            location: location
        )
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        let name = source(in: scope.environment)
        if let keys = scope.files[name]?.keys, let example, let wanted = scope.files[example]?.keys
        {
            let missing = wanted.filter { !keys.contains($0) }
            if !missing.isEmpty {
                let words =
                    "E_ENV_KEY \(name) lacks \(missing.joined(separator: ", ")), which \(example) has"
                return try scope.script(text: "echo \(ShellWord.quote(words)); exit 1")
            }
        }
        return try upload(in: scope).preflight(in: scope)
    }

    /// Names only: the values are nobody's business but the service's.
    private static let difference = #"""
        names() { sed -n 's/^[[:space:]]*\(export  *\)\{0,1\}\([A-Za-z_][A-Za-z0-9_]*\)=.*/\2/p' "$1" 2>/dev/null; }
        line() { sed -n "s/^[[:space:]]*\(export  *\)\{0,1\}$2=/=/p" "$1" 2>/dev/null | tail -n 1; }
        # Only names of the new file, which were read as such: what looks like a name in a file that
        # somebody else wrote may be the end of a secret.
        changes() {
            for name in $FLEET_KEYS; do
                old_line=$(line "$1" "$name")
                if [ -z "$old_line" ]; then echo "key added: $name"
                elif [ "$old_line" != "$(line "$2" "$name")" ]; then echo "key changed: $name"; fi
            done
            gone=0
            for name in $(names "$1"); do
                case " $FLEET_KEYS " in *" $name "*) ;; *) gone=$((gone + 1)) ;; esac
            done
            [ $gone -eq 0 ] || echo "keys removed: $gone"
        }

        """#

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        let step = upload(in: scope)
        guard case .upload(let upload) = try step.action(in: scope) else {
            preconditionFailure("an upload uploads")
        }
        let finish = try step.finish(
            last: Self.difference + #"""

                if [ -f "../$name" ]; then (umask 077; reading "../$name" cat >./was) || exit 1; else : >./was; fi
                (changes ./was ./part)
                rm -f ./was
                """#,
            more: [
                EnvironmentVariable(
                    "FLEET_KEYS",
                    (scope.files[source(in: scope.environment)]?.keys ?? []).joined(separator: " ")
                )
            ],
            in: scope
        )
        return .upload(
            Upload(
                source: upload.source,
                sizeBytes: upload.sizeBytes,
                sha256: upload.sha256,
                handOver: upload.handOver,
                prepare: upload.prepare,
                finish: finish
            )
        )
    }

    func verification(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try upload(in: scope).verification(in: scope)
    }

    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        try upload(in: scope).revertAction(in: scope, isIdempotent: isIdempotent)
    }
}
