internal import FleetTransport
internal import FleetYAML

/// `switch: { path: DIRECTORY }` makes the release that `releases` has unpacked the current one, by one
/// rename of a link.
///
/// Old releases are removed then, but the newest `keep` good ones stay, and so do the one that runs and
/// the one to go back to. A good one is one that was still the current one when the next came: what was
/// tried and taken back does not count.
struct SwitchStep: StepKind {
    static let key = "switch"
    static let summary = "Makes the unpacked release the current one, by one rename of a link."
    static let isIdempotent = true
    static let defaultTimeoutMilliseconds = 120_000

    private let path: Template
    private let keep: Int

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`switch`") else { return nil }
        let path = fields.requiredText("path")
        keep = fields.number("keep", in: 1...1000) ?? 5
        fields.refuseUnknown()
        guard let path else { return nil }
        self.path = Template(path, location: node.location, reader: reader)
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        var scope = scope
        scope.directory = nil
        return .script(
            try scope.script(
                text: ReleasesScript.root + Self.text,
                library: .git,
                more: [
                    scope.became,
                    EnvironmentVariable("FLEET_ROOT", try path.value(in: scope)),
                    EnvironmentVariable("FLEET_KEEP", String(keep)),
                ]
            )
        )
    }

    private static let text = #"""
        [ -e "$root/releases/$FLEET_COMMIT/.fleet-release" ] ||
            fail "E_RELEASE $root/releases/$FLEET_COMMIT is not there"
        ours_only
        before=$(live)
        # Before the rename: a run that is cut off between the two must find the mark.
        if [ -z "${FLEET_REVERT:-}" ] && [ -n "$before" ] && [ "$before" != "$FLEET_COMMIT" ]; then
            (walk "$root/releases/$before/." && put .fleet-live </dev/null) || exit 1
        fi
        (
            enter_root && rm -f ./current.new || exit 1
            open_work .current.fleet
            rm -f ./new
            ln -s "releases/$FLEET_COMMIT" ./new && onto ./new ../current && close_work
        ) || exit 1
        [ "$(live)" = "$FLEET_COMMIT" ] || fail "E_RELEASE $root/current is not $FLEET_COMMIT"
        # After what moment a process must have started to run this release.
        (enter_root && stamp "$FLEET_COMMIT" | put fleet-switched) || exit 1
        echo "$root/current: ${before:-nothing} -> $FLEET_COMMIT"
        # On the way back everything stays as it is, to be looked at.
        [ -z "${FLEET_REVERT:-}" ] || exit 0
        walk "$root/releases/." || exit 1
        count=0
        for mark in $(ls -t ./*/.fleet-live 2>/dev/null); do
            dir=${mark%/.fleet-live}
            dir=${dir#./}
            is_ours "$dir" || continue
            count=$((count + 1))
            [ $count -gt "$FLEET_KEEP" ] || continue
            case $dir in "$FLEET_COMMIT" | "$before") continue ;; esac
            remove "./$dir" && echo "removed $dir"
        done
        for dir in *; do
            # It never stayed, so nobody goes back to it.
            case $dir in "$FLEET_COMMIT" | "$before") continue ;; esac
            is_ours "$dir" || continue
            [ -e "$dir/.fleet-live" ] || { remove "./$dir" && echo "removed $dir, which never stayed"; }
        done
        exit 0
        """#

    /// The same, for the release that the host ran before.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        try action(in: scope)
    }
}
