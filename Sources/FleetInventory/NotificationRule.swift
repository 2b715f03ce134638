internal import FleetYAML

/// A rule that runs a command on the controller's machine when something happens in an environment.
public struct NotificationRule: Sendable, Hashable {
    /// An event that a rule can be told of.
    public enum Event: String, Sendable, Hashable, CaseIterable {
        /// A rollout begins.
        case started
        /// A rollout ended well.
        case succeeded
        /// A rollout ended in any other way after something was touched.
        case failed
        /// An environment's health has changed.
        case health
    }

    /// The command, run by `sh -c` in the project's directory.
    public let command: String
    /// The events for which the command is run.
    public let events: Set<Event>

    /// Describes a rule.
    public init(command: String, events: Set<Event>) {
        self.command = command
        self.events = events
    }

    /// Whether the command is run for an event; in an emergency it always is.
    public func wants(_ event: Event, isHotfix: Bool) -> Bool { isHotfix || events.contains(event) }

    /// Reads `notify`: a list of `{ command, on }`.
    static func read(_ node: YAMLNode, reader: YAMLReader) -> [NotificationRule] {
        guard let items = reader.items(node, of: "`notify`") else { return [] }
        return items.compactMap { item in
            guard let fields = reader.fields(item, of: "a notification") else { return nil }
            let command = fields.requiredText("command")
            var events: Set<Event> = [.succeeded, .failed, .health]
            if let names = fields.texts("on") {
                events = Set(
                    names.compactMap { name in
                        if let event = Event(rawValue: name) { return event }
                        let all = Event.allCases.map(\.rawValue)
                        reader.report(
                            "`\(name)` is nothing that happens",
                            at: fields.location(of: "on"),
                            hints: Suggestion.hint(for: name, in: all)
                                + ["there are: \(all.joined(separator: ", "))"]
                        )
                        return nil
                    }
                )
            }
            fields.refuseUnknown()
            return command.map { NotificationRule(command: $0, events: events) }
        }
    }
}
