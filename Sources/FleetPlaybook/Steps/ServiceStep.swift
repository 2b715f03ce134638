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
        let control = controlNode.flatMap { reader.text($0, of: "`control`") } ?? "systemctl"
        fields.refuseUnknown()
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

    /// `service` in the scripts: systemctl, or the program that the playbook names.
    private static let prologue = """
        service() {
            case "$FLEET_CONTROL" in
            systemctl) systemctl ${FLEET_SERVICE_USER:+--user} --no-ask-password "$@" ;;
            *) "$FLEET_CONTROL" "$@" ;;
            esac
        }

        """

    private func script(_ text: String, in scope: StepScope) throws(UndefinedReference) -> Script {
        var control = try self.control.value(in: scope)
        if control.hasPrefix("~/") { control = "./" + control.dropFirst(2) }
        var more = [
            EnvironmentVariable("FLEET_SERVICE", try name.value(in: scope)),
            EnvironmentVariable("FLEET_CONTROL", control),
        ]
        if self.scope == "user" { more.append(EnvironmentVariable("FLEET_SERVICE_USER", "1")) }
        var scope = scope
        scope.directory = nil
        return try scope.script(text: Self.prologue + text, more: more)
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try script(
            """
            command -v "$FLEET_CONTROL" >/dev/null 2>&1 || {
                echo "E_SERVICE $FLEET_CONTROL is not there to control $FLEET_SERVICE"
                exit 1
            }
            [ "$FLEET_CONTROL" != systemctl ] || service cat "$FLEET_SERVICE" >/dev/null 2>&1 || {
                echo "E_SERVICE systemd knows no unit $FLEET_SERVICE"
                exit 1
            }
            if service is-active "$FLEET_SERVICE" >/dev/null 2>&1; then echo active=yes
            else echo active=no; fi
            [ "$FLEET_CONTROL" != systemctl ] ||
                echo "enabled=$(service is-enabled "$FLEET_SERVICE" 2>/dev/null)"
            """,
            in: scope
        )
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        var text = """
            service \(state.verb) "$FLEET_SERVICE" || {
                status=$?
                echo "\(state.verb) of $FLEET_SERVICE exited $status"
                service status "$FLEET_SERVICE" 2>&1 | tail -n 20
                exit $status
            }

            """
        if state == .stopped {
            text += """
                if service is-active "$FLEET_SERVICE" >/dev/null 2>&1; then
                    echo "$FLEET_SERVICE is still active"
                    exit 1
                fi
                """
        } else {
            text += """
                service is-active "$FLEET_SERVICE" >/dev/null 2>&1 || {
                    echo "$FLEET_SERVICE is not active after \(state.verb)"
                    service status "$FLEET_SERVICE" 2>&1 | tail -n 20
                    exit 1
                }
                """
        }
        return .script(try script(text, in: scope))
    }

    /// The same change again, on the old code.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        try action(in: scope)
    }
}
