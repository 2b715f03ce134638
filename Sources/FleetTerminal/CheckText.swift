package import FleetOperations
internal import FleetReport

extension Face {
    /// Shows that a project's files are in order, and what is worth a look.
    package func show(_ found: ProjectCheck) {
        if printsJSON {
            printJSON(
                found.environments.map { CheckLine(environment: $0, hosts: $1, groups: $2) }
            )
            printJSON(
                found.playbooks.map { CheckLine(playbook: $0, steps: $1, provesRelease: $2) }
            )
            guard let server = found.server else { return }
            return printJSON([
                CheckLine(
                    server: ProjectCheck.serverFile,
                    accounts: server.accounts,
                    hooks: server.hooks
                )
            ])
        }
        let style = outputStyle
        for text in found.lacking {
            print("\(style.yellow("not agreed to here")) \(Sanitizer.line(text))")
        }
        if !found.lacking.isEmpty { print("  next: fleet trust --files") }
        for file in found.unread {
            print(
                "\(outputStyle.yellow("warning")) \(Sanitizer.line(file)) is not read: its name has a blank or another "
                    + "character that a command could not name it by"
            )
        }
        let ok = outputStyle.green("ok")
        for (name, hosts, groups) in found.environments {
            print("\(ok) \(name): \(hosts) hosts, \(groups) groups")
        }
        for (name, steps, _) in found.playbooks { print("\(ok) \(name): \(steps) steps") }
        if let server = found.server {
            print(
                "\(ok) \(ProjectCheck.serverFile): \(server.accounts) accounts, \(server.hooks) hooks"
            )
        }
        for (name, _, _) in found.playbooks.filter({ !$0.provesRelease }).sorted(by: {
            $0.name < $1.name
        }) {
            print(
                "\(style.yellow("warning")) \(name): no smoke test proves which release answers, so an old process "
                    + "could pass them\n  next: `contains: \"${{ release.tag }}\"` in an `http` test, or $FLEET_TAG in a `command`"
            )
        }
    }
}
