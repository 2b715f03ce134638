internal import FleetFiles
internal import FleetInventory
internal import FleetPlan
internal import FleetPlaybook
internal import FleetProject
internal import FleetServing
internal import FleetYAML

/// The result of checking all files of a project that are valid.
public struct ProjectCheck: Sendable {
    /// The environments, with the number of hosts and groups of each.
    public let environments: [(name: String, hosts: Int, groups: Int)]
    /// The playbooks, with the number of steps of each and whether a smoke test proves which release answers.
    public let playbooks: [(name: String, steps: Int, provesRelease: Bool)]
    /// What the project's files would do on this machine that nobody has agreed to yet.
    public let lacking: [String]
    /// Files that are not read, because their names could not stand in a command.
    public let unread: [String]
    /// How many accounts and hooks the project's server file has; nil if there is none.
    public let server: (accounts: Int, hooks: Int)?
    /// The name of a server file in a project.
    public static let serverFile = "server.yml"
}

extension UnrecordedOperations {
    /// Checks every inventory, every playbook, and whether they fit each other; contacts no host.
    ///
    /// - Parameter environment: The only environment to check; nil for all.
    /// - Returns: The environments and playbooks that were found.
    /// - Throws: ``OperationFailure`` with all errors that were found.
    public func check(only environment: String?) async throws(OperationFailure) -> ProjectCheck {
        // What is looked at only has no effect here.
        let everything = project.trusting(.all)
        var problems: Diagnostics?
        func gather(_ found: Diagnostics) {
            problems = problems.map { $0.merging(found) } ?? found
        }
        var inventories: [Inventory] = []
        for name in environment.map({ [$0] }) ?? everything.environments {
            do throws(ProjectError) {
                let inventory = try everything.inventoryAsWritten(name)
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
        for name in everything.playbooks {
            do throws(ProjectError) {
                playbooks.append((name, try everything.playbook(name)))
            } catch {
                guard case .invalid(let found) = error else { throw OperationFailure(error) }
                gather(found)
            }
        }
        var unproved: Set<String> = []
        for inventory in inventories {
            for (name, playbook) in playbooks {
                do throws(Diagnostics) {
                    let plan = try await plan(playbook, inventory)
                    if !plan.provesRelease { unproved.insert(name) }
                } catch {
                    gather(error)
                }
            }
        }
        var server: ServerFile?
        do throws(Diagnostics) {
            server = try serverFile(knowing: environment == nil ? everything.environments : nil)
        } catch { gather(error) }
        if let problems {
            // The same line may be wrong for several environments; it is shown once.
            var seen: Set<Diagnostic> = []
            let unique = problems.all.filter { seen.insert($0).inserted }
            throw OperationFailure(
                everything.withSources(Diagnostics(unique, sources: problems.sources))
            )
        }
        return ProjectCheck(
            environments: inventories.map { ($0.environment, $0.hosts.count, $0.groups.count) },
            playbooks: playbooks.map {
                ($0.name, $0.playbook.steps.count, !unproved.contains($0.name))
            },
            lacking: Set(
                project.trusted.lacking(await everything.sensitiveValues()).map(\.text)
            ).sorted(),
            unread: project.unreadFiles,
            server: server.map { ($0.accounts.count, $0.hooks.count) }
        )
    }

    /// The project's server file; nil if there is none.
    ///
    /// - Parameter environments: The environments that there are; nil if that is not looked at.
    /// - Returns: What it says.
    /// - Throws: `Diagnostics` with everything that is wrong with it.
    private func serverFile(knowing environments: [String]?) throws(Diagnostics) -> ServerFile? {
        let path = "\(project.root)/\(ProjectCheck.serverFile)"
        guard let bytes = WholeFile.read(path, limit: YAMLDocument.sizeLimitBytes) else {
            return nil
        }
        let text = String(decoding: bytes, as: UTF8.self)
        let file = try ServerFileReader.read(text, file: ProjectCheck.serverFile)
        guard let environments else { return file }
        let named =
            file.hooks.flatMap(\.rules).flatMap(\.environments)
            + file.accounts.flatMap { $0.roles.byEnvironment.keys }.filter {
                $0 != Roles.everywhere
            }
        let missing = Set(named).subtracting(environments).sorted()
        guard missing.isEmpty else {
            throw Diagnostics(
                missing.map { name in
                    Diagnostic(
                        "\(ProjectCheck.serverFile) names the environment `\(name)`, which is not there",
                        hints: Suggestion.hint(for: name, in: environments)
                            + ["there are: \(environments.joined(separator: ", "))"]
                    )
                },
                sources: [ProjectCheck.serverFile: text]
            )
        }
        return file
    }

    /// Plans a playbook for an environment with a release that stands for any.
    private func plan(_ playbook: Playbook, _ inventory: Inventory)
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
                packedIn: settings.archives,
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

extension UnrecordedOperations {
    /// The project's folder below the top of the clone that it is in, with a slash at its end; empty if it is the top,
    /// or in no clone.
    public func folderInClone() async -> String {
        let clone: GitRepository
        do { clone = try await GitRepository(containing: project.root) } catch {
            // No clone: files are named from the project.
            return ""
        }
        let top = clone.root.hasSuffix("/") ? clone.root : clone.root + "/"
        guard project.root.hasPrefix(top) else { return "" }
        return String(project.root.dropFirst(top.count)) + "/"
    }
}
