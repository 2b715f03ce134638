internal import FleetTransport
internal import FleetYAML

/// `upload: { source: FILE, destination: PATH }` puts a local file on the host, atomically.
struct UploadStep: StepKind {
    static let key = "upload"
    static let summary =
        "Puts a local file on the host, complete and verified or not at all."
    static let isIdempotent = true
    static let defaultTimeoutMilliseconds = 600_000

    private let source: String
    private let destination: Template
    private let mode: String
    private let location: SourceLocation

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`upload`") else { return nil }
        let source = fields.requiredText("source")
        let destination = fields.requiredText("destination")
        let mode = fields.text("mode") ?? "0644"
        let isOctal = (3...4).contains(mode.count) && mode.allSatisfy { ("0"..."7").contains($0) }
        if !isOctal {
            reader.report(
                "`\(mode)` is not a file mode",
                at: fields.node("mode")?.location,
                hints: ["write three or four octal digits: `0644`"]
            )
        }
        fields.refuseUnknown()
        guard let source, let destination else { return nil }
        self.source = source
        self.destination = Template(destination, location: node.location, reader: reader)
        self.mode = mode
        location = node.location
    }

    var localFile: String? { source }

    private static let prologue = """
        sum() { sha256sum 2>/dev/null <"$1" | cut -c1-64; }
        case "$FLEET_DESTINATION" in '~/'*) FLEET_DESTINATION=$HOME/${FLEET_DESTINATION#??} ;; esac
        kept=$HOME/.fleet/kept

        """

    private func script(_ text: String, in scope: StepScope) throws(UndefinedReference) -> Script {
        var more = [
            EnvironmentVariable("FLEET_DESTINATION", try destination.value(in: scope)),
            EnvironmentVariable("FLEET_MODE", mode),
        ]
        if let file = scope.files[source] {
            more.append(EnvironmentVariable("FLEET_SHA256", file.sha256))
            more.append(EnvironmentVariable("FLEET_SIZE", String(file.sizeBytes)))
        }
        return try scope.script(text: Self.prologue + text, more: more)
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try script(
            """
            if [ -d "$FLEET_DESTINATION" ]; then
                echo "E_UPLOAD $FLEET_DESTINATION is a directory"
                exit 1
            fi
            if [ -e "$FLEET_DESTINATION" ]; then echo "sha256=$(sum "$FLEET_DESTINATION")"
            else echo state=absent; fi
            """,
            in: scope
        )
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        guard let file = scope.files[source] else {
            throw UndefinedReference(
                message: "cannot read `\(source)`",
                hint: nil,
                location: location
            )
        }
        let prepare = try script(
            """
            if [ -f "$FLEET_DESTINATION" ] && [ "$(sum "$FLEET_DESTINATION")" = "$FLEET_SHA256" ]
            then chmod "$FLEET_MODE" "$FLEET_DESTINATION" && echo \(Upload.presentMark); fi
            """,
            in: scope
        )
        let finish = try script(
            """
            size=$(wc -c <"$FLEET_UPLOAD") || exit 1
            [ "$((size))" = "$FLEET_SIZE" ] && [ "$(sum "$FLEET_UPLOAD")" = "$FLEET_SHA256" ] || {
                echo "E_UPLOAD the bytes that arrived are not the file's"
                exit 1
            }
            if [ -f "$FLEET_DESTINATION" ]; then
                mkdir -p "$kept" && cp -p "$FLEET_DESTINATION" "$kept/$(sum "$FLEET_DESTINATION")" ||
                    exit 1
            fi
            cp "$FLEET_UPLOAD" "$FLEET_DESTINATION.fleet-new" &&
                chmod "$FLEET_MODE" "$FLEET_DESTINATION.fleet-new" &&
                mv "$FLEET_DESTINATION.fleet-new" "$FLEET_DESTINATION" || exit 1
            rm -f "$FLEET_UPLOAD"
            echo "$FLEET_DESTINATION: $FLEET_SIZE bytes, sha256 $FLEET_SHA256"
            """,
            in: scope
        )
        return .upload(
            Upload(
                source: file.path,
                sizeBytes: file.sizeBytes,
                sha256: file.sha256,
                prepare: prepare,
                finish: finish
            )
        )
    }

    func verification(in scope: StepScope) throws(UndefinedReference) -> Script? {
        let isBack = scope.direction == .revert
        return try script(
            isBack
                ? #"""
                if [ "${FLEET_SNAPSHOT_STATE:-}" = absent ]; then [ ! -e "$FLEET_DESTINATION" ]
                else [ "$(sum "$FLEET_DESTINATION")" = "$FLEET_SNAPSHOT_SHA256" ]; fi
                """#
                : #"[ "$(sum "$FLEET_DESTINATION")" = "$FLEET_SHA256" ]"#,
            in: scope
        )
    }

    /// The copy kept before the upload is put back; a file that was not there is removed.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        .script(
            try script(
                """
                if [ "${FLEET_SNAPSHOT_STATE:-}" = absent ]; then
                    rm -f "$FLEET_DESTINATION"
                    exit
                fi
                [ "$(sum "$FLEET_DESTINATION")" != "$FLEET_SNAPSHOT_SHA256" ] || exit 0
                cp -p "$kept/$FLEET_SNAPSHOT_SHA256" "$FLEET_DESTINATION.fleet-new" &&
                    mv "$FLEET_DESTINATION.fleet-new" "$FLEET_DESTINATION"
                """,
                in: scope
            )
        )
    }
}
