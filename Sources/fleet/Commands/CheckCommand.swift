import ArgumentParser
import FleetInventory
import FleetOperations
import FleetPlan
import FleetPlaybook
import FleetProject
import FleetReport
import FleetYAML

/// `fleet check [ENV]`.
struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        _superCommandName: Fleet.name,
        abstract: "Check the project's files: every inventory, every playbook, and how they fit.",
        discussion: "Contacts no host. All problems are shown at once, with file, line and column."
    )

    @Argument(help: "Only this environment.")
    var environment: String?
    @OptionGroup var common: CommonOptions

    func run() async throws {
        // What is looked at only has no effect here.
        let asTrusted = try await common.openProject()
        let project = asTrusted.trusting(.all)
        var problems: Diagnostics?
        func gather(_ found: Diagnostics) {
            problems = problems.map { $0.merging(found) } ?? found
        }
        var inventories: [Inventory] = []
        for name in environment.map({ [$0] }) ?? project.environments {
            do throws(ProjectError) {
                let inventory = try project.inventoryAsWritten(name)
                inventories.append(inventory)
                let policy = inventory.policy
                if TimeZones.offset(of: policy.timeZone) == nil {
                    gather(
                        Diagnostics([
                            Diagnostic(
                                "there is no time zone `\(policy.timeZone)`",
                                at: policy.timeZoneLocation,
                                hints: [
                                    "use a name of the tz database, as in `Europe/Berlin`, or `UTC`"
                                ]
                            )
                        ])
                    )
                }
            } catch {
                guard case .invalid(let found) = error else { throw OperationFailure(error) }
                gather(found)
            }
        }
        var playbooks: [(name: String, playbook: Playbook)] = []
        for name in project.playbooks {
            do throws(ProjectError) {
                playbooks.append((name, try project.playbook(name)))
            } catch {
                guard case .invalid(let found) = error else { throw OperationFailure(error) }
                gather(found)
            }
        }
        var unproved: Set<String> = []
        for inventory in inventories {
            for (name, playbook) in playbooks {
                do throws(Diagnostics) {
                    let plan = try await plan(playbook, inventory, asTrusted)
                    if !plan.provesRelease { unproved.insert(name) }
                } catch {
                    gather(error)
                }
            }
        }
        if let problems {
            // The same line may be wrong for several environments; it is shown once.
            var seen: Set<Diagnostic> = []
            let unique = problems.all.filter { seen.insert($0).inserted }
            throw OperationFailure(
                project.withSources(Diagnostics(unique, sources: problems.sources))
            )
        }
        let style = common.standardOutputStyle
        let lacking = Set(
            asTrusted.trusted.lacking(await project.sensitiveValues()).map(\.text)
        )
        for text in lacking.sorted() {
            common.print("\(style.yellow("not agreed to here")) \(Sanitizer.line(text))")
        }
        if !lacking.isEmpty { common.print("  next: fleet trust --files") }
        for inventory in inventories {
            common.print(
                "\(style.green("ok")) \(inventory.environment): \(inventory.hosts.count) hosts, "
                    + "\(inventory.groups.count) groups"
            )
        }
        for (name, playbook) in playbooks {
            common.print("\(style.green("ok")) \(name): \(playbook.steps.count) steps")
        }
        for name in unproved.sorted() {
            common.print(
                "\(style.yellow("warning")) \(name): no smoke test proves which release answers, so an old process "
                    + "could pass them\n  next: `contains: \"${{ release.tag }}\"` in an `http` test, or $FLEET_TAG in a `command`"
            )
        }
    }

    /// Plans a playbook for an environment with a release that stands for any.
    private func plan(_ playbook: Playbook, _ inventory: Inventory, _ project: Project)
        async throws(Diagnostics) -> Plan
    {
        var request = PlanRequest(
            kind: .run,
            inventory: inventory,
            hosts: inventory.hosts,
            playbook: playbook
        )
        if playbook.releaseStep != nil {
            request.release = Release(tag: "v0.0.0", commit: String(repeating: "0", count: 40))
        }
        do {
            request.files = try await project.files(
                of: playbook,
                in: inventory.environment,
                packedIn: common.settings.archives,
                standingIn: true
            )
            return try Planner.plan(request)
        } catch let found as Diagnostics {
            throw found
        } catch ProjectError.invalid(let found) {
            throw found
        } catch {
            throw Diagnostics([Diagnostic("\(error)")])
        }
    }
}
