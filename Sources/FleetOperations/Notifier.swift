internal import FleetInventory
internal import FleetProject
public import FleetReport
internal import FleetRollout
internal import Synchronization

/// Tells whoever an environment's `notify` names; nothing that fails here changes how a rollout ends.
final class Notifier: Sendable {
    private let environment: String
    private let project: Project
    private let say: @Sendable (Happening) -> Void
    /// Whether it has been said that nobody is told.
    private let hasWarned = Mutex(false)

    /// The longest that a command may take, in seconds: the operator waits for it.
    private static let limitSeconds = 30

    /// Tells whoever the environment's rules name at the moment when something is told.
    init(
        of environment: String,
        in project: Project,
        tell say: @escaping @Sendable (Happening) -> Void
    ) {
        self.environment = environment
        self.project = project
        self.say = say
    }

    /// The rules that hold now, whatever the plan was made from; none where the files cannot be read.
    private var rules: [NotificationRule] {
        do throws(ProjectError) {
            return try project.inventory(environment).notifications
        } catch {
            let isFirst = hasWarned.withLock { warned in
                defer { warned = true }
                return !warned
            }
            guard isFirst else { return [] }
            let isUntrusted = if case .untrusted = error { true } else { false }
            say(
                .warning(
                    isUntrusted
                        ? "nobody is told: nobody has agreed to what the inventory of \(environment) does here"
                        : "nobody is told: the inventory of \(environment) cannot be read",
                    next: isUntrusted ? "fleet trust --files" : nil
                )
            )
            return []
        }
    }

    /// Tells it, all at once.
    func tell(_ notice: Notice) async {
        let wanted = rules.filter { rule in
            NotificationRule.Event(rawValue: notice.event).map {
                rule.wants($0, isHotfix: notice.hotfix)
            } ?? false
        }
        await withTaskGroup(of: String?.self) { group in
            for rule in wanted {
                group.addTask { await self.failure(of: rule, notice) }
            }
            for await failure in group {
                guard let failure else { continue }
                say(.warning(failure))
            }
        }
    }

    private func failure(of rule: NotificationRule, _ notice: Notice) async -> String? {
        let shown = Sanitizer.line(String(rule.command.prefix(60)))
        do throws(LocalCommand.Failure) {
            let result = try await LocalCommand.run(
                rule.command,
                in: project.root,
                with: [
                    "FLEET_EVENT": notice.event, "FLEET_ENVIRONMENT": notice.environment,
                    "FLEET_TEXT": notice.text,
                ],
                input: notice.json + "\n",
                withinSeconds: Self.limitSeconds
            )
            guard !result.isSuccess else { return nil }
            return "nobody was told by `\(shown)`: \(Sanitizer.line(result.reason))"
        } catch {
            return "nobody was told by `\(shown)`: \(error.reason)"
        }
    }
}

extension Operations {
    /// Tells whoever the environment's `notify` names; what fails is said as a warning.
    public func tell(_ notice: Notice) async {
        await Notifier(of: notice.environment, in: project, tell: tell).tell(notice)
    }
}
