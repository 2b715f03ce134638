internal import FleetTransport
internal import FleetYAML

/// `upload: { source: FILE, destination: PATH }` puts a local file or directory on the host.
///
/// A file is renamed into place. A directory is replaced as a whole by two renames, between which
/// it is missing; a run that was cut off there is put right by the next one.
struct UploadStep: StepKind {
    static let key = "upload"
    static let summary =
        "Puts a local file or directory on the host, complete and verified or not at all."
    static let isIdempotent = true
    static let defaultTimeoutMilliseconds = 600_000

    let source: String
    private let destination: Template
    /// Octal digits; nil means 0644 for files, and what each file has for directories.
    private let mode: String?
    private let owner: Template?
    let location: SourceLocation

    init?(_ node: YAMLNode, reader: YAMLReader) {
        self.init(node, as: Self.key, reader: reader)
    }

    /// Reads the same keys of a step that ends as an upload.
    init?(_ node: YAMLNode, as key: String, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`\(key)`") else { return nil }
        let source = fields.requiredText("source")
        let destination = fields.requiredText("destination")
        let mode = Self.mode(fields, reader: reader)
        let ownerNode = fields.node("owner")
        let owner = fields.text("owner")
        fields.refuseUnknown()
        guard let source, let destination else { return nil }
        self.source = source
        self.destination = Template(destination, location: node.location, reader: reader)
        self.mode = mode
        self.owner = owner.map {
            Template($0, location: ownerNode?.location ?? node.location, reader: reader)
        }
        location = node.location
    }

    /// Reads `mode`: octal digits.
    static func mode(_ fields: YAMLFields, reader: YAMLReader) -> String? {
        let mode = fields.text("mode")
        let isOctal =
            mode.map { (3...4).contains($0.count) && $0.allSatisfy { ("0"..."7").contains($0) } }
            ?? true
        if !isOctal {
            reader.report(
                "`\(mode ?? "")` is not a file mode",
                at: fields.node("mode")?.location,
                hints: ["write three or four octal digits: `0644`"]
            )
        }
        return mode
    }

    init(
        source: String,
        destination: Template,
        mode: String?,
        owner: Template?,
        location: SourceLocation
    ) {
        self.source = source
        self.destination = destination
        self.mode = mode
        self.owner = owner
        self.location = location
    }

    func localFiles(in environment: String) -> [String] { [source] }

