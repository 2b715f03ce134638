internal import FleetTransport
internal import FleetYAML

/// `service: { name: app, state: restarted }` changes a service and checks that it stays up.
struct ServiceStep: StepKind {
    static let key = "service"
    static let summary = "Restarts, starts, stops or reloads a service and checks its state."
    static let isIdempotent = true
    static let defaultTimeoutMilliseconds = 120_000

    /// What the service shall be afterwards; Ansible's words.
    enum State: String, CaseIterable {
        case restarted, reloaded, started, stopped

        var verb: String {
            switch self {
            case .restarted: "restart"
            case .reloaded: "reload"
            case .started: "start"
            case .stopped: "stop"
            }
        }
    }

    private let name: Template
    private let state: State
    /// The program that is asked; it takes systemctl's verbs and a name.
    ///
    /// With `sudo ` before it, what changes the service goes through sudo, word for word as a rule of sudoers names it, and nothing else does.
    private let control: Template
    private let scope: String

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`service`") else { return nil }
        let nameNode = fields.node("name")
        let name = nameNode.flatMap { reader.text($0, of: "`name`") }
        if nameNode == nil { reader.report("`service` needs `name`", at: node.location) }
        let word = fields.text("state") ?? State.restarted.rawValue
        let state = State(rawValue: word)
        if state == nil {
            let words = State.allCases.map(\.rawValue)
            reader.report(
                "`\(word)` is not a state of a service",
                at: fields.node("state")?.location,
                hints: Suggestion.hint(for: word, in: words)
                    + ["one of: \(words.joined(separator: ", "))"]
            )
        }
        let scope = fields.text("scope") ?? "system"
        if scope != "system", scope != "user" {
            reader.report(
                "`scope` is `system` or `user`, not `\(scope)`",
                at: fields.node("scope")?.location
            )
        }
        let controlNode = fields.node("control")
        let control = controlNode.flatMap { reader.filledText($0, of: "`control`") } ?? "systemctl"
        if scope == "user", control.hasPrefix("sudo ") {
            reader.report("sudo and `scope: user` do not go together", at: controlNode?.location)
        }
        fields.refuseUnknown()
        // systemd would take it for all units of such names, and their answers for one.
        if let name, !name.contains("${{"), name.contains(where: { "*?[ ".contains($0) }) {
            reader.report(
                "`\(name)` is not the name of one service",
                at: nameNode?.location,
                hints: ["give each service a step of its own"]
            )
        }
        guard let name, let state, let nameNode else { return nil }
        self.name = Template(name, location: nameNode.location, reader: reader)
        self.state = state
        self.control = Template(
            control,
            location: controlNode?.location ?? node.location,
            reader: reader
        )
        self.scope = scope
    }

    /// `service` in the scripts: systemctl, or the program that the playbook names; `fact NAME` of a unit.
    static let functions =
        HostTools.surroundings + #"""
            fail() { printf '%s\n' "$*"; exit 1; }
            service() {
                case "$FLEET_CONTROL" in
                systemctl) systemctl ${FLEET_SERVICE_USER:+--user} --no-ask-password --no-pager "$@" ;;
                *) "$FLEET_CONTROL" "$@" ;;
                esac
            }
            # change VERB [NAME]: what needs a right to do it.
            change() {
                [ -n "${FLEET_SUDO:-}" ] || { service "$@"; return; }
                sudo -n "$FLEET_CONTROL" "$@"
            }
            # may_change VERB [NAME]: whether sudo will do it; sudoers(5) lists a command only if it may be run.
            may_change() {
                [ -n "${FLEET_SUDO:-}" ] || return 0
                rule="$(command -v "$FLEET_CONTROL") $*" FLEET_RULE=
                said=$(sudo -n -l "$FLEET_CONTROL" "$@" 2>&1) && FLEET_RULE=$rule
                export FLEET_RULE
                # What may be run with a password only is listed, too. Without -v a rule says so for each command, by
                # its options (sudoers(5); `sudo -ll` writes a tag as the option that it stands for).
                [ -n "$FLEET_RULE" ] && { sudo -n -v 2>/dev/null || ! sudo -n -ll 2>/dev/null | awk '
                    /^Sudoers entry/ { free = 0 }
                    /^[ \t]*Options:/ { free = /!authenticate/ }
                    { line = $0; sub(/^[ \t]+/, "", line) }
                    line == ENVIRON["FLEET_RULE"] { seen = 1; if (free) without = 1 }
                    END { exit seen && !without ? 0 : 1 }'; } ||
                    fail "E_SUDO sudo does not let $(id -un) run \`$FLEET_CONTROL $*\` without a password. A rule that does: $(id -un) ALL=(root) NOPASSWD: $rule. sudo said: $said"
            }
            facts() {
                facts=$(service show -p LoadState,ActiveState,SubState,MainPID,NRestarts,ControlGroup,KillMode,NeedDaemonReload,WorkingDirectory,ExecStart \
                    -- "$FLEET_SERVICE" 2>&1)
            }
            fact() { printf '%s\n' "$facts" | sed -n "s/^$1=//p" | head -n 1; }
            told() { service status "$FLEET_SERVICE" 2>&1 | tail -n 20; }
            # `is-active` also says no of what is on its way up or down.
            stopped() {
                if [ "$FLEET_CONTROL" = systemctl ]; then
                    facts || fail "E_SERVICE systemd cannot be asked about $FLEET_SERVICE: $facts"
                    state=$(fact ActiveState)
                    case $state in inactive | failed) ;; *) return 1 ;; esac
                else
                    state=active
                    ! service is-active "$FLEET_SERVICE" >/dev/null 2>&1
                fi
            }

            """#

    private func script(
        _ text: String,
        in scope: StepScope,
        more others: [EnvironmentVariable] = []
    ) throws(UndefinedReference) -> Script {
        var control = try self.control.value(in: scope)
        let isThroughSudo = control.hasPrefix("sudo ")
        if isThroughSudo { control = String(control.dropFirst(5).drop { $0 == " " }) }
        if control.hasPrefix("~/") { control = "./" + control.dropFirst(2) }
        var more =
            (isThroughSudo ? [EnvironmentVariable("FLEET_SUDO", "1")] : []) + [
                EnvironmentVariable("FLEET_SERVICE", try name.value(in: scope)),
                EnvironmentVariable("FLEET_CONTROL", control),
                EnvironmentVariable("FLEET_STATE", state.rawValue),
                EnvironmentVariable("FLEET_VERB", state.verb),
            ] + others
        if self.scope == "user" { more.append(EnvironmentVariable("FLEET_SERVICE_USER", "1")) }
        var scope = scope
        scope.directory = nil
        if isThroughSudo { scope.becomeUser = nil }
        return try scope.script(text: text, library: .service, more: more)
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try script(
            #"""
            case $FLEET_SERVICE in *[*?[\ ]* | '')
                fail "E_SERVICE \`$FLEET_SERVICE\` is not the name of one service: give each a step of its own" ;; esac
            command -v "$FLEET_CONTROL" >/dev/null 2>&1 ||
                fail "E_SERVICE $FLEET_CONTROL is not there to control $FLEET_SERVICE"
            if [ "$FLEET_CONTROL" = systemctl ]; then
                facts || fail "E_SERVICE systemd cannot be asked about $FLEET_SERVICE: $facts"
                case $(fact LoadState) in
                loaded) ;;
                masked) fail "E_SERVICE the unit $FLEET_SERVICE is masked: systemctl unmask $FLEET_SERVICE" ;;
                not-found) fail "E_SERVICE systemd knows no unit $FLEET_SERVICE" ;;
                *) fail "E_SERVICE the unit $FLEET_SERVICE cannot be loaded ($(fact LoadState)): systemctl status $FLEET_SERVICE" ;;
                esac
            fi
            may_change "$FLEET_VERB" "$FLEET_SERVICE"
            [ "$FLEET_STATE" != stopped ] || may_change start "$FLEET_SERVICE"
            [ "$FLEET_CONTROL" != systemctl ] || [ "$(fact NeedDaemonReload)" != yes ] || may_change daemon-reload
            if service is-active "$FLEET_SERVICE" >/dev/null 2>&1; then echo active=yes
            else echo active=no; fi
            [ "$FLEET_CONTROL" != systemctl ] ||
                echo "enabled=$(service is-enabled "$FLEET_SERVICE" 2>/dev/null)"
            """#,
            in: scope
        )
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        var text = #"""
            # A unit file that was changed is not in force before systemd has read it again.
            if [ "$FLEET_CONTROL" = systemctl ] && facts && [ "$(fact NeedDaemonReload)" = yes ]; then
                said=$(change daemon-reload 2>&1) ||
                    fail "E_SERVICE the unit file of $FLEET_SERVICE has changed, and systemd cannot be told: $said"
                echo "systemd has read the unit file of $FLEET_SERVICE again"
            fi
            change "$FLEET_VERB" "$FLEET_SERVICE" || {
                status=$?
                told
                echo "\#(state.verb) of $FLEET_SERVICE exited $status"
                exit $status
            }

            """#
        if state == .stopped {
            text += #"""
                # What systemd starts again by itself is not stopped.
                i=0
                until stopped; do
                    i=$((i + 1))
                    [ $i -lt 50 ] || { told; fail "$FLEET_SERVICE is still $state"; }
                    sleep 0.1 2>/dev/null || sleep 1
                done
                """#
        } else {
            text += #"""
                service is-active "$FLEET_SERVICE" >/dev/null 2>&1 || {
                    told
                    fail "$FLEET_SERVICE is not active after \#(state.verb)"
                }
                """#
        }
        return .script(try script(text, in: scope))
    }

    /// The service is still up, as it was at the last look, and what runs and answers was started from the
    /// files that were verified; what cannot be known of that is said.
    ///
    /// A service that was stopped on purpose may have been started again by a later step.
    func verification(in scope: StepScope) throws(UndefinedReference) -> Script? {
        guard state != .stopped else {
            guard scope.direction == .revert else { return nil }
            return try script(
                #"""
                [ "${FLEET_SNAPSHOT_ACTIVE:-}" = yes ] || exit 0
                service is-active "$FLEET_SERVICE" >/dev/null 2>&1 ||
                    { told; fail "E_SERVICE $FLEET_SERVICE ran before this rollout, and does not run now"; }
                """#,
                in: scope
            )
        }
        return try script(
            ProcessProof.check,
            in: scope,
            more: [
                EnvironmentVariable("FLEET_LISTENS", scope.listens.joined(separator: " ")),
                EnvironmentVariable("FLEET_STRICT", scope.restartsEveryService ? "yes" : ""),
            ]
        )
    }

    let isWatched = true

    /// What was stopped for the rollout and ran before it runs again in the end.
    func lastRevertAction(in scope: StepScope) throws(UndefinedReference) -> Action? {
        guard state == .stopped else { return nil }
        return .script(
            try script(
                #"""
                [ "${FLEET_SNAPSHOT_ACTIVE:-}" = yes ] || exit 0
                service is-active "$FLEET_SERVICE" >/dev/null 2>&1 && exit
                change start "$FLEET_SERVICE" || {
                    told
                    fail "E_SERVICE $FLEET_SERVICE ran before this rollout, and cannot be started again"
                }
                """#,
                in: scope
            )
        )
    }
    var leavesProcesses: Bool { state == .reloaded || state == .started }

    /// The same change again, on the old code.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        try action(in: scope)
    }
}
