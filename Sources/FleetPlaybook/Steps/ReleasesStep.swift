internal import FleetTransport
internal import FleetYAML

/// `releases: { path: DIRECTORY, repository: URL }` unpacks the release's commit into a directory of
/// its own, `DIRECTORY/releases/COMMIT`, beside the one that runs.
///
/// Nothing of what runs is touched: later steps install and test in the new directory, and `switch`
/// makes it the current one. What `shared` names is a link to `DIRECTORY/shared` in every release.
struct ReleasesStep: ReleaseStepKind {
    static let key = "releases"
    static let summary =
        "Unpacks the release's commit into a directory of its own, beside the one that runs."
    static let isIdempotent = true
    static let defaultTimeoutMilliseconds = 600_000

    private let path: Template
    private let repository: Template?
    let source: ReleaseSource
    private let shared: [String]

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`releases`") else { return nil }
        let path = fields.requiredText("path")
        source = ReleaseSource.read(fields, reader: reader)
        let repository = source.isController ? nil : fields.requiredText("repository")
        shared = fields.texts("shared") ?? []
        for name in shared where !Self.isPlain(name) {
            reader.report(
                "`\(name)` cannot be shared",
                at: fields.location(of: "shared"),
                hints: [
                    "name files and directories of the release: `.env`, `instance`, `public/media`"
                ]
            )
        }
        fields.refuseUnknown()
        guard let path, repository != nil || source.isController else { return nil }
        self.path = Template(path, location: node.location, reader: reader)
        self.repository = repository.map {
            Template($0, location: node.location, reader: reader)
        }
    }

    private static func isPlain(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return parts.allSatisfy { part in
            !part.isEmpty && part != "." && part != ".."
                && part.utf8.allSatisfy { byte in
                    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                        || (0x61...0x7A).contains(byte) || "._-".utf8.contains(byte)
                }
        }
    }

    /// In which directory later steps run: the new release's, or on the way back the old one's.
    func directoryForLaterSteps(in scope: StepScope) throws(UndefinedReference) -> String? {
        let commit =
            scope.direction == .revert ? SnapshotToken.commit : scope.release?.commit ?? ""
        return try path.value(in: scope) + "/releases/" + commit
    }

    /// The release that runs.
    func directoryBefore(in scope: StepScope) throws(UndefinedReference) -> String? {
        try path.value(in: scope) + "/current"
    }

    private func script(_ text: String, in scope: StepScope) throws(UndefinedReference) -> Script {
        var scope = scope
        scope.directory = nil
        return try scope.script(
            text: ReleasesScript.root + "FLEET_PATH=$root/repo\nenter\n" + text,
            library: .git,
            more: ReleaseBundle.variables(in: scope) + [
                scope.became,
                EnvironmentVariable("FLEET_ROOT", try path.value(in: scope)),
                EnvironmentVariable("FLEET_REPOSITORY", try repository?.value(in: scope) ?? ""),
                EnvironmentVariable("FLEET_SENT", source.isController ? "1" : ""),
                EnvironmentVariable("FLEET_SHARED", shared.joined(separator: " ")),
            ]
        )
    }

    func listing(in scope: StepScope) throws(UndefinedReference) -> Script {
        try script(
            """
            command -v git >/dev/null 2>&1 || fail "E_GIT_MISSING git is not installed"
            quiet_git ls-remote --heads --tags -- "$FLEET_REPOSITORY" ||
                fail "E_REMOTE cannot list $FLEET_REPOSITORY"
            """,
            in: scope
        )
    }

    func holding(in scope: StepScope) throws(UndefinedReference) -> Script {
        try script(#"[ ! -d "$FLEET_PATH" ] || holding"#, in: scope)
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try script(
            #"""
            command -v git >/dev/null 2>&1 || fail "E_GIT_MISSING git is not installed"
            command -v tar >/dev/null 2>&1 || fail "E_TAR_MISSING tar is not installed"
            [ ! -e "$root/.git" ] || fail "E_LAYOUT $root is a work tree; \`releases\` needs a directory of its own"
            [ -h "$root/current" ] || [ ! -e "$root/current" ] || fail "E_LAYOUT $root/current is no link"
            known_release "$(live)"
            if [ -z "$FLEET_COMMIT" ]; then :
            elif [ -n "$FLEET_SENT" ]; then
                if has; then fetch; else expect; fi
            elif [ -d "$FLEET_PATH" ]; then fetch
            else reach; fi
            [ -z "$FLEET_COMMIT" ] || ! has || writable_commit "$FLEET_COMMIT"
            tell
            [ -n "$commit" ] || exit 0
            d=$(changes "$commit") || { [ -n "${FLEET_GOING_BACK:-}" ] && exit 0; printf '%s\n' "$d"; exit 1; }
            [ -n "$d" ] || exit 0
            [ "$commit" != "$FLEET_COMMIT" ] || [ -n "${FLEET_GOING_BACK:-}" ] ||
                fail "E_DIRTY these files of $root/releases/$commit were changed since it was deployed, and it runs: put them back (git --git-dir=$root/repo show $commit:FILE), or deploy another release
            $(named "$d")"
            echo "changes=$(printf '%s\n' "$d" | changes_id "$commit")"
            """#,
            in: scope
        )
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        ReleaseBundle.action(
            try script(
                #"""
                (enter_root make && { [ -d ./releases ] || mkdir ./releases; } &&
                    { [ -d ./shared ] || mkdir ./shared; }) || exit 1
                now=$(live)
                case "$now" in
                "$FLEET_COMMIT" | "${FLEET_SNAPSHOT_COMMIT:-$now}") ;;
                *) fail "E_HOST_CHANGED $root runs $now, but ran $FLEET_SNAPSHOT_COMMIT when this rollout looked" ;;
                esac
                if [ ! -d "$FLEET_PATH" ]; then
                    (
                        enter_root || exit 1
                        remove ./repo.new
                        open_work .repo.fleet
                        rm -rf ./new
                        if [ -n "$FLEET_SENT" ]; then quiet_git init --quiet --bare ./new || exit 1
                        else quiet_git clone --quiet --bare -- "$FLEET_REPOSITORY" ./new ||
                            fail "E_REMOTE cannot clone $FLEET_REPOSITORY"; fi
                        onto ./new ../repo && close_work
                    ) || exit 1
                    anchor
                fi
                [ -z "$FLEET_SENT" ] || has || receive
                fetch
                unpack "$FLEET_COMMIT" "$FLEET_TAG"
                echo "$root/releases/$FLEET_COMMIT: ${FLEET_TAG:-$FLEET_COMMIT}"
                """#,
                in: scope
            ),
            unless: try script("has && echo \(Upload.presentMark); exit 0", in: scope),
            in: scope
        )
    }

    /// The old release's directory is still there, or is made anew; `switch` goes back to it.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        .script(
            try script(
                #"""
                [ -n "${FLEET_SNAPSHOT_COMMIT:-}" ] || fail "E_NO_PREVIOUS nothing was deployed before"
                unpack "$FLEET_SNAPSHOT_COMMIT" "${FLEET_SNAPSHOT_TAG:-}"
                """#,
                in: scope
            )
        )
    }

    func verification(in scope: StepScope) throws(UndefinedReference) -> Script? {
        let wanted = scope.direction == .revert ? "$FLEET_SNAPSHOT_COMMIT" : "$FLEET_COMMIT"
        return try script(
            scope.unseen + #"""
                now=$(live)
                [ "$now" = "\#(wanted)" ] || fail "E_TREE $root/current is $now, not \#(wanted)"
                b= s= c=
                { read -r b s c <"$root/fleet-switched"; } 2>/dev/null
                [ "$c" != "$now" ] || echo "tell TREE $b $s $(cd "$root" && pwd -P)"
                d=$(changes "$now") || { printf '%s\n' "$d"; exit 1; }
                [ -n "$d" ] || [ -z "${FLEET_REVERT:-}" ] || [ -z "${FLEET_SNAPSHOT_CHANGES:-}" ] ||
                    fail "E_TREE the local changes that $root/releases/$now had before this rollout are gone"
                [ -n "$d" ] || exit 0
                if [ -n "${FLEET_REVERT:-}" ] &&
                    [ "$(printf '%s\n' "$d" | changes_id "$now")" = "${FLEET_SNAPSHOT_CHANGES:-}" ]
                then
                    echo "note=with the local changes that it had before"
                    exit 0
                fi
                printf '%s\n' "$d" | sed 's/^/changed /'
                """#,
            in: scope
        )
    }

    /// Everything is moved aside: what the service has written into it is not ours to delete.
    func removal(in scope: StepScope) throws(UndefinedReference) -> Action {
        .script(
            try script(
                #"""
                [ "${FLEET_SNAPSHOT_STATE:-}" = absent ] || fail "E_NO_PREVIOUS something ran here before"
                [ -e "$root" ] || exit 0
                ours_only
                there=$root.fleet-removed-$(date -u +%Y%m%dT%H%M%SZ)
                walk "$root" && [ ! -e "./${there##*/}" ] && onto "./$name" "./${there##*/}" &&
                    echo "$root: moved to $there"
                """#,
                in: scope
            )
        )
    }

    func absence(in scope: StepScope) throws(UndefinedReference) -> Script {
        try script(#"[ ! -e "$root" ] || fail "$root is still there""#, in: scope)
    }

    func reading(in scope: StepScope) throws(UndefinedReference) -> Script {
        try script(
            #"""
            tell
            [ -n "$commit" ] || exit 0
            d=$(changes "$commit") || { printf '%s\n' "$d"; exit 1; }
            [ -z "$d" ] || echo state=dirty
            """#,
            in: scope
        )
    }
}
