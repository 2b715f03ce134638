import FleetInventory
import FleetProject
import FleetReport
import FleetRollout

/// Tells whoever an environment's `notify` names; nothing that fails here changes how a rollout ends.
struct Notifier {
    private let rules: [NotificationRule]
    private let directory: String
    private let common: CommonOptions

    /// The longest that a command may take, in seconds: the operator waits for it.
    private static let limitSeconds = 30

    init(_ rules: [NotificationRule], in project: Project, _ common: CommonOptions) {
        self.rules = rules
        directory = project.root
        self.common = common
    }

    /// The rules that hold now, whatever the plan was made from; none where the files cannot be read.
    init(environment: String, _ common: CommonOptions) async {
        self.common = common
        var found: (root: String, rules: [NotificationRule]) = ("/", [])
        do {
            let project = try await common.openProject()
            found = (project.root, try project.inventory(environment).notifications)
        } catch {
            let isUntrusted = if case ProjectError.untrusted = error { true } else { false }
            common.tell(
                common.standardErrorStyle.yellow(
                    isUntrusted
                        ? "nobody is told: nobody has agreed to what the inventory of \(environment) does here: "
                            + "fleet trust --files"
                        : "nobody is told: the inventory of \(environment) cannot be read"
                )
            )
        }
        (directory, rules) = found
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
                group.addTask { await failure(of: rule, notice) }
            }
            for await failure in group {
                guard let failure else { continue }
                common.tell(common.standardErrorStyle.yellow(failure))
            }
        }
    }

    private func failure(of rule: NotificationRule, _ notice: Notice) async -> String? {
        let shown = Sanitizer.line(String(rule.command.prefix(60)))
        do throws(LocalCommand.Failure) {
            let result = try await LocalCommand.run(
                rule.command,
                in: directory,
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
