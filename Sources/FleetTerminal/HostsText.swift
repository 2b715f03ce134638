package import FleetClients
internal import FleetReport

extension Face {
    /// Shows how a host is reached: settings, where each is from, and where ssh differs.
    package func show(_ rows: [ClientTransport.Explanation]) {
        if printsJSON {
            return printJSON(
                rows.map { row in
                    var line = ["setting": row.name, "value": row.value, "source": row.source]
                    line["ssh"] = row.ssh
                    return line
                }
            )
        }
        table(
            ["setting", "value", "from"],
            rows.map { [$0.name, Sanitizer.line($0.value), $0.source] }
        )
        let others = rows.filter { $0.ssh != nil }
        guard !others.isEmpty else { return }
        print("")
        table(
            ["where ssh differs", "fleet", "ssh", "why"],
            others.map {
                [$0.name, Sanitizer.line($0.value), Sanitizer.line($0.ssh ?? ""), $0.note]
            }
        )
    }

    /// Prints a table.
    ///
    /// - Parameters:
    ///   - header: The columns' heads.
    ///   - rows: The rows.
    package func table(_ header: [String], _ rows: [[String]]) {
        let lines = Table.lines(
            header: header,
            rows: rows,
            style: outputStyle,
            indent: ""
        )
        print(lines.joined(separator: "\n"))
    }
}
