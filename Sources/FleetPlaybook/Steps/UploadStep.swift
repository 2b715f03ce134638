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

    /// What every script of an upload begins with: `locate` enters the destination's directory, where
    /// ``SafePath`` follows links; `name` is what is to be replaced there.
    ///
    /// Whatever arrives is unpacked in `.NAME.fleet`, a directory of this account's own. Of what is replaced a copy
    /// stays for the way back: in the account's home, or in that directory where it has none.
    static let functions =
        HostTools.surroundings + SafePath.functions + DirectoryDigest.shellFunction + #"""

            wrong() { echo "E_UPLOAD $1"; exit 1; }
            locate() {
                FLEET_DESTINATION=$(absolute "$FLEET_DESTINATION")
                export FLEET_DESTINATION
                walk "$FLEET_DESTINATION" || return 1
                old=$name.fleet-old
            }
            # digest ./NAME, a file's or a directory's; nothing if there is none.
            digest() {
                if [ -h "$1" ]; then echo link
                elif [ -d "$1" ]; then
                    (into "${1#./}" && fleet_digest)
                elif [ -f "$1" ]; then (reading "$1" $sha 2>/dev/null) | cut -c1-64; fi
            }
            # Whether all of a directory belongs to whom it should: changing that where it stands would give
            # away what somebody puts in its way meanwhile.
            is_owned() {
                [ -n "$FLEET_OWNER" ] || return 0
                u=${FLEET_OWNER%%:*} g=
                case $FLEET_OWNER in *:?*) g=${FLEET_OWNER#*:} ;; *:) g=$(id -g "$u") ;; esac
                [ -z "$(find "$1" ${u:+! -user "$u"} 2>/dev/null | head -n 1)" ] &&
                    [ -z "$(find "$1" ${g:+! -group "$g"} 2>/dev/null | head -n 1)" ]
            }
            # The same of a file, and of its mode. One that is not what it should be is replaced and not changed where it
            # stands: whoever owns it may have it open, and would go on writing to what is somebody else's then.
            is_dressed() { is_owned "$1" && [ -n "$(find "$1" -prune -perm "$FLEET_MODE" 2>/dev/null)" ]; }
            own() { [ -z "$FLEET_OWNER" ] || chown -hR "$FLEET_OWNER" "$1"; }
            # A replacement that was cut off between its two renames.
            mend() {
                [ ! -d "./$old" ] || [ -h "./$old" ] || [ -e "./$name" ] || [ -h "./$name" ] ||
                    onto "./$old" "./$name"
            }
            # Sets `kept`; from within the directory that is entered for the work.
            find_kept() {
                kept=$HOME/.fleet/kept
                # sudo may have left another account's there.
                if [ -n "$strict" ] && [ ! -O "$HOME" ]; then
                    kept=$(home_of "$me")
                    if [ -O "${kept:-/nonexistent}" ]; then kept=$kept/.fleet/kept; else kept=./kept; fi
                fi
            }
            # Keeps a copy of what is to be replaced. It is named for what is in the copy, which is looked at.
            keep() {
                [ -e "../$name" ] || return 0
                find_kept
                (umask 077; mkdir -p "$kept") || exit 1
                copy=$kept/.new.$$
                [ -f "../$name" ] || [ -d "../$name" ] || wrong "$FLEET_DESTINATION is neither file nor directory"
                rm -rf "$copy" && copy_tree "../$name" "$copy" || exit 1
                [ ! -h "$copy" ] || no_link "${where%/*}/$name was replaced while it was copied"
                if [ -d "$copy" ]; then sum=$(cd "$copy" && fleet_digest); else sum=$($sha <"$copy" | cut -c1-64); fi
                if [ -e "$kept/$sum" ]; then rm -rf "$copy"; else mv "$copy" "$kept/$sum" || exit 1; fi
                : >"$kept/$sum.at" || exit 1
                prune
            }
            # The newest twenty copies stay, and those of the last thirty days.
            prune() {
                for copy in "$kept"/*; do
                    case $copy in *.at | *'/*') continue ;; esac
                    # Without a mark since before there were marks: its time begins now.
                    [ -e "$copy.at" ] || : >"$copy.at"
                done
                ls -t "$kept" | grep '^[0-9a-f]\{64\}\.at$' | tail -n +21 | while IFS= read -r mark; do
                    [ -n "$(find "$kept/$mark" -prune -mtime +30)" ] || continue
                    rm -rf "${kept:?}/${mark%.at}" "$kept/$mark"
                done
            }
            place() {
                if [ -d ./new ]; then
                    remove "../$old" || return 1
                    if [ -e "../$name" ]; then onto "../$name" "../$old" || return 1; fi
                fi
                onto ./new "../$name" && remove "../$old"
            }

            """#

    /// Where it goes, and who may read it there: nobody else's link leads it elsewhere.
    private func place(in scope: StepScope) throws(UndefinedReference) -> [EnvironmentVariable] {
        [
            EnvironmentVariable("FLEET_DESTINATION", try destination.value(in: scope)),
            EnvironmentVariable("FLEET_OWNER", try owner?.value(in: scope) ?? ""),
            EnvironmentVariable("FLEET_MODE", mode ?? (isPrivate(in: scope) ? "0600" : "0644")),
        ]
    }

    /// Whether something of a directory is not for everybody's eyes.
    private func isPrivate(in scope: StepScope) -> Bool { scope.files[source]?.isPrivate ?? false }

    /// What stands before a script of the way back: a file in a directory that belongs to the new release is not
    /// what the old one uses, so there is nothing to put back in the old release's directory.
    private static let onlyInTheSamePlace = #"""
        [ "$FLEET_PLACE" = "$FLEET_FORWARD_PLACE" ] || exit 0

        """#

    /// The destination of this way and of the way there, for `onlyInTheSamePlace`.
    private func places(in scope: StepScope) throws(UndefinedReference) -> [EnvironmentVariable] {
        var forward = scope
        forward.direction = .forward
        forward.directory = scope.forwardDirectory
        func place(_ scope: StepScope) throws(UndefinedReference) -> String {
            let path = try destination.value(in: scope)
            let isRelative = !path.hasPrefix("/") && !path.hasPrefix("~")
            return isRelative ? "\(scope.directory ?? "")/\(path)" : path
        }
        return [
            EnvironmentVariable("FLEET_PLACE", try place(scope)),
            EnvironmentVariable("FLEET_FORWARD_PLACE", try place(forward)),
        ]
    }

    private func script(
        _ text: String,
        more others: [EnvironmentVariable] = [],
        in scope: StepScope
    ) throws(UndefinedReference) -> Script {
        var more = try others + place(in: scope)
        if let file = scope.files[source] {
            more.append(
                EnvironmentVariable("FLEET_SHA256", file.directorySHA256 ?? file.sha256)
            )
            more.append(EnvironmentVariable("FLEET_SENT_SHA256", file.sha256))
            more.append(EnvironmentVariable("FLEET_SIZE", String(file.sizeBytes)))
        }
        return try scope.placing(text, library: .upload, more: more)
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
            [ ! -d "./$name" ] || wrong "$FLEET_DESTINATION is a directory"
            """
            : """
            case ${where:-/}/$name in */. | "$(absolute '~')" | "$(cd -P && pwd)")
                wrong "$FLEET_DESTINATION would be replaced as a whole" ;;
            esac
            [ ! -e "./$name" ] || [ -d "./$name" ] || wrong "$FLEET_DESTINATION is not a directory"
            command -v tar >/dev/null || wrong "tar is not installed"
            """
        return try script(
            "! no_sha || exit 1\nlocate || { echo state=absent; exit 0; }\n" + refusal + #"""

                if [ -n "${FLEET_GOING_BACK:-}" ] && [ -n "${FLEET_SNAPSHOT_SHA256:-}" ] &&
                    [ "$(digest "./$name")" != "$FLEET_SNAPSHOT_SHA256" ]
                then
                    work=.$name.fleet
                    [ ! -d "./$work" ] || cd "./$work"
                    find_kept
                    [ -e "$kept/$FLEET_SNAPSHOT_SHA256" ] ||
                        wrong "the copy of what was $FLEET_DESTINATION before is not kept any more"
                    exit 0
                fi
                if [ -f "./$name" ]; then
                    # All of it about one open file: the name may stand for another one a moment later.
                    told() {
                        echo "sha256=$($sha | cut -c1-64)"
                        stat -L -c 'mode=%a
                owner=%u:%g' /dev/stdin 2>/dev/null || :
                    }
                    reading "./$name" told
                elif [ -e "./$name" ]; then echo "sha256=$(digest "./$name")"
                elif [ -d "./$old" ]; then echo "sha256=$(digest "./$old")"
                else echo state=absent; fi
                """#,
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
            locate && [ -e "./$name" ] && [ "$(digest "./$name")" = "$FLEET_SHA256" ] \
            && \(isDirectory ? "is_owned" : "is_dressed") "./$name" && echo \(Upload.presentMark)
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

    /// Puts what has arrived into place.
    ///
    /// - Parameters:
    ///   - isDirectory: Whether it is a directory, packed.
    ///   - first: Runs in the destination's directory before anything else; may set `FLEET_PRESENT`.
    ///   - arrival: Writes what is to arrive to standard output.
    ///   - last: Runs before `./part` takes the place of `../$name`.
    ///   - more: Variables for these.
    ///   - scope: The host.
    /// - Returns: A script that finds what was sent on its standard input, or handed over before.
    /// - Throws: ``UndefinedReference`` for values that have none.
    func finish(
        isDirectory: Bool = false,
        first: String = "",
        arrival: String = "cat",
        last: String = "",
        more: [EnvironmentVariable] = [],
        in scope: StepScope
    ) throws(UndefinedReference) -> Script {
        let unpack =
            isDirectory
            ? "rm -rf ./new && mkdir ./new && tar -xpof ./part -C ./new"
            : "rm -rf ./new && mv -f ./part ./new"
        let check =
            isDirectory
            ? "\n[ \"$(cd ./new && fleet_digest)\" = \"$FLEET_SHA256\" ] || wrong \"what was unpacked is not what was packed\""
            : ""
        return try script(
            """
            locate || wrong "there is no directory for $FLEET_DESTINATION"
            \(first)
            if [ -n "${FLEET_PRESENT:-}" ]; then
                [ "$(digest "./$name")" = "$FLEET_SHA256" ] && \(isDirectory ? "is_owned" : "is_dressed") "./$name" ||
                    wrong "$FLEET_DESTINATION changed while it was looked at"
                exit
            fi
            mend || exit 1
            open_work ".$name.fleet"
            # Handed over before, or it comes now.
            [ -n "${FLEET_HANDED:-}" ] || (umask 077; \(arrival) >./part) || exit 1
            size=$(wc -c <./part) || exit 1
            [ "$((size))" = "$FLEET_SIZE" ] && [ "$($sha <./part | cut -c1-64)" = "$FLEET_SENT_SHA256" ] ||
                wrong "the bytes that arrived are not the file's"
            \(last)
            keep
            \(unpack) || exit 1\(check)
            # An owner first: a change of owner takes special modes away.
            own ./new\(isDirectory ? "" : #" && chmod "$FLEET_MODE" ./new"#) || exit 1
            place || exit 1
            rm -f ./part
            close_work
            echo "$FLEET_DESTINATION: $FLEET_SIZE bytes, sha256 $FLEET_SHA256"
            """,
            more: more
                + (scope.becomeUser == nil || arrival != "cat"
                    ? [] : [EnvironmentVariable("FLEET_HANDED", "1")]),
            in: scope
        )
    }

    /// Only the destination goes with it, its mode and owner: they may show in a process list.
    private func handOver(in scope: StepScope) throws(UndefinedReference) -> Script? {
        guard scope.becomeUser != nil else { return nil }
        var bare = scope
        bare.stepEnvironment = []
        return try bare.placing(
            """
            locate || wrong "there is no directory for $FLEET_DESTINATION"
            mend || exit 1
            open_work ".$name.fleet"
            umask 077
            cat >./part
            """,
            library: .upload,
            more: try place(in: scope)
        )
    }

    func verification(in scope: StepScope) throws(UndefinedReference) -> Script? {
        let isBack = scope.direction == .revert
        return try script(
            isBack
                ? Self.onlyInTheSamePlace + #"""
                    locate || [ "${FLEET_SNAPSHOT_STATE:-}" = absent ] || exit 1
                    if [ "${FLEET_SNAPSHOT_STATE:-}" = absent ]; then [ ! -e "./$name" ]
                    else [ "$(digest "./$name")" = "$FLEET_SNAPSHOT_SHA256" ]; fi
                    """#
                : #"""
                locate && [ "$(digest "./$name")" = "$FLEET_SHA256" ] || exit 1
                # What is not for everybody's eyes has not become that since.
                case $FLEET_MODE in *[4-7]) exit 0 ;; esac
                case $(stat -c %a "./$name" 2>/dev/null) in
                *[2-7]) [ -d "./$name" ] || wrong "E_MODE others may read or write $FLEET_DESTINATION by now: a later step has opened it (its mode is to be $FLEET_MODE)" ;;
                esac
                """#,
            more: isBack ? places(in: scope) : [],
            in: scope
        )
    }

    /// The copy kept before the upload is put back; what was not there is removed.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        .script(
            try script(
                Self.onlyInTheSamePlace + """
                    if ! locate; then
                        [ "${FLEET_SNAPSHOT_STATE:-}" = absent ] || wrong "there is no directory for $FLEET_DESTINATION"
                        exit 0
                    fi
                    if [ "${FLEET_SNAPSHOT_STATE:-}" = absent ]; then
                        case $(digest "./$name") in
                        # A link holds nothing of its own.
                        "$FLEET_SHA256" | link) ;;
                        '') [ ! -e "./$name" ] || wrong "$FLEET_DESTINATION is not what was sent, and $(id -un) cannot keep what it is: it stays" ;;
                        *)
                            # Somebody has made it, or changed it, since: a copy stays.
                            sum=
                            open_work ".$name.fleet"
                            keep
                            [ -z "$sum" ] || echo "what was $FLEET_DESTINATION is not what was sent: a copy is $kept/$sum"
                            close_work ;;
                        esac
                        remove "./$name" "./$old" || exit 1
                        [ ! -d "./.$name.fleet" ] || { open_work ".$name.fleet"; rm -rf ./new ./part; close_work; }
                        exit
                    fi
                    # Preflight ran beside whatever the application's account may have started: what it said is no more
                    # than the form of it allows, and special bits are the playbook's own or none.
                    case ${FLEET_SNAPSHOT_OWNER:-0:0} in *[!0-9:]* | *:*:*) wrong "preflight told no owner of $FLEET_DESTINATION" ;; esac
                    case ${FLEET_SNAPSHOT_MODE:-0} in *[!0-7]*) wrong "preflight told no mode of $FLEET_DESTINATION" ;; esac
                    case ${FLEET_SNAPSHOT_SHA256:-} in *[!0-9a-f]*) wrong "preflight told no digest of $FLEET_DESTINATION" ;; esac
                    [ -z "${FLEET_SNAPSHOT_MODE:-}" ] || [ "$FLEET_SNAPSHOT_MODE" = "${FLEET_MODE#0}" ] ||
                        FLEET_SNAPSHOT_MODE=$(plain_mode "$FLEET_SNAPSHOT_MODE")
                    was="${FLEET_SNAPSHOT_OWNER:-} ${FLEET_SNAPSHOT_MODE:-}" is_back=
                    mend || exit 1
                    if [ "$(digest "./$name")" = "$FLEET_SNAPSHOT_SHA256" ]; then
                        is_back=1
                        [ -n "${FLEET_SNAPSHOT_MODE:-}" ] && [ "$(stat -c '%u:%g %a' "./$name")" != "$was" ] || exit 0
                    fi
                    open_work ".$name.fleet"
                    rm -rf ./new ./part
                    find_kept
                    if [ -n "${FLEET_SNAPSHOT_MODE:-}" ]; then
                        # As it was, whatever it was kept as. What has its bytes and not its owner is copied, because
                        # whoever has it open may write to it.
                        umask 077
                        if [ -n "$is_back" ]; then reading "../$name" cat >./new
                        else cp "$kept/$FLEET_SNAPSHOT_SHA256" ./new; fi || exit 1
                        [ "$($sha <./new | cut -c1-64)" = "$FLEET_SNAPSHOT_SHA256" ] ||
                            wrong "what was $FLEET_DESTINATION before is not what was kept"
                        [ "$(stat -c %u:%g ./new)" = "$FLEET_SNAPSHOT_OWNER" ] || chown "$FLEET_SNAPSHOT_OWNER" ./new || exit 1
                        chmod "$FLEET_SNAPSHOT_MODE" ./new || exit 1
                    else cp -RPp "$kept/$FLEET_SNAPSHOT_SHA256" ./new || exit 1; fi
                    place || exit 1
                    close_work
                    """,
                more: try places(in: scope),
                in: scope
            )
        )
    }
}
