package import FleetOperations
internal import FleetPlan
package import FleetReport
internal import FleetTransport

/// The person at the terminal, if there is one.
package struct TerminalAsker: Asker {
    private let style: Style

    /// Asks in this style.
    package init(style: Style) { self.style = style }

    package func agrees(to question: Question) async -> Bool? {
        guard Terminal.canAsk else { return nil }
        switch question {
        case .confirm(let plan):
            show(plan)
            let answer = Terminal.ask("go on? [y/N] ") ?? ""
            return ["y", "yes"].contains(answer.lowercased())
        case .typeName(let plan):
            show(plan)
            return Terminal.ask("type `\(plan.environment)` to go on: ") == plan.environment
        }
    }

    private func show(_ plan: Plan) {
        Terminal.standardError.write("\(style.bold(PlanText.headline(plan)))\n")
        for (number, batch) in plan.batches.enumerated() {
            Terminal.standardError.write("  batch \(number + 1): \(HostRange.fold(batch))\n")
        }
    }
}