    /// A link is followed, as `cp` and `scp` do: what it points to is replaced, and it stays.
    private static let place = #"""
        case "$FLEET_DESTINATION" in '~/'*) FLEET_DESTINATION=$HOME/${FLEET_DESTINATION#??} ;; esac
        case "$FLEET_DESTINATION" in ?*/) FLEET_DESTINATION=${FLEET_DESTINATION%/} ;; esac
        if [ -h "$FLEET_DESTINATION" ]; then
            FLEET_DESTINATION=$(readlink -f "$FLEET_DESTINATION") || exit 1
        fi

        """#

    /// The library ``ScriptLibrary/upload``.
    static let functions =
        HostTools.surroundings + place + DirectoryDigest.shellFunction + #"""

            sum() {
                if [ -d "$1" ]; then (cd "$1" && fleet_digest)
                else $sha 2>/dev/null <"$1" | cut -c1-64; fi
            }
            own() { [ -z "$FLEET_OWNER" ] || chown -R "$FLEET_OWNER" "$1"; }
            old=$FLEET_DESTINATION.fleet-old new=$FLEET_DESTINATION.fleet-new
            kept=$HOME/.fleet/kept
            mend() { [ ! -d "$old" ] || [ -e "$FLEET_DESTINATION" ] || mv "$old" "$FLEET_DESTINATION"; }
            place() {
                if [ -d "$new" ]; then
                    rm -rf "$old"
                    [ ! -e "$FLEET_DESTINATION" ] || mv "$FLEET_DESTINATION" "$old" || return 1
                fi
                mv "$new" "$FLEET_DESTINATION" && rm -rf "$old"
            }

            """#

    private func script(
        _ text: String,
        more others: [EnvironmentVariable] = [],
        in scope: StepScope
    ) throws(UndefinedReference) -> Script {
        var more =
            others + [
                EnvironmentVariable("FLEET_DESTINATION", try destination.value(in: scope)),
                EnvironmentVariable("FLEET_OWNER", try owner?.value(in: scope) ?? ""),
                EnvironmentVariable("FLEET_MODE", mode ?? "0644"),
            ]
        if let file = scope.files[source] {
            more.append(
                EnvironmentVariable("FLEET_SHA256", file.directorySHA256 ?? file.sha256)
            )
            more.append(EnvironmentVariable("FLEET_SENT_SHA256", file.sha256))
            more.append(EnvironmentVariable("FLEET_SIZE", String(file.sizeBytes)))
        }
        return try scope.script(text: text, library: .upload, more: more)
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        let file = try file(in: scope)
        if file.directorySHA256 != nil, mode != nil {
            throw UndefinedReference(
                message: "`mode` is for files, and `\(source)` is a directory",
                hint: "leave it out: each file keeps its own mode",
                location: location
            )
        }
        let refusal =
            file.directorySHA256 == nil
            ? """
            if [ -d "$FLEET_DESTINATION" ]; then
                echo "E_UPLOAD $FLEET_DESTINATION is a directory"
                exit 1
            fi
            """
            : """
            case $FLEET_DESTINATION in '' | / | "$HOME")
                echo "E_UPLOAD $FLEET_DESTINATION would be replaced as a whole"
                exit 1 ;;
            esac
            if [ -e "$FLEET_DESTINATION" ] && [ ! -d "$FLEET_DESTINATION" ]; then
                echo "E_UPLOAD $FLEET_DESTINATION is not a directory"
                exit 1
            fi
            command -v tar >/dev/null || { echo "E_UPLOAD tar is not installed"; exit 1; }
            """
        return try script(
            "! no_sha || exit 1\n" + refusal + """

                if [ -f "$FLEET_DESTINATION" ]; then
                    echo "sha256=$(sum "$FLEET_DESTINATION")"
                    stat -c 'mode=%a
                owner=%u:%g' "$FLEET_DESTINATION" 2>/dev/null || :
                elif [ -e "$FLEET_DESTINATION" ]; then echo "sha256=$(sum "$FLEET_DESTINATION")"
                elif [ -d "$old" ]; then echo "sha256=$(sum "$old")"
                else echo state=absent; fi
                """,
            in: scope
        )
    }

    private func file(in scope: StepScope) throws(UndefinedReference) -> LocalFile {
        guard let file = scope.files[source] else {
            throw UndefinedReference(
                message: "cannot read `\(source)`",
                hint: nil,
                location: location
            )
        }
        return file
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        let file = try file(in: scope)
        let isDirectory = file.directorySHA256 != nil
        let prepare = try script(
            """
            [ -e "$FLEET_DESTINATION" ] && [ "$(sum "$FLEET_DESTINATION")" = "$FLEET_SHA256" ] &&
                echo \(Upload.presentMark)
            exit 0
            """,
            in: scope
        )
        return .upload(
            Upload(
                source: file.path,
                sizeBytes: file.sizeBytes,
                sha256: file.sha256,
                handOver: try handOver(in: scope),
                prepare: prepare,
                finish: try finish(isDirectory: isDirectory, in: scope)
            )
        )
    }

    /// Puts what has arrived into place; `arrival` may bring it along, with variables of its own, or
    /// set `FLEET_PRESENT`.
    func finish(
        isDirectory: Bool = false,
        after arrival: String = "",
        more: [EnvironmentVariable] = [],
        in scope: StepScope
    ) throws(UndefinedReference) -> Script {
        let unpack =
            isDirectory
            ? #"rm -rf "$new" && mkdir "$new" && tar -xpof "$FLEET_UPLOAD" -C "$new""#
            : #"(umask 077; cp "$FLEET_UPLOAD" "$new") && chmod "$FLEET_MODE" "$new""#
        return try script(
            arrival + """
                wrong() { echo "E_UPLOAD $1"; exit 1; }
                if [ -n "${FLEET_PRESENT:-}" ]; then
                    [ "$(sum "$FLEET_DESTINATION")" = "$FLEET_SHA256" ] ||
                        wrong "$FLEET_DESTINATION changed while it was looked at"
                    \(isDirectory ? "" : #"chmod "$FLEET_MODE" "$FLEET_DESTINATION" &&"#)
                    own "$FLEET_DESTINATION"
                    exit
                fi
                FLEET_UPLOAD=${FLEET_UPLOAD:-$FLEET_DESTINATION.fleet-part}
                size=$(wc -c <"$FLEET_UPLOAD") || exit 1
                [ "$((size))" = "$FLEET_SIZE" ] && [ "$(sum "$FLEET_UPLOAD")" = "$FLEET_SENT_SHA256" ] ||
                    wrong "the bytes that arrived are not the file's"
                mend
                if [ -e "$FLEET_DESTINATION" ]; then
                    copy=$kept/$(sum "$FLEET_DESTINATION")
                    if [ ! -e "$copy" ]; then
                        mkdir -p "$kept" && rm -rf "$copy.new" &&
                            cp -Rp "$FLEET_DESTINATION" "$copy.new" && mv "$copy.new" "$copy" || exit 1
                    fi
                fi
                \(unpack) && own "$new" || exit 1
                [ "$(sum "$new")" = "$FLEET_SHA256" ] || wrong "what was unpacked is not what was packed"
                place || exit 1
                rm -f "$FLEET_UPLOAD"
                echo "$FLEET_DESTINATION: $FLEET_SIZE bytes, sha256 $FLEET_SHA256"
                """,
            more: more,
            in: scope
        )
    }

    /// Only the destination's path goes with it: it may show in a process list.
    private func handOver(in scope: StepScope) throws(UndefinedReference) -> Script? {
        guard scope.becomeUser != nil else { return nil }
        return Script(
            Self.place + #"umask 077; cat >"$FLEET_DESTINATION.fleet-part""#,
            environment: [
                EnvironmentVariable("FLEET_DESTINATION", try destination.value(in: scope))
            ],
            becomeUser: scope.becomeUser
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

    /// The copy kept before the upload is put back; what was not there is removed.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        .script(
            try script(
                """
                if [ "${FLEET_SNAPSHOT_STATE:-}" = absent ]; then
                    rm -rf "$FLEET_DESTINATION" "$new" "$old"
                    exit
                fi
                # As it was, whatever it was kept as.
                dress() {
                    [ -n "${FLEET_SNAPSHOT_MODE:-}" ] || return 0
                    [ "$(stat -c %u:%g "$1")" = "$FLEET_SNAPSHOT_OWNER" ] || chown "$FLEET_SNAPSHOT_OWNER" "$1" || return 1
                    [ "$(stat -c %a "$1")" = "$FLEET_SNAPSHOT_MODE" ] || chmod "$FLEET_SNAPSHOT_MODE" "$1"
                }
                mend
                [ "$(sum "$FLEET_DESTINATION")" != "$FLEET_SNAPSHOT_SHA256" ] || { dress "$FLEET_DESTINATION"; exit; }
                rm -rf "$new"
                if [ -n "${FLEET_SNAPSHOT_MODE:-}" ]; then
                    (umask 077; cp "$kept/$FLEET_SNAPSHOT_SHA256" "$new") && dress "$new" && place
                else cp -Rp "$kept/$FLEET_SNAPSHOT_SHA256" "$new" && place; fi
                """,
                in: scope
            )
        )
    }
}
